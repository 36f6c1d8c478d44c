/*
 * postern-shell: the passwd shell of every name in postern-sshd, and its
 * ForceCommand.  Runs as postern-job, one per operation; installed without
 * read permission, so that no other process of that uid can look into it.
 *
 * Everything around it is the client's: the command in SSH_ORIGINAL_COMMAND,
 * the terminal, the three descriptors.  It interprets none of that.  It hands
 * all of it to policy, gives up what it no longer needs of the kernel, and then
 * only passes signals on and ends as the operation ended.  With a terminal and
 * without a command it lets lines be typed, and hands on each of them.  It
 * holds no key, knows no rule, and never executes anything.
 */
#include "config.h"

#include <sys/prctl.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/sandbox.h"
#include "lib/sftprefuse.h"
#include "shell/interactive.h"
#include "shell/relay.h"
#include "shell/request.h"

#define SHELL_SOCKET POSTERN_RUNDIR "/shell.sock"
#define SHELL_CONNECT_MS 30000

#define SAY_DOWN                                                               \
	"the broker of this bastion is not running; try again in a minute, "   \
	"and tell the bastion's admin if it stays so"
#define SAY_LOST "the broker ended before it answered; try again in a minute"
#define SAY_CONFINED "this process cannot be confined; tell the bastion's admin"
#define SAY_TERMINAL "the terminal cannot be used; try again"
#define SAY_STREAMS                                                            \
	"nothing was run: a standard stream of this connection is missing; "   \
	"try again, and tell the bastion's admin if it stays so"
#define SAY_LIST_LOST                                                          \
	"the broker was restarted in the middle of this list; what follows "   \
	"the command that just ended was not run"
#define SAY_FORM                                                               \
	"this is not a shell to be called by hand; it runs one operation for " \
	"sshd, as in: ssh TARGET@BASTION COMMAND"
#define SAY_LONG "the command is longer than 64 KiB, which is the limit"

#define SAY_ENV                                                                \
	"this job sends more of its environment (SetEnv, SendEnv) than 130 "   \
	"variables or 32 KiB, which is the limit; send only those that its "   \
	"rule takes"
#define SAY_NUL "the commands on standard input hold a NUL byte"
#define SAY_LATE                                                               \
	"no command was given, and the commands on standard input stopped "    \
	"coming; name one: ssh TARGET@BASTION COMMAND"

#define SAY_KEY_LONG                                                           \
	"what came on standard input is longer than 16 KiB; a public key is "  \
	"one line: ssh postern@BASTION login < key.pub"
#define SAY_KEY_NUL                                                            \
	"what came on standard input is no text; a public key is one line: "   \
	"ssh postern@BASTION login < key.pub"
#define SAY_KEY_LATE                                                           \
	"no public key came on standard input; give it one: ssh "              \
	"postern@BASTION login < key.pub"

/* A script or a key; the environment holds every other command.  +1 is one too
 * many, +2 its NUL. */
static char script[PROTO_COMMAND_MAX + 2];

_Noreturn static void
refuse(int code, const char *text)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "postern: %s\n", text);

	if (n > 0 && (size_t)n < sizeof(line))
		(void)write_all(STDERR_FILENO, line, (size_t)n);
	_exit(code);
}

/* The same for whoever may speak SFTP. */
_Noreturn static void
refuse_any(const struct request *q, int code, const char *text)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "postern: %s", text);

	if (request_is_sftp(q) && n > 0 && (size_t)n < sizeof(line))
		sftprefuse(STDIN_FILENO, STDOUT_FILENO, line, (size_t)n,
		    PROTO_SFTP_REFUSE_MS);
	refuse(code, text);
}

/* The descriptors are passed on by number: they must be sshd's, not something
 * that was opened here. */
static bool
streams_open(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) == -1)
			return false;
	}
	return true;
}

static void
read_script(struct request *q)
{
	int r;

	if (q->kind != RUN_SHELL || q->tty || q->control)
		return;
	r = request_script(q, script, sizeof(script) - 1);
	if (r == ERR_TOOBIG)
		refuse(POSTERN_EX_USAGE, SAY_LONG);
	if (r == ERR_FORMAT)
		refuse(POSTERN_EX_USAGE, SAY_NUL);
	if (r != 0)
		refuse(POSTERN_EX_USAGE, SAY_LATE);
}

/* The one word that has an input. */
static void
read_key(struct request *q)
{
	int r;

	if (!q->control || q->kind != RUN_EXEC || q->tty ||
	    strcmp(q->command, "login") != 0)
		return;
	r = request_key(q, script, PROTO_JOB_KEY_MAX + 1);
	if (r == ERR_TOOBIG)
		refuse(POSTERN_EX_USAGE, SAY_KEY_LONG);
	if (r == ERR_FORMAT)
		refuse(POSTERN_EX_USAGE, SAY_KEY_NUL);
	if (r != 0)
		refuse(POSTERN_EX_USAGE, SAY_KEY_LATE);
}

/* Connects and asks; what fails here fails with nothing run. */
static int
ask(const struct request *q, int *connp)
{
	struct msg m;
	int fd = -1, r;

	msg_init(&m, MSG_RUN);
	if ((r = request_put(q, &m)) != 0)
		goto out;
	r = msg_connect_by(SHELL_SOCKET, msg_now_ms() + SHELL_CONNECT_MS, &fd);
	if (r != 0 || (r = msg_send(fd, &m)) != 0)
		goto out;
	*connp = fd;
	fd = -1;
out:
	if (fd != -1)
		(void)close(fd);
	msg_clear(&m);
	return r;
}

int
main(int argc, char **argv)
{
	struct request q;
	struct ending e = { .code = POSTERN_EX_TEMPFAIL };
	const int nothing[SANDBOX_GIVEN_MAX] = { -1, -1, -1 };
	struct interactive *in = NULL;
	int conn = -1, sigfd = -1, null, err, r;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		refuse(POSTERN_EX_TEMPFAIL, SAY_CONFINED);
	/* Where none is open nobody reads this; nothing else is hit. */
	if (!streams_open())
		refuse(POSTERN_EX_TEMPFAIL, SAY_STREAMS);
	request_read(&q);
	request_quiet(&q);
	if (!request_form(argc, argv))
		refuse(POSTERN_EX_DENIED, SAY_FORM);
	if (!request_env_fits(&q))
		refuse_any(&q, POSTERN_EX_USAGE, SAY_ENV);
	read_script(&q);
	read_key(&q);
	if ((r = relay_signals(&sigfd)) != 0)
		refuse(POSTERN_EX_TEMPFAIL, err_text(r));
	r = ask(&q, &conn);
	if (q.kind == RUN_LOGIN) /* a private one, perhaps */
		explicit_bzero(script, sizeof(script));
	if (r == ERR_TOOBIG)
		refuse(POSTERN_EX_USAGE, SAY_LONG);
	if (r != 0)
		refuse_any(&q, POSTERN_EX_TEMPFAIL, SAY_DOWN);
	if (q.kind == RUN_SHELL && q.tty && interactive_new(&q, &in) != 0)
		refuse(POSTERN_EX_TEMPFAIL, SAY_TERMINAL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (null == -1 || err == -1 ||
	    sandbox_enter(SANDBOX_SHELL, nothing) != 0)
		refuse(POSTERN_EX_TEMPFAIL, SAY_CONFINED);
	if (in != NULL) {
		interactive_run(in, conn, sigfd, &e);
		relay_end(&e);
	}
	e.sftp = request_is_sftp(&q);
	r = relay_run(conn, sigfd, null, err, &e);
	if (r != 0)
		refuse_any(&q, POSTERN_EX_TEMPFAIL,
		    r == ERR_AGAIN ? SAY_LIST_LOST : SAY_LOST);
	relay_end(&e);
}
