/*
 * Patterns with `*` and `**`.  O(bytes x pattern), no backtracking, no
 * allocation.
 */
#ifndef POSTERN_POLICY_GLOB_H
#define POSTERN_POLICY_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#define GLOB_MAX 511 /* bytes of a pattern */

/* Does the pattern (at most GLOB_MAX bytes, as glob_valid says) match all n
 * bytes?  `*` stands for any bytes but those of sep, `**` for any bytes;
 * everything else stands for itself. */
bool glob_matches(const char *pattern, const char *sep, const char *s,
    size_t n);
/* NULL, or what is wrong with the pattern. */
const char *glob_wrong(const char *pattern);

#endif
