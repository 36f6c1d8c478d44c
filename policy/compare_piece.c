/*
 * Cutting what a group of lines matches into pieces that no other line tells
 * apart.  Runs in the command line tools.
 *
 * Most of two policies is the same, or nearly, and one look shows that a line
 * is within another.  Only where lines overlap in part their languages are
 * made.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/compare_internal.h"
#include "policy/model.h"
#include "policy/overlap.h"

#define PIECES_MAX 4096 /* of one group */
#define MADE_MAX 512    /* languages that are kept */

static const struct line *
first_line(const struct compare *c, size_t group)
{
	return &c->line[c->group[group].begin];
}

struct fa *
group_fa(struct compare *c, size_t group)
{
	const struct line *l = first_line(c, group);
	struct alike *g = &c->group[group];

	if (g->fa != NULL)
		return g->fa;
	c->ctx.p = c->cells.p[l->side];
	c->ctx.target = c->spot->target[l->side];
	g->fa = l->run != NULL        ? language_run(l->run, &c->ctx)
		: l->transfer != NULL ? language_transfer(l->transfer, &c->ctx)
		: l->repository != NULL
		    ? language_repository(l->repository, &c->ctx)
		    : fa_make_basic(FA_EPSILON);
	if (g->fa == NULL)
		compare_doubt(c, l, "too many states");
	else
		c->nmade++;
	return g->fa;
}

void
compare_forget_languages(struct compare *c)
{
	for (size_t i = 0; i < c->ngroup; i++) {
		fa_free(c->group[i].fa);
		c->group[i].fa = NULL;
	}
	c->nmade = 0;
}

void
compare_forget_pieces(struct compare *c)
{
	for (size_t i = 0; i < c->npiece; i++) {
		fa_free(c->piece[i].fa);
		free(c->piece[i].text);
		free(c->piece[i].group);
	}
	c->npiece = 0;
	if (c->nmade > MADE_MAX)
		compare_forget_languages(c);
}

/* -- pieces ---------------------------------------------------------------- */

struct piece_of *
piece_new(struct compare *c, size_t of, struct fa *take_fa)
{
	struct piece_of *v;

	if (c->npiece == c->cappiece) {
		v = c->npiece >= PIECES_MAX
			? NULL
			: reallocarray(
			      c->piece, c->cappiece * 2 + 16, sizeof(*v));
		if (v == NULL) {
			compare_doubt(c, first_line(c, of),
			    "other lines cut it into too many pieces");
			fa_free(take_fa);
			return NULL;
		}
		c->piece = v;
		c->cappiece = c->cappiece * 2 + 16;
	}
	v = &c->piece[c->npiece++];
	*v = (struct piece_of){ .fa = take_fa };
	return v;
}

void
piece_add(struct compare *c, struct piece_of *p, size_t group)
{
	size_t *v;

	if (p->n == p->cap) {
		v = reallocarray(p->group, p->cap * 2 + 8, sizeof(*v));
		if (v == NULL) {
			compare_doubt(c, NULL, "memory ran out");
			return;
		}
		p->group = v;
		p->cap = p->cap * 2 + 8;
	}
	p->group[p->n++] = group;
}

static void
copy_matches(struct compare *c, struct piece_of *to, size_t from)
{
	for (size_t i = 0; i < c->piece[from].n; i++)
		piece_add(c, to, c->piece[from].group[i]);
}

/* What is in the language stays, the rest is a new piece; true: something
 * stayed. */
static bool
cut(struct compare *c, size_t of, size_t piece, struct fa *fa)
{
	struct fa *both, *rest;
	struct piece_of *p;

	if ((both = language_both(c->piece[piece].fa, fa)) == NULL) {
		compare_doubt(c, first_line(c, of), "too many states");
		return false;
	}
	if (language_is_empty(both)) {
		fa_free(both);
		return false;
	}
	rest = language_without(c->piece[piece].fa, fa);
	if (rest == NULL)
		compare_doubt(c, first_line(c, of), "too many states");
	else if (language_is_empty(rest))
		fa_free(rest);
	else if ((p = piece_new(c, of, rest)) != NULL)
		copy_matches(c, p, piece);
	fa_free(c->piece[piece].fa);
	c->piece[piece].fa = both;
	return true;
}

static void
cut_by(struct compare *c, size_t of, size_t group)
{
	struct fa *fa = group_fa(c, group);
	size_t n = c->npiece;

	for (size_t i = 0; fa != NULL && i < n && compare_has_time(c); i++) {
		if (cut(c, of, i, fa))
			piece_add(c, &c->piece[i], group);
	}
}

/* A word that is another program in the other policy is asked about by
 * itself. */
static void
cut_by_moved(struct compare *c, size_t group)
{
	const struct line *l = first_line(c, group);
	struct fa *fa;
	size_t n;

	for (size_t k = 0; l->touched && k < c->nmoved; k++) {
		for (size_t stage = 0; stage < l->run->nstage; stage++) {
			if ((fa = language_first(stage, c->moved[k].word)) ==
			    NULL) {
				compare_doubt(c, l, "too many states");
				continue;
			}
			n = c->npiece;
			for (size_t i = 0; i < n; i++)
				(void)cut(c, group, i, fa);
			fa_free(fa);
		}
	}
}

/* The group's own language, or what two of them have in common. */
static struct fa *
begin(struct compare *c, size_t group, size_t with)
{
	struct fa *a = group_fa(c, group), *b, *fa;

	if (a == NULL || language_is_empty(a))
		return NULL;
	if (with == NO_GROUP)
		fa = language_copy(a);
	else if ((b = group_fa(c, with)) == NULL)
		return NULL;
	else
		fa = language_both(a, b);
	if (fa == NULL)
		compare_doubt(c, first_line(c, group), "too many states");
	else if (language_is_empty(fa)) {
		fa_free(fa);
		fa = NULL;
	}
	return fa;
}

/* Is each of the others, one look shows, all around it? */
static bool
is_whole(const struct compare *c, size_t group, size_t with)
{
	const struct line *l = first_line(c, group);

	if (with != NO_GROUP || l->touched || c->ctx.ncell > 0)
		return false;
	for (size_t i = 0; i < c->nfound; i++) {
		if (!line_is_within(l, first_line(c, c->found[i])))
			return false;
	}
	return true;
}

void
compare_cut(struct compare *c, size_t group, size_t with)
{
	bool whole = is_whole(c, group, with);
	struct piece_of *p;
	struct fa *fa = NULL;

	if (!whole && (fa = begin(c, group, with)) == NULL)
		return;
	if ((p = piece_new(c, group, fa)) == NULL)
		return;
	piece_add(c, p, group);
	if (with != NO_GROUP)
		piece_add(c, p, with);
	for (size_t i = 0; i < c->nfound; i++) {
		if (whole)
			piece_add(c, &c->piece[0], c->found[i]);
		else if (c->found[i] != group && c->found[i] != with)
			cut_by(c, group, c->found[i]);
	}
	if (!whole)
		cut_by_moved(c, group);
}

/* -- examples -------------------------------------------------------------- */

static char *
example_at_hand(const struct line *l, size_t *n)
{
	char *text = NULL;
	struct buf b;
	int r;

	buf_init(&b, 64UL * 1024);
	r = l->run != NULL        ? overlap_run_example(l->run, &b)
	    : l->transfer != NULL ? overlap_transfer_example(l->transfer, &b)
	    : l->repository != NULL
		? overlap_repository_example(l->repository, &b)
		: 0;
	if (r == 0 && (text = malloc(buf_len(&b) + 1)) != NULL) {
		*n = buf_len(&b);
		memcpy(text, buf_len(&b) == 0 ? "" : (const char *)buf_ptr(&b),
		    *n);
		text[*n] = '\0';
	}
	buf_clear(&b);
	return text;
}

char *
piece_example(
    struct compare *c, size_t group, const struct piece_of *p, size_t *n)
{
	struct fa *fa = p->fa;
	char *text;

	if (p->text != NULL) {
		*n = strlen(p->text);
		return strdup(p->text);
	}
	if (fa == NULL &&
	    (text = example_at_hand(first_line(c, group), n)) != NULL)
		return text;
	if (fa == NULL)
		fa = group_fa(c, group);
	if (fa == NULL || language_is_empty(fa))
		return NULL;
	if ((text = language_example(fa, n)) == NULL)
		compare_doubt(c, first_line(c, group), "memory ran out");
	return text;
}
