/*
 * An issuer's published keys: a JSON Web Key Set (RFC 7517 section 5) turned
 * into OpenSSL keys.  What we cannot use is left out; what contradicts itself
 * refuses the whole set.
 */
#ifndef POSTERN_BROKER_JWK_H
#define POSTERN_BROKER_JWK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "broker/jwa.h"

#define JWK_SET_MAX (256 * 1024) /* bytes of a set */
#define JWK_KEYS_MAX 32		 /* entries of a set, usable or not */
#define JWK_KID_MAX 256		 /* bytes */
#define JWK_RSA_MIN 2048	 /* bits */
#define JWK_RSA_MAX 8192

struct jwk {
	char *kid;		/* NULL: the key has none */
	enum jwk_kind kind;
	const struct jwa *alg;	/* the only one it may serve; NULL: any */
	EVP_PKEY *key;
	/* For each algorithm it may serve, ready to be copied and to verify. */
	EVP_MD_CTX *ready[JWA_ROWS];
	BIGNUM *order;		/* EC: of the curve's group */
	char *pem;		/* the same key for libjwt, ends in NUL */
	size_t pem_len;
};

struct jwk_set {
	struct jwk key[JWK_KEYS_MAX];
	size_t n;
	size_t skipped;		/* entries that are of no use to us */
};

/* Parses a set.  Skipped: an unknown kty, curve or alg, another use than "sig"
 * (or SPIFFE's "jwt-svid"), key_ops without "verify", secret (oct) and private
 * keys, RSA outside JWK_RSA_MIN..MAX or with a bad or weak modulus or exponent,
 * points that are not on their curve or of small order.  A set of which nothing
 * is left is a set: the issuer withdrew its keys.  ERR_FORMAT: not a set, or
 * one kid on two usable keys; ERR_TOOBIG: past a bound.  *why gets a literal.
 * jwk_set_free the result. */
int jwk_set_parse(const void *p, size_t n, struct jwk_set **out,
    const char **why);
void jwk_set_free(struct jwk_set *s);

/* The key that must have made a signature of algorithm a: the one of that kid,
 * or, without kid (NULL), the only one that fits.  ERR_NOTFOUND: there is none
 * (a newer set may have it); ERR_DENIED: there is, but it does not fit, or
 * without kid several fit. */
int jwk_set_find(const struct jwk_set *s, const char *kid,
    const struct jwa *a, const struct jwk **out);

#endif
