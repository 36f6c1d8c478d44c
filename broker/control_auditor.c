/*
 * audit.sock in the policy process: whoever connects there is an auditor, by
 * the word of the socket's group, and reads.  What only an admin may ask is
 * refused here, before any of it is looked at, and is a line of the ledger.
 */
#include "config.h"

#include "broker/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "broker/lock.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define EVENT_MAX 1024
#define WHAT_MAX 16 /* of a QUERY; audit's own bound, too */
#define WORDS                                                                  \
	"only members of postern-admin may do this; as an auditor you may "    \
	"look, and that you asked goes into the ledger"

static struct {
	size_t unwritten; /* refusals whose line audit has not written yet */
} env;

bool
control_reads(const struct msg *m)
{
	/* What is added to the questions one day is not an auditor's by itself.
	 */
	static const char *const reads[] = { "sessions", "show", "recording",
		"manifest", "holds", "files", "anchor" };
	char what[WHAT_MAX];
	struct buf b;

	buf_view(&b, buf_ptr(&m->body), buf_len(&m->body));
	if (buf_get_fixed(&b, what, sizeof(what)) != 0)
		return false;
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		if (strcmp(reads[i], what) == 0)
			return true;
	}
	return false;
}

/* Its name for people, its answer's type. */
static const char *
refused_name(uint32_t type, uint32_t *answer)
{
	switch (type) {
	case MSG_KILL:
		*answer = MSG_KILLED;
		return "kill";
	case MSG_LOCK:
		*answer = MSG_LOCKED;
		return "lock";
	case MSG_RELOAD_POLICY:
		*answer = MSG_POLICY_RELOADED;
		return "reload";
	case MSG_QUERY:
		*answer = MSG_ROWS_END;
		return "a question that changes something";
	default:
		return NULL;
	}
}

static int
put_refusal(struct buf *b, uint32_t answer)
{
	int r;

	switch (answer) {
	case MSG_KILLED:
		if ((r = buf_put_u32(b, ADMIN_DENIED)) != 0 ||
		    (r = buf_put_u32(b, 0)) != 0 ||
		    (r = buf_put_u32(b, 0)) != 0)
			return r;
		break;
	case MSG_LOCKED:
		if ((r = buf_put_u32(b, ADMIN_DENIED)) != 0 ||
		    (r = buf_put_u8(b, lock_now()->on)) != 0 ||
		    (r = buf_put_cstr(b, "")) != 0 ||
		    (r = buf_put_u64(b, 0)) != 0 ||
		    (r = buf_put_cstr(b, "")) != 0)
			return r;
		break;
	case MSG_POLICY_RELOADED:
		if ((r = buf_put_u32(b, RELOAD_DENIED)) != 0 ||
		    (r = buf_put_cstr(b, policy_hash())) != 0 ||
		    (r = buf_put_u32(b, 0)) != 0 ||
		    (r = buf_put_u32(b, 0)) != 0)
			return r;
		break;
	default:
		if ((r = buf_put_u32(b, (uint32_t)-ERR_DENIED)) != 0)
			return r;
	}
	return buf_put_cstr(b, WORDS);
}

static void
refused_unwritten(int r)
{
	log_err(r, "ALARM: what an auditor was refused is not in the ledger");
}

static void
refused_written(void *arg, int result)
{
	(void)arg;
	env.unwritten--;
	if (result != 0)
		refused_unwritten(result);
}

/* The line.  MUST be few at a time: they wait in audit's queue, whose room is
 * kept for what has begun. */
static int
refused_write(const char *who, const char *reason)
{
	struct buf b;
	int r;

	buf_init(&b, EVENT_MAX);
	if ((r = event_start(&b, EVENT_REFUSED)) == 0 &&
	    (r = event_str(&b, EV_ASKER, who)) == 0 &&
	    (r = event_str(&b, EV_REASON, reason)) == 0)
		r = policy_event_then(&b, refused_written, NULL);
	buf_clear(&b);
	env.unwritten += r == 0;
	return r;
}

int
control_refuse(struct peer *p, struct msg *m)
{
	char who[32], reason[96];
	uint32_t answer;
	const char *name = refused_name(m->type, &answer);
	struct msg a;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int r;

	if (name == NULL)
		return ERR_PROTO;
	if (env.unwritten >= POLICY_REFUSED_MAX)
		return ERR_TOOBIG; /* and so its connection ends */
	if ((r = peer_cred(p, &pid, &uid, &gid)) != 0)
		return r;
	(void)snprintf(who, sizeof(who), "uid:%ld", (long)uid);
	(void)snprintf(reason, sizeof(reason),
	    "%s is for postern-admin, and was asked on audit.sock", name);
	log_info("%s is refused: %s", who, reason);
	if ((r = refused_write(who, reason)) != 0)
		refused_unwritten(r);
	/* Refused it is, written or not. */
	msg_init(&a, answer);
	a.id = m->id;
	if ((r = put_refusal(&a.body, answer)) == 0)
		r = peer_send(p, &a);
	msg_clear(&a);
	return r;
}
