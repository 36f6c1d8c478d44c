/*
 * What one oidc process leaves for the next, and what could be wrong with it.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/issuers.h"
#include "broker/keyfile.h"
#include "lib/buf.h"
#include "lib/err.h"

#define KEY(kid)                                                               \
	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","                     \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\","               \
	"\"kid\":\"" kid "\"}]}"
#define NOW INT64_C(1800000000)
#define S INT64_C(1000)

static struct {
	int64_t ms;
	http_cb cb;
	void *arg;
	int gets;
} web;

static int
web_get(void *ctx, const struct http_ask *ask, struct http_req **out)
{
	static char q;

	(void)ctx;
	web.cb = ask->cb;
	web.arg = ask->arg;
	web.gets++;
	*out = (struct http_req *)(void *)&q;
	return 0;
}

static void
web_cancel(void *ctx, struct http_req *q)
{
	(void)ctx;
	(void)q;
}

static int64_t
web_now(void *ctx)
{
	(void)ctx;
	return web.ms;
}

static const struct jwks_io io = {
	.get = web_get, .cancel = web_cancel, .now_ms = web_now
};

static void
changed(void *arg, int r, const char *why)
{
	(void)arg;
	(void)r;
	(void)why;
}

/* Issuers of these names; the urls are https://NAME.example. */
static void
make(struct issuers *s, const char *names)
{
	struct issuers old = { 0 };
	struct buf b;

	buf_init(&b, 64 * 1024);
	(void)buf_put_u32(&b, (uint32_t)strlen(names));
	for (const char *c = names; *c != '\0'; c++) {
		char url[64];

		(void)snprintf(url, sizeof(url), "https://%c.example", *c);
		(void)buf_put_cstr(&b, "i");
		(void)buf_put_cstr(&b, url);
		(void)buf_put_u32(&b, 1);
		(void)buf_put_cstr(&b, "us");
		(void)buf_put_u32(&b, 1);
		(void)buf_put_cstr(&b, "EdDSA");
		(void)buf_put_u32(&b, 0);
		(void)buf_put_u32(&b, 3600);
		(void)buf_put_u32(&b, 0);
		(void)buf_put_u8(&b, 1);
		(void)buf_put_cstr(&b, "");
	}
	assert_int_equal(issuers_read(&b, s), 0);
	assert_int_equal(issuers_adopt(s, &old, &io, changed), 0);
	buf_clear(&b);
}

/* The request that waits is answered; NULL: it fails. */
static void
answer(const char *body)
{
	struct http_answer a = { .r = body == NULL ? ERR_TIMEOUT : 0,
		.why = "made up",
		.body = body,
		.len = body == NULL ? 0 : strlen(body),
		.max_age = 3600 };

	web.cb(web.arg, &a);
}

static void
fetch(struct jwks *k, const char *body)
{
	const struct jwk_set *set;
	char text[256];

	assert_int_equal(jwks_keys(k, &set), ERR_AGAIN);
	(void)snprintf(text, sizeof(text),
	    "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", "https://a.example",
	    "https://a.example");
	answer(text);
	answer(body);
	assert_int_equal(jwks_keys(k, &set), 0);
}

static int
folder(void **state)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/keyfile-%d", (int)getpid());
	(void)unlink(path);
	web.ms = 100000 * S;
	web.gets = 0;
	*state = path;
	return 0;
}

static int
gone(void **state)
{
	(void)unlink(*state);
	return 0;
}

static struct keyfile *
opened(const char *path)
{
	struct keyfile *f = NULL;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(keyfile_open(fd, &f), 0);
	assert_non_null(f);
	return f;
}

/* One process fetches and saves; that many saves. */
static void
life(const char *path, const char *body, int saves)
{
	struct keyfile *f = opened(path);
	struct issuers s;

	make(&s, "a");
	fetch(s.t[0].jwks, body);
	for (int i = 0; i < saves; i++)
		assert_int_equal(keyfile_save(f, &s, NOW), 0);
	keyfile_free(f);
	issuers_clear(&s);
}

/* What the next one has for issuer a at that time; "": nothing. */
static const char *
next(const char *path, int64_t now_s, const char *names)
{
	static char kid[16];
	const struct jwk_set *set = NULL;
	struct keyfile *f = opened(path);
	struct issuers s;

	kid[0] = '\0';
	make(&s, names);
	(void)keyfile_give(f, &s, now_s);
	/* Not before the issuer was asked. */
	assert_int_equal(jwks_keys(s.t[0].jwks, &set), ERR_AGAIN);
	answer(NULL);
	if (jwks_keys(s.t[0].jwks, &set) == 0 && set->n > 0)
		(void)snprintf(kid, sizeof(kid), "%s", set->key[0].kid);
	issuers_clear(&s);
	keyfile_free(f);
	return kid;
}

static void
t_keyfile_next(void **state)
{
	const char *path = *state;

	assert_string_equal(next(path, NOW, "a"), ""); /* an empty file */
	life(path, KEY("k"), 1);
	assert_string_equal(next(path, NOW, "a"), "k");
	assert_string_equal(next(path, NOW + 3000, "a"), "k");
	assert_string_equal(next(path, NOW, "b"), "");
	assert_string_equal(next(path, NOW, "ab"), "k");
	/* the newest counts, in whichever place it is */
	for (int i = 1; i < 4; i++) {
		life(path, KEY("l"), i);
		assert_string_equal(next(path, NOW, "a"), "l");
		life(path, KEY("m"), 1);
		assert_string_equal(next(path, NOW, "a"), "m");
	}
	/* withdrawn is withdrawn */
	life(path, "{\"keys\":[]}", 1);
	assert_string_equal(next(path, NOW, "a"), "");
}

/* Not longer than the process before would have used them, by any clock. */
static void
t_keyfile_times(void **state)
{
	const char *path = *state;

	life(path, KEY("k"), 1);
	assert_string_equal(
	    next(path, NOW + 3600 + JWKS_STALE_S - 1, "a"), "k");
	assert_string_equal(next(path, NOW + 3600 + JWKS_STALE_S, "a"), "");
	assert_string_equal(next(path, NOW - 1, "a"), "");
}

/* Each life that only takes up adds no time. */
static void
t_keyfile_times_do_not_grow(void **state)
{
	const char *path = *state;
	const struct jwk_set *set;
	struct keyfile *f;
	struct issuers s;

	life(path, KEY("k"), 1);
	for (int64_t h = 1; h < 24; h++) {
		f = opened(path);
		make(&s, "a");
		assert_int_equal(keyfile_give(f, &s, NOW + h * 3600), 1);
		assert_int_equal(jwks_keys(s.t[0].jwks, &set), ERR_AGAIN);
		answer(NULL);
		web.ms += 60 * S;
		assert_int_equal(keyfile_save(f, &s, NOW + h * 3600 + 60), 0);
		issuers_clear(&s);
		keyfile_free(f);
	}
	assert_string_equal(next(path, NOW + 3600 + JWKS_STALE_S, "a"), "");
	assert_string_equal(
	    next(path, NOW + 3600 + JWKS_STALE_S - 60, "a"), "k");
}

/* The process died while it wrote: the place before counts. */
static void
t_keyfile_torn(void **state)
{
	const char *path = *state;
	struct stat st;
	off_t first;

	life(path, KEY("k"), 1); /* number 1, in the second place */
	assert_int_equal(stat(path, &st), 0);
	first = st.st_size;
	life(path, KEY("l"), 1); /* number 2, in the first place */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, first);
	for (off_t at = 0; at < 160; at += 7) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		char c;

		assert_int_equal(pread(fd, &c, 1, at), 1);
		c ^= 1;
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
		assert_string_equal(next(path, NOW, "a"), "k");
		c ^= 1;
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
		(void)close(fd);
	}
	assert_string_equal(next(path, NOW, "a"), "l");
	/* and with only a part of the other one */
	for (off_t n = first - 1; n > first - 200; n -= 13) {
		assert_int_equal(truncate(path, n), 0);
		assert_string_equal(next(path, NOW, "a"), "l");
	}
	assert_int_equal(truncate(path, 50), 0);
	assert_string_equal(next(path, NOW, "a"), "");
}

/* An issuer that comes with a later policy gets nothing: it may have withdrawn
 * its keys while this process ran.  And who has keys keeps them. */
static void
t_keyfile_once(void **state)
{
	const char *path = *state;
	const struct jwk_set *set;
	struct keyfile *f;
	struct issuers s, none = { 0 };

	life(path, KEY("k"), 1);
	f = opened(path);
	assert_int_equal(keyfile_give(f, &none, NOW), 0);
	make(&s, "a");
	fetch(s.t[0].jwks, KEY("new"));
	assert_int_equal(keyfile_give(f, &s, NOW), 0);
	assert_int_equal(jwks_keys(s.t[0].jwks, &set), 0);
	assert_string_equal(set->key[0].kid, "new");
	issuers_clear(&s);
	make(&s, "a");
	assert_int_equal(keyfile_give(f, &s, NOW), 0);
	issuers_clear(&s);
	keyfile_free(f);
	keyfile_free(NULL);
	assert_int_equal(keyfile_save(NULL, &none, NOW), 0);
	assert_int_equal(keyfile_give(NULL, &none, NOW), 0);
}

/* A set of more than JWKS_KEEP_MAX serves, and is not kept; ISSUERS_MAX of the
 * longest that are kept fit. */
static void
t_keyfile_bounds(void **state)
{
	const char *path = *state;
	size_t n = strlen(KEY("k"));
	char *body = malloc(JWKS_KEEP_MAX + 2), names[ISSUERS_MAX + 1];
	struct jwks_kept row = { .fetched_s = NOW, .fresh_s = NOW };
	struct keyfile *f;
	struct issuers s;

	assert_non_null(body);
	memset(body, ' ', JWKS_KEEP_MAX + 1);
	memcpy(body, KEY("k"), n);
	body[JWKS_KEEP_MAX + 1] = '\0';
	life(path, body, 1);
	assert_string_equal(next(path, NOW, "a"), "");
	body[JWKS_KEEP_MAX] = '\0';
	life(path, body, 1);
	assert_string_equal(next(path, NOW, "a"), "k");
	for (size_t i = 0; i < ISSUERS_MAX; i++)
		names[i] = (char)('a' + i % 26);
	/* the same url again is left out: longer names for it */
	names[26] = '\0';
	make(&s, names);
	row.body = (const uint8_t *)body;
	row.len = JWKS_KEEP_MAX;
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(jwks_restore(s.t[i].jwks, &row, NOW), 0);
	f = opened(path);
	assert_int_equal(keyfile_save(f, &s, NOW), 0);
	assert_int_equal(keyfile_save(f, &s, NOW), 0);
	keyfile_free(f);
	issuers_clear(&s);
	assert_string_equal(next(path, NOW, "z"), "k");
	free(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(t_keyfile_next, folder, gone),
		cmocka_unit_test_setup_teardown(t_keyfile_times, folder, gone),
		cmocka_unit_test_setup_teardown(
		    t_keyfile_times_do_not_grow, folder, gone),
		cmocka_unit_test_setup_teardown(t_keyfile_torn, folder, gone),
		cmocka_unit_test_setup_teardown(t_keyfile_once, folder, gone),
		cmocka_unit_test_setup_teardown(t_keyfile_bounds, folder, gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
