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
t_quote_read_other_spellings(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"a",
		"'a",
		"a'",
		"'a'b",
		"'a''b'",
		"''''",
		"'a'''",
		"'''a'",
		"'a' ",
		" 'a'",
		"'a'  'b'",
		"'a'\t'b'",
		"'a!'",
		"'a\\'",
		"\\a",
		"\\",
		"'a'\\",
		"\"a\"",
		"''\\'",
		"\\'''",
		"'a\nb'",
		"'a' b",
		"| 'a'",
		"'a' |",
		"'a' | ",
		"'a'|'b'",
		"'a' |'b'",
		"'a'| 'b'",
		"'a' || 'b'",
		"'a' | | 'b'",
		"'a' & 'b'",
		"'a' && 'b'",
		"'a' 'b' 'c' && 'd'",
		"'cd' '--' '/a' &&",
		"'cd' '--' '/a' & 'b'",
		"'cd' '--' 'a' && 'b'",
		"'cd' '--' '/a' '/b' && 'c'",
		"'cd' '/a' && 'c'",
		"'cd' '-P' '/a' && 'c'",
		"'a' | 'cd' '--' '/a' && 'b'",
		"&& 'a'",
		"'cd' '--' '/a' && && 'b'",
		"'cd' '--' '/a' && | 'b'",
		"'cd' '--' '/a' && 'cd' '--' '/b' && 'c'",
		"'cd' '--' '/a' &&& 'b'",
		"cd -- '/a' && 'b'",
		"'a';'b'",
		"'a'\n",
		"$'a'",
		"'\xff'",
		"'a'&",
		"\\ ",
		"''a",
	};
	struct quote_line *l = NULL;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		if (quote_read(bad[i], strlen(bad[i]), &l) != ERR_FORMAT)
			fail_msg("%s", bad[i]);
		assert_null(l);
	}
	assert_int_equal(quote_read("'a\0b'", 5, &l), ERR_FORMAT);
	assert_int_equal(quote_read("'a'\0", 4, &l), ERR_FORMAT);
}

static void
t_quote_read_reads(void **state)
{
	static const char wire[] = "'a' '' \\' 'x'\\!\\\\'y z'";
	const char *const *argv;
	struct quote_line *l = NULL;

	(void)state;
	assert_int_equal(quote_read(wire, strlen(wire), &l), 0);
	assert_int_equal(l->n, 1);
	assert_null(l->dir);
	assert_int_equal(l->program[0].argc, 4);
	argv = l->program[0].argv;
	assert_string_equal(argv[0], "a");
	assert_string_equal(argv[1], "");
	assert_string_equal(argv[2], "'");
	assert_string_equal(argv[3], "x!\\y z");
	assert_null(argv[4]);
	free(l);
}

/* Folders and pipelines, as they are written and read. */
static void
t_quote_put_lines(void **state)
{
	static const char *const a[] = { "a", "b c" }, *const b[] = { "|" },
				 *const c[] = { "&&" };
	static const struct quote_program p[] = { { a, 2 }, { b, 1 },
		{ c, 1 } };
	static const struct {
		const char *dir;
		size_t n;
		const char *wire; /* NULL: refused */
	} t[] = {
		{ NULL, 2, "'a' 'b c' | '|'" },
		{ NULL, 3, "'a' 'b c' | '|' | '&&'" },
		{ "/srv/a b", 1, "'cd' '--' '/srv/a b' && 'a' 'b c'" },
		{ "/it's", 2, "'cd' '--' '/it'\\''s' && 'a' 'b c' | '|'" },
		{ "/", 1, "'cd' '--' '/' && 'a' 'b c'" },
		{ "srv", 1, NULL },
		{ "", 1, NULL },
		{ "-P", 1, NULL },
		{ "/a\nb", 1, NULL },
		{ NULL, 0, NULL },
	};
	struct quote_line *l;
	struct buf out;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		const struct quote_line q = { t[i].dir, p, t[i].n };

		buf_init(&out, PROTO_WIRE_MAX);
		if (t[i].wire == NULL) {
			assert_int_equal(quote_put(&q, &out), ERR_FORMAT);
			buf_clear(&out);
			continue;
		}
		assert_int_equal(quote_put(&q, &out), 0);
		assert_string_equal(buf_cstr(&out), t[i].wire);
		l = NULL;
		assert_int_equal(
		    quote_read(t[i].wire, strlen(t[i].wire), &l), 0);
		assert_int_equal(l->n, t[i].n);
		assert_null(l->program[0].argv[2]);
		free(l);
		buf_clear(&out);
	}
}

static void
t_quote_put_programs_max(void **state)
{
	static const char *const a[] = { "a" };
	struct quote_program p[QUOTE_PROGRAMS_MAX + 1];
	struct quote_line q = { NULL, p, QUOTE_PROGRAMS_MAX }, *l = NULL;
	struct buf out;

	(void)state;
	for (size_t i = 0; i <= QUOTE_PROGRAMS_MAX; i++)
		p[i] = (struct quote_program){ a, 1 };
	buf_init(&out, PROTO_WIRE_MAX);
	assert_int_equal(quote_put(&q, &out), 0);
	q.n++;
	assert_int_equal(quote_put(&q, &out), ERR_FORMAT);
	assert_int_equal(buf_put(&out, " | 'a'", 6), 0);
	assert_int_equal(
	    quote_read(buf_cstr(&out), buf_len(&out), &l), ERR_FORMAT);
	buf_clear(&out);
}

/* Every string over the characters that matter, up to five of them, split in
 * all ways at blanks: written, read back, and written again. */
static void
t_quote_promise_3_all_short_words(void **state)
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
			struct quote_line *l = NULL;

			for (unsigned int i = 0; i < len; i++, v /= 5)
				w[i] = set[v % 5];
			w[len] = '\0';
			buf_reset(&b);
			assert_int_equal(quote_argv(argv, 2, &b), 0);
			assert_int_equal(quote_read((const char *)buf_ptr(&b),
					     buf_len(&b), &l),
			    0);
			assert_int_equal(l->program[0].argc, 2);
			assert_string_equal(l->program[0].argv[0], w);
			assert_string_equal(l->program[0].argv[1], w);
			free(l);
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
		cmocka_unit_test(t_quote_read_other_spellings),
		cmocka_unit_test(t_quote_read_reads),
		cmocka_unit_test(t_quote_put_lines),
		cmocka_unit_test(t_quote_put_programs_max),
		cmocka_unit_test(t_quote_promise_3_all_short_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
