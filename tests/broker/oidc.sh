#!/bin/sh
# postern-oidc as a whole: its parent, its siblings, the PAM module and the
# issuers are played by Python.
top=$(cd "${srcdir:-.}" && pwd)
/usr/bin/python3 -c 'import pytest, cryptography' 2>/dev/null || {
	echo "python3-pytest or python3-cryptography is not installed"
	exit 77
}
[ "$(id -u)" = 0 ] || {
	echo "needs root: postern-oidc listens to root's sshd alone"
	exit 77
}
POSTERN_BUILD=${POSTERN_BUILD:-$(pwd)} PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
exec /usr/bin/python3 -m pytest -p no:cacheprovider -q -r fE \
    "$top/tests/broker/test_oidc_process.py" \
    "$top/tests/broker/test_oidc_limits.py"
