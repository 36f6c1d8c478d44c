/*
 * lib/ulid.c: form, order, difference.
 */
#include "config.h"

#include "lib/ulid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void
t_new(void **state)
{
	char a[ULID_LEN + 1], b[ULID_LEN + 1];

	(void)state;
	assert_int_equal(ulid_new(a), 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(ulid_new(b), 0);
		assert_int_equal(strlen(b), ULID_LEN);
		assert_true(ulid_valid(b));
		assert_string_not_equal(a, b);
		assert_true(memcmp(a, b, 10) <= 0); /* time first */
		memcpy(a, b, sizeof(a));
	}
}

/* The first ten characters are the clock's milliseconds. */
static void
t_time(void **state)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	char a[ULID_LEN + 1];
	uint64_t ms = 0;
	time_t before = time(NULL);

	(void)state;
	assert_int_equal(ulid_new(a), 0);
	for (int i = 0; i < 10; i++)
		ms = ms << 5 | (uint64_t)(strchr(digits, a[i]) - digits);
	/* time() is a tick behind the clock that this was read from. */
	assert_in_range(ms / 1000, before, time(NULL) + 1);
}

static void
t_valid(void **state)
{
	static const char *const good[] = {
		"01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"00000000000000000000000000",
		"7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
	};
	static const char *const bad[] = {
		"",
		"01ARZ3NDEKTSV4RRFFQ69G5FA",
		"01ARZ3NDEKTSV4RRFFQ69G5FAVV",
		"8ZZZZZZZZZZZZZZZZZZZZZZZZZ", /* past 48 bits */
		"01arz3ndektsv4rrffq69g5fav",
		"01ARZ3NDEKTSV4RRFFQ69G5FAI",
		"01ARZ3NDEKTSV4RRFFQ69G5FAL",
		"01ARZ3NDEKTSV4RRFFQ69G5FAO",
		"01ARZ3NDEKTSV4RRFFQ69G5FAU",
		"01ARZ3NDEKTSV4RRFFQ69G5F/V",
		"../../../../../../../../x.",
		"01ARZ3NDEKTSV4RRFFQ69G5FA\n",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_true(ulid_valid(good[i]));
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(ulid_valid(bad[i]));
}

static void
t_low(void **state)
{
	(void)state;
	assert_true(ulid_low("00000000000000000000000000") == 0);
	assert_true(ulid_low("7ZZZZZZZZZZZZZZZZZZZZZZZZZ") == UINT64_MAX);
	assert_true(ulid_low("01ARZ3NDEK000000000000000Z") == 31);
	/* the 65th bit is not one of them */
	assert_true(ulid_low("01ARZ3NDEKTSVG000000000000") == 0);
	assert_true(
	    ulid_low("01ARZ3NDEKTSV8000000000000") == (uint64_t)8 << 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_new),
		cmocka_unit_test(t_time),
		cmocka_unit_test(t_valid),
		cmocka_unit_test(t_low),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
