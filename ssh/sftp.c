/*
 * SFTP, judged: bytes into packets, both ways, and the file contents past them
 * without a copy of their own.  Runs in the hop.  Distrusts both sides: a
 * length is believed up to a bound, and nothing is kept that nobody asked for.
 */
#include "config.h"

#include "ssh/sftp.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/sftp_internal.h"

#define ASK_MAX 65536 /* bytes of a request, but for a file's contents */
#define IN_FIRST 1024

int
sftp_new(const struct sftp_want *w, struct sftp **out)
{
	struct sftp *s;

	if (w->nrule > SFTP_RULES_MAX)
		return ERR_TOOBIG;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	s->want = *w;
	for (size_t i = 0; i < w->nrule; i++)
		s->root[i].rule = &w->rule[i];
	*out = s;
	return 0;
}

void
sftp_free(struct sftp *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < SFTP_REQUESTS_MAX; i++) {
		if (s->req[i].used)
			sftp_req_free(s, &s->req[i]);
	}
	for (int i = 0; i < SFTP_HANDLES_MAX; i++) {
		if (s->handle[i].used)
			sftp_handle_free(s, i);
	}
	for (size_t i = 0; i < s->want.nrule; i++)
		free(s->root[i].real);
	for (int i = 0; i < 2; i++) {
		free(s->in[i].d);
		free(s->out[i].d);
		free(s->later[i].d);
	}
	free(s->start);
	free(s);
}

int
sftp_broke(struct sftp *s, const char *words)
{
	s->phase = PHASE_BROKEN;
	(void)str_copy(s->error, sizeof(s->error), words);
	return ERR_PROTO;
}

const char *
sftp_error(const struct sftp *s)
{
	return s->error;
}

/* -- queues ------------------------------------------------------------------
 */

static enum sftp_side
other(enum sftp_side side)
{
	return side == SFTP_JOB ? SFTP_TARGET : SFTP_JOB;
}

/* A packet whose contents are still coming goes out as it comes. */
static bool
half_sent(const struct sftp *s, enum sftp_side side)
{
	const struct sftp_packet *k = &s->in[other(side)];

	return k->pass && k->left > 0;
}

struct sftp_queue *
sftp_to(struct sftp *s, enum sftp_side side)
{
	return half_sent(s, side) ? &s->later[side] : &s->out[side];
}

/* The contents are complete: what had to wait for that follows. */
static void
queue_later(struct sftp *s, enum sftp_side side)
{
	struct sftp_queue *q = &s->later[side];

	sftp_put(&s->out[side], q->d, q->len);
	s->out[side].start = s->out[side].len;
	s->out[side].failed |= q->failed;
	q->off = q->len = q->start = 0;
}

static size_t
waiting(const struct sftp *s, enum sftp_side side)
{
	return sftp_waiting(&s->out[side]) + sftp_waiting(&s->later[side]);
}

/* -- packets -----------------------------------------------------------------
 */

static uint32_t
be32(const uint8_t *d)
{
	return (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 |
	       (uint32_t)d[2] << 8 | d[3];
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How much of it must be there to judge it: all, but for contents.  A file's
 * name on the wire is read as far as it can be one. */
static size_t
packet_head(const struct sftp_packet *k, enum sftp_side side)
{
	size_t all;

	if (k->n < 4)
		return 4;
	all = 4 + (size_t)be32(k->d);
	if (k->n < 5)
		return 5;
	if (side == SFTP_TARGET && k->d[4] == FXP_DATA)
		return least(all, 13);
	if (side == SFTP_TARGET || k->d[4] != FXP_WRITE)
		return all;
	if (k->n < 13)
		return least(all, 13);
	if (be32(k->d + 9) > SFTP_HANDLE_MAX)
		return 13;
	return least(all, 13 + (size_t)be32(k->d + 9) + 12);
}

static int
packet_reserve(struct sftp_packet *k, size_t n)
{
	size_t cap = k->cap == 0 ? IN_FIRST : k->cap;
	uint8_t *d;

	while (cap < n)
		cap *= 2;
	if (cap == k->cap)
		return 0;
	if ((d = realloc(k->d, cap)) == NULL)
		return ERR_NOMEM;
	k->d = d;
	k->cap = cap;
	return 0;
}

static int
packet_bounds(struct sftp *s, enum sftp_side side)
{
	const struct sftp_packet *k = &s->in[side];
	uint32_t len = be32(k->d);

	if (len == 0 || len > SFTP_PACKET_MAX)
		return sftp_broke(
		    s, side == SFTP_JOB
			   ? "the client sent a packet of a wrong length"
			   : "the target sent a packet of a wrong length");
	if (side == SFTP_JOB && k->n >= 5 && k->d[4] != FXP_WRITE &&
	    len > ASK_MAX)
		return sftp_broke(s, "the client sent a request of more than "
				     "64 KiB");
	return 0;
}

/* The job speaks first, and not before the rules' folders are known. */
static int
job_init(struct sftp *s, struct sftp_packet *k)
{
	struct sftp_queue *out = sftp_to(s, SFTP_TARGET);
	uint32_t version;
	struct buf b;

	buf_view(&b, k->d + 5, k->n - 5);
	if (k->d[4] != FXP_INIT || buf_get_u32(&b, &version) != 0)
		return sftp_broke(s, "the client does not begin as SFTP does");
	if (version < 3)
		return sftp_broke(s, "the client does not speak version 3 of "
				     "SFTP");
	sftp_begin(out, FXP_INIT);
	sftp_put_u32(out, 3);
	sftp_finish(out, 0);
	s->phase = PHASE_VERSION;
	return 0;
}

static int
packet_handle(struct sftp *s, enum sftp_side side)
{
	struct sftp_packet *k = &s->in[side];
	int r;

	k->left = 4 + (uint64_t)be32(k->d) - k->n;
	k->pass = false;
	k->handle = -1;
	if (side == SFTP_TARGET)
		r = sftp_answer(s, k);
	else if (s->phase == PHASE_INIT)
		r = job_init(s, k);
	else
		r = sftp_request(s, k);
	k->n = 0;
	return r;
}

/* -- contents ----------------------------------------------------------------
 */

/* They go on as they are, and into the digest. */
static int
contents(struct sftp *s, enum sftp_side side, const uint8_t *p, size_t n)
{
	struct sftp_packet *k = &s->in[side];
	struct sftp_handle *f;
	int r = 0;

	k->left -= n;
	if (!k->pass)
		return 0;
	sftp_put(&s->out[other(side)], p, n);
	s->out[other(side)].start = s->out[other(side)].len;
	if (k->left == 0)
		queue_later(s, other(side));
	if (k->handle != -1) {
		f = &s->handle[k->handle];
		r = sftp_track_add(
		    side == SFTP_JOB ? &f->put : &f->get, k->offset, p, n);
	}
	k->offset += n;
	return r;
}

/* -- in and out --------------------------------------------------------------
 */

/*
 * An answer needs room on the job's side alone: what it sets free to go to the
 * target is bounded by the requests there can be.  Otherwise a target that
 * waits for us to read could not be written to, and we would not read.
 */
bool
sftp_wants(const struct sftp *s, enum sftp_side side)
{
	bool room = waiting(s, SFTP_JOB) < SFTP_ROOM;

	if (s->phase == PHASE_BROKEN || !room)
		return false;
	if (side == SFTP_TARGET)
		return s->phase != PHASE_INIT;
	if (s->phase != PHASE_INIT && s->phase != PHASE_RUN)
		return false;
	return waiting(s, SFTP_TARGET) < SFTP_ROOM &&
	       s->nreq < SFTP_REQUESTS_MAX && s->held < SFTP_HELD_MAX;
}

/* Bytes of a packet's head; 1: it is complete. */
static int
head_add(struct sftp *s, enum sftp_side side, const uint8_t **p, size_t *n)
{
	struct sftp_packet *k = &s->in[side];
	size_t head, m;
	int r;

	for (;;) {
		if (k->n >= 4 && (r = packet_bounds(s, side)) != 0)
			return r;
		head = packet_head(k, side);
		if (k->n == head)
			return 1;
		if (*n == 0)
			return 0;
		m = least(head - k->n, *n);
		if ((r = packet_reserve(k, k->n + m)) != 0)
			return r;
		memcpy(k->d + k->n, *p, m);
		k->n += m;
		*p += m;
		*n -= m;
	}
}

static int
from(struct sftp *s, enum sftp_side side, const void *bytes, size_t n,
    size_t *took)
{
	struct sftp_packet *k = &s->in[side];
	const uint8_t *p = bytes;
	size_t all = n, m;
	int r = 0;

	if (s->phase == PHASE_BROKEN)
		return ERR_PROTO;
	while (n > 0 && r == 0 && sftp_wants(s, side)) {
		if (k->left > 0) {
			m = (size_t)(k->left < n ? k->left : n);
			r = contents(s, side, p, m);
			p += m;
			n -= m;
		} else if ((r = head_add(s, side, &p, &n)) == 1) {
			r = packet_handle(s, side);
		}
	}
	*took = all - n;
	if (s->out[SFTP_JOB].failed || s->out[SFTP_TARGET].failed ||
	    s->later[SFTP_JOB].failed || s->later[SFTP_TARGET].failed)
		r = ERR_NOMEM;
	if (r != 0 && r != ERR_PROTO) {
		(void)sftp_broke(s, err_text(r));
		return r;
	}
	return r;
}

int
sftp_from_job(struct sftp *s, const void *p, size_t n, size_t *took)
{
	return from(s, SFTP_JOB, p, n, took);
}

int
sftp_from_target(struct sftp *s, const void *p, size_t n, size_t *took)
{
	if (s->phase == PHASE_INIT)
		return sftp_broke(s, "the target spoke before it was asked");
	return from(s, SFTP_TARGET, p, n, took);
}

const uint8_t *
sftp_out(const struct sftp *s, enum sftp_side side, size_t *n)
{
	const struct sftp_queue *q = &s->out[side];

	*n = sftp_waiting(q);
	return *n == 0 ? NULL : q->d + q->off;
}

int
sftp_sent(struct sftp *s, enum sftp_side side, size_t n)
{
	struct sftp_queue *q = &s->out[side];

	if (n > sftp_waiting(q))
		return ERR_INTERNAL;
	q->off += n;
	if (q->off == q->len)
		q->off = q->len = q->start = 0;
	return 0;
}

/* -- the end -----------------------------------------------------------------
 */

bool
sftp_idle(const struct sftp *s)
{
	return s->nline == 0 && waiting(s, SFTP_TARGET) == 0;
}

void
sftp_end(struct sftp *s)
{
	for (size_t i = 0; i < SFTP_REQUESTS_MAX; i++) {
		if (s->req[i].used && s->req[i].sent)
			sftp_req_report(s, &s->req[i], SFTP_CUT, FX_FAILURE);
	}
	for (int i = 0; i < SFTP_HANDLES_MAX; i++) {
		if (s->handle[i].used && s->handle[i].ntarget > 0)
			sftp_handle_report(s, i, SFTP_CUT);
	}
	s->phase = PHASE_BROKEN;
}
