/*
 * The command parser: what is accepted means exactly one argv; what is refused
 * names the one character that is to blame.
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
#include "lib/err.h"
#include "policy/command.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* -- accepted ---------------------------------------------------------------- */

static const struct {
	const char *s;
	const char *argv[8];
	const char *printed;	/* NULL: as s */
} good[] = {
	{ "id", { "id" }, NULL },
	{ "systemctl restart web", { "systemctl", "restart", "web" }, NULL },
	{ "  systemctl   restart\tweb  ", { "systemctl", "restart", "web" },
	    "systemctl restart web" },
	{ "\n\nid\n", { "id" }, "id" },
	{ "id \n \n", { "id" }, "id" },
	{ "/usr/bin/id -u", { "/usr/bin/id", "-u" }, NULL },
	{ "a.b_c-d/e:f,g@h%i+j=k", { "a.b_c-d/e:f,g@h%i+j=k" }, NULL },
	{ "x --ref=refs/tags/v1.2.3", { "x", "--ref=refs/tags/v1.2.3" }, NULL },
	{ "x A=1 b=2", { "x", "A=1", "b=2" }, NULL },
	{ "x -- -v", { "x", "--", "-v" }, NULL },
	{ "x 0 00 1e9", { "x", "0", "00", "1e9" }, NULL },
	/* single quotes */
	{ "'id'", { "id" }, "id" },
	{ "x 'a b'", { "x", "a b" }, NULL },
	{ "x ''", { "x", "" }, NULL },
	{ "x '' ''", { "x", "", "" }, NULL },
	{ "x a'b c'd", { "x", "ab cd" }, "x 'ab cd'" },
	{ "x '$HOME `id` $(id)'", { "x", "$HOME `id` $(id)" }, NULL },
	{ "x '~ * ? [ ] { } ( ) # ! ^ < > & | ;'",
	    { "x", "~ * ? [ ] { } ( ) # ! ^ < > & | ;" }, NULL },
	{ "x 'a\\nb'", { "x", "a\\nb" }, NULL },
	{ "x 'say \"hi\"'", { "x", "say \"hi\"" }, NULL },
	{ "x 'it'\\''s'", { "x", "it's" }, NULL },
	{ "x \\'", { "x", "'" }, NULL },
	{ "x \\'\\'", { "x", "''" }, NULL },
	{ "x '2>&1'", { "x", "2>&1" }, NULL },
	{ "x '>/dev/null'", { "x", ">/dev/null" }, NULL },
	{ "x '='", { "x", "=" }, NULL },
	{ "x '=cmd'", { "x", "=cmd" }, NULL },
	{ "x a=", { "x", "a=" }, NULL },
	{ "x '#'", { "x", "#" }, NULL },
	/* double quotes */
	{ "\"id\"", { "id" }, "id" },
	{ "x \"a b\"", { "x", "a b" }, "x 'a b'" },
	{ "x \"\"", { "x", "" }, "x ''" },
	{ "x \"it's\"", { "x", "it's" }, "x 'it'\\''s'" },
	{ "x \"a\\\"b\"", { "x", "a\"b" }, "x 'a\"b'" },
	{ "x \"a\\\\b\"", { "x", "a\\b" }, "x 'a\\b'" },
	{ "x \"\\$HOME\"", { "x", "$HOME" }, "x '$HOME'" },
	{ "x \"\\`id\\`\"", { "x", "`id`" }, "x '`id`'" },
	{ "x \"! * ~ ;\"", { "x", "! * ~ ;" }, "x '! * ~ ;'" },
	{ "x \"a\"'b'c", { "x", "abc" }, "x abc" },
	{ "\"'grep' -e\"", { "'grep' -e" }, "\\''grep'\\'' -e'" },
	{ "'grep' -e 'a b' f", { "grep", "-e", "a b", "f" },
	    "grep -e 'a b' f" },
	/* backslashes */
	{ "x a\\ b", { "x", "a b" }, "x 'a b'" },
	{ "x \\*", { "x", "*" }, "x '*'" },
	{ "x \\$HOME", { "x", "$HOME" }, "x '$HOME'" },
	{ "x \\\\", { "x", "\\" }, "x '\\'" },
	{ "x \\n", { "x", "n" }, "x n" },
	{ "x \\;", { "x", ";" }, "x ';'" },
	{ "x \\;\\&\\|", { "x", ";&|" }, "x ';&|'" },
	{ "\\id", { "id" }, "id" },
	{ "x \\=a", { "x", "=a" }, "x '=a'" },
	{ "x \\#", { "x", "#" }, "x '#'" },
	{ "x \\>/dev/null", { "x", ">/dev/null" }, "x '>/dev/null'" },
	{ "x 2\\>\\&1", { "x", "2>&1" }, "x '2>&1'" },
	{ "git-upload-pack '/srv/a.git'", { "git-upload-pack", "/srv/a.git" },
	    "git-upload-pack /srv/a.git" },
	{ "git-upload-pack '/srv/it'\\''s'\\!'.git'",
	    { "git-upload-pack", "/srv/it's!.git" },
	    "git-upload-pack '/srv/it'\\''s!.git'" },
	{ "rsync --server -logDtpre.iLsfxCIvu . /srv/a\\ b\\;c",
	    { "rsync", "--server", "-logDtpre.iLsfxCIvu", ".",
	    "/srv/a b;c" },
	    "rsync --server -logDtpre.iLsfxCIvu . '/srv/a b;c'" },
	/* words that mean something only where they stand first */
	{ "x if", { "x", "if" }, NULL },
	{ "'if' x", { "if", "x" }, NULL },
	{ "\\while x", { "while", "x" }, "'while' x" },
	{ "'A=1' x", { "A=1", "x" }, NULL },
	{ "a.b=c x", { "a.b=c", "x" }, NULL },
	{ "1a=c x", { "1a=c", "x" }, NULL },
	{ "-a=c x", { "-a=c", "x" }, NULL },
	/* beyond ASCII */
	{ "x gr\303\274\303\237e", { "x", "gr\303\274\303\237e" },
	    "x 'gr\303\274\303\237e'" },
	{ "x '\346\227\245\346\234\254'", { "x", "\346\227\245\346\234\254" },
	    NULL },
	{ "x '\360\237\232\252'", { "x", "\360\237\232\252" }, NULL },
	{ "x 'a\302\240b'", { "x", "a\302\240b" }, NULL },
};

static void
check_good(size_t i, const char *s)
{
	struct command *c = NULL;
	struct command_error e;
	int r = command_parse(s, strlen(s), &c, &e);
	size_t n = 0;

	if (r != 0)
		fail_msg("%zu: %s: %s at %zu", i, s, e.what, e.pos);
	while (n < 8 && good[i].argv[n] != NULL) {
		if (n >= c->stage->argc ||
		    strcmp(c->stage->argv[n], good[i].argv[n]) != 0)
			fail_msg("%zu: %s: word %zu", i, s, n);
		n++;
	}
	assert_int_equal(c->stage->argc, n);
	assert_null(c->stage->argv[n]);
	command_free(c);
}

static void
t_command_parse_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(good); i++)
		check_good(i, good[i].s);
}

static void
print_is(const char *s, const char *want)
{
	struct command *c = NULL;
	struct command_error e;
	struct buf b;

	buf_init(&b, 2 * COMMAND_LEN_MAX);
	assert_int_equal(command_parse(s, strlen(s), &c, &e), 0);
	assert_int_equal(command_print(c, &b), 0);
	assert_string_equal(buf_cstr(&b), want);
	command_free(c);
	buf_clear(&b);
}

/* Printing is canonical: what it prints is printed as itself. */
static void
t_command_print_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(good); i++) {
		const char *want = good[i].printed == NULL ? good[i].s :
		    good[i].printed;

		print_is(good[i].s, want);
		print_is(want, want);
		check_good(i, want);
	}
}

/* -- redirections ------------------------------------------------------------ */

static const struct {
	const char *s;
	bool err_to_out, out_null, err_null;
	const char *printed;
} redirects[] = {
	{ "id", false, false, false, "id" },
	{ "id 2>&1", true, false, false, "id 2>&1" },
	{ "id >/dev/null", false, true, false, "id >/dev/null" },
	{ "id 2>/dev/null", false, false, true, "id 2>/dev/null" },
	{ "id > /dev/null", false, true, false, "id >/dev/null" },
	{ "id 2> /dev/null", false, false, true, "id 2>/dev/null" },
	{ "id >/dev/null 2>&1", false, true, true, "id >/dev/null 2>&1" },
	{ "id > /dev/null 2>&1", false, true, true, "id >/dev/null 2>&1" },
	{ "id 2>&1 >/dev/null", true, true, false, "id 2>&1 >/dev/null" },
	{ "id >/dev/null 2>/dev/null", false, true, true,
	    "id >/dev/null 2>&1" },
	{ "id 2>/dev/null 2>&1", true, false, false, "id 2>&1" },
	{ "id 2>&1 2>/dev/null", false, false, true, "id 2>/dev/null" },
	{ "2>&1 id", true, false, false, "id 2>&1" },
	{ "id 2>&1 -u", true, false, false, "id -u 2>&1" },
	{ "id 2 1", false, false, false, "id 2 1" },
	{ "id 2\\>\\&1", false, false, false, "id '2>&1'" },
	{ "id 2>&1\n", true, false, false, "id 2>&1" },
};

static void
t_command_parse_redirects(void **state)
{
	struct command *c;
	struct command_error e;

	(void)state;
	for (size_t i = 0; i < N(redirects); i++) {
		c = NULL;
		if (command_parse(redirects[i].s, strlen(redirects[i].s), &c,
		    &e) != 0)
			fail_msg("%s: %s", redirects[i].s, e.what);
		if (c->err_to_out != redirects[i].err_to_out ||
		    c->out_null != redirects[i].out_null ||
		    c->err_null != redirects[i].err_null)
			fail_msg("%s", redirects[i].s);
		command_free(c);
		print_is(redirects[i].s, redirects[i].printed);
		print_is(redirects[i].printed, redirects[i].printed);
	}
}

/* -- refused ------------------------------------------------------------------ */

static const struct {
	const char *s;
	size_t n;		/* 0: strlen */
	size_t pos;
	const char *what;	/* part of it */
	const char *hint;	/* part of it */
} bad[] = {
	{ "", 0, 0, "no command", "" },
	{ "   ", 0, 0, "no command", "" },
	{ "\n", 0, 0, "no command", "" },
	{ "2>&1", 0, 0, "no command", "" },
	{ "''", 0, 0, "name is empty", "" },
	{ "\"\" x", 0, 0, "name is empty", "" },
	/* lists */
	{ "a && b", 0, 2, "`&&`", "one command at a time" },
	{ "a&&b", 0, 1, "`&&`", "one command at a time" },
	{ "cd /srv && ls", 0, 8, "`&&`", "whole path" },
	{ "a || b", 0, 2, "`||`", "one command at a time" },
	{ "a; b", 0, 1, "`;`", "one command at a time" },
	{ "a ;", 0, 2, "`;`", "leave it out" },
	{ "a;", 0, 1, "`;`", "leave it out" },
	{ ";a", 0, 0, "`;`", "one command" },
	{ "a\nb", 0, 1, "newline", "one command at a time" },
	{ "a\n\nb", 0, 1, "newline", "" },
	{ "a 2>&1\nb", 0, 6, "newline", "" },
	{ "a | b", 0, 2, "pipeline", "one command" },
	{ "a|b", 0, 1, "pipeline", "" },
	{ "a |& b", 0, 2, "pipeline", "" },
	{ "a & b", 0, 2, "background", "" },
	{ "a &", 0, 2, "background", "" },
	{ "a&", 0, 1, "background", "" },
	{ "(a)", 0, 0, "subshell", "" },
	{ "{ a; }", 0, 0, "group", "" },
	{ "! a", 0, 0, "negation", "" },
	{ "if true", 0, 0, "compound", "one command" },
	{ "while true", 0, 0, "compound", "" },
	{ "for i in a", 0, 0, "compound", "" },
	{ "case x in", 0, 0, "compound", "" },
	{ "function f", 0, 0, "compound", "" },
	{ "time ls", 0, 0, "compound", "" },
	{ "coproc ls", 0, 0, "compound", "" },
	{ "A=1 ls", 0, 0, "variable", "" },
	{ "A='a b' ls", 0, 0, "variable", "" },
	{ "_x9= ls", 0, 0, "variable", "" },
	{ "A+=1 ls", 0, 0, "variable", "" },
	{ "A=1", 0, 0, "variable", "" },
	{ "2>&1 A=1 ls", 0, 5, "variable", "" },
	/* expansions */
	{ "ls ~", 0, 3, "`~`", "/" },
	{ "ls ~/a", 0, 3, "`~`", "" },
	{ "ls a~", 0, 4, "`~`", "" },
	{ "ls *", 0, 3, "`*`", "'grep' -e 'a b' f" },
	{ "ls a*b", 0, 4, "`*`", "" },
	{ "ls ?", 0, 3, "`?`", "eats one layer" },
	{ "ls [a]", 0, 3, "`[`", "" },
	{ "ls a]", 0, 4, "`]`", "" },
	{ "ls {a,b}", 0, 3, "`{`", "" },
	{ "ls a}", 0, 4, "`}`", "" },
	{ "ls $HOME", 0, 3, "`$`", "your own shell" },
	{ "ls a$", 0, 4, "`$`", "" },
	{ "ls $(id)", 0, 3, "`$(`", "" },
	{ "ls ${A}", 0, 3, "`$`", "" },
	{ "ls `id`", 0, 3, "backtick", "" },
	{ "ls \"$HOME\"", 0, 4, "`$` inside double quotes", "single quotes" },
	{ "ls \"a`id`\"", 0, 5, "` inside double quotes", "" },
	{ "ls \"$(id)\"", 0, 4, "`$` inside double quotes", "" },
	{ "ls #a", 0, 3, "`#`", "" },
	{ "ls a#b", 0, 4, "`#`", "" },
	{ "ls a!b", 0, 4, "`!`", "" },
	{ "ls ^a", 0, 3, "`^`", "" },
	{ "ls =ls", 0, 3, "`=`", "" },
	{ "=ls", 0, 0, "`=`", "" },
	{ "ls a(b", 0, 4, "`(`", "" },
	{ "ls b)", 0, 4, "`)`", "" },
	{ "<(id)", 0, 0, "`<`", "" },
	/* redirections */
	{ "a > f", 0, 2, "`>`", "/dev/null" },
	{ "a >f", 0, 2, "`>`", "" },
	{ "a >> f", 0, 2, "`>`", "" },
	{ "a < f", 0, 2, "`<`", "with stdin" },
	{ "a << EOF", 0, 2, "`<<`", "standard input" },
	{ "a <<< x", 0, 2, "`<<`", "" },
	{ "a >&2", 0, 2, "`>`", "" },
	{ "a &> f", 0, 2, "`&>`", ">/dev/null 2>&1" },
	{ "a &>/dev/null", 0, 2, "`&>`", "" },
	{ "a 1>/dev/null", 0, 3, "`>`", "" },
	{ "a >/dev/nullx", 0, 2, "`>`", "" },
	{ "a >/dev/null/x", 0, 2, "`>`", "" },
	{ "a >/dev/null;b", 0, 2, "`>`", "" },
	{ "a 2>&1x", 0, 3, "`>`", "" },
	{ "a 2>&11", 0, 3, "`>`", "" },
	{ "a 2>&2", 0, 3, "`>`", "" },
	{ "a 2>f", 0, 3, "`>`", "" },
	{ "a x2>&1", 0, 4, "`>`", "" },
	{ "a 22>&1", 0, 4, "`>`", "" },
	{ "a >|/dev/null", 0, 2, "`>`", "" },
	{ "a <>f", 0, 2, "`<`", "" },
	{ "a </dev/null", 0, 2, "`<`", "" },
	{ "a >'/dev/null'", 0, 2, "`>`", "" },
	/* quotes */
	{ "ls 'a", 0, 3, "never closed", "close it" },
	{ "ls \"a", 0, 3, "never closed", "" },
	{ "ls 'a\nb'", 0, 3, "newline inside", "" },
	{ "ls \"a\nb\"", 0, 3, "newline inside", "" },
	{ "ls \"a\\", 0, 5, "backslash", "" },
	{ "ls \"a\\nb\"", 0, 5, "backslash stands only", "\\\\" },
	{ "ls \"a\\ b\"", 0, 5, "backslash stands only", "" },
	{ "ls a\\", 0, 4, "nothing after it", "" },
	{ "ls a\\\nb", 0, 4, "before a newline", "one line" },
	/* bytes */
	{ "ls a\0b", 6, 4, "NUL", "" },
	{ "ls 'a\0b'", 8, 5, "NUL", "" },
	{ "ls \\\0", 5, 4, "NUL", "" },
	{ "\0", 1, 0, "NUL", "" },
	{ "ls a\rb", 0, 4, "U+000D", "newline alone" },
	{ "ls\r\n", 0, 2, "U+000D", "" },
	{ "ls \033[31m", 0, 3, "U+001B", "" },
	{ "ls '\033]52;c;x\007'", 0, 4, "U+001B", "" },
	{ "ls \x7f", 0, 3, "U+007F", "" },
	{ "ls 'a\tb'", 0, 5, "U+0009", "" },
	{ "ls a\\\tb", 0, 5, "U+0009", "" },
	{ "ls a\vb", 0, 4, "U+000B", "" },
	{ "ls \302\205", 0, 3, "U+0085", "" },
	{ "ls '\342\200\256evil'", 0, 4, "U+202E", "" },
	{ "ls \342\201\246x", 0, 3, "U+2066", "" },
	{ "ls '\342\200\250'", 0, 4, "U+2028", "" },
	{ "ls \330\234", 0, 3, "U+061C", "" },
	{ "ls \377", 0, 3, "0xff", "" },
	{ "ls '\300\200'", 0, 4, "0xc0", "" },
	{ "ls \355\240\200", 0, 3, "0xed", "" },
	{ "ls \364\220\200\200", 0, 3, "0xf4", "" },
	{ "ls a\303", 0, 4, "0xc3", "" },
	{ "ls\302\240-l", 0, 2, "U+00A0", "plain blank" },
	{ "ls \342\200\213x", 0, 3, "U+200B", "" },
	{ "\357\273\277ls", 0, 0, "U+FEFF", "" },
	{ "ls\343\200\200x", 0, 2, "U+3000", "" },
};

static void
t_command_parse_bad(void **state)
{
	struct command_error e;
	struct command *c;
	size_t n;
	int r;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		n = bad[i].n > 0 ? bad[i].n : strlen(bad[i].s);
		c = NULL;
		r = command_parse(bad[i].s, n, &c, &e);
		if (r != ERR_FORMAT || c != NULL)
			fail_msg("%zu: accepted: %s", i, bad[i].s);
		if (e.pos != bad[i].pos)
			fail_msg("%zu: %s: at %zu, not %zu: %s", i, bad[i].s,
			    e.pos, bad[i].pos, e.what);
		if (strstr(e.what, bad[i].what) == NULL ||
		    strstr(e.hint, bad[i].hint) == NULL)
			fail_msg("%zu: %s: %s (%s)", i, bad[i].s, e.what,
			    e.hint);
	}
}

/* Every byte, bare and within quotes: refused, or itself in argv. */
static void
t_command_parse_every_byte(void **state)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789_./:,@%+-=";
	struct command_error e;
	struct command *c;
	char s[8], q[8];
	bool ok;

	(void)state;
	for (int b = 1; b < 256; b++) {
		(void)snprintf(s, sizeof(s), "x a%c", b);
		(void)snprintf(q, sizeof(q), "x 'a%c'", b);
		c = NULL;
		ok = command_parse(s, strlen(s), &c, &e) == 0;
		command_free(c);
		if (strchr(" \t\n", b) == NULL &&
		    ok != (strchr(plain, b) != NULL))
			fail_msg("bare byte %02x", (unsigned int)b);
		c = NULL;
		ok = command_parse(q, strlen(q), &c, &e) == 0;
		if (b == '\'')
			assert_false(ok); /* closed, and opened again */
		else if (ok != (b >= ' ' && b <= '~'))
			fail_msg("quoted byte %02x", (unsigned int)b);
		if (ok)
			assert_int_equal(
			    (unsigned char)c->stage->argv[1][1], b);
		command_free(c);
	}
}

/* -- bounds -------------------------------------------------------------------- */

/* head, then n times c, then tail */
static int
parse_repeated(const char *head, const char *c, size_t n, const char *tail,
    struct command_error *e, struct command **out)
{
	size_t size = strlen(head) + strlen(c) * n + strlen(tail);
	char *s = malloc(size + 1), *p = s;
	int r;

	assert_non_null(s);
	memcpy(p, head, strlen(head));
	p += strlen(head);
	for (size_t i = 0; i < n; i++, p += strlen(c))
		memcpy(p, c, strlen(c));
	memcpy(p, tail, strlen(tail) + 1);
	r = command_parse(s, size, out, e);
	free(s);
	return r;
}

static void
t_command_parse_bounds(void **state)
{
	static const struct {
		const char *head, *c;
		size_t n;
		const char *tail;
		int r;
	} t[] = {
		{ "x ", "a", COMMAND_WORD_MAX, "", 0 },
		{ "x ", "a", COMMAND_WORD_MAX + 1, "", ERR_TOOBIG },
		{ "x '", "a", COMMAND_WORD_MAX, "'", 0 },
		{ "x '", "a", COMMAND_WORD_MAX + 1, "'", ERR_TOOBIG },
		{ "x '", "a", COMMAND_WORD_MAX + 1, "", ERR_TOOBIG },
		{ "x", " a", COMMAND_WORDS_MAX - 1, "", 0 },
		{ "x", " a", COMMAND_WORDS_MAX, "", ERR_TOOBIG },
		{ "x", " ", COMMAND_LEN_MAX - 1, "", 0 },
		{ "x", " ", COMMAND_LEN_MAX, "", ERR_TOOBIG },
		{ "", "a", 70000, "", ERR_TOOBIG },
		{ "", " ", COMMAND_LEN_MAX, "", ERR_FORMAT },
		/* short as it is sent, too long in its canonical form */
		{ "x ", "\\'\\ ", 10000, "", 0 },
		{ "x \"", "'\\$", 15000, "\"", ERR_TOOBIG },
	};
	struct command_error e;
	struct command *c;
	struct buf b;
	int r;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		c = NULL;
		r = parse_repeated(t[i].head, t[i].c, t[i].n, t[i].tail, &e, &c);
		if (r != t[i].r)
			fail_msg("%zu: %d: %s", i, r, e.what);
		buf_init(&b, 2 * COMMAND_LEN_MAX);
		if (r == 0)
			assert_int_equal(command_print(c, &b), 0);
		buf_clear(&b);
		command_free(c);
	}
}

/* A command that no parser made: printing must notice. */
static void
t_command_print_checks(void **state)
{
	static const char *const odd[] = { "a\nb", "a\033b", "\377", "a\tb" };
	char word[8], first[] = "x", *argv[3] = { first, word, NULL };
	struct stage g = { .argv = argv, .argc = 2 };
	struct command c = { .stage = &g, .nstage = 1 };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(odd); i++) {
		memcpy(word, odd[i], strlen(odd[i]) + 1);
		buf_init(&b, 4096);
		assert_int_equal(command_print(&c, &b), ERR_INTERNAL);
		assert_int_equal(buf_len(&b), 0);
		buf_clear(&b);
	}
}

/* -- messages ------------------------------------------------------------------ */

static void
message_of(const char *s, size_t n, struct buf *out)
{
	struct command_error e;
	struct command *c = NULL;

	assert_int_not_equal(command_parse(s, n, &c, &e), 0);
	assert_int_equal(command_error_print(s, n, &e, out), 0);
}

/* Every line begins with postern: and holds nothing that steers. */
static void
check_lines(struct buf *b)
{
	const char *s = buf_cstr(b);

	assert_true(*s != '\0' && s[strlen(s) - 1] == '\n');
	for (; *s != '\0'; s = strchr(s, '\n') + 1)
		assert_int_equal(strncmp(s, "postern:", 8), 0);
	for (s = buf_cstr(b); *s != '\0'; s++)
		assert_true(*s == '\n' || (unsigned char)*s >= ' ');
	assert_null(strstr(buf_cstr(b), "\302\205"));
	assert_null(strstr(buf_cstr(b), "\342\200\256"));
}

static void
t_command_error_print_caret(void **state)
{
	static const char want[] =
	    "postern:   systemctl restart $WEB\n"
	    "postern:                     ^\n"
	    "postern: hint: ";
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	message_of("systemctl restart $WEB", 22, &b);
	check_lines(&b);
	assert_int_equal(strncmp(buf_cstr(&b), want, strlen(want)), 0);
	assert_non_null(strstr(buf_cstr(&b), "\npostern: command not "
	    "understood at character 19: `$` expands a variable"));
	buf_reset(&b);
	message_of("gr\303\274n $A", 8, &b);
	assert_non_null(strstr(buf_cstr(&b), "at character 6:"));
	assert_non_null(strstr(buf_cstr(&b), "postern:        ^\n"));
	buf_clear(&b);
}

static void
t_command_error_print_hostile(void **state)
{
	static const char *const s[] = {
		"ls \033]0;owned\007", "a\033[2J $x", "\302\205 $", "x\r$y",
		"x '\342\200\256' $", "a\nb\nc",
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(s); i++) {
		buf_init(&b, 4096);
		message_of(s[i], strlen(s[i]), &b);
		check_lines(&b);
		buf_clear(&b);
	}
}

static void
t_command_error_print_long(void **state)
{
	static char s[60000];
	struct buf b;

	(void)state;
	memset(s, 'a', sizeof(s));
	for (size_t i = 0; i < sizeof(s); i += 100)
		s[i] = ' ';
	for (size_t at = 0; at < sizeof(s); at += 5999) {
		s[at] = '$';
		buf_init(&b, 4096);
		message_of(s, sizeof(s), &b);
		check_lines(&b);
		assert_true(buf_len(&b) < 1024);
		assert_non_null(strchr(buf_cstr(&b), '$'));
		assert_non_null(strchr(buf_cstr(&b), '^'));
		buf_clear(&b);
		s[at] = 'a';
	}
}

static void
t_command_free_null(void **state)
{
	(void)state;
	command_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_command_parse_good),
		cmocka_unit_test(t_command_print_table),
		cmocka_unit_test(t_command_parse_redirects),
		cmocka_unit_test(t_command_parse_bad),
		cmocka_unit_test(t_command_parse_every_byte),
		cmocka_unit_test(t_command_parse_bounds),
		cmocka_unit_test(t_command_print_checks),
		cmocka_unit_test(t_command_error_print_caret),
		cmocka_unit_test(t_command_error_print_hostile),
		cmocka_unit_test(t_command_error_print_long),
		cmocka_unit_test(t_command_free_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
