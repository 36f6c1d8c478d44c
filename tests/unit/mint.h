/*
 * For tests: keys, key sets and tokens, good ones and bad ones.
 */
#ifndef POSTERN_TESTS_MINT_H
#define POSTERN_TESTS_MINT_H

#include <stddef.h>

#include <openssl/types.h>

struct buf;

/* Everything here aborts the test when OpenSSL fails. */
EVP_PKEY *mint_rsa(unsigned int bits);
EVP_PKEY *mint_ec(const char *curve);
EVP_PKEY *mint_ed25519(void);

/* Appends the public key as a JWK; more: further members, '"kid":"a"' say. */
void mint_jwk(struct buf *out, EVP_PKEY *key, const char *more);
/* The key's JWK with n and e given as numbers (RSA). */
void mint_jwk_rsa(struct buf *out, const BIGNUM *n, const BIGNUM *e,
    const char *more);
/* Appends the base64url of n bytes, resp. of a text. */
void mint_b64(struct buf *out, const void *p, size_t n);

/* Appends a token: header and payload as given, signed as alg says ("RS256",
 * "ES384", "PS512", "EdDSA"), whatever the header says. */
void mint_token(struct buf *out, EVP_PKEY *key, const char *alg,
    const char *header, const char *payload);
/* The signature over n bytes as OpenSSL has it: ECDSA's in DER. */
void mint_openssl(
    struct buf *out, EVP_PKEY *key, const char *alg, const void *p, size_t n);
/* The same as tokens have it. */
void mint_signature(struct buf *out, EVP_PKEY *key, const char *alg,
    const void *p, size_t n);

#endif
