/*
 * postern-hop: carries one operation to its target and its bytes back, records
 * them, and ends.  Started by posternd with a control socket to policy at
 * descriptor 3; HOP_RUN on it brings the work and every other descriptor.
 * Distrusts the target and the job.  It holds one short-lived key and nothing
 * that outlives the operation.
 *
 * policy may go away and come back meanwhile: the end of descriptor 3 after
 * HOP_RUN is not the end of the operation.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/safeopen.h"
#include "lib/sandbox.h"

enum {
	AT_CONTROL,
	AT_SHELL,
	AT_CERT,
	AT_TARGET,
	AT_IN,
	AT_OUT,
	AT_ERR,
	AT_STOP,
	AT_N
};

#define HOP_DATA_MAX (64 * 1024 * 1024) /* some ten times what it needs */
#define HOP_LEASE_LOOK_MS 5000
#define HOP_PIPE_SIZE (1024 * 1024) /* what Linux grants without privilege */

static struct hop env;

static size_t
hop_on_data(void *arg, enum conn_stream s, const void *p, size_t n)
{
	const uint8_t *d = p;
	struct hop *h = arg;
	size_t done = 0, k;

	if (h->files != NULL && s == CONN_OUT)
		return hop_files_data(h, p, n);
	while (done < n && (k = hop_show(arg, s, d + done, n - done)) > 0)
		done += k;
	return done;
}

/* The flag belongs to the open file, which nobody shares with us any more:
 * postern-shell closed its copies, sshd has the other end. */
static int
hop_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ?
	    0 : ERR_SYS;
}

/* A pipe of 64 KiB, the usual size, makes sshd and us wait for each other at
 * every other packet of a bulk transfer.  It may be refused; nothing is lost
 * then but speed. */
static void
hop_widen(int fd)
{
	(void)fcntl(fd, F_SETPIPE_SZ, HOP_PIPE_SIZE);
}

static int
hop_prepare(struct hop *h)
{
	struct hop_run *run = &h->run;
	int r;

	h->want.data = hop_on_data;
	h->want.arg = h;
	h->sink[CONN_OUT].fd = run->out;
	h->sink[CONN_OUT].stream = CAST_OUT;
	h->sink[CONN_ERR].fd = run->err;
	h->sink[CONN_ERR].stream = CAST_ERR;
	if ((r = hop_count_init(&h->in)) != 0 ||
	    (r = hop_count_init(&h->sink[CONN_OUT].count)) != 0 ||
	    (r = hop_count_init(&h->sink[CONN_ERR].count)) != 0 ||
	    (r = hop_files_init(h)) != 0 || (r = hop_nonblock(run->in)) != 0 ||
	    (r = hop_nonblock(run->out)) != 0)
		return r;
	hop_widen(run->out);
	if (run->take_stdin || h->files != NULL)
		hop_widen(run->in);
	return hop_nonblock(run->err);
}

/*
 * Before a stranger's first byte, be it a name server's or the shell's.  A file
 * size is not limited here: the recording's own bound is audit's.
 */
static int
hop_confine(const struct hop *h)
{
	const int given[SANDBOX_GIVEN_MAX] = { h->run.recording, h->run.sidecar,
		(int)h->run.port };
	const struct rlimit none = { 0, 0 };
#ifndef POSTERN_SANITIZED /* their shadow is memory, too */
	const struct rlimit data = { HOP_DATA_MAX, HOP_DATA_MAX };

	/* Whatever a target makes libssh keep is this operation's trouble. */
	if (setrlimit(RLIMIT_DATA, &data) != 0)
		return ERR_SYS;
#endif
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
	    setrlimit(RLIMIT_CORE, &none) != 0 ||
	    setrlimit(RLIMIT_NPROC, &none) != 0)
		return ERR_SYS;
	return sandbox_enter(SANDBOX_REACH, given);
}

/* No operation without a recording. */
static void
hop_record(struct hop *h)
{
	const struct hop_run *run = &h->run;
	const struct cast_header header = {
		.pty = run->pty,
		.columns = run->columns,
		.rows = run->rows,
		.term = run->term,
		.title = run->title,
		.operation = run->operation,
		.session = run->session,
		.target = run->target,
		.head = run->head,
		.tail = run->tail,
	};
	int r;

	if ((r = cast_start(&h->cast, run->recording, &header)) != 0)
		hop_fail(h, POSTERN_EX_IOERR,
		    "the recording cannot be written: %s", err_text(r));
	h->recorded = r == 0;
}

static void
poll_fill(const struct hop *h, struct pollfd *p)
{
	const struct hop_sink *out = &h->sink[CONN_OUT];
	const struct hop_sink *err = &h->sink[CONN_ERR];

	for (int i = 0; i < AT_N; i++)
		p[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (!h->control_gone)
		p[AT_CONTROL].fd = HOP_CONTROL_FD;
	p[AT_SHELL].fd = h->run.shell;
	p[AT_STOP].fd = h->stop;
	if (h->phase == HOP_OPENING)
		p[AT_CERT].fd = h->run.cert;
	if (h->phase == HOP_CONNECTING) {
		p[AT_TARGET].fd = h->sock;
		p[AT_TARGET].events = POLLOUT;
	} else if (h->phase != HOP_FLUSHING) {
		p[AT_TARGET].events = conn_events(h->conn);
		if (p[AT_TARGET].events != 0) /* or a hang-up would spin */
			p[AT_TARGET].fd = conn_fd(h->conn);
	}
	if (hop_relay_wants_stdin(h))
		p[AT_IN].fd = h->run.in;
	/* Without events: whether the job is still there. */
	p[AT_OUT].fd = out->fd;
	p[AT_OUT].events = hop_show_waits(h, out) ? POLLOUT : 0;
	p[AT_ERR].fd = err->fd;
	p[AT_ERR].events = hop_show_waits(h, err) ? POLLOUT : 0;
}

static void
hop_target(struct hop *h)
{
	switch (h->phase) {
	case HOP_CONNECTING:
		hop_connect_step(h);
		break;
	case HOP_OPENING:
		hop_open_step(h);
		break;
	case HOP_RUNNING:
		hop_relay_step(h);
		break;
	case HOP_FLUSHING:
	case HOP_OVER:
		break;
	}
}

static void
hop_sink_event(struct hop *h, enum conn_stream s, short revents)
{
	if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
		hop_reader_gone(h, h->run.pty ? EIO : EPIPE);
	else if ((revents & POLLOUT) != 0)
		hop_show_more(h, &h->sink[s]);
}

static void
hop_dispatch(struct hop *h, const struct pollfd *p)
{
	/* Nothing comes after HOP_RUN but the end of policy: we go on. */
	if (p[AT_CONTROL].revents != 0)
		h->control_gone = true;
	if (p[AT_STOP].revents != 0)
		hop_stopped(h);
	if (p[AT_SHELL].revents != 0 && h->phase != HOP_OVER)
		hop_relay_shell(h);
	if (p[AT_OUT].revents != 0)
		hop_sink_event(h, CONN_OUT, p[AT_OUT].revents);
	if (p[AT_ERR].revents != 0)
		hop_sink_event(h, CONN_ERR, p[AT_ERR].revents);
	if (p[AT_CERT].revents != 0 && h->phase == HOP_OPENING) {
		hop_cert_recv(h);
		hop_target(h);
	}
	/* While the job does not read, neither do we: that is not silence. */
	if (h->phase == HOP_RUNNING && (p[AT_TARGET].events & POLLIN) == 0)
		hop_relay_heard(h);
	if (p[AT_TARGET].revents != 0)
		hop_target(h);
	if (p[AT_IN].revents != 0 && hop_relay_wants_stdin(h))
		hop_relay_stdin(h);
}

static void
hop_late(struct hop *h)
{
	int64_t now = msg_now_ms();

	if (h->over_ms != 0 && now >= h->over_ms)
		hop_fail(h, POSTERN_EX_DENIED,
		    "stopped after the %u seconds that the policy grants it "
		    "(limit duration)",
		    h->run.duration_s);
	/* Also what libssh read while it was asked for something else. */
	if (h->phase == HOP_RUNNING && conn_heard(h->conn) != h->heard) {
		h->heard = conn_heard(h->conn);
		hop_relay_heard(h);
	}
	if (h->phase == HOP_RUNNING && now >= h->ask_ms)
		hop_relay_silent(h);
	if (h->deadline_ms == 0 || now < h->deadline_ms)
		return;
	if (h->phase == HOP_CONNECTING)
		hop_connect_late(h);
	else if (h->phase == HOP_OPENING)
		hop_open_late(h);
}

/* Not longer than until the next look at the lease. */
static int
hop_wait_ms(const struct hop *h)
{
	int64_t end = msg_now_ms() + HOP_LEASE_LOOK_MS, left;

	if (h->deadline_ms != 0 && h->deadline_ms < end)
		end = h->deadline_ms;
	if (h->over_ms != 0 && h->over_ms < end)
		end = h->over_ms;
	if (h->phase == HOP_RUNNING && h->ask_ms < end)
		end = h->ask_ms;
	left = end - msg_now_ms();
	return left <= 0 ? 0 : (int)left;
}

/* Nobody would write down for long how this ends. */
static void
hop_look_at_lease(struct hop *h)
{
	const char *lost = lease_lost(h->lease, msg_now_ms());

	if (lost != NULL)
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "ended by the bastion: its "
		    "%s has been away for %d seconds",
		    lost, LEASE_MS / 1000);
}

static void
hop_loop(struct hop *h)
{
	struct pollfd p[AT_N];

	while (h->phase != HOP_OVER) {
		if (h->phase == HOP_FLUSHING &&
		    !hop_show_waits(h, &h->sink[CONN_OUT]) &&
		    !hop_show_waits(h, &h->sink[CONN_ERR])) {
			hop_command_ended(h);
			break;
		}
		poll_fill(h, p);
		if (poll(p, AT_N, hop_wait_ms(h)) == -1 && errno != EINTR) {
			hop_fail(h, POSTERN_EX_TEMPFAIL, "poll failed");
			break;
		}
		hop_dispatch(h, p);
		hop_look_at_lease(h);
		hop_late(h);
	}
}

/* posternd ends a hop by this signal.  It is only seen here, in poll, whenever
 * it comes, and needs no call that the confinement does not grant. */
static int
hop_take_stop(struct hop *h)
{
	sigset_t set;

	if (sigemptyset(&set) != 0 || sigaddset(&set, SIGTERM) != 0 ||
	    sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return ERR_SYS;
	h->stop = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return h->stop == -1 ? ERR_SYS : 0;
}

/* Nothing of it has begun; the job should hear of it, not only the log. */
_Noreturn static void
hop_unable(const struct hop *h, int r)
{
	char line[128];
	int n, err = errno;

	n = snprintf(line, sizeof(line),
	    "postern: the broker could not begin "
	    "this operation; try again (operation %s)%s\n",
	    h->run.operation, h->run.pty ? "\r" : "");
	if (n > 0 && (size_t)n < sizeof(line))
		(void)write_all(h->run.err, line, (size_t)n);
	errno = err;
	fatal(r, "operation %s", h->run.operation);
}

int
main(void)
{
	struct hop *h = &env;
	int r;

	log_init("postern-hop");
	log_journal();
	(void)umask(077);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
	    signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		fatal(ERR_SYS, "setup");
	h->sock = -1;
	if ((r = hop_take_stop(h)) != 0)
		fatal(r, "setup");
	if ((r = lease_open(HOP_LEASE_FD, &h->lease)) != 0)
		fatal(r, "the lease");
	if ((r = hop_run_recv(HOP_CONTROL_FD, &h->run)) == ERR_NOTFOUND)
		return 0; /* policy had no work after all */
	if (r != 0)
		fatal(r, "HOP_RUN");
	log_about(&(struct log_about){
	    .operation = h->run.operation, .target = h->run.target });
	h->started_ms = msg_now_ms();
	if (h->run.duration_s != 0)
		h->over_ms = h->started_ms + (int64_t)h->run.duration_s * 1000;
	if ((r = hop_prepare(h)) != 0 || (r = hop_confine(h)) != 0)
		hop_unable(h, r);
	hop_record(h);
	hop_tty_raw(h, true);
	hop_typed_start(h);
	if (h->phase != HOP_OVER)
		hop_cert_request(h);
	if (h->phase != HOP_OVER)
		hop_connect_start(h);
	hop_loop(h);
	hop_finish(h);
	/* The process ends here, and its memory with it; what must be wiped,
	 * was. */
	hop_files_free(h);
	conn_free(h->conn);
	cast_clear(&h->cast);
	key_clear(&h->key);
	hop_run_clear(&h->run);
	return 0;
}
