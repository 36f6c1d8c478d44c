/*
 * `limit concurrent` and `limit rate`, judged when an operation is allowed and
 * before anything is asked for it.  Runs in policy, which takes one RUN after
 * the other: between the count and the grant nobody else is counted.
 *
 * Both count grants by the name of the identity: however many sessions,
 * connections and tokens a job makes, they are one.  What a list needs later is
 * taken when it is granted, so that no limit can fill up in front of it.
 */
#include "config.h"

#include <string.h>

#include "broker/operation_internal.h"
#include "broker/quota.h"
#include "broker/session.h"
#include "lib/msg.h"
#include "policy/policy.h"

/* Runs for this identity, or will: a list was granted whole, so it holds a
 * place for each identity that a command of it still needs. */
static bool
counts_for(const struct operation *op, const char *identity)
{
	if (strcmp(op->identity, identity) == 0)
		return true;
	return op->list != NULL && joblist_needs(op->list, identity);
}

/* Operations of this identity on this target, from their grant to the death of
 * their hop. */
static uint32_t
count_running(
    const struct operation *op, const char *identity, const char *target)
{
	const struct operation *o;
	uint32_t n = 0;

	for (o = operation_first(); o != NULL; o = o->next)
		n += o != op && o->conn != NULL && counts_for(o, identity) &&
		     strcmp(o->place.target, target) == 0;
	return n;
}

static void
say_concurrent(const struct plan *p, uint32_t n, struct buf *text)
{
	(void)buf_putf(text,
	    "postern: denied: rule `%s` lets %s run %u at once on %s "
	    "(limit concurrent), and %u run now\n"
	    "postern: try again when one of them has ended\n",
	    p->d.rule_name, p->d.identity_name, p->d.limit.concurrent,
	    p->target->name, n);
}

static void
say_rate(const struct plan *p, int64_t wait_ms, struct buf *text)
{
	(void)buf_putf(text,
	    "postern: denied: rule `%s` lets %s start %u operations in %u "
	    "seconds (limit rate)\n"
	    "postern: try again in %lld seconds\n",
	    p->d.rule_name, p->d.identity_name, p->d.limit.rate,
	    p->d.limit.rate_per_s, (long long)(wait_ms + 999) / 1000);
}

static void
say_too_many(const struct plan *p, struct buf *text)
{
	(void)buf_putf(text,
	    "postern: denied: rule `%s` lets %s start %u operations in %u "
	    "seconds (limit rate), and this list has more\n",
	    p->d.rule_name, p->d.identity_name, p->d.limit.rate,
	    p->d.limit.rate_per_s);
}

/* As if those beside it were counted already: a list that is denied was
 * never counted. */
static bool
fits_rate(const struct plan *p, uint32_t beside, struct buf *text)
{
	struct limits l = p->d.limit;
	int64_t wait;

	if (l.rate == 0)
		return true;
	if (beside >= l.rate) {
		say_too_many(p, text);
		return false;
	}
	l.rate -= beside;
	wait = quota_wait_ms(p->d.identity_name, &l, msg_now_ms());
	if (wait > 0)
		say_rate(p, wait, text);
	return wait == 0;
}

bool
operation_fits(const struct operation *op, const struct plan *p,
    uint32_t beside, struct buf *text)
{
	const struct limits *l = &p->d.limit;
	uint32_t n;

	if (p->d.identity_name == NULL)
		return false;
	if (l->concurrent != 0) {
		n = count_running(op, p->d.identity_name, op->place.target);
		if (n >= l->concurrent) {
			say_concurrent(p, n, text);
			return false;
		}
	}
	return fits_rate(p, beside, text);
}

int
operation_counts(struct operation *op, const struct plan *p)
{
	int r;

	if ((r = str_copy(
		 op->identity, sizeof(op->identity), p->d.identity_name)) != 0)
		return r;
	return quota_note(op->identity, op->id, msg_now_ms());
}
