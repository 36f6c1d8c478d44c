/*
 * For tests: tokens that are nearly right.
 */
#ifndef POSTERN_TESTS_MUTATE_H
#define POSTERN_TESTS_MUTATE_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

struct buf;

#define MUTATE_KEYS 4

struct mutate_keys {
	EVP_PKEY *right[MUTATE_KEYS]; /* RSA, P-256, P-384, P-521 */
	EVP_PKEY *wrong[MUTATE_KEYS]; /* of the same kinds; in no set */
};

/* Random numbers that a seed decides (splitmix64). */
struct mutate_rng {
	uint64_t state;
};
uint64_t mutate_random(struct mutate_rng *g, uint64_t below);

void mutate_keys_make(struct mutate_keys *k);
void mutate_keys_free(struct mutate_keys *k);
/* Appends the set of the right keys; each one's kid is its kind. */
void mutate_keys_set(struct buf *out, const struct mutate_keys *k);
/* Appends a token that one of the keys signed, changed in no place or in some:
 * header and payload before they are signed, the signature, the text. */
void mutate_token(
    struct buf *out, const struct mutate_keys *k, struct mutate_rng *g);

#endif
