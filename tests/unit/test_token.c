/*
 * Claims: who, for whom, until when; and what of them policy is told.
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

#include "broker/jwa.h"
#include "broker/token.h"
#include "lib/buf.h"
#include "lib/claimtext.h"
#include "lib/err.h"
#include "lib/proto.h"

#define NOW 1700000000
#define ISS "\"iss\":\"https://i.example\","
#define AUD "\"aud\":\"us\","
#define SUB "\"sub\":\"repo:a/b\","
#define IAT "\"iat\":1699999990,"
#define EXP "\"exp\":1700000290"

static char us[] = "us", us_too[] = "us too";
static char *audiences[] = { us, us_too };

static struct token_rules
rules(void)
{
	static char name[] = "i", url[] = "https://i.example";

	return (struct token_rules){ .name = name,
		.url = url,
		.aud = audiences,
		.naud = 2,
		.max_age_s = 600,
		.max_life_s = 3600,
		.leeway_s = 30,
		.once = true };
}

static int
check(const char *payload, int64_t now)
{
	struct token_rules ru = rules();
	const char *why = NULL;
	struct token t;
	int r;

	r = token_parse(payload, strlen(payload), &t, &why);
	if (r == 0)
		r = token_check(&t, &ru, now, &why);
	if (r != 0)
		assert_non_null(why);
	token_clear(&t);
	return r;
}

static void
t_token_check_claims(void **state)
{
	static const struct {
		const char *payload;
		bool good;
	} cases[] = {
		{ "{" ISS AUD SUB IAT EXP "}", true },
		{ "{" ISS "\"aud\":[\"us\"]," SUB IAT EXP "}", true },
		{ "{" ISS "\"aud\":[\"x\",\"us too\"]," SUB IAT EXP "}", true },
		{ "{" ISS "\"aud\":[\"x\",\"us\"],\"azp\":\"us\"," SUB IAT EXP
		    "}", true },
		{ "{" ISS AUD "\"azp\":\"1093\"," SUB IAT EXP "}", true },
		{ "{" ISS "\"aud\":[\"x\",\"us\"],\"azp\":\"x\"," SUB IAT EXP
		    "}", false },
		{ "{" ISS "\"aud\":[\"x\",\"us\"],\"azp\":7," SUB IAT EXP "}",
		    false },
		/* iss */
		{ "{" AUD SUB IAT EXP "}", false },
		{ "{\"iss\":\"\"," AUD SUB IAT EXP "}", false },
		{ "{\"iss\":\"https://i.example/\"," AUD SUB IAT EXP "}",
		    false },
		{ "{\"iss\":\"https://I.example\"," AUD SUB IAT EXP "}",
		    false },
		{ "{\"iss\":\"http://i.example\"," AUD SUB IAT EXP "}", false },
		{ "{\"iss\":[\"https://i.example\"]," AUD SUB IAT EXP "}",
		    false },
		{ "{\"iss\":\"https://i.example\\u0000\"," AUD SUB IAT EXP "}",
		    false },
		{ "{\"iss\":\"https:\\/\\/i.example\"," AUD SUB IAT EXP "}",
		    true }, /* the same text */
		/* aud */
		{ "{" ISS SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":\"\"," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":\"Us\"," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":\"us \"," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":\"us,us too\"," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":[]," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":[[\"us\"]]," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":[\"us\",7]," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":{\"us\":1}," SUB IAT EXP "}", false },
		{ "{" ISS "\"aud\":null," SUB IAT EXP "}", false },
		/* sub */
		{ "{" ISS AUD IAT EXP "}", false },
		{ "{" ISS AUD "\"sub\":\"\"," IAT EXP "}", false },
		{ "{" ISS AUD "\"sub\":7," IAT EXP "}", false },
		{ "{" ISS AUD "\"sub\":\"a\\nb\"," IAT EXP "}", false },
		{ "{" ISS AUD "\"sub\":\"a\\u202eb\"," IAT EXP "}", false },
		{ "{" ISS AUD "\"sub\":\"\\u001b]0;x\"," IAT EXP "}", false },
		{ "{" ISS AUD "\"sub\":\"\xc3\xa4\"," IAT EXP "}", true },
		/* JSON */
		{ "[]", false }, { "", false }, { "7", false },
		{ "{" ISS AUD SUB IAT EXP "}x", false },
		{ "{" ISS AUD SUB IAT EXP ",\"sub\":\"x\"}", false },
		{ "{" ISS AUD SUB IAT EXP ",\"a\":{\"b\":1,\"b\":2}}", false },
		{ "{" ISS AUD SUB IAT EXP ",\"a\":1e999}", false },
		{ "{" ISS AUD SUB IAT EXP
		    ",\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if ((check(cases[i].payload, NOW) == 0) != cases[i].good)
			fail_msg("%s", cases[i].payload);
	}
}

static void
t_token_check_times(void **state)
{
	static const struct {
		const char *times;
		bool good;
	} cases[] = {
		/* leeway 30, max_age 600 */
		{ "\"iat\":1700000000,\"exp\":1700000300", true },
		/* exp */
		{ "\"iat\":1699999900,\"exp\":1699999971", true },
		{ "\"iat\":1699999900,\"exp\":1699999970", false },
		{ "\"iat\":1699999900,\"exp\":1699999970.9", false },
		{ "\"iat\":1699999900,\"exp\":1700000100.5", true },
		{ "\"iat\":1700000000", false },
		{ "\"iat\":1700000000,\"exp\":\"1700000300\"", false },
		{ "\"iat\":1700000000,\"exp\":null", false },
		{ "\"iat\":1700000000,\"exp\":true", false },
		{ "\"iat\":1700000000,\"exp\":-1", false },
		{ "\"iat\":1700000000,\"exp\":253402300799", false },
		{ "\"iat\":1700000000,\"exp\":253402300800", false },
		{ "\"iat\":1700000000,\"exp\":9223372036854775807", false },
		{ "\"iat\":1700000000,\"exp\":9223372036854775808", false },
		{ "\"iat\":1700000000,\"exp\":1e300", false },
		{ "\"iat\":1700000000,\"exp\":1.7e9", false }, /* = iat */
		{ "\"iat\":1700000000,\"exp\":1.7000001e9", true },
		{ "\"iat\":1700000000,\"exp\":-1e300", false },
		/* iat */
		{ "\"exp\":1700000300", false },
		{ "\"iat\":\"1700000000\",\"exp\":1700000300", false },
		{ "\"iat\":1700000030,\"exp\":1700000300", true },
		{ "\"iat\":1700000031,\"exp\":1700000300", false },
		{ "\"iat\":1699999370,\"exp\":1700000300", true },
		{ "\"iat\":1699999369,\"exp\":1700000300", false },
		{ "\"iat\":0,\"exp\":1700000300", false },
		{ "\"iat\":1700000010,\"exp\":1700000010", false },
		{ "\"iat\":1700000010,\"exp\":1700000009", false },
		/* the lifetime: 3600 */
		{ "\"iat\":1700000000,\"exp\":1700003600", true },
		{ "\"iat\":1700000000,\"exp\":1700003601", false },
		{ "\"iat\":1699999900,\"exp\":1700003501", false },
		/* nbf */
		{ "\"nbf\":1699999000,\"iat\":1700000000,\"exp\":1700000300",
		    true },
		{ "\"nbf\":1700000030,\"iat\":1700000000,\"exp\":1700000300",
		    true },
		{ "\"nbf\":1700000031,\"iat\":1700000000,\"exp\":1700000300",
		    false },
		{ "\"nbf\":1700000030.1,\"iat\":1700000000,\"exp\":1700000300",
		    false },
		{ "\"nbf\":\"0\",\"iat\":1700000000,\"exp\":1700000300",
		    false },
		{ "\"nbf\":null,\"iat\":1700000000,\"exp\":1700000300", false },
	};
	char payload[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(payload, sizeof(payload), "{" ISS AUD SUB "%s}",
		    cases[i].times);
		if ((check(payload, NOW) == 0) != cases[i].good)
			fail_msg("%s", cases[i].times);
	}
}

/* The last second that is a date, and the one behind it. */
static void
t_token_check_last_date(void **state)
{
#define LATE "{" ISS AUD SUB "\"iat\":253402300000,\"exp\":25340230"
	(void)state;
	assert_int_equal(check(LATE "0799}", INT64_C(253402300100)), 0);
	assert_int_equal(
	    check(LATE "0800}", INT64_C(253402300100)), ERR_FORMAT);
}

/* Rules that nobody filled in bound every lifetime by zero. */
static void
t_token_check_no_life(void **state)
{
	static const char payload[] = "{" ISS AUD SUB IAT EXP "}";
	struct token_rules ru = rules();
	const char *why = NULL;
	struct token t;

	(void)state;
	ru.max_life_s = 0;
	assert_int_equal(token_parse(payload, strlen(payload), &t, &why), 0);
	assert_int_equal(token_check(&t, &ru, NOW, &why), ERR_DENIED);
	token_clear(&t);
}

static void
t_token_check_sub_length(void **state)
{
	char payload[8192];

	(void)state;
	(void)snprintf(payload, sizeof(payload),
	    "{" ISS AUD "\"sub\":\"%0*d\"," IAT EXP "}", PROTO_CLAIM_VALUE_MAX,
	    0);
	assert_int_equal(check(payload, NOW), 0);
	(void)snprintf(payload, sizeof(payload),
	    "{" ISS AUD "\"sub\":\"%0*d\"," IAT EXP "}",
	    PROTO_CLAIM_VALUE_MAX + 1, 0);
	assert_int_equal(check(payload, NOW), ERR_DENIED);
}

static int
put(const char *payload, struct buf *out)
{
	const char *why = NULL;
	struct token t;
	int r;

	buf_init(out, 64 * 1024);
	assert_int_equal(token_parse(payload, strlen(payload), &t, &why), 0);
	r = token_put_claims(&t, out, &why);
	if (r != 0)
		assert_non_null(why);
	token_clear(&t);
	return r;
}

/* The value that policy gets for a claim; NULL when it gets none. */
static char *
passed_of(const char *payload, const char *claim)
{
	char *name, *value, *found = NULL;
	struct buf b;
	uint32_t n;

	assert_int_equal(put(payload, &b), 0);
	assert_int_equal(buf_get_u32(&b, &n), 0);
	while (n-- > 0) {
		assert_int_equal(buf_get_cstr(&b, PROTO_CLAIM_NAME_MAX, &name),
		    0);
		assert_int_equal(buf_get_cstr(&b, PROTO_CLAIM_VALUE_MAX,
		    &value), 0);
		if (strcmp(name, claim) == 0)
			found = value;
		else
			free(value);
		free(name);
	}
	assert_int_equal(buf_end(&b), 0);
	buf_clear(&b);
	return found;
}

static char *
passed(const char *json)
{
	char payload[512];

	(void)snprintf(payload, sizeof(payload), "{" ISS "\"c\":%s}", json);
	return passed_of(payload, "c");
}

static void
t_token_put_claims_text(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "\"refs/heads/main\"", "refs/heads/main" },
		{ "\"\"", "" },
		{ "\"\\u0041\\/\"", "A/" },
		{ "\"\xe2\x82\xac\"", "\xe2\x82\xac" },
		{ "456789012", "456789012" },
		{ "0", "0" },
		{ "-7", "-7" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "9007199254740993", "9007199254740993" }, /* 2^53 + 1 */
		{ "true", "true" },
		{ "false", "false" },
		{ "null", NULL },
		{ "1.0", NULL },
		{ "1e3", NULL },
		{ "[]", NULL },
		{ "[\"a\"]", NULL },
		{ "{\"a\":\"b\"}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *v = passed(cases[i].json);

		if (v == NULL ? cases[i].text != NULL : cases[i].text == NULL ||
		    strcmp(v, cases[i].text) != 0)
			fail_msg("%s: %s", cases[i].json, v == NULL ? "-" : v);
		free(v);
	}
}

/* What lies in objects has its path for a name. */
static void
t_token_put_claims_nested(void **state)
{
	static const struct {
		const char *json, *name, *text;
	} cases[] = {
		{ "\"k.io\":{\"ns\":\"a\",\"pod\":{\"uid\":\"u\"}}",
		    "k.io/pod/uid", "u" },
		{ "\"k.io\":{\"ns\":\"a\"}", "k.io/ns", "a" },
		{ "\"https://x/\":{\"n\":7,\"t\":{\"a/b\":true}}",
		    "https://x/t/a/b", "true" },
		{ "\"https://x/\":{\"n\":7}", "https://x/n", "7" },
		{ "\"a\":{\"b\":{\"c\":{\"d\":1}}}", "a/b/c/d", "1" },
		/* deeper ones are not there */
		{ "\"a\":{\"b\":{\"c\":{\"d\":{\"e\":1}}}}", "a/b/c/d/e",
		    NULL },
		{ "\"a\":{\"b\":[\"c\"]}", "a/b", NULL },
		{ "\"a\":{\"b\":null}", "a/b", NULL },
		{ "\"a\":[{\"b\":\"c\"}]", "a/b", NULL },
		{ "\"\":{\"b\":\"c\"}", "/b", NULL },
	};
	char payload[512], *value;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(
		    payload, sizeof(payload), "{" ISS "%s}", cases[i].json);
		value = passed_of(payload, cases[i].name);
		if (cases[i].text == NULL
			? value != NULL
			: value == NULL || strcmp(value, cases[i].text) != 0)
			fail_msg("%s: %s", payload, value ? value : "-");
		free(value);
	}
}

/* Two claims that a rule could not tell apart. */
static void
t_token_put_claims_twice(void **state)
{
	static const char *const bad[] = {
		"{\"a/b\":\"1\",\"a\":{\"b\":\"2\"}}",
		"{\"a\":{\"b\":\"2\"},\"a/b\":\"1\"}",
		"{\"a\":{\"b/c\":1,\"b\":{\"c\":1}}}",
		"{\"a/\":{\"b\":1},\"a\":{\"b\":1}}",
	};
	char payload[512];
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(
		    payload, sizeof(payload), "{" ISS "%s", bad[i] + 1);
		if (put(payload, &b) != ERR_EXISTS)
			fail_msg("%s", payload);
		buf_clear(&b);
	}
}

static void
t_token_put_claims_refused(void **state)
{
	static const char *const bad[] = {
		"{" ISS "\"c\":\"a\\nb\"}",
		"{" ISS "\"c\":\"a\\tb\"}",
		"{" ISS "\"c\":\"\\u001b[2J\"}",
		"{" ISS "\"c\":\"\\u007f\"}",
		"{" ISS "\"c\":\"\\u0085\"}",
		"{" ISS "\"c\":\"\\u2028\"}",
		"{" ISS "\"c\":\"\\u202e\"}",
		"{" ISS "\"c\\n\":\"a\"}",
		"{" ISS "\"\":\"a\"}",
	};
	char payload[8192];
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (put(bad[i], &b) != ERR_DENIED)
			fail_msg("%s", bad[i]);
		buf_clear(&b);
	}
	(void)snprintf(payload, sizeof(payload), "{" ISS "\"c\":\"%0*d\"}",
	    PROTO_CLAIM_VALUE_MAX, 0);
	assert_int_equal(put(payload, &b), 0);
	buf_clear(&b);
	(void)snprintf(payload, sizeof(payload), "{" ISS "\"c\":\"%0*d\"}",
	    PROTO_CLAIM_VALUE_MAX + 1, 0);
	assert_int_equal(put(payload, &b), ERR_DENIED);
	buf_clear(&b);
	(void)snprintf(payload, sizeof(payload), "{" ISS "\"%0*d\":\"c\"}",
	    PROTO_CLAIM_NAME_MAX + 1, 0);
	assert_int_equal(put(payload, &b), ERR_DENIED);
	buf_clear(&b);
}

/* The path is the name: where it is too long for one it is left out, for no
 * condition could be on it. */
static void
t_token_put_claims_cut(void **state)
{
	char payload[8192];
	uint32_t count, most;
	struct token t;
	const char *why;
	struct buf b;

	(void)state;
	assert_int_equal(put("{" ISS "\"b\":\"c\"}", &b), 0);
	assert_int_equal(buf_get_u32(&b, &most), 0); /* with b alone */
	buf_clear(&b);
	for (int n = PROTO_CLAIM_NAME_MAX - 4; n < PROTO_CLAIM_NAME_MAX; n++) {
		bool fits = n <= PROTO_CLAIM_NAME_MAX - 2;
		bool deep = n <= PROTO_CLAIM_NAME_MAX - 4;

		(void)snprintf(payload, sizeof(payload),
		    "{" ISS "\"b\":\"c\",\"a\":{\"%0*d\":\"c\"},"
		    "\"e/\":{\"%0*d\":7},\"f\":{\"%0*d\":[]},"
		    "\"d\":{\"%0*d\":{\"x\":true}}}",
		    n, 0, n, 1, 2000, 0, n, 2);
		assert_int_equal(put(payload, &b), 0);
		assert_int_equal(buf_get_u32(&b, &count), 0);
		assert_int_equal(count, most + 2 * fits + deep);
		assert_int_equal(
		    token_parse(payload, strlen(payload), &t, &why), 0);
		assert_int_equal(claimtext_cut(t.claims), !fits || !deep);
		token_clear(&t);
		buf_clear(&b);
	}
}

static void
t_token_put_claims_count(void **state)
{
	struct buf p, b;

	(void)state;
	for (int n = PROTO_CLAIMS_MAX; n <= PROTO_CLAIMS_MAX + 1; n++) {
		buf_init(&p, 64 * 1024);
		(void)buf_putf(&p, "{\"iss\":\"x\"");
		for (int i = 1; i < n; i++)
			(void)buf_putf(&p, ",\"c%d\":%d", i, i);
		(void)buf_putf(&p, ",\"not counted\":[]}");
		assert_int_equal(put(buf_cstr(&p), &b),
		    n == PROTO_CLAIMS_MAX ? 0 : ERR_TOOBIG);
		buf_clear(&b);
		buf_clear(&p);
	}
}

/* One entry of ISSUERS. */
static void
put_rules(struct buf *b, const char *name, const char *url, uint32_t naud,
    const char *aud, const char *alg, uint32_t life, uint32_t leeway,
    uint8_t once)
{
	(void)buf_put_cstr(b, name);
	(void)buf_put_cstr(b, url);
	(void)buf_put_u32(b, naud);
	for (uint32_t i = 0; i < naud && i <= TOKEN_AUD_MAX; i++)
		(void)buf_put_cstr(b, aud);
	(void)buf_put_u32(b, 2);
	(void)buf_put_cstr(b, alg);
	(void)buf_put_cstr(b, "XX999");
	(void)buf_put_u32(b, 600);
	(void)buf_put_u32(b, life);
	(void)buf_put_u32(b, leeway);
	(void)buf_put_u8(b, once);
	(void)buf_put_cstr(b, "https://keys");
}

static void
t_token_rules_get(void **state)
{
	static const struct {
		const char *name, *url;
		uint32_t naud;
		const char *aud;
		uint32_t life, leeway;
		uint8_t once;
		bool good;
	} cases[] = {
		{ "github", "https://x", 1, "us", 3600, 60, 1, true },
		{ "github", "https://x", TOKEN_AUD_MAX, "us", 3600, 0, 0,
		    true },
		{ "github", "https://x", TOKEN_AUD_MAX + 1, "us", 3600, 0, 0,
		    false },
		{ "github", "https://x", 0, "us", 3600, 60, 1, false },
		{ "github", "https://x", 1, "", 3600, 60, 1, false },
		{ "github", "https://x", 1, "us", 3600, 61, 1, false },
		{ "github", "https://x", 1, "us", 3600, 60, 2, false },
		{ "github", "https://x", 1, "us", TOKEN_LIFE_MAX, 60, 1, true },
		{ "github", "https://x", 1, "us", TOKEN_LIFE_MAX + 1, 60, 1,
		    false },
		{ "github", "https://x", 1, "us", 0, 60, 1, false },
		{ "github", "", 1, "us", 3600, 60, 1, false },
		{ "Git hub", "https://x", 1, "us", 3600, 60, 1, false },
		{ "", "https://x", 1, "us", 3600, 60, 1, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct token_rules t;
		struct buf b, cut;
		int r;

		buf_init(&b, 64 * 1024);
		put_rules(&b, cases[i].name, cases[i].url, cases[i].naud,
		    cases[i].aud, "ES256", cases[i].life, cases[i].leeway,
		    cases[i].once);
		for (size_t n = 0; n < buf_len(&b); n++) {
			buf_view(&cut, buf_ptr(&b), n);
			assert_int_not_equal(token_rules_get(&cut, &t), 0);
			assert_null(t.name);
		}
		r = token_rules_get(&b, &t);
		if ((r == 0) != cases[i].good)
			fail_msg("%zu: %d", i, r);
		if (r == 0) {
			assert_int_equal(t.algs, jwa_bit(jwa_find("ES256")));
			assert_int_equal(t.naud, cases[i].naud);
			token_rules_clear(&t);
		}
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_token_check_claims),
		cmocka_unit_test(t_token_check_times),
		cmocka_unit_test(t_token_check_last_date),
		cmocka_unit_test(t_token_check_no_life),
		cmocka_unit_test(t_token_check_sub_length),
		cmocka_unit_test(t_token_put_claims_text),
		cmocka_unit_test(t_token_put_claims_nested),
		cmocka_unit_test(t_token_put_claims_twice),
		cmocka_unit_test(t_token_put_claims_refused),
		cmocka_unit_test(t_token_put_claims_cut),
		cmocka_unit_test(t_token_put_claims_count),
		cmocka_unit_test(t_token_rules_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
