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
#include "broker/refusal.h"
#include "lib/claimtext.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

#define CONN_HANGUP_MS 5000 /* given to the module to read its answer */
#define CONN_BUCKETS 256    /* of addresses, when there is no room */

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
	bool cut; /* is in the log */
} env;

static void conn_on_deadline(void *arg);

/* Until a login must be decided; the refusal's own delay comes on top. */
static int64_t
conn_deadline_ms(void)
{
	int64_t ms = (int64_t)env.judge->conf->login_deadline_s * 1000;

	return ms > 2 * REFUSAL_STEP_MS ? ms - REFUSAL_STEP_MS : ms;
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

/* Until the refusal leaves; the module does not wait past the deadline. */
static int64_t
conn_refusal_ms(const struct conn *c, unsigned int steps)
{
	int64_t passed = msg_now_ms() - c->since;
	int64_t rest = REFUSAL_STEP_MS - passed % REFUSAL_STEP_MS;
	int64_t more = (int64_t)(steps - 1) * REFUSAL_STEP_MS;

	return passed + rest + more <= conn_deadline_ms() ? rest + more : rest;
}

static void
conn_refuse(struct conn *c, const char *reason)
{
	unsigned int steps;

	if (c->login.alarm)
		log_err(0, "ALARM: %s (login of %s from %s refused)", reason,
		    log_safe(c->login.user), log_safe(c->login.source));
	steps = refusal_note(env.judge, &c->login, reason);
	login_unspend(&c->login, env.judge->marks);
	login_forget(&c->login);
	timer_free(c->timer);
	c->state = CONN_REFUSED;
	c->timer = loop_timer(
	    child_loop(), conn_refusal_ms(c, steps), conn_on_refusal, c);
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

/* Once: it is the same for all tokens of such a role. */
static void
conn_note_cut(const struct login *l)
{
	if (env.cut || !claimtext_cut(l->claims.claims))
		return;
	env.cut = true;
	log_info("a token of %s has claims within objects whose path is longer "
		 "than %d bytes: policy does not see these, and no condition "
		 "can be on them (said once)",
	    log_safe(l->claims.iss), PROTO_CLAIM_NAME_MAX);
}

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
	if ((r = login_put_session(&c->login, &env.judge->issuers,
		 env.judge->marks, &m.body, why)) != 0)
		goto out;
	conn_note_cut(&c->login);
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

/* -- room ---------------------------------------------------------------- */

static size_t
conn_bucket(const struct conn *c)
{
	uint32_t h = 0;

	for (const char *s = c->login.source; *s != '\0'; s++)
		h = h * 31 + (uint8_t)*s;
	return h % CONN_BUCKETS;
}

/* How little it would be missed.  Whose token is good is never sent away; of
 * those that nobody has judged, one of the address with the most of them is. */
static size_t
conn_rank(const struct conn *c, const size_t many[CONN_BUCKETS])
{
	switch (c->state) {
	case CONN_DONE:
		return SIZE_MAX;
	case CONN_REFUSED:
		return SIZE_MAX - 1;
	case CONN_NEW:
	case CONN_KEYS:
		return many[conn_bucket(c)];
	case CONN_POLICY:
	case CONN_MARK:
		break;
	}
	return 0;
}

/* Makes room for one more. */
static bool
conn_make_room(void)
{
	size_t many[CONN_BUCKETS] = { 0 }, best = 0;
	struct conn *victim = NULL;

	for (struct conn *c = env.first; c != NULL; c = c->next)
		many[conn_bucket(c)]++;
	for (struct conn *c = env.first; c != NULL; c = c->next) {
		size_t rank = conn_rank(c, many);

		if (rank == 0 || rank < best)
			continue;
		best = rank; /* the oldest of its rank: they are at the end */
		victim = c;
	}
	if (victim == NULL)
		return false;
	if (victim->state == CONN_KEYS)
		(void)refusal_note(
		    env.judge, &victim->login, "too many logins at once");
	if (victim->state == CONN_KEYS || victim->state == CONN_REFUSED)
		conn_answer(victim, 1, "");
	conn_free(victim);
	return true;
}

static void
conn_new(int fd)
{
	struct conn *c;

	if ((env.n >= CONNS_MAX && !conn_make_room()) ||
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
	if (!kept) {
		conn_refuse(c, "the token cannot be marked as spent");
		return;
	}
	login_opened(&c->login, env.judge->marks);
	conn_answer(c, 0, c->handle);
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
