/*
 * The canonical spelling of commands, and what a job is told of one that was
 * not understood.  Runs where the parser does; whatever is printed is parsed
 * again before anybody sees it.
 */
#include "config.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/lex.h"
#include "policy/command.h"
#include "policy/command_internal.h"

/* Where text goes: a buffer, or nowhere, and only its length counts. */
struct printer {
	struct buf *out; /* may be NULL */
	size_t n;
	int r; /* the first thing that went wrong */
};

static void
put(struct printer *p, const char *s, size_t n)
{
	p->n += n;
	if (p->out != NULL && p->r == 0)
		p->r = buf_put(p->out, s, n);
}

static void
put_text(struct printer *p, const char *s)
{
	put(p, s, strlen(s));
}

/* 'runs' in single quotes and \' between them. */
static void
put_quoted(struct printer *p, const char *w)
{
	size_t run;

	if (*w == '\0')
		put_text(p, "''");
	while (*w != '\0') {
		run = strcspn(w, "'");
		put_text(p, run > 0 ? "'" : "\\");
		put(p, w, run > 0 ? run : 1);
		put_text(p, run > 0 ? "'" : "");
		w += run > 0 ? run : 1;
	}
}

static bool
all_plain(const char *w)
{
	while (lex_plain(*w))
		w++;
	return *w == '\0';
}

static void
put_word(struct printer *p, const char *w, bool first)
{
	if (*w == '\0' || *w == '=' || !all_plain(w) ||
	    (first && (word_reserved(w) || word_assigns(w, strlen(w)))))
		put_quoted(p, w);
	else
		put_text(p, w);
}

/* NAME=, which MUST stand without quotes, and the value. */
static void
put_assign(struct printer *p, const char *w)
{
	const char *value = w + strcspn(w, "=");

	value += *value == '=';
	put(p, w, (size_t)(value - w));
	if (!all_plain(value))
		put_quoted(p, value);
	else
		put_text(p, value);
}

static void
put_redirections(struct printer *p, const struct command *c)
{
	put_text(p, !c->out_null    ? (c->err_null        ? " 2>/dev/null"
					  : c->err_to_out ? " 2>&1"
							  : "")
		    : c->err_null   ? " >/dev/null 2>&1"
		    : c->err_to_out ? " 2>&1 >/dev/null"
				    : " >/dev/null");
}

/* One that is looked for while printing. */
struct spot {
	size_t word; /* still to be passed; SIZE_MAX: none */
	size_t off, len;
};

static void
put_stage(struct printer *p, const struct stage *s, struct spot *spot)
{
	for (size_t i = 0; i < s->nassign; i++) {
		put_assign(p, s->assign[i]);
		put_text(p, " ");
	}
	for (size_t i = 0; i < s->argc; i++) {
		size_t from;

		put_text(p, i > 0 ? " " : "");
		from = p->n;
		put_word(p, s->argv[i], i == 0);
		if (spot->word == 0) {
			spot->off = from;
			spot->len = p->n - from;
		}
		spot->word -= spot->word != SIZE_MAX;
	}
}

static void
put_command(struct printer *p, const struct command *c, struct spot *spot)
{
	if (c->dir != NULL) {
		put_text(p, "cd ");
		put_word(p, c->dir, false);
		put_text(p, " && ");
	}
	for (size_t i = 0; i < c->nstage; i++) {
		put_text(p, i > 0 ? " | " : "");
		put_stage(p, &c->stage[i], spot);
	}
	if (spot->word == 0) { /* behind the last */
		spot->off = p->n;
		spot->len = 1;
	}
	put_redirections(p, c);
}

static void
put_list(struct printer *p, const struct list *l)
{
	static const char *const text[] = { [CONNECT_FIRST] = "",
		[CONNECT_AND] = " && ",
		[CONNECT_OR] = " || ",
		[CONNECT_THEN] = "; ",
		[CONNECT_LINE] = "\n" };
	struct spot none = { .word = SIZE_MAX };

	for (size_t i = 0; i < l->n; i++) {
		put_text(p, text[l->connect[i]]);
		put_command(p, &l->command[i], &none);
	}
}

size_t
list_printed_len(const struct list *l)
{
	struct printer p = { 0 };

	put_list(&p, l);
	return p.n;
}

int
command_print_place(const struct command *c, struct buf *out, size_t word,
    size_t *off, size_t *len)
{
	struct printer p = { .out = out };
	struct spot spot = { .word = word };
	const size_t before = buf_len(out);

	put_command(&p, c, &spot);
	*off = before + spot.off;
	*len = spot.len;
	return p.r;
}

int
word_print(const char *word, struct buf *out)
{
	struct printer p = { .out = out };

	put_word(&p, word, false);
	return p.r;
}

int
assigns_print(const char *const *v, size_t n, struct buf *out)
{
	struct printer p = { .out = out };

	for (size_t i = 0; i < n; i++) {
		put_text(&p, i > 0 ? " " : "");
		put_assign(&p, v[i]);
	}
	return p.r;
}

/* -- what is printed is read again --------------------------------------------
 */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_words(char *const *a, size_t na, char *const *b, size_t nb)
{
	for (size_t i = 0; na == nb && i < na; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return na == nb;
}

static bool
same(const struct command *a, const struct command *b)
{
	const struct stage *x = a->stage, *y = b->stage;

	if (!same_text(a->dir, b->dir) || a->nstage != b->nstage ||
	    a->err_to_out != b->err_to_out || a->out_null != b->out_null ||
	    a->err_null != b->err_null)
		return false;
	for (size_t i = 0; i < a->nstage; i++) {
		if (!same_words(x[i].argv, x[i].argc, y[i].argv, y[i].argc) ||
		    !same_words(
			x[i].assign, x[i].nassign, y[i].assign, y[i].nassign))
			return false;
	}
	return true;
}

/* MUST read back alike: what is shown is what was decided on. */
static int
reads_back(const struct list *l, enum list_form form, const struct buf *b)
{
	struct command_error err;
	struct list again;
	bool ok;
	int r;

	r = list_parse(
	    (const char *)buf_ptr(b), buf_len(b), form, &again, &err);
	if (r != 0)
		return r == ERR_NOMEM ? r : ERR_INTERNAL;
	ok = again.n == l->n;
	for (size_t i = 0; ok && i < l->n; i++)
		ok = again.connect[i] == l->connect[i] &&
		     same(&again.command[i], &l->command[i]);
	list_clear(&again);
	return ok ? 0 : ERR_INTERNAL;
}

int
list_print(const struct list *l, struct buf *out)
{
	enum list_form form = LIST_LINE;
	struct printer p = { 0 };
	struct buf b;
	int r;

	for (size_t i = 0; i < l->n; i++) {
		if (l->connect[i] == CONNECT_LINE)
			form = LIST_SCRIPT;
	}
	buf_init(&b, COMMAND_LEN_MAX);
	p.out = &b;
	put_list(&p, l);
	if ((r = p.r) == 0 && (r = reads_back(l, form, &b)) == 0)
		r = buf_put(out, buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return r;
}

int
command_print(const struct command *c, struct buf *out)
{
	union {
		const struct command *ro;
		struct command *rw;
	} u = { .ro = c }; /* never written through */
	enum connect first = CONNECT_FIRST;
	const struct list one = { .command = u.rw, .connect = &first, .n = 1 };

	return list_print(&one, out);
}

/* -- errors
 * --------------------------------------------------------------------- */

int
command_error_print(
    const char *s, size_t n, const struct command_error *err, struct buf *out)
{
	size_t line = 1, chars = 1, lines = 1;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (i < err->pos && s[i] == '\n') {
			line++;
			chars = 1;
		} else if (i < err->pos) {
			chars += ((unsigned char)s[i] & 0xc0) != 0x80;
		}
		lines += s[i] == '\n' && i + 1 < n;
	}
	if ((r = diag_excerpt(out, "postern:   ", s, n, err->pos, err->len)) !=
	    0)
		return r;
	if (*err->hint != '\0' &&
	    (r = buf_putf(out, "postern: hint: %s\n", err->hint)) != 0)
		return r;
	if ((r = buf_putf(out, "postern: command not understood at ")) != 0 ||
	    (lines > 1 && (r = buf_putf(out, "line %zu, ", line)) != 0))
		return r;
	return buf_putf(out, "character %zu: %s\n", chars, err->what);
}
