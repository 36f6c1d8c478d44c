/*
 * What the broker's processes want back after a restart: rows of a key, a
 * value that nobody but their owner reads, and a moment after which they are
 * gone.  A database of its own, apart from the index: it is no copy of the
 * ledger, and an index that is made anew must not forget a spent token.
 * Runs in audit.  Bounded in rows and bytes for each owner.
 */
#ifndef POSTERN_AUDIT_KEEP_H
#define POSTERN_AUDIT_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

struct keep; /* opaque */

#define KEEP_ROWS_MAX 70000                /* of one owner */
#define KEEP_BYTES_MAX (64U * 1024 * 1024) /* of one owner's values */

enum keep_owner { KEEP_POLICY, KEEP_OIDC, KEEP_OWNERS };

/* What was there when it was opened. */
enum keep_before { KEEP_GOOD, KEEP_EMPTY, KEEP_DAMAGED };

/* Opens or creates the database at path, readable by its account alone.  One
 * that is damaged is deleted and begun anew; *before says so.  ERR_SYS. */
int keep_open(const char *path, struct keep **kp, enum keep_before *before);
void keep_free(struct keep *k);
/* Something in it could not be read: it is to be deleted and begun anew. */
bool keep_damaged(const struct keep *k);

/* Keeps value under key until `until` (Unix seconds), in the place of what was
 * there.  ERR_TOOBIG: a bound is reached. */
int keep_put(struct keep *k, enum keep_owner o, const char *key, uint64_t until,
    const uint8_t *value, size_t n);
/* Forgets the row; one that is not there is no error. */
int keep_drop(struct keep *k, enum keep_owner o, const char *key);
bool keep_has(struct keep *k, enum keep_owner o, const char *key);
/* Forgets what has run out. */
int keep_expire(struct keep *k, uint64_t now);

/* Appends rows in the order of their keys, after the key `after` ("": from the
 * first), each as str key, u64 until, str value, as many as fit into `room`
 * bytes; *more: there are others behind them. */
int keep_page(struct keep *k, enum keep_owner o, const char *after,
    uint64_t now, size_t room, struct buf *out, uint32_t *np, bool *more);

#endif
