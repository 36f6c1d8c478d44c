/*
 * Refused logins.  Runs in postern-oidc.  What they may cost us is bounded
 * here: a good token is never slowed down by bad ones, whoever sent them, so it
 * is the bad ones that wait, and that cannot fill the ledger.
 */
#include "config.h"

#include "broker/refusal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "broker/child.h"
#include "broker/conn.h"
#include "broker/debt.h"
#include "broker/login.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/str.h"

/* Failures of late, from which on refusals take two steps, and four. */
#define REFUSAL_SLOW 10
#define REFUSAL_SLOWEST 30
/* Those of an address for all targets together weigh a quarter. */
#define REFUSAL_SHARE 4
/* From here on they are a number. */
#define REFUSAL_COUNTED 100
#define REFUSAL_COUNT_MS 10000 /* which is written down so often */
#define REFUSAL_REASON_MAX 512

static struct {
	struct debts debts;
	struct timer *timer;
	const struct judge *judge;
	unsigned long counted; /* and not written down */
	char user[LOGIN_USER_MAX + 1], source[PROTO_SOURCE_MAX + 1]; /* last */
	char reason[REFUSAL_REASON_MAX];
} env;

/* -- the ledger ---------------------------------------------------------- */

static int
refusal_send(const struct judge *j, struct msg *m)
{
	if (j->audit == NULL)
		return ERR_NOTFOUND;
	m->id = peer_next_id(j->audit);
	return peer_send(j->audit, m);
}

static int
refusal_event(
    const char *user, const char *source, const char *reason, struct buf *b)
{
	int r;

	if ((r = event_start(b, EVENT_LOGIN_REFUSED)) != 0 ||
	    (r = event_str(b, EV_USER, log_safe(user))) != 0 ||
	    (r = event_str(b, EV_SOURCE, log_safe(source))) != 0)
		return r;
	return event_str(b, EV_REASON, log_safe(reason));
}

/* Issuer and subject are facts only when the signature was good. */
static int
refusal_who(const struct judge *j, const struct login *l, struct buf *b)
{
	const struct trusted *t = NULL;
	const char *whose;
	int r;

	if (l->verified) /* which it is of several, or the first */
		(void)issuers_for(&j->issuers, &l->claims, &t, &whose);
	if (t == NULL)
		return 0;
	if ((r = event_str(b, EV_ISSUER, t->rules.name)) != 0)
		return r;
	/* NULL where sub was what was wrong */
	return event_str(b, EV_SUBJECT, l->claims.sub);
}

static void
refusal_write(const struct judge *j, const struct login *l, const char *reason)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_EVENT);
	if ((r = refusal_event(l->user, l->source, reason, &m.body)) == 0 &&
	    (r = refusal_who(j, l, &m.body)) == 0)
		r = refusal_send(j, &m);
	if (r != 0)
		log_err(r, "not in the ledger: login of %s from %s refused: %s",
		    log_safe(l->user), log_safe(l->source), log_safe(reason));
	msg_clear(&m);
}

/* -- those that are too many --------------------------------------------- */

void
refusal_flush(const struct judge *j)
{
	char reason[REFUSAL_REASON_MAX + 128];
	struct msg m;
	int r;

	timer_free(env.timer);
	env.timer = NULL;
	if (env.counted == 0)
		return;
	(void)snprintf(reason, sizeof(reason),
	    "%lu logins of addresses with "
	    "too many bad ones were refused; the last: %s",
	    env.counted, env.reason);
	msg_init(&m, MSG_EVENT);
	if ((r = refusal_event(env.user, env.source, reason, &m.body)) == 0)
		r = refusal_send(j, &m);
	if (r != 0)
		log_err(r, "not in the ledger: %s", log_safe(reason));
	msg_clear(&m);
	env.counted = 0;
}

static void
refusal_on_timer(void *arg)
{
	(void)arg;
	env.timer = NULL;
	refusal_flush(env.judge);
}

static int
refusal_count(const struct judge *j, const struct login *l, const char *reason)
{
	if (env.timer == NULL)
		env.timer = loop_timer(
		    child_loop(), REFUSAL_COUNT_MS, refusal_on_timer, NULL);
	if (env.timer == NULL)
		return ERR_NOMEM;
	env.judge = j;
	env.counted++;
	(void)snprintf(env.user, sizeof(env.user), "%s", l->user);
	(void)snprintf(env.source, sizeof(env.source), "%s", l->source);
	(void)snprintf(env.reason, sizeof(env.reason), "%s", reason);
	return 0;
}

/* -- how long ------------------------------------------------------------ */

/* Whom an address stands for: with IPv6 nobody has a single one. */
static size_t
refusal_source(const char *source, uint8_t out[16])
{
	if (inet_pton(AF_INET6, source, out) == 1)
		return 8;
	(void)memset(out, 0, 16);
	return inet_pton(AF_INET, source, out) == 1 ? 4 : 0;
}

unsigned int
refusal_note(const struct judge *j, const struct login *l, const char *reason)
{
	uint8_t key[16 + LOGIN_USER_MAX];
	size_t n = refusal_source(l->source, key), user = strlen(l->user);
	int64_t now = msg_now_ms();
	unsigned int all, here;

	all = debt_add(&env.debts, key, n, now);
	memcpy(key + n, l->user, user);
	here = debt_add(&env.debts, key, n + user, now);
	if (all < REFUSAL_COUNTED || l->verified ||
	    refusal_count(j, l, reason) != 0)
		refusal_write(j, l, reason);
	if (all / REFUSAL_SHARE > here)
		here = all / REFUSAL_SHARE;
	return here < REFUSAL_SLOW ? 1 : here < REFUSAL_SLOWEST ? 2 : 4;
}
