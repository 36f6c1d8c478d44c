/*
 * Bytes that must not be written down: tokens, private keys.  The memory is
 * kept out of core dumps, locked where that is allowed, and wiped by free.
 */
#ifndef POSTERN_LIB_SECRET_H
#define POSTERN_LIB_SECRET_H

#include <stddef.h>
#include <stdint.h>

struct secret {
	uint8_t *d;	/* own pages; NUL after len for C interfaces */
	size_t len;
	size_t cap;	/* whole pages */
	size_t max;	/* len never passes this */
};

/* Room for max bytes. */
int secret_init(struct secret *s, size_t max);
/* Appends; ERR_TOOBIG past the room given at init. */
int secret_append(struct secret *s, const void *p, size_t n);
/* Wipes and unmaps.  Takes NULL and what was never initialised but zeroed. */
void secret_clear(struct secret *s);

#endif
