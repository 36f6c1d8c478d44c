/*
 * postern-policy: decides.  It holds the rules and the live sessions, accepts
 * on session.sock (pam_postern, root), shell.sock (postern-shell) and ctl.sock
 * (postern), hears verified claims from oidc, and asks audit, the parent and
 * the signer for what an allowed operation needs.  No network, and no files
 * but the policy folder it was handed.
 */
#include "config.h"

#include "broker/policy.h"

#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/control.h"
#include "broker/jobcert.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "broker/takeover.h"
#include "broker/wallclock.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/sandbox.h"
#include "policy/policy.h"

#define AUTH_INFO_MAX (30 * 1024) /* base64 of PROTO_JOB_CERT_MAX */
#define ACCEPT_PAUSE_MS 200
#define PAM_IDLE_MS 10000 /* the module asks at once, and once */

static struct {
	const struct conf *conf;
	uid_t job;
	struct peer *audit, *signer, *oidc;
	struct peer *audit_before; /* still answers what it was asked */
	uint32_t before_last;      /* the last of its ids */
	size_t npam;               /* connections of the module */
	bool stopping;
	struct wallclock clock;
} env = { .clock = { .meanwhile = "rules with a `window` allow nothing",
	      .then = "policy is reloaded" } };

const struct conf *
policy_conf(void)
{
	return env.conf;
}

uid_t
policy_job_uid(void)
{
	return env.job;
}

time_t
policy_time(void)
{
	return wallclock_now(&env.clock);
}

struct peer *
policy_oidc(void)
{
	return env.oidc;
}

struct peer *
policy_audit(void)
{
	return env.audit;
}

struct peer *
policy_signer(void)
{
	return env.signer;
}

/* Whoever reloads has seen what the log says of the clock. */
static int
on_reload(uint32_t asked, struct buf *answer)
{
	wallclock_believe(&env.clock);
	return policy_reload(asked, answer);
}

/* -- oidc ---------------------------------------------------------------------- */

static int
get_proof(struct buf *b, struct session_proof *p)
{
	char *name = NULL, *value = NULL;
	uint8_t opened;
	uint32_t n;
	int r;

	if ((r = buf_get_fixed(b, p->user, sizeof(p->user))) != 0 ||
	    (r = buf_get_fixed(b, p->source, sizeof(p->source))) != 0 ||
	    (r = buf_get_cstr(b, NAME_LEN_MAX, &p->issuer)) != 0 ||
	    (r = buf_get_cstr(b, PROTO_CLAIM_VALUE_MAX, &p->subject)) != 0 ||
	    (r = buf_get_fixed(b, p->token, sizeof(p->token))) != 0 ||
	    (r = buf_get_u64(b, &p->expires)) != 0 ||
	    (r = buf_get_u8(b, &opened)) != 0 || (r = buf_get_u32(b, &n)) != 0)
		return r;
	p->opened = opened != 0;
	/* Two tokens without a digest would be one session's. */
	if (strlen(p->token) != PROTO_TOKEN_DIGEST_LEN)
		return ERR_PROTO;
	if (n > PROTO_CLAIMS_MAX)
		return ERR_TOOBIG;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		if ((r = buf_get_cstr(b, PROTO_CLAIM_NAME_MAX, &name)) == 0 &&
		    (r = buf_get_cstr(b, PROTO_CLAIM_VALUE_MAX, &value)) == 0)
			r = claims_add(&p->claims, name, value);
		free(name);
		free(value);
		name = value = NULL;
	}
	return r;
}

/* Answered on the link it came by: an oidc that makes room for the next one
 * still has logins under way. */
static int
session_made(struct peer *p, struct msg *m)
{
	struct session_proof proof = { 0 };
	struct connection *c = NULL;
	char why[512] = "";
	struct msg a;
	int r;

	msg_init(&a, MSG_SESSION_MADE);
	a.id = m->id;
	if ((r = get_proof(&m->body, &proof)) != 0 || (r = msg_end(m)) != 0)
		goto out; /* a sibling's message: closing is right */
	if (env.conf == NULL ||
	    session_new(&proof, &c, why, sizeof(why)) != 0)
		c = NULL;
	if ((r = buf_put_u32(&a.body, c == NULL)) == 0 &&
	    (r = buf_put_cstr(&a.body, c == NULL ? "" : c->handle)) == 0 &&
	    (r = buf_put_cstr(&a.body, c == NULL ? why : "")) == 0)
		r = peer_send(p, &a);
out:
	msg_clear(&a);
	session_proof_clear(&proof);
	return r;
}

/* -- siblings ------------------------------------------------------------------ */

static int
sibling_msg(void *arg, struct peer *p, struct msg *m)
{
	(void)arg;
	switch (m->type) {
	case MSG_OP_OPENED:
		return operation_opened(m);
	case MSG_SESSION_NEW:
		return session_made(p, m);
	case MSG_EVENT_DONE:
	case MSG_KEPT:
		return policy_audit_done(m);
	case MSG_RECALLED:
		return takeover_recalled(m);
	case MSG_JOB_CERT_MADE:
		return jobcert_made(m);
	case MSG_CA_IS:
		return p == env.signer ? control_ca_is(m) : 0;
	default:
		return ERR_PROTO;
	}
}

/* Nobody answers any more what was asked up to that id. */
static void
audit_lost(uint32_t last)
{
	operation_audit_lost(last);
	policy_audit_lost(last);
}

static void
sibling_closed(void *arg, struct peer *p, int r)
{
	struct peer **slot = arg;

	if (r != ERR_NOTFOUND) /* it is not what it was: start afresh */
		fatal(r, "what a sibling sent");
	if (*slot != p)
		return; /* an oidc that has ended in peace */
	*slot = NULL;
	if (slot == &env.audit)
		audit_lost(peer_next_id(p));
	if (slot == &env.signer)
		jobcert_signer_lost();
	if (slot == &env.audit_before) {
		audit_lost(env.before_last);
		takeover_lost();
	}
}

/* A new audit is on its way.  The one before, if it lives, reads what it was
 * sent and answers that; new questions are the new one's. */
static int
link_audit(int fd)
{
	struct peer *before = env.audit;

	env.audit = peer_new(child_loop(), fd, PROC_AUDIT, PROC_POLICY,
	    sibling_msg, sibling_closed, &env.audit);
	if (env.audit == NULL)
		return ERR_NOMEM;
	policy_audit_bound(env.audit);
	if (before != NULL) {
		if (env.audit_before != NULL) {
			peer_free(env.audit_before);
			audit_lost(env.before_last);
		}
		env.before_last = peer_next_id(before);
		peer_continue(env.audit, before);
		peer_set_arg(before, &env.audit_before);
		env.audit_before = before;
		peer_end(before);
	}
	takeover_link();
	return 0;
}

static int
on_link(unsigned int sibling, int fd)
{
	struct peer **slot = sibling == PROC_AUDIT ? &env.audit :
	    sibling == PROC_SIGNER ? &env.signer :
	    sibling == PROC_OIDC ? &env.oidc : NULL;
	struct peer *before;

	if (slot == NULL) {
		(void)close(fd);
		return ERR_PROTO;
	}
	if (slot == &env.audit)
		return link_audit(fd);
	/* The one before gets what waits for it, and frees itself at its end.
	 * That of oidc is read to its own end. */
	if (slot == &env.signer && env.signer != NULL)
		peer_end(env.signer);
	before = *slot;
	*slot = peer_new(child_loop(), fd, sibling, PROC_POLICY, sibling_msg,
	    sibling_closed, slot);
	if (*slot != NULL && slot == &env.signer && before != NULL)
		peer_continue(*slot, before);
	if (slot == &env.signer)
		jobcert_signer_lost();
	if (*slot == NULL)
		return ERR_NOMEM;
	if (slot == &env.oidc)
		policy_send_issuers();
	return 0;
}

static int
on_parent(struct peer *parent, struct msg *m)
{
	(void)parent;
	switch (m->type) {
	case MSG_HOP_STARTED:
		return operation_hop_started(m);
	case MSG_RELOAD_OVER:
		return policy_reload_over(m);
	default:
		return ERR_PROTO;
	}
}

/* -- session.sock ---------------------------------------------------------------- */

/* With a token there is a handle already; a certificate is shown. */
static int
pam_connect(const struct jobcert_login *l, const char *handle, int take_pidfd,
    struct connection **out)
{
	if (handle[0] == '\0')
		return jobcert_login(l, take_pidfd, out);
	return session_open(
	    handle, l->user, l->source, l->monitor, take_pidfd, out);
}

static int
pam_open(struct peer *p, struct msg *m)
{
	char handle[PROTO_HANDLE_LEN + 1], user[USER_LEN_MAX + 1];
	char source[PROTO_SOURCE_MAX + 1];
	struct jobcert_login l = { .user = user, .source = source };
	struct connection *c = NULL;
	struct msg a;
	uid_t uid;
	gid_t gid;
	int r;

	if ((r = buf_get_fixed(&m->body, handle, sizeof(handle))) != 0 ||
	    (r = buf_get_fixed(&m->body, user, sizeof(user))) != 0 ||
	    (r = buf_get_fixed(&m->body, source, sizeof(source))) != 0 ||
	    (r = buf_get_view(&m->body, AUTH_INFO_MAX, &l.info, &l.ninfo)) !=
		0 ||
	    (r = msg_end(m)) != 0 ||
	    (r = peer_cred(p, &l.monitor, &uid, &gid)) != 0)
		return r;
	r = pam_connect(&l, handle, msg_take_fd(m, 0), &c);
	if (r != 0)
		log_err(r, "session for %s from %s", log_safe(user),
		    log_safe(source));
	msg_init(&a, MSG_SESSION_OPENED);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, c == NULL)) == 0 &&
	    (r = buf_put_cstr(&a.body, c == NULL ? "" : c->handle)) == 0)
		r = peer_send(p, &a);
	msg_clear(&a);
	explicit_bzero(handle, sizeof(handle));
	return r;
}

static int
pam_close(struct peer *p, struct msg *m)
{
	char handle[PROTO_HANDLE_LEN + 1];
	struct msg a;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int r;

	if ((r = buf_get_fixed(&m->body, handle, sizeof(handle))) != 0 ||
	    (r = msg_end(m)) != 0 ||
	    (r = peer_cred(p, &pid, &uid, &gid)) != 0)
		return r;
	msg_init(&a, MSG_SESSION_CLOSED);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, session_close(handle, pid) != 0)) == 0)
		r = peer_send(p, &a);
	msg_clear(&a);
	explicit_bzero(handle, sizeof(handle));
	return r;
}

static int
pam_msg(void *arg, struct peer *p, struct msg *m)
{
	(void)arg;
	switch (m->type) {
	case MSG_SESSION_OPEN:
		return pam_open(p, m);
	case MSG_SESSION_CLOSE:
		return pam_close(p, m);
	default:
		return ERR_PROTO;
	}
}

static void
pam_closed(void *arg, struct peer *p, int r)
{
	(void)arg;
	(void)p;
	env.npam--;
	if (r != ERR_NOTFOUND)
		log_err(r, "a connection to session.sock");
}

static void
pam_accept(int fd)
{
	struct peer *p;
	pid_t pid;
	uid_t uid;
	gid_t gid;

	p = peer_new(child_loop(), fd, PROC_PAM, PROC_POLICY, pam_msg,
	    pam_closed, NULL);
	/* The socket's mode says so already; the kernel's word is cheap. */
	if (p != NULL && (peer_cred(p, &pid, &uid, &gid) != 0 || uid != 0 ||
			     peer_bound_idle(p, PAM_IDLE_MS) != 0))
		peer_free(p);
	else
		env.npam += p != NULL;
}

/* -- start ------------------------------------------------------------------------ */

/* Watched from the takeover on: nobody is served before there are settings and
 * the sessions of the policy process before. */
static struct listener {
	const char *name;
	void (*accept)(int fd);
	int fd;
	struct watch *watch;
} listeners[] = {
	{ "session", pam_accept, -1, NULL },
	{ "shell", operation_accept, -1, NULL },
	{ "ctl", control_accept, -1, NULL },
	{ "audit", control_accept_auditor, -1, NULL },
};
#define NLISTENERS (sizeof(listeners) / sizeof(listeners[0]))

static void
listener_resume(void *arg)
{
	const struct listener *l = arg;

	if (!env.stopping)
		watch_set_events(l->watch, POLLIN);
}

static void
on_connection(void *arg, int listener, short revents)
{
	struct listener *l = arg;
	int fd, r;

	(void)revents;
	if ((r = child_accept(listener, &fd)) == 0) {
		l->accept(fd);
	} else if (r != ERR_AGAIN) {
		log_err(r, "%s.sock", l->name);
		/* Out of descriptors or memory: who waits is still there in a
		 * moment, and asking again at once would be all we do. */
		if (loop_timer(child_loop(), ACCEPT_PAUSE_MS, listener_resume,
		    l) != NULL)
			watch_set_events(l->watch, 0);
	}
}

static int
on_listen(const char *name, int fd)
{
	for (size_t i = 0; i < NLISTENERS; i++) {
		if (strcmp(listeners[i].name, name) == 0 &&
		    listeners[i].fd == -1) {
			listeners[i].fd = fd;
			return 0;
		}
	}
	(void)close(fd);
	return ERR_PROTO;
}

static int
on_folder(const char *name, int fd)
{
	if (strcmp(name, "session-key") == 0)
		return takeover_key(fd);
	if (strcmp(name, "policy") != 0) {
		(void)close(fd);
		return ERR_PROTO;
	}
	policy_folder(fd);
	return 0;
}

static void
serve(void)
{
	int r;

	for (size_t i = 0; i < NLISTENERS && !env.stopping; i++)
		watch_set_events(listeners[i].watch, POLLIN);
	if ((r = child_ready()) != 0)
		log_err(r, "the parent is not told that all is ready");
}

static int
on_go(const struct conf *conf, const char *addresses)
{
	const struct passwd *pw = getpwnam("_postern-job");
	int r;

	(void)addresses;
	if (pw == NULL)
		return ERR_CONFIG;
	env.job = pw->pw_uid;
	env.conf = conf;
	policy_audit_bound(env.audit);
	for (size_t i = 0; i < NLISTENERS; i++) {
		if (listeners[i].fd == -1 ||
		    (listeners[i].watch = loop_watch(child_loop(),
			 listeners[i].fd, 0, on_connection, &listeners[i])) ==
			NULL)
			return ERR_CONFIG;
	}
	wallclock_believe(&env.clock);
	if ((r = policy_load(conf->policy_folder)) != 0 ||
	    (r = sandbox_enter(SANDBOX_POLICY,
		 (const int[SANDBOX_GIVEN_MAX]){
		     policy_folder_fd(), -1, -1 })) != 0 ||
	    (r = takeover_start(serve)) != 0)
		return r;
	return ERR_AGAIN;
}

/* Where posternd lives, it has the socket, too.  Where it is dead, who waits in
 * there is told by the end of it. */
static void
listener_close(struct listener *l)
{
	watch_free(l->watch);
	l->watch = NULL;
	if (l->fd != -1)
		(void)close(l->fd);
	l->fd = -1;
}

static bool
is_sent(const struct peer *p)
{
	return p == NULL || peer_queued(p) == 0;
}

/* Who knocks from here on is the next one's.  What was begun is brought to its
 * start, and audit has all that it was told. */
static bool
on_idle(void)
{
	if (!env.stopping) {
		env.stopping = true;
		for (size_t i = 0; i < NLISTENERS; i++)
			listener_close(&listeners[i]);
	}
	operation_break_lists();
	if (child_parent() == NULL)
		operation_parent_lost();
	return operation_all_started() && env.npam == 0 &&
	       !policy_audit_answers() && is_sent(env.audit) &&
	       is_sent(env.audit_before) && is_sent(env.signer);
}

int
main(void)
{
	static const struct child_handlers handlers = {
		.listen = on_listen,
		.link = on_link,
		.folder = on_folder,
		.go = on_go,
		.reload = on_reload,
		.parent = on_parent,
		.idle = on_idle,
	};

	return child_main("postern-policy", PROC_POLICY, &handlers);
}
