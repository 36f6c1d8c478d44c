/*
 * Preloaded into postern-oidc by its test: a libjwt that refuses every token,
 * whatever OpenSSL says of it.
 */
#include "config.h"

#include <errno.h>

#include <jwt.h>

int
jwt_decode(
    jwt_t **jwt, const char *token, const unsigned char *key, int key_len)
{
	(void)jwt;
	(void)token;
	(void)key;
	(void)key_len;
	return EINVAL;
}
