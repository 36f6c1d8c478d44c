/*
 * A job's request, read to its last byte: which it is, and what names neither a
 * file nor a path.  What names an open file goes on in sftp_file.c, what names
 * a path in sftp_names.c.  Runs in the hop.  Distrusts the job.
 */
#include "config.h"

#include "lib/err.h"
#include "ssh/sftp_internal.h"

#define IDS_MAX 32768 /* bytes of a list of ids */

static int
request_limits(struct sftp *s, const struct sftp_call *x)
{
	if (buf_end(x->b) != 0)
		return sftp_malformed(s, x->id);
	(void)sftp_req_begin(s, sftp_req_new(s, x->type, x->id));
	sftp_finish(sftp_to(s, SFTP_TARGET), 0);
	return 0;
}

static int
request_names(struct sftp *s, const struct sftp_call *x)
{
	const uint8_t *users, *groups;
	struct sftp_queue *out;
	size_t nu, ng;

	if (buf_get_view(x->b, IDS_MAX, &users, &nu) != 0 ||
	    buf_get_view(x->b, IDS_MAX, &groups, &ng) != 0 ||
	    buf_end(x->b) != 0 || nu % 4 != 0 || ng % 4 != 0)
		return sftp_malformed(s, x->id);
	out = sftp_req_begin(s, sftp_req_new(s, x->type, x->id));
	sftp_put_str(out, users, nu);
	sftp_put_str(out, groups, ng);
	sftp_finish(out, 0);
	return 0;
}

/* home-directory: of the login alone. */
static int
request_home(struct sftp *s, const struct sftp_call *x)
{
	const uint8_t *p;
	size_t n;

	if (buf_get_view(x->b, SFTP_PATH_MAX, &p, &n) != 0 ||
	    buf_end(x->b) != 0)
		return sftp_malformed(s, x->id);
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
request_known(struct sftp *s, const struct sftp_call *x)
{
	switch (x->type) {
	case FXP_CLOSE:
	case FXP_FSTAT:
	case FXP_READDIR:
	case EXT_FSTATVFS:
	case EXT_FSYNC:
	case FXP_READ:
	case FXP_WRITE:
	case FXP_FSETSTAT:
	case EXT_COPY_DATA:
		return sftp_file_request(s, x);
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
		return sftp_names_request(s, x);
	default:
		sftp_status(s, x->id, FX_OP_UNSUPPORTED,
		    "not a request that is passed on here");
		return 0;
	}
}

/* An extension that the target did not offer is as unknown as any other. */
static int
request_extended(struct sftp *s, struct sftp_call *x)
{
	const uint8_t *p;
	size_t n;

	if (buf_get_view(x->b, 255, &p, &n) != 0)
		return sftp_malformed(s, x->id);
	x->type = sftp_extension_find(p, n);
	if (x->type != 0 && (s->offered & 1U << (x->type - 256)) == 0)
		x->type = 0;
	return request_known(s, x);
}

int
sftp_request(struct sftp *s, struct sftp_packet *k)
{
	struct sftp_call x = { .k = k };
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
