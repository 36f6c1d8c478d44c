# The lints, and what end-to-end tests, bench and demo need in a release.
LINTS = \
	tests/lint/arrows.sh \
	tests/lint/confined.sh \
	tests/lint/exports.sh \
	tests/lint/forbidden.sh \
	tests/lint/headers.sh \
	tests/lint/man.sh \
	tests/lint/protocol.sh \
	tests/lint/python.sh \
	tests/lint/shell.sh
TESTS += $(LINTS)
AM_TESTS_ENVIRONMENT = CC='$(CC)'; export CC;
# Folders, whole: the files in them are read by name at run time.
EXTRA_DIST += tests/lint tests/e2e tests/hostile tests/install tests/bench \
	tests/conftest.py tests/fuzz/corpus .ci/run
