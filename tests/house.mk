# The lints, and what end-to-end tests, bench and demo need in a release.
LINTS = \
	tests/lint/arrows.sh \
	tests/lint/confined.sh \
	tests/lint/exports.sh \
	tests/lint/forbidden.sh \
	tests/lint/headers.sh \
	tests/lint/man.sh \
	tests/lint/profiles.sh \
	tests/lint/promises.sh \
	tests/lint/protocol.sh \
	tests/lint/python.sh \
	tests/lint/shell.sh \
	tests/lint/versions.sh
TESTS += $(LINTS)
AM_TESTS_ENVIRONMENT = CC='$(CC)'; export CC;
# Built with the tests, run by `./dev bench record`.
check_PROGRAMS += tests/bench/hop_unrecorded
tests_bench_hop_unrecorded_SOURCES = broker/hop.c $(hop_files) \
	tests/bench/uncast.c
tests_bench_hop_unrecorded_CFLAGS = $(broker_postern_hop_CFLAGS)
tests_bench_hop_unrecorded_LDFLAGS = $(broker_postern_hop_LDFLAGS)
tests_bench_hop_unrecorded_LDADD = $(broker_postern_hop_LDADD)

# Folders, whole: the files in them are read by name at run time.
EXTRA_DIST += lib/proto.versions tests/lint tests/e2e tests/hostile \
	tests/install tests/bench \
	tests/conftest.py tests/fuzz/corpus .ci/run
