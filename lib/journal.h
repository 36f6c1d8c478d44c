/*
 * Log lines as entries of systemd's journal, with fields, by its own protocol
 * (systemd, "Native Journal Protocol"): one datagram of fields, and no library.
 */
#ifndef POSTERN_LIB_JOURNAL_H
#define POSTERN_LIB_JOURNAL_H

#include <stddef.h>

struct buf;

/* A descriptor that takes entries, if standard error is the journal's; else -1.
 * Before a process confines itself: later it only writes. */
int journal_open(void);
/* Appends a field: NAME in upper case, and its value, whatever is in it. */
int journal_put(struct buf *b, const char *name, const void *value, size_t n);
/* One entry, or none (ERR_SYS): it never waits for the journal. */
int journal_send(int fd, const struct buf *entry);

#endif
