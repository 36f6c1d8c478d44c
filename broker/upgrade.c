/*
 * The re-execution of posternd.  Runs in posternd as root; its input is what
 * root's program before this one wrote.
 */
#include "config.h"

#include "broker/upgrade.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define UPGRADE_ENV "POSTERN_STATE"
#define UPGRADE_ARGS_MAX 8

int
upgrade_put_fd(struct buf *state, struct upgrade_fds *fds, int fd)
{
	if (fd == -1)
		return buf_put_u32(state, 0);
	if (fds->n == UPGRADE_FDS_MAX)
		return ERR_TOOBIG;
	fds->fd[fds->n++] = fd;
	return buf_put_u32(state, (uint32_t)fd + 1);
}

int
upgrade_get_fd(struct buf *state, bool trial, int *fdp)
{
	uint32_t n;
	int r;

	if ((r = buf_get_u32(state, &n)) != 0)
		return r;
	*fdp = -1;
	if (n == 0 || trial)
		return 0;
	if (n > INT32_MAX || fcntl((int)n - 1, F_SETFD, FD_CLOEXEC) == -1)
		return ERR_FORMAT;
	*fdp = (int)n - 1;
	return 0;
}

int
upgrade_state(struct buf *state)
{
	const char *text = getenv(UPGRADE_ENV);
	uint64_t fd;
	int r;

	if (text == NULL)
		return ERR_NOTFOUND;
	if ((r = num_parse(text, 3, INT32_MAX, &fd)) != 0)
		return r;
	(void)unsetenv(UPGRADE_ENV);
	if (lseek((int)fd, 0, SEEK_SET) == -1)
		return ERR_SYS;
	r = slurp_fd((int)fd, state);
	(void)close((int)fd);
	return r;
}

/* The state in a memfd that survives exec, and its number in the environment.
 */
static int
state_write(const struct buf *state, int *fdp)
{
	char text[16];
	int fd, r;

	if ((fd = memfd_create("postern-state", 0)) == -1)
		return ERR_SYS;
	(void)snprintf(text, sizeof(text), "%d", fd);
	if ((r = write_all(fd, buf_ptr(state), buf_len(state))) != 0 ||
	    setenv(UPGRADE_ENV, text, 1) == -1) {
		(void)close(fd);
		return r != 0 ? r : ERR_NOMEM;
	}
	*fdp = fd;
	return 0;
}

int
upgrade_try(char **argv, const struct buf *state, pid_t *pidp)
{
	char minus_t[] = "-t", *args[UPGRADE_ARGS_MAX + 2];
	sigset_t none;
	size_t n = 0;
	pid_t pid;
	int fd, r;

	for (; argv[n] != NULL; n++) {
		if (n == UPGRADE_ARGS_MAX)
			return ERR_TOOBIG;
		args[n] = argv[n];
	}
	args[n] = minus_t;
	args[n + 1] = NULL;
	if ((r = state_write(state, &fd)) != 0)
		return r;
	if ((pid = fork()) == 0) {
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)execv(args[0], args);
		_exit(127);
	}
	(void)close(fd);
	(void)unsetenv(UPGRADE_ENV);
	if (pid == -1)
		return ERR_SYS;
	*pidp = pid;
	return 0;
}

static int
fds_mark(const struct upgrade_fds *fds, int flags)
{
	int r = 0;

	for (size_t i = 0; i < fds->n; i++) {
		if (fcntl(fds->fd[i], F_SETFD, flags) == -1)
			r = ERR_SYS;
	}
	return r;
}

int
upgrade_exec(
    char **argv, const struct buf *state, const struct upgrade_fds *fds)
{
	int err, fd, r;

	if ((r = state_write(state, &fd)) != 0)
		return r;
	/* All of them or none: the state speaks of each by its number. */
	if (fds_mark(fds, 0) == 0)
		(void)execv(argv[0], argv);
	err = errno;
	(void)fds_mark(fds, FD_CLOEXEC);
	(void)close(fd);
	(void)unsetenv(UPGRADE_ENV);
	errno = err;
	return ERR_SYS;
}
