/*
 * A broker shell in the policy process: a person, or a job with a terminal,
 * sends one line after the other, and each is an operation, or a list of them,
 * decided like what `ssh TARGET@BASTION COMMAND` sends.  The shell itself is an
 * operation without a hop (operation.hosts): its connection stays here, it
 * holds the job's streams, and its lines borrow both.
 *
 * Distrusts what comes on that connection: a postern-shell that somebody owns
 * can send lines and nothing else, one at a time, while its connection and its
 * session are open.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/brokershell_internal.h"
#include "broker/child.h"
#include "broker/lock.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/policy.h"

#define SHELLS_EACH 4     /* of one connection */
#define DIR_SHOWN_MAX 300 /* bytes of the folder, in the prompt */
#define STATUS_BROKEN 130 /* a shell's, after Ctrl-C */
#define CD_TRY " && true" /* makes a command of a `cd` that is alone */

static const char killed[] = "this session was ended by the bastion's admin";
static const char unsaid[] =
    "closed: where its next line would run could not be shown; log in again";

/* -- its life ---------------------------------------------------------------
 */

void
brokershell_free(struct operation *op)
{
	struct brokershell *s = op->hosts;

	if (s == NULL)
		return;
	if (op->open_id != 0 && !op->opened) /* audit has yet to answer */
		operation_abort(op->id, "it was over before it was opened");
	op->hosts = NULL;
	if (s->line != NULL) { /* goes on, and tells nobody */
		s->line->in = NULL;
		s->line->shell = NULL;
	}
	free(s->dir);
	sent_clear(&s->sent);
	free(s);
}

/* Nothing was typed, or the session's time is over. */
static void
shell_expired(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	if (msg_now_ms() >= op->conn->session->limit_ms)
		operation_refuse(op, POSTERN_EX_DENIED,
		    "closed: its session's time is over (session-max); log in "
		    "again with a new token");
	else
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "closed: no line came for too long (shell-idle)");
}

/* Waits for a line, not for ever. */
static void
shell_wait(const struct operation *op)
{
	int64_t idle = (int64_t)policy_conf()->shell_idle_s * 1000;
	int64_t left = op->conn->session->limit_ms - msg_now_ms();

	if (left > idle)
		left = idle;
	timer_set(op->timer, left < 0 ? 0 : left);
}

/* So many bytes of it are in the prompt: whole characters. */
static size_t
dir_shown(const char *dir)
{
	size_t n = strnlen(dir, DIR_SHOWN_MAX + 1);

	if (n <= DIR_SHOWN_MAX)
		return n;
	for (n = DIR_SHOWN_MAX; n > 0 && (dir[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

/* Where its lines run, and as whom: the policy's word, not the job's. */
int
brokershell_prompt(struct operation *op)
{
	struct brokershell *s = op->hosts;
	const char *dir = s->dir == NULL ? "" : s->dir;
	char text[PROTO_PROMPT_MAX], name[PLACE_SIZE];
	struct msg m;
	int r;

	(void)snprintf(text, sizeof(text), "%s as %s%s%.*s> ",
	    place_name(&s->place, name), session_identity(op->conn->session),
	    s->dir == NULL ? "" : ":", (int)dir_shown(dir), dir);
	if (strcmp(text, s->shown) == 0)
		return 0;
	msg_init(&m, MSG_PROMPT);
	if ((r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = buf_put_cstr(&m.body, text)) == 0 &&
	    (r = buf_put_u8(&m.body, s->inside)) == 0)
		r = peer_send(op->shell, &m);
	msg_clear(&m);
	if (r == 0)
		memcpy(s->shown, text, sizeof(text));
	return r;
}

void
brokershell_unsaid(struct operation *op)
{
	if (op->hosts->line == NULL)
		operation_refuse(op, POSTERN_EX_TEMPFAIL, unsaid);
	else
		op->hosts->unsaid = true;
}

static int
is_this_place(void *arg, const struct target *t, const char *login, bool denied)
{
	const struct user_name *x = arg;

	(void)denied;
	return strcmp(t->name, x->target) == 0 &&
		       strcmp(login,
			   x->login[0] == '\0' ? t->login : x->login) == 0
		   ? ERR_EXISTS
		   : 0;
}

bool
brokershell_reaches(
    const struct connection *conn, const struct user_name *place)
{
	struct user_name x = *place;

	return policy_now() != NULL &&
	       policy_reach(policy_now(), conn->session->identity,
		   policy_time(), is_this_place, &x) == ERR_EXISTS;
}

static size_t
shells_of(const struct connection *conn)
{
	size_t n = 0;

	for (struct operation *op = operation_first(); op != NULL;
	     op = op->next)
		n += op->hosts != NULL && op->conn == conn;
	return n;
}

void
brokershell_open(
    struct operation *op, struct connection *conn, const struct ask *a)
{
	const bool control = strcmp(conn->user, "postern") == 0;
	struct brokershell *s;

	if (!control && !brokershell_reaches(conn, &conn->name)) {
		operation_no_shell(op, conn, a);
		return;
	}
	if (operation_count() > policy_conf()->operations_max ||
	    shells_of(conn) >= SHELLS_EACH) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "as many operations or shells are open as there may be; "
		    "try again");
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    sent_copy(&a->sent, &s->sent) != 0) {
		if (s != NULL)
			sent_clear(&s->sent);
		free(s);
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		return;
	}
	memcpy(s->term, a->term, sizeof(s->term));
	s->control = control;
	s->place = conn->name;
	op->hosts = s;
	session_hold(conn);
	op->conn = conn;
	brokershell_record(op, a);
}

void
brokershell_begin(struct operation *op)
{
	/* one for its whole life: whoever ends a line must not fail to wait
	 * for the next one */
	if ((op->timer = loop_timer(child_loop(), -1, shell_expired, op)) ==
	    NULL) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		return;
	}
	if (brokershell_prompt(op) != 0)
		brokershell_unsaid(op);
	else
		shell_wait(op);
}

int
brokershell_event(const struct operation *op, struct buf *event)
{
	int r;

	if ((r = event_str(event, EV_SHELL, op->id)) != 0)
		return r;
	return event_num(event, EV_LINE, op->hosts->lines);
}

void
brokershell_line_over(struct operation *op)
{
	struct brokershell *s = op->hosts;

	s->line = NULL;
	if (s->killed)
		operation_refuse(op, POSTERN_EX_DENIED, killed);
	else if (s->unsaid)
		brokershell_unsaid(op);
	else if (op->shell != NULL)
		shell_wait(op);
}

void
brokershell_kill(struct operation *op)
{
	if (op->hosts->line == NULL)
		operation_refuse(op, POSTERN_EX_DENIED, killed);
	else
		op->hosts->killed = true;
}

void
brokershell_leave(struct operation *op)
{
	const struct operation *line = op->hosts->line;

	if (line == NULL || line->running)
		operation_free(op);
}

void
brokershell_closed(struct operation *op)
{
	struct operation *line = op->hosts->line;

	brokershell_free(op);
	operation_free(op);
	if (line == NULL)
		return;
	if (line->running) {
		joblist_break(line, POSTERN_EX_TEMPFAIL, "the job was gone");
		return;
	}
	if (line->open_id != 0)
		operation_abort(line->id, "the job left before it began");
	operation_free(line);
}

/* -- a line -----------------------------------------------------------------
 */

void
brokershell_done(struct operation *line, const struct buf *out)
{
	(void)operation_answer(line, 0, out, NULL);
	operation_free(line);
}

void
brokershell_moved(struct operation *line)
{
	/* MUST NOT go on under a prompt that names another place */
	if (brokershell_prompt(line->in) != 0)
		brokershell_unsaid(line->in);
	brokershell_done(line, NULL);
}

/* `cd DIR` alone: where the lines that follow run; `cd` alone: in the login's
 * own folder again.  false: it is something else. */
static bool
line_cd(struct operation *op, struct operation *line, const struct ask *a)
{
	struct brokershell *s = op->hosts;
	struct command_error e = { 0 };
	struct buf text;
	struct list l = { 0 };
	char *dir = NULL;
	bool mine = false;
	int r;

	buf_init(&text, PROTO_COMMAND_MAX + sizeof(CD_TRY));
	if ((r = buf_put(&text, a->command, a->ncommand)) != 0 ||
	    (r = buf_putf(&text, CD_TRY)) != 0)
		goto out;
	r = list_parse(
	    (const char *)buf_ptr(&text), buf_len(&text), LIST_LINE, &l, &e);
	if (r != 0 || l.n != 1 ||
	    l.command[0].pos < a->ncommand) /* there was a command */
		goto out;
	mine = true;
	if (l.command[0].dir != NULL &&
	    (dir = strdup(l.command[0].dir)) == NULL) {
		operation_refuse(line, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		goto out;
	}
	free(s->dir);
	s->dir = dir;
	brokershell_moved(line);
out:
	buf_clear(&text);
	list_clear(&l);
	return mine;
}

/* One word, and nothing beside it. */
static bool
is_word(const struct ask *a, const char *word)
{
	const uint8_t *s = a->command;
	size_t n = a->ncommand, len = strlen(word);

	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	while (n > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		n--;
	}
	return n == len && memcmp(s, word, len) == 0;
}

/* The words that are the shell's own; true: answered. */
static bool
line_own(struct operation *op, struct operation *line, const struct ask *a)
{
	struct buf out;
	bool mine = true;

	buf_init(&out, PROTO_TEXT_MAX);
	if (is_word(a, "help")) {
		brokershell_help(op, &line->place, &out);
		brokershell_done(line, &out);
	} else if (is_word(a, "cd")) {
		free(op->hosts->dir);
		op->hosts->dir = NULL;
		brokershell_moved(line);
	} else {
		mine = line_cd(op, line, a);
	}
	buf_clear(&out);
	return mine;
}

void
brokershell_judge(struct operation *line, const struct ask *a)
{
	struct connection *conn = line->in->conn;
	struct list l = { 0 };

	if (operation_read(line, conn, a, line->in->hosts->dir, &l))
		operation_judge(line, conn, a, &l);
	list_clear(&l);
}

static void
line_run(struct operation *op, struct operation *line, const struct ask *a)
{
	const struct brokershell *s = op->hosts;

	if (s->control && !s->inside)
		brokershell_targets_line(op, line, a);
	else if (lock_now()->on)
		operation_locked(line, op->conn, a, false);
	else if (!line_own(op, line, a))
		brokershell_judge(line, a);
}

static int
shell_line(struct operation *op, struct msg *m)
{
	struct brokershell *s = op->hosts;
	struct ask a = { .kind = RUN_EXEC, .tty = 1, .what = OP_COMMAND };
	int r;

	if (s->line != NULL)
		return ERR_PROTO; /* one at a time */
	if ((r = buf_get_view(
		 &m->body, PROTO_COMMAND_MAX, &a.command, &a.ncommand)) != 0 ||
	    (r = buf_get_u32(&m->body, &a.cols)) != 0 ||
	    (r = buf_get_u32(&m->body, &a.rows)) != 0 || (r = msg_end(m)) != 0)
		return r;
	memcpy(a.term, s->term, sizeof(a.term));
	a.sent = s->sent; /* the shell's own, for the line to look at */
	a.dir = s->dir;
	ask_bound_size(&a);
	if (op->conn->state != CONNECTION_OPEN || op->conn->session->over) {
		operation_refuse(op, POSTERN_EX_DENIED,
		    "not run: its session is over; log in again with a new "
		    "token");
		return 0;
	}
	s->lines++;
	if ((s->line = operation_new_line(op, &s->place)) == NULL) {
		struct buf err;

		buf_init(&err, PROTO_TEXT_MAX);
		(void)buf_putf(&err,
		    "postern: not run: the broker is out of descriptors; try "
		    "again\n");
		r = operation_answer(op, POSTERN_EX_TEMPFAIL, NULL, &err);
		buf_clear(&err);
		return r;
	}
	timer_set(op->timer, -1);
	line_run(op, s->line, &a);
	return 0;
}

/* Nothing more of the line is wanted; what runs has had its signal. */
static int
shell_break(struct operation *op, struct msg *m)
{
	struct operation *line = op->hosts->line;

	if (msg_end(m) != 0)
		return ERR_PROTO;
	if (line == NULL)
		return 0; /* its answer was on the way */
	if (line->running) {
		line->list->interrupted = true;
		joblist_break(line, STATUS_BROKEN, "it was broken off");
		return 0;
	}
	if (line->open_id != 0)
		operation_abort(line->id, "broken off before it began");
	operation_refuse(line, STATUS_BROKEN, "not run: it was broken off");
	return 0;
}

int
brokershell_msg(struct operation *op, struct msg *m)
{
	if (!op->opened)
		return ERR_PROTO; /* no recording, no line */
	switch (m->type) {
	case MSG_LINE:
		return shell_line(op, m);
	case MSG_BREAK:
		return shell_break(op, m);
	case MSG_WORDS:
		return op->hosts->line != NULL ? ERR_PROTO
					       : brokershell_words(op, m);
	case MSG_LEAVE:
		if (op->hosts->line != NULL || !op->hosts->inside)
			return ERR_PROTO;
		return brokershell_targets_leave(op, m);
	default:
		return ERR_PROTO;
	}
}
