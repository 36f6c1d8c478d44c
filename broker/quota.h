/*
 * What `limit rate` counts: the moments at which each identity was granted an
 * operation, on whatever target and by whatever rule.  By name, because a
 * policy may be another one a moment later; by the monotonic clock, because
 * the other one can be set.  Bounded: of each identity no more moments are kept
 * than the policy's largest rate needs, and none older than its longest time.
 *
 * The rows of takeover.h make a new policy process start with these moments.
 */
#ifndef POSTERN_BROKER_QUOTA_H
#define POSTERN_BROKER_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "policy/decide.h"

/* The largest rate and the longest time of all rules; 0, 0: nothing is counted
 * from here on, and what was is forgotten. */
void quota_bounds(uint32_t most, uint32_t longest_s);
/* How long until the identity may have one more: 0, now. */
int64_t quota_wait_ms(
    const char *identity, const struct limits *l, int64_t now_ms);
/* One was granted.  Any error: it is not counted, so it must not run. */
int quota_note(const char *identity, const char *operation, int64_t now_ms);
/* The same, out of a row that the process before has left. */
int quota_adopt(const char *identity, const char *operation, int64_t at_ms);
/* How many moments are kept, for the tests. */
size_t quota_count(void);

#endif
