/*
 * Claims at several places of lines that overlap: the values that stand for
 * all there are.  Runs in the command line tools.
 *
 * With one value of each claim in their place, lines are plain, and what they
 * match is compared exactly.  Few values are enough: where a claim is a whole
 * word, or has the same literals around it everywhere, two values that no other
 * word of the lines tells apart can be changed for each other, in a claim and
 * in each word of a command, and every line answers as before.  So of each kind
 * of values as many are tried as there are claims, in all ways, since claims
 * may also be the same.  Program names are left as they are, so no claim may be
 * one.  Where that does not hold, nothing is said.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/err.h"
#include "policy/compare_claim.h"
#include "policy/items.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/whatif.h"

#define KINDS_MAX 32
#define SPELLED_MAX 16 /* by conditions */
#define TRIES_MAX 256

/* Words: what is around a claim, and a value in it. */
struct values {
	struct trial *t;
	struct claim_around around;
	bool some; /* around is known */
	struct fa *kind[KINDS_MAX];
	size_t n;
	struct {
		char *text;
		bool of[CLAIMS_MAX]; /* which claims could be that */
	} value[KINDS_MAX * CLAIMS_MAX];
	size_t nvalue;
};

static bool
add_kind(struct values *v, struct fa *take)
{
	if (take == NULL || v->n == KINDS_MAX) {
		fa_free(take);
		return false;
	}
	v->kind[v->n++] = take;
	return true;
}

/* What of each kind is also in this stays, the rest is a new one. */
static bool
split_kinds(struct values *v, struct fa *take)
{
	size_t n = v->n;
	struct fa *both, *rest;
	bool ok = take != NULL;

	for (size_t i = 0; i < n && ok; i++) {
		both = language_both(v->kind[i], take);
		rest = language_without(v->kind[i], take);
		ok = both != NULL && rest != NULL;
		if (!ok || language_is_empty(both) || language_is_empty(rest)) {
			fa_free(both);
			fa_free(rest);
			continue;
		}
		fa_free(v->kind[i]);
		v->kind[i] = both;
		ok = add_kind(v, rest);
	}
	fa_free(take);
	return ok;
}

/* -- what is around -------------------------------------------------------- */

static bool
same_around(const struct claim_around *a, const struct claim_around *b)
{
	return a->nbefore == b->nbefore && a->nafter == b->nafter &&
	       memcmp(a->before, b->before, a->nbefore) == 0 &&
	       memcmp(a->after, b->after, a->nafter) == 0;
}

static bool
is_open(const struct values *v, const struct item *it)
{
	return item_has_claim(it) && trial_is_open(v->t, it);
}

static bool
take_around(struct values *v, const struct run *run, size_t item)
{
	struct claim_around a;

	if (!is_open(v, &run->item[item]))
		return true;
	if (bit_get(run->first, item) ||
	    !claim_look_around(&run->item[item], false, &a))
		return false;
	if (v->some)
		return same_around(&a, &v->around);
	v->around = a;
	v->some = true;
	return true;
}

static bool
take_line(struct values *v, const struct line *l)
{
	if (l->run == NULL || (l->run->dir != NULL && is_open(v, l->run->dir)))
		return false;
	for (const struct run *run = l->run; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nassign; i++) {
			if (is_open(v, &run->assign[i]))
				return false;
		}
		for (size_t i = 0; i < run->nitem; i++) {
			if (!take_around(v, run, i))
				return false;
		}
	}
	return true;
}

/* -- kinds ----------------------------------------------------------------- */

/* The texts with what is around. */
static struct fa *
in_word(const struct values *v, struct fa *take)
{
	char before[256], after[256];
	struct fa *p, *s, *fa = NULL, *half = NULL;

	if (v->around.nbefore >= sizeof(before) ||
	    v->around.nafter >= sizeof(after)) {
		fa_free(take);
		return NULL;
	}
	memcpy(before, v->around.before, v->around.nbefore);
	before[v->around.nbefore] = '\0';
	memcpy(after, v->around.after, v->around.nafter);
	after[v->around.nafter] = '\0';
	p = language_text(before);
	s = language_text(after);
	if (take != NULL && p != NULL && s != NULL &&
	    (half = language_behind(p, take)) != NULL)
		fa = language_behind(half, s);
	fa_free(half);
	fa_free(p);
	fa_free(s);
	fa_free(take);
	return fa;
}

static struct fa *
values_of(const struct values *v, size_t claim, bool spelled)
{
	const struct trial *t = v->t;
	const char *name = t->claim[claim].name;

	return in_word(v, cells_values(&t->c->cells, name,
			      claims_get(&t->s->claims, name), spelled));
}

/* What conditions spell out makes others of the job, each by itself. */
static bool
split_spelled(struct values *v, size_t claim)
{
	struct fa *all = values_of(v, claim, true), *rest = NULL, *one, *less;
	struct fa *free_ = values_of(v, claim, false);
	size_t n, tries = 0;
	bool ok = all != NULL && free_ != NULL;
	char *s;

	if (ok && (rest = language_without(all, free_)) == NULL)
		ok = false;
	while (ok && !language_is_empty(rest)) {
		ok = false;
		if (++tries > SPELLED_MAX ||
		    (s = language_example(rest, &n)) == NULL)
			break;
		one = language_text(s);
		free(s);
		less = one == NULL ? NULL : language_without(rest, one);
		fa_free(rest);
		rest = less;
		ok = split_kinds(v, one) && rest != NULL;
	}
	fa_free(rest);
	fa_free(all);
	if (!ok) {
		fa_free(free_);
		return false;
	}
	return split_kinds(v, free_);
}

static bool
split_by_line(struct values *v, const struct line *l)
{
	struct language_ctx *x = &v->t->c->ctx;

	x->p = v->t->c->cells.p[l->side];
	x->target = v->t->c->spot->target[l->side];
	for (const struct run *run = l->run; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nitem; i++) {
			if (!is_open(v, &run->item[i]) &&
			    !split_kinds(v, language_word(&run->item[i], x)))
				return false;
		}
	}
	return true;
}

/* Calls fn for the group, the other one, and those that could overlap. */
static bool
each_line(struct values *v, size_t with,
    bool (*fn)(struct values *v, const struct line *l))
{
	const struct compare *c = v->t->c;

	if (!fn(v, &c->line[c->group[v->t->group].begin]) ||
	    (with != NO_GROUP && !fn(v, &c->line[c->group[with].begin])))
		return false;
	for (size_t i = 0; i < c->nfound; i++) {
		if (!fn(v, &c->line[c->group[c->found[i]].begin]))
			return false;
	}
	return true;
}

static bool
make_kinds(struct values *v, size_t with)
{
	static const char dash[] = "-";
	struct fa *sum = NULL, *fa, *both;

	for (size_t k = 0; k < v->t->nclaim; k++) {
		if ((fa = values_of(v, k, true)) == NULL) {
			fa_free(sum);
			return false;
		}
		both =
		    sum == NULL ? language_copy(fa) : language_either(sum, fa);
		fa_free(sum);
		fa_free(fa);
		if ((sum = both) == NULL)
			return false;
	}
	if (!add_kind(v, sum) || !split_kinds(v, language_beginning(dash)))
		return false;
	for (size_t k = 0; k < v->t->nclaim; k++) {
		if (!split_spelled(v, k))
			return false;
	}
	return each_line(v, with, split_by_line);
}

/* -- values ---------------------------------------------------------------- */

static bool
add_value(struct values *v, const char *word, size_t n)
{
	size_t at = v->nvalue;
	struct fa *text = language_text(word), *all;
	bool ok = text != NULL;

	for (size_t k = 0; k < v->t->nclaim && ok; k++) {
		all = values_of(v, k, true);
		ok = all != NULL;
		v->value[at].of[k] = ok && language_is_within(text, all);
		fa_free(all);
	}
	fa_free(text);
	if (!ok)
		return false;
	v->value[at].text = strndup(
	    word + v->around.nbefore, n - v->around.nbefore - v->around.nafter);
	if (v->value[at].text == NULL)
		return false;
	v->nvalue++;
	return true;
}

/* As many of one kind as there are claims. */
static bool
take_values(struct values *v, struct fa *kind)
{
	struct fa *rest = language_copy(kind), *one, *less;
	bool ok = rest != NULL;
	char *s;
	size_t n;

	for (size_t i = 0; i < v->t->nclaim && ok && !language_is_empty(rest);
	     i++) {
		if ((s = language_example(rest, &n)) == NULL) {
			ok = false;
			break;
		}
		one = language_text(s);
		less = one == NULL ? NULL : language_without(rest, one);
		fa_free(one);
		fa_free(rest);
		rest = less;
		ok = rest != NULL && add_value(v, s, n);
		free(s);
	}
	fa_free(rest);
	return ok;
}

static bool
next_try(const struct values *v, size_t *at)
{
	for (size_t k = 0; k < v->t->nclaim; k++) {
		while (++at[k] < v->nvalue && !v->value[at[k]].of[k])
			;
		if (at[k] < v->nvalue)
			return true;
		for (at[k] = 0; !v->value[at[k]].of[k]; at[k]++)
			;
	}
	return false;
}

/* Each claim has some value, and there are not too many ways. */
static bool
begin_tries(const struct values *v, size_t *at)
{
	size_t ways = 1, n;

	for (size_t k = 0; k < v->t->nclaim; k++) {
		n = 0;
		for (size_t i = v->nvalue; i-- > 0;) {
			if (v->value[i].of[k]) {
				at[k] = i;
				n++;
			}
		}
		if (n == 0 || (ways *= n) > TRIES_MAX)
			return false;
	}
	return true;
}

/* Lines as they are with these values, in the session that has them. */
static int
compare_with(struct values *v, size_t with, const size_t *at)
{
	struct trial *t = v->t;
	struct compare *c = t->c;
	struct claims over = { 0 };
	struct session s = { .as = NULL };
	bool spelled = false;
	int r = 0;

	for (size_t k = 0; k < t->nclaim && r == 0; k++) {
		r = claims_set(&over, t->claim[k].name, v->value[at[k]].text);
		spelled =
		    spelled || cells_is_literal(&c->cells, t->claim[k].name,
				   v->value[at[k]].text);
	}
	if (r != 0 || (r = session_with(&c->cells, t->s, &over, &s)) != 0)
		goto out;
	if (!spelled && !session_is_same(&c->cells, t->s, &s))
		compare_doubt(c, t->line,
		    "what a claim is makes somebody else of the job");
	if (!s.set[CELLS_NEW][s.as->index])
		goto out;
	c->ctx.claims = &s.claims;
	compare_forget_languages(c);
	compare_cut(c, t->group, with);
	for (size_t i = 0; i < c->npiece && r == 0; i++)
		r = compare_ask_piece(c, t->group, &c->piece[i], &s, 1);
	compare_forget_pieces(c);
	compare_forget_languages(c);
out:
	c->ctx.claims = &t->s->claims;
	claims_clear(&over);
	session_clear(&s);
	return r;
}

int
trial_of_values(struct trial *t, size_t with, bool *decided)
{
	struct values v = { .t = t };
	size_t at[CLAIMS_MAX] = { 0 };
	int r = 0;

	*decided =
	    each_line(&v, with, take_line) && v.some && make_kinds(&v, with);
	for (size_t i = 0; i < v.n && *decided; i++)
		*decided = take_values(&v, v.kind[i]);
	*decided = *decided && begin_tries(&v, at);
	if (*decided) {
		do
			r = compare_with(&v, with, at);
		while (r == 0 && compare_has_time(t->c) && next_try(&v, at));
	}
	for (size_t i = 0; i < v.n; i++)
		fa_free(v.kind[i]);
	for (size_t i = 0; i < v.nvalue; i++)
		free(v.value[i].text);
	return r;
}
