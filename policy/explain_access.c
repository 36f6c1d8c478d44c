/*
 * Why a file, a repository or a shell was denied.  Runs in policy after a
 * denial and decides nothing; the paths are the job's and are not shown.
 */
#include "config.h"

#include "policy/explain.h"

#include <string.h>

#include "lib/buf.h"
#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

#define STEPS_MAX 10000 /* lines that are looked at */

/* How near a line comes; of the paths that miss it, the longest in common. */
enum { NEAR_PATH = 0, NEAR_ACCESS = 100000, NEAR_WAY, NEAR_TIME };

struct near {
	const struct rule *rule; /* NULL: none */
	const struct place *at;
	const char *why; /* NULL: at other times */
	size_t score;
	size_t steps;
};

static void
offer(struct near *n, const struct near *other)
{
	size_t steps = n->steps;

	if (other->score > n->score)
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

static void
near_transfer(const struct request *q, const struct transfer *t, struct near *n)
{
	bool under =
	    path_is_under(&t->under, q->claims, q->path, strlen(q->path));
	bool access = t->write == (q->kind == REQUEST_WRITE);
	struct near o = { .rule = t->rule, .at = &t->whole };

	if (under && access && (t->by & q->how) != 0) {
		o.score = NEAR_TIME;
	} else if (under && access) {
		o.score = NEAR_WAY;
		o.why = "but not in this way";
	} else if (under) {
		o.score = NEAR_ACCESS;
		o.why = t->write ? "to be written, but not to be read"
				 : "to be read, but not to be written";
	} else if (access) {
		o.score = NEAR_PATH + in_common(&t->under, q->path);
		o.at = &t->under.at;
		o.why = "but only what is beneath this";
	}
	offer(n, &o);
}

static void
near_repository(
    const struct request *q, const struct repository *g, struct near *n)
{
	bool path = path_is(&g->path, q->claims, q->path, strlen(q->path));
	bool access = g->write == (q->kind == REQUEST_GIT_WRITE);
	struct near o = { .rule = g->rule, .at = &g->whole };

	if (repository_matches(g, q)) {
		o.score = NEAR_TIME;
	} else if (path && access) {
		o.score = NEAR_WAY;
		o.why = "but not with this ref";
	} else if (path) {
		o.score = NEAR_ACCESS;
		o.why = g->write ? "to push, but not to fetch"
				 : "to fetch, but not to push";
	} else if (access) {
		o.score = NEAR_PATH + in_common(&g->path, q->path);
		o.at = &g->path.at;
		o.why = "but only this repository";
	}
	offer(n, &o);
}

static void
near_rule(const struct request *q, const struct rule *rule, struct near *n)
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
		    n, &(struct near){
			   .rule = rule, .at = &rule->at, .score = NEAR_TIME });
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

static struct near
find_near(const struct request *q)
{
	const struct policy *p = q->policy;
	struct near n = { .rule = NULL };

	for (size_t i = 0; i < p->nrule && n.steps < STEPS_MAX; i++) {
		if (speaks_of(p->rule[i], q->kind)) {
			n.steps++;
			near_rule(q, p->rule[i], &n);
		}
	}
	return n;
}

static int
show_near(const struct request *q, struct buf *out)
{
	struct near n = find_near(q);
	int r;

	if (n.rule == NULL)
		return explain_show_identities(q, out);
	if (n.why == NULL)
		return n.rule->nwindow == 0
			   ? 0
			   : explain_show_window(q, n.rule, out);
	if ((r = explain_show_rule(
		 q->policy, n.rule, "nearest rule", n.at, out)) != 0)
		return r;
	return buf_putf(out, "postern: the rule allows this %s\n", n.why);
}

int
explain_access(
    const struct request *q, const struct decision *d, struct buf *out)
{
	static const char *const what[] = { [REQUEST_READ] = "read this file",
		[REQUEST_WRITE] = "write this file",
		[REQUEST_GIT_READ] = "fetch from this repository",
		[REQUEST_GIT_WRITE] = "push to this repository",
		[REQUEST_INTERACTIVE] = "have a shell" };
	int r;

	if (d->rule != NULL)
		return explain_rule(q, d, NULL, out);
	if (q->policy->explain == EXPLAIN_FULL && (r = show_near(q, out)) != 0)
		return r;
	return buf_putf(out,
	    "postern: denied: no rule allows you to %s as %s "
	    "on %s\n",
	    what[q->kind], q->login, q->target->name);
}
