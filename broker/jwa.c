/*
 * The table of algorithms.  Used by postern-oidc; the names it is asked for
 * come from tokens, keys and the policy.
 */
#include "config.h"

#include "broker/jwa.h"

#include <string.h>

#include <openssl/evp.h>

static const struct jwa jwa_rows[] = {
	/* clang-format off */
	/* name       key          digest      pss   r, s  libjwt */
	{ "RS256",   JWK_RSA,     EVP_sha256, false, 0,  true },
	{ "RS384",   JWK_RSA,     EVP_sha384, false, 0,  true },
	{ "RS512",   JWK_RSA,     EVP_sha512, false, 0,  true },
	{ "ES256",   JWK_P256,    EVP_sha256, false, 32, true },
	{ "ES384",   JWK_P384,    EVP_sha384, false, 48, true },
	{ "ES512",   JWK_P521,    EVP_sha512, false, 66, true },
	{ "PS256",   JWK_RSA,     EVP_sha256, true,  0,  false },
	{ "PS384",   JWK_RSA,     EVP_sha384, true,  0,  false },
	{ "PS512",   JWK_RSA,     EVP_sha512, true,  0,  false },
	{ "EdDSA",   JWK_ED25519, NULL,       false, 0,  false },
	{ "Ed25519", JWK_ED25519, NULL,       false, 0,  false },
	/* clang-format on */
};

_Static_assert(sizeof(jwa_rows) / sizeof(jwa_rows[0]) == JWA_ROWS, "");

const struct jwa *
jwa_row(size_t i)
{
	return &jwa_rows[i];
}

size_t
jwa_index(const struct jwa *a)
{
	return (size_t)(a - jwa_rows);
}

const struct jwa *
jwa_find(const char *name)
{
	for (size_t i = 0; i < JWA_ROWS; i++) {
		if (strcmp(jwa_rows[i].name, name) == 0)
			return &jwa_rows[i];
	}
	return NULL;
}

uint32_t
jwa_bit(const struct jwa *a)
{
	return a == NULL ? 0 : (uint32_t)1 << jwa_index(a);
}
