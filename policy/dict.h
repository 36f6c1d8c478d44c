/*
 * Names to things: an open hash table in a policy's arena.
 */
#ifndef POSTERN_POLICY_DICT_H
#define POSTERN_POLICY_DICT_H

#include <stddef.h>

struct arena;

struct dict {
	struct dict_entry {
		const char *key;
		void *value;
	} *e;
	size_t n, size;
};

/* The value, NULL when there is none. */
void *dict_get(const struct dict *d, const char *key);
/* Adds a key that is not there yet; keeps the pointers, which are the
 * caller's.  ERR_NOMEM; ERR_EXISTS leaves the old value. */
int dict_put(struct dict *d, struct arena *a, const char *key, void *value);

#endif
