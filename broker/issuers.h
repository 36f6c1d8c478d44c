/*
 * The issuers that the policy trusts, with their rules and their keys.  Several
 * may share a url, each with audiences, algorithms, times and replay rule of
 * its own: a token is the one's whose audience it names.
 */
#ifndef POSTERN_BROKER_ISSUERS_H
#define POSTERN_BROKER_ISSUERS_H

#include <stddef.h>

#include "broker/jwks.h"
#include "broker/token.h"

#define ISSUERS_MAX 64

struct buf;

/* What the log says of an issuer's keys. */
enum keys_said {
	KEYS_WELL,    /* nothing */
	KEYS_FAILING, /* they cannot be renewed, and are fresh */
	KEYS_STALE,   /* and are past their time */
	KEYS_GONE,    /* and there are none */
};

struct trusted {
	struct token_rules rules;
	struct jwks *jwks;
	enum keys_said said;
};

struct issuers {
	struct trusted t[ISSUERS_MAX];
	size_t n;
	size_t unusable; /* left out: see issuers_read */
};

/* Reads the body of ISSUERS.  ERR_FORMAT, ERR_TOOBIG, ERR_NOMEM: *out is empty.
 * Left out, and counted: an issuer whose url or keys-url is not https, one that
 * shares url and an audience with a former entry (the first one counts: nobody
 * guesses between rules), and one whose algorithms we all do not know.
 * `changed` is called with the url. */
int issuers_read(struct buf *b, struct issuers *out);
/* Reads the body of ISSUER_KEYS into one entry more of pending, with these keys
 * (take_set; NULL, there were none: the entry is read and left out).  Errors as
 * above; pending is unchanged then. */
int issuers_read_keys(
    struct buf *b, struct jwk_set *take_set, struct issuers *pending);
/* Moves pending's entries behind those of s, left out and counted as above. */
void issuers_append(struct issuers *s, struct issuers *pending);
/* Moves the key caches of `old` to the issuers of the same url, makes the
 * others' (io, changed: jwks_new), and frees old's rest. */
int issuers_adopt(struct issuers *s, struct issuers *old,
    const struct jwks_io *io, jwks_cb changed);
void issuers_clear(struct issuers *s);

/* Whose token it claims to be, by the exact iss and by audience.  ERR_DENIED,
 * and why: the policy names no such url, and *out is NULL; or the audience is
 * none's or several's, and *out is the first of that url, whose keys tell at
 * least whether its issuer signed it. */
int issuers_for(const struct issuers *s, const struct token *t,
    const struct trusted **out, const char **why);
/* The issuer whose rules hold this very text: what jwks_cb is given. */
struct trusted *issuers_at(struct issuers *s, const char *url);
/* jwks_tick for all. */
void issuers_tick(const struct issuers *s);

#endif
