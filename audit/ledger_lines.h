/*
 * A ledger's file, line by line, in as much memory as its longest line may
 * take.
 */
#ifndef POSTERN_AUDIT_LEDGER_LINES_H
#define POSTERN_AUDIT_LEDGER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_lines {
	int fd;        /* borrowed */
	uint64_t read; /* offset of what is read next */
	uint64_t stop; /* where the file is taken to end */
	uint64_t line; /* the line's number in the file, from offset on: 1, 2 */
	uint64_t next; /* offset behind it */
	char *d;
	size_t off, len;
	bool skips; /* this line is too long: only its end is looked for */
};

/* From offset to stop, or to where the file ends before. */
int ledger_lines_init(
    struct ledger_lines *l, int fd, uint64_t offset, uint64_t stop);
void ledger_lines_clear(struct ledger_lines *l);

/* The next line without its newline, until the next call.  ERR_NOTFOUND: there
 * is none.  Of a line that cannot be given, and the next one can: ERR_TOOBIG,
 * it is longer than LEDGER_LINE_MAX; ERR_FORMAT, it is the last and has no
 * newline. */
int ledger_lines_next(struct ledger_lines *l, const char **line, size_t *n);

/* The number in front of a line that we wrote, {"number":N, and the brace at
 * its end.  ERR_FORMAT: it is not such a line. */
int ledger_lines_number(const char *p, size_t n, uint64_t *number);

#endif
