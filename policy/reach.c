/*
 * Which places the rules of some identities name.  Runs in the policy process
 * for a job that asks.  Every target is looked at once, however many rules
 * there are: what a rule says of all or of a group is marked once.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/model.h"

#define REACH_LOGINS_MAX                                                       \
	1024 /* places with a login of their own that are                      \
	      * kept in mind; what is beyond is not told */

struct reach {
	const struct policy *p;
	time_t now;
	uint64_t *own, *group; /* marked: targets, groups */
	bool all;
	const struct where **login;
	size_t nlogin;
	bool full; /* there were more of them */
};

struct teller {
	policy_reach_fn fn;
	void *arg;
};

static bool
rule_is_for(const struct rule *rule, const bool *set)
{
	for (size_t i = 0; i < rule->nwho && !rule->everyone; i++) {
		if (set[rule->id[i]])
			return true;
	}
	return rule->everyone;
}

static bool
same_place(const struct where *a, const struct where *b)
{
	return a->kind == b->kind && a->target == b->target &&
	       a->group == b->group && strcmp(a->login, b->login) == 0;
}

static void
mark_login(struct reach *x, const struct where *w)
{
	for (size_t i = 0; i < x->nlogin; i++) {
		if (same_place(x->login[i], w))
			return;
	}
	if (x->nlogin < REACH_LOGINS_MAX)
		x->login[x->nlogin++] = w;
	else
		x->full = true;
}

static void
mark(struct reach *x, const struct where *w)
{
	if (w->login != NULL) {
		mark_login(x, w);
		return;
	}
	switch (w->kind) {
	case WHERE_ALL:
		x->all = true;
		return;
	case WHERE_TARGET:
		bit_set(x->own, w->target->index);
		return;
	case WHERE_GROUP:
		if (bit_get(x->group, w->group->index))
			return;
		bit_set(x->group, w->group->index);
		for (size_t i = 0; i < w->group->n; i++)
			bit_set(x->own, w->group->member[i]->index);
		return;
	}
}

static bool
reaches(const struct reach *x, const struct target_full *t, const char *login)
{
	if (x->now != 0 && (int64_t)x->now < t->pub.observe_until)
		return true;
	if (strcmp(login, t->pub.login) == 0 &&
	    (x->all || bit_get(x->own, t->index)))
		return true;
	for (size_t i = 0; i < x->nlogin; i++) {
		if (strcmp(x->login[i]->login, login) == 0 &&
		    where_has(x->login[i], t))
			return true;
	}
	return false;
}

/* Without a login a deny covers all. */
static bool
denies(const struct reach *x, const struct target_full *t, const char *login)
{
	if (x->all || bit_get(x->own, t->index))
		return true;
	for (size_t i = 0; i < x->nlogin; i++) {
		if (strcmp(x->login[i]->login, login) == 0 &&
		    where_has(x->login[i], t))
			return true;
	}
	return x->full;
}

static int
tell_place(const struct reach *allow, const struct reach *deny,
    const struct target_full *t, const char *login, const struct teller *to)
{
	if (!reaches(allow, t, login))
		return 0;
	return to->fn(to->arg, &t->pub, login, denies(deny, t, login));
}

static int
tell(const struct reach *allow, const struct reach *deny,
    const struct teller *to)
{
	const struct target_full *t;
	int r = 0;

	for (size_t i = 0; i < allow->p->ntarget && r == 0; i++) {
		t = allow->p->target[i];
		r = tell_place(allow, deny, t, t->pub.login, to);
		for (size_t k = 0; k < t->pub.nextra_login && r == 0; k++)
			r = tell_place(
			    allow, deny, t, t->pub.extra_login[k], to);
	}
	return r;
}

static int
reach_init(struct reach *x, const struct policy *p, time_t now)
{
	*x = (struct reach){ .p = p, .now = now };
	x->own = calloc(p->ntarget / 64 + 1, sizeof(*x->own));
	x->group = calloc(p->ngroup / 64 + 1, sizeof(*x->group));
	x->login = calloc(REACH_LOGINS_MAX, sizeof(struct where *));
	return x->own == NULL || x->group == NULL || x->login == NULL
		   ? ERR_NOMEM
		   : 0;
}

static void
reach_clear(struct reach *x)
{
	free(x->own);
	free(x->group);
	free(x->login);
}

int
policy_reach(const struct policy *p, const bool *set, time_t now,
    policy_reach_fn fn, void *arg)
{
	const struct teller to = { fn, arg };
	struct reach allow = { 0 }, deny = { 0 };
	const struct rule *rule;
	int r;

	if ((r = reach_init(&allow, p, now)) != 0 ||
	    (r = reach_init(&deny, p, now)) != 0)
		goto out;
	for (size_t i = 0; i < p->nrule; i++) {
		rule = p->rule[i];
		if (!rule_is_for(rule, set))
			continue;
		for (size_t k = 0; k < rule->nwhere; k++)
			mark(rule->effect == EFFECT_ALLOW ? &allow : &deny,
			    &rule->where[k]);
	}
	r = tell(&allow, &deny, &to);
out:
	reach_clear(&allow);
	reach_clear(&deny);
	return r;
}
