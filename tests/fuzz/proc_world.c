/*
 * What a fuzzed process asks of its system: see proc.h.  The linker puts these
 * in the place of the calls (tests/fuzz.mk, proc_wrap).  Outside of the process
 * they are what they were.
 */
#include "config.h"

#include "tests/fuzz/proc.h"

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/sandbox.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define WALL_S 1795510800 /* a Tuesday in November 2026 */
#define BOOT_S 1000000
#define SPIN_MAX 20000 /* waits of no time, one behind the other */

int __real_poll(struct pollfd *p, nfds_t n, int ms);
int __wrap_poll(struct pollfd *p, nfds_t n, int ms);
int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __real_clock_nanosleep(
    clockid_t id, int flags, const struct timespec *t, struct timespec *left);
int __wrap_clock_nanosleep(
    clockid_t id, int flags, const struct timespec *t, struct timespec *left);
time_t __real_time(time_t *t);
time_t __wrap_time(time_t *t);
ssize_t __real_getrandom(void *p, size_t n, unsigned int flags);
ssize_t __wrap_getrandom(void *p, size_t n, unsigned int flags);
int __real_getsockopt(int fd, int level, int name, void *v, socklen_t *n);
int __wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *n);
ssize_t __real_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t n);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t n);
int __wrap_prctl(int option, ...);
int __real_setrlimit(int what, const struct rlimit *l);
int __wrap_setrlimit(int what, const struct rlimit *l);
int __wrap_sandbox_enter(
    enum sandbox_process who, const int given[SANDBOX_GIVEN_MAX]);
struct passwd *__wrap_getpwnam(const char *name);
_Noreturn void __real_exit(int code);
_Noreturn void __wrap_exit(int code);
_Noreturn void __wrap__exit(int code);

bool proc_inside;

static struct {
	int64_t passed_ms;
	unsigned int named, other; /* random numbers so far */
	unsigned int spin;
} env;

void
proc_pass(int64_t ms)
{
	env.passed_ms += ms;
}

int
__wrap_poll(struct pollfd *p, nfds_t n, int ms)
{
	int k;

	if (!proc_inside)
		return __real_poll(p, n, ms);
	if (n == 0) {
		proc_pass(ms);
		return 0;
	}
	for (;;) {
		if ((k = __real_poll(p, n, 0)) != 0) {
			env.spin = 0;
			return k;
		}
		proc_inside = false;
		proc_hear();
		k = __real_poll(p, n, 0);
		if (k == 0 && ms == 0 && env.spin++ < SPIN_MAX) {
			proc_inside = true;
			return 0;
		}
		if (k == 0 && ms == 0)
			proc_fail("it turns without end");
		if (k == 0) {
			env.spin = 0;
			(void)proc_step();
		}
		proc_inside = true;
		/* Time may have passed: whoever has a timer looks. */
		return k != 0 ? k : __real_poll(p, n, 0);
	}
}

/* Where a process waits without poll (msg_peek). */
ssize_t
__wrap_recv(int fd, void *p, size_t n, int flags)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };

	if (proc_inside && (flags & MSG_DONTWAIT) == 0 &&
	    (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) {
		while (__wrap_poll(&in, 1, -1) == 0)
			;
	}
	return __real_recv(fd, p, n, flags);
}

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ms = env.passed_ms +
		     INT64_C(1000) * (id == CLOCK_REALTIME ? WALL_S : BOOT_S);

	if (!proc_inside)
		return __real_clock_gettime(id, ts);
	*ts = (struct timespec){ .tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000 };
	return 0;
}

int
__wrap_clock_nanosleep(
    clockid_t id, int flags, const struct timespec *t, struct timespec *left)
{
	struct timespec now;

	if (!proc_inside)
		return __real_clock_nanosleep(id, flags, t, left);
	(void)__wrap_clock_gettime(id, &now);
	if (t->tv_sec >= now.tv_sec)
		proc_pass((t->tv_sec - now.tv_sec) * 1000 + 1000);
	return 0;
}

time_t
__wrap_time(time_t *t)
{
	time_t now = WALL_S + (time_t)(env.passed_ms / 1000);

	if (!proc_inside)
		return __real_time(t);
	if (t != NULL)
		*t = now;
	return now;
}

/* The n-th 16 bytes are n, be it a handle or an id: scripts can name them. */
ssize_t
__wrap_getrandom(void *p, size_t n, unsigned int flags)
{
	unsigned int *turn = n == 16 ? &env.named : &env.other;

	if (!proc_inside)
		return __real_getrandom(p, n, flags);
	memset(p, (int)(++*turn & 255), n);
	return (ssize_t)n;
}

/* Whoever connects is root, and this very process. */
int
__wrap_getsockopt(int fd, int level, int name, void *v, socklen_t *n)
{
	const struct ucred c = { .pid = getpid() };
	int pidfd;

	if (!proc_inside || level != SOL_SOCKET ||
	    (name != SO_PEERCRED && name != SO_PEERPIDFD))
		return __real_getsockopt(fd, level, name, v, n);
	if (name == SO_PEERCRED) {
		memcpy(v, &c, sizeof(c));
		return 0;
	}
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	memcpy(v, &pidfd, sizeof(pidfd));
	return pidfd == -1 ? -1 : 0;
}

/* The door is called like the socket's file, or "target". */
int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t n)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char name[sizeof(un.sun_path) + 1] = "/target.sock", want[32];
	int end;

	if (!proc_inside)
		return __real_connect(fd, sa, n);
	if (sa->sa_family == AF_UNIX) {
		memcpy(&un, sa, n < sizeof(un) ? n : sizeof(un));
		memcpy(name, un.sun_path, sizeof(un.sun_path));
	}
	for (size_t i = 0; i < proc.ndoor; i++) {
		(void)snprintf(
		    want, sizeof(want), "/%s.sock", proc.door[i].name);
		if (strstr(name, want) == NULL)
			continue;
		end = proc_pair(i);
		if (sa->sa_family != AF_UNIX) /* as a socket that connects */
			(void)fcntl(end, F_SETFL, O_NONBLOCK);
		(void)dup3(end, fd, O_CLOEXEC);
		(void)close(end);
		return 0;
	}
	errno = ENOENT;
	return -1;
}

/* -- what would be in the fuzzer's way
 * ----------------------------------------- */

int
__wrap_prctl(int option, ...)
{
	(void)option;
	return 0;
}

int
__wrap_setrlimit(int what, const struct rlimit *l)
{
	return proc_inside ? 0 : __real_setrlimit(what, l);
}

int
__wrap_sandbox_enter(
    enum sandbox_process who, const int given[SANDBOX_GIVEN_MAX])
{
	(void)who;
	(void)given;
	return 0;
}

struct passwd *
__wrap_getpwnam(const char *name)
{
	static struct passwd pw;

	(void)name;
	return &pw; /* root, as whoever connects */
}

void
__wrap_exit(int code)
{
	if (proc_inside)
		proc_over(code);
	__real_exit(code);
}

void
__wrap__exit(int code)
{
	if (proc_inside)
		proc_over(code);
	syscall(SYS_exit_group, code);
	__builtin_unreachable();
}
