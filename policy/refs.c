/*
 * The lines of a connection to a repository.  Runs in policy.  Whatever
 * decide() would answer for a ref, with the same request, the lines answer, or
 * they deny: a line that demands what was not granted to the connection as a
 * whole (an approval) grants no ref on it.
 */
#include "config.h"

#include "policy/refs.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/decide.h"
#include "policy/index.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/refset.h"
#include "policy/served.h"

#define FOUND_MAX 4096 /* lines of a policy about one repository */

/* What the command is about, as a request of its own. */
static bool
read_request(
    const struct request *q, struct request *as, char path[PATH_LEN_MAX + 1])
{
	struct served v;

	*as = *q;
	if (q->kind != REQUEST_RUN || q->command == NULL ||
	    served_read(q->command, &v) != SERVED_YES || v.how != 0 ||
	    !served_path(q->command->stage[0].argv[v.first], path))
		return false;
	as->kind = v.kind;
	as->path = path;
	return true;
}

/* Can what the line's rule demands be kept on this connection? */
static bool
can_be_kept(
    const struct request *q, const struct decision *d, const struct rule *rule)
{
	struct decision one = { .limit = rule->limit,
		.text_only = rule->text_only,
		.record_input = rule->record_input,
		.record_full = rule->record_full };

	for (size_t i = 0; i < DECISION_APPROVALS_MAX / 64; i++) {
		if ((rule->approvals[i] & ~d->approvals[i]) != 0)
			return false;
	}
	memcpy(one.masks, rule->masks, sizeof(one.masks));
	return decision_missing(q, &one) == NULL;
}

struct gather {
	const struct request *q; /* of the repository */
	const struct decision *d;
	const struct repository **r;
	size_t n;
	bool full;
};

/* Is the line about this connection, and may it say something there? */
static bool
counts(const struct gather *g, const struct repository *r)
{
	struct request any = *g->q;
	bool deny = r->rule->effect == EFFECT_DENY;

	any.ref = NULL;
	if (!rule_applies(r->rule, g->q) || !repository_is(r, &any))
		return false;
	return deny || can_be_kept(g->q, g->d, r->rule);
}

static void
gather(const void *line, void *ctx)
{
	const struct repository *r = line;
	struct gather *g = ctx;

	if (!counts(g, r))
		return;
	if (g->n == FOUND_MAX)
		g->full = true;
	else
		g->r[g->n++] = r;
}

/* On a target that is observed what no line allows is let through. */
static bool
is_observed(const struct request *q)
{
	return q->now > 0 && (int64_t)q->now < q->target->observe_until &&
	       (q->enforces & ENFORCE_OBSERVE) != 0;
}

struct join {
	struct gather g;
	struct limits *limit;
};

static void
join(const void *line, void *ctx)
{
	const struct repository *r = line;
	struct join *j = ctx;

	if (r->rule->effect == EFFECT_ALLOW && counts(&j->g, r))
		limits_join(j->limit, &r->rule->limit);
}

void
refs_join(const struct request *q, struct decision *d)
{
	char path[PATH_LEN_MAX + 1];
	struct request as;
	struct join j = { .g = { .q = &as, .d = d }, .limit = &d->limit };

	if (!d->refs || !read_request(q, &as, path))
		return;
	index_each_kind(&as, INDEX_GIT, join, &j);
	if (is_observed(&as))
		limits_join(&d->limit, &as.policy->limit);
}

/* As decide() takes them for one ref. */
static int
compare_lines(const void *a, const void *b)
{
	const struct repository *x = *(const struct repository *const *)a;
	const struct repository *y = *(const struct repository *const *)b;
	const struct found p = {
		.rule = x->rule, .order = x->order, .pty = true
	};
	const struct found q = {
		.rule = y->rule, .order = y->order, .pty = true
	};

	return x == y ? 0 : found_is_better(&p, &q) ? -1 : 1;
}

static void
add(struct refset *s, const char *rule, const struct repository *r)
{
	s->line[s->n++] = (struct ref_line){ .rule = rule,
		.deny = r != NULL && r->rule->effect == EFFECT_DENY,
		.ref = r != NULL ? r->ref : NULL,
		.nref = r != NULL ? r->nref : 0 };
}

int
refs_gather(
    const struct request *q, const struct decision *d, struct refset *out)
{
	char path[PATH_LEN_MAX + 1];
	struct request as;
	struct gather g = { .q = &as, .d = d };
	int r = ERR_NOMEM;

	*out = (struct refset){ .line = NULL };
	if (!read_request(q, &as, path))
		return ERR_INTERNAL;
	g.r = calloc(FOUND_MAX, sizeof(*g.r));
	out->line = calloc(FOUND_MAX + 1, sizeof(*out->line));
	if (g.r == NULL || out->line == NULL)
		goto out;
	if (d->refs)
		index_each_kind(&as, INDEX_GIT, gather, &g);
	else
		add(out, d->rule_name, NULL);
	qsort(g.r, g.n, sizeof(*g.r), compare_lines);
	for (size_t i = 0; i < g.n; i++) {
		if (i == 0 || g.r[i] != g.r[i - 1])
			add(out, g.r[i]->rule->name, g.r[i]);
	}
	if (d->refs && (d->would_deny || is_observed(&as)))
		add(out, "default", NULL);
	r = g.full ? ERR_TOOBIG : 0;
out:
	free(g.r);
	if (r != 0)
		refset_clear(out);
	return r;
}
