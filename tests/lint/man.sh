#!/bin/sh
# The man pages are correct mdoc.
command -v mandoc >/dev/null || { echo "no mandoc"; exit 77; }
cd "${srcdir:-.}" || exit 1
pages=$(find . -path './build*' -prune -o -name '*.[158]' -print)
[ -n "$pages" ] || { echo "no man pages yet"; exit 77; }
# shellcheck disable=SC2086 # names without blanks
exec mandoc -Tlint -Wwarning,stop $pages
