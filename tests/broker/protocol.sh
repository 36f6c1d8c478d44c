#!/bin/sh
# Every message of the table at every door, in a test process of its own: it
# opens more descriptors than other tests expect.
top=$(cd "${srcdir:-.}" && pwd)
[ $# -gt 0 ] || set -- "$top/tests/broker/test_protocol.py" \
    "$top/tests/broker/test_protocol_ends.py" \
    "$top/tests/broker/test_protocol_state.py"
exec "$top/tests/broker/floor.sh" "$@"
