/*
 * Cutting a line into pieces where every other line is all around it, or would
 * be but for one word.  Runs in the command line tools.
 *
 * Most changes of a policy are of this kind, and languages of single words are
 * small: no line's own is made.
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

#define PLACES_MAX 4  /* of the line, at which others differ */
#define PARTS_MAX 64  /* of the words of one place */
#define PIECES_MAX 64 /* of the line */
#define TEXT_MAX (64UL * 1024)

/* Words that the same others have at the place. */
struct part {
	struct fa *fa;
	bool *in; /* of each of c->found */
};

struct cut_place {
	struct overlap_word at;
	struct part part[PARTS_MAX];
	size_t npart;
};

struct word_cut {
	struct compare *c;
	const struct line *line;
	struct cut_place place[PLACES_MAX];
	size_t nplace;
	size_t *place_of; /* of each of c->found; SIZE_MAX: all around */
	struct overlap_word *word; /* its own word there */
};

static const struct line *
found_line(const struct compare *c, size_t i)
{
	return &c->line[c->group[c->found[i]].begin];
}

/* -- where the others differ ----------------------------------------------- */

static bool
add_place(struct word_cut *w, size_t other, const struct overlap_word *at)
{
	size_t i;

	for (i = 0; i < w->nplace; i++) {
		if (w->place[i].at.node == at->node)
			break;
	}
	if (i == PLACES_MAX)
		return false;
	if (i == w->nplace)
		w->place[w->nplace++].at = *at;
	w->place_of[other] = i;
	return true;
}

static bool
find_places(struct word_cut *w)
{
	struct overlap_word at;
	const struct line *l;

	for (size_t i = 0; i < w->c->nfound; i++) {
		l = found_line(w->c, i);
		w->place_of[i] = SIZE_MAX;
		if (line_is_within(w->line, l))
			continue;
		if (l->touched ||
		    !overlap_run_word(w->line->run, l->run, &at, &w->word[i]) ||
		    !add_place(w, i, &at))
			return false;
	}
	return w->nplace > 0;
}

/* -- the words of a place -------------------------------------------------- */

static struct fa *
words_fa(struct compare *c, const struct line *l, const struct run *stage,
    const struct node *node)
{
	struct fa *sum, *fa, *both;

	c->ctx.p = c->cells.p[l->side];
	c->ctx.target = c->spot->target[l->side];
	if (node->kind == NODE_WORD)
		return language_word(&stage->item[node->item], &c->ctx);
	sum = fa_make_basic(FA_EMPTY);
	for (node = node->child; node != NULL && sum != NULL;
	     node = node->next) {
		fa = words_fa(c, l, stage, node);
		both = fa == NULL ? NULL : language_either(sum, fa);
		fa_free(sum);
		fa_free(fa);
		sum = both;
	}
	return sum;
}

static bool
add_part(struct word_cut *w, struct cut_place *at, struct fa *take_fa,
    const struct part *from)
{
	struct part *p = &at->part[at->npart];
	size_t n = w->c->nfound;

	if (at->npart == PARTS_MAX ||
	    (p->in = calloc(n + 1, sizeof(*p->in))) == NULL) {
		fa_free(take_fa);
		return false;
	}
	if (from != NULL)
		memcpy(p->in, from->in, n * sizeof(*p->in));
	p->fa = take_fa;
	at->npart++;
	return true;
}

/* What of the part is also the other's stays, the rest is a new one. */
static bool
split_part(struct word_cut *w, struct cut_place *at, size_t i, size_t other,
    struct fa *fa)
{
	struct fa *both, *rest;

	if ((both = language_both(at->part[i].fa, fa)) == NULL)
		return false;
	if (language_is_empty(both)) {
		fa_free(both);
		return true;
	}
	rest = language_without(at->part[i].fa, fa);
	if (rest != NULL && language_is_empty(rest)) {
		fa_free(rest);
	} else if (rest == NULL || !add_part(w, at, rest, &at->part[i])) {
		fa_free(both);
		return false;
	}
	fa_free(at->part[i].fa);
	at->part[i].fa = both;
	at->part[i].in[other] = true;
	return true;
}

static bool
cut_by_other(struct word_cut *w, struct cut_place *at, size_t other)
{
	const struct overlap_word *own = &w->word[other];
	struct fa *fa =
	    words_fa(w->c, found_line(w->c, other), own->stage, own->node);
	size_t n = at->npart;
	bool ok = fa != NULL;

	for (size_t i = 0; i < n && ok; i++)
		ok = split_part(w, at, i, other, fa);
	fa_free(fa);
	return ok;
}

static bool
cut_place(struct word_cut *w, size_t k)
{
	struct cut_place *at = &w->place[k];
	struct fa *fa = words_fa(w->c, w->line, at->at.stage, at->at.node);

	if (fa == NULL || !add_part(w, at, fa, NULL))
		return false;
	for (size_t i = 0; i < w->c->nfound; i++) {
		if (w->place_of[i] == k && !cut_by_other(w, at, i))
			return false;
	}
	return true;
}

/* -- pieces ---------------------------------------------------------------- */

/* An example with a word of this part at each place. */
static bool
put_example(struct word_cut *w, const size_t *part, struct piece_of *p)
{
	struct overlap_chosen v[PLACES_MAX] = { 0 };
	char *word[PLACES_MAX] = { NULL };
	struct buf b;
	size_t n;
	bool ok = true;

	buf_init(&b, TEXT_MAX);
	for (size_t k = 0; k < w->nplace && ok; k++) {
		word[k] = language_example(w->place[k].part[part[k]].fa, &n);
		v[k].at = w->place[k].at;
		v[k].word = word[k];
		ok = word[k] != NULL;
	}
	ok = ok && overlap_run_chosen(w->line->run, v, w->nplace, &b) == 0 &&
	     buf_cstr(&b) != NULL;
	if (ok)
		p->text = strdup(buf_cstr(&b));
	for (size_t k = 0; k < w->nplace; k++)
		free(word[k]);
	buf_clear(&b);
	return ok && p->text != NULL;
}

static bool
add_piece(struct word_cut *w, size_t group, const size_t *part)
{
	struct compare *c = w->c;
	struct piece_of *p = piece_new(c, group, NULL);
	size_t k;

	if (p == NULL)
		return false;
	piece_add(c, p, group);
	for (size_t i = 0; i < c->nfound; i++) {
		k = w->place_of[i];
		if (k == SIZE_MAX || w->place[k].part[part[k]].in[i])
			piece_add(c, p, c->found[i]);
	}
	return compare_is_settled(c, p) || put_example(w, part, p);
}

/* One of each place, in every way. */
static bool
add_pieces(struct word_cut *w, size_t group)
{
	size_t part[PLACES_MAX] = { 0 }, n = 1, k;

	for (k = 0; k < w->nplace; k++) {
		n *= w->place[k].npart;
		if (n > PIECES_MAX)
			return false;
	}
	while (n-- > 0) {
		if (!add_piece(w, group, part))
			return false;
		for (k = 0; k < w->nplace && ++part[k] == w->place[k].npart;
		     k++)
			part[k] = 0;
	}
	return true;
}

bool
compare_cut_words(struct compare *c, size_t group)
{
	struct word_cut w = { .c = c,
		.line = &c->line[c->group[group].begin],
		.place_of = calloc(c->nfound + 1, sizeof(*w.place_of)),
		.word = calloc(c->nfound + 1, sizeof(*w.word)) };
	bool ok = w.place_of != NULL && w.word != NULL && w.line->run != NULL &&
		  !w.line->touched && c->ctx.ncell == 0;

	ok = ok && find_places(&w);
	for (size_t k = 0; k < w.nplace && ok; k++)
		ok = cut_place(&w, k);
	ok = ok && add_pieces(&w, group);
	for (size_t k = 0; k < w.nplace; k++) {
		for (size_t i = 0; i < w.place[k].npart; i++) {
			fa_free(w.place[k].part[i].fa);
			free(w.place[k].part[i].in);
		}
	}
	free(w.place_of);
	free(w.word);
	if (!ok)
		compare_forget_pieces(c);
	return ok;
}
