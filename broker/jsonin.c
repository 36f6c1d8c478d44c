/*
 * Strict JSON input.  Runs in postern-oidc; what it reads comes from whoever
 * opened a connection to sshd (tokens) or from an issuer's web server, and is
 * believed by nobody yet.
 */
#include "config.h"

#include "broker/jsonin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/err.h"

/* A parser that recurses must never see input deeper than we would print. */
static bool
jsonin_shallow(const char *s, size_t n, unsigned int max)
{
	unsigned int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < n; i++) {
		if (quoted) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				quoted = false;
		} else if (s[i] == '"') {
			quoted = true;
		} else if (s[i] == '{' || s[i] == '[') {
			if (++depth > max)
				return false;
		} else if ((s[i] == '}' || s[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

int
jsonin_load(const void *p, size_t n, unsigned int depth, json_t **out)
{
	json_error_t why;
	json_t *j;

	if (n == 0 || !jsonin_shallow(p, n, depth))
		return ERR_FORMAT;
	if ((j = json_loadb(p, n, JSON_REJECT_DUPLICATES, &why)) == NULL) {
		bool memory = json_error_code(&why) == json_error_out_of_memory;

		/* the error quotes the text it stumbled over */
		explicit_bzero(&why, sizeof(why));
		return memory ? ERR_NOMEM : ERR_FORMAT;
	}
	if (!json_is_object(j)) {
		json_decref(j);
		return ERR_FORMAT;
	}
	*out = j;
	return 0;
}

const char *
jsonin_str(const json_t *obj, const char *key, bool *set)
{
	const json_t *v = json_object_get(obj, key);

	if (set != NULL)
		*set = v != NULL;
	return json_string_value(v);
}

/* free() is not told the size, so each block carries it in front.  A wiped
 * block of a small size waits in its pool for the next one of that size, for
 * JSON is many small blocks; a pool never holds more than were in use at once.
 */
#define POOL_STEP 16 /* bytes */
#define POOLS 32

union block {
	size_t size;
	union block *next; /* in a pool */
	max_align_t align;
};

static struct {
	union block *pool[POOLS];
} env;

static void *
wiping_malloc(size_t n)
{
	size_t i = n / POOL_STEP, all;
	union block *b;

	if (i < POOLS && env.pool[i] != NULL) {
		b = env.pool[i];
		env.pool[i] = b->next;
	} else {
		if (i < POOLS)
			all = (i + 1) * POOL_STEP + sizeof(*b);
		else if (__builtin_add_overflow(n, sizeof(*b), &all))
			return NULL;
		if ((b = malloc(all)) == NULL)
			return NULL;
	}
	b->size = n;
	return b + 1;
}

static void
wiping_free(void *p)
{
	union block *b = p;
	size_t i;

	if (b == NULL)
		return;
	b--;
	i = b->size / POOL_STEP;
	explicit_bzero(b + 1, b->size);
	if (i < POOLS) {
		b->next = env.pool[i];
		env.pool[i] = b;
	} else {
		free(b);
	}
}

int
jsonin_harden(void)
{
	size_t seed = 0;

	json_set_alloc_funcs(wiping_malloc, wiping_free);
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return ERR_SYS;
	json_object_seed(seed == 0 ? 1 : seed);
	return 0;
}
