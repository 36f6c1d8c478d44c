#!/bin/sh
# Every message of the table at every door, in a test process of its own: it
# opens more descriptors than other tests expect.
top=$(cd "${srcdir:-.}" && pwd)
exec "$top/tests/broker/floor.sh" "$top/tests/broker/test_protocol.py"
