/*
 * Memory that lives exactly as long as its policy: everything of a policy is
 * taken from one arena and given back in one go.
 */
#ifndef POSTERN_POLICY_ARENA_H
#define POSTERN_POLICY_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
/* Zeroed, aligned for everything.  NULL when memory runs out. */
void *arena_get(struct arena *a, size_t n);
/* n bytes and a NUL. */
char *arena_str(struct arena *a, const char *s, size_t n);
/* Room for one more element in a growing array of n elements: the old array
 * or a larger copy.  *cap is its capacity, 0 before the first. */
void *arena_extend(struct arena *a, void *old, size_t n, size_t *cap,
    size_t size);

#endif
