/*
 * Key sets: what is taken, what is left out, what refuses the whole.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/evp.h>

#include "broker/jwk.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "tests/unit/mint.h"

/* A point of P-256, RFC 7515 appendix A.3. */
#define X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X "\",\"y\":\"" Y "\""
/* RFC 8037 appendix A.2 */
#define OKP "\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static int
parse(const char *text, size_t n, struct jwk_set **s)
{
	const char *why = NULL;
	int r = jwk_set_parse(text, n, s, &why);

	if (r != 0)
		assert_non_null(why);
	return r;
}

/* How many keys of a set of one are usable; -1 when the set is refused. */
static int
usable(const char *jwk)
{
	struct jwk_set *s = NULL;
	struct buf b;
	int n = -1;

	buf_init(&b, JWK_SET_MAX);
	(void)buf_putf(&b, "{\"keys\":[%s]}", jwk);
	if (parse(buf_cstr(&b), buf_len(&b), &s) == 0) {
		assert_int_equal(s->n + s->skipped, 1);
		n = (int)s->n;
	}
	jwk_set_free(s);
	buf_clear(&b);
	return n;
}

static void
t_jwk_parse_members(void **state)
{
	static const struct {
		const char *jwk;
		int usable;
	} cases[] = {
		{ "{" EC "}", 1 },
		{ "{" EC ",\"kid\":\"a\",\"use\":\"sig\",\"alg\":\"ES256\"}",
		    1 },
		{ "{" EC ",\"key_ops\":[\"verify\"]}", 1 },
		{ "{" EC ",\"key_ops\":[\"sign\",\"verify\"]}", 1 },
		{ "{" EC ",\"x5c\":[\"AAAA\"],\"x5t\":\"AA\",\"n\":1}", 1 },
		{ "{" OKP "}", 1 },
		{ "{" OKP ",\"alg\":\"EdDSA\"}", 1 },
		{ "{" OKP ",\"alg\":\"Ed25519\"}", 1 },
		{ "{" EC ",\"use\":\"jwt-svid\"}", 1 },
		/* other uses */
		{ "{" EC ",\"use\":\"x509-svid\"}", 0 },
		{ "{" EC ",\"use\":\"enc\"}", 0 },
		{ "{" EC ",\"use\":\"SIG\"}", 0 },
		{ "{" EC ",\"use\":[\"sig\"]}", 0 },
		{ "{" EC ",\"use\":null}", 0 },
		{ "{" EC ",\"key_ops\":[]}", 0 },
		{ "{" EC ",\"key_ops\":\"verify\"}", 0 },
		{ "{" EC ",\"key_ops\":[\"encrypt\"]}", 0 },
		{ "{" EC ",\"key_ops\":[\"verify\",1]}", 0 },
		/* an algorithm that is not the key's, or not known */
		{ "{" EC ",\"alg\":\"RS256\"}", 0 },
		{ "{" EC ",\"alg\":\"ES384\"}", 0 },
		{ "{" EC ",\"alg\":\"ES521\"}", 0 },
		{ "{" EC ",\"alg\":\"ECDH-ES\"}", 0 },
		{ "{" EC ",\"alg\":\"none\"}", 0 },
		{ "{" EC ",\"alg\":\"HS256\"}", 0 },
		{ "{" EC ",\"alg\":7}", 0 },
		{ "{" EC ",\"alg\":\"\"}", 0 },
		/* kid */
		{ "{" EC ",\"kid\":7}", 0 },
		{ "{" EC ",\"kid\":\"\"}", 0 },
		{ "{" EC ",\"kid\":null}", 0 },
		/* secrets that are not secret any more */
		{ "{" EC ",\"d\":\"AAAA\"}", 0 },
		{ "{" OKP ",\"d\":null}", 0 },
		{ "{" EC ",\"k\":\"AAAA\"}", 0 },
		{ "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAA\"}", 0 },
		{ "{\"kty\":\"oct\"}", 0 },
		/* kinds */
		{ "{\"kty\":\"ec\"}", 0 },
		{ "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}", 0 },
		{ "{\"kty\":7}", 0 },
		{ "{}", 0 },
		{ "7", 0 },
		{ "null", 0 },
		{ "[]", 0 },
		{ "\"x\"", 0 },
		{ "{\"kty\":\"RSA\"}", 0 },
		{ "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", 0 },
		{ "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}", 0 },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\"}", 0 },
		{ "{\"kty\":\"EC\",\"x\":\"" X "\",\"y\":\"" Y "\"}", 0 },
		{ "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" X
		  "\",\"y\":\"" Y "\"}",
		    0 },
		{ "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" X "\",\"y\":\"" Y
		  "\"}",
		    0 },
		{ "{\"kty\":\"RSA\",\"crv\":\"P-256\",\"x\":\"" X
		  "\",\"y\":\"" Y "\"}",
		    0 },
		{ "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X "\"}", 0 },
		{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", 0 },
		/* off the curve; a coordinate twice; too long; padded */
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X "\",\"y\":\"" X
		  "\"}",
		    0 },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"" Y
		  "\"}",
		    0 },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X
		  "=\",\"y\":\"" Y "\"}",
		    0 },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X
		  "AA\",\"y\":\"" Y "\"}",
		    0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (usable(cases[i].jwk) != cases[i].usable)
			fail_msg("%s", cases[i].jwk);
	}
}

/* A modulus need not be a product of two primes to be imported. */
static int
usable_rsa(int bits, const char *e_hex, bool even)
{
	BIGNUM *n = BN_new(), *e = NULL;
	struct buf b;
	int r;

	assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE,
	    BN_RAND_BOTTOM_ODD), 1);
	if (even)
		BN_sub_word(n, 1);
	assert_int_not_equal(BN_hex2bn(&e, e_hex), 0);
	buf_init(&b, 8192);
	mint_jwk_rsa(&b, n, e, "\"kid\":\"r\"");
	r = usable(buf_cstr(&b));
	buf_clear(&b);
	BN_free(n);
	BN_free(e);
	return r;
}

static void
t_jwk_rsa_sizes(void **state)
{
	static const struct {
		int bits;
		const char *e;
		int usable;
	} cases[] = {
		{ 2048, "10001", 1 }, { 2048, "3", 1 },
		{ 2047, "10001", 0 }, { 1024, "10001", 0 },
		{ 3072, "10001", 1 }, { 8192, "10001", 1 },
		{ 8193, "10001", 0 }, { 8200, "10001", 0 },
		{ 16384, "10001", 0 },
		{ 2048, "1", 0 }, { 2048, "2", 0 }, { 2048, "10000", 0 },
		{ 2048, "FFFFFFFFFFFFFFFF", 1 },
		{ 2048, "10000000000000001", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (usable_rsa(cases[i].bits, cases[i].e, false) !=
		    cases[i].usable)
			fail_msg("%d bits, e %s", cases[i].bits, cases[i].e);
	}
	assert_int_equal(usable_rsa(2048, "10001", true), 0);
}

/* A set of one RSA key whose modulus has zeros in front. */
static int
usable_zeros(size_t zeros)
{
	uint8_t n[258] = { 0 };
	struct buf b;
	int r;

	memset(n + zeros, 0xab, 256);
	buf_init(&b, 8192);
	(void)buf_putf(&b, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
	mint_b64(&b, n, 256 + zeros);
	(void)buf_putf(&b, "\"}");
	r = usable(buf_cstr(&b));
	buf_clear(&b);
	return r;
}

static void
t_jwk_rsa_zeros(void **state)
{
	(void)state;
	assert_int_equal(usable_zeros(0), 1);
	assert_int_equal(usable_zeros(1), 1); /* Java's sign byte */
	assert_int_equal(usable_zeros(2), 0);
}

/* A set of one Ed25519 key of these bytes: the first, 30 times one, the last.
 */
static int
usable_ed(uint8_t first, uint8_t middle, uint8_t last)
{
	uint8_t x[32];
	struct buf b;
	int r;

	memset(x, middle, sizeof(x));
	x[0] = first;
	x[31] = last;
	buf_init(&b, 1024);
	(void)buf_putf(&b, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
	mint_b64(&b, x, sizeof(x));
	(void)buf_putf(&b, "\"}");
	r = usable(buf_cstr(&b));
	buf_clear(&b);
	return r;
}

static void
t_jwk_ed25519_points(void **state)
{
	/* of order 8, both with either sign of x */
	static const char *const eighth[] = {
		"JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
		"JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_IU",
		"xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
		"xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA_o",
	};
	char jwk[128];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(jwk, sizeof(jwk),
		    "{\"kty\":\"OKP\","
		    "\"crv\":\"Ed25519\",\"x\":\"%s\"}",
		    eighth[i]);
		assert_int_equal(usable(jwk), 0);
	}
	for (unsigned int sign = 0; sign <= 0x80; sign += 0x80) {
		uint8_t top = (uint8_t)(0x7f | sign), none = (uint8_t)sign;

		assert_int_equal(usable_ed(0, 0, none), 0);
		assert_int_equal(usable_ed(1, 0, none), 0);
		assert_int_equal(usable_ed(2, 0, none), 1);
		/* around the prime, 2^255 - 19 */
		assert_int_equal(usable_ed(0xeb, 0xff, top), 1);
		assert_int_equal(usable_ed(0xec, 0xff, top), 0);
		for (unsigned int y = 0xed; y <= 0xff; y++)
			assert_int_equal(usable_ed((uint8_t)y, 0xff, top), 0);
		assert_int_equal(
		    usable_ed(0xff, 0xff, (uint8_t)(0x7e | sign)), 1);
		assert_int_equal(usable_ed(0xff, 0xfe, top), 1);
	}
}

static void
t_jwk_set_parse_form(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ "{\"keys\":[]}", 0 }, /* all keys withdrawn */
		{ "{\"keys\":[],\"more\":1}", 0 },
		{ "", ERR_FORMAT },
		{ "{}", ERR_FORMAT },
		{ "[]", ERR_FORMAT },
		{ "{\"keys\":{}}", ERR_FORMAT },
		{ "{\"keys\":null}", ERR_FORMAT },
		{ "{\"keys\":[]}x", ERR_FORMAT },
		{ "{\"keys\":[],\"keys\":[]}", ERR_FORMAT },
		{ "{\"keys\":[{\"a\":1,\"a\":2}]}", ERR_FORMAT },
		{ "<html>", ERR_FORMAT },
		{ "{\"keys\":[[[[[[[[[[]]]]]]]]]]}", ERR_FORMAT },
		{ "{" EC "}", ERR_FORMAT }, /* a bare key is no set */
		{ "{\"keys\":[{" EC ",\"kid\":\"a\"},{" EC
		    ",\"kid\":\"b\"}]}", 0 },
		{ "{\"keys\":[{" EC ",\"kid\":\"a\"},{" OKP
		    ",\"kid\":\"a\"}]}", ERR_FORMAT },
		{ "{\"keys\":[{" EC ",\"kid\":\"a\"},{" OKP
		    ",\"kid\":\"b\"},{" OKP ",\"kid\":\"a\"}]}", ERR_FORMAT },
		/* one of the two is of no use: nothing is ambiguous */
		{ "{\"keys\":[{" EC ",\"kid\":\"a\"},{" OKP
		    ",\"kid\":\"a\",\"use\":\"enc\"}]}", 0 },
		{ "{\"keys\":[{" EC "},{" EC "}]}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jwk_set *s = NULL;
		int r = parse(cases[i].text, strlen(cases[i].text), &s);

		if (r != cases[i].r)
			fail_msg("%s: %d", cases[i].text, r);
		if (r != 0)
			assert_null(s);
		jwk_set_free(s);
	}
	jwk_set_free(NULL);
}

static void
t_jwk_set_parse_bounds(void **state)
{
	struct jwk_set *s = NULL;
	struct buf b;

	(void)state;
	for (int n = JWK_KEYS_MAX; n <= JWK_KEYS_MAX + 1; n++) {
		buf_init(&b, JWK_SET_MAX + 16);
		(void)buf_putf(&b, "{\"keys\":[");
		for (int i = 0; i < n; i++)
			(void)buf_putf(&b, "%s{" EC ",\"kid\":\"%d\"}",
			    i == 0 ? "" : ",", i);
		(void)buf_putf(&b, "]}");
		assert_int_equal(parse(buf_cstr(&b), buf_len(&b), &s),
		    n == JWK_KEYS_MAX ? 0 : ERR_TOOBIG);
		if (n == JWK_KEYS_MAX)
			assert_int_equal(s->n, n);
		jwk_set_free(s);
		s = NULL;
		buf_clear(&b);
	}
	buf_init(&b, JWK_SET_MAX + 16);
	(void)buf_putf(&b, "{\"keys\":[],\"a\":\"%0*d\"}", JWK_SET_MAX - 18, 0);
	assert_int_equal(buf_len(&b), JWK_SET_MAX);
	assert_int_equal(parse(buf_cstr(&b), buf_len(&b), &s), 0);
	jwk_set_free(s);
	s = NULL;
	(void)buf_putf(&b, " ");
	assert_int_equal(parse(buf_cstr(&b), buf_len(&b), &s), ERR_TOOBIG);
	buf_clear(&b);
}

static void
t_jwk_set_find(void **state)
{
	static const char text[] = "{\"keys\":["
	    "{" EC ",\"kid\":\"a\",\"alg\":\"ES256\"},"
	    "{" EC "},{" OKP ",\"kid\":\"o\"},{\"kty\":\"?\"}]}";
	static const struct {
		const char *kid, *alg;
		int r, index;
	} cases[] = {
		{ "a", "ES256", 0, 0 },
		{ "a", "ES384", ERR_DENIED, 0 },
		{ "a", "RS256", ERR_DENIED, 0 },
		{ "A", "ES256", ERR_NOTFOUND, 0 },
		{ "", "ES256", ERR_NOTFOUND, 0 },
		{ NULL, "ES256", ERR_DENIED, 0 }, /* two would do */
		{ NULL, "EdDSA", 0, 2 },
		{ NULL, "RS256", ERR_NOTFOUND, 0 },
		{ "o", "EdDSA", 0, 2 },
		{ "o", "ES256", ERR_DENIED, 0 },
	};
	struct jwk_set *s = NULL;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &s), 0);
	assert_int_equal(s->n, 3);
	assert_int_equal(s->skipped, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct jwk *k = NULL;
		int r = jwk_set_find(s, cases[i].kid,
		    jwa_find(cases[i].alg), &k);

		if (r != cases[i].r)
			fail_msg("%zu: %d", i, r);
		if (r == 0)
			assert_ptr_equal(k, &s->key[cases[i].index]);
		else
			assert_null(k);
	}
	/* what libjwt will be given is the same key */
	assert_non_null(strstr(s->key[0].pem, "BEGIN PUBLIC KEY"));
	assert_int_equal(strlen(s->key[0].pem), s->key[0].pem_len);
	jwk_set_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_jwk_parse_members),
		cmocka_unit_test(t_jwk_rsa_sizes),
		cmocka_unit_test(t_jwk_rsa_zeros),
		cmocka_unit_test(t_jwk_ed25519_points),
		cmocka_unit_test(t_jwk_set_parse_form),
		cmocka_unit_test(t_jwk_set_parse_bounds),
		cmocka_unit_test(t_jwk_set_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
