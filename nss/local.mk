# Modules are loaded by programs that know nothing of sanitizers (sshd, su),
# so they are built without, whatever the rest of the house is built with.
# Only the files of lib/ that a module needs go into it.
MODULE_CFLAGS = $(filter-out -fsanitize% -fno-sanitize%,$(AM_CFLAGS))
MODULE_LDFLAGS = $(filter-out -fsanitize%,$(AM_LDFLAGS)) -Wl,--no-undefined

# -version-info 2:0:0 gives the SONAME that glibc asks dlopen for:
# libnss_postern.so.2.
posternlib_LTLIBRARIES += nss/libnss_postern.la
nss_libnss_postern_la_SOURCES = nss/postern.c nss/postern.h \
	lib/str.c lib/str.h
nss_libnss_postern_la_CFLAGS = $(MODULE_CFLAGS)
nss_libnss_postern_la_LDFLAGS = $(MODULE_LDFLAGS) -version-info 2:0:0 \
	-Wl,--version-script=$(top_srcdir)/nss/nss.map
nss_libnss_postern_la_DEPENDENCIES = nss/nss.map
EXTRA_DIST += nss/nss.map
