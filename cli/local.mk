bin_PROGRAMS += cli/postern
cli_postern_SOURCES = \
	cli/ask.c cli/backup.c cli/backup.h cli/backup_ca.c cli/backup_copy.c \
	cli/backup_key.c \
	cli/ca.c cli/cli.h cli/policy.c \
	cli/policy.h cli/policy_ask.c cli/policy_can.c cli/policy_diff.c cli/policy_fmt.c cli/policy_explain.c \
	cli/policy_rehearse.c cli/rehearse.h cli/rehearse_found.c cli/rehearse_list.c cli/rehearse_sum.c \
	cli/hold.c cli/kill.c \
	cli/ledger.c cli/manifest.c cli/postern.c cli/reconcile.c cli/reconcile.h \
	cli/reconcile_ca.c cli/reconcile_say.c cli/records.c cli/reload.c \
	cli/replay_cast.c cli/replay_shell.c \
	cli/export.c cli/verify.c cli/verify_asked.c cli/verify_asked.h \
	cli/token.c cli/token.h cli/token_advice.c cli/token_see.c
cli_postern_CFLAGS = $(PROGRAM_CFLAGS) $(JANSSON_CFLAGS)
cli_postern_LDFLAGS = $(PROGRAM_LDFLAGS)
cli_postern_LDADD = policy/libtools.la policy/libpolicy.la ssh/libcert.la audit/libreplay.la \
	audit/libreconcile.la audit/libcopy.la audit/libverify.la \
	audit/libledgerwrite.la \
	audit/libledger.la audit/libcast.la \
	broker/libpeek.la lib/libclaimtext.la lib/liblex.la lib/libbase.la $(JANSSON_LIBS)

# What sets a bastion up, and looks after it.
cli_postern_SOURCES += \
	cli/doctor.c cli/doctor.h cli/doctor_ca.c \
	cli/doctor_files.c cli/doctor_issuers.c cli/doctor_net.c \
	cli/doctor_unit.c \
	cli/ca_krl.c cli/ca_rotate.c cli/setup.c cli/spawn.c cli/spawn.h cli/status.c \
	cli/status.h cli/status_alarms.c cli/status_anchor.c \
	cli/tar.c cli/tar.h
cli_postern_CFLAGS += $(CURL_CFLAGS)
cli_postern_LDADD += $(CURL_LIBS)
