# Installed 0711 by packaging/local.mk: a process whose file cannot be read is
# not dumpable from its first instruction on.
posternlibexec_PROGRAMS += shell/postern-shell
shell_postern_shell_SOURCES = shell/postern-shell.c \
	shell/edit.c shell/edit.h \
	shell/interactive.c shell/interactive.h \
	shell/record.c shell/record.h \
	shell/relay.c shell/relay.h \
	shell/request.c shell/request.h
shell_postern_shell_CFLAGS = $(PROGRAM_CFLAGS) $(LIBEDIT_CFLAGS)
shell_postern_shell_LDFLAGS = $(PROGRAM_LDFLAGS)
shell_postern_shell_LDADD = audit/libcast.la lib/libsandbox.la lib/libbase.la $(LIBEDIT_LIBS)
