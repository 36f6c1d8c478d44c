/*
 * The decision, in the policy process: one command, or every command of a list
 * before any of them is run.  What is denied is on record before the job is
 * told why; what is allowed is made ready, so that a policy that changes
 * meanwhile changes nothing about it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/lock.h"
#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/proto.h"
#include "policy/refs.h"
#include "policy/refset.h"

/* -- denials ----------------------------------------------------------------
 */

static void
deny_answer(struct operation *op, uint32_t code, struct buf *text)
{
	int r;

	if ((r = buf_putf(text,
		 "postern: refused; this is operation %s in the "
		 "ledger\n",
		 op->id)) != 0 ||
	    (r = operation_answer(op, code, NULL, text)) != 0)
		log_err(r, "answer to operation %s", op->id);
	operation_free(op);
}

/* Why it was denied is said only on record: nobody tries out the rules while
 * audit is behind or away. */
static void
deny_unwritten(struct operation *op, int r)
{
	log_err(r, "denial %s has no ledger line", op->id);
	if (r == ERR_TOOBIG)
		operation_behind(op);
	else
		operation_refuse(op, POSTERN_EX_IOERR,
		    "not run: the ledger "
		    "cannot be written just now; try again");
}

void
operation_deny(struct operation *op, const struct connection *conn,
    const struct decision *d, const struct ask *a, uint32_t code,
    struct buf *text)
{
	struct buf b;
	int r;

	buf_init(&b, EVENT_BODY_MAX);
	if ((r = plan_decide_event(&b, op, conn, d, "deny")) == 0 &&
	    (r = plan_put_denied_login(&b, op, conn)) == 0 &&
	    (r = event_str(&b, EV_REASON,
		 lock_now()->on                ? "locked"
		 : code == POSTERN_EX_USAGE    ? "syntax"
		 : code == POSTERN_EX_TEMPFAIL ? "limit"
					       : "policy")) == 0 &&
	    (r = event_num(&b, EV_PTY, a->tty)) == 0 &&
	    (r = sent_denied_event(&b, d)) == 0 &&
	    (r = plan_put_way(&b, a->what, d)) == 0 &&
	    (r = ask_event_command(&b, a)) == 0)
		r = session_denial(conn->session, &b);
	buf_clear(&b);
	if (r != 0)
		deny_unwritten(op, r);
	else
		deny_answer(op, code, text);
}

/* The line of one command of a list that is not run. */
static int
deny_member(struct operation *op, const struct connection *conn,
    const struct decision *d, const struct command *c, const char *reason,
    struct buf *b)
{
	struct buf shown;
	int r;

	buf_init(&shown, COMMAND_LEN_MAX);
	if ((r = command_print(c, &shown)) == 0 &&
	    (r = plan_decide_event(b, op, conn, d, "deny")) == 0 &&
	    (r = plan_put_denied_login(b, op, conn)) == 0 &&
	    (r = event_str(b, EV_REASON, reason)) == 0 &&
	    (r = event_num(b, EV_PTY, op->list->pty)) == 0 &&
	    (r = sent_denied_event(b, d)) == 0 &&
	    (r = plan_put_way(b, OP_COMMAND, d)) == 0 &&
	    (r = buf_cstr(&shown) == NULL ? ERR_NOMEM : 0) == 0)
		r = event_str(b, EV_COMMAND, buf_cstr(&shown));
	buf_clear(&shown);
	return r;
}

/* One is denied, so all are: a line for each.  The job may make as many of
 * them as it may make denials. */
static void
deny_list(struct operation *op, const struct connection *conn,
    const struct decision *d, const struct list *l, size_t which, uint32_t code,
    struct buf *text)
{
	char id[ULID_LEN + 1];
	struct buf b;
	int r = policy_denial_room() < l->n ? ERR_TOOBIG : 0;

	memcpy(id, op->id, sizeof(id));
	buf_init(&b, EVENT_BODY_MAX);
	for (size_t i = 0; i < l->n && r == 0; i++) {
		const char *reason = d[i].verdict != VERDICT_ALLOW ? "policy"
				     : i == which && code == POSTERN_EX_TEMPFAIL
					 ? "limit"
					 : "list";

		op->list->at = i;
		if ((r = ulid_new(op->id)) != 0 ||
		    (r = deny_member(
			 op, conn, &d[i], &l->command[i], reason, &b)) != 0)
			break;
		if (i == which)
			memcpy(id, op->id, sizeof(id));
		r = i == which ? session_denial(conn->session, &b)
			       : policy_event_denial(&b, NULL, NULL);
	}
	buf_clear(&b);
	memcpy(op->id, id, sizeof(op->id));
	if (r != 0)
		deny_unwritten(op, r);
	else
		deny_answer(op, code, text);
}

/* -- grants ------------------------------------------------------------------
 */

/* The stages to be sent: the command's words, each first one in its full path
 * where the policy gives one.  One allocation; the words stay where they are.
 */
static int
command_stages(
    const struct command *c, const char *const *program, struct stage **out)
{
	union {
		const char *ro;
		char *rw;
	} first; /* never written through */
	struct stage *stage;
	size_t words = 0;
	char **argv;

	for (size_t i = 0; i < c->nstage; i++)
		words += c->stage[i].argc + 1;
	stage = malloc(c->nstage * sizeof(*stage) + words * sizeof(*argv));
	if (stage == NULL)
		return ERR_NOMEM;
	argv = (char **)(stage + c->nstage);
	for (size_t i = 0; i < c->nstage; i++) {
		stage[i] = c->stage[i];
		memcpy(
		    argv, stage[i].argv, (stage[i].argc + 1) * sizeof(*argv));
		stage[i].argv = argv;
		first.ro = program[i];
		if (first.ro != NULL)
			argv[0] = first.rw;
		argv += stage[i].argc + 1;
	}
	*out = stage;
	return 0;
}

static const char *
nearest(const struct request *q, const struct command *c)
{
	struct request one = *q;

	one.command = c;
	return decide_nearest(&one);
}

/* What the hop is to look at on its way. */
static enum op_what
what_of(const struct decision *d)
{
	switch (d->stream) {
	case STREAM_GIT_FETCH:
		return OP_GIT_FETCH;
	case STREAM_GIT_ARCHIVE:
		return OP_GIT_ARCHIVE;
	case STREAM_GIT_PUSH:
		return OP_GIT_PUSH;
	case STREAM_NONE:
	case STREAM_RSYNC_READ:
	case STREAM_RSYNC_WRITE:
		break;
	}
	return OP_COMMAND;
}

/* The lines about refs, of a repository. */
static int
gather_refs(const struct request *q, const struct command *c, struct plan *p,
    struct refset *refs)
{
	struct request one = *q;

	p->what = what_of(&p->d);
	if (p->what == OP_COMMAND)
		return 0;
	one.command = c;
	p->refs = refs;
	p->claims = q->claims;
	return refs_gather(&one, &p->d, refs);
}

/* Makes one command ready, in op. */
static int
prepare(struct operation *op, const struct connection *conn,
    const struct ask *a, const struct request *q, const struct decision *d,
    const struct command *c)
{
	struct command sent = *c; /* argv[0] may become the program's path */
	struct refset refs = { .line = NULL };
	struct stage *stage = NULL;
	struct plan p;
	int r;

	plan_init(&p);
	p.d = *d;
	p.target = q->target;
	p.login = q->login;
	p.command = &sent;
	p.nearest = d->would_deny ? nearest(q, c) : "";
	if ((r = gather_refs(q, c, &p, &refs)) != 0 ||
	    (r = command_stages(c, d->program, &stage)) != 0)
		goto out;
	sent.stage = stage;
	if ((r = sent_choose(&a->sent, q, &p)) == 0 &&
	    (r = plan_make(&p, op, conn)) == 0 &&
	    (r = plan_put_hop_run(op, conn, a, &p)) == 0 &&
	    (r = plan_put_grant(op, a, &p)) == 0 &&
	    (r = plan_put_open(op, conn, a, &p)) == 0 && op->list != NULL) {
		struct buf b;

		buf_init(&b, EVENT_BODY_MAX);
		if ((r = plan_put_decision(&b, op, conn, a, &p)) == 0)
			joblist_take(op, &b);
		buf_clear(&b);
	}
out:
	free(stage);
	refset_clear(&refs);
	plan_clear(&p);
	return r;
}

static void
grant(struct operation *op, struct connection *conn, const struct ask *a,
    const struct request *q, const struct decision *d, const struct list *l)
{
	int r = 0;

	if (operation_count() > policy_conf()->operations_max) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "this bastion runs "
		    "as many operations as it may (operations-max); try again");
		return;
	}
	for (size_t i = 0; i < l->n && r == 0; i++) {
		if (op->list != NULL)
			memcpy(op->id, op->list->member[i].id, sizeof(op->id));
		r = prepare(op, conn, a, q, &d[i], &l->command[i]);
	}
	if (r == ERR_NOMEM || r == ERR_NOTFOUND) {
		operation_refuse(op,
		    r == ERR_NOMEM ? POSTERN_EX_TEMPFAIL : POSTERN_EX_IOERR,
		    "not run: the broker could not start "
		    "this; try again");
		return;
	}
	if (r == ERR_TOOBIG && l->n == 1 && d[0].refs) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "not run: more `git` lines hold for this repository than "
		    "one session can carry");
		return;
	}
	if (r != 0) {
		log_err(r, "operation %s", op->id);
		operation_refuse(op, POSTERN_EX_USAGE,
		    "this command has no "
		    "form that every login shell reads alike");
		return;
	}
	session_hold(conn);
	op->conn = conn;
	if (op->list != NULL)
		joblist_begin(op);
	else
		operation_start(op);
}

/* -- the decision
 * -------------------------------------------------------------- */

void
judge_request(const struct connection *conn, const struct user_name *name,
    bool pty, struct request *q)
{
	*q = (struct request){ .policy = policy_now(),
		.identity = conn->session->identity,
		.claims = &conn->session->claims,
		.pty = pty,
		.now = policy_time(),
		.enforces = ENFORCE_BASTION };
	if (q->policy != NULL)
		q->target = policy_target_find(q->policy, name->target);
	if (q->target != NULL &&
	    target_login(q->target, name->login, &q->login) != 0)
		q->target = NULL;
}

static bool
judge_one(struct request *q, const struct command *c, struct decision *d)
{
	q->command = c;
	if (q->policy != NULL) {
		decide(q, d);
		refs_join(q, d);
	}
	if (d->rule_name == NULL)
		d->rule_name = "default";
	return d->verdict == VERDICT_ALLOW && q->target != NULL;
}

/* The first command that is not allowed; n: all are. */
size_t
judge_decide(struct request *q, const struct list *l, struct decision *d)
{
	size_t which = l->n;

	for (size_t i = 0; i < l->n; i++) {
		if (!judge_one(q, &l->command[i], &d[i]) && which == l->n)
			which = i;
	}
	return which;
}

size_t
judge_decide_line(struct request *q, const struct list *l, struct decision *d)
{
	size_t which = l->n;

	for (size_t i = 0; i < l->n; i++) {
		q->pty = true;
		if (judge_one(q, &l->command[i], &d[i]))
			continue;
		q->pty = false;
		d[i] = (struct decision){ 0 };
		if (!judge_one(q, &l->command[i], &d[i]) && which == l->n)
			which = i;
	}
	q->pty = false;
	return which;
}

/* The first command of a shell's line whose streams are data, which a terminal
 * does not carry: it is denied; n: none is. */
static size_t
deny_data(const struct list *l, struct decision *d)
{
	size_t i = 0;

	while (i < l->n && d[i].stream == STREAM_NONE)
		i++;
	if (i < l->n) {
		d[i].verdict = VERDICT_DENY;
		d[i].rule_name = "default";
	}
	return i;
}

static void
say_data(const struct user_name *place, struct buf *text)
{
	char name[PLACE_SIZE];

	(void)place_name(place, name);
	(void)buf_putf(text,
	    "postern: denied: what git and rsync send is data, which a "
	    "terminal does not carry whole;\n"
	    "postern: run them on your side, as in git clone "
	    "%s@BASTION:/DIR, or rsync -a FILES %s@BASTION:/DIR\n",
	    name, name);
}

static void
say_which(const struct list *l, size_t which, struct buf *text)
{
	if (l->n > 1)
		(void)buf_putf(text,
		    "postern: command %zu of %zu is denied, "
		    "and so nothing of them was run:\n",
		    which + 1, l->n);
}

/* How many before it are for the same identity. */
static uint32_t
count_beside(const struct decision *d, size_t which)
{
	uint32_t n = 0;

	for (size_t i = 0; i < which; i++)
		n += d[i].identity_name != NULL &&
		     d[which].identity_name != NULL &&
		     strcmp(d[i].identity_name, d[which].identity_name) == 0;
	return n;
}

/* All are granted, and each counts from here on.  The first that cannot be
 * counted; n: none. */
static size_t
count_all(struct operation *op, const struct request *q, const struct list *l,
    const struct decision *d)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		const struct plan p = { .d = d[i], .target = q->target };
		struct member *m =
		    op->list != NULL ? &op->list->member[i] : NULL;

		if (m != NULL && ulid_new(op->id) != 0)
			break;
		if (operation_counts(op, &p) != 0)
			break;
		if (m == NULL)
			continue;
		memcpy(m->id, op->id, sizeof(m->id));
		memcpy(m->identity, op->identity, sizeof(m->identity));
	}
	return i;
}

/* The first command that its limits have no room for; n: all fit, and are
 * counted. */
static size_t
fit_all(struct operation *op, const struct request *q, const struct list *l,
    const struct decision *d, struct buf *text)
{
	struct buf why;
	size_t i;

	buf_init(&why, 1024);
	for (i = 0; i < l->n; i++) {
		const struct plan p = { .d = d[i], .target = q->target };

		if (!operation_fits(op, &p, count_beside(d, i), &why))
			break;
	}
	if (i == l->n && (i = count_all(op, q, l, d)) < l->n)
		(void)buf_putf(&why,
		    "postern: denied: the broker cannot count this operation; "
		    "try again\n");
	if (i < l->n) {
		say_which(l, i, text);
		(void)buf_put(text, buf_ptr(&why), buf_len(&why));
	}
	buf_clear(&why);
	return i;
}

/* Why, for the job. */
void
judge_explain(struct request *q, const struct user_name *name,
    const struct list *l, const struct decision *d, size_t which,
    struct buf *text)
{
	q->command = &l->command[which];
	if (q->policy != NULL && q->target == NULL &&
	    policy_target_find(q->policy, name->target) != NULL)
		(void)buf_putf(text,
		    "postern: denied: the policy names no "
		    "login `%s` on %s\n",
		    name->login, name->target);
	else if (q->policy == NULL || decide_explain(q, &d[which], text) != 0)
		buf_reset(text);
}

void
operation_judge(struct operation *op, struct connection *conn,
    const struct ask *a, const struct list *l)
{
	struct request q;
	uint32_t code = POSTERN_EX_DENIED;
	struct decision *d = calloc(l->n, sizeof(*d));
	struct buf text;
	size_t which;

	buf_init(&text, PROTO_TEXT_MAX);
	/* Before anything is decided or counted, and alike for what would be
	 * denied: its line, and that of its count, for each command. */
	if (policy_audit() != NULL && policy_audit_room() < 2 * l->n) {
		log_err(0, "operation %s: audit is behind", op->id);
		operation_behind(op);
		goto out;
	}
	/* A line of a shell is a list, of one command, too: the shell's
	 * connection stays here. */
	if (d == NULL || ((l->n > 1 || op->in != NULL) &&
			     joblist_new(l, a, &op->list) != 0)) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		goto out;
	}
	judge_request(conn, &op->place, a->tty != 0, &q);
	q.sent = a->sent.var;
	q.nsent = a->sent.n;
	which = op->in != NULL ? judge_decide_line(&q, l, d)
			       : judge_decide(&q, l, d);
	if (which < l->n) {
		say_which(l, which, &text);
		judge_explain(&q, &op->place, l, d, which, &text);
	} else if (op->in != NULL && (which = deny_data(l, d)) < l->n) {
		say_which(l, which, &text);
		say_data(&op->place, &text);
	} else if ((which = fit_all(op, &q, l, d, &text)) < l->n) {
		code = POSTERN_EX_TEMPFAIL;
	} else {
		grant(op, conn, a, &q, d, l);
		goto out;
	}
	if (l->n > 1) {
		deny_list(op, conn, d, l, which, code, &text);
	} else {
		struct ask one = *a;

		if (l->command[0].dir != a->dir)
			one.dir = NULL; /* its own stands in it */
		operation_deny(op, conn, d, &one, code, &text);
	}
out:
	buf_clear(&text);
	free(d);
}
