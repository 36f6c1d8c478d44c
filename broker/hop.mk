posternlibexec_PROGRAMS += broker/postern-hop
# All but its main, which is fuzzed with them (tests/fuzz.mk), too.
hop_files = \
	broker/hop.h broker/lease.c broker/lease.h broker/hop_connect.c \
	broker/hop_end.c broker/hop_files.c \
	broker/hop_filter.c broker/hop_filter.h broker/hop_git.c broker/hop_open.c broker/hop_relay.c \
	broker/hop_run.c broker/hop_show.c broker/hop_typed.c
broker_postern_hop_SOURCES = broker/hop.c $(hop_files)
broker_postern_hop_CFLAGS = $(PROGRAM_CFLAGS) $(LIBSSH_CFLAGS) $(CRYPTO_CFLAGS)
broker_postern_hop_LDFLAGS = $(PROGRAM_LDFLAGS)
broker_postern_hop_LDADD = ssh/libsftp.la ssh/libscp.la ssh/libgit.la policy/librefset.la ssh/libconn.la ssh/libquote.la ssh/libcert.la audit/libcast.la \
	lib/libsandbox.la lib/libbase.la $(LIBSSH_LIBS) $(CRYPTO_LIBS)
