/*
 * The policy parser's frame: tokens, errors, recovery, blocks, statements.
 * Recursive descent; after an error it goes on with the next line, so that one
 * run reports everything.  Policy files are the administrator's, yet nothing
 * in them may crash or hang a load.
 */
#include "config.h"

#include "policy/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"

static void __attribute__((format(printf, 4, 0)))
report(const struct policy *p, struct diags *d, const struct place *at,
    const char *fmt, va_list ap)
{
	const struct source *s = &p->source[at->pos.file];
	char message[1024];

	(void)vsnprintf(message, sizeof(message), fmt, ap);
	diags_add(d, s->name, s->text, s->len, &at->pos, at->width, "%s",
	    message);
}

void
policy_error(const struct policy *p, struct diags *d, const struct place *at,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(p, d, at, fmt, ap);
	va_end(ap);
}

const char *
near_text(const struct diag_near *n, char *dst, size_t dstsize)
{
	dst[0] = '\0';
	if (n->best != NULL)
		(void)snprintf(dst, dstsize, "; did you mean \"%s\"?", n->best);
	return dst;
}

struct place
parse_place(const struct parser *ps)
{
	return (struct place){ ps->t.pos, ps->t.width };
}

int
parse_error_at(struct parser *ps, const struct place *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(ps->p, ps->d, at, fmt, ap);
	va_end(ap);
	return ERR_FORMAT;
}

int
parse_error(struct parser *ps, const char *fmt, ...)
{
	struct place at = parse_place(ps);
	va_list ap;

	if (ps->t.kind == LEX_ERROR)
		return ERR_FORMAT; /* reported when it was read */
	va_start(ap, fmt);
	report(ps->p, ps->d, &at, fmt, ap);
	va_end(ap);
	return ERR_FORMAT;
}

void
parse_next(struct parser *ps, enum lex_mode mode)
{
	struct place at;

	lex_next(&ps->l, mode, &ps->t);
	if (ps->t.kind != LEX_ERROR)
		return;
	at = parse_place(ps);
	(void)parse_error_at(ps, &at, "%s%s%s", ps->t.what,
	    *ps->t.hint == '\0' ? "" : ": ", ps->t.hint);
}

int
parse_expected(struct parser *ps, const char *what)
{
	const struct lex_token *t = &ps->t;

	switch (t->kind) {
	case LEX_ERROR:
		return ERR_FORMAT;
	case LEX_END:
		return parse_error(ps, "expected %s, found the end of the file",
		    what);
	case LEX_NEWLINE:
		return parse_error(ps, "expected %s, found the end of the line",
		    what);
	case LEX_PUNCT:
		return parse_error(ps, "expected %s, found `%c`", what,
		    t->punct);
	case LEX_STRING:
		return parse_error(ps, "expected %s, found a string", what);
	case LEX_RAW:
		return parse_error(ps, "expected %s, found a text in single "
		    "quotes", what);
	case LEX_REDIRECT:
		return parse_error(ps, "expected %s, found a redirection", what);
	case LEX_OPERATOR: /* in jobs' commands alone */
	case LEX_WORD:
		break;
	}
	return parse_error(ps, "expected %s, found `%.80s`", what, t->text);
}

bool
parse_is_word(const struct parser *ps, const char *word)
{
	return ps->t.kind == LEX_WORD && !ps->t.quoted &&
	    strcmp(ps->t.text, word) == 0;
}

bool
parse_is_punct(const struct parser *ps, char c)
{
	return ps->t.kind == LEX_PUNCT && ps->t.punct == c;
}

bool
parse_at_line_end(const struct parser *ps)
{
	return ps->t.kind == LEX_END || ps->t.kind == LEX_NEWLINE ||
	    parse_is_punct(ps, ';') || parse_is_punct(ps, '}');
}

const char *
parse_text(struct parser *ps)
{
	return arena_str(ps->p->arena, ps->t.text, ps->t.len);
}

/* The token's text as a ref; moves on. */
static int
take_ref(struct parser *ps, struct ref *out)
{
	struct ref ref = { parse_text(ps), parse_place(ps) };

	if (ref.name == NULL)
		return ERR_NOMEM;
	*out = ref;
	parse_next(ps, LEX_POLICY);
	return 0;
}

int
parse_name(struct parser *ps, const char *what, struct ref *out)
{
	if (ps->t.kind != LEX_WORD)
		return parse_expected(ps, what);
	if (!name_valid(ps->t.text))
		return parse_error(ps, "`%.80s` is no name: a-z and 0-9, after "
		    "the first also . _ -, at most %d characters", ps->t.text,
		    NAME_LEN_MAX);
	return take_ref(ps, out);
}

int
parse_string(struct parser *ps, const char *what, struct ref *out)
{
	if (ps->t.kind != LEX_STRING)
		return parse_expected(ps, what);
	return take_ref(ps, out);
}

int
parse_word(struct parser *ps, const char *what, struct ref *out)
{
	if (ps->t.kind != LEX_WORD)
		return parse_expected(ps, what);
	return take_ref(ps, out);
}

/* Reads on without reporting. */
static void
next_quietly(struct parser *ps, enum lex_mode mode)
{
	lex_next(&ps->l, mode, &ps->t);
}

bool
parse_to_block(struct parser *ps)
{
	while (!parse_at_line_end(ps) && !parse_is_punct(ps, '{'))
		next_quietly(ps, LEX_POLICY);
	return parse_is_punct(ps, '{');
}

void
parse_skip_line(struct parser *ps, enum lex_mode mode)
{
	size_t depth = 0;

	while (ps->t.kind != LEX_END && (depth > 0 || !parse_at_line_end(ps))) {
		if (mode == LEX_RUN && ps->t.kind == LEX_NEWLINE)
			return; /* braces of a command end with its line */
		if (parse_is_punct(ps, '{') || (ps->t.kind == LEX_ERROR &&
		    ps->src->text[ps->t.pos.off] == '{'))
			depth++;
		else if (parse_is_punct(ps, '}'))
			depth--;
		next_quietly(ps, depth > 0 ? LEX_POLICY : mode);
	}
}

static const struct parse_row *
find_row(struct parser *ps, const struct parse_row *rows, size_t n,
    const char *what)
{
	struct diag_near near;
	char text[NEAR_TEXT_MAX];

	if (ps->t.kind != LEX_WORD) {
		(void)parse_expected(ps, what);
		return NULL;
	}
	near = diag_near(ps->t.text);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].word, ps->t.text) == 0)
			return &rows[i];
		diag_near_try(&near, rows[i].word);
	}
	(void)parse_error(ps, "expected %s, found `%.80s`%s", what, ps->t.text,
	    near_text(&near, text, sizeof(text)));
	return NULL;
}

/* One line by its first word, and the end of it. */
static int
parse_line(struct parser *ps, const struct parse_row *rows, size_t n,
    const char *what, void *ctx)
{
	const struct parse_row *row = find_row(ps, rows, n, what);
	bool run = row != NULL && strcmp(row->word, "run") == 0;
	int r = ERR_FORMAT;

	if (row != NULL)
		r = row->fn(ps, ctx);
	if (r == ERR_NOMEM)
		return r;
	if (r == 0 && !parse_at_line_end(ps))
		(void)parse_expected(ps, "the end of the line or `;`");
	parse_skip_line(ps, run ? LEX_RUN : LEX_POLICY);
	return 0;
}

int
parse_block(struct parser *ps, const struct parse_row *rows, size_t n,
    const char *what, void *ctx)
{
	struct place open = parse_place(ps);
	int r;

	if (!parse_is_punct(ps, '{'))
		return parse_expected(ps, "`{`");
	parse_next(ps, LEX_POLICY);
	for (;;) {
		while (ps->t.kind == LEX_NEWLINE || parse_is_punct(ps, ';'))
			parse_next(ps, LEX_POLICY);
		if (parse_is_punct(ps, '}')) {
			parse_next(ps, LEX_POLICY);
			return 0;
		}
		if (ps->t.kind == LEX_END)
			return parse_error_at(ps, &open,
			    "this `{` is never closed");
		if ((r = parse_line(ps, rows, n, what, ctx)) != 0)
			return r;
	}
}

int
parse_define(struct parser *ps, struct dict *d, const struct ref *name,
    const char *what, void *thing, const struct place *first)
{
	int r = dict_put(d, ps->p->arena, name->name, thing);

	if (r != ERR_EXISTS)
		return r;
	(void)parse_error_at(ps, &name->at, "%s `%s` is defined twice: first "
	    "at %s:%u:%u", what, name->name,
	    ps->p->source[first->pos.file].name, first->pos.line,
	    first->pos.col);
	policy_error(ps->p, ps->d, first, "%s `%s` is defined again at "
	    "%s:%u:%u", what, name->name, ps->src->name, name->at.pos.line,
	    name->at.pos.col);
	return ERR_EXISTS;
}

int
parse_list_add(struct parser *ps, struct parse_list *s, const struct ref *ref,
    const char *what)
{
	const char **v;

	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->v[i], ref->name) == 0)
			return parse_error_at(ps, &ref->at, "%s `%s` is written "
			    "twice", what, ref->name);
	}
	if (s->n >= POLICY_LIST_MAX)
		return parse_error_at(ps, &ref->at, "more than %d of %s",
		    POLICY_LIST_MAX, what);
	v = arena_extend(ps->p->arena, s->v, s->n, &s->cap, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	s->v = v;
	s->v[s->n++] = ref->name;
	return 0;
}

int
parse_once(struct parser *ps, bool *seen)
{
	if (*seen)
		return parse_error(ps, "`%s` is written twice in this block",
		    ps->t.text);
	*seen = true;
	return 0;
}

static const struct parse_row statements[] = {
	{ "issuer", parse_issuer }, { "identity", parse_identity },
	{ "target", parse_target }, { "program", parse_program },
	{ "type", parse_type }, { "allow", parse_allow },
	{ "deny", parse_deny }, { "test", parse_test },
	{ "person", parse_person }, { "people", parse_people },
	{ "defaults", parse_defaults },
};

/* `policy 1` comes first in every file: the language's version. */
static int
parse_version(struct parser *ps)
{
	while (ps->t.kind == LEX_NEWLINE)
		parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "policy"))
		return parse_expected(ps, "`policy 1` as the file's first line");
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "1"))
		return parse_expected(ps, "`1`, the version of the language");
	parse_next(ps, LEX_POLICY);
	if (!parse_at_line_end(ps))
		return parse_expected(ps, "the end of the line");
	return 0;
}

int
parse_source(struct policy *p, struct diags *d, unsigned int file)
{
	struct parser ps = { .p = p, .d = d, .src = &p->source[file] };
	int r;

	lex_init(&ps.l, file, ps.src->text, ps.src->len, PARSE_TOKEN_MAX);
	parse_next(&ps, LEX_POLICY);
	/* A file without its first line is no policy: one error is enough. */
	if ((r = parse_version(&ps)) != 0) {
		r = r == ERR_FORMAT ? 0 : r;
		goto out;
	}
	for (;;) {
		while (ps.t.kind == LEX_NEWLINE || parse_is_punct(&ps, ';'))
			parse_next(&ps, LEX_POLICY);
		if (ps.t.kind == LEX_END)
			break;
		if (parse_is_punct(&ps, '}')) {
			(void)parse_error(&ps, "this `}` closes nothing");
			parse_next(&ps, LEX_POLICY);
			continue;
		}
		if ((r = parse_line(&ps, ROWS(statements), "a statement",
		    NULL)) != 0)
			goto out;
	}
	r = 0;
out:
	/* What is wrong then is not the policy: it is read again. */
	if (r == 0 && ps.l.nomem)
		r = ERR_NOMEM;
	lex_clear(&ps.l);
	return r;
}
