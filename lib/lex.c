/*
 * The lexer of policies, postern.conf and jobs' commands.  Used by policy, by
 * the parent (postern.conf) and by the command line tools.  Commands come from
 * jobs and are distrusted byte for byte; every refusal names its place.
 */
#include "config.h"

#include "lib/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"

#define QUOTE_HINT                                                           \
	"quote it, and the whole command once more, since your own shell "   \
	"eats one layer of quotes: ssh web-1@bastion -- "                    \
	"\"'grep' -e 'a b' f\""

/* Characters that a shell gives a meaning when they stand without quotes. */
static const struct refused {
	const char *s;		/* longest first */
	const char *what;
	const char *hint;	/* in a job's command */
	const char *run;	/* in a rule */
} refused[] = {
	/* operators of a job's command; it never gets here with them */
	{ "&&", "`&&` begins a second command", "",
	    "a rule holds one command a line: write a second `run` line" },
	{ "&>", "`&>` redirects output", "write >/dev/null 2>&1", NULL },
	{ "&", "`&` runs a command in the background",
	    "leave it out: an operation ends when its command does; a `&` "
	    "meant as text needs quotes: '&'",
	    NULL },
	{ "$(", "`$(` runs another command",
	    "run that one by itself first, "
	    "or let your own shell do it before ssh sends the command: "
	    "ssh ... \"... $(...)\"",
	    NULL },
	{ "$", "`$` expands a variable, which is never done here",
	    "let your own shell put the value in: ssh ... \"... $NAME\" with "
	    "double "
	    "quotes; a `$` meant as text needs single quotes inside: '$'",
	    "write a slot, as <enum a b>, or quote it: '$'" },
	{ "`", "a backtick runs another command",
	    "run that one by itself "
	    "first; a backtick meant as text needs single quotes inside",
	    NULL },
	{ "<<", "`<<` begins a here-document",
	    "send the text on standard input: the rule must say `with stdin`",
	    NULL },
	{ "<", "`<` redirects input",
	    "redirect on your own side, ssh ... < FILE: the rule must say "
	    "`with stdin`",
	    NULL },
	{ ">", "`>` redirects output to a file",
	    "only 2>&1, >/dev/null and 2>/dev/null are accepted; a file of "
	    "your "
	    "own: ssh ... > FILE",
	    NULL },
	{ "~", "an unquoted `~` stands for a home directory",
	    "write the path out, beginning with /", "write the path out" },
	{ "*",
	    "an unquoted `*` is a file name pattern, and none is expanded "
	    "here",
	    QUOTE_HINT,
	    "a rule has no wildcards: write a slot, as <enum a b> or <any>" },
	{ "?",
	    "an unquoted `?` is a file name pattern, and none is expanded "
	    "here",
	    QUOTE_HINT,
	    "a rule has no wildcards: write a slot, as <enum a b> or <any>" },
	{ "[", "an unquoted `[` begins a file name pattern", QUOTE_HINT, NULL },
	{ "]", "an unquoted `]` ends a file name pattern", QUOTE_HINT, NULL },
	{ "{", "an unquoted `{` is a brace expansion or a group of commands",
	    QUOTE_HINT, "quote it: '{'" },
	{ "}", "an unquoted `}` is a brace expansion or a group of commands",
	    QUOTE_HINT, NULL },
	{ "(", "an unquoted `(` begins a subshell", QUOTE_HINT, NULL },
	{ ")", "an unquoted `)` ends a subshell", QUOTE_HINT, NULL },
	{ "#", "an unquoted `#` begins a comment in a shell", QUOTE_HINT,
	    "quote it: '#', or put a blank before a comment" },
	{ "!", "an unquoted `!` is history or negation in a shell", QUOTE_HINT,
	    "quote it: '!'" },
	{ "^", "an unquoted `^` has a meaning of its own in some shells",
	    QUOTE_HINT, "quote it: '^'" },
};

void
lex_init(struct lex *l, unsigned int file, const char *s, size_t n,
    size_t word_max)
{
	*l = (struct lex){ .s = s, .n = n, .file = file, .line = 1, .col = 1,
		.last = SIZE_MAX };
	buf_init(&l->word, word_max);
}

void
lex_clear(struct lex *l)
{
	buf_clear(&l->word);
}

bool
lex_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr("_./:,@%+-=", c));
}

static bool
policy_char(char c, enum lex_mode mode)
{
	if (c == '=')
		return mode == LEX_SLOT;
	return lex_plain(c) || c == '*';
}

static bool
at_end(const struct lex *l)
{
	return l->off >= l->n;
}

static char
peek(const struct lex *l)
{
	return at_end(l) ? '\0' : l->s[l->off];
}

static bool
looking_at(const struct lex *l, const char *s)
{
	size_t n = strlen(s);

	return n <= l->n - l->off && memcmp(l->s + l->off, s, n) == 0;
}

/* Moves over n bytes of one line. */
static void
step(struct lex *l, size_t n)
{
	for (; n > 0 && !at_end(l); n--, l->off++) {
		if (((unsigned char)l->s[l->off] & 0xc0) != 0x80)
			l->col++;
	}
}

bool
lex_accept(struct lex *l, const char *s)
{
	if (!looking_at(l, s))
		return false;
	step(l, strlen(s));
	l->last = l->off;
	return true;
}

static struct pos
here(const struct lex *l)
{
	return (struct pos){ .file = l->file, .line = l->line, .col = l->col,
		.off = l->off };
}

/* An error at a place; the lexer goes on wherever it stands. */
static void __attribute__((format(printf, 5, 6)))
error_at(struct lex_token *t, const struct pos *at, size_t width,
    const char *hint, const char *fmt, ...)
{
	va_list ap;

	t->kind = LEX_ERROR;
	t->pos = *at;
	t->width = width;
	va_start(ap, fmt);
	(void)vsnprintf(t->what, sizeof(t->what), fmt, ap);
	va_end(ap);
	(void)snprintf(t->hint, sizeof(t->hint), "%s", hint);
}

/* Reads one character of plain text; false: it is refused, t says why. */
static bool
text_char(struct lex *l, struct lex_token *t, uint32_t *cp, size_t *len)
{
	const uint8_t *p = (const uint8_t *)l->s + l->off;
	struct pos at = here(l);
	size_t k = utf8_next(p, l->n - l->off, cp);

	*len = k;
	if (k == 0) {
		step(l, 1);
		error_at(t, &at, 1, "", "the byte 0x%02x is not valid UTF-8",
		    *p);
		return false;
	}
	if (*cp == 0) {
		step(l, 1);
		error_at(t, &at, 1, "", "a NUL byte");
		return false;
	}
	if (utf8_is_control(*cp)) {
		step(l, k);
		error_at(t, &at, k,
		    *cp == '\r' ? "end lines with a newline alone" :
		    *cp == '\t' ? "a tab may only stand between words" : "",
		    "the control character U+%04X", (unsigned int)*cp);
		return false;
	}
	return true;
}

/* Looks like a blank, or like nothing, but parts no words. */
static bool
is_invisible(uint32_t cp)
{
	return cp == 0xa0 || cp == 0xad || cp == 0x1680 || cp == 0x180e ||
	    (cp >= 0x2000 && cp <= 0x200d) || cp == 0x202f || cp == 0x205f ||
	    (cp >= 0x2060 && cp <= 0x2064) || cp == 0x3000 || cp == 0xfeff;
}

/* Takes n bytes into the token's text. */
static bool
keep(struct lex *l, struct lex_token *t, size_t n)
{
	int r = buf_put(&l->word, l->s + l->off, n);

	if (r == 0) {
		step(l, n);
		return true;
	}
	error_at(t, &t->pos, 1, "", r == ERR_TOOBIG ?
	    "a word is longer than %zu bytes" : "out of memory (%zu)",
	    l->word.max);
	t->over = r == ERR_TOOBIG;
	t->nomem = r != ERR_TOOBIG;
	l->nomem |= t->nomem;
	while (!at_end(l) && peek(l) != '\n')
		step(l, 1);
	return false;
}

/* Skips blanks and comments; false when a comment holds what it may not. */
static bool
skip_blanks(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	uint32_t cp;
	size_t k;

	while (peek(l) == ' ' || peek(l) == '\t')
		step(l, 1);
	if (mode == LEX_COMMAND || peek(l) != '#')
		return true;
	if (mode != LEX_POLICY && l->off == l->last)
		return true; /* glued to a word: refused as a part of it */
	while (!at_end(l) && peek(l) != '\n') {
		if (peek(l) == '\t') {
			step(l, 1);
			continue;
		}
		if (!text_char(l, t, &cp, &k))
			return false;
		step(l, k);
	}
	return true;
}

/* Reads one quoted character; the quotes are a `'`, a `"` of a command
 * (shell) or a `"` of the policy, where only \" and \\ are escapes. */
static bool
quoted_char(struct lex *l, struct lex_token *t, char quote, bool shell)
{
	struct pos at = here(l);
	char next;
	uint32_t cp;
	size_t k;

	if (quote == '"' && peek(l) == '\\') {
		next = l->off + 1 < l->n ? l->s[l->off + 1] : '\0';
		if (next != '"' && next != '\\' &&
		    !(shell && (next == '$' || next == '`'))) {
			step(l, 1);
			error_at(t, &at, 1, shell ?
			    "write \\\\ for a backslash, or use single quotes" :
			    "write \\\\ for a backslash",
			    "inside double quotes a backslash stands only "
			    "before %s", shell ? "\" \\ $ or a backtick" :
			    "\" or \\");
			return false;
		}
		step(l, 1);
		return keep(l, t, 1);
	}
	if (shell && quote == '"' && (peek(l) == '$' || peek(l) == '`')) {
		next = peek(l);
		step(l, 1);
		error_at(t, &at, 1, "use single quotes, or put a backslash "
		    "before it", "`%c` inside double quotes is expanded by a "
		    "shell, never here", next);
		return false;
	}
	return text_char(l, t, &cp, &k) && keep(l, t, k);
}

/* A quoted piece; the lexer stands on the opening quote. */
static bool
quoted_piece(struct lex *l, struct lex_token *t, bool shell)
{
	struct pos open = here(l);
	char quote = peek(l);

	step(l, 1);
	t->quoted = true;
	while (peek(l) != quote || at_end(l)) {
		if (at_end(l)) {
			error_at(t, &open, 1, "close it", "the quote %c is "
			    "never closed", quote);
			return false;
		}
		if (peek(l) == '\n') {
			error_at(t, &open, 1, "close it on the same line",
			    "a newline inside the quotes that begin with %c",
			    quote);
			return false;
		}
		if (!quoted_char(l, t, quote, shell))
			return false;
	}
	step(l, 1);
	return true;
}

/* Skips the rest of a quoted piece that was found faulty, so that the quote
 * which closes it is not taken for one that opens. */
static void
skip_quoted(struct lex *l, char quote)
{
	bool escaped = false;

	for (; !at_end(l) && peek(l) != '\n'; step(l, 1)) {
		if (peek(l) == quote && !escaped) {
			step(l, 1);
			return;
		}
		escaped = quote == '"' && peek(l) == '\\' && !escaped;
	}
}

static bool
refuse(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	struct pos at = here(l);
	const struct refused *f;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		f = &refused[i];
		if (!looking_at(l, f->s))
			continue;
		step(l, strlen(f->s));
		error_at(t, &at, strlen(f->s), mode == LEX_COMMAND ? f->hint :
		    f->run != NULL ? f->run : "quote it", "%s", f->what);
		return false;
	}
	step(l, 1);
	error_at(t, &at, 1, "quote it", "an unquoted `%c`", l->s[at.off]);
	return false;
}

static bool
backslash(struct lex *l, struct lex_token *t)
{
	struct pos at = here(l);
	uint32_t cp;
	size_t k;

	step(l, 1);
	if (at_end(l)) {
		error_at(t, &at, 1, "write \\\\ or '\\' for a backslash",
		    "a backslash with nothing after it");
		return false;
	}
	if (peek(l) == '\n') {
		error_at(t, &at, 1, "write the command on one line",
		    "a backslash before a newline");
		return false;
	}
	t->quoted = true;
	return text_char(l, t, &cp, &k) && keep(l, t, k);
}

static const struct {
	const char *s; /* longest first */
	enum lex_op op;
} operators[] = {
	{ "&&", LEX_AND },
	{ "||", LEX_OR },
	{ ";", LEX_SEMICOLON },
	{ "|", LEX_PIPE },
};

static bool
operator(struct lex *l, struct lex_token *t)
{
	size_t n = sizeof(operators) / sizeof(operators[0]), i = 0;

	while (i < n && !looking_at(l, operators[i].s))
		i++;
	if (i == n)
		return false;
	t->kind = LEX_OPERATOR;
	t->op = operators[i].op;
	step(l, strlen(operators[i].s));
	return true;
}

static bool
word_ends(const struct lex *l, enum lex_mode mode)
{
	char c = peek(l);

	if (at_end(l) || c == ' ' || c == '\t' || c == '\n')
		return true;
	if (mode == LEX_COMMAND)
		return c == ';' || c == '|' || looking_at(l, "&&");
	return mode == LEX_RUN && c != '\0' && strchr("<>()[]|;}", c) != NULL;
}

/* One character of a command's word, quoted or not. */
static bool
shell_char(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	struct pos at = here(l);
	char c = peek(l);
	uint32_t cp;
	size_t k;

	if (c == '\'' || c == '"')
		return quoted_piece(l, t, true);
	if (c == '\\')
		return backslash(l, t);
	if (c == '=' && l->off == t->pos.off && mode == LEX_COMMAND) {
		step(l, 1);
		error_at(t, &at, 1, "quote it: '='", "an unquoted `=` at the "
		    "start of a word has a meaning of its own in some shells");
		return false;
	}
	if (lex_plain(c))
		return keep(l, t, 1);
	if (!text_char(l, t, &cp, &k))
		return false;
	if (cp < 0x80)
		return refuse(l, mode, t);
	if (is_invisible(cp)) {
		step(l, k);
		error_at(t, &at, k, "write a plain blank, or quote it",
		    "U+%04X looks like a blank or like nothing",
		    (unsigned int)cp);
		return false;
	}
	return keep(l, t, k);
}

/* 2>&1, >/dev/null, 2>/dev/null, with or without blanks before the path. */
static bool
redirection(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	static const char null[] = "/dev/null";
	struct lex ahead = *l;
	bool err = peek(l) == '2';

	if (err)
		step(&ahead, 1);
	if (!lex_accept(&ahead, ">"))
		return false;
	if (err && lex_accept(&ahead, "&1")) {
		t->redirect = LEX_ERR_TO_OUT;
	} else {
		while (peek(&ahead) == ' ' || peek(&ahead) == '\t')
			step(&ahead, 1);
		if (!lex_accept(&ahead, null))
			return false;
		t->redirect = err ? LEX_ERR_NULL : LEX_OUT_NULL;
	}
	/* What follows at once would belong to the same word. */
	if (!word_ends(&ahead, mode))
		return false;
	l->off = ahead.off;
	l->col = ahead.col;
	t->kind = LEX_REDIRECT;
	return true;
}

static void
shell_token(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	if (redirection(l, mode, t) || (mode == LEX_COMMAND && operator(l, t)))
		return;
	if (mode == LEX_RUN && word_ends(l, mode)) {
		t->kind = LEX_PUNCT;
		t->punct = peek(l);
		step(l, 1);
		return;
	}
	t->kind = LEX_WORD;
	while (t->kind == LEX_WORD && !word_ends(l, mode)) {
		if (!shell_char(l, mode, t))
			return;
	}
}

static void
policy_token(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	struct pos at = here(l);
	char c = peek(l);
	uint32_t cp;
	size_t k;

	if (c == '"' || c == '\'') {
		t->kind = c == '"' ? LEX_STRING : LEX_RAW;
		if (!quoted_piece(l, t, false))
			skip_quoted(l, c);
		return;
	}
	if (c != '\0' && strchr("{};=|<>()[]", c) != NULL &&
	    !policy_char(c, mode)) {
		t->kind = LEX_PUNCT;
		t->punct = c;
		step(l, 1);
		return;
	}
	if (!policy_char(c, mode)) {
		if (!text_char(l, t, &cp, &k))
			return;
		step(l, k);
		if (cp < 0x80)
			error_at(t, &at, k, "quote it", "`%c` has no meaning "
			    "here", c);
		else
			error_at(t, &at, k, "", "U+%04X may stand only in "
			    "strings and comments", (unsigned int)cp);
		return;
	}
	t->kind = LEX_WORD;
	while (policy_char(peek(l), mode)) {
		if (!keep(l, t, 1))
			return;
	}
	if (peek(l) == '#') {
		at = here(l);
		step(l, 1);
		error_at(t, &at, 1, "put a blank before a comment",
		    "`#` inside a word");
	}
}

void
lex_next(struct lex *l, enum lex_mode mode, struct lex_token *t)
{
	*t = (struct lex_token){ .kind = LEX_ERROR, .pos = here(l) };
	buf_reset(&l->word);
	if (!skip_blanks(l, mode, t))
		return;
	t->pos = here(l);
	t->glued = l->off == l->last;
	if (at_end(l)) {
		t->kind = LEX_END;
	} else if (peek(l) == '\n') {
		t->kind = LEX_NEWLINE;
		t->glued = false;
		l->off++;
		l->line++;
		l->col = 1;
	} else if (mode == LEX_RUN || mode == LEX_COMMAND) {
		shell_token(l, mode, t);
	} else {
		policy_token(l, mode, t);
	}
	l->last = t->kind == LEX_NEWLINE ? SIZE_MAX : l->off;
	if (t->kind == LEX_ERROR)
		return;
	t->width = t->kind == LEX_NEWLINE ? 1 : l->off - t->pos.off;
	t->len = buf_len(&l->word);
	t->text = "";
	/* The end stays the end, also without memory: callers wait for it. */
	if ((t->kind == LEX_WORD || t->kind == LEX_STRING ||
	    t->kind == LEX_RAW) && (t->text = buf_cstr(&l->word)) == NULL) {
		error_at(t, &t->pos, 1, "", "out of memory");
		t->nomem = l->nomem = true;
	}
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int
number_unit(const char *s, const struct unit *u, size_t n, uint64_t max,
    uint64_t *out)
{
	size_t digits = strspn(s, "0123456789");
	char number[24];
	uint64_t v;
	int r;

	if (digits == 0 || digits >= sizeof(number))
		return ERR_FORMAT;
	memcpy(number, s, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (strcmp(s + digits, u[i].name) != 0)
			continue;
		if ((r = num_parse(number, 1, UINT64_MAX, &v)) != 0)
			return r;
		if (__builtin_mul_overflow(v, u[i].factor, &v) || v > max)
			return ERR_TOOBIG;
		*out = v;
		return 0;
	}
	return ERR_FORMAT;
}

int
lex_duration(const char *s, uint64_t max, uint64_t *seconds)
{
	static const struct unit units[] = { { "s", 1 }, { "m", 60 },
		{ "h", 3600 }, { "d", 86400 } };

	return number_unit(s, units, sizeof(units) / sizeof(units[0]), max,
	    seconds);
}

int
lex_size(const char *s, uint64_t max, uint64_t *bytes)
{
	static const struct unit units[] = { { "B", 1 }, { "KiB", 1 << 10 },
		{ "MiB", 1 << 20 }, { "GiB", 1 << 30 } };

	return number_unit(s, units, sizeof(units) / sizeof(units[0]), max,
	    bytes);
}
