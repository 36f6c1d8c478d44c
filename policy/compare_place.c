/*
 * Where the claims of lines stand in a request that they match.  Runs in the
 * command line tools.
 *
 * Only a claim that is a part of a word, or of a path, whose rest is literal,
 * can be read from it.
 */
#include "config.h"

#include <string.h>

#include "policy/compare_claim.h"
#include "policy/items.h"
#include "policy/model.h"

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

bool
claim_look_around(const struct item *it, bool path, struct claim_around *a)
{
	const struct piece *v[ITEMS_FLAT_MAX];
	size_t n, at = SIZE_MAX;
	const char *slash;

	*a = (struct claim_around){ .before = "", .after = "" };
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
take_place(
    struct trial *t, const struct claim_around *a, size_t begin, size_t end)
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
		t->two_places = t->line;
	if (o->nplace < PLACES_MAX) {
		o->place[o->nplace].begin = begin;
		o->place[o->nplace++].end = end;
	}
	return true;
}

bool
trial_is_open(const struct trial *t, const struct item *it)
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
	struct claim_around a;

	if (!item_has_claim(it) || !trial_is_open(t, it))
		return;
	if (!claim_look_around(it, false, &a)) {
		compare_doubt(t->c, t->line, CLAIM_NOT_ALONE);
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
	struct claim_around a;
	size_t part = 0, begin = 0, end;

	if (!item_has_claim(it) || !trial_is_open(t, it) || t->nword == 0)
		return;
	if (!claim_look_around(it, true, &a)) {
		compare_doubt(t->c, t->line, CLAIM_NOT_ALONE);
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
	struct claim_around a;
	size_t place = 0;

	if (!item_has_claim(it) || !trial_is_open(t, it))
		return;
	if (!claim_look_around(it, false, &a)) {
		compare_doubt(t->c, t->line, CLAIM_NOT_ALONE);
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

void
trial_find_places(struct trial *t, const struct piece_of *p, size_t n)
{
	split(t, n);
	for (size_t k = 0; k < t->nclaim; k++)
		t->claim[k].nplace = 0;
	for (size_t i = 0; i < p->n; i++) {
		t->line = &t->c->line[t->c->group[p->group[i]].begin];
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
	t->line = &t->c->line[t->c->group[t->group].begin];
}
