/*
 * When keys are fetched, how long they live, and what happens when fetching
 * fails.  The web and the clock are played by the test.
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

#include "broker/jwks.h"
#include "lib/err.h"

#define ISS "https://i.example/org"
#define DISCOVERY \
	"{\"issuer\":\"" ISS "\",\"jwks_uri\":\"https://i.example/keys\"}"
#define KEY(kid) "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"," \
	"\"kid\":\"" kid "\"}]}"
#define S INT64_C(1000)

/* The web: at most one request waits for its answer. */
static struct {
	int64_t now;
	char etag[64];  /* that it was asked with */
	char url[256];	/* of the request that waits, "" for none */
	http_cb cb;
	void *arg;
	int gets;	/* requests so far */
	int changed;	/* calls of the callback */
	int last;	/* r of the last one */
	int cancelled;
	bool refuse;	/* requests cannot even be started */
} web;

static int
web_get(void *ctx, const struct http_ask *ask, struct http_req **out)
{
	static char q[16];

	(void)ctx;
	if (web.refuse)
		return ERR_TOOBIG;
	assert_string_equal(web.url, "");
	(void)snprintf(web.url, sizeof(web.url), "%s", ask->url);
	(void)snprintf(web.etag, sizeof(web.etag), "%s",
	    ask->etag == NULL ? "" : ask->etag);
	web.cb = ask->cb;
	web.arg = ask->arg;
	web.gets++;
	*out = (struct http_req *)(void *)q;
	return 0;
}

static void
web_cancel(void *ctx, struct http_req *q)
{
	(void)ctx;
	assert_non_null(q);
	web.cancelled++;
}

static int64_t
web_now(void *ctx)
{
	(void)ctx;
	return web.now;
}

static const struct jwks_io io = { .get = web_get, .cancel = web_cancel,
	.now_ms = web_now };

static void
changed(void *arg, int r, const char *why)
{
	assert_string_equal(arg, "arg");
	if (r != 0)
		assert_non_null(why);
	web.changed++;
	web.last = r;
}

static struct jwks *
new_of(const char *issuer)
{
	static char arg[] = "arg";
	struct jwks *k;

	memset(&web, 0, sizeof(web));
	web.now = 5000 * S;
	k = jwks_new(&io, issuer, NULL, changed, arg);
	assert_non_null(k);
	return k;
}

static struct jwks *new (void)
{
	return new_of(ISS);
}

/* Answers the request that waits. */
static void
answer(int r, const char *body, int64_t max_age)
{
	struct http_answer a = { .r = r, .why = "made up", .body = body,
		.len = r == 0 ? strlen(body) : 0, .max_age = max_age };

	assert_string_not_equal(web.url, "");
	web.url[0] = '\0';
	web.cb(web.arg, &a);
}

/* The same, with a tag; NULL for the body: it has not changed. */
static void
answer_tagged(const char *body, const char *etag, int64_t max_age)
{
	struct http_answer a = { .body = body,
		.same = body == NULL,
		.len = body == NULL ? 0 : strlen(body),
		.etag = etag,
		.max_age = max_age };

	assert_string_not_equal(web.url, "");
	web.url[0] = '\0';
	web.cb(web.arg, &a);
}

static int
keys(struct jwks *k)
{
	const struct jwk_set *s = NULL;
	int r = jwks_keys(k, &s);

	if (r == 0)
		assert_non_null(s);
	return r;
}

/* A fresh issuer, its first fetch done. */
static struct jwks *
loaded(int64_t max_age)
{
	struct jwks *k = new();

	assert_int_equal(keys(k), ERR_AGAIN);
	answer(0, DISCOVERY, -1);
	answer(0, KEY("a"), max_age);
	assert_int_equal(web.last, 0);
	assert_int_equal(keys(k), 0);
	return k;
}

static void
t_jwks_first_fetch(void **state)
{
	struct jwks *k = new();

	(void)state;
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_string_equal(web.url,
	    ISS "/.well-known/openid-configuration");
	for (int i = 0; i < 50; i++) { /* fifty logins, one fetch */
		assert_int_equal(keys(k), ERR_AGAIN);
		assert_int_equal(jwks_missing(k), ERR_AGAIN);
		jwks_tick(k);
	}
	answer(0, DISCOVERY, -1);
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_int_equal(web.changed, 0);
	assert_string_equal(web.url, "https://i.example/keys");
	answer(0, KEY("a"), -1);
	assert_int_equal(web.changed, 1);
	assert_int_equal(web.last, 0);
	assert_int_equal(keys(k), 0);
	assert_int_equal(web.gets, 2);
	jwks_free(k);
	assert_int_equal(web.cancelled, 0);
}

static void
t_jwks_free_while_fetching(void **state)
{
	struct jwks *k = new();

	(void)state;
	assert_int_equal(keys(k), ERR_AGAIN);
	jwks_free(k);
	assert_int_equal(web.cancelled, 1);
	jwks_free(NULL);
}

static void
t_jwks_discovery_refused(void **state)
{
	static const char *const bad[] = {
		"", "[]", "x", "{}",
		"{\"issuer\":\"" ISS "\"}",
		"{\"jwks_uri\":\"https://i.example/keys\"}",
		"{\"issuer\":\"" ISS "/\","
		"\"jwks_uri\":\"https://i.example/keys\"}",
		"{\"issuer\":\"https://I.example/org\","
		"\"jwks_uri\":\"https://i.example/keys\"}",
		"{\"issuer\":\"" ISS "\",\"jwks_uri\":\"http://i.example/k\"}",
		"{\"issuer\":\"" ISS "\",\"jwks_uri\":\"https://j.example/k\"}",
		"{\"issuer\":\"" ISS "\","
		"\"jwks_uri\":\"https://i.example:444/k\"}",
		"{\"issuer\":\"" ISS "\",\"jwks_uri\":\"file:///etc/passwd\"}",
		"{\"issuer\":\"" ISS "\","
		"\"jwks_uri\":\"https://i.example@evil/k\"}",
		"{\"issuer\":\"" ISS "\",\"jwks_uri\":7}",
		"{\"issuer\":\"x\",\"issuer\":\"" ISS "\","
		"\"jwks_uri\":\"https://i.example/keys\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct jwks *k = new();

		assert_int_equal(keys(k), ERR_AGAIN);
		answer(0, bad[i], -1);
		if (web.gets != 1 || web.changed != 1 || web.last == 0)
			fail_msg("%s", bad[i]);
		assert_int_equal(keys(k), ERR_NOTFOUND);
		jwks_free(k);
	}
}

/* Google's keys lie on one other host of Google's, and nobody else's do. */
static void
t_jwks_discovery_elsewhere(void **state)
{
	static const struct {
		const char *keys;
		bool good;
	} cases[] = {
		{ "https://www.googleapis.com/oauth2/v3/certs", true },
		{ "https://www.googleapis.com.evil/certs", false },
		{ "http://www.googleapis.com/oauth2/v3/certs", false },
		{ "https://i.example/certs", false },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jwks *k = new_of("https://accounts.google.com");

		assert_int_equal(keys(k), ERR_AGAIN);
		(void)snprintf(text, sizeof(text),
		    "{\"issuer\":\"https://accounts.google.com\","
		    "\"jwks_uri\":\"%s\"}",
		    cases[i].keys);
		answer(0, text, -1);
		if (cases[i].good)
			assert_string_equal(web.url, cases[i].keys);
		else
			assert_int_equal(web.last, ERR_DENIED);
		jwks_free(k);
	}
}

/* Told where they are: nobody else is asked, however it goes. */
static void
t_jwks_told(void **state)
{
	static char arg[] = "arg";
	struct jwks *k;

	(void)state;
	memset(&web, 0, sizeof(web));
	web.now = 5000 * S;
	k = jwks_new(&io, ISS, "https://k.example/set", changed, arg);
	assert_non_null(k);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(keys(k), ERR_AGAIN);
		assert_string_equal(web.url, "https://k.example/set");
		if (i == 1)
			answer(0, "no set", -1);
		else
			answer(i == 0 ? ERR_TIMEOUT : 0, KEY("a"), 600);
		web.now += JWKS_COOLDOWN_S * S;
	}
	assert_int_equal(web.gets, 3);
	assert_int_equal(keys(k), 0);
	jwks_free(k);
}

/* From a file: always there, never asked for. */
static void
t_jwks_fixed(void **state)
{
	const struct jwk_set *got;
	struct jwk_set *set;
	const char *why;
	struct jwks *k;

	(void)state;
	memset(&web, 0, sizeof(web));
	assert_int_equal(
	    jwk_set_parse(KEY("f"), strlen(KEY("f")), &set, &why), 0);
	k = jwks_new_fixed(ISS, set);
	assert_true(jwks_is_fixed(k));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(jwks_keys(k, &got), 0);
		assert_ptr_equal(got, set);
		assert_int_equal(jwks_missing(k), ERR_NOTFOUND);
		assert_int_equal(jwks_stale_s(k), -1);
		jwks_tick(k);
		web.now += INT64_C(1000) * 86400 * S;
	}
	assert_int_equal(web.gets, 0);
	jwks_free(k);
}

/* A failed attempt counts: the next one comes after the cooldown. */
static void
t_jwks_failure_cooldown(void **state)
{
	struct jwks *k = new();

	(void)state;
	assert_int_equal(keys(k), ERR_AGAIN);
	web.now += 3 * S;
	answer(ERR_TIMEOUT, NULL, -1);
	assert_int_equal(web.last, ERR_TIMEOUT);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(keys(k), ERR_NOTFOUND);
		assert_int_equal(jwks_missing(k), ERR_NOTFOUND);
	}
	web.now += (JWKS_COOLDOWN_S - 3) * S - 1;
	assert_int_equal(keys(k), ERR_NOTFOUND);
	web.now += 1;
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_int_equal(web.gets, 2);
	answer(0, DISCOVERY, -1);
	answer(0, "not keys", -1);
	assert_int_equal(web.last, ERR_FORMAT);
	assert_int_equal(keys(k), ERR_NOTFOUND);
	web.now += JWKS_COOLDOWN_S * S;
	web.refuse = true;
	assert_int_equal(keys(k), ERR_NOTFOUND);
	web.refuse = false;
	assert_int_equal(keys(k), ERR_NOTFOUND);
	jwks_free(k);
}

static void
t_jwks_unknown_key(void **state)
{
	struct jwks *k = loaded(-1);
	const struct jwk_set *s;

	(void)state;
	/* too soon after the first fetch */
	assert_int_equal(jwks_missing(k), ERR_NOTFOUND);
	web.now += JWKS_COOLDOWN_S * S;
	for (int i = 0; i < 50; i++) { /* a flood of unknown kids */
		assert_int_equal(jwks_missing(k), ERR_AGAIN);
		assert_int_equal(keys(k), 0); /* others are not held up */
	}
	assert_int_equal(web.gets, 3);
	assert_string_equal(web.url, "https://i.example/keys");
	answer(0, KEY("b"), -1);
	assert_int_equal(jwks_keys(k, &s), 0);
	assert_string_equal(s->key[0].kid, "b");
	assert_int_equal(jwks_missing(k), ERR_NOTFOUND);
	/* a failed one counts as well, and leaves the keys */
	web.now += JWKS_COOLDOWN_S * S;
	assert_int_equal(jwks_missing(k), ERR_AGAIN);
	answer(ERR_SYS, NULL, -1);
	assert_int_equal(jwks_missing(k), ERR_NOTFOUND);
	assert_int_equal(keys(k), 0);
	assert_int_equal(web.gets, 4);
	/* and then asks where the keys are before it asks for them */
	web.now += JWKS_COOLDOWN_S * S;
	assert_int_equal(jwks_missing(k), ERR_AGAIN);
	assert_non_null(strstr(web.url, "well-known"));
	jwks_free(k);
}

static void
t_jwks_lifetime(void **state)
{
	static const struct {
		int64_t max_age, lives;
	} cases[] = {
		{ -1, JWKS_FRESH_S },
		{ 0, JWKS_FRESH_MIN_S },
		{ 1, JWKS_FRESH_MIN_S },
		{ 7200, 7200 },
		{ INT32_MAX, JWKS_FRESH_MAX_S },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jwks *k = loaded(cases[i].max_age);

		web.now += cases[i].lives * S - 1;
		assert_int_equal(keys(k), 0);
		assert_int_equal(web.gets, 2);
		web.now += 1;
		/* run out: no use of them before they are confirmed */
		assert_int_equal(keys(k), ERR_AGAIN);
		assert_int_equal(web.gets, 3);
		assert_int_equal(keys(k), ERR_AGAIN);
		answer(0, KEY("a"), cases[i].max_age);
		assert_int_equal(keys(k), 0);
		jwks_free(k);
	}
}

static void
t_jwks_stale(void **state)
{
	struct jwks *k = loaded(3600);

	(void)state;
	assert_int_equal(jwks_stale_s(k), -1);
	web.now += 3600 * S;
	assert_int_equal(keys(k), ERR_AGAIN);
	answer(ERR_TIMEOUT, NULL, -1);
	assert_int_equal(jwks_stale_s(k), JWKS_STALE_S);
	/* the issuer fails: old keys serve, and nobody waits any more */
	assert_int_equal(keys(k), 0);
	web.now += JWKS_COOLDOWN_S * S;
	assert_int_equal(keys(k), 0);
	assert_int_equal(web.gets, 4); /* in the background */
	assert_int_equal(keys(k), 0);
	answer(ERR_TIMEOUT, NULL, -1);
	/* not for ever */
	web.now = 5000 * S + (3600 + JWKS_STALE_S) * S - 1;
	assert_int_equal(keys(k), 0);
	answer(ERR_TIMEOUT, NULL, -1);
	web.now += 1;
	assert_int_equal(keys(k), ERR_NOTFOUND);
	assert_int_equal(jwks_stale_s(k), 0);
	web.now += JWKS_COOLDOWN_S * S;
	assert_int_equal(keys(k), ERR_AGAIN);
	answer(0, DISCOVERY, -1);
	answer(0, KEY("c"), 3600);
	assert_int_equal(keys(k), 0);
	jwks_free(k);
}

/* A good answer without keys withdraws them: nothing stale is left. */
static void
t_jwks_withdrawn(void **state)
{
	struct jwks *k = loaded(3600);
	const struct jwk_set *s;

	(void)state;
	web.now += JWKS_COOLDOWN_S * S;
	assert_int_equal(jwks_missing(k), ERR_AGAIN);
	answer(0, "{\"keys\":[]}", 3600);
	assert_int_equal(web.last, 0);
	assert_int_equal(jwks_keys(k, &s), 0);
	assert_int_equal(s->n, 0);
	jwks_free(k);
}

/* What has not changed has more time, and is still the same set. */
static void
t_jwks_not_modified(void **state)
{
	struct jwks *k = new ();
	const struct jwk_set *a, *b;

	(void)state;
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_string_equal(web.etag, "");
	answer_tagged(DISCOVERY, "\"discovery\"", -1);
	assert_string_equal(web.etag, ""); /* another document's */
	answer_tagged(KEY("a"), "\"one\"", 600);
	assert_int_equal(jwks_keys(k, &a), 0);
	web.now += 600 * S;
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_string_equal(web.etag, "\"one\"");
	answer_tagged(NULL, NULL, 900);
	assert_int_equal(web.last, 0);
	assert_int_equal(jwks_keys(k, &b), 0);
	assert_ptr_equal(a, b);
	web.now += 900 * S - 1;
	assert_int_equal(keys(k), 0);
	web.now += 1;
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_string_equal(web.etag, "\"one\"");
	/* another set, without a tag: none is sent any more */
	answer_tagged(KEY("b"), "", 600);
	assert_int_equal(jwks_keys(k, &b), 0);
	assert_string_equal(b->key[0].kid, "b");
	web.now += 600 * S;
	assert_int_equal(keys(k), ERR_AGAIN);
	assert_string_equal(web.etag, "");
	/* one that cannot be read changes neither set nor tag */
	answer_tagged(KEY("c"), "\"three\"", 600);
	web.now += 600 * S;
	assert_int_equal(keys(k), ERR_AGAIN);
	answer_tagged("no set", "\"four\"", 600);
	assert_int_not_equal(web.last, 0);
	web.now += JWKS_COOLDOWN_S * S;
	(void)keys(k);
	answer_tagged("{\"issuer\":\"" ISS "\",\"jwks_uri\":"
		      "\"https://i.example/moved\"}",
	    NULL, -1);
	/* the tag is of what lay elsewhere */
	assert_string_equal(web.url, "https://i.example/moved");
	assert_string_equal(web.etag, "");
	answer(ERR_TIMEOUT, NULL, -1);
	web.now += JWKS_COOLDOWN_S * S;
	(void)keys(k);
	answer(0, DISCOVERY, -1);
	assert_string_equal(web.etag, "\"three\"");
	answer_tagged(NULL, NULL, 600);
	assert_int_equal(jwks_keys(k, &b), 0);
	assert_string_equal(b->key[0].kid, "c");
	jwks_free(k);
}

static void
t_jwks_tick(void **state)
{
	struct jwks *k = new();

	(void)state;
	jwks_tick(k); /* the first login shall find keys */
	assert_int_equal(web.gets, 1);
	answer(ERR_SYS, NULL, -1);
	jwks_tick(k);
	web.now += JWKS_RETRY_S * S - 1;
	jwks_tick(k);
	assert_int_equal(web.gets, 1);
	web.now += 1;
	jwks_tick(k);
	assert_int_equal(web.gets, 2);
	answer(0, DISCOVERY, -1);
	answer(0, KEY("a"), 3600);
	/* quiet, until a fifth of the time is left */
	web.now += 2880 * S - 1;
	jwks_tick(k);
	assert_int_equal(web.gets, 3);
	web.now += 1;
	jwks_tick(k);
	assert_int_equal(web.gets, 4);
	assert_int_equal(keys(k), 0); /* still fresh: nobody waits */
	answer(0, KEY("b"), 3600);
	jwks_tick(k);
	assert_int_equal(web.gets, 4);
	jwks_free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_jwks_first_fetch),
		cmocka_unit_test(t_jwks_free_while_fetching),
		cmocka_unit_test(t_jwks_discovery_refused),
		cmocka_unit_test(t_jwks_discovery_elsewhere),
		cmocka_unit_test(t_jwks_told),
		cmocka_unit_test(t_jwks_fixed),
		cmocka_unit_test(t_jwks_failure_cooldown),
		cmocka_unit_test(t_jwks_unknown_key),
		cmocka_unit_test(t_jwks_lifetime),
		cmocka_unit_test(t_jwks_stale),
		cmocka_unit_test(t_jwks_withdrawn),
		cmocka_unit_test(t_jwks_not_modified),
		cmocka_unit_test(t_jwks_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
