/*
 * The table of issuers, from policy's message, and what a new one keeps.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "broker/issuers.h"
#include "lib/buf.h"
#include "lib/err.h"

static const char *keys_url = ""; /* of what is put */

static void
put_for(struct buf *b, const char *url, const char *alg, const char *aud,
    const char *aud2)
{
	(void)buf_put_cstr(b, "i");
	(void)buf_put_cstr(b, url);
	(void)buf_put_u32(b, aud2 == NULL ? 1 : 2);
	(void)buf_put_cstr(b, aud);
	if (aud2 != NULL)
		(void)buf_put_cstr(b, aud2);
	(void)buf_put_u32(b, 1);
	(void)buf_put_cstr(b, alg);
	(void)buf_put_u32(b, 0);
	(void)buf_put_u32(b, 3600);
	(void)buf_put_u32(b, 0);
	(void)buf_put_u8(b, 1);
	(void)buf_put_cstr(b, keys_url);
}

static void
put(struct buf *b, const char *url, const char *alg)
{
	put_for(b, url, alg, "us", NULL);
}

/* A token of that issuer and audience (JSON); NULL: refused.  `first` is what
 * its signature is looked at with. */
static const struct trusted *first;
static const char *refusal;

static const struct trusted *
find(const struct issuers *s, const char *iss, const char *aud)
{
	struct token t = { .iss = iss };
	int r;

	t.claims =
	    json_pack("{s:o}", "aud", json_loads(aud, JSON_DECODE_ANY, NULL));
	assert_non_null(t.claims);
	r = issuers_for(s, &t, &first, &refusal);
	json_decref(t.claims);
	assert_true(r == 0 || r == ERR_DENIED);
	return r == 0 ? first : NULL;
}

static void
t_issuers_read(void **state)
{
	struct issuers s;
	struct buf b;

	(void)state;
	buf_init(&b, 64 * 1024);
	(void)buf_put_u32(&b, 6);
	put(&b, "https://a.example", "RS256");
	put(&b, "http://b.example", "RS256");
	put(&b, "https://c.example", "HS256");
	put(&b, "https://a.example", "ES256"); /* the first one counts */
	put(&b, "https://a.example/", "ES256");
	put(&b, "", "RS256"); /* no issuer at all */
	assert_int_equal(issuers_read(&b, &s), ERR_FORMAT);
	assert_int_equal(s.n, 0);
	buf_reset(&b);
	(void)buf_put_u32(&b, 5);
	put(&b, "https://a.example", "RS256");
	put(&b, "http://b.example", "RS256");
	put(&b, "https://c.example", "HS256");
	put(&b, "https://a.example", "ES256");
	put(&b, "https://a.example/", "ES256");
	assert_int_equal(issuers_read(&b, &s), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.unusable, 3);
	assert_int_equal(find(&s, "https://a.example", "\"us\"")->rules.algs,
	    jwa_bit(jwa_find("RS256")));
	assert_int_equal(find(&s, "https://a.example/", "\"us\"")->rules.algs,
	    jwa_bit(jwa_find("ES256")));
	assert_null(find(&s, "https://c.example", "\"us\""));
	assert_null(find(&s, "https://A.example", "\"us\""));
	assert_null(find(&s, "", "\"us\""));
	issuers_clear(&s);
	buf_clear(&b);
}

static void
t_issuers_read_bounds(void **state)
{
	struct issuers s;
	struct buf b;
	char url[64];

	(void)state;
	buf_init(&b, 64 * 1024);
	for (uint32_t n = ISSUERS_MAX; n <= ISSUERS_MAX + 1; n++) {
		buf_reset(&b);
		(void)buf_put_u32(&b, n);
		for (uint32_t i = 0; i < n; i++) {
			(void)snprintf(url, sizeof(url), "https://%u.example",
			    i);
			put(&b, url, "RS256");
		}
		assert_int_equal(issuers_read(&b, &s),
		    n == ISSUERS_MAX ? 0 : ERR_TOOBIG);
		issuers_clear(&s);
	}
	buf_reset(&b);
	(void)buf_put_u32(&b, 0);
	(void)buf_put_u8(&b, 0); /* left over */
	assert_int_equal(issuers_read(&b, &s), ERR_FORMAT);
	buf_clear(&b);
}

static void
changed(void *arg, int r, const char *why)
{
	(void)arg;
	(void)r;
	(void)why;
}

/* One url, several audiences. */
static void
t_issuers_for(void **state)
{
	struct issuers s;
	struct buf b;

	(void)state;
	buf_init(&b, 64 * 1024);
	(void)buf_put_u32(&b, 5);
	put_for(&b, "https://a.example", "RS256", "us", "we");
	put_for(&b, "https://a.example", "ES256", "them", NULL);
	put_for(
	    &b, "https://a.example", "PS256", "others", "us"); /* left out */
	put_for(&b, "https://b.example", "RS256", "them", NULL);
	put_for(&b, "https://a.example", "RS512", "others", NULL);
	assert_int_equal(issuers_read(&b, &s), 0);
	assert_int_equal(s.n, 4);
	assert_int_equal(s.unusable, 1);
	assert_ptr_equal(find(&s, "https://a.example", "\"us\""), &s.t[0]);
	assert_ptr_equal(find(&s, "https://a.example", "\"them\""), &s.t[1]);
	assert_ptr_equal(find(&s, "https://b.example", "\"them\""), &s.t[2]);
	assert_ptr_equal(find(&s, "https://a.example", "\"others\""), &s.t[3]);
	assert_ptr_equal(
	    find(&s, "https://a.example", "[\"x\", \"them\"]"), &s.t[1]);
	assert_ptr_equal(
	    find(&s, "https://a.example", "[\"us\", \"we\"]"), &s.t[0]);
	/* nobody's, and two's */
	assert_null(find(&s, "https://a.example", "\"nobody\""));
	assert_ptr_equal(first, &s.t[0]);
	assert_string_equal(refusal, "the audience is not ours");
	assert_null(find(&s, "https://a.example", "[\"them\", \"we\"]"));
	assert_ptr_equal(first, &s.t[0]);
	assert_non_null(strstr(refusal, "two issuers"));
	assert_null(find(&s, "https://b.example", "\"us\""));
	assert_ptr_equal(first, &s.t[2]);
	assert_null(find(&s, "https://a.example", "{}"));
	assert_null(find(&s, "https://a.example", "[]"));
	assert_null(find(&s, "https://a.example", "[1, null]"));
	assert_null(find(&s, "https://c.example", "\"us\""));
	assert_null(first);
	/* by the text itself, not by what it says */
	assert_ptr_equal(issuers_at(&s, s.t[3].rules.url), &s.t[3]);
	assert_null(issuers_at(&s, "https://a.example"));
	issuers_clear(&s);
	buf_clear(&b);
}

/* Another place of the keys is another issuer's cache. */
static void
t_issuers_keys_url(void **state)
{
	static const char *const bad[] = { "http://k.example/", "https://",
		"file:///etc/passwd", "https://u@k.example/" };
	static const struct jwks_io io = { 0 };
	struct issuers old = { 0 }, s;
	struct jwks *k;
	struct buf b;

	(void)state;
	buf_init(&b, 64 * 1024);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		keys_url = bad[i];
		buf_reset(&b);
		(void)buf_put_u32(&b, 1);
		put(&b, "https://a.example", "RS256");
		assert_int_equal(issuers_read(&b, &s), 0);
		assert_int_equal(s.n, 0);
		assert_int_equal(s.unusable, 1);
		issuers_clear(&s);
	}
	for (int i = 0; i < 3; i++) {
		keys_url = i == 0 ? "" : "https://k.example/keys";
		k = old.n == 0 ? NULL : old.t[0].jwks;
		buf_reset(&b);
		(void)buf_put_u32(&b, 1);
		put(&b, "https://a.example", "RS256");
		assert_int_equal(issuers_read(&b, &s), 0);
		assert_int_equal(issuers_adopt(&s, &old, &io, changed), 0);
		assert_int_equal(s.t[0].jwks == k, i == 2);
		old = s;
	}
	keys_url = "";
	issuers_clear(&s);
	buf_clear(&b);
}

/* A reload keeps the keys of the issuers that stay. */
static void
t_issuers_adopt(void **state)
{
	static const struct jwks_io io = { 0 };
	struct issuers old = { 0 }, s;
	struct jwks *a;
	struct buf b;

	(void)state;
	buf_init(&b, 64 * 1024);
	(void)buf_put_u32(&b, 2);
	put(&b, "https://a.example", "RS256");
	put(&b, "https://b.example", "RS256");
	assert_int_equal(issuers_read(&b, &s), 0);
	assert_int_equal(issuers_adopt(&s, &old, &io, changed), 0);
	a = find(&s, "https://a.example", "\"us\"")->jwks;
	assert_non_null(a);
	old = s;
	buf_reset(&b);
	(void)buf_put_u32(&b, 2);
	put(&b, "https://c.example", "RS256");
	put(&b, "https://a.example", "ES256");
	assert_int_equal(issuers_read(&b, &s), 0);
	assert_int_equal(issuers_adopt(&s, &old, &io, changed), 0);
	assert_int_equal(old.n, 0);
	assert_ptr_equal(find(&s, "https://a.example", "\"us\"")->jwks, a);
	assert_non_null(find(&s, "https://c.example", "\"us\"")->jwks);
	assert_null(find(&s, "https://b.example", "\"us\""));
	issuers_clear(&s);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_issuers_read),
		cmocka_unit_test(t_issuers_read_bounds),
		cmocka_unit_test(t_issuers_for),
		cmocka_unit_test(t_issuers_keys_url),
		cmocka_unit_test(t_issuers_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
