/*
 * Slots that stand for claims.  Runs in the command line tools.
 *
 * Whether two lines match one request can hang on what a claim is.  So each
 * claim is first let be anything that the session's identities leave open; of
 * each piece that this gives the example says what the claim would be, and both
 * policies are asked with that, and with something else.  This is exact where a
 * claim stands at one place in all lines that overlap, as a part of a word
 * whose rest is literal.  Where it stands at several, values are found that
 * stand for all (compare_value.c).  Elsewhere an answer of "nothing new" would
 * not hold, and is not given.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/err.h"
#include "policy/compare_claim.h"
#include "policy/items.h"
#include "policy/model.h"
#include "policy/whatif.h"

static const char no_example[] = "no request was found that it matches";

/* -- which claims ---------------------------------------------------------- */

static int
take_open(void *arg, const struct item *it)
{
	const struct piece *v[ITEMS_FLAT_MAX];
	struct trial *t = arg;
	const char *name, *value;
	size_t n, k;

	if (!item_has_claim(it))
		return 0;
	if (!item_flatten(it, v, &n))
		compare_doubt(t->c, t->line, CLAIM_NOT_ALONE);
	for (size_t i = 0; i < n; i++) {
		if (v[i]->text != NULL || v[i]->slot->kind != SLOT_CLAIM)
			continue;
		name = v[i]->slot->pattern;
		value = claims_get(&t->s->claims, name);
		if (value == NULL ||
		    cells_is_literal(&t->c->cells, name, value))
			continue;
		for (k = 0;
		     k < t->nclaim && strcmp(t->claim[k].name, name) != 0; k++)
			;
		if (k == CLAIMS_MAX)
			compare_doubt(t->c, t->line, "too many claims");
		else if (k == t->nclaim)
			t->claim[t->nclaim++] =
			    (struct open_claim){ .name = name };
	}
	return 0;
}

static int
each_item(const struct line *l, item_fn fn, void *arg)
{
	if (l->run != NULL)
		return items_of_run(l->run, fn, arg);
	if (l->transfer != NULL)
		return fn(arg, &l->transfer->under);
	return l->repository == NULL
		   ? 0
		   : items_of_repository(l->repository, fn, arg);
}

static const struct line *
first_line(const struct compare *c, size_t group)
{
	return &c->line[c->group[group].begin];
}

static void
find_open(struct trial *t, size_t with)
{
	t->line = first_line(t->c, t->group);
	(void)each_item(t->line, take_open, t);
	if (with != NO_GROUP)
		(void)each_item(first_line(t->c, with), take_open, t);
	for (size_t i = 0; i < t->c->nfound; i++) {
		t->line = first_line(t->c, t->c->found[i]);
		(void)each_item(t->line, take_open, t);
	}
}

/* -- values ---------------------------------------------------------------- */

static void
clear_values(struct trial *t)
{
	for (size_t k = 0; k < t->nclaim; k++) {
		for (size_t i = 0; i < t->claim[k].nvalue; i++)
			free(t->claim[k].value[i]);
		t->claim[k].nvalue = t->claim[k].now = 0;
	}
}

/* What the example says, and something else. */
static int
find_values(struct trial *t, struct open_claim *o)
{
	struct fa *fa = language_copy(o->cell), *text, *rest;
	char *s;
	size_t n;

	for (size_t i = 0; i < o->nplace && fa != NULL; i++) {
		s = strndup(t->text + o->place[i].begin,
		    o->place[i].end - o->place[i].begin);
		text = s == NULL ? NULL : language_text(s);
		rest = text == NULL ? NULL : language_without(fa, text);
		fa_free(text);
		fa_free(fa);
		fa = rest;
		if (fa == NULL)
			free(s);
		else
			o->value[o->nvalue++] = s;
	}
	if (fa == NULL)
		return ERR_NOMEM;
	if (!language_is_empty(fa) && (s = language_example(fa, &n)) != NULL)
		o->value[o->nvalue++] = s;
	fa_free(fa);
	return 0;
}

static bool
next_values(struct trial *t)
{
	for (size_t k = 0; k < t->nclaim; k++) {
		if (++t->claim[k].now < t->claim[k].nvalue)
			return true;
		t->claim[k].now = 0;
	}
	return false;
}

/* Both policies, with these values; the text is cut up. */
static int
try_values(struct trial *t, const struct piece_of *p, size_t n)
{
	struct claims over = { 0 };
	struct session s = { .as = NULL };
	char *text = NULL;
	int r = 0;

	for (size_t k = 0; k < t->nclaim && r == 0; k++) {
		if (t->claim[k].nvalue > 0)
			r = claims_set(&over, t->claim[k].name,
			    t->claim[k].value[t->claim[k].now]);
	}
	if (r != 0 || (r = session_with(&t->c->cells, t->s, &over, &s)) != 0)
		goto out;
	if (!t->literals && !session_is_same(&t->c->cells, t->s, &s))
		compare_doubt(t->c, t->line,
		    "what a claim is makes somebody else of the job");
	if ((text = malloc(n + 1)) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	memcpy(text, t->text, n + 1);
	if (s.set[CELLS_NEW][s.as->index])
		r = compare_ask_text(t->c, p, text, n, &s, 1);
	if (r == ERR_NOTFOUND || r == ERR_TOOBIG) {
		compare_doubt(t->c, t->line, no_example);
		r = 0;
	}
out:
	free(text);
	claims_clear(&over);
	session_clear(&s);
	return r;
}

static int
try_piece(struct trial *t, const struct piece_of *p)
{
	char *text;
	size_t n;
	int r = 0;

	if ((text = piece_example(t->c, t->group, p, &n)) == NULL)
		return 0;
	t->text = text;
	trial_find_places(t, p, n);
	for (size_t k = 0; k < t->nclaim && r == 0; k++)
		r = find_values(t, &t->claim[k]);
	if (r == 0) {
		do
			r = try_values(t, p, n);
		while (r == 0 && next_values(t));
	}
	clear_values(t);
	free(text);
	return r;
}

/* -- a session ------------------------------------------------------------- */

/* The pieces with the languages as they are now. */
static int
ask_pieces(struct trial *t, size_t with)
{
	struct compare *c = t->c;
	int r = 0;

	compare_forget_languages(c);
	compare_cut(c, t->group, with);
	for (size_t i = 0; i < c->npiece && r == 0; i++)
		r = t->nclaim > 0
			? try_piece(t, &c->piece[i])
			: compare_ask_piece(c, t->group, &c->piece[i], t->s, 1);
	compare_forget_pieces(c);
	compare_forget_languages(c);
	return r;
}

/* What the open claims may be; *all: no literal was left out. */
static int
make_cells(struct trial *t, struct language_cell *cell, bool *all)
{
	struct open_claim *o;
	struct fa *whole;

	*all = true;
	for (size_t k = 0; k < t->nclaim; k++) {
		o = &t->claim[k];
		o->cell = cells_values(&t->c->cells, o->name,
		    claims_get(&t->s->claims, o->name), t->literals);
		if (o->cell == NULL)
			return ERR_NOMEM;
		cell[k] = (struct language_cell){ o->name, o->cell };
		if (t->literals)
			continue;
		whole = cells_values(&t->c->cells, o->name,
		    claims_get(&t->s->claims, o->name), true);
		*all =
		    *all && whole != NULL && language_is_within(whole, o->cell);
		fa_free(whole);
	}
	return 0;
}

static void
free_cells(struct trial *t)
{
	for (size_t k = 0; k < t->nclaim; k++) {
		fa_free(t->claim[k].cell);
		t->claim[k].cell = NULL;
	}
	t->c->ctx.cell = NULL;
	t->c->ctx.ncell = 0;
}

/* First without the values that conditions spell out, which would make others
 * of the session, then with them. */
static int
look_as(struct trial *t, size_t with)
{
	struct language_cell cell[CLAIMS_MAX];
	bool all = false, decided = false;
	int r = 0;

	t->c->ctx.claims = &t->s->claims;
	find_open(t, with);
	if (t->nclaim == 0)
		r = ask_pieces(t, with);
	for (int pass = 0; t->nclaim > 0 && pass < 2 && !all && r == 0;
	     pass++) {
		t->literals = pass == 1;
		if ((r = make_cells(t, cell, &all)) == 0) {
			t->c->ctx.cell = cell;
			t->c->ctx.ncell = t->nclaim;
			r = ask_pieces(t, with);
		}
		free_cells(t);
	}
	if (r == 0 && t->two_places != NULL) {
		r = trial_of_values(t, with, &decided);
		if (!decided)
			compare_doubt(t->c, t->two_places,
			    "a claim stands at two places of commands that "
			    "overlap");
	}
	t->c->ctx.claims = NULL;
	return r;
}

/* -- all of them ----------------------------------------------------------- */

bool
compare_has_claims(const struct compare *c, size_t group, size_t with)
{
	if (line_has_claims(first_line(c, group)) ||
	    (with != NO_GROUP && line_has_claims(first_line(c, with))))
		return true;
	for (size_t i = 0; i < c->nfound; i++) {
		if (line_has_claims(first_line(c, c->found[i])))
			return true;
	}
	return false;
}

static bool
group_is_for(const struct compare *c, size_t group, const struct session *s)
{
	for (size_t i = c->group[group].begin; i < c->group[group].end; i++) {
		if (line_is_new_allow(&c->line[i]) &&
		    cells_is_for(&c->cells, CELLS_NEW, c->line[i].rule, s))
			return true;
	}
	return false;
}

/* Does NEW allow something of it to the session? */
static bool
is_for(
    const struct compare *c, size_t group, size_t with, const struct session *s)
{
	if (c->cells.observed || group_is_for(c, group, s) ||
	    (with != NO_GROUP && group_is_for(c, with, s)))
		return true;
	for (size_t i = 0; i < c->nfound; i++) {
		if (group_is_for(c, c->found[i], s))
			return true;
	}
	return false;
}

int
compare_claims(struct compare *c, size_t group, size_t with)
{
	int r = 0;

	for (size_t i = 0;
	     i < c->cells.nsession && r == 0 && compare_has_time(c); i++) {
		struct trial t = {
			.c = c, .group = group, .s = &c->cells.session[i]
		};

		if (is_for(c, group, with, t.s))
			r = look_as(&t, with);
	}
	return r;
}
