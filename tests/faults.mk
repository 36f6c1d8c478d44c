# What ./dev faults preloads; nothing of Postern is linked with it.
check_LTLIBRARIES = tests/faults/inject.la
tests_faults_inject_la_SOURCES = tests/faults/inject.c
# Neither sanitized nor fortified: it stands before both.
tests_faults_inject_la_CFLAGS = -std=c17 -Wall -Wextra -fno-builtin \
	-fno-sanitize=all -U_FORTIFY_SOURCE
tests_faults_inject_la_LDFLAGS = -module -avoid-version -shared \
	-rpath $(posternlibdir) -fno-sanitize=all
EXTRA_DIST += tests/faults/bastion.py tests/faults/faults.py

TESTS += tests/broker/protocol.sh
