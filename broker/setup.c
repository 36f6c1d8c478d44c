/*
 * Preparing the ground for the broker's processes.  Runs in posternd as root;
 * its input is configuration that root wrote.
 */
#include "config.h"

#include "broker/setup.h"

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/child.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define SETUP_BACKLOG 256

int
setup_account(const char *name, struct account *a)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		return ERR_CONFIG;
	*a = (struct account){ pw->pw_uid, pw->pw_gid };
	return 0;
}

int
setup_group(const char *name, gid_t *gid)
{
	const struct group *gr = getgrnam(name);

	if (gr == NULL)
		return ERR_CONFIG;
	*gid = gr->gr_gid;
	return 0;
}

/* A folder that is closed to all but its owner, where root has no right over
 * others' files, is opened as that owner. */
static int
setup_open(const char *path, struct account owner)
{
	const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int err, fd = open(path, how);

	if (fd != -1 || errno != EACCES)
		return fd;
	(void)setfsuid(owner.uid);
	fd = open(path, how);
	err = errno;
	(void)setfsuid(geteuid());
	errno = err;
	return fd;
}

/* What is right already is not touched: under the unit posternd has no right to
 * change what is another account's (posternd -p has). */
static int
setup_own(int fd, struct account owner, mode_t mode)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return ERR_SYS;
	if ((st.st_uid != owner.uid || st.st_gid != owner.gid) &&
	    fchown(fd, owner.uid, owner.gid) == -1)
		return ERR_SYS;
	if (fstat(fd, &st) == -1) /* a chown takes bits away */
		return ERR_SYS;
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) == -1)
		return ERR_SYS;
	return 0;
}

int
setup_folder(const char *path, struct account owner, mode_t mode, int *fdp)
{
	int fd, r;

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		return ERR_SYS;
	if ((fd = setup_open(path, owner)) == -1)
		return errno == ELOOP || errno == ENOTDIR ? ERR_DENIED :
							    ERR_SYS;
	if ((r = setup_own(fd, owner, mode)) != 0) {
		(void)close(fd);
		return r;
	}
	*fdp = fd;
	return 0;
}

int
setup_socket(const char *folder, const char *name, gid_t gid, mode_t mode,
    int *fdp)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s.sock", folder,
	    name);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return ERR_TOOBIG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return ERR_SYS;
	/* Born with mode 0: nobody gets in before owner and mode are right. */
	(void)unlink(sa.sun_path);
	(void)umask(0777);
	n = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	(void)umask(077);
	if (n == -1 || chown(sa.sun_path, 0, gid) == -1 ||
	    chmod(sa.sun_path, mode) == -1 || listen(fd, SETUP_BACKLOG) == -1) {
		(void)close(fd);
		return ERR_SYS;
	}
	*fdp = fd;
	return 0;
}

/* "KEY BOOT-ID": the key of another boot is none.  What it vouches for names
 * processes, and those are gone. */
static int
boot_key_text(char *text, size_t size, bool fresh)
{
	uint8_t key[SETUP_KEY_LEN];
	char id[64];
	ssize_t n;
	int fd;

	if (fresh && getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return ERR_SYS;
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return ERR_SYS;
	n = read(fd, id, sizeof(id) - 1);
	(void)close(fd);
	if (n <= 0 || (size_t)n + SETUP_KEY_LEN > size)
		return ERR_SYS;
	if (fresh)
		memcpy(text, key, sizeof(key));
	memcpy(text + SETUP_KEY_LEN, id, (size_t)n);
	explicit_bzero(key, sizeof(key));
	return SETUP_KEY_LEN + (int)n;
}

static bool
boot_key_good(int fd, const char *want, size_t n)
{
	char have[128];

	return n <= sizeof(have) &&
	       pread(fd, have, sizeof(have), 0) == (ssize_t)n &&
	       memcmp(have + SETUP_KEY_LEN, want + SETUP_KEY_LEN,
		   n - SETUP_KEY_LEN) == 0;
}

int
setup_boot_key(const char *folder, const char *name, int *fdp)
{
	char path[512], text[128] = "";
	int fd, n, r = ERR_SYS;

	n = snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOOBIG;
	if ((n = boot_key_text(text, sizeof(text), false)) < 0)
		return n;
	/* The folder is root's: what has the name there is ours. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd != -1 && boot_key_good(fd, text, (size_t)n)) {
		*fdp = fd;
		return 0;
	}
	if (fd != -1)
		(void)close(fd);
	(void)unlink(path);
	fd = open(
	    path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return ERR_SYS;
	n = boot_key_text(text, sizeof(text), true);
	if (n > 0 && write_all(fd, text, (size_t)n) == 0 &&
	    lseek(fd, 0, SEEK_SET) == 0)
		r = 0;
	explicit_bzero(text, sizeof(text));
	if (r == 0)
		*fdp = fd;
	else
		(void)close(fd);
	return r;
}

static int
setup_put_address(const struct sockaddr *sa, struct buf *b)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	const void *p;

	if (sa->sa_family == AF_INET) {
		in = *(const struct sockaddr_in *)(const void *)sa;
		p = &in.sin_addr;
	} else {
		in6 = *(const struct sockaddr_in6 *)(const void *)sa;
		if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
			return 0;
		p = &in6.sin6_addr;
	}
	if (inet_ntop(sa->sa_family, p, text, sizeof(text)) == NULL)
		return ERR_SYS;
	return buf_putf(b, "%s%s/%d", buf_len(b) == 0 ? "" : ",", text,
	    sa->sa_family == AF_INET ? 32 : 128);
}

int
setup_addresses(struct buf *b)
{
	struct ifaddrs *all, *i;
	int r = 0;

	if (getifaddrs(&all) == -1)
		return ERR_SYS;
	for (i = all; i != NULL && r == 0; i = i->ifa_next) {
		if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0 ||
		    (i->ifa_addr->sa_family != AF_INET &&
		    i->ifa_addr->sa_family != AF_INET6))
			continue;
		r = setup_put_address(i->ifa_addr, b);
	}
	freeifaddrs(all);
	if (r == ERR_TOOBIG) {
		/* A part of them would be a certificate that sometimes works.
		 */
		buf_reset(b);
		r = 0;
	}
	return r;
}

/* Between fork and exec, as all below: only what is async-signal-safe. */
static bool
setup_become(struct account a)
{
	sigset_t none;

	if (setgroups(0, NULL) == -1 || setresgid(a.gid, a.gid, a.gid) == -1 ||
	    setresuid(a.uid, a.uid, a.uid) == -1 || chdir("/") == -1)
		return false;
	(void)sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL); /* "ignored" would be inherited */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	return true;
}

static void
setup_exec(char *path, struct account a, int control, int more)
{
	char *const argv[] = { path, NULL };
	char *const envp[] = { NULL };

	/* Out of each other's way first. */
	if ((control = fcntl(control, F_DUPFD, CHILD_MORE_FD + 1)) == -1 ||
	    (more != -1 &&
		(more = fcntl(more, F_DUPFD, CHILD_MORE_FD + 1)) == -1) ||
	    dup2(control, CHILD_CONTROL_FD) == -1 ||
	    (more != -1 && dup2(more, CHILD_MORE_FD) == -1))
		_exit(SETUP_NOT_PREPARED);
	if (close_range(more != -1 ? CHILD_MORE_FD + 1 : CHILD_CONTROL_FD + 1,
		~0U, 0) == -1 ||
	    !setup_become(a))
		_exit(SETUP_NOT_PREPARED);
	(void)execve(path, argv, envp);
	_exit(SETUP_NOT_EXECUTED);
}

/* A program that is not ours: it can gain no rights, and what it leaves behind
 * has a bound. */
static void
setup_exec_foreign(char *path, struct account a, int in)
{
	static char search[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
			       "/usr/bin:/sbin:/bin";
	const struct rlimit no_core = { 0, 0 };
	const struct rlimit processes = { SETUP_FOREIGN_PROCESSES,
		SETUP_FOREIGN_PROCESSES };
	const struct rlimit cpu = { SETUP_FOREIGN_CPU_S, SETUP_FOREIGN_CPU_S };
	char *const argv[] = { path, NULL };
	char *const envp[] = { search, NULL };

	if (setsid() == -1 || dup2(in, STDIN_FILENO) == -1 ||
	    close_range(STDERR_FILENO + 1, ~0U, 0) == -1 ||
	    setrlimit(RLIMIT_CORE, &no_core) == -1 ||
	    setrlimit(RLIMIT_NPROC, &processes) == -1 ||
	    setrlimit(RLIMIT_CPU, &cpu) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 || !setup_become(a))
		_exit(SETUP_NOT_PREPARED);
	(void)execve(path, argv, envp);
	_exit(SETUP_NOT_EXECUTED);
}

int
setup_spawn_foreign(char *path, struct account a, int in, pid_t *pidp)
{
	pid_t pid;

	if ((pid = fork()) == -1)
		return ERR_SYS;
	if (pid == 0)
		setup_exec_foreign(path, a, in);
	*pidp = pid;
	return 0;
}

int
setup_spawn(
    const char *name, struct account a, int control, int more, pid_t *pidp)
{
	char path[512];
	pid_t pid;
	int n;

	n = snprintf(path, sizeof(path), "%s/postern-%s", POSTERN_LIBEXECDIR,
	    name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOOBIG;
	if ((pid = fork()) == -1)
		return ERR_SYS;
	if (pid == 0)
		setup_exec(path, a, control, more);
	*pidp = pid;
	return 0;
}
