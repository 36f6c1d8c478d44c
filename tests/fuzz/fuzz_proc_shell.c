/*
 * postern-shell: policy up to ACCEPTED, then a hop, or one after the other.
 * From the beginning (PROC_FRESH) it is a broker shell: it has a terminal, on
 * which the script types.
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

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

void __lsan_disable(void) __attribute__((weak));

static int typist = -1; /* the other end of its terminal */

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

	if (which % 4 == 2) { /* somebody types; what finds no room is lost */
		(void)!write(typist, p, n);
		return;
	}
	if (which % 2 == 1) {
		(void)__real_kill(getpid(),
		    sig[(n > 0 ? p[0] : 0) % (sizeof(sig) / sizeof(sig[0]))]);
		return;
	}
	/* ACCEPTED of a command of a list. */
	proc_send_end(BROKER, MSG_ACCEPTED, 0, HOP, p, n);
}

/* What it shows goes nowhere: nobody would take it from the terminal. */
static bool
give_terminal(void)
{
	int slave;

	typist = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (typist == -1 || grantpt(typist) != 0 || unlockpt(typist) != 0)
		return false;
	slave = open(ptsname(typist), O_RDWR | O_NOCTTY | O_CLOEXEC);
	return slave != -1 && dup2(slave, STDIN_FILENO) != -1;
}

static void
run(void)
{
	static char name[] = "postern-shell", c[] = "-c", what[] = "postern";
	char *argv[] = { name, c, what, NULL };

	(void)setenv("POSTERN_SESSION", "01010101010101010101010101010101", 1);
	if (!proc_preparing() && give_terminal()) {
		(void)setenv("SSH_TTY", "/dev/pts/0", 1);
		(void)setenv("TERM", "xterm", 1);
		/* what libtinfo loses with each terminal is not ours */
		if (__lsan_disable != NULL)
			__lsan_disable();
		exit(process_main(3, argv));
	}
	(void)setenv("SSH_ORIGINAL_COMMAND", "id", 1);
	exit(process_main(3, argv));
}

static const struct proc_depth depths[] = {
	{ BROKER, MSG_RUN },
	{ BROKER, MSG_RESIZED },
	{ BROKER, MSG_SIGNAL },
	{ BROKER, MSG_LINE },
	{ BROKER, MSG_BREAK },
	{ BROKER, MSG_LEAVE },
	{ HOP, MSG_SIGNAL },
};
const char *const fuzz_depths[] = { "a command is asked for",
	"a terminal has another size", "a signal is passed on",
	"a line is typed", "and broken off", "a shell in a shell is left",
	"a hop has the signal", NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run, NULL,
	false, act, true, depths, sizeof(depths) / sizeof(depths[0]) };
