/*
 * Tokens that are nearly right: each is made of a header, a payload and a
 * signature that may be changed at every step from JSON to text.
 */
#include "config.h"

#include "tests/broker/mutate.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "lib/buf.h"
#include "tests/unit/mint.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MUTATE_MAX (64 * 1024)

static const char *const kinds[MUTATE_KEYS] = { "rsa", "p256", "p384", "p521" };

static const struct {
	const char *alg;
	size_t key;
} algs[] = { { "RS256", 0 }, { "RS384", 0 }, { "RS512", 0 }, { "ES256", 1 },
	{ "ES384", 2 }, { "ES512", 3 } };

uint64_t
mutate_random(struct mutate_rng *g, uint64_t below)
{
	uint64_t z = g->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

static bool
one_in(struct mutate_rng *g, uint64_t n)
{
	return mutate_random(g, n) == 0;
}

/* One of a list, mostly the first. */
#define PICK(g, list) ((list)[one_in(g, 2) ? mutate_random(g, LEN(list)) : 0])

void
mutate_keys_make(struct mutate_keys *k)
{
	static const char *const curve[] = { NULL, "P-256", "P-384", "P-521" };

	for (size_t i = 0; i < MUTATE_KEYS; i++) {
		k->right[i] = i == 0 ? mint_rsa(2048) : mint_ec(curve[i]);
		k->wrong[i] = i == 0 ? mint_rsa(2048) : mint_ec(curve[i]);
	}
}

void
mutate_keys_free(struct mutate_keys *k)
{
	for (size_t i = 0; i < MUTATE_KEYS; i++) {
		EVP_PKEY_free(k->right[i]);
		EVP_PKEY_free(k->wrong[i]);
	}
}

void
mutate_keys_set(struct buf *out, const struct mutate_keys *k)
{
	char kid[32];

	(void)buf_putf(out, "{\"keys\":[");
	for (size_t i = 0; i < MUTATE_KEYS; i++) {
		(void)snprintf(kid, sizeof(kid), "\"kid\":\"%s\"", kinds[i]);
		if (i > 0)
			(void)buf_putf(out, ",");
		mint_jwk(out, k->right[i], kid);
	}
	(void)buf_putf(out, "]}");
}

/* -- bytes ----------------------------------------------------------------- */

/* Changes text at a random place: a byte flipped, replaced, put in, taken out,
 * or the rest cut off. */
static void
edit(struct buf *b, struct mutate_rng *g, const char *with)
{
	uint8_t *d = b->d + b->off;
	size_t n = buf_len(b), at, tail;
	uint8_t c = (uint8_t)with[mutate_random(g, strlen(with))], *p;

	if (n == 0)
		return;
	at = mutate_random(g, n);
	tail = n - at - 1;
	switch (mutate_random(g, 5)) {
	case 0:
		d[at] ^= (uint8_t)(1U << mutate_random(g, 8));
		break;
	case 1:
		d[at] = c;
		break;
	case 2:
		memmove(d + at, d + at + 1, tail);
		b->len--;
		break;
	case 3:
		if (buf_reserve(b, 1, &p) != 0)
			abort();
		d = b->d + b->off;
		memmove(d + at + 1, d + at, n - at);
		d[at] = c;
		break;
	default:
		b->len -= tail;
	}
}

/* -- header and payload, before they are signed ------------------------------
 */

static void
put_header(
    struct buf *b, struct mutate_rng *g, const char *alg, const char *kid)
{
	static const char *const more[] = { "", ",\"typ\":\"JWT\"",
		",\"typ\":\"jwt\"", ",\"typ\":\"JOSE\"", ",\"typ\":null",
		",\"typ\":7", ",\"x5t\":\"abc\"", ",\"a\":{\"b\":[1,2.5]}",
		",\"crit\":[\"exp\"]", ",\"b64\":false", ",\"jwk\":{}",
		",\"cty\":\"JWT\"", ",\"alg\":\"none\"", ",\"kid\":\"rsa\"",
		",\"a\":\"\\u0000\"", ",\"a\":\"\xc3\xa4\"", ",\"a\":-0",
		",\"\":0", ",\"a\":1e5", ",\"a\":18446744073709551616" };
	static const char *const odd[] = { "none", "HS256", "PS256", "EdDSA",
		"rs256", "es256", "RS256", "RS512", "ES256", "ES384", "ES512",
		"\\u0052S256", "RS256\\u0000", "", "ES256K" };
	const char *space = one_in(g, 8) ? " \n\t" : "";

	if (one_in(g, 12))
		alg = odd[mutate_random(g, LEN(odd))];
	if (one_in(g, 12))
		kid = kinds[mutate_random(g, LEN(kinds))];
	if (one_in(g, 8))
		(void)buf_putf(b, "{%s\"alg\":\"%s\"%s%s}", space, alg,
		    PICK(g, more), space);
	else
		(void)buf_putf(b, "{%s\"alg\":%s\"%s\",\"kid\":\"%s\"%s}%s",
		    space, space, alg, kid, PICK(g, more), space);
}

static void
put_payload(struct buf *b, struct mutate_rng *g)
{
	static const char *const more[] = { "", ",\"exp\":1700000000",
		",\"exp\":1.5", ",\"exp\":\"x\"", ",\"exp\":-1",
		",\"nbf\":null", ",\"sub\":\"b\"",
		",\"a\":{\"b\":{\"c\":[true,false,null]}}",
		",\"a\":\"\\u0000\"", ",\"a\":\"\\ud800\"",
		",\"a\":\"\\ud83d\\ude00\"", ",\"a\":\"\xf0\x9f\x98\x80\"",
		",\"a\":\"\xff\"", ",\"a\":9223372036854775807",
		",\"a\":9223372036854775808", ",\"a\":1e400", ",\"a\":1e-400",
		",\"\":\"\"", ",\"a\":[[[[[[[[[[]]]]]]]]]]",
		",\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]", ",", "}",
		"{}", ",\"a\":01", ",\"a\":+1", ",\"a\":.5", ",\"a\":\"\t\"" };

	if (one_in(g, 16)) {
		(void)buf_putf(b, "[1]");
		return;
	}
	(void)buf_putf(b, "{\"iss\":\"https://i.example\",\"sub\":\"a\"%s}%s",
	    PICK(g, more), one_in(g, 16) ? " \n" : "");
	if (one_in(g, 32))
		(void)buf_putf(b, "%cjunk", 0);
}

/* -- the signature
 * -------------------------------------------------------------- */

/* The numbers of an ECDSA signature, as they must not be, or as they may be:
 * with s also the order less s is good. */
static void
ecdsa(struct buf *sig, struct mutate_rng *g, EVP_PKEY *key)
{
	char name[32];
	size_t half = buf_len(sig) / 2, n;
	uint8_t *at = sig->d + sig->off + (one_in(g, 2) ? half : 0);
	BIGNUM *order = NULL, *v = BN_bin2bn(at, (int)half, NULL);
	EC_GROUP *group;

	if (EVP_PKEY_get_group_name(key, name, sizeof(name), &n) != 1 ||
	    (group = EC_GROUP_new_by_curve_name(OBJ_txt2nid(name))) == NULL ||
	    (order = BN_dup(EC_GROUP_get0_order(group))) == NULL || v == NULL)
		abort();
	switch (mutate_random(g, 5)) {
	case 0:
		BN_zero(v);
		break;
	case 1:
		(void)BN_copy(v, order);
		break;
	case 2:
		(void)BN_sub(v, order, v);
		break;
	case 3:
		(void)BN_add(v, order, v);
		break;
	default:
		(void)BN_one(v);
	}
	if (BN_bn2binpad(v, at, (int)half) < 0)
		memset(at, 0xff, half); /* it did not fit */
	EC_GROUP_free(group);
	BN_free(order);
	BN_free(v);
}

/* The DER that OpenSSL would like, which is not what tokens have. */
static void
as_der(struct buf *sig)
{
	size_t half = buf_len(sig) / 2;
	const uint8_t *p = buf_ptr(sig);
	ECDSA_SIG *s = ECDSA_SIG_new();
	uint8_t der[160], *end = der;

	if (s == NULL ||
	    ECDSA_SIG_set0(s, BN_bin2bn(p, (int)half, NULL),
		BN_bin2bn(p + half, (int)half, NULL)) != 1 ||
	    i2d_ECDSA_SIG(s, &end) <= 0)
		abort();
	buf_reset(sig);
	(void)buf_put(sig, der, (size_t)(end - der));
	ECDSA_SIG_free(s);
}

static void
change_signature(struct buf *sig, struct mutate_rng *g, EVP_PKEY *key)
{
	static const uint8_t zero[200];
	bool ec = EVP_PKEY_is_a(key, "EC");
	uint8_t *to;
	size_t n;

	switch (mutate_random(g, ec ? 7 : 5)) {
	case 0: /* a zero in front, where a number could have one */
		edit(sig, g, "\1");
		break;
	case 1:
		(void)buf_put(sig, zero, 1 + mutate_random(g, 8));
		break;
	case 2:
		sig->len -= 1 + mutate_random(g, buf_len(sig));
		break;
	case 3:
		memset(sig->d + sig->off, one_in(g, 2) ? 0 : 0xff,
		    1 + mutate_random(g, buf_len(sig)));
		break;
	case 4: /* twice */
		n = buf_len(sig);
		if (buf_reserve(sig, n, &to) == 0)
			memcpy(to, buf_ptr(sig), n);
		break;
	case 5:
		as_der(sig);
		break;
	default:
		ecdsa(sig, g, key);
	}
}

/* -- the whole
 * --------------------------------------------------------------------- */

static void
change_text(struct buf *b, struct mutate_rng *g)
{
	static const char *const junk[] = { "=", "==", "\n", " ", "A", "AA",
		"AAAA", ".", "..", ".AAAA", "%00", "!" };
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
				       "mnopqrstuvwxyz0123456789-_+/=. \n";

	if (one_in(g, 3))
		(void)buf_putf(b, "%s", junk[mutate_random(g, LEN(junk))]);
	else
		edit(b, g, alphabet);
}

void
mutate_token(struct buf *out, const struct mutate_keys *k, struct mutate_rng *g)
{
	size_t a = mutate_random(g, LEN(algs)), key = algs[a].key, by = a;
	EVP_PKEY *signer = one_in(g, 16) ? k->wrong[key] : k->right[key];
	struct buf header, payload, sig;

	buf_init(&header, MUTATE_MAX);
	buf_init(&payload, MUTATE_MAX);
	buf_init(&sig, MUTATE_MAX);
	put_header(&header, g, algs[a].alg, kinds[key]);
	put_payload(&payload, g);
	if (one_in(g, 16))
		edit(&header, g, "\"{}[],:\\ \x7f");
	if (one_in(g, 16))
		edit(&payload, g, "\"{}[],:\\ \x7f");
	mint_b64(out, buf_ptr(&header), buf_len(&header));
	(void)buf_put(out, ".", 1);
	mint_b64(out, buf_ptr(&payload), buf_len(&payload));
	if (one_in(g, 16) && key == 0)
		by = mutate_random(g, 3); /* another digest */
	mint_signature(&sig, signer, algs[by].alg, buf_ptr(out), buf_len(out));
	if (one_in(g, 4))
		change_signature(&sig, g, signer);
	(void)buf_put(out, ".", 1);
	mint_b64(out, buf_ptr(&sig), buf_len(&sig));
	if (one_in(g, 8))
		change_text(out, g);
	buf_clear(&header);
	buf_clear(&payload);
	buf_clear(&sig);
}
