#!/bin/sh
# postern-audit as a process on a socket pair.
top=$(cd "${srcdir:-.}" && pwd)
/usr/bin/python3 -c 'import pytest' 2>/dev/null || {
	echo "pytest is not installed"
	exit 77
}
[ $# -gt 0 ] || set -- "$top/tests/broker/test_audit_process.py" \
    "$top/tests/broker/test_audit_retention.py" \
    "$top/tests/broker/test_audit_views.py" \
    "$top/tests/broker/test_full_disk.py"
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
exec /usr/bin/python3 -m pytest -p no:cacheprovider -q -r fE \
"$@"
