/*
 * The arena of one policy.  Used wherever policies are loaded; sees sizes that
 * were computed from policy files, so every sum is checked.
 */
#include "config.h"

#include "policy/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64 * 1024)
#define ALIGN alignof(max_align_t)

struct chunk {
	struct chunk *next;
	size_t used, size;
	alignas(max_align_t) unsigned char d[];
};

struct arena {
	struct chunk *chunk;
};

struct arena *
arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

void
arena_free(struct arena *a)
{
	struct chunk *c, *next;

	if (a == NULL)
		return;
	for (c = a->chunk; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

void *
arena_get(struct arena *a, size_t n)
{
	struct chunk *c = a->chunk;
	size_t size;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (c == NULL || n > c->size - c->used) {
		size = n > CHUNK ? n : CHUNK;
		if ((c = calloc(1, sizeof(*c) + size)) == NULL)
			return NULL;
		c->size = size;
		c->next = a->chunk;
		a->chunk = c;
	}
	p = c->d + c->used;
	c->used += n;
	return p;
}

char *
arena_str(struct arena *a, const char *s, size_t n)
{
	char *d = n < SIZE_MAX ? arena_get(a, n + 1) : NULL;

	if (d != NULL && n > 0)
		memcpy(d, s, n);
	return d;
}

void *
arena_extend(struct arena *a, void *old, size_t n, size_t *cap, size_t size)
{
	size_t more, bytes;
	void *new;

	if (n < *cap)
		return old;
	more = *cap == 0 ? 4 : *cap;
	if (__builtin_add_overflow(*cap, more, &more) ||
	    __builtin_mul_overflow(more, size, &bytes) ||
	    (new = arena_get(a, bytes)) == NULL)
		return NULL;
	if (n > 0)
		memcpy(new, old, n * size);
	*cap = more;
	return new;
}
