/*
 * Quoting for the wire: the form, what it refuses, and that the reader takes
 * exactly one spelling.  The shells themselves are asked in tests/ssh.
 */
#include "config.h"

#include "ssh/quote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void
t_quote_argv_form(void **state)
{
	static const struct {
		const char *argv[4];
		const char *wire;
	} cases[] = {
		{ { "true" }, "'true'" },
		{ { "a", "b c" }, "'a' 'b c'" },
		{ { "" }, "''" },
		{ { "a", "", "b" }, "'a' '' 'b'" },
		{ { "it's" }, "'it'\\''s'" },
		{ { "'" }, "\\'" },
		{ { "''" }, "\\'\\'" },
		{ { "!x" }, "\\!'x'" },
		{ { "x!" }, "'x'\\!" },
		{ { "\\" }, "\\\\" },
		{ { "a\\b" }, "'a'\\\\'b'" },
		{ { "\\", "; echo X ; #" }, "\\\\ '; echo X ; #'" },
		{ { "$(id)", "`id`", "*" }, "'$(id)' '`id`' '*'" },
		{ { "\t\r\x1b[0m" }, "'\t\r\x1b[0m'" },
		{ { "\xc3\xa9" }, "'\xc3\xa9'" },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		size_t argc = 0;

		while (argc < 4 && cases[i].argv[argc] != NULL)
			argc++;
		buf_init(&b, PROTO_WIRE_MAX);
		assert_int_equal(quote_argv(cases[i].argv, argc, &b), 0);
		assert_string_equal(buf_cstr(&b), cases[i].wire);
		buf_clear(&b);
	}
}

static void
t_quote_argv_refuses(void **state)
{
	static const char *const bad[] = {
		"\n", "a\nb", "a\n", "\xff", "\xc3", "\xc0\xaf",
		"\xed\xa0\x80", "\xf4\x90\x80\x80",
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		const char *argv[2] = { "echo", bad[i] };

		buf_init(&b, 100);
		assert_int_equal(buf_put(&b, "x", 1), 0);
		assert_int_equal(quote_argv(argv, 2, &b), ERR_FORMAT);
		assert_int_equal(buf_len(&b), 1); /* nothing appended */
		buf_clear(&b);
	}
	buf_init(&b, 100);
	assert_int_equal(quote_argv(NULL, 0, &b), ERR_FORMAT);
	buf_clear(&b);
}

static void
t_quote_argv_bounds(void **state)
{
	const char *argv[1];
	size_t n = PROTO_WIRE_MAX;
	char *w = malloc(n);
	struct buf b;

	(void)state;
	assert_non_null(w);
	argv[0] = w;
	buf_init(&b, PROTO_WIRE_MAX);
	memset(w, 'a', n);
	w[n - 2] = '\0'; /* with two quotes exactly the bound */
	assert_int_equal(quote_argv(argv, 1, &b), 0);
	assert_int_equal(buf_len(&b), PROTO_WIRE_MAX);
	buf_reset(&b);
	w[n - 2] = 'a';
	w[n - 1] = '\0';
	assert_int_equal(quote_argv(argv, 1, &b), ERR_TOOBIG);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
	/* the caller's own bound counts, too */
	buf_init(&b, 5);
	argv[0] = "abcd";
	assert_int_equal(quote_argv(argv, 1, &b), ERR_TOOBIG);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
	free(w);
}

static void
t_quote_split_other_spellings(void **state)
{
	static const char *const bad[] = {
		"", " ", "a", "'a", "a'", "'a'b", "'a''b'", "''''", "'a'''",
		"'''a'", "'a' ", " 'a'", "'a'  'b'", "'a'\t'b'", "'a!'",
		"'a\\'", "\\a", "\\", "'a'\\", "\"a\"", "''\\'", "\\'''",
		"'a\nb'", "'a' b", "'a';'b'", "'a'\n", "$'a'", "'\xff'",
		"'a'&", "\\ ", "''a",
	};
	char **argv = NULL;
	size_t argc = 0;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		assert_int_equal(quote_split(bad[i], strlen(bad[i]), &argv,
		    &argc), ERR_FORMAT);
		assert_null(argv);
	}
	assert_int_equal(quote_split("'a\0b'", 5, &argv, &argc), ERR_FORMAT);
	assert_int_equal(quote_split("'a'\0", 4, &argv, &argc), ERR_FORMAT);
}

static void
t_quote_split_reads(void **state)
{
	static const char wire[] = "'a' '' \\' 'x'\\!\\\\'y z'";
	char **argv = NULL;
	size_t argc = 0;

	(void)state;
	assert_int_equal(quote_split(wire, strlen(wire), &argv, &argc), 0);
	assert_int_equal(argc, 4);
	assert_string_equal(argv[0], "a");
	assert_string_equal(argv[1], "");
	assert_string_equal(argv[2], "'");
	assert_string_equal(argv[3], "x!\\y z");
	assert_null(argv[4]);
	free(argv);
}

/* Every string over the characters that matter, up to five of them, split in
 * all ways at blanks: written, read back, and written again. */
static void
t_quote_argv_all_short_words(void **state)
{
	static const char set[] = "a'!\\ ";
	char w[6];
	const char *argv[2] = { w, w };
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (unsigned int len = 0; len <= 5; len++) {
		unsigned int all = 1;

		for (unsigned int i = 0; i < len; i++)
			all *= 5;
		for (unsigned int k = 0; k < all; k++) {
			unsigned int v = k;
			char **back = NULL;
			size_t n = 0;

			for (unsigned int i = 0; i < len; i++, v /= 5)
				w[i] = set[v % 5];
			w[len] = '\0';
			buf_reset(&b);
			assert_int_equal(quote_argv(argv, 2, &b), 0);
			assert_int_equal(quote_split((const char *)buf_ptr(&b),
			    buf_len(&b), &back, &n), 0);
			assert_int_equal(n, 2);
			assert_string_equal(back[0], w);
			assert_string_equal(back[1], w);
			free(back);
		}
	}
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_quote_argv_form),
		cmocka_unit_test(t_quote_argv_refuses),
		cmocka_unit_test(t_quote_argv_bounds),
		cmocka_unit_test(t_quote_split_other_spellings),
		cmocka_unit_test(t_quote_split_reads),
		cmocka_unit_test(t_quote_argv_all_short_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
