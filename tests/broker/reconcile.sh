#!/bin/sh
# postern reconcile over logs that both generations of sshd wrote.
top=$(cd "${srcdir:-.}" && pwd)
/usr/bin/python3 -c 'import pytest' 2>/dev/null || {
	echo "pytest is not installed"
	exit 77
}
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
exec /usr/bin/python3 -m pytest -p no:cacheprovider -q -r fE \
    "$top/tests/broker/test_reconcile.py"
