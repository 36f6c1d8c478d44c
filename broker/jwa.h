/*
 * The signature algorithms (RFC 7518 section 3, RFC 8037, RFC 9864): one table
 * for keys and for tokens.  `none` and HS* are not in it and never will be.
 */
#ifndef POSTERN_BROKER_JWA_H
#define POSTERN_BROKER_JWA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

enum jwk_kind { /* zero is no kind */
	JWK_RSA = 1,
	JWK_P256,
	JWK_P384,
	JWK_P521,
	JWK_ED25519,
};

struct jwa {
	const char *name;	/* case-sensitive */
	enum jwk_kind kind;	/* the only kind of key it takes */
	const EVP_MD *(*md)(void); /* NULL: the algorithm hashes itself */
	bool pss;
	size_t half;		/* ES*: bytes of r, and of s */
	bool libjwt;		/* libjwt can verify it and must agree */
};

#define JWA_ROWS 11

/* Row i of the table. */
const struct jwa *jwa_row(size_t i);
/* The row of a name; NULL for an algorithm we do not speak. */
const struct jwa *jwa_find(const char *name);
/* Its place in the table. */
size_t jwa_index(const struct jwa *a);
/* The row's bit in a set of allowed algorithms; 0 for NULL. */
uint32_t jwa_bit(const struct jwa *a);

#endif
