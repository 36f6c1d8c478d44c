/*
 * A request's paths as the job wrote them: read, made absolute and plain, and
 * if they cannot be, why not.  Goes on in sftp_path.c.  Runs in the hop.
 * Distrusts the job.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

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
get_paths(struct sftp *s, const struct sftp_call *x, struct sftp_paths *p)
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
	if (!sftp_judge_attrs(s, &p->attrs, p->path))
		return false;
	p->attrs.perm &= SFTP_MODE_MASK;
	return true;
}

/* What is asked about them brings as much again, each time. */
static void
hold(struct sftp *s, struct sftp_paths *p)
{
	p->held = strlen(p->path);
	if (p->to != NULL)
		p->held += strlen(p->to);
	if (p->content != NULL)
		p->held += strlen(p->content);
	s->held += p->held;
}

int
sftp_names_request(struct sftp *s, const struct sftp_call *x)
{
	struct sftp_req *q = sftp_req_new(s, x->type, x->id);
	int r;

	if ((q->paths = calloc(1, sizeof(*q->paths))) == NULL)
		return ERR_NOMEM;
	q->paths->rd_root = q->paths->wr_root = -1;
	if ((r = get_paths(s, x, q->paths)) != 0)
		return path_wrong(s, q, r);
	hold(s, q->paths);
	if (!paths_granted(s, q)) {
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
		return 0;
	}
	return sftp_path_request(s, q);
}
