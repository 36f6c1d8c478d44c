/*
 * One operation in the policy process: take RUN from postern-shell, decide,
 * have audit open the recording and the parent start a hop, both at once, and
 * when both are there hand everything over: the grant to the signer, the job's
 * descriptors, the shell's connection and the certificate socket to the hop.
 * From then on policy may die without the operation noticing.
 *
 * Distrusts everything in RUN: the asker is known by the kernel's word, the
 * command is bytes until the parser has accepted it.
 */
#include "config.h"

#include "broker/operation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/caller.h"
#include "broker/child.h"
#include "broker/control.h"
#include "broker/jobcert.h"
#include "broker/lock.h"
#include "broker/loop.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "broker/takeover.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/command.h"
#include "policy/decide.h"

#define ASK_MS 15000    /* for a caller's RUN */
#define CALLERS_MAX 512 /* connected and have not asked yet */
#define CALLERS_EASY 64 /* so many without a question who they are, */
#define CALLERS_EACH 16 /* and then of one monitor, or of none */

static struct {
	struct operation *first;
	size_t n;	/* that were asked for */
	size_t ncaller; /* that were not, yet */
	struct log_limit trouble;
} env;

/* What whoever owns a postern-shell can bring about as often as he likes. */
#define caller_log(...)                                                        \
	do {                                                                   \
		if (log_may(&env.trouble, msg_now_ms()))                       \
			log_err(__VA_ARGS__);                                  \
	} while (0)

struct operation *
operation_first(void)
{
	return env.first;
}

size_t
operation_count(void)
{
	return env.n;
}

static void
fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Everything that only the start needs. */
void
operation_drop_start(struct operation *op)
{
	for (size_t i = 0; i < 3; i++)
		fd_close(&op->stdio[i]);
	for (size_t i = 0; i < 2; i++) {
		fd_close(&op->cert[i]);
		fd_close(&op->record[i]);
	}
	msg_clear(&op->open);
	msg_clear(&op->run);
	msg_clear(&op->grant);
}

void
operation_free(struct operation *op)
{
	struct operation **at;

	if (op == NULL)
		return;
	for (at = &env.first; *at != NULL; at = &(*at)->next) {
		if (*at == op) {
			*at = op->next;
			(*(op->asked ? &env.n : &env.ncaller))--;
			break;
		}
	}
	operation_drop_start(op);
	if (op->kept)
		takeover_forget_operation(op->id);
	brokershell_free(op);
	if (op->list != NULL || op->job != NULL)
		policy_ask_drop(op);
	joblist_free(op->list);
	jobcert_free(op->job);
	watch_free(op->watch);
	timer_free(op->timer);
	fd_close(&op->pidfd);
	fd_close(&op->control); /* a hop without work ends on this */
	operation_drop_shell(op);
	if (op->conn != NULL)
		session_release(op->conn);
	free(op);
}

void
operation_drop_shell(struct operation *op)
{
	struct operation *in = op->in;

	op->in = NULL;
	if (in == NULL)
		peer_free(op->shell);
	op->shell = NULL;
	if (in != NULL)
		brokershell_line_over(in);
}

static struct operation *
operation_new(void)
{
	struct operation *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	*op = (struct operation){ .stdio = { -1, -1, -1 },
		.control = -1, .cert = { -1, -1 }, .record = { -1, -1 },
		.pidfd = -1 };
	msg_init(&op->open, MSG_OP_OPEN);
	msg_init(&op->run, MSG_HOP_RUN);
	msg_init(&op->grant, MSG_GRANT);
	op->next = env.first;
	env.first = op;
	env.ncaller++;
	return op;
}

struct operation *
operation_new_line(struct operation *shell, const struct user_name *place)
{
	struct operation *op;

	if ((op = operation_new()) == NULL)
		return NULL;
	op->asked = true;
	env.ncaller--;
	env.n++;
	for (size_t i = 0; i < 3; i++) {
		op->stdio[i] = fcntl(shell->stdio[i], F_DUPFD_CLOEXEC, 0);
		if (op->stdio[i] == -1)
			goto fail;
	}
	if (ulid_new(op->id) != 0)
		goto fail;
	op->shell = shell->shell;
	op->in = shell;
	op->place = *place;
	return op;
fail:
	operation_free(op);
	return NULL;
}

bool
operation_all_started(void)
{
	for (const struct operation *op = env.first; op != NULL;
	     op = op->next) {
		if (op->shell != NULL && !op->running && op->hosts == NULL)
			return false;
	}
	return true;
}

void
operation_break_lists(void)
{
	struct operation *op, *next;

	for (op = env.first; op != NULL; op = next) {
		next = op->next;
		if (op->hosts != NULL) {
			brokershell_leave(op);
			continue;
		}
		if (!op->running)
			continue;
		joblist_break(op, POSTERN_EX_TEMPFAIL,
		    "the broker was restarted in the middle of its list");
		if (op->in == NULL)
			operation_drop_shell(op); /* it says so itself */
	}
}

struct operation *
operation_new_running(const char *id, const char *identity,
    struct connection *c, const char *target, int pidfd)
{
	struct operation *op = operation_new();

	if (op == NULL || str_copy(op->id, sizeof(op->id), id) != 0 ||
	    str_copy(op->identity, sizeof(op->identity), identity) != 0 ||
	    str_copy(op->place.target, sizeof(op->place.target), target) != 0) {
		operation_free(op);
		(void)close(pidfd);
		return NULL;
	}
	op->asked = op->kept = true;
	env.ncaller--;
	env.n++;
	op->pidfd = pidfd;
	op->conn = c;
	session_hold(c);
	return op;
}

/* -- answers --------------------------------------------------------------- */

int
operation_answer(struct operation *op, uint32_t code, const struct buf *out,
    const struct buf *err)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_ANSWER);
	if ((r = buf_put_u32(&m.body, code)) == 0 &&
	    (r = out == NULL ? buf_put_cstr(&m.body, "") :
	    buf_put_str(&m.body, buf_ptr(out), buf_len(out))) == 0 &&
	    (r = err == NULL ? buf_put_cstr(&m.body, "") :
	    buf_put_str(&m.body, buf_ptr(err), buf_len(err))) == 0)
		r = peer_send(op->shell, &m);
	msg_clear(&m);
	if (r != 0 && op->in != NULL) /* it would wait for it for ever */
		brokershell_unsaid(op->in);
	return r;
}

/* A refusal in one line of text; then the operation is forgotten.  What was
 * sent stays readable for the shell after the connection is closed here. */
void
operation_refuse(struct operation *op, uint32_t code, const char *text)
{
	struct buf err;
	int r;

	buf_init(&err, PROTO_TEXT_MAX);
	if ((r = buf_putf(&err, "postern: %s (%s %s)\n", text,
		 op->hosts != NULL ? "shell" : "operation", op->id)) != 0 ||
	    (r = operation_answer(op, code, NULL, &err)) != 0)
		log_err(r, "answer to operation %s", op->id);
	buf_clear(&err);
	operation_free(op);
}

void
operation_behind(struct operation *op)
{
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    "not run: the broker is behind with writing down what it was asked "
	    "before; try again");
}

/* -- RUN ---------------------------------------------------------------------- */

void
ask_bound_size(struct ask *a)
{
	if (a->cols == 0 || a->cols > 1000 || a->rows == 0 || a->rows > 500) {
		a->cols = 80;
		a->rows = 24;
	}
}

static int
get_ask(struct msg *m, char *handle, size_t handlesize, struct ask *a)
{
	struct buf *b = &m->body;
	int r;

	if ((r = buf_get_fixed(b, handle, handlesize)) != 0 ||
	    (r = buf_get_u8(b, &a->kind)) != 0 ||
	    (r = buf_get_view(
		 b, PROTO_COMMAND_MAX, &a->command, &a->ncommand)) != 0 ||
	    (r = buf_get_u8(b, &a->tty)) != 0 ||
	    (r = buf_get_fixed(b, a->term, sizeof(a->term))) != 0 ||
	    (r = buf_get_u32(b, &a->cols)) != 0 ||
	    (r = buf_get_u32(b, &a->rows)) != 0 ||
	    (r = sent_get(b, &a->sent)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (a->kind > RUN_LOGIN || a->tty > 1)
		return ERR_PROTO;
	a->what = operation_is_sftp(a) ? OP_SFTP : OP_COMMAND;
	/* A terminal's name is a word, its size a sane one. */
	for (const char *t = a->term; *t != '\0'; t++) {
		if (!((*t >= 'a' && *t <= 'z') || (*t >= 'A' && *t <= 'Z') ||
		    (*t >= '0' && *t <= '9') || strchr("+-._", *t) != NULL)) {
			a->term[0] = '\0';
			break;
		}
	}
	ask_bound_size(a);
	return 0;
}

const char *
place_name(const struct user_name *place, char name[PLACE_SIZE])
{
	(void)snprintf(name, PLACE_SIZE, "%s%s%s", place->login,
	    place->login[0] == '\0' ? "" : "+", place->target);
	return name;
}

/* The control surface: `ssh postern@bastion …`. */
static void
operation_control(
    struct operation *op, struct connection *conn, const struct command *c)
{
	struct buf out, err;
	uint32_t code;
	int r;

	buf_init(&out, PROTO_TEXT_MAX);
	buf_init(&err, PROTO_TEXT_MAX);
	code = control_run(conn, c, &out, &err);
	if ((r = operation_answer(op, code, &out, &err)) != 0)
		log_err(r, "answer to operation %s", op->id);
	buf_clear(&out);
	buf_clear(&err);
	operation_free(op);
}

static void
operation_not_read(struct operation *op, struct connection *conn,
    const struct ask *a, const struct command_error *e)
{
	const struct decision none = { .rule_name = "default" };
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	if (command_error_print(
		(const char *)a->command, a->ncommand, e, &text) != 0)
		buf_reset(&text);
	operation_deny(op, conn, &none, a, POSTERN_EX_USAGE, &text);
	buf_clear(&text);
}

bool
operation_read(struct operation *op, struct connection *conn,
    const struct ask *a, char *dir, struct list *l)
{
	struct command_error e = { 0 };
	int r;

	r = list_parse((const char *)a->command, a->ncommand,
	    a->kind == RUN_SCRIPT ? LIST_SCRIPT : LIST_LINE, l, &e);
	if (r == 0) /* what could not be written down is not decided */
		r = list_enter(l, dir, &e);
	if (r == 0)
		return true;
	if (r == ERR_NOMEM)
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
	else
		operation_not_read(op, conn, a, &e);
	return false;
}

void
operation_no_shell(
    struct operation *op, struct connection *conn, const struct ask *a)
{
	const struct decision none = { .rule_name = "default" };
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	if (op->in != NULL)
		(void)buf_putf(&text,
		    "postern: no rule lets this job open a shell on %s; "
		    "`help` lists what there is here\n",
		    op->place.target);
	else
		(void)buf_putf(&text,
		    "postern: no rule lets this job open a "
		    "shell on %s; name one command:\n"
		    "postern:   ssh %s@BASTION COMMAND\n",
		    op->place.target, conn->user);
	operation_deny(op, conn, &none, a, POSTERN_EX_DENIED, &text);
	buf_clear(&text);
}

/* Nothing is decided, then, and nothing told but that.  What was wanted of a
 * target is in the ledger. */
void
operation_locked(struct operation *op, struct connection *conn,
    const struct ask *a, bool control)
{
	const struct decision none = { .rule_name = "default" };
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	lock_say(&text);
	if (!control) {
		operation_deny(op, conn, &none, a, POSTERN_EX_TEMPFAIL, &text);
	} else {
		(void)operation_answer(op, POSTERN_EX_TEMPFAIL, NULL, &text);
		operation_free(op);
	}
	buf_clear(&text);
}

void
operation_words(
    struct operation *op, struct connection *conn, const struct ask *a)
{
	struct list l = { 0 };

	if (operation_is_can(a)) {
		operation_can(op, conn, a);
		return;
	}
	if (operation_read(op, conn, a, NULL, &l)) {
		if (l.n == 1)
			operation_control(op, conn, l.command);
		else
			operation_refuse(op, POSTERN_EX_USAGE,
			    "postern@ takes one word at a time; try: help");
	}
	list_clear(&l);
}

static void
operation_run(struct operation *op, struct connection *conn,
    const struct ask *a)
{
	const bool control = strcmp(conn->user, "postern") == 0;
	struct list l = { 0 };

	if (lock_now()->on) {
		operation_locked(op, conn, a, control);
		return;
	}
	if (a->kind == RUN_LOGIN) {
		if (control)
			jobcert_ask(op, conn, a->command, a->ncommand);
		else
			operation_refuse(op, POSTERN_EX_USAGE,
			    "`login` is a word of postern@ alone");
		return;
	}
	if (a->kind == RUN_SHELL) {
		if (a->tty)
			brokershell_open(op, conn, a);
		else if (control)
			operation_control(op, conn, NULL);
		else
			operation_no_shell(op, conn, a);
		return;
	}
	if (a->what == OP_SFTP) {
		if (control)
			operation_refuse(op, POSTERN_EX_USAGE,
			    "postern@ has no files; name a target, as in sftp "
			    "TARGET@BASTION");
		else
			operation_files(op, conn, a);
		return;
	}
	if (control) {
		operation_words(op, conn, a);
		return;
	}
	if (operation_read(op, conn, a, NULL, &l) &&
	    !operation_scp(op, conn, a, &l))
		operation_judge(op, conn, a, &l);
	list_clear(&l);
}

static int
shell_run(struct operation *op, struct peer *p, struct msg *m, struct ask *a)
{
	char handle[PROTO_HANDLE_LEN + 1];
	struct connection *conn;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool fit, starved, lost;
	int pidfd = -1, r;

	if ((r = get_ask(m, handle, sizeof(handle), a)) != 0 ||
	    (r = peer_cred(p, &pid, &uid, &gid)) != 0 ||
	    (r = ulid_new(op->id)) != 0)
		return r;
	op->asked = true;
	env.ncaller--;
	env.n++;
	timer_free(op->timer);
	op->timer = NULL;
	for (size_t i = 0; i < 3; i++)
		op->stdio[i] = msg_take_fd(m, i);
	/* Of everybody's: whatever the answer is, they are closed here. */
	fit = caller_streams_fit(op->stdio);
	r = uid != policy_job_uid() ? ERR_DENIED : peer_pidfd(p, &pidfd);
	if (r == 0)
		r = session_find(handle, pid, pidfd, &conn);
	starved = r != 0 && caller_starved(); /* before one is free again */
	lost =
	    r != 0 && uid == policy_job_uid() && session_is_lost(handle, pid);
	fd_close(&pidfd);
	explicit_bzero(handle, sizeof(handle));
	if (r != 0) {
		caller_log(r, "pid %ld of uid %ld asked without a session",
		    (long)pid, (long)uid);
		if (starved)
			operation_refuse(op, POSTERN_EX_TEMPFAIL,
			    "the broker has as many files open as it may; "
			    "try again");
		else if (lost)
			operation_refuse(op, POSTERN_EX_TEMPFAIL,
			    "the broker was restarted and does not know this "
			    "connection any more; log in again with a token");
		else
			operation_refuse(op, POSTERN_EX_DENIED,
			    "this connection has no session here: it is over, "
			    "or was ended by the bastion's admin; log in again "
			    "with a new token");
		return 0;
	}
	if (!fit) {
		caller_log(0, "pid %ld gives streams that sshd does not give",
		    (long)pid);
		operation_refuse(op, POSTERN_EX_DENIED,
		    "the streams of this "
		    "connection are not such as sshd gives");
		return 0;
	}
	op->place = conn->name;
	operation_run(op, conn, a);
	return 0;
}

/* The one message postern-shell sends to policy; a broker shell's come after
 * it. */
static int
shell_msg(void *arg, struct peer *p, struct msg *m)
{
	struct operation *op = arg;
	struct ask a = { 0 };
	int r;

	if (op->hosts != NULL)
		return brokershell_msg(op, m);
	if (op->asked || m->type != MSG_RUN)
		return ERR_PROTO; /* once */
	r = shell_run(op, p, m, &a);
	sent_clear(&a.sent);
	return r;
}

/* The shell left before it was handed over. */
static void
shell_closed(void *arg, struct peer *p, int r)
{
	struct operation *op = arg;

	(void)p;
	if (r != ERR_NOTFOUND)
		caller_log(r, "a postern-shell");
	op->shell = NULL; /* freed by its own loop */
	if (op->hosts != NULL) {
		brokershell_closed(op);
		return;
	}
	if (op->running) {
		joblist_break(op, POSTERN_EX_TEMPFAIL, "the job was gone");
		return;
	}
	if (op->open_id != 0)
		operation_abort(op->id, "the job left before it began");
	operation_free(op);
}

static void
caller_expired(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	operation_free(op);
}

/* Many wait, and as many as may of those that have the same monitor, or none.
 */
static bool
callers_crowd(int fd)
{
	pid_t monitor = caller_monitor(fd);
	size_t n = 0;

	for (struct operation *op = env.first; op != NULL; op = op->next) {
		if (op->asked || op->shell == NULL)
			continue;
		if (op->monitor == 0)
			op->monitor = caller_monitor(peer_fd(op->shell));
		n += op->monitor == monitor;
	}
	return n >= CALLERS_EACH;
}

/* Whoever owns a postern-shell can connect as often as it likes: what has not
 * asked is bounded in number and time, and leaves room for others. */
void
operation_accept(int fd)
{
	struct operation *op = NULL;

	if (env.ncaller < CALLERS_EASY ||
	    (env.ncaller < CALLERS_MAX && !callers_crowd(fd)))
		op = operation_new();
	if (op == NULL) {
		caller_log(ERR_TOOBIG, "a postern-shell");
		(void)close(fd);
		return;
	}
	op->shell = peer_new(child_loop(), fd, PROC_SHELL,
	    PROC_POLICY | PROC_HOP, shell_msg, shell_closed, op);
	op->timer = loop_timer(child_loop(), ASK_MS, caller_expired, op);
	if (op->shell == NULL || op->timer == NULL) {
		log_err(ERR_NOMEM, "a postern-shell");
		operation_free(op);
	}
}
