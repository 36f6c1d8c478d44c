# audit: recordings, ledger, index, replay.
# The writer's side alone, for the hop: no library but our own.
noinst_LTLIBRARIES += audit/libcast.la
audit_libcast_la_SOURCES = \
	audit/cast.c audit/cast.h \
	audit/sidecar.c audit/sidecar.h \
	audit/utc.c audit/utc.h
audit_libcast_la_LIBADD = lib/libbase.la

# Reading and safe replay, for the command line.
noinst_LTLIBRARIES += audit/libreplay.la
audit_libreplay_la_SOURCES = \
	audit/castread.c audit/castread.h \
	audit/replay.c audit/replay.h \
	audit/replay_bytes.c \
	audit/replay_cast.c \
	audit/replay_play.c \
	audit/splice.c audit/splice.h
audit_libreplay_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
audit_libreplay_la_LIBADD = lib/libbase.la $(JANSSON_LIBS)

# The ledger's tree and its signed checkpoints, for whoever signs or verifies.
noinst_LTLIBRARIES += audit/libtree.la
audit_libtree_la_SOURCES = \
	audit/note.c audit/note.h \
	audit/tiles.c audit/tiles.h \
	audit/tree.c audit/tree.h
audit_libtree_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
audit_libtree_la_LIBADD = lib/libbase.la $(CRYPTO_LIBS)

# A ledger's lines as events, for whoever reads one.
noinst_LTLIBRARIES += audit/libledger.la
audit_libledger_la_SOURCES = \
	audit/ledger.h \
	audit/ledger_lines.c audit/ledger_lines.h \
	audit/ledger_parse.c \
	audit/record.h \
	audit/record_path.c
audit_libledger_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
audit_libledger_la_LIBADD = $(JANSSON_LIBS)

# Targets' logs beside the ledger, for the command line.
noinst_LTLIBRARIES += audit/libreconcile.la
audit_libreconcile_la_SOURCES = \
	audit/authlog.c audit/authlog.h audit/authlog_internal.h \
	audit/authlog_line.c \
	audit/reconcile.c audit/reconcile.h audit/reconcile_internal.h \
	audit/reconcile_tell.c
audit_libreconcile_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
audit_libreconcile_la_LIBADD = audit/libledger.la audit/libcast.la \
	$(JANSSON_LIBS)

# Files from one folder to another, for the command line.
noinst_LTLIBRARIES += audit/libcopy.la
audit_libcopy_la_SOURCES = audit/copy.c audit/copy.h
audit_libcopy_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
audit_libcopy_la_LIBADD = lib/libbase.la $(CRYPTO_LIBS)

# Whether it is all there and unchanged, for the command line.
noinst_LTLIBRARIES += audit/libverify.la
audit_libverify_la_SOURCES = \
	audit/verify.c audit/verify.h audit/verify_internal.h \
	audit/verify_files.c audit/verify_given.c
audit_libverify_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
audit_libverify_la_LIBADD = audit/libtree.la $(CRYPTO_LIBS)

# Writing lines: audit, and who restores a ledger.
noinst_LTLIBRARIES += audit/libledgerwrite.la
audit_libledgerwrite_la_SOURCES = audit/ledger.c
audit_libledgerwrite_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
audit_libledgerwrite_la_LIBADD = audit/libtree.la

# All of it.
noinst_LTLIBRARIES += audit/libaudit.la
audit_libaudit_la_SOURCES = \
	audit/keep.c audit/keep.h \
	audit/record.c audit/record.h \
	audit/manifest.c audit/manifest.h \
	audit/record_own.c \
	audit/record_facts.c \
	audit/store.c audit/store.h audit/store_internal.h \
	audit/store_keep.c \
	audit/store_query.c \
	audit/tlog.c audit/tlog.h
audit_libaudit_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(JANSSON_CFLAGS) \
	$(SQLITE_CFLAGS)
audit_libaudit_la_LIBADD = audit/libledgerwrite.la audit/libtree.la audit/libreplay.la audit/libledger.la audit/libcast.la \
	$(SQLITE_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
