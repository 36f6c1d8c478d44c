/*
 * posternd, the parent: root, and the only process that is.  It binds the
 * sockets, opens the folders, starts the children and hands all of it to them,
 * starts them again when they die, and forks a hop when policy asks for one.
 * It never parses a byte that came from a client, a token or a target; what
 * its children send it are fixed messages: ids, numbers, and one text that it
 * hands on unread (child_msg in children.c).
 */
#include "config.h"

#include "broker/posternd.h"

#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/anchor.h"
#include "broker/children.h"
#include "broker/hops.h"
#include "broker/lease.h"
#include "broker/loop.h"
#include "broker/notify.h"
#include "broker/reload.h"
#include "broker/replace.h"
#include "broker/setup.h"
#include "broker/upgrade.h"
#include "broker/upgrade_state.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

static struct {
	const char *conf_path;
	struct conf conf;
	struct buf conf_text;
	struct loop *loop;
	struct account job;
	char **argv;
	bool stopping;
	bool last; /* all are told to stop, audit and signer, too */
	bool announced;
	bool changing; /* the service manager waits for READY */
} env = { .conf_path = POSTERN_SYSCONFDIR "/postern.conf" };

const struct conf *
posternd_conf(void)
{
	return &env.conf;
}

const struct buf *
posternd_conf_text(void)
{
	return &env.conf_text;
}

struct loop *
posternd_loop(void)
{
	return env.loop;
}

char **
posternd_argv(void)
{
	return env.argv;
}

bool
posternd_stopping(void)
{
	return env.stopping;
}

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
make_socket(const char *name, gid_t gid, mode_t mode)
{
	int fd, r;

	if ((r = setup_socket(env.conf.run_folder, name, gid, mode, &fd)) != 0)
		fatal(r, "%s/%s.sock", env.conf.run_folder, name);
	children_give(name, fd);
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
make_state(const char *name, struct account owner, mode_t mode)
{
	char path[512];
	int n;

	n = snprintf(path, sizeof(path), "%s/%s", env.conf.state_folder, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		fatal(ERR_TOOBIG, "state-folder");
	/* Set-gid: what audit makes below is the auditors' group's. */
	children_give(name, make_folder(path, owner, 02000 | mode));
}

static void
make_key(const char *name)
{
	int fd, r;

	if ((r = setup_boot_key(env.conf.run_folder, name, &fd)) != 0)
		fatal(r, "%s/%s", env.conf.run_folder, name);
	children_give(name, fd);
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
	struct child *c;

	for (size_t i = 0; (c = children_get(i)) != NULL; i++)
		c->acct = need_account(c->account);
	env.job = need_account("_postern-job");
	if (env.conf.anchor_command != NULL)
		anchor_prepare(need_account("_postern-anchor"));
}

static void
prepare_hops(void)
{
	int r;

	if ((r = hops_prepare(
		 env.conf.run_folder, need_account("_postern-hop"))) != 0)
		fatal(r, "%s/lease", env.conf.run_folder);
}

/* Also after an upgrade from a posternd that did not have it. */
static void
make_auditors(void)
{
	make_socket("audit", need_group("postern-auditor"), 0660);
}

static void
prepare_run(void)
{
	const struct account root = { 0, 0 };

	(void)close(make_folder(env.conf.run_folder, root, 0755));
}

/* The one part of a start that may have to change owners. */
static void
prepare_state(void)
{
	const struct account root = { 0, 0 };
	struct account audit = children_get(AUDIT)->acct;

	audit.gid = need_group("postern-auditor");
	(void)close(make_folder(env.conf.state_folder, root, 0755));
	/* Auditors see recordings through audit, which writes down who does. */
	make_state("recordings", audit, 0700);
	make_state("ledger", audit, 0750);
	make_state("store", audit, 0750);
}

static void
prepare(void)
{
	prepare_run();
	make_socket("pam", 0, 0600);
	make_socket("session", 0, 0600);
	make_socket("shell", env.job.gid, 0660);
	make_socket("ctl", need_group("postern-admin"), 0660);
	make_auditors();
	make_key("session-key");
	prepare_state();
}

/* -- what the service manager is told ------------------------------------ */

bool
posternd_calm(void)
{
	return env.announced && !env.changing && !env.stopping;
}

void
posternd_changing(void)
{
	env.changing = true;
	notify_reloading();
}

void
posternd_settled(void)
{
	if (!children_ready() || replace_running() || reload_running() ||
	    posternd_calm())
		return;
	if (!env.announced)
		log_info("ready");
	env.announced = true;
	env.changing = false;
	notify_ready();
	replace_try(); /* was wanted meanwhile */
}

/* -- signals -------------------------------------------------------------- */

static void
reap(void)
{
	int status;
	pid_t pid;

	/* As process 1 of a container it buries strangers, too. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!replace_tried(pid, status) && !anchor_dead(pid, status) &&
		    !children_dead(pid, status))
			hops_dead(status);
	}
}

static void
on_tick(void *arg)
{
	(void)arg;
	hops_stamp();
	children_alarm();
	/* A child that is missing for as long as the unit's WatchdogSec is one
	 * that this posternd cannot bring back.  One that is not ready yet may
	 * have much to read. */
	if (children_alive())
		notify_alive();
	if (loop_timer(env.loop, LEASE_TICK_MS, on_tick, NULL) == NULL)
		fatal(ERR_NOMEM, "timer");
}

/* What policy and oidc say last, audit and signer still have to hear. */
void
posternd_stop_last(void)
{
	if (env.last || children_get(POLICY)->pid > 0 ||
	    children_get(OIDC)->pid > 0)
		return;
	env.last = true;
	children_drop_links(); /* or a link would have no end */
	children_tell(children_get(SIGNER), MSG_STOP);
	children_tell(children_get(AUDIT), MSG_STOP);
	children_stop_by(POSTERND_STOP_LAST_MS, NULL);
}

static void
stop(void)
{
	if (env.stopping)
		return;
	env.stopping = true;
	notify_stopping();
	children_tell(children_get(POLICY), MSG_STOP);
	children_tell(children_get(OIDC), MSG_STOP);
	children_stop_by(POSTERND_STOP_MS, NULL);
	posternd_stop_last();
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
			reload_begin();
			break;
		case SIGUSR2:
			replace_want();
			break;
		default:
			stop();
		}
	}
	if (env.stopping && children_gone())
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
	    "usage: posternd [-p | -t] [-c FILE]\n"
	    "Runs in the foreground; settings in %s, see posternd(8).\n"
	    "-p: only makes the folders, and gives them their owners.\n"
	    "-t: only tries whether settings and accounts are good.\n",
	    env.conf_path);
	exit(POSTERN_EX_USAGE);
}

enum task {
	TASK_SERVE,
	TASK_PREPARE,
	TASK_TRY,
};

static enum task
read_args(int argc, char **argv)
{
	static char self[4096];
	enum task task = TASK_SERVE;
	int c;

	while ((c = getopt(argc, argv, "c:pt")) != -1) {
		if (c == 'c')
			env.conf_path = optarg;
		else if (c == 'p' && task == TASK_SERVE)
			task = TASK_PREPARE;
		else if (c == 't' && task == TASK_SERVE)
			task = TASK_TRY;
		else
			usage();
	}
	if (optind != argc)
		usage();
	/* By its path: what lies there then is what is installed. */
	if (argv[0][0] != '/' && realpath("/proc/self/exe", self) != NULL)
		argv[0] = self;
	env.argv = argv;
	return task;
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
	enum task task;
	bool fresh;
	int r;

	log_init("posternd");
	task = read_args(argc, argv);
	if (geteuid() != 0)
		fatal(0, "must be started as root; it gives that up for "
			 "everything it starts");
	buf_init(&state, UPGRADE_STATE_MAX);
	r = upgrade_state(&state);
	if (r != 0 && r != ERR_NOTFOUND)
		fatal(r, "the state of the posternd before");
	fresh = r == ERR_NOTFOUND;
	tidy_descriptors(fresh);
	log_journal();
	(void)umask(077);
	if ((env.loop = loop_new()) == NULL)
		fatal(ERR_NOMEM, "cannot start");
	read_conf();
	read_accounts();
	if (task == TASK_PREPARE) {
		prepare_run();
		prepare_state();
		buf_clear(&state);
		return 0;
	}
	if (task == TASK_TRY) {
		if (!fresh && (r = upgrade_state_get(&state, true)) != 0)
			fatal(r, "the state of the running posternd");
		buf_clear(&state);
		return 0;
	}
	if (fresh)
		prepare();
	prepare_hops();
	if (hops_begin(fresh))
		children_alarm_own();
	watch_signals();
	if (fresh) {
		for (size_t i = 0; i < NCHILD; i++)
			children_start(children_get(i));
	} else {
		env.announced = env.changing = true;
		replace_arrive(&state);
		if (!children_has("audit"))
			make_auditors();
		reap(); /* whoever died between the two */
		replace_next();
	}
	buf_clear(&state);
	on_tick(NULL);
	if ((r = loop_run(env.loop)) != 0)
		fatal(r, "loop");
	anchor_stop();
	hops_end();
	log_info("stopped");
	return 0;
}
