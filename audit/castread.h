/*
 * Reading a recording (asciicast v2), line by line and bounded.  The file was
 * written by a hop and holds what a target sent: nothing in it is believed
 * but its form.  A last line without its newline (its writer was killed) is
 * left out and reported.
 */
#ifndef POSTERN_AUDIT_CASTREAD_H
#define POSTERN_AUDIT_CASTREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define CASTREAD_LINE_MAX (256 * 1024)
#define CASTREAD_TEXT_MAX 1000 /* bytes of a title, more is refused */
#define CASTREAD_TIME_MAX (366ULL * 86400 * 1000000) /* microseconds */

struct castread_header {
	uint32_t columns, rows;
	uint64_t timestamp; /* seconds since 1970, 0: unknown */
	bool pty;           /* postern's own key; true when it is missing */
	bool shell;         /* likewise, false: a broker shell's own */
	uint64_t clock_us;  /* likewise, 0: CLOCK_MONOTONIC at its start */
	char *title;        /* NULL: none */
};

struct castread_event {
	uint64_t at_us;      /* since the start; never before the last */
	char code;           /* 'o' output, 'r' resize, 'm' marker, 'x' exit;
			      * others are to be ignored */
	const uint8_t *data; /* until the next call; UTF-8, may hold NUL */
	size_t len;
};

struct castread; /* opaque */

/* Reads the header of fd (at its offset; borrowed, must stay open).
 * ERR_FORMAT: not an asciicast v2. */
int castread_open(int fd, struct castread **crp);
void castread_free(struct castread *cr);
const struct castread_header *castread_header(const struct castread *cr);

/* The next event.  ERR_NOTFOUND: the end.  ERR_FORMAT, ERR_TOOBIG: a line that
 * is no event or too long; it was skipped, the caller may go on. */
int castread_next(struct castread *cr, struct castread_event *ev);
/* The file ended in a line that was cut off. */
bool castread_cut(const struct castread *cr);

#endif
