/*
 * The parts of http.c that judge text.  Requests themselves are tested with a
 * server of their own: tests/broker/test_oidc_process.py.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/http.h"
#include "broker/http_head.h"
#include "broker/loop.h"
#include "lib/err.h"

static void
t_http_cache_control(void **state)
{
	static const struct {
		const char *value;
		int64_t age;
	} cases[] = {
		{ "max-age=3600", 3600 },
		{ "public, max-age=19800, must-revalidate", 19800 },
		{ "Max-Age=5", 5 },
		{ " max-age=5 ", 5 },
		{ "max-age=0", 0 },
		{ "no-store", 0 },
		{ "no-cache, max-age=60", 0 },
		{ "max-age=60, NO-STORE", 0 },
		{ "s-maxage=60", -1 },
		{ "max-age=-1", -1 },
		{ "max-age=1.5", -1 },
		{ "max-age=\"60\"", -1 },
		{ "max-age=", -1 },
		{ "max-age", -1 },
		{ "max-age=60x", -1 },
		{ "private", -1 },
		{ "", -1 },
		{ ",,,", -1 },
		{ "max-age=99999999999999999999999999", INT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t age = http_cache_control(cases[i].value,
		    strlen(cases[i].value));

		if (age != cases[i].age)
			fail_msg("%s: %lld", cases[i].value, (long long)age);
	}
}

static const char *const bad_urls[] = {
	"", "x", "http://i.example/", "HTTP://i.example/", "file:///etc/passwd",
	"ftp://i.example/", "//i.example/", "https://", "https:///x",
	"https://user@i.example/", "https://user:pw@i.example/",
	"https://i.example/#x", "https://i.example:99999/",
	"https://i.example/ x", "https://i.exa mple/", "gopher://i.example/",
};

static void
t_http_url_ok(void **state)
{
	static const char *const good[] = { "https://i.example",
		"https://i.example/", "https://i.example:8443/a/b?c=d",
		"https://127.0.0.1/", "https://[::1]:1/", "HTTPS://i.example/" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!http_url_ok(good[i]))
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
		if (http_url_ok(bad_urls[i]))
			fail_msg("%s", bad_urls[i]);
	}
}

static void
t_http_same_origin(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "https://i.example", "https://i.example/keys", true },
		{ "https://i.example", "https://I.Example:443/keys", true },
		{ "https://i.example:8443", "https://i.example:8443/", true },
		{ "https://i.example", "https://i.example:8443/", false },
		{ "https://i.example", "https://j.example/", false },
		{ "https://i.example", "https://i.example.evil/", false },
		{ "https://i.example", "https://x.i.example/", false },
		{ "https://i.example", "https://i.example@evil/", false },
		{ "https://i.example", "https://evil/@i.example", false },
		{ "https://i.example", "https://evil\\@i.example", false },
		{ "https://i.example", "http://i.example/", false },
		{ "http://i.example", "http://i.example/", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (http_same_origin(cases[i].a, cases[i].b) != cases[i].same)
			fail_msg("%s", cases[i].b);
	}
}

/* What goes back to a server is what a tag can be, and of a bounded length. */
static void
t_http_etag(void **state)
{
	static const struct {
		const char *line, *etag;
	} cases[] = {
		{ "ETag: \"abc\"\r\n", "\"abc\"" },
		{ "etag:W/\"a-b=c!~\"  \r\n", "W/\"a-b=c!~\"" },
		{ "ETag: \"\"\r\n", "\"\"" },
		{ "ETag: abc\r\n", "" },
		{ "ETag: \"\r\n", "" },
		{ "ETag: W/\"\r\n", "" },
		{ "ETag: W/\r\n", "" },
		{ "ETag: w/\"a\"\r\n", "" },
		{ "ETag: \"a\"b\"\r\n", "" },
		{ "ETag: \"a b\"\r\n", "" },
		{ "ETag: \"a\rX: y\"\r\n", "" },
		{ "ETag: \"a\nX: y\"\r\n", "" },
		{ "ETag: \"a\177\"\r\n", "" },
		{ "ETag: \"\303\244\"\r\n", "" },
		{ "ETag:\r\n", "" },
		{ "X-ETag: \"abc\"\r\n", "" },
	};
	char line[HTTP_ETAG_MAX + 32];
	struct http_head h;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_head_init(&h);
		assert_int_equal(
		    http_head_line(&h, cases[i].line, strlen(cases[i].line)),
		    0);
		assert_string_equal(h.etag, cases[i].etag);
	}
	for (int n = HTTP_ETAG_MAX - 1; n <= HTTP_ETAG_MAX + 1; n++) {
		(void)snprintf(line, sizeof(line), "ETag: \"%0*d\"", n - 2, 0);
		http_head_init(&h);
		assert_int_equal(http_head_line(&h, line, strlen(line)), 0);
		assert_int_equal(
		    strlen(h.etag), n <= HTTP_ETAG_MAX ? (size_t)n : 0);
	}
	/* one that is no tag takes back the one before */
	http_head_init(&h);
	assert_int_equal(http_head_line(&h, "ETag: \"a\"", 9), 0);
	assert_int_equal(http_head_line(&h, "ETag: a", 7), 0);
	assert_string_equal(h.etag, "");
	h.bytes = HTTP_HEADERS_MAX - 3;
	assert_int_equal(http_head_line(&h, "a: b", 4), ERR_TOOBIG);
	assert_int_equal(http_head_line(&h, "a:b", 3), 0);
}

static void
never(void *arg, const struct http_answer *a)
{
	(void)arg;
	(void)a;
	fail();
}

/* Nothing but https is even started, and everything started can be ended. */
static void
t_http_get_bounds(void **state)
{
	struct loop *l = loop_new();
	struct http *h = http_new(l);
	struct http_ask ask = { .url = "https://127.0.0.1:1/", .cb = never },
			bad = ask;
	struct http_req *q;

	(void)state;
	assert_non_null(h);
	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
		bad.url = bad_urls[i];
		assert_int_equal(http_get(h, &bad, &q), ERR_FORMAT);
	}
	for (int i = 0; i < HTTP_REQS_MAX; i++)
		assert_int_equal(http_get(h, &ask, &q), 0);
	assert_int_equal(http_get(h, &ask, &q), ERR_TOOBIG);
	http_cancel(q); /* the last that was started */
	http_cancel(NULL);
	assert_int_equal(http_get(h, &ask, &q), 0);
	http_free(h);
	http_free(NULL);
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_http_cache_control),
		cmocka_unit_test(t_http_url_ok),
		cmocka_unit_test(t_http_same_origin),
		cmocka_unit_test(t_http_etag),
		cmocka_unit_test(t_http_get_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
