/*
 * The broker shell's own recording.  Runs in postern-shell, confined: libedit
 * writes to a stream of ours, everything else comes by record_show, and both
 * write to the recording before the terminal.  What was typed is untrusted
 * text; a marker holds it escaped and cut.
 *
 * Commands' output does not pass here: it is their hops', and in their
 * recordings.
 */
#include "config.h"

#include "shell/record.h"

#include <sys/ioctl.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "audit/cast.h"
#include "audit/sidecar.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "shell/relay.h"

#define RECORD_PIECE 1024 /* bytes shown by one event */
#define RECORD_TEXT_MAX 400
#define RECORD_OUT_SIZE 4096

struct record {
	FILE *out;
	int fd, side; /* -1: not there yet */
	bool failed;
	uint64_t lines;
	struct cast cast;
	char buffer[RECORD_OUT_SIZE]; /* out's, so that it asks for none */
};

/* -- what is shown ----------------------------------------------------------
 */

static bool
is_no_room(struct record *rec, int r)
{
	if (r != 0)
		rec->failed = true;
	return rec->failed;
}

/* Does the terminal make "\r\n" of "\n" now? */
static bool
adds_cr(void)
{
	const tcflag_t both = OPOST | ONLCR;
	struct termios t;

	return tcgetattr(STDOUT_FILENO, &t) == 0 && (t.c_oflag & both) == both;
}

/* As the terminal will have it. */
static int
put_piece(struct record *rec, const char *p, size_t n, bool cr)
{
	char d[2 * RECORD_PIECE];
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (cr && p[i] == '\n')
			d[k++] = '\r';
		d[k++] = p[i];
	}
	return cast_output(&rec->cast, CAST_OUT, d, k);
}

void
record_show(struct record *rec, int fd, const void *p, size_t n)
{
	const char *s = p;
	bool cr = adds_cr();
	size_t k;

	while (n > 0 && rec->fd != -1 && !rec->failed) {
		k = n > RECORD_PIECE ? RECORD_PIECE : n;
		if (is_no_room(rec, put_piece(rec, s, k, cr)))
			return;
		/* A client that has gone is seen elsewhere. */
		(void)write_all(fd, s, k);
		s += k;
		n -= k;
	}
}

void
record_say(struct record *rec, const char *text)
{
	record_show(rec, STDERR_FILENO, text, strlen(text));
}

/* The stream's: all of it is taken, or the stream would keep it. */
static ssize_t
stream_write(void *arg, const char *p, size_t n)
{
	record_show(arg, STDOUT_FILENO, p, n);
	return (ssize_t)n;
}

FILE *
record_stream(struct record *rec)
{
	return rec->out;
}

static bool
get_size(struct winsize *w)
{
	return ioctl(STDIN_FILENO, TIOCGWINSZ, w) == 0 && w->ws_col != 0 &&
	       w->ws_row != 0;
}

void
record_resized(struct record *rec)
{
	struct winsize w;

	if (rec->fd != -1 && !rec->failed && get_size(&w))
		(void)is_no_room(
		    rec, cast_resize(&rec->cast, w.ws_col, w.ws_row));
}

/* -- markers ----------------------------------------------------------------
 */

static int
put_label(struct buf *b, uint64_t number, const char *line, size_t n)
{
	int r = buf_putf(b, "line %" PRIu64 ": ", number);

	for (size_t i = 0; i < n && r == 0 && buf_len(b) < CAST_LABEL_MAX;
	     i++) {
		uint8_t c = (uint8_t)line[i];

		if (c >= 0x20 && c != 0x7f && c != '\\')
			r = buf_put_u8(b, c);
		else
			r = buf_putf(b, "\\x%02x", (unsigned int)c);
	}
	return r != 0 ? r : buf_put_u8(b, '\0');
}

void
record_line(struct record *rec, const char *line, size_t n)
{
	struct buf b;
	int r;

	if (rec->fd == -1 || rec->failed)
		return;
	buf_init(&b, CAST_LABEL_MAX + 16);
	if ((r = put_label(&b, ++rec->lines, line, n)) == 0)
		r = cast_marker(&rec->cast, (const char *)buf_ptr(&b));
	buf_clear(&b);
	(void)is_no_room(rec, r);
}

/* -- its life ---------------------------------------------------------------
 */

int
record_new(struct record **out)
{
	static const cookie_io_functions_t io = { .write = stream_write };
	struct record *rec = calloc(1, sizeof(*rec));

	if (rec == NULL)
		return ERR_NOMEM;
	rec->fd = rec->side = -1;
	if ((rec->out = fopencookie(rec, "w", io)) == NULL ||
	    setvbuf(rec->out, rec->buffer, _IOFBF, sizeof(rec->buffer)) != 0) {
		record_free(rec);
		return ERR_NOMEM;
	}
	*out = rec;
	return 0;
}

void
record_free(struct record *rec)
{
	if (rec == NULL)
		return;
	if (rec->out != NULL)
		(void)fclose(rec->out);
	cast_clear(&rec->cast);
	if (rec->fd != -1)
		(void)close(rec->fd);
	if (rec->side != -1)
		(void)close(rec->side);
	free(rec);
}

bool
record_taken(const struct record *rec)
{
	return rec->fd != -1;
}

bool
record_failed(const struct record *rec)
{
	return rec->failed;
}

int
record_take(struct record *rec, struct msg *m)
{
	char id[PROTO_ID_LEN + 1], session[PROTO_ID_LEN + 1];
	char target[RECORD_TEXT_MAX], term[RECORD_TEXT_MAX];
	char title[RECORD_TEXT_MAX];
	struct winsize w = { 0 };
	struct cast_header h = { .pty = true,
		.shell = true,
		.term = term,
		.title = title,
		.operation = id,
		.session = session,
		.target = target };
	int r;

	if (rec->fd != -1)
		return ERR_PROTO;
	if ((r = buf_get_fixed(&m->body, id, sizeof(id))) != 0 ||
	    (r = buf_get_fixed(&m->body, session, sizeof(session))) != 0 ||
	    (r = buf_get_fixed(&m->body, target, sizeof(target))) != 0 ||
	    (r = buf_get_fixed(&m->body, term, sizeof(term))) != 0 ||
	    (r = buf_get_fixed(&m->body, title, sizeof(title))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	rec->fd = msg_take_fd(m, 0);
	rec->side = msg_take_fd(m, 1);
	if (get_size(&w)) {
		h.columns = w.ws_col;
		h.rows = w.ws_row;
	}
	(void)is_no_room(rec, cast_start(&rec->cast, rec->fd, &h));
	return 0;
}

void
record_end(struct record *rec, const struct ending *e, const char *why)
{
	struct sidecar_hop h = { .reason = why };
	uint32_t status =
	    (uint32_t)(e->signal != 0 ? 128 + e->signal : e->code);

	if (rec->fd == -1)
		return;
	if (rec->failed)
		h.reason = "the recording cannot be written";
	else
		(void)is_no_room(rec, cast_exit(&rec->cast, status));
	h.has_exit = h.reason == NULL;
	h.exit = status & 0xff;
	h.duration_ms = cast_elapsed_us(&rec->cast) / 1000;
	/* Without it the state is `interrupted', which is true, too. */
	(void)sidecar_hop_write(rec->side, &h);
}
