# audit: unit tests, fuzz targets, and postern-audit as a process.
audit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
audit_ldadd = audit/libaudit.la lib/libbase.la $(CMOCKA_LIBS)

if HAVE_CMOCKA
audit_unit_tests = \
	tests/unit/test_cast \
	tests/unit/test_keep \
	tests/unit/test_ledger \
	tests/unit/test_note \
	tests/unit/test_replay_filter \
	tests/unit/test_splice \
	tests/unit/test_store \
	tests/unit/test_tar \
	tests/unit/test_tree
check_PROGRAMS += $(audit_unit_tests)
TESTS += $(audit_unit_tests)

tests_unit_test_cast_SOURCES = tests/unit/test_cast.c
tests_unit_test_cast_CFLAGS = $(audit_cflags)
tests_unit_test_cast_LDADD = $(audit_ldadd)
tests_unit_test_keep_SOURCES = tests/unit/test_keep.c
tests_unit_test_keep_CFLAGS = $(audit_cflags)
tests_unit_test_keep_LDADD = $(audit_ldadd)
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_CFLAGS = $(audit_cflags)
tests_unit_test_ledger_LDADD = $(audit_ldadd)
tests_unit_test_note_SOURCES = tests/unit/test_note.c
tests_unit_test_note_CFLAGS = $(audit_cflags)
tests_unit_test_note_LDADD = $(audit_ldadd)
tests_unit_test_tar_SOURCES = tests/unit/test_tar.c
tests_unit_test_tar_CFLAGS = $(audit_cflags)
tests_unit_test_tar_LDADD = audit/libcopy.la lib/libbase.la $(CMOCKA_LIBS)
tests_unit_test_tree_SOURCES = tests/unit/test_tree.c
tests_unit_test_tree_CFLAGS = $(audit_cflags)
tests_unit_test_tree_LDADD = $(audit_ldadd)
tests_unit_test_replay_filter_SOURCES = tests/unit/test_replay_filter.c \
	tests/fuzz/replay_allowed.h
tests_unit_test_replay_filter_CFLAGS = $(audit_cflags)
tests_unit_test_replay_filter_LDADD = $(audit_ldadd)
tests_unit_test_splice_SOURCES = tests/unit/test_splice.c
tests_unit_test_splice_CFLAGS = $(audit_cflags)
tests_unit_test_splice_LDADD = $(audit_ldadd)
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_CFLAGS = $(audit_cflags)
tests_unit_test_store_LDADD = $(audit_ldadd)
endif

audit_fuzz_targets = tests/fuzz/fuzz_authlog tests/fuzz/fuzz_castread \
	tests/fuzz/fuzz_ledger tests/fuzz/fuzz_note tests/fuzz/fuzz_replay \
	tests/fuzz/fuzz_verify
check_PROGRAMS += $(audit_fuzz_targets)
TESTS += $(audit_fuzz_targets)
tests_fuzz_fuzz_authlog_SOURCES = tests/fuzz/fuzz_authlog.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_authlog_LDADD = audit/libreconcile.la lib/libbase.la
tests_fuzz_fuzz_castread_SOURCES = tests/fuzz/fuzz_castread.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_castread_LDADD = audit/libreplay.la lib/libbase.la
tests_fuzz_fuzz_ledger_SOURCES = tests/fuzz/fuzz_ledger.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_ledger_LDADD = audit/libledger.la audit/libcast.la \
	lib/libbase.la
tests_fuzz_fuzz_note_SOURCES = tests/fuzz/fuzz_note.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_note_LDADD = audit/libtree.la lib/libbase.la
tests_fuzz_fuzz_replay_SOURCES = tests/fuzz/fuzz_replay.c \
	tests/fuzz/replay_allowed.h tests/fuzz/replay.c
tests_fuzz_fuzz_replay_LDADD = audit/libreplay.la lib/libbase.la
tests_fuzz_fuzz_verify_SOURCES = tests/fuzz/fuzz_verify.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_verify_LDADD = audit/libaudit.la audit/libverify.la \
	lib/libbase.la

check_PROGRAMS += tests/cast/generate
tests_cast_generate_SOURCES = tests/cast/generate.c
tests_cast_generate_LDADD = audit/libcast.la lib/libbase.la
TESTS += tests/cast/readers.sh
# Run by `./dev ledger`.
check_PROGRAMS += tests/bench/ledger
tests_bench_ledger_SOURCES = tests/bench/ledger.c
tests_bench_ledger_LDADD = audit/libaudit.la audit/libverify.la lib/libbase.la
EXTRA_DIST += tests/cast/player.py tests/cast/readers.py tests/cast/readers.sh
TESTS += tests/broker/audit.sh tests/broker/proof.sh tests/broker/reconcile.sh
EXTRA_DIST += tests/broker
EXTRA_DIST += tests/data/authlog
