/*
 * Requests that name a path: judged as written, then, where a symbolic link
 * could make a difference, by the target's own REALPATH, and sent in the order
 * in which they came.  Runs in the hop.  Distrusts the job; believes the target
 * what it says of its own links.
 *
 * A request waits for what was asked about it, and for those with paths before
 * it.  Its questions are asked at once, with one exception: what a target says
 * while names are about to change may not hold any more when they have, so
 * nothing is asked until each rename, link or removal before it was answered.
 * MUST stay so: otherwise a job that sends both at once has its write judged by
 * the old name and done by the new one.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

#define BIT(ask) (1U << (ask))

/* -- what is needed ----------------------------------------------------------
 */

static bool
open_writes(uint32_t pflags)
{
	return (pflags & ~(uint32_t)FXF_READ) != 0;
}

/* As OpenSSH: no flag at all is for reading, too. */
static bool
open_reads(uint32_t pflags)
{
	return (pflags & FXF_READ) != 0 || (pflags & FXF_WRITE) == 0;
}

static bool
type_changes(unsigned int type)
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
		return BIT(ASK_FOLDER);
	case FXP_RENAME:
	case EXT_POSIX_RENAME:
	case EXT_HARDLINK:
		return BIT(ASK_FOLDER) | BIT(ASK_REAL) | BIT(ASK_FOLDER_TO);
	case FXP_SYMLINK:
		return BIT(ASK_FOLDER) | BIT(ASK_REAL_TO);
	default:
		return BIT(ASK_REAL);
	}
}

static enum sftp_access
type_access(unsigned int type)
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
		return sftp_judge(
		    s, type_access(q->type), p->path, real, &p->wr_root, ask);
	if (open_reads(p->pflags) &&
	    !sftp_judge(s, ACCESS_READ, p->path, real, &p->rd_root, &a))
		return false;
	if (open_writes(p->pflags) &&
	    !sftp_judge(s, ACCESS_WRITE, p->path, real, &p->wr_root, &b))
		return false;
	*ask = a || b;
	return true;
}

/* As written. */
static bool
judge_written(struct sftp *s, struct sftp_req *q, unsigned int *asks)
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
		*asks |= BIT(ASK_NAME_TO);
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

static bool
judge_answered(struct sftp *s, struct sftp_req *q)
{
	struct sftp_paths *p = q->paths;
	bool ask, granted = false;
	char *path = NULL;

	if ((q->asked & (BIT(ASK_REAL) | BIT(ASK_FOLDER))) == 0)
		return true; /* nothing was needed */
	if ((q->asked & BIT(ASK_FOLDER)) != 0)
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

/* -- asking ------------------------------------------------------------------
 */

static int
ask_one(struct sftp *s, struct sftp_req *q, enum sftp_ask ask)
{
	struct sftp_queue *out = sftp_to(s, SFTP_TARGET);
	const struct sftp_paths *p = q->paths;
	const char *path =
	    ask == ASK_REAL || ask == ASK_FOLDER ? p->path : p->to;
	char *folder = NULL;

	if (ask == ASK_FOLDER || ask == ASK_FOLDER_TO) {
		if ((folder = sftp_path_folder(path)) == NULL)
			return ERR_NOMEM;
		path = folder;
	}
	sftp_begin(out, ask == ASK_NAME_TO ? FXP_LSTAT : FXP_REALPATH);
	sftp_put_u32(out, sftp_req_wire(s, q, ask));
	sftp_put_cstr(out, path);
	sftp_finish(out, 0);
	q->wait |= BIT(ask);
	free(folder);
	return 0;
}

static int
ask_all(struct sftp *s, struct sftp_req *q, unsigned int asks)
{
	int r = 0;

	for (int a = ASK_REAL; r == 0 && a < ASK_N; a++) {
		if ((asks & BIT(a)) != 0)
			r = ask_one(s, q, (enum sftp_ask)a);
	}
	q->asked = asks;
	return r;
}

int
sftp_path_answer(struct sftp *s, struct sftp_req *q, enum sftp_ask ask,
    unsigned int type, struct buf *b)
{
	struct sftp_paths *p = q->paths;
	struct sftp_attrs a;
	uint32_t code;

	if (p == NULL || (q->wait & BIT(ask)) == 0)
		return sftp_broke(s, "the target answered what was not asked");
	q->wait &= ~BIT(ask);
	if (type == FXP_STATUS) {
		if (buf_get_u32(b, &code) != 0 || code == FX_OK)
			return sftp_broke(s, "the target sent a wrong answer");
		if (ask != ASK_NAME_TO || code != FX_NO_SUCH_FILE)
			p->failed = code;
	} else if (ask == ASK_NAME_TO && type == FXP_ATTRS) {
		if (sftp_get_attrs(b, &a) != 0 || buf_end(b) != 0)
			return sftp_broke(s, "the target sent a wrong answer");
		p->answer[ask] = strdup(""); /* it is there */
		if (p->answer[ask] == NULL)
			return ERR_NOMEM;
	} else if (ask == ASK_NAME_TO || type != FXP_NAME ||
		   sftp_answer_path(b, &p->answer[ask]) != 0) {
		return sftp_broke(s, "the target sent a wrong answer");
	}
	return sftp_path_turns(s);
}

/* -- sending -----------------------------------------------------------------
 */

/* A place for the file, before the target is asked for it. */
static bool
open_reserve(struct sftp *s, struct sftp_req *q)
{
	const struct sftp_paths *p = q->paths;
	struct sftp_handle *f;

	if ((q->handle = sftp_handle_new(s)) == -1) {
		sftp_refuse(s, NULL, "more than %d files open at once",
		    SFTP_HANDLES_MAX);
		return false;
	}
	f = &s->handle[q->handle];
	q->handle_gen = f->gen;
	f->dir = q->type == FXP_OPENDIR;
	f->rd = !f->dir && open_reads(p->pflags);
	f->wr = !f->dir && open_writes(p->pflags);
	f->append = (p->pflags & FXF_APPEND) != 0;
	f->fresh = (p->pflags & (FXF_TRUNC | FXF_EXCL)) != 0;
	f->rd_root = p->rd_root;
	f->wr_root = p->wr_root;
	if ((f->path = strdup(p->path)) != NULL)
		return true;
	sftp_handle_free(s, q->handle);
	q->handle = -1;
	sftp_refuse(s, NULL, "out of memory");
	return false;
}

static void
send_fields(struct sftp_queue *out, const struct sftp_req *q)
{
	const struct sftp_paths *p = q->paths;

	sftp_put_cstr(out, p->content != NULL ? p->content : p->path);
	if (q->type == FXP_SYMLINK)
		sftp_put_cstr(out, p->path);
	else if (p->to != NULL)
		sftp_put_cstr(out, p->to);
	if (q->type == FXP_OPEN)
		sftp_put_u32(out, p->pflags);
	if (q->type == FXP_OPEN || q->type == FXP_MKDIR ||
	    q->type == FXP_SETSTAT || q->type == EXT_LSETSTAT)
		sftp_put_attrs(out, &p->attrs);
}

static void
send_it(struct sftp *s, struct sftp_req *q)
{
	struct sftp_queue *out;

	/* A size set by path: how long it was is not known. */
	if ((q->type == FXP_SETSTAT || q->type == EXT_LSETSTAT) &&
	    (q->paths->attrs.flags & ATTR_SIZE) != 0 &&
	    !sftp_judge_charge(s, q->paths->wr_root, q->paths->attrs.size)) {
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
		return;
	}
	if ((q->type == FXP_OPEN || q->type == FXP_OPENDIR) &&
	    !open_reserve(s, q)) {
		sftp_req_refuse(s, q, FX_FAILURE);
		return;
	}
	out = sftp_req_begin(s, q);
	send_fields(out, q);
	sftp_finish(out, 0);
	q->sent = true;
	q->changes = type_changes(q->type);
	if (q->changes)
		s->changing++;
}

/* Everything asked has been answered, and it is its turn. */
static void
turn(struct sftp *s, struct sftp_req *q)
{
	const struct sftp_paths *p = q->paths;

	if (p->failed != FX_OK) {
		sftp_req_report(s, q, SFTP_FAILED, p->failed);
		sftp_status(s, q->id, p->failed,
		    p->failed == FX_NO_SUCH_FILE
			? "No such file"
			: "the target does not say where it leads");
		sftp_req_free(s, q);
	} else if (p->answer[ASK_NAME_TO] != NULL) {
		sftp_refuse(s, NULL,
		    "renaming %s to %s: there is one already, and a rule says "
		    "no-delete",
		    p->path, p->to);
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
	} else if (!judge_answered(s, q)) {
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
	} else {
		send_it(s, q);
	}
}

static void
line_drop(struct sftp *s, size_t i)
{
	s->nline--;
	memmove(
	    &s->line[i], &s->line[i + 1], (s->nline - i) * sizeof(s->line[0]));
}

int
sftp_path_turns(struct sftp *s)
{
	bool first = true;
	size_t ahead = 0; /* that change names, and wait */
	int r;

	for (size_t i = 0; i < s->nline;) {
		struct sftp_req *q = &s->req[s->line[i]];
		unsigned int asks = q->paths->asks;

		if (asks != 0 && q->asked == 0 && s->changing == 0 &&
		    ahead == 0 && (r = ask_all(s, q, asks)) != 0)
			return r;
		if (first && q->asked == asks && q->wait == 0) {
			line_drop(s, i);
			turn(s, q);
			continue;
		}
		first = false;
		if (type_changes(q->type))
			ahead++;
		i++;
	}
	return 0;
}

/* -- coming in ---------------------------------------------------------------
 */

/* Where something is: what no rule speaks of is answered here, and the target
 * does not hear of it. */
static bool
path_is_ours(struct sftp *s, struct sftp_req *q)
{
	bool ask;
	int root;

	if (q->type != FXP_REALPATH && q->type != EXT_EXPAND_PATH)
		return false;
	q->type = FXP_REALPATH;
	if (sftp_judge(s, ACCESS_STAT, q->paths->path, NULL, &root, &ask))
		return false;
	sftp_name(s, q->id, q->paths->path);
	sftp_req_free(s, q);
	return true;
}

int
sftp_path_request(struct sftp *s, struct sftp_req *q)
{
	if (path_is_ours(s, q))
		return 0;
	if (!judge_written(s, q, &q->paths->asks)) {
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
		return 0;
	}
	s->line[s->nline++] = (uint16_t)(q - s->req);
	return sftp_path_turns(s);
}

/* -- refused, reported -------------------------------------------------------
 */

static int
req_verb(const struct sftp_req *q)
{
	switch (q->type) {
	case FXP_OPEN:
		return open_writes(q->paths->pflags) ? SFTP_PUT : SFTP_GET;
	case FXP_MKDIR:
		return SFTP_MKDIR;
	case FXP_REMOVE:
		return SFTP_REMOVE;
	case FXP_RMDIR:
		return SFTP_RMDIR;
	case FXP_RENAME:
	case EXT_POSIX_RENAME:
		return SFTP_RENAME;
	case EXT_HARDLINK:
		return SFTP_LINK;
	case FXP_SYMLINK:
		return SFTP_SYMLINK;
	case FXP_SETSTAT:
	case EXT_LSETSTAT:
		return SFTP_ATTRS;
	default:
		return -1;
	}
}

void
sftp_req_report(struct sftp *s, const struct sftp_req *q,
    enum sftp_result result, uint32_t status)
{
	const struct sftp_paths *p = q->paths;
	struct sftp_entry e = { .result = result, .status = status };
	int verb = p == NULL ? -1 : req_verb(q);

	if (verb == -1 || s->want.entry == NULL)
		return;
	e.verb = (enum sftp_verb)verb;
	e.path = p->path;
	e.to = p->to;
	if (result == SFTP_REFUSED)
		e.rule = s->rule;
	else if (p->wr_root != -1)
		e.rule = s->want.rule[p->wr_root].name;
	else if (p->rd_root != -1)
		e.rule = s->want.rule[p->rd_root].name;
	s->want.entry(s->want.arg, &e);
}

void
sftp_req_refuse(struct sftp *s, struct sftp_req *q, uint32_t code)
{
	enum sftp_access access = type_access(q->type);

	sftp_req_report(s, q, SFTP_REFUSED, code);
	sftp_status(s, q->id, code, s->text);
	/* A client looks around before it does something. */
	if (access != ACCESS_STAT && s->want.refused != NULL)
		s->want.refused(s->want.arg, s->text);
	sftp_req_free(s, q);
}

/* -- the start ---------------------------------------------------------------
 */

static void
start_ask(struct sftp *s, unsigned int which, const char *path)
{
	struct sftp_queue *out = sftp_to(s, SFTP_TARGET);

	sftp_begin(out, FXP_REALPATH);
	sftp_put_u32(out, which << 16 | (uint32_t)ASK_START << 8);
	sftp_put_cstr(out, path);
	sftp_finish(out, 0);
	s->starting++;
}

/* Where we are, and where the folders of the rules really are. */
int
sftp_start_ask(struct sftp *s)
{
	start_ask(s, 0, ".");
	for (size_t i = 0; i < s->want.nrule; i++)
		start_ask(s, (unsigned int)i + 1, s->want.rule[i].path);
	return 0;
}

int
sftp_start_answer(
    struct sftp *s, unsigned int which, unsigned int type, struct buf *b)
{
	char **at, *path = NULL;
	uint32_t code;

	if (s->phase != PHASE_START || which > s->want.nrule)
		return sftp_broke(s, "the target answered what was not asked");
	at = which == 0 ? &s->start : &s->root[which - 1].real;
	if (*at != NULL)
		return sftp_broke(s, "the target answered twice");
	if (type == FXP_NAME && sftp_answer_path(b, &path) == 0) {
		*at = path;
	} else if (which > 0 && type == FXP_STATUS &&
		   buf_get_u32(b, &code) == 0 && code != FX_OK) {
		/* It is not there: then nothing leads elsewhere. */
		*at = strdup(s->want.rule[which - 1].path);
		if (*at == NULL)
			return ERR_NOMEM;
	} else {
		return sftp_broke(s, "the target does not say where its "
				     "server starts");
	}
	s->starting--;
	return 0;
}
