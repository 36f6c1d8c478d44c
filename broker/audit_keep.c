/*
 * What policy and oidc have kept for the process that comes after them:
 * KEEP, FORGET, RECALL and SETTLED.  Runs in audit, which looks into none of
 * it; the one thing it knows is that a session's row has its id for a name, so
 * that a session that is open in the ledger and kept by nobody is closed.
 */
#include "config.h"

#include "broker/audit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/keep.h"
#include "audit/store.h"
#include "broker/child.h"
#include "broker/peer.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define PAGE_ROOM (120 * 1024) /* bytes of one RECALLED; a row fits always */
#define SWEEP_STEP 64

static struct {
	struct keep *keep;
	bool said;   /* its trouble is in the log */
	bool failed; /* a row was not taken: what is not kept may live */
} env;

static uint64_t
now_s(void)
{
	return (uint64_t)time(NULL);
}

static int
keep_ready(void)
{
	char path[64];
	enum keep_before before;
	bool damaged = env.keep != NULL && keep_damaged(env.keep);
	int r;

	if (env.keep != NULL && !damaged)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/kept.db",
	    audit_store_folder());
	if (damaged) {
		kept_close();
		store_remove(path);
	}
	r = keep_open(path, &env.keep, &before);
	if (damaged)
		before = KEEP_DAMAGED;
	if (r != 0 && !env.said)
		log_err(r, "what is kept for a restart cannot be opened");
	/* Nothing kept is right at the very first start alone. */
	if (r == 0 && (before == KEEP_DAMAGED ||
			  (before == KEEP_EMPTY && audit_ledger_is_old())))
		log_err(0,
		    "ALARM: what was kept for a restart (store/kept.db) is "
		    "%s: jobs must log in again, and spent tokens work again "
		    "until they expire",
		    before == KEEP_DAMAGED ? "damaged" : "gone");
	env.said = r != 0;
	return r;
}

static int
put_row(const char *key, uint64_t until, const uint8_t *value, size_t n)
{
	enum keep_owner o = audit_is_oidc() ? KEEP_OIDC : KEEP_POLICY;
	int r;

	if ((r = keep_ready()) == 0)
		r = keep_put(env.keep, o, key, until, value, n);
	/* Found just now: into the next one, once. */
	if (r != 0 && env.keep != NULL && keep_damaged(env.keep) &&
	    (r = keep_ready()) == 0)
		r = keep_put(env.keep, o, key, until, value, n);
	if (r == 0)
		return 0;
	env.failed = true;
	log_err(r, "a row is not kept for a restart");
	return r;
}

int
kept_put(struct peer *p, struct msg *m)
{
	char key[PROTO_KEEP_KEY_MAX + 1];
	const uint8_t *value;
	struct msg a;
	uint64_t until;
	size_t n;
	int done, r;

	if ((r = buf_get_fixed(&m->body, key, sizeof(key))) != 0 ||
	    (r = buf_get_u64(&m->body, &until)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_KEEP_MAX, &value, &n)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (key[0] == '\0' || n == 0)
		return ERR_PROTO;
	done = put_row(key, until, value, n);
	msg_init(&a, MSG_KEPT);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, (uint32_t)-done)) == 0)
		r = peer_send(p, &a);
	msg_clear(&a);
	return r;
}

int
kept_forget(struct msg *m)
{
	enum keep_owner o = audit_is_oidc() ? KEEP_OIDC : KEEP_POLICY;
	char key[PROTO_KEEP_KEY_MAX + 1];
	int r;

	if ((r = buf_get_fixed(&m->body, key, sizeof(key))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if ((r = keep_ready()) == 0)
		r = keep_drop(env.keep, o, key);
	if (r != 0)
		log_err(r, "a row is kept too long");
	return 0;
}

int
kept_recall(struct peer *p, struct msg *m)
{
	enum keep_owner o = audit_is_oidc() ? KEEP_OIDC : KEEP_POLICY;
	char after[PROTO_KEEP_KEY_MAX + 1];
	bool more = false;
	struct buf rows;
	struct msg a;
	uint32_t n = 0;
	int done, r;

	if ((r = buf_get_fixed(&m->body, after, sizeof(after))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	buf_init(&rows, PAGE_ROOM);
	/* That one still reads what is to be kept. */
	done = audit_is_another() ? ERR_EXISTS : keep_ready();
	if (done == 0)
		done = keep_page(
		    env.keep, o, after, now_s(), PAGE_ROOM, &rows, &n, &more);
	if (done != 0)
		log_err(done, "what is kept for a restart cannot be read");
	msg_init(&a, MSG_RECALLED);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, (uint32_t)-done)) == 0 &&
	    (r = buf_put_u8(&a.body, more)) == 0 &&
	    (r = buf_put_u32(&a.body, done == 0 ? n : 0)) == 0 &&
	    (done != 0 ||
		(r = buf_put(&a.body, buf_ptr(&rows), buf_len(&rows))) == 0))
		r = peer_send(p, &a);
	msg_clear(&a);
	buf_clear(&rows);
	return r;
}

/* -- sessions that nobody has any more ------------------------------------- */

static int
sweep_close(const char *session)
{
	struct ledger_line line;
	struct buf ev;
	int r;

	buf_init(&ev, 1024);
	if ((r = event_start(&ev, EVENT_SESSION_CLOSE)) == 0 &&
	    (r = event_str(&ev, EV_SESSION, session)) == 0 &&
	    (r = event_str(&ev, EV_REASON,
		 "the broker was away when it "
		 "ended")) == 0)
		r = audit_write(&ev, true, &line, NULL);
	buf_clear(&ev);
	return r;
}

static int
sweep(struct store *s)
{
	char id[SWEEP_STEP][STORE_ID_MAX], key[STORE_ID_MAX + 2];
	char after[STORE_ID_MAX] = "";
	size_t n = SWEEP_STEP;
	int r = 0;

	while (n == SWEEP_STEP && r == 0) {
		if ((r = store_open_sessions(s, after, id, SWEEP_STEP, &n)) !=
		    0)
			break;
		for (size_t i = 0; i < n && r == 0; i++) {
			(void)snprintf(key, sizeof(key), "1/%.*s",
			    STORE_ID_MAX - 1, id[i]);
			if (!keep_has(env.keep, KEEP_POLICY, key))
				r = sweep_close(id[i]);
		}
		if (n > 0)
			memcpy(after, id[n - 1], sizeof(after));
	}
	return r;
}

int
kept_settled(struct msg *m)
{
	struct store *s;
	int r;

	if ((r = msg_end(m)) != 0)
		return r;
	/* Not while a row may be missing that its session lives without. */
	if (keep_ready() != 0 || env.failed || (s = audit_store()) == NULL)
		return 0;
	if ((r = sweep(s)) != 0)
		log_err(r, "lost sessions are not closed yet");
	return 0;
}

void
kept_tidy(void)
{
	if (keep_ready() == 0)
		(void)keep_expire(env.keep, now_s());
}

void
kept_close(void)
{
	keep_free(env.keep);
	env.keep = NULL;
}
