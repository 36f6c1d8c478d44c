#!/bin/sh
# What our parser takes, dash splits alike; ./dev fuzz parser for more.
top=$(cd "${srcdir:-.}" && pwd)
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
command -v dash >/dev/null || {
	echo "no dash"
	exit 77
}
exec /usr/bin/python3 "$top/tests/policy/parser.py" "$@"
