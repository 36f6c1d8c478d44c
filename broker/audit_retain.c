/*
 * Retention: how long recordings are kept, what holds them, and how much an
 * identity may record in a day.  The ledger's line comes before the deletion,
 * and one deletion is on the disk before the next is written down: so after a
 * crash there is one recording at most whose line is there and which is, too.
 * Hashes, sidecars and lines stay.
 */
#include "config.h"

#include "broker/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/record.h"
#include "audit/store.h"
#include "audit/utc.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "broker/wallclock.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/str.h"

#define RETAIN_ROUND_MS 30000 /* between two looks at all of them */
#define RETAIN_TURN_MS 5      /* between two turns of one */
#define RETAIN_LOOK 32        /* recordings that a turn looks at */
#define RETAIN_DELETE 4       /* and deletes at most: each waits for the disk */
#define RETAIN_REPAIR 16      /* of the last ones, after a start */
#define RETAIN_DAY_MS 86400000ULL
#define RETAIN_COMMIT_MIN 7 /* digits of a commit that is held */

static struct {
	struct timer *timer;
	bool repaired;
	bool in_round;
	uint64_t ended_ms, number; /* how far this round has come */
	uint64_t bytes;            /* of all that are there */
	char due[STORE_PATH_MAX];  /* its line is written, and it is there */
	bool said;
	struct wallclock clock;
} env = { .clock = { .meanwhile = "no recording is deleted for its age",
	      .then = "postern is started again" } };

static void retain_turn(void *arg);

static void
retain_later(int64_t ms)
{
	timer_free(env.timer);
	env.timer = loop_timer(child_loop(), ms, retain_turn, NULL);
	if (env.timer == NULL)
		fatal(ERR_NOMEM, "timer");
}

/* What has its line goes; until it is gone nothing else does. */
static int
retain_due(void)
{
	int r;

	if (env.due[0] == '\0')
		return 0;
	r = record_delete(audit_recordings(), env.due);
	if (r != 0 && !env.said)
		log_err(r,
		    "ALARM: retention: %s has its line in the ledger and "
		    "cannot be deleted; it is tried again",
		    env.due);
	env.said = r != 0;
	if (r == 0)
		env.due[0] = '\0';
	return r;
}

/* The last ones of the process before. */
static int
retain_repair(struct store *s)
{
	char path[RETAIN_REPAIR][STORE_PATH_MAX];
	size_t n;
	int r;

	if (env.repaired)
		return 0;
	if ((r = store_deleted(s, path, RETAIN_REPAIR, &n)) != 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		(void)str_copy(env.due, sizeof(env.due), path[i]);
		if ((r = retain_due()) != 0)
			return r;
	}
	env.repaired = true;
	return 0;
}

static int
retain_delete(const struct store_kept *k, const char *bound)
{
	struct ledger_line line;
	struct buf ev;
	int r;

	buf_init(&ev, 2048);
	if ((r = event_start(&ev, EVENT_RETENTION)) == 0 &&
	    (r = event_str(&ev, EV_OPERATION, k->operation)) == 0 &&
	    (r = event_str(&ev, EV_SESSION, k->session)) == 0 &&
	    (r = event_str(&ev, EV_RECORDING, k->recording)) == 0 &&
	    (r = event_str(&ev, EV_RECORDING_SHA256, k->sha256)) == 0 &&
	    (r = event_num(&ev, EV_RECORDING_BYTES, k->bytes)) == 0 &&
	    (r = event_str(&ev, EV_RETENTION, bound)) == 0)
		/* From the reserve, if need be: this makes room. */
		r = audit_write(&ev, true, &line, NULL);
	buf_clear(&ev);
	if (r != 0)
		return r;
	env.bytes -= k->bytes < env.bytes ? k->bytes : env.bytes;
	if ((r = str_copy(env.due, sizeof(env.due), k->recording)) != 0)
		return r;
	return retain_due();
}

/* Which bound it is beyond; NULL: none.  Whose clock is not believed has no
 * age: it would be gone for good. */
static const char *
retain_bound(const struct store_kept *k)
{
	const struct conf *c = audit_conf();
	uint64_t now_ms = 0;

	if (c->retention_age_s != 0)
		now_ms = (uint64_t)wallclock_now(&env.clock) * 1000;
	if (c->retention_age_s != 0 &&
	    k->ended_ms + c->retention_age_s * 1000ULL < now_ms)
		return "age";
	if (c->retention_size != 0 && env.bytes > c->retention_size)
		return "size";
	return NULL;
}

/* Some recordings, oldest first.  *more: there may be others. */
static int
retain_some(struct store *s, bool *more)
{
	struct store_kept k[RETAIN_LOOK];
	const char *bound;
	size_t n, deleted = 0;
	int r;

	*more = false;
	if ((r = store_kept(s, env.ended_ms, env.number, k, RETAIN_LOOK, &n)) !=
	    0)
		return r;
	for (size_t i = 0; i < n; i++) {
		/* None that is younger is beyond a bound, either. */
		if ((bound = retain_bound(&k[i])) == NULL)
			return 0;
		if (!k[i].held && deleted == RETAIN_DELETE)
			break;
		if (!k[i].held && (r = retain_delete(&k[i], bound)) != 0)
			return r;
		deleted += !k[i].held;
		env.ended_ms = k[i].ended_ms;
		env.number = k[i].number;
	}
	*more = n > 0;
	return 0;
}

static int
retain_round(struct store *s)
{
	int r;

	if (env.in_round)
		return 0;
	env.ended_ms = env.number = 0;
	if ((r = store_kept_bytes(s, &env.bytes)) == 0)
		env.in_round = true;
	return r;
}

static void
retain_turn(void *arg)
{
	const struct conf *c = audit_conf();
	struct store *s = audit_store();
	bool more = false;
	int r = s == NULL ? ERR_AGAIN : 0;

	(void)arg;
	env.timer = NULL;
	if (r == 0 && (r = retain_due()) == 0 && (r = retain_repair(s)) == 0 &&
	    (c->retention_age_s != 0 || c->retention_size != 0) &&
	    (r = retain_round(s)) == 0)
		r = retain_some(s, &more);
	if (r != 0 || !more)
		env.in_round = false;
	retain_later(r == 0 && more ? RETAIN_TURN_MS : RETAIN_ROUND_MS);
}

void
retain_begin(void)
{
	wallclock_believe(&env.clock);
	retain_later(0);
}

/* -- quotas --------------------------------------------------------------- */

bool
retain_quota(const struct buf *decision, struct buf *why)
{
	const uint64_t max = audit_conf()->recording_quota;
	uint64_t now = utc_now_ms(), used = 0;
	char identity[NAME_LEN_MAX + 1];
	struct store *s;

	if (max == 0)
		return true;
	if (ledger_field(decision, EV_IDENTITY, identity, sizeof(identity)) !=
		0 ||
	    (s = audit_store()) == NULL ||
	    store_used_bytes(s, identity, now - now % RETAIN_DAY_MS, &used) !=
		0) {
		(void)buf_putf(why, "the recording cannot be written: what the "
				    "identity has recorded today is not known");
		return false;
	}
	used += ops_open_bytes(identity);
	if (used < max)
		return true;
	(void)buf_putf(why,
	    "the recording cannot be written: identity %s has recorded %" PRIu64
	    " MiB since 00:00 UTC, and its quota is %" PRIu64
	    " MiB a day (recording-quota)",
	    identity, used >> 20, max >> 20);
	return false;
}

/* -- holds ---------------------------------------------------------------- */

/* One that is not there yet may be made. */
static int
hold_may(struct store *s, const char *kind, const char *id, struct buf *why)
{
	bool session = strcmp(kind, "session") == 0;
	struct store_found *f = NULL;
	size_t n = 0;
	int r = 0;

	if (session && (store_find_id(s, id, &f, &n) != 0 || f[0].kind != 's'))
		r = buf_putf(why, "there is no session of that id");
	else if (!session && (strlen(id) < RETAIN_COMMIT_MIN ||
				 strspn(id, "0123456789abcdef") != strlen(id)))
		r = buf_putf(why, "a commit is %d digits at least, 0-9 and a-f",
		    RETAIN_COMMIT_MIN);
	free(f);
	if (r != 0 || buf_len(why) > 0)
		return ERR_NOTFOUND;
	f = NULL;
	if ((r = store_find_holds(s, &f, &n)) != 0)
		return r;
	free(f);
	if (n < STORE_HOLDS_MAX)
		return 0;
	(void)buf_putf(
	    why, "there are %d holds, and no more can be", STORE_HOLDS_MAX);
	return ERR_TOOBIG;
}

static int
hold_check(bool add, const char *kind, const char *id, struct buf *why)
{
	struct store *s = audit_store();

	if (s == NULL) {
		(void)buf_putf(why, "there is no index to look in: its disk "
				    "may be full, and the log of the bastion "
				    "says why");
		return ERR_NOTFOUND;
	}
	if (store_has_hold(s, kind, id) != add)
		return add ? hold_may(s, kind, id, why) : 0;
	(void)buf_putf(why, add ? "it is held already" : "it is not held");
	return ERR_EXISTS;
}

int
retain_hold(bool add, const char *kind, const char *id, const char *asker,
    const char *reason, struct buf *why)
{
	struct ledger_line line;
	struct buf ev;
	int r;

	if ((r = hold_check(add, kind, id, why)) != 0)
		return r;
	buf_init(&ev, 4096);
	if ((r = event_start(&ev, add ? EVENT_HOLD_ADD : EVENT_HOLD_REMOVE)) ==
		0 &&
	    (r = event_str(&ev,
		 strcmp(kind, "session") == 0 ? EV_SESSION : EV_COMMIT, id)) ==
		0 &&
	    (r = event_str(&ev, EV_ASKER, asker)) == 0 &&
	    (r = event_str(&ev, EV_REASON, reason)) == 0)
		r = audit_write(&ev, false, &line, why);
	buf_clear(&ev);
	return r;
}
