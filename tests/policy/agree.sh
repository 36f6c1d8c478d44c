#!/bin/sh
# The decision agrees with the reference matcher; ./dev fuzz reference for more.
top=$(cd "${srcdir:-.}" && pwd)
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
exec /usr/bin/python3 "$top/tests/policy/agree.py" "$@"
