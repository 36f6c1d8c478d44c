/*
 * What each of our processes may still ask of the kernel, as two tables: system
 * calls (seccomp) and files (Landlock).  Runs in hop, signer, oidc, audit,
 * policy and postern-shell, each once, in the hop twice: before it reads a
 * stranger's first byte, and when it is connected.
 *
 * A call that is not in the table kills the process: it is a mistake of ours
 * or somebody else's code.  Calls that a library tries and can do without are
 * answered with an error instead, and stand in the table as such.
 */
#include "config.h"

#include "lib/sandbox.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "lib/filter.h"
#include "lib/landlock.h"
#include "lib/err.h"

#define CONTROL_FD 3 /* every child's, to policy or to the parent */

/* The columns of both tables. */
static const char sandbox_letter[] = {
	[SANDBOX_REACH] = 'R',
	[SANDBOX_HOP] = 'H',
	[SANDBOX_SIGNER] = 'S',
	[SANDBOX_OIDC] = 'O',
	[SANDBOX_AUDIT] = 'A',
	[SANDBOX_POLICY] = 'P',
	[SANDBOX_SHELL] = 'J',
};

/* Calls that newer architectures never had, or older headers do not know. */
#define NO_CALL (-1)
#ifndef SYS_access
#define SYS_access NO_CALL
#endif
#ifndef SYS_dup2
#define SYS_dup2 NO_CALL
#endif
#ifndef SYS_lstat
#define SYS_lstat NO_CALL
#endif
#ifndef SYS_open
#define SYS_open NO_CALL
#endif
#ifndef SYS_poll
#define SYS_poll NO_CALL
#endif
#ifndef SYS_readlink
#define SYS_readlink NO_CALL
#endif
#ifndef SYS_renameat
#define SYS_renameat NO_CALL
#endif
#ifndef SYS_stat
#define SYS_stat NO_CALL
#endif
#ifndef SYS_time
#define SYS_time NO_CALL
#endif
#ifndef SYS_unlink
#define SYS_unlink NO_CALL
#endif
#ifndef SYS_uretprobe
#ifdef __x86_64__
#define SYS_uretprobe 335
#else
#define SYS_uretprobe NO_CALL
#endif
#endif

/* -- system calls --------------------------------------------------------- */

/* The tables hold no pointer: their pages stay the file's, in each process. */
#define WHO_SIZE 8 /* a letter each, and a NUL */
#define PLACE_SIZE 40

/* Who may make the call, whatever its arguments are. */
static const struct {
	char who[WHO_SIZE];
	int number;
} sandbox_calls[] = {
	/* bytes and messages through what is open */
	{ "RHSOAPJ", SYS_read },
	{ "RHSOAPJ", SYS_write },
	{ "RHSOAPJ", SYS_writev }, /* the C library's last words, too */
	{ "RHSOAPJ", SYS_close },
	{ "RHSOAPJ", SYS_poll },
	{ "RHSOAPJ", SYS_ppoll },
	{ "RHSOAPJ", SYS_recvfrom },
	{ "RHSOAPJ", SYS_recvmsg },
	{ "R SOAPJ", SYS_sendmsg },
	{ "RHSOAP ", SYS_sendto }, /* libssh, libcurl; send(2) */
	{ "   O P ", SYS_accept4 },
	{ "R  O P ", SYS_getsockopt },
	{ "     P ", SYS_socketpair }, /* the hop's way to the signer */
	{ "   O P ", SYS_shutdown },   /* the link to a sibling that goes */

	/* memory */
	{ "RHSOAPJ", SYS_brk },
	{ "RHSOAPJ", SYS_munmap },
	{ "RHSOAPJ", SYS_mremap },
	{ "RHSOAPJ", SYS_madvise },
	{ "RHSOA  ", SYS_mlock }, /* secrets */

	/* time, chance, the end */
	{ "RHSOAPJ", SYS_clock_gettime }, /* no calls where there is a vDSO */
	{ "RHSOAPJ", SYS_gettimeofday },
	{ "RHSOAPJ", SYS_time },
	{ "   OA  ", SYS_clock_nanosleep },
	{ "RHSOAP ", SYS_getrandom },
	{ "RHSOAPJ", SYS_futex },
	{ "RHSOAPJ", SYS_getpid }, /* OpenSSL: was there a fork? */
	{ "RHSOAPJ", SYS_gettid },
	{ "RHSOAPJ", SYS_rt_sigprocmask }, /* abort */
	{ "RHSOAPJ", SYS_rt_sigreturn },
	{ "RHSOAPJ", SYS_restart_syscall },
	{ "RHSOAPJ", SYS_exit },
	{ "RHSOAPJ", SYS_exit_group },
	{ "RHSOAPJ", SYS_uretprobe }, /* made by who traces us, not by us */

	/* files below a folder */
	{ "R SOAP ", SYS_newfstatat },
	{ "R SOAP ", SYS_fstat },
	{ "R SOAP ", SYS_lseek },
	{ "  S  P ", SYS_getdents64 },
	{ "  S AP ", SYS_geteuid }, /* is the file mine? */
	{ "    A  ", SYS_openat },
	{ "    A  ", SYS_open },
	{ "    A  ", SYS_mkdirat },
	{ "    A  ", SYS_unlink }, /* SQLite: -wal and -shm */
	{ "    A  ", SYS_unlinkat },
	{ "    A  ", SYS_renameat },
	{ "    A  ", SYS_renameat2 },
	{ "    A  ", SYS_pread64 },
	{ "    A  ", SYS_pwrite64 },
	{ "    A  ", SYS_ftruncate },
	{ "    A  ", SYS_fallocate },
	{ "    A  ", SYS_fsync },
	{ "    A  ", SYS_fdatasync },
	{ "    A  ", SYS_flock },
	{ "    A  ", SYS_fchmod },
	{ "    A  ", SYS_fstatfs },
	{ "    A  ", SYS_stat },
	{ "    A  ", SYS_lstat },
	{ "    A  ", SYS_readlink },
	{ "    A  ", SYS_readlinkat },
	{ "    A  ", SYS_access },
	{ "    A  ", SYS_faccessat },
	{ "    A  ", SYS_faccessat2 },
	{ "    A  ", SYS_getcwd },

	/* the network; in oidc, the resolver is a thread of libcurl's */
	{ "R  O   ", SYS_connect },
	{ "R  O   ", SYS_setsockopt },
	{ "R  O   ", SYS_getsockname },
	{ "R  O   ", SYS_getpeername },
	{ "R  O   ", SYS_sendmmsg },
	{ "   O   ", SYS_socketpair },
	{ "   O   ", SYS_eventfd2 },
	{ "R  O   ", SYS_uname },
	{ "R  O  J", SYS_rt_sigaction },
	{ "R      ", SYS_setitimer }, /* a bound on the resolver */
	{ "   O   ", SYS_set_robust_list },
	{ "   O   ", SYS_rseq },
	{ "   O   ", SYS_sched_getaffinity },

	/* the streams, let go */
	{ "      J", SYS_dup2 },
	{ "      J", SYS_dup3 },

	/* who is the peer? */
	{ "     P ", SYS_pidfd_open },
};

/* What is known at run time only; above all that 32 bits can be. */
#define OWN_PID UINT64_C(0x100000000)
#define GIVEN_0 UINT64_C(0x200000000) /* given[0] of sandbox_enter */
#define GIVEN_1 UINT64_C(0x300000000)

#define ALLOW FILTER_ALLOW /* else an errno */
#define KILL FILTER_KILL
#define INT UINT32_MAX /* all of an int */
#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC)
#define THREAD (CLONE_THREAD | CLONE_VM)
#define NEGATIVE (UINT32_C(1) << 31)
#define SOCK_KIND (~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
/* <asm/termbits.h> cannot be included beside <termios.h>. */
#define TTY_TCGETS2 UINT32_C(0x802c542a)
#define TTY_TCSETS2 UINT32_C(0x402c542b)
#define TTY_TCSETSW2 UINT32_C(0x402c542c)

/* Who may make the call if both hold (a mask of 0 always does), or which error
 * he gets.  The first row that fits counts. */
static const struct {
	char who[WHO_SIZE];
	int number;
	int answer;
	struct {
		unsigned int arg;
		uint32_t mask;
		uint64_t value;
	} when[FILTER_IFS];
} sandbox_rules[] = {
	/* memory: nothing becomes code; and of a file only where it is needed.
	 * A module of the name service is then one that cannot be loaded.
	 * glibc's getrandom has pages of a kind of its own (MAP_DROPPABLE). */
	{ " HS  PJ", SYS_mmap, ALLOW,
	    { { 2, PROT_EXEC, 0 }, { 3, MAP_ANONYMOUS, MAP_ANONYMOUS } } },
	{ "R  OA  ", SYS_mmap, ALLOW, { { 2, PROT_EXEC, 0 } } },
	{ "R  O   ", SYS_mmap, EACCES, { { 0 } } },
	{ "   O   ", SYS_mprotect, ALLOW, { { 2, PROT_EXEC, 0 } } },

	/* files: libssh looks for known_hosts, OpenSSL for its settings */
	{ " H    J", SYS_open, ENOENT, { { 0 } } },
	{ " H    J", SYS_openat, ENOENT, { { 0 } } },
	{ "  S    ", SYS_open, ENOENT, { { 0 } } },
	{ "  S    ", SYS_openat, ENOENT, { { 0, NEGATIVE, NEGATIVE } } },
	{ "R SO P ", SYS_open, ALLOW, { { 1, OPEN_WRITES, O_RDONLY } } },
	{ "R SO P ", SYS_openat, ALLOW, { { 2, OPEN_WRITES, O_RDONLY } } },
	/* SQLite, when a test runs it as root; it goes on without */
	{ "    A  ", SYS_fchown, EPERM, { { 0 } } },

	/* flags; libssh sets its socket's to none, and no other file's.  The
	 * recording keeps O_APPEND. */
	{ "R      ", SYS_fcntl, KILL,
	    { { 0, INT, GIVEN_0 }, { 1, INT, F_SETFL } } },
	{ "R      ", SYS_fcntl, KILL,
	    { { 0, INT, GIVEN_1 }, { 1, INT, F_SETFL } } },
	{ " H     ", SYS_fcntl, ALLOW,
	    { { 0, INT, GIVEN_0 }, { 1, INT, F_SETFL } } },
	{ "R SOAPJ", SYS_fcntl, ALLOW, { { 1, INT, F_GETFL } } },
	{ "R SOAPJ", SYS_fcntl, ALLOW, { { 1, INT, F_SETFL } } },
	{ "  SOAP ", SYS_fcntl, ALLOW, { { 1, INT, F_GETFD } } },
	{ "  SOAP ", SYS_fcntl, ALLOW, { { 1, INT, F_SETFD } } },
	{ "  SOAP ", SYS_fcntl, ALLOW, { { 1, INT, F_DUPFD_CLOEXEC } } },
	{ "    A  ", SYS_fcntl, ALLOW, { { 1, INT, F_SETLEASE } } },
	{ "    A  ", SYS_fcntl, ALLOW, { { 1, INT, F_GETLK } } },
	{ "    A  ", SYS_fcntl, ALLOW, { { 1, INT, F_SETLK } } },
	{ "    A  ", SYS_fcntl, ALLOW, { { 1, INT, F_SETLKW } } },

	/* the job's terminal; never TIOCSTI */
	{ "RH    J", SYS_ioctl, ALLOW, { { 1, INT, TIOCGWINSZ } } },
	{ "RH    J", SYS_ioctl, ALLOW, { { 1, INT, TCGETS } } },
	{ "RH    J", SYS_ioctl, ALLOW, { { 1, INT, TCSETS } } },
	{ "RH    J", SYS_ioctl, ALLOW, { { 1, INT, TTY_TCGETS2 } } },
	{ "RH    J", SYS_ioctl, ALLOW, { { 1, INT, TTY_TCSETS2 } } },
	/* the line editor's, which waits until what was shown has been sent */
	{ "      J", SYS_ioctl, ALLOW, { { 1, INT, TCSETSW } } },
	{ "      J", SYS_ioctl, ALLOW, { { 1, INT, TTY_TCSETSW2 } } },
	{ "R  O   ", SYS_ioctl, ALLOW, { { 1, INT, FIONREAD } } },

	/* sockets: the hop's one, which may say EXIT to the shell and, how its
	 * command ended, to policy */
	{ " H     ", SYS_sendmsg, ALLOW, { { 0, INT, GIVEN_1 } } },
	{ " H     ", SYS_sendmsg, ALLOW, { { 0, INT, CONTROL_FD } } },
	{ " H     ", SYS_setsockopt, ALLOW,
	    { { 1, INT, IPPROTO_TCP }, { 2, INT, TCP_QUICKACK } } },
	/* what came with a message and is not wanted is closed at once */
	{ " HS APJ", SYS_setsockopt, ALLOW,
	    { { 1, INT, SOL_SOCKET }, { 2, INT, SO_LINGER } } },
	/* who is handed many files has few of them on their way at once */
	{ "    A  ", SYS_setsockopt, ALLOW,
	    { { 1, INT, SOL_SOCKET }, { 2, INT, SO_SNDBUF } } },
	{ "R  O   ", SYS_socket, ALLOW,
	    { { 0, INT, AF_INET }, { 1, SOCK_KIND, SOCK_STREAM } } },
	{ "R  O   ", SYS_socket, ALLOW,
	    { { 0, INT, AF_INET }, { 1, SOCK_KIND, SOCK_DGRAM } } },
	{ "R  O   ", SYS_socket, ALLOW,
	    { { 0, INT, AF_INET6 }, { 1, SOCK_KIND, SOCK_STREAM } } },
	{ "R  O   ", SYS_socket, ALLOW,
	    { { 0, INT, AF_INET6 }, { 1, SOCK_KIND, SOCK_DGRAM } } },
	{ "R  O   ", SYS_socket, EAFNOSUPPORT, { { 0, INT, AF_UNIX } } },
	{ "R  O   ", SYS_socket, EAFNOSUPPORT, { { 0, INT, AF_NETLINK } } },

	/* threads, never processes; clone3's flags cannot be seen from here */
	{ "   O   ", SYS_clone, ALLOW, { { 0, THREAD, THREAD } } },
	{ "   O   ", SYS_clone3, ENOSYS, { { 0 } } },
	{ "RHSOAPJ", SYS_tgkill, ALLOW, { { 0, INT, OWN_PID } } }, /* abort */

	/* the shell ends as the operation did: by that signal, without a core
	 */
	{ "      J", SYS_kill, ALLOW, { { 0, INT, OWN_PID } } },
	{ "R     J", SYS_prlimit64, ALLOW, { { 0, INT, 0 } } },

	/* the hop's second, narrower confinement */
	{ "R      ", SYS_prctl, ALLOW, { { 0, INT, PR_SET_NO_NEW_PRIVS } } },
	{ "R      ", SYS_seccomp, ALLOW,
	    { { 0, INT, SECCOMP_SET_MODE_FILTER } } },
	{ "R      ", SYS_landlock_create_ruleset, ALLOW, { { 0 } } },
	{ "R      ", SYS_landlock_restrict_self, ALLOW, { { 0 } } },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint32_t
sandbox_value(uint64_t value, const int given[SANDBOX_GIVEN_MAX])
{
	switch (value) {
	case OWN_PID:
		return (uint32_t)getpid();
	case GIVEN_0:
		return (uint32_t)given[0];
	case GIVEN_1:
		return (uint32_t)given[1];
	default:
		return (uint32_t)value;
	}
}

static int
sandbox_seccomp(char who, const int given[SANDBOX_GIVEN_MAX])
{
	static const struct filter_if always[FILTER_IFS];
	struct filter_if when[FILTER_IFS];
	struct filter f;

	filter_init(&f);
	for (size_t i = 0; i < COUNT(sandbox_calls); i++) {
		if (strchr(sandbox_calls[i].who, who) != NULL)
			filter_add(&f, sandbox_calls[i].number, ALLOW, always);
	}
	for (size_t i = 0; i < COUNT(sandbox_rules); i++) {
		if (strchr(sandbox_rules[i].who, who) == NULL)
			continue;
		for (size_t k = 0; k < FILTER_IFS; k++)
			when[k] = (struct filter_if){
				.arg = sandbox_rules[i].when[k].arg,
				.mask = sandbox_rules[i].when[k].mask,
				.value = sandbox_value(
				    sandbox_rules[i].when[k].value, given),
			};
		filter_add(
		    &f, sandbox_rules[i].number, sandbox_rules[i].answer, when);
	}
	return filter_load(&f);
}

/* -- files: Landlock ------------------------------------------------------ */

#define NO_FD (-1)

/* What may be done below which place: a path, or `..` of a descriptor, or the
 * descriptor itself.  The policy folder's parent, because a reload may find
 * another folder in its place.  A path that does not exist is left out. */
static const struct {
	char who[WHO_SIZE];
	uint64_t allowed;
	char path[PLACE_SIZE]; /* below a descriptor, if that is one */
	int given;             /* or NO_FD */
} sandbox_places[] = {
	{ "  S  P ", LL_READ, "..", 0 },
	{ "     P ", LL_READ, "/proc", NO_FD },
	{ "    A  ", LL_KEEP, ".", 0 },
	{ "    A  ", LL_KEEP, ".", 1 },
	{ "    A  ", LL_KEEP, ".", 2 },
	{ "    A  ", LL_FS_READ_FILE, "/dev/urandom", NO_FD },
	/* names and certificate authorities; DHCP clients replace the files */
	{ "R  O   ", LL_READ, "/etc", NO_FD },
	{ "R  O   ", LL_READ, "/run/systemd/resolve", NO_FD },
	{ "R  O   ", LL_READ, "/run/NetworkManager", NO_FD },
	{ "R  O   ", LL_READ, "/run/resolvconf", NO_FD },
	{ "   O   ", LL_READ, "/usr/lib/ssl", NO_FD },
	{ "   O   ", LL_READ, "/usr/share/ca-certificates", NO_FD },
	{ "   O   ", LL_READ, "/usr/local/share/ca-certificates", NO_FD },
	{ "   O   ", LL_READ, "/usr/share/pki", NO_FD },
	/* a policy's windows; libcurl's dates */
	{ "  SO P ", LL_READ, "/usr/share/zoneinfo", NO_FD },
};

#define PORT_DNS 53 /* answers that are too long for a datagram */

static int
sandbox_places_allow(
    const struct landlock *l, char who, const int given[SANDBOX_GIVEN_MAX])
{
	int r = 0;

	for (size_t i = 0; i < COUNT(sandbox_places) && r == 0; i++) {
		const char *path = sandbox_places[i].path;
		uint64_t allowed = sandbox_places[i].allowed;
		int n = sandbox_places[i].given;

		if (strchr(sandbox_places[i].who, who) == NULL)
			continue;
		if (n == NO_FD)
			r = landlock_allow(l, AT_FDCWD, path, allowed);
		else if (given[n] == -1)
			/* None yet, and it may come anywhere: read only. */
			r = landlock_allow(l, AT_FDCWD, "/", LL_READ);
		else
			r = landlock_allow(l, given[n], path, allowed);
	}
	return r;
}

static int
sandbox_landlock(char who, const int given[SANDBOX_GIVEN_MAX])
{
	struct landlock l;
	int r;

	/* The issuers' ports are the policy's to say, and change. */
	if ((r = landlock_open(&l, who == 'O')) != 0)
		return r;
	r = sandbox_places_allow(&l, who, given);
	if (r == 0 && who == 'R' &&
	    (r = landlock_allow_port(&l, PORT_DNS)) == 0)
		r = landlock_allow_port(&l, (uint16_t)given[2]);
	return landlock_close(&l, r);
}

bool
sandbox_has_landlock(void)
{
	return landlock_abi() > 0;
}

/* -- both ------------------------------------------------------------------ */

#ifdef POSTERN_SANITIZED
static const bool sandbox_on = false;
#else
static const bool sandbox_on = true;
#endif

int
sandbox_enter(enum sandbox_process who, const int given[SANDBOX_GIVEN_MAX])
{
	char letter = sandbox_letter[who];
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return ERR_SYS;
	if (!sandbox_on)
		return 0;
	if ((r = sandbox_landlock(letter, given)) != 0)
		return r;
	return sandbox_seccomp(letter, given);
}
