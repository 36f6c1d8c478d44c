# Each room brings its own tests; this page lists the rooms.
include tests/audit.mk
include tests/faults.mk
include tests/fuzz.mk
include tests/house.mk
include tests/lead.mk
include tests/modules.mk
include tests/oidc.mk
include tests/policy.mk
include tests/ssh.mk
