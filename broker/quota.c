/*
 * Counting grants.  Runs in policy; names and moments are its own.  A ring per
 * identity, newest last; the n-th newest says whether n more fit into a time.
 */
#include "config.h"

#include "broker/quota.h"

#include <stdlib.h>
#include <string.h>

#include "broker/policy.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define QUOTA_FIRST 16 /* moments of a ring that is new */

struct moment {
	int64_t at;
	char operation[ULID_LEN + 1];
};

struct quota {
	struct quota *next;
	char identity[NAME_LEN_MAX + 1];
	struct moment *ring;
	size_t cap, first, n;
};

static struct {
	struct quota *quotas;
	uint32_t most, longest_s;
} env;

static struct moment *
quota_at(const struct quota *q, size_t i)
{
	return &q->ring[(q->first + i) % q->cap];
}

static void
quota_drop_oldest(struct quota *q)
{
	takeover_forget_grant(quota_at(q, 0)->operation);
	q->first = (q->first + 1) % q->cap;
	q->n--;
}

/* More than the largest rate and older than the longest time: no rule asks.
 * Audit is told, so it waits for the next time where audit is behind. */
static void
quota_trim(struct quota *q, size_t most, int64_t now)
{
	while ((q->n > most ||
		   (q->n > 0 && quota_at(q, 0)->at <=
				    now - (int64_t)env.longest_s * 1000)) &&
	       policy_audit_room() > 0)
		quota_drop_oldest(q);
}

static struct quota *
quota_find(const char *identity)
{
	struct quota *q;

	for (q = env.quotas; q != NULL; q = q->next) {
		if (strcmp(q->identity, identity) == 0)
			return q;
	}
	return NULL;
}

static int
quota_grow(struct quota *q)
{
	size_t cap = q->cap == 0 ? QUOTA_FIRST : q->cap * 2;
	struct moment *ring = calloc(cap, sizeof(*ring));

	if (ring == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < q->n; i++)
		ring[i] = *quota_at(q, i);
	free(q->ring);
	q->ring = ring;
	q->cap = cap;
	q->first = 0;
	return 0;
}

static int
quota_get(const char *identity, struct quota **qp)
{
	struct quota *q = quota_find(identity);

	if (q == NULL) {
		if ((q = calloc(1, sizeof(*q))) == NULL)
			return ERR_NOMEM;
		if (str_copy(q->identity, sizeof(q->identity), identity) != 0) {
			free(q);
			return ERR_TOOBIG;
		}
		q->next = env.quotas;
		env.quotas = q;
	}
	*qp = q;
	return q->n < q->cap ? 0 : quota_grow(q);
}

/* In order of time: rows come back in the order of their names. */
static int
quota_insert(struct quota *q, const char *operation, int64_t at)
{
	size_t i = q->n;
	int r;

	if ((r = str_copy(
		 quota_at(q, i)->operation, ULID_LEN + 1, operation)) != 0)
		return r;
	quota_at(q, i)->at = at;
	for (q->n++; i > 0 && quota_at(q, i - 1)->at > at; i--) {
		struct moment m = *quota_at(q, i);

		*quota_at(q, i) = *quota_at(q, i - 1);
		*quota_at(q, i - 1) = m;
	}
	return 0;
}

void
quota_bounds(uint32_t most, uint32_t longest_s)
{
	struct quota **at = &env.quotas, *q;

	env.most = most;
	env.longest_s = longest_s;
	while ((q = *at) != NULL) {
		while (q->n > most && policy_audit_room() > 0)
			quota_drop_oldest(q);
		if (q->n > 0) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		free(q->ring);
		free(q);
	}
}

int64_t
quota_wait_ms(const char *identity, const struct limits *l, int64_t now)
{
	const struct quota *q = quota_find(identity);
	int64_t left;

	if (l->rate == 0 || q == NULL || q->n < l->rate)
		return 0;
	left = quota_at(q, q->n - l->rate)->at + (int64_t)l->rate_per_s * 1000 -
	       now;
	return left > 0 ? left : 0;
}

int
quota_note(const char *identity, const char *operation, int64_t now)
{
	struct quota *q;
	int r;

	if (env.most == 0)
		return 0;
	if ((r = quota_get(identity, &q)) != 0 ||
	    (r = takeover_keep_grant(identity, operation, now)) != 0 ||
	    (r = quota_insert(q, operation, now)) != 0)
		return r;
	quota_trim(q, env.most, now);
	return 0;
}

int
quota_adopt(const char *identity, const char *operation, int64_t at)
{
	struct quota *q;
	int r;

	if (env.most == 0)
		return ERR_NOTFOUND;
	if ((r = quota_get(identity, &q)) != 0 ||
	    (r = quota_insert(q, operation, at)) != 0)
		return r;
	while (q->n > env.most && policy_audit_room() > 0)
		quota_drop_oldest(q);
	return 0;
}

size_t
quota_count(void)
{
	size_t n = 0;

	for (const struct quota *q = env.quotas; q != NULL; q = q->next)
		n += q->n;
	return n;
}
