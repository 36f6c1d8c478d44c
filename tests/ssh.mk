# The ssh room: unit tests, fuzz targets, and what tests/ssh needs.
if HAVE_CMOCKA
SSH_TESTS = tests/unit/test_scp tests/unit/test_quote tests/unit/test_cert tests/unit/test_key \
	tests/unit/test_pubkey tests/unit/test_sftp tests/unit/test_agent \
	tests/unit/test_git tests/unit/test_pktline
check_PROGRAMS += $(SSH_TESTS)
TESTS += $(SSH_TESTS)
tests_unit_test_git_SOURCES = tests/unit/test_git.c
tests_unit_test_git_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_git_LDADD = ssh/libgit.la $(CMOCKA_LIBS)
tests_unit_test_pktline_SOURCES = tests/unit/test_pktline.c
tests_unit_test_pktline_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pktline_LDADD = ssh/libgit.la $(CMOCKA_LIBS)
tests_unit_test_scp_SOURCES = tests/unit/test_scp.c
tests_unit_test_scp_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CRYPTO_CFLAGS)
tests_unit_test_scp_LDADD = ssh/libscp.la $(CMOCKA_LIBS) $(CRYPTO_LIBS)
tests_unit_test_quote_SOURCES = tests/unit/test_quote.c
tests_unit_test_quote_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_quote_LDADD = ssh/libquote.la $(CMOCKA_LIBS)
tests_unit_test_cert_SOURCES = tests/unit/test_cert.c
tests_unit_test_cert_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CRYPTO_CFLAGS)
tests_unit_test_cert_LDADD = ssh/libcert.la $(CMOCKA_LIBS) $(CRYPTO_LIBS)
tests_unit_test_pubkey_SOURCES = tests/unit/test_pubkey.c
tests_unit_test_pubkey_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pubkey_LDADD = ssh/libcert.la $(CMOCKA_LIBS)
tests_unit_test_agent_SOURCES = tests/unit/test_agent.c
tests_unit_test_agent_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_agent_LDADD = ssh/libagent.la $(CMOCKA_LIBS)
tests_unit_test_key_SOURCES = tests/unit/test_key.c
tests_unit_test_key_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CRYPTO_CFLAGS)
tests_unit_test_key_LDADD = ssh/libconn.la $(CMOCKA_LIBS) $(CRYPTO_LIBS)
tests_unit_test_sftp_SOURCES = tests/unit/test_sftp.c
tests_unit_test_sftp_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CRYPTO_CFLAGS)
tests_unit_test_sftp_LDADD = ssh/libsftp.la $(CMOCKA_LIBS) $(CRYPTO_LIBS)
endif

# Programs that the Python tests run; not tests themselves.
check_PROGRAMS += tests/ssh/tool tests/ssh/args tests/ssh/login \
	tests/ssh/sftpjudge
tests_ssh_tool_SOURCES = tests/ssh/tool.c
tests_ssh_tool_LDADD = ssh/libquote.la ssh/libcert.la
tests_ssh_sftpjudge_SOURCES = tests/ssh/sftpjudge.c
tests_ssh_sftpjudge_LDADD = ssh/libsftp.la
tests_ssh_args_SOURCES = tests/ssh/args.c
tests_ssh_login_SOURCES = tests/ssh/login.c
tests_ssh_login_CFLAGS = $(AM_CFLAGS) $(LIBSSH_CFLAGS)
tests_ssh_login_LDADD = $(LIBSSH_LIBS)
EXTRA_DIST += \
	tests/ssh/conftest.py \
	tests/ssh/shells.py \
	tests/ssh/stage.py \
	tests/ssh/test_cert.py \
	tests/ssh/test_hop.py \
	tests/ssh/test_hostile.py \
	tests/ssh/test_quote.py \
	tests/ssh/words.py

SSH_FUZZ = tests/fuzz/fuzz_quote tests/fuzz/fuzz_cert tests/fuzz/fuzz_pubkey \
	tests/fuzz/fuzz_sftp tests/fuzz/fuzz_scp tests/fuzz/fuzz_agent \
	tests/fuzz/fuzz_git tests/fuzz/fuzz_pktline
check_PROGRAMS += $(SSH_FUZZ)
TESTS += $(SSH_FUZZ)
tests_fuzz_fuzz_quote_SOURCES = tests/fuzz/fuzz_quote.c tests/fuzz/replay.c
tests_fuzz_fuzz_quote_LDADD = ssh/libquote.la
tests_fuzz_fuzz_cert_SOURCES = tests/fuzz/fuzz_cert.c tests/fuzz/replay.c
tests_fuzz_fuzz_cert_LDADD = ssh/libcert.la
tests_fuzz_fuzz_agent_SOURCES = tests/fuzz/fuzz_agent.c tests/fuzz/replay.c
tests_fuzz_fuzz_agent_LDADD = ssh/libagent.la ssh/libcert.la
tests_fuzz_fuzz_pubkey_SOURCES = tests/fuzz/fuzz_pubkey.c tests/fuzz/replay.c
tests_fuzz_fuzz_pubkey_LDADD = ssh/libcert.la
tests_fuzz_fuzz_git_SOURCES = tests/fuzz/fuzz_git.c tests/fuzz/replay.c
tests_fuzz_fuzz_git_LDADD = ssh/libgit.la
tests_fuzz_fuzz_pktline_SOURCES = tests/fuzz/fuzz_pktline.c tests/fuzz/replay.c
tests_fuzz_fuzz_pktline_LDADD = ssh/libgit.la
tests_fuzz_fuzz_scp_SOURCES = tests/fuzz/fuzz_scp.c tests/fuzz/replay.c
tests_fuzz_fuzz_scp_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_fuzz_fuzz_scp_LDADD = ssh/libscp.la $(CRYPTO_LIBS)
tests_fuzz_fuzz_sftp_SOURCES = tests/fuzz/fuzz_sftp.c tests/fuzz/replay.c
tests_fuzz_fuzz_sftp_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_fuzz_fuzz_sftp_LDADD = ssh/libsftp.la $(CRYPTO_LIBS)
