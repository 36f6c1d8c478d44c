/*
 * What is typed for a command that reads the job's terminal without having it:
 * `with stdin` and no `pty`, in a broker shell.  At the target that is a pipe,
 * so there is nobody who shows what is typed, and the bastion's own terminal
 * must not: what the kernel echoes, nobody can record.  So its lines are put
 * together here, as a terminal does it (termios(3), ICANON and ECHO): what is
 * typed is recorded, then shown, and goes to the target when the line is
 * complete.  Runs in the hop, confined.  Distrusts the job.
 *
 * Signals stay the kernel's: Ctrl-C does not come here, but by postern-shell.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <termios.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

#define TAB_COLUMNS 8 /* the widest of what one byte becomes */
#define ERASE "\b \b"
#define RUBOUT (sizeof(ERASE) - 1)

/* All that one piece can show fits into what a sink takes at once: it erases
 * what there is, at most. */
_Static_assert((HOP_LINE_MAX + HOP_TYPED_MAX) * TAB_COLUMNS * RUBOUT +
		       HOP_TYPED_MAX * TAB_COLUMNS <=
		   CONN_CHUNK,
    "what is shown fits");

void
hop_typed_start(struct hop *h)
{
	struct termios t;

	if (h->run.pty || !h->run.take_stdin || h->files != NULL ||
	    tcgetattr(h->run.in, &t) != 0)
		return;
	h->tty = t;
	h->tty_known = true;
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	/* else it is the kernel's terminal, and shows nothing */
	h->typed.on = tcsetattr(h->run.in, TCSANOW, &t) == 0;
}

/* Not while something waits to be shown, and not what would find no room. */
bool
hop_typed_wants(const struct hop *h)
{
	return h->sink[CONN_ERR].npending == 0 &&
	       conn_room(h->conn) >= HOP_LINE_MAX + HOP_TYPED_MAX;
}

void
hop_typed_drop(struct hop *h)
{
	h->typed.n = 0;
}

/* -- its line ---------------------------------------------------------------
 */

static bool
is_key(const struct hop *h, int which, uint8_t c)
{
	return c != _POSIX_VDISABLE && h->tty.c_cc[which] == c;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Characters of two columns, and those that stand on the one before, as wcwidth
 * has them; those that are common. */
static const struct range {
	uint32_t from, to;
} wide[] = { { 0x1100, 0x115f }, { 0x2e80, 0x303e }, { 0x3041, 0xa4cf },
	{ 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f },
	{ 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f },
	{ 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd } },
  combining[] = { { 0x300, 0x36f }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
	  { 0x200b, 0x200f }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f },
	  { 0xfe20, 0xfe2f } };

static bool
is_among(uint32_t cp, const struct range *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (cp >= r[i].from && cp <= r[i].to)
			return true;
	}
	return false;
}

/* Columns that it takes behind `at` of them. */
static size_t
width_of(uint32_t cp, size_t at)
{
	if (cp == '\t')
		return TAB_COLUMNS - at % TAB_COLUMNS;
	if (cp < ' ' || cp == 0x7f)
		return 2; /* "^X" */
	if (is_among(cp, combining, sizeof(combining) / sizeof(*combining)))
		return 0;
	return is_among(cp, wide, sizeof(wide) / sizeof(*wide)) ? 2 : 1;
}

/* The character at i, or what is none: its length, and its columns. */
static size_t
line_next(const struct hop_typed *t, size_t i, size_t at, size_t *width)
{
	uint32_t cp;
	size_t len = utf8_next(t->line + i, t->n - i, &cp);

	*width = len > 0                       ? width_of(cp, at)
		 : (t->line[i] & 0xc0) == 0x80 ? 0
					       : 1;
	return len > 0 ? len : 1;
}

static size_t
line_width(const struct hop_typed *t, size_t n)
{
	size_t at = 0, width;

	for (size_t i = 0; i < n; at += width)
		i += line_next(t, i, at, &width);
	return at;
}

/* Where its last character begins, with what stands on it. */
static size_t
line_character(const struct hop_typed *t)
{
	size_t n = t->n, width;

	do {
		while (n > 0 && (t->line[n - 1] & 0xc0) == 0x80)
			n--;
		n -= n > 0;
		(void)line_next(t, n, 0, &width);
	} while (n > 0 && width == 0);
	return n;
}

static size_t
line_word(const struct hop_typed *t)
{
	size_t n = t->n;

	while (n > 0 && is_blank(t->line[n - 1]))
		n--;
	while (n > 0 && !is_blank(t->line[n - 1]))
		n--;
	return n;
}

static int
line_cut(struct hop_typed *t, size_t n, struct buf *echo)
{
	size_t columns = line_width(t, t->n) - line_width(t, n);
	int r = 0;

	t->n = n;
	while (columns-- > 0 && r == 0)
		r = buf_put(echo, ERASE, RUBOUT);
	return r;
}

static int
put_echo(struct buf *echo, uint8_t c, size_t at)
{
	if (c == '\t')
		return buf_putf(echo, "%*s", (int)width_of(c, at), "");
	if (c != '\n' && (c < ' ' || c == 0x7f))
		return buf_putf(echo, "^%c", c ^ 0x40);
	return buf_put_u8(echo, c);
}

static int
line_add(struct hop_typed *t, uint8_t c, struct buf *echo)
{
	size_t at = c == '\t' ? line_width(t, t->n) : 0;

	t->line[t->n++] = c;
	return put_echo(echo, c, at);
}

/* -- typing -----------------------------------------------------------------
 */

/* What a piece of typing comes to. */
struct piece {
	struct buf echo, lines;
	bool end; /* Ctrl-D where there is no line: of the input */
};

/* The line is complete, or goes as it is. */
static int
piece_line(struct piece *p, struct hop_typed *t)
{
	int r = buf_put(&p->lines, t->line, t->n);

	t->n = 0;
	return r;
}

static int
piece_byte(struct piece *p, struct hop *h, uint8_t c)
{
	struct hop_typed *t = &h->typed;
	int r;

	/* typed ahead, while the line editor had the terminal */
	if (c == '\r' && (h->tty.c_iflag & ICRNL) != 0)
		c = '\n';
	if (is_key(h, VEOF, c)) {
		p->end = t->n == 0;
		return piece_line(p, t);
	}
	if (is_key(h, VERASE, c))
		return line_cut(t, line_character(t), &p->echo);
	if (is_key(h, VWERASE, c))
		return line_cut(t, line_word(t), &p->echo);
	if (is_key(h, VKILL, c))
		return line_cut(t, 0, &p->echo);
	if ((r = line_add(t, c, &p->echo)) != 0)
		return r;
	/* What is longer goes in pieces: none of it is lost. */
	return c == '\n' || t->n == sizeof(t->line) ? piece_line(p, t) : 0;
}

/* Byte by byte: what comes behind the end of the input is for the next prompt.
 * ERR_NOTFOUND: the terminal is gone. */
static int
piece_read(struct piece *p, struct hop *h)
{
	uint8_t c;
	int r = 0;

	for (size_t i = 0; i < HOP_TYPED_MAX && !p->end && r == 0; i++) {
		ssize_t n = read(h->run.in, &c, 1);

		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n != 1)
			return ERR_NOTFOUND;
		r = piece_byte(p, h, c);
	}
	return r;
}

void
hop_typed_stdin(struct hop *h)
{
	struct piece p = { .end = false };
	int r;

	buf_init(&p.echo, CONN_CHUNK);
	buf_init(&p.lines, HOP_LINE_MAX + HOP_TYPED_MAX);
	if ((r = piece_read(&p, h)) == ERR_NOTFOUND)
		hop_reader_gone(h, EIO);
	else if (r != 0)
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "stopped: what was typed cannot be shown: %s", err_text(r));
	/* MUST be recorded, and shown, before it can do anything. */
	if (buf_len(&p.echo) > 0)
		hop_show_typed(h, buf_ptr(&p.echo), buf_len(&p.echo));
	if (buf_len(&p.lines) > 0)
		hop_relay_pass(h, buf_ptr(&p.lines), buf_len(&p.lines));
	if (p.end)
		hop_relay_eof(h);
	buf_clear(&p.echo);
	buf_clear(&p.lines);
}
