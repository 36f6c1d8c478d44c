# Each room brings its own tests; this page lists the rooms.
include tests/house.mk
include tests/modules.mk
include tests/ssh.mk
