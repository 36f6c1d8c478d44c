/*
 * broker/quota.c: the moments of grants.  The rows are the test's.
 */
#include "config.h"

#include "broker/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/policy.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "tests/unit/fault.h"

static struct {
	size_t rows;
	size_t room; /* audit's, for what begins */
	int result;
} world;

size_t
policy_audit_room(void)
{
	return world.room;
}

int
takeover_keep_grant(const char *identity, const char *operation, int64_t at)
{
	(void)identity;
	(void)operation;
	(void)at;
	world.rows += world.result == 0;
	return world.result;
}

void
takeover_forget_grant(const char *operation)
{
	(void)operation;
	world.rows--;
}

static const char *
id(size_t n)
{
	static char text[27];

	(void)snprintf(text, sizeof(text), "01%024zu", n);
	return text;
}

static int
start(void **state)
{
	(void)state;
	world.room = 8;
	quota_bounds(0, 0);
	world.rows = 0;
	world.result = 0;
	return 0;
}

/* What asks at a moment is answered, and noted if there is room. */
static bool
grant(const char *who, const struct limits *l, int64_t now)
{
	static size_t n;

	if (quota_wait_ms(who, l, now) > 0)
		return false;
	assert_int_equal(quota_note(who, id(n++), now), 0);
	return true;
}

static void
test_rate_holds_in_every_window(void **state)
{
	const struct limits l = { .rate = 3, .rate_per_s = 10 };
	int64_t at[1000];
	size_t n = 0;

	(void)state;
	quota_bounds(3, 10);
	/* Whatever times it asks at, no ten seconds hold more than three. */
	srandom(1);
	for (int64_t now = 1000; n < 1000; now += random() % 1500) {
		if (!grant("a", &l, now))
			continue;
		at[n] = now;
		assert_true(n < 3 || at[n] - at[n - 3] >= 10000);
		n++;
	}
	assert_int_equal(quota_count(), 3);
	assert_int_equal(world.rows, 3);
}

static void
test_each_identity_for_itself(void **state)
{
	const struct limits l = { .rate = 1, .rate_per_s = 60 };

	(void)state;
	quota_bounds(1, 60);
	assert_true(grant("a", &l, 5));
	assert_false(grant("a", &l, 6));
	assert_true(grant("b", &l, 6));
	assert_int_equal(quota_wait_ms("a", &l, 6), 59999);
	assert_int_equal(quota_wait_ms("a", &l, 60005), 0);
}

/* The count is of the identity: what one rule granted, another one sees. */
static void
test_two_rules_count_together(void **state)
{
	const struct limits few = { .rate = 2, .rate_per_s = 100 };
	const struct limits many = { .rate = 50, .rate_per_s = 100 };
	const struct limits none = { .rate = 0 };

	(void)state;
	quota_bounds(50, 100);
	for (int i = 0; i < 49; i++)
		assert_true(grant("a", &many, 1000 + i));
	assert_false(grant("a", &few, 2000));
	assert_true(grant("a", &none, 2001));
	assert_false(grant("a", &many, 2002));
}

static void
test_rows_come_back_in_any_order(void **state)
{
	const struct limits l = { .rate = 2, .rate_per_s = 10 };

	(void)state;
	quota_bounds(2, 10);
	world.rows = 3;
	assert_int_equal(quota_adopt("a", id(3), 9000), 0);
	assert_int_equal(quota_adopt("a", id(1), 1000), 0);
	assert_int_equal(quota_adopt("a", id(2), 5000), 0);
	assert_int_equal(world.rows, 2);
	assert_int_equal(quota_wait_ms("a", &l, 9000), 6000);
}

static void
test_a_policy_of_fewer_or_none(void **state)
{
	const struct limits l = { .rate = 8, .rate_per_s = 10 };

	(void)state;
	quota_bounds(8, 10);
	for (int i = 0; i < 8; i++)
		assert_true(grant("a", &l, i));
	quota_bounds(2, 10);
	assert_int_equal(quota_count(), 2);
	assert_int_equal(world.rows, 2);
	quota_bounds(0, 0);
	assert_int_equal(quota_count(), 0);
	assert_int_equal(world.rows, 0);
	/* nothing is counted, nothing is kept */
	assert_int_equal(quota_note("a", id(1), 5), 0);
	assert_int_equal(world.rows, 0);
	assert_int_not_equal(quota_adopt("a", id(1), 5), 0);
}

static void
test_old_moments_are_forgotten(void **state)
{
	const struct limits l = { .rate = 1000, .rate_per_s = 10 };

	(void)state;
	quota_bounds(1000, 10);
	for (int64_t now = 0; now < 1000000; now += 100)
		assert_true(grant("a", &l, now));
	assert_true(quota_count() <= 100);
	assert_int_equal(world.rows, quota_count());
}

static void
test_what_cannot_be_counted(void **state)
{
	const char *long_name = "a-name-that-is-longer-than-any-name-may-be";
	unsigned long i;
	int r;

	(void)state;
	quota_bounds(1000, 10);
	world.result = ERR_NOTFOUND;
	assert_int_equal(quota_note("a", id(1), 1), ERR_NOTFOUND);
	world.result = 0;
	assert_int_equal(quota_count(), 0);
	assert_int_not_equal(quota_note(long_name, id(1), 1), 0);
	for (i = 1;; i++) {
		fault_at(i);
		r = quota_note("b", id(2), 1);
		if (!fault_off())
			break;
		assert_int_equal(r, ERR_NOMEM);
	}
	assert_int_equal(r, 0);
	assert_true(i > 2);
	assert_int_equal(quota_count(), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_rate_holds_in_every_window, start),
		cmocka_unit_test_setup(test_each_identity_for_itself, start),
		cmocka_unit_test_setup(test_two_rules_count_together, start),
		cmocka_unit_test_setup(test_rows_come_back_in_any_order, start),
		cmocka_unit_test_setup(test_a_policy_of_fewer_or_none, start),
		cmocka_unit_test_setup(test_old_moments_are_forgotten, start),
		cmocka_unit_test_setup(test_what_cannot_be_counted, start),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	quota_bounds(0, 0);
	return r;
}
