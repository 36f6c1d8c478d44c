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
	q->wait |= ASK_BIT(ask);
	free(folder);
	return 0;
}

static int
ask_all(struct sftp *s, struct sftp_req *q, unsigned int asks)
{
	int r = 0;

	for (int a = ASK_REAL; r == 0 && a < ASK_N; a++) {
		if ((asks & ASK_BIT(a)) != 0)
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

	if (p == NULL || (q->wait & ASK_BIT(ask)) == 0)
		return sftp_broke(s, "the target answered what was not asked");
	q->wait &= ~ASK_BIT(ask);
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
	f->rd = !f->dir && sftp_open_reads(p->pflags);
	f->wr = !f->dir && sftp_open_writes(p->pflags);
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
	/* It may make the file, or empty it, by being opened. */
	if (q->type == FXP_OPEN && s->handle[q->handle].wr)
		sftp_handle_begin(s, q->handle, true);
	out = sftp_req_begin(s, q);
	send_fields(out, q);
	sftp_finish(out, 0);
	q->sent = true;
	q->changes = sftp_type_changes(q->type);
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
	} else if (!sftp_access_answered(s, q)) {
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
		if (sftp_type_changes(q->type))
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
	if (!sftp_access_written(s, q, &q->paths->asks)) {
		sftp_req_refuse(s, q, FX_PERMISSION_DENIED);
		return 0;
	}
	s->line[s->nline++] = (uint16_t)(q - s->req);
	return sftp_path_turns(s);
}
