bin_PROGRAMS += cli/postern
cli_postern_SOURCES = \
	cli/ask.c cli/ca.c cli/cli.h cli/policy.c \
	cli/policy.h cli/policy_ask.c cli/policy_can.c cli/policy_diff.c cli/policy_fmt.c cli/policy_explain.c \
	cli/postern.c cli/records.c
cli_postern_CFLAGS = $(PROGRAM_CFLAGS) $(JANSSON_CFLAGS)
cli_postern_LDFLAGS = $(PROGRAM_LDFLAGS)
cli_postern_LDADD = policy/libtools.la policy/libpolicy.la ssh/libcert.la audit/libreplay.la \
	lib/liblex.la lib/libbase.la $(JANSSON_LIBS)
