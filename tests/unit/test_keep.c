/*
 * What is kept for a restart: it is there again, in order and in pages; it has
 * bounds, an end, and one owner; damage makes it empty and says so.
 */
#include "config.h"

#include "audit/keep.h"

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

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/safeopen.h"

static struct {
	char folder[64], db[80];
	struct keep *k;
} fx;

static void
reopen(enum keep_before want)
{
	enum keep_before was = KEEP_GOOD;

	keep_free(fx.k);
	fx.k = NULL;
	assert_int_equal(keep_open(fx.db, &fx.k, &was), 0);
	assert_int_equal(was, want);
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(
	    fx.folder, sizeof(fx.folder), "/tmp/postern-keep-XXXXXX");
	assert_non_null(mkdtemp(fx.folder));
	(void)snprintf(fx.db, sizeof(fx.db), "%s/kept.db", fx.folder);
	reopen(KEEP_EMPTY);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[96];

	(void)state;
	keep_free(fx.k);
	fx.k = NULL;
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", fx.db, ends[i]);
		(void)unlink(path);
	}
	return rmdir(fx.folder);
}

static int
put(enum keep_owner o, const char *key, uint64_t until, const char *value)
{
	return keep_put(
	    fx.k, o, key, until, (const uint8_t *)value, strlen(value));
}

/* "key=value " of every row, page by page. */
static void
expect(enum keep_owner o, uint64_t now, size_t room, const char *want)
{
	char after[81] = "", got[512] = "", *key, *value;
	bool more = true;
	struct buf b;
	uint64_t until;
	uint32_t n;

	while (more) {
		buf_init(&b, room);
		assert_int_equal(
		    keep_page(fx.k, o, after, now, room, &b, &n, &more), 0);
		for (; n > 0; n--) {
			assert_int_equal(buf_get_cstr(&b, 80, &key), 0);
			assert_int_equal(buf_get_u64(&b, &until), 0);
			assert_int_equal(buf_get_cstr(&b, 80, &value), 0);
			assert_true(until >= now);
			(void)snprintf(got + strlen(got),
			    sizeof(got) - strlen(got), "%s=%s ", key, value);
			(void)snprintf(after, sizeof(after), "%s", key);
			free(key);
			free(value);
		}
		assert_int_equal(buf_len(&b), 0);
		buf_clear(&b);
	}
	assert_string_equal(got, want);
}

static void
t_keep_survives(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(put(KEEP_POLICY, "s/b", 100, "two"), 0);
	assert_int_equal(put(KEEP_POLICY, "s/a", 100, "one"), 0);
	assert_int_equal(put(KEEP_OIDC, "m/a", 100, "ten"), 0);
	assert_int_equal(put(KEEP_POLICY, "s/b", 100, "three"), 0);
	reopen(KEEP_GOOD);
	expect(KEEP_POLICY, 1, 4096, "s/a=one s/b=three ");
	expect(KEEP_OIDC, 1, 4096, "m/a=ten ");
	assert_true(keep_has(fx.k, KEEP_OIDC, "m/a"));
	assert_false(keep_has(fx.k, KEEP_POLICY, "m/a"));
	assert_int_equal(keep_drop(fx.k, KEEP_POLICY, "s/a"), 0);
	assert_int_equal(keep_drop(fx.k, KEEP_POLICY, "s/a"), 0);
	expect(KEEP_POLICY, 1, 4096, "s/b=three ");
	/* A handle may be in it: the auditors' group has no business here. */
	assert_int_equal(stat(fx.db, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

static void
t_keep_page_by_page(void **state)
{
	char key[8];

	(void)state;
	for (int i = 0; i < 5; i++) {
		(void)snprintf(key, sizeof(key), "s/%d", i);
		assert_int_equal(put(KEEP_POLICY, key, 100, "v"), 0);
	}
	/* a row is 20 bytes here; 30 hold one, 50 hold two */
	for (size_t room = 30; room < 130; room += 20)
		expect(KEEP_POLICY, 1, room, "s/0=v s/1=v s/2=v s/3=v s/4=v ");
}

static void
t_keep_ends(void **state)
{
	(void)state;
	assert_int_equal(put(KEEP_OIDC, "m/a", 100, "x"), 0);
	assert_int_equal(put(KEEP_OIDC, "m/b", 200, "x"), 0);
	expect(KEEP_OIDC, 101, 4096, "m/b=x ");
	assert_int_equal(keep_expire(fx.k, 101), 0);
	expect(KEEP_OIDC, 1, 4096, "m/b=x ");
}

static void
t_keep_p10_is_bounded(void **state)
{
	static uint8_t big[KEEP_BYTES_MAX / 4];

	(void)state;
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 4; i++) {
		char key[4] = { 'k', (char)('0' + i), '\0' };

		assert_int_equal(
		    keep_put(fx.k, KEEP_OIDC, key, 100, big, sizeof(big)), 0);
	}
	assert_int_equal(put(KEEP_OIDC, "m/a", 100, "x"), ERR_TOOBIG);
	assert_int_equal(put(KEEP_POLICY, "s/a", 100, "x"), 0);
	/* the same row again takes no more room */
	assert_int_equal(
	    keep_put(fx.k, KEEP_OIDC, "k0", 100, big, sizeof(big)), 0);
	reopen(KEEP_GOOD);
	assert_int_equal(put(KEEP_OIDC, "m/a", 100, "x"), ERR_TOOBIG);
	assert_int_equal(keep_drop(fx.k, KEEP_OIDC, "k1"), 0);
	assert_int_equal(put(KEEP_OIDC, "m/a", 100, "x"), 0);
	assert_int_equal(keep_expire(fx.k, 1000), 0);
	assert_int_equal(
	    keep_put(fx.k, KEEP_OIDC, "k0", 100, big, sizeof(big)), 0);
}

static void
t_keep_damaged(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(put(KEEP_POLICY, "s/a", 100, "x"), 0);
	keep_free(fx.k);
	fx.k = NULL;
	fd = open(fx.db, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write_all(fd,
			     "this is no database, and long enough "
			     "to be looked at as one",
			     60),
	    0);
	(void)close(fd);
	reopen(KEEP_DAMAGED);
	expect(KEEP_POLICY, 1, 4096, "");
	assert_int_equal(put(KEEP_POLICY, "s/a", 100, "x"), 0);
	reopen(KEEP_GOOD);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_keep_survives),
		T(t_keep_page_by_page),
		T(t_keep_ends),
		T(t_keep_p10_is_bounded),
		T(t_keep_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
