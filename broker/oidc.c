/*
 * postern-oidc: who is calling?  Takes tokens from the PAM module, verifies
 * them against the keys that the policy's issuers publish, and gives the claims
 * to policy, which makes the session.  Runs as _postern-oidc; holds pam.sock
 * and the way to the issuers, no key and no session.
 *
 * Distrusts: tokens (anybody's), issuers' web servers, and of the PAM module's
 * messages the texts that sshd took from the client.
 *
 * Every login ends on one of two roads: conn_answer with policy's handle, or
 * conn_refuse, which tells audit why and the module nothing.
 */
#include "config.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/issuers.h"
#include "broker/jsonin.h"
#include "broker/login.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/replay.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

#define OIDC_CONNS_MAX 512	/* connections of the PAM module */
#define OIDC_TICK_MS 10000	/* between looks at the age of the keys */
#define OIDC_HANGUP_MS 5000	/* given to the module to read its answer */
#define OIDC_CA_MAX (4 * 1024 * 1024)
#define OIDC_REASON_MAX 4096
/* Refusals leave at whole multiples of this after the question, so that the
 * time says nothing about how far a token came. */
#define OIDC_REFUSAL_MS 500

enum conn_state {
	CONN_NEW,	/* no LOGIN yet */
	CONN_KEYS,	/* waits for an issuer's keys */
	CONN_POLICY,	/* waits for SESSION_MADE */
	CONN_REFUSED,	/* decided, not said yet */
	CONN_DONE,	/* answered */
};

/* One connection of the PAM module: one login. */
struct conn {
	struct conn *next, **prev;
	struct peer *peer;
	struct timer *timer;	/* the deadline, then the refusal's moment */
	enum conn_state state;
	int64_t since;		/* when LOGIN came, ms */
	uint32_t id;		/* of LOGIN */
	uint32_t policy_id;	/* of SESSION_NEW */
	struct login login;
};

static struct env {
	const struct conf *conf;
	struct peer *policy, *audit;
	int listener;
	struct conn *conns;
	size_t nconns;
	struct buf ca;
	struct http *http;
	struct jwks_io io;
	struct issuers issuers;
	struct replay *marks;
} env = { .listener = -1 };

static void conn_on_deadline(void *arg);

/* Until a login must be decided; the refusal's own delay comes on top. */
static int64_t
oidc_deadline_ms(void)
{
	int64_t ms = (int64_t)env.conf->login_deadline_s * 1000;

	return ms > 2 * OIDC_REFUSAL_MS ? ms - OIDC_REFUSAL_MS : ms;
}

/* -- the two roads ------------------------------------------------------- */

static void
conn_free(struct conn *c)
{
	if ((*c->prev = c->next) != NULL)
		c->next->prev = c->prev;
	env.nconns--;
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
	c->timer = loop_timer(child_loop(), OIDC_HANGUP_MS, conn_on_deadline,
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
		t = issuers_find(&env.issuers, l->claims.iss);
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
	if (env.audit == NULL)
		goto out;
	m.id = peer_next_id(env.audit);
	r = peer_send(env.audit, &m);
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
	login_forget(&c->login);
	timer_free(c->timer);
	c->state = CONN_REFUSED;
	c->timer = loop_timer(child_loop(),
	    OIDC_REFUSAL_MS - passed % OIDC_REFUSAL_MS, conn_on_refusal, c);
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
	conn_refuse(c, c->state == CONN_KEYS ?
	    "the issuer's keys did not come in time" :
	    "policy did not answer in time");
}

/* -- one login ----------------------------------------------------------- */

static int
conn_ask_policy(struct conn *c, const char **why)
{
	struct msg m;
	int r;

	*why = "policy is not running";
	if (env.policy == NULL)
		return ERR_NOTFOUND;
	msg_init(&m, MSG_SESSION_NEW);
	m.id = peer_next_id(env.policy);
	if ((r = login_put_session(&c->login, &env.issuers, env.marks,
	    (int64_t)time(NULL), &m.body, why)) != 0)
		goto out;
	*why = "policy cannot be asked";
	if ((r = peer_send(env.policy, &m)) != 0)
		goto out;
	c->policy_id = m.id;
	c->state = CONN_POLICY;
out:
	msg_clear(&m);
	return r;
}

/* As far as it goes now. */
static void
conn_judge(struct conn *c)
{
	const char *why = "internal error";
	int r;

	c->state = CONN_KEYS;
	r = login_verify(&c->login, &env.issuers, (int64_t)time(NULL), &why);
	if (r == ERR_AGAIN)
		return;
	if (r == 0)
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
	c->timer = loop_timer(child_loop(), oidc_deadline_ms(),
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

	if (env.nconns >= OIDC_CONNS_MAX ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		(void)close(fd);
		log_err(ERR_TOOBIG, "a login was turned away");
		return;
	}
	c->next = env.conns;
	c->prev = &env.conns;
	if (env.conns != NULL)
		env.conns->prev = &c->next;
	env.conns = c;
	env.nconns++;
	c->peer = peer_new(child_loop(), fd, PROC_PAM, PROC_OIDC, conn_on_msg,
	    conn_on_close, c);
	if (c->peer != NULL)
		c->timer = loop_timer(child_loop(), oidc_deadline_ms(),
		    conn_on_deadline, c);
	if (c->timer == NULL || !conn_is_root(c->peer))
		conn_free(c);
}

static void
on_pam(void *arg, int fd, short revents)
{
	int c;

	(void)arg;
	(void)revents;
	if (child_accept(fd, &c) == 0)
		conn_new(c);
}

/* -- the issuers --------------------------------------------------------- */

static int
io_get(void *ctx, const char *url, http_cb cb, void *arg,
    struct http_req **out)
{
	(void)ctx;
	return http_get(env.http, url, cb, arg, out);
}

static void
io_cancel(void *ctx, struct http_req *q)
{
	(void)ctx;
	http_cancel(q);
}

static int64_t
io_now_ms(void *ctx)
{
	(void)ctx;
	return msg_now_ms();
}

/* Judges again whoever waits for keys: of this issuer, or of one that the
 * policy no longer names. */
static void
rejudge(const char *iss)
{
	struct conn *c, *next;

	for (c = env.conns; c != NULL; c = next) {
		next = c->next; /* conn_judge may free c, never another */
		if (c->state == CONN_KEYS &&
		    (iss == NULL || strcmp(c->login.claims.iss, iss) == 0))
			conn_judge(c);
	}
}

static void
on_keys(void *arg, int r, const char *why)
{
	const char *url = arg;

	if (r != 0)
		log_err(r, "keys of %s: %s", log_safe(url), log_safe(why));
	rejudge(url);
}

static void
on_tick(void *arg)
{
	(void)arg;
	issuers_tick(&env.issuers);
	if (loop_timer(child_loop(), OIDC_TICK_MS, on_tick, NULL) == NULL)
		fatal(ERR_NOMEM, "timer");
}

static int
on_issuers(struct msg *m)
{
	struct issuers s, old = env.issuers;
	int r;

	if ((r = issuers_read(&m->body, &s)) != 0)
		return r;
	if (s.unusable > 0)
		log_err(0, "%zu issuers of the policy cannot be used (no https "
		    "url, no known algorithm, or the url twice)", s.unusable);
	if ((r = issuers_adopt(&s, &old, &env.io, on_keys)) != 0)
		fatal(r, "issuers");
	env.issuers = s;
	if (env.http != NULL)
		issuers_tick(&env.issuers);
	rejudge(NULL);
	return 0;
}

/* -- the siblings -------------------------------------------------------- */

static int
on_session_made(struct msg *m)
{
	char handle[PROTO_HANDLE_LEN + 1], *reason = NULL;
	uint32_t result;
	struct conn *c;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_fixed(&m->body, handle, sizeof(handle))) != 0 ||
	    (r = buf_get_cstr(&m->body, OIDC_REASON_MAX, &reason)) != 0 ||
	    (r = msg_end(m)) != 0)
		goto out;
	for (c = env.conns; c != NULL; c = c->next) {
		if (c->state == CONN_POLICY && c->policy_id == m->id)
			break;
	}
	if (c == NULL)
		goto out; /* its login has timed out or hung up */
	if (result == 0 && strlen(handle) == PROTO_HANDLE_LEN)
		conn_answer(c, 0, handle);
	else
		conn_refuse(c, reason[0] != '\0' ? reason :
		    "policy made no session");
out:
	free(reason);
	return r;
}

static int
on_policy_msg(void *arg, struct peer *p, struct msg *m)
{
	(void)arg;
	(void)p;
	switch (m->type) {
	case MSG_ISSUERS:
		return on_issuers(m);
	case MSG_SESSION_MADE:
		return on_session_made(m);
	default:
		return ERR_PROTO;
	}
}

static int
on_audit_msg(void *arg, struct peer *p, struct msg *m)
{
	uint32_t result;
	uint64_t number;
	int r;

	(void)arg;
	(void)p;
	if (m->type != MSG_EVENT_DONE)
		return ERR_PROTO;
	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_u64(&m->body, &number)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (result != 0)
		log_err(0, "audit could not write a refused login");
	return 0;
}

/* Nobody waits for an answer of a policy process that is gone. */
static void
forget_policy(void)
{
	struct conn *c, *next;

	env.policy = NULL;
	for (c = env.conns; c != NULL; c = next) {
		next = c->next;
		if (c->state == CONN_POLICY)
			conn_refuse(c, "policy went away");
	}
}

static void
on_sibling_close(void *arg, struct peer *p, int r)
{
	const char *name = arg;

	if (r != ERR_NOTFOUND && r != ERR_SYS)
		fatal(r, "a message of %s", name); /* not what it was */
	log_err(r, "lost %s", name);
	if (p == env.policy)
		forget_policy();
	if (p == env.audit)
		env.audit = NULL;
}

static int
on_link(unsigned int sibling, int fd)
{
	static char policy[] = "policy", audit[] = "audit";
	struct loop *l = child_loop();

	switch (sibling) {
	case PROC_POLICY:
		if (env.policy != NULL) {
			peer_free(env.policy);
			forget_policy();
		}
		env.policy = peer_new(l, fd, PROC_POLICY, PROC_OIDC,
		    on_policy_msg, on_sibling_close, policy);
		return env.policy == NULL ? ERR_NOMEM : 0;
	case PROC_AUDIT:
		peer_free(env.audit);
		env.audit = peer_new(l, fd, PROC_AUDIT, PROC_OIDC,
		    on_audit_msg, on_sibling_close, audit);
		return env.audit == NULL ? ERR_NOMEM : 0;
	default:
		(void)close(fd);
		return ERR_PROTO;
	}
}

/* -- the start ----------------------------------------------------------- */

static int
on_listen(const char *name, int fd)
{
	if (strcmp(name, "pam") != 0 || env.listener != -1) {
		(void)close(fd);
		return ERR_PROTO;
	}
	env.listener = fd;
	return 0;
}

static int
on_folder(const char *name, int fd)
{
	int r = ERR_PROTO;

	if (strcmp(name, "issuer-ca") == 0) {
		buf_reset(&env.ca);
		r = slurp_fd(fd, &env.ca);
		if (r == 0 && buf_len(&env.ca) == 0)
			r = ERR_CONFIG; /* empty must not mean the system's */
	}
	(void)close(fd);
	return r;
}

static int
on_go(const struct conf *conf, const char *addresses)
{
	int r;

	(void)addresses;
	env.conf = conf;
	if (env.listener == -1)
		return ERR_PROTO;
	/* settings that name a bundle, and no bundle: not the system's then */
	if (conf->issuer_ca != NULL && buf_len(&env.ca) == 0)
		return ERR_CONFIG;
	if ((env.http = http_new(child_loop())) == NULL)
		return ERR_NOMEM;
	if (buf_len(&env.ca) > 0 && (r = http_set_ca(env.http,
	    buf_ptr(&env.ca), buf_len(&env.ca))) != 0)
		return r;
	if (loop_watch(child_loop(), env.listener, POLLIN, on_pam,
	    NULL) == NULL)
		return ERR_NOMEM;
	on_tick(NULL);
	return 0;
}

int
main(void)
{
	static const struct child_handlers handlers = {
		.listen = on_listen,
		.link = on_link,
		.folder = on_folder,
		.go = on_go,
	};

	log_init("postern-oidc");
	buf_init(&env.ca, OIDC_CA_MAX);
	env.io = (struct jwks_io){ .get = io_get, .cancel = io_cancel,
		.now_ms = io_now_ms };
	jws_harden();
	if (jsonin_harden() != 0)
		fatal(ERR_SYS, "cannot start");
	if ((env.marks = replay_new(REPLAY_MAX)) == NULL)
		fatal(ERR_NOMEM, "cannot start");
	return child_main("postern-oidc", PROC_OIDC, &handlers);
}
