/*
 * A session of files, in the policy process: a job that opened the sftp
 * subsystem (as sftp and today's scp do) names no path yet.  What is decided
 * here is which lines hold for it; the hop judges each path by them.  One
 * session is one operation.  `scp -O` names one path, and others follow.
 */
#include "config.h"

#include <string.h>

#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/proto.h"
#include "policy/files.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "ssh/serve.h"

/* What sshd's configuration makes of the subsystem `sftp`.  Whoever types it is
 * treated alike. */
bool
operation_is_sftp(const struct ask *a)
{
	static const char word[] = PROTO_SFTP_COMMAND;

	return a->kind == RUN_EXEC && a->ncommand == sizeof(word) - 1 &&
	       memcmp(a->command, word, a->ncommand) == 0;
}

static void
deny(struct operation *op, const struct connection *conn, const struct ask *a,
    const struct request *q, const struct files *f)
{
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	if (q->policy != NULL && q->target == NULL &&
	    policy_target_find(q->policy, conn->name.target) != NULL)
		(void)buf_putf(&text,
		    "postern: denied: the policy names no login `%s` on %s\n",
		    conn->name.login, conn->name.target);
	else if (q->policy == NULL || files_explain(q, f, &text) != 0)
		buf_reset(&text);
	operation_deny(op, conn, &f->d, a, POSTERN_EX_DENIED, &text);
	buf_clear(&text);
}

/* Everything that its start needs, in op. */
static int
prepare(struct operation *op, const struct connection *conn,
    const struct ask *a, const struct request *q, const struct files *f,
    const struct serve_scp *scp)
{
	struct plan p;
	int r;

	plan_init(&p);
	p.d = f->d;
	p.d.rule_name = f->names;
	p.target = q->target;
	p.login = q->login;
	p.nearest = "";
	p.files = f;
	p.scp = scp;
	if ((r = plan_make_files(&p, op, conn, a->what)) == 0 &&
	    (r = plan_put_hop_run(op, conn, a, &p)) == 0 &&
	    (r = plan_put_grant(op, a, &p)) == 0)
		r = plan_put_open(op, conn, a, &p);
	plan_clear(&p);
	return r;
}

static void
grant(struct operation *op, struct connection *conn, const struct ask *a,
    const struct request *q, const struct files *f, const struct serve_scp *scp)
{
	const struct plan counted = { .d = f->d, .target = q->target };
	struct buf text;
	int r;

	buf_init(&text, PROTO_TEXT_MAX);
	if (!operation_fits(op, &counted, 0, &text)) {
		operation_deny(op, conn, &f->d, a, POSTERN_EX_TEMPFAIL, &text);
		goto out;
	}
	if (operation_count() > policy_conf()->operations_max) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "this bastion runs as many operations as it may "
		    "(operations-max); try again");
		goto out;
	}
	if ((r = operation_counts(op, &counted)) != 0 ||
	    (r = prepare(op, conn, a, q, f, scp)) != 0) {
		log_err_about(
		    ABOUT_OPERATION(op->id), r, "operation %s", op->id);
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    r == ERR_TOOBIG
			? "not run: more `read` and `write` lines hold for "
			  "this job here than one session can carry"
			: "not run: the broker could not start this; try "
			  "again");
		goto out;
	}
	session_hold(conn);
	op->conn = conn;
	operation_start(op);
out:
	buf_clear(&text);
}

/* The line of the decision, and that of its count, as before a command. */
static bool
has_room(struct operation *op)
{
	if (policy_audit() == NULL || policy_audit_room() >= 2)
		return true;
	log_err_about(ABOUT_OPERATION(op->id), 0,
	    "operation %s: audit is behind", op->id);
	operation_behind(op);
	return false;
}

static void
refuse_failed(struct operation *op, int r)
{
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    r == ERR_TOOBIG
		? "not run: more `read` and `write` lines hold for this job "
		  "here than one session can carry"
		: "the broker is out of memory; try again");
}

void
operation_files(
    struct operation *op, struct connection *conn, const struct ask *a)
{
	struct request q;
	struct files f;
	int r;

	if (!has_room(op))
		return;
	if (a->tty) {
		operation_refuse(op, POSTERN_EX_USAGE,
		    "files are not moved through a terminal; leave out ssh's "
		    "-t");
		return;
	}
	judge_request(conn, &conn->name, false, &q);
	q.kind = REQUEST_READ; /* and REQUEST_WRITE */
	q.how = BY_SFTP;
	if ((r = files_decide(&q, &f)) != 0)
		refuse_failed(op, r);
	else if (f.d.verdict != VERDICT_ALLOW)
		deny(op, conn, a, &q, &f);
	else
		grant(op, conn, a, &q, &f, NULL);
	files_clear(&f);
}

/* -- scp -O ------------------------------------------------------------------
 */

/* Is it that, and no rule speaks of it as of a command? */
static bool
is_scp(const struct connection *conn, const struct ask *a, const struct list *l,
    struct serve_scp *scp)
{
	const struct command *c = &l->command[0];
	struct request q;
	struct decision d;

	if (l->n != 1 || c->nstage != 1 || c->dir != NULL ||
	    c->stage[0].nassign > 0 || c->out_null || c->err_null ||
	    c->err_to_out || a->kind != RUN_EXEC || a->tty ||
	    serve_scp_read((const char *const *)c->stage[0].argv,
		c->stage[0].argc, scp) != 0)
		return false;
	judge_request(conn, &conn->name, false, &q);
	if (q.policy == NULL || q.target == NULL)
		return false;
	q.command = c;
	decide(&q, &d);
	return d.rule == NULL;
}

/* The path that is named is not one of those. */
static void
deny_path(struct operation *op, const struct connection *conn,
    const struct ask *a, struct request *q, const struct files *f,
    const struct serve_scp *scp)
{
	struct decision d = f->d;
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	q->kind = scp->write ? REQUEST_WRITE : REQUEST_READ;
	q->path = scp->path;
	if (scp->path[0] == '\0')
		(void)buf_putf(&text,
		    "postern: denied: scp -O needs the whole path on %s, from "
		    "its / on and without `.` or `..`\n",
		    conn->name.target);
	else
		decide(q, &d);
	if (buf_len(&text) == 0 &&
	    (d.verdict == VERDICT_ALLOW || decide_explain(q, &d, &text) != 0))
		(void)buf_putf(&text, "postern: denied\n");
	d.verdict = VERDICT_DENY;
	operation_deny(op, conn, &d, a, POSTERN_EX_DENIED, &text);
	buf_clear(&text);
}

bool
operation_scp(struct operation *op, struct connection *conn,
    const struct ask *a, const struct list *l)
{
	struct ask as = *a;
	struct serve_scp scp;
	struct request q;
	struct files f;
	int r;

	if (!is_scp(conn, a, l, &scp))
		return false;
	if (!has_room(op))
		return true;
	as.what = OP_SCP;
	judge_request(conn, &conn->name, false, &q);
	q.kind = REQUEST_READ;
	q.how = BY_SCP_LEGACY;
	if ((r = files_decide(&q, &f)) != 0)
		refuse_failed(op, r);
	else if (f.d.verdict != VERDICT_ALLOW)
		deny(op, conn, &as, &q, &f);
	else if (scp.path[0] == '\0' ||
		 files_judge(&f, scp.write, scp.path) == NULL)
		deny_path(op, conn, &as, &q, &f, &scp);
	else
		grant(op, conn, &as, &q, &f, &scp);
	files_clear(&f);
	return true;
}
