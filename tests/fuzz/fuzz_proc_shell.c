/*
 * postern-shell: policy up to ACCEPTED, then a hop, or one after the other.
 */
#include "config.h"

#include "tests/fuzz/proc.h"

#include <signal.h>
#include <stdlib.h>

int process_main(int argc, char **argv);
#define main process_main
#include "shell/postern-shell.c"
#undef main

enum { BROKER, HOP };

static const struct proc_door doors[] = {
	{ .name = "shell", .kind = DOOR_CONNECT, .stranger = true },
	{ .name = "hop", .kind = DOOR_GIVEN, .stranger = true },
};

int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);

/* It ends as the operation did. */
int
__wrap_kill(pid_t pid, int sig)
{
	if (proc_inside)
		proc_over(sig);
	return __real_kill(pid, sig);
}

static void
act(uint8_t which, const uint8_t *p, size_t n)
{
	static const int sig[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGWINCH };

	if (which % 2 == 1) {
		(void)__real_kill(getpid(),
		    sig[(n > 0 ? p[0] : 0) % (sizeof(sig) / sizeof(sig[0]))]);
		return;
	}
	/* ACCEPTED of a command of a list. */
	proc_send_end(BROKER, MSG_ACCEPTED, 0, HOP, p, n);
}

static void
run(void)
{
	static char name[] = "postern-shell", c[] = "-c", what[] = "postern";
	char *argv[] = { name, c, what, NULL };

	(void)setenv("POSTERN_SESSION", "01010101010101010101010101010101", 1);
	(void)setenv("SSH_ORIGINAL_COMMAND", "id", 1);
	exit(process_main(3, argv));
}

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run, NULL,
	false, act, true };
