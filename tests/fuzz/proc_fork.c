/*
 * A process for each input: see proc.h.  Two of them wait to be copied: one
 * that has not begun, and one that was given what it works with.  A copy has
 * the coverage of its life when it ends, and it is put where libFuzzer looks.
 */
#include "config.h"

#include "tests/fuzz/proc.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNTERS_MAX (1024 * 1024)
#define RUN_S 20  /* of real time: what takes longer hangs */
#define FAILED 99 /* exit code: it did what it must not */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

#ifdef POSTERN_LIBFUZZER
#define LEAKS_EACH 64 /* looking for leaks takes longer than a run */
#else
#define LEAKS_EACH 1
#endif

/* Shared by all. */
static struct shared {
	size_t n;
	uint8_t script[PROC_SCRIPT_MAX];
	uint8_t counter[COUNTERS_MAX];
} * shared;

static struct zygote {
	int ask, answer; /* pipes, from and to the fuzzer */
} zygotes[2];

static struct {
	struct zygote *me;
	int said; /* where failures are told: the process has no stderr */
	char folder[64];
	bool leaks;
} env;

/* -- coverage: the counters that clang puts in -------------------------------
 */

#ifdef POSTERN_LIBFUZZER
extern uint8_t __start___sancov_cntrs[], __stop___sancov_cntrs[];
#define COUNTERS __start___sancov_cntrs
#define NCOUNTERS ((size_t)(__stop___sancov_cntrs - __start___sancov_cntrs))

static void
coverage_begin(void)
{
	memset(COUNTERS, 0, NCOUNTERS);
}

static void
coverage_end(void)
{
	if (NCOUNTERS <= COUNTERS_MAX)
		memcpy(shared->counter, COUNTERS, NCOUNTERS);
}

static void
coverage_take(void)
{
	for (size_t i = 0; i < NCOUNTERS && i < COUNTERS_MAX; i++) {
		if (shared->counter[i] != 0)
			COUNTERS[i] = shared->counter[i];
	}
	memset(shared->counter, 0, COUNTERS_MAX);
}
#else
static void
coverage_begin(void)
{
}

static void
coverage_end(void)
{
}

static void
coverage_take(void)
{
}
#endif

/* -- copies
 * ---------------------------------------------------------------------- */

static int
high(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 900);

	if (up == -1)
		err(1, "descriptor");
	(void)close(fd);
	return up;
}

void
proc_fail(const char *what)
{
	dprintf(env.said, "fuzz: %s\n", what);
	syscall(SYS_exit_group, FAILED);
	abort();
}

void
proc_over(int code)
{
	/* What has ended by itself leaves its memory to the system. */
	bool ended = proc_inside;

	proc_inside = false;
	proc_hear(); /* its last words */
	if (code != 0 && !proc.may_end && proc_stranger())
		proc_fail("a stranger's message ended the process");
	coverage_end();
	if (!ended && env.leaks && __lsan_do_recoverable_leak_check != NULL &&
	    __lsan_do_recoverable_leak_check() != 0)
		proc_fail("memory is lost");
	syscall(SYS_exit_group, 0);
	abort();
}

int
proc_folder(void)
{
	char path[sizeof(env.folder) + 16];
	static int n;

	(void)snprintf(path, sizeof(path), "%s/%d", env.folder, n++);
	if ((mkdir(env.folder, 0700) == -1 && n == 1) ||
	    mkdir(path, 0700) == -1)
		err(1, "%s", path);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* In the copy. */
static void
become(void)
{
	uint32_t h = 5381;

	for (size_t i = 0; i < shared->n; i++)
		h = h * 33 + shared->script[i];
	env.leaks = h % LEAKS_EACH == 0;
	/* In each process: a copy of it would open a file of its own. */
	if (__sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)env.said);
	(void)alarm(RUN_S);
	coverage_begin();
	proc_renew();
	proc_script(shared->script, shared->n);
}

static int
sweep_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

/* What the copy left of its folders. */
static void
sweep(void)
{
	if (access(env.folder, F_OK) == 0 &&
	    nftw(env.folder, sweep_one, 16, FTW_DEPTH | FTW_PHYS) == -1)
		err(1, "%s", env.folder);
}

void
proc_serve(void)
{
	int status = 0;
	pid_t pid;
	char c;

	while (read(env.me->ask, &c, 1) == 1) {
		if ((pid = fork()) == 0) {
			become();
			return;
		}
		if (pid == -1 || waitpid(pid, &status, 0) != pid)
			err(1, "fork");
		if (proc.each)
			sweep();
		if (write(env.me->answer, &status, sizeof(status)) !=
		    sizeof(status))
			break;
	}
	sweep();
	syscall(SYS_exit_group, 0);
}

static void
zygote_main(struct zygote *z, bool fresh)
{
	int null;

	env.me = z;
	for (int sig = 1; sig < NSIG; sig++) /* libFuzzer's */
		(void)signal(sig, SIG_DFL);
	env.said = high(dup(STDERR_FILENO));
	if ((null = open("/dev/null", O_RDWR)) == -1)
		err(1, "/dev/null");
	for (int fd = 0; fd < 3; fd++) {
		if (getenv("FUZZ_SPEAK") == NULL)
			(void)dup2(null, fd);
	}
	(void)close_range(3, 899, 0);
	(void)snprintf(env.folder, sizeof(env.folder), "/dev/shm/fuzz-%d-%d",
	    (int)getpid(), fresh);
	if (fresh || proc.each)
		proc_serve();
	proc_begin();
	proc_inside = true;
	proc.run();
	proc_over(0);
}

static void
zygote_start(struct zygote *z, bool fresh)
{
	int ask[2], answer[2];

	if (pipe2(ask, O_CLOEXEC) == -1 || pipe2(answer, O_CLOEXEC) == -1)
		err(1, "pipe");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		z->ask = high(ask[0]);
		z->answer = high(answer[1]);
		(void)close(ask[1]);
		(void)close(answer[0]);
		zygote_main(z, fresh);
		_exit(0);
	default:
		(void)close(ask[0]);
		(void)close(answer[1]);
		z->ask = high(ask[1]);
		z->answer = high(answer[0]);
	}
}

static void
start(void)
{
	if (shared != NULL)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	zygote_start(&zygotes[0], false);
	zygote_start(&zygotes[1], true);
}

/* libFuzzer looks at its clock in between. */
static bool
hear(int fd, int *status)
{
	ssize_t n;

	do
		n = read(fd, status, sizeof(*status));
	while (n == -1 && errno == EINTR);
	return n == sizeof(*status);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zygote *z;
	int status;

	start();
	if (size == 0 || size > PROC_SCRIPT_MAX)
		return 0;
	z = &zygotes[data[0] & PROC_FRESH];
	memcpy(shared->script, data, size);
	shared->n = size;
	if (write(z->ask, "x", 1) != 1 || !hear(z->answer, &status))
		errx(1, "the process to be copied is gone");
	if (status != 0) {
		warnx("ended with status %#x", (unsigned int)status);
		abort();
	}
	coverage_take();
	return 0;
}
