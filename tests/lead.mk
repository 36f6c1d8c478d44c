# The shared floor, the loop, posternd, policy and signer: unit tests, fuzz
# targets, and the processes as a whole.
floor_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
floor_ldadd = broker/libchild.la lib/libbase.la $(CMOCKA_LIBS)
# Every allocation of the program and its objects can be made to fail.
fault_wrap = -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc \
	-Wl,--wrap=reallocarray
floor_fault = tests/unit/fault.c tests/unit/fault.h

if HAVE_CMOCKA
floor_unit_tests = \
	tests/unit/test_b64 \
	tests/unit/test_buf \
	tests/unit/test_event \
	tests/unit/test_journal \
	tests/unit/test_json \
	tests/unit/test_loop \
	tests/unit/test_msg \
	tests/unit/test_peer \
	tests/unit/test_proto \
	tests/unit/test_quota \
	tests/unit/test_safeopen \
	tests/unit/test_sandbox \
	tests/unit/test_secret tests/unit/test_sftprefuse \
	tests/unit/test_session \
	tests/unit/test_str \
	tests/unit/test_ulid \
	tests/unit/test_wallclock
check_PROGRAMS += $(floor_unit_tests)
TESTS += $(floor_unit_tests)

tests_unit_test_b64_SOURCES = tests/unit/test_b64.c
tests_unit_test_b64_CFLAGS = $(floor_cflags)
tests_unit_test_b64_LDADD = $(floor_ldadd)
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c $(floor_fault)
tests_unit_test_buf_CFLAGS = $(floor_cflags)
tests_unit_test_buf_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_buf_LDADD = $(floor_ldadd)
tests_unit_test_event_SOURCES = tests/unit/test_event.c $(floor_fault)
tests_unit_test_event_CFLAGS = $(floor_cflags)
tests_unit_test_event_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_event_LDADD = $(floor_ldadd)
tests_unit_test_journal_SOURCES = tests/unit/test_journal.c
tests_unit_test_journal_CFLAGS = $(floor_cflags)
tests_unit_test_journal_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=journal_open
tests_unit_test_journal_LDADD = $(floor_ldadd)
tests_unit_test_json_SOURCES = tests/unit/test_json.c
tests_unit_test_json_CFLAGS = $(floor_cflags)
tests_unit_test_json_LDADD = $(floor_ldadd)
tests_unit_test_loop_SOURCES = tests/unit/test_loop.c $(floor_fault)
tests_unit_test_loop_CFLAGS = $(floor_cflags)
tests_unit_test_loop_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_loop_LDADD = $(floor_ldadd)
tests_unit_test_msg_SOURCES = tests/unit/test_msg.c $(floor_fault)
tests_unit_test_msg_CFLAGS = $(floor_cflags)
tests_unit_test_msg_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_msg_LDADD = $(floor_ldadd)
tests_unit_test_peer_SOURCES = tests/unit/test_peer.c $(floor_fault)
tests_unit_test_peer_CFLAGS = $(floor_cflags)
tests_unit_test_peer_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_peer_LDADD = $(floor_ldadd)
tests_unit_test_proto_SOURCES = tests/unit/test_proto.c
tests_unit_test_proto_CFLAGS = $(floor_cflags)
tests_unit_test_proto_LDADD = $(floor_ldadd)
tests_unit_test_quota_SOURCES = tests/unit/test_quota.c broker/quota.c \
	$(floor_fault)
tests_unit_test_quota_CFLAGS = $(floor_cflags)
tests_unit_test_quota_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_quota_LDADD = $(floor_ldadd)
tests_unit_test_safeopen_SOURCES = tests/unit/test_safeopen.c $(floor_fault)
tests_unit_test_safeopen_CFLAGS = $(floor_cflags)
tests_unit_test_safeopen_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_safeopen_LDADD = $(floor_ldadd)
tests_unit_test_sandbox_SOURCES = tests/unit/test_sandbox.c
tests_unit_test_sandbox_CFLAGS = $(floor_cflags)
tests_unit_test_sandbox_LDADD = lib/libsandbox.la $(floor_ldadd)
tests_unit_test_sftprefuse_SOURCES = tests/unit/test_sftprefuse.c
tests_unit_test_sftprefuse_CFLAGS = $(floor_cflags)
tests_unit_test_sftprefuse_LDADD = $(floor_ldadd)
tests_unit_test_secret_SOURCES = tests/unit/test_secret.c
tests_unit_test_secret_CFLAGS = $(floor_cflags)
tests_unit_test_secret_LDADD = $(floor_ldadd)
# The policy process around the sessions, and the clock, are the test's.
tests_unit_test_session_SOURCES = tests/unit/test_session.c \
	broker/connection.c broker/proc.c broker/session.c \
	broker/session_adopt.c broker/session_cert.c broker/session_kill.c \
	policy/claims.c $(floor_fault)
tests_unit_test_session_CFLAGS = $(floor_cflags)
tests_unit_test_session_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap) \
	-Wl,--wrap=msg_now_ms
tests_unit_test_session_LDADD = $(floor_ldadd)
tests_unit_test_str_SOURCES = tests/unit/test_str.c
tests_unit_test_str_CFLAGS = $(floor_cflags)
tests_unit_test_str_LDADD = $(floor_ldadd)
tests_unit_test_ulid_SOURCES = tests/unit/test_ulid.c
tests_unit_test_ulid_CFLAGS = $(floor_cflags)
tests_unit_test_ulid_LDADD = $(floor_ldadd)
tests_unit_test_wallclock_SOURCES = tests/unit/test_wallclock.c \
	broker/wallclock.c
tests_unit_test_wallclock_CFLAGS = $(floor_cflags)
tests_unit_test_wallclock_LDADD = $(floor_ldadd)
endif

floor_fuzz_targets = tests/fuzz/fuzz_event tests/fuzz/fuzz_msg
check_PROGRAMS += $(floor_fuzz_targets)
TESTS += $(floor_fuzz_targets)
tests_fuzz_fuzz_event_SOURCES = tests/fuzz/fuzz_event.c tests/fuzz/replay.c
tests_fuzz_fuzz_event_LDADD = lib/libbase.la
tests_fuzz_fuzz_msg_SOURCES = tests/fuzz/fuzz_msg.c tests/fuzz/replay.c
tests_fuzz_fuzz_msg_LDADD = lib/libbase.la

# What tests/broker preloads; nothing of Postern is linked with it.
check_LTLIBRARIES += tests/broker/clock.la
tests_broker_clock_la_SOURCES = tests/broker/clock.c
tests_broker_clock_la_CFLAGS = -std=c17 -Wall -Wextra -fno-sanitize=all
tests_broker_clock_la_LDFLAGS = -module -avoid-version -shared \
	-rpath $(posternlibdir) -fno-sanitize=all
check_LTLIBRARIES += tests/broker/synced.la
tests_broker_synced_la_SOURCES = tests/broker/synced.c
tests_broker_synced_la_CFLAGS = $(tests_broker_clock_la_CFLAGS)
tests_broker_synced_la_LDFLAGS = $(tests_broker_clock_la_LDFLAGS)
check_LTLIBRARIES += tests/broker/full.la
tests_broker_full_la_SOURCES = tests/broker/full.c
tests_broker_full_la_CFLAGS = $(tests_broker_clock_la_CFLAGS)
tests_broker_full_la_LDFLAGS = $(tests_broker_clock_la_LDFLAGS)
TESTS += tests/broker/floor.sh
EXTRA_DIST += tests/broker
