/*
 * Slots that stand for claims.  Runs in the command line tools.
 *
 * Whether two lines match one request can hang on what a claim is.  So each
 * claim is first let be anything that the session's identities leave open; of
 * each piece that this gives the example says what the claim would be, and both
 * policies are asked with that, and with something else.  This is exact where a
 * claim stands at one place in all lines that overlap, as a part of a word
 * whose rest is literal.  Elsewhere an answer of "nothing new" would not hold,
 * and is not given.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/err.h"
#include "policy/compare_internal.h"
#include "policy/items.h"
#include "policy/model.h"
#include "policy/whatif.h"

#define CLAIMS_MAX 8  /* that are open at once */
#define PLACES_MAX 4  /* of one claim in one example */
#define WORDS_MAX 512 /* of an example that holds claims */

static const char two_places[] =
    "a claim stands at two places of commands that overlap";
static const char no_example[] = "no request was found that it matches";
static const char not_alone[] = "a claim shares its word with another slot";

/* A claim that may be anything in its cell. */
struct open_claim {
	const char *name;
	struct fa *cell;
	struct {
		size_t begin, end;
	} place[PLACES_MAX]; /* in the example */
	size_t nplace;
	char *value[PLACES_MAX + 1];
	size_t nvalue, now;
};

struct trial {
	struct compare *c;
	size_t group;
	const struct session *s;
	struct open_claim claim[CLAIMS_MAX];
	size_t nclaim;
	bool literals;
	const struct line *line; /* that is looked at */
	const char *text;        /* the example */
	struct {
		size_t begin, end, stage;
		char mark;
	} word[WORDS_MAX];
	size_t nword;
};

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
		compare_doubt(t->c, t->line, not_alone);
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

/* -- where they stand in an example ---------------------------------------- */

static void
split(struct trial *t, size_t n)
{
	size_t begin = 0, stage = 0;

	t->nword = 0;
	for (size_t i = 0; i < n; i++) {
		char c = t->text[i];

		if (c < LANGUAGE_END || c > LANGUAGE_DIR)
			continue;
		if (c == LANGUAGE_PIPE) {
			stage++;
		} else if (t->nword < WORDS_MAX) {
			t->word[t->nword].begin = begin;
			t->word[t->nword].end = i;
			t->word[t->nword].stage = stage;
			t->word[t->nword++].mark = c;
		} else {
			compare_doubt(t->c, t->line, "too many words");
		}
		begin = i + 1;
	}
}

/* What stands before and behind the claim in its word, or its part of a path:
 * literals alone, or false. */
struct around {
	const char *name;
	const char *before, *after;
	size_t nbefore, nafter;
	size_t part; /* of a path */
};

static bool
look_around(const struct item *it, bool path, struct around *a)
{
	const struct piece *v[ITEMS_FLAT_MAX];
	size_t n, at = SIZE_MAX;
	const char *slash;

	*a = (struct around){ .before = "", .after = "" };
	if (!item_flatten(it, v, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (v[i]->text != NULL || v[i]->slot->kind != SLOT_CLAIM)
			continue;
		if (at != SIZE_MAX)
			return false;
		at = i;
		a->name = v[i]->slot->pattern;
	}
	for (size_t i = 0; i < at; i++) {
		for (size_t k = 0; v[i]->text != NULL && k < v[i]->len; k++)
			a->part += v[i]->text[k] == '/';
	}
	if (at > 0) {
		if (v[at - 1]->text == NULL)
			return false;
		a->before = v[at - 1]->text;
		slash = path ? strrchr(a->before, '/') : NULL;
		if (slash != NULL)
			a->before = slash + 1;
		else if (at > 1)
			return false;
		a->nbefore = strlen(a->before);
	}
	if (at + 1 < n) {
		if (v[at + 1]->text == NULL)
			return false;
		a->after = v[at + 1]->text;
		slash = path ? strchr(a->after, '/') : NULL;
		a->nafter = slash != NULL ? (size_t)(slash - a->after)
					  : strlen(a->after);
		if (slash == NULL && at + 2 < n)
			return false;
	}
	return true;
}

/* A word, or a part of a path, that the pattern could have matched. */
static bool
take_place(struct trial *t, const struct around *a, size_t begin, size_t end)
{
	struct open_claim *o = NULL;
	size_t k;

	for (k = 0; k < t->nclaim; k++) {
		if (strcmp(t->claim[k].name, a->name) == 0)
			o = &t->claim[k];
	}
	if (end - begin < a->nbefore + a->nafter + 1 ||
	    memcmp(t->text + begin, a->before, a->nbefore) != 0 ||
	    memcmp(t->text + end - a->nafter, a->after, a->nafter) != 0)
		return false;
	if (o == NULL)
		return true; /* it is known what it is */
	begin += a->nbefore;
	end -= a->nafter;
	for (k = 0; k < o->nplace; k++) {
		if (o->place[k].begin == begin && o->place[k].end == end)
			return true;
	}
	if (o->nplace > 0)
		compare_doubt(t->c, t->line, two_places);
	if (o->nplace < PLACES_MAX) {
		o->place[o->nplace].begin = begin;
		o->place[o->nplace++].end = end;
	}
	return true;
}

static bool
is_open(const struct trial *t, const struct item *it)
{
	const struct piece *v[ITEMS_FLAT_MAX];
	size_t n;

	(void)item_flatten(it, v, &n);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0;
		     v[i]->text == NULL && v[i]->slot->kind == SLOT_CLAIM &&
		     k < t->nclaim;
		     k++) {
			if (strcmp(t->claim[k].name, v[i]->slot->pattern) == 0)
				return true;
		}
	}
	return false;
}

/* In every word with this mark of this program; SIZE_MAX: of any. */
static void
find_in_words(struct trial *t, const struct item *it, size_t stage, char mark)
{
	struct around a;

	if (!item_has_claim(it) || !is_open(t, it))
		return;
	if (!look_around(it, false, &a)) {
		compare_doubt(t->c, t->line, not_alone);
		return;
	}
	for (size_t i = 0; i < t->nword; i++) {
		if (t->word[i].mark == mark &&
		    (stage == SIZE_MAX || t->word[i].stage == stage))
			(void)take_place(
			    t, &a, t->word[i].begin, t->word[i].end);
	}
}

static void
find_in_path(struct trial *t, const struct item *it)
{
	struct around a;
	size_t part = 0, begin = 0, end;

	if (!item_has_claim(it) || !is_open(t, it) || t->nword == 0)
		return;
	if (!look_around(it, true, &a)) {
		compare_doubt(t->c, t->line, not_alone);
		return;
	}
	for (end = 0; end <= t->word[0].end; end++) {
		if (end < t->word[0].end && t->text[end] != '/')
			continue;
		if (part++ == a.part)
			(void)take_place(t, &a, begin, end);
		begin = end + 1;
	}
}

/* An item of a program, as the program at this stage of the example. */
static void
find_in_stage(struct trial *t, const struct run *run, size_t item, size_t stage)
{
	const struct item *it = &run->item[item];
	uint64_t set[RUN_BITS];
	struct around a;
	size_t place = 0;

	if (!item_has_claim(it) || !is_open(t, it))
		return;
	if (!look_around(it, false, &a)) {
		compare_doubt(t->c, t->line, not_alone);
		return;
	}
	for (size_t i = 0; i < t->nword; i++) {
		if (t->word[i].mark != LANGUAGE_END ||
		    t->word[i].stage != stage)
			continue;
		items_at(run, place++, set);
		if (bit_get(set, item))
			(void)take_place(
			    t, &a, t->word[i].begin, t->word[i].end);
	}
}

static void
find_in_command(struct trial *t, const struct run *run)
{
	size_t last = t->nword == 0 ? 0 : t->word[t->nword - 1].stage, stage;
	bool deny = run->rule->effect == EFFECT_DENY;

	for (size_t shift = 0; shift <= (deny ? last : 0); shift++) {
		stage = shift;
		for (const struct run *s = run; s != NULL;
		     s = s->next, stage++) {
			for (size_t i = 0; i < s->nassign; i++)
				find_in_words(
				    t, &s->assign[i], stage, LANGUAGE_SET);
			for (size_t i = 0; i < s->nitem; i++)
				find_in_stage(t, s, i, stage);
		}
	}
}

static int
find_in_ref(void *arg, const struct item *it)
{
	struct trial *t = arg;

	if (it->piece[0].text == NULL) /* a path's first piece is a literal */
		find_in_words(t, it, SIZE_MAX, LANGUAGE_END);
	return 0;
}

static void
find_places(struct trial *t, const struct piece_of *p)
{
	for (size_t k = 0; k < t->nclaim; k++)
		t->claim[k].nplace = 0;
	for (size_t i = 0; i < p->n; i++) {
		t->line = first_line(t->c, p->group[i]);
		if (t->line->run != NULL)
			find_in_command(t, t->line->run);
		else if (t->line->transfer != NULL)
			find_in_path(t, &t->line->transfer->under);
		else if (t->line->repository != NULL) {
			find_in_path(t, &t->line->repository->path);
			(void)items_of_repository(
			    t->line->repository, find_in_ref, t);
		}
	}
	t->line = first_line(t->c, t->group);
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
	split(t, n);
	find_places(t, p);
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
	bool all = false;
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
