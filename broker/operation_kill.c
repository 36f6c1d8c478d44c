/*
 * Operations of a session that an admin ends.  Runs in policy.  A hop is asked
 * to end, so that it writes its last words, and killed when it does not: one
 * that somebody owns would not.  Only root can do either (HOP_STOP).
 */
#include "config.h"

#include <unistd.h>

#include "broker/child.h"
#include "broker/jobcert.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/session.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/proto.h"

#define STOP_MS 5000 /* more than a hop takes for its last words */

static const char killed[] = "this session was ended by the bastion's admin";

static void
hop_stop(struct operation *op, bool now)
{
	struct msg m;
	int r = ERR_NOTFOUND;

	msg_init(&m, MSG_HOP_STOP);
	if (child_parent() != NULL &&
	    (r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = buf_put_u8(&m.body, now)) == 0 &&
	    (r = msg_add_fd(&m, op->pidfd)) == 0)
		r = peer_send(child_parent(), &m);
	msg_clear(&m);
	if (r != 0)
		log_err_about(ABOUT_OPERATION(op->id), r,
		    "ALARM: operation %s is not ended", op->id);
}

static void
stop_late(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	if (op->pidfd < 0)
		return;
	log_err_about(ABOUT_OPERATION(op->id), 0,
	    "the hop of operation %s does not end, and is killed", op->id);
	hop_stop(op, true);
}

/* It runs. */
static void
kill_running(struct operation *op)
{
	if (op->list != NULL)
		joblist_break(op, POSTERN_EX_DENIED, killed);
	if (op->timer != NULL)
		return; /* it was told */
	hop_stop(op, false);
	op->timer = loop_timer(child_loop(), STOP_MS, stop_late, op);
	if (op->timer == NULL)
		hop_stop(op, true);
}

/* It does not, yet. */
static void
kill_waiting(struct operation *op)
{
	if (op->list != NULL)
		joblist_break(op, POSTERN_EX_DENIED, killed);
	if (op->open_id != 0)
		operation_abort(op->id, killed);
	operation_refuse(op, POSTERN_EX_DENIED,
	    "not run: this session was ended by the bastion's admin");
}

size_t
operation_kill(const struct session *s)
{
	struct operation *op, *next;
	size_t n = 0;

	for (op = operation_first(); op != NULL; op = next) {
		next = op->next;
		if (op->job != NULL && jobcert_session(op->job) == s) {
			kill_waiting(op);
		} else if (op->conn == NULL || op->conn->session != s) {
			continue;
		} else if (op->hosts != NULL) {
			brokershell_kill(op);
		} else if (op->watch != NULL) {
			kill_running(op);
			n++;
		} else {
			kill_waiting(op);
			n++;
		}
	}
	return n;
}

void
operation_lock_lists(void)
{
	for (struct operation *op = operation_first(); op != NULL;
	     op = op->next) {
		if (op->running)
			joblist_break(op, POSTERN_EX_TEMPFAIL,
			    "the bastion was locked in the middle of it");
	}
}
