/*
 * A target's answer: it MUST fit a question that has none yet, in kind and in
 * size; then it goes to the job under the job's own number.  What does not fit
 * ends the session.  Runs in the hop.  Distrusts the target.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

struct answer {
	unsigned int type;
	struct buf *b;
	struct sftp_packet *k;
	const uint8_t *body; /* behind the number */
	size_t nbody;
};

static int
wrong(struct sftp *s)
{
	return sftp_broke(s, "the target sent a wrong answer");
}

/* -- what fits ---------------------------------------------------------------
 */

/* The answer to a request that succeeds; any may be answered by STATUS. */
static unsigned int
answer_type(unsigned int type)
{
	switch (type) {
	case FXP_OPEN:
	case FXP_OPENDIR:
		return FXP_HANDLE;
	case FXP_READ:
		return FXP_DATA;
	case FXP_READDIR:
	case FXP_REALPATH:
	case FXP_READLINK:
		return FXP_NAME;
	case FXP_STAT:
	case FXP_LSTAT:
	case FXP_FSTAT:
		return FXP_ATTRS;
	case EXT_STATVFS:
	case EXT_FSTATVFS:
	case EXT_LIMITS:
	case EXT_USERS_GROUPS:
		return FXP_EXTENDED_REPLY;
	default:
		return FXP_STATUS;
	}
}

/* A name of a folder is one name: a client that trusts its server would put
 * `../x` beside the folder that it fetches. */
static bool
name_ok(const uint8_t *p, size_t n, bool one)
{
	if (memchr(p, '\0', n) != NULL)
		return false;
	return one || (n > 0 && memchr(p, '/', n) == NULL);
}

static int
names_check(struct buf *b, bool one)
{
	const uint8_t *p;
	struct sftp_attrs a;
	uint32_t count;
	size_t n;

	if (buf_get_u32(b, &count) != 0 || count == 0 || (one && count != 1))
		return ERR_PROTO;
	for (uint32_t i = 0; i < count; i++) {
		if (buf_get_view(b, SFTP_PACKET_MAX, &p, &n) != 0 ||
		    !name_ok(p, n, one) ||
		    buf_get_view(b, SFTP_PACKET_MAX, &p, &n) != 0 ||
		    sftp_get_attrs(b, &a) != 0)
			return ERR_PROTO;
	}
	return buf_end(b) == 0 ? 0 : ERR_PROTO;
}

int
sftp_answer_path(struct buf *b, char **out)
{
	const uint8_t *p;
	struct buf copy = *b;
	uint32_t count;
	size_t n;

	if (names_check(&copy, true) != 0 || buf_get_u32(b, &count) != 0 ||
	    buf_get_view(b, SFTP_PACKET_MAX, &p, &n) != 0 || n == 0 ||
	    p[0] != '/')
		return ERR_PROTO;
	return sftp_path_plain("/", p, n, out) == 0 ? 0 : ERR_PROTO;
}

/* -- files -------------------------------------------------------------------
 */

/* Its file, as long as the job has not closed it. */
static struct sftp_handle *
req_handle(struct sftp *s, const struct sftp_req *q)
{
	struct sftp_handle *f;

	if (q->handle == -1)
		return NULL;
	f = &s->handle[q->handle];
	return f->used && f->gen == q->handle_gen ? f : NULL;
}

static int
answer_handle(struct sftp *s, struct sftp_req *q, const struct answer *x)
{
	struct sftp_handle *f = req_handle(s, q);
	struct sftp_queue *out = sftp_to(s, SFTP_JOB);
	const uint8_t *p;
	size_t n;

	if (buf_get_view(x->b, SFTP_HANDLE_MAX, &p, &n) != 0 || n == 0 ||
	    buf_end(x->b) != 0 || f == NULL)
		return wrong(s);
	memcpy(f->target, p, n);
	f->ntarget = n;
	f->open = true;
	sftp_begin(out, FXP_HANDLE);
	sftp_put_u32(out, q->id);
	sftp_handle_put(out, s, q->handle);
	sftp_finish(out, 0);
	return 0;
}

/* Section 6.4: of a file on a disk there is less than was asked for only where
 * it ends.  A server need not give more than 32 KiB at once, and what comes
 * behind the end after all makes it none (sftp_track_add). */
static void
data_ends(struct sftp_handle *f, const struct sftp_req *q, uint32_t len)
{
	if (len < q->len && q->len <= SFTP_DATA_MAX &&
	    q->offset + len < f->get.eof)
		f->get.eof = q->offset + len;
}

/* The contents follow, x->k->left bytes of them. */
static int
answer_data(struct sftp *s, struct sftp_req *q, const struct answer *x)
{
	struct sftp_handle *f = req_handle(s, q);
	struct sftp_queue *out = sftp_to(s, SFTP_JOB);
	uint32_t len;

	if (buf_get_u32(x->b, &len) != 0 || len == 0 || len > q->len ||
	    len != x->k->left)
		return wrong(s);
	if (f != NULL && !sftp_judge_charge(s, f->rd_root, len)) {
		f->status = FX_PERMISSION_DENIED;
		return sftp_refused(s, q->id);
	}
	if (f != NULL)
		data_ends(f, q, len);
	sftp_begin(out, FXP_DATA);
	sftp_put_u32(out, q->id);
	sftp_put_u32(out, len);
	sftp_finish(out, len);
	x->k->pass = true;
	x->k->handle = f == NULL ? -1 : q->handle;
	x->k->offset = q->offset;
	return 0;
}

/* What a STATUS means for its file. */
static void
status_of_file(struct sftp *s, struct sftp_req *q, uint32_t code)
{
	struct sftp_handle *f = req_handle(s, q);

	if (f == NULL)
		return;
	if (q->type == FXP_READ && code == FX_EOF) {
		f->get.used = true;
		if (q->offset < f->get.eof)
			f->get.eof = q->offset;
		return;
	}
	if (q->cut && code == FX_OK)
		f->cut = q->offset;
	if (code != FX_OK && f->status == FX_OK &&
	    (q->type == FXP_READ || q->type == FXP_WRITE ||
		q->type == FXP_CLOSE || q->type == EXT_COPY_DATA ||
		q->type == EXT_FSYNC || q->cut))
		f->status = code;
	if (q->type == FXP_OPEN || q->type == FXP_OPENDIR) {
		sftp_handle_free(s, q->handle);
	} else if (q->type == FXP_CLOSE) {
		sftp_handle_report(s, q->handle, SFTP_DONE);
		sftp_handle_free(s, q->handle);
	}
}

/* -- passing on --------------------------------------------------------------
 */

static void
pass(struct sftp *s, const struct sftp_req *q, const struct answer *x)
{
	struct sftp_queue *out = sftp_to(s, SFTP_JOB);

	sftp_begin(out, x->type);
	sftp_put_u32(out, q->id);
	sftp_put(out, x->body, x->nbody);
	sftp_finish(out, 0);
}

static int
answer_status(struct sftp *s, struct sftp_req *q, const struct answer *x)
{
	const uint8_t *p;
	uint32_t code;
	size_t n;

	if (buf_get_u32(x->b, &code) != 0)
		return wrong(s);
	/* Text and language came with version 3. */
	if (buf_len(x->b) != 0 &&
	    (buf_get_view(x->b, SFTP_PACKET_MAX, &p, &n) != 0 ||
		buf_get_view(x->b, SFTP_PACKET_MAX, &p, &n) != 0 ||
		buf_end(x->b) != 0))
		return wrong(s);
	if (code == FX_OK && answer_type(q->type) != FXP_STATUS)
		return wrong(s);
	pass(s, q, x);
	sftp_req_report(s, q, code == FX_OK ? SFTP_DONE : SFTP_FAILED, code);
	status_of_file(s, q, code);
	return 0;
}

/* Not more than we can hold: a client does as it is told here. */
static int
answer_limits(struct sftp *s, struct sftp_req *q, const struct answer *x)
{
	static const uint64_t most[] = { SFTP_DATA_MAX + 1024, SFTP_DATA_MAX,
		SFTP_DATA_MAX, SFTP_HANDLES_MAX };
	struct sftp_queue *out = sftp_to(s, SFTP_JOB);
	uint64_t v[4];

	for (size_t i = 0; i < 4; i++) {
		if (buf_get_u64(x->b, &v[i]) != 0)
			return wrong(s);
		if (v[i] == 0 || v[i] > most[i]) /* 0: it knows no limit */
			v[i] = most[i];
	}
	if (buf_end(x->b) != 0)
		return wrong(s);
	sftp_begin(out, FXP_EXTENDED_REPLY);
	sftp_put_u32(out, q->id);
	for (size_t i = 0; i < 4; i++)
		sftp_put_u64(out, v[i]);
	sftp_finish(out, 0);
	return 0;
}

static int
answer_reply(struct sftp *s, struct sftp_req *q, const struct answer *x)
{
	const uint8_t *p;
	size_t n;

	if (q->type == EXT_LIMITS)
		return answer_limits(s, q, x);
	if (q->type == EXT_USERS_GROUPS) {
		if (buf_get_view(x->b, SFTP_PACKET_MAX, &p, &n) != 0 ||
		    buf_get_view(x->b, SFTP_PACKET_MAX, &p, &n) != 0 ||
		    buf_end(x->b) != 0)
			return wrong(s);
	} else if (buf_skip(x->b, 11 * 8) != 0 || buf_end(x->b) != 0) {
		return wrong(s);
	}
	pass(s, q, x);
	return 0;
}

static int
answer_fits(struct sftp *s, struct sftp_req *q, const struct answer *x)
{
	struct sftp_attrs a;

	if (x->type == FXP_STATUS)
		return answer_status(s, q, x);
	if (x->type != answer_type(q->type))
		return wrong(s);
	switch (x->type) {
	case FXP_HANDLE:
		return answer_handle(s, q, x);
	case FXP_DATA:
		return answer_data(s, q, x);
	case FXP_NAME:
		if (names_check(x->b, q->type != FXP_READDIR) != 0)
			return wrong(s);
		break;
	case FXP_ATTRS:
		if (sftp_get_attrs(x->b, &a) != 0 || buf_end(x->b) != 0)
			return wrong(s);
		break;
	case FXP_EXTENDED_REPLY:
		return answer_reply(s, q, x);
	default:
		return wrong(s);
	}
	pass(s, q, x);
	return 0;
}

/* -- whose -------------------------------------------------------------------
 */

/* The pairs of a VERSION: those that we know, in the version we know. */
static int
version_offers(struct sftp *s, struct buf *b)
{
	const uint8_t *name, *data;
	const char *version;
	size_t n, k;
	unsigned int ext;

	while (buf_len(b) > 0) {
		if (buf_get_view(b, SFTP_PACKET_MAX, &name, &n) != 0 ||
		    buf_get_view(b, SFTP_PACKET_MAX, &data, &k) != 0)
			return wrong(s);
		if ((ext = sftp_extension_find(name, n)) == 0)
			continue;
		(void)sftp_extension_name(ext, &version);
		if (k == strlen(version) && memcmp(data, version, k) == 0)
			s->offered |= 1U << (ext - 256);
	}
	return 0;
}

static int
answer_version(struct sftp *s, struct answer *x)
{
	uint32_t version;
	int r;

	if (x->type != FXP_VERSION || buf_get_u32(x->b, &version) != 0)
		return wrong(s);
	if (version != 3)
		return sftp_broke(s, "the target does not speak version 3 of "
				     "SFTP");
	if ((r = version_offers(s, x->b)) != 0)
		return r;
	s->phase = PHASE_START;
	return sftp_start_ask(s);
}

/* The job may begin. */
static void
version_pass(struct sftp *s)
{
	struct sftp_queue *out = sftp_to(s, SFTP_JOB);
	const char *name, *version;

	sftp_begin(out, FXP_VERSION);
	sftp_put_u32(out, 3);
	for (unsigned int e = EXT_POSIX_RENAME; e <= EXT_USERS_GROUPS; e++) {
		if ((s->offered & 1U << (e - 256)) == 0 ||
		    (name = sftp_extension_name(e, &version)) == NULL)
			continue;
		sftp_put_cstr(out, name);
		sftp_put_cstr(out, version);
	}
	sftp_finish(out, 0);
	s->phase = PHASE_RUN;
}

static int
answer_request(struct sftp *s, uint32_t wire, const struct answer *x)
{
	struct sftp_req *q = &s->req[wire & 0xff];
	unsigned int ask = wire >> 8 & 0xff;
	bool changed;
	int r;

	if (!q->used || q->gen != wire >> 16 || ask >= ASK_N)
		return sftp_broke(s, "the target answered what was not asked");
	if (ask != ASK_ITSELF)
		return sftp_path_answer(
		    s, q, (enum sftp_ask)ask, x->type, x->b);
	if (q->paths != NULL && !q->sent)
		return sftp_broke(s, "the target answered what was not asked");
	if ((r = answer_fits(s, q, x)) != 0)
		return r;
	changed = q->changes;
	sftp_req_free(s, q);
	if (!changed)
		return 0;
	s->changing--;
	return sftp_path_turns(s);
}

int
sftp_answer(struct sftp *s, struct sftp_packet *k)
{
	struct answer x = { .k = k };
	struct buf b;
	uint32_t wire;
	uint8_t type;
	int r;

	buf_view(&b, k->d, k->n);
	x.b = &b;
	if (buf_skip(&b, 4) != 0 || buf_get_u8(&b, &type) != 0)
		return wrong(s);
	x.type = type;
	if (s->phase == PHASE_VERSION)
		return answer_version(s, &x);
	if (buf_get_u32(&b, &wire) != 0)
		return wrong(s);
	x.body = buf_ptr(&b);
	x.nbody = buf_len(&b);
	if ((wire >> 8 & 0xff) != ASK_START)
		return answer_request(s, wire, &x);
	if ((wire & 0xff) != 0)
		return wrong(s);
	if ((r = sftp_start_answer(s, wire >> 16, type, &b)) != 0)
		return r;
	if (s->starting == 0)
		version_pass(s);
	return 0;
}
