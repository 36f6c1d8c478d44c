/*
 * Names to things.  Keys come from policy files; jobs' words are only looked
 * up, never added.
 */
#include "config.h"

#include "policy/dict.h"

#include <stdint.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"

/* FNV-1a, 64 bits. */
static uint64_t
hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h ^ h >> 32;
}

/* The key's place, or the free one where it would go.  size is a power of 2
 * and never full. */
static struct dict_entry *
place(struct dict_entry *e, size_t size, const char *key)
{
	size_t i = hash(key) & (size - 1);

	while (e[i].key != NULL && strcmp(e[i].key, key) != 0)
		i = (i + 1) & (size - 1);
	return &e[i];
}

void *
dict_get(const struct dict *d, const char *key)
{
	return d->size == 0 ? NULL : place(d->e, d->size, key)->value;
}

static int
grow(struct dict *d, struct arena *a)
{
	size_t size = d->size == 0 ? 16 : d->size * 2;
	struct dict_entry *e = arena_get(a, size * sizeof(*e));

	if (e == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < d->size; i++) {
		if (d->e[i].key != NULL)
			*place(e, size, d->e[i].key) = d->e[i];
	}
	d->e = e;
	d->size = size;
	return 0;
}

int
dict_put(struct dict *d, struct arena *a, const char *key, void *value)
{
	struct dict_entry *e;
	int r;

	if (d->n * 2 >= d->size && (r = grow(d, a)) != 0)
		return r;
	e = place(d->e, d->size, key);
	if (e->key != NULL)
		return ERR_EXISTS;
	*e = (struct dict_entry){ key, value };
	d->n++;
	return 0;
}
