/*
 * A signed token in compact form (RFC 7515 section 7.1), taken apart strictly
 * and verified.  Nothing here knows claims: the payload is bytes.
 *
 *	jws_parse -> (whoever knows the issuer finds its keys) -> jws_verify
 *	-> jws_second_opinion -> only now is the payload worth reading
 */
#ifndef POSTERN_BROKER_JWS_H
#define POSTERN_BROKER_JWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/jwk.h"
#include "lib/buf.h"

struct jws {
	const char *token;	/* the caller's bytes; must outlive this */
	size_t len;
	size_t signed_len;	/* header and payload with their dot */
	const struct jwa *alg;
	bool has_kid;
	bool typ_jose;		/* "typ" is "JOSE", which libjwt refuses */
	char kid[JWK_KID_MAX + 1];
	struct buf payload;
	struct buf sig;
};

/* The gate: at most PROTO_TOKEN_MAX bytes, three segments, strict base64url,
 * a strict JSON header with an algorithm of the table and nothing in it that
 * would change how the token must be read.  Verifies nothing.  On failure *why
 * is a literal; jws_clear(out) whatever comes back. */
int jws_parse(const char *token, size_t n, struct jws *out, const char **why);
void jws_clear(struct jws *j);

/* OpenSSL's verdict.  0 only if the algorithm is in the set `allowed` (jwa_bit)
 * and the signature is the key's.  ERR_NOTFOUND: the set has no such key;
 * everything else is final. */
int jws_verify(const struct jws *j, const struct jwk_set *keys,
    uint32_t allowed, const char **why);
/* The key that must have made the signature; as jwk_set_find. */
int jws_key(const struct jws *j, const struct jwk_set *keys,
    const struct jwk **k, const char **why);
/* libjwt's verdict on a token that jws_verify accepted, where libjwt speaks its
 * algorithm.  ERR_CRYPTO: it disagrees, an alarm.  The token must end in NUL. */
int jws_second_opinion(const struct jws *j, const struct jwk_set *keys,
    const char **why);

/* SHA-256 of what was signed: the token's one name, whatever its spelling. */
int jws_digest(const struct jws *j, uint8_t out[32]);

/* Makes the C library wipe large blocks that are freed (libjwt's copies of a
 * token).  Once, before the first token. */
void jws_harden(void);

#endif
