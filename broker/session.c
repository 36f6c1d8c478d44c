/*
 * The session table of the policy process.  What it is told comes from oidc
 * (verified claims), from pam_postern as root (handles, monitors), and from
 * postern-shell, whose word counts for nothing: it is identified by the kernel.
 */
#include "config.h"

#include "broker/session.h"

#include <sys/random.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/policy.h"
#include "broker/proc.h"
#include "broker/takeover.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"

#define EVENT_MAX (64 * 1024)
#define TOKEN_LEEWAY_MS 60000

static struct {
	struct session *sessions;
	size_t nsession; /* those that are ending included */
	size_t nending;
	struct connection *connections;
} env;

void
session_proof_clear(struct session_proof *p)
{
	free(p->issuer);
	free(p->subject);
	claims_clear(&p->claims);
	*p = (struct session_proof){ 0 };
}

static void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	policy_ask_drop(s);
	timer_free(s->timer);
	claims_clear(&s->claims);
	free(s->issuer);
	free(s->subject);
	free(s->identity);
	free(s);
}

static void
session_drop(struct session *s)
{
	struct session **at;

	for (at = &env.sessions; *at != s;)
		at = &(*at)->next;
	*at = s->next;
	env.nsession--;
	env.nending -= s->ending;
	session_free(s);
}

/* Its last line is in the ledger; or it is not, and comes there later. */
static void
session_closed(void *arg, int result)
{
	if (result == 0)
		session_drop(arg);
	else
		takeover_again();
}

/* A line that ends the session in the ledger, once, and the session.  The row
 * goes first: with neither row nor line audit closes it, with both it would
 * be closed twice. */
static void
session_end(struct session *s)
{
	struct buf b;
	int r;

	if (!s->opened) {
		if (s->kept != KEPT_NO)
			takeover_forget_session(s);
		session_drop(s);
		return;
	}
	s->ending = true;
	env.nending++;
	timer_free(s->timer);
	s->timer = NULL;
	takeover_forget_session(s);
	buf_init(&b, EVENT_MAX);
	if ((r = event_start(&b, EVENT_SESSION_CLOSE)) == 0 &&
	    (r = session_event(s, NULL, NULL, &b)) == 0)
		r = policy_event_then(&b, session_closed, s);
	if (r != 0)
		takeover_again();
	buf_clear(&b);
}

static void
connection_free(struct connection *c)
{
	if (c == NULL)
		return;
	policy_ask_drop(c);
	watch_free(c->watch);
	timer_free(c->timer);
	if (c->monitor_pidfd >= 0)
		(void)close(c->monitor_pidfd);
	explicit_bzero(c->handle, sizeof(c->handle));
	free(c);
}

/* When neither token nor certificate can open a further connection. */
static int64_t
session_until(const struct session *s)
{
	int64_t until = s->until_ms;

	for (size_t i = 0; i < s->ncertificate; i++) {
		if (s->certificate[i].until_ms > until)
			until = s->certificate[i].until_ms;
	}
	return until < s->limit_ms ? until : s->limit_ms;
}

/* It has no connection, and will have none. */
static bool
session_may_end(const struct session *s)
{
	return s->nconnection == 0 &&
	       (s->over || msg_now_ms() >= session_until(s));
}

static void session_timer(void *arg);

/* Looks again when it may be over. */
static int
session_arm(struct session *s)
{
	int64_t at = s->nconnection == 0 ? session_until(s) : s->limit_ms;
	int64_t left = at - msg_now_ms();

	timer_free(s->timer);
	s->timer =
	    loop_timer(child_loop(), left < 0 ? 0 : left, session_timer, s);
	return s->timer == NULL ? ERR_NOMEM : 0;
}

/* Off the list, and off its session, which may be over with it. */
static void
connection_drop(struct connection *c)
{
	struct session *s = c->session;
	struct connection **at;

	for (at = &env.connections; *at != c;)
		at = &(*at)->next;
	*at = c->next;
	if (c->kept != KEPT_NO)
		takeover_forget_connection(c);
	connection_free(c);
	s->nconnection--;
	/* Without a timer nothing else would end it. */
	if (session_may_end(s) || (s->nconnection == 0 && session_arm(s) != 0))
		session_end(s);
}

/* Without a connection: when nothing could open one any more; with one: at the
 * session's limit. */
static void
session_timer(void *arg)
{
	struct session *s = arg;

	s->timer = NULL;
	if (session_may_end(s))
		session_end(s);
	else if (msg_now_ms() >= s->limit_ms || session_arm(s) != 0)
		s->over = true; /* ends with its last connection */
}

/* The set of identities under the policy of now; none without a policy. */
static int
session_match(struct session *s, size_t *np)
{
	const struct policy *p = policy_now();
	size_t n = p == NULL ? 0 : policy_nidentities(p);
	bool *set;

	if ((set = calloc(n + 1, sizeof(*set))) == NULL)
		return ERR_NOMEM;
	*np = n == 0 ? 0 : policy_match(p, s->issuer, &s->claims, set);
	free(s->identity);
	s->identity = set;
	return 0;
}

/* The live session that this token opened from this address. */
static struct session *
session_of_token(const struct session_proof *p)
{
	struct session *s;

	for (s = env.sessions; s != NULL; s = s->next) {
		if (!s->over && !s->ending && msg_now_ms() < s->until_ms &&
		    strcmp(s->token, p->token) == 0 &&
		    strcmp(s->source, p->source) == 0 &&
		    strcmp(s->issuer, p->issuer) == 0)
			return s;
	}
	return NULL;
}

/* When the session's two moments are: the token's end (with the leeway that
 * oidc grants it), and session-max. */
static void
session_set_times(struct session *s, uint64_t expires)
{
	int64_t now = msg_now_ms(), left = 0, wall = (int64_t)time(NULL);

	s->limit_ms = now + (int64_t)policy_conf()->session_max_s * 1000;
	if (expires > (uint64_t)wall && expires < INT64_MAX / 1000)
		left = ((int64_t)expires - wall) * 1000;
	s->until_ms = now + left + TOKEN_LEEWAY_MS;
	if (s->until_ms > s->limit_ms)
		s->until_ms = s->limit_ms;
}

/* Who it is, moved out of the proof, and what that is under the policy of
 * now. */
static int
session_fill(struct session *s, struct session_proof *proof, size_t *np)
{
	const struct issuer *is;
	int r;

	s->issuer = proof->issuer;
	s->subject = proof->subject;
	s->claims = proof->claims;
	proof->issuer = proof->subject = NULL;
	proof->claims = (struct claims){ 0 };
	if ((r = session_match(s, np)) != 0)
		return r;
	is = policy_now() == NULL ? NULL
				  : policy_issuer_find(policy_now(), s->issuer);
	if (is != NULL)
		issuer_ties(is, &s->claims, &s->ties);
	return 0;
}

static int
session_make(struct session_proof *proof, struct session **out, char *why,
    size_t whysize)
{
	struct session *s;
	size_t n = 0;
	int r;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	if ((r = str_copy(s->source, sizeof(s->source), proof->source)) != 0 ||
	    (r = str_copy(s->token, sizeof(s->token), proof->token)) != 0 ||
	    (r = ulid_new(s->id)) != 0)
		goto fail;
	if ((r = session_fill(s, proof, &n)) != 0)
		goto fail;
	if (n == 0) {
		if (policy_now() != NULL)
			policy_match_explain(policy_now(), s->issuer,
			    &s->claims, why, whysize);
		if (policy_now() == NULL || *why == '\0')
			(void)snprintf(why, whysize, "no identity matches");
		r = ERR_DENIED;
		goto fail;
	}
	session_set_times(s, proof->expires);
	if ((r = session_arm(s)) != 0)
		goto fail;
	s->next = env.sessions;
	env.sessions = s;
	env.nsession++;
	*out = s;
	return 0;
fail:
	session_free(s);
	return r;
}

static void
connection_expired(void *arg)
{
	struct connection *c = arg;

	c->timer = NULL;
	connection_drop(c);
}

static int
connection_make(const char *user, const char *source, struct connection **out)
{
	uint8_t rnd[PROTO_HANDLE_LEN / 2];
	struct connection *c;
	int r;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return ERR_NOMEM;
	c->monitor_pidfd = -1;
	if ((r = ulid_new(c->id)) != 0 ||
	    (r = str_copy(c->user, sizeof(c->user), user)) != 0 ||
	    (r = str_copy(c->source, sizeof(c->source), source)) != 0 ||
	    (r = user_name_parse(c->user, &c->name)) != 0)
		goto fail;
	r = ERR_SYS;
	if (getrandom(rnd, sizeof(rnd), 0) != (ssize_t)sizeof(rnd))
		goto fail;
	hex_encode(rnd, sizeof(rnd), c->handle);
	explicit_bzero(rnd, sizeof(rnd));
	r = ERR_NOMEM;
	c->timer = loop_timer(child_loop(), CONNECTION_PENDING_MS,
	    connection_expired, c);
	if (c->timer == NULL)
		goto fail;
	*out = c;
	return 0;
fail:
	connection_free(c);
	return r;
}

static void
connection_join(struct connection *c, struct session *s)
{
	c->session = s;
	s->nconnection++;
	c->next = env.connections;
	env.connections = c;
}

int
session_new(struct session_proof *proof, struct connection **out, char *why,
    size_t whysize)
{
	struct session *s = session_of_token(proof);
	struct connection *c = NULL;
	int r;

	(void)snprintf(why, whysize, "internal error");
	if (s == NULL && env.nsession >= policy_conf()->sessions_max) {
		(void)snprintf(why, whysize, "%zu sessions are the limit "
		    "(sessions-max)", env.nsession);
		return ERR_DENIED;
	}
	if (s != NULL && s->nconnection >= SESSION_CONNECTIONS_MAX) {
		(void)snprintf(why, whysize, "session %s has %zu connections, "
		    "which is the limit", s->id, s->nconnection);
		return ERR_DENIED;
	}
	if (policy_audit_room() == 0) {
		(void)snprintf(why, whysize,
		    "audit is away, or behind with what it has to write");
		return ERR_AGAIN;
	}
	if ((r = connection_make(proof->user, proof->source, &c)) != 0)
		return r;
	if (s == NULL &&
	    (r = session_make(proof, &s, why, whysize)) != 0) {
		connection_free(c);
		return r;
	}
	connection_join(c, s);
	if (s->kept == KEPT_NO)
		takeover_keep_session(s);
	takeover_keep_connection(c);
	*out = c;
	return 0;
}

static struct connection *
session_lookup(const char *handle)
{
	struct connection *c;

	if (strlen(handle) != PROTO_HANDLE_LEN)
		return NULL;
	for (c = env.connections; c != NULL; c = c->next) {
		if (c->state != CONNECTION_OVER && !c->session->over &&
		    mem_equal(c->handle, handle, PROTO_HANDLE_LEN))
			return c;
	}
	return NULL;
}

static void
connection_end(struct connection *c)
{
	c->state = CONNECTION_OVER;
	watch_free(c->watch);
	c->watch = NULL;
	if (c->noperations == 0)
		connection_drop(c);
}

static void
session_monitor_died(void *arg, int fd, short revents)
{
	(void)fd;
	(void)revents;
	connection_end(arg);
}

/* The pid a pidfd stands for, from the kernel: the monitor's own word, sent
 * beside it, must agree. */
static int
pidfd_pid(int pidfd, pid_t *pid)
{
	char path[64], text[1024];
	const char *at;
	ssize_t n;
	long v;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return ERR_SYS;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return ERR_SYS;
	text[n] = '\0';
	if ((at = strstr(text, "\nPid:")) == NULL)
		return ERR_FORMAT; /* not a pidfd */
	v = strtol(at + 5, NULL, 10);
	if (v <= 0)
		return ERR_FORMAT;
	*pid = (pid_t)v;
	return 0;
}

static void
session_noted(void *arg, int result)
{
	struct session *s = arg;

	s->noted = result == 0 ? KEPT_YES : KEPT_NO;
	if (result == 0)
		return;
	/* Nor does its row say so any longer: the next policy must know. */
	if (!s->ending)
		takeover_keep_session(s);
	takeover_again();
}

/* session.open, before the first connection of a session works, and again when
 * it did not get there: audit writes it once. */
static int
session_note_open(struct session *s, const struct connection *c)
{
	struct buf b;
	int r;

	if (s->noted != KEPT_NO)
		return policy_audit() == NULL ? ERR_NOTFOUND : 0;
	buf_init(&b, EVENT_MAX);
	s->noted = KEPT_ASKED;
	if ((r = event_start(&b, EVENT_SESSION_OPEN)) != 0 ||
	    (r = session_event(s, c, NULL, &b)) != 0 ||
	    (r = policy_event_then(&b, session_noted, s)) != 0)
		s->noted = KEPT_NO;
	s->opened |= r == 0;
	buf_clear(&b);
	return r;
}

/* Ties a pending connection to its monitor; takes pidfd, also on failure. */
static int
connection_open(struct connection *c, pid_t monitor, int pidfd)
{
	bool opened = c->session->opened;
	struct proc_stat st = { 0 };
	pid_t pid;
	int r = ERR_DENIED;

	if (pidfd_pid(pidfd, &pid) != 0 || pid != monitor ||
	    proc_stat(monitor, &st) != 0 || !proc_alive(pidfd))
		goto out;
	if ((r = session_note_open(c->session, c)) != 0)
		goto out;
	c->watch = loop_watch(child_loop(), pidfd, POLLIN,
	    session_monitor_died, c);
	if (c->watch == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	timer_free(c->timer);
	c->timer = NULL;
	c->monitor = monitor;
	c->monitor_start = st.start;
	c->monitor_pidfd = pidfd;
	c->state = CONNECTION_OPEN;
	if (c->session->kept == KEPT_NO || !opened)
		takeover_keep_session(c->session);
	takeover_keep_connection(c);
	pidfd = -1;
	r = 0;
out:
	if (pidfd >= 0)
		(void)close(pidfd);
	return r;
}

int
session_open(const char *handle, const char *user, const char *source,
    pid_t monitor, int pidfd, struct connection **out)
{
	struct connection *c = session_lookup(handle);
	int r;

	if (c == NULL || c->state != CONNECTION_PENDING ||
	    strcmp(c->user, user) != 0 || strcmp(c->source, source) != 0) {
		if (pidfd >= 0)
			(void)close(pidfd);
		return ERR_DENIED;
	}
	if ((r = connection_open(c, monitor, pidfd)) == 0)
		*out = c;
	return r;
}

int
session_close(const char *handle, pid_t monitor)
{
	struct connection *c = session_lookup(handle);

	if (c == NULL || c->state != CONNECTION_OPEN || c->monitor != monitor)
		return ERR_DENIED;
	connection_end(c);
	return 0;
}

bool
session_has_monitor(pid_t monitor)
{
	struct connection *c;

	for (c = env.connections; c != NULL; c = c->next) {
		if (c->state == CONNECTION_OPEN && c->monitor == monitor)
			return true;
	}
	return false;
}

/*
 * MUST hold even when the asker dies and its pid is reused between two reads:
 * asker -> child of sshd -> monitor.  The asker is pinned by a pidfd and read
 * twice around the walk; the monitor by its own pidfd.  If the middle process
 * had died in between, the asker's parent would have changed.
 */
static bool
session_descends(const struct connection *c, pid_t asker, int pidfd)
{
	struct proc_stat first, middle, again;

	return proc_stat(asker, &first) == 0 &&
	       proc_stat(first.parent, &middle) == 0 &&
	       proc_stat(asker, &again) == 0 && first.parent == again.parent &&
	       middle.parent == c->monitor && proc_alive(pidfd) &&
	       proc_alive(c->monitor_pidfd);
}

int
session_find(
    const char *handle, pid_t asker, int pidfd, struct connection **out)
{
	struct connection *c = session_lookup(handle);

	if (c == NULL || c->state != CONNECTION_OPEN ||
	    !session_descends(c, asker, pidfd))
		return ERR_DENIED;
	/* A line that did not get there goes before those that name it. */
	if (c->session->noted == KEPT_NO &&
	    session_note_open(c->session, c) != 0)
		log_err(
		    0, "session %s is not in the ledger yet", c->session->id);
	*out = c;
	return 0;
}

bool
session_is_lost(const char *handle, pid_t asker)
{
	const struct connection *c = env.connections;
	struct proc_stat st, self;

	if (strlen(handle) != PROTO_HANDLE_LEN)
		return false;
	while (c != NULL && !mem_equal(c->handle, handle, PROTO_HANDLE_LEN))
		c = c->next;
	if (c != NULL && c->state != CONNECTION_PENDING)
		return false;
	return proc_stat(asker, &st) == 0 && proc_stat(st.parent, &st) == 0 &&
	       proc_stat(st.parent, &st) == 0 &&
	       proc_stat(getpid(), &self) == 0 && st.start < self.start;
}

void
session_hold(struct connection *c)
{
	c->noperations++;
}

void
session_release(struct connection *c)
{
	c->noperations--;
	if (c->noperations == 0 && c->state == CONNECTION_OVER)
		connection_drop(c);
}

void
session_rematch(void)
{
	struct session *s;
	size_t n;

	for (s = env.sessions; s != NULL; s = s->next) {
		/* The old set counts another policy's identities: without
		 * memory for a new one the session is over. */
		if (session_match(s, &n) != 0)
			s->over = true;
	}
}

size_t
session_count(void)
{
	return env.nsession - env.nending;
}

static void
denial_done(void *arg, int result)
{
	struct session *s = arg;

	s->ndenials--;
	if (result != 0)
		log_err(0,
		    "ALARM: a denial of session %s is not in the "
		    "ledger",
		    s->id);
}

int
session_denial(struct session *s, struct buf *event)
{
	int r = ERR_TOOBIG;

	if (s->ndenials < SESSION_DENIALS_MAX) {
		s->ndenials++;
		if ((r = policy_event_denial(event, denial_done, s)) != 0)
			s->ndenials--;
	}
	buf_reset(event);
	return r;
}

/* -- certificates ---------------------------------------------------------- */

static struct certificate *
certificate_find(struct session *s, const uint8_t *digest)
{
	for (size_t i = 0; i < s->ncertificate; i++) {
		if (mem_equal(
			s->certificate[i].digest, digest, SESSION_DIGEST_LEN))
			return &s->certificate[i];
	}
	return NULL;
}

static void
certificate_drop(struct session *s, struct certificate *c)
{
	*c = s->certificate[--s->ncertificate];
}

size_t
session_certificates(struct session *s, int64_t *first_ms)
{
	int64_t now = msg_now_ms();

	*first_ms = 0;
	for (size_t i = s->ncertificate; i-- > 0;) {
		if (now >= s->certificate[i].until_ms)
			certificate_drop(s, &s->certificate[i]);
	}
	for (size_t i = 0; i < s->ncertificate; i++) {
		if (*first_ms == 0 || s->certificate[i].until_ms < *first_ms)
			*first_ms = s->certificate[i].until_ms;
	}
	return s->ncertificate;
}

int
session_certify(struct session *s, const uint8_t *digest, int64_t until_ms)
{
	struct certificate *c;
	int64_t first;

	if (session_certificates(s, &first) == SESSION_CERTIFICATES_MAX)
		return ERR_TOOBIG;
	c = &s->certificate[s->ncertificate++];
	memcpy(c->digest, digest, SESSION_DIGEST_LEN);
	c->until_ms = until_ms < s->limit_ms ? until_ms : s->limit_ms;
	takeover_keep_session(s);
	return 0;
}

void
session_uncertify(struct session *s, const uint8_t *digest)
{
	struct certificate *c = certificate_find(s, digest);

	if (c == NULL)
		return;
	certificate_drop(s, c);
	if (!s->ending)
		takeover_keep_session(s);
}

struct session *
session_of_certificate(const uint8_t *digest)
{
	struct session *s;

	for (s = env.sessions; s != NULL; s = s->next) {
		if (!s->ending && certificate_find(s, digest) != NULL)
			return s;
	}
	return NULL;
}

bool
session_has_identity(const struct session *s)
{
	return session_identity(s)[0] != '\0';
}

/* NULL: the session takes a connection by that certificate. */
static const char *
certificate_fault(struct session *s, const uint8_t *digest)
{
	if (s == NULL)
		return "no live session was given this certificate";
	if (s->over || msg_now_ms() >= s->limit_ms)
		return "its session is over";
	if (msg_now_ms() >= certificate_find(s, digest)->until_ms)
		return "the certificate has expired";
	if (!session_has_identity(s))
		return "its session matches no identity of the policy any more";
	if (s->nconnection >= SESSION_CONNECTIONS_MAX)
		return "its session has as many connections as it may";
	return NULL;
}

int
session_open_certificate(const struct certificate_login *l, pid_t monitor,
    int pidfd, struct connection **out, const char **why)
{
	struct session *s = session_of_certificate(l->digest);
	struct connection *c = NULL;
	int r = ERR_DENIED;

	if ((*why = certificate_fault(s, l->digest)) != NULL)
		goto out;
	*why = "the connection could not be opened";
	if ((r = connection_make(l->user, l->source, &c)) != 0 ||
	    (r = str_copy(c->key, sizeof(c->key), l->key)) != 0)
		goto out;
	connection_join(c, s);
	r = connection_open(c, monitor, pidfd);
	pidfd = -1;
	if (r == 0)
		*out = c;
	else
		connection_drop(c);
	c = NULL;
out:
	connection_free(c);
	if (pidfd >= 0)
		(void)close(pidfd);
	return r;
}

/* -- from one policy process to the next -------------------------------------
 */

int
session_adopt(struct session_row *row)
{
	struct session *s;
	size_t n;
	int r;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	memcpy(s->id, row->id, sizeof(s->id));
	memcpy(s->source, row->proof.source, sizeof(s->source));
	memcpy(s->token, row->proof.token, sizeof(s->token));
	s->until_ms = row->until_ms;
	s->limit_ms = row->limit_ms;
	s->over = row->over || msg_now_ms() >= row->limit_ms;
	s->opened = row->opened;
	s->noted = row->opened ? KEPT_YES : KEPT_NO;
	s->kept = KEPT_YES;
	s->ncertificate = row->ncertificate;
	memcpy(s->certificate, row->certificate, sizeof(s->certificate));
	if ((r = session_fill(s, &row->proof, &n)) != 0 ||
	    (r = session_arm(s)) != 0)
		goto fail;
	s->next = env.sessions;
	env.sessions = s;
	env.nsession++;
	return 0;
fail:
	session_free(s);
	return r;
}

/* The monitor of a connection is found again, or the connection is over. */
static int
connection_find_monitor(struct connection *c)
{
	int r;

	if (c->monitor == 0) { /* PAM may yet open it */
		c->timer = loop_timer(
		    child_loop(), CONNECTION_PENDING_MS, connection_expired, c);
		return c->timer == NULL ? ERR_NOMEM : 0;
	}
	r = proc_open(c->monitor, c->monitor_start, &c->monitor_pidfd);
	c->state = CONNECTION_OVER;
	if (r == ERR_NOTFOUND)
		return 0;
	if (r != 0)
		return r;
	c->watch = loop_watch(
	    child_loop(), c->monitor_pidfd, POLLIN, session_monitor_died, c);
	if (c->watch == NULL)
		return ERR_NOMEM;
	c->state = CONNECTION_OPEN;
	return 0;
}

int
session_adopt_connection(const struct connection_row *row)
{
	struct session *s = env.sessions;
	struct connection *c;
	int r;

	while (s != NULL && strcmp(s->id, row->session) != 0)
		s = s->next;
	if (s == NULL)
		return ERR_NOTFOUND;
	if (s->nconnection >= SESSION_CONNECTIONS_MAX)
		return ERR_TOOBIG;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return ERR_NOMEM;
	c->monitor_pidfd = -1;
	memcpy(c->id, row->id, sizeof(c->id));
	memcpy(c->handle, row->handle, sizeof(c->handle));
	c->monitor = row->monitor;
	c->monitor_start = row->monitor_start;
	c->kept = KEPT_YES;
	if ((r = str_copy(c->user, sizeof(c->user), row->user)) != 0 ||
	    (r = str_copy(c->source, sizeof(c->source), row->source)) != 0 ||
	    (r = str_copy(c->key, sizeof(c->key), row->key)) != 0 ||
	    (r = user_name_parse(c->user, &c->name)) != 0 ||
	    (r = connection_find_monitor(c)) != 0) {
		connection_free(c);
		return r;
	}
	connection_join(c, s);
	return 0;
}

struct connection *
session_connection(const char *id)
{
	struct connection *c = env.connections;

	while (c != NULL && strcmp(c->id, id) != 0)
		c = c->next;
	return c;
}

void
session_adopted(void)
{
	struct connection *c, *nextc;
	struct session *s, *nexts;

	for (c = env.connections; c != NULL; c = nextc) {
		nextc = c->next;
		if (c->state == CONNECTION_OVER && c->noperations == 0)
			connection_drop(c);
	}
	for (s = env.sessions; s != NULL; s = nexts) {
		nexts = s->next;
		if (!s->ending && session_may_end(s))
			session_end(s);
	}
}

static int
session_keep(struct session *s)
{
	int r = 0;

	if (s->opened && s->noted == KEPT_NO &&
	    (r = session_note_open(s, NULL)) != 0)
		return r;
	if (s->kept == KEPT_NO)
		takeover_keep_session(s);
	return s->kept == KEPT_NO ? ERR_NOTFOUND : 0;
}

int
session_keep_all(void)
{
	struct connection *c;
	struct session *s, *next;
	int r = 0;

	for (s = env.sessions; s != NULL && r == 0; s = next) {
		next = s->next;
		if (!s->ending) {
			r = session_keep(s);
		} else if (policy_audit_room() > 1) {
			/* SETTLED follows, and closes it in the ledger. */
			takeover_forget_session(s);
			session_drop(s);
		} else {
			r = ERR_AGAIN;
		}
	}
	for (c = env.connections; c != NULL && r == 0; c = c->next) {
		if (c->kept != KEPT_NO)
			continue;
		takeover_keep_connection(c);
		if (c->kept == KEPT_NO)
			r = ERR_NOTFOUND;
	}
	return r;
}

const char *
session_identity(const struct session *s)
{
	const struct policy *p = policy_now();

	for (size_t i = 0; p != NULL && i < policy_nidentities(p); i++) {
		if (s->identity[i])
			return policy_identity_name(p, i);
	}
	return "";
}

int
session_event(const struct session *s, const struct connection *c,
    const char *identity, struct buf *b)
{
	int r;

	if (identity == NULL)
		identity = session_identity(s);
	if ((r = event_str(b, EV_SESSION, s->id)) != 0 ||
	    (r = event_str(b, EV_USER, c == NULL ? NULL : c->user)) != 0 ||
	    (r = event_str(b, EV_SOURCE, c == NULL ? s->source : c->source)) !=
		0 ||
	    (r = event_str(b, EV_KEY, c == NULL ? NULL : c->key)) != 0 ||
	    (r = event_str(b, EV_IDENTITY, identity)) != 0 ||
	    (r = event_str(b, EV_ISSUER, s->issuer)) != 0 ||
	    (r = event_str(b, EV_SUBJECT, s->subject)) != 0 ||
	    (r = event_str(b, EV_COMMIT, s->ties.commit)) != 0 ||
	    (r = event_str(b, EV_PULL_REQUEST, s->ties.pull_request)) != 0 ||
	    (r = event_str(b, EV_ACTOR, s->ties.actor)) != 0 ||
	    (r = event_str(b, EV_WORKFLOW, s->ties.workflow)) != 0 ||
	    (r = event_str(b, EV_RUN, s->ties.run)) != 0)
		return r;
	return 0;
}
