/*
 * The broker shell in postern-shell: shows the prompt that policy sent, takes a
 * line, sends it, and follows the operations that it becomes.  It decides
 * nothing and reads no command language: of a line it knows `exit` alone, which
 * is its own.  The terminal is the hop's while a command runs, and is put back
 * afterwards.
 */
#include "config.h"

#include "shell/interactive.h"

#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "shell/edit.h"
#include "shell/record.h"
#include "shell/relay.h"
#include "shell/request.h"

#define STATUS_INTERRUPTED (128 + SIGINT)
#define WHY_BROKER "the broker ended it, as it shows"
#define WHY_LEFT "the job was gone"
#define WORDS_MS 30000 /* for policy to say what completes a line */

#define SAY_RESTARTED                                                          \
	"postern: the broker was restarted, and this shell is over; log in "   \
	"again\n"
/* Behind ^C, or whatever the command wrote last. */
#define SAY_RESTARTED_LINE                                                     \
	"\npostern: the broker was restarted, and this shell is over; "        \
	"nothing more of this line is run; log in again\n"
#define SAY_UNRECORDED                                                         \
	"\r\npostern: the recording of this shell cannot be written, and so "  \
	"it is over; tell the bastion's admin\r\n"
#define SAY_LINE_LONG                                                          \
	"postern: not run: the line is longer than 64 KiB, which is the "      \
	"limit\n"

struct interactive {
	struct edit_hooks hooks;
	struct edit *edit;
	struct record *record;
	struct termios terminal; /* as it was found */
	struct termios quiet;    /* the same, without echo and lines */
	struct relay_shell shell;
	struct ending end; /* of the last line; of all, when it is over */
	bool over;
	char *words;     /* that completed a line */
	const char *why; /* of an end that who typed did not want; or NULL */
};

static void
say(const struct interactive *in, const char *text)
{
	record_say(in->record, text);
}

/* What a hop has made of the terminal: raw, and not waiting. */
static void
terminal_back(const struct termios *t)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int flags = fcntl(fd, F_GETFL);

		if (flags != -1 && (flags & O_NONBLOCK) != 0)
			(void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	}
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, t);
}

/* -- while a line is being typed ----------------------------------------------
 */

static void
end_here(struct interactive *in, int code, const char *why)
{
	in->end = (struct ending){ .code = code };
	in->over = true;
	in->why = why;
}

static enum edit_wait
take_signals(struct interactive *in)
{
	struct signalfd_siginfo si;
	enum edit_wait w = EDIT_RESIZED;

	while (read(in->shell.sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGINT || si.ssi_signo == SIGQUIT) {
			w = EDIT_INTERRUPT;
		} else if (si.ssi_signo == SIGWINCH) {
			record_resized(in->record);
		} else {
			end_here(in, 0, WHY_LEFT);
			in->end.signal = (int)si.ssi_signo;
			return EDIT_OVER;
		}
	}
	return w;
}

/* Policy speaks while nobody asked: the shell is over. */
static enum edit_wait
take_message(struct interactive *in)
{
	struct msg m;
	int r;

	msg_init(&m, 0);
	r = relay_between(&in->shell, 0, &m, &in->end);
	msg_clear(&m);
	if (r == 0 && !in->shell.quit)
		return EDIT_RESIZED; /* another prompt: it shows in time */
	if (r != 0)
		end_here(in, POSTERN_EX_TEMPFAIL, WHY_BROKER);
	in->over = true;
	in->why = WHY_BROKER;
	return EDIT_OVER;
}

static enum edit_wait
interactive_wait(void *arg)
{
	struct interactive *in = arg;
	struct pollfd p[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = in->shell.conn, .events = POLLIN },
		{ .fd = in->shell.sigfd, .events = POLLIN },
	};

	(void)fflush(record_stream(in->record));
	if (record_failed(in->record))
		in->over = true;
	while (!in->over) {
		if (poll(p, 3, -1) == -1) {
			if (errno == EINTR)
				continue;
			end_here(in, POSTERN_EX_TEMPFAIL, WHY_BROKER);
			return EDIT_OVER;
		}
		if (p[1].revents != 0)
			return take_message(in);
		if (p[2].revents != 0)
			return take_signals(in);
		if (p[0].revents != 0)
			return EDIT_BYTE;
	}
	return EDIT_OVER;
}

/* -- completion -------------------------------------------------------------
 */

/* A word that a terminal may be shown. */
static bool
is_shown(const char *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (w[i] <= ' ' || w[i] >= 0x7f)
			return false;
	}
	return n > 0;
}

static int
read_words(struct msg *m, char **words, size_t *np, size_t *partial)
{
	const uint8_t *w;
	uint32_t n, replaced;
	size_t len, at = 0;
	char *all;
	int r;

	if ((r = buf_get_u32(&m->body, &replaced)) != 0 ||
	    (r = buf_get_u32(&m->body, &n)) != 0)
		return r;
	if (n > PROTO_WORDS_MAX)
		return ERR_PROTO;
	if ((all = malloc(buf_len(&m->body) + n + 1)) == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		if ((r = buf_get_view(&m->body, PROTO_TEXT_MAX, &w, &len)) != 0)
			break;
		if (!is_shown((const char *)w, len) || len < replaced) {
			r = ERR_PROTO;
			break;
		}
		memcpy(all + at, w, len);
		all[at + len] = '\0';
		at += len + 1;
	}
	if (r == 0)
		r = msg_end(m);
	if (r != 0) {
		free(all);
		return r;
	}
	free(*words);
	*words = all;
	*np = n;
	*partial = replaced;
	return 0;
}

static size_t
interactive_complete(
    void *arg, const char *text, size_t n, const char **words, size_t *partial)
{
	struct interactive *in = arg;
	struct msg q, a;
	size_t found = 0;
	int r;

	if (n > PROTO_COMMAND_MAX || in->over)
		return 0;
	msg_init(&q, MSG_WORDS);
	msg_init(&a, 0);
	if ((r = buf_put_str(&q.body, text, n)) == 0)
		r = msg_send(in->shell.conn, &q);
	while (r == 0 && a.type != MSG_WORDS_ARE && !in->shell.quit) {
		msg_clear(&a);
		if ((r = msg_wait(
			 in->shell.conn, POLLIN, msg_now_ms() + WORDS_MS)) == 0)
			r = relay_between(
			    &in->shell, MSG_WORDS_ARE, &a, &in->end);
	}
	if (r == 0 && !in->shell.quit)
		r = read_words(&a, &in->words, &found, partial);
	if (r != 0 || in->shell.quit) { /* seen by the next wait */
		in->over = true;
		in->why = WHY_BROKER;
	}
	if (r != 0)
		in->end = (struct ending){ .code = POSTERN_EX_TEMPFAIL };
	msg_clear(&q);
	msg_clear(&a);
	*words = in->words;
	return found;
}

/* -- a line -------------------------------------------------------------------
 */

/* `exit`, `exit N`, `logout`: *code stays what it is without a number. */
static bool
is_exit(const char *line, size_t n, int *code)
{
	static const char *const word[] = { "exit", "logout" };
	char text[16];
	uint64_t status;
	const char *at;

	while (n > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		n--;
	}
	while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	if (n >= sizeof(text))
		return false;
	memcpy(text, line, n);
	text[n] = '\0';
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		size_t len = strlen(word[i]);

		if (strncmp(text, word[i], len) != 0)
			continue;
		at = text + len;
		if (*at == '\0')
			return true;
		at += strspn(at, " \t");
		if (at == text + len || num_parse(at, 0, 255, &status) != 0)
			continue;
		*code = (int)status;
		return true;
	}
	return false;
}

static int
send_line(const struct interactive *in, const char *line, size_t n)
{
	struct winsize ws = { 0 };
	struct msg m;
	int r;

	(void)ioctl(STDIN_FILENO, TIOCGWINSZ, &ws);
	msg_init(&m, MSG_LINE);
	if ((r = buf_put_str(&m.body, line, n)) == 0 &&
	    (r = buf_put_u32(&m.body, ws.ws_col)) == 0 &&
	    (r = buf_put_u32(&m.body, ws.ws_row)) == 0)
		r = msg_send(in->shell.conn, &m);
	msg_clear(&m);
	return r;
}

/* What was sent is followed to its ANSWER; r: it was not sent.  lost: what is
 * said when there is none. */
static void
interactive_follow(struct interactive *in, int r, const char *lost)
{
	if (r == 0)
		r = relay_line(&in->shell, &in->end);
	terminal_back(&in->quiet);
	if (in->end.code == STATUS_INTERRUPTED)
		say(in, "\n"); /* behind ^C */
	if (r == 0) {
		relay_tell(&in->shell);
		in->over = in->shell.quit;
		if (in->over)
			in->why = in->end.signal != 0 ? WHY_LEFT : WHY_BROKER;
		return;
	}
	say(in, lost);
	end_here(in, POSTERN_EX_TEMPFAIL, WHY_BROKER);
}

/* Out of the shell; or out of a target, and back to where it was entered. */
static void
interactive_leave(struct interactive *in)
{
	const struct ending last = in->end;
	struct msg m;

	if (!in->shell.inner) {
		in->over = true;
		return;
	}
	in->end = (struct ending){ .code = 0 };
	msg_init(&m, MSG_LEAVE);
	interactive_follow(in, msg_send(in->shell.conn, &m), SAY_RESTARTED);
	msg_clear(&m);
	if (!in->over)
		in->end = last;
}

static void
interactive_line(struct interactive *in, const char *line, size_t n)
{
	if (line[strspn(line, " \t")] == '\0' || n == 0)
		return;
	if (is_exit(line, n, &in->end.code)) {
		interactive_leave(in);
		return;
	}
	if (n > PROTO_COMMAND_MAX) {
		say(in, SAY_LINE_LONG);
		in->end = (struct ending){ .code = POSTERN_EX_USAGE };
		return;
	}
	record_line(in->record, line, n);
	if (!record_failed(in->record)) /* or it is not run */
		interactive_follow(
		    in, send_line(in, line, n), SAY_RESTARTED_LINE);
}

/* -- its life
 * ------------------------------------------------------------------- */

int
interactive_new(const struct request *q, struct interactive **out)
{
	struct interactive *in = calloc(1, sizeof(*in));
	int r = ERR_NOMEM;

	if (in == NULL)
		return r;
	in->hooks = (struct edit_hooks){ .wait = interactive_wait,
		.complete = interactive_complete,
		.arg = in };
	r = ERR_SYS;
	if (tcgetattr(STDIN_FILENO, &in->terminal) == -1 ||
	    (r = record_new(&in->record)) != 0 ||
	    (r = edit_new(q->term, record_stream(in->record), &in->hooks,
		 &in->edit)) != 0)
		goto out;
	in->quiet = in->terminal;
	in->quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON);
	*out = in;
	in = NULL;
	r = 0;
out:
	interactive_free(in);
	return r;
}

void
interactive_free(struct interactive *in)
{
	if (in == NULL)
		return;
	edit_free(in->edit);
	record_free(in->record);
	free(in->words);
	free(in);
}

static void
interactive_open(struct interactive *in)
{
	if (relay_opened(&in->shell, &in->end) != 0) {
		(void)write_all(
		    STDERR_FILENO, SAY_RESTARTED, sizeof(SAY_RESTARTED) - 1);
		end_here(in, POSTERN_EX_TEMPFAIL, WHY_BROKER);
	} else if (in->shell.quit) {
		relay_tell(&in->shell);
		in->over = true;
		in->why = WHY_BROKER;
	}
}

static void
interactive_step(struct interactive *in)
{
	const char *line = NULL;
	size_t n = 0;

	switch (edit_line(in->edit, in->shell.prompt, &line, &n)) {
	case EDIT_LINE:
		interactive_line(in, line, n);
		break;
	case EDIT_DROPPED:
		in->end = (struct ending){ .code = STATUS_INTERRUPTED };
		break;
	case EDIT_END:
		say(in, "\n");
		interactive_leave(in);
		break;
	case EDIT_LEFT:
		say(in, "\n");
		if (in->shell.told)
			relay_tell(&in->shell);
		else if (in->end.signal == 0)
			say(in, SAY_RESTARTED);
		in->over = true;
		break;
	}
}

void
interactive_run(struct interactive *in, int conn, int sigfd, struct ending *e)
{
	in->shell = (struct relay_shell){
		.conn = conn, .sigfd = sigfd, .record = in->record
	};
	relay_forget(&in->shell);
	interactive_open(in);
	while (!in->over && !record_failed(in->record))
		interactive_step(in);
	if (record_failed(in->record)) {
		(void)write_all(
		    STDERR_FILENO, SAY_UNRECORDED, sizeof(SAY_UNRECORDED) - 1);
		in->end = (struct ending){ .code = POSTERN_EX_IOERR };
	}
	record_end(in->record, &in->end, in->why);
	terminal_back(&in->terminal);
	*e = in->end;
}
