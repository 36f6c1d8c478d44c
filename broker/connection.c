/*
 * The connections of sessions, in the policy process.  What it is told comes
 * from pam_postern as root (handles, monitors), and from postern-shell, whose
 * word counts for nothing: it is identified by the kernel.
 */
#include "config.h"

#include "broker/session.h"

#include <sys/random.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/policy.h"
#include "broker/proc.h"
#include "broker/session_internal.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "lib/log.h"

void
connection_free(struct connection *c)
{
	if (c == NULL)
		return;
	policy_ask_drop(c);
	watch_free(c->watch);
	timer_free(c->timer);
	if (c->monitor_pidfd >= 0)
		(void)close(c->monitor_pidfd);
	explicit_bzero(c->handle, sizeof(c->handle));
	free(c->names);
	free(c);
}

/* Off the list, and off its session, which may be over with it. */
void
connection_drop(struct connection *c)
{
	struct session *s = c->session;
	struct connection **at;

	for (at = &session_table.connections; *at != c;)
		at = &(*at)->next;
	*at = c->next;
	if (c->kept != KEPT_NO)
		takeover_forget_connection(c);
	connection_free(c);
	s->nconnection--;
	/* Without a timer nothing else would end it. */
	if (session_may_end(s) || (s->nconnection == 0 && session_arm(s) != 0))
		session_end(s);
}

static void
connection_expired(void *arg)
{
	struct connection *c = arg;

	c->timer = NULL;
	connection_drop(c);
}

int
connection_make(const char *user, const char *source, struct connection **out)
{
	uint8_t rnd[PROTO_HANDLE_LEN / 2];
	struct connection *c;
	int r;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return ERR_NOMEM;
	c->monitor_pidfd = -1;
	if ((r = ulid_new(c->id)) != 0 ||
	    (r = str_copy(c->user, sizeof(c->user), user)) != 0 ||
	    (r = str_copy(c->source, sizeof(c->source), source)) != 0 ||
	    (r = user_name_parse(c->user, &c->name)) != 0)
		goto fail;
	r = ERR_SYS;
	if (getrandom(rnd, sizeof(rnd), 0) != (ssize_t)sizeof(rnd))
		goto fail;
	hex_encode(rnd, sizeof(rnd), c->handle);
	explicit_bzero(rnd, sizeof(rnd));
	r = ERR_NOMEM;
	c->timer = loop_timer(
	    child_loop(), CONNECTION_PENDING_MS, connection_expired, c);
	if (c->timer == NULL)
		goto fail;
	*out = c;
	return 0;
fail:
	connection_free(c);
	return r;
}

void
connection_join(struct connection *c, struct session *s)
{
	c->session = s;
	s->nconnection++;
	c->next = session_table.connections;
	session_table.connections = c;
}

static struct connection *
session_lookup(const char *handle)
{
	struct connection *c;

	if (strlen(handle) != PROTO_HANDLE_LEN)
		return NULL;
	for (c = session_table.connections; c != NULL; c = c->next) {
		if (c->state != CONNECTION_OVER && !c->session->over &&
		    mem_equal(c->handle, handle, PROTO_HANDLE_LEN))
			return c;
	}
	return NULL;
}

void
connection_end(struct connection *c)
{
	c->state = CONNECTION_OVER;
	watch_free(c->watch);
	c->watch = NULL;
	if (c->noperations == 0)
		connection_drop(c);
}

static void
session_monitor_died(void *arg, int fd, short revents)
{
	(void)fd;
	(void)revents;
	connection_end(arg);
}

/* Ties a pending connection to its monitor; takes pidfd, also on failure. */
int
connection_open(struct connection *c, pid_t monitor, int pidfd)
{
	bool opened = c->session->opened;
	struct proc_stat st = { 0 };
	pid_t pid;
	int r = ERR_DENIED;

	/* The monitor's own word, sent beside it, must agree. */
	if (proc_pid(pidfd, &pid) != 0 || pid != monitor ||
	    proc_stat(monitor, &st) != 0 || !proc_alive(pidfd))
		goto out;
	if ((r = session_note_open(c->session, c)) != 0)
		goto out;
	c->watch =
	    loop_watch(child_loop(), pidfd, POLLIN, session_monitor_died, c);
	if (c->watch == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	timer_free(c->timer);
	c->timer = NULL;
	c->monitor = monitor;
	c->monitor_start = st.start;
	c->monitor_pidfd = pidfd;
	c->state = CONNECTION_OPEN;
	if (c->session->kept == KEPT_NO || !opened)
		takeover_keep_session(c->session);
	takeover_keep_connection(c);
	pidfd = -1;
	r = 0;
out:
	if (pidfd >= 0)
		(void)close(pidfd);
	return r;
}

int
session_open(const char *handle, const char *user, const char *source,
    pid_t monitor, int pidfd, struct connection **out)
{
	struct connection *c = session_lookup(handle);
	int r;

	if (c == NULL || c->state != CONNECTION_PENDING ||
	    strcmp(c->user, user) != 0 || strcmp(c->source, source) != 0) {
		if (pidfd >= 0)
			(void)close(pidfd);
		return ERR_DENIED;
	}
	if ((r = connection_open(c, monitor, pidfd)) == 0)
		*out = c;
	return r;
}

int
session_close(const char *handle, pid_t monitor)
{
	struct connection *c = session_lookup(handle);

	if (c == NULL || c->state != CONNECTION_OPEN || c->monitor != monitor)
		return ERR_DENIED;
	connection_end(c);
	return 0;
}

bool
session_has_monitor(pid_t monitor)
{
	struct connection *c;

	for (c = session_table.connections; c != NULL; c = c->next) {
		if (c->state == CONNECTION_OPEN && c->monitor == monitor)
			return true;
	}
	return false;
}

/*
 * MUST hold even when the asker dies and its pid is reused between two reads:
 * asker -> child of sshd -> monitor.  The asker is pinned by a pidfd and read
 * twice around the walk; the monitor by its own pidfd.  If the middle process
 * had died in between, the asker's parent would have changed.
 */
static bool
session_descends(const struct connection *c, pid_t asker, int pidfd)
{
	struct proc_stat first, middle, again;

	return proc_stat(asker, &first) == 0 &&
	       proc_stat(first.parent, &middle) == 0 &&
	       proc_stat(asker, &again) == 0 && first.parent == again.parent &&
	       middle.parent == c->monitor && proc_alive(pidfd) &&
	       proc_alive(c->monitor_pidfd);
}

int
session_find(
    const char *handle, pid_t asker, int pidfd, struct connection **out)
{
	struct connection *c = session_lookup(handle);

	if (c == NULL || c->state != CONNECTION_OPEN ||
	    !session_descends(c, asker, pidfd))
		return ERR_DENIED;
	/* A line that did not get there goes before those that name it. */
	if (c->session->noted == KEPT_NO &&
	    session_note_open(c->session, c) != 0)
		log_err_about(ABOUT_SESSION(c->session->id), 0,
		    "session %s is not in the ledger yet", c->session->id);
	*out = c;
	return 0;
}

bool
session_is_lost(const char *handle, pid_t asker)
{
	const struct connection *c = session_table.connections;
	struct proc_stat st, self;

	if (strlen(handle) != PROTO_HANDLE_LEN)
		return false;
	while (c != NULL && !mem_equal(c->handle, handle, PROTO_HANDLE_LEN))
		c = c->next;
	if (c != NULL && c->state != CONNECTION_PENDING)
		return false;
	return proc_stat(asker, &st) == 0 && proc_stat(st.parent, &st) == 0 &&
	       proc_stat(st.parent, &st) == 0 &&
	       proc_stat(getpid(), &self) == 0 && st.start < self.start;
}

void
session_hold(struct connection *c)
{
	c->noperations++;
}

void
session_release(struct connection *c)
{
	c->noperations--;
	if (c->noperations == 0 && c->state == CONNECTION_OVER)
		connection_drop(c);
}

struct connection *
session_connection(const char *id)
{
	struct connection *c = session_table.connections;

	while (c != NULL && strcmp(c->id, id) != 0)
		c = c->next;
	return c;
}

/* The monitor of a connection is found again, or the connection is over. */
int
connection_find_monitor(struct connection *c)
{
	int r;

	if (c->monitor == 0) { /* PAM may yet open it */
		c->timer = loop_timer(
		    child_loop(), CONNECTION_PENDING_MS, connection_expired, c);
		return c->timer == NULL ? ERR_NOMEM : 0;
	}
	r = proc_open(c->monitor, c->monitor_start, &c->monitor_pidfd);
	c->state = CONNECTION_OVER;
	if (r == ERR_NOTFOUND)
		return 0;
	if (r != 0)
		return r;
	c->watch = loop_watch(
	    child_loop(), c->monitor_pidfd, POLLIN, session_monitor_died, c);
	if (c->watch == NULL)
		return ERR_NOMEM;
	c->state = CONNECTION_OPEN;
	return 0;
}
