/*
 * Reading /proc.  Runs in policy and posternd.  The name in /proc/PID/stat is
 * the process's own choice, so everything is read behind its last ')'.
 */
#include "config.h"

#include "broker/proc.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"

#define PROC_START_FIELD 22 /* proc(5), counted from 1; the state is 3 */

/* The text of a file, terminated. */
static int
proc_text(const char *path, char *text, size_t size)
{
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return ERR_SYS;
	n = read(fd, text, size - 1);
	(void)close(fd);
	if (n <= 0)
		return ERR_SYS;
	text[n] = '\0';
	return 0;
}

/* The text of /proc/PID/stat behind the name: " S PARENT …". */
static int
proc_read(pid_t pid, char *text, size_t size, const char **at)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if ((r = proc_text(path, text, size)) != 0)
		return r;
	if ((*at = strrchr(text, ')')) == NULL)
		return ERR_FORMAT;
	(*at)++;
	return 0;
}

int
proc_pid(int pidfd, pid_t *pid)
{
	char path[64], text[1024];
	const char *at;
	long v;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if ((r = proc_text(path, text, sizeof(text))) != 0)
		return r;
	if ((at = strstr(text, "\nPid:")) == NULL)
		return ERR_FORMAT; /* not a pidfd */
	v = strtol(at + 5, NULL, 10);
	if (v <= 0)
		return ERR_FORMAT;
	*pid = (pid_t)v;
	return 0;
}

/* The name above it has no line end: the kernel escapes it. */
int
proc_uid(pid_t pid, uid_t *uid)
{
	char path[64], text[4096];
	const char *at;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	if ((r = proc_text(path, text, sizeof(text))) != 0)
		return r;
	if ((at = strstr(text, "\nUid:\t")) == NULL || at[6] < '0' ||
	    at[6] > '9')
		return ERR_FORMAT;
	*uid = (uid_t)strtoul(at + 6, NULL, 10);
	return 0;
}

int
proc_stat(pid_t pid, struct proc_stat *out)
{
	char text[1024];
	const char *at;
	long parent;
	int r;

	if ((r = proc_read(pid, text, sizeof(text), &at)) != 0)
		return r;
	if (at[0] != ' ' || at[1] == '\0' || at[2] != ' ' ||
	    (parent = strtol(at + 3, NULL, 10)) < 0)
		return ERR_FORMAT;
	for (int field = 2; field < PROC_START_FIELD; field++) {
		if ((at = strchr(at, ' ')) == NULL)
			return ERR_FORMAT;
		at++;
	}
	out->parent = (pid_t)parent;
	out->start = strtoull(at, NULL, 10);
	return out->start == 0 ? ERR_FORMAT : 0;
}

bool
proc_alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

/* The pidfd comes first: whoever it names had this pid all the while, if it is
 * alive when the start time has been read. */
int
proc_open(pid_t pid, uint64_t start, int *pidfdp)
{
	struct proc_stat st;
	int fd, r;

	if (pid <= 0 || start == 0)
		return ERR_NOTFOUND;
	if ((fd = (int)syscall(SYS_pidfd_open, pid, 0)) == -1)
		return errno == ESRCH ? ERR_NOTFOUND : ERR_SYS;
	r = proc_stat(pid, &st);
	if (r != 0 || st.start != start || !proc_alive(fd)) {
		(void)close(fd);
		return ERR_NOTFOUND;
	}
	*pidfdp = fd;
	return 0;
}
