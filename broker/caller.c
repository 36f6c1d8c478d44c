/*
 * Callers of shell.sock.  Runs in policy.  Their uid is shared by all jobs, so
 * one that is owned can connect, fork and pass whatever descriptors it likes;
 * nothing here takes its word.
 */
#include "config.h"

#include "broker/caller.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/proc.h"
#include "broker/session.h"

/* Device numbers of Linux (its admin-guide/devices.txt). */
#define DEV_MEM 1
#define DEV_MEM_NULL 3
#define DEV_PTY_FIRST 136
#define DEV_PTY_LAST 143

pid_t
caller_monitor(int fd)
{
	struct ucred c;
	struct proc_stat st;
	socklen_t n = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == -1 ||
	    proc_stat(c.pid, &st) != 0 || proc_stat(st.parent, &st) != 0 ||
	    !session_has_monitor(st.parent))
		return CALLER_NOBODYS;
	return st.parent;
}

static bool
stream_socket_fits(int fd)
{
	const struct linger at_once = { 0 };
	socklen_t n = sizeof(int);
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 &&
	    domain == AF_UNIX)
		return true;
	/* Its close, which comes next, is not to wait for anybody. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	return false;
}

static bool
stream_fits(int fd)
{
	struct stat st;
	unsigned int kind;

	if (fstat(fd, &st) == -1)
		return false;
	kind = major(st.st_rdev);
	switch (st.st_mode & S_IFMT) {
	case S_IFIFO:
		return true;
	case S_IFCHR:
		return (kind >= DEV_PTY_FIRST && kind <= DEV_PTY_LAST) ||
		       (kind == DEV_MEM && minor(st.st_rdev) == DEV_MEM_NULL);
	case S_IFSOCK:
		return stream_socket_fits(fd);
	default:
		return false;
	}
}

bool
caller_streams_fit(const int fd[3])
{
	bool fit = true;

	/* Each is looked at: each is closed. */
	for (size_t i = 0; i < 3; i++)
		fit = stream_fits(fd[i]) && fit;
	return fit;
}

bool
caller_starved(void)
{
	int fd = fcntl(CHILD_CONTROL_FD, F_DUPFD_CLOEXEC, 0);

	if (fd == -1)
		return true;
	(void)close(fd);
	return false;
}
