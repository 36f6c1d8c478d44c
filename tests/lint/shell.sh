#!/bin/sh
# Every shell script of the house passes shellcheck.
command -v shellcheck >/dev/null || { echo "no shellcheck"; exit 77; }
cd "${srcdir:-.}" || exit 1
scripts=$(find . \( -path './build*' -o -name .git -o -name autom4te.cache \
    -o -name m4 -o -name configure -o -path './postern-*' -o -path './_*' \) -prune -o \
    -type f -print | while read -r f; do
	case $(head -c 40 "$f" | tr '\0' ' ' | head -n 1) in
	'#!/bin/sh'* | '#!/bin/bash'* | '#!/usr/bin/env bash'*) echo "$f" ;;
	esac
done)
# shellcheck disable=SC2086 # a list of names without blanks
exec shellcheck -S warning $scripts
