/*
 * Writing a recording: asciicast v2, event by event, onto a descriptor that
 * can only append.  The hop links this (audit/libcast.la: lib and nothing
 * else) and MUST call it before it shows the same bytes to the job.
 *
 *	struct cast c;
 *
 *	if ((r = cast_start(&c, fd, &header)) != 0 ||
 *	    (r = cast_output(&c, CAST_OUT, p, n)) != 0 ||
 *	    (r = cast_exit(&c, 0)) != 0)
 *		goto out;
 *   out:
 *	cast_clear(&c);
 *
 * Each event is one write(2); there is no buffer that a killed process would
 * lose, but for two things, which the job may have been shown: of each stream
 * up to 3 bytes of a character that is not complete yet, and the tail
 * described below.
 *
 * Every function returns 0 or an error when an event was not written whole
 * (ERR_SYS, errno says why: ENOSPC, EFBIG, EDQUOT, EIO).  Errors stick: each
 * later call returns the first one again and writes nothing.  The caller MUST
 * end the operation then.
 *
 * Output that is not UTF-8 is text with U+FFFD in its event ('o'), and whole in
 * one of our own right before it (CAST_BYTES), by the same write: its bytes in
 * hexadecimal.  Readers pass over events whose code they do not know.
 *
 * With a terminal (pty) the text is kept verbatim and whole.  Without one,
 * stdout and stderr are kept as text within a bound:
 *  - "\n" is recorded as "\r\n", as a terminal would have shown it;
 *  - the first `head` bytes of each stream at once, of the rest the last
 *    `tail` bytes when the recording is finished, after a marker that says
 *    how many bytes were left out between them;
 *  - a stream with a NUL is binary: its text ends there with a marker, nothing
 *    of the rest is kept.
 * Counts and digests of all that was shown are the sidecar's (sidecar.h).
 *
 * Memory: up to 48 KiB for the line being built, and for a stream that
 * outgrew its head up to CAST_TAIL_MAX.
 */
#ifndef POSTERN_AUDIT_CAST_H
#define POSTERN_AUDIT_CAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define CAST_TAIL_MAX (64 * 1024) /* bytes per stream; more is clamped */
#define CAST_COLUMNS_MAX 1000     /* larger sizes are recorded as this: */
#define CAST_ROWS_MAX 500         /* players allocate what they read */
#define CAST_LABEL_MAX 1000       /* bytes of a marker; more is cut */
#define CAST_BYTES 'b'            /* the code of what text cannot hold */

enum cast_stream { CAST_OUT = 1, CAST_ERR = 2 };

/* What the first line says.  The texts are copied, not kept. */
struct cast_header {
	bool pty;               /* a terminal was granted */
	bool shell;             /* a broker shell's own: its lines' operations
				   have theirs */
	uint32_t columns, rows; /* 0: 80 and 24 */
	const char *term;       /* TERM; NULL or "": none */
	const char *title;
	const char *operation; /* ids: vendor key "postern" */
	const char *session;
	const char *target;
	uint64_t head, tail; /* without a terminal: bytes per stream */
};

struct cast_text {
	uint8_t held[4]; /* a character that is not complete yet */
	size_t nheld;
	uint64_t head_left; /* bytes of the head still to come */
	uint8_t *ring;      /* the tail, NULL until it is needed */
	size_t ring_at;     /* where the next byte goes */
	uint64_t past_head; /* bytes that went to the ring */
	bool binary;
};

/* Embedded by its owner; the fields are private. */
struct cast {
	int fd;  /* borrowed */
	int r;   /* the error that sticks */
	int err; /* and its errno */
	bool pty;
	bool finished;
	size_t tail;
	uint64_t start_us; /* CLOCK_MONOTONIC */
	struct buf line;
	struct cast_text text[2];
};

/* Writes the header line; time runs from here.  Does not own fd.  c may be
 * uninitialised memory; after this call, whatever it returned, cast_clear
 * is due. */
int cast_start(struct cast *c, int fd, const struct cast_header *h);

/* n bytes that are about to be shown.  With a terminal both streams are the
 * same.  Any n; long input becomes several events. */
int cast_output(
    struct cast *c, enum cast_stream stream, const void *p, size_t n);

/* The terminal's new size. */
int cast_resize(struct cast *c, uint32_t columns, uint32_t rows);

/* A marker: a label in the text of the recording's time line. */
int cast_marker(struct cast *c, const char *label);

/* Writes what was held back: incomplete characters, markers, tails.  Only the
 * first call does; no output may follow it. */
int cast_finish(struct cast *c);

/* cast_finish, then the exit event.  status is the exit code, or for a death
 * by signal 128 + its number: asciicast has no event for that. */
int cast_exit(struct cast *c, uint32_t status);

/* Frees; writes nothing.  Takes NULL and zeroed memory. */
void cast_clear(struct cast *c);

/* Microseconds since cast_start. */
uint64_t cast_elapsed_us(const struct cast *c);

#endif
