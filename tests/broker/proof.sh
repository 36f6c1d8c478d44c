#!/bin/sh
# What the ledger proves: signing, anchors, both verifiers.
top=$(cd "${srcdir:-.}" && pwd)
[ $# -gt 0 ] || set -- "$top/tests/broker/test_ledger_proof.py" \
    "$top/tests/broker/test_anchor.py" \
    "$top/tests/broker/test_power_cut.py" \
    "$top/tests/broker/test_restored.py" \
    "$top/tests/broker/test_tamper.py"
exec "$top/tests/broker/audit.sh" "$@"
