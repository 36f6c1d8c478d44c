/*
 * JSON Web Keys to OpenSSL keys.  Runs in postern-oidc on what an issuer's web
 * server sent: TLS says who sent it, nothing says that it is sane.
 */
#include "config.h"

#include "broker/jwk.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "broker/jsonin.h"
#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"

#define JWK_DEPTH 8
#define JWK_E_MAX 64 /* bits; OpenSSL's own bound for large moduli */
#define JWK_POINT_MAX (1 + 2 * 66)

/* -- one key ------------------------------------------------------------- */

/* A base64url member as bytes.  ERR_FORMAT: missing, empty or misspelt. */
static int
jwk_bytes(const json_t *j, const char *member, size_t max, struct buf *out)
{
	const char *s = jsonin_str(j, member, NULL);

	buf_init(out, max);
	if (s == NULL || *s == '\0')
		return ERR_FORMAT;
	return b64_decode(B64_URL, s, strlen(s), out);
}

/* A big-endian number.  RFC 7518 section 6.3.1.1 forbids leading zeros, but
 * issuers written in Java send one, their sign byte. */
static int
jwk_number(const json_t *j, const char *member, size_t max, BIGNUM **out)
{
	const uint8_t *p;
	struct buf b;
	size_t n;
	int r;

	if ((r = jwk_bytes(j, member, max + 1, &b)) != 0)
		goto out;
	p = buf_ptr(&b);
	n = buf_len(&b);
	if (n > 1 && p[0] == 0) {
		p++;
		n--;
	}
	r = ERR_FORMAT;
	if (p[0] == 0 || n > max)
		goto out;
	r = (*out = BN_bin2bn(p, (int)n, NULL)) == NULL ? ERR_NOMEM : 0;
out:
	buf_clear(&b);
	return r;
}

/* Makes the public key of a type ("RSA", "EC") from its parameters. */
static int
jwk_import(const char *type, OSSL_PARAM_BLD *bld, EVP_PKEY **out)
{
	EVP_PKEY_CTX *ctx = NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;
	int r = ERR_NOMEM;

	if ((params = OSSL_PARAM_BLD_to_param(bld)) == NULL ||
	    (ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL)) == NULL)
		goto out;
	r = ERR_CRYPTO;
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

/* The fingerprint of primes made by Infineon's broken generator (CVE-2017-15361,
 * Nemec and others, "The Return of Coppersmith's Attack", CCS 2017): modulo each
 * of these primes, such a modulus is a power of 65537. */
static bool
jwk_rsa_roca(const BIGNUM *n)
{
	static const uint8_t prime[] = { 3, 5, 7, 11, 13, 17, 19, 23, 29, 31,
		37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
		103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163,
		167 };

	for (size_t i = 0; i < sizeof(prime); i++) {
		BN_ULONG p = prime[i], m = BN_mod_word(n, p), x = 1;
		bool power = false;

		for (BN_ULONG k = 0; k < p && !power; k++) {
			power = x == m;
			x = x * (65537 % p) % p;
		}
		if (!power)
			return false;
	}
	return true;
}

static bool
jwk_rsa_sane(const BIGNUM *n, const BIGNUM *e)
{
	int bits = BN_num_bits(n);

	if (bits < JWK_RSA_MIN || bits > JWK_RSA_MAX || !BN_is_odd(n))
		return false;
	if (BN_num_bits(e) > JWK_E_MAX || !BN_is_odd(e) || BN_is_one(e))
		return false;
	return !jwk_rsa_roca(n);
}

static int
jwk_rsa(const json_t *j, struct jwk *k)
{
	BIGNUM *n = NULL, *e = NULL;
	OSSL_PARAM_BLD *bld = NULL;
	int r;

	if ((r = jwk_number(j, "n", JWK_RSA_MAX / 8, &n)) != 0 ||
	    (r = jwk_number(j, "e", JWK_E_MAX / 8, &e)) != 0)
		goto out;
	r = ERR_CRYPTO;
	if (!jwk_rsa_sane(n, e))
		goto out;
	r = ERR_NOMEM;
	if ((bld = OSSL_PARAM_BLD_new()) == NULL ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		goto out;
	k->kind = JWK_RSA;
	r = jwk_import("RSA", bld, &k->key);
out:
	OSSL_PARAM_BLD_free(bld);
	BN_free(n);
	BN_free(e);
	return r;
}

static const struct curve {
	const char *crv; /* OpenSSL has the same names */
	enum jwk_kind kind;
	int nid;
	size_t field; /* bytes of a coordinate, always all of them */
} curves[] = {
	{ "P-256", JWK_P256, NID_X9_62_prime256v1, 32 },
	{ "P-384", JWK_P384, NID_secp384r1, 48 },
	{ "P-521", JWK_P521, NID_secp521r1, 66 },
};

/* 0x04, x, y: the uncompressed point of SEC 1 section 2.3.3. */
static int
jwk_point(const json_t *j, const struct curve *c, uint8_t *point)
{
	static const char *const member[] = { "x", "y" };
	int r = ERR_INTERNAL;

	*point++ = 0x04;
	for (size_t i = 0; i < 2; i++) {
		struct buf b;

		r = jwk_bytes(j, member[i], c->field, &b);
		if (r == 0 && buf_len(&b) != c->field)
			r = ERR_FORMAT;
		if (r == 0)
			memcpy(point, buf_ptr(&b), c->field);
		point += c->field;
		buf_clear(&b);
		if (r != 0)
			break;
	}
	return r;
}

static int
jwk_order(int nid, BIGNUM **out)
{
	EC_GROUP *g = EC_GROUP_new_by_curve_name(nid);

	if (g != NULL)
		*out = BN_dup(EC_GROUP_get0_order(g));
	EC_GROUP_free(g);
	return *out == NULL ? ERR_NOMEM : 0;
}

static int
jwk_ec(const json_t *j, struct jwk *k)
{
	const char *crv = jsonin_str(j, "crv", NULL);
	const struct curve *c = NULL;
	uint8_t point[JWK_POINT_MAX];
	OSSL_PARAM_BLD *bld = NULL;
	int r;

	for (size_t i = 0; crv != NULL && i < 3; i++) {
		if (strcmp(crv, curves[i].crv) == 0)
			c = &curves[i];
	}
	if (c == NULL)
		return ERR_NOTFOUND;
	if ((r = jwk_point(j, c, point)) != 0 ||
	    (r = jwk_order(c->nid, &k->order)) != 0)
		goto out;
	r = ERR_NOMEM;
	if ((bld = OSSL_PARAM_BLD_new()) == NULL ||
	    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
	    c->crv, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
	    point, 1 + 2 * c->field) != 1)
		goto out;
	k->kind = c->kind;
	r = jwk_import("EC", bld, &k->key); /* refuses points off the curve */
out:
	OSSL_PARAM_BLD_free(bld);
	return r;
}

/* RFC 8725 section 3.4, RFC 8032 section 5.1.3: the point's y below the prime,
 * and none of the eight points of small order, with which some signatures are
 * good for every text.  That it is on the curve OpenSSL sees when it verifies.
 */
static bool
jwk_ed25519_sane(const uint8_t *x)
{
	static const uint8_t small[][32] = {
		{ 0 },
		{ 1 },
		{ 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3,
		    0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05,
		    0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
		    0xfc, 0x05 },
		{ 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c,
		    0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa,
		    0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
		    0x03, 0x7a },
	};
	uint8_t y[32];
	bool high;

	memcpy(y, x, sizeof(y));
	y[31] &= 0x7f; /* the sign of x */
	for (size_t k = 0; k < sizeof(small) / sizeof(small[0]); k++) {
		if (memcmp(y, small[k], sizeof(y)) == 0)
			return false;
	}
	high = y[31] == 0x7f; /* the prime is 0x7f, 30 times 0xff, 0xed */
	for (size_t i = 1; i < 31; i++)
		high = high && y[i] == 0xff;
	return !high || y[0] < 0xec;
}

static int
jwk_okp(const json_t *j, struct jwk *k)
{
	const char *crv = jsonin_str(j, "crv", NULL);
	struct buf x;
	int r;

	if (crv == NULL || strcmp(crv, "Ed25519") != 0)
		return ERR_NOTFOUND;
	if ((r = jwk_bytes(j, "x", 32, &x)) != 0)
		goto out;
	r = ERR_FORMAT;
	if (buf_len(&x) != 32 || !jwk_ed25519_sane(buf_ptr(&x)))
		goto out;
	k->kind = JWK_ED25519;
	k->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
	    buf_ptr(&x), 32);
	r = k->key == NULL ? ERR_CRYPTO : 0;
out:
	buf_clear(&x);
	return r;
}

/* `use` and `key_ops`, where they are given, must speak of signatures;
 * "jwt-svid" is how SPIFFE bundles call it (SPIFFE-JWT-SVID, section 6). */
static bool
jwk_for_signatures(const json_t *j)
{
	const json_t *ops = json_object_get(j, "key_ops"), *op;
	const char *use;
	bool set, verify = false;
	size_t i;

	use = jsonin_str(j, "use", &set);
	if (set && (use == NULL || (strcmp(use, "sig") != 0 &&
				       strcmp(use, "jwt-svid") != 0)))
		return false;
	if (ops == NULL)
		return true;
	if (!json_is_array(ops))
		return false;
	json_array_foreach (ops, i, op) {
		const char *s = json_string_value(op);

		if (s == NULL)
			return false;
		verify = verify || strcmp(s, "verify") == 0;
	}
	return verify;
}

/* `kid` and `alg`, where they are given. */
static int
jwk_labels(const json_t *j, struct jwk *k)
{
	const char *s;
	bool set;

	s = jsonin_str(j, "kid", &set);
	if (set && (s == NULL || *s == '\0' || strlen(s) > JWK_KID_MAX))
		return ERR_FORMAT;
	if (set && (k->kid = strdup(s)) == NULL)
		return ERR_NOMEM;
	s = jsonin_str(j, "alg", &set);
	if (set && (s == NULL || (k->alg = jwa_find(s)) == NULL ||
	    k->alg->kind != k->kind))
		return ERR_NOTFOUND;
	return 0;
}

static int
jwk_pem(struct jwk *k)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;
	int r = ERR_NOMEM;

	if (bio == NULL || PEM_write_bio_PUBKEY(bio, k->key) != 1 ||
	    (n = BIO_get_mem_data(bio, &p)) <= 0 ||
	    (k->pem = strndup(p, (size_t)n)) == NULL)
		goto out;
	k->pem_len = (size_t)n;
	r = 0;
out:
	BIO_free(bio);
	return r;
}

static bool
jwk_fits(const struct jwk *k, const struct jwa *a)
{
	return k->kind == a->kind && (k->alg == NULL || k->alg == a);
}

/* RFC 7518 section 3.5: the salt is as long as the digest. */
static bool
jwk_pss(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) ==
		   1;
}

/* Once for a key what else were done again for every token. */
static int
jwk_ready(struct jwk *k)
{
	EVP_PKEY_CTX *ctx;

	for (size_t i = 0; i < JWA_ROWS; i++) {
		const struct jwa *a = jwa_row(i);

		if (!jwk_fits(k, a) || a->md == NULL)
			continue;
		if ((k->ready[i] = EVP_MD_CTX_new()) == NULL)
			return ERR_NOMEM;
		if (EVP_DigestVerifyInit(
			k->ready[i], &ctx, a->md(), NULL, k->key) != 1 ||
		    (a->pss && !jwk_pss(ctx)))
			return ERR_CRYPTO;
	}
	return 0;
}

static void
jwk_clear(struct jwk *k)
{
	for (size_t i = 0; i < JWA_ROWS; i++)
		EVP_MD_CTX_free(k->ready[i]);
	free(k->kid);
	EVP_PKEY_free(k->key);
	BN_free(k->order);
	free(k->pem);
	*k = (struct jwk){ 0 };
}

static int
jwk_parse(const json_t *j, struct jwk *k)
{
	static const struct {
		const char *kty;
		int (*parse)(const json_t *, struct jwk *);
	} kinds[] = { { "RSA", jwk_rsa }, { "EC", jwk_ec }, { "OKP", jwk_okp } };
	const char *kty = jsonin_str(j, "kty", NULL);
	int r = ERR_NOTFOUND;

	if (kty == NULL || !jwk_for_signatures(j))
		return ERR_NOTFOUND;
	/* A published private key signs for everybody. */
	if (json_object_get(j, "d") != NULL || json_object_get(j, "k") != NULL)
		return ERR_DENIED;
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(kty, kinds[i].kty) == 0)
			r = kinds[i].parse(j, k);
	}
	if (r != 0 || (r = jwk_labels(j, k)) != 0 || (r = jwk_pem(k)) != 0 ||
	    (r = jwk_ready(k)) != 0)
		jwk_clear(k);
	return r;
}

/* -- the set ------------------------------------------------------------- */

static bool
jwk_kid_is(const struct jwk *k, const char *kid)
{
	return k->kid != NULL && strcmp(k->kid, kid) == 0;
}

static int
jwk_set_fill(const json_t *keys, struct jwk_set *s, const char **why)
{
	const json_t *j;
	size_t i;
	int r;

	json_array_foreach (keys, i, j) {
		struct jwk k = { 0 };

		if ((r = jwk_parse(j, &k)) == ERR_NOMEM)
			return r;
		ERR_clear_error();
		if (r != 0) {
			s->skipped++;
			continue;
		}
		for (size_t o = 0; k.kid != NULL && o < s->n; o++) {
			if (!jwk_kid_is(&s->key[o], k.kid))
				continue;
			jwk_clear(&k);
			*why = "two keys of the set have the same kid";
			return ERR_FORMAT;
		}
		s->key[s->n++] = k;
	}
	return 0;
}

int
jwk_set_parse(const void *p, size_t n, struct jwk_set **out, const char **why)
{
	json_t *j = NULL, *keys;
	struct jwk_set *s = NULL;
	int r;

	*why = "the key set is too long";
	if (n > JWK_SET_MAX)
		return ERR_TOOBIG;
	*why = "the key set is not a JSON object";
	if ((r = jsonin_load(p, n, JWK_DEPTH, &j)) != 0)
		goto out;
	keys = json_object_get(j, "keys");
	r = ERR_FORMAT;
	*why = "the key set has no array \"keys\"";
	if (!json_is_array(keys))
		goto out;
	r = ERR_TOOBIG;
	*why = "the key set has too many keys";
	if (json_array_size(keys) > JWK_KEYS_MAX)
		goto out;
	r = ERR_NOMEM;
	*why = "out of memory";
	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (r = jwk_set_fill(keys, s, why)) != 0)
		goto out;
	*out = s;
	s = NULL;
	r = 0;
out:
	jwk_set_free(s);
	json_decref(j);
	return r;
}

void
jwk_set_free(struct jwk_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		jwk_clear(&s->key[i]);
	free(s);
}

int
jwk_set_find(const struct jwk_set *s, const char *kid, const struct jwa *a,
    const struct jwk **out)
{
	const struct jwk *found = NULL;

	for (size_t i = 0; i < s->n; i++) {
		const struct jwk *k = &s->key[i];

		if (kid == NULL ? !jwk_fits(k, a) : !jwk_kid_is(k, kid))
			continue;
		if (found != NULL)
			return ERR_DENIED; /* ambiguous: nobody guesses */
		found = k;
	}
	if (found == NULL)
		return ERR_NOTFOUND;
	if (!jwk_fits(found, a))
		return ERR_DENIED;
	*out = found;
	return 0;
}
