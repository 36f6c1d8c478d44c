/*
 * What policy tells audit and wants to hear the end of: each event and each
 * kept row is a question, its answer goes to whoever asked.  Runs in policy.
 *
 * The queue to audit is everybody's.  What one job can make grow at will (its
 * denials) takes a half of it at most, what begins takes three quarters, and
 * the rest is for what must not be lost: a session's end.
 */
#include "config.h"

#include <stdlib.h>

#include "broker/peer.h"
#include "broker/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define ASKED_MAX 4096 /* the queue and what fits into the socket */

struct asked {
	struct asked *next;
	uint32_t id;
	policy_done_cb done; /* NULL: nobody wants to hear */
	void *arg;
};

static struct {
	struct asked *first;
	size_t n;
} env;

size_t
policy_audit_room(enum policy_urgency u)
{
	const size_t max[] = {
		[URGENCY_DENIAL] = PEER_QUEUE_MAX / 2,
		[URGENCY_START] = PEER_QUEUE_MAX * 3 / 4,
		[URGENCY_SESSION] = PEER_QUEUE_MAX,
	};
	size_t n;

	if (policy_audit() == NULL)
		return 0;
	n = peer_queued(policy_audit());
	return n < max[u] ? max[u] - n : 0;
}

int
policy_ask_audit(struct msg *m, policy_done_cb done, void *arg)
{
	struct asked *a;
	int r;

	if (policy_audit() == NULL)
		return ERR_NOTFOUND;
	if (env.n >= ASKED_MAX)
		return ERR_TOOBIG;
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return ERR_NOMEM;
	m->id = peer_next_id(policy_audit());
	if ((r = peer_send(policy_audit(), m)) != 0) {
		free(a);
		return r;
	}
	*a = (struct asked){
		.next = env.first, .id = m->id, .done = done, .arg = arg
	};
	env.first = a;
	env.n++;
	return 0;
}

void
policy_ask_drop(const void *arg)
{
	for (struct asked *a = env.first; a != NULL; a = a->next) {
		if (a->arg == arg)
			a->done = NULL;
	}
}

bool
policy_audit_answers(void)
{
	return env.n > 0;
}

static void
asked_end(struct asked **at, int result)
{
	struct asked *a = *at;

	*at = a->next;
	env.n--;
	if (a->done != NULL)
		a->done(a->arg, result);
	else if (result != 0 && result != ERR_NOTFOUND)
		log_err(0, "ALARM: audit could not write an event");
	free(a);
}

/* EVENT_DONE and KEPT begin alike. */
int
policy_audit_done(struct msg *m)
{
	struct asked **at;
	uint32_t result;
	uint64_t number;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (m->type == MSG_EVENT_DONE &&
		(r = buf_get_u64(&m->body, &number)) != 0) ||
	    (r = msg_end(m)) != 0)
		return r;
	for (at = &env.first; *at != NULL; at = &(*at)->next) {
		if ((*at)->id == m->id) {
			asked_end(at, result == 0 ? 0 : ERR_SYS);
			return 0;
		}
	}
	return 0; /* asked of another link */
}

void
policy_audit_lost(uint32_t last)
{
	struct asked **at = &env.first;

	while (*at != NULL) {
		if ((int32_t)((*at)->id - last) <= 0) {
			asked_end(at, ERR_NOTFOUND);
			at = &env.first; /* it may have asked again */
		} else {
			at = &(*at)->next;
		}
	}
}

int
policy_event_then(struct buf *event, policy_done_cb done, void *arg)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_EVENT);
	if ((r = buf_put(&m.body, buf_ptr(event), buf_len(event))) == 0)
		r = policy_ask_audit(&m, done, arg);
	msg_clear(&m);
	buf_reset(event);
	return r;
}

int
policy_event(struct buf *event)
{
	return policy_event_then(event, NULL, NULL);
}
