/*
 * Preloaded into postern-audit by its test: the Nth of the calls that want room
 * on the disk fails with ENOSPC, or with it each that follows.  The test's page
 * says which; where it has a text, writes with that text in them count alone.
 * What goes to a socket or to the log wants no room, and is not counted.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct page {
	int64_t left; /* 0: none fails */
	uint64_t hits;
	uint64_t stays;
	char text[64];
} * page;

__attribute__((constructor)) static void
full_init(void)
{
	const char *path = getenv("FULL_PAGE");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *p;

	if (fd == -1)
		abort();
	p = mmap(
	    NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	page = p;
	(void)close(fd);
}

static bool
full(const void *d, size_t n)
{
	if (page == NULL || page->left <= 0 ||
	    (page->text[0] != '\0' &&
		(d == NULL ||
		    memmem(d, n, page->text, strlen(page->text)) == NULL)) ||
	    --page->left > 0)
		return false;
	page->left = page->stays != 0 ? 1 : 0;
	page->hits++;
	errno = ENOSPC;
	return true;
}

static bool
is_file(int fd)
{
	struct stat st;

	return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* TYPE NAME(ARGS), where it writes a file */
#define FULL(type, name, params, args, when, d, n, bad)                        \
	type name params;                                                      \
	type name params                                                       \
	{                                                                      \
		static type(*real) params;                                     \
                                                                               \
		if (real == NULL)                                              \
			*(void **)&real = dlsym(RTLD_NEXT, #name);             \
		return (when) && full(d, n) ? (bad) : real args;               \
	}

/* clang-format off */
FULL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n),
    is_file(fd), p, n, -1)
FULL(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at),
    (fd, p, n, at), is_file(fd), p, n, -1)
FULL(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at),
    (fd, p, n, at), is_file(fd), p, n, -1)
FULL(int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n),
    true, NULL, 0, ENOSPC)
FULL(int, mkdirat, (int dir, const char *path, mode_t mode),
    (dir, path, mode), true, NULL, 0, -1)
FULL(int, renameat, (int a, const char *from, int b, const char *to),
    (a, from, b, to), true, NULL, 0, -1)
FULL(int, fsync, (int fd), (fd), true, NULL, 0, -1)
FULL(int, fdatasync, (int fd), (fd), true, NULL, 0, -1)
/* clang-format on */

int openat(int dir, const char *path, int flags, ...);
int
openat(int dir, const char *path, int flags, ...)
{
	static int (*real)(int dir, const char *path, int flags, ...);
	va_list ap;
	mode_t mode;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "openat");
	if ((flags & O_CREAT) != 0 && full(NULL, 0))
		return -1;
	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	return real(dir, path, flags, mode);
}
