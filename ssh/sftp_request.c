/*
 * A job's request: read to its last byte, judged, and written anew for the
 * target.  Here are those that name an open file; what names a path goes on in
 * sftp_path.c.  Runs in the hop.  Distrusts the job.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

#define MODE_SETID 06000U
#define MODE_MASK 07777U
#define IDS_MAX 32768 /* bytes of a list of ids */

/* PROTOCOL, section 4: what a version string must be for us to know it. */
static const struct {
	const char *name, *version;
	unsigned int ext;
} extensions[] = {
	{ "posix-rename@openssh.com", "1", EXT_POSIX_RENAME },
	{ "statvfs@openssh.com", "2", EXT_STATVFS },
	{ "fstatvfs@openssh.com", "2", EXT_FSTATVFS },
	{ "hardlink@openssh.com", "1", EXT_HARDLINK },
	{ "fsync@openssh.com", "1", EXT_FSYNC },
	{ "lsetstat@openssh.com", "1", EXT_LSETSTAT },
	{ "limits@openssh.com", "1", EXT_LIMITS },
	{ "expand-path@openssh.com", "1", EXT_EXPAND_PATH },
	{ "copy-data", "1", EXT_COPY_DATA },
	{ "home-directory", "1", EXT_HOME_DIRECTORY },
	{ "users-groups-by-id@openssh.com", "1", EXT_USERS_GROUPS },
};
#define NEXTENSIONS (sizeof(extensions) / sizeof(extensions[0]))

const char *
sftp_extension_name(unsigned int ext, const char **version)
{
	for (size_t i = 0; i < NEXTENSIONS; i++) {
		if (extensions[i].ext != ext)
			continue;
		*version = extensions[i].version;
		return extensions[i].name;
	}
	return NULL;
}

unsigned int
sftp_extension_find(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < NEXTENSIONS; i++) {
		if (n == strlen(extensions[i].name) &&
		    memcmp(p, extensions[i].name, n) == 0)
			return extensions[i].ext;
	}
	return 0;
}

/* -- slots -------------------------------------------------------------------
 */

struct sftp_req *
sftp_req_new(struct sftp *s, unsigned int type, uint32_t id)
{
	struct sftp_req *q = s->req;

	while (q->used)
		q++;
	*q = (struct sftp_req){
		.used = true,
		.gen = ++s->gen,
		.type = type,
		.id = id,
		.handle = -1,
	};
	s->nreq++;
	return q;
}

void
sftp_req_free(struct sftp *s, struct sftp_req *q)
{
	struct sftp_paths *p = q->paths;

	if (p != NULL) {
		free(p->path);
		free(p->to);
		free(p->content);
		for (int i = 0; i < ASK_N; i++)
			free(p->answer[i]);
		free(p);
	}
	*q = (struct sftp_req){ 0 };
	s->nreq--;
}

uint32_t
sftp_req_wire(const struct sftp *s, const struct sftp_req *q, enum sftp_ask ask)
{
	return (uint32_t)q->gen << 16 | (uint32_t)ask << 8 |
	       (uint32_t)(q - s->req);
}

struct sftp_queue *
sftp_req_begin(struct sftp *s, const struct sftp_req *q)
{
	struct sftp_queue *out = sftp_to(s, SFTP_TARGET);
	const char *version, *name = sftp_extension_name(q->type, &version);

	sftp_begin(out, name != NULL ? FXP_EXTENDED : q->type);
	sftp_put_u32(out, sftp_req_wire(s, q, ASK_ITSELF));
	if (name != NULL)
		sftp_put_cstr(out, name);
	return out;
}

/* -- refusals ----------------------------------------------------------------
 */

static int
refuse(struct sftp *s, uint32_t id, uint32_t code)
{
	sftp_status(s, id, code, s->text);
	return 0;
}

static int
malformed(struct sftp *s, uint32_t id)
{
	sftp_status(s, id, FX_BAD_MESSAGE, "malformed request");
	return 0;
}

static bool
attrs_granted(struct sftp *s, const struct sftp_attrs *a, const char *path)
{
	if ((a->flags & ATTR_UIDGID) != 0) {
		sftp_refuse(s, NULL,
		    "changing the owner of %s: granted by no rule", path);
		return false;
	}
	if ((a->flags & ATTR_PERM) != 0 && (a->perm & MODE_SETID) != 0) {
		sftp_refuse(s, NULL,
		    "making %s setuid or setgid: granted by no rule", path);
		return false;
	}
	return true;
}

/* -- requests that name an open file -----------------------------------------
 */

struct request {
	struct buf *b;
	unsigned int type;
	uint32_t id;
	struct sftp_packet *k;
};

/* Its answer belongs to this file. */
static struct sftp_req *
handle_req(struct sftp *s, const struct request *x, int h)
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
request_plain(struct sftp *s, const struct request *x)
{
	struct sftp_handle *f;
	struct sftp_queue *out;
	int h;

	if (get_handle(s, x->b, &h) != 0 || buf_end(x->b) != 0)
		return malformed(s, x->id);
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
request_read(struct sftp *s, const struct request *x)
{
	struct sftp_queue *out;
	struct sftp_req *q;
	uint64_t offset;
	uint32_t len;
	int h;

	if (get_handle(s, x->b, &h) != 0 || buf_get_u64(x->b, &offset) != 0 ||
	    buf_get_u32(x->b, &len) != 0 || buf_end(x->b) != 0)
		return malformed(s, x->id);
	if (h == -1 || !s->handle[h].rd)
		return unknown(s, x->id);
	if (len > SFTP_PACKET_MAX - 1024)
		len = SFTP_PACKET_MAX - 1024;
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
request_write(struct sftp *s, const struct request *x)
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
		return malformed(s, x->id);
	if (h == -1 || !s->handle[h].wr)
		return unknown(s, x->id);
	f = &s->handle[h];
	if (f->append && __builtin_add_overflow(f->end, (uint64_t)len, &end))
		return malformed(s, x->id);
	if (!grow(s, f, end)) {
		f->status = FX_PERMISSION_DENIED;
		if (s->want.refused != NULL)
			s->want.refused(s->want.arg, s->text);
		return refuse(s, x->id, FX_PERMISSION_DENIED);
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
request_fsetstat(struct sftp *s, const struct request *x)
{
	struct sftp_queue *out;
	struct sftp_handle *f;
	struct sftp_attrs a;
	struct sftp_req *q;
	int h;

	if (get_handle(s, x->b, &h) != 0 || sftp_get_attrs(x->b, &a) != 0 ||
	    buf_end(x->b) != 0)
		return malformed(s, x->id);
	if (h == -1 || !s->handle[h].wr)
		return unknown(s, x->id);
	f = &s->handle[h];
	if (!attrs_granted(s, &a, f->path) ||
	    ((a.flags & ATTR_SIZE) != 0 && !grow(s, f, a.size))) {
		if (s->want.refused != NULL)
			s->want.refused(s->want.arg, s->text);
		return refuse(s, x->id, FX_PERMISSION_DENIED);
	}
	a.perm &= MODE_MASK;
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
request_copy(struct sftp *s, const struct request *x)
{
	uint64_t from, len, to, end;
	struct sftp_queue *out;
	int h, g;

	if (get_handle(s, x->b, &h) != 0 || buf_get_u64(x->b, &from) != 0 ||
	    buf_get_u64(x->b, &len) != 0 || get_handle(s, x->b, &g) != 0 ||
	    buf_get_u64(x->b, &to) != 0 || buf_end(x->b) != 0 ||
	    __builtin_add_overflow(to, len, &end))
		return malformed(s, x->id);
	if (h == -1 || g == -1 || !s->handle[h].rd || !s->handle[g].wr)
		return unknown(s, x->id);
	if (!copy_granted(s, &s->handle[h], &s->handle[g], len, end)) {
		if (s->want.refused != NULL)
			s->want.refused(s->want.arg, s->text);
		return refuse(s, x->id, FX_PERMISSION_DENIED);
	}
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

/* -- requests that name nothing ----------------------------------------------
 */

static int
request_limits(struct sftp *s, const struct request *x)
{
	if (buf_end(x->b) != 0)
		return malformed(s, x->id);
	(void)sftp_req_begin(s, sftp_req_new(s, x->type, x->id));
	sftp_finish(sftp_to(s, SFTP_TARGET), 0);
	return 0;
}

static int
request_names(struct sftp *s, const struct request *x)
{
	const uint8_t *users, *groups;
	struct sftp_queue *out;
	size_t nu, ng;

	if (buf_get_view(x->b, IDS_MAX, &users, &nu) != 0 ||
	    buf_get_view(x->b, IDS_MAX, &groups, &ng) != 0 ||
	    buf_end(x->b) != 0 || nu % 4 != 0 || ng % 4 != 0)
		return malformed(s, x->id);
	out = sftp_req_begin(s, sftp_req_new(s, x->type, x->id));
	sftp_put_str(out, users, nu);
	sftp_put_str(out, groups, ng);
	sftp_finish(out, 0);
	return 0;
}

/* -- requests with paths -----------------------------------------------------
 */

static bool
type_has_attrs(unsigned int type)
{
	return type == FXP_OPEN || type == FXP_MKDIR || type == FXP_SETSTAT ||
	       type == EXT_LSETSTAT;
}

static bool
type_has_two(unsigned int type)
{
	return type == FXP_RENAME || type == FXP_SYMLINK ||
	       type == EXT_POSIX_RENAME || type == EXT_HARDLINK;
}

/* A link's contents: where it leads must stay beneath its own folder when
 * that is moved, or be a place that is named from the top. */
static int
get_content(struct sftp_paths *p, const uint8_t *d, size_t n)
{
	char *folder = NULL;
	size_t skip;
	int r;

	if (n == 0)
		return ERR_FORMAT;
	for (size_t i = 0; d[0] != '/' && i + 1 < n; i++) {
		if (d[i] == '.' && d[i + 1] == '.' &&
		    (i == 0 || d[i - 1] == '/') &&
		    (i + 2 == n || d[i + 2] == '/'))
			return ERR_NOTFOUND;
	}
	if ((folder = sftp_path_folder(p->path)) == NULL)
		return ERR_NOMEM;
	if ((r = sftp_path_plain(folder, d, n, &p->to)) != 0)
		goto out;
	skip = d[0] == '/' ? 0 : strlen(folder) + (folder[1] != '\0');
	r = ERR_NOTFOUND; /* the folder itself */
	if (strlen(p->to) <= skip)
		goto out;
	p->content = strdup(p->to + skip);
	r = p->content == NULL ? ERR_NOMEM : 0;
out:
	free(folder);
	return r;
}

/* expand-path: `~` is where the server starts. */
static int
get_tilde(const uint8_t **d, size_t *n)
{
	if (*n == 0 || (*d)[0] != '~')
		return 0;
	if (*n > 1 && (*d)[1] != '/')
		return ERR_NOTFOUND;
	*d += *n > 1 ? 2 : 1;
	*n -= *n > 1 ? 2 : 1;
	return 0;
}

static int
get_paths(struct sftp *s, const struct request *x, struct sftp_paths *p)
{
	const uint8_t *d, *e = NULL;
	size_t n, m = 0;
	int r;

	if ((r = buf_get_view(x->b, SFTP_PACKET_MAX, &d, &n)) != 0 ||
	    (type_has_two(x->type) &&
		(r = buf_get_view(x->b, SFTP_PACKET_MAX, &e, &m)) != 0) ||
	    (x->type == FXP_OPEN && (r = buf_get_u32(x->b, &p->pflags)) != 0) ||
	    (type_has_attrs(x->type) &&
		(r = sftp_get_attrs(x->b, &p->attrs)) != 0) ||
	    (r = buf_end(x->b)) != 0)
		return ERR_FORMAT;
	/* OpenSSH cuts a file that is opened for reading, if it is told to. */
	if ((p->pflags & ~(uint32_t)FXF_ALL) != 0 ||
	    ((p->pflags & ~(uint32_t)FXF_READ) != 0 &&
		(p->pflags & FXF_WRITE) == 0))
		return ERR_FORMAT;
	if (x->type == EXT_EXPAND_PATH && (r = get_tilde(&d, &n)) != 0)
		return r;
	if (n == 0 && x->type != FXP_REALPATH && x->type != EXT_EXPAND_PATH)
		return ERR_FORMAT;
	/* As OpenSSH reads it: where it leads, then its name. */
	if (x->type == FXP_SYMLINK) {
		if ((r = sftp_path_plain(s->start, e, m, &p->path)) != 0)
			return r;
		return get_content(p, d, n);
	}
	if ((r = sftp_path_plain(s->start, d, n, &p->path)) != 0 || e == NULL)
		return r;
	return sftp_path_plain(s->start, e, m, &p->to);
}

static int
path_wrong(struct sftp *s, struct sftp_req *q, int r)
{
	uint32_t code = FX_PERMISSION_DENIED;

	switch (r) {
	case ERR_TOOBIG:
		sftp_refuse(
		    s, NULL, "a path of more than %d bytes", SFTP_PATH_MAX);
		code = FX_FAILURE;
		break;
	case ERR_DENIED:
		sftp_refuse(s, NULL,
		    "a path that is not UTF-8, or has a "
		    "control character in it");
		break;
	case ERR_NOTFOUND:
		sftp_refuse(s, NULL,
		    q->type == FXP_SYMLINK
			? "a symbolic link must lead to a place named from "
			  "the top, or to one beneath its own folder without .."
			: "`~` of another account");
		break;
	case ERR_FORMAT:
		sftp_refuse(s, NULL, "malformed request");
		code = FX_BAD_MESSAGE;
		break;
	default:
		return r;
	}
	sftp_status(s, q->id, code, s->text);
	if (r != ERR_FORMAT && s->want.refused != NULL)
		s->want.refused(s->want.arg, s->text);
	sftp_req_free(s, q);
	return 0;
}

/* OPEN and MKDIR set no owner: as OpenSSH, it is read and forgotten. */
static bool
paths_granted(struct sftp *s, const struct sftp_req *q)
{
	struct sftp_paths *p = q->paths;

	if (q->type == FXP_OPEN || q->type == FXP_MKDIR)
		p->attrs.flags &= ATTR_PERM | ATTR_TIMES;
	if (!attrs_granted(s, &p->attrs, p->path))
		return false;
	p->attrs.perm &= MODE_MASK;
	return true;
}

static int
request_path(struct sftp *s, const struct request *x)
{
	struct sftp_req *q = sftp_req_new(s, x->type, x->id);
	int r;

	if ((q->paths = calloc(1, sizeof(*q->paths))) == NULL)
		return ERR_NOMEM;
	q->paths->rd_root = q->paths->wr_root = -1;
	if ((r = get_paths(s, x, q->paths)) != 0)
		return path_wrong(s, q, r);
	if (!paths_granted(s, q)) {
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
		return 0;
	}
	return sftp_path_request(s, q);
}

/* home-directory: of the login alone. */
static int
request_home(struct sftp *s, const struct request *x)
{
	const uint8_t *p;
	size_t n;

	if (buf_get_view(x->b, SFTP_PATH_MAX, &p, &n) != 0 ||
	    buf_end(x->b) != 0)
		return malformed(s, x->id);
	if (n == 0)
		sftp_name(s, x->id, s->start);
	else
		sftp_status(s, x->id, FX_PERMISSION_DENIED,
		    "the home directory of another account");
	return 0;
}

/* -- which -------------------------------------------------------------------
 */

static int
request_known(struct sftp *s, const struct request *x)
{
	switch (x->type) {
	case FXP_CLOSE:
	case FXP_FSTAT:
	case FXP_READDIR:
	case EXT_FSTATVFS:
	case EXT_FSYNC:
		return request_plain(s, x);
	case FXP_READ:
		return request_read(s, x);
	case FXP_WRITE:
		return request_write(s, x);
	case FXP_FSETSTAT:
		return request_fsetstat(s, x);
	case EXT_COPY_DATA:
		return request_copy(s, x);
	case EXT_LIMITS:
		return request_limits(s, x);
	case EXT_USERS_GROUPS:
		return request_names(s, x);
	case EXT_HOME_DIRECTORY:
		return request_home(s, x);
	case FXP_OPEN:
	case FXP_LSTAT:
	case FXP_SETSTAT:
	case FXP_OPENDIR:
	case FXP_REMOVE:
	case FXP_MKDIR:
	case FXP_RMDIR:
	case FXP_REALPATH:
	case FXP_STAT:
	case FXP_RENAME:
	case FXP_READLINK:
	case FXP_SYMLINK:
	case EXT_POSIX_RENAME:
	case EXT_STATVFS:
	case EXT_HARDLINK:
	case EXT_LSETSTAT:
	case EXT_EXPAND_PATH:
		return request_path(s, x);
	default:
		sftp_status(s, x->id, FX_OP_UNSUPPORTED,
		    "not a request that is passed on here");
		return 0;
	}
}

/* An extension that the target did not offer is as unknown as any other. */
static int
request_extended(struct sftp *s, struct request *x)
{
	const uint8_t *p;
	size_t n;

	if (buf_get_view(x->b, 255, &p, &n) != 0)
		return malformed(s, x->id);
	x->type = sftp_extension_find(p, n);
	if (x->type != 0 && (s->offered & 1U << (x->type - 256)) == 0)
		x->type = 0;
	return request_known(s, x);
}

int
sftp_request(struct sftp *s, struct sftp_packet *k)
{
	struct request x = { .k = k };
	struct buf b;
	uint8_t type;

	buf_view(&b, k->d, k->n);
	x.b = &b;
	if (buf_skip(&b, 4) != 0 || buf_get_u8(&b, &type) != 0 ||
	    buf_get_u32(&b, &x.id) != 0)
		return sftp_broke(s, "the client sent a request without a "
				     "number");
	x.type = type;
	return type == FXP_EXTENDED ? request_extended(s, &x)
				    : request_known(s, &x);
}
