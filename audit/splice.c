/*
 * A shell's recording and its operations', as one.  Runs in the command line,
 * as the auditor, on files whose text targets and typists chose: castread takes
 * them apart, here they are put in order alone.
 *
 * A part is due when the marker of its line has passed, and then its events
 * stand where the clock has them, but before the next line's marker: a hop or a
 * shell that somebody owns has written into its header what he liked, and MUST
 * NOT move what others did.  One whose clock is not known (a header that audit
 * had to write) begins where it is due.
 */
#include "config.h"

#include "audit/splice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"

#define SPLICE_MARKER "line "

struct splice {
	struct castread *shell;
	struct castread_event ahead; /* of the shell, not passed on yet */
	bool has_ahead, over;        /* over: the shell has no more */
	const struct splice_parts *parts;
	size_t at; /* of the parts: the next one, or the open one */
	int fd;    /* of the open one; -1: none */
	struct castread *part;
	struct castread_event part_ahead;
	bool has_part_ahead;
	uint64_t part_us; /* its start, on the shell's time line */
	uint64_t line, last_us;
	bool plain, cut;
	char text[SPLICE_TEXT_MAX];
};

int
splice_open(int fd, const struct splice_parts *parts, struct splice **sp)
{
	struct splice *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return ERR_NOMEM;
	s->parts = parts;
	s->fd = -1;
	if ((r = castread_open(fd, &s->shell)) != 0) {
		splice_free(s);
		return r;
	}
	*sp = s;
	return 0;
}

static void
part_close(struct splice *s)
{
	if (s->part != NULL)
		s->cut |= castread_cut(s->part);
	castread_free(s->part);
	s->part = NULL;
	s->has_part_ahead = false;
	if (s->fd != -1)
		(void)close(s->fd);
	s->fd = -1;
}

void
splice_free(struct splice *s)
{
	if (s == NULL)
		return;
	part_close(s);
	castread_free(s->shell);
	free(s);
}

const struct castread_header *
splice_header(const struct splice *s)
{
	return castread_header(s->shell);
}

bool
splice_is_plain(const struct splice *s)
{
	return s->plain;
}

uint64_t
splice_line(const struct splice *s)
{
	return s->line;
}

bool
splice_cut(const struct splice *s)
{
	return s->cut || castread_cut(s->shell);
}

/* "line 12: ", as postern-shell marks a line. */
static bool
marks_line(const struct castread_event *ev, uint64_t *line)
{
	const size_t len = sizeof(SPLICE_MARKER) - 1;
	uint64_t n = 0;
	size_t i;

	if (ev->code != 'm' || ev->len <= len ||
	    memcmp(ev->data, SPLICE_MARKER, len) != 0)
		return false;
	for (i = len; i < ev->len && i < len + 18; i++) {
		if (ev->data[i] < '0' || ev->data[i] > '9')
			break;
		n = n * 10 + (uint64_t)(ev->data[i] - '0');
	}
	if (i == len || i == ev->len || ev->data[i] != ':')
		return false;
	*line = n;
	return true;
}

/* What stands in place of a recording. */
static void
put_text(struct splice *s, struct castread_event *ev)
{
	s->plain = false;
	*ev = (struct castread_event){ .at_us = s->last_us,
		.code = 'o',
		.data = (const uint8_t *)s->text,
		.len = strlen(s->text) };
}

/* Opens the next part, if it is due.  *told: there is none, and ev says so. */
static int
part_open(struct splice *s, struct castread_event *ev, bool *told)
{
	uint64_t base = splice_header(s)->clock_us, clock, line;
	int r;

	*told = false;
	if (s->part != NULL || s->at == s->parts->n)
		return 0;
	line = s->parts->line(s->parts->arg, s->at);
	if (!s->over && line > s->line)
		return 0;
	if (line > s->line) /* the shell did not mark it */
		s->line = line;
	s->text[0] = '\0';
	r = s->parts->open(s->parts->arg, s->at++, &s->fd, s->text);
	if (r != 0)
		return r;
	if (s->fd != -1 && (r = castread_open(s->fd, &s->part)) != 0) {
		part_close(s);
		return r; /* a line that is damaged: the caller goes on */
	}
	if (s->part == NULL) {
		*told = s->text[0] != '\0';
		if (*told)
			put_text(s, ev);
		return 0;
	}
	clock = castread_header(s->part)->clock_us;
	s->part_us = clock < base || base == 0 ? s->last_us : clock - base;
	if (s->part_us > CASTREAD_TIME_MAX)
		s->part_us = CASTREAD_TIME_MAX;
	return 0;
}

/* Reads ahead in both.  ERR_FORMAT, ERR_TOOBIG: a damaged line. */
static int
look_ahead(struct splice *s)
{
	int r;

	if (!s->has_ahead && !s->over) {
		if ((r = castread_next(s->shell, &s->ahead)) == 0)
			s->has_ahead = true;
		else if (r == ERR_NOTFOUND)
			s->over = true;
		else
			return r;
	}
	if (s->part == NULL || s->has_part_ahead)
		return 0;
	if ((r = castread_next(s->part, &s->part_ahead)) == ERR_NOTFOUND) {
		part_close(s);
		return 0;
	}
	if (r != 0)
		return r;
	s->part_ahead.at_us += s->part_us;
	s->has_part_ahead = true;
	return 0;
}

/* The next line begins with the shell's next event. */
static bool
ends_line(const struct splice *s)
{
	uint64_t line;

	return marks_line(&s->ahead, &line) && line > s->line;
}

static bool
part_is_next(const struct splice *s)
{
	return s->has_part_ahead &&
	       (!s->has_ahead || s->part_ahead.at_us <= s->ahead.at_us ||
		   ends_line(s));
}

static void
take_part(struct splice *s, struct castread_event *ev)
{
	*ev = s->part_ahead;
	if (s->has_ahead && ev->at_us > s->ahead.at_us)
		ev->at_us = s->ahead.at_us;
	s->has_part_ahead = false;
	s->plain = !castread_header(s->part)->pty;
	if (ev->code == 'x') /* the shell goes on */
		ev->code = 'X';
}

static void
take_shell(struct splice *s, struct castread_event *ev)
{
	uint64_t line;

	*ev = s->ahead;
	s->has_ahead = false;
	s->plain = false;
	if (marks_line(ev, &line) && line > s->line)
		s->line = line;
}

int
splice_next(struct splice *s, struct castread_event *ev)
{
	bool told;
	int r;

	do {
		if ((r = part_open(s, ev, &told)) != 0)
			return r;
		if (told)
			return 0;
		if ((r = look_ahead(s)) != 0)
			return r;
		/* one that has just ended may have another behind it */
	} while (s->part == NULL && s->at < s->parts->n &&
		 (s->over || s->parts->line(s->parts->arg, s->at) <= s->line));
	if (part_is_next(s))
		take_part(s, ev);
	else if (s->has_ahead)
		take_shell(s, ev);
	else
		return ERR_NOTFOUND;
	if (ev->at_us < s->last_us)
		ev->at_us = s->last_us;
	s->last_us = ev->at_us;
	return 0;
}
