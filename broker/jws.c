/*
 * The gate in front of every token, and its signature.  Runs in postern-oidc
 * on bytes that anybody who reaches the SSH port can send; stays below 16 KiB
 * by its first check.
 *
 * OpenSSL judges; libjwt is asked afterwards and must agree (jws_libjwt.c).
 */
#include "config.h"

#include "broker/jws.h"

#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "broker/jsonin.h"
#include "lib/b64.h"
#include "lib/err.h"
#include "lib/proto.h"

#define JWS_HEADER_MAX 4096 /* bytes, decoded */
#define JWS_HEADER_DEPTH 4
#define JWS_SIG_MAX (JWK_RSA_MAX / 8)
#define JWS_DER_MAX 160 /* bytes of an ECDSA signature of P-521 in DER: 139 */

/* -- the gate ------------------------------------------------------------ */

/* Header parameters that carry or name a key, change the encoding or demand
 * something of the reader (RFC 7515 section 4.1, RFC 7516, RFC 7797). */
static const char *const jws_forbidden[] = { "crit", "b64", "jwk", "jku",
	"x5u", "x5c", "zip", "cty", "enc" };

static int
jws_header_typ(const json_t *h, struct jws *out)
{
	const char *typ;
	bool set;

	typ = jsonin_str(h, "typ", &set);
	if (!set)
		return 0;
	/* case: RFC 7515 section 4.1.9 */
	if (typ == NULL ||
	    (strcasecmp(typ, "JWT") != 0 && strcasecmp(typ, "JOSE") != 0))
		return ERR_DENIED;
	out->typ_jose = strcasecmp(typ, "JOSE") == 0;
	return 0;
}

static int
jws_header_kid(const json_t *h, struct jws *out)
{
	const char *kid = jsonin_str(h, "kid", &out->has_kid);
	size_t n;

	if (!out->has_kid)
		return 0;
	if (kid == NULL || (n = strlen(kid)) == 0 || n > JWK_KID_MAX)
		return ERR_FORMAT;
	memcpy(out->kid, kid, n + 1);
	return 0;
}

static int
jws_header_check(const json_t *h, struct jws *out, const char **why)
{
	const char *alg = jsonin_str(h, "alg", NULL);
	int r;

	*why = "the token's algorithm is not one we accept";
	if (alg == NULL || (out->alg = jwa_find(alg)) == NULL)
		return ERR_DENIED;
	*why = "the token's header has a member we refuse (crit, b64, jwk, "
	    "jku, x5u, x5c, zip, cty or enc)";
	for (size_t i = 0; i < sizeof(jws_forbidden) / sizeof(char *); i++) {
		if (json_object_get(h, jws_forbidden[i]) != NULL)
			return ERR_DENIED;
	}
	*why = "the token's typ is not JWT";
	if ((r = jws_header_typ(h, out)) != 0)
		return r;
	*why = "the token's kid is malformed";
	return jws_header_kid(h, out);
}

static int
jws_header(const char *p, size_t n, struct jws *out, const char **why)
{
	json_t *h = NULL;
	struct buf b;
	int r;

	buf_init(&b, JWS_HEADER_MAX);
	*why = "the token's header is not strict base64url";
	if ((r = b64_decode(B64_URL, p, n, &b)) != 0)
		goto out;
	*why = "the token's header is not a strict JSON object";
	if ((r = jsonin_load(buf_ptr(&b), buf_len(&b), JWS_HEADER_DEPTH,
	    &h)) != 0)
		goto out;
	r = jws_header_check(h, out, why);
out:
	json_decref(h);
	buf_clear(&b);
	return r;
}

int
jws_parse(const char *token, size_t n, struct jws *out, const char **why)
{
	const char *dot1, *dot2, *end = token + n;
	int r;

	*out = (struct jws){ .token = token, .len = n };
	buf_init(&out->payload, PROTO_TOKEN_MAX);
	buf_init(&out->sig, JWS_SIG_MAX);
	*why = "the token is too long";
	if (n > PROTO_TOKEN_MAX)
		return ERR_TOOBIG;
	*why = "the token does not consist of three segments";
	if ((dot1 = memchr(token, '.', n)) == NULL ||
	    (dot2 = memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1))) == NULL ||
	    memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)) != NULL)
		return ERR_FORMAT;
	out->signed_len = (size_t)(dot2 - token);
	if ((r = jws_header(token, (size_t)(dot1 - token), out, why)) != 0)
		return r;
	*why = "the token's payload is not strict base64url";
	if ((r = b64_decode(B64_URL, dot1 + 1, (size_t)(dot2 - dot1 - 1),
	    &out->payload)) != 0)
		return r;
	*why = "the token's signature is not strict base64url";
	if ((r = b64_decode(B64_URL, dot2 + 1, (size_t)(end - dot2 - 1),
	    &out->sig)) != 0)
		return r;
	*why = "the token has no signature";
	return buf_len(&out->sig) == 0 ? ERR_DENIED : 0;
}

void
jws_clear(struct jws *j)
{
	buf_clear(&j->payload);
	buf_clear(&j->sig);
	*j = (struct jws){ 0 };
}

/* -- OpenSSL's verdict --------------------------------------------------- */

/* r and s, each exactly `half` bytes and in 1..order-1, as the DER that OpenSSL
 * reads (RFC 7518 section 3.4). */
static int
jws_ecdsa_der(const struct jws *j, const struct jwk *k, uint8_t *der,
    size_t *der_len)
{
	size_t half = j->alg->half;
	const uint8_t *raw = buf_ptr(&j->sig);
	BIGNUM *br = NULL, *bs = NULL;
	ECDSA_SIG *sig = NULL;
	int r = ERR_CRYPTO, n;

	if (buf_len(&j->sig) != 2 * half || k->order == NULL)
		return ERR_CRYPTO;
	br = BN_bin2bn(raw, (int)half, NULL);
	bs = BN_bin2bn(raw + half, (int)half, NULL);
	if (br == NULL || bs == NULL || (sig = ECDSA_SIG_new()) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	if (BN_is_zero(br) || BN_cmp(br, k->order) >= 0 || BN_is_zero(bs) ||
	    BN_cmp(bs, k->order) >= 0)
		goto out;
	if (ECDSA_SIG_set0(sig, br, bs) != 1)
		goto out;
	br = bs = NULL; /* sig's now */
	if ((n = i2d_ECDSA_SIG(sig, NULL)) <= 0 || n > JWS_DER_MAX ||
	    i2d_ECDSA_SIG(sig, &der) != n)
		goto out;
	*der_len = (size_t)n;
	r = 0;
out:
	ECDSA_SIG_free(sig);
	BN_free(br);
	BN_free(bs);
	return r;
}

/* Ed25519 alone has no digest, and OpenSSL 3.0 copies no such context. */
static bool
jws_begin(const struct jws *j, const struct jwk *k, EVP_MD_CTX *ctx)
{
	const EVP_MD_CTX *ready = k->ready[jwa_index(j->alg)];

	if (ready != NULL)
		return EVP_MD_CTX_copy_ex(ctx, ready) == 1;
	return j->alg->md == NULL &&
	       EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->key) == 1;
}

static int
jws_openssl(const struct jws *j, const struct jwk *k, const uint8_t *sig,
    size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = ERR_CRYPTO;

	if (ctx == NULL)
		return ERR_NOMEM;
	/* MUST be compared with 1: malformed signatures give -1 */
	if (jws_begin(j, k, ctx) &&
	    EVP_DigestVerify(
		ctx, sig, n, (const uint8_t *)j->token, j->signed_len) == 1)
		r = 0;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return r;
}

int
jws_key(const struct jws *j, const struct jwk_set *keys, const struct jwk **k,
    const char **why)
{
	int r = jwk_set_find(keys, j->has_kid ? j->kid : NULL, j->alg, k);

	*why = r == ERR_NOTFOUND ? "the issuer has no such key" :
	    j->has_kid ? "the key does not fit the token's algorithm" :
	    "the token names no key and several would fit";
	return r;
}

int
jws_verify(const struct jws *j, const struct jwk_set *keys, uint32_t allowed,
    const char **why)
{
	uint8_t der[JWS_DER_MAX];
	const struct jwk *k;
	const uint8_t *sig;
	size_t n;
	int r;

	*why = "the issuer is not allowed this algorithm";
	if ((jwa_bit(j->alg) & allowed) == 0)
		return ERR_DENIED;
	if ((r = jws_key(j, keys, &k, why)) != 0)
		return r;
	*why = "the signature is wrong";
	sig = buf_ptr(&j->sig);
	n = buf_len(&j->sig);
	if (j->alg->half != 0) {
		if ((r = jws_ecdsa_der(j, k, der, &n)) != 0)
			return r;
		sig = der;
	} else if (n != (size_t)EVP_PKEY_get_size(k->key)) {
		return ERR_CRYPTO;
	}
	return jws_openssl(j, k, sig, n);
}

int
jws_digest(const struct jws *j, uint8_t out[32])
{
	if (EVP_Digest(j->token, j->signed_len, out, NULL, EVP_sha256(),
	    NULL) != 1)
		return ERR_CRYPTO;
	return 0;
}
