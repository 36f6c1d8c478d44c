/*
 * Requests that name an open file, by the handle that we gave out for it.  What
 * it was opened for is what it may be used for; what it grows by is charged.
 * Runs in the hop.  Distrusts the job.
 */
#include "config.h"

#include "lib/err.h"
#include "ssh/sftp_internal.h"

/* Its answer belongs to this file. */
static struct sftp_req *
handle_req(struct sftp *s, const struct sftp_call *x, int h)
{
	struct sftp_req *q = sftp_req_new(s, x->type, x->id);

	q->handle = h;
	q->handle_gen = s->handle[h].gen;
	return q;
}

static int
get_handle(struct sftp *s, struct buf *b, int *h)
{
	const uint8_t *p;
	size_t n;
	int r;

	if ((r = buf_get_view(b, SFTP_HANDLE_MAX, &p, &n)) != 0)
		return r;
	*h = sftp_handle_find(s, p, n);
	return 0;
}

static int
unknown(struct sftp *s, uint32_t id)
{
	sftp_status(
	    s, id, FX_FAILURE, "no such open file, or not opened for this");
	return 0;
}

/* CLOSE, FSTAT, READDIR, fstatvfs, fsync: nothing but the file. */
static int
file_plain(struct sftp *s, const struct sftp_call *x)
{
	struct sftp_handle *f;
	struct sftp_queue *out;
	int h;

	if (get_handle(s, x->b, &h) != 0 || buf_end(x->b) != 0)
		return sftp_malformed(s, x->id);
	if (h == -1 || (x->type == FXP_READDIR && !s->handle[h].dir))
		return unknown(s, x->id);
	f = &s->handle[h];
	if (x->type == FXP_CLOSE)
		f->open = false;
	out = sftp_req_begin(s, handle_req(s, x, h));
	sftp_put_str(out, f->target, f->ntarget);
	sftp_finish(out, 0);
	return 0;
}

static int
file_read(struct sftp *s, const struct sftp_call *x)
{
	struct sftp_queue *out;
	struct sftp_req *q;
	uint64_t offset;
	uint32_t len;
	int h;

	if (get_handle(s, x->b, &h) != 0 || buf_get_u64(x->b, &offset) != 0 ||
	    buf_get_u32(x->b, &len) != 0 || buf_end(x->b) != 0)
		return sftp_malformed(s, x->id);
	if (h == -1 || !s->handle[h].rd)
		return unknown(s, x->id);
	if (len > SFTP_PACKET_MAX - 1024)
		len = SFTP_PACKET_MAX - 1024;
	sftp_handle_begin(s, h, false);
	q = handle_req(s, x, h);
	q->offset = offset;
	q->len = len;
	out = sftp_req_begin(s, q);
	sftp_put_str(out, s->handle[h].target, s->handle[h].ntarget);
	sftp_put_u64(out, offset);
	sftp_put_u32(out, len);
	sftp_finish(out, 0);
	return 0;
}

/* What a write makes a file longer counts, holes included; where it began is
 * not known, so it counts from the beginning. */
static bool
grow(struct sftp *s, struct sftp_handle *f, uint64_t end)
{
	if (end <= f->end)
		return true;
	if (!sftp_judge_charge(s, f->wr_root, end - f->end))
		return false;
	f->end = end;
	return true;
}

/* The contents are still to come: k->left bytes, and they go nowhere unless
 * k->pass says so. */
static int
file_write(struct sftp *s, const struct sftp_call *x)
{
	struct sftp_packet *k = x->k;
	struct sftp_queue *out;
	struct sftp_handle *f;
	struct sftp_req *q;
	uint64_t offset, end;
	uint32_t len;
	int h;

	if (get_handle(s, x->b, &h) != 0 || buf_get_u64(x->b, &offset) != 0 ||
	    buf_get_u32(x->b, &len) != 0 || len != k->left ||
	    __builtin_add_overflow(offset, (uint64_t)len, &end))
		return sftp_malformed(s, x->id);
	if (h == -1 || !s->handle[h].wr)
		return unknown(s, x->id);
	f = &s->handle[h];
	if (f->append && __builtin_add_overflow(f->end, (uint64_t)len, &end))
		return sftp_malformed(s, x->id);
	if (!grow(s, f, end)) {
		f->status = FX_PERMISSION_DENIED;
		return sftp_refused(s, x->id);
	}
	q = handle_req(s, x, h);
	out = sftp_req_begin(s, q);
	sftp_put_str(out, f->target, f->ntarget);
	sftp_put_u64(out, offset);
	sftp_put_u32(out, len);
	sftp_finish(out, len);
	k->pass = true;
	k->handle = h;
	k->offset = offset;
	return 0;
}

static int
file_fsetstat(struct sftp *s, const struct sftp_call *x)
{
	struct sftp_queue *out;
	struct sftp_handle *f;
	struct sftp_attrs a;
	struct sftp_req *q;
	int h;

	if (get_handle(s, x->b, &h) != 0 || sftp_get_attrs(x->b, &a) != 0 ||
	    buf_end(x->b) != 0)
		return sftp_malformed(s, x->id);
	if (h == -1 || !s->handle[h].wr)
		return unknown(s, x->id);
	f = &s->handle[h];
	if (!sftp_judge_attrs(s, &a, f->path) ||
	    ((a.flags & ATTR_SIZE) != 0 && !grow(s, f, a.size))) {
		return sftp_refused(s, x->id);
	}
	a.perm &= SFTP_MODE_MASK;
	q = handle_req(s, x, h);
	q->cut = (a.flags & ATTR_SIZE) != 0;
	q->offset = a.size;
	out = sftp_req_begin(s, q);
	sftp_put_str(out, f->target, f->ntarget);
	sftp_put_attrs(out, &a);
	sftp_finish(out, 0);
	return 0;
}

/* How much "to the end" is, only the target knows. */
static bool
copy_granted(struct sftp *s, const struct sftp_handle *from,
    struct sftp_handle *to, uint64_t len, uint64_t end)
{
	const struct sftp_rule *a = s->root[from->rd_root].rule;
	const struct sftp_rule *b = s->root[to->wr_root].rule;

	if (len == 0 && (a->max != 0 || b->max != 0)) {
		sftp_refuse(s, a->max != 0 ? a->name : b->name,
		    "copying %s to its end: rule %s grants so many bytes, and "
		    "how many these are is not known",
		    from->path, a->max != 0 ? a->name : b->name);
		return false;
	}
	return sftp_judge_charge(s, from->rd_root, len) && grow(s, to, end);
}

static int
file_copy(struct sftp *s, const struct sftp_call *x)
{
	uint64_t from, len, to, end;
	struct sftp_queue *out;
	int h, g;

	if (get_handle(s, x->b, &h) != 0 || buf_get_u64(x->b, &from) != 0 ||
	    buf_get_u64(x->b, &len) != 0 || get_handle(s, x->b, &g) != 0 ||
	    buf_get_u64(x->b, &to) != 0 || buf_end(x->b) != 0 ||
	    __builtin_add_overflow(to, len, &end))
		return sftp_malformed(s, x->id);
	if (h == -1 || g == -1 || !s->handle[h].rd || !s->handle[g].wr)
		return unknown(s, x->id);
	if (!copy_granted(s, &s->handle[h], &s->handle[g], len, end)) {
		return sftp_refused(s, x->id);
	}
	sftp_handle_begin(s, h, false);
	sftp_track_unseen(&s->handle[h].get, from, len);
	sftp_track_unseen(&s->handle[g].put, to, len);
	out = sftp_req_begin(s, handle_req(s, x, g));
	sftp_put_str(out, s->handle[h].target, s->handle[h].ntarget);
	sftp_put_u64(out, from);
	sftp_put_u64(out, len);
	sftp_put_str(out, s->handle[g].target, s->handle[g].ntarget);
	sftp_put_u64(out, to);
	sftp_finish(out, 0);
	return 0;
}

int
sftp_file_request(struct sftp *s, const struct sftp_call *x)
{
	switch (x->type) {
	case FXP_READ:
		return file_read(s, x);
	case FXP_WRITE:
		return file_write(s, x);
	case FXP_FSETSTAT:
		return file_fsetstat(s, x);
	case EXT_COPY_DATA:
		return file_copy(s, x);
	default:
		return file_plain(s, x);
	}
}
