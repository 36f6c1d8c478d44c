/*
 * The start of an allowed operation: audit opens the recording and the parent
 * starts a hop, both at once; when both are there everything is handed over.
 * Runs in policy; what audit and the parent answer is read strictly.
 */
#include "config.h"

#include "broker/operation.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/proc.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/proto.h"

/* -- starting ---------------------------------------------------------------- */

int
operation_ask_audit(struct operation *op)
{
	if (policy_audit() == NULL)
		return ERR_NOTFOUND;
	op->open.id = op->open_id = peer_next_id(policy_audit());
	return peer_send(policy_audit(), &op->open);
}

static int
ask_parent(struct operation *op)
{
	struct msg m;
	int sv[2], r;

	if (child_parent() == NULL)
		return ERR_NOTFOUND;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return ERR_SYS;
	op->control = sv[0];
	msg_init(&m, MSG_HOP_START);
	m.id = op->start_id = peer_next_id(child_parent());
	if ((r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = msg_add_fd(&m, sv[1])) == 0)
		r = peer_send(child_parent(), &m);
	msg_clear(&m);
	(void)close(sv[1]);
	return r;
}

void
operation_abort(const char *id, const char *reason)
{
	struct msg m;
	bool left;
	int r;

	if (policy_audit() == NULL)
		return;
	msg_init(&m, MSG_OP_ABORT);
	if ((r = buf_put_cstr(&m.body, id)) == 0 &&
	    (r = buf_put_cstr(&m.body, reason)) == 0)
		r = peer_send(policy_audit(), &m);
	left = r == ERR_NOTFOUND ||
	       (r == ERR_SYS && (errno == EPIPE || errno == ECONNRESET));
	msg_clear(&m);
	if (r == 0)
		return;
	log_err_about(ABOUT_OPERATION(id), r, "abort of operation %s", id);
	/* A command of a list that audit waits for would have no end in the
	 * ledger.  It writes those ends itself when their policy is gone. */
	if (!left)
		fatal(0, "audit cannot be told what was not run");
}

static void
start_expired(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	operation_abort(op->id, "the broker could not start it in time");
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    "the broker could not start "
	    "this operation in time; try again");
}

void
operation_start(struct operation *op)
{
	int r;

	op->timer = loop_timer(child_loop(), START_MS, start_expired, op);
	if (op->timer == NULL) {
		/* of a list, its decision is in the ledger already */
		operation_abort(op->id, "the broker was out of memory");
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		return;
	}
	if ((r = operation_ask_audit(op)) != 0) {
		log_err_about(
		    ABOUT_OPERATION(op->id), r, "operation %s", op->id);
		operation_abort(op->id, "the recording could not be asked for");
		operation_refuse(op, POSTERN_EX_IOERR,
		    "not run: the recording "
		    "cannot be written just now; try again");
		return;
	}
	if ((r = ask_parent(op)) != 0) {
		log_err(r, "hop for %s", op->id);
		operation_abort(op->id, "the broker could not start a process");
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker could "
		    "not start a process for this; try again");
	}
}

/* The hop is dead, as its pidfd says; audit sees the same.  That it closed its
 * control socket would be its own word: an owned hop would then run beyond
 * operations-max. */
static void
hop_gone(void *arg, int fd, short revents)
{
	(void)fd;
	(void)revents;
	if (((struct operation *)arg)->running)
		joblist_hop_gone(arg);
	else
		operation_free(arg);
}

int
operation_adopt(const char *id, const char *identity, struct connection *c,
    const char *target, int pidfd)
{
	struct operation *op =
	    operation_new_running(id, identity, c, target, pidfd);

	if (op == NULL)
		return ERR_NOMEM;
	op->watch = loop_watch(child_loop(), op->pidfd, POLLIN, hop_gone, op);
	if (op->watch != NULL)
		return 0;
	op->kept = false; /* whoever fails is forgotten by the caller */
	operation_free(op);
	return ERR_NOMEM;
}

/* The next policy process finds the hop by pid and start time.  Without a row
 * it would only be missed in the count. */
static void
keep_running(struct operation *op)
{
	struct proc_stat st;
	int r = proc_stat(op->hop, &st);

	if (r == 0 && proc_alive(op->pidfd))
		r = takeover_keep_operation(op, st.start);
	op->kept = r == 0;
}

int
operation_tell_started(const struct operation *op)
{
	struct msg m;
	int r;

	if (policy_audit() == NULL)
		return ERR_NOTFOUND;
	msg_init(&m, MSG_OP_STARTED);
	if ((r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = msg_add_fd(&m, op->pidfd)) == 0)
		r = peer_send(policy_audit(), &m);
	msg_clear(&m);
	return r;
}

/* A command of a list: shell and hop get a connection of their own, and this
 * one stays for what follows. */
static int
connect_shell(struct operation *op, struct msg *m, int *fdp)
{
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return ERR_SYS;
	if ((r = msg_add_fd(m, sv[1])) == 0)
		r = peer_send(op->shell, m);
	(void)close(sv[1]);
	if (r == 0)
		*fdp = sv[0];
	else
		(void)close(sv[0]);
	return r;
}

/* Tells the shell, and takes its connection out of policy's hands when it is
 * not needed here any more. */
static int
detach_shell(struct operation *op, int *fdp)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_ACCEPTED);
	if (op->list != NULL &&
	    (op->list->at < op->list->n || op->in != NULL)) {
		r = connect_shell(op, &m, fdp);
		op->running = r == 0;
	} else if ((r = peer_send(op->shell, &m)) == 0 &&
		   (r = peer_detach(op->shell, fdp)) == 0) {
		op->shell = NULL;
	}
	msg_clear(&m);
	return r;
}

/* Both are there: hand over.  The order matters: audit watches the hop before
 * it can show a byte, the grant waits before it can be asked for, and the shell
 * keeps the streams, and so a way to say why not, up to the last step. */
static int
operation_launch(struct operation *op)
{
	struct peer *signer = policy_signer();
	int shell = -1, r;

	if (signer == NULL)
		return ERR_NOTFOUND;
	if ((r = msg_add_fd(&op->grant, op->cert[0])) != 0 ||
	    (r = operation_tell_started(op)) != 0 ||
	    (r = peer_send(signer, &op->grant)) != 0 ||
	    (r = detach_shell(op, &shell)) != 0)
		return r;
	/* the hop's now; on failure the shell sees an end: 75 */
	for (size_t i = 0; i < 3 && r == 0; i++)
		r = msg_add_fd(&op->run, op->stdio[i]);
	if (r == 0 && (r = msg_add_fd(&op->run, shell)) == 0 &&
	    (r = msg_add_fd(&op->run, op->record[0])) == 0 &&
	    (r = msg_add_fd(&op->run, op->record[1])) == 0 &&
	    (r = msg_add_fd(&op->run, op->cert[1])) == 0)
		r = msg_send(op->control, &op->run);
	(void)close(shell);
	return r;
}

static void
operation_proceed(struct operation *op)
{
	int r;

	if (!op->opened || !op->started)
		return;
	if (policy_signer() == NULL) {
		r = ERR_NOTFOUND; /* known before the job is told ACCEPTED */
		goto fail;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    op->cert) == -1) {
		r = ERR_SYS;
		goto fail;
	}
	op->watch = loop_watch(child_loop(), op->pidfd, POLLIN, hop_gone, op);
	if (op->watch == NULL) {
		r = ERR_NOMEM;
		goto fail;
	}
	if ((r = operation_launch(op)) != 0)
		goto fail;
	operation_drop_start(op);
	keep_running(op);
	timer_free(op->timer);
	op->timer = NULL;
	return;
fail:
	log_err(r, "start of operation %s", op->id);
	operation_abort(op->id, "the broker could not start it");
	if (op->shell != NULL)
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker could not start this operation; try again");
	else
		operation_free(op);
}

static struct operation *
operation_waiting(uint32_t id, bool audit)
{
	struct operation *op;

	for (op = operation_first(); op != NULL; op = op->next) {
		if (audit ? !op->opened && op->open_id == id && id != 0 :
		    !op->started && op->start_id == id && id != 0)
			return op;
	}
	return NULL;
}

int
operation_opened(struct msg *m)
{
	struct operation *op = operation_waiting(m->id, true);
	char reason[512], text[600];
	uint32_t result;
	uint64_t number;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_u64(&m->body, &number)) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (op == NULL)
		return 0; /* its shell has left meanwhile: OP_ABORT went out */
	op->opened = true;
	op->record[0] = msg_take_fd(m, 0);
	op->record[1] = msg_take_fd(m, 1);
	if (op->record[0] < 0 || op->record[1] < 0)
		result = result == 0 ? 1 : result;
	if (op->hosts != NULL) {
		brokershell_opened(op, result, reason);
		return 0;
	}
	if (result == 0) {
		operation_proceed(op);
		return 0;
	}
	(void)snprintf(text, sizeof(text), "not run: %.500s", reason[0] != '\0' ?
	    reason : "the recording cannot be written");
	operation_refuse(op, POSTERN_EX_IOERR, text);
	return 0;
}

int
operation_hop_started(struct msg *m)
{
	struct operation *op = operation_waiting(m->id, false);
	uint32_t pid;
	int r;

	if ((r = buf_get_u32(&m->body, &pid)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (op == NULL)
		return 0;
	op->started = true;
	op->hop = (pid_t)pid;
	op->pidfd = msg_take_fd(m, 0);
	if (op->pidfd >= 0) {
		operation_proceed(op);
		return 0;
	}
	operation_abort(op->id, "the broker could not start a process");
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    "the broker could not start a process for this; try again");
	return 0;
}

void
operation_parent_lost(void)
{
	struct operation *op, *next;

	for (op = operation_first(); op != NULL; op = next) {
		next = op->next;
		if (op->shell == NULL || op->start_id == 0 || op->started)
			continue;
		operation_abort(op->id, "the broker ended before it began");
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "not run: the broker is being restarted; try again");
	}
}

void
operation_audit_lost(uint32_t last)
{
	struct operation *op, *next;

	for (op = operation_first(); op != NULL; op = next) {
		next = op->next;
		if (op->list != NULL)
			op->list->audit = NULL; /* it knows no turn any more */
		if (op->running)
			joblist_break(op, POSTERN_EX_TEMPFAIL,
			    "the broker was restarted in the middle of its "
			    "list");
		else if (op->shell != NULL && op->open_id != 0 && !op->opened &&
			 (int32_t)(op->open_id - last) <= 0)
			operation_refuse(op, POSTERN_EX_IOERR, "not run: the "
			    "recording cannot be written just now; try again");
	}
}
