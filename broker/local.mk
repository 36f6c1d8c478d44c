include broker/audit.mk
include broker/hop.mk
include broker/oidc.mk
# What every broker process is made of.
noinst_LTLIBRARIES += broker/libchild.la
broker_libchild_la_SOURCES = \
	broker/child.c broker/child.h \
	broker/loop.c broker/loop.h \
	broker/peer.c broker/peer.h
broker_libchild_la_LIBADD = lib/liblex.la lib/libbase.la

sbin_PROGRAMS += broker/posternd
# All but its main, which is fuzzed with them (tests/fuzz.mk), too.
posternd_files = \
	broker/agent_trouble.c broker/agent_trouble.h \
	broker/agents.c broker/agents.h \
	broker/alarm.c broker/alarm.h broker/anchor.c broker/anchor.h \
	broker/children.c broker/children.h \
	broker/hops.c broker/hops.h broker/lease.c broker/lease.h \
	broker/proc.c broker/proc.h \
	broker/notify.c broker/notify.h broker/posternd.h broker/reload.c \
	broker/reload.h broker/replace.c broker/replace.h broker/setup.c \
	broker/setup.h broker/upgrade.c broker/upgrade.h \
	broker/upgrade_state.c broker/upgrade_state.h
broker_posternd_SOURCES = broker/posternd.c $(posternd_files)
broker_posternd_CFLAGS = $(PROGRAM_CFLAGS)
broker_posternd_LDFLAGS = $(PROGRAM_LDFLAGS)
broker_posternd_LDADD = broker/libchild.la

posternlibexec_PROGRAMS += broker/postern-policy
# All but its main, which is fuzzed with them (tests/fuzz.mk), too.
policy_files = \
	broker/control.c broker/control.h broker/control_admin.c \
	broker/control_auditor.c broker/control_status.c \
	broker/lock.c broker/lock.h broker/operation_kill.c \
	broker/session_kill.c broker/jobcert.c broker/jobcert.h \
	broker/jobcert_login.c broker/keyid.c broker/keyid.h \
	broker/operation.c \
	broker/operation.h broker/operation_internal.h \
	broker/brokershell.c broker/brokershell_record.c \
	broker/brokershell_words.c broker/brokershell_targets.c \
	broker/brokershell_internal.h \
	broker/operation_can.c broker/operation_env.c \
	broker/operation_files.c \
	broker/operation_judge.c broker/operation_limit.c \
	broker/operation_list.c broker/quota.c broker/quota.h \
	broker/operation_plan.c broker/operation_start.c broker/policy.h \
	broker/policy_audit.c broker/policy_reload.c broker/rules.c \
	broker/rules.h broker/proc.c broker/proc.h broker/caller.c \
	broker/caller.h broker/connection.c broker/session.c broker/session.h \
	broker/session_adopt.c broker/session_cert.c \
	broker/session_internal.h broker/takeover.c \
	broker/takeover.h broker/wallclock.c broker/wallclock.h
broker_postern_policy_SOURCES = broker/policy.c $(policy_files)
broker_postern_policy_CFLAGS = $(PROGRAM_CFLAGS) $(CRYPTO_CFLAGS)
broker_postern_policy_LDFLAGS = $(PROGRAM_LDFLAGS)
broker_postern_policy_LDADD = policy/libpolicy.la ssh/libquote.la \
	ssh/libcert.la broker/libchild.la lib/libsandbox.la $(CRYPTO_LIBS)

posternlibexec_PROGRAMS += broker/postern-signer
# All but its main, which is fuzzed with them (tests/fuzz.mk), too.
signer_files = \
	broker/keyid.c broker/keyid.h broker/rules.c broker/rules.h \
	broker/agent_trouble.c broker/agent_trouble.h \
	broker/signer_agent.c broker/signer_agent.h \
	broker/signer_ca.c broker/signer_ca.h \
	broker/signer_job.c broker/signer_job.h
broker_postern_signer_SOURCES = broker/signer.c $(signer_files)
broker_postern_signer_CFLAGS = $(PROGRAM_CFLAGS) $(CRYPTO_CFLAGS)
broker_postern_signer_LDFLAGS = $(PROGRAM_LDFLAGS)
broker_postern_signer_LDADD = policy/libpolicy.la ssh/libquote.la \
	ssh/libagent.la ssh/libcert.la broker/libchild.la lib/libsandbox.la \
	$(CRYPTO_LIBS)
