/*
 * Messages with places: their order, their bounds, and that nothing of what
 * they show can steer a terminal.
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

#include "lib/buf.h"
#include "lib/diag.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static struct pos
at(unsigned int file, unsigned int line, unsigned int col, size_t off)
{
	return (struct pos){ .file = file, .line = line, .col = col,
		.off = off };
}

static void
t_diags_print_order(void **state)
{
	static const char text[] = "one\n\ttwo three\n";
	struct diags *d = diags_new();
	struct pos p;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	p = at(1, 1, 1, 0);
	diags_add(d, "b", text, strlen(text), &p, 3, "fourth");
	p = at(0, 2, 6, 9);
	diags_add(d, "a", text, strlen(text), &p, 5, "third %d", 3);
	p = at(0, 1, 1, 0);
	diags_add(d, "a", text, strlen(text), &p, 1, "second");
	diags_add_file(d, "c", "first");
	assert_int_equal(diags_count(d), 4);
	assert_int_equal(diags_print(d, &b), 0);
	assert_string_equal(buf_cstr(&b),
	    "c: first\n"
	    "a:1:1: second\n    1 | one\n      | ^\n"
	    "a:2:6: third 3\n    2 |  two three\n      |      ^~~~~\n"
	    "b:1:1: fourth\n    1 | one\n      | ^~~\n");
	buf_reset(&b);
	assert_int_equal(diags_print_json(d, &b), 0);
	assert_non_null(strstr(buf_cstr(&b), "\"file\":\"a\",\"line\":2,"
	    "\"column\":6,\"message\":\"third 3\""));
	diags_free(d);
	diags_free(NULL);
	buf_clear(&b);
}

static void
t_diags_add_bounded(void **state)
{
	struct diags *d = diags_new();
	struct pos p = at(0, 1, 1, 0);
	struct buf b;

	(void)state;
	for (int i = 0; i < DIAGS_MAX + 7; i++)
		diags_add(d, "f", "x", 1, &p, 1, "e");
	assert_int_equal(diags_count(d), DIAGS_MAX + 7);
	buf_init(&b, 1 << 20);
	assert_int_equal(diags_print(d, &b), 0);
	assert_non_null(strstr(buf_cstr(&b), "and 7 more\n"));
	buf_clear(&b);
	diags_free(d);
}

static void
t_diags_print_hostile(void **state)
{
	static const char text[] = "a\033[2J\302\205\342\200\256\377";
	struct diags *d = diags_new();
	struct pos p = at(0, 1, 2, 1);
	struct buf b;

	(void)state;
	diags_add(d, "f\033]0;x\007", text, strlen(text), &p, 1, "m\nn\033");
	buf_init(&b, 4096);
	assert_int_equal(diags_print(d, &b), 0);
	assert_string_equal(buf_cstr(&b),
	    "f\\x1b]0;x\\x07:1:2: m\\x0an\\x1b\n"
	    "    1 | a\\x1b[2J\\xc2\\x85\\xe2\\x80\\xae\\xff\n"
	    "      |  ^~~~\n");
	buf_clear(&b);
	diags_free(d);
}

static const struct {
	const char *text;
	size_t off, width;
	const char *want;
} excerpts[] = {
	{ "", 0, 1, "> \n> ^\n" },
	{ "abc", 1, 1, "> abc\n>  ^\n" },
	{ "abc", 1, 9, "> abc\n>  ^~\n" },
	{ "abc", 3, 1, "> abc\n>    ^\n" },
	{ "abc", 99, 1, "> abc\n>    ^\n" },
	{ "a\nbc\nd", 3, 1, "> bc\n>  ^\n" },
	{ "a\nbc\nd", 4, 1, "> bc\n>   ^\n" },
	{ "\303\274x", 2, 1, "> \303\274x\n>  ^\n" },
	{ "a\tb", 2, 1, "> a b\n>   ^\n" },
	{ "\001x", 1, 1, "> \\x01x\n>     ^\n" },
	{ "x", 0, 0, "> x\n> ^\n" },
};

static void
t_diag_excerpt_table(void **state)
{
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(excerpts); i++) {
		buf_init(&b, 256);
		assert_int_equal(diag_excerpt(&b, "> ", excerpts[i].text,
		    strlen(excerpts[i].text), excerpts[i].off,
		    excerpts[i].width), 0);
		assert_string_equal(buf_cstr(&b), excerpts[i].want);
		buf_clear(&b);
	}
}

/* A long line is cut around the place, never in the middle of a character. */
static void
t_diag_excerpt_long(void **state)
{
	static char text[30000];
	struct buf b;
	char *s;

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(text); i += 3)
		memcpy(text + i, "\342\202\254", 3);
	for (size_t off = 0; off < sizeof(text); off += 2997) {
		buf_init(&b, 2048);
		assert_int_equal(diag_excerpt(&b, "> ", text, sizeof(text),
		    off, 3), 0);
		assert_null(strstr(buf_cstr(&b), "\\x"));
		s = strchr(buf_cstr(&b), '^');
		assert_non_null(s);
		buf_clear(&b);
	}
}

static void
t_diag_near_table(void **state)
{
	static const char *const words[] = { "target", "identity", "issuer",
		"type", "test", "on" };
	static const struct {
		const char *word, *want;
	} c[] = {
		{ "trget", "target" }, { "tragte", "target" },
		{ "targets", "target" }, { "Target", "target" },
		{ "idnetity", "identity" }, { "isuer", "issuer" },
		{ "tpye", "type" }, { "tes", "test" }, { "no", "on" },
		{ "zebra", NULL }, { "", NULL }, { "x", NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    NULL },
	};
	struct diag_near n;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		n = diag_near(c[i].word);
		for (size_t k = 0; k < N(words); k++)
			diag_near_try(&n, words[k]);
		if (c[i].want == NULL ? n.best != NULL : n.best == NULL ||
		    strcmp(n.best, c[i].want) != 0)
			fail_msg("%s: %s", c[i].word, n.best == NULL ? "-" :
			    n.best);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_diags_print_order),
		cmocka_unit_test(t_diags_add_bounded),
		cmocka_unit_test(t_diags_print_hostile),
		cmocka_unit_test(t_diag_excerpt_table),
		cmocka_unit_test(t_diag_excerpt_long),
		cmocka_unit_test(t_diag_near_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
