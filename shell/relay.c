/*
 * The waiting part of postern-shell: first for policy's answer, then, if the
 * operation was accepted, for the hop's EXIT.  The broker is believed about
 * texts and exit codes; its messages still have to keep to the table.
 *
 * Once accepted, the hop alone may hold the job's input and output: with a copy
 * kept here a pipe would stay open that the hop has closed.  A copy of the
 * errors is kept for one thing: if the hop is gone before it has said how the
 * operation ended, nobody else can tell the job.
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
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#define SAY_GONE                                                               \
	"postern: the broker lost this operation while it ran; what it did "   \
	"until then is recorded, how it ended is not known\n"

/* What is passed on to the hop; bit i of relay.pending is signal i. */
static const int passed_on[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGWINCH };

struct relay {
	int conn, sigfd, null;
	int err; /* a copy of the job's, for last words */
	bool accepted;
	bool done;            /* ending is known */
	unsigned int pending; /* came, and is not yet sent */
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
	relay_finish(rl, (int)code, 0);
	return 0;
}

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

static int
relay_message(struct relay *rl, struct msg *m)
{
	switch (m->type) {
	case MSG_ANSWER:
		return rl->accepted ? ERR_PROTO : relay_answer(rl, m);
	case MSG_ACCEPTED:
		if (rl->accepted || msg_end(m) != 0)
			return ERR_PROTO;
		relay_let_go(rl);
		return 0;
	case MSG_EXIT:
		return rl->accepted ? relay_exit(rl, m) : ERR_PROTO;
	default:
		return ERR_PROTO;
	}
}

static int
relay_receive(struct relay *rl)
{
	struct msg m;
	int r;

	if ((r = msg_recv(rl->conn, &m)) == 0)
		r = relay_message(rl, &m);
	/* A peer that closes before it has read our signals resets the
	 * connection, and the kernel reports that once, ahead of an EXIT that
	 * is already here. */
	else if (r == ERR_SYS)
		r = errno == ECONNRESET ? ERR_AGAIN : ERR_NOTFOUND;
	msg_clear(&m);
	return r == ERR_AGAIN ? 0 : r;
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
		if (!rl->accepted && (int)si.ssi_signo != SIGWINCH)
			relay_finish(rl, 0, (int)si.ssi_signo);
	}
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
		r = msg_send(rl->conn, &m);
	msg_clear(&m);
	return r;
}

/* Sends what is pending; what finds no room is sent when there is some.  A
 * connection that broke is seen by its reader. */
static void
relay_flush(struct relay *rl)
{
	for (size_t i = 0; rl->accepted && i < LENGTH(passed_on); i++) {
		if ((rl->pending & 1U << i) == 0)
			continue;
		if (relay_pass_on(rl, passed_on[i]) == ERR_AGAIN)
			return;
		rl->pending &= ~(1U << i);
	}
}

int
relay_run(int conn, int sigfd, int null, int err, struct ending *e)
{
	struct relay rl = {
		.conn = conn, .sigfd = sigfd, .null = null, .err = err
	};
	struct pollfd p[3];
	int r = 0;

	if (fcntl(conn, F_SETFL, O_NONBLOCK) == -1)
		return ERR_SYS;
	while (!rl.done) {
		p[0] = (struct pollfd){ .fd = conn, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = sigfd, .events = POLLIN };
		/* Errors only.  Without a terminal sshd tells us of a client
		 * that has gone in no other way. */
		p[2] =
		    (struct pollfd){ .fd = rl.accepted ? -1 : STDOUT_FILENO };
		if (rl.accepted && rl.pending != 0)
			p[0].events |= POLLOUT;
		if (poll(p, LENGTH(p), -1) == -1 && errno != EINTR)
			return ERR_SYS;
		relay_take_signals(&rl);
		if (!rl.done && (p[0].revents & ~POLLOUT) != 0)
			r = relay_receive(&rl);
		if (r != 0 && !rl.accepted)
			return r;
		if (!rl.done && r != 0) /* accepted, and then this */
			relay_say_gone(&rl);
		if (!rl.done && (r != 0 || (!rl.accepted && p[2].revents != 0)))
			relay_finish(&rl, POSTERN_EX_TEMPFAIL, 0);
		relay_flush(&rl);
	}
	*e = rl.ending;
	return 0;
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
