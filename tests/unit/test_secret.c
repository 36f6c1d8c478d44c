/*
 * lib/secret.c: the room is what was asked for, and nothing of it stays.
 */
#include "config.h"

#include "lib/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void
t_room(void **state)
{
	static const size_t max[] = { 0, 1, 100, 4095, 4096, 4097, 16384 };
	struct secret s = { 0 };

	(void)state;
	for (size_t i = 0; i < LENGTH(max); i++) {
		assert_int_equal(secret_init(&s, max[i]), 0);
		for (size_t k = 0; k < max[i]; k++)
			assert_int_equal(secret_append(&s, "x", 1), 0);
		assert_int_equal(s.len, max[i]);
		assert_int_equal(s.d[s.len], '\0');
		assert_int_equal(secret_append(&s, "x", 1), ERR_TOOBIG);
		assert_int_equal(secret_append(&s, "", SIZE_MAX), ERR_TOOBIG);
		assert_int_equal(secret_append(&s, NULL, 0), 0);
		assert_int_equal(s.len, max[i]);
		secret_clear(&s);
		assert_null(s.d);
	}
	assert_int_equal(secret_init(&s, SIZE_MAX), ERR_TOOBIG);
	assert_int_equal(secret_init(&s, SIZE_MAX - 4096), ERR_SYS);
	secret_clear(&s);
	secret_clear(NULL);
	assert_int_equal(secret_append(&s, "x", 1), ERR_INTERNAL);
}

/* The kernel agrees: no dump of these pages. */
static void
t_not_dumped(void **state)
{
	struct secret s = { 0 };
	char line[512];
	unsigned long from, to;
	int found = 0, dd = 0;
	FILE *f;

	(void)state;
	assert_int_equal(secret_init(&s, 100), 0);
	assert_non_null(f = fopen("/proc/self/smaps", "re"));
	while (fgets(line, sizeof(line), f) != NULL) {
		char *end;

		from = strtoul(line, &end, 16);
		if (*end == '-') {
			to = strtoul(end + 1, NULL, 16);
			found = (uintptr_t)s.d >= from && (uintptr_t)s.d < to;
		} else if (found && strncmp(line, "VmFlags:", 8) == 0) {
			dd = strstr(line, " dd") != NULL;
		}
	}
	(void)fclose(f);
	assert_true(dd);
	secret_clear(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_room),
		cmocka_unit_test(t_not_dumped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
