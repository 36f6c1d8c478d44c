# The modules that sshd loads, postern-shell, and the start of postern-sshd.
if HAVE_CMOCKA
modules_unit_tests = \
	tests/unit/test_nss_postern \
	tests/unit/test_pam_opts \
	tests/unit/test_pam_secrets \
	tests/unit/test_pam_token \
	tests/unit/test_shell_request
check_PROGRAMS += $(modules_unit_tests)
TESTS += $(modules_unit_tests)

# The constructor's questions to the system are answered by the test.
tests_unit_test_nss_postern_SOURCES = tests/unit/test_nss_postern.c \
	nss/postern.c
tests_unit_test_nss_postern_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_nss_postern_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fopen \
	-Wl,--wrap=__nss_configure_lookup
tests_unit_test_nss_postern_LDADD = lib/libbase.la $(CMOCKA_LIBS)

tests_unit_test_pam_opts_SOURCES = tests/unit/test_pam_opts.c pam/opts.c
tests_unit_test_pam_opts_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pam_opts_LDADD = lib/libbase.la $(CMOCKA_LIBS)

tests_unit_test_pam_token_SOURCES = tests/unit/test_pam_token.c pam/token.c
tests_unit_test_pam_token_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pam_token_LDADD = lib/libbase.la $(CMOCKA_LIBS)

# Loads the module as it was built.
tests_unit_test_pam_secrets_SOURCES = tests/unit/test_pam_secrets.c
tests_unit_test_pam_secrets_CPPFLAGS = $(AM_CPPFLAGS) \
	-DPAM_MODULE='"$(abs_top_builddir)/pam/.libs/pam_postern.so"'
tests_unit_test_pam_secrets_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pam_secrets_LDADD = lib/libbase.la $(CMOCKA_LIBS) -lpam

tests_unit_test_shell_request_SOURCES = tests/unit/test_shell_request.c \
	shell/request.c
tests_unit_test_shell_request_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_shell_request_LDADD = lib/libbase.la $(CMOCKA_LIBS)
endif

# postern-shell that looks for the broker in its working folder.
check_PROGRAMS += tests/shell/postern-shell
tests_shell_postern_shell_SOURCES = $(shell_postern_shell_SOURCES)
tests_shell_postern_shell_CPPFLAGS = $(AM_CPPFLAGS) -UPOSTERN_RUNDIR \
	-DPOSTERN_RUNDIR='"."'
tests_shell_postern_shell_CFLAGS = $(PROGRAM_CFLAGS) $(LIBEDIT_CFLAGS)
tests_shell_postern_shell_LDFLAGS = $(PROGRAM_LDFLAGS)
tests_shell_postern_shell_LDADD = audit/libcast.la lib/libsandbox.la lib/libbase.la \
	$(LIBEDIT_LIBS)

TESTS += tests/shell/modules.sh tests/shell/house.sh
EXTRA_DIST += tests/nss tests/pam tests/shell

# The line editor, fed with keys.
check_PROGRAMS += tests/fuzz/fuzz_edit
TESTS += tests/fuzz/fuzz_edit
tests_fuzz_fuzz_edit_SOURCES = tests/fuzz/fuzz_edit.c tests/fuzz/replay.c
tests_fuzz_fuzz_edit_CFLAGS = $(AM_CFLAGS) $(LIBEDIT_CFLAGS)
tests_fuzz_fuzz_edit_LDADD = lib/libbase.la $(LIBEDIT_LIBS)
