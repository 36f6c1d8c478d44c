/*
 * Reading JSON that a stranger wrote: one strict way for token headers and
 * payloads, key sets and discovery documents.
 */
#ifndef POSTERN_BROKER_JSONIN_H
#define POSTERN_BROKER_JSONIN_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* Parses n bytes as one JSON object: no duplicate members (at any depth), no
 * NUL, valid UTF-8, nothing after it, at most `depth` brackets open at once.
 * ERR_FORMAT otherwise; the caller json_decrefs *out. */
int jsonin_load(const void *p, size_t n, unsigned int depth, json_t **out);
/* The member as text: NULL when it is missing or is no string.  *set (may be
 * NULL) tells a missing member from one of another type. */
const char *jsonin_str(const json_t *obj, const char *key, bool *set);

/* From now on jansson (ours and a library's) takes its memory from functions
 * that wipe what is freed, and seeds its hashes from the kernel: a token's
 * payload lives in jansson's strings for a moment.  Once, before any JSON. */
int jsonin_harden(void);

#endif
