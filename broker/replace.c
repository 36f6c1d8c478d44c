/*
 * The upgrade of posternd in its own process (decision 0011): first a trial
 * that what is installed now understands settings and state, then execve, then
 * one child after the other makes room for its next one.
 */
#include "config.h"

#include "broker/replace.h"

#include <sys/wait.h>

#include <signal.h>

#include "broker/anchor.h"
#include "broker/children.h"
#include "broker/hops.h"
#include "broker/loop.h"
#include "broker/posternd.h"
#include "broker/reload.h"
#include "broker/upgrade.h"
#include "broker/upgrade_state.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/proto.h"

#define TRIAL_MS 10000   /* the new program looks at settings and state */
#define EXEC_RETRY_MS 20 /* a message to a child is not sent yet */

static struct {
	enum { REPLACE_NONE, REPLACE_TRIAL, REPLACE_CHILDREN } at;
	bool wanted;
	pid_t trial; /* of the program that is installed now */
	size_t n;    /* children that are new, or make room */
} env;

bool
replace_running(void)
{
	return env.at != REPLACE_NONE;
}

void
replace_next(void)
{
	struct child *c;

	if (env.at != REPLACE_CHILDREN)
		return;
	for (size_t i = 0; i < env.n; i++) {
		if (!children_get(i)->ready)
			return; /* its READY comes here */
	}
	if (env.n == NCHILD) {
		env.at = REPLACE_NONE;
		log_info("upgraded");
		return;
	}
	c = children_get(env.n++);
	if (c->pid <= 0) {
		children_start(c);
		return;
	}
	/* Its siblings have their links to the next one before it is told. */
	children_renew_links(c);
	c->ready = false;
	c->replaced = true;
	children_tell(c, MSG_STOP);
	children_stop_by(c == children_get(AUDIT) || c == children_get(SIGNER)
			     ? POSTERND_STOP_LAST_MS
			     : POSTERND_STOP_MS,
	    c);
}

static void
replace_failed(int r, const char *what)
{
	log_err(r, "ALARM: no upgrade: %s; this posternd goes on", what);
	env.at = REPLACE_NONE;
	posternd_settled();
}

static void
trial_late(void *arg)
{
	(void)arg;
	if (env.trial > 0)
		(void)kill(env.trial, SIGKILL);
}

void
replace_try(void)
{
	struct upgrade_fds fds;
	struct buf state;
	int r;

	if (!env.wanted || !posternd_calm())
		return; /* one after the other; posternd_settled asks again */
	env.wanted = false;
	env.at = REPLACE_TRIAL;
	posternd_changing();
	buf_init(&state, UPGRADE_STATE_MAX);
	if ((r = upgrade_state_put(&state, &fds)) == 0)
		r = upgrade_try(posternd_argv(), &state, &env.trial);
	buf_clear(&state);
	if (r != 0)
		replace_failed(r, "the new program cannot be tried");
	else
		(void)loop_timer(posternd_loop(), TRIAL_MS, trial_late, NULL);
}

void
replace_want(void)
{
	env.wanted = true;
	replace_try();
}

/* Between two messages, when none waits for a child. */
static void
replace_go(void *arg)
{
	struct upgrade_fds fds;
	struct buf state;
	int r;

	(void)arg;
	if (posternd_stopping())
		return;
	/* Nor is an answer under way that the next one would not expect. */
	if (children_queued() || reload_running() || anchor_running()) {
		if (loop_timer(posternd_loop(), EXEC_RETRY_MS, replace_go,
			NULL) == NULL)
			replace_failed(ERR_NOMEM, "timer");
		return;
	}
	buf_init(&state, UPGRADE_STATE_MAX);
	if ((r = upgrade_state_put(&state, &fds)) == 0)
		r = upgrade_exec(posternd_argv(), &state, &fds);
	buf_clear(&state);
	replace_failed(r, "the new program cannot be executed");
}

bool
replace_tried(pid_t pid, int status)
{
	if (env.trial <= 0 || pid != env.trial)
		return false;
	env.trial = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		replace_go(NULL);
	else
		replace_failed(0, "the new program does not start with these "
				  "settings and this state (its words are "
				  "above)");
	return true;
}

/* Between two versions of messages all are started anew at once, by the end of
 * those that were: there is nobody to make room. */
static bool
replace_foreign(void)
{
	bool any = false;

	for (size_t i = 0; i < NCHILD; i++)
		any = any || children_get(i)->foreign;
	for (size_t i = 0; i < NCHILD && any; i++) {
		if (children_get(i)->pid <= 0)
			children_start(children_get(i));
	}
	return any;
}

void
replace_arrive(struct buf *state)
{
	int r;

	if ((r = upgrade_state_get(state, false)) != 0)
		fatal(r, "the state of the posternd before");
	log_info("upgrade: going on with %zu running operations", hops_count());
	env.at = REPLACE_CHILDREN;
	if (!replace_foreign())
		return;
	log_info("upgrade: the processes before speak another version of the "
		 "messages; all are started anew");
	env.n = NCHILD;
}
