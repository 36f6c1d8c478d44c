/*
 * The anchor command, in posternd: audit, which is confined and may start
 * nothing, hands over a signed checkpoint; it goes unread to the standard input
 * of the one program that postern.conf names, which runs as an account of its
 * own.  One at a time, for a bounded time; audit is told how it ended.
 */
#include "config.h"

#include "broker/anchor.h"

#include <sys/wait.h>

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/children.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/posternd.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

#define ANCHOR_APART_MS 500 /* an audit that is not what it was asks often */

static struct {
	struct account account;
	pid_t pid; /* 0: none runs */
	uint32_t id;
	bool late;
	int64_t begun;
	struct timer *timer;
} env = { .begun = -ANCHOR_APART_MS };

void
anchor_prepare(struct account a)
{
	env.account = a;
}

bool
anchor_running(void)
{
	return env.pid > 0;
}

/* To the audit that is there now: one that was started meanwhile has not asked
 * this, and lets it be. */
static void
anchor_answer(uint32_t id, const char *trouble)
{
	struct peer *audit = children_get(AUDIT)->peer;
	struct msg a;
	int r;

	if (audit == NULL)
		return;
	msg_init(&a, MSG_ANCHOR_DONE);
	a.id = id;
	if ((r = buf_put_u32(&a.body, *trouble != '\0')) == 0 &&
	    (r = buf_put_cstr(&a.body, trouble)) == 0)
		r = peer_send(audit, &a);
	msg_clear(&a);
	if (r != 0)
		log_err(r, "audit is not told how the anchor command ended");
}

static void
anchor_late(void *arg)
{
	(void)arg;
	env.timer = NULL;
	env.late = true;
	anchor_stop();
}

void
anchor_stop(void)
{
	/* Its session is its own: what it started goes with it. */
	if (env.pid > 0 && kill(-env.pid, SIGKILL) == -1)
		(void)kill(env.pid, SIGKILL); /* it has not come that far */
}

/* The text waits in a pipe, which holds more than a message does. */
static int
anchor_spawn(const uint8_t *text, size_t n)
{
	int fd[2], r;

	if (pipe2(fd, O_CLOEXEC) == -1)
		return ERR_SYS;
	if ((r = write_all(fd[1], text, n)) == 0)
		r = setup_spawn_foreign(posternd_conf()->anchor_command,
		    env.account, fd[0], &env.pid);
	(void)close(fd[0]);
	(void)close(fd[1]);
	return r;
}

int
anchor_run(struct msg *m)
{
	const uint8_t *text;
	int64_t now = msg_now_ms();
	size_t n;
	int r;

	if ((r = buf_get_view(&m->body, PROTO_ANCHOR_MAX, &text, &n)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (posternd_conf()->anchor_command == NULL || env.pid > 0 ||
	    now - env.begun < ANCHOR_APART_MS || posternd_stopping()) {
		anchor_answer(m->id, "the command was asked for too often");
		return 0;
	}
	env.begun = now;
	env.timer = loop_timer(posternd_loop(),
	    (int64_t)posternd_conf()->anchor_timeout_s * 1000, anchor_late,
	    NULL);
	if (env.timer == NULL || (r = anchor_spawn(text, n)) != 0) {
		log_err(
		    env.timer == NULL ? ERR_NOMEM : r, "the anchor command");
		timer_free(env.timer);
		env.timer = NULL;
		anchor_answer(m->id, "the command cannot be started");
		return 0;
	}
	env.id = m->id;
	env.late = false;
	return 0;
}

bool
anchor_dead(pid_t pid, int status)
{
	char trouble[PROTO_ALARM_MAX] = "";

	if (env.pid <= 0 || pid != env.pid)
		return false;
	env.pid = 0;
	timer_free(env.timer);
	env.timer = NULL;
	if (env.late)
		(void)snprintf(trouble, sizeof(trouble),
		    "the command ran for %" PRIu32 " s and was ended",
		    posternd_conf()->anchor_timeout_s);
	else if (WIFEXITED(status) && WEXITSTATUS(status) == SETUP_NOT_EXECUTED)
		(void)snprintf(trouble, sizeof(trouble),
		    "the command cannot be executed, or ended with %d",
		    SETUP_NOT_EXECUTED);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		(void)snprintf(trouble, sizeof(trouble),
		    "the command ended with %s %d",
		    WIFSIGNALED(status) ? "signal" : "exit code",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	anchor_answer(env.id, trouble);
	return true;
}
