/*
 * Hops, in posternd: the one thing that policy asks of root.  What it sends for
 * it is one fixed message; what it says in there is its own.
 */
#include "config.h"

#include "broker/hops.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <signal.h>
#include <unistd.h>

#include "broker/children.h"
#include "broker/lease.h"
#include "broker/peer.h"
#include "broker/posternd.h"
#include "broker/proc.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

static struct {
	struct account account;
	struct lease *lease;
	int lease_fd;
	size_t n; /* running */
} env = { .lease_fd = -1 };

int
hops_prepare(const char *run_folder, struct account a)
{
	env.account = a;
	return lease_make(run_folder, &env.lease, &env.lease_fd);
}

bool
hops_begin(bool fresh)
{
	return lease_begin(env.lease, fresh);
}

void
hops_told(void)
{
	lease_told(env.lease);
}

void
hops_end(void)
{
	lease_end(env.lease);
}

/* Policy keeps to operations-max; one that does not must not fill the process
 * table.  Twice, because a hop may take a moment to die when its work is done.
 */
static size_t
hops_max(void)
{
	return 2 * (size_t)posternd_conf()->operations_max + 16;
}

int
hops_start(struct peer *p, struct msg *m)
{
	char operation[PROTO_ID_LEN + 1];
	struct msg a;
	pid_t pid = 0;
	int control, pidfd = -1, r;

	if ((r = buf_get_fixed(&m->body, operation, sizeof(operation))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	control = msg_take_fd(m, 0);
	r = env.n >= hops_max()
		? ERR_TOOBIG
		: setup_spawn("hop", env.account, control, env.lease_fd, &pid);
	if (r == 0) {
		env.n++;
		/* Not reaped before this loop turns: the pid is still its. */
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd == -1)
			r = ERR_SYS;
	}
	if (r != 0)
		log_err_about(ABOUT_OPERATION(log_safe(operation)), r,
		    "hop for %s", log_safe(operation));
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

/* The signal goes by the pidfd, so to the process whose uid was looked at, or
 * to none: a pid that was another's meanwhile is one whose pidfd is dead. */
int
hops_stop(struct msg *m)
{
	char operation[PROTO_ID_LEN + 1];
	uid_t uid = 0;
	pid_t pid = 0;
	uint8_t now;
	int pidfd, r;

	if ((r = buf_get_fixed(&m->body, operation, sizeof(operation))) != 0 ||
	    (r = buf_get_u8(&m->body, &now)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (now > 1)
		return ERR_PROTO;
	pidfd = msg_take_fd(m, 0);
	if ((r = proc_pid(pidfd, &pid)) == 0 &&
	    (r = proc_uid(pid, &uid)) == 0 && uid != env.account.uid)
		r = ERR_DENIED;
	if (r == 0 && syscall(SYS_pidfd_send_signal, pidfd,
			  now ? SIGKILL : SIGTERM, NULL, 0) != 0)
		r = ERR_SYS;
	if (r != 0 && proc_alive(pidfd)) /* what is dead is what was wanted */
		log_err_about(ABOUT_OPERATION(log_safe(operation)), r,
		    "the hop of %s is not ended", log_safe(operation));
	(void)close(pidfd);
	return 0;
}

void
hops_dead(int status)
{
	if (env.n > 0)
		env.n--;
	if (WIFEXITED(status) && WEXITSTATUS(status) >= SETUP_NOT_PREPARED)
		log_err(0, "a hop could not be %s",
		    WEXITSTATUS(status) == SETUP_NOT_EXECUTED ? "executed"
							      : "prepared");
}

size_t
hops_count(void)
{
	return env.n;
}

void
hops_adopt(size_t n)
{
	env.n = n;
}

void
hops_stamp(void)
{
	int64_t now = msg_now_ms();

	if (children_get(AUDIT)->ready)
		lease_stamp(env.lease, LEASE_AUDIT, now);
	if (children_get(POLICY)->ready)
		lease_stamp(env.lease, LEASE_POLICY, now);
}
