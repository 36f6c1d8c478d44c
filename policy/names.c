/*
 * Listing the names that identities may use.  Runs in the signer, over the
 * policy as it has read it itself.  The work is bounded by the policy's size
 * and the number of names that are wanted.
 */
#include "config.h"

#include "policy/names.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/model.h"
#include "policy/policy.h"

/* Of one target. */
struct mark {
	bool own;
	uint64_t extra; /* a bit for each of its further logins */
};
_Static_assert(POLICY_LIST_MAX <= 64, "a bit for each login");

struct listing {
	struct names *n;
	struct mark *mark; /* by the targets' index */
	size_t short_names, long_names;
};

static void
mark_own(struct listing *l, const struct target_full *t)
{
	struct mark *m = &l->mark[t->index];

	if (m->own)
		return;
	m->own = true;
	l->short_names++;
	l->long_names++;
}

static void
mark_extra(struct listing *l, const struct target_full *t, size_t i)
{
	struct mark *m = &l->mark[t->index];

	if ((m->extra >> i & 1) != 0)
		return;
	m->extra |= (uint64_t)1 << i;
	l->short_names++;
}

/* login NULL: the target's own, as an allow rule means it. */
static void
mark_login(struct listing *l, const struct target_full *t, const char *login)
{
	const struct target *pub = &t->pub;

	if (login == NULL || strcmp(login, pub->login) == 0) {
		mark_own(l, t);
		return;
	}
	for (size_t i = 0; i < pub->nextra_login; i++) {
		if (strcmp(login, pub->extra_login[i]) == 0)
			mark_extra(l, t, i);
	}
}

static bool
is_full(const struct listing *l)
{
	return l->short_names > l->n->max;
}

static void
mark_where(struct listing *l, const struct where *w)
{
	const struct policy *p = l->n->policy;

	switch (w->kind) {
	case WHERE_ALL:
		for (size_t i = 0; i < p->ntarget && !is_full(l); i++)
			mark_login(l, p->target[i], w->login);
		return;
	case WHERE_TARGET:
		mark_login(l, w->target, w->login);
		return;
	case WHERE_GROUP:
		if (w->group == NULL)
			return;
		for (size_t i = 0; i < w->group->n && !is_full(l); i++)
			mark_login(l, w->group->member[i], w->login);
		return;
	}
}

static bool
rule_is_theirs(const struct rule *rule, const struct names *n)
{
	if (rule->effect != EFFECT_ALLOW)
		return false;
	if (rule->everyone)
		return memchr(n->identity, true, n->policy->nidentity) != NULL;
	for (size_t i = 0; i < rule->nwho; i++) {
		if (n->identity[rule->id[i]])
			return true;
	}
	return false;
}

/* What no rule allows is let through there, under any login that it has; but
 * to nobody who is nobody. */
static void
mark_observed(struct listing *l)
{
	const struct policy *p = l->n->policy;

	if (l->n->now <= 0 ||
	    memchr(l->n->identity, true, p->nidentity) == NULL)
		return;
	for (size_t i = 0; i < p->ntarget && !is_full(l); i++) {
		const struct target_full *t = p->target[i];

		if (t->pub.observe_until <= l->n->now)
			continue;
		mark_own(l, t);
		for (size_t k = 0; k < t->pub.nextra_login; k++)
			mark_extra(l, t, k);
	}
}

static int
say(const struct names *n, const char *login, const char *target)
{
	char name[USER_LEN_MAX + 1];
	int len;

	len = login == NULL
		  ? snprintf(name, sizeof(name), "%s", target)
		  : snprintf(name, sizeof(name), "%s+%s", login, target);
	if (len < 0 || (size_t)len >= sizeof(name))
		return ERR_INTERNAL;
	return n->fn(n->arg, name);
}

/* All of them, or the first so many. */
static int
say_all(const struct listing *l)
{
	const struct names *n = l->n;
	const bool both = l->short_names + l->long_names <= n->max;
	size_t left = n->max;
	int r = 0;

	for (size_t i = 0; i < n->policy->ntarget && r == 0; i++) {
		const struct target *t = &n->policy->target[i]->pub;
		const struct mark *m = &l->mark[i];

		if (m->own && left > 0) {
			left--;
			r = say(n, NULL, t->name);
		}
		if (m->own && both && r == 0)
			r = say(n, t->login, t->name);
		for (size_t k = 0; k < t->nextra_login && r == 0; k++) {
			if ((m->extra >> k & 1) == 0 || left == 0)
				continue;
			left--;
			r = say(n, t->extra_login[k], t->name);
		}
	}
	return r;
}

int
policy_names(struct names *n)
{
	const struct policy *p = n->policy;
	struct listing l = { .n = n };
	int r;

	if ((l.mark = calloc(p->ntarget + 1, sizeof(*l.mark))) == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->nrule && !is_full(&l); i++) {
		const struct rule *rule = p->rule[i];

		if (!rule_is_theirs(rule, n))
			continue;
		for (size_t k = 0; k < rule->nwhere && !is_full(&l); k++)
			mark_where(&l, &rule->where[k]);
	}
	if (!is_full(&l))
		mark_observed(&l);
	n->more = is_full(&l);
	r = say_all(&l);
	free(l.mark);
	return r;
}
