/*
 * The command parser.  Runs in policy on what jobs send, in signer on what it
 * is asked to certify, and at policy load on the strings of tests.  Every byte
 * is distrusted; what is not known to mean the same in every shell is refused.
 */
#include "config.h"

#include "policy/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/lex.h"

#define ONE_AT_A_TIME "one command at a time is accepted for now"

/* A command being built.  Each word's text takes at most its source's bytes
 * and the blank that ends it, so text never grows. */
struct builder {
	struct command *c;
	struct stage *s; /* the one being filled */
	char *text;
	size_t used;
	struct command_error *err;
};

/* Words that a shell would not run as a program. */
static bool
is_reserved(const char *w)
{
	static const char *const reserved[] = { "if", "then", "else", "elif",
		"fi", "for", "while", "until", "do", "done", "case", "esac",
		"select", "function", "time", "coproc" };

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (strcmp(w, reserved[i]) == 0)
			return true;
	}
	return false;
}

/* NAME=... or NAME+=... : an assignment when it comes first. */
static bool
is_assignment(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && ((s[i] >= 'a' && s[i] <= 'z') ||
	    (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' ||
	    (i > 0 && s[i] >= '0' && s[i] <= '9')))
		i++;
	if (i == 0)
		return false;
	if (i < n && s[i] == '+')
		i++;
	return i < n && s[i] == '=';
}

static int __attribute__((format(printf, 6, 7)))
fail(struct builder *b, int r, size_t pos, size_t len, const char *hint,
    const char *fmt, ...)
{
	va_list ap;

	b->err->pos = pos;
	b->err->len = len;
	va_start(ap, fmt);
	(void)vsnprintf(b->err->what, sizeof(b->err->what), fmt, ap);
	va_end(ap);
	(void)snprintf(b->err->hint, sizeof(b->err->hint), "%s", hint);
	return r;
}

/* Is there nothing but blanks and newlines from off on? */
static bool
rest_is_blank(const struct lex *l)
{
	for (size_t i = l->off; i < l->n; i++) {
		if (strchr(" \t\n", l->s[i]) == NULL || l->s[i] == '\0')
			return false;
	}
	return true;
}

/* The lexer's error, with a better hint where the parser knows more. */
static int
fail_token(struct builder *b, const struct lex *l, const struct lex_token *t)
{
	const struct stage *c = b->s;
	const char *hint = t->hint;
	bool and = strncmp(t->what, "`&&`", 4) == 0;

	if (and && c->argc > 0 && strcmp(c->argv[0], "cd") == 0)
		hint = ONE_AT_A_TIME ", so name files by their whole path "
		    "instead of going to a folder with cd";
	else if (l->s[t->pos.off] == ';' && rest_is_blank(l))
		hint = "nothing follows it: leave it out";
	return fail(b, t->nomem ? ERR_NOMEM : t->over ? ERR_TOOBIG : ERR_FORMAT,
	    t->pos.off, t->width, hint, "%s", t->what);
}

static int
check_first(struct builder *b, const struct lex *l, const struct lex_token *t)
{
	if (is_assignment(l->s + t->pos.off, t->width))
		return fail(b, ERR_FORMAT, t->pos.off, t->width, "leave it out "
		    "and give the value as an argument; quote it if it is the "
		    "program's name", "a variable is set in front of the "
		    "command, which is not accepted for now");
	if (!t->quoted && is_reserved(t->text))
		return fail(b, ERR_FORMAT, t->pos.off, t->width, ONE_AT_A_TIME
		    "; quote it if it is the program's name",
		    "`%s` begins a compound command", t->text);
	if (t->len == 0)
		return fail(b, ERR_FORMAT, t->pos.off, t->width, "name the "
		    "program first", "the program's name is empty");
	return 0;
}

static int
add_word(struct builder *b, const struct lex *l, const struct lex_token *t)
{
	struct stage *c = b->s;
	char *w = b->text + b->used;
	int r;

	if (c->argc == 0 && (r = check_first(b, l, t)) != 0)
		return r;
	if (c->argc >= COMMAND_WORDS_MAX)
		return fail(b, ERR_TOOBIG, t->pos.off, t->width, "",
		    "more than %d words", COMMAND_WORDS_MAX);
	memcpy(w, t->text, t->len + 1);
	b->used += t->len + 1;
	c->argv[c->argc++] = w;
	c->argv[c->argc] = NULL;
	return 0;
}

static void
redirect(struct command *c, enum lex_redirect what)
{
	switch (what) {
	case LEX_OUT_NULL:
		c->out_null = true;
		break;
	case LEX_ERR_NULL:
		c->err_null = true;
		c->err_to_out = false;
		break;
	case LEX_ERR_TO_OUT:
		c->err_null = c->out_null;
		c->err_to_out = !c->out_null;
		break;
	}
}

/* Takes words until the end of the text. */
static int
take_words(struct builder *b, struct lex *l)
{
	struct lex_token t;
	int r;

	for (;;) {
		lex_next(l, LEX_COMMAND, &t);
		if (t.kind == LEX_END)
			return 0;
		if (t.kind == LEX_NEWLINE) {
			if (b->s->argc == 0 || rest_is_blank(l))
				continue;
			return fail(b, ERR_FORMAT, t.pos.off, 1, ONE_AT_A_TIME
			    ": run ssh once for each line", "the newline begins "
			    "a second command");
		}
		if (t.kind == LEX_REDIRECT) {
			redirect(b->c, t.redirect);
			continue;
		}
		if (t.kind != LEX_WORD)
			return fail_token(b, l, &t);
		if ((r = add_word(b, l, &t)) != 0)
			return r;
	}
}

static bool
needs_quotes(const char *w, bool first)
{
	if (*w == '\0' || *w == '=')
		return true;
	if (first && (is_reserved(w) || is_assignment(w, strlen(w))))
		return true;
	while (lex_plain(*w))
		w++;
	return *w != '\0';
}

/* 'runs' in single quotes and \' between them.  out may be NULL: *n alone. */
static int
put_quoted(struct buf *out, const char *w, size_t *n)
{
	size_t run;
	int r;

	if (*w == '\0') {
		*n += 2;
		return out == NULL ? 0 : buf_put(out, "''", 2);
	}
	while (*w != '\0') {
		run = strcspn(w, "'");
		*n += run > 0 ? run + 2 : 2;
		if (out != NULL && (r = run > 0 ?
		    buf_putf(out, "'%.*s'", (int)run, w) :
		    buf_put(out, "\\'", 2)) != 0)
			return r;
		w += run > 0 ? run : 1;
	}
	return 0;
}

static int
put_word(struct buf *out, const char *w, bool first, size_t *n)
{
	if (needs_quotes(w, first))
		return put_quoted(out, w, n);
	*n += strlen(w);
	return out == NULL ? 0 : buf_put(out, w, strlen(w));
}

static const char *
redirections(const struct command *c)
{
	if (c->out_null)
		return c->err_null ? " >/dev/null 2>&1" :
		    c->err_to_out ? " 2>&1 >/dev/null" : " >/dev/null";
	return c->err_null ? " 2>/dev/null" : c->err_to_out ? " 2>&1" : "";
}

/* Everything that is printed must be short enough to be read again. */
static int
check_printed(struct builder *b, size_t n)
{
	const struct stage *c = b->s;
	size_t total = strlen(redirections(b->c)) + c->argc - 1;

	for (size_t i = 0; i < c->argc; i++)
		(void)put_word(NULL, c->argv[i], i == 0, &total);
	if (total > COMMAND_LEN_MAX)
		return fail(b, ERR_TOOBIG, 0, n, "", "once quoted, the command "
		    "is longer than %d bytes", COMMAND_LEN_MAX);
	return 0;
}

static int
command_new(size_t n, struct builder *b)
{
	/* one block: the command, its stage, the words' places, their text */
	struct block {
		struct command c;
		struct stage s;
		char *word[COMMAND_WORDS_MAX + 1];
	} *k = malloc(sizeof(*k) + n + 2);

	if (k == NULL)
		return ERR_NOMEM;
	k->c = (struct command){ .stage = &k->s, .nstage = 1, .len = n };
	k->s = (struct stage){ .argv = k->word, .assign = k->word };
	k->word[0] = NULL;
	b->c = &k->c;
	b->s = &k->s;
	b->text = (char *)(k + 1);
	return 0;
}

int
command_parse(const char *s, size_t n, struct command **out,
    struct command_error *err)
{
	struct builder b = { .err = err };
	struct lex l;
	int r = ERR_INTERNAL;

	*err = (struct command_error){ 0 };
	if (n > COMMAND_LEN_MAX)
		return fail(&b, ERR_TOOBIG, COMMAND_LEN_MAX, 1, "send long "
		    "input on standard input instead",
		    "the command is longer than %d bytes", COMMAND_LEN_MAX);
	if (command_new(n, &b) != 0)
		return fail(&b, ERR_NOMEM, 0, 0, "", "out of memory");
	lex_init(&l, 0, s, n, COMMAND_WORD_MAX);
	if ((r = take_words(&b, &l)) != 0)
		goto out;
	if (b.s->argc == 0) {
		r = fail(&b, ERR_FORMAT, 0, n, "write it behind the target: "
		    "ssh web-1@bastion systemctl is-active web",
		    "there is no command");
		goto out;
	}
	if ((r = check_printed(&b, n)) != 0)
		goto out;
	*out = b.c;
	b.c = NULL;
out:
	lex_clear(&l);
	command_free(b.c);
	return r;
}

void
command_free(struct command *c)
{
	free(c); /* the head of its one block */
}

int
command_print_place(const struct command *c, struct buf *out, size_t word,
    size_t *off, size_t *len)
{
	const char *tail = redirections(c);
	const struct stage *s = &c->stage[0];
	size_t n;
	int r;

	*off = *len = 0;
	/* MUST be whole: half a command is none that was decided on. */
	if (c->dir != NULL || c->nstage != 1 || s->nassign != 0)
		return ERR_FORMAT;
	for (size_t i = 0; i < s->argc; i++) {
		n = 0;
		if (i > 0 && (r = buf_put(out, " ", 1)) != 0)
			return r;
		if (i == word)
			*off = buf_len(out);
		if ((r = put_word(out, s->argv[i], i == 0, &n)) != 0)
			return r;
		if (i == word)
			*len = n;
	}
	if (word >= s->argc) {
		*off = buf_len(out);
		*len = 1;
	}
	return buf_put(out, tail, strlen(tail));
}

static bool
same(const struct command *a, const struct command *b)
{
	const struct stage *x = &a->stage[0], *y = &b->stage[0];

	if (x->argc != y->argc || a->err_to_out != b->err_to_out ||
	    a->out_null != b->out_null || a->err_null != b->err_null)
		return false;
	for (size_t i = 0; i < x->argc; i++) {
		if (strcmp(x->argv[i], y->argv[i]) != 0)
			return false;
	}
	return true;
}

int
command_print(const struct command *c, struct buf *out)
{
	struct command *again = NULL;
	struct command_error err;
	size_t off, len;
	struct buf b;
	int r;

	buf_init(&b, COMMAND_LEN_MAX);
	if ((r = command_print_place(c, &b, 0, &off, &len)) != 0)
		goto out;
	/* MUST read back alike: what is shown is what was decided on. */
	r = command_parse((const char *)buf_ptr(&b), buf_len(&b), &again, &err);
	if (r == 0)
		r = same(c, again) ? buf_put(out, buf_ptr(&b), buf_len(&b)) :
		    ERR_INTERNAL;
	else if (r != ERR_NOMEM)
		r = ERR_INTERNAL;
out:
	command_free(again);
	buf_clear(&b);
	return r;
}

int
command_error_print(const char *s, size_t n, const struct command_error *err,
    struct buf *out)
{
	size_t chars = 1;
	int r;

	for (size_t i = 0; i < err->pos && i < n; i++)
		chars += ((unsigned char)s[i] & 0xc0) != 0x80;
	if ((r = diag_excerpt(out, "postern:   ", s, n, err->pos,
	    err->len)) != 0)
		return r;
	if (*err->hint != '\0' &&
	    (r = buf_putf(out, "postern: hint: %s\n", err->hint)) != 0)
		return r;
	return buf_putf(out, "postern: command not understood at character "
	    "%zu: %s\n", chars, err->what);
}
