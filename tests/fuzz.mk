# Fuzz targets that are whole processes (tests/fuzz/proc.h): one for each that
# receives messages.
proc_fuzz_sources = \
	tests/fuzz/depth.h \
	tests/fuzz/proc.c tests/fuzz/proc.h \
	tests/fuzz/proc_fork.c \
	tests/fuzz/proc_mutate.c \
	tests/fuzz/proc_world.c \
	tests/fuzz/replay.c
# The calls that proc_world.c answers.
proc_fuzz_ldflags = $(AM_LDFLAGS) \
	-Wl,--wrap=poll -Wl,--wrap=clock_gettime -Wl,--wrap=clock_nanosleep \
	-Wl,--wrap=time -Wl,--wrap=getrandom -Wl,--wrap=getsockopt \
	-Wl,--wrap=connect -Wl,--wrap=prctl -Wl,--wrap=setrlimit \
	-Wl,--wrap=sandbox_enter -Wl,--wrap=getpwnam -Wl,--wrap=exit \
	-Wl,--wrap=_exit -Wl,--wrap=recv

proc_fuzz_targets = \
	tests/fuzz/fuzz_proc_audit \
	tests/fuzz/fuzz_proc_hop \
	tests/fuzz/fuzz_proc_oidc \
	tests/fuzz/fuzz_proc_pam \
	tests/fuzz/fuzz_proc_policy \
	tests/fuzz/fuzz_proc_posternd \
	tests/fuzz/fuzz_proc_shell \
	tests/fuzz/fuzz_proc_signer
check_PROGRAMS += $(proc_fuzz_targets)
TESTS += $(proc_fuzz_targets)

tests_fuzz_fuzz_proc_audit_SOURCES = tests/fuzz/fuzz_proc_audit.c \
	$(proc_fuzz_sources) $(audit_files)
tests_fuzz_fuzz_proc_audit_LDFLAGS = $(proc_fuzz_ldflags)
tests_fuzz_fuzz_proc_audit_LDADD = audit/libaudit.la broker/libchild.la \
	lib/libsandbox.la

tests_fuzz_fuzz_proc_hop_SOURCES = tests/fuzz/fuzz_proc_hop.c \
	$(proc_fuzz_sources) $(hop_files)
tests_fuzz_fuzz_proc_hop_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_fuzz_fuzz_proc_hop_LDFLAGS = $(proc_fuzz_ldflags) \
	-Wl,--wrap=getaddrinfo -Wl,--wrap=freeaddrinfo
tests_fuzz_fuzz_proc_hop_LDADD = ssh/libsftp.la ssh/libscp.la ssh/libgit.la policy/librefset.la ssh/libquote.la audit/libcast.la \
	lib/libbase.la \
	$(CRYPTO_LIBS)

tests_fuzz_fuzz_proc_oidc_SOURCES = tests/fuzz/fuzz_proc_oidc.c \
	tests/fuzz/proc_jwks.h $(proc_fuzz_sources) $(oidc_files)
tests_fuzz_fuzz_proc_oidc_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) \
	$(JANSSON_CFLAGS)
tests_fuzz_fuzz_proc_oidc_LDFLAGS = $(proc_fuzz_ldflags) \
	-Wl,--wrap=http_new -Wl,--wrap=http_set_ca \
	-Wl,--wrap=http_set_reach -Wl,--wrap=http_get \
	-Wl,--wrap=http_cancel
tests_fuzz_fuzz_proc_oidc_LDADD = broker/liboidc.la broker/libchild.la

tests_fuzz_fuzz_proc_pam_SOURCES = tests/fuzz/fuzz_proc_pam.c \
	$(proc_fuzz_sources) pam/ask.c pam/opts.c pam/postern.c pam/sock.c \
	pam/token.c
tests_fuzz_fuzz_proc_pam_LDFLAGS = $(proc_fuzz_ldflags)
tests_fuzz_fuzz_proc_pam_LDADD = lib/libbase.la

tests_fuzz_fuzz_proc_policy_SOURCES = tests/fuzz/fuzz_proc_policy.c \
	$(proc_fuzz_sources) $(policy_files)
tests_fuzz_fuzz_proc_policy_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_fuzz_fuzz_proc_policy_LDFLAGS = $(proc_fuzz_ldflags) \
	-Wl,--wrap=proc_stat -Wl,--wrap=proc_alive -Wl,--wrap=proc_open \
	-Wl,--wrap=HMAC
tests_fuzz_fuzz_proc_policy_LDADD = policy/libpolicy.la ssh/libquote.la \
	ssh/libcert.la broker/libchild.la $(CRYPTO_LIBS)

tests_fuzz_fuzz_proc_posternd_SOURCES = tests/fuzz/fuzz_proc_posternd.c \
	$(proc_fuzz_sources) $(posternd_files)
tests_fuzz_fuzz_proc_posternd_LDFLAGS = $(proc_fuzz_ldflags) \
	-Wl,--wrap=setup_spawn -Wl,--wrap=waitpid -Wl,--wrap=kill \
	-Wl,--wrap=setup_account -Wl,--wrap=setup_group \
	-Wl,--wrap=setup_folder -Wl,--wrap=setup_socket \
	-Wl,--wrap=setup_boot_key -Wl,--wrap=setup_addresses \
	-Wl,--wrap=lease_make -Wl,--wrap=upgrade_try \
	-Wl,--wrap=upgrade_exec -Wl,--wrap=close_range -Wl,--wrap=geteuid
tests_fuzz_fuzz_proc_posternd_LDADD = broker/libchild.la

tests_fuzz_fuzz_proc_shell_SOURCES = tests/fuzz/fuzz_proc_shell.c \
	$(proc_fuzz_sources) shell/relay.c shell/request.c shell/edit.c \
	shell/interactive.c shell/record.c
tests_fuzz_fuzz_proc_shell_CFLAGS = $(AM_CFLAGS) $(LIBEDIT_CFLAGS)
tests_fuzz_fuzz_proc_shell_LDFLAGS = $(proc_fuzz_ldflags) -Wl,--wrap=kill
tests_fuzz_fuzz_proc_shell_LDADD = audit/libcast.la lib/libbase.la $(LIBEDIT_LIBS)

tests_fuzz_fuzz_proc_signer_SOURCES = tests/fuzz/fuzz_proc_signer.c \
	$(proc_fuzz_sources) $(signer_files)
tests_fuzz_fuzz_proc_signer_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_fuzz_fuzz_proc_signer_LDFLAGS = $(proc_fuzz_ldflags)
tests_fuzz_fuzz_proc_signer_LDADD = policy/libpolicy.la ssh/libquote.la \
	ssh/libagent.la ssh/libcert.la broker/libchild.la $(CRYPTO_LIBS)

EXTRA_DIST += tests/fuzz/seeds.py
