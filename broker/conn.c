/*
 * Logins and their connections to the PAM module.  Runs in postern-oidc.  The
 * module runs as root, but the texts that it passes on are a client's.
 *
 * Every login ends on one of two roads: conn_answer with policy's handle, or
 * conn_refuse, which tells audit why and the module nothing.
 */
#include "config.h"

#include "broker/conn.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/issuers.h"
#include "broker/login.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

#define CONN_HANGUP_MS 5000 /* given to the module to read its answer */
/* Refusals leave at whole multiples of this after the question, so that the
 * time says nothing about how far a token came. */
#define CONN_REFUSAL_MS 500

enum conn_state {
	CONN_NEW,     /* no LOGIN yet */
	CONN_KEYS,    /* waits for an issuer's keys */
	CONN_POLICY,  /* waits for SESSION_MADE */
	CONN_MARK,    /* has a session, and waits until audit has the mark */
	CONN_REFUSED, /* decided, not said yet */
	CONN_DONE,    /* answered */
};

/* One connection of the PAM module: one login. */
struct conn {
	struct conn *next, **prev;
	struct peer *peer;
	struct timer *timer;	/* the deadline, then the refusal's moment */
	enum conn_state state;
	int64_t since;		/* when LOGIN came, ms */
	uint32_t id;            /* of LOGIN */
	uint32_t policy_id;	/* of SESSION_NEW */
	char handle[PROTO_HANDLE_LEN + 1]; /* of its session */
	uint32_t audit_id;                 /* of KEEP */
	struct login login;
};

static struct {
	struct judge *judge;
	struct conn *first;
	size_t n;
} env;

static void conn_on_deadline(void *arg);

/* Until a login must be decided; the refusal's own delay comes on top. */
static int64_t
conn_deadline_ms(void)
{
	int64_t ms = (int64_t)env.judge->conf->login_deadline_s * 1000;

	return ms > 2 * CONN_REFUSAL_MS ? ms - CONN_REFUSAL_MS : ms;
}

/* -- the two roads ------------------------------------------------------- */

static void
conn_free(struct conn *c)
{
	if ((*c->prev = c->next) != NULL)
		c->next->prev = c->prev;
	env.n--;
	login_unspend(&c->login, env.judge->marks);
	timer_free(c->timer);
	peer_free(c->peer);
	login_forget(&c->login);
	free(c);
}

static void
conn_answer(struct conn *c, uint32_t result, const char *handle)
{
	struct msg m;
	int r;

	c->state = CONN_DONE;
	login_forget(&c->login);
	timer_free(c->timer); /* the module hangs up, or we do */
	c->timer = loop_timer(child_loop(), CONN_HANGUP_MS, conn_on_deadline,
	    c);
	msg_init(&m, MSG_LOGIN_RESULT);
	m.id = c->id;
	if ((r = buf_put_u32(&m.body, result)) != 0 ||
	    (r = buf_put_cstr(&m.body, handle)) != 0 ||
	    (r = peer_send(c->peer, &m)) != 0)
		log_err(r, "cannot answer the PAM module");
	msg_clear(&m);
}

static void
conn_on_refusal(void *arg)
{
	struct conn *c = arg;

	c->timer = NULL;
	conn_answer(c, 1, "");
}

/* The reason for the ledger; issuer and subject are facts only when the
 * signature was good. */
static int
refusal_event(const struct conn *c, const char *reason, struct buf *b)
{
	const struct login *l = &c->login;
	const struct trusted *t = NULL;
	int r;

	if ((r = event_start(b, EVENT_LOGIN_REFUSED)) != 0 ||
	    (r = event_str(b, EV_USER, log_safe(l->user))) != 0 ||
	    (r = event_str(b, EV_SOURCE, log_safe(l->source))) != 0 ||
	    (r = event_str(b, EV_REASON, log_safe(reason))) != 0)
		return r;
	if (l->verified)
		t = issuers_find(&env.judge->issuers, l->claims.iss);
	if (t == NULL)
		return 0;
	if ((r = event_str(b, EV_ISSUER, t->rules.name)) != 0)
		return r;
	/* NULL where sub was what was wrong */
	return event_str(b, EV_SUBJECT, l->claims.sub);
}

static void
refusal_report(const struct conn *c, const char *reason)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_EVENT);
	if ((r = refusal_event(c, reason, &m.body)) != 0)
		goto out;
	r = ERR_NOTFOUND;
	if (env.judge->audit == NULL)
		goto out;
	m.id = peer_next_id(env.judge->audit);
	r = peer_send(env.judge->audit, &m);
out:
	if (r != 0)
		log_err(r, "not in the ledger: login of %s from %s refused: %s",
		    log_safe(c->login.user), log_safe(c->login.source),
		    log_safe(reason));
	msg_clear(&m);
}

static void
conn_refuse(struct conn *c, const char *reason)
{
	int64_t passed = msg_now_ms() - c->since;

	if (c->login.alarm)
		log_err(0, "ALARM: %s (login of %s from %s refused)", reason,
		    log_safe(c->login.user), log_safe(c->login.source));
	refusal_report(c, reason);
	login_unspend(&c->login, env.judge->marks);
	login_forget(&c->login);
	timer_free(c->timer);
	c->state = CONN_REFUSED;
	c->timer = loop_timer(child_loop(),
	    CONN_REFUSAL_MS - passed % CONN_REFUSAL_MS, conn_on_refusal, c);
	if (c->timer == NULL)
		conn_free(c); /* a closed connection is a refusal, too */
}

static void
conn_on_deadline(void *arg)
{
	struct conn *c = arg;

	c->timer = NULL;
	if (c->state == CONN_NEW || c->state == CONN_DONE) {
		conn_free(c);
		return;
	}
	conn_refuse(c, c->state == CONN_KEYS
			   ? "the issuer's keys did not come in time"
		       : c->state == CONN_MARK
			   ? "the token could not be marked as spent in time"
			   : "policy did not answer in time");
}

/* -- one login ----------------------------------------------------------- */

static int
conn_ask_policy(struct conn *c, const char **why)
{
	struct msg m;
	int r;

	*why = "policy is not running";
	if (env.judge->policy == NULL)
		return ERR_NOTFOUND;
	msg_init(&m, MSG_SESSION_NEW);
	m.id = peer_next_id(env.judge->policy);
	if ((r = login_put_session(
		 &c->login, &env.judge->issuers, &m.body, why)) != 0)
		goto out;
	*why = "policy cannot be asked";
	if ((r = peer_send(env.judge->policy, &m)) != 0)
		goto out;
	c->policy_id = m.id;
	c->state = CONN_POLICY;
out:
	msg_clear(&m);
	return r;
}

/* The mark is with audit before anybody is told of the session: whatever dies
 * from here on, the token stays spent. */
static int
conn_keep_mark(struct conn *c, const char **why)
{
	const struct login *l = &c->login;
	struct msg m;
	int r;

	*why = "the token cannot be marked as spent: audit is not running";
	if (env.judge->audit == NULL)
		return ERR_NOTFOUND;
	msg_init(&m, MSG_KEEP);
	m.id = peer_next_id(env.judge->audit);
	if ((r = buf_put_cstr(&m.body, l->digest)) == 0 &&
	    (r = buf_put_u64(&m.body, (uint64_t)l->spent_until)) == 0 &&
	    (r = buf_put_cstr(&m.body, l->source)) == 0)
		r = peer_send(env.judge->audit, &m);
	login_keep(l, env.judge->marks);
	c->audit_id = m.id;
	c->state = CONN_MARK;
	msg_clear(&m);
	return r;
}

/* The mark is made first, so that nobody else can come with the token while
 * policy looks for an identity; it is taken back if there is none. */
static int
conn_spend(struct conn *c, const char **why)
{
	*why = "policy is not running";
	if (env.judge->policy == NULL)
		return ERR_NOTFOUND;
	return login_spend(&c->login, &env.judge->issuers, env.judge->marks,
	    (int64_t)time(NULL), why);
}

/* As far as it goes now. */
static void
conn_judge(struct conn *c)
{
	const char *why = "internal error";
	int r;

	c->state = CONN_KEYS;
	r = login_verify(&c->login, &env.judge->issuers, (int64_t)time(NULL), &why);
	if (r == ERR_AGAIN)
		return;
	if (r == 0 && (r = conn_spend(c, &why)) == 0)
		r = conn_ask_policy(c, &why);
	if (r != 0)
		conn_refuse(c, why);
}

static int
conn_on_msg(void *arg, struct peer *p, struct msg *m)
{
	struct conn *c = arg;
	const char *why = "internal error";
	int r;

	(void)p;
	if (c->state != CONN_NEW)
		return ERR_PROTO; /* one login a connection */
	if ((r = login_read(&m->body, &c->login)) != 0)
		return r;
	c->since = msg_now_ms();
	c->id = m->id;
	timer_free(c->timer);
	c->timer = loop_timer(child_loop(), conn_deadline_ms(),
	    conn_on_deadline, c);
	if (c->timer == NULL)
		return ERR_TOOBIG;
	if (login_parse(&c->login, &why) != 0)
		conn_refuse(c, why);
	else
		conn_judge(c);
	return 0;
}

static void
conn_on_close(void *arg, struct peer *p, int r)
{
	struct conn *c = arg;

	(void)p;
	if (r != ERR_NOTFOUND)
		log_err(r, "a message of the PAM module");
	c->peer = NULL; /* freed by whoever called us */
	conn_free(c);
}

/* Only root's sshd speaks for a client's address and name. */
static bool
conn_is_root(const struct peer *p)
{
	pid_t pid;
	uid_t uid;
	gid_t gid;

	return peer_cred(p, &pid, &uid, &gid) == 0 && uid == 0;
}

static void
conn_new(int fd)
{
	struct conn *c;

	if (env.n >= CONNS_MAX ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		(void)close(fd);
		log_err(ERR_TOOBIG, "a login was turned away");
		return;
	}
	c->next = env.first;
	c->prev = &env.first;
	if (env.first != NULL)
		env.first->prev = &c->next;
	env.first = c;
	env.n++;
	c->peer = peer_new(child_loop(), fd, PROC_PAM, PROC_OIDC, conn_on_msg,
	    conn_on_close, c);
	if (c->peer != NULL)
		c->timer = loop_timer(child_loop(), conn_deadline_ms(),
		    conn_on_deadline, c);
	if (c->timer == NULL || !conn_is_root(c->peer))
		conn_free(c);
}

/* -- what the process hears from elsewhere --------------------------------- */

void
conns_init(struct judge *j)
{
	env.judge = j;
}

void
conns_accept(int listener)
{
	int fd;

	if (child_accept(listener, &fd) == 0)
		conn_new(fd);
}

void
conns_rejudge(const char *iss)
{
	struct conn *c, *next;

	for (c = env.first; c != NULL; c = next) {
		next = c->next; /* conn_judge may free c, never another */
		if (c->state == CONN_KEYS &&
		    (iss == NULL || strcmp(c->login.claims.iss, iss) == 0))
			conn_judge(c);
	}
}

void
conns_session_made(uint32_t id, const char *handle, const char *reason)
{
	const char *why = "internal error";
	struct conn *c = env.first;

	while (c != NULL && (c->state != CONN_POLICY || c->policy_id != id))
		c = c->next;
	if (c == NULL)
		return; /* its login has timed out or hung up */
	if (handle == NULL ||
	    str_copy(c->handle, sizeof(c->handle), handle) != 0)
		conn_refuse(c, reason);
	else if (!c->login.marked)
		conn_answer(c, 0, c->handle);
	/* Again: another login with this token may have had its mark taken
	 * back meanwhile, and then others may have come. */
	else if (conn_spend(c, &why) != 0 || conn_keep_mark(c, &why) != 0)
		conn_refuse(c, why);
}

void
conns_kept(uint32_t id, bool kept)
{
	struct conn *c = env.first;

	while (c != NULL && (c->state != CONN_MARK || c->audit_id != id))
		c = c->next;
	if (c == NULL)
		return;
	if (kept)
		conn_answer(c, 0, c->handle);
	else
		conn_refuse(c, "the token cannot be marked as spent");
}

/* Whoever is in that state asks (again). */
static void
conns_ask(enum conn_state s, int (*ask)(struct conn *c, const char **why))
{
	const char *why = "internal error";
	struct conn *c, *next;

	for (c = env.first; c != NULL; c = next) {
		next = c->next;
		if (c->state == s && ask(c, &why) != 0)
			conn_refuse(c, why);
	}
}

void
conns_audit_new(void)
{
	conns_ask(CONN_MARK, conn_keep_mark);
}

void
conns_policy_new(void)
{
	conns_ask(CONN_POLICY, conn_ask_policy);
}

bool
conns_busy(void)
{
	for (const struct conn *c = env.first; c != NULL; c = c->next) {
		if (c->state != CONN_DONE)
			return true;
	}
	return false;
}

void
conns_policy_gone(void)
{
	struct conn *c, *next;

	for (c = env.first; c != NULL; c = next) {
		next = c->next;
		if (c->state == CONN_POLICY)
			conn_refuse(c, "policy went away");
	}
}
