/*
 * A list of commands in the policy process: all are decided, made ready and
 * written down before the first is run; then each is an operation of its own,
 * with a grant, a hop, a certificate and a recording.  What runs next hangs on
 * how the hop says that its command ended.  An owned hop can lie about that,
 * and gets another one of the commands that were granted; no more.
 *
 * What is not run is said in the ledger: each command that does not begin has
 * an operation.end with the reason.
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define LINES_MS 15000    /* for audit to write the lines */
#define STATUS_SIGNAL 128 /* and the signal's number: a shell's $? */
#define STATUS_INTERRUPTED 130

/* -- making one
 * ---------------------------------------------------------------- */

static size_t
line_of(const struct ask *a, size_t pos)
{
	size_t line = 1;

	for (size_t i = 0; i < pos && i < a->ncommand; i++)
		line += a->command[i] == '\n';
	return line;
}

int
joblist_new(const struct list *l, const struct ask *a, struct joblist **out)
{
	struct joblist *j = calloc(1, sizeof(*j));
	int r = ERR_NOMEM;

	if (j == NULL || (j->member = calloc(l->n, sizeof(*j->member))) == NULL)
		goto out;
	if ((r = ulid_new(j->id)) != 0)
		goto out;
	j->n = l->n;
	for (size_t i = 0; i < 3; i++)
		j->stdio[i] = -1;
	j->pty = a->tty != 0;
	for (size_t i = 0; i < l->n; i++) {
		struct member *m = &j->member[i];

		m->connect = l->connect[i];
		m->line = line_of(a, l->command[i].pos);
		msg_init(&m->open, MSG_OP_OPEN);
		msg_init(&m->run, MSG_HOP_RUN);
		msg_init(&m->grant, MSG_GRANT);
		buf_init(&m->decision, EVENT_BODY_MAX);
	}
	*out = j;
	j = NULL;
	r = 0;
out:
	if (j != NULL)
		free(j->member);
	free(j);
	return r;
}

/* Audit is told of each command that was decided and does not begin. */
static void
drop_rest(struct joblist *j, const char *why)
{
	char reason[200];

	(void)snprintf(reason, sizeof(reason), "not run: %s", why);
	for (; j->at < j->n; j->at++) {
		if (j->audit != NULL && j->audit == policy_audit())
			operation_abort(j->member[j->at].id, reason);
	}
}

void
joblist_free(struct joblist *j)
{
	if (j == NULL)
		return;
	drop_rest(j, "a command before it could not be started");
	for (size_t i = 0; i < j->n; i++) {
		msg_clear(&j->member[i].open);
		msg_clear(&j->member[i].run);
		msg_clear(&j->member[i].grant);
		buf_clear(&j->member[i].decision);
	}
	for (size_t i = 0; i < 3; i++) {
		if (j->stdio[i] >= 0)
			(void)close(j->stdio[i]);
	}
	free(j->member);
	free(j);
}

int
joblist_event(const struct joblist *j, struct buf *event)
{
	static const char *const text[] = { [CONNECT_FIRST] = NULL,
		[CONNECT_AND] = "&&",
		[CONNECT_OR] = "||",
		[CONNECT_THEN] = ";",
		[CONNECT_LINE] = "newline" };
	int r;

	if (j->n == 1)
		return 0;
	if ((r = event_str(event, EV_LIST, j->id)) != 0 ||
	    (r = event_num(event, EV_POSITION, j->at + 1)) != 0 ||
	    (r = event_num(event, EV_POSITIONS, j->n)) != 0)
		return r;
	return event_str(event, EV_JOINED, text[j->member[j->at].connect]);
}

static void
move_msg(struct msg *to, struct msg *from)
{
	msg_clear(to);
	*to = *from;
	msg_init(from, from->type);
}

void
joblist_take(struct operation *op, struct buf *decision)
{
	struct member *m = &op->list->member[op->list->at++];

	move_msg(&m->open, &op->open);
	move_msg(&m->run, &op->run);
	move_msg(&m->grant, &op->grant);
	m->decision = *decision;
	buf_init(decision, EVENT_BODY_MAX);
}

/* -- beginning
 * --------------------------------------------------------------------- */

/* The job's descriptors: each command has its copies, the last has them. */
static int
take_stdio(struct operation *op)
{
	struct joblist *j = op->list;

	for (size_t i = 0; i < 3; i++) {
		op->stdio[i] = j->at == j->n
				   ? j->stdio[i]
				   : fcntl(j->stdio[i], F_DUPFD_CLOEXEC, 0);
		if (op->stdio[i] == -1)
			return ERR_SYS;
		if (j->at == j->n)
			j->stdio[i] = -1;
	}
	return 0;
}

/* The next command begins. */
static void
joblist_go(struct operation *op)
{
	struct joblist *j = op->list;
	struct member *m = &j->member[j->at++];

	memcpy(op->id, m->id, sizeof(op->id));
	memcpy(op->identity, m->identity, sizeof(op->identity));
	move_msg(&op->open, &m->open);
	move_msg(&op->run, &m->run);
	move_msg(&op->grant, &m->grant);
	op->opened = op->started = false;
	op->open_id = op->start_id = 0;
	j->line = m->line;
	if (take_stdio(op) != 0) {
		operation_abort(op->id, "the broker is out of descriptors");
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out "
		    "of descriptors; try again");
		return;
	}
	operation_start(op);
}

/* A line of the list is in the ledger, or not.  When all are, it begins. */
static void
line_written(void *arg, int result)
{
	struct operation *op = arg;
	struct joblist *j = op->list;

	if (result != 0)
		j->broken = "the ledger could not be written";
	if (--j->asked > 0)
		return;
	timer_free(op->timer);
	op->timer = NULL;
	if (j->broken != NULL)
		operation_refuse(op, POSTERN_EX_IOERR,
		    "not run: the ledger "
		    "cannot be written just now; try again");
	/* The audit that has the lines closes them when it goes; the next one
	 * MUST NOT hear of these commands again. */
	else if (j->audit != policy_audit())
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "not run: the broker is being restarted; try again");
	else
		joblist_go(op);
}

static void
lines_late(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    "not run: the ledger could not "
	    "be written in time; try again");
}

void
joblist_begin(struct operation *op)
{
	struct joblist *j = op->list;
	int r = 0;

	memcpy(j->stdio, op->stdio, sizeof(j->stdio));
	for (size_t i = 0; i < 3; i++)
		op->stdio[i] = -1;
	j->at = 0;
	j->audit = policy_audit();
	op->timer = loop_timer(child_loop(), LINES_MS, lines_late, op);
	if (r == 0 && op->timer == NULL)
		r = ERR_NOMEM;
	for (size_t i = 0; i < j->n && r == 0; i++) {
		r = policy_event_then(&j->member[i].decision, line_written, op);
		j->asked += r == 0;
	}
	if (r == 0)
		return;
	log_err(r, "list %s", j->id);
	operation_refuse(op, POSTERN_EX_IOERR,
	    "not run: the ledger cannot be "
	    "written just now; try again");
}

/* -- one after the other
 * -------------------------------------------------------------- */

/* The last answer, with the status that a shell would end with. */
static void
joblist_answer(struct operation *op, uint32_t code, const char *text)
{
	struct joblist *j = op->list;
	struct buf err;
	int r;

	buf_init(&err, PROTO_TEXT_MAX);
	if ((text != NULL && (r = buf_putf(&err, "postern: %s (list %s)%s\n",
				  text, j->id, j->pty ? "\r" : "")) != 0) ||
	    (r = operation_answer(op, code, NULL, &err)) != 0)
		log_err(r, "answer to list %s", j->id);
	buf_clear(&err);
	operation_free(op);
}

bool
joblist_needs(const struct joblist *j, const char *identity)
{
	for (size_t i = j->at; i < j->n; i++) {
		if (strcmp(j->member[i].identity, identity) == 0)
			return true;
	}
	return false;
}

void
joblist_break(struct operation *op, uint32_t code, const char *why)
{
	struct joblist *j = op->list;

	if (j->broken != NULL || j->at == j->n)
		return;
	j->broken = why;
	j->code = code;
	drop_rest(j, why);
}

/* Does the next command run?  false with *stop: nor does any other. */
static bool
is_next(const struct joblist *j, bool *stop)
{
	*stop = false;
	switch (j->member[j->at].connect) {
	case CONNECT_AND:
		return j->status == 0;
	case CONNECT_OR:
		return j->status != 0;
	case CONNECT_LINE:
		*stop = j->status != 0;
		return !*stop;
	case CONNECT_FIRST:
	case CONNECT_THEN:
		return true;
	}
	return false;
}

static void
joblist_next(struct operation *op)
{
	struct joblist *j = op->list;
	char text[160];
	bool stop = false;

	while (j->at < j->n) {
		if (is_next(j, &stop)) {
			joblist_go(op);
			return;
		}
		(void)snprintf(text, sizeof(text),
		    "not run: what ran before "
		    "it ended with %u",
		    j->status);
		operation_abort(j->member[j->at++].id, text);
		if (stop)
			drop_rest(j, "a line before it failed");
	}
	(void)snprintf(text, sizeof(text),
	    "line %zu of the script ended with "
	    "%u; the lines after it were not run",
	    j->line, j->status);
	joblist_answer(op, j->interrupted ? STATUS_INTERRUPTED : j->status,
	    stop ? text : NULL);
}

/* The hop's last word, when it had one. */
static int
read_ended(struct operation *op, bool *own, uint32_t *kind, uint32_t *value)
{
	struct msg m;
	uint8_t u;
	int r;

	/* it is dead: what it said is there, or never comes */
	if ((r = msg_wait(op->control, POLLIN, msg_now_ms())) != 0)
		return r;
	if ((r = msg_recv(op->control, &m)) == 0 &&
	    (m.type != MSG_HOP_ENDED || buf_get_u8(&m.body, &u) != 0 ||
		buf_get_u32(&m.body, kind) != 0 ||
		buf_get_u32(&m.body, value) != 0 || msg_end(&m) != 0 ||
		*kind > EXIT_SIGNAL || *value > 255))
		r = ERR_PROTO;
	if (r == 0)
		*own = u == 1;
	msg_clear(&m);
	return r;
}

/* The command is over, and so is what the operation held for it. */
static void
forget_hop(struct operation *op)
{
	watch_free(op->watch);
	op->watch = NULL;
	(void)close(op->pidfd);
	(void)close(op->control);
	op->pidfd = op->control = -1;
	if (op->kept)
		takeover_forget_operation(op->id);
	op->kept = op->running = false;
}

void
joblist_hop_gone(struct operation *op)
{
	struct joblist *j = op->list;
	uint32_t kind = EXIT_CODE, value = POSTERN_EX_TEMPFAIL;
	bool own = false;
	char text[200];
	int r;

	if ((r = read_ended(op, &own, &kind, &value)) != 0) {
		log_err_about(
		    ABOUT_OPERATION(op->id), r, "the last word of %s", op->id);
		value = POSTERN_EX_TEMPFAIL;
		own = false;
	}
	forget_hop(op);
	j->status = kind == EXIT_SIGNAL ? STATUS_SIGNAL + value : value;
	if (!own)
		joblist_break(op, j->status,
		    "a command before it did not come "
		    "to its own end");
	else if (j->audit != policy_audit())
		joblist_break(op, POSTERN_EX_TEMPFAIL,
		    "the broker was restarted in the middle of its list");
	if (op->shell == NULL) {
		operation_free(op);
	} else if (j->broken != NULL) {
		(void)snprintf(text, sizeof(text),
		    "what follows in the list "
		    "was not run: %s",
		    j->broken);
		joblist_answer(op, j->code, text);
	} else {
		joblist_next(op);
	}
}
