#!/bin/sh
# The man pages are correct mdoc; that of the ledger has every event, and that of
# the settings has each of them.
command -v mandoc >/dev/null || { echo "no mandoc"; exit 77; }
cd "${srcdir:-.}" || exit 1
pages=$(find lib nss pam shell policy ssh audit broker cli packaging doc \
    -name '*.[1-8]' -print)
[ -n "$pages" ] || { echo "no man pages yet"; exit 77; }
for event in $(sed -n 's/^\t\[EVENT_[A-Z_]*\] = "\(.*\)",$/\1/p' lib/event.c); do
	grep -qE "^\.It Cm (.* , )?$event( ,|$)" audit/postern-ledger.5 ||
	    { echo "audit/postern-ledger.5 has no $event"; bad=yes; }
done
for setting in $(sed -n 's/^\t{ "\([a-z-]*\)", CONF_.*/\1/p' lib/conf.c); do
	grep -q "^\.It Cm $setting " lib/postern.conf.5 ||
	    { echo "lib/postern.conf.5 has no $setting"; bad=yes; }
done
[ -z "${bad:-}" ] || exit 1
# shellcheck disable=SC2086 # names without blanks
exec mandoc -Tlint -Wwarning,stop $pages
