/*
 * The sessions of the policy process.  What they are made of comes from oidc:
 * verified claims.
 */
#include "config.h"

#include "broker/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/policy.h"
#include "broker/session_internal.h"
#include "broker/takeover.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"

#define TOKEN_LEEWAY_MS 60000

struct session_table session_table;

void
session_proof_clear(struct session_proof *p)
{
	free(p->issuer);
	free(p->subject);
	claims_clear(&p->claims);
	*p = (struct session_proof){ 0 };
}

void
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

void
session_join(struct session *s)
{
	s->next = session_table.sessions;
	session_table.sessions = s;
	session_table.nsession++;
}

void
session_drop(struct session *s)
{
	struct session **at;

	for (at = &session_table.sessions; *at != s;)
		at = &(*at)->next;
	*at = s->next;
	session_table.nsession--;
	session_table.nending -= s->ending;
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
void
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
	session_table.nending++;
	timer_free(s->timer);
	s->timer = NULL;
	takeover_forget_session(s);
	buf_init(&b, SESSION_EVENT_MAX);
	if ((r = event_start(&b, EVENT_SESSION_CLOSE)) == 0 &&
	    (r = session_event(s, NULL, NULL, &b)) == 0 &&
	    (r = event_str(
		 &b, EV_REASON, s->killed ? "ended by an admin" : NULL)) == 0)
		r = policy_event_then(&b, session_closed, s);
	if (r != 0)
		takeover_again();
	buf_clear(&b);
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
bool
session_may_end(const struct session *s)
{
	return s->nconnection == 0 &&
	       (s->over || msg_now_ms() >= session_until(s));
}

static void session_timer(void *arg);

/* Looks again when it may be over. */
int
session_arm(struct session *s)
{
	int64_t at = s->nconnection == 0 ? session_until(s) : s->limit_ms;
	int64_t left = at - msg_now_ms();

	timer_free(s->timer);
	s->timer =
	    loop_timer(child_loop(), left < 0 ? 0 : left, session_timer, s);
	return s->timer == NULL ? ERR_NOMEM : 0;
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

	for (s = session_table.sessions; s != NULL; s = s->next) {
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
int
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
	session_join(s);
	*out = s;
	return 0;
fail:
	session_free(s);
	return r;
}

int
session_new(struct session_proof *proof, struct connection **out, char *why,
    size_t whysize)
{
	struct session *s = session_of_token(proof);
	struct connection *c = NULL;
	int r;

	(void)snprintf(why, whysize, "internal error");
	if (s == NULL && proof->opened) {
		(void)snprintf(why, whysize,
		    "the token is spent: the session that it opened is over, "
		    "and it opens no other one");
		return ERR_DENIED;
	}
	if (s == NULL &&
	    session_table.nsession >= policy_conf()->sessions_max) {
		(void)snprintf(why, whysize,
		    "%zu sessions are the limit "
		    "(sessions-max)",
		    session_table.nsession);
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
int
session_note_open(struct session *s, const struct connection *c)
{
	struct buf b;
	int r;

	if (s->noted != KEPT_NO)
		return policy_audit() == NULL ? ERR_NOTFOUND : 0;
	buf_init(&b, SESSION_EVENT_MAX);
	s->noted = KEPT_ASKED;
	if ((r = event_start(&b, EVENT_SESSION_OPEN)) != 0 ||
	    (r = session_event(s, c, NULL, &b)) != 0 ||
	    (r = policy_event_then(&b, session_noted, s)) != 0)
		s->noted = KEPT_NO;
	s->opened |= r == 0;
	buf_clear(&b);
	return r;
}

void
session_rematch(void)
{
	struct session *s;
	size_t n;

	for (s = session_table.sessions; s != NULL; s = s->next) {
		/* The old set counts another policy's identities: without
		 * memory for a new one the session is over. */
		if (session_match(s, &n) != 0)
			s->over = true;
	}
}

size_t
session_count(void)
{
	return session_table.nsession - session_table.nending;
}

static void
denial_done(void *arg, int result)
{
	struct session *s = arg;

	s->ndenials--;
	if (result != 0)
		log_err_about(ABOUT_SESSION(s->id), 0,
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

bool
session_has_identity(const struct session *s)
{
	return session_identity(s)[0] != '\0';
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
