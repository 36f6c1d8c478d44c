/*
 * A session of files, in the policy process: a job that opened the sftp
 * subsystem (as sftp and today's scp do) names no path yet.  What is decided
 * here is which lines hold for it; the hop judges each path by them.  One
 * session is one operation.
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
    const struct ask *a, const struct request *q, const struct files *f)
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
	if ((r = plan_make_files(&p, op, conn, a->what)) == 0 &&
	    (r = plan_put_hop_run(op, conn, a, &p)) == 0 &&
	    (r = plan_put_grant(op, a, &p)) == 0)
		r = plan_put_open(op, conn, a, &p);
	plan_clear(&p);
	return r;
}

static void
grant(struct operation *op, struct connection *conn, const struct ask *a,
    const struct request *q, const struct files *f)
{
	const struct plan counted = { .d = f->d, .target = q->target };
	struct buf text;
	int r;

	buf_init(&text, PROTO_TEXT_MAX);
	if (!operation_fits(op, &counted, conn, 0, &text)) {
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
	    (r = prepare(op, conn, a, q, f)) != 0) {
		log_err(r, "operation %s", op->id);
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

void
operation_files(
    struct operation *op, struct connection *conn, const struct ask *a)
{
	struct request q;
	struct files f;
	int r;

	/* As before a command is decided: its line, and that of its count. */
	if (policy_audit() != NULL && policy_audit_room() < 2) {
		log_err(0, "operation %s: audit is behind", op->id);
		operation_behind(op);
		return;
	}
	if (a->tty) {
		operation_refuse(op, POSTERN_EX_USAGE,
		    "files are not moved through a terminal; leave out ssh's "
		    "-t");
		return;
	}
	judge_request(conn, &conn->name, false, &q);
	q.kind = REQUEST_READ; /* and REQUEST_WRITE */
	q.how = BY_SFTP;
	r = files_decide(&q, &f);
	if (r == ERR_TOOBIG)
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "not run: more `read` and `write` lines hold for this job "
		    "here than one session can carry");
	else if (r != 0)
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
	else if (f.d.verdict != VERDICT_ALLOW)
		deny(op, conn, a, &q, &f);
	else
		grant(op, conn, a, &q, &f);
	files_clear(&f);
}
