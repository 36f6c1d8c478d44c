/*
 * The control surface in the policy process.  Jobs reach it as commands that
 * have passed the command parser; people on the bastion through ctl.sock and
 * audit.sock, known by the kernel's word.  It tells a job only what that job
 * proved itself.
 */
#include "config.h"

#include "broker/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/operation.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/command.h"

#define CALLERS_MAX 64        /* on each socket, and not handed on to audit */
#define CALLER_IDLE_MS 10000  /* between two questions */
#define RELOAD_IDLE_MS 130000 /* and for two rounds of posternd's */

/* Who connects to which socket is its group's matter; what he may, by that, is
 * ours. */
static struct door {
	const char *name;
	bool reads; /* and does nothing else */
	size_t ncaller;
} admins = { .name = "ctl.sock" },
  auditors = { .name = "audit.sock", .reads = true };

#define OTHERS_MAX 16 /* identities that whoami tells apart */
#define ROOM_LEFT 256 /* of an answer, for its last line */

typedef int (*control_fn)(
    const struct connection *conn, struct buf *out, struct buf *err);

/* A value of somebody else's, made harmless for a terminal. */
static int
put_value(struct buf *out, const char *name, const char *value)
{
	return buf_putf(out, "%-13s %s\n", name, log_safe(value));
}

/* What keeps this job from being more: identities that are about it, and the
 * claim that each of them hangs on, with what the job itself proved.  What an
 * identity wants instead is not the job's to know. */
static int
put_others(const struct session *s, const struct policy *p, struct buf *out)
{
	const char *value;
	struct other o;
	size_t i;
	int r = 0;

	for (i = 0; i < OTHERS_MAX && r == 0; i++) {
		if (policy_match_other(p, s->issuer, &s->claims, i, &o) != 0)
			return 0;
		value = claims_get(&s->claims, o.claim);
		r = buf_putf(out, "%-13s %s: ", "not", o.identity);
		if (r == 0)
			r = buf_putf(out, "%s", o.why);
		if (r == 0 && value != NULL && *value != '\0')
			r = buf_putf(
			    out, " (yours is %.200s)", log_safe(value));
		if (r == 0)
			r = buf_putf(out, "\n");
	}
	if (r == 0 && policy_match_other(p, s->issuer, &s->claims, i, &o) == 0)
		r = put_value(out, "not", "and others");
	return r;
}

static int
control_whoami(const struct connection *conn, struct buf *out, struct buf *err)
{
	const struct session *s = conn->session;
	const struct policy *p = policy_now();
	const struct ties *t = &s->ties;
	const struct {
		const char *name, *value;
	} rows[] = {
		{ "session", s->id }, { "issuer", s->issuer },
		{ "subject", s->subject }, { "commit", t->commit },
		{ "pull request", t->pull_request }, { "actor", t->actor },
		{ "workflow", t->workflow }, { "run", t->run },
		{ "from", s->source },
	};
	int r = 0;

	(void)err;
	for (size_t i = 0; p != NULL && i < policy_nidentities(p); i++) {
		if (s->identity[i] && r == 0)
			r = put_value(out, "identity",
			    policy_identity_name(p, i));
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (r == 0 && rows[i].value != NULL && rows[i].value[0] != '\0')
			r = put_value(out, rows[i].name, rows[i].value);
	}
	return r != 0 || p == NULL ? r : put_others(s, p, out);
}

struct targets {
	struct buf *out;
	size_t left;   /* that had no room */
	size_t denied; /* of those that had: some deny rule is for them, too */
};

/* As it is written in front of @BASTION. */
static int
put_target(void *arg, const struct target *t, const char *login, bool denied)
{
	bool own = strcmp(login, t->login) == 0;
	struct targets *x = arg;

	if (x->left > 0 || buf_len(x->out) > PROTO_TEXT_MAX - ROOM_LEFT) {
		x->left++;
		return 0;
	}
	x->denied += denied;
	return buf_putf(
	    x->out, "%s%s%s\n", own ? "" : login, own ? "" : "+", t->name);
}

static int
control_targets(const struct connection *conn, struct buf *out, struct buf *err)
{
	const struct policy *p = policy_now();
	struct targets x = { .out = out };
	int r;

	if (p == NULL)
		return 0;
	r = policy_reach(
	    p, conn->session->identity, policy_time(), put_target, &x);
	if (r == 0 && x.left > 0)
		r = buf_putf(err, "postern: %zu more are not shown\n", x.left);
	if (r == 0 && x.denied > 0)
		r = buf_putf(err,
		    "postern: deny rules take something back on %zu of these; "
		    "whether a command is left, `can TARGET COMMAND` tells\n",
		    x.denied);
	return r;
}

/* One that has no target and command behind it; others never come here. */
static int
control_can(const struct connection *conn, struct buf *out, struct buf *err)
{
	(void)conn;
	(void)out;
	(void)buf_putf(err, "postern: usage: can TARGET COMMAND\n");
	return ERR_FORMAT;
}

/* With a key on standard input it never comes here: jobcert.c. */
static int
control_login(const struct connection *conn, struct buf *out, struct buf *err)
{
	(void)conn;
	(void)out;
	(void)buf_putf(err,
	    "postern: login wants a public key on standard input, and no "
	    "terminal: ssh postern@BASTION login < key.pub > key-cert.pub\n");
	return ERR_FORMAT;
}

static int
control_help(const struct connection *conn, struct buf *out, struct buf *err)
{
	(void)conn;
	(void)err;
	return buf_putf(out,
	    "This is a Postern bastion. The SSH user name names the target:\n"
	    "\n"
	    "  ssh TARGET@BASTION COMMAND        as the target's usual login\n"
	    "  ssh LOGIN+TARGET@BASTION COMMAND  as another login\n"
	    "  ssh -t postern@BASTION            a shell for all of them\n"
	    "\n"
	    "As user `postern`:\n"
	    "  login < key.pub      a certificate for a key of yours, for\n"
	    "                       further logins without the token\n"
	    "  whoami               what your token proved, as whom you are\n"
	    "                       known, and what keeps you from being more\n"
	    "  targets              the user names that some rule gives you\n"
	    "  can TARGET COMMAND   would this be allowed (0) or not (77), "
	    "and\n"
	    "                       why; nothing is run.  Of files: can "
	    "TARGET\n"
	    "                       read PATH by sftp, or write\n"
	    "  help                 this text\n");
}

static const struct {
	const char *word;
	control_fn fn;
} control_words[] = {
	{ "whoami", control_whoami },
	{ "targets", control_targets },
	{ "can", control_can },
	{ "help", control_help },
	{ "login", control_login },
};

uint32_t
control_run(const struct connection *conn, const struct command *c,
    struct buf *out, struct buf *err)
{
	const char *word = c == NULL ? "help" : c->stage->argv[0];
	size_t n = sizeof(control_words) / sizeof(control_words[0]);
	int r;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(control_words[i].word, word) != 0)
			continue;
		if (c != NULL && (c->stage->argc != 1 || c->nstage != 1 ||
				     c->stage->nassign > 0 || c->dir != NULL)) {
			(void)buf_putf(err, "postern: %s stands alone\n", word);
			return POSTERN_EX_USAGE;
		}
		if ((r = control_words[i].fn(conn, out, err)) == 0)
			return 0;
		buf_reset(out);
		if (r == ERR_FORMAT)
			return POSTERN_EX_USAGE;
		(void)buf_putf(err, "postern: the answer is too long\n");
		return POSTERN_EX_TEMPFAIL;
	}
	(void)buf_putf(err,
	    "postern: there is no `%s` here; try: login, "
	    "whoami, targets, can, help\n",
	    log_safe(word));
	return POSTERN_EX_USAGE;
}

/* -- ctl.sock and audit.sock
 * --------------------------------------------------- */

static int
control_no_audit(struct peer *p, uint32_t id)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_ROWS_END);
	m.id = id;
	if ((r = buf_put_u32(&m.body, 1)) == 0 &&
	    (r = buf_put_cstr(&m.body,
		 "postern-audit is not running, or is "
		 "behind with what it has to write; see the bastion's log")) ==
		0)
		r = peer_send(p, &m);
	msg_clear(&m);
	return r;
}

/* A question to the records: the asker's connection goes on to audit. */
static int
control_query(struct door *door, struct peer *p, const struct msg *q)
{
	char viewer[32];
	struct msg m;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int r;

	if (policy_audit_room() == 0)
		return control_no_audit(p, q->id);
	if ((r = peer_cred(p, &pid, &uid, &gid)) != 0)
		return r;
	msg_init(&m, MSG_AUDIT_QUERY);
	m.id = q->id;
	(void)snprintf(viewer, sizeof(viewer), "uid:%ld", (long)uid);
	if ((r = buf_put_cstr(&m.body, viewer)) == 0 &&
	    (r = buf_put_u8(&m.body, !door->reads)) == 0 &&
	    (r = buf_put(&m.body, buf_ptr(&q->body), buf_len(&q->body))) == 0 &&
	    (r = msg_add_fd(&m, peer_fd(p))) == 0)
		r = peer_send(policy_audit(), &m);
	msg_clear(&m);
	if (r == 0) {
		policy_reload_drop(p);
		control_admin_drop(p);
		peer_free(p); /* audit has its own copy of the socket */
		door->ncaller--;
	}
	return r;
}

static int
control_msg(void *arg, struct peer *p, struct msg *m)
{
	struct door *door = arg;
	int r;

	if (door->reads && m->type != MSG_STATUS &&
	    !(m->type == MSG_QUERY && control_reads(m)))
		return control_refuse(p, m);
	switch (m->type) {
	case MSG_STATUS:
		return msg_end(m) != 0 ? ERR_PROTO : control_status(p, m->id);
	case MSG_RELOAD_POLICY:
		if (msg_end(m) != 0)
			return ERR_PROTO;
		if ((r = peer_bound_idle(p, RELOAD_IDLE_MS)) != 0)
			return r;
		return policy_reload_ask(p, m->id);
	case MSG_KILL:
		return control_kill(p, m);
	case MSG_LOCK:
		return control_lock(p, m);
	case MSG_QUERY:
		return control_query(door, p, m);
	default:
		return ERR_PROTO;
	}
}

static void
control_closed(void *arg, struct peer *p, int r)
{
	struct door *door = arg;

	policy_reload_drop(p);
	control_admin_drop(p);
	door->ncaller--;
	if (r != ERR_NOTFOUND)
		log_err(r, "a connection to %s", door->name);
}

static void
door_accept(struct door *door, int fd)
{
	struct peer *p;

	if (door->ncaller == CALLERS_MAX) {
		log_err(ERR_TOOBIG, "a connection to %s", door->name);
		(void)close(fd);
		return;
	}
	p = peer_new(child_loop(), fd, PROC_CLI, PROC_POLICY, control_msg,
	    control_closed, door);
	if (p != NULL && peer_bound_idle(p, CALLER_IDLE_MS) == 0) {
		door->ncaller++;
		return;
	}
	peer_free(p);
	log_err(ERR_NOMEM, "%s", door->name);
}

void
control_accept(int fd)
{
	door_accept(&admins, fd);
}

void
control_accept_auditor(int fd)
{
	door_accept(&auditors, fd);
}
