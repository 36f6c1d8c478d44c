/*
 * The filter for git, as a conversation made of pieces: the input is a list of
 * them, so that what is mutated is still git, and every state is reached.  A
 * first byte says which service, and whether every ref may be.  Then each piece
 * is a byte (which one, on the wrong side or not, at once or byte by byte) and
 * what it takes: objects, refs and capabilities by number, or bytes of its own.
 *
 * What a side does not take yet waits, as in the hop.  Whatever comes: a push
 * with a ref that is refused leaves the target without a byte; a fetch that may
 * not have every ref shows none of the others, offers no way round, and asks
 * the target for what was shown alone; and whoever is refused has an answer.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "ssh/git.h"
#include "ssh/pktline.h"
#include "tests/fuzz/depth.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define D8(d) d d d d d d d d
#define OID(d) D8(d) D8(d) D8(d) D8(d) D8(d)
#define SHOWN_MAX 256
#define WAITS_MAX (4UL * 1024 * 1024)
#define SEEN_MAX (16UL * 1024 * 1024) /* more than comes out at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a ref that is done",
	"a ref that is refused", "a fetch that asks", NULL };

static const char *const oids[] = { OID("0"), OID("a"), OID("b"), OID("c"),
	OID("d"), OID("a") D8("a") D8("a") D8("a"), OID("A"), "abc" };

/* Those with a k may not be had. */
static const char *const refs[] = { "refs/heads/main", "refs/heads/k",
	"refs/heads/f/x", "refs/tags/v1.0", "refs/tags/k", "HEAD", ".have",
	"refs/heads/a..b", "refs/heads/\xc3\xbc", "refs/heads/\xff", "refs/",
	"capabilities^{}", "main", "refs/heads/main:k", "refs/heads/x.lock",
	"refs/pull/1/head" };

static const char *const caps[] = { "report-status", "report-status-v2",
	"side-band-64k", "push-options", "delete-refs", "ofs-delta", "atomic",
	"quiet", "symref=HEAD:refs/heads/main", "symref=HEAD:refs/heads/k",
	"thin-pack", "filter", "include-tag", "allow-reachable-sha1-in-want",
	"allow-tip-sha1-in-want", "shallow" };

static const char *const words[] = { "refs/heads/main", "refs/heads/k",
	"refs/heads/main:k", "--format=tar", "--format", "tar", "--prefix=x/",
	"--prefix", "--remote=x", "--exec=id", "-9", "-v", "--", "",
	"--output=/x", "HEAD" };

static const char *const texts[] = { "version 2", "ERR no", "unpack ok",
	"unpack it broke", "push-cert", "command=ls-refs", "filter blob:none",
	"want-ref refs/heads/k", "deepen-since 1", "deepen 1",
	"deepen 2147483647", "deepen 0", "deepen x", "done", "NAK",
	"ng refs/heads/main no such thing" };

struct world {
	enum git_service service;
	bool all, refused;
	bool passed; /* something, to the target */
	/* what came out on each side, up to its first flush */
	struct buf out[2];
	bool over[2];
	char shown[SHOWN_MAX][PKT_OID_MAX + 1];
	size_t nshown;
	struct buf waits[2];
};

/* -- what it may do ----------------------------------------------------------
 */

static const char *
judge(void *arg, const char *ref, char why[GIT_WHY_MAX])
{
	const struct world *w = arg;

	(void)snprintf(why, GIT_WHY_MAX, "no");
	assert(utf8_valid(ref, strlen(ref)));
	return !w->all && strchr(ref, 'k') != NULL ? NULL : "rule";
}

static void
entry(void *arg, const struct git_entry *e)
{
	struct world *w = arg;
	bool push = w->service == GIT_PUSH;

	assert(e->verb != NULL);
	assert(e->old == NULL || strlen(e->old) >= 40);
	assert(e->new == NULL || strlen(e->new) >= 40);
	assert(e->ref == NULL || utf8_valid(e->ref, strlen(e->ref)));
	w->refused |= e->result == GIT_REFUSED;
	if (e->result == GIT_DONE)
		fuzz_reached(0);
	if (e->result == GIT_REFUSED)
		fuzz_reached(1);
	if (e->result == GIT_ASKED)
		fuzz_reached(2);
	/* MUST: the target has heard nothing of a push that is refused */
	assert(!(push && e->result == GIT_REFUSED && w->passed));
	if (e->result == GIT_DONE || e->result == GIT_ASKED ||
	    e->result == GIT_CUT)
		assert(e->ref == NULL || w->all || strchr(e->ref, 'k') == NULL);
}

static void
say(void *arg, const char *text)
{
	(void)arg;
	assert(*text != '\0');
}

/* One line of what the job is told of the repository. */
static void
see_offer(struct world *w, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k), all;
	char oid[PKT_OID_MAX + 1];

	if (!pkt_take_caps(&t, &all))
		all.n = 0;
	if (!pkt_take_oid(&t, oid))
		return; /* ERR, shallow */
	if (w->nshown < SHOWN_MAX)
		(void)str_copy(w->shown[w->nshown++], sizeof(oid), oid);
	if (w->service == GIT_PUSH || w->all)
		return;
	if (!pkt_text_is(&t, "capabilities^{}"))
		assert(t.n == 0 || memchr(t.p, 'k', t.n) == NULL);
	if (all.n == 0)
		return;
	assert(memmem(all.p, all.n, "heads/k", 7) == NULL);
	assert(memmem(all.p, all.n, "filter", 6) == NULL);
	assert(memmem(all.p, all.n, "thin-pack", 9) == NULL);
	assert(memmem(all.p, all.n, "include-tag", 11) == NULL);
	assert(memmem(all.p, all.n, "sha1-in-want", 12) == NULL);
}

/* One line of what the target hears. */
static void
see_asked(const struct world *w, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k);
	char oid[PKT_OID_MAX + 1];
	size_t i;

	if (w->all || w->service != GIT_FETCH || !pkt_take(&t, "want"))
		return;
	assert(pkt_take_oid(&t, oid));
	for (i = 0; i < w->nshown && strcmp(w->shown[i], oid) != 0; i++)
		;
	/* of more than that it is not known here */
	assert(i < w->nshown || w->nshown == SHOWN_MAX);
}

static void
see(struct world *w, enum git_side side, const uint8_t *p, size_t n)
{
	struct buf *b = &w->out[side];
	struct pkt k;

	if (w->over[side] || (w->service == GIT_ARCHIVE && side == GIT_JOB))
		return;
	buf_shift(b);
	if (buf_put(b, p, n) != 0)
		abort();
	while (!w->over[side] && buf_len(b) > 0 &&
	       pkt_read(buf_ptr(b), buf_len(b), &k) == 0) {
		if (k.kind != PKT_DATA)
			w->over[side] = true;
		else if (side == GIT_JOB)
			see_offer(w, &k);
		else
			see_asked(w, &k);
		if (buf_skip(b, k.size) != 0)
			abort();
	}
}

static void
drain(struct git *g, struct world *w)
{
	bool push = w->service == GIT_PUSH;
	const uint8_t *p;
	size_t n;

	for (int side = 0; side < 2; side++) {
		p = git_out(g, (enum git_side)side, &n);
		assert((p == NULL) == (n == 0));
		w->passed |= side == GIT_TARGET && n > 0;
		assert(!(side == GIT_TARGET && n > 0 && push && w->refused));
		if (n > 0)
			see(w, (enum git_side)side, p, n);
		git_sent(g, (enum git_side)side, n);
	}
	assert(git_idle(g) == !git_refused(g, true));
}

/* -- pieces ------------------------------------------------------------------
 */

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t
next(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static const char *
pick(struct input *in, const char *const *v, size_t n)
{
	return v[next(in) % n];
}

/* As many bytes of the input as the next one says. */
static void
put_bytes(struct input *in, struct buf *b)
{
	size_t n = next(in);

	if (n > in->n)
		n = in->n;
	if (buf_put(b, in->p, n) != 0)
		abort();
	in->p += n;
	in->n -= n;
}

/* Two bytes: which of them, behind a NUL or a space. */
static void
put_caps(struct input *in, struct buf *b, char before)
{
	unsigned int set = next(in) | (unsigned int)next(in) << 8;
	bool first = true;

	for (size_t i = 0; i < N(caps) && set != 0; i++) {
		if ((set >> i & 1) == 0)
			continue;
		if (buf_put(b, first ? &before : " ", 1) != 0 ||
		    buf_put(b, caps[i], strlen(caps[i])) != 0)
			abort();
		first = false;
	}
}

enum piece {
	P_REF,   /* OID REF, of an offer */
	P_FIRST, /* and with capabilities */
	P_PEELED,
	P_FLUSH,
	P_WANT,
	P_WANTS, /* with capabilities */
	P_SHALLOW,
	P_DEEPEN_NOT,
	P_HAVE,
	P_COMMAND, /* OLD NEW REF, of a push */
	P_FIRST_COMMAND,
	P_OK, /* of a report */
	P_NG,
	P_BAND, /* what follows, up to its length, in band 1 */
	P_ARGUMENT,
	P_TEXT,
	P_LINE, /* bytes in a line */
	P_RAW,
	P_PACK,
	P_DELIM,
	P_MANY,     /* 64 refs */
	P_COMMANDS, /* 64 of them, with long names */
	P_LONG,     /* a line of 65516 bytes */
	P_KINDS,
};

static const bool is_jobs[P_KINDS] = { [P_WANT] = true,
	[P_WANTS] = true,
	[P_SHALLOW] = true,
	[P_DEEPEN_NOT] = true,
	[P_HAVE] = true,
	[P_COMMAND] = true,
	[P_FIRST_COMMAND] = true,
	[P_COMMANDS] = true,
	[P_ARGUMENT] = true,
	[P_PACK] = true };

#define OID_NEXT pick(in, oids, N(oids))
#define REF_NEXT pick(in, refs, N(refs))

/* The text of a line; false: it is none. */
static bool
put_text(struct input *in, enum piece kind, struct buf *b)
{
	const char *o, *q;
	int r = 0;

	switch ((int)kind) {
	case P_REF:
	case P_FIRST:
	case P_PEELED:
		o = OID_NEXT;
		r = buf_putf(
		    b, "%s %s%s", o, REF_NEXT, kind == P_PEELED ? "^{}" : "");
		break;
	case P_WANT:
	case P_WANTS:
		r = buf_putf(b, "want %s", OID_NEXT);
		break;
	case P_SHALLOW:
		r = buf_putf(b, "shallow %s", OID_NEXT);
		break;
	case P_DEEPEN_NOT:
		r = buf_putf(b, "deepen-not %s", REF_NEXT);
		break;
	case P_HAVE:
		r = buf_putf(b, "have %s", OID_NEXT);
		break;
	case P_COMMAND:
	case P_FIRST_COMMAND:
		o = OID_NEXT;
		q = OID_NEXT;
		r = buf_putf(b, "%s %s %s", o, q, REF_NEXT);
		break;
	case P_OK:
		r = buf_putf(b, "ok %s", REF_NEXT);
		break;
	case P_NG:
		r = buf_putf(b, "ng %s because", REF_NEXT);
		break;
	case P_ARGUMENT:
		r = buf_putf(b, "argument %s", pick(in, words, N(words)));
		break;
	case P_TEXT:
		r = buf_putf(b, "%s", pick(in, texts, N(texts)));
		break;
	case P_LINE:
		put_bytes(in, b);
		break;
	default:
		return false;
	}
	if (r != 0)
		abort();
	if (kind == P_FIRST || kind == P_FIRST_COMMAND)
		put_caps(in, b, '\0');
	if (kind == P_WANTS)
		put_caps(in, b, ' ');
	return true;
}

static int
put_many(struct buf *b)
{
	char line[128];
	int n, r = 0;

	for (int i = 0; i < 64 && r == 0; i++) {
		n = snprintf(line, sizeof(line), "%040x refs/heads/%c%d\n",
		    i + 1, i % 3 == 0 ? 'k' : 'f', i);
		r = pkt_put(b, line, (size_t)n);
	}
	return r;
}

static int
put_commands(struct buf *b)
{
	char line[1200];
	int n, r = 0;

	for (int i = 0; i < 64 && r == 0; i++) {
		n = snprintf(line, sizeof(line), "%s %s refs/heads/%0900d\n",
		    oids[1], oids[2], i);
		r = pkt_put(b, line, (size_t)n);
	}
	return r;
}

static int put_piece(struct input *in, enum piece kind, struct buf *b);

/* A line of the report within a line of its band, not always all of it. */
static int
put_band(struct input *in, struct buf *b)
{
	uint8_t cut = next(in), band = 1;
	struct buf inner, line;
	size_t n;
	int r;

	buf_init(&inner, PKT_DATA_MAX);
	buf_init(&line, PKT_DATA_MAX);
	switch (cut % 4) {
	case 0:
		r = put_piece(in, P_OK, &inner);
		break;
	case 1:
		r = put_piece(in, P_TEXT, &inner);
		break;
	case 2:
		r = pkt_put_flush(&inner);
		break;
	default:
		r = put_piece(in, P_NG, &inner);
		band = (uint8_t)(1 + (cut >> 2) % 3);
		break;
	}
	n = buf_len(&inner);
	if (cut >= 128 && n > (size_t)(cut & 63))
		n = cut & 63;
	if (r == 0 && (r = buf_put(&line, &band, 1)) == 0 &&
	    (r = buf_put(&line, buf_ptr(&inner), n)) == 0)
		r = pkt_put(b, buf_ptr(&line), buf_len(&line));
	buf_clear(&inner);
	buf_clear(&line);
	return r;
}

static int
put_piece(struct input *in, enum piece kind, struct buf *b)
{
	static const char zeros[PKT_DATA_MAX];
	struct buf line;
	int r = 0;

	switch ((int)kind) {
	case P_FLUSH:
		return pkt_put_flush(b);
	case P_DELIM:
		return buf_put(b, next(in) % 2 == 0 ? "0001" : "0002", 4);
	case P_RAW:
		put_bytes(in, b);
		return 0;
	case P_PACK:
		if ((r = buf_put(b, "PACK\0\0\0\2", 8)) == 0)
			put_bytes(in, b);
		return r;
	case P_BAND:
		return put_band(in, b);
	case P_MANY:
		return put_many(b);
	case P_COMMANDS:
		return put_commands(b);
	case P_LONG:
		return pkt_put(b, zeros, sizeof(zeros));
	default:
		break;
	}
	buf_init(&line, PKT_DATA_MAX);
	if (put_text(in, kind, &line) && (r = buf_put(&line, "\n", 1)) == 0)
		r = pkt_put(b, buf_ptr(&line), buf_len(&line));
	buf_clear(&line);
	return r;
}

/* -- the conversation --------------------------------------------------------
 */

/* What waits, as far as it is taken; step 0: all at once. */
static int
feed(struct git *g, struct world *w, enum git_side side, size_t step)
{
	struct buf *b = &w->waits[side];
	size_t n, took;
	int r = 0;

	while (r == 0 && (n = buf_len(b)) > 0 && git_wants(g, side)) {
		if (step > 0 && n > step)
			n = step;
		r = git_take(g, side, buf_ptr(b), n, &took);
		assert(took <= n);
		assert(r != 0 || took > 0);
		assert(r == 0 || git_error(g)[0] != '\0');
		if (buf_skip(b, took) != 0)
			abort();
		drain(g, w);
		assert(!git_refused(g, true) || git_error(g)[0] != '\0');
	}
	buf_shift(b);
	return r;
}

static int
converse(struct git *g, struct world *w, struct input *in)
{
	enum git_side side;
	size_t step;
	uint8_t op;
	int r = 0;

	while (in->n > 0 && r == 0) {
		op = next(in);
		side = is_jobs[(op & 31) % P_KINDS] ? GIT_JOB : GIT_TARGET;
		/* a flush and words are either's */
		if ((op & 128) != 0)
			side = side == GIT_JOB ? GIT_TARGET : GIT_JOB;
		if (put_piece(in, (enum piece)((op & 31) % P_KINDS),
			&w->waits[side]) != 0)
			break; /* more waits than is looked at here */
		/* what is long, in as many parts as time allows */
		step = 1 + buf_len(&w->waits[side]) / 256;
		if ((op & 64) == 0)
			step = 0;
		for (int i = 0; i < 2 && r == 0; i++) {
			r = feed(g, w, side, step);
			side = side == GIT_JOB ? GIT_TARGET : GIT_JOB;
		}
	}
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	static struct world world;
	struct git_want want = {
		.judge = judge, .entry = entry, .say = say, .arg = &world
	};
	struct git *g;
	uint8_t first;

	if (size == 0)
		return 0;
	first = next(&in);
	world = (struct world){ .all = (first & 64) != 0,
		.service = first % 3 == 0   ? GIT_FETCH
			   : first % 3 == 1 ? GIT_PUSH
					    : GIT_ARCHIVE };
	want.service = world.service;
	want.all = world.all;
	for (int side = 0; side < 2; side++) {
		buf_init(&world.out[side], SEEN_MAX);
		buf_init(&world.waits[side], WAITS_MAX);
	}
	if (git_new(&want, &g) != 0)
		abort();
	(void)converse(g, &world, &in);
	git_end(g);
	assert(!git_wants(g, GIT_JOB) && !git_wants(g, GIT_TARGET));
	git_free(g);
	for (int side = 0; side < 2; side++) {
		buf_clear(&world.out[side]);
		buf_clear(&world.waits[side]);
	}
	return 0;
}
