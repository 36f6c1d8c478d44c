/*
 * Showing a recording on an auditor's terminal without letting it drive that
 * terminal.  What passes is an allowlist of what changes the picture:
 *  - printable characters, CR, LF, BS, TAB;
 *  - ESC 7, 8, D, E, M;
 *  - CSI with plain numbers: cursor motion, erase (never the scroll-back, 3J),
 *    insert, delete, scroll, margins, repeat, save and restore, SGR without
 *    "conceal";
 *  - of the modes only cursor on/off, wrap on/off and the alternate screen.
 * Everything else is dropped: OSC, DCS, APC, PM, SOS, queries and reports,
 * window operations, printing, mouse and paste modes, character sets, 8-bit
 * controls.  Bidi controls, invisible tags and bytes that are not UTF-8 are
 * shown as U+FFFD.
 */
#ifndef POSTERN_AUDIT_REPLAY_H
#define POSTERN_AUDIT_REPLAY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define REPLAY_CSI_MAX 128 /* bytes of one CSI sequence's parameters */
#define REPLAY_STRING_MAX (64 * 1024) /* bytes of one OSC, DCS, ... */
/* Output bytes for one input byte, at most (a reset for ESC c). */
#define REPLAY_GROWTH 32

struct replay_filter {
	/* set by replay_init */
	bool ascii; /* a terminal that is not UTF-8: others as '?' */
	/* private */
	int state;
	uint8_t utf8[4];
	size_t nutf8;
	char csi[REPLAY_CSI_MAX];
	size_t ncsi;
	size_t string; /* bytes of the control string so far */
	bool osc;      /* which BEL ends, too */
	bool alt;      /* the alternate screen is on */
};

void replay_init(struct replay_filter *f, bool ascii);
/* Filters n bytes, in pieces of any size, and appends to out.  ERR_TOOBIG when
 * out's maximum is reached. */
int replay_filter(
    struct replay_filter *f, const void *p, size_t n, struct buf *out);
/* Appends what a character that was cut is shown as. */
int replay_flush(struct replay_filter *f, struct buf *out);
/* The same, and what puts the terminal back: attributes, margins, screen,
 * cursor. */
int replay_end(struct replay_filter *f, struct buf *out);

struct replay_options {
	uint32_t speed_milli; /* 1000: as recorded; 0: without waiting */
	uint64_t idle_ms;     /* longest pause, as recorded; 0: no limit */
	bool ascii;           /* the terminal's character set is not UTF-8 */
	bool terminal;        /* out_fd is one: it is put back at the end */
	uint64_t line; /* of a shell: from which on it is played; 0: all */
	/* Set by a signal handler of the caller: replay_play stops, resets the
	 * terminal and returns 0.  NULL: none. */
	volatile sig_atomic_t *stop;
};

/* Plays the recording that fd is at the start of on out_fd.  Markers are shown
 * on a line of their own when it has no terminal.  ERR_FORMAT: not a
 * recording.  A damaged or cut line is skipped and said at the end. */
int replay_play(int fd, int out_fd, const struct replay_options *o);

struct splice;

/* A shell with its operations, likewise; s stays the caller's. */
int replay_play_splice(
    struct splice *s, int out_fd, const struct replay_options *o);

/* What is lost in a file for other players. */
struct replay_cast {
	uint64_t damaged; /* lines that were skipped */
	bool cut;
};

/* Writes what is played as one asciicast v2, with the events of that format
 * alone and unfiltered: to no terminal.  One of cr and s, which stay the
 * caller's. */
struct castread;
int replay_cast(struct castread *cr, struct splice *s, int out_fd,
    const struct replay_options *o, struct replay_cast *found);

/* What a copy of the bytes has found out. */
struct replay_bytes {
	uint64_t damaged; /* lines that were skipped, or hold two stories */
	bool cut;         /* the recording ends in the middle of a line */
	bool left_out;    /* past the recording's bound, or binary */
};

/* Writes the bytes that were shown, as the recording has them and nothing in
 * between, unfiltered: to no terminal. */
int replay_bytes(int fd, int out_fd, struct replay_bytes *found);

#endif
