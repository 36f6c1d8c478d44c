/*
 * A token's claims as text, which is what conditions are on: strings as they
 * are, integers in decimal, booleans as true and false.  A claim within an
 * object has its path for a name, as kubernetes.io/pod/uid; a `/` at the end of
 * the object's own name is not doubled.  null, fractions and arrays have no
 * text, nor has what lies deeper than CLAIMTEXT_DEPTH objects, nor what has a
 * longer path than PROTO_CLAIM_NAME_MAX: no condition can name it, not even as
 * absent, and whoever tags a role in AWS may choose such a name.
 */
#ifndef POSTERN_LIB_CLAIMTEXT_H
#define POSTERN_LIB_CLAIMTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define CLAIMTEXT_DEPTH 4

/* A new object of texts in the order of the claims.  ERR_TOOBIG: more than
 * PROTO_CLAIMS_MAX.  ERR_EXISTS: two claims with one name, of which a rule
 * would see but one. */
int claimtext_flatten(const json_t *claims, json_t **flat);

/* Something is left out because its path is too long. */
bool claimtext_cut(const json_t *claims);

/* Told of one claim, and how many there are in all; not 0: that is the end.
 * MUST NOT return ERR_NOTFOUND. */
typedef int claimtext_fn(
    void *ctx, size_t n, const char *name, const char *text);
/* The same without the object; the callback's error, or claimtext_flatten's. */
int claimtext_each(const json_t *claims, claimtext_fn *tell, void *ctx);

#endif
