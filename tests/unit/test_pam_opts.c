/*
 * pam_postern's arguments: what is misspelt or out of bounds is refused, and
 * nothing of a refused line is taken over.
 */
#include "config.h"

#include "pam/opts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define NINETY \
	"/23456789012345678901234567890123456789012345678901234567890" \
	"123456789012345678901234567890"

static void
t_opts_parse_defaults(void **state)
{
	const char *bad = NULL;
	struct opts o = { 0 };

	(void)state;
	assert_int_equal(opts_parse(0, NULL, &o, &bad), 0);
	assert_string_equal(o.run, POSTERN_RUNDIR);
	assert_int_equal(o.deadline_ms, 12000);
	assert_int_equal(o.floor_ms, 300);
}

static void
t_opts_parse_all(void **state)
{
	const char *argv[] = { "floor=0", "run=/a", "deadline=25000",
		"run=" NINETY };
	const char *bad = NULL;
	struct opts o = { 0 };

	(void)state;
	assert_int_equal(opts_parse(4, argv, &o, &bad), 0);
	assert_string_equal(o.run, NINETY);
	assert_int_equal(o.deadline_ms, 25000);
	assert_int_equal(o.floor_ms, 0);
}

static void
t_opts_parse_refused(void **state)
{
	static const char *const wrong[] = { "", "run", "run=", "run=a",
		"run=" NINETY "1", "Run=/a", "deadline", "deadline=",
		"deadline=99", "deadline=25001", "deadline=012",
		"deadline=1e3", "deadline=-1", "deadline=1000 ",
		"deadline=18446744073709551617", "floor=5001", "floor=-0",
		"floor=0x1", "debug", "use_first_pass", "nullok",
		"deadline=1000floor=1" };

	(void)state;
	for (size_t i = 0; i < N(wrong); i++) {
		const char *argv[] = { "run=/good", wrong[i], "floor=1" };
		const char *bad = NULL;
		struct opts o = { .run = "/before", .floor_ms = 7 };

		assert_int_equal(opts_parse(3, argv, &o, &bad), ERR_CONFIG);
		assert_ptr_equal(bad, wrong[i]);
		assert_string_equal(o.run, "/before");
		assert_int_equal(o.floor_ms, 7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_opts_parse_defaults),
		cmocka_unit_test(t_opts_parse_all),
		cmocka_unit_test(t_opts_parse_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
