/*
 * The filter for git's protocol: whose turn it is, and lines out of bytes. Runs
 * in the hop, confined.  Distrusts both sides.
 *
 * Fetch and push begin alike: the target offers, up to a flush, and until then
 * nothing is taken of the job.  Then the job says what it wants, up to a flush.
 * What follows is passed on, but for the report on a push.
 */
#include "config.h"

#include "ssh/git.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/git_internal.h"

int
git_new(const struct git_want *w, struct git **out)
{
	struct git *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return ERR_NOMEM;
	g->want = *w;
	for (int side = 0; side < 2; side++) {
		buf_init(&g->in[side], PKT_MAX);
		buf_init(&g->out[side], GIT_OUT_MAX);
	}
	buf_init(&g->names, GIT_NAMES_MAX);
	buf_init(&g->caps, GIT_CAPS_MAX);
	buf_init(&g->held, GIT_HELD_MAX);
	buf_init(&g->inner, PKT_MAX);
	g->oid_len = 40;
	g->phase[GIT_TARGET] = GIT_LIST;
	if (w->service == GIT_ARCHIVE) { /* the job begins */
		g->phase[GIT_JOB] = GIT_LIST;
		g->phase[GIT_TARGET] = GIT_PASS;
	}
	*out = g;
	return 0;
}

void
git_free(struct git *g)
{
	if (g == NULL)
		return;
	for (int side = 0; side < 2; side++) {
		buf_clear(&g->in[side]);
		buf_clear(&g->out[side]);
	}
	buf_clear(&g->names);
	buf_clear(&g->caps);
	buf_clear(&g->held);
	buf_clear(&g->inner);
	free(g->seen);
	free(g->wanted);
	free(g->command);
	free(g);
}

int
git_broke(struct git *g, enum git_side side, const char *words)
{
	g->phase[GIT_JOB] = g->phase[GIT_TARGET] = GIT_OVER;
	(void)snprintf(g->error, sizeof(g->error), "%s: %s",
	    side == GIT_JOB ? "not passed on to git on the target"
			    : "git on the target cannot be followed",
	    words);
	return ERR_PROTO;
}

const char *
git_error(const struct git *g)
{
	return g->error;
}

/* -- what is kept ------------------------------------------------------------
 */

uint32_t
git_name(struct git *g, const char *name)
{
	size_t at = g->names.len;

	return buf_put(&g->names, name, strlen(name) + 1) == 0 ? (uint32_t)at
							       : UINT32_MAX;
}

const char *
git_name_at(const struct git *g, uint32_t at)
{
	return at == UINT32_MAX ? NULL : (const char *)g->names.d + at;
}

int
git_grow(void *vp, size_t n, size_t *cap, size_t max, size_t size)
{
	void **arrayp = vp, *bigger;
	size_t k;

	if (n >= max)
		return ERR_TOOBIG;
	if (n < *cap)
		return 0;
	k = *cap == 0 ? 64 : 2 * *cap;
	if ((bigger = realloc(*arrayp, k * size)) == NULL)
		return ERR_NOMEM;
	*arrayp = bigger;
	*cap = k;
	return 0;
}

/* -- what goes out -----------------------------------------------------------
 */

static int
put(struct git *g, enum git_side side, const void *p, size_t n)
{
	buf_shift(&g->out[side]);
	return buf_put(&g->out[side], p, n);
}

int
git_put(struct git *g, enum git_side side, const struct pkt *k)
{
	if (k->kind == PKT_FLUSH)
		return git_put_flush(g, side);
	buf_shift(&g->out[side]);
	return k->kind == PKT_DATA ? pkt_put(&g->out[side], k->data, k->n)
				   : ERR_FORMAT;
}

int
git_put_flush(struct git *g, enum git_side side)
{
	buf_shift(&g->out[side]);
	return pkt_put_flush(&g->out[side]);
}

const uint8_t *
git_out(const struct git *g, enum git_side side, size_t *n)
{
	*n = buf_len(&g->out[side]);
	return *n == 0 ? NULL : buf_ptr(&g->out[side]);
}

void
git_sent(struct git *g, enum git_side side, size_t n)
{
	(void)buf_skip(&g->out[side], n);
}

bool
git_idle(const struct git *g)
{
	return !g->refused && buf_len(&g->out[GIT_TARGET]) == 0;
}

bool
git_refused(const struct git *g, bool eof)
{
	return g->refused && buf_len(&g->out[GIT_JOB]) == 0 &&
	       (eof || g->phase[GIT_JOB] != GIT_DRAIN);
}

void
git_end(struct git *g)
{
	git_push_end(g);
	g->phase[GIT_JOB] = g->phase[GIT_TARGET] = GIT_OVER;
}

/* -- what comes in -----------------------------------------------------------
 */

bool
git_wants(const struct git *g, enum git_side side)
{
	enum git_side other = side == GIT_JOB ? GIT_TARGET : GIT_JOB;

	switch (g->phase[side]) {
	case GIT_QUIET:
	case GIT_OVER:
		break;
	case GIT_DRAIN:
		return true;
	case GIT_LIST:
	case GIT_OPTIONS:
	case GIT_REPORT:
	case GIT_PASS:
		return buf_len(&g->out[other]) < GIT_OUT_LOW;
	}
	return false;
}

static int
on_line(struct git *g, enum git_side side, const struct pkt *k)
{
	if (k->kind != PKT_DATA && k->kind != PKT_FLUSH)
		return git_broke(g, side, "a line of version 2");
	if (side == GIT_TARGET)
		return g->phase[side] == GIT_LIST ? git_adv_line(g, k)
						  : git_report_line(g, k);
	if (g->phase[side] == GIT_OPTIONS)
		return git_option_line(g, k);
	switch (g->want.service) {
	case GIT_FETCH:
		return git_fetch_line(g, k);
	case GIT_ARCHIVE:
		return git_archive_line(g, k);
	case GIT_PUSH:
		return git_push_line(g, k);
	}
	return ERR_INTERNAL;
}

/* Up to the end of one line. */
static int
take_line(
    struct git *g, enum git_side side, const uint8_t *p, size_t n, size_t *took)
{
	struct buf *in = &g->in[side];
	struct pkt k;
	size_t want;
	int r;

	*took = 0;
	do { /* first the length, then the rest */
		r = pkt_read(buf_ptr(in), buf_len(in), &k);
		if (r == ERR_FORMAT)
			return git_broke(g, side, "a line that is none");
		if (r != ERR_AGAIN)
			break;
		want = k.size - buf_len(in);
		if (want > n - *took)
			want = n - *took;
		if ((r = buf_put(in, p + *took, want)) != 0)
			return r;
		*took += want;
		r = pkt_read(buf_ptr(in), buf_len(in), &k);
	} while (r == ERR_AGAIN && *took < n);
	if (r == ERR_FORMAT)
		return git_broke(g, side, "a line that is none");
	if (r != 0)
		return r == ERR_AGAIN ? 0 : r;
	r = on_line(g, side, &k);
	buf_reset(in);
	return r;
}

static int
take_bytes(
    struct git *g, enum git_side side, const uint8_t *p, size_t n, size_t *took)
{
	enum git_side other = side == GIT_JOB ? GIT_TARGET : GIT_JOB;
	size_t room;

	if (g->phase[side] == GIT_DRAIN) {
		*took = n;
		g->drained += n;
		if (side == GIT_JOB && g->drained > GIT_DRAIN_MAX)
			g->phase[side] = GIT_OVER;
		return 0;
	}
	room = GIT_OUT_LOW - buf_len(&g->out[other]); /* git_wants saw to it */
	*took = n < room ? n : room;
	return put(g, other, p, *took);
}

int
git_take(
    struct git *g, enum git_side side, const void *data, size_t n, size_t *took)
{
	const uint8_t *p = data;
	size_t k;
	int r = 0;

	*took = 0;
	while (*took < n && r == 0 && git_wants(g, side)) {
		k = 0;
		if (g->phase[side] == GIT_PASS || g->phase[side] == GIT_DRAIN)
			r = take_bytes(g, side, p + *took, n - *took, &k);
		else
			r = take_line(g, side, p + *took, n - *took, &k);
		*took += k;
	}
	return r;
}
