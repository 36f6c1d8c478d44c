/*
 * ULIDs: 26 characters of Crockford's base 32, 48 bits of milliseconds and 80
 * random bits; they sort by time.  https://github.com/ulid/spec
 */
#ifndef POSTERN_LIB_ULID_H
#define POSTERN_LIB_ULID_H

#include <stdbool.h>
#include <stdint.h>

#define ULID_LEN 26

/* A new ULID and its NUL. */
int ulid_new(char out[ULID_LEN + 1]);
bool ulid_valid(const char *s);
/* The last 64 of a valid one's 128 bits. */
uint64_t ulid_low(const char *s);

#endif
