/*
 * KILL and LOCK on ctl.sock, in the policy process.  Who may connect there is
 * an admin.  What ends or refuses something is done at once, whether or not
 * audit can write it down: an admin in a hurry is not made to wait for a full
 * disk, but is told.  A lock is taken off only when that is written.
 */
#include "config.h"

#include "broker/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "broker/lock.h"
#include "broker/operation.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

#define EVENT_MAX (16 * 1024)
#define UNWRITTEN                                                              \
	"done, but audit, which is away or cannot write, has no line of it: "  \
	"see the bastion's log"
#define NOT_KEPT                                                               \
	"done, but audit could not keep it: it is forgotten when "             \
	"postern-policy ends; see the bastion's log, and lock again"

/* An answer that waits for audit's. */
struct waiting {
	struct waiting *next;
	struct peer *peer; /* NULL: it did not wait */
	uint32_t id;
	uint32_t type;
	uint32_t sessions, operations; /* KILLED */
	char who[LOCK_WHO_MAX + 1];
	bool unlock, unkept;
	uint32_t turn; /* of the lock that is taken off */
};

static struct {
	struct waiting *first;
	size_t n;
} env;

/* -- answers --------------------------------------------------------------- */

static int
put_killed(
    struct buf *b, const struct waiting *w, uint32_t result, const char *why)
{
	int r;

	if ((r = buf_put_u32(b, result)) != 0 ||
	    (r = buf_put_u32(b, w->sessions)) != 0 ||
	    (r = buf_put_u32(b, w->operations)) != 0)
		return r;
	return buf_put_cstr(b, why);
}

static int
put_locked(struct buf *b, uint32_t result, const char *why)
{
	const struct lock *l = lock_now();
	int r;

	if ((r = buf_put_u32(b, result)) != 0 ||
	    (r = buf_put_u8(b, l->on)) != 0 ||
	    (r = buf_put_cstr(b, l->who)) != 0 ||
	    (r = buf_put_u64(b, l->since)) != 0 ||
	    (r = buf_put_cstr(b, l->reason)) != 0)
		return r;
	return buf_put_cstr(b, why);
}

static int
answer(const struct waiting *w, uint32_t result, const char *why)
{
	struct msg m;
	int r;

	if (w->peer == NULL)
		return 0;
	msg_init(&m, w->type);
	m.id = w->id;
	r = w->type == MSG_KILLED ? put_killed(&m.body, w, result, why)
				  : put_locked(&m.body, result, why);
	if (r == 0)
		r = peer_send(w->peer, &m);
	msg_clear(&m);
	return r;
}

void
control_admin_drop(const struct peer *p)
{
	for (struct waiting *w = env.first; w != NULL; w = w->next) {
		if (w->peer == p)
			w->peer = NULL;
	}
}

static void
waiting_end(struct waiting *w, uint32_t result, const char *why)
{
	struct waiting **at;
	int r = answer(w, result, why);

	if (r != 0)
		log_err(r, "%s is not told how it went", w->who);
	for (at = &env.first; *at != w;)
		at = &(*at)->next;
	*at = w->next;
	env.n--;
	/* MUST: audit could answer the line before the row */
	policy_ask_drop(w);
	free(w);
}

static int
waiting_new(struct peer *p, uint32_t id, uint32_t type, struct waiting **out)
{
	struct waiting *w;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int r;

	if ((r = peer_cred(p, &pid, &uid, &gid)) != 0)
		return r;
	if (env.n == POLICY_ADMIN_MAX /* answers that audit's hang on */)
		return ERR_TOOBIG;
	if ((w = calloc(1, sizeof(*w))) == NULL)
		return ERR_NOMEM;
	w->peer = p;
	w->id = id;
	w->type = type;
	(void)snprintf(w->who, sizeof(w->who), "uid:%ld", (long)uid);
	w->next = env.first;
	env.first = w;
	env.n++;
	*out = w;
	return 0;
}

/* Audit has answered, or cannot. */
static void
written(void *arg, int result)
{
	struct waiting *w = arg;
	bool again = w->unlock && w->turn != lock_now()->turn;

	if (w->unlock && result == 0 && !again)
		lock_clear();
	if (again)
		waiting_end(w, ADMIN_REFUSED,
		    "it was locked again meanwhile, and stays so");
	else if (w->unlock && result != 0)
		waiting_end(w, ADMIN_REFUSED,
		    "audit, which is away or cannot write, has no line of it, "
		    "so the bastion stays locked; see its log");
	else if (w->unkept)
		waiting_end(w, ADMIN_UNWRITTEN, NOT_KEPT);
	else
		waiting_end(w, result == 0 ? ADMIN_DONE : ADMIN_UNWRITTEN,
		    result == 0 ? "" : UNWRITTEN);
}

/* Sends the line, which began well (r); w is answered when it is there. */
static void
write_then(struct waiting *w, struct buf *event, int r)
{
	if (r == 0)
		r = policy_event_then(event, written, w);
	if (r != 0) {
		log_err(r, "ALARM: what %s did is not in the ledger", w->who);
		written(w, r);
	}
}

/* -- kill ------------------------------------------------------------------ */

static const char *
what_text(enum kill_what what)
{
	switch (what) {
	case KILL_SESSION:
		return "session";
	case KILL_IDENTITY:
		return "identity";
	case KILL_ALL:
		break;
	}
	return "all";
}

static void
kill_note(struct waiting *w, enum kill_what what, const char *name)
{
	char text[96];
	struct buf b;
	int r;

	(void)snprintf(text, sizeof(text),
	    "%s: %u sessions ended, %u operations told to end", what_text(what),
	    w->sessions, w->operations);
	log_info(
	    "%s ends %s %s: %s", w->who, what_text(what), log_safe(name), text);
	buf_init(&b, EVENT_MAX);
	if ((r = event_start(&b, EVENT_KILL)) == 0 &&
	    (r = event_str(&b, EV_ASKER, w->who)) == 0 &&
	    (what != KILL_SESSION ||
		(r = event_str(&b, EV_SESSION, name)) == 0) &&
	    (what != KILL_IDENTITY ||
		(r = event_str(&b, EV_IDENTITY, name)) == 0))
		r = event_str(&b, EV_REASON, text);
	write_then(w, &b, r);
	buf_clear(&b);
}

int
control_kill(struct peer *p, struct msg *m)
{
	char name[NAME_LEN_MAX + 1];
	struct waiting *w = NULL;
	size_t operations;
	uint8_t what;
	int r;

	if ((r = buf_get_u8(&m->body, &what)) != 0 ||
	    (r = buf_get_fixed(&m->body, name, sizeof(name))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (what > KILL_ALL || (what == KILL_ALL) != (name[0] == '\0'))
		return ERR_PROTO;
	if ((r = waiting_new(p, m->id, MSG_KILLED, &w)) != 0)
		return r;
	w->sessions = (uint32_t)session_kill_all(what, name, &operations);
	w->operations = (uint32_t)operations;
	if (w->sessions == 0)
		waiting_end(w, ADMIN_NOTHING,
		    what == KILL_SESSION ? "no live session has this id"
		    : what == KILL_IDENTITY
			? "no live session is this identity's"
			: "there is no live session");
	else
		kill_note(w, what, name);
	return 0;
}

/* -- lock ------------------------------------------------------------------ */

/* The row goes first: its answer comes before the line's. */
static void
kept(void *arg, int result)
{
	struct waiting *w = arg;

	w->unkept |= result != 0;
}

static void
lock_note(struct waiting *w, enum event_kind kind, const char *reason)
{
	struct buf b;
	int r;

	log_info("%s %s: %s", w->who,
	    kind == EVENT_LOCK ? "locks the bastion"
			       : "takes the lock off the bastion",
	    reason[0] == '\0' ? "(no reason given)" : log_safe(reason));
	buf_init(&b, EVENT_MAX);
	if ((r = event_start(&b, kind)) == 0 &&
	    (r = event_str(&b, EV_ASKER, w->who)) == 0)
		r = event_str(&b, EV_REASON, reason);
	write_then(w, &b, r);
	buf_clear(&b);
}

static void
lock_on(struct waiting *w, const char *reason)
{
	struct lock l = { .on = true, .since = (uint64_t)time(NULL) };

	(void)str_copy(l.who, sizeof(l.who), w->who);
	(void)str_copy(l.reason, sizeof(l.reason), reason);
	if (lock_set(&l, kept, w) != 0)
		w->unkept = true;
	operation_lock_lists();
	lock_note(w, EVENT_LOCK, reason);
}

int
control_lock(struct peer *p, struct msg *m)
{
	char reason[PROTO_REASON_MAX + 1];
	struct waiting *w = NULL;
	uint8_t on;
	int r;

	if ((r = buf_get_u8(&m->body, &on)) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (on > 1 || !utf8_valid(reason, strlen(reason)))
		return ERR_PROTO;
	if ((r = waiting_new(p, m->id, MSG_LOCKED, &w)) != 0)
		return r;
	w->unlock = on == 0;
	w->turn = lock_now()->turn;
	if (on == 1)
		lock_on(w, reason); /* again: with another reason */
	else if (!lock_now()->on)
		waiting_end(w, ADMIN_NOTHING, "it is not locked");
	else
		lock_note(w, EVENT_UNLOCK, reason);
	return 0;
}
