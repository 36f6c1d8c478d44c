/*
 * Leaving and taking over, in the policy process.  What comes back from audit
 * is believed only under the MAC, and then no more than before: a connection
 * is its monitor, found again by pid and start time, and one whose monitor has
 * died meanwhile is over.
 */
#include "config.h"

#include "broker/takeover.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/lock.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/quota.h"
#include "broker/proc.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define TAKEOVER_VERSION 2
#define MAC_LEN 32
#define OVER_KILLED 2 /* of a session: an admin ended it */
#define KEY_LEN 32
/* Rows are forgotten by name; this is for those that nobody remembers. */
#define KEEP_S (30 * 86400)
#define RETRY_MS 1000
#define SETTLE_MS 10000

static struct {
	uint8_t key[KEY_LEN];
	bool has_key;
	void (*on_done)(void);
	bool started, asked, done;
	uint32_t id; /* of RECALL */
	char after[PROTO_KEEP_KEY_MAX + 1];
	size_t sessions, connections, operations; /* taken over */
	struct timer *timer;
} env;

static void takeover_ask(void);
static void takeover_settle(void);

int
takeover_key(int fd)
{
	/* The descriptor's position is shared with the process before. */
	ssize_t n = pread(fd, env.key, sizeof(env.key), 0);

	(void)close(fd);
	env.has_key = n == (ssize_t)sizeof(env.key);
	return env.has_key ? 0 : ERR_CONFIG;
}

/* -- rows --------------------------------------------------------------------
 */

static int
row_mac(const char *key, const uint8_t *body, size_t n, uint8_t mac[MAC_LEN])
{
	unsigned int len = 0;
	struct buf b;
	int r;

	buf_init(&b, PROTO_KEEP_KEY_MAX + 1 + PROTO_KEEP_MAX);
	if ((r = buf_put(&b, key, strlen(key) + 1)) == 0 &&
	    (r = buf_put(&b, body, n)) == 0 &&
	    (HMAC(EVP_sha256(), env.key, KEY_LEN, buf_ptr(&b), buf_len(&b), mac,
		 &len) == NULL ||
		len != MAC_LEN))
		r = ERR_CRYPTO;
	buf_clear(&b);
	return r;
}

static int
row_key(char *dst, size_t size, char kind, const char *id)
{
	int n = snprintf(dst, size, "%c/%s", kind, id);

	return n < 0 || (size_t)n >= size ? ERR_TOOBIG : 0;
}

/* A row, how long it is kept, and who hears whether it was taken. */
struct row {
	char kind;
	const char *id;
	int64_t keep_s;
	policy_done_cb done;
	void *arg;
};

static int
row_send(const struct row *row, const struct buf *body)
{
	char key[PROTO_KEEP_KEY_MAX + 1];
	uint8_t mac[MAC_LEN];
	struct msg m;
	int r;

	msg_init(&m, MSG_KEEP);
	if ((r = row_key(key, sizeof(key), row->kind, row->id)) == 0 &&
	    (r = row_mac(key, buf_ptr(body), buf_len(body), mac)) == 0 &&
	    (r = buf_put_cstr(&m.body, key)) == 0 &&
	    (r = buf_put_u64(&m.body, (uint64_t)(time(NULL) + row->keep_s))) ==
		0 &&
	    (r = buf_put_u32(&m.body, MAC_LEN + (uint32_t)buf_len(body))) ==
		0 &&
	    (r = buf_put(&m.body, mac, MAC_LEN)) == 0 &&
	    (r = buf_put(&m.body, buf_ptr(body), buf_len(body))) == 0)
		r = policy_ask_audit(&m, row->done, row->arg);
	msg_clear(&m);
	return r;
}

static int
row_keep(char kind, const char *id, const struct buf *body, policy_done_cb done,
    void *arg)
{
	const struct row row = { kind, id, KEEP_S, done, arg };

	return row_send(&row, body);
}

int
takeover_keep_denial(char kind, const char *id, int64_t keep_s,
    const struct buf *body, policy_done_cb done, void *arg)
{
	const struct row row = { kind, id, keep_s, done, arg };

	return row_send(&row, body);
}

static void
row_forget_key(const char *key)
{
	struct msg m;
	int r = ERR_NOTFOUND;

	msg_init(&m, MSG_FORGET);
	if (policy_audit() != NULL && (r = buf_put_cstr(&m.body, key)) == 0)
		r = peer_send(policy_audit(), &m);
	if (r != 0)
		log_err(r, "a row is kept too long");
	msg_clear(&m);
}

static void
row_forget(char kind, const char *id)
{
	char key[PROTO_KEEP_KEY_MAX + 1];

	if (row_key(key, sizeof(key), kind, id) == 0)
		row_forget_key(key);
}

void
takeover_forget_denial(char kind, const char *id)
{
	row_forget(kind, id);
}

/* -- leaving ------------------------------------------------------------------
 */

static int
put_session(struct buf *b, const struct session *s)
{
	int r;

	if ((r = buf_put_u8(b, TAKEOVER_VERSION)) != 0 ||
	    (r = buf_put_cstr(b, s->id)) != 0 ||
	    (r = buf_put_cstr(b, s->source)) != 0 ||
	    (r = buf_put_cstr(b, s->token)) != 0 ||
	    (r = buf_put_cstr(b, s->issuer)) != 0 ||
	    (r = buf_put_cstr(b, s->subject)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)s->until_ms)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)s->limit_ms)) != 0 ||
	    (r = buf_put_u8(b, s->killed ? OVER_KILLED : s->over)) != 0 ||
	    (r = buf_put_u8(b, s->opened && s->noted != KEPT_NO)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)s->claims.n)) != 0)
		return r;
	for (size_t i = 0; i < s->claims.n; i++) {
		if ((r = buf_put_cstr(b, s->claims.c[i].name)) != 0 ||
		    (r = buf_put_cstr(b, s->claims.c[i].value)) != 0)
			return r;
	}
	if ((r = buf_put_u32(b, (uint32_t)s->ncertificate)) != 0)
		return r;
	for (size_t i = 0; i < s->ncertificate; i++) {
		const struct certificate *c = &s->certificate[i];

		if ((r = buf_put(b, c->digest, sizeof(c->digest))) != 0 ||
		    (r = buf_put_u64(b, (uint64_t)c->until_ms)) != 0)
			return r;
	}
	return 0;
}

static void
session_kept(void *arg, int result)
{
	struct session *s = arg;

	s->kept = result == 0 ? KEPT_YES : KEPT_NO;
	if (result != 0)
		takeover_again();
}

void
takeover_keep_session(struct session *s)
{
	struct buf b;
	int r;

	buf_init(&b, PROTO_KEEP_MAX);
	if ((r = put_session(&b, s)) == 0)
		r = row_keep('1', s->id, &b, session_kept, s);
	s->kept = r == 0 ? KEPT_ASKED : KEPT_NO;
	buf_clear(&b);
}

static void
connection_kept(void *arg, int result)
{
	struct connection *c = arg;

	c->kept = result == 0 ? KEPT_YES : KEPT_NO;
	if (result != 0)
		takeover_again();
}

void
takeover_keep_connection(struct connection *c)
{
	struct buf b;
	int r;

	buf_init(&b, PROTO_KEEP_MAX);
	if ((r = buf_put_u8(&b, TAKEOVER_VERSION)) == 0 &&
	    (r = buf_put_cstr(&b, c->id)) == 0 &&
	    (r = buf_put_cstr(&b, c->session->id)) == 0 &&
	    (r = buf_put_cstr(&b, c->handle)) == 0 &&
	    (r = buf_put_cstr(&b, c->user)) == 0 &&
	    (r = buf_put_cstr(&b, c->source)) == 0 &&
	    (r = buf_put_cstr(&b, c->key)) == 0 &&
	    (r = buf_put_u32(&b, (uint32_t)c->monitor)) == 0 &&
	    (r = buf_put_u64(&b, c->monitor_start)) == 0)
		r = row_keep('2', c->id, &b, connection_kept, c);
	c->kept = r == 0 ? KEPT_ASKED : KEPT_NO;
	buf_clear(&b);
}

int
takeover_keep_operation(const struct operation *op, uint64_t start)
{
	const char *target = op->place.target;
	struct buf b;
	int r;

	if (strcmp(target, op->conn->name.target) == 0)
		target = NULL; /* as an earlier version reads it, too */

	buf_init(&b, PROTO_KEEP_MAX);
	if ((r = buf_put_u8(&b, TAKEOVER_VERSION)) == 0 &&
	    (r = buf_put_cstr(&b, op->id)) == 0 &&
	    (r = buf_put_cstr(&b, op->identity)) == 0 &&
	    (r = buf_put_cstr(&b, op->conn->id)) == 0 &&
	    (r = buf_put_u32(&b, (uint32_t)op->hop)) == 0 &&
	    (r = buf_put_u64(&b, start)) == 0 &&
	    (target == NULL || (r = buf_put_cstr(&b, target)) == 0))
		r = row_keep('3', op->id, &b, NULL, NULL);
	buf_clear(&b);
	return r;
}

int
takeover_keep_grant(const char *identity, const char *operation, int64_t at)
{
	struct buf b;
	int r;

	buf_init(&b, PROTO_KEEP_MAX);
	if ((r = buf_put_u8(&b, TAKEOVER_VERSION)) == 0 &&
	    (r = buf_put_cstr(&b, operation)) == 0 &&
	    (r = buf_put_cstr(&b, identity)) == 0 &&
	    (r = buf_put_u64(&b, (uint64_t)at)) == 0)
		r = row_keep('4', operation, &b, NULL, NULL);
	buf_clear(&b);
	return r;
}

void
takeover_forget_grant(const char *operation)
{
	row_forget('4', operation);
}

void
takeover_forget_session(const struct session *s)
{
	row_forget('1', s->id);
}

void
takeover_forget_connection(const struct connection *c)
{
	row_forget('2', c->id);
}

void
takeover_forget_operation(const char *id)
{
	row_forget('3', id);
}

/* -- taking over
 * --------------------------------------------------------------- */

static int
get_version(struct buf *b)
{
	uint8_t v;
	int r;

	if ((r = buf_get_u8(b, &v)) != 0)
		return r;
	return v == TAKEOVER_VERSION ? 0 : ERR_FORMAT;
}

static int
get_certificates(struct buf *b, struct session_row *s)
{
	struct certificate *c;
	uint64_t until;
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > SESSION_CERTIFICATES_MAX)
		return ERR_TOOBIG;
	while (s->ncertificate < n) {
		c = &s->certificate[s->ncertificate++];
		if ((r = buf_get(b, c->digest, sizeof(c->digest))) != 0 ||
		    (r = buf_get_u64(b, &until)) != 0)
			return r;
		c->until_ms = (int64_t)until;
	}
	return 0;
}

static int
take_session(struct buf *b)
{
	struct session_row s = { 0 };
	char *name = NULL, *value = NULL;
	uint64_t until, limit;
	uint8_t over, opened;
	uint32_t n = 0;
	int r;

	if ((r = buf_get_fixed(b, s.id, sizeof(s.id))) != 0 ||
	    (r = buf_get_fixed(b, s.proof.source, sizeof(s.proof.source))) !=
		0 ||
	    (r = buf_get_fixed(b, s.proof.token, sizeof(s.proof.token))) != 0 ||
	    (r = buf_get_cstr(b, NAME_LEN_MAX, &s.proof.issuer)) != 0 ||
	    (r = buf_get_cstr(b, PROTO_CLAIM_VALUE_MAX, &s.proof.subject)) !=
		0 ||
	    (r = buf_get_u64(b, &until)) != 0 ||
	    (r = buf_get_u64(b, &limit)) != 0 ||
	    (r = buf_get_u8(b, &over)) != 0 ||
	    (r = buf_get_u8(b, &opened)) != 0 || (r = buf_get_u32(b, &n)) != 0)
		goto out;
	s.until_ms = (int64_t)until;
	s.limit_ms = (int64_t)limit;
	s.over = over != 0;
	s.killed = over == OVER_KILLED;
	s.opened = opened != 0;
	for (; n > 0 && r == 0; n--) {
		if ((r = buf_get_cstr(b, PROTO_CLAIM_NAME_MAX, &name)) == 0 &&
		    (r = buf_get_cstr(b, PROTO_CLAIM_VALUE_MAX, &value)) == 0)
			r = claims_add(&s.proof.claims, name, value);
		free(name);
		free(value);
		name = value = NULL;
	}
	if (r == 0 && (r = get_certificates(b, &s)) == 0 &&
	    (r = buf_end(b)) == 0)
		r = session_adopt(&s);
	env.sessions += r == 0;
out:
	session_proof_clear(&s.proof);
	return r;
}

static int
take_connection(struct buf *b)
{
	struct connection_row c = { 0 };
	uint32_t pid;
	int r;

	if ((r = buf_get_fixed(b, c.id, sizeof(c.id))) != 0 ||
	    (r = buf_get_fixed(b, c.session, sizeof(c.session))) != 0 ||
	    (r = buf_get_fixed(b, c.handle, sizeof(c.handle))) != 0 ||
	    (r = buf_get_fixed(b, c.user, sizeof(c.user))) != 0 ||
	    (r = buf_get_fixed(b, c.source, sizeof(c.source))) != 0 ||
	    (r = buf_get_fixed(b, c.key, sizeof(c.key))) != 0 ||
	    (r = buf_get_u32(b, &pid)) != 0 ||
	    (r = buf_get_u64(b, &c.monitor_start)) != 0 ||
	    (r = buf_end(b)) != 0)
		goto out;
	c.monitor = (pid_t)pid;
	r = session_adopt_connection(&c);
	env.connections += r == 0;
out:
	explicit_bzero(c.handle, sizeof(c.handle));
	return r;
}

static int
take_operation(struct buf *b)
{
	char id[ULID_LEN + 1], connection[ULID_LEN + 1];
	char identity[NAME_LEN_MAX + 1], target[NAME_LEN_MAX + 1] = "";
	struct connection *c;
	uint64_t start;
	uint32_t pid;
	int pidfd, r;

	if ((r = buf_get_fixed(b, id, sizeof(id))) != 0 ||
	    (r = buf_get_fixed(b, identity, sizeof(identity))) != 0 ||
	    (r = buf_get_fixed(b, connection, sizeof(connection))) != 0 ||
	    (r = buf_get_u32(b, &pid)) != 0 ||
	    (r = buf_get_u64(b, &start)) != 0 ||
	    (buf_len(b) > 0 &&
		(r = buf_get_fixed(b, target, sizeof(target))) != 0) ||
	    (r = buf_end(b)) != 0 ||
	    (r = proc_open((pid_t)pid, start, &pidfd)) != 0)
		return r;
	if ((c = session_connection(connection)) == NULL) {
		(void)close(pidfd);
		return ERR_NOTFOUND;
	}
	r = operation_adopt(id, identity, c,
	    target[0] == '\0' ? c->name.target : target, pidfd);
	env.operations += r == 0;
	return r;
}

static int
take_grant(struct buf *b)
{
	char operation[ULID_LEN + 1], identity[NAME_LEN_MAX + 1];
	uint64_t at;
	int r;

	if ((r = buf_get_fixed(b, operation, sizeof(operation))) != 0 ||
	    (r = buf_get_fixed(b, identity, sizeof(identity))) != 0 ||
	    (r = buf_get_u64(b, &at)) != 0 || (r = buf_end(b)) != 0)
		return r;
	return quota_adopt(identity, operation, (int64_t)at);
}

/* A row that can only refuse something counts whoever made it, and whatever is
 * in it.  true: this is one. */
static bool
take_denial(const char *key, const uint8_t *value, size_t n)
{
	size_t skip = n < MAC_LEN ? n : MAC_LEN;
	struct buf b;

	if (strcmp(key, "5/lock") != 0)
		return false;
	buf_view(&b, value + skip, n - skip);
	lock_adopt(&b);
	return true;
}

/* Whatever is wrong with a row, it is forgotten: what it stood for is over. */
static int
take_row(const char *key, const uint8_t *value, size_t n)
{
	uint8_t mac[MAC_LEN];
	struct buf b;
	int r;

	if (n < MAC_LEN)
		return ERR_FORMAT;
	if ((r = row_mac(key, value + MAC_LEN, n - MAC_LEN, mac)) != 0)
		return r;
	if (!mem_equal(mac, value, MAC_LEN))
		return ERR_CRYPTO; /* another boot's, or made up */
	buf_view(&b, value + MAC_LEN, n - MAC_LEN);
	if ((r = get_version(&b)) != 0)
		return r;
	switch (key[0]) {
	case '1':
		return take_session(&b);
	case '2':
		return take_connection(&b);
	case '3':
		return take_operation(&b);
	case '4':
		return take_grant(&b);
	default:
		return ERR_FORMAT;
	}
}

static void
takeover_end(void)
{
	env.done = true;
	session_adopted();
	takeover_settle();
	if (env.sessions + env.operations > 0)
		log_info("taken over: %zu sessions, %zu connections, %zu "
			 "running operations",
		    env.sessions, env.connections, env.operations);
	env.on_done();
	session_kill_adopted(); /* before anybody is served */
}

static void
on_timer(void *arg)
{
	(void)arg;
	env.timer = NULL;
	if (env.done)
		takeover_settle();
	else
		takeover_ask();
}

static void
later(int64_t ms)
{
	if (env.timer == NULL &&
	    (env.timer = loop_timer(child_loop(), ms, on_timer, NULL)) == NULL)
		fatal(ERR_NOMEM, "timer");
}

void
takeover_again(void)
{
	if (env.done)
		later(SETTLE_MS);
}

int
takeover_recalled(struct msg *m)
{
	char key[PROTO_KEEP_KEY_MAX + 1];
	uint32_t result, n;
	uint64_t until;
	const uint8_t *value;
	size_t nvalue;
	uint8_t more;
	int r;

	if (env.done || !env.asked || m->id != env.id)
		return ERR_PROTO;
	env.asked = false;
	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_u8(&m->body, &more)) != 0 ||
	    (r = buf_get_u32(&m->body, &n)) != 0)
		return r;
	if (result != 0) { /* nobody is served meanwhile */
		later(RETRY_MS);
		return msg_end(m);
	}
	if (more && n == 0)
		return ERR_PROTO;
	for (; n > 0; n--) {
		if ((r = buf_get_fixed(&m->body, key, sizeof(key))) != 0 ||
		    (r = buf_get_u64(&m->body, &until)) != 0 ||
		    (r = buf_get_view(
			 &m->body, PROTO_KEEP_MAX, &value, &nvalue)) != 0)
			return r;
		if (!take_denial(key, value, nvalue) &&
		    take_row(key, value, nvalue) != 0)
			row_forget_key(key);
		memcpy(env.after, key, sizeof(env.after));
	}
	if ((r = msg_end(m)) != 0)
		return r;
	if (more)
		takeover_ask();
	else
		takeover_end();
	return 0;
}

static void
takeover_ask(void)
{
	struct msg m;
	int r;

	if (policy_audit() == NULL || env.asked || env.done)
		return; /* takeover_link asks */
	msg_init(&m, MSG_RECALL);
	m.id = env.id = peer_next_id(policy_audit());
	if ((r = buf_put_cstr(&m.body, env.after)) == 0)
		r = peer_send(policy_audit(), &m);
	msg_clear(&m);
	env.asked = r == 0;
	if (r != 0)
		later(RETRY_MS);
}

int
takeover_start(void (*done)(void))
{
	if (!env.has_key)
		return ERR_CONFIG;
	env.on_done = done;
	env.started = true;
	takeover_ask();
	return 0;
}

void
takeover_lost(void)
{
	if (!env.done || policy_audit() == NULL)
		return;
	timer_free(env.timer);
	env.timer = NULL;
	takeover_settle();
}

bool
takeover_done(void)
{
	return env.done;
}

/* What an earlier audit did not take is kept now, and then what is open in the
 * ledger without a row is over. */
static void
takeover_settle(void)
{
	struct msg m;
	int r = 0;

	if (policy_audit() != NULL && (r = session_keep_all()) == 0) {
		msg_init(&m, MSG_SETTLED);
		r = peer_send(policy_audit(), &m);
		msg_clear(&m);
	}
	if (r != 0)
		takeover_again();
}

void
takeover_link(void)
{
	env.asked = false;
	if (!env.started)
		return;
	timer_free(env.timer);
	env.timer = NULL;
	if (env.done)
		takeover_settle();
	else
		takeover_ask();
}
