/*
 * Confinement, from within: for each kind of process a child enters the real
 * sandbox and tries one thing.  What it may is one column of a table: allowed,
 * refused with an error, or death by SIGSYS.
 */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <termios.h>
#include <unistd.h>

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/sandbox.h"

#ifdef POSTERN_SANITIZED
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

#define WRONG 250 /* exit codes that are no errno */
#define NOT_IN 251
#define PORT 1 /* the target's; nobody is there */

static struct {
	int sock, shell, other; /* sockets */
	int folder, outside;
	int rec; /* O_APPEND, as a recording is */
	int pipe;
	char path[64];
	long landlock; /* ABI */
} env;

/* -- what is tried: 0, or -1 and errno ------------------------------------- */

static int
any(long r)
{
	return r == -1 ? -1 : 0;
}

static int
try_write(void)
{
	return any(write(env.rec, "x", 1));
}

static int
try_heap(void)
{
	void *p = malloc(1 << 20), *q = p == NULL ? NULL : realloc(p, 8 << 20);

	free(q);
	return q == NULL ? -1 : 0;
}

static int
try_time(void)
{
	struct timespec t;

	return any(syscall(SYS_clock_gettime, CLOCK_REALTIME, &t));
}

static int
try_random(void)
{
	char c;

	return any(syscall(SYS_getrandom, &c, sizeof(c), 0));
}

static int
try_poll(void)
{
	struct pollfd p = { .fd = env.pipe, .events = POLLIN };

	return any(poll(&p, 1, 0));
}

static int
try_abort(void)
{
	abort();
}

static int
try_open(void)
{
	return any(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
try_open_program(void)
{
	return any(open("/bin/sh", O_RDONLY | O_CLOEXEC));
}

static int
try_open_proc(void)
{
	return any(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
}

static int
try_open_write(void)
{
	return any(open(env.path, O_WRONLY | O_CLOEXEC));
}

static int
try_open_below(void)
{
	return any(openat(env.folder, "file", O_RDONLY | O_CLOEXEC));
}

static int
try_open_outside(void)
{
	return any(openat(env.outside, "passwd", O_RDONLY | O_CLOEXEC));
}

static int
try_create_below(void)
{
	return any(
	    openat(env.folder, "new", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int
try_create_outside(void)
{
	return any(openat(env.outside, "postern-test-sandbox",
	    O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int
try_unlink(void)
{
	return any(unlink(env.path));
}

static int
try_rename(void)
{
	return any(renameat(env.folder, "file", env.folder, "moved"));
}

static int
try_link(void)
{
	return any(linkat(env.folder, "file", env.folder, "link", 0));
}

static int
try_symlink(void)
{
	return any(symlinkat("/etc/passwd", env.folder, "sym"));
}

static int
try_chmod(void)
{
	return any(chmod(env.path, 0777));
}

static int
try_truncate(void)
{
	return any(truncate(env.path, 0));
}

static int
try_rewrite(void)
{
	return any(pwrite(env.rec, "y", 1, 0));
}

static int
try_pwritev2(void)
{
	return any(syscall(SYS_pwritev2, env.rec, NULL, 0, 0, 0, 0));
}

static int
try_cut(void)
{
	return any(ftruncate(env.rec, 0));
}

static int
try_punch(void)
{
	return any(fallocate(
	    env.rec, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1));
}

static int
try_not_append(void)
{
	return any(fcntl(env.rec, F_SETFL, 0));
}

static int
try_sock_flags(void)
{
	return any(fcntl(env.sock, F_SETFL, 0));
}

static int
try_dup(void)
{
	return any(fcntl(env.rec, F_DUPFD, 0));
}

static int
try_owner(void)
{
	return any(fcntl(env.sock, F_SETOWN, 1));
}

static int
try_flock(void)
{
	return any(syscall(SYS_flock, env.rec, 2 | 4));
}

static int
try_socket_inet(void)
{
	return any(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
try_socket_raw(void)
{
	return any(socket(AF_INET, SOCK_RAW, 1));
}

static int
try_socket_unix(void)
{
	return any(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int
try_socket_netlink(void)
{
	return any(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int
try_socket_packet(void)
{
	return any(socket(AF_PACKET, SOCK_RAW, 0));
}

static int
connect_to(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(port);
	/* Nobody is there: that is the network's answer. */
	return connect(env.other, (const struct sockaddr *)(const void *)&in,
		   sizeof(in)) == -1 &&
		       errno != ECONNREFUSED && errno != EINPROGRESS
		   ? -1
		   : 0;
}

static int
try_connect(void)
{
	return connect_to(PORT);
}

static int
try_connect_other(void)
{
	return connect_to(PORT + 1);
}

static int
try_bind(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	return any(bind(
	    env.other, (const struct sockaddr *)(const void *)&in, sizeof(in)));
}

static int
try_listen(void)
{
	return any(listen(env.other, 1));
}

static int
try_accept(void)
{
	return accept4(env.other, NULL, NULL, SOCK_NONBLOCK) == -1 &&
		       errno != EINVAL
		   ? -1
		   : 0;
}

static int
send_one(int fd)
{
	struct iovec v = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return any(sendmsg(fd, &m, MSG_DONTWAIT));
}

static int
try_sendmsg_shell(void)
{
	return send_one(env.shell);
}

static int
try_sendmsg_sock(void)
{
	return send_one(env.sock);
}

static int
try_quickack(void)
{
	return any(setsockopt(
	    env.other, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int)));
}

static int
try_setsockopt(void)
{
	return any(setsockopt(
	    env.other, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)));
}

static int
try_linger(void)
{
	return any(setsockopt(env.other, SOL_SOCKET, SO_LINGER,
	    &(struct linger){ 0 }, sizeof(struct linger)));
}

static int
try_sndbuf(void)
{
	return any(setsockopt(
	    env.other, SOL_SOCKET, SO_SNDBUF, &(int){ 1 }, sizeof(int)));
}

static int
try_fork(void)
{
	long r = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (r == 0)
		_exit(0);
	return any(r);
}

static int
try_clone3(void)
{
	return any(syscall(SYS_clone3, NULL, 0));
}

static int
try_exec(void)
{
	char *const argv[] = { env.path, NULL }, *const envp[] = { NULL };

	return any(execve("/bin/true", argv, envp));
}

static int
try_ptrace(void)
{
	return any(ptrace(PTRACE_ATTACH, getppid(), 0, 0));
}

static int
try_kill(void)
{
	return any(kill(getppid(), 0));
}

static int
try_kill_self(void)
{
	return any(kill(getpid(), 0));
}

static int
try_tgkill(void)
{
	return any(syscall(SYS_tgkill, 1, 1, 0));
}

static int
try_tgkill_self(void)
{
	return any(syscall(SYS_tgkill, getpid(), gettid(), 0));
}

static int
try_pidfd(void)
{
	return any(syscall(SYS_pidfd_open, getpid(), 0));
}

static int
try_exec_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
		   ? -1
		   : 0;
}

static int
try_exec_later(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	return any(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int
try_map_file(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_SHARED, env.rec, 0) ==
			   MAP_FAILED &&
		       errno != EACCES
		   ? -1
		   : 0;
}

/* As getrandom in glibc 2.41 does, where the kernel has it. */
static int
try_map_droppable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | 0x08,
		   -1, 0) == MAP_FAILED &&
		       errno != EINVAL && errno != EOPNOTSUPP
		   ? -1
		   : 0;
}

static int
try_window(void)
{
	struct winsize w;

	return any(ioctl(env.pipe, TIOCGWINSZ, &w));
}

static int
try_drain(void)
{
	struct termios t = { 0 };

	return any(tcsetattr(env.pipe, TCSADRAIN, &t));
}

static int
try_sti(void)
{
	return any(ioctl(env.pipe, TIOCSTI, "x"));
}

static int
try_file_flags(void)
{
	return any(ioctl(env.rec, 0x40086602, &(int){ 0 })); /* SETFLAGS */
}

#ifdef __x86_64__
#define OTHER_ABI (0x40000000 | SYS_getpid)
#else
#define OTHER_ABI (-1) /* is no call at all */
#endif

static int
try_x32(void)
{
	return any(syscall(OTHER_ABI));
}

/* Calls of no use to any of them, by number. */
#define RAW(n)                                                                 \
	static int try_##n(void)                                               \
	{                                                                      \
		return any(syscall(SYS_##n, -1, 0, 0, 0));                     \
	}
RAW(io_uring_setup)
RAW(bpf)
RAW(userfaultfd)
RAW(unshare)
RAW(setns)
RAW(mount)
RAW(chroot)
RAW(setresuid)
RAW(capset)
RAW(prctl)
RAW(seccomp)
RAW(prlimit64)
RAW(process_vm_readv)
RAW(process_vm_writev)
RAW(pidfd_getfd)
RAW(pidfd_send_signal)
RAW(memfd_create)
RAW(splice)
RAW(sendfile)
RAW(copy_file_range)
RAW(setxattr)
RAW(utimensat)
RAW(mknodat)
RAW(fchown)
RAW(fchownat)
RAW(keyctl)
RAW(perf_event_open)
RAW(personality)
RAW(open_by_handle_at)
RAW(landlock_restrict_self)

static int
try_own_limit(void)
{
	struct rlimit l;

	return any(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &l));
}

static int
try_timer(void)
{
	const struct itimerval none = { 0 };

	return any(syscall(SYS_setitimer, ITIMER_REAL, &none, NULL));
}

static int
try_sigaction(void)
{
	return signal(SIGALRM, SIG_IGN) == SIG_ERR ? -1 : 0;
}

/* -- who may what --------------------------------------------------------- */

/*
 * In the order of `kinds`: `.` allowed, `k` killed, `b` ended by abort, and
 * refused with: `n` ENOENT, `a` EACCES, `p` EPERM, `s` ENOSYS, `t` ENOTTY, `e`
 * EBADF, `f` EAFNOSUPPORT.  `L`: EACCES of Landlock; a kernel without it
 * allows.  `N`: the same from the ABI on that knows TCP.
 */
static const char kinds[] = "RHSOAPJ";
static const struct row {
	const char *want;
	const char *name;
	int (*try)(void);
} rows[] = {
	{ ".......", "write", try_write },
	{ ".......", "heap", try_heap },
	{ ".......", "clock_gettime", try_time },
	{ "......k", "getrandom", try_random },
	{ ".......", "poll", try_poll },
	{ "bbbbbbb", "abort", try_abort },

	{ ".nn.LLn", "open /etc/passwd", try_open },
	{ "LnnLLLn", "open /bin/sh", try_open_program },
	{ "LnnLL.n", "open /proc/self/stat", try_open_proc },
	{ "kknk.kn", "open to write", try_open_write },
	{ "Ln.L..n", "open below the folder", try_open_below },
	{ ".nL.LLn", "open in another folder", try_open_outside },
	{ "kkkk.kn", "create below the folder", try_create_below },
	{ "kkkkLkn", "create in another folder", try_create_outside },
	{ "kkkk.kk", "unlink", try_unlink },
	{ "kkkk.kk", "rename", try_rename },
	{ "kkkkkkk", "link", try_link },
	{ "kkkkkkk", "symlink", try_symlink },
	{ "kkkkkkk", "chmod", try_chmod },
	{ "kkkkkkk", "truncate", try_truncate },
	{ "kkkk.kk", "pwrite", try_rewrite },
	{ "kkkkkkk", "pwritev2", try_pwritev2 },
	{ "kkkk.kk", "ftruncate", try_cut },
	{ "kkkk.kk", "fallocate", try_punch },
	{ "kkkk.kk", "flock", try_flock },
	{ "kk.....", "F_SETFL on the recording", try_not_append },
	{ ".......", "F_SETFL on the socket", try_sock_flags },
	{ "kkkkkkk", "F_DUPFD", try_dup },
	{ "kkkkkkk", "F_SETOWN", try_owner },

	{ ".kk.kkk", "socket, internet", try_socket_inet },
	{ "kkkkkkk", "socket, raw", try_socket_raw },
	{ "fkkfkkk", "socket, local", try_socket_unix },
	{ "fkkfkkk", "socket, netlink", try_socket_netlink },
	{ "kkkkkkk", "socket, packet", try_socket_packet },
	{ ".kk.kkk", "connect", try_connect },
	{ "Nkk.kkk", "connect to another port", try_connect_other },
	{ "kkkkkkk", "bind", try_bind },
	{ "kkkkkkk", "listen", try_listen },
	{ "kkk.k.k", "accept4", try_accept },
	{ ".......", "sendmsg to the shell", try_sendmsg_shell },
	{ ".k.....", "sendmsg elsewhere", try_sendmsg_sock },
	{ "..k.kkk", "TCP_QUICKACK", try_quickack },
	{ ".kk.kkk", "setsockopt", try_setsockopt },
	{ ".......", "SO_LINGER", try_linger },
	{ ".kk..kk", "SO_SNDBUF", try_sndbuf },

	{ "kkkkkkk", "fork", try_fork },
	{ "kkkskkk", "clone3", try_clone3 },
	{ "kkkkkkk", "execve", try_exec },
	{ "kkkkkkk", "ptrace", try_ptrace },
	{ "kkkkkkk", "kill", try_kill },
	{ "kkkkkk.", "kill itself", try_kill_self },
	{ "kkkkkkk", "tgkill", try_tgkill },
	{ ".......", "tgkill itself", try_tgkill_self },
	{ "kkkkk.k", "pidfd_open", try_pidfd },
	{ "kkkkkkk", "pidfd_getfd", try_pidfd_getfd },
	{ "kkkkkkk", "pidfd_send_signal", try_pidfd_send_signal },
	{ "kkkkkkk", "process_vm_readv", try_process_vm_readv },
	{ "kkkkkkk", "process_vm_writev", try_process_vm_writev },

	{ "akkakkk", "mmap PROT_EXEC", try_exec_memory },
	{ "kkkkkkk", "mprotect PROT_EXEC", try_exec_later },
	{ ".kk..kk", "mmap a file, shared", try_map_file },
	{ ".......", "mmap MAP_DROPPABLE", try_map_droppable },
	{ "ttkkkkt", "TIOCGWINSZ", try_window },
	{ "kkkkkkt", "TCSETSW", try_drain },
	{ "kkkkkkk", "TIOCSTI", try_sti },
	{ "kkkkkkk", "FS_IOC_SETFLAGS", try_file_flags },

	{ "kkkkkkk", "x32", try_x32 },
	{ "kkkkkkk", "io_uring_setup", try_io_uring_setup },
	{ "kkkkkkk", "bpf", try_bpf },
	{ "kkkkkkk", "userfaultfd", try_userfaultfd },
	{ "kkkkkkk", "perf_event_open", try_perf_event_open },
	{ "kkkkkkk", "keyctl", try_keyctl },
	{ "kkkkkkk", "personality", try_personality },
	{ "kkkkkkk", "unshare", try_unshare },
	{ "kkkkkkk", "setns", try_setns },
	{ "kkkkkkk", "mount", try_mount },
	{ "kkkkkkk", "chroot", try_chroot },
	{ "kkkkkkk", "setresuid", try_setresuid },
	{ "kkkkkkk", "capset", try_capset },
	{ "kkkkkkk", "prctl", try_prctl },
	{ "kkkkkkk", "seccomp", try_seccomp },
	{ "ekkkkkk", "landlock", try_landlock_restrict_self },
	{ "kkkkkkk", "prlimit64", try_prlimit64 },
	{ ".kkkkk.", "prlimit64 of itself", try_own_limit },
	{ ".kkkkkk", "setitimer", try_timer },
	{ ".kk.kk.", "sigaction", try_sigaction },
	{ "kkkkkkk", "memfd_create", try_memfd_create },
	{ "kkkkkkk", "splice", try_splice },
	{ "kkkkkkk", "sendfile", try_sendfile },
	{ "kkkkkkk", "copy_file_range", try_copy_file_range },
	{ "kkkkkkk", "open_by_handle_at", try_open_by_handle_at },
	{ "kkkkkkk", "setxattr", try_setxattr },
	{ "kkkkkkk", "utimensat", try_utimensat },
	{ "kkkkkkk", "mknodat", try_mknodat },
	{ "kkkkpkk", "fchown", try_fchown },
	{ "kkkkkkk", "fchownat", try_fchownat },
};

static const enum sandbox_process processes[] = { SANDBOX_REACH, SANDBOX_HOP,
	SANDBOX_SIGNER, SANDBOX_OIDC, SANDBOX_AUDIT, SANDBOX_POLICY,
	SANDBOX_SHELL };

/* A hop is confined twice. */
static int
enter(enum sandbox_process who)
{
	const int reach[SANDBOX_GIVEN_MAX] = { env.rec, env.rec, PORT };
	const int hop[SANDBOX_GIVEN_MAX] = { env.sock, env.shell, -1 };
	const int folder[SANDBOX_GIVEN_MAX] = { env.folder, env.folder,
		env.folder };
	int r;

	if (who != SANDBOX_REACH && who != SANDBOX_HOP)
		return sandbox_enter(who, folder);
	if ((r = sandbox_enter(SANDBOX_REACH, reach)) != 0 ||
	    who == SANDBOX_REACH)
		return r;
	return sandbox_enter(SANDBOX_HOP, hop);
}

/* How a child that is such a process and tries this ends. */
static int
outcome(size_t kind, int (*try)(void))
{
	int status;
	pid_t pid;

	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (enter(processes[kind]) != 0)
			_exit(NOT_IN);
		errno = WRONG;
		_exit(try() == 0 ? 0 : errno);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool
expected(char want, int status)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	switch (want) {
	case '.':
		return code == 0;
	case 'k':
		return sig == SIGSYS;
	case 'b':
		return sig == SIGABRT;
	case 'n':
		return code == ENOENT;
	case 'a':
		return code == EACCES;
	case 'p':
		return code == EPERM;
	case 's':
		return code == ENOSYS;
	case 'f':
		return code == EAFNOSUPPORT;
	case 't':
		return code == ENOTTY;
	case 'e':
		return code == EBADF;
	case 'L':
		return code == (env.landlock >= 1 ? EACCES : 0);
	case 'N':
		return code == (env.landlock >= 4 ? EACCES : 0);
	default:
		return false;
	}
}

static void
t_sandbox_rows(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; kinds[k] != '\0'; k++) {
			int status = outcome(k, rows[i].try);

			/* whatever the last one took away */
			(void)close(openat(env.folder, "file",
			    O_RDWR | O_CREAT | O_CLOEXEC, 0600));
			if (expected(rows[i].want[k], status))
				continue;
			print_error("%c, %s: want %c, got status %#x\n",
			    kinds[k], rows[i].name, rows[i].want[k],
			    (unsigned int)status);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

/* A policy folder that was replaced is read; one elsewhere is not. */
static int
try_replaced(void)
{
	int fd = openat(env.folder, "../next", O_RDONLY | O_DIRECTORY);

	return fd == -1 ? -1 : any(openat(fd, "file", O_RDONLY));
}

static void
t_sandbox_replaced_folder(void **state)
{
	(void)state;
	assert_true(expected('.', outcome(2, try_replaced)));
	assert_true(expected('.', outcome(5, try_replaced)));
	assert_true(expected('L', outcome(4, try_replaced)));
}

/* No policy folder yet: it may appear anywhere, so everything can be read. */
static void
t_sandbox_no_folder(void **state)
{
	int keep = env.folder, status;

	(void)state;
	env.folder = -1;
	status = outcome(5, try_open_outside);
	env.folder = keep;
	assert_true(expected('.', status));
}

static int
setup(void **state)
{
	char dir[] = "/tmp/postern-sandbox-XXXXXX", sub[64];
	int sv[2], p[2];

	(void)state;
	if (mkdtemp(dir) == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) ||
	    pipe(p) == -1)
		return -1;
	/* 3 is where a child's control socket is */
	env.sock = fcntl(sv[0], F_DUPFD_CLOEXEC, 10);
	env.pipe = p[0];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == -1)
		return -1;
	env.shell = sv[0];
	env.other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	env.outside = open("/etc", O_RDONLY | O_DIRECTORY);
	(void)snprintf(sub, sizeof(sub), "%s/next", dir);
	if (mkdir(sub, 0700) == -1)
		return -1;
	(void)snprintf(env.path, sizeof(env.path), "%s/next/file", dir);
	(void)close(open(env.path, O_RDWR | O_CREAT, 0600));
	(void)snprintf(sub, sizeof(sub), "%s/this", dir);
	if (mkdir(sub, 0700) == -1)
		return -1;
	env.folder = open(sub, O_RDONLY | O_DIRECTORY);
	(void)snprintf(env.path, sizeof(env.path), "%s/this/file", dir);
	(void)close(open(env.path, O_RDWR | O_CREAT, 0600));
	env.rec =
	    openat(env.folder, "rec", O_WRONLY | O_CREAT | O_APPEND, 0600);
	env.landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	return env.other == -1 || env.outside == -1 || env.folder == -1 ||
		       env.rec == -1
		   ? -1
		   : 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "this/file", "this/rec",
		"this/new", "this/moved", "next/file" };
	char base[64];
	int fd;

	(void)state;
	(void)snprintf(base, sizeof(base), "%.*s",
	    (int)(strlen(env.path) - strlen("/this/file")), env.path);
	if ((fd = open(base, O_RDONLY | O_DIRECTORY)) == -1)
		return -1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlinkat(fd, names[i], 0);
	(void)unlinkat(fd, "this", AT_REMOVEDIR);
	(void)unlinkat(fd, "next", AT_REMOVEDIR);
	(void)close(fd);
	return rmdir(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_sandbox_rows),
		cmocka_unit_test(t_sandbox_replaced_folder),
		cmocka_unit_test(t_sandbox_no_folder),
	};

	if (sanitized)
		return 77; /* there is nothing to enter */
	return cmocka_run_group_tests(tests, setup, teardown);
}
