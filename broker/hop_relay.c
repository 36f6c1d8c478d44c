/*
 * While the command runs: standard input to the target, the job's terminal,
 * what postern-shell says.  Runs in the hop, confined.  Distrusts the
 * job: its bytes are passed on, never looked at; its messages are bounded.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"

void
hop_tty_raw(struct hop *h, bool signals)
{
	struct termios t;

	if (!h->run.pty || h->raw || tcgetattr(h->run.in, &t) != 0)
		return;
	if (!h->tty_known)
		h->tty = t;
	h->tty_known = true;
	cfmakeraw(&t);
	if (signals)
		t.c_lflag |= ISIG;
	if (tcsetattr(h->run.in, TCSANOW, &t) == 0)
		h->raw = !signals;
}

void
hop_tty_back(const struct hop *h)
{
	if (h->tty_known)
		(void)tcsetattr(h->run.in, TCSANOW, &h->tty);
}

static void
relay_resize(struct hop *h)
{
	struct winsize w;

	if (!h->run.pty || ioctl(h->run.in, TIOCGWINSZ, &w) != 0 ||
	    w.ws_col == 0 || w.ws_row == 0)
		return;
	if (cast_resize(&h->cast, w.ws_col, w.ws_row) != 0) {
		hop_fail(h, POSTERN_EX_IOERR,
		    "the recording cannot be written");
		return;
	}
	(void)conn_resize(h->conn, w.ws_col, w.ws_row);
}

void
hop_relay_start(struct hop *h)
{
	h->phase = HOP_RUNNING;
	h->deadline_ms = 0;
	hop_relay_heard(h);
	if (!h->run.take_stdin && h->files == NULL) {
		h->in_done = true;
		/* Behind the end of a terminal's input sshd hears of no other
		 * size, and what runs there hears of no end. */
		if (!h->run.pty)
			(void)conn_eof(h->conn);
	}
	if (h->resized)
		relay_resize(h);
	hop_relay_step(h);
}

void
hop_relay_step(struct hop *h)
{
	/* A broken connection is seen below, after all of it was shown. */
	if (!conn_ended(h->conn))
		(void)conn_step(h->conn);
	if (h->files != NULL)
		hop_files_pump(h);
	hop_show_drop(h);
	if (h->phase == HOP_RUNNING && conn_ended(h->conn))
		h->phase = HOP_FLUSHING;
}

void
hop_relay_heard(struct hop *h)
{
	h->asked = 0;
	h->ask_ms = msg_now_ms() + 1000 * (int64_t)h->run.alive_s;
}

/* A host that vanished, a network that swallows, an sshd that hangs: TCP finds
 * the first two, late, and the last one never. */
void
hop_relay_silent(struct hop *h)
{
	if (h->asked == h->run.alive_max) {
		hop_fail(h, POSTERN_EX_UNAVAILABLE,
		    "%s: no word from the target for %llu s, and no answer to "
		    "the question whether it is there; the command may still "
		    "run there",
		    h->run.target,
		    (unsigned long long)h->run.alive_s *
			(h->run.alive_max + 1));
		return;
	}
	h->asked++;
	h->ask_ms = msg_now_ms() + 1000 * (int64_t)h->run.alive_s;
	(void)conn_keepalive(h->conn); /* what is broken is seen elsewhere */
}

bool
hop_relay_wants_stdin(const struct hop *h)
{
	if (h->files != NULL)
		return hop_files_wants_stdin(h);
	if (h->phase != HOP_RUNNING || h->in_done)
		return false;
	return h->typed.on ? hop_typed_wants(h) : conn_room(h->conn) > 0;
}

void
hop_relay_eof(struct hop *h)
{
	if (h->phase == HOP_OVER)
		return;
	h->in_done = true;
	(void)conn_eof(h->conn);
}

void
hop_relay_pass(struct hop *h, const void *p, size_t n)
{
	uint64_t max = h->run.stdin_max;

	if (h->phase == HOP_OVER)
		return;
	if (max != 0 && n > max - h->in.bytes) {
		hop_fail(h, POSTERN_EX_DENIED,
		    "standard input is longer than "
		    "the %llu bytes that the rule grants",
		    (unsigned long long)max);
		return;
	}
	if (conn_write(h->conn, p, n) == 0)
		hop_count_add(&h->in, p, n);
}

void
hop_relay_stdin(struct hop *h)
{
	uint64_t left;
	size_t want;
	ssize_t n;

	if (h->files != NULL) {
		hop_files_stdin(h);
		return;
	}
	if (h->typed.on) {
		hop_typed_stdin(h);
		return;
	}
	want = conn_room(h->conn);
	if (h->run.stdin_max != 0) {
		left = h->run.stdin_max - h->in.bytes;
		if (want > left) /* one byte more shows that there is more */
			want = (size_t)left + 1;
	}
	if (want > sizeof(h->chunk))
		want = sizeof(h->chunk);
	n = read(h->run.in, h->chunk, want);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1) { /* MUST NOT look like its end: half a script runs */
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "stopped: standard input broke off: %s", strerror(errno));
		return;
	}
	if (n == 0)
		hop_relay_eof(h);
	else
		hop_relay_pass(h, h->chunk, (size_t)n);
}

/* Before the command runs there is nobody to pass a signal on to, so it does
 * what it would have done to a waiting ssh. */
static int
relay_signal(struct hop *h, struct msg *m)
{
	uint32_t number;
	int r;

	if ((r = buf_get_u32(&m->body, &number)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (h->phase == HOP_CONNECTING || h->phase == HOP_OPENING) {
		if (number == SIGHUP || number == SIGINT ||
		    number == SIGTERM || number == SIGQUIT)
			hop_interrupted(h, number);
		return 0;
	}
	if (number == SIGINT || number == SIGQUIT)
		hop_typed_drop(h);
	r = conn_signal(h->conn, number);
	return r == ERR_NOTFOUND ? 0 : r;
}

static int
relay_shell_message(struct hop *h, struct msg *m)
{
	int r;

	switch (m->type) {
	case MSG_RESIZED:
		if ((r = msg_end(m)) != 0)
			return r;
		if (h->phase == HOP_RUNNING)
			relay_resize(h);
		else
			h->resized = true;
		return 0;
	case MSG_SIGNAL:
		return relay_signal(h, m);
	default:
		return ERR_PROTO;
	}
}

void
hop_relay_shell(struct hop *h)
{
	struct msg m;
	int r;

	if ((r = msg_recv(h->run.shell, &m)) == 0)
		r = relay_shell_message(h, &m);
	msg_clear(&m);
	if (r == ERR_AGAIN || r == 0)
		return;
	hop_job_gone(h, r == ERR_NOTFOUND || r == ERR_SYS
			    ? "the job hung up"
			    : "postern-shell broke the protocol");
}
