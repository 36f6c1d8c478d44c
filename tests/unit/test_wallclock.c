/*
 * The wall clock: believed while it runs, and not when it was set.
 */
#include "config.h"

#include "broker/wallclock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define START_S INT64_C(1795510800)

struct clocks {
	int64_t wall_ms, boot_ms;
};

static int64_t
show(clockid_t id, void *ctx)
{
	const struct clocks *k = ctx;

	return id == CLOCK_REALTIME ? k->wall_ms : k->boot_ms;
}

static void
t_wallclock_now_table(void **state)
{
	/* one after the other: what both clocks do, and what is answered */
	static const struct {
		int64_t wall_ms, boot_ms; /* on by so much */
		bool believe;
		bool known;
	} step[] = {
		{ 0, 0, false, true },
		{ 3600000, 3600000, false, true },
		/* asleep, or slewed: both go on */
		{ 86400000, 86400000, false, true },
		/* a leap second, and a time server's small steps */
		{ -1000, 0, false, true },
		{ 31000, 0, false, true },
		{ 30000, 0, false, true }, /* exactly the bound */
		{ 1, 0, false, false },
		{ -1, 0, false, true }, /* as it was */
		/* in small steps is far as well */
		{ 500, 0, false, false },
		{ 500, 0, false, false },
		{ -121000, 0, false, true }, /* exactly the other bound */
		{ -1, 0, false, false },
		/* time alone does not mend it */
		{ 86400000, 86400000, false, false },
		{ 0, 0, true, true },
		{ 0, 0, false, true },
		/* a host that was paused without knowing */
		{ 7200000, 0, false, false },
		{ 0, 0, true, true },
		/* back, far */
		{ -7200000, 0, false, false },
		{ 7200000, 0, false, true },
		{ INT64_C(86400000) * 365 * 100, 0, false, false },
	};
	struct clocks k = { START_S * 1000, 5000 };
	struct wallclock c = { .read_ms = show, .ctx = &k };

	(void)state;
	wallclock_believe(&c);
	for (size_t i = 0; i < N(step); i++) {
		time_t want;

		k.wall_ms += step[i].wall_ms;
		k.boot_ms += step[i].boot_ms;
		if (step[i].believe)
			wallclock_believe(&c);
		want = step[i].known ? (time_t)(k.wall_ms / 1000) : 0;
		if (wallclock_now(&c) != want)
			fail_msg("step %zu", i);
		if (c.wrong == step[i].known)
			fail_msg("step %zu: said otherwise", i);
	}
}

/* Zeroed memory, a clock that was never set, none at all: not known. */
static void
t_wallclock_never_set(void **state)
{
	struct clocks k = { WALLCLOCK_MIN_S * 1000 - 1, 5000 };
	struct wallclock c = { .read_ms = show, .ctx = &k };

	(void)state;
	assert_int_equal(wallclock_now(&c), 0);
	c.wrong = false;
	wallclock_believe(&c);
	assert_true(c.wrong);
	assert_int_equal(wallclock_now(&c), 0);
	/* set meanwhile: still nobody has looked */
	k.wall_ms = START_S * 1000;
	assert_int_equal(wallclock_now(&c), 0);
	wallclock_believe(&c);
	assert_int_equal(wallclock_now(&c), START_S);
	k.boot_ms = -1;
	assert_int_equal(wallclock_now(&c), 0);
	wallclock_believe(&c);
	assert_int_equal(wallclock_now(&c), 0);
	k.boot_ms = 5000;
	k.wall_ms = -1;
	wallclock_believe(&c);
	assert_int_equal(wallclock_now(&c), 0);
	k.wall_ms = WALLCLOCK_MIN_S * 1000;
	wallclock_believe(&c);
	assert_int_equal(wallclock_now(&c), WALLCLOCK_MIN_S);
}

static void
t_wallclock_of_the_kernel(void **state)
{
	struct wallclock c = { .read_ms = NULL };
	struct timespec before, after; /* time() may be a tick behind */
	time_t now;

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &before), 0);
	wallclock_believe(&c);
	now = wallclock_now(&c);
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &after), 0);
	assert_true(now >= before.tv_sec && now <= after.tv_sec);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_wallclock_now_table),
		cmocka_unit_test(t_wallclock_never_set),
		cmocka_unit_test(t_wallclock_of_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
