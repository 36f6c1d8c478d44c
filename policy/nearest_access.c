/*
 * The nearest line to a file, a repository or a shell.  Runs in policy after a
 * denial, and in the tools; the work is bounded, whatever path was asked for.
 */
#include "config.h"

#include "policy/nearest_access.h"

#include <string.h>

#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

#define STEPS_MAX 10000 /* lines that are looked at */

static void
offer(struct nearest_access *n, const struct nearest_access *other)
{
	size_t steps = n->steps;

	if (n->rule == NULL || other->fit > n->fit ||
	    (other->fit == n->fit && other->common > n->common))
		*n = *other;
	n->steps = steps;
}

/* Of the path's first literal; less than two bytes are nothing. */
static size_t
in_common(const struct item *it, const char *path)
{
	const char *text = it->piece[0].text;
	size_t n = 0;

	while (text != NULL && text[n] != '\0' && text[n] == path[n])
		n++;
	return n > 1 ? n : 0;
}

/* The line with this path. */
static void
near_line(const struct request *q, const struct item *path, bool fits,
    bool access, bool whole, const struct place *line, struct nearest_access *o,
    struct nearest_access *n)
{
	o->at = line;
	if (fits) {
		o->fit = !access ? NEAR_PATH : whole ? NEAR_WHOLE : NEAR_BOTH;
	} else if (access && (o->common = in_common(path, q->path)) > 0) {
		o->fit = NEAR_LINE;
		o->at = &path->at;
	} else {
		return;
	}
	offer(n, o);
}

static void
near_transfer(
    const struct request *q, const struct transfer *t, struct nearest_access *n)
{
	struct nearest_access o = { .rule = t->rule, .transfer = t };

	near_line(q, &t->under,
	    path_is_under(&t->under, q->claims, q->path, strlen(q->path)),
	    t->write == (q->kind == REQUEST_WRITE),
	    (t->by & q->how) != 0 && !(q->deletes && t->no_delete) &&
		!(q->links && t->no_symlinks),
	    &t->whole, &o, n);
}

static void
near_repository(const struct request *q, const struct repository *g,
    struct nearest_access *n)
{
	struct nearest_access o = { .rule = g->rule, .repository = g };

	near_line(q, &g->path,
	    path_is(&g->path, q->claims, q->path, strlen(q->path)),
	    g->write == (q->kind == REQUEST_GIT_WRITE),
	    repository_matches(g, q), &g->whole, &o, n);
}

static void
near_rule(
    const struct request *q, const struct rule *rule, struct nearest_access *n)
{
	if (rule->effect != EFFECT_ALLOW || rule_identity(rule, q) == NULL ||
	    !rule_is_here(rule, q))
		return;
	switch (q->kind) {
	case REQUEST_READ:
	case REQUEST_WRITE:
		for (size_t i = 0;
		     i < rule->ntransfer && n->steps++ < STEPS_MAX; i++)
			near_transfer(q, &rule->transfer[i], n);
		break;
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		for (size_t i = 0;
		     i < rule->nrepository && n->steps++ < STEPS_MAX; i++)
			near_repository(q, &rule->repository[i], n);
		break;
	case REQUEST_INTERACTIVE:
		offer(
		    n, &(struct nearest_access){
			   .rule = rule, .at = &rule->at, .fit = NEAR_WHOLE });
		break;
	case REQUEST_RUN:
		break;
	}
}

static bool
speaks_of(const struct rule *rule, enum request_kind kind)
{
	return kind == REQUEST_INTERACTIVE ? rule->interactive
	       : kind == REQUEST_READ || kind == REQUEST_WRITE
		   ? rule->ntransfer > 0
		   : rule->nrepository > 0;
}

void
nearest_access_find(const struct request *q, struct nearest_access *n)
{
	const struct policy *p = q->policy;

	*n = (struct nearest_access){ 0 };
	for (size_t i = 0; i < p->nrule && n->steps < STEPS_MAX; i++) {
		if (speaks_of(p->rule[i], q->kind)) {
			n->steps++;
			near_rule(q, p->rule[i], n);
		}
	}
}
