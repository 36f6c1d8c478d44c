/*
 * A broker shell as one time line: its own recording, and those of its lines'
 * operations where they ran.  All of them come from one host, and are ordered
 * by its monotonic clock, whatever was done to the wall clock meanwhile.
 */
#ifndef POSTERN_AUDIT_SPLICE_H
#define POSTERN_AUDIT_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/castread.h"

#define SPLICE_TEXT_MAX 300 /* bytes of what stands in place of a recording */

/* The operations, in the order in which they began.  A recording is opened
 * when its line is there, and closed at its end: one at a time. */
struct splice_parts {
	size_t n;
	/* The line of the shell that the i-th is of. */
	uint64_t (*line)(void *arg, size_t i);
	/* Its recording, which is the splice's then; or -1, and what is shown
	 * instead in text ("": nothing).  An error ends all of it. */
	int (*open)(void *arg, size_t i, int *fdp, char text[SPLICE_TEXT_MAX]);
	void *arg;
};

struct splice; /* opaque */

/* fd: the shell's recording, at its start; borrowed, must stay open.  So must
 * parts.  Errors as castread_open. */
int splice_open(int fd, const struct splice_parts *parts, struct splice **sp);
void splice_free(struct splice *s);
const struct castread_header *splice_header(const struct splice *s);

/* As castread_next; at_us is since the shell's start. */
int splice_next(struct splice *s, struct castread_event *ev);
/* The last event was an operation's that had no terminal. */
bool splice_is_plain(const struct splice *s);
/* The line that the last event belongs to; 0: before the first. */
uint64_t splice_line(const struct splice *s);
bool splice_cut(const struct splice *s);

#endif
