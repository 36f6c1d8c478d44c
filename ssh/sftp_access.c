/*
 * What each kind of request needs to be granted for its paths, and what must be
 * asked of the target before it is known: first by the paths as written, then
 * by what the target answered.  Runs in the hop.  Distrusts the job.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

/* -- what is needed ----------------------------------------------------------
 */

bool
sftp_open_writes(uint32_t pflags)
{
	return (pflags & ~(uint32_t)FXF_READ) != 0;
}

/* As OpenSSH: no flag at all is for reading, too. */
bool
sftp_open_reads(uint32_t pflags)
{
	return (pflags & FXF_READ) != 0 || (pflags & FXF_WRITE) == 0;
}

bool
sftp_type_changes(unsigned int type)
{
	switch (type) {
	case FXP_REMOVE:
	case FXP_MKDIR:
	case FXP_RMDIR:
	case FXP_RENAME:
	case FXP_SYMLINK:
	case EXT_POSIX_RENAME:
	case EXT_HARDLINK:
		return true;
	default:
		return false;
	}
}

/* What is asked about the path, if it is asked at all. */
static unsigned int
type_asks(unsigned int type)
{
	switch (type) {
	case FXP_REMOVE:
	case FXP_MKDIR:
	case FXP_RMDIR:
	case FXP_LSTAT:
	case FXP_READLINK:
	case EXT_LSETSTAT:
		return ASK_BIT(ASK_FOLDER);
	case FXP_RENAME:
	case EXT_POSIX_RENAME:
	case EXT_HARDLINK:
		return ASK_BIT(ASK_FOLDER) | ASK_BIT(ASK_REAL) |
		       ASK_BIT(ASK_FOLDER_TO);
	case FXP_SYMLINK:
		return ASK_BIT(ASK_FOLDER) | ASK_BIT(ASK_REAL_TO);
	default:
		return ASK_BIT(ASK_REAL);
	}
}

enum sftp_access
sftp_access_of(unsigned int type)
{
	switch (type) {
	case FXP_STAT:
	case FXP_LSTAT:
	case FXP_READLINK:
	case FXP_REALPATH:
	case EXT_STATVFS:
		return ACCESS_STAT;
	case FXP_OPENDIR:
		return ACCESS_READ;
	case FXP_REMOVE:
	case FXP_RMDIR:
		return ACCESS_DELETE;
	default:
		return ACCESS_WRITE;
	}
}

/* -- judging -----------------------------------------------------------------
 */

/* The two paths of one request: SYMLINK's first is the link, the others' the
 * old name. */
static bool
judge_two(struct sftp *s, struct sftp_req *q, bool real, const char *path,
    const char *to)
{
	return q->type == FXP_SYMLINK ? sftp_judge_moves(s, real, to, path)
				      : sftp_judge_moves(s, real, path, to);
}

static bool
no_links(struct sftp *s, struct sftp_req *q)
{
	const struct sftp_rule *u = s->root[q->paths->wr_root].rule;

	if (q->type != FXP_SYMLINK || !u->no_symlinks)
		return true;
	sftp_refuse(s, u->name,
	    "making the symbolic link %s: rule %s says no-symlinks",
	    q->paths->path, u->name);
	return false;
}

/* One access to the one path, `real` when it is known. */
static bool
judge_path(struct sftp *s, struct sftp_req *q, const char *real, bool *ask)
{
	struct sftp_paths *p = q->paths;
	bool a = false, b = false;

	if (q->type != FXP_OPEN)
		return sftp_judge(s, sftp_access_of(q->type), p->path, real,
		    &p->wr_root, ask);
	if (sftp_open_reads(p->pflags) &&
	    !sftp_judge(s, ACCESS_READ, p->path, real, &p->rd_root, &a))
		return false;
	if (sftp_open_writes(p->pflags) &&
	    !sftp_judge(s, ACCESS_WRITE, p->path, real, &p->wr_root, &b))
		return false;
	*ask = a || b;
	return true;
}

/* As written. */
bool
sftp_access_written(struct sftp *s, struct sftp_req *q, unsigned int *asks)
{
	struct sftp_paths *p = q->paths;
	int root;
	bool ask = false;

	*asks = 0;
	if (!judge_path(s, q, NULL, &ask)) {
		/* On the way to what is granted, to see that it is a folder. */
		return (q->type == FXP_STAT || q->type == FXP_LSTAT) &&
		       sftp_judge_above(s, p->path);
	}
	if (ask && q->type != FXP_REALPATH)
		*asks = type_asks(q->type);
	if (p->to == NULL)
		return true;
	if (!no_links(s, q) ||
	    !sftp_judge(s, ACCESS_WRITE, p->to, NULL, &root, &ask) ||
	    !judge_two(s, q, false, p->path, p->to))
		return false;
	if ((q->type == FXP_RENAME || q->type == EXT_POSIX_RENAME) &&
	    (sftp_judge_keeps(s, p->path) || sftp_judge_keeps(s, p->to)))
		*asks |= ASK_BIT(ASK_NAME_TO);
	return true;
}

/* Where the name itself is, as opposed to where it leads. */
static char *
real_name(const char *folder, const char *path)
{
	return sftp_path_join(folder, sftp_path_name(path));
}

/* What a name leads to MUST be granted as well, or it could be brought to a
 * place where somebody follows it. */
static bool
judge_real_two(struct sftp *s, struct sftp_req *q, const char *path)
{
	struct sftp_paths *p = q->paths;
	bool ask, granted = false;
	char *to = NULL;
	int root;

	if (q->type == FXP_SYMLINK)
		to = strdup(p->answer[ASK_REAL_TO]);
	else
		to = real_name(p->answer[ASK_FOLDER_TO], p->to);
	if (to == NULL) {
		sftp_refuse(s, NULL, "out of memory");
		return false;
	}
	granted = sftp_judge(s, ACCESS_WRITE, p->to, to, &root, &ask) &&
		  (p->answer[ASK_REAL] == NULL ||
		      sftp_judge(s, ACCESS_WRITE, p->path, p->answer[ASK_REAL],
			  &root, &ask)) &&
		  judge_two(s, q, true, path, to);
	free(to);
	return granted;
}

bool
sftp_access_answered(struct sftp *s, struct sftp_req *q)
{
	struct sftp_paths *p = q->paths;
	bool ask, granted = false;
	char *path = NULL;

	if ((q->asked & (ASK_BIT(ASK_REAL) | ASK_BIT(ASK_FOLDER))) == 0)
		return true; /* nothing was needed */
	if ((q->asked & ASK_BIT(ASK_FOLDER)) != 0)
		path = real_name(p->answer[ASK_FOLDER], p->path);
	else
		path = strdup(p->answer[ASK_REAL]);
	if (path == NULL) {
		sftp_refuse(s, NULL, "out of memory");
		return false;
	}
	granted = judge_path(s, q, path, &ask) &&
		  (p->to == NULL || judge_real_two(s, q, path));
	free(path);
	return granted;
}
