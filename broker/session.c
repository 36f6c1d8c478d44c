/*
 * The session table of the policy process.  What it is told comes from oidc
 * (verified claims), from pam_postern as root (handles, monitors), and from
 * postern-shell, whose word counts for nothing: it is identified by the kernel.
 */
#include "config.h"

#include "broker/session.h"

#include <sys/random.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"

static struct {
	struct session *first;
	size_t n;
} env;

void
session_proof_clear(struct session_proof *p)
{
	free(p->issuer);
	free(p->subject);
	claims_clear(&p->claims);
	*p = (struct session_proof){ 0 };
}

static void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	watch_free(s->watch);
	timer_free(s->timer);
	if (s->monitor_pidfd >= 0)
		(void)close(s->monitor_pidfd);
	explicit_bzero(s->handle, sizeof(s->handle));
	claims_clear(&s->claims);
	free(s->issuer);
	free(s->subject);
	free(s->identity);
	free(s);
}

static void
session_drop(struct session *s)
{
	struct session **at;

	for (at = &env.first; *at != s;)
		at = &(*at)->next;
	*at = s->next;
	env.n--;
	session_free(s);
}

/* The set of identities under the policy of now; none without a policy. */
static int
session_match(struct session *s, size_t *np)
{
	const struct policy *p = policy_now();
	size_t n = p == NULL ? 0 : policy_nidentities(p);
	bool *set;

	if ((set = calloc(n + 1, sizeof(*set))) == NULL)
		return ERR_NOMEM;
	*np = n == 0 ? 0 : policy_match(p, s->issuer, &s->claims, set);
	free(s->identity);
	s->identity = set;
	return 0;
}

static void
session_expired(void *arg)
{
	struct session *s = arg;

	s->timer = NULL;
	session_drop(s);
}

static int
session_make_handle(struct session *s)
{
	uint8_t rnd[PROTO_HANDLE_LEN / 2];

	if (getrandom(rnd, sizeof(rnd), 0) != (ssize_t)sizeof(rnd))
		return ERR_SYS;
	hex_encode(rnd, sizeof(rnd), s->handle);
	explicit_bzero(rnd, sizeof(rnd));
	return ulid_new(s->id);
}

int
session_new(struct session_proof *proof, uint32_t max, struct session **out,
    char *why, size_t whysize)
{
	const struct issuer *is;
	struct session *s;
	size_t n = 0;
	int r;

	(void)snprintf(why, whysize, "internal error");
	if (env.n >= max) {
		(void)snprintf(why, whysize, "%zu sessions are the limit "
		    "(sessions-max)", env.n);
		return ERR_DENIED;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	s->monitor_pidfd = -1;
	if ((r = str_copy(s->user, sizeof(s->user), proof->user)) != 0 ||
	    (r = str_copy(s->source, sizeof(s->source), proof->source)) != 0 ||
	    (r = user_name_parse(s->user, &s->name)) != 0 ||
	    (r = session_make_handle(s)) != 0)
		goto fail;
	s->issuer = proof->issuer;
	s->subject = proof->subject;
	s->claims = proof->claims;
	*proof = (struct session_proof){ 0 };
	if ((r = session_match(s, &n)) != 0)
		goto fail;
	if (n == 0) {
		(void)snprintf(why, whysize, "no identity matches");
		if (policy_now() != NULL)
			policy_match_explain(policy_now(), s->issuer,
			    &s->claims, why, whysize);
		r = ERR_DENIED;
		goto fail;
	}
	is = policy_issuer_find(policy_now(), s->issuer);
	if (is != NULL)
		issuer_ties(is, &s->claims, &s->ties);
	s->timer = loop_timer(child_loop(), SESSION_PENDING_MS,
	    session_expired, s);
	if (s->timer == NULL) {
		r = ERR_NOMEM;
		goto fail;
	}
	s->next = env.first;
	env.first = s;
	env.n++;
	*out = s;
	return 0;
fail:
	session_free(s);
	return r;
}

static struct session *
session_lookup(const char *handle)
{
	struct session *s;

	if (strlen(handle) != PROTO_HANDLE_LEN)
		return NULL;
	for (s = env.first; s != NULL; s = s->next) {
		if (s->state != SESSION_OVER &&
		    mem_equal(s->handle, handle, PROTO_HANDLE_LEN))
			return s;
	}
	return NULL;
}

static bool
pidfd_alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static void
session_end(struct session *s)
{
	struct buf b;
	int r;

	if (s->state == SESSION_OPEN) {
		buf_init(&b, 64 * 1024);
		if ((r = event_start(&b, EVENT_SESSION_CLOSE)) != 0 ||
		    (r = session_event(s, NULL, &b)) != 0 ||
		    (r = policy_event(&b)) != 0)
			log_err(r, "session %s closes without a ledger line",
			    s->id);
		buf_clear(&b);
	}
	s->state = SESSION_OVER;
	watch_free(s->watch);
	s->watch = NULL;
	if (s->noperations == 0)
		session_drop(s);
}

static void
session_monitor_died(void *arg, int fd, short revents)
{
	(void)fd;
	(void)revents;
	session_end(arg);
}

/* The pid a pidfd stands for, from the kernel: the monitor's own word, sent
 * beside it, must agree. */
static int
pidfd_pid(int pidfd, pid_t *pid)
{
	char path[64], text[1024];
	const char *at;
	ssize_t n;
	long v;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return ERR_SYS;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return ERR_SYS;
	text[n] = '\0';
	if ((at = strstr(text, "\nPid:")) == NULL)
		return ERR_FORMAT; /* not a pidfd */
	v = strtol(at + 5, NULL, 10);
	if (v <= 0)
		return ERR_FORMAT;
	*pid = (pid_t)v;
	return 0;
}

int
session_open(const char *handle, const char *user, pid_t monitor,
    int pidfd, struct session **out)
{
	struct session *s = session_lookup(handle);
	struct buf b;
	pid_t pid;
	int r = ERR_DENIED;

	buf_init(&b, 64 * 1024);
	if (s == NULL || s->state != SESSION_PENDING ||
	    strcmp(s->user, user) != 0 || pidfd_pid(pidfd, &pid) != 0 ||
	    pid != monitor || !pidfd_alive(pidfd))
		goto out;
	if ((r = event_start(&b, EVENT_SESSION_OPEN)) != 0 ||
	    (r = session_event(s, NULL, &b)) != 0 ||
	    (r = policy_event(&b)) != 0)
		goto out;
	s->watch = loop_watch(child_loop(), pidfd, POLLIN,
	    session_monitor_died, s);
	if (s->watch == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	timer_free(s->timer);
	s->timer = NULL;
	s->monitor = monitor;
	s->monitor_pidfd = pidfd;
	s->state = SESSION_OPEN;
	*out = s;
	pidfd = -1;
	r = 0;
out:
	if (pidfd >= 0)
		(void)close(pidfd);
	buf_clear(&b);
	return r;
}

int
session_close(const char *handle, pid_t monitor)
{
	struct session *s = session_lookup(handle);

	if (s == NULL || s->state != SESSION_OPEN || s->monitor != monitor)
		return ERR_DENIED;
	session_end(s);
	return 0;
}

/* The parent of a process: field 4 of /proc/PID/stat, after the last ')'. */
static int
proc_parent(pid_t pid, pid_t *parent)
{
	char path[64], text[1024];
	const char *at;
	ssize_t n;
	long v;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return ERR_SYS;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return ERR_SYS;
	text[n] = '\0';
	/* ") S 1234 ": state, then the parent */
	if ((at = strrchr(text, ')')) == NULL || at[1] != ' ' ||
	    at[2] == '\0' || at[3] != ' ')
		return ERR_FORMAT;
	v = strtol(at + 4, NULL, 10);
	if (v <= 0)
		return ERR_FORMAT;
	*parent = (pid_t)v;
	return 0;
}

/*
 * MUST hold even when the asker dies and its pid is reused between two reads:
 * asker -> child of sshd -> monitor.  The asker is pinned by a pidfd and read
 * twice around the walk; the monitor by its own pidfd.  If the middle process
 * had died in between, the asker's parent would have changed.
 */
static bool
session_descends(const struct session *s, pid_t asker)
{
	pid_t middle = 0, again = 0, top = 0;
	bool ok = false;
	int pidfd;

	if ((pidfd = (int)syscall(SYS_pidfd_open, asker, 0)) == -1)
		return false;
	if (proc_parent(asker, &middle) == 0 &&
	    proc_parent(middle, &top) == 0 &&
	    proc_parent(asker, &again) == 0)
		ok = middle == again && top == s->monitor &&
		    pidfd_alive(pidfd) && pidfd_alive(s->monitor_pidfd);
	(void)close(pidfd);
	return ok;
}

int
session_find(const char *handle, pid_t asker, struct session **out)
{
	struct session *s = session_lookup(handle);

	if (s == NULL || s->state != SESSION_OPEN ||
	    !session_descends(s, asker))
		return ERR_DENIED;
	*out = s;
	return 0;
}

void
session_hold(struct session *s)
{
	s->noperations++;
}

void
session_release(struct session *s)
{
	s->noperations--;
	if (s->noperations == 0 && s->state == SESSION_OVER)
		session_drop(s);
}

void
session_rematch(void)
{
	struct session *s;
	size_t n;

	for (s = env.first; s != NULL; s = s->next) {
		/* The old set counts another policy's identities: without
		 * memory for a new one the session is over. */
		if (session_match(s, &n) != 0)
			s->state = SESSION_OVER;
	}
}

size_t
session_count(void)
{
	return env.n;
}

const char *
session_identity(const struct session *s)
{
	const struct policy *p = policy_now();

	for (size_t i = 0; p != NULL && i < policy_nidentities(p); i++) {
		if (s->identity[i])
			return policy_identity_name(p, i);
	}
	return "";
}

int
session_event(const struct session *s, const char *identity, struct buf *b)
{
	int r;

	if (identity == NULL)
		identity = session_identity(s);
	if ((r = event_str(b, EV_SESSION, s->id)) != 0 ||
	    (r = event_str(b, EV_USER, s->user)) != 0 ||
	    (r = event_str(b, EV_SOURCE, s->source)) != 0 ||
	    (r = event_str(b, EV_IDENTITY, identity)) != 0 ||
	    (r = event_str(b, EV_ISSUER, s->issuer)) != 0 ||
	    (r = event_str(b, EV_SUBJECT, s->subject)) != 0 ||
	    (r = event_str(b, EV_COMMIT, s->ties.commit)) != 0 ||
	    (r = event_str(b, EV_PULL_REQUEST, s->ties.pull_request)) != 0 ||
	    (r = event_str(b, EV_ACTOR, s->ties.actor)) != 0 ||
	    (r = event_str(b, EV_WORKFLOW, s->ties.workflow)) != 0 ||
	    (r = event_str(b, EV_RUN, s->ties.run)) != 0)
		return r;
	return 0;
}
