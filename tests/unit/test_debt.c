/*
 * Debts of failures: they grow, they have a bound, they are forgotten.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/debt.h"

static struct debts d;

static unsigned int
add(const char *key, int64_t now)
{
	return debt_add(&d, key, strlen(key), now);
}

static void
t_debt_add(void **state)
{
	int64_t now = 7;

	(void)state;
	memset(&d, 0, sizeof(d));
	for (unsigned int i = 1; i <= DEBT_MAX; i++)
		assert_int_equal(add("a", now), i);
	assert_int_equal(add("a", now), DEBT_MAX);
	assert_int_equal(add("b", now), 1); /* somebody else */
	/* one is forgiven each time */
	now += 3 * DEBT_WEIGHS_MS;
	assert_int_equal(add("a", now), DEBT_MAX - 2);
	assert_int_equal(add("b", now), 1);
	now += (int64_t)DEBT_MAX * DEBT_WEIGHS_MS;
	assert_int_equal(add("a", now), 1);
	/* a part counts whole: two within a moment are two */
	now += DEBT_WEIGHS_MS / 2;
	assert_int_equal(add("a", now), 2);
}

/* Any key, and none, has its place. */
static void
t_debt_add_places(void **state)
{
	uint8_t key[64] = { 0 };
	size_t used = 0;

	(void)state;
	memset(&d, 0, sizeof(d));
	for (unsigned int i = 0; i < 4 * DEBT_PLACES; i++) {
		memcpy(key, &i, sizeof(i));
		assert_true(debt_add(&d, key, i % sizeof(key), 1000) >= 1);
	}
	for (size_t i = 0; i < DEBT_PLACES; i++)
		used += d.until[i] != 0;
	assert_true(used > DEBT_PLACES / 2); /* well spread */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_debt_add),
		cmocka_unit_test(t_debt_add_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
