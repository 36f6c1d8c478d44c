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
#include "policy/zone.h"

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
window_covers(const struct window *w, time_t now)
{
	struct zone_local l;
	unsigned int before;

	zone_to_local(w->zone, now, &l);
	before = (l.weekday + 6) % 7;
	if (w->from < w->to)
		return (w->days >> l.weekday & 1) != 0 && l.minute >= w->from &&
		    l.minute < w->to;
	/* over midnight: this day's evening, or the morning after the other */
	return ((w->days >> l.weekday & 1) != 0 && l.minute >= w->from) ||
	    ((w->days >> before & 1) != 0 && l.minute < w->to);
}

bool
rule_is_now(const struct rule *rule, const struct request *q)
{
	if (rule->nwindow == 0)
		return true;
	if (q->now <= 0)
		return rule->effect == EFFECT_DENY;
	for (size_t i = 0; i < rule->nwindow; i++) {
		if (window_covers(&rule->window[i], q->now))
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
	return rule_is_here(rule, q) && rule_is_now(rule, q);
}

/* The smaller bound first; 0 is none. */
static int
compare_max(uint64_t a, uint64_t b)
{
	a = a == 0 ? UINT64_MAX : a;
	b = b == 0 ? UINT64_MAX : b;
	return (a > b) - (a < b);
}

/* 5 per 10 is smaller than 6 per 10; 0 is none. */
static int
compare_rate(const struct limits *a, const struct limits *b)
{
	uint64_t x, y;

	if (a->rate == 0 || b->rate == 0)
		return (a->rate == 0) - (b->rate == 0);
	x = (uint64_t)a->rate * b->rate_per_s;
	y = (uint64_t)b->rate * a->rate_per_s;
	/* of two that are the same on the long run, the shorter */
	return x != y ? (x > y) - (x < y) :
	    (a->rate > b->rate) - (a->rate < b->rate);
}

static int
compare_limits(const struct limits *a, const struct limits *b)
{
	int c;

	if ((c = compare_max(a->duration_s, b->duration_s)) != 0 ||
	    (c = compare_max(a->output, b->output)) != 0 ||
	    (c = compare_max(a->concurrent, b->concurrent)) != 0)
		return c;
	return compare_rate(a, b);
}

/* Is a the better answer of two that match?  What demands fewer approvals
 * comes first; then what gives the job its input, so that one rule more never
 * takes anything away; then the smaller limits; then the name, then the line.
 * A total order, so the answer does not hang on the order of rules. */
static bool
is_better(const struct run *a, const struct run *b)
{
	int c;

	if (b == NULL)
		return true;
	if (a->rule->approve != b->rule->approve)
		return a->rule->approve < b->rule->approve;
	if (a->stdin_ok != b->stdin_ok)
		return a->stdin_ok;
	if ((c = compare_limits(&a->rule->limit, &b->rule->limit)) != 0 ||
	    (c = compare_max(a->stdin_max, b->stdin_max)) != 0)
		return c < 0;
	if ((c = strcmp(a->rule->name, b->rule->name)) != 0)
		return c < 0;
	return a->order < b->order;
}

/* The best of each effect, and what the others that match add to it. */
struct best {
	const struct run *deny, *allow;
	struct limits limit;
	uint64_t approvals[DECISION_APPROVALS_MAX / 64];
	uint64_t masks[DECISION_MASKS_MAX / 64];
};

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

static void
join_limits(struct limits *to, const struct limits *l)
{
	to->duration_s = (uint32_t)smaller(to->duration_s, l->duration_s);
	to->output = smaller(to->output, l->output);
	to->concurrent = (uint32_t)smaller(to->concurrent, l->concurrent);
	if (compare_rate(l, to) < 0) {
		to->rate = l->rate;
		to->rate_per_s = l->rate_per_s;
	}
}

static void
join_approvals(uint64_t *to, const uint64_t *from)
{
	for (size_t i = 0; i < DECISION_APPROVALS_MAX / 64; i++)
		to[i] |= from[i];
}

/* Masks of all rules that match unite, demands of floors are added. */
static void
add_demands(struct best *best, const struct rule *rule)
{
	for (size_t i = 0; i < DECISION_MASKS_MAX / 64; i++)
		best->masks[i] |= rule->masks[i];
	if (!rule->floor)
		return;
	join_limits(&best->limit, &rule->limit);
	join_approvals(best->approvals, rule->approvals);
}

static void
judge(const struct bucket *b, const struct request *q, const struct subject *s,
    struct best *best)
{
	const struct run *run;
	bool allow, better;

	for (size_t i = 0; b != NULL && i < b->n; i++) {
		run = b->run[i];
		allow = run->rule->effect == EFFECT_ALLOW;
		better = is_better(run, allow ? best->allow : best->deny);
		/* MUST NOT hang on pty: a job would ask for a terminal to
		 * leave a floor behind. */
		if (!better && !run->rule->adds)
			continue;
		if (!rule_applies(run->rule, q) || !run_matches(run, s))
			continue;
		if (allow && run->rule->adds)
			add_demands(best, run->rule);
		if (!better || (allow && q->pty && !run->pty))
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

static bool
is_empty(const uint64_t *set, size_t words)
{
	for (size_t i = 0; i < words; i++) {
		if (set[i] != 0)
			return false;
	}
	return true;
}

/* The first demand that the caller cannot enforce; NULL: none. */
static const char *
missing(const struct request *q, const struct decision *d)
{
	const struct {
		bool needed;
		unsigned int bit;
		const char *name;
	} demand[] = {
		{ !is_empty(d->approvals, DECISION_APPROVALS_MAX / 64),
		    ENFORCE_APPROVALS, "an approval" },
		{ d->limit.duration_s != 0, ENFORCE_DURATION,
		    "`limit duration`" },
		{ d->limit.output != 0, ENFORCE_OUTPUT, "`limit output`" },
		{ d->limit.concurrent != 0, ENFORCE_CONCURRENT,
		    "`limit concurrent`" },
		{ d->limit.rate != 0, ENFORCE_RATE, "`limit rate`" },
		{ !is_empty(d->masks, DECISION_MASKS_MAX / 64), ENFORCE_MASKS,
		    "`mask`" },
	};

	for (size_t i = 0; i < sizeof(demand) / sizeof(demand[0]); i++) {
		if (demand[i].needed && (q->enforces & demand[i].bit) == 0)
			return demand[i].name;
	}
	return NULL;
}

static void
answer(const struct request *q, const struct subject *s,
    const struct best *best, struct decision *d)
{
	const struct identity *id;
	const struct rule *rule;

	if (best->deny != NULL) {
		d->rule = best->deny->rule;
		d->rule_name = d->rule->name;
		return;
	}
	if (best->allow == NULL)
		return;
	rule = best->allow->rule;
	if ((id = rule_identity(rule, q)) == NULL)
		return;
	d->rule = rule;
	d->rule_name = rule->name;
	d->identity_name = id->name;
	d->pty = q->pty && best->allow->pty;
	d->stdin_ok = best->allow->stdin_ok;
	d->stdin_max = best->allow->stdin_max;
	d->program = s->program == NULL ? NULL : s->program->path;
	d->limit = rule->limit;
	join_limits(&d->limit, &best->limit);
	memcpy(d->approvals, rule->approvals, sizeof(d->approvals));
	join_approvals(d->approvals, best->approvals);
	/* every rule that matched brought the defaults' masks, too */
	for (size_t i = 0; i < DECISION_MASKS_MAX / 64; i++)
		d->masks[i] = best->masks[i] | rule->masks[i];
	d->meant = is_empty(d->approvals, DECISION_APPROVALS_MAX / 64) ?
	    VERDICT_ALLOW : VERDICT_APPROVAL;
	/* MUST be last: what cannot be enforced is not granted. */
	if ((d->missing = missing(q, d)) == NULL)
		d->verdict = d->meant;
}

void
decide(const struct request *q, struct decision *d)
{
	struct best best = { .allow = NULL };
	struct subject s;

	*d = (struct decision){ .verdict = VERDICT_DENY,
		.meant = VERDICT_DENY, .rule_name = "default" };
	if (!request_is_whole(q) || !subject_init(&s, q->policy, q->command,
	    q->claims))
		return;
	judge(policy_bucket(q->policy, &s), q, &s, &best);
	judge(&q->policy->wild, q, &s, &best);
	answer(q, &s, &best, d);
}
