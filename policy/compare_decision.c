/*
 * Two answers to one question: is the new one more than the old one?  Runs in
 * the command line tools.
 */
#include "config.h"

#include "policy/compare.h"

#include <stdint.h>
#include <string.h>

#include <fa.h>

#include "policy/decide.h"
#include "policy/items.h"
#include "policy/language.h"
#include "policy/model.h"
#include "policy/overlap.h"

static int
verdict_rank(const struct decision *d)
{
	/* not `meant`: on a target that is observed it is a denial */
	return d->verdict == VERDICT_ALLOW      ? 2
	       : d->verdict == VERDICT_APPROVAL ? 1
						: 0;
}

/* 0 is no bound. */
static bool
is_looser(uint64_t old, uint64_t new)
{
	return old != 0 && (new == 0 || new > old);
}

static bool
is_looser_rate(const struct limits *old, const struct limits *new)
{
	if (old->rate == 0)
		return false;
	/* `5 per 10m` allows all of its five at once */
	return new->rate == 0 || new->rate > old->rate ||
	       (uint64_t) new->rate * old->rate_per_s >
		   (uint64_t)old->rate *new->rate_per_s;
}

static bool
has_looser_limits(const struct limits *old, const struct limits *new)
{
	return is_looser(old->duration_s, new->duration_s) ||
	       is_looser(old->output, new->output) ||
	       is_looser(old->concurrent, new->concurrent) ||
	       is_looser_rate(old, new);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
has_mask(const struct policy *p, const uint64_t *set, const struct mask *m)
{
	for (size_t i = 0; i < p->nmask; i++) {
		if (bit_get(set, i) && p->mask[i]->kind == m->kind &&
		    strcmp(p->mask[i]->text, m->text) == 0)
			return true;
	}
	return false;
}

/* Does a mask of the first miss in the second? */
static bool
lacks_masks(const struct policy *p, const struct decision *d,
    const struct policy *in, const struct decision *other)
{
	for (size_t i = 0; i < p->nmask; i++) {
		if (bit_get(d->masks, i) &&
		    !has_mask(in, other->masks, p->mask[i]))
			return true;
	}
	return false;
}

/* Everybody who counts for the one counts for the other. */
static bool
are_within(const struct policy *p, const char *name, const struct policy *in,
    const char *other)
{
	const struct people *a = dict_get(&p->peoples, name);
	const struct people *b = dict_get(&in->peoples, other);
	size_t k;

	if (a == NULL || b == NULL)
		return same_text(name, other);
	for (size_t i = 0; i < a->n; i++) {
		for (k = 0; k < b->n &&
			    strcmp(a->member[i].name, b->member[k].name) != 0;
		     k++)
			;
		if (k == b->n)
			return false;
	}
	return true;
}

/* Is what `a` demands demanded by some approval of the other, too? */
static bool
is_demanded(const struct policy *p, const struct approval *a,
    const struct policy *in, const struct decision *other)
{
	const struct approval *b;

	for (size_t i = 0; i < in->napproval; i++) {
		b = &in->approval[i]->pub;
		if (bit_get(other->approvals, i) && b->n >= a->n &&
		    b->within_s <= a->within_s && b->valid_s <= a->valid_s &&
		    (b->with_stdin || !a->with_stdin) &&
		    are_within(in, b->people, p, a->people))
			return true;
	}
	return false;
}

static bool
lacks_approvals(const struct policy *p, const struct decision *d,
    const struct policy *in, const struct decision *other)
{
	for (size_t i = 0; i < p->napproval; i++) {
		if (bit_get(d->approvals, i) &&
		    !is_demanded(p, &p->approval[i]->pub, in, other))
			return true;
	}
	return false;
}

static bool
same_programs(const struct decision *a, const struct decision *b)
{
	for (size_t i = 0; i < COMMAND_STAGES_MAX; i++) {
		if (!same_text(a->program[i], b->program[i]))
			return false;
	}
	return true;
}

/* May a value of the one not be one of the other?  Claims are looked at as
 * they are written. */
static bool
has_more_values(const struct policy *po, const struct env_var *old,
    const struct policy *pn, const struct env_var *new)
{
	const struct language_ctx xo = { .p = po }, xn = { .p = pn };
	struct fa *a, *b;
	bool more;

	if (overlap_item_within(&new->value, &old->value))
		return false;
	if (item_has_claim(&old->value) || item_has_claim(&new->value))
		return true;
	a = language_word(&new->value, &xn);
	b = language_word(&old->value, &xo);
	more = a == NULL || b == NULL || !language_is_within(a, b);
	fa_free(a);
	fa_free(b);
	return more;
}

static const struct env_var *
env_of(const struct rule *rule, const char *name)
{
	for (size_t i = 0; rule != NULL && i < rule->nenv; i++) {
		if (strcmp(rule->env[i].name, name) == 0)
			return &rule->env[i];
	}
	return NULL;
}

static bool
has_more_env(const struct policy *po, const struct rule *old,
    const struct policy *pn, const struct rule *new)
{
	const struct env_var *e;

	for (size_t i = 0; new != NULL &&i < new->nenv; i++) {
		e = env_of(old, new->env[i].name);
		if (e == NULL || has_more_values(po, e, pn, &new->env[i]))
			return true;
	}
	return false;
}

/* Of files. */
static bool
has_looser_transfer(const struct decision *old, const struct decision *new)
{
	return is_looser(old->transfer_max, new->transfer_max) ||
	       (old->no_delete && !new->no_delete) ||
	       (old->no_symlinks && !new->no_symlinks);
}

/* Is `new` in anything more than `old`, both of which allow? */
static bool
is_more(const struct policy *po, const struct decision *old,
    const struct policy *pn, const struct decision *new)
{
	return has_more_env(po, old->rule, pn, new->rule) ||
	       has_looser_transfer(old, new) ||
	       (old->text_only && !new->text_only) ||
	       (old->record_input && !new->record_input) ||
	       (old->record_full && !new->record_full) ||
	       (new->stdin_ok && (!old->stdin_ok || is_looser(old->stdin_max,
							new->stdin_max))) ||
	       has_looser_limits(&old->limit, &new->limit) ||
	       lacks_masks(po, old, pn, new) ||
	       lacks_approvals(po, old, pn, new);
}

bool
compare_decisions(const struct request *q[2], const struct decision *d[2],
    enum difference *out)
{
	const struct policy *po = q[0]->policy, *pn = q[1]->policy;
	int before = verdict_rank(d[0]), after = verdict_rank(d[1]);

	if (after == 0)
		return false;
	if (after > before || !same_programs(d[0], d[1])) {
		*out = DIFFERENCE_ALLOWED;
		return true;
	}
	if (is_more(po, d[0], pn, d[1])) {
		*out = DIFFERENCE_LESS;
		return true;
	}
	if (after < before || is_more(pn, d[1], po, d[0])) {
		*out = DIFFERENCE_MORE;
		return true;
	}
	return false;
}
