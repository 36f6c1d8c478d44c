/*
 * Verifying SSH signatures.  Runs wherever a certificate is looked at, and in
 * the signer on what an ssh-agent answers.  Distrusts every byte of key and
 * signature; what has more than one form is taken in one of them alone.
 */
#include "config.h"

#include "ssh/sig.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "ssh/pubkey.h"

#define ED25519_SIG_LEN 64
#define ECDSA_DER_MAX 160 /* two numbers of 66 bytes, and their frames */
#define COMPONENT_MAX 67  /* bytes of such a number as an mpint */

/* What a key of that kind signs with.  group and hash are OpenSSL's names. */
static const struct scheme {
	const char *key, *sig, *group;
	const EVP_MD *(*hash)(void);
} schemes[] = {
	{ "ssh-ed25519", "ssh-ed25519", NULL, NULL },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "P-256", EVP_sha256 },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "P-384", EVP_sha384 },
	{ "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "P-521", EVP_sha512 },
	{ "ssh-rsa", "rsa-sha2-512", NULL, EVP_sha512 },
};

static const struct scheme *
find_scheme(const struct pubkey_kind *k)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strcmp(schemes[i].key, k->name) == 0)
			return &schemes[i];
	}
	return NULL;
}

/* -- the key --------------------------------------------------------------- */

static int
key_from(const char *type, OSSL_PARAM_BLD *bld, EVP_PKEY **out)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;
	int r = ERR_NOMEM;

	if (params == NULL || ctx == NULL)
		goto out;
	r = ERR_FORMAT; /* a point that is not on its curve, and the like */
	if (EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		goto out;
	*out = key;
	r = 0;
out:
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return r;
}

static int
key_ecdsa(struct buf *b, const struct scheme *s, EVP_PKEY **out)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	const uint8_t *curve, *point;
	size_t n;
	int r;

	if (bld == NULL)
		return ERR_NOMEM;
	if ((r = buf_get_view(b, 64, &curve, &n)) == 0 &&
	    (r = buf_get_view(b, PUBKEY_BLOB_MAX, &point, &n)) == 0 &&
	    (OSSL_PARAM_BLD_push_utf8_string(
		 bld, OSSL_PKEY_PARAM_GROUP_NAME, s->group, 0) != 1 ||
		OSSL_PARAM_BLD_push_octet_string(
		    bld, OSSL_PKEY_PARAM_PUB_KEY, point, n) != 1))
		r = ERR_NOMEM;
	if (r == 0)
		r = key_from("EC", bld, out);
	OSSL_PARAM_BLD_free(bld);
	return r;
}

static int
key_rsa(struct buf *b, EVP_PKEY **out)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn_e = NULL, *bn_n = NULL;
	const uint8_t *e, *modulus;
	size_t ne, nm;
	int r;

	if ((r = buf_get_view(b, PUBKEY_BLOB_MAX, &e, &ne)) != 0 ||
	    (r = buf_get_view(b, PUBKEY_BLOB_MAX, &modulus, &nm)) != 0)
		goto out;
	r = ERR_NOMEM;
	if (bld == NULL || (bn_e = BN_bin2bn(e, (int)ne, NULL)) == NULL ||
	    (bn_n = BN_bin2bn(modulus, (int)nm, NULL)) == NULL ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) != 1 ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) != 1)
		goto out;
	r = key_from("RSA", bld, out);
out:
	BN_free(bn_e);
	BN_free(bn_n);
	OSSL_PARAM_BLD_free(bld);
	return r;
}

static int
key_ed25519(struct buf *b, EVP_PKEY **out)
{
	const uint8_t *raw;
	size_t n;
	int r;

	if ((r = buf_get_view(b, PUBKEY_BLOB_MAX, &raw, &n)) != 0)
		return r;
	*out = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, n);
	return *out == NULL ? ERR_CRYPTO : 0;
}

static int
key_read(const void *blob, size_t n, const struct scheme **sp, EVP_PKEY **out)
{
	const struct pubkey_kind *k = NULL;
	const struct scheme *s;
	struct buf b;
	int r;

	if ((r = pubkey_check(blob, n, &k)) != 0)
		return r == ERR_TOOBIG ? r : ERR_FORMAT;
	if ((s = find_scheme(k)) == NULL)
		return ERR_FORMAT;
	buf_view(&b, blob, n);
	if ((r = buf_skip(&b, 4 + strlen(k->name))) != 0)
		return r;
	*sp = s;
	if (s->group != NULL)
		return key_ecdsa(&b, s, out);
	return s->hash != NULL ? key_rsa(&b, out) : key_ed25519(&b, out);
}

/* -- the signature --------------------------------------------------------- */

/* A positive mpint in its one form (RFC 4251 section 5). */
static int
get_component(struct buf *b, BIGNUM **out)
{
	const uint8_t *p;
	size_t n;
	int r;

	if ((r = buf_get_view(b, COMPONENT_MAX, &p, &n)) != 0)
		return r == ERR_TOOBIG ? ERR_FORMAT : r;
	if (n == 0 || (p[0] & 0x80) != 0 ||
	    (p[0] == 0 && (n == 1 || (p[1] & 0x80) == 0)))
		return ERR_FORMAT;
	*out = BN_bin2bn(p, (int)n, NULL);
	return *out == NULL ? ERR_NOMEM : 0;
}

/* As OpenSSL wants it: the two numbers in DER. */
static int
ecdsa_der(struct buf *in, uint8_t der[ECDSA_DER_MAX], size_t *n)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *bn_r = NULL, *bn_s = NULL;
	uint8_t *at = der;
	int len, r;

	if (sig == NULL)
		return ERR_NOMEM;
	if ((r = get_component(in, &bn_r)) != 0 ||
	    (r = get_component(in, &bn_s)) != 0 || (r = buf_end(in)) != 0)
		goto out;
	r = ERR_CRYPTO;
	if (ECDSA_SIG_set0(sig, bn_r, bn_s) != 1)
		goto out;
	bn_r = bn_s = NULL; /* sig's */
	if ((len = i2d_ECDSA_SIG(sig, NULL)) <= 0 || len > ECDSA_DER_MAX ||
	    i2d_ECDSA_SIG(sig, &at) != len)
		goto out;
	*n = (size_t)len;
	r = 0;
out:
	BN_free(bn_r);
	BN_free(bn_s);
	ECDSA_SIG_free(sig);
	return r;
}

static int
verify(EVP_PKEY *key, const struct scheme *s, const uint8_t *sig, size_t nsig,
    const struct buf *data)
{
	const EVP_MD *hash = s->hash == NULL ? NULL : s->hash();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = ERR_CRYPTO;

	if (ctx == NULL)
		return ERR_NOMEM;
	if (EVP_DigestVerifyInit(ctx, NULL, hash, NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, sig, nsig, buf_ptr(data), buf_len(data)) == 1)
		r = 0;
	EVP_MD_CTX_free(ctx);
	return r;
}

/* The signature's own bytes, whose form is the scheme's. */
static int
verify_inner(EVP_PKEY *key, const struct scheme *s, const uint8_t *p, size_t n,
    const struct buf *data)
{
	uint8_t der[ECDSA_DER_MAX];
	struct buf in;
	int r;

	if (s->group != NULL) {
		buf_view(&in, p, n);
		if ((r = ecdsa_der(&in, der, &n)) != 0)
			return r;
		return verify(key, s, der, n, data);
	}
	if (n != (s->hash == NULL ? ED25519_SIG_LEN
				  : (size_t)EVP_PKEY_get_size(key)))
		return ERR_FORMAT;
	return verify(key, s, p, n, data);
}

int
sig_verify(const void *key, size_t nkey, const void *sig, size_t nsig,
    const void *data, size_t n)
{
	const struct scheme *s = NULL;
	const uint8_t *name, *inner;
	EVP_PKEY *pkey = NULL;
	struct buf b, text;
	size_t nname, ninner;
	int r;

	buf_view(&b, sig, nsig);
	buf_view(&text, data, n);
	if ((r = key_read(key, nkey, &s, &pkey)) != 0)
		return r;
	if (buf_get_view(&b, 64, &name, &nname) != 0 ||
	    buf_get_view(&b, SIG_BLOB_MAX, &inner, &ninner) != 0 ||
	    buf_end(&b) != 0 || nname != strlen(s->sig) ||
	    memcmp(name, s->sig, nname) != 0)
		r = ERR_FORMAT;
	else
		r = verify_inner(pkey, s, inner, ninner, &text);
	EVP_PKEY_free(pkey);
	return r;
}
