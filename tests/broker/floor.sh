#!/bin/sh
# posternd, postern-policy and postern-signer, each as one process whose parent,
# siblings and callers are played by Python.
top=$(cd "${srcdir:-.}" && pwd)
skip()
{
	echo "$*"
	exit 77
}
/usr/bin/python3 -c 'import pytest, cryptography' 2>/dev/null ||
    skip "python3-pytest or python3-cryptography is not installed"
[ "$(id -u)" = 0 ] || skip "namespaces need root"
unshare --mount --pid --fork true 2>/dev/null || skip "no namespaces here"
POSTERN_BUILD=${POSTERN_BUILD:-$(pwd)} PYTHONDONTWRITEBYTECODE=1
export POSTERN_BUILD PYTHONDONTWRITEBYTECODE
[ $# -gt 0 ] || set -- "$top/tests/broker/test_policy_process.py" \
    "$top/tests/broker/test_slow_audit.py" \
    "$top/tests/broker/test_policy_jobcert.py" \
    "$top/tests/broker/test_policy_files.py" \
    "$top/tests/broker/test_takeover.py" \
    "$top/tests/broker/test_admin.py" \
    "$top/tests/broker/test_auditor.py" \
    "$top/tests/broker/test_posternd_process.py" \
    "$top/tests/broker/test_posternd_anchor.py" \
    "$top/tests/broker/test_signer_process.py" \
    "$top/tests/broker/test_signer_agent.py" \
    "$top/tests/broker/test_signer_job.py" \
    "$top/tests/broker/test_replay_shell.py"
exec "$top/tests/broker/inside.sh" /usr/bin/python3 -m pytest \
    -p no:cacheprovider -q -r fE --basetemp=/opt/pytest "$@"
