/*
 * The decision.  Runs in policy for every operation; everything about the
 * request but the policy itself was chosen by a job.  Whatever is missing or
 * odd is a denial.  No allocation, no recursion, no order of rules.
 */
#include "config.h"

#include "policy/decide.h"

#include <string.h>

#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

bool
request_is_whole(const struct request *q)
{
	return q->policy != NULL && q->identity != NULL && q->target != NULL &&
	    q->login != NULL && q->login[0] != '\0' && q->command != NULL;
}

static const struct identity *
first_identity(const struct request *q)
{
	for (size_t i = 0; i < q->policy->nidentity; i++) {
		if (q->identity[q->policy->by_name[i]->index])
			return q->policy->by_name[i];
	}
	return NULL;
}

const struct identity *
rule_identity(const struct rule *rule, const struct request *q)
{
	if (rule->everyone)
		return first_identity(q);
	for (size_t i = 0; i < rule->nwho; i++) {
		if (q->identity[rule->id[i]])
			return q->policy->identity[rule->id[i]];
	}
	return NULL;
}

static bool
in_group(const struct target_full *t, const struct group *g)
{
	for (size_t i = 0; i < t->ngroup; i++) {
		if (t->group[i] == g)
			return true;
	}
	return false;
}

static bool
where_covers(const struct where *w, enum effect effect,
    const struct request *q)
{
	/* every target is a struct target_full, with pub first */
	const struct target_full *t = (const struct target_full *)q->target;
	bool place = false;

	switch (w->kind) {
	case WHERE_ALL:
		place = true;
		break;
	case WHERE_TARGET:
		place = w->target == t;
		break;
	case WHERE_GROUP:
		place = in_group(t, w->group);
		break;
	}
	if (!place)
		return false;
	if (w->login != NULL)
		return strcmp(w->login, q->login) == 0;
	/* Without a login: a deny covers all, an allow the target's own. */
	return effect == EFFECT_DENY || strcmp(t->pub.login, q->login) == 0;
}

bool
rule_is_here(const struct rule *rule, const struct request *q)
{
	for (size_t i = 0; i < rule->nwhere; i++) {
		if (where_covers(&rule->where[i], rule->effect, q))
			return true;
	}
	return false;
}

static bool
rule_applies(const struct rule *rule, const struct request *q)
{
	/* A deny for everyone holds even for whom no identity was found. */
	if (!(rule->everyone && rule->effect == EFFECT_DENY) &&
	    rule_identity(rule, q) == NULL)
		return false;
	return rule_is_here(rule, q);
}

/* The smaller bound first; 0 is none. */
static int
compare_max(uint64_t a, uint64_t b)
{
	a = a == 0 ? UINT64_MAX : a;
	b = b == 0 ? UINT64_MAX : b;
	return (a > b) - (a < b);
}

/* Is a the better answer of two that match?  What gives the job its input
 * comes first, so that one rule more never takes anything away; then the
 * smaller bound; then the name, then the line.  A total order, so the answer
 * does not hang on the order of rules. */
static bool
is_better(const struct run *a, const struct run *b)
{
	int c;

	if (b == NULL)
		return true;
	if (a->stdin_ok != b->stdin_ok)
		return a->stdin_ok;
	if ((c = compare_max(a->stdin_max, b->stdin_max)) != 0)
		return c < 0;
	if ((c = strcmp(a->rule->name, b->rule->name)) != 0)
		return c < 0;
	return a->order < b->order;
}

struct best {
	const struct run *deny, *allow;
};

static void
judge(const struct bucket *b, const struct request *q, const struct subject *s,
    struct best *best)
{
	const struct run *run;
	bool allow;

	for (size_t i = 0; b != NULL && i < b->n; i++) {
		run = b->run[i];
		allow = run->rule->effect == EFFECT_ALLOW;
		if (allow && ((q->pty && !run->pty) ||
		    !is_better(run, best->allow)))
			continue;
		if (!allow && best->deny != NULL &&
		    !is_better(run, best->deny))
			continue;
		if (!rule_applies(run->rule, q) || !run_matches(run, s))
			continue;
		if (allow)
			best->allow = run;
		else
			best->deny = run;
	}
}

const struct bucket *
policy_bucket(const struct policy *p, const struct subject *s)
{
	return dict_get(&p->index, s->program != NULL ? s->program->path :
	    s->argv[0]);
}

static void
answer(const struct request *q, const struct subject *s,
    const struct best *best, struct decision *d)
{
	const struct identity *id;

	if (best->deny != NULL) {
		d->rule = best->deny->rule;
		d->rule_name = d->rule->name;
		return;
	}
	if (best->allow == NULL)
		return;
	if ((id = rule_identity(best->allow->rule, q)) == NULL)
		return;
	d->rule = best->allow->rule;
	d->rule_name = d->rule->name;
	d->identity_name = id->name;
	d->pty = q->pty && best->allow->pty;
	d->stdin_ok = best->allow->stdin_ok;
	d->stdin_max = best->allow->stdin_max;
	d->program = s->program == NULL ? NULL : s->program->path;
	d->verdict = VERDICT_ALLOW;
}

void
decide(const struct request *q, struct decision *d)
{
	struct best best = { NULL, NULL };
	struct subject s;

	*d = (struct decision){ .verdict = VERDICT_DENY,
		.rule_name = "default" };
	if (!request_is_whole(q) || !subject_init(&s, q->policy, q->command,
	    q->claims))
		return;
	judge(policy_bucket(q->policy, &s), q, &s, &best);
	judge(&q->policy->wild, q, &s, &best);
	answer(q, &s, &best, d);
}
