/*
 * Tokens in parts: what is asked next depends on lengths alone, and whatever
 * is wrong is remembered, in words, without a byte of the token.
 */
#include "config.h"

#include "pam/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/proto.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define PARTS 18

/* What the bytes of a part are. */
enum fill { FRESH, SAME, JUNK };

struct token_case {
	const char *trouble;	 /* its beginning, NULL for none */
	enum fill fill;
	size_t part[PARTS + 1];	 /* lengths, until END */
	uint32_t asked;		 /* how many are asked for in all */
};

#define END SIZE_MAX
#define K 1000

static const struct token_case cases[] = {
	{ NULL, FRESH, { 1, END }, 1 },
	{ NULL, FRESH, { 999, END }, 1 },
	{ NULL, FRESH, { K, K, 51, END }, 3 },
	{ NULL, FRESH, { K, 0, END }, 2 },
	{ NULL, FRESH, { 1022, 1001, 0, END }, 3 },
	/* Whole, from clients without the limit. */
	{ NULL, FRESH, { 1024, END }, 1 },
	{ NULL, FRESH, { 2050, END }, 1 },
	{ NULL, FRESH, { PROTO_TOKEN_MAX, END }, 1 },
	{ NULL, FRESH, { K, 1024, END }, 2 },
	{ NULL, FRESH, { K, K, K, K, K, K, K, K, K, K, K, K, K, K, K, 999, END },
	    16 },
	/* Equal short parts are no sign of anything. */
	{ NULL, SAME, { K, 1001, 999, END }, 3 },
	{ "the first part is empty", FRESH, { 0, END }, 1 },
	{ "a part has 1023 bytes", FRESH, { 1023, 1023, 4, END }, 3 },
	{ "a part has 1023 bytes", FRESH, { K, 1023, 4, END }, 3 },
	{ "a part is the same", SAME, { K, K, 4, END }, 3 },
	{ "a part is the same", SAME, { 1022, K, K, K, END }, 5 },
	{ "the token is longer", FRESH, { PROTO_TOKEN_MAX + 1, END }, 1 },
	{ "the token is longer", FRESH, { 100000, END }, 1 },
	{ "the token is longer", FRESH, { K, PROTO_TOKEN_MAX - 999, END }, 2 },
	{ "the token has more", FRESH, { K, K, K, K, K, K, K, K, K, K, K, K, K,
	    K, K, K, END }, 16 },
	{ "the token has more", FRESH, { 1022, 1022, 1022, 1022, 1022, 1022,
	    1022, 1022, 1022, 1022, 1022, 1022, 1022, 1022, 1022, 1022, END },
	    16 },
	{ "sshd refuses", JUNK, { 1, END }, 1 },
	{ "sshd refuses", JUNK, { 40, END }, 1 },
	{ "sshd refuses", JUNK, { K, K, 51, END }, 3 },
	{ "sshd refuses", JUNK, { 1023, 1023, 0, END }, 3 },
	{ "sshd refuses", JUNK, { 1024, END }, 1 },
};

static char *
part_new(enum fill fill, size_t n, size_t nth)
{
	static const char junk[] = "\b\n\r\177INCORRECT";
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		switch (fill) {
		case FRESH:
			p[i] = (char)('a' + (i * (nth + 3) + i / 7) % 26);
			break;
		case SAME:
			p[i] = (char)('a' + i % 26);
			break;
		case JUNK:
			p[i] = junk[i % (sizeof(junk) - 1)];
			break;
		}
	}
	return p;
}

static void
run_case(const struct token_case *c)
{
	struct token t;
	bool more = true;
	size_t total = 0;

	assert_int_equal(token_init(&t), 0);
	for (size_t i = 0; c->part[i] != END && more; i++) {
		char *p = part_new(c->fill, c->part[i], i);

		token_add(&t, p, c->part[i], &more);
		total += c->part[i];
		if (t.trouble == NULL) {
			assert_int_equal(t.text.len, total);
			assert_memory_equal(t.text.d + total - c->part[i], p,
			    c->part[i]);
		} else {
			assert_int_equal(t.text.len, 0);
			assert_null(t.text.d);
		}
		assert_true(more == (c->part[i] >= 1000 && c->part[i] <= 1023 &&
		    i + 1 < TOKEN_PARTS_MAX));
		free(p);
	}
	assert_int_equal(t.parts + (more ? 1 : 0), c->asked);
	if (c->trouble == NULL)
		assert_null(t.trouble);
	else
		assert_memory_equal(t.trouble, c->trouble, strlen(c->trouble));
	token_clear(&t);
	assert_null(t.text.d);
}

static void
t_token_add_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		run_case(&cases[i]);
}

/* Promise 10: the longest that can come in by parts still fits. */
static void
t_token_add_bound(void **state)
{
	struct token t;
	bool more = true;
	size_t i;

	(void)state;
	assert_int_equal(token_init(&t), 0);
	for (i = 0; more; i++) {
		size_t n = i < 15 ? 1022 : 999;
		char *p = part_new(FRESH, n, i);

		token_add(&t, p, n, &more);
		free(p);
	}
	assert_int_equal(i, 16);
	assert_null(t.trouble);
	assert_int_equal(t.text.len, 15 * 1022 + 999);
	token_clear(&t);
}

/* The first trouble is the one that explains; later ones follow from it. */
static void
t_token_add_first_trouble(void **state)
{
	struct token t;
	bool more;
	char *p = part_new(SAME, 1023, 0);

	(void)state;
	assert_int_equal(token_init(&t), 0);
	token_add(&t, p, 1023, &more);
	token_add(&t, p, 1023, &more);
	token_add(&t, "", 0, &more);
	assert_memory_equal(t.trouble, "a part has 1023", 15);
	assert_int_equal(t.parts, 3);
	free(p);
	token_clear(&t);
	token_clear(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_token_add_cases),
		cmocka_unit_test(t_token_add_bound),
		cmocka_unit_test(t_token_add_first_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
