noinst_LTLIBRARIES += lib/libbase.la
lib_libbase_la_SOURCES = \
	lib/b64.c lib/b64.h \
	lib/buf.c lib/buf.h \
	lib/err.c lib/err.h \
	lib/event.c lib/event.h \
	lib/journal.c lib/journal.h \
	lib/json.c lib/json.h \
	lib/log.c lib/log.h \
	lib/msg.c lib/msg.h \
	lib/proto.c lib/proto.h \
	lib/safeopen.c lib/safeopen.h \
	lib/secret.c lib/secret.h \
	lib/sftprefuse.c lib/sftprefuse.h \
	lib/str.c lib/str.h \
	lib/ulid.c lib/ulid.h

# Confinement: of each process that has one, not of the modules.
noinst_LTLIBRARIES += lib/libsandbox.la
lib_libsandbox_la_SOURCES = \
	lib/filter.c lib/filter.h \
	lib/landlock.c lib/landlock.h \
	lib/sandbox.c lib/sandbox.h
lib_libsandbox_la_LIBADD = lib/libbase.la

# The lexer and what is built on it: not for the modules.
noinst_LTLIBRARIES += lib/liblex.la
lib_liblex_la_SOURCES = \
	lib/conf.c lib/conf.h \
	lib/diag.c lib/diag.h \
	lib/lex.c lib/lex.h
lib_liblex_la_LIBADD = lib/libbase.la

# A token's claims: for oidc, and for the tools.
noinst_LTLIBRARIES += lib/libclaimtext.la
lib_libclaimtext_la_SOURCES = lib/claimtext.c lib/claimtext.h
lib_libclaimtext_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
lib_libclaimtext_la_LIBADD = lib/libbase.la $(JANSSON_LIBS)
