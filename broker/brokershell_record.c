/*
 * A broker shell's own recording: of what postern-shell shows while no command
 * has the terminal.  audit opens it before the first prompt, like an
 * operation's, and closes it when its writer is dead; the writer is
 * postern-shell itself, which gets both descriptors with SHELL_RECORD.  Runs in
 * policy.
 *
 * A postern-shell that somebody owns can write into its own recording whatever
 * it likes, as long as it lives, and into no other: what its lines did is
 * recorded by their hops.
 */
#include "config.h"

#include <stdio.h>
#include <unistd.h>

#include "broker/brokershell_internal.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define BY_SHELL "shell"
#define TITLE_MAX 300
#define NOT_OPENED                                                             \
	"not opened: the recording cannot be written just now; try again"

/* "web-1 as deploy: a broker shell" */
static void
shell_title(const struct operation *op, char *text, size_t size)
{
	(void)snprintf(text, size, "%s as %s: a broker shell", op->conn->user,
	    session_identity(op->conn->session));
}

/* It was let in because some rule leads there, and not by one of them. */
static int
put_decision(struct buf *b, const struct operation *op)
{
	const struct decision none = { .rule_name = "" };
	int r;

	if ((r = plan_decide_event(b, op, op->conn, &none, "allow")) != 0 ||
	    (r = event_str(b, EV_SHELL, op->id)) != 0 ||
	    (r = event_str(b, EV_BY, BY_SHELL)) != 0)
		return r;
	return event_num(b, EV_PTY, 1);
}

static int
put_open(struct operation *op, const struct ask *a)
{
	struct buf *b = &op->open.body;
	char title[TITLE_MAX];
	int r;

	shell_title(op, title, sizeof(title));
	if ((r = buf_put_cstr(b, op->id)) != 0 || (r = buf_put_u8(b, 1)) != 0 ||
	    (r = buf_put_u32(b, a->cols)) != 0 ||
	    (r = buf_put_u32(b, a->rows)) != 0 ||
	    (r = buf_put_cstr(b, a->term)) != 0 ||
	    (r = buf_put_cstr(b, title)) != 0)
		return r;
	return put_decision(b, op);
}

static void
open_late(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	operation_refuse(op, POSTERN_EX_IOERR, NOT_OPENED);
}

void
brokershell_record(struct operation *op, const struct ask *a)
{
	int r;

	op->timer = loop_timer(child_loop(), START_MS, open_late, op);
	if (op->timer == NULL) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		return;
	}
	if ((r = put_open(op, a)) == 0)
		r = operation_ask_audit(op);
	if (r == 0)
		return;
	log_err_about(ABOUT_OPERATION(op->id), r, "shell %s", op->id);
	operation_refuse(op, POSTERN_EX_IOERR, NOT_OPENED);
}

static int
send_record(const struct operation *op)
{
	char title[TITLE_MAX];
	struct msg m;
	int r;

	shell_title(op, title, sizeof(title));
	msg_init(&m, MSG_SHELL_RECORD);
	if ((r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = buf_put_cstr(&m.body, op->conn->session->id)) == 0 &&
	    (r = buf_put_cstr(&m.body, op->conn->name.target)) == 0 &&
	    (r = buf_put_cstr(&m.body, op->hosts->term)) == 0 &&
	    (r = buf_put_cstr(&m.body, title)) == 0 &&
	    (r = msg_add_fd(&m, op->record[0])) == 0 &&
	    (r = msg_add_fd(&m, op->record[1])) == 0)
		r = peer_send(op->shell, &m);
	msg_clear(&m);
	return r;
}

/* The lock on the recording goes with the copies that are left. */
static void
let_go(struct operation *op)
{
	for (size_t i = 0; i < 2; i++) {
		(void)close(op->record[i]);
		op->record[i] = -1;
	}
	(void)close(op->pidfd);
	op->pidfd = -1;
	msg_clear(&op->open);
}

/* audit watches the writer before it can show a byte. */
static int
hand_over(struct operation *op)
{
	int r;

	if ((r = peer_pidfd(op->shell, &op->pidfd)) != 0 ||
	    (r = operation_tell_started(op)) != 0 || (r = send_record(op)) != 0)
		return r;
	let_go(op);
	return 0;
}

void
brokershell_opened(struct operation *op, uint32_t result, const char *reason)
{
	char text[600];
	int r;

	timer_free(op->timer);
	op->timer = NULL;
	if (result != 0) {
		(void)snprintf(text, sizeof(text), "not opened: %.500s",
		    reason[0] != '\0' ? reason
				      : "the recording cannot be written");
		operation_refuse(op, POSTERN_EX_IOERR, text);
		return;
	}
	if ((r = hand_over(op)) == 0) {
		brokershell_begin(op);
		return;
	}
	log_err_about(ABOUT_OPERATION(op->id), r, "shell %s", op->id);
	operation_abort(op->id, "the broker could not open it");
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    "the broker could not open this shell; try again");
}
