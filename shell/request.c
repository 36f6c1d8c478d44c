/*
 * postern-shell's reading of its surroundings.  The command, the terminal's
 * name and its size are the client's; they are passed on as data and decide
 * nothing here.
 */
#include "config.h"

#include "shell/request.h"

#include <sys/ioctl.h>

#include <stdlib.h>
#include <string.h>
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

void
request_read(struct request *q)
{
	struct winsize ws = { 0 };

	*q = (struct request){
		.handle = handle_clean(getenv("POSTERN_SESSION")),
		.command = getenv("SSH_ORIGINAL_COMMAND"),
		.term = "",
		.tty = getenv("SSH_TTY") != NULL && isatty(STDIN_FILENO) == 1,
	};
	if (q->tty) {
		q->term = term_clean(getenv("TERM"));
		if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0) {
			q->columns = ws.ws_col;
			q->rows = ws.ws_row;
		}
	}
	/* Forgets the pointers; the strings stay where exec put them. */
	(void)clearenv();
}

int
request_put(const struct request *q, struct msg *m)
{
	const char *command = q->command == NULL ? "" : q->command;
	int r;

	if (strnlen(command, PROTO_COMMAND_MAX + 1) > PROTO_COMMAND_MAX)
		return ERR_TOOBIG;
	if ((r = buf_put_cstr(&m->body, q->handle)) != 0 ||
	    (r = buf_put_u8(
		 &m->body, q->command == NULL ? RUN_SHELL : RUN_EXEC)) != 0 ||
	    (r = buf_put_cstr(&m->body, command)) != 0 ||
	    (r = buf_put_u8(&m->body, q->tty)) != 0 ||
	    (r = buf_put_cstr(&m->body, q->term)) != 0 ||
	    (r = buf_put_u32(&m->body, q->columns)) != 0 ||
	    (r = buf_put_u32(&m->body, q->rows)) != 0)
		return r;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if ((r = msg_add_fd(m, fd)) != 0)
			return r;
	}
	return 0;
}
