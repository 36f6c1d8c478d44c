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
	/* lists: t_list_parse_bad has the rest */
	{ "a && b", 0, 5, "second command", "" },
	{ "a\nb", 0, 2, "second command", "" },
	{ ";a", 0, 0, "before `;`", "leave it out" },
	{ "a |& b", 0, 3, "background", "" },
	{ "a & b", 0, 2, "background", "" },
	{ "a &", 0, 2, "background", "" },
	{ "a&", 0, 1, "background", "" },
	{ "(a)", 0, 0, "subshell", "" },
	{ "{ a; }", 0, 0, "group", "" },
	{ "! a", 0, 0, "negation", "" },
	{ "if true", 0, 0, "compound", "plain commands" },
	{ "while true", 0, 0, "compound", "" },
	{ "for i in a", 0, 0, "compound", "" },
	{ "case x in", 0, 0, "compound", "" },
	{ "function f", 0, 0, "compound", "" },
	{ "time ls", 0, 0, "compound", "" },
	{ "coproc ls", 0, 0, "compound", "" },
	{ "A+=1 ls", 0, 0, "`+=`", "whole value" },
	{ "A=1", 0, 0, "set alone", "in front of the command" },
	{ "A=1 B=2 2>&1", 0, 0, "set alone", "" },
	{ "A=1 if true", 0, 4, "compound", "" },
	{ "A=1 'B=2'", 0, 4, "no program's name", "" },
	{ "A=1 /a=b/x", 0, 4, "no program's name", "" },
	{ "A=1 ''", 0, 4, "name is empty", "" },
	{ "A=~ ls", 0, 2, "`~`", "" },
	{ "A=$B ls", 0, 2, "`$`", "" },
	{ "A=`b` ls", 0, 2, "backtick", "" },
	{ "A=(b) ls", 0, 2, "`(`", "" },
	{ "A[0]=b ls", 0, 1, "`[`", "" },
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
		if (strchr(" \t\n;", b) == NULL &&
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

/* -- lists, pipelines, folders, variables -------------------------------------
 */

/* What a list is, in short: `=` what printing it gives. */
static const struct {
	enum list_form form;
	const char *s;
	const char *shape; /* per command: connect, folder, stages, variables */
	const char *printed; /* NULL: as s */
} lists[] = {
	{ LIST_LINE, "a", "1", NULL },
	{ LIST_LINE, "a && b", "1 &1", NULL },
	{ LIST_LINE, "a&&b", "1 &1", "a && b" },
	{ LIST_LINE, "a || b", "1 |1", NULL },
	{ LIST_LINE, "a||b", "1 |1", "a || b" },
	{ LIST_LINE, "a; b", "1 ;1", NULL },
	{ LIST_LINE, "a;b;", "1 ;1", "a; b" },
	{ LIST_LINE, "a ;\n", "1", "a" },
	{ LIST_LINE, "a\nb\n\n c\n", "1 ;1 ;1", "a; b; c" },
	{ LIST_LINE, "a ;\n b", "1 ;1", "a; b" },
	{ LIST_LINE, "a &&\n b ||\n\n c", "1 &1 |1", "a && b || c" },
	{ LIST_LINE, "a && b || c; d", "1 &1 |1 ;1", NULL },
	{ LIST_LINE, "a 2>&1 && b >/dev/null; c", "1 &1 ;1", NULL },
	{ LIST_LINE, "a >/dev/null;b", "1 ;1", "a >/dev/null; b" },
	{ LIST_LINE, "a 2>&1||b", "1 |1", "a 2>&1 || b" },
	{ LIST_LINE, "x ';' '&&' '|' && y", "1 &1", NULL },
	{ LIST_SCRIPT, "a\nb\n", "1 n1", "a\nb" },
	{ LIST_SCRIPT, "a; b\nc ;\nd", "1 ;1 n1 n1", "a; b\nc\nd" },
	{ LIST_SCRIPT, "a &&\nb\nc", "1 &1 n1", "a && b\nc" },
	/* pipelines */
	{ LIST_LINE, "a | b", "2", NULL },
	{ LIST_LINE, "a|b -c|d", "3", "a | b -c | d" },
	{ LIST_LINE, "a |\n b", "2", "a | b" },
	{ LIST_LINE, "a | b && c | d", "2 &2", NULL },
	{ LIST_LINE, "A=1 a | B=2 C=3 b", "2+3", NULL },
	/* variables */
	{ LIST_LINE, "A=1 a", "1+1", NULL },
	{ LIST_LINE, "A=1 _b=2 a C=3", "1+2", NULL },
	{ LIST_LINE, "A='x y' a", "1+1", NULL },
	{ LIST_LINE, "A=\"x y\"z a", "1+1", "A='x yz' a" },
	{ LIST_LINE, "A= a", "1+1", NULL },
	{ LIST_LINE, "A='' a", "1+1", "A= a" },
	{ LIST_LINE, "A==b a", "1+1", NULL },
	{ LIST_LINE, "A='it'\\''s' a", "1+1", NULL },
	{ LIST_LINE, "A=1 'if'", "1+1", NULL },
	{ LIST_LINE, "2>&1 A=1 a", "1+1", "A=1 a 2>&1" },
	{ LIST_LINE, "A=1 a && a", "1+1 &1", NULL },
	/* folders */
	{ LIST_LINE, "cd /srv && a", "1/srv", NULL },
	{ LIST_LINE, "cd / && a", "1/", NULL },
	{ LIST_LINE, "cd -- /srv/app && a", "1/srv/app", "cd /srv/app && a" },
	{ LIST_LINE, "'cd' '/a b' && x", "1/a b", "cd '/a b' && x" },
	{ LIST_LINE, "cd /srv/...&&a", "1/srv/...", "cd /srv/... && a" },
	{ LIST_LINE, "cd /srv &&\n a", "1/srv", "cd /srv && a" },
	{ LIST_LINE, "cd /srv && a && b", "1/srv &1/srv",
	    "cd /srv && a && cd /srv && b" },
	{ LIST_LINE, "cd /srv && a | b && c", "2/srv &1/srv",
	    "cd /srv && a | b && cd /srv && c" },
	{ LIST_LINE, "cd /srv && a && cd /x && b", "1/srv &1/x", NULL },
	{ LIST_LINE, "cd /srv && a; cd /x && b", "1/srv ;1/x", NULL },
	{ LIST_LINE, "cd /srv && a\ncd /x && b", "1/srv ;1/x",
	    "cd /srv && a; cd /x && b" },
	{ LIST_LINE, "a && cd /srv && b", "1 &1/srv", NULL },
	{ LIST_LINE, "a; cd /srv && b", "1 ;1/srv", NULL },
	{ LIST_LINE, "a || b && cd /srv && c", "1 |1 &1/srv", NULL },
	{ LIST_LINE, "cd /srv && A=1 a 2>&1", "1/srv+1", NULL },
	{ LIST_SCRIPT, "cd /srv\na\nb\n", "1/srv n1/srv",
	    "cd /srv && a\ncd /srv && b" },
	{ LIST_SCRIPT, "a\n\ncd /srv && b\nc", "1 n1/srv n1/srv",
	    "a\ncd /srv && b\ncd /srv && c" },
	{ LIST_LINE, "x cd /srv && a", "1 &1", NULL },
};

static void
shape_of(const struct list *l, struct buf *out)
{
	static const char connect[] = { [CONNECT_FIRST] = ' ',
		[CONNECT_AND] = '&',
		[CONNECT_OR] = '|',
		[CONNECT_THEN] = ';',
		[CONNECT_LINE] = 'n' };

	for (size_t i = 0; i < l->n; i++) {
		const struct command *c = &l->command[i];
		size_t vars = 0;

		for (size_t k = 0; k < c->nstage; k++)
			vars += c->stage[k].nassign;
		if (i > 0)
			(void)buf_putf(out, " %c", connect[l->connect[i]]);
		(void)buf_putf(
		    out, "%zu%s", c->nstage, c->dir == NULL ? "" : c->dir);
		if (vars > 0)
			(void)buf_putf(out, "+%zu", vars);
	}
}

static void
list_is(
    enum list_form form, const char *s, const char *shape, const char *printed)
{
	struct command_error e;
	struct buf b, b2;
	struct list l;

	buf_init(&b, 4096);
	buf_init(&b2, 4096);
	if (list_parse(s, strlen(s), form, &l, &e) != 0)
		fail_msg("%s: %s at %zu", s, e.what, e.pos);
	assert_int_equal(l.connect[0], CONNECT_FIRST);
	shape_of(&l, &b);
	if (strcmp(buf_cstr(&b), shape) != 0)
		fail_msg("%s: %s", s, buf_cstr(&b));
	assert_int_equal(list_print(&l, &b2), 0);
	if (strcmp(buf_cstr(&b2), printed) != 0)
		fail_msg("%s: printed %s", s, buf_cstr(&b2));
	for (size_t i = 0; i < l.n; i++) {
		const struct command *c = &l.command[i];

		assert_true(c->pos < strlen(s) && c->len > 0 &&
			    c->pos + c->len <= strlen(s));
		assert_true(s[c->pos] != ' ' && s[c->pos + c->len - 1] != ' ');
		for (size_t k = 0; k < c->nstage; k++)
			assert_null(c->stage[k].argv[c->stage[k].argc]);
	}
	list_clear(&l);
	buf_clear(&b);
	buf_clear(&b2);
}

static void
t_list_parse_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(lists); i++) {
		const char *printed =
		    lists[i].printed == NULL ? lists[i].s : lists[i].printed;

		list_is(lists[i].form, lists[i].s, lists[i].shape, printed);
		list_is(lists[i].form, printed, lists[i].shape, printed);
	}
}

static const struct {
	enum list_form form;
	const char *s;
	size_t pos;
	const char *what, *hint;
} bad_lists[] = {
	{ LIST_LINE, "a &&", 2, "nothing follows the `&&`", "leave it out" },
	{ LIST_LINE, "a || \n", 2, "nothing follows the `||`", "" },
	{ LIST_LINE, "a |", 2, "nothing follows the `|`", "" },
	{ LIST_LINE, "&& a", 0, "before `&&`", "" },
	{ LIST_LINE, "a && || b", 5, "before `||`", "" },
	{ LIST_LINE, "a ;; b", 3, "before `;`", "quotes" },
	{ LIST_LINE, "a\n; b", 2, "before `;`", "" },
	{ LIST_LINE, "a | | b", 4, "before `|`", "" },
	{ LIST_LINE, "a ||| b", 4, "before `|`", "" },
	{ LIST_LINE, "a &&& b", 4, "background", "" },
	{ LIST_LINE, "a & b", 2, "background", "" },
	{ LIST_LINE, "a; 2>&1", 3, "no command", "" },
	{ LIST_LINE, "a && 2>&1 && b", 10, "before `&&`", "" },
	{ LIST_LINE, "a; A=1; b", 3, "set alone", "" },
	{ LIST_LINE, "a && if b", 5, "compound", "" },
	{ LIST_LINE, "a; then b", 3, "compound", "" },
	{ LIST_LINE, "a && ls $X", 8, "`$`", "" },
	/* one of a pipeline's redirections is none that the hop can do */
	{ LIST_LINE, "a 2>&1 | b", 0, "redirection in a pipeline", "whole" },
	{ LIST_LINE, "x && a | b >/dev/null", 5, "in a pipeline", "" },
	/* where would it run? */
	{ LIST_LINE, "cd /srv", 0, "nothing follows the `cd`", "cd DIR" },
	{ LIST_LINE, "cd /srv; a", 7, "only &&", "cd DIR && COMMAND" },
	{ LIST_LINE, "cd /srv\na", 7, "only &&", "" },
	{ LIST_LINE, "cd /srv || a", 8, "only &&", "" },
	{ LIST_LINE, "cd /srv && a; b", 14, "which folder", "again in front" },
	{ LIST_LINE, "cd /srv && a\nb", 13, "which folder", "" },
	{ LIST_LINE, "cd /srv && a || b", 16, "which folder", "" },
	{ LIST_LINE, "cd /srv && a || cd /x && b", 16, "behind `||`", "" },
	{ LIST_LINE, "a || cd /x && b", 5, "behind `||`", "" },
	{ LIST_LINE, "cd /a && cd /b && c", 9, "right behind", "" },
	{ LIST_LINE, "cd /a | b", 0, "`cd` in a pipeline", "" },
	{ LIST_LINE, "b | cd /a", 0, "`cd` in a pipeline", "" },
	{ LIST_LINE, "cd && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd - && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd -- && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd srv && a", 0, "one absolute path", "beginning" },
	{ LIST_LINE, "cd '' && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd /srv/ && a", 0, "one absolute path", "at its end" },
	{ LIST_LINE, "cd //srv && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd /srv/../x && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd /. && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd /a /b && a", 0, "one absolute path", "" },
	{ LIST_LINE, "cd -P /a && a", 0, "one absolute path", "" },
	{ LIST_LINE, "A=1 cd /a && a", 0, "nothing else", "" },
	{ LIST_LINE, "cd /a 2>&1 && a", 0, "nothing else", "" },
	{ LIST_SCRIPT, "cd /a; b", 5, "only &&", "" },
	{ LIST_SCRIPT, "a\ncd /a\n", 2, "nothing follows the `cd`", "" },
	{ LIST_SCRIPT, "cd /a\nb; c", 9, "which folder", "" },
	{ LIST_SCRIPT, "a\n# b\nc", 2, "`#`", "" },
	{ LIST_SCRIPT, "a <<X\n", 2, "`<<`", "" },
};

static void
t_list_parse_bad(void **state)
{
	struct command_error e;
	struct list l = { 0 };
	int r;

	(void)state;
	for (size_t i = 0; i < N(bad_lists); i++) {
		const char *s = bad_lists[i].s;

		r = list_parse(s, strlen(s), bad_lists[i].form, &l, &e);
		if (r != ERR_FORMAT || l.command != NULL)
			fail_msg("%s: accepted", s);
		if (e.pos != bad_lists[i].pos ||
		    strstr(e.what, bad_lists[i].what) == NULL ||
		    strstr(e.hint, bad_lists[i].hint) == NULL)
			fail_msg(
			    "%s: at %zu: %s (%s)", s, e.pos, e.what, e.hint);
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
		{ "x", "|x", COMMAND_STAGES_MAX - 1, "", 0 },
		{ "x", "|x", COMMAND_STAGES_MAX, "", ERR_TOOBIG },
		{ "", "A=1 ", COMMAND_ASSIGN_MAX, "x", 0 },
		{ "", "A=1 ", COMMAND_ASSIGN_MAX + 1, "x", ERR_TOOBIG },
		{ "cd /a && x", " a", COMMAND_WORDS_MAX - 1, "", 0 },
		{ "cd /a && x", " a", COMMAND_WORDS_MAX, "", ERR_TOOBIG },
		{ "cd", " /a", COMMAND_WORDS_MAX + 2, "", ERR_FORMAT },
		{ "cd", " /a", COMMAND_WORDS_MAX + 3, "", ERR_TOOBIG },
		{ "x", "|x", COMMAND_STAGES_MAX - 1, "", 0 },
		{ "x", "|x", COMMAND_STAGES_MAX, "", ERR_TOOBIG },
		{ "", "A=1 ", COMMAND_ASSIGN_MAX, "x", 0 },
		{ "", "A=1 ", COMMAND_ASSIGN_MAX + 1, "x", ERR_TOOBIG },
		{ "cd /a && x", " a", COMMAND_WORDS_MAX - 1, "", 0 },
		{ "cd /a && x", " a", COMMAND_WORDS_MAX, "", ERR_TOOBIG },
		{ "cd", " /a", COMMAND_WORDS_MAX + 2, "", ERR_FORMAT },
		{ "cd", " /a", COMMAND_WORDS_MAX + 3, "", ERR_TOOBIG },
		{ "cd /a && ", "x|", COMMAND_STAGES_MAX - 1, "x", 0 },
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

/* Of lists: commands, words of all of them, folders that are printed again. */
/* A folder from elsewhere counts as if a `cd` had stood there. */
static void
t_list_enter(void **state)
{
	static const char text[] = "ls; cd /b && ls";
	char *dir = malloc(COMMAND_LEN_MAX);
	struct command_error e;
	struct list l;
	struct buf out;

	(void)state;
	assert_non_null(dir);
	memset(dir, 'd', COMMAND_LEN_MAX - 1);
	dir[0] = '/';
	dir[COMMAND_LEN_MAX - 1] = '\0';
	assert_int_equal(
	    list_parse(text, sizeof(text) - 1, LIST_LINE, &l, &e), 0);
	assert_int_equal(list_enter(&l, NULL, &e), 0);
	assert_null(l.command[0].dir);
	assert_int_equal(list_enter(&l, dir, &e), ERR_TOOBIG);
	assert_true(strlen(e.what) > 0);
	dir[100] = '\0';
	assert_int_equal(list_enter(&l, dir, &e), 0);
	assert_string_equal(l.command[0].dir, dir);
	assert_string_equal(l.command[1].dir, "/b");
	buf_init(&out, COMMAND_LEN_MAX);
	assert_int_equal(command_print(&l.command[0], &out), 0);
	buf_clear(&out);
	list_clear(&l);
	free(dir);
}

static void
t_list_parse_bounds(void **state)
{
	static const struct {
		const char *head, *c;
		size_t n;
		const char *tail;
		int r;
	} t[] = {
		{ "x", ";x", COMMAND_LIST_MAX - 1, "", 0 },
		{ "x", ";x", COMMAND_LIST_MAX, "", ERR_TOOBIG },
		{ "x", "\nx", COMMAND_LIST_MAX - 1, "\n;", ERR_TOOBIG },
		{ "x", "\nx", COMMAND_LIST_MAX - 1, ";\n", 0 },
		{ "cd /a && x", "&&cd /a && x", COMMAND_LIST_MAX - 1, "", 0 },
		{ "x", "&&x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x",
		    COMMAND_LIST_MAX - 1, "", 0 },
		{ "x x x x", "&&x x x x x x x x x x x x x x x x x", 60, "", 0 },
		{ "x x x x x", "&&x x x x x x x x x x x x x x x x x", 60, "",
		    ERR_TOOBIG },
		{ "x|x|x", "&&x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x",
		    COMMAND_LIST_MAX - 1, "", 0 },
		{ "cd /", "aaaa/", 1200,
		    "a && x && x && x && x && x && x && x "
		    "&& x && x && x && x && x && x && x && x && x",
		    ERR_TOOBIG },
	};
	struct command_error e;
	struct list l;
	struct buf in, b;
	int r;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		buf_init(&in, COMMAND_LEN_MAX);
		(void)buf_put(&in, t[i].head, strlen(t[i].head));
		for (size_t k = 0; k < t[i].n; k++)
			(void)buf_put(&in, t[i].c, strlen(t[i].c));
		(void)buf_put(&in, t[i].tail, strlen(t[i].tail));
		r = list_parse(buf_cstr(&in), buf_len(&in), LIST_LINE, &l, &e);
		if (r != t[i].r)
			fail_msg("%zu: %d: %s", i, r, e.what);
		buf_init(&b, COMMAND_LEN_MAX);
		if (r == 0) {
			assert_int_equal(list_print(&l, &b), 0);
			list_clear(&l);
		}
		buf_clear(&b);
		buf_clear(&in);
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
		cmocka_unit_test(t_list_parse_good),
		cmocka_unit_test(t_list_parse_bad),
		cmocka_unit_test(t_list_parse_bounds),
		cmocka_unit_test(t_list_enter),
		cmocka_unit_test(t_command_parse_bounds),
		cmocka_unit_test(t_command_print_checks),
		cmocka_unit_test(t_command_error_print_caret),
		cmocka_unit_test(t_command_error_print_hostile),
		cmocka_unit_test(t_command_error_print_long),
		cmocka_unit_test(t_command_free_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
