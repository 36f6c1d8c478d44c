/*
 * posternd: what its children say, and that they die.  No child ever ends it.
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

int process_main(int argc, char **argv);
#define main process_main
#include "broker/posternd.c"
#undef main

#define FIRST_PID 100000
#define DEAD_MAX 16

static const struct proc_door doors[] = {
	{ .name = "audit", .kind = DOOR_GIVEN, .stranger = true },
	{ .name = "signer", .kind = DOOR_GIVEN, .stranger = true },
	{ .name = "policy", .kind = DOOR_GIVEN, .stranger = true },
	{ .name = "oidc", .kind = DOOR_GIVEN, .stranger = true },
	{ .name = "hop", .kind = DOOR_GIVEN, .stranger = true },
};
#define NDOOR (sizeof(doors) / sizeof(doors[0]))

/* -- processes that are none
 * ------------------------------------------------------ */

static struct {
	pid_t next;
	pid_t pid[NDOOR]; /* the newest of each; hops are all this process */
	pid_t dead[DEAD_MAX];
	int status[DEAD_MAX];
	size_t ndead;
} all;

int __wrap_setup_spawn(
    const char *name, struct account a, int control, int more, pid_t *pidp);
pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);
int __wrap_setup_account(const char *name, struct account *a);
int __wrap_setup_group(const char *name, gid_t *gid);
int __wrap_setup_folder(
    const char *path, struct account owner, mode_t mode, int *fdp);
int __wrap_setup_socket(
    const char *folder, const char *name, gid_t gid, mode_t mode, int *fdp);
int __wrap_setup_boot_key(const char *folder, const char *name, int *fdp);
int __wrap_setup_addresses(struct buf *b);
int __wrap_lease_make(const char *folder, struct lease **lp, int *fdp);
int __wrap_upgrade_try(char **argv, const struct buf *state, pid_t *pidp);
int __wrap_upgrade_exec(
    char **argv, const struct buf *state, const struct upgrade_fds *fds);
int __wrap_close_range(unsigned int from, unsigned int to, int flags);
int __real_close_range(unsigned int from, unsigned int to, int flags);
uid_t __wrap_geteuid(void);

int
__wrap_setup_spawn(
    const char *name, struct account a, int control, int more, pid_t *pidp)
{
	(void)a;
	(void)more;
	for (size_t i = 0; i < NDOOR; i++) {
		if (strcmp(doors[i].name, name) != 0)
			continue;
		proc_adopt(i, dup(control));
		*pidp = all.pid[i] = strcmp(name, "hop") == 0
					 ? getpid()
					 : FIRST_PID + all.next++;
		return 0;
	}
	return ERR_INTERNAL;
}

static void
dies(pid_t pid, int status)
{
	if (all.ndead < DEAD_MAX && pid >= FIRST_PID) {
		all.dead[all.ndead] = pid;
		all.status[all.ndead++] = status;
	}
	(void)__real_kill(getpid(), SIGCHLD);
}

int
__wrap_kill(pid_t pid, int sig)
{
	if (!proc_inside)
		return __real_kill(pid, sig);
	if (pid <= 0 || pid == getpid())
		proc_fail("it kills more than one child");
	dies(pid, sig);
	return 0;
}

pid_t
__wrap_waitpid(pid_t pid, int *status, int options)
{
	pid_t dead;

	if (!proc_inside)
		return __real_waitpid(pid, status, options);
	if (all.ndead == 0)
		return 0;
	dead = all.dead[0];
	*status = all.status[0];
	all.ndead--;
	memmove(all.dead, all.dead + 1, all.ndead * sizeof(all.dead[0]));
	memmove(all.status, all.status + 1, all.ndead * sizeof(all.status[0]));
	return dead;
}

/* -- a host that is none
 * ------------------------------------------------------------ */

int
__wrap_setup_account(const char *name, struct account *a)
{
	(void)name;
	*a = (struct account){ 1, 1 };
	return 0;
}

int
__wrap_setup_group(const char *name, gid_t *gid)
{
	(void)name;
	*gid = 1;
	return 0;
}

int
__wrap_setup_folder(
    const char *path, struct account owner, mode_t mode, int *fdp)
{
	(void)path;
	(void)owner;
	(void)mode;
	*fdp = proc_fd(FD_FOLDER);
	return 0;
}

int
__wrap_setup_socket(
    const char *folder, const char *name, gid_t gid, mode_t mode, int *fdp)
{
	(void)folder;
	(void)name;
	(void)gid;
	(void)mode;
	*fdp = proc_fd(FD_SOCKET);
	return 0;
}

int
__wrap_setup_boot_key(const char *folder, const char *name, int *fdp)
{
	(void)folder;
	(void)name;
	*fdp = proc_fd(FD_FILE);
	return 0;
}

int
__wrap_setup_addresses(struct buf *b)
{
	return buf_putf(b, "10.91.0.1/32");
}

int
__wrap_lease_make(const char *folder, struct lease **lp, int *fdp)
{
	static struct lease page;

	(void)folder;
	*lp = &page;
	*fdp = proc_fd(FD_FILE);
	return 0;
}

int
__wrap_upgrade_try(char **argv, const struct buf *state, pid_t *pidp)
{
	(void)argv;
	(void)state;
	*pidp = FIRST_PID + all.next++;
	return 0;
}

int
__wrap_upgrade_exec(
    char **argv, const struct buf *state, const struct upgrade_fds *fds)
{
	(void)argv;
	(void)state;
	(void)fds;
	return ERR_SYS;
}

int
__wrap_close_range(unsigned int from, unsigned int to, int flags)
{
	return proc_inside ? 0 : __real_close_range(from, to, flags);
}

uid_t
__wrap_geteuid(void)
{
	return 0;
}

/* -- what it is told
 * ------------------------------------------------------------------ */

static void
act(uint8_t which, const uint8_t *p, size_t n)
{
	static const int sig[] = { SIGHUP, SIGUSR2, SIGTERM };
	uint8_t arg = n > 0 ? p[0] : 0;

	if (which % 4 == 0)
		(void)__real_kill(getpid(), sig[arg % 3]);
	else if (which % 4 == 1) /* of a signal, or in peace */
		dies(all.pid[arg % NDOOR], (arg & 16) != 0 ? 0 : SIGSEGV);
	else
		dies(FIRST_PID + arg, (arg & 16) != 0 ? 0 : 0x100);
}

static void
run(void)
{
	static char name[] = "/posternd", c[] = "-c", path[] = "/nonexistent";
	char *argv[] = { name, c, path, NULL };

	exit(process_main(3, argv));
}

static const struct proc_depth depths[] = {
	{ 2, MSG_GO },
	{ 1, MSG_GO },
	{ 2, MSG_HOP_STARTED },
	{ 0, MSG_ALARM },
	{ 0, MSG_ANCHOR_DONE },
	{ 2, MSG_RELOAD },
	{ 2, MSG_STOP },
};
const char *const fuzz_depths[] = { "policy is started", "signer is started",
	"a hop is started", "an alarm is given", "a head was anchored",
	"the policy is loaded again", "all are stopped", NULL };

const struct proc proc = { doors, NDOOR, run, NULL, false, act, false, depths,
	sizeof(depths) / sizeof(depths[0]) };
