/*
 * Debts of failures.  Runs in postern-oidc; the keys are what strangers chose.
 */
#include "config.h"

#include "broker/debt.h"

/* FNV-1a (draft-eastlake-fnv), 32 bits.  Keys that are made to collide gain
 * nothing: see the header. */
static size_t
debt_place(const void *key, size_t n)
{
	const uint8_t *p = key;
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619U;
	return (h ^ h >> 16) % DEBT_PLACES;
}

unsigned int
debt_add(struct debts *d, const void *key, size_t n, int64_t now_ms)
{
	int64_t *until = &d->until[debt_place(key, n)];
	int64_t most = now_ms + (int64_t)DEBT_MAX * DEBT_WEIGHS_MS;

	if (*until < now_ms)
		*until = now_ms;
	*until += DEBT_WEIGHS_MS;
	if (*until > most)
		*until = most;
	/* what has begun counts whole */
	return (unsigned int)((*until - now_ms + DEBT_WEIGHS_MS - 1) /
			      DEBT_WEIGHS_MS);
}
