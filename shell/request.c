/*
 * postern-shell's reading of its surroundings.  The command, the terminal's
 * name and its size are the client's; they are passed on as data and decide
 * nothing here.
 */
#include "config.h"

#include "shell/request.h"

#include <sys/ioctl.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

bool
request_form(int argc, char *const *argv)
{
	return argc == 3 && strcmp(argv[1], "-c") == 0 &&
	       strcmp(argv[2], "postern") == 0;
}

/* A terminal type as terminfo names them; anything else is not worth an
 * error, and not worth passing on. */
static const char *
term_clean(const char *s)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789+-._";
	size_t n = s == NULL ? 0 : strspn(s, fine);

	return n == 0 || n > REQUEST_TERM_MAX || s[n] != '\0' ? "dumb" : s;
}

static const char *
handle_clean(const char *s)
{
	uint8_t raw[PROTO_HANDLE_LEN / 2];

	return s != NULL && hex_decode(s, raw, sizeof(raw)) == 0 ? s : "";
}

/* What sshd sets by itself, or PAM; anything else the client has sent. */
static bool
is_sent(const char *var)
{
	static const char *const own[] = { "HOME", "LOGNAME", "MAIL", "PATH",
		"SHELL", "TERM", "USER" };
	size_t n = env_name_len(var);

	if (n == 0 || strncmp(var, "SSH_", 4) == 0 ||
	    strncmp(var, "POSTERN_", 8) == 0)
		return false;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strlen(own[i]) == n && strncmp(var, own[i], n) == 0)
			return false;
	}
	return true;
}

/* The pointers are copied: the array goes with clearenv. */
static void
take_sent(struct request *q)
{
	for (char **v = environ; v != NULL && *v != NULL; v++) {
		if (!is_sent(*v))
			continue;
		if (q->nenv == PROTO_ENVS_MAX) {
			q->nenv++;
			return;
		}
		q->env[q->nenv++] = *v;
	}
}

bool
request_env_fits(const struct request *q)
{
	size_t bytes = 0;

	for (size_t i = 0; i < q->nenv && i < PROTO_ENVS_MAX; i++)
		bytes += strlen(q->env[i]) + 1;
	return q->nenv <= PROTO_ENVS_MAX && bytes <= PROTO_ENV_MAX;
}

static int
put_sent(const struct request *q, struct buf *b)
{
	int r;

	if (!request_env_fits(q))
		return ERR_TOOBIG;
	r = buf_put_u32(b, (uint32_t)q->nenv);
	for (size_t i = 0; i < q->nenv && r == 0; i++)
		r = buf_put_cstr(b, q->env[i]);
	return r;
}

void
request_read(struct request *q)
{
	struct winsize ws = { 0 };
	const char *user;

	*q = (struct request){
		.handle = handle_clean(getenv("POSTERN_SESSION")),
		.command = getenv("SSH_ORIGINAL_COMMAND"),
		.term = "",
		.tty = getenv("SSH_TTY") != NULL && isatty(STDIN_FILENO) == 1,
	};
	q->kind = q->command == NULL ? RUN_SHELL : RUN_EXEC;
	user = getenv("USER");
	q->control = user != NULL && strcmp(user, "postern") == 0;
	if (q->tty) {
		q->term = term_clean(getenv("TERM"));
		if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0) {
			q->columns = ws.ws_col;
			q->rows = ws.ws_row;
		}
	}
	take_sent(q);
	/* Forgets the pointers; the strings stay where exec put them. */
	(void)clearenv();
}

void
request_quiet(const struct request *q)
{
	struct termios t;

	if (!q->tty || q->kind != RUN_EXEC || q->control ||
	    tcgetattr(STDIN_FILENO, &t) != 0)
		return;
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
	t.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | IXON | ISTRIP);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &t); /* or it is echoed twice */
}

bool
request_is_sftp(const struct request *q)
{
	return q->kind == RUN_EXEC && !q->tty &&
	       strcmp(q->command, PROTO_SFTP_COMMAND) == 0;
}

/* All of descriptor 0, and a NUL. */
static int
read_input(char *text, size_t size)
{
	size_t n = 0;
	ssize_t k;
	int r;

	for (;;) {
		if ((r = msg_wait(STDIN_FILENO, POLLIN,
			 msg_now_ms() + REQUEST_WAIT_MS)) != 0)
			return r;
		k = read(STDIN_FILENO, text + n, size - n);
		if (k == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (k == -1)
			return ERR_SYS;
		if (k == 0)
			break;
		if ((n += (size_t)k) == size)
			return ERR_TOOBIG;
	}
	text[n] = '\0';
	/* a text that ended early would be another one */
	return strlen(text) == n ? 0 : ERR_FORMAT;
}

int
request_script(struct request *q, char *text, size_t size)
{
	int r;

	if ((r = read_input(text, size)) != 0)
		return r;
	if (text[strspn(text, " \t\n")] == '\0')
		return 0; /* nothing to run: no script */
	q->kind = RUN_SCRIPT;
	q->command = text;
	return 0;
}

int
request_key(struct request *q, char *text, size_t size)
{
	int r;

	if ((r = read_input(text, size)) != 0)
		return r;
	q->kind = RUN_LOGIN;
	q->command = text;
	return 0;
}

int
request_put(const struct request *q, struct msg *m)
{
	const char *command = q->command == NULL ? "" : q->command;
	int r;

	if (strnlen(command, PROTO_COMMAND_MAX + 1) > PROTO_COMMAND_MAX)
		return ERR_TOOBIG;
	if ((r = buf_put_cstr(&m->body, q->handle)) != 0 ||
	    (r = buf_put_u8(&m->body, q->kind)) != 0 ||
	    (r = buf_put_cstr(&m->body, command)) != 0 ||
	    (r = buf_put_u8(&m->body, q->tty)) != 0 ||
	    (r = buf_put_cstr(&m->body, q->term)) != 0 ||
	    (r = buf_put_u32(&m->body, q->columns)) != 0 ||
	    (r = buf_put_u32(&m->body, q->rows)) != 0 ||
	    (r = put_sent(q, &m->body)) != 0)
		return r;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if ((r = msg_add_fd(m, fd)) != 0)
			return r;
	}
	return 0;
}
