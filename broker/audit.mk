# postern-audit
posternlibexec_PROGRAMS += broker/postern-audit
# All but its main, which is fuzzed with them (tests/fuzz.mk), too.
audit_files = \
	broker/audit.h broker/audit_alarm.c broker/audit_anchor.c \
	broker/audit_files.c broker/audit_keep.c \
	broker/audit_open.c broker/audit_ops.c broker/audit_ops.h \
	broker/audit_query.c broker/audit_retain.c broker/audit_sign.c \
	broker/audit_view.c broker/wallclock.c broker/wallclock.h
broker_postern_audit_SOURCES = broker/audit.c $(audit_files)
broker_postern_audit_CFLAGS = $(PROGRAM_CFLAGS)
broker_postern_audit_LDFLAGS = $(PROGRAM_LDFLAGS)
broker_postern_audit_LDADD = audit/libaudit.la broker/libchild.la \
	lib/libsandbox.la
