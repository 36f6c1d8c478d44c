# The policy room and the lexer's library: unit tests, golden malformed
# policies, fuzz targets.
# With these a test fails when a decision asks for memory.
quiet = tests/unit/quiet.c $(floor_fault)
quiet_wrap = $(fault_wrap) -Wl,--wrap=decide

if HAVE_CMOCKA
policy_unit_tests = \
	tests/unit/test_claims tests/unit/test_command tests/unit/test_conf \
	tests/unit/test_decide tests/unit/test_diag tests/unit/test_files \
	tests/unit/test_judge \
	tests/unit/test_lex tests/unit/test_names tests/unit/test_policy tests/unit/test_policy_load \
	tests/unit/test_refs tests/unit/test_served \
	tests/unit/test_zone
check_PROGRAMS += $(policy_unit_tests)
TESTS += $(policy_unit_tests)

tests_unit_test_claims_SOURCES = tests/unit/test_claims.c
tests_unit_test_claims_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_claims_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_command_SOURCES = tests/unit/test_command.c
tests_unit_test_command_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_command_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_conf_LDADD = lib/liblex.la $(CMOCKA_LIBS)
tests_unit_test_decide_SOURCES = tests/unit/test_decide.c $(quiet)
tests_unit_test_decide_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_decide_LDFLAGS = $(AM_LDFLAGS) $(quiet_wrap)
tests_unit_test_decide_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_diag_SOURCES = tests/unit/test_diag.c
tests_unit_test_diag_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_diag_LDADD = lib/liblex.la $(CMOCKA_LIBS)
tests_unit_test_files_SOURCES = tests/unit/test_files.c
tests_unit_test_files_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_files_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_judge_SOURCES = tests/unit/test_judge.c $(quiet)
tests_unit_test_judge_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_judge_LDFLAGS = $(AM_LDFLAGS) $(quiet_wrap)
tests_unit_test_judge_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_lex_SOURCES = tests/unit/test_lex.c
tests_unit_test_lex_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_lex_LDADD = lib/liblex.la $(CMOCKA_LIBS)
tests_unit_test_names_SOURCES = tests/unit/test_names.c
tests_unit_test_names_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_names_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c
tests_unit_test_policy_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_policy_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_policy_load_SOURCES = tests/unit/test_policy_load.c \
	tests/unit/fault.c
tests_unit_test_policy_load_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_policy_load_LDFLAGS = $(AM_LDFLAGS) $(fault_wrap)
tests_unit_test_policy_load_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_refs_SOURCES = tests/unit/test_refs.c $(quiet)
tests_unit_test_refs_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_refs_LDFLAGS = $(AM_LDFLAGS) $(quiet_wrap)
tests_unit_test_refs_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_served_SOURCES = tests/unit/test_served.c $(quiet)
tests_unit_test_served_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_served_LDFLAGS = $(AM_LDFLAGS) $(quiet_wrap)
tests_unit_test_served_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
tests_unit_test_zone_SOURCES = tests/unit/test_zone.c
tests_unit_test_zone_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_zone_LDADD = policy/libpolicy.la $(CMOCKA_LIBS)
endif

policy_fuzz_targets = tests/fuzz/fuzz_command tests/fuzz/fuzz_policy \
	tests/fuzz/fuzz_print
check_PROGRAMS += $(policy_fuzz_targets)
TESTS += $(policy_fuzz_targets)
tests_fuzz_fuzz_command_SOURCES = tests/fuzz/fuzz_command.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_command_LDADD = policy/libpolicy.la
tests_fuzz_fuzz_policy_SOURCES = tests/fuzz/fuzz_policy.c tests/fuzz/replay.c
tests_fuzz_fuzz_policy_LDADD = policy/libpolicy.la
tests_fuzz_fuzz_print_SOURCES = tests/fuzz/fuzz_print.c tests/fuzz/replay.c
tests_fuzz_fuzz_print_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_print_LDADD = policy/libtools.la policy/libpolicy.la \
	$(JANSSON_LIBS)

# Built with the tests, run by `./dev bench policy`.
check_PROGRAMS += tests/bench/decide
tests_bench_decide_SOURCES = tests/bench/decide.c
tests_bench_decide_LDADD = policy/libpolicy.la

EXTRA_DIST += tests/policy

# The decision against a matcher in another language.
check_PROGRAMS += tests/policy/judge
tests_policy_judge_SOURCES = tests/policy/judge.c
tests_policy_judge_LDADD = policy/libtools.la policy/libpolicy.la
TESTS += tests/policy/agree.sh tests/policy/parser.sh tests/policy/tools.sh
