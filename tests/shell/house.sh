#!/bin/sh
# Stock ssh through the distribution's sshd with the modules and the shell, in
# namespaces of its own; see tests/e2e/enter.
top=$(cd "${srcdir:-.}" && pwd)
skip()
{
	echo "$*"
	exit 77
}
/usr/bin/python3 -c 'import pytest' 2>/dev/null || skip "no pytest"
[ "$(id -u)" = 0 ] || skip "namespaces need root"
unshare --mount --net true 2>/dev/null || skip "no namespaces here"
grep -q '^prefix = /opt/postern$' Makefile || skip "not built for /opt/postern"
unset MAKEFLAGS MFLAGS MAKELEVEL
POSTERN_BUILD=$(pwd) exec "$top/tests/e2e/enter" /usr/bin/python3 -m pytest \
    -p no:cacheprovider -q -r fE tests/shell/test_login.py
