/*
 * The ledger: ledger.jsonl, one JSON object per line, numbers without a gap
 * (doc/LEDGER.md).  A line is whole and on the disk, or not there.
 */
#ifndef POSTERN_AUDIT_LEDGER_H
#define POSTERN_AUDIT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/tree.h"
#include "lib/buf.h"

struct json;

#define LEDGER_LINE_MAX (1024 * 1024)
#define LEDGER_EVENT_MAX (176 * 1024) /* a message and what we add */
#define LEDGER_RESERVE (1024 * 1024)  /* bytes kept for last words */
#define LEDGER_NAME_MAX 80

struct ledger {
	int dir;       /* borrowed */
	int fd;        /* -1: closed */
	uint64_t next; /* number of the next line */
	uint64_t size; /* end of the last whole line */
	bool broken;   /* what the file holds is not known: open it again */
	bool reserve;  /* the reserve is there */
};

/* What opening repaired; name is "" when nothing was. */
struct ledger_repair {
	uint64_t bytes;             /* of the cut line */
	char name[LEDGER_NAME_MAX]; /* where they are now */
};

struct ledger_line {
	uint64_t number;
	uint64_t time_ms;
	uint64_t end; /* file offset behind it */
	struct tree_hash sha256; /* of the line without its newline */
};

/* Opens or creates the ledger in the folder, locked against a second writer
 * (ERR_EXISTS).  ERR_FORMAT: its last line is not the ledger's; nothing was
 * changed then. */
int ledger_open(struct ledger *l, int dirfd, struct ledger_repair *rep);
void ledger_close(struct ledger *l);

/* Writes one line.  event (not consumed) begins with its kind.  last_words:
 * the end of what runs already may use up the reserve.  On any error the line
 * is not there; ERR_FORMAT: not an event, or a field twice. */
int ledger_append(struct ledger *l, const struct buf *event, uint64_t now_ms,
    bool last_words, struct ledger_line *out);

/* Makes the reserve when it is missing; false while there is no room for it,
 * and then nothing new may begin. */
bool ledger_reserve(struct ledger *l);

/* Calls cb for each whole line (without its newline) from offset on; end is
 * the offset behind it.  Stops at cb's first error and returns it. */
typedef int (*ledger_line_cb)(
    void *arg, const char *line, size_t n, uint64_t end);
int ledger_scan(
    const struct ledger *l, uint64_t offset, ledger_line_cb cb, void *arg);

/* Where the last so many lines begin.  ERR_NOTFOUND: there are not as many. */
int ledger_back(const struct ledger *l, uint64_t lines, uint64_t *offset);

/* Takes a line apart.  Unknown names are ignored; an event of an unknown kind
 * is ERR_NOTFOUND with number set.  event was initialised by the caller. */
int ledger_parse(const char *line, size_t n, uint64_t *number,
    uint64_t *time_ms, struct buf *event);

/* A whole number as JSON; above LEDGER_NUMBER_MAX as a string of digits, since
 * readers whose numbers are doubles (RFC 7493 section 2.2) would change it. */
#define LEDGER_NUMBER_MAX ((UINT64_C(1) << 53) - 1)
void ledger_put_num(struct json *j, uint64_t n);
/* Writes an event's fields (all behind its kind) as members. */
int ledger_put_fields(struct json *j, const struct buf *event);
/* The kind of an event; ERR_FORMAT. */
int ledger_kind(const struct buf *event, uint32_t *kind);
/* A copy of a text field; ERR_NOTFOUND, ERR_TOOBIG (dst is ""). */
int ledger_field(
    const struct buf *event, uint32_t field, char *dst, size_t dstsize);

#endif
