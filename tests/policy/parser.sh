#!/bin/sh
# What our parser takes, dash splits alike; ./dev fuzz parser for more.
top=$(cd "${srcdir:-.}" && pwd)
[ -x /usr/bin/python3 ] || { echo "python3 is not installed"; exit 77; }
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
command -v dash >/dev/null || {
	echo "no dash"
	exit 77
}
exec /usr/bin/python3 "$top/tests/policy/parser.py" "$@"
