/*
 * A little issuer for the unit tests.  Signs with OpenSSL, so it shares no code
 * with what it tests but base64.
 */
#include "config.h"

#include "tests/unit/mint.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "broker/jwa.h"
#include "lib/b64.h"
#include "lib/buf.h"

#define MUST(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

EVP_PKEY *
mint_rsa(unsigned int bits)
{
	EVP_PKEY *k = EVP_RSA_gen(bits);

	MUST(k != NULL);
	return k;
}

EVP_PKEY *
mint_ec(const char *curve)
{
	EVP_PKEY *k = EVP_EC_gen(curve);

	MUST(k != NULL);
	return k;
}

EVP_PKEY *
mint_ed25519(void)
{
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	MUST(k != NULL);
	return k;
}

void
mint_b64(struct buf *out, const void *p, size_t n)
{
	MUST(b64_encode(B64_URL, p, n, out) == 0);
}

static void
mint_bn(struct buf *out, const char *name, const BIGNUM *n, int width)
{
	unsigned char d[2048];
	int len = width > 0 ? width : BN_num_bytes(n);

	MUST(len <= (int)sizeof(d) && BN_bn2binpad(n, d, len) == len);
	MUST(buf_putf(out, ",\"%s\":\"", name) == 0);
	mint_b64(out, d, (size_t)len);
	MUST(buf_put(out, "\"", 1) == 0);
}

static void
mint_more(struct buf *out, const char *more)
{
	if (more != NULL && *more != '\0')
		MUST(buf_putf(out, ",%s", more) == 0);
	MUST(buf_put(out, "}", 1) == 0);
}

void
mint_jwk_rsa(struct buf *out, const BIGNUM *n, const BIGNUM *e,
    const char *more)
{
	MUST(buf_putf(out, "{\"kty\":\"RSA\"") == 0);
	mint_bn(out, "n", n, 0);
	mint_bn(out, "e", e, 0);
	mint_more(out, more);
}

static void
mint_jwk_ec(struct buf *out, EVP_PKEY *key, const char *more)
{
	BIGNUM *x = NULL, *y = NULL;
	char crv[32];
	size_t n;

	MUST(EVP_PKEY_get_group_name(key, crv, sizeof(crv), &n) == 1);
	MUST(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1);
	MUST(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1);
	MUST(buf_putf(out, "{\"kty\":\"EC\",\"crv\":\"%s\"",
	    strcmp(crv, "prime256v1") == 0 ? "P-256" :
	    strcmp(crv, "secp384r1") == 0 ? "P-384" : "P-521") == 0);
	mint_bn(out, "x", x, (EVP_PKEY_get_bits(key) + 7) / 8);
	mint_bn(out, "y", y, (EVP_PKEY_get_bits(key) + 7) / 8);
	mint_more(out, more);
	BN_free(x);
	BN_free(y);
}

void
mint_jwk(struct buf *out, EVP_PKEY *key, const char *more)
{
	BIGNUM *n = NULL, *e = NULL;
	unsigned char x[32];
	size_t len = sizeof(x);

	if (EVP_PKEY_is_a(key, "RSA")) {
		MUST(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N,
		    &n) == 1);
		MUST(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E,
		    &e) == 1);
		mint_jwk_rsa(out, n, e, more);
		BN_free(n);
		BN_free(e);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		mint_jwk_ec(out, key, more);
	} else {
		MUST(EVP_PKEY_get_raw_public_key(key, x, &len) == 1);
		MUST(buf_putf(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		    "\"x\":\"") == 0);
		mint_b64(out, x, len);
		MUST(buf_put(out, "\"", 1) == 0);
		mint_more(out, more);
	}
}

/* DER to r and s, each `half` bytes. */
static void
mint_raw(struct buf *out, const unsigned char *der, size_t n, size_t half)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	unsigned char raw[132];

	MUST(sig != NULL);
	MUST(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)half) > 0);
	MUST(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, (int)half) > 0);
	MUST(buf_put(out, raw, 2 * half) == 0);
	ECDSA_SIG_free(sig);
}

void
mint_openssl(
    struct buf *out, EVP_PKEY *key, const char *alg, const void *p, size_t n)
{
	const struct jwa *a = jwa_find(alg);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	unsigned char sig[1024];
	size_t len = sizeof(sig);

	MUST(a != NULL && ctx != NULL);
	MUST(EVP_DigestSignInit(ctx, &pctx, a->md == NULL ? NULL : a->md(),
	    NULL, key) == 1);
	if (a->pss) {
		MUST(EVP_PKEY_CTX_set_rsa_padding(pctx,
		    RSA_PKCS1_PSS_PADDING) == 1);
		MUST(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx,
		    RSA_PSS_SALTLEN_DIGEST) == 1);
	}
	MUST(EVP_DigestSign(ctx, sig, &len, p, n) == 1);
	MUST(buf_put(out, sig, len) == 0);
	EVP_MD_CTX_free(ctx);
}

void
mint_signature(
    struct buf *out, EVP_PKEY *key, const char *alg, const void *p, size_t n)
{
	const struct jwa *a = jwa_find(alg);
	struct buf sig;

	buf_init(&sig, 1024);
	mint_openssl(&sig, key, alg, p, n);
	if (a->half != 0)
		mint_raw(out, buf_ptr(&sig), buf_len(&sig), a->half);
	else
		MUST(buf_put(out, buf_ptr(&sig), buf_len(&sig)) == 0);
	buf_clear(&sig);
}

void
mint_token(struct buf *out, EVP_PKEY *key, const char *alg,
    const char *header, const char *payload)
{
	struct buf sig;

	buf_init(&sig, 2048);
	mint_b64(out, header, strlen(header));
	MUST(buf_put(out, ".", 1) == 0);
	mint_b64(out, payload, strlen(payload));
	mint_signature(&sig, key, alg, buf_ptr(out), buf_len(out));
	MUST(buf_put(out, ".", 1) == 0);
	mint_b64(out, buf_ptr(&sig), buf_len(&sig));
	buf_clear(&sig);
}
