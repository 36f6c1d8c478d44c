/*
 * One issuer's keys, fetched and kept: discovery (OpenID Connect Discovery
 * section 4), the key set, how long it may be used, and when it may be fetched
 * again.  Any number of logins share one fetch.
 */
#ifndef POSTERN_BROKER_JWKS_H
#define POSTERN_BROKER_JWKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/http.h"
#include "broker/jwk.h"

#define JWKS_FRESH_MIN_S (5 * 60)	/* bounds of Cache-Control's max-age */
#define JWKS_FRESH_MAX_S (24 * 60 * 60)
#define JWKS_FRESH_S (60 * 60)		/* when it says nothing */
#define JWKS_STALE_S (24 * 60 * 60)	/* after that, while fetching fails */
#define JWKS_COOLDOWN_S 10		/* between fetches for an unknown key */
#define JWKS_RETRY_S 60			/* between fetches by jwks_tick */
#define JWKS_KEEP_MAX (32 * 1024)       /* bytes of a set that is kept */

struct jwks;

/* How keys are got; the tests bring their own. */
struct jwks_io {
	int (*get)(
	    void *ctx, const struct http_ask *ask, struct http_req **out);
	void (*cancel)(void *ctx, struct http_req *q);
	int64_t (*now_ms)(void *ctx); /* a clock that never steps back */
	void *ctx;
};
/* A fetch has ended: whoever was told ERR_AGAIN asks again.  r and why say how
 * it went (why: partly the server's words).  jwks_free is not allowed here. */
typedef void (*jwks_cb)(void *arg, int r, const char *why);

/* keys_url: where the set is, and nobody is asked; NULL or "": where discovery
 * says.  io outlives it.  Fetches nothing yet. */
struct jwks *jwks_new(const struct jwks_io *io, const char *issuer,
    const char *keys_url, jwks_cb changed, void *arg);
/* With keys that never change and are never asked for (take_set). */
struct jwks *jwks_new_fixed(const char *issuer, struct jwk_set *take_set);
bool jwks_is_fixed(const struct jwks *k);
void jwks_free(struct jwks *k);
void jwks_set_arg(struct jwks *k, void *arg);

/* The keys to verify with, valid until the loop runs again.  ERR_AGAIN: they
 * are being fetched, `changed` will be called.  ERR_NOTFOUND: there are none
 * and it is too early to ask again. */
int jwks_keys(struct jwks *k, const struct jwk_set **out);
/* The keys at hand lack the one a token names.  ERR_AGAIN: as above;
 * ERR_NOTFOUND: the last fetch, good or bad, is too recent: there is no such
 * key. */
int jwks_missing(struct jwks *k);
/* Whether there are keys to verify with, and whether they are fresh. */
enum jwks_state { JWKS_NONE, JWKS_FRESH, JWKS_STALE };
enum jwks_state jwks_state(const struct jwks *k);
/* Seconds for which keys that could not be confirmed in time will go on
 * serving; -1 while they are fresh, or when there are none. */
int64_t jwks_stale_s(const struct jwks *k);
/* A set as it was fetched, for the next process (broker/keyfile.h). */
struct jwks_kept {
	const uint8_t *body;
	size_t len;
	int64_t fetched_s, fresh_s; /* Unix seconds */
};
/* The keys at hand; false: there are none that were fetched, or they are longer
 * than JWKS_KEEP_MAX.  Valid until the loop runs again. */
bool jwks_kept(const struct jwks *k, int64_t now_s, struct jwks_kept *out);
/* Takes up what an earlier process fetched.  It counts as past its time: it
 * serves as soon as a fetch has failed, and JWKS_STALE_S at most.  ERR_EXISTS:
 * there are keys already, or never any from elsewhere; ERR_DENIED: too old, or
 * from a time to come; or what jwk_set_parse says. */
int jwks_restore(struct jwks *k, const struct jwks_kept *from, int64_t now_s);
/* Now and then: fetches ahead of expiry, and again after failures, so that
 * logins find keys. */
void jwks_tick(struct jwks *k);

#endif
