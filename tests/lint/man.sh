#!/bin/sh
# The man pages are correct mdoc.
command -v mandoc >/dev/null || { echo "no mandoc"; exit 77; }
cd "${srcdir:-.}" || exit 1
pages=$(find lib nss pam shell policy ssh audit broker cli packaging doc \
    -name '*.[1-8]' -print)
[ -n "$pages" ] || { echo "no man pages yet"; exit 77; }
# shellcheck disable=SC2086 # names without blanks
exec mandoc -Tlint -Wwarning,stop $pages
