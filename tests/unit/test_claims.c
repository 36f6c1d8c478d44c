/*
 * Claims as policy keeps them: copies, bounded, each name once.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "policy/claims.h"

static void
t_claims_add_get(void **state)
{
	struct claims cs = { 0 };
	char name[8] = "ref", value[8] = "main";

	(void)state;
	assert_null(claims_get(&cs, "ref"));
	assert_int_equal(claims_add(&cs, name, value), 0);
	name[0] = value[0] = 'X'; /* copies were taken */
	assert_string_equal(claims_get(&cs, "ref"), "main");
	assert_null(claims_get(&cs, "Ref"));
	assert_null(claims_get(&cs, "re"));
	assert_null(claims_get(&cs, ""));
	assert_int_equal(claims_add(&cs, "ref", "other"), ERR_EXISTS);
	assert_string_equal(claims_get(&cs, "ref"), "main");
	assert_int_equal(claims_add(&cs, "", ""), 0);
	assert_string_equal(claims_get(&cs, ""), "");
	assert_int_equal(cs.n, 2);
	claims_clear(&cs);
	assert_int_equal(cs.n, 0);
	assert_null(claims_get(&cs, "ref"));
	claims_clear(&cs);
	claims_clear(NULL);
}

static void
t_claims_add_bounds(void **state)
{
	static char text[PROTO_CLAIM_VALUE_MAX + 2];
	struct claims cs = { 0 };
	char name[32];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(claims_add(&cs, "v", text), ERR_TOOBIG);
	text[PROTO_CLAIM_VALUE_MAX] = '\0';
	assert_int_equal(claims_add(&cs, "v", text), 0);
	text[PROTO_CLAIM_NAME_MAX + 1] = '\0';
	assert_int_equal(claims_add(&cs, text, "v"), ERR_TOOBIG);
	text[PROTO_CLAIM_NAME_MAX] = '\0';
	assert_int_equal(claims_add(&cs, text, "v"), 0);
	while (cs.n < PROTO_CLAIMS_MAX) {
		(void)snprintf(name, sizeof(name), "c%zu", cs.n);
		assert_int_equal(claims_add(&cs, name, "x"), 0);
	}
	assert_int_equal(claims_add(&cs, "more", "x"), ERR_TOOBIG);
	assert_int_equal(cs.n, PROTO_CLAIMS_MAX);
	claims_clear(&cs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_claims_add_get),
		cmocka_unit_test(t_claims_add_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
