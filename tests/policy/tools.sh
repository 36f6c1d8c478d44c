#!/bin/sh
# The tools of `postern policy`, as they are run.
top=$(cd "${srcdir:-.}" && pwd)
/usr/bin/python3 -c 'import pytest' 2>/dev/null || {
	echo "pytest is not installed"
	exit 77
}
POSTERN_BUILD=$(pwd) PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
exec /usr/bin/python3 -m pytest -p no:cacheprovider -q -r fE \
    "$top/tests/policy/test_tools.py" \
    "$top/tests/policy/test_explain.py" "$top/tests/policy/test_prove.py" \
    "$top/tests/policy/test_lint.py" "$top/tests/policy/test_rehearse.py" \
    "$top/tests/policy/test_token.py"
