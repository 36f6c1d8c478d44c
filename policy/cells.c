/*
 * The finitely many sessions, places and times in which two policies can
 * differ.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/cells.h"

#include <stdint.h>
#include <stdlib.h>

#include "policy/cells_internal.h"
#include "policy/judge.h"
#include "policy/model.h"

void *
cells_more(void *v, size_t n, size_t *cap, size_t size)
{
	void *bigger;

	if (n < *cap)
		return v;
	bigger = reallocarray(v, *cap == 0 ? 16 : *cap * 2, size);
	if (bigger != NULL)
		*cap = *cap == 0 ? 16 : *cap * 2;
	return bigger;
}

int
cells_init(struct cells *c, const struct policy *before,
    const struct policy *after, time_t from)
{
	int r;

	*c = (struct cells){ .p = { before, after } };
	if ((r = cells_make_sessions(c)) != 0 ||
	    (r = cells_make_places(c, from)) != 0 ||
	    (r = cells_make_times(c, from)) != 0)
		cells_clear(c);
	return r;
}

void
cells_clear(struct cells *c)
{
	for (size_t i = 0; i < c->nsession; i++)
		session_clear(&c->session[i]);
	free(c->session);
	free(c->spot);
	free(c->now);
	*c = (struct cells){ 0 };
}

bool
cells_is_for(const struct cells *c, int side, const struct rule *rule,
    const struct session *s)
{
	const struct request q = { .policy = c->p[side],
		.identity = s->set[side] };

	return (rule->everyone && rule->effect == EFFECT_DENY) ||
	       rule_identity(rule, &q) != NULL;
}

bool
cells_is_here(const struct cells *c, int side, const struct rule *rule,
    const struct spot *s)
{
	const struct request q = { .policy = c->p[side],
		.target = s->target[side],
		.login = s->login };

	return q.target != NULL && rule_is_here(rule, &q);
}

bool
cells_is_now(const struct rule *rule, time_t now)
{
	const struct request q = { .now = now };

	return rule_is_now(rule, &q);
}
