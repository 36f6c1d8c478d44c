/*
 * The waiting part of postern-shell: first for policy's answer, then, if the
 * operation was accepted, for the hop's EXIT.  The broker is believed about
 * texts and exit codes; its messages still have to keep to the table.
 *
 * Once accepted, the hop alone may hold the job's input and output: with a copy
 * kept here a pipe would stay open that the hop has closed.  A copy of the
 * errors is kept for one thing: if the hop is gone before it has said how the
 * operation ended, nobody else can tell the job.
 * Of a list all this is true of its last command, and of a line of a broker
 * shell of none: there the connection stays policy's, the streams stay here,
 * and policy's ANSWER is what ends it.
 */
#include "config.h"

#include "shell/relay.h"

#include <sys/resource.h>
#include <sys/signalfd.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/sftprefuse.h"
#include "shell/record.h"

/* A target's sshd passes no signal on to a forced command: what does not end by
 * itself is hung up on. */
#define HANG_UP_MS 1000

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#define SAY_GONE                                                               \
	"postern: the broker lost this operation while it ran; what it did "   \
	"until then is recorded, how it ended is not known\n"

/* What is passed on to the hop; bit i of relay.pending is signal i. */
static const int passed_on[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGWINCH };

/*
 * A single command: conn is policy's up to ACCEPTED, and the hop's from there.
 * A list: conn stays policy's, and each command but the last has a connection
 * of its own to its hop, which came with its ACCEPTED.
 */
struct relay {
	int conn, sigfd, null;
	int err;       /* a copy of the job's, for last words */
	int hop;       /* of a command that is not the last; -1: none */
	bool list;     /* has had such a command */
	bool accepted; /* conn is the hop's */
	bool lost;     /* policy is gone, its hop is not */
	bool stop;     /* a signal was passed on: nothing more of a list */
	bool done;            /* ending is known */
	unsigned int pending; /* came, and is not yet sent */
	struct relay_shell *shell; /* a line of it; NULL: an operation */
	bool opening;              /* it: not a line, but its first prompt */
	int leave;                 /* the signal that ends it, after its hop */
	int64_t hang_up_ms;        /* on its hop, if that goes on; 0: not */
	struct ending ending;
};

int
relay_signals(int *fdp)
{
	/* The terminal's stop signals would leave a job hanging that nobody
	 * can continue. */
	static const int ignored[] = { SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU };
	sigset_t set;
	int fd;

	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL); /* refused for some: no matter */
	for (size_t i = 0; i < LENGTH(ignored); i++) {
		if (signal(ignored[i], SIG_IGN) == SIG_ERR)
			return ERR_SYS;
	}
	(void)sigemptyset(&set);
	for (size_t i = 0; i < LENGTH(passed_on); i++)
		(void)sigaddset(&set, passed_on[i]);
	if (sigprocmask(SIG_SETMASK, &set, NULL) == -1 ||
	    (fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		return ERR_SYS;
	*fdp = fd;
	return 0;
}

static void
relay_finish(struct relay *rl, int code, int sig)
{
	rl->ending = (struct ending){ .code = code, .signal = sig };
	rl->done = true;
	if (rl->shell != NULL) /* but for what policy answered */
		rl->shell->quit = true;
}

/* Policy's final word: its texts and the code. */
static int
relay_answer(struct relay *rl, struct msg *m)
{
	const uint8_t *out, *err;
	size_t nout, nerr;
	uint32_t code;
	int r;

	if ((r = buf_get_u32(&m->body, &code)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_TEXT_MAX, &out, &nout)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_TEXT_MAX, &err, &nerr)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (code > 255)
		return ERR_PROTO;
	/* A client that has gone does not change the code. */
	(void)write_all(STDOUT_FILENO, out, nout);
	(void)write_all(STDERR_FILENO, err, nerr);
	if (rl->ending.sftp)
		sftprefuse(STDIN_FILENO, STDOUT_FILENO, (const char *)err, nerr,
		    PROTO_SFTP_REFUSE_MS);
	relay_finish(rl, (int)code, 0);
	return 0;
}

/* -- a broker shell ---------------------------------------------------------
 */

/* Keeps the answer for when the terminal is as it was. */
static int
relay_keep_answer(struct relay_shell *s, struct msg *m, struct ending *e)
{
	const uint8_t *out, *err;
	size_t nout, nerr;
	uint32_t code;
	int r;

	relay_forget(s);
	if ((r = buf_get_u32(&m->body, &code)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_TEXT_MAX, &out, &nout)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_TEXT_MAX, &err, &nerr)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (code > 255)
		return ERR_PROTO;
	if ((r = buf_put(&s->out, out, nout)) != 0 ||
	    (r = buf_put(&s->text, err, nerr)) != 0)
		return r;
	s->told = true;
	*e = (struct ending){ .code = (int)code };
	return 0;
}

static int
relay_prompt(struct relay_shell *s, struct msg *m)
{
	char id[PROTO_ID_LEN + 1], text[PROTO_PROMPT_MAX];
	uint8_t inner;
	int r;

	if ((r = buf_get_fixed(&m->body, id, sizeof(id))) != 0 ||
	    (r = buf_get_fixed(&m->body, text, sizeof(text))) != 0 ||
	    (r = buf_get_u8(&m->body, &inner)) != 0 || (r = msg_end(m)) != 0)
		return r;
	memcpy(s->prompt, text, sizeof(text));
	s->inner = inner != 0;
	return 0;
}

static int
relay_shell_message(struct relay *rl, struct msg *m)
{
	int r;

	if (m->type == MSG_SHELL_RECORD && rl->opening)
		return record_take(rl->shell->record, m);
	if (m->type == MSG_PROMPT) {
		if (!record_taken(rl->shell->record))
			return ERR_PROTO; /* nothing is shown unrecorded */
		r = relay_prompt(rl->shell, m);
		rl->done = r == 0 && rl->opening;
		return r;
	}
	if (m->type != MSG_ANSWER)
		return ERR_PROTO;
	if ((r = relay_keep_answer(rl->shell, m, &rl->ending)) == 0)
		rl->done = true;
	rl->shell->quit = rl->opening;
	return r;
}

/* What has not begun does not begin. */
static void
relay_break(const struct relay *rl)
{
	struct msg m;

	msg_init(&m, MSG_BREAK);
	if (!rl->opening && !rl->lost) /* a broken connection is seen later */
		(void)msg_send(rl->conn, &m);
	msg_clear(&m);
}

/* One came, and is noted for whoever runs. */
static void
relay_shell_signal(struct relay *rl, int sig)
{
	bool ends = sig == SIGHUP || sig == SIGTERM;

	/* what the terminal would show, which echoes nothing now */
	if (sig == SIGINT)
		record_say(rl->shell->record, "^C");
	relay_break(rl);
	if (rl->hop == -1)
		rl->pending = 0;
	else if (rl->hang_up_ms == 0)
		rl->hang_up_ms = msg_now_ms() + HANG_UP_MS;
	else
		rl->hang_up_ms = msg_now_ms(); /* once more: at once */
	if (ends && rl->hop == -1)
		relay_finish(rl, 0, sig);
	else if (ends)
		rl->leave = sig;
}

void
relay_forget(struct relay_shell *s)
{
	buf_clear(&s->out);
	buf_clear(&s->text);
	buf_init(&s->out, PROTO_TEXT_MAX);
	buf_init(&s->text, PROTO_TEXT_MAX);
	s->told = false;
}

void
relay_tell(struct relay_shell *s)
{
	if (s->told && record_taken(s->record)) {
		record_show(s->record, STDOUT_FILENO, buf_ptr(&s->out),
		    buf_len(&s->out));
		record_show(s->record, STDERR_FILENO, buf_ptr(&s->text),
		    buf_len(&s->text));
	} else if (s->told) { /* there is no shell, and this is why */
		(void)write_all(
		    STDOUT_FILENO, buf_ptr(&s->out), buf_len(&s->out));
		(void)write_all(
		    STDERR_FILENO, buf_ptr(&s->text), buf_len(&s->text));
	}
	relay_forget(s);
}

/* -- an operation -----------------------------------------------------------
 */

static int
relay_exit(struct relay *rl, struct msg *m)
{
	uint32_t kind, value;
	int r;

	if ((r = buf_get_u32(&m->body, &kind)) != 0 ||
	    (r = buf_get_u32(&m->body, &value)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (kind == EXIT_CODE && value <= 255)
		relay_finish(rl, (int)value, 0);
	else if (kind == EXIT_SIGNAL && value > 0 && value < NSIG)
		relay_finish(rl, 0, (int)value);
	else
		return ERR_PROTO;
	return 0;
}

static void
relay_let_go(struct relay *rl)
{
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
		if (dup2(rl->null, i) == -1)
			(void)close(i);
	}
	rl->accepted = true;
}

/* The hop has made the descriptor non-blocking: what finds no room is lost. */
static void
relay_say_gone(const struct relay *rl)
{
	(void)write_all(rl->err, SAY_GONE, sizeof(SAY_GONE) - 1);
}

/* A command of a list, and another one may follow. */
static int
relay_member(struct relay *rl, int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
		(void)close(fd);
		return ERR_SYS;
	}
	if (rl->hop != -1)
		(void)close(rl->hop);
	rl->hop = fd;
	rl->list = true;
	return 0;
}

static int
relay_accepted(struct relay *rl, struct msg *m)
{
	int fd = msg_take_fd(m, 0);

	if (msg_end(m) != 0) {
		if (fd != -1)
			(void)close(fd);
		return ERR_PROTO;
	}
	if (fd != -1)
		return relay_member(rl, fd);
	if (rl->shell != NULL)
		return ERR_PROTO; /* the streams stay here */
	if (rl->hop != -1)
		(void)close(rl->hop);
	rl->hop = -1;
	relay_let_go(rl);
	return 0;
}

static int
relay_message(struct relay *rl, struct msg *m)
{
	if (rl->shell != NULL && m->type != MSG_ACCEPTED)
		return relay_shell_message(rl, m);
	switch (m->type) {
	case MSG_ANSWER:
		return rl->accepted ? ERR_PROTO : relay_answer(rl, m);
	case MSG_ACCEPTED:
		return rl->accepted ? ERR_PROTO : relay_accepted(rl, m);
	case MSG_EXIT:
		return rl->accepted ? relay_exit(rl, m) : ERR_PROTO;
	default:
		return ERR_PROTO;
	}
}

/* A peer that closes before it has read our signals resets the connection,
 * and the kernel reports that once, ahead of an EXIT that is already here. */
static int
relay_recv(int fd, struct msg *m)
{
	int r = msg_recv(fd, m);

	if (r == ERR_SYS)
		r = errno == ECONNRESET ? ERR_AGAIN : ERR_NOTFOUND;
	return r;
}

static int
relay_receive(struct relay *rl)
{
	struct msg m;
	int r;

	if ((r = relay_recv(rl->conn, &m)) == 0)
		r = relay_message(rl, &m);
	msg_clear(&m);
	if (r == ERR_AGAIN)
		return 0;
	if (r != ERR_NOTFOUND || rl->accepted ||
	    (!rl->list && rl->shell == NULL))
		return r;
	/* policy has died: its running command has not */
	rl->lost = true;
	return rl->hop == -1 ? ERR_AGAIN : 0;
}

/* The end of a command that is not the list's last.  What comes next is
 * policy's to say, unless nothing more is wanted. */
static int
relay_hop(struct relay *rl)
{
	struct ending e = { .code = POSTERN_EX_TEMPFAIL };
	struct relay one = { .ending = e };
	struct msg m;
	int r;

	if ((r = relay_recv(rl->hop, &m)) == 0)
		r = m.type == MSG_EXIT ? relay_exit(&one, &m) : ERR_PROTO;
	msg_clear(&m);
	if (r == ERR_AGAIN)
		return 0;
	(void)close(rl->hop);
	rl->hop = -1;
	rl->hang_up_ms = 0;
	if (rl->stop)
		relay_finish(rl, one.ending.code, one.ending.signal);
	else if (rl->leave != 0)
		relay_finish(rl, 0, rl->leave);
	return rl->lost && !rl->done ? ERR_AGAIN : 0;
}

/* Notes what came.  Before the operation is accepted there is nobody to pass
 * it on to: the signal does here what it would do anywhere. */
static void
relay_take_signals(struct relay *rl)
{
	struct signalfd_siginfo si;

	while (read(rl->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		for (size_t i = 0; i < LENGTH(passed_on); i++) {
			if ((int)si.ssi_signo == passed_on[i])
				rl->pending |= 1U << i;
		}
		if ((int)si.ssi_signo == SIGWINCH) {
			if (rl->shell != NULL)
				record_resized(rl->shell->record);
			continue;
		}
		if (rl->shell != NULL)
			relay_shell_signal(rl, (int)si.ssi_signo);
		else if (rl->hop != -1)
			rl->stop = true;
		else if (!rl->accepted)
			relay_finish(rl, 0, (int)si.ssi_signo);
	}
}

/* The hop's connection; -1: nobody runs. */
static int
relay_running(const struct relay *rl)
{
	return rl->accepted ? rl->conn : rl->hop;
}

static int
relay_pass_on(struct relay *rl, int sig)
{
	struct msg m;
	int r = 0;

	msg_init(&m, sig == SIGWINCH ? MSG_RESIZED : MSG_SIGNAL);
	if (sig != SIGWINCH)
		r = buf_put_u32(&m.body, (uint32_t)sig);
	if (r == 0)
		r = msg_send(relay_running(rl), &m);
	msg_clear(&m);
	return r;
}

/* Sends what is pending; what finds no room is sent when there is some.  A
 * connection that broke is seen by its reader. */
static void
relay_flush(struct relay *rl)
{
	for (size_t i = 0; relay_running(rl) != -1 && i < LENGTH(passed_on);
	     i++) {
		if ((rl->pending & 1U << i) == 0)
			continue;
		if (relay_pass_on(rl, passed_on[i]) == ERR_AGAIN)
			return;
		rl->pending &= ~(1U << i);
	}
}

enum { AT_CONN, AT_HOP, AT_SIGNAL, AT_OUT, AT_N };

static void
poll_fill(const struct relay *rl, struct pollfd *p)
{
	p[AT_CONN] =
	    (struct pollfd){ .fd = rl->lost ? -1 : rl->conn, .events = POLLIN };
	p[AT_HOP] = (struct pollfd){ .fd = rl->hop, .events = POLLIN };
	p[AT_SIGNAL] = (struct pollfd){ .fd = rl->sigfd, .events = POLLIN };
	/* Errors only.  Without a terminal sshd tells us of a client that has
	 * gone in no other way. */
	p[AT_OUT] = (struct pollfd){ .fd = rl->accepted ? -1 : STDOUT_FILENO };
	if (rl->pending != 0 && relay_running(rl) != -1)
		p[rl->accepted ? AT_CONN : AT_HOP].events |= POLLOUT;
}

/* What poll found, or r.  The hop's last word comes before what policy made of
 * it. */
static int
relay_step(struct relay *rl, const struct pollfd *p, int r)
{
	if (r == 0 && !rl->done && (p[AT_HOP].revents & ~POLLOUT) != 0)
		r = relay_hop(rl);
	if (r == 0 && !rl->done && (p[AT_CONN].revents & ~POLLOUT) != 0)
		r = relay_receive(rl);
	if (r != 0 && !rl->accepted)
		return r;
	if (!rl->done && r != 0) /* accepted, and then this */
		relay_say_gone(rl);
	if (!rl->done && (r != 0 || (!rl->accepted && p[AT_OUT].revents != 0)))
		relay_finish(rl, POSTERN_EX_TEMPFAIL, 0);
	return 0;
}

static int
relay_wait_ms(const struct relay *rl)
{
	int64_t left;

	if (rl->hang_up_ms == 0 || rl->hop == -1)
		return -1;
	left = rl->hang_up_ms - msg_now_ms();
	return left < 0 ? 0 : (int)left;
}

/* The command was interrupted and goes on: its hop is told that nobody waits
 * for it.  What policy says of the line is waited for all the same, if there is
 * one. */
static int
relay_hang_up(struct relay *rl)
{
	if (rl->done || relay_wait_ms(rl) != 0)
		return 0;
	(void)close(rl->hop);
	rl->hop = -1;
	if (rl->leave != 0)
		relay_finish(rl, 0, rl->leave);
	return rl->lost && !rl->done ? ERR_AGAIN : 0;
}

static int
relay_loop(struct relay *rl)
{
	struct pollfd p[AT_N];
	int r;

	while (!rl->done) {
		poll_fill(rl, p);
		r = poll(p, AT_N, relay_wait_ms(rl));
		r = r == -1 && errno != EINTR ? ERR_SYS : 0;
		relay_take_signals(rl);
		if (rl->shell != NULL && record_failed(rl->shell->record)) {
			relay_finish(rl, POSTERN_EX_IOERR, 0);
			return 0;
		}
		if ((r = relay_step(rl, p, r)) != 0)
			return r;
		relay_flush(rl);
		if ((r = relay_hang_up(rl)) != 0)
			return r;
	}
	return 0;
}

int
relay_run(int conn, int sigfd, int null, int err, struct ending *e)
{
	struct relay rl = { .conn = conn,
		.sigfd = sigfd,
		.null = null,
		.err = err,
		.hop = -1,
		.ending = { .sftp = e->sftp } };
	int r;

	if (fcntl(conn, F_SETFL, O_NONBLOCK) == -1)
		return ERR_SYS;
	if ((r = relay_loop(&rl)) == 0)
		*e = rl.ending;
	return r;
}

static int
relay_shell(struct relay_shell *s, bool opening, struct ending *e)
{
	struct relay rl = { .conn = s->conn,
		.sigfd = s->sigfd,
		.null = -1,
		.err = STDERR_FILENO,
		.hop = -1,
		.shell = s,
		.opening = opening };
	int r;

	relay_forget(s);
	s->quit = false;
	r = relay_loop(&rl);
	if (rl.hop != -1)
		(void)close(rl.hop);
	if (r == 0)
		*e = rl.ending;
	return r;
}

int
relay_opened(struct relay_shell *s, struct ending *e)
{
	if (fcntl(s->conn, F_SETFL, O_NONBLOCK) == -1)
		return ERR_SYS;
	return relay_shell(s, true, e);
}

int
relay_line(struct relay_shell *s, struct ending *e)
{
	return relay_shell(s, false, e);
}

int
relay_between(
    struct relay_shell *s, uint32_t type, struct msg *m, struct ending *e)
{
	int r;

	if ((r = relay_recv(s->conn, m)) == ERR_AGAIN)
		return 0;
	if (r != 0 || (m->type == type && type != 0))
		return r;
	if (m->type == MSG_PROMPT)
		return relay_prompt(s, m);
	if (m->type != MSG_ANSWER)
		return ERR_PROTO;
	r = relay_keep_answer(s, m, e);
	s->quit = r == 0;
	return r;
}

static bool
stops(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN ||
	       sig == SIGTTOU;
}

void
relay_end(const struct ending *e)
{
	struct rlimit none = { 0, 0 };
	sigset_t set;

	if (e->signal == 0)
		_exit(e->code);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(e->signal, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, e->signal);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (!stops(e->signal))
		(void)kill(getpid(), e->signal);
	/* It is one that kills nobody. */
	_exit(128 + e->signal);
}
