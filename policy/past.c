/*
 * Who a job may have been, by what a ledger holds of it.  Runs in the command
 * line.  Nothing here is a guess: a condition holds, or it does not, or the
 * ledger does not say.
 */
#include "config.h"

#include "policy/past.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/preset.h"
#include "policy/whatif.h"

/* Of a condition.  Zeroed memory knows nothing. */
enum truth { UNKNOWN = 0, FALSE, TRUE };

#define TIES 6 /* the five names and the subject */

/* What is known of the claims, each as a condition that they met. */
struct facts {
	const struct identity *was; /* whose conditions they met; or NULL */
	struct condition tie[TIES];
	struct claim_value value[TIES + 1];
	size_t ntie;
	char pull[64];
};

/* -- facts
 * ------------------------------------------------------------------- */

/* The claim had this value; "": it was not there. */
static void
add_tie(struct facts *f, const char *claim, const char *value)
{
	struct condition *c = &f->tie[f->ntie];
	struct claim_value *v = &f->value[f->ntie];

	if (claim == NULL)
		return;
	*v = (struct claim_value){ .text = value };
	*c = (struct condition){ .kind = *value == '\0' ? CONDITION_ABSENT
							: CONDITION_VALUES,
		.claim = claim,
		.value = v,
		.nvalue = *value != '\0' };
	f->ntie++;
}

/* The ledger has the number alone of "17" or "refs/pull/17/merge"; that there
 * is none says nothing about the claim. */
static void
add_pull(struct facts *f, const char *claim, const char *number)
{
	if (claim == NULL || *number == '\0' ||
	    (size_t)snprintf(f->pull, sizeof(f->pull), "refs/pull/%s/**",
		number) >= sizeof(f->pull))
		return;
	add_tie(f, claim, number);
	f->value[f->ntie] = (struct claim_value){ f->pull, .glob = true };
	f->tie[f->ntie - 1].nvalue = 2;
}

static void
facts_init(struct facts *f, const struct preset *row, const struct past *past)
{
	*f = (struct facts){ .was = NULL };
	add_tie(f, row->commit, past->commit);
	if (row->actor_after == NULL)
		add_tie(f, row->actor, past->actor);
	add_tie(f, row->workflow, past->workflow);
	add_tie(f, row->run, past->run);
	if (*past->subject != '\0')
		add_tie(f, "sub", past->subject);
	add_pull(f, row->pull_request, past->pull_request); /* MUST be last */
}

/* The i-th; NULL past the last. */
static const struct condition *
fact_at(const struct facts *f, size_t i)
{
	if (i < f->ntie)
		return &f->tie[i];
	i -= f->ntie;
	return f->was != NULL && i < f->was->cond.n ? &f->was->cond.v[i] : NULL;
}

/* -- conditions
 * -------------------------------------------------------------- */

/* Some value of the fact's fits, and whether all do. */
static enum truth
compare_values(const struct condition *fact, const struct condition *want)
{
	bool any = false, all = true;

	for (size_t i = 0; i < fact->nvalue; i++) {
		const struct claim_value *a = &fact->value[i];
		bool covers = false;

		for (size_t k = 0; k < want->nvalue; k++) {
			const struct claim_value *b = &want->value[k];

			if (a->glob && b->glob) {
				any = true; /* they may have one in common */
				covers |= strcmp(a->text, b->text) == 0 ||
					  strcmp(b->text, "**") == 0;
			} else if (a->glob) {
				any |= claim_value_holds(a, b->text);
			} else {
				covers |= claim_value_holds(b, a->text);
			}
		}
		any |= covers;
		all &= covers;
	}
	return all ? TRUE : any ? UNKNOWN : FALSE;
}

/* An empty value counts as none, but for the `=` that asks for it. */
static bool
has_empty(const struct condition *c)
{
	for (size_t i = 0; i < c->nvalue; i++) {
		if (!c->value[i].glob && c->value[i].text[0] == '\0')
			return true;
	}
	return false;
}

/* One condition held; does another on the same claim? */
static enum truth
fact_says(const struct condition *fact, const struct condition *want)
{
	bool there = fact->kind != CONDITION_ABSENT;

	if (has_empty(fact) || has_empty(want))
		return UNKNOWN;
	switch (want->kind) {
	case CONDITION_PRESENT:
		return there ? TRUE : FALSE;
	case CONDITION_ABSENT:
		return there ? FALSE : TRUE;
	case CONDITION_VALUES:
		break;
	}
	return !there                           ? FALSE
	       : fact->kind == CONDITION_VALUES ? compare_values(fact, want)
						: UNKNOWN;
}

static enum truth
facts_say(const struct facts *f, const struct condition *want)
{
	enum truth best = UNKNOWN, one;
	const struct condition *c;

	for (size_t i = 0; (c = fact_at(f, i)) != NULL; i++) {
		if (strcmp(c->claim, want->claim) != 0)
			continue;
		if ((one = fact_says(c, want)) == FALSE)
			return FALSE;
		if (one == TRUE)
			best = TRUE;
	}
	return best;
}

/* -- dangers
 * ----------------------------------------------------------------- */

/* Does one of the preset's dangers hold, which opened says it may? */
static enum truth
danger(const struct facts *f, const struct preset *row, size_t i)
{
	const struct risky *k = &row->risky[i];
	char text[128];
	struct claim_value v = { k->value, .glob = k->kind != RISKY_IS };
	const struct condition c = { .kind = CONDITION_VALUES,
		.claim = k->claim,
		.value = &v,
		.nvalue = 1 };
	enum truth is;

	/* It did not hold, or the job would not have been who it was. */
	if (f->was != NULL && f->was->issuer->preset == row &&
	    (f->was->opened >> i & 1) == 0)
		return FALSE;
	if (k->kind == RISKY_DIFFERS)
		return UNKNOWN;
	if (k->kind != RISKY_IS) {
		if ((size_t)snprintf(text, sizeof(text), "%s**", k->value) >=
		    sizeof(text))
			return UNKNOWN;
		v.text = text;
	}
	is = facts_say(f, &c);
	if (k->kind == RISKY_BEGINS_NOT)
		return is == TRUE ? FALSE : is == FALSE ? TRUE : UNKNOWN;
	return is;
}

/* -- identities
 * -------------------------------------------------------------- */

static enum truth
is_identity(
    const struct facts *f, const struct identity *id, const char **lacks)
{
	const struct preset *row = id->issuer->preset;
	enum truth all = id->cond.n > 0 ? TRUE : FALSE, one;

	for (size_t i = 0; i < id->cond.n; i++) {
		if ((one = facts_say(f, &id->cond.v[i])) == FALSE)
			return FALSE;
		if (one == UNKNOWN && all == TRUE) {
			all = UNKNOWN;
			*lacks = id->cond.v[i].claim;
		}
	}
	for (size_t i = 0; row->risky != NULL && row->risky[i].word != NULL;
	     i++) {
		if ((id->opened >> i & 1) != 0)
			continue;
		if ((one = danger(f, row, i)) == TRUE)
			return FALSE;
		if (one == UNKNOWN && all == TRUE) {
			all = UNKNOWN;
			*lacks = row->risky[i].claim;
		}
	}
	return all;
}

/* An identity of that name and issuer. */
static const struct identity *
find_was(const struct policy *p, const struct past *past)
{
	const struct identity *id =
	    p == NULL ? NULL : dict_get(&p->identities, past->identity);

	return id != NULL && strcmp(id->issuer->pub.name, past->issuer) == 0
		   ? id
		   : NULL;
}

/* The issuer in p, if its tokens are those that it had. */
static const struct issuer_full *
find_issuer(const struct policy *p, const struct policy *old, const char *name)
{
	const struct issuer_full *is = dict_get(&p->issuers, name);
	const struct issuer_full *was =
	    old == NULL ? NULL : dict_get(&old->issuers, name);

	return is == NULL || was == NULL ||
		       (is->preset == was->preset &&
			   strcmp(is->pub.url, was->pub.url) == 0)
		   ? is
		   : NULL;
}

/* The claims with one value. */
static int
known_claims(const struct facts *f, struct claims *cs)
{
	const struct condition *c;
	int r;

	for (size_t i = 0; (c = fact_at(f, i)) != NULL; i++) {
		if (c->kind != CONDITION_VALUES || c->nvalue != 1 ||
		    c->value[0].glob || claims_get(cs, c->claim) != NULL)
			continue;
		r = claims_add(cs, c->claim, c->value[0].text);
		if (r != 0 && r != ERR_TOOBIG)
			return r;
	}
	return 0;
}

int
suspects_find(struct suspects *w, const struct policy *p,
    const struct policy *old, const struct past *past)
{
	const struct issuer_full *is = find_issuer(p, old, past->issuer);
	const struct identity *was = find_was(old, past);
	const char *lacks;
	struct facts f;
	int r = ERR_NOMEM;

	*w = (struct suspects){ .n = p->nidentity };
	w->sure = calloc(w->n + 1, sizeof(*w->sure));
	w->all = calloc(w->n + 1, sizeof(*w->all));
	w->lacks = calloc(w->n + 1, sizeof(*w->lacks));
	if (w->sure == NULL || w->all == NULL || w->lacks == NULL)
		goto out;
	r = 0;
	if (is == NULL)
		goto out;
	facts_init(&f, is->preset, past);
	if (was == NULL)
		was = find_was(p, past);
	/* What the ledger has holds, whatever a policy says by that name. */
	if (was != NULL && is_identity(&f, was, &lacks) != FALSE)
		f.was = was;
	for (size_t i = 0; i < w->n; i++) {
		enum truth t;

		if (p->identity[i]->issuer != is)
			continue;
		t = is_identity(&f, p->identity[i], &w->lacks[i]);
		w->sure[i] = t == TRUE;
		w->all[i] = t != FALSE;
		w->any |= t == UNKNOWN;
	}
	r = known_claims(&f, &w->claims);
out:
	if (r != 0)
		suspects_clear(w);
	return r;
}

void
suspects_clear(struct suspects *w)
{
	free(w->sure);
	free(w->all);
	free(w->lacks);
	claims_clear(&w->claims);
	*w = (struct suspects){ 0 };
}
