/*
 * What the tools say of a token is what postern-oidc would do with it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "broker/peek.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "policy/policy.h"
#include "tests/unit/mint.h"

#define NOW 1700000000
#define HEADER "{\"alg\":\"ES256\",\"kid\":\"k\"}"
#define CLAIMS                                                                 \
	"{\"iss\":\"https://i.example\",\"sub\":\"s\",\"aud\":\"us\","         \
	"\"iat\":1699999990,\"exp\":1700000290.5,\"n\":7,"                     \
	"\"kubernetes.io\":{\"namespace\":\"ci\"}}"

static EVP_PKEY *key;

static int
setup(void **state)
{
	(void)state;
	key = mint_ec("P-256");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	return 0;
}

static int
open_minted(
    const char *header, const char *claims, struct peek **p, const char **why)
{
	struct buf b;
	int r;

	buf_init(&b, 4 * PROTO_TOKEN_MAX);
	mint_token(&b, key, "ES256", header, claims);
	r = peek_open((const char *)buf_ptr(&b), buf_len(&b), p, why);
	buf_clear(&b); /* a peek needs the token no more */
	return r;
}

static const char *
text(const struct peek *p, const char *name)
{
	return json_string_value(json_object_get(p->texts, name));
}

static void
t_peek_open_tells(void **state)
{
	const char *why = NULL;
	struct peek *p = NULL;

	(void)state;
	assert_int_equal(open_minted(HEADER, CLAIMS, &p, &why), 0);
	assert_string_equal(p->alg, "ES256");
	assert_string_equal(p->kid, "k");
	assert_string_equal(p->iss, "https://i.example");
	assert_string_equal(p->sub, "s");
	assert_int_equal(p->iat, 1699999990);
	assert_int_equal(p->exp, 1700000290);
	assert_int_equal(p->nbf, -1);
	assert_true(json_is_integer(json_object_get(p->claims, "n")));
	assert_string_equal(text(p, "n"), "7");
	assert_string_equal(text(p, "kubernetes.io/namespace"), "ci");
	assert_null(text(p, "exp"));
	peek_free(p);
	p = NULL;
	assert_int_equal(
	    open_minted("{\"alg\":\"ES256\"}",
		"{\"iss\":\"i\",\"sub\":7,\"iat\":\"1\"}", &p, &why),
	    0);
	assert_null(p->kid);
	assert_null(p->sub);
	assert_int_equal(p->iat, -1);
	peek_free(p);
	peek_free(NULL);
}

static void
t_peek_open_refuses(void **state)
{
	static const struct {
		const char *header, *claims, *why;
	} cases[] = {
		{ "{\"alg\":\"none\"}", CLAIMS, "algorithm" },
		{ "{\"alg\":\"HS256\"}", CLAIMS, "algorithm" },
		{ "{\"alg\":\"ES256\",\"jku\":\"x\"}", CLAIMS, "jku" },
		{ HEADER, "{\"sub\":\"s\"}", "issuer" },
		{ HEADER, "[]", "payload" },
		{ HEADER, "{\"iss\":\"i\",\"iss\":\"i\"}", "payload" },
		{ HEADER, "{\"iss\":\"i\",\"a\":\"b\\nc\"}", "control" },
		{ HEADER, "{\"iss\":\"i\",\"a\":{\"b\":1},\"a/b\":1}",
		    "one name" },
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct peek *p = NULL;

		why = "";
		assert_int_not_equal(
		    open_minted(cases[i].header, cases[i].claims, &p, &why), 0);
		assert_null(p);
		if (strstr(why, cases[i].why) == NULL)
			fail_msg("%zu: %s", i, why);
	}
	assert_int_equal(
	    peek_open("", 0, &(struct peek *){ NULL }, &why), ERR_FORMAT);
	assert_int_equal(
	    peek_open("a.b", 3, &(struct peek *){ NULL }, &why), ERR_FORMAT);
}

static void
t_peek_check(void **state)
{
	static const char *const aud[] = { "other", "us" };
	static const char *const alg[] = { "RS256", "ES256" };
	const struct issuer good = { .url = "https://i.example",
		.audience = aud,
		.naudience = 2,
		.algorithm = alg,
		.nalgorithm = 2,
		.max_age_s = 300,
		.max_life_s = 600,
		.leeway_s = 30 };
	struct issuer is = good;
	const char *why = "";
	struct peek *p = NULL;

	(void)state;
	assert_int_equal(open_minted(HEADER, CLAIMS, &p, &why), 0);
	assert_int_equal(peek_check(p, &is, NOW, &why), 0);
	assert_int_equal(peek_check(p, &is, p->iat, &why), 0);
	assert_int_equal(peek_check(p, &is, NOW + 320, &why), ERR_DENIED);
	assert_string_equal(why, "the token has expired");
	is.nalgorithm = 1;
	assert_int_equal(peek_check(p, &is, NOW, &why), ERR_DENIED);
	assert_non_null(strstr(why, "algorithm"));
	is = good;
	is.naudience = 1;
	assert_int_equal(peek_check(p, &is, NOW, &why), ERR_DENIED);
	assert_non_null(strstr(why, "audience"));
	is = good;
	is.url = "https://i.example/";
	assert_int_equal(peek_check(p, &is, NOW, &why), ERR_DENIED);
	assert_non_null(strstr(why, "issuer"));
	is = good;
	is.max_life_s = 299;
	assert_int_equal(peek_check(p, &is, NOW, &why), ERR_DENIED);
	assert_non_null(strstr(why, "lives longer"));
	is = good;
	is.max_age_s = 5;
	assert_int_equal(peek_check(p, &is, NOW + 26, &why), ERR_DENIED);
	assert_non_null(strstr(why, "too old"));
	peek_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_peek_open_tells),
		cmocka_unit_test(t_peek_open_refuses),
		cmocka_unit_test(t_peek_check),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
