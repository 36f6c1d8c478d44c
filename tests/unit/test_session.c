/*
 * broker/session.c: how sessions and connections end.  The policy process
 * around it is played here, and the clock can be put forward.
 */
#include "config.h"

#include "broker/session.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/policy.h"
#include "broker/takeover.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/msg.h"
#include "tests/unit/fault.h"

#define TOKEN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TOKEN_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SOURCE "10.0.3.4"

/* -- the process around it -------------------------------------------------- */

static struct {
	struct loop *loop;
	struct conf conf;
	int64_t ahead;		/* ms that the clock is put forward */
	unsigned int opens, closes; /* events */
	int event_result;           /* of sending */
	int done_result;            /* of writing */
	int rows;                   /* that audit keeps */
	unsigned int again;         /* something is to be settled later */
	bool match;
	bool spent;             /* oidc says: it has opened one */
	pid_t monitor;		/* a process that does nothing */
} world;

int64_t __real_msg_now_ms(void);
int64_t __wrap_msg_now_ms(void);

int64_t
__wrap_msg_now_ms(void)
{
	return __real_msg_now_ms() + world.ahead;
}

struct loop *
child_loop(void)
{
	return world.loop;
}

const struct policy *
policy_now(void)
{
	return (const struct policy *)(const void *)&world;
}

const struct conf *
policy_conf(void)
{
	return &world.conf;
}

struct peer *
policy_audit(void)
{
	return world.event_result != 0 ? NULL : (struct peer *)(void *)&world;
}

int
policy_event_then(struct buf *event, policy_done_cb done, void *arg)
{
	uint32_t kind;

	assert_int_equal(event_get_kind(event, &kind), 0);
	buf_reset(event);
	if (world.event_result != 0)
		return world.event_result;
	world.opens += kind == EVENT_SESSION_OPEN;
	world.closes += kind == EVENT_SESSION_CLOSE;
	done(arg, world.done_result);
	return 0;
}

int
policy_event_denial(struct buf *event, policy_done_cb done, void *arg)
{
	return policy_event_then(event, done, arg);
}

void
policy_ask_drop(const void *arg)
{
	(void)arg;
}

size_t
policy_audit_room(void)
{
	return world.event_result == 0 ? 8 : 0;
}

void
takeover_keep_session(struct session *s)
{
	world.rows += s->kept == KEPT_NO;
	s->kept = KEPT_YES;
}

void
takeover_keep_connection(struct connection *c)
{
	world.rows += c->kept == KEPT_NO;
	c->kept = KEPT_YES;
}

void
takeover_forget_session(const struct session *s)
{
	world.rows -= s->kept == KEPT_YES;
}

void
takeover_forget_connection(const struct connection *c)
{
	world.rows -= c->kept == KEPT_YES;
}

size_t
operation_kill(const struct session *s)
{
	return s->nconnection;
}

void
takeover_again(void)
{
	world.again++;
}

size_t
policy_nidentities(const struct policy *p)
{
	(void)p;
	return 1;
}

const char *
policy_identity_name(const struct policy *p, size_t i)
{
	(void)p;
	(void)i;
	return "shop";
}

size_t
policy_match(const struct policy *p, const char *issuer,
    const struct claims *cs, bool *set)
{
	(void)p;
	(void)issuer;
	(void)cs;
	*set = world.match;
	return world.match;
}

void
policy_match_explain(const struct policy *p, const char *issuer,
    const struct claims *cs, char *dst, size_t dstsize)
{
	(void)p;
	(void)issuer;
	(void)cs;
	assert_true(dstsize > 0);
	*dst = '\0';
}

const struct issuer *
policy_issuer_find(const struct policy *p, const char *name)
{
	(void)p;
	(void)name;
	return NULL;
}

void
issuer_ties(const struct issuer *is, const struct claims *cs, struct ties *out)
{
	(void)is;
	(void)cs;
	(void)out;
}

/* -- helpers ---------------------------------------------------------------- */

static void
on_end(void *arg)
{
	loop_stop(arg);
}

/* Puts the clock forward and lets what is due happen. */
static void
pass(int64_t seconds)
{
	world.ahead += seconds * 1000;
	assert_non_null(loop_timer(world.loop, 2, on_end, world.loop));
	assert_int_equal(loop_run(world.loop), 0);
}

static int
make(const char *token, int64_t expires_s, struct connection **c)
{
	struct session_proof p = { .user = "web-1",
		.source = SOURCE,
		.opened = world.spent,
		.expires = (uint64_t)(time(NULL) + expires_s) };
	char why[128] = "";
	int r;

	memcpy(p.token, token, PROTO_TOKEN_DIGEST_LEN + 1);
	assert_non_null(p.issuer = strdup("github"));
	assert_non_null(p.subject = strdup("repo:acme/shop"));
	assert_int_equal(claims_add(&p.claims, "repository_id", "1"), 0);
	r = session_new(&p, c, why, sizeof(why));
	if (r != 0)
		assert_string_not_equal(why, "");
	session_proof_clear(&p);
	return r;
}

static int
open_it(struct connection *c)
{
	int pidfd = (int)syscall(SYS_pidfd_open, world.monitor, 0);
	char handle[PROTO_HANDLE_LEN + 1];
	struct connection *got = NULL;
	int r;

	assert_true(pidfd >= 0);
	memcpy(handle, c->handle, sizeof(handle));
	r = session_open(handle, "web-1", SOURCE, world.monitor, pidfd, &got);
	if (r == 0)
		assert_ptr_equal(got, c);
	return r;
}

static void
close_it(struct connection *c)
{
	char handle[PROTO_HANDLE_LEN + 1];

	memcpy(handle, c->handle, sizeof(handle));
	assert_int_equal(session_close(handle, world.monitor), 0);
}

static int
setup(void **state)
{
	(void)state;
	world.loop = loop_new();
	world.conf = (struct conf){ .session_max_s = 600, .sessions_max = 8 };
	world.ahead = 0;
	world.opens = world.closes = 0;
	world.event_result = world.done_result = world.rows = 0;
	world.again = 0;
	world.match = true;
	world.spent = false;
	if ((world.monitor = fork()) == 0) {
		for (;;)
			(void)pause();
	}
	return world.loop == NULL || world.monitor == -1;
}

static void
kill_monitor(void)
{
	if (world.monitor == 0)
		return;
	(void)kill(world.monitor, SIGKILL);
	(void)waitpid(world.monitor, NULL, 0);
	world.monitor = 0;
	pass(0);
}

/* The monitor dies, the tokens expire: no session is left. */
static int
teardown(void **state)
{
	(void)state;
	kill_monitor();
	pass(8 * 86400);
	loop_free(world.loop);
	return session_count() == 0 && world.rows == 0 ? 0 : -1;
}

/* -- tests ------------------------------------------------------------------ */

static void
t_ends_with_its_token(void **state)
{
	struct connection *a, *b;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(world.opens, 1);
	close_it(a);
	assert_int_equal(session_count(), 1); /* the token may come again */
	pass(90);
	world.spent = true;
	assert_int_equal(make(TOKEN_A, 10, &b), 0);
	assert_int_equal(session_count(), 1);
	assert_int_equal(open_it(b), 0);
	assert_int_equal(world.opens, 1); /* the same session */
	pass(100); /* past the token and its leeway, within a connection */
	assert_int_equal(session_count(), 1);
	assert_int_equal(world.closes, 0);
	close_it(b);
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.closes, 1);
}

static void
t_ends_unvisited(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	close_it(a);
	pass(159);
	assert_int_equal(session_count(), 1);
	pass(2);
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.closes, 1);
}

/* session-max, whatever the token says and whoever is still there. */
static void
t_session_max(void **state)
{
	struct connection *a, *b, *again;
	char handle[PROTO_HANDLE_LEN + 1];

	(void)state;
	assert_int_equal(make(TOKEN_A, 86400, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(make(TOKEN_A, 86400, &b), 0);
	memcpy(handle, b->handle, sizeof(handle));
	assert_int_equal(open_it(b), 0);
	pass(599);
	close_it(b);
	assert_false(a->session->over);
	pass(2);
	assert_true(a->session->over);
	/* No further connection, and no operation, of this session.  And no
	 * other one, once somebody was told of it. */
	world.spent = true;
	assert_int_equal(make(TOKEN_A, 86400, &again), ERR_DENIED);
	assert_int_equal(make(TOKEN_B, 86400, &again), ERR_DENIED);
	world.spent = false;
	assert_int_equal(make(TOKEN_A, 86400, &again), 0);
	assert_ptr_not_equal(again->session, a->session);
	memcpy(handle, a->handle, sizeof(handle));
	assert_int_equal(session_find(handle, getpid(), -1, &b), ERR_DENIED);
	assert_int_equal(session_count(), 2);
}

static void
t_pending_expires(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, 1000, &a), 0);
	pass(59);
	assert_int_equal(a->session->nconnection, 1);
	pass(2);
	assert_int_equal(session_count(), 1);
	pass(1000);
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.opens + world.closes, 0); /* never opened */
}

/* A token that has expired meanwhile has its leeway. */
static void
t_expired_token(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, -10, &a), 0);
	assert_int_equal(open_it(a), 0);
	close_it(a);
	assert_int_equal(session_count(), 1);
	pass(61);
	assert_int_equal(session_count(), 0);
}

/* The connection is over; what it stands for lives as long as it is held. */
static void
t_held(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, -10, &a), 0);
	assert_int_equal(open_it(a), 0);
	session_hold(a);
	session_hold(a);
	close_it(a);
	pass(3600);
	assert_int_equal(session_count(), 1);
	session_release(a);
	assert_string_equal(a->user, "web-1");
	session_release(a);
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.closes, 1);
}

/* Without memory to match it anew a session is over, and ends all the same,
 * with a connection or without one. */
static void
t_rematch_without_memory(void **state)
{
	struct connection *a, *b;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	close_it(a);
	fault_at(1);
	session_rematch();
	assert_true(fault_off());
	assert_int_equal(session_count(), 1);
	pass(200);
	assert_int_equal(session_count(), 0);

	assert_int_equal(make(TOKEN_B, 100, &b), 0);
	assert_int_equal(open_it(b), 0);
	fault_at(1);
	session_rematch();
	assert_true(fault_off());
	assert_true(b->session->over);
}

static void
t_monitor_dies(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, -100, &a), 0);
	assert_int_equal(open_it(a), 0);
	kill_monitor();
	assert_int_equal(session_count(), 1);
	pass(61); /* the token's leeway */
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.closes, 1);
}

static void
t_bound(void **state)
{
	struct connection *c;
	char token[PROTO_TOKEN_DIGEST_LEN + 1] = TOKEN_A;

	(void)state;
	for (int i = 0; i < 8; i++) {
		token[0] = (char)('0' + i);
		assert_int_equal(make(token, 100, &c), 0);
	}
	assert_int_equal(make(TOKEN_B, 100, &c), ERR_DENIED);
	assert_int_equal(make(token, 100, &c), 0); /* of a session there is */
}

static void
t_nobody(void **state)
{
	struct connection *c = NULL;

	(void)state;
	world.match = false;
	assert_int_equal(make(TOKEN_A, 100, &c), ERR_DENIED);
	assert_null(c);
	assert_int_equal(session_count(), 0);
}

/* No ledger line, no session. */
static void
t_audit_is_away(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	world.event_result = ERR_NOTFOUND;
	assert_int_not_equal(open_it(a), 0);
	world.event_result = 0;
	assert_int_equal(open_it(a), 0);
	close_it(a);
}

/* Its last line cannot be written: the session is gone, and audit is told to
 * close it once it can. */
static void
t_no_last_line(void **state)
{
	struct connection *a;

	(void)state;
	assert_int_equal(make(TOKEN_A, -100, &a), 0);
	assert_int_equal(open_it(a), 0);
	world.done_result = ERR_SYS;
	close_it(a);
	pass(100);
	assert_int_equal(session_count(), 0);
	assert_true(world.again > 0);
	world.event_result = ERR_NOTFOUND;
	assert_int_not_equal(session_keep_all(), 0);
	world.event_result = world.done_result = 0;
	world.rows = 1; /* what was forgotten above was not heard */
	assert_int_equal(session_keep_all(), 0);
	assert_int_equal(world.rows, 0);
	assert_int_equal(session_keep_all(), 0);
}

static void
t_denials_are_bounded(void **state)
{
	struct connection *a;
	struct buf b;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	a->session->ndenials = SESSION_DENIALS_MAX - 1;
	for (int i = 0; i < 3; i++) {
		buf_init(&b, 4096);
		assert_int_equal(event_start(&b, EVENT_OP_DECIDE), 0);
		assert_int_equal(session_denial(a->session, &b), 0);
		buf_clear(&b);
	}
	a->session->ndenials++;
	buf_init(&b, 4096);
	assert_int_equal(event_start(&b, EVENT_OP_DECIDE), 0);
	assert_int_equal(session_denial(a->session, &b), ERR_TOOBIG);
	buf_clear(&b);
	a->session->ndenials = 0;
}

static void
t_no_memory(void **state)
{
	struct connection *c = NULL;
	struct session_proof p;
	char why[128];
	int r;

	(void)state;
	for (unsigned long n = 1;; n++) {
		p = (struct session_proof){ .user = "web-1",
			.source = SOURCE, .token = TOKEN_A,
			.expires = (uint64_t)time(NULL) + 100 };
		assert_non_null(p.issuer = strdup("github"));
		assert_non_null(p.subject = strdup("s"));
		fault_at(n);
		r = session_new(&p, &c, why, sizeof(why));
		session_proof_clear(&p);
		if (!fault_off())
			break;
		assert_int_equal(r, ERR_NOMEM);
		assert_int_equal(session_count(), 0);
	}
	assert_int_equal(r, 0);
	assert_int_equal(session_count(), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* -- certificates ---------------------------------------------------------- */

static const uint8_t *
digest(uint8_t n)
{
	static uint8_t d[SESSION_DIGEST_LEN];

	d[0] = n;
	return d;
}

static int
certify(struct session *s, uint8_t n, int64_t seconds)
{
	return session_certify(s, digest(n), msg_now_ms() + seconds * 1000);
}

static int
come(uint8_t n, struct connection **c, const char **why)
{
	const struct certificate_login l = { .user = "root+web-1",
		.source = "10.0.9.9",
		.digest = digest(n),
		.key = "SHA256:k" };
	int pidfd = (int)syscall(SYS_pidfd_open, world.monitor, 0);

	assert_true(pidfd >= 0);
	return session_open_certificate(&l, world.monitor, pidfd, c, why);
}

/* An admin ends it: token, certificate and connection open nothing more. */
static void
t_killed(void **state)
{
	const uint8_t digest[SESSION_DIGEST_LEN] = { 7 };
	struct connection *a, *pending, *again;
	size_t operations;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(make(TOKEN_A, 100, &pending), 0);
	assert_int_equal(
	    session_certify(a->session, digest, msg_now_ms() + 500000), 0);
	session_hold(a); /* it runs something */
	assert_int_equal(session_kill_all(KILL_ALL, "", &operations), 1);
	assert_int_equal(a->state, CONNECTION_OVER);
	assert_int_equal(a->session->nconnection, 1);
	assert_null(session_of_certificate(digest));
	world.spent = true; /* as oidc says of every further login */
	assert_int_equal(make(TOKEN_A, 100, &again), ERR_DENIED);
	world.spent = false;
	assert_int_equal(world.closes, 0);
	session_release(a);
	assert_int_equal(world.closes, 1);
	assert_int_equal(session_count(), 0);
	assert_int_equal(session_kill_all(KILL_ALL, "", &operations), 0);
}

static void
t_certificate_opens(void **state)
{
	struct connection *a, *b = NULL;
	const char *why = NULL;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(certify(a->session, 1, 300), 0);
	assert_int_equal(come(2, &b, &why), ERR_DENIED);
	assert_non_null(strstr(why, "no live session"));
	assert_int_equal(come(1, &b, &why), 0);
	assert_ptr_equal(a->session, b->session);
	assert_string_equal(b->user, "root+web-1");
	assert_string_equal(b->name.login, "root");
	assert_string_equal(b->source, "10.0.9.9");
	assert_string_equal(b->key, "SHA256:k");
	assert_string_equal(a->source, SOURCE);
	assert_string_equal(a->key, "");
	assert_int_equal(world.opens, 1); /* the session's one */
	/* By its handle nobody opens it a second time. */
	assert_int_equal(open_it(b), ERR_DENIED);
	session_uncertify(a->session, digest(1));
	assert_int_equal(come(1, &b, &why), ERR_DENIED);
}

/* Neither connection nor token, and yet it lives, as long as that is good. */
static void
t_certificate_keeps_a_session(void **state)
{
	struct connection *a, *b;
	const char *why;

	(void)state;
	assert_int_equal(make(TOKEN_A, -10, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(certify(a->session, 1, 300), 0);
	close_it(a);
	pass(200);
	assert_int_equal(session_count(), 1);
	assert_int_equal(come(1, &b, &why), 0);
	pass(150); /* within a connection that it opened in time */
	assert_int_equal(session_count(), 1);
	assert_int_equal(come(1, &a, &why), ERR_DENIED);
	assert_non_null(strstr(why, "expired"));
	close_it(b);
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.closes, 1);
	assert_int_equal(come(1, &a, &why), ERR_DENIED);

	assert_int_equal(make(TOKEN_B, -10, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(certify(a->session, 2, 300), 0);
	close_it(a);
	pass(299);
	assert_int_equal(session_count(), 1);
	pass(2);
	assert_int_equal(session_count(), 0);
	assert_int_equal(world.closes, 2);
}

/* session-max is the end of all of it. */
static void
t_certificate_and_limit(void **state)
{
	struct connection *a, *b;
	const char *why;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	pass(500);
	assert_int_equal(certify(a->session, 1, 900), 0);
	pass(99);
	assert_int_equal(come(1, &b, &why), 0);
	close_it(b);
	pass(2);
	assert_int_equal(come(1, &b, &why), ERR_DENIED);
	assert_non_null(strstr(why, "over"));
	kill_monitor();
	assert_int_equal(session_count(), 0);
}

static void
t_certificate_without_identity(void **state)
{
	struct connection *a, *b;
	const char *why;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	assert_int_equal(certify(a->session, 1, 300), 0);
	world.match = false;
	session_rematch();
	assert_int_equal(come(1, &b, &why), ERR_DENIED);
	assert_non_null(strstr(why, "no identity"));
	world.match = true;
	session_rematch();
	assert_int_equal(come(1, &b, &why), 0);
}

static void
t_certificates_are_bounded(void **state)
{
	struct connection *a, *b;
	int64_t first = 0;
	const char *why;

	(void)state;
	assert_int_equal(make(TOKEN_A, 100, &a), 0);
	assert_int_equal(open_it(a), 0);
	for (uint8_t i = 0; i < SESSION_CERTIFICATES_MAX; i++)
		assert_int_equal(certify(a->session, i, 100 + i), 0);
	assert_int_equal(certify(a->session, 99, 300), ERR_TOOBIG);
	assert_int_equal(come(99, &b, &why), ERR_DENIED);
	assert_int_equal(
	    session_certificates(a->session, &first), SESSION_CERTIFICATES_MAX);
	assert_true(
	    first - msg_now_ms() > 99000 && first - msg_now_ms() <= 100000);
	pass(101);
	assert_int_equal(certify(a->session, 99, 300), 0);
	/* And so are the connections that they open. */
	for (size_t i = 1; i < SESSION_CONNECTIONS_MAX; i++)
		assert_int_equal(come(99, &b, &why), 0);
	assert_int_equal(come(99, &b, &why), ERR_DENIED);
	assert_non_null(strstr(why, "as many connections"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_ends_with_its_token),
		T(t_ends_unvisited),
		T(t_pending_expires),
		T(t_expired_token),
		T(t_held),
		T(t_bound),
		T(t_nobody),
		T(t_audit_is_away),
		T(t_no_last_line),
		T(t_denials_are_bounded),
		T(t_no_memory),
		T(t_session_max),
		T(t_rematch_without_memory),
		T(t_monitor_dies),
		T(t_killed),
		T(t_certificate_opens),
		T(t_certificate_keeps_a_session),
		T(t_certificate_and_limit),
		T(t_certificate_without_identity),
		T(t_certificates_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
