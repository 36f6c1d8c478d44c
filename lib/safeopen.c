/*
 * Opening configuration files.  The checks run on the opened descriptor, so
 * that nobody can swap the file between check and use.
 */
#include "config.h"

#include "lib/safeopen.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"

#define SLURP_STEP 16384

static int
safeopen_check(int fd, const struct safeopen_want *w, const char **why)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return ERR_SYS;
	if (!S_ISREG(st.st_mode)) {
		*why = "is not a regular file";
		return ERR_DENIED;
	}
	if (st.st_uid != w->owner && st.st_uid != 0) {
		*why = "belongs to another user";
		return ERR_DENIED;
	}
	if ((st.st_mode & w->forbid) != 0) {
		*why = (w->forbid & st.st_mode & 022) != 0 ?
		    "can be written by group or others" :
		    "can be read by group or others";
		return ERR_DENIED;
	}
	if (st.st_size < 0 || (uintmax_t)st.st_size > w->max) {
		*why = "is too large";
		return ERR_TOOBIG;
	}
	return 0;
}

int
safeopen_read(int dirfd, const char *path, const struct safeopen_want *w,
    int *fdp, const char **why)
{
	int fd, r;

	*why = "cannot be opened";
	fd = openat(dirfd, path,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		if (errno == ELOOP)
			*why = "is a symbolic link";
		return ERR_SYS;
	}
	if ((r = safeopen_check(fd, w, why)) != 0) {
		(void)close(fd);
		return r;
	}
	*fdp = fd;
	return 0;
}

int
safeopen_slurp(int dirfd, const char *path, const struct safeopen_want *w,
    struct buf *b, const char **why)
{
	int fd, r;

	if ((r = safeopen_read(dirfd, path, w, &fd, why)) != 0)
		return r;
	if ((r = slurp_fd(fd, b)) != 0)
		*why = r == ERR_TOOBIG ? "is too large" : "cannot be read";
	(void)close(fd);
	return r;
}

int
slurp_fd(int fd, struct buf *b)
{
	uint8_t step[SLURP_STEP];
	ssize_t n;
	int r;

	for (;;) {
		n = read(fd, step, sizeof(step));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return ERR_SYS;
		if (n == 0)
			return 0;
		if ((r = buf_put(b, step, (size_t)n)) != 0)
			return r;
	}
}

int
write_all(int fd, const void *p, size_t n)
{
	const uint8_t *s = p;
	ssize_t k;

	while (n > 0) {
		k = write(fd, s, n);
		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
		s += k;
		n -= (size_t)k;
	}
	return 0;
}
