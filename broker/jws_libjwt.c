/*
 * libjwt's verdict on a token that OpenSSL accepted, and what is done about the
 * copies of it that libjwt makes.  Runs in postern-oidc.
 *
 * libjwt takes the algorithm from the token and, in the versions that
 * distributions ship, takes a NULL key, an HS256 code made with an RSA public
 * key, repeated members and junk after the signature, so it MUST only ever see
 * what passed jws_parse and jws_verify, and always a key.
 */
#include "config.h"

#include "broker/jws.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <jwt.h>
#include <openssl/err.h>

#include "lib/err.h"
#include "lib/proto.h"

#define JWS_STACK (5 * PROTO_TOKEN_MAX) /* more than libjwt uses of it */
#define JWS_CACHE_FIRST 56  /* bytes: no signature is shorter, ... */
#define JWS_CACHE_LAST 1032 /* ... and longer blocks are not cached */
#define JWS_CACHE_DEPTH 7   /* of one size */

void
jws_harden(void)
{
	/* libjwt 1.x takes no memory functions.  Its copies of a token are
	 * larger than what glibc keeps in its per-thread cache, and this makes
	 * glibc overwrite such blocks when they are freed.  For the others, see
	 * jws_wipe_cache. */
	(void)mallopt(M_PERTURB, 0x5a); /* refused under sanitizers */
}

/* libjwt decodes on the stack: overwrites what is below the caller's frame. */
static void __attribute__((noinline)) jws_wipe_stack(void)
{
	uint8_t below[JWS_STACK];

	explicit_bzero(below, sizeof(below));
}

/* What glibc keeps in its per-thread cache it keeps as it was; libjwt 1.17 has
 * a signature's bytes there.  Takes those blocks and overwrites them. */
static void
jws_wipe_cache(void)
{
	void *block[JWS_CACHE_DEPTH];

	for (size_t n = JWS_CACHE_FIRST; n <= JWS_CACHE_LAST; n += 16) {
		for (size_t i = 0; i < JWS_CACHE_DEPTH; i++) {
			if ((block[i] = malloc(n)) != NULL)
				explicit_bzero(block[i], n);
		}
		for (size_t i = 0; i < JWS_CACHE_DEPTH; i++)
			free(block[i]);
	}
}

int
jws_second_opinion(
    const struct jws *j, const struct jwk_set *keys, const char **why)
{
	const struct jwk *k;
	jwt_t *jwt = NULL;
	int r, e;

	if (!j->alg->libjwt)
		return 0;
	*why = "the token's typ is JOSE, which libjwt cannot judge";
	if (j->typ_jose)
		return ERR_DENIED;
	if ((r = jws_key(j, keys, &k, why)) != 0)
		return r;
	*why = "OpenSSL and libjwt disagree about the signature";
	/* MUST be a key, and the token one C string: see above */
	if (k->pem == NULL || k->pem_len == 0 || j->token[j->len] != '\0')
		return ERR_INTERNAL;
	e = jwt_decode(
	    &jwt, j->token, (const unsigned char *)k->pem, (int)k->pem_len);
	if (e != 0)
		r = e == ENOMEM ? ERR_NOMEM : ERR_CRYPTO;
	else
		r = strcmp(jwt_alg_str(jwt_get_alg(jwt)), j->alg->name) == 0
			? 0
			: ERR_CRYPTO;
	if (e == 0)
		jwt_free(jwt);
	jws_wipe_stack();
	jws_wipe_cache();
	ERR_clear_error();
	return r;
}
