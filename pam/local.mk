pam_LTLIBRARIES += pam/pam_postern.la
pam_pam_postern_la_SOURCES = pam/postern.c \
	pam/ask.c pam/ask.h \
	pam/opts.c pam/opts.h \
	pam/sock.c pam/sock.h \
	pam/token.c pam/token.h \
	lib/buf.c lib/buf.h \
	lib/err.c lib/err.h \
	lib/msg.c lib/msg.h \
	lib/proto.c lib/proto.h \
	lib/secret.c lib/secret.h \
	lib/str.c lib/str.h
pam_pam_postern_la_CFLAGS = $(MODULE_CFLAGS)
pam_pam_postern_la_LDFLAGS = $(MODULE_LDFLAGS) -module -avoid-version \
	-Wl,--version-script=$(top_srcdir)/pam/pam.map
pam_pam_postern_la_LIBADD = -lpam
pam_pam_postern_la_DEPENDENCIES = pam/pam.map
dist_man_MANS += pam/pam_postern.8
EXTRA_DIST += pam/pam.map
