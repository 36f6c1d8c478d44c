#!/bin/sh
# The decision agrees with the reference matcher, and `prove` with the decision;
# ./dev fuzz reference, ./dev fuzz prove for more: agree.sh WHAT PAIRS SEED.
top=$(cd "${srcdir:-.}" && pwd)
[ -x /usr/bin/python3 ] || { echo "python3 is not installed"; exit 77; }
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
for what in ${1:-agree prove}; do
	[ $# -eq 0 ] || shift
	/usr/bin/python3 "$top/tests/policy/$what.py" "$@" || exit 1
done
