/*
 * Faults for whole processes: preloaded by tests/faults/faults.py into all that
 * runs in its house, this library counts calls of chosen functions by one
 * object of one program and lets the Nth of them fail.  Which one stands in a
 * page that all processes map; without the file it does nothing.
 *
 * Calls are told apart by where they return to, so that the faults hit our own
 * code and not the library, or the sshd, around it.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_FILE "/opt/house/faults"

enum { ALLOC = 1, FILES = 2, WRITE = 4, SEND = 8, SOCKET = 16, PROCESS = 32 };

/* As faults.py packs it. */
struct page {
	char program[32]; /* whose calls count; "": nobody's */
	char object[32];  /* and of which object; "": any */
	uint32_t kinds;   /* bits of the above */
	uint32_t stays;   /* after the Nth all of them fail */
	int64_t left;     /* calls up to the one that fails; 0: none does */
	uint64_t seen;
	uint64_t hits;
	char what[32]; /* that failed last */
	uint64_t where; /* its caller, in the object's own addresses */
};

static struct page *page;

/* The sanitizers' library would have to be first; they ask us, who are. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "verify_asan_link_order=0:detect_leaks=0";
}

__attribute__((constructor)) static void
inject_init(void)
{
	void *p;
	int fd;

	if ((fd = open(PAGE_FILE, O_RDWR | O_CLOEXEC)) == -1)
		return;
	p = mmap(
	    NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		page = p;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* Is the code at p that object's, and where in it? */
static bool
called_by(const void *p, const char *object, uint64_t *where)
{
	struct dl_find_object o;
	union {
		const void *ro;
		void *rw;
	} at = { .ro = p };
	const char *name;

	*where = 0;
	if (_dl_find_object(at.rw, &o) != 0)
		return false;
	*where = (uint64_t)(uintptr_t)p - o.dlfo_link_map->l_addr;
	if (object[0] == '\0')
		return true;
	name = o.dlfo_link_map->l_name;
	return strcmp(name[0] == '\0' ? program_invocation_short_name
				      : base_name(name),
		   object) == 0;
}

/* Whether this call is the one that fails. */
static bool
fails(uint32_t kind, const char *what, const void *caller)
{
	struct page *g = page;
	uint64_t where;
	int64_t left;

	if (g == NULL || (g->kinds & kind) == 0 ||
	    strcmp(program_invocation_short_name, g->program) != 0 ||
	    !called_by(caller, g->object, &where))
		return false;
	__atomic_add_fetch(&g->seen, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&g->left, __ATOMIC_SEQ_CST) <= 0)
		return false;
	left = __atomic_sub_fetch(&g->left, 1, __ATOMIC_SEQ_CST);
	if (left != 0)
		return false;
	if (g->stays != 0)
		g->left = 1;
	g->where = where;
	__atomic_add_fetch(&g->hits, 1, __ATOMIC_SEQ_CST);
	(void)snprintf(g->what, sizeof(g->what), "%s", what);
	return true;
}

/* The next definition of the same name: the sanitizers' or libc's. */
static void *
next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

#define FAILS(kind, name) fails(kind, name, __builtin_return_address(0))

/* TYPE NAME(ARGS): fails with the error `err` and returns `bad`. */
#define WRAP(kind, type, name, params, args, err, bad)                         \
	type name params;                                                      \
	type name params                                                       \
	{                                                                      \
		static type(*real) params;                                     \
                                                                               \
		if (FAILS(kind, #name)) {                                      \
			errno = (err);                                         \
			return bad;                                            \
		}                                                              \
		if (real == NULL)                                              \
			*(void **)&real = next(#name);                         \
		return real args;                                              \
	}

#define INT(kind, name, params, args, err)                                     \
	WRAP(kind, int, name, params, args, err, -1)
#define SIZE(kind, name, params, args, err)                                    \
	WRAP(kind, ssize_t, name, params, args, err, -1)
#define PTR(kind, name, params, args)                                          \
	WRAP(kind, void *, name, params, args, ENOMEM, NULL)

/* clang-format off */
PTR(ALLOC, malloc, (size_t n), (n))
PTR(ALLOC, calloc, (size_t n, size_t size), (n, size))
PTR(ALLOC, realloc, (void *p, size_t n), (p, n))
PTR(ALLOC, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
WRAP(ALLOC, char *, strdup, (const char *s), (s), ENOMEM, NULL)
WRAP(ALLOC, char *, strndup, (const char *s, size_t n), (s, n), ENOMEM, NULL)

SIZE(FILES, read, (int fd, void *p, size_t n), (fd, p, n), EIO)
SIZE(FILES, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), EIO)
INT(FILES, fstat, (int fd, struct stat *st), (fd, st), EIO)
INT(FILES, fstatvfs, (int fd, struct statvfs *st), (fd, st), EIO)
INT(FILES, flock, (int fd, int op), (fd, op), EINTR)
INT(FILES, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC)
INT(FILES, mkdirat, (int dir, const char *path, mode_t mode),
    (dir, path, mode), ENOSPC)
INT(FILES, unlink, (const char *path), (path), EROFS)
INT(FILES, unlinkat, (int dir, const char *path, int flags),
    (dir, path, flags), EROFS)
INT(FILES, fchmod, (int fd, mode_t mode), (fd, mode), EROFS)
INT(FILES, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), EROFS)
INT(FILES, chmod, (const char *path, mode_t mode), (path, mode), EROFS)
INT(FILES, chown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid),
    EROFS)
WRAP(FILES, DIR *, fdopendir, (int fd), (fd), ENOMEM, NULL)
WRAP(FILES, FILE *, fopen, (const char *path, const char *mode), (path, mode),
    EMFILE, NULL)

SIZE(WRITE, write, (int fd, const void *p, size_t n), (fd, p, n), ENOSPC)
INT(WRITE, ftruncate, (int fd, off_t n), (fd, n), EIO)
INT(WRITE, fsync, (int fd), (fd), EIO)
INT(WRITE, fdatasync, (int fd), (fd), EIO)
/* Returns its error. */
WRAP(WRITE, int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n),
    ENOSPC, ENOSPC)

SIZE(SEND, sendmsg, (int fd, const struct msghdr *m, int flags),
    (fd, m, flags), ENOBUFS)
SIZE(SEND, sendto,
    (int fd, const void *p, size_t n, int flags, const struct sockaddr *to,
    socklen_t len), (fd, p, n, flags, to, len), ENOBUFS)
SIZE(SEND, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags),
    ENOMEM)

INT(SOCKET, socket, (int family, int type, int proto), (family, type, proto),
    EMFILE)
INT(SOCKET, socketpair, (int family, int type, int proto, int sv[2]),
    (family, type, proto, sv), EMFILE)
INT(SOCKET, accept4,
    (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags),
    EMFILE)
INT(SOCKET, bind, (int fd, const struct sockaddr *a, socklen_t n),
    (fd, a, n), EADDRINUSE)
INT(SOCKET, listen, (int fd, int n), (fd, n), EADDRINUSE)
INT(SOCKET, connect, (int fd, const struct sockaddr *a, socklen_t n),
    (fd, a, n), EAGAIN)
INT(SOCKET, setsockopt,
    (int fd, int level, int name, const void *p, socklen_t n),
    (fd, level, name, p, n), ENOMEM)
INT(SOCKET, getsockopt,
    (int fd, int level, int name, void *p, socklen_t *n),
    (fd, level, name, p, n), ENOMEM)
INT(SOCKET, signalfd, (int fd, const void *mask, int flags),
    (fd, mask, flags), EMFILE)
INT(SOCKET, dup2, (int from, int to), (from, to), EMFILE)

INT(PROCESS, fork, (void), (), EAGAIN)
INT(PROCESS, kill, (pid_t pid, int sig), (pid, sig), EPERM)
INT(PROCESS, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), ENOMEM)
INT(PROCESS, setgroups, (size_t n, const gid_t *list), (n, list), EPERM)
INT(PROCESS, setresgid, (gid_t r, gid_t e, gid_t s), (r, e, s), EAGAIN)
INT(PROCESS, setresuid, (uid_t r, uid_t e, uid_t s), (r, e, s), EAGAIN)
INT(PROCESS, chdir, (const char *path), (path), EACCES)
INT(PROCESS, close_range, (unsigned int first, unsigned int last, int flags),
    (first, last, flags), ENOSYS)
INT(PROCESS, execve, (const char *path, char *const argv[],
    char *const envp[]), (path, argv, envp), ENOMEM)
INT(PROCESS, sigprocmask, (int how, const sigset_t *set, sigset_t *old),
    (how, set, old), EINVAL)
SIZE(PROCESS, getrandom, (void *p, size_t n, unsigned int flags),
    (p, n, flags), ENOSYS)

/* clang-format on */

/* What takes more arguments than it says.  A mode is passed on unread. */
#define OPENS(name, params, args)                                              \
	int name params;                                                       \
	int name params                                                        \
	{                                                                      \
		static int(*real) params;                                      \
		va_list ap;                                                    \
		long more;                                                     \
                                                                               \
		if (FAILS(FILES, #name)) {                                     \
			errno = EMFILE;                                        \
			return -1;                                             \
		}                                                              \
		if (real == NULL)                                              \
			*(void **)&real = next(#name);                         \
		va_start(ap, flags);                                           \
		more = va_arg(ap, long);                                       \
		va_end(ap);                                                    \
		return real args;                                              \
	}
OPENS(open, (const char *path, int flags, ...), (path, flags, more))
OPENS(openat, (int dir, const char *path, int flags, ...),
    (dir, path, flags, more))

int fcntl(int fd, int cmd, ...);
int
fcntl(int fd, int cmd, ...)
{
	static int (*real)(int fd, int cmd, ...);
	va_list ap;
	long more;

	if (FAILS(SOCKET, "fcntl")) {
		errno = EMFILE;
		return -1;
	}
	if (real == NULL)
		*(void **)&real = next("fcntl");
	va_start(ap, cmd);
	more = va_arg(ap, long);
	va_end(ap);
	return real(fd, cmd, more);
}

/* pidfd_open and its like have no function of their own. */
long syscall(long number, ...);
long
syscall(long number, ...)
{
	static long (*real)(long number, ...);
	va_list ap;
	long a[6];

	if (FAILS(SOCKET, "syscall")) {
		errno = EMFILE;
		return -1;
	}
	if (real == NULL)
		*(void **)&real = next("syscall");
	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
