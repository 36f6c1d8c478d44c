/*
 * The table of spent tokens.  Runs in postern-oidc, behind the signature: only
 * an issuer can make entries appear.
 */
#include "config.h"

#include "broker/replay.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"

#define REPLAY_BUCKETS 4096

struct mark {
	struct mark *next;
	int64_t until;
	bool kept;   /* stays until it has run out */
	bool opened; /* its session is known to somebody */
	uint8_t digest[32];
	char source[PROTO_SOURCE_MAX + 1];
};

struct replay {
	struct mark *bucket[REPLAY_BUCKETS];
	size_t n, max;
};

struct replay *
replay_new(size_t max)
{
	struct replay *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->max = max < REPLAY_MAX ? max : REPLAY_MAX;
	return t;
}

/* Drops what has run out in one chain; everything when now is INT64_MAX. */
static void
replay_sweep(struct replay *t, struct mark **at, int64_t now)
{
	struct mark *m;

	while ((m = *at) != NULL) {
		if (m->until >= now) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		free(m);
		t->n--;
	}
}

void
replay_free(struct replay *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < REPLAY_BUCKETS; i++)
		replay_sweep(t, &t->bucket[i], INT64_MAX);
	free(t);
}

size_t
replay_count(const struct replay *t)
{
	return t->n;
}

/* A digest is as good a hash as any. */
static size_t
replay_slot(const uint8_t digest[32])
{
	return ((size_t)digest[0] << 8 | digest[1]) % REPLAY_BUCKETS;
}

/* Where the token's mark hangs; NULL behind it when there is none. */
static struct mark **
replay_at(struct mark **at, const uint8_t digest[32])
{
	while (*at != NULL &&
	       !mem_equal((*at)->digest, digest, sizeof((*at)->digest)))
		at = &(*at)->next;
	return at;
}

static struct mark *
replay_find(struct replay *t, const uint8_t digest[32])
{
	return *replay_at(&t->bucket[replay_slot(digest)], digest);
}

void
replay_keep(struct replay *t, const uint8_t digest[32])
{
	struct mark *m = replay_find(t, digest);

	if (m != NULL)
		m->kept = true;
}

void
replay_open(struct replay *t, const uint8_t digest[32])
{
	struct mark *m = replay_find(t, digest);

	if (m != NULL)
		m->kept = m->opened = true;
}

bool
replay_opened(struct replay *t, const uint8_t digest[32])
{
	const struct mark *m = replay_find(t, digest);

	return m != NULL && m->opened;
}

void
replay_unmark(struct replay *t, const uint8_t digest[32])
{
	struct mark **at = replay_at(&t->bucket[replay_slot(digest)], digest);
	struct mark *m = *at;

	if (m == NULL || m->kept)
		return;
	*at = m->next;
	free(m);
	t->n--;
}

int
replay_mark(struct replay *t, const uint8_t digest[32], const char *source,
    int64_t until, int64_t now)
{
	size_t slot = replay_slot(digest);
	struct mark *m;
	int r;

	replay_sweep(t, &t->bucket[slot], now);
	if ((m = *replay_at(&t->bucket[slot], digest)) != NULL)
		return strcmp(m->source, source) == 0 ? 0 : ERR_EXISTS;
	for (size_t i = 0; t->n >= t->max && i < REPLAY_BUCKETS; i++)
		replay_sweep(t, &t->bucket[i], now);
	if (t->n >= t->max)
		return ERR_TOOBIG;
	if ((m = calloc(1, sizeof(*m))) == NULL)
		return ERR_NOMEM;
	if ((r = str_copy(m->source, sizeof(m->source), source)) != 0) {
		free(m);
		return r;
	}
	memcpy(m->digest, digest, sizeof(m->digest));
	m->until = until;
	m->next = t->bucket[slot];
	t->bucket[slot] = m;
	t->n++;
	return 0;
}
