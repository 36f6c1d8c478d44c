/*
 * posternd, the parent: root, and the only process that is.  It binds the
 * sockets, opens the folders, starts the children and hands all of it to them,
 * starts them again when they die, and forks a hop when policy asks for one.
 * It never parses a byte that came from a client, a token or a target; what
 * policy sends it is one fixed message.
 */
#include "config.h"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/lease.h"
#include "broker/loop.h"
#include "broker/notify.h"
#include "broker/peer.h"
#include "broker/setup.h"
#include "broker/upgrade.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

#define RESTART_FIRST_MS 100
#define RESTART_LAST_MS 5000
#define RESTART_CALM_MS 60000 /* a life this long resets the back-off */
#define STOP_MS 10000	      /* between STOP and SIGKILL */
#define STOP_LAST_MS 5000     /* the same for those that were told last */
#define TRIAL_MS 10000        /* the new program looks at settings and state */
#define EXEC_RETRY_MS 20      /* a message to a child is not sent yet */
#define STATE_VERSION 1

enum { AUDIT, SIGNER, POLICY, OIDC, NCHILD };

struct child {
	const char *name;
	const char *account;
	unsigned int proc;
	struct account acct;
	struct peer *peer;
	pid_t pid;
	int64_t born_ms;
	int64_t backoff_ms;
	bool ready;
	bool replaced; /* was told to make room for a newer one */
};

static struct child children[NCHILD] = {
	[AUDIT] = { .name = "audit", .account = "_postern-audit",
	    .proc = PROC_AUDIT },
	[SIGNER] = { .name = "signer", .account = "_postern-sign",
	    .proc = PROC_SIGNER },
	[POLICY] = { .name = "policy", .account = "_postern-policy",
	    .proc = PROC_POLICY },
	[OIDC] = { .name = "oidc", .account = "_postern-oidc",
	    .proc = PROC_OIDC },
};

/* Who talks to whom.  The end of a process that is being started again is held
 * here: its siblings have theirs at once, and what they say meanwhile waits in
 * the socket. */
static struct link {
	int child[2];
	int held[2];
} links[] = {
	{ { POLICY, AUDIT }, { -1, -1 } },
	{ { POLICY, SIGNER }, { -1, -1 } },
	{ { POLICY, OIDC }, { -1, -1 } },
	{ { OIDC, AUDIT }, { -1, -1 } },
};
#define NLINKS (sizeof(links) / sizeof(links[0]))

/* What is opened once and handed to each new life of a child. */
enum given_kind { GIVEN_LISTEN, GIVEN_FOLDER };
static struct given {
	int child;
	enum given_kind kind;
	const char *name;
	int fd;
} given[] = {
	{ OIDC, GIVEN_LISTEN, "pam", -1 },
	{ POLICY, GIVEN_LISTEN, "session", -1 },
	{ POLICY, GIVEN_LISTEN, "shell", -1 },
	{ POLICY, GIVEN_LISTEN, "ctl", -1 },
	{ POLICY, GIVEN_FOLDER, "session-key", -1 },
	{ AUDIT, GIVEN_FOLDER, "recordings", -1 },
	{ AUDIT, GIVEN_FOLDER, "ledger", -1 },
	{ AUDIT, GIVEN_FOLDER, "store", -1 },
};
#define NGIVEN (sizeof(given) / sizeof(given[0]))

static struct {
	const char *conf_path;
	struct conf conf;
	struct buf conf_text;
	struct loop *loop;
	struct account hop;
	struct account job;
	size_t nhop;	/* running hops */
	struct lease *lease;
	int lease_fd;
	char **argv; /* with an absolute path, to be executed again */
	pid_t trial; /* of the program that is installed now */
	bool stopping;
	bool last; /* all are told to stop, audit and signer, too */
	bool announced;
	bool reloading;   /* the service manager waits for READY */
	size_t nreplaced; /* children that are new since the upgrade */
} env = { .conf_path = POSTERN_SYSCONFDIR "/postern.conf" };

static void child_start(struct child *c);
static void replace_next(void);
static void stamp_lease(void);

/* -- settings and sockets ------------------------------------------------ */

static void
read_conf(void)
{
	const struct safeopen_want want = { .owner = 0, .forbid = 022,
		.max = CONF_MAX };
	struct diags *d = diags_new();
	const char *why = "cannot be opened";
	struct buf out;
	int r;

	buf_init(&env.conf_text, CONF_MAX);
	r = safeopen_slurp(AT_FDCWD, env.conf_path, &want, &env.conf_text,
	    &why);
	/* No file means the defaults; a file that is wrong means no start. */
	if (r != 0 && !(r == ERR_SYS && errno == ENOENT))
		fatal(r, "%s %s", env.conf_path, why);
	if (d == NULL)
		fatal(ERR_NOMEM, "settings");
	r = conf_parse(env.conf_path, (const char *)buf_ptr(&env.conf_text),
	    buf_len(&env.conf_text), d, &env.conf);
	if (r != 0) {
		buf_init(&out, 256 * 1024);
		(void)diags_print(d, &out);
		(void)write_all(STDERR_FILENO, buf_ptr(&out), buf_len(&out));
		fatal(r, "%s", env.conf_path);
	}
	diags_free(d);
}

static void
give(const char *name, int fd)
{
	for (size_t i = 0; i < NGIVEN; i++) {
		if (strcmp(given[i].name, name) == 0)
			given[i].fd = fd;
	}
}

static void
make_socket(const char *name, gid_t gid, mode_t mode)
{
	int fd, r;

	if ((r = setup_socket(env.conf.run_folder, name, gid, mode, &fd)) != 0)
		fatal(r, "%s/%s.sock", env.conf.run_folder, name);
	give(name, fd);
}

static int
make_folder(const char *path, struct account owner, mode_t mode)
{
	int fd, r;

	if ((r = setup_folder(path, owner, mode, &fd)) != 0)
		fatal(r, "folder %s", path);
	return fd;
}

static void
make_state(const char *name, struct account owner)
{
	char path[512];
	int n;

	n = snprintf(path, sizeof(path), "%s/%s", env.conf.state_folder, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		fatal(ERR_TOOBIG, "state-folder");
	/* Set-gid: what audit makes below stays the auditors' to read. */
	give(name, make_folder(path, owner, 02750));
}

static void
make_key(const char *name)
{
	int fd, r;

	if ((r = setup_boot_key(env.conf.run_folder, name, &fd)) != 0)
		fatal(r, "%s/%s", env.conf.run_folder, name);
	give(name, fd);
}

static gid_t
need_group(const char *name)
{
	gid_t gid;

	if (setup_group(name, &gid) != 0)
		fatal(0, "there is no group %s: create the accounts first "
		    "(the package does, by sysusers.d)", name);
	return gid;
}

static struct account
need_account(const char *name)
{
	struct account a;

	if (setup_account(name, &a) != 0)
		fatal(0, "there is no account %s: create the accounts first "
		    "(the package does, by sysusers.d)", name);
	return a;
}

static void
read_accounts(void)
{
	for (size_t i = 0; i < NCHILD; i++)
		children[i].acct = need_account(children[i].account);
	env.hop = need_account("_postern-hop");
	env.job = need_account("_postern-job");
}

static void
prepare_lease(void)
{
	int r;

	if ((r = lease_make(env.conf.run_folder, &env.lease, &env.lease_fd)) !=
	    0)
		fatal(r, "%s/lease", env.conf.run_folder);
}

static void
prepare(void)
{
	const struct account root = { 0, 0 };
	struct account audit = children[AUDIT].acct;

	audit.gid = need_group("postern-auditor");

	(void)close(make_folder(env.conf.run_folder, root, 0755));
	make_socket("pam", 0, 0600);
	make_socket("session", 0, 0600);
	make_socket("shell", env.job.gid, 0660);
	make_socket("ctl", need_group("postern-admin"), 0660);
	make_key("session-key");

	(void)close(make_folder(env.conf.state_folder, root, 0755));
	make_state("recordings", audit);
	make_state("ledger", audit);
	make_state("store", audit);
}

/* -- children ------------------------------------------------------------ */

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

/* Opens path for this one hand-over; a missing file is left out. */
static int
send_opened(struct child *c, const char *name, const char *path, int flags)
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

static int
send_ca(struct child *c, const char *name)
{
	char path[512];
	int n;

	n = snprintf(path, sizeof(path), "%s/%s", env.conf.ca_folder, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOOBIG;
	return send_opened(c, name, path, O_NOFOLLOW);
}

/* What a child is given beyond what is kept open in `given`. */
static int
send_files(struct child *c)
{
	int r = 0;

	if (c->proc == PROC_POLICY || c->proc == PROC_SIGNER)
		r = send_opened(c, "policy", env.conf.policy_folder,
		    O_DIRECTORY);
	if (r == 0 && c->proc == PROC_SIGNER)
		r = send_ca(c, "target.pem");
	if (r == 0 && c->proc == PROC_SIGNER)
		r = send_ca(c, "job.pem");
	if (r == 0 && c->proc == PROC_OIDC && env.conf.issuer_ca != NULL)
		r = send_opened(c, "issuer-ca", env.conf.issuer_ca, 0);
	return r;
}

static int
send_given(struct child *c)
{
	int r;

	for (size_t i = 0; i < NGIVEN; i++) {
		if (&children[given[i].child] != c)
			continue;
		r = send_named(c, given[i].kind == GIVEN_LISTEN ? MSG_LISTEN :
		    MSG_FOLDER, given[i].name, given[i].fd);
		if (r != 0)
			return r;
	}
	return send_files(c);
}

static int
send_go(struct child *c)
{
	struct buf addresses;
	struct msg m;
	int r;

	msg_init(&m, MSG_GO);
	buf_init(&addresses, 4096);
	if ((r = setup_addresses(&addresses)) == 0 &&
	    (r = buf_put_str(&m.body, buf_ptr(&env.conf_text),
	    buf_len(&env.conf_text))) == 0 &&
	    (r = buf_put_str(&m.body, buf_ptr(&addresses),
	    buf_len(&addresses))) == 0)
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
	if (c->peer == NULL) {
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
	if ((r = link_give(l, 0, sv[0])) == 0)
		return link_give(l, 1, sv[1]);
	(void)close(sv[1]);
	return r;
}

/* The siblings of a child that has died, or is about to be replaced, get the
 * links to the next one. */
static void
links_renew(struct child *c)
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

static void
announce_ready(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (!children[i].ready)
			return;
	}
	if (env.announced && !env.reloading)
		return;
	log_info(env.announced ? "upgraded" : "ready");
	env.announced = true;
	env.reloading = false;
	notify_ready();
}

/* Policy keeps to operations-max; one that does not must not fill the process
 * table.  Twice, because a hop may take a moment to die when its work is done. */
static size_t
hops_max(void)
{
	return 2 * (size_t)env.conf.operations_max + 16;
}

/* Policy wants a hop: the one thing a child can ask of root. */
static int
hop_start(struct peer *p, struct msg *m)
{
	char operation[PROTO_ID_LEN + 1];
	struct msg a;
	pid_t pid = 0;
	int control, pidfd = -1, r;

	if ((r = buf_get_fixed(&m->body, operation, sizeof(operation))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	control = msg_take_fd(m, 0);
	r = env.nhop >= hops_max()
		? ERR_TOOBIG
		: setup_spawn("hop", env.hop, control, env.lease_fd, &pid);
	if (r == 0) {
		env.nhop++;
		/* Not reaped before this loop turns: the pid is still its. */
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd == -1)
			r = ERR_SYS;
	}
	if (r != 0)
		log_err(r, "hop for %s", log_safe(operation));
	(void)close(control);
	msg_init(&a, MSG_HOP_STARTED);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, pidfd == -1 ? 0 : (uint32_t)pid)) == 0 &&
	    (pidfd == -1 || (r = msg_add_fd(&a, pidfd)) == 0))
		r = peer_send(p, &a);
	msg_clear(&a);
	if (pidfd >= 0)
		(void)close(pidfd);
	return r;
}

static int
child_msg(void *arg, struct peer *p, struct msg *m)
{
	struct child *c = arg;

	switch (m->type) {
	case MSG_READY:
		c->ready = true;
		stamp_lease();
		if (env.nreplaced < NCHILD)
			replace_next();
		else
			announce_ready();
		return msg_end(m);
	case MSG_HOP_START:
		return hop_start(p, m);
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
		log_err(r, "postern-%s broke the protocol; killing it",
		    c->name);
	/* Dead, or it can no longer be told or asked anything: only its death
	 * makes room for the next one.  When all stop, stop_expired sees to
	 * those that do not. */
	if (c->pid > 0 && !env.stopping && !c->replaced)
		(void)kill(c->pid, SIGKILL);
}

static void
child_restart(void *arg)
{
	child_start(arg);
}

static void
child_retry(struct child *c)
{
	if (msg_now_ms() - c->born_ms > RESTART_CALM_MS)
		c->backoff_ms = 0;
	c->backoff_ms = c->backoff_ms == 0 ? RESTART_FIRST_MS :
					     c->backoff_ms * 2;
	if (c->backoff_ms > RESTART_LAST_MS)
		c->backoff_ms = RESTART_LAST_MS;
	if (loop_timer(env.loop, c->backoff_ms, child_restart, c) == NULL)
		fatal(ERR_NOMEM, "restart of postern-%s", c->name);
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
	c->peer = peer_new(env.loop, sv[0], c->proc, PROC_PARENT, child_msg,
	    child_closed, c);
	return c->peer == NULL ? ERR_NOMEM : 0;
}

static void
child_start(struct child *c)
{
	int r;

	if (env.stopping)
		return;
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

/* -- signals -------------------------------------------------------------- */

static void upgrade_tried(int status);
static void upgrade_late(void *arg);
static void stop_last(void);

static void
child_dead(struct child *c, int status)
{
	c->pid = 0;
	c->ready = false;
	peer_free(c->peer);
	c->peer = NULL;
	if (env.stopping) {
		stop_last();
		return;
	}
	if (c->replaced && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		c->replaced = false; /* its links are there already */
		child_start(c);
		return;
	}
	log_err(0, "ALARM: postern-%s died (%s %d); starting it again", c->name,
	    WIFSIGNALED(status) ? "signal" : "exit code",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	c->replaced = false;
	links_renew(c);
	child_retry(c);
}

static void
hop_dead(int status)
{
	if (env.nhop > 0)
		env.nhop--;
	if (WIFEXITED(status) && WEXITSTATUS(status) >= SETUP_NOT_PREPARED)
		log_err(0, "a hop could not be %s",
		    WEXITSTATUS(status) == SETUP_NOT_EXECUTED ? "executed"
							      : "prepared");
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = children;

		if (pid == env.trial) {
			upgrade_tried(status);
			continue;
		}
		while (c < children + NCHILD && c->pid != pid)
			c++;
		if (c < children + NCHILD)
			child_dead(c, status);
		/* As process 1 of a container it buries strangers, too. */
		else
			hop_dead(status);
	}
}

static bool
all_gone(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (children[i].pid > 0)
			return false;
	}
	return true;
}

static void
tell(struct child *c, uint32_t type)
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

/* The policy folder is opened anew: it may be another one by now. */
static void
reload(void)
{
	static const int who[] = { SIGNER, POLICY };

	for (size_t i = 0; i < 2; i++) {
		struct child *c = &children[who[i]];

		if (c->peer == NULL)
			continue;
		if (send_opened(c, "policy", env.conf.policy_folder,
		    O_DIRECTORY) == 0)
			tell(c, MSG_RELOAD);
	}
}

static void
on_hangup(void)
{
	notify_reloading();
	reload();
	/* During an upgrade its end says so. */
	if (env.announced && !env.reloading)
		notify_ready();
}

/* Hops live on while both serve. */
static void
stamp_lease(void)
{
	int64_t now = msg_now_ms();

	if (children[AUDIT].ready)
		lease_stamp(env.lease, LEASE_AUDIT, now);
	if (children[POLICY].ready)
		lease_stamp(env.lease, LEASE_POLICY, now);
}

static void
on_tick(void *arg)
{
	(void)arg;
	stamp_lease();
	if (loop_timer(env.loop, LEASE_TICK_MS, on_tick, NULL) == NULL)
		fatal(ERR_NOMEM, "timer");
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

static void
stop_by(int64_t ms, struct child *only)
{
	if (loop_timer(env.loop, ms, stop_expired, only) == NULL)
		stop_expired(only);
}

/* What policy and oidc say last, audit and signer still have to hear. */
static void
stop_last(void)
{
	if (env.last || children[POLICY].pid > 0 || children[OIDC].pid > 0)
		return;
	env.last = true;
	tell(&children[SIGNER], MSG_STOP);
	tell(&children[AUDIT], MSG_STOP);
	stop_by(STOP_LAST_MS, NULL);
}

static void
stop(void)
{
	if (env.stopping)
		return;
	env.stopping = true;
	notify_stopping();
	tell(&children[POLICY], MSG_STOP);
	tell(&children[OIDC], MSG_STOP);
	stop_by(STOP_MS, NULL);
	stop_last();
}

/* -- upgrade --------------------------------------------------------------- */

static int
state_put_child(struct buf *b, struct upgrade_fds *fds, const struct child *c)
{
	int r;

	if ((r = buf_put_cstr(b, c->name)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)c->pid)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)c->born_ms)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)c->backoff_ms)) != 0)
		return r;
	return upgrade_put_fd(b, fds, c->peer == NULL ? -1 : peer_fd(c->peer));
}

/* u32 version, u32 of the messages, u64 hops, then three lists, each with its
 * length: given, links, children; names, so that a newer posternd can have
 * others. */
static int
state_put(struct buf *b, struct upgrade_fds *fds)
{
	int r;

	fds->n = 0;
	if ((r = buf_put_u32(b, STATE_VERSION)) != 0 ||
	    (r = buf_put_u32(b, MSG_VERSION)) != 0 ||
	    (r = buf_put_u64(b, env.nhop)) != 0 ||
	    (r = buf_put_u32(b, NGIVEN)) != 0)
		return r;
	for (size_t i = 0; i < NGIVEN; i++) {
		if ((r = buf_put_cstr(b, given[i].name)) != 0 ||
		    (r = upgrade_put_fd(b, fds, given[i].fd)) != 0)
			return r;
	}
	if ((r = buf_put_u32(b, NLINKS)) != 0)
		return r;
	for (size_t i = 0; i < NLINKS; i++) {
		for (int side = 0; side < 2; side++) {
			if ((r = buf_put_cstr(b,
				 children[links[i].child[side]].name)) != 0 ||
			    (r = upgrade_put_fd(b, fds, links[i].held[side])) !=
				0)
				return r;
		}
	}
	if ((r = buf_put_u32(b, NCHILD)) != 0)
		return r;
	for (size_t i = 0; i < NCHILD && r == 0; i++)
		r = state_put_child(b, fds, &children[i]);
	return r;
}

static int
state_get_given(struct buf *b, bool trial)
{
	char name[32];
	uint32_t n;
	int fd, r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	for (; n > 0; n--) {
		if ((r = buf_get_fixed(b, name, sizeof(name))) != 0 ||
		    (r = upgrade_get_fd(b, trial, &fd)) != 0)
			return r;
		give(name, fd);
	}
	return 0;
}

static int
state_get_links(struct buf *b, bool trial)
{
	char name[2][32];
	uint32_t n;
	int fd[2], r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	for (; n > 0; n--) {
		for (int i = 0; i < 2; i++) {
			if ((r = buf_get_fixed(b, name[i], sizeof(name[i]))) !=
				0 ||
			    (r = upgrade_get_fd(b, trial, &fd[i])) != 0)
				return r;
		}
		for (size_t i = 0; i < NLINKS; i++) {
			struct link *l = &links[i];

			if (strcmp(children[l->child[0]].name, name[0]) != 0 ||
			    strcmp(children[l->child[1]].name, name[1]) != 0)
				continue;
			l->held[0] = fd[0];
			l->held[1] = fd[1];
		}
	}
	return 0;
}

static int
state_get_child(struct buf *b, bool trial, bool same)
{
	char name[32];
	uint64_t born, backoff;
	uint32_t pid;
	int fd, r;

	if ((r = buf_get_fixed(b, name, sizeof(name))) != 0 ||
	    (r = buf_get_u32(b, &pid)) != 0 ||
	    (r = buf_get_u64(b, &born)) != 0 ||
	    (r = buf_get_u64(b, &backoff)) != 0 ||
	    (r = upgrade_get_fd(b, trial, &fd)) != 0)
		return r;
	for (size_t i = 0; i < NCHILD && !trial; i++) {
		struct child *c = &children[i];

		if (strcmp(c->name, name) != 0)
			continue;
		c->pid = (pid_t)pid;
		c->born_ms = (int64_t)born;
		c->backoff_ms = (int64_t)backoff;
		if (fd != -1 && same)
			c->peer = peer_new(env.loop, fd, c->proc, PROC_PARENT,
			    child_msg, child_closed, c);
		else if (fd != -1)
			(void)close(fd);
		/* It speaks another language, or cannot be spoken to. */
		if (c->pid > 0 && c->peer == NULL)
			(void)kill(c->pid, SIGKILL);
	}
	return 0;
}

static int
state_get(struct buf *b, bool trial)
{
	uint32_t version, messages, n;
	uint64_t hops;
	int r;

	if ((r = buf_get_u32(b, &version)) != 0)
		return r;
	if (version != STATE_VERSION)
		return ERR_FORMAT;
	if ((r = buf_get_u32(b, &messages)) != 0 ||
	    (r = buf_get_u64(b, &hops)) != 0 ||
	    (r = state_get_given(b, trial)) != 0 ||
	    (r = state_get_links(b, trial)) != 0 ||
	    (r = buf_get_u32(b, &n)) != 0)
		return r;
	env.nhop = (size_t)hops;
	for (; n > 0 && r == 0; n--)
		r = state_get_child(b, trial, messages == MSG_VERSION);
	return r != 0 ? r : buf_end(b);
}

/* One child after the other makes room for the one that is installed now.  Its
 * siblings have their links to the next one before it is told. */
static void
replace_next(void)
{
	struct child *c;

	if (env.nreplaced == NCHILD)
		return;
	for (size_t i = 0; i < env.nreplaced; i++) {
		if (!children[i].ready)
			return; /* its READY comes here */
	}
	c = &children[env.nreplaced++];
	if (c->pid <= 0) {
		child_start(c);
		return;
	}
	links_renew(c);
	c->ready = false;
	c->replaced = true;
	tell(c, MSG_STOP);
	stop_by(STOP_MS, c);
}

static void
upgrade_failed(int r, const char *what)
{
	log_err(r, "ALARM: no upgrade: %s; this posternd goes on", what);
	env.reloading = false;
	notify_ready();
}

/* SIGUSR2: is what is installed now able to go on? */
static void
upgrade_begin(void)
{
	struct upgrade_fds fds;
	struct buf state;
	int r;

	if (env.stopping || env.trial > 0 || env.reloading || !env.announced)
		return; /* one after the other */
	notify_reloading();
	env.reloading = true;
	buf_init(&state, UPGRADE_STATE_MAX);
	if ((r = state_put(&state, &fds)) == 0)
		r = upgrade_try(env.argv, &state, &env.trial);
	buf_clear(&state);
	if (r != 0)
		upgrade_failed(r, "the new program cannot be tried");
	else
		(void)loop_timer(env.loop, TRIAL_MS, upgrade_late, NULL);
}

static void
upgrade_late(void *arg)
{
	(void)arg;
	if (env.trial > 0)
		(void)kill(env.trial, SIGKILL);
}

/* Between two messages, when none waits for a child. */
static void
upgrade_go(void *arg)
{
	struct upgrade_fds fds;
	struct buf state;
	int r;

	(void)arg;
	if (env.stopping)
		return;
	for (size_t i = 0; i < NCHILD; i++) {
		if (children[i].peer == NULL ||
		    peer_queued(children[i].peer) == 0)
			continue;
		if (loop_timer(env.loop, EXEC_RETRY_MS, upgrade_go, NULL) ==
		    NULL)
			upgrade_failed(ERR_NOMEM, "timer");
		return;
	}
	buf_init(&state, UPGRADE_STATE_MAX);
	if ((r = state_put(&state, &fds)) == 0)
		r = upgrade_exec(env.argv, &state, &fds);
	buf_clear(&state);
	upgrade_failed(r, "the new program cannot be executed");
}

static void
upgrade_tried(int status)
{
	env.trial = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		upgrade_go(NULL);
	else
		upgrade_failed(0,
		    "the new program does not start with these "
		    "settings and this state (its words are above)");
}

/* We are the new program. */
static void
upgrade_arrive(struct buf *state)
{
	int r;

	if ((r = state_get(state, false)) != 0)
		fatal(r, "the state of the posternd before");
	log_info("upgrade: going on with %zu running operations", env.nhop);
	env.announced = env.reloading = true;
	env.nreplaced = 0;
	reap(); /* whoever died between the two */
	replace_next();
}

static void
on_signal(void *arg, int fd, short revents)
{
	struct signalfd_siginfo si;

	(void)arg;
	(void)revents;
	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			reap();
			break;
		case SIGHUP:
			on_hangup();
			break;
		case SIGUSR2:
			upgrade_begin();
			break;
		default:
			stop();
		}
	}
	if (env.stopping && all_gone())
		loop_stop(env.loop);
}

static void
watch_signals(void)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* not "ignored": we wait */
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 ||
	    (fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1 ||
	    loop_watch(env.loop, fd, POLLIN, on_signal, NULL) == NULL)
		fatal(ERR_SYS, "signals");
}

static void
usage(void)
{
	(void)fprintf(stderr,
	    "usage: posternd [-t] [-c FILE]\n"
	    "Runs in the foreground; settings in %s, see posternd(8).\n"
	    "-t: only tries whether settings and accounts are good.\n",
	    env.conf_path);
	exit(POSTERN_EX_USAGE);
}

static bool
read_args(int argc, char **argv)
{
	static char self[4096];
	bool trial = false;
	int c;

	while ((c = getopt(argc, argv, "c:t")) != -1) {
		if (c == 'c')
			env.conf_path = optarg;
		else if (c == 't')
			trial = true;
		else
			usage();
	}
	if (optind != argc)
		usage();
	/* By its path: what lies there then is what is installed. */
	if (argv[0][0] != '/' && realpath("/proc/self/exe", self) != NULL)
		argv[0] = self;
	env.argv = argv;
	return trial;
}

/* 0, 1 and 2 are inherited by children: they must exist.  Anything else was
 * leaked by shells and CI, unless it is ours from before an upgrade. */
static void
tidy_descriptors(bool fresh)
{
	int c;

	while ((c = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && c <= 2)
		(void)fcntl(c, F_SETFD, 0);
	(void)close(c);
	if (fresh)
		(void)close_range(3, ~0U, 0);
}

int
main(int argc, char **argv)
{
	struct buf state;
	bool trial, fresh;
	int r;

	log_init("posternd");
	trial = read_args(argc, argv);
	if (geteuid() != 0)
		fatal(0, "must be started as root; it gives that up for "
			 "everything it starts");
	buf_init(&state, UPGRADE_STATE_MAX);
	r = upgrade_state(&state);
	if (r != 0 && r != ERR_NOTFOUND)
		fatal(r, "the state of the posternd before");
	fresh = r == ERR_NOTFOUND;
	tidy_descriptors(fresh);
	(void)umask(077);
	if ((env.loop = loop_new()) == NULL)
		fatal(ERR_NOMEM, "cannot start");
	read_conf();
	read_accounts();
	if (trial) {
		if (!fresh && (r = state_get(&state, true)) != 0)
			fatal(r, "the state of the running posternd");
		buf_clear(&state);
		return 0;
	}
	if (fresh)
		prepare();
	prepare_lease();
	watch_signals();
	if (fresh) {
		env.nreplaced = NCHILD;
		for (size_t i = 0; i < NCHILD; i++)
			child_start(&children[i]);
	} else {
		upgrade_arrive(&state);
	}
	buf_clear(&state);
	on_tick(NULL);
	if ((r = loop_run(env.loop)) != 0)
		fatal(r, "loop");
	log_info("stopped");
	return 0;
}
