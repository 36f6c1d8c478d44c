/*
 * The recording's reader.  Runs in the command line, as the auditor, on a file
 * whose text a target chose: lines, sizes and times are bounded, a line that
 * is no event is reported and skipped.
 */
#include "config.h"

#include "audit/castread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/err.h"

#define CASTREAD_BLOCK (64 * 1024)
#define CASTREAD_SIZE_MAX 100000 /* columns, rows: a sane file's at most */

struct castread {
	int fd;
	uint8_t *d;      /* CASTREAD_LINE_MAX bytes */
	size_t from, to; /* unread bytes in it */
	bool eof, cut;
	bool skipping; /* inside a line that is too long */
	uint64_t last_us;
	struct castread_header header;
	json_t *event; /* owns what the last event points to */
};

/* -- lines --------------------------------------------------------------- */

static int
castread_fill(struct castread *cr)
{
	ssize_t n;
	size_t room;

	if (cr->from > 0) {
		memmove(cr->d, cr->d + cr->from, cr->to - cr->from);
		cr->to -= cr->from;
		cr->from = 0;
	}
	room = CASTREAD_LINE_MAX - cr->to;
	if (room > CASTREAD_BLOCK)
		room = CASTREAD_BLOCK;
	do {
		n = read(cr->fd, cr->d + cr->to, room);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return ERR_SYS;
	if (n == 0)
		cr->eof = true;
	cr->to += (size_t)n;
	return 0;
}

/* A whole line without its newline, until the next call. */
static int
castread_line(struct castread *cr, const char **line, size_t *len)
{
	const uint8_t *p, *nl;
	bool skipped;
	int r;

	for (;;) {
		p = cr->d + cr->from;
		nl = memchr(p, '\n', cr->to - cr->from);
		if (nl != NULL) {
			*line = (const char *)p;
			*len = (size_t)(nl - p);
			cr->from += *len + 1;
			skipped = cr->skipping;
			cr->skipping = false;
			return skipped ? ERR_TOOBIG : 0;
		}
		if (cr->eof) {
			cr->cut = cr->cut || cr->to > cr->from;
			cr->from = cr->to;
			return ERR_NOTFOUND;
		}
		if (cr->to - cr->from == CASTREAD_LINE_MAX) {
			cr->skipping = true;
			cr->from = cr->to;
		}
		if ((r = castread_fill(cr)) != 0)
			return r;
	}
}

/* -- the header ---------------------------------------------------------- */

static int
castread_size(const json_t *o, const char *key, uint32_t *n)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 1 ||
	    json_integer_value(v) > CASTREAD_SIZE_MAX)
		return ERR_FORMAT;
	*n = (uint32_t)json_integer_value(v);
	return 0;
}

static int
castread_header_fields(const json_t *o, struct castread_header *h)
{
	const json_t *t = json_object_get(o, "timestamp"),
		     *own = json_object_get(o, "postern"),
		     *clock = json_object_get(own, "clock_us");
	const char *title = json_string_value(json_object_get(o, "title"));

	if (json_integer_value(json_object_get(o, "version")) != 2 ||
	    castread_size(o, "width", &h->columns) != 0 ||
	    castread_size(o, "height", &h->rows) != 0)
		return ERR_FORMAT;
	h->timestamp = json_is_integer(t) && json_integer_value(t) > 0
			   ? (uint64_t)json_integer_value(t)
			   : 0;
	h->pty = !json_is_false(json_object_get(own, "pty"));
	h->shell = json_is_true(json_object_get(own, "shell"));
	h->clock_us = json_is_integer(clock) && json_integer_value(clock) > 0
			  ? (uint64_t)json_integer_value(clock)
			  : 0;
	if (title == NULL)
		return 0;
	if (strlen(title) > CASTREAD_TEXT_MAX)
		return ERR_FORMAT;
	h->title = strdup(title);
	return h->title == NULL ? ERR_NOMEM : 0;
}

static int
castread_read_header(struct castread *cr)
{
	const char *line;
	json_t *o = NULL;
	size_t n;
	int r;

	if ((r = castread_line(cr, &line, &n)) != 0)
		return r == ERR_SYS ? r : ERR_FORMAT;
	o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	r = json_is_object(o) ? castread_header_fields(o, &cr->header)
			      : ERR_FORMAT;
	json_decref(o);
	return r;
}

int
castread_open(int fd, struct castread **crp)
{
	struct castread *cr;
	int r = ERR_NOMEM;

	if ((cr = calloc(1, sizeof(*cr))) == NULL)
		return ERR_NOMEM;
	cr->fd = fd;
	if ((cr->d = malloc(CASTREAD_LINE_MAX)) == NULL)
		goto out;
	r = castread_read_header(cr);
out:
	if (r != 0) {
		castread_free(cr);
		return r;
	}
	*crp = cr;
	return 0;
}

void
castread_free(struct castread *cr)
{
	if (cr == NULL)
		return;
	json_decref(cr->event);
	free(cr->header.title);
	free(cr->d);
	free(cr);
}

const struct castread_header *
castread_header(const struct castread *cr)
{
	return &cr->header;
}

bool
castread_cut(const struct castread *cr)
{
	return cr->cut;
}

/* -- events -------------------------------------------------------------- */

/* Seconds to microseconds within 0..CASTREAD_TIME_MAX. */
static uint64_t
castread_time(double s)
{
	double us = s * 1e6 + 0.5;

	if (!(us > 0)) /* NaN, too */
		return 0;
	if (us >= (double)CASTREAD_TIME_MAX)
		return CASTREAD_TIME_MAX;
	return (uint64_t)us;
}

static int
castread_event(struct castread *cr, const json_t *a, struct castread_event *ev)
{
	const json_t *t = json_array_get(a, 0), *c = json_array_get(a, 1),
		     *d = json_array_get(a, 2);
	uint64_t us;

	if (json_array_size(a) != 3 || !json_is_number(t) ||
	    !json_is_string(c) || json_string_length(c) != 1 ||
	    !json_is_string(d))
		return ERR_FORMAT;
	us = castread_time(json_number_value(t));
	if (us < cr->last_us)
		us = cr->last_us; /* time does not run backwards */
	cr->last_us = us;
	*ev = (struct castread_event){
		.at_us = us,
		.code = json_string_value(c)[0],
		.data = (const uint8_t *)json_string_value(d),
		.len = json_string_length(d),
	};
	return 0;
}

int
castread_next(struct castread *cr, struct castread_event *ev)
{
	const char *line;
	size_t n = 0;
	int r;

	json_decref(cr->event);
	cr->event = NULL;
	do {
		if ((r = castread_line(cr, &line, &n)) != 0)
			return r;
	} while (n == 0);
	cr->event =
	    json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (cr->event == NULL)
		return ERR_FORMAT;
	return castread_event(cr, cr->event, ev);
}
