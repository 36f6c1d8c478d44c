/*
 * The children of posternd: what each is given, its links to its siblings, its
 * start, and the next one's start when it has died.
 */
#include "config.h"

#include "broker/children.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/anchor.h"
#include "broker/agent_trouble.h"
#include "broker/agents.h"
#include "broker/hops.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/posternd.h"
#include "broker/reload.h"
#include "broker/replace.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define RESTART_FIRST_MS 100
#define RESTART_LAST_MS 5000
#define RESTART_CALM_MS 60000 /* a life this long resets the back-off */

static struct child children[NCHILD] = {
	[AUDIT] = { .name = "audit",
	    .account = "_postern-audit",
	    .proc = PROC_AUDIT },
	[SIGNER] = { .name = "signer",
	    .account = "_postern-sign",
	    .proc = PROC_SIGNER },
	[POLICY] = { .name = "policy",
	    .account = "_postern-policy",
	    .proc = PROC_POLICY },
	[OIDC] = { .name = "oidc",
	    .account = "_postern-oidc",
	    .proc = PROC_OIDC },
};

static struct link links[] = {
	{ { POLICY, AUDIT }, { -1, -1 } },
	{ { POLICY, SIGNER }, { -1, -1 } },
	{ { POLICY, OIDC }, { -1, -1 } },
	{ { OIDC, AUDIT }, { -1, -1 } },
};
/* The death of the posternd before this one. */
static struct alarm own = { .status = -1 };

#define NLINKS (sizeof(links) / sizeof(links[0]))

static struct given given[] = {
	{ OIDC, GIVEN_LISTEN, "pam", -1 },
	{ POLICY, GIVEN_LISTEN, "session", -1 },
	{ POLICY, GIVEN_LISTEN, "shell", -1 },
	{ POLICY, GIVEN_LISTEN, "ctl", -1 },
	{ POLICY, GIVEN_LISTEN, "audit", -1 },
	{ POLICY, GIVEN_FOLDER, "session-key", -1 },
	{ AUDIT, GIVEN_FOLDER, "recordings", -1 },
	{ AUDIT, GIVEN_FOLDER, "ledger", -1 },
	{ AUDIT, GIVEN_FOLDER, "store", -1 },
};
#define NGIVEN (sizeof(given) / sizeof(given[0]))

struct child *
children_get(size_t i)
{
	return i < NCHILD ? &children[i] : NULL;
}

struct link *
children_link(size_t i)
{
	return i < NLINKS ? &links[i] : NULL;
}

struct given *
children_given(size_t i)
{
	return i < NGIVEN ? &given[i] : NULL;
}

void
children_give(const char *name, int fd)
{
	for (size_t i = 0; i < NGIVEN; i++) {
		if (strcmp(given[i].name, name) == 0)
			given[i].fd = fd;
	}
}

bool
children_has(const char *name)
{
	for (size_t i = 0; i < NGIVEN; i++) {
		if (strcmp(given[i].name, name) == 0)
			return given[i].fd != -1;
	}
	return false;
}

/* -- what a child is given ------------------------------------------------- */

static int
send_named(struct child *c, uint32_t type, const char *name, int fd)
{
	struct msg m;
	int r;

	msg_init(&m, type);
	if ((r = buf_put_cstr(&m.body, name)) == 0 &&
	    (r = msg_add_fd(&m, fd)) == 0)
		r = peer_send(c->peer, &m);
	msg_clear(&m);
	return r;
}

int
children_send_opened(
    struct child *c, const char *name, const char *path, int flags)
{
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd == -1) {
		log_err(ERR_SYS, "%s for %s", path, c->name);
		return errno == ENOENT ? 0 : ERR_SYS;
	}
	r = send_named(c, MSG_FOLDER, name, fd);
	(void)close(fd);
	return r;
}

/* The key; or, if an agent holds it, its public half. */
static int
send_ca(struct child *c, enum ca_which which)
{
	char name[16], path[512];
	int n;

	(void)snprintf(name, sizeof(name), "%s.%s", ca_name(which),
	    agents_path(which) == NULL ? "pem" : "pub");
	n = snprintf(
	    path, sizeof(path), "%s/%s", posternd_conf()->ca_folder, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOOBIG;
	return children_send_opened(c, name, path, O_NOFOLLOW);
}

/* The keys that oidc leaves for the next one, which it is the only one to read
 * and to write.  Without them it does. */
static int
send_keys(struct child *c)
{
	char path[512];
	int fd, n, r;

	n = snprintf(
	    path, sizeof(path), "%s/issuer-keys", posternd_conf()->run_folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOOBIG;
	/* The folder is root's: what has the name there is ours. */
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1) {
		log_err(ERR_SYS, "%s for %s", path, c->name);
		return 0;
	}
	r = send_named(c, MSG_FOLDER, "issuer-keys", fd);
	(void)close(fd);
	return r;
}

/* What a child is given beyond what is kept open in `given`. */
static int
send_files(struct child *c)
{
	int r = 0;

	if (c->proc == PROC_POLICY || c->proc == PROC_SIGNER)
		r = children_send_opened(
		    c, "policy", posternd_conf()->policy_folder, O_DIRECTORY);
	if (r == 0 && c->proc == PROC_SIGNER)
		r = send_ca(c, CA_TARGET);
	if (r == 0 && c->proc == PROC_SIGNER)
		r = send_ca(c, CA_JOB);
	if (r == 0 && c->proc == PROC_OIDC)
		r = send_keys(c);
	if (r == 0 && c->proc == PROC_OIDC &&
	    posternd_conf()->issuer_ca != NULL)
		r = children_send_opened(
		    c, "issuer-ca", posternd_conf()->issuer_ca, 0);
	return r;
}

static int
send_given(struct child *c)
{
	int r;

	for (size_t i = 0; i < NGIVEN; i++) {
		if (&children[given[i].child] != c)
			continue;
		r = send_named(c,
		    given[i].kind == GIVEN_LISTEN ? MSG_LISTEN : MSG_FOLDER,
		    given[i].name, given[i].fd);
		if (r != 0)
			return r;
	}
	return send_files(c);
}

static int
send_go(struct child *c)
{
	const struct buf *text = posternd_conf_text();
	struct buf addresses;
	struct msg m;
	int r;

	msg_init(&m, MSG_GO);
	buf_init(&addresses, 4096);
	if ((r = setup_addresses(&addresses)) == 0 &&
	    (r = buf_put_str(&m.body, buf_ptr(text), buf_len(text))) == 0 &&
	    (r = buf_put_str(
		 &m.body, buf_ptr(&addresses), buf_len(&addresses))) == 0)
		r = peer_send(c->peer, &m);
	buf_clear(&addresses);
	msg_clear(&m);
	return r;
}

/* Hands a child its end, or keeps it until that child is started. */
static int
link_give(struct link *l, int side, int fd)
{
	struct child *c = &children[l->child[side]];
	int r;

	if (l->held[side] != -1)
		(void)close(l->held[side]);
	l->held[side] = -1;
	/* One that makes room keeps the links it has: their ends end it. */
	if (c->peer == NULL || c->replaced) {
		l->held[side] = fd;
		return 0;
	}
	r = send_named(c, MSG_LINK, children[l->child[1 - side]].name, fd);
	(void)close(fd);
	return r;
}

static int
link_make(struct link *l)
{
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return ERR_SYS;
	if ((r = link_give(l, 0, sv[0])) != 0) {
		(void)close(sv[1]);
		return r;
	}
	r = link_give(l, 1, sv[1]);
	/* Half a link is none, and what is held is not made anew: whoever waits
	 * for this end would have got one that nobody answers, for good. */
	if (r != 0 && l->held[0] != -1) {
		(void)close(l->held[0]);
		l->held[0] = -1;
	}
	return r;
}

void
children_renew_links(struct child *c)
{
	struct peer *peer = c->peer;
	int r;

	c->peer = NULL; /* its ends are the next one's */
	for (size_t i = 0; i < NLINKS; i++) {
		if ((&children[links[i].child[0]] == c ||
			&children[links[i].child[1]] == c) &&
		    (r = link_make(&links[i])) != 0)
			log_err(r, "a link to postern-%s", c->name);
	}
	c->peer = peer;
}

void
children_drop_links(void)
{
	for (size_t i = 0; i < 2 * NLINKS; i++) {
		int *fd = &links[i / 2].held[i % 2];

		if (*fd != -1)
			(void)close(*fd);
		*fd = -1;
	}
}

/* What is held for a child that has been started; what is not there (its other
 * end was not started yet, or there was no descriptor) is made. */
static int
send_links(struct child *c)
{
	int fd, r = 0;

	for (size_t i = 0; i < NLINKS && r == 0; i++) {
		struct link *l = &links[i];
		int side = &children[l->child[0]] == c ? 0 : 1;

		if (&children[l->child[side]] != c)
			continue;
		if ((fd = l->held[side]) == -1) {
			r = link_make(l);
		} else {
			l->held[side] = -1;
			r = link_give(l, side, fd);
		}
	}
	return r;
}

/* -- from start to end ----------------------------------------------------- */

void
children_alarm_own(void)
{
	log_err(0, "ALARM: the posternd before this one died");
	alarm_note(&own, -1);
}

void
children_alarm(void)
{
	struct child *audit = &children[AUDIT];
	int r;

	if (!audit->ready || audit->replaced)
		return;
	for (size_t i = 0; i < NCHILD; i++) {
		struct child *c = &children[i];

		if ((r = alarm_tell(&c->deaths, c->name, audit->peer)) != 0)
			log_err(r, "an alarm of postern-%s", c->name);
	}
	if ((r = alarm_tell(&own, "posternd", audit->peer)) != 0)
		log_err(r, "an alarm of posternd");
	agents_alarm(audit->peer);
}

static int
alarm_done(struct msg *m)
{
	uint32_t result;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 || (r = msg_end(m)) != 0)
		return r;
	for (size_t i = 0; i < NCHILD; i++)
		alarm_told(&children[i].deaths, m->id, result);
	agents_told(m->id, result);
	if (own.n > 0) {
		alarm_told(&own, m->id, result);
		if (own.n == 0)
			hops_told();
	}
	return 0;
}

static int
child_msg(void *arg, struct peer *p, struct msg *m)
{
	struct child *c = arg;

	switch (m->type) {
	case MSG_READY:
		c->ready = true;
		hops_stamp();
		children_alarm();
		replace_next();
		posternd_settled();
		return msg_end(m);
	case MSG_RELOADED:
		return reload_answered(c, m);
	case MSG_RELOAD_WANTED:
		return reload_wanted(m);
	case MSG_ALARM_DONE:
		return alarm_done(m);
	case MSG_ANCHOR:
		return anchor_run(m);
	case MSG_HOP_START:
		return hops_start(p, m);
	case MSG_HOP_STOP:
		return hops_stop(m);
	case MSG_AGENT_WANTED:
		return agents_wanted(p, m);
	case MSG_AGENT_LOST:
		return agents_lost(m);
	default:
		return ERR_PROTO;
	}
}

static void
child_closed(void *arg, struct peer *p, int r)
{
	struct child *c = arg;

	(void)p;
	c->peer = NULL;
	c->ready = false;
	if (r != ERR_NOTFOUND)
		log_err(
		    r, "postern-%s broke the protocol; killing it", c->name);
	/* Dead, or it can no longer be told or asked anything: only its death
	 * makes room for the next one.  When all stop, stop_expired sees to
	 * those that do not. */
	if (c->pid > 0 && !posternd_stopping() && !c->replaced)
		(void)kill(c->pid, SIGKILL);
}

static void
child_restart(void *arg)
{
	struct child *c = arg;

	c->restart = NULL;
	children_start(c);
}

static void
child_retry(struct child *c)
{
	if (msg_now_ms() - c->born_ms > RESTART_CALM_MS)
		c->backoff_ms = 0;
	c->backoff_ms =
	    c->backoff_ms == 0 ? RESTART_FIRST_MS : c->backoff_ms * 2;
	if (c->backoff_ms > RESTART_LAST_MS)
		c->backoff_ms = RESTART_LAST_MS;
	timer_free(c->restart);
	c->restart =
	    loop_timer(posternd_loop(), c->backoff_ms, child_restart, c);
	if (c->restart == NULL)
		fatal(ERR_NOMEM, "restart of postern-%s", c->name);
}

void
children_adopt(struct child *c, int fd)
{
	c->peer = peer_new(posternd_loop(), fd, c->proc, PROC_PARENT, child_msg,
	    child_closed, c);
}

static int
child_fork(struct child *c)
{
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return ERR_SYS;
	r = setup_spawn(c->name, c->acct, sv[1], -1, &c->pid);
	(void)close(sv[1]);
	if (r != 0) {
		(void)close(sv[0]);
		return r;
	}
	children_adopt(c, sv[0]);
	return c->peer == NULL ? ERR_NOMEM : 0;
}

void
children_start(struct child *c)
{
	int r;

	if (posternd_stopping())
		return;
	/* An upgrade does not wait for it: MUST NOT be started once more when
	 * its time has come. */
	timer_free(c->restart);
	c->restart = NULL;
	c->born_ms = msg_now_ms();
	if ((r = child_fork(c)) == 0 && (r = send_given(c)) == 0 &&
	    (r = send_links(c)) == 0)
		r = send_go(c);
	if (r == 0)
		return;
	log_err(r, "cannot start postern-%s", c->name);
	if (c->pid > 0)
		(void)kill(c->pid, SIGKILL); /* its reaping tries again */
	else
		child_retry(c);
}

static void
child_dead(struct child *c, int status)
{
	c->pid = 0;
	c->ready = false;
	peer_free(c->peer);
	c->peer = NULL;
	reload_child_gone(c);
	for (size_t i = 0; i < NCHILD && c == &children[AUDIT]; i++)
		alarm_untold(&children[i].deaths);
	if (c == &children[AUDIT]) {
		alarm_untold(&own);
		agents_untold();
	}
	if (posternd_stopping()) {
		posternd_stop_last();
		return;
	}
	if (c->replaced && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		c->replaced = false; /* its links are there already */
		children_start(c);
		return;
	}
	if (c->foreign) {
		c->foreign = false;
		log_info("postern-%s of the version before has ended", c->name);
		children_renew_links(c);
		child_retry(c);
		return;
	}
	log_err(0, "ALARM: postern-%s died (%s %d); starting it again", c->name,
	    WIFSIGNALED(status) ? "signal" : "exit code",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	c->replaced = false;
	alarm_note(&c->deaths, status);
	children_renew_links(c);
	children_alarm();
	child_retry(c);
}

bool
children_dead(pid_t pid, int status)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (children[i].pid == pid) {
			child_dead(&children[i], status);
			return true;
		}
	}
	return false;
}

static void
stop_expired(void *arg)
{
	struct child *only = arg;

	for (size_t i = 0; i < NCHILD; i++) {
		struct child *c = &children[i];

		if (c->pid <= 0 ||
		    (only != NULL && (c != only || !c->replaced)))
			continue;
		log_err(0, "postern-%s does not stop; killing it", c->name);
		(void)kill(c->pid, SIGKILL);
	}
}

void
children_stop_by(int64_t ms, struct child *only)
{
	if (loop_timer(posternd_loop(), ms, stop_expired, only) == NULL)
		stop_expired(only);
}

void
children_tell(struct child *c, uint32_t type)
{
	struct msg m;
	int r;

	if (c->peer == NULL)
		return;
	msg_init(&m, type);
	if ((r = peer_send(c->peer, &m)) != 0)
		log_err(r, "postern-%s", c->name);
	msg_clear(&m);
}

/* -- what the others ask --------------------------------------------------- */

bool
children_alive(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (children[i].pid <= 0)
			return false;
	}
	return true;
}

bool
children_ready(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (!children[i].ready)
			return false;
	}
	return true;
}

bool
children_gone(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (children[i].pid > 0)
			return false;
	}
	return true;
}

bool
children_queued(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (children[i].peer != NULL &&
		    peer_queued(children[i].peer) > 0)
			return true;
	}
	return false;
}
