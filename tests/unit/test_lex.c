/*
 * The lexer: the same text in each mode, places, and that it always ends.
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
#include "lib/lex.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* One letter and the text for each token: W"a", S"b", R"c", P{, N, X (error),
 * >1 (redirection); ~ before what is glued to the token before it. */
static void
spell(enum lex_mode mode, const char *s, char *out, size_t size)
{
	static const char kind[] = { 'X', 'E', 'N', 'W', 'S', 'R', 'P', '>',
		'o' };
	struct lex_token t;
	struct lex l;
	size_t n = 0;

	out[0] = '\0';
	lex_init(&l, 0, s, strlen(s), 1024);
	for (;;) {
		lex_next(&l, mode, &t);
		if (t.kind == LEX_END)
			break;
		assert_true(t.pos.off + t.width <= strlen(s));
		n += (size_t)snprintf(out + n, size - n, "%s%s%c",
		    n > 0 ? " " : "", t.glued ? "~" : "", kind[t.kind]);
		if (t.kind == LEX_PUNCT)
			n += (size_t)snprintf(out + n, size - n, "%c", t.punct);
		else if (t.kind == LEX_REDIRECT)
			n += (size_t)snprintf(out + n, size - n, "%d",
			    (int)t.redirect);
		else if (t.kind >= LEX_WORD && t.kind <= LEX_RAW)
			n += (size_t)snprintf(out + n, size - n, "%s", t.text);
		assert_true(n < size);
	}
	lex_clear(&l);
}

static const struct {
	enum lex_mode mode;
	const char *s, *want;
} cases[] = {
	{ LEX_POLICY, "", "" },
	{ LEX_POLICY, "a b\tc", "Wa Wb Wc" },
	{ LEX_POLICY, "a{b;c}", "Wa ~P{ ~Wb ~P; ~Wc ~P}" },
	{ LEX_POLICY, "a # b \" ' {\nc", "Wa N Wc" },
	{ LEX_POLICY, "a=\"b c\"", "Wa ~P= ~Sb c" },
	{ LEX_POLICY, "\"a\\\"b\\\\c\"", "Sa\"b\\c" },
	{ LEX_POLICY, "'a\\n\"'", "Ra\\n\"" },
	{ LEX_POLICY, "root+web-1 @web * 1..5 30m",
	    "Wroot+web-1 W@web W* "
	    "W1..5 W30m" },
	{ LEX_POLICY, "\"a\nb", "X N Wb" },
	{ LEX_POLICY, "\"a\\n b\" c", "X Wc" },
	{ LEX_POLICY, "~ ! $ c", "X X X Wc" },
	{ LEX_POLICY, "\303\274", "X" },
	{ LEX_POLICY, "\"\303\274\"", "S\303\274" },
	{ LEX_POLICY, "a#b", "X ~Wb" },
	{ LEX_RUN, "a (b|c) [d] <", "Wa P( ~Wb ~P| ~Wc ~P) P[ ~Wd ~P] P<" },
	{ LEX_RUN, "--x=<", "W--x= ~P<" },
	{ LEX_RUN, "'a b'\"c\"\\ d;e}", "Wa bc d ~P; ~We ~P}" },
	{ LEX_RUN, "a=b # c\nd", "Wa=b N Wd" },
	{ LEX_RUN, "a 2>&1 >/dev/null 2> /dev/null", "Wa >1 >2 >3" },
	{ LEX_RUN, "a 2>&1x", "Wa W2 ~P> ~X ~W1x" },
	{ LEX_RUN, "a#b c", "X ~Wb Wc" },
	{ LEX_RUN, "a {b", "Wa X ~Wb" },
	{ LEX_SLOT, "enum a=b -c> ", "Wenum Wa=b W-c ~P>" },
	{ LEX_SLOT, "int 1..500>", "Wint W1..500 ~P>" },
	{ LEX_SLOT, "/srv/**>", "W/srv/** ~P>" },
	{ LEX_COMMAND, "a 'b c' \"d\"e\\ f", "Wa Wb c Wde f" },
	{ LEX_COMMAND, "a\n b", "Wa N Wb" },
	{ LEX_COMMAND, "a ''", "Wa W" },
	{ LEX_COMMAND, "a >/dev/null", "Wa >2" },
	{ LEX_COMMAND, "a;b", "Wa ~o ~Wb" },
	{ LEX_COMMAND, "a && b||c | d", "Wa o Wb ~o ~Wc o Wd" },
	{ LEX_COMMAND, "a&b", "X ~Wb" },
	{ LEX_COMMAND, "a >/dev/null;b", "Wa >2 ~o ~Wb" },
};

static void
t_lex_next_table(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		spell(cases[i].mode, cases[i].s, out, sizeof(out));
		if (strcmp(out, cases[i].want) != 0)
			fail_msg("%zu: %s: %s", i, cases[i].s, out);
	}
}

static void
t_lex_next_places(void **state)
{
	static const char s[] = "ab \"\303\274\" c\n\n  d";
	static const struct {
		enum lex_kind kind;
		unsigned int line, col;
		size_t off, width;
	} want[] = {
		{ LEX_WORD, 1, 1, 0, 2 }, { LEX_STRING, 1, 4, 3, 4 },
		{ LEX_WORD, 1, 8, 8, 1 }, { LEX_NEWLINE, 1, 9, 9, 1 },
		{ LEX_NEWLINE, 2, 1, 10, 1 }, { LEX_WORD, 3, 3, 13, 1 },
		{ LEX_END, 3, 4, 14, 0 }, { LEX_END, 3, 4, 14, 0 },
	};
	struct lex_token t;
	struct lex l;

	(void)state;
	lex_init(&l, 7, s, strlen(s), 64);
	for (size_t i = 0; i < N(want); i++) {
		lex_next(&l, LEX_POLICY, &t);
		assert_int_equal(t.kind, want[i].kind);
		assert_int_equal(t.pos.file, 7);
		assert_int_equal(t.pos.line, want[i].line);
		assert_int_equal(t.pos.col, want[i].col);
		assert_int_equal(t.pos.off, want[i].off);
		assert_int_equal(t.width, want[i].width);
	}
	lex_clear(&l);
}

/* Whatever the bytes and modes, every call moves on or says END. */
static void
t_lex_next_ends(void **state)
{
	static const char some[] =
	    "a'\"\\<>#{}()[]|;&$ \n\t2=\302\240\377";
	char s[24];
	struct lex_token t;
	struct lex l;
	uint32_t seed = 1;
	size_t before;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < sizeof(s); i++) {
			seed = seed * 1664525 + 1013904223;
			s[i] = some[(seed >> 8) % sizeof(some)];
		}
		lex_init(&l, 0, s, sizeof(s), 16);
		do {
			before = l.off;
			seed = seed * 1664525 + 1013904223;
			lex_next(&l, (enum lex_mode)(seed >> 30), &t);
			assert_true(t.kind == LEX_END || l.off > before);
			assert_true(l.off <= sizeof(s));
		} while (t.kind != LEX_END);
		lex_clear(&l);
	}
}

static void
t_lex_next_word_max(void **state)
{
	struct lex_token t;
	struct lex l;

	(void)state;
	lex_init(&l, 0, "1234 12345 x\ny", 14, 4);
	lex_next(&l, LEX_POLICY, &t);
	assert_int_equal(t.kind, LEX_WORD);
	lex_next(&l, LEX_POLICY, &t);
	assert_int_equal(t.kind, LEX_ERROR);
	assert_true(t.over);
	lex_next(&l, LEX_POLICY, &t);
	assert_int_equal(t.kind, LEX_NEWLINE);
	lex_clear(&l);
}

static void
t_lex_numbers(void **state)
{
	static const struct {
		const char *s;
		bool size;
		int r;
		uint64_t want;
	} c[] = {
		{ "1s", false, 0, 1 }, { "2m", false, 0, 120 },
		{ "3h", false, 0, 10800 }, { "1d", false, 0, 86400 },
		{ "0s", false, ERR_TOOBIG, 0 }, { "01s", false, ERR_FORMAT, 0 },
		{ "s", false, ERR_FORMAT, 0 }, { "5", false, ERR_FORMAT, 0 },
		{ "5 s", false, ERR_FORMAT, 0 }, { "-5s", false, ERR_FORMAT, 0 },
		{ "5sm", false, ERR_FORMAT, 0 }, { "", false, ERR_FORMAT, 0 },
		{ "1.5h", false, ERR_FORMAT, 0 },
		{ "18446744073709551615d", false, ERR_TOOBIG, 0 },
		{ "99999999999999999999s", false, ERR_TOOBIG, 0 },
		{ "999999999999999999999999s", false, ERR_FORMAT, 0 },
		{ "1B", true, 0, 1 }, { "1KiB", true, 0, 1024 },
		{ "2MiB", true, 0, 2 << 20 }, { "1GiB", true, 0, 1 << 30 },
		{ "1MB", true, ERR_FORMAT, 0 }, { "1kib", true, ERR_FORMAT, 0 },
		{ "17179869184GiB", true, ERR_TOOBIG, 0 },
	};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		v = 0;
		assert_int_equal(c[i].size ?
		    lex_size(c[i].s, UINT64_MAX, &v) :
		    lex_duration(c[i].s, UINT64_MAX, &v), c[i].r);
		if (v != c[i].want)
			fail_msg("%s", c[i].s);
	}
	assert_int_equal(lex_duration("61s", 60, &v), ERR_TOOBIG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_lex_next_table),
		cmocka_unit_test(t_lex_next_places),
		cmocka_unit_test(t_lex_next_ends),
		cmocka_unit_test(t_lex_next_word_max),
		cmocka_unit_test(t_lex_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
