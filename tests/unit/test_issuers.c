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

#include "broker/issuers.h"
#include "lib/buf.h"
#include "lib/err.h"

static void
put(struct buf *b, const char *url, const char *alg)
{
	(void)buf_put_cstr(b, "i");
	(void)buf_put_cstr(b, url);
	(void)buf_put_u32(b, 1);
	(void)buf_put_cstr(b, "us");
	(void)buf_put_u32(b, 1);
	(void)buf_put_cstr(b, alg);
	(void)buf_put_u32(b, 0);
	(void)buf_put_u32(b, 3600);
	(void)buf_put_u32(b, 0);
	(void)buf_put_u8(b, 1);
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
	assert_int_equal(issuers_find(&s, "https://a.example")->rules.algs,
	    jwa_bit(jwa_find("RS256")));
	assert_int_equal(issuers_find(&s, "https://a.example/")->rules.algs,
	    jwa_bit(jwa_find("ES256")));
	assert_null(issuers_find(&s, "https://c.example"));
	assert_null(issuers_find(&s, "https://A.example"));
	assert_null(issuers_find(&s, ""));
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
	a = issuers_find(&s, "https://a.example")->jwks;
	assert_non_null(a);
	old = s;
	buf_reset(&b);
	(void)buf_put_u32(&b, 2);
	put(&b, "https://c.example", "RS256");
	put(&b, "https://a.example", "ES256");
	assert_int_equal(issuers_read(&b, &s), 0);
	assert_int_equal(issuers_adopt(&s, &old, &io, changed), 0);
	assert_int_equal(old.n, 0);
	assert_ptr_equal(issuers_find(&s, "https://a.example")->jwks, a);
	assert_non_null(issuers_find(&s, "https://c.example")->jwks);
	assert_null(issuers_find(&s, "https://b.example"));
	issuers_clear(&s);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_issuers_read),
		cmocka_unit_test(t_issuers_read_bounds),
		cmocka_unit_test(t_issuers_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
