/*
 * What policy tells audit and wants to hear the end of: each event and each
 * kept row is a question, its answer goes to whoever asked.  Runs in policy.
 *
 * Audit may be slow, and what it has not read yet waits in a queue.  Two kinds
 * of messages go there.
 *
 * What begins asks for room first and is refused without it, before anything of
 * it is done: an operation, a list, a login, a question to the records, the
 *load of a policy.  It is let in while fewer than BEGIN messages wait.  Denials
 *are counted by themselves, DENIALS_MAX of them, so that neither takes the
 *other's room.
 *
 * What follows from what has begun never asks: its room is there, because while
 * BEGIN messages wait nothing begins.  All that joins the queue from then on is
 * said of what lived at that moment: operations-max operations, sessions-max
 * sessions, and SESSION_CONNECTIONS_MAX connections of each.  And each has at
 * most so many messages in the queue at a time, since an answer to one of them
 * says that audit has read all before it:
 *
 *	OPERATION_SAYS	OP_STARTED, KEEP and FORGET of its row, OP_OPEN of a
 *			list's next command, OP_ABORT of each command that is
 *			not run; of one that gets a certificate KEEP of its
 *			session, certificate.issue, and KEEP without it
 *	SESSION_SAYS	KEEP when it is made, when it is opened, and when its
 *			line could not be written; session.open, FORGET,
 *			session.close
 *	CONNECTION_SAYS	KEEP when it is made and when it is opened, again when
 *			the first was not taken; FORGET; of one that came with
 *			a certificate certificate.login and one KEEP less
 *	OTHERS		RECALL and SETTLED, which are one at a time; what admins
 *			did and auditors were refused, so many at a time
 */
#include "config.h"

#include <stdlib.h>

#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/command.h"

#define DENIALS_MAX 256
#define OPERATION_SAYS ((size_t)4 + COMMAND_LIST_MAX)
#define SESSION_SAYS 6
#define CONNECTION_SAYS 4
#define OTHERS ((size_t)16 + POLICY_ADMIN_MAX + POLICY_REFUSED_MAX)

/* BEGIN: for each operation what its start says, and as much again; and the
 * lines and counts of one list. */
#define BEGIN_EACH 4
#define BEGIN_LEAST ((size_t)2 * COMMAND_LIST_MAX)

/* Questions that have left the queue and are not answered. */
#define SOCKET_MAX 4096

struct asked {
	struct asked *next;
	uint32_t id;
	bool denial;
	policy_done_cb done; /* NULL: nobody wants to hear */
	void *arg;
};

/* In the order of asking, which is that of the answers. */
static struct {
	struct asked *first, **last;
	size_t n, ndenial;
} env = { .last = &env.first };

static size_t
queue_begin(void)
{
	return (size_t)policy_conf()->operations_max * BEGIN_EACH + BEGIN_LEAST;
}

static size_t
queue_max(void)
{
	const struct conf *c = policy_conf();

	return queue_begin() + DENIALS_MAX +
	       (size_t)c->operations_max * OPERATION_SAYS +
	       (size_t)c->sessions_max *
		   (SESSION_SAYS +
		       (size_t)SESSION_CONNECTIONS_MAX * CONNECTION_SAYS) +
	       OTHERS;
}

void
policy_audit_bound(struct peer *audit)
{
	if (audit != NULL && policy_conf() != NULL)
		peer_bound_queue(audit, queue_max());
}

size_t
policy_audit_room(void)
{
	size_t n, max;

	if (policy_audit() == NULL || policy_conf() == NULL)
		return 0;
	n = peer_queued(policy_audit());
	max = queue_begin();
	return n < max ? max - n : 0;
}

size_t
policy_denial_room(void)
{
	return DENIALS_MAX - env.ndenial;
}

int
policy_ask_audit(struct msg *m, policy_done_cb done, void *arg)
{
	struct asked *a;
	int r;

	if (policy_audit() == NULL)
		return ERR_NOTFOUND;
	if (policy_conf() != NULL && env.n >= queue_max() + SOCKET_MAX)
		return ERR_TOOBIG;
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return ERR_NOMEM;
	m->id = peer_next_id(policy_audit());
	if ((r = peer_send(policy_audit(), m)) != 0) {
		free(a);
		return r;
	}
	*a = (struct asked){ .id = m->id, .done = done, .arg = arg };
	*env.last = a;
	env.last = &a->next;
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

size_t
policy_audit_unanswered(void)
{
	return env.n;
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

	if ((*at = a->next) == NULL)
		env.last = at;
	env.n--;
	env.ndenial -= a->denial;
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

int
policy_event_denial(struct buf *event, policy_done_cb done, void *arg)
{
	struct asked **at = env.last;
	int r = ERR_TOOBIG;

	if (env.ndenial < DENIALS_MAX)
		r = policy_event_then(event, done, arg);
	buf_reset(event);
	if (r == 0) {
		(*at)->denial = true;
		env.ndenial++;
	}
	return r;
}
