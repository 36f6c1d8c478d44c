/*
 * lib/buf.c: bounds on both sides, what a failure leaves behind, and every
 * failing allocation.
 */
#include "config.h"

#include "lib/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"
#include "tests/unit/fault.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* The unread bytes are exactly these. */
static void
holds(const struct buf *b, const char *s, size_t n)
{
	assert_int_equal(buf_len(b), n);
	assert_memory_equal(buf_ptr(b), s, n);
}

static void
t_put_bound(void **state)
{
	static const size_t max[] = { 0, 1, 2, 255, 256, 257, 511, 512, 4096 };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < LENGTH(max); i++) {
		buf_init(&b, max[i]);
		for (size_t k = 0; k < max[i]; k++)
			assert_int_equal(buf_put_u8(&b, (uint8_t)k), 0);
		assert_int_equal(buf_put_u8(&b, 0), ERR_TOOBIG);
		assert_int_equal(buf_len(&b), max[i]);
		for (size_t k = 0; k < max[i]; k++)
			assert_int_equal(buf_ptr(&b)[k], (uint8_t)k);
		/* The NUL has its place even in a full buf. */
		assert_non_null(buf_cstr(&b));
		assert_int_equal(buf_cstr(&b)[max[i]], '\0');
		assert_int_equal(buf_len(&b), max[i]);
		buf_clear(&b);
	}
}

/* Reading does not make room: max counts what was ever written. */
static void
t_put_after_reading(void **state)
{
	struct buf b;
	uint8_t v;

	(void)state;
	buf_init(&b, 2);
	assert_int_equal(buf_put(&b, "ab", 2), 0);
	assert_int_equal(buf_get_u8(&b, &v), 0);
	assert_int_equal(buf_put_u8(&b, 'c'), ERR_TOOBIG);
	holds(&b, "b", 1);
	assert_string_equal(buf_cstr(&b), "b");
	buf_reset(&b);
	assert_int_equal(buf_put(&b, "cd", 2), 0);
	holds(&b, "cd", 2);
	buf_clear(&b);
}

/* Too much leaves the content as it was, whoever writes. */
static void
t_put_too_much(void **state)
{
	struct buf b;
	uint8_t *p = NULL;

	(void)state;
	buf_init(&b, 6);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	assert_int_equal(buf_put(&b, "1234", 4), ERR_TOOBIG);
	assert_int_equal(buf_put_u32(&b, 1), ERR_TOOBIG);
	assert_int_equal(buf_put_u64(&b, 1), ERR_TOOBIG);
	assert_int_equal(buf_put_cstr(&b, ""), ERR_TOOBIG);
	assert_int_equal(buf_putf(&b, "%d", 1234), ERR_TOOBIG);
	assert_int_equal(buf_reserve(&b, SIZE_MAX, &p), ERR_TOOBIG);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 2, &p), ERR_TOOBIG);
	assert_null(p);
	holds(&b, "abc", 3);
	assert_int_equal(buf_putf(&b, "%d", 123), 0);
	holds(&b, "abc123", 6);
	buf_clear(&b);

	/* A string whose length fits and whose bytes do not. */
	buf_init(&b, 6);
	assert_int_equal(buf_put_cstr(&b, "abc"), ERR_TOOBIG);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_put_cstr(&b, "ab"), 0);
	holds(&b, "\0\0\0\2ab", 6);
	buf_clear(&b);
}

static void
t_putf_exact(void **state)
{
	struct buf b;
	char text[600];

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		memset(text, 'x', n);
		text[n] = '\0';
		buf_init(&b, n);
		assert_int_equal(buf_putf(&b, "%s", text), 0);
		holds(&b, text, n);
		assert_int_equal(buf_putf(&b, "%s", ""), 0);
		assert_int_equal(buf_putf(&b, "y"), ERR_TOOBIG);
		holds(&b, text, n);
		buf_clear(&b);
	}
}

/* The NUL that formatting writes must not fall on what follows. */
/* What did not fit was written all the same, up to there. */
static void
t_putf_too_much_is_wiped(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	assert_int_equal(buf_putf(&b, "%s", "a secret"), ERR_TOOBIG);
	holds(&b, "abc", 3);
	for (size_t i = b.len; i < b.cap; i++)
		assert_int_equal(b.d[i], 0);
	buf_clear(&b);
}

static void
t_putf_after_put(void **state)
{
	struct buf b;

	(void)state;
	for (size_t n = 0; n < 600; n++) {
		buf_init(&b, 1024);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf_put_u8(&b, 'x'), 0);
		assert_int_equal(buf_putf(&b, "%s", "ab"), 0);
		assert_int_equal(buf_put_u8(&b, 'c'), 0);
		assert_int_equal(buf_len(&b), n + 3);
		assert_memory_equal(buf_ptr(&b) + n, "abc", 3);
		buf_clear(&b);
	}
}

static void
t_numbers_big_endian(void **state)
{
	struct buf b;
	uint8_t v8;
	uint32_t v32;
	uint64_t v64;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(buf_put_u8(&b, 0xfe), 0);
	assert_int_equal(buf_put_u32(&b, 0x01020380), 0);
	assert_int_equal(buf_put_u64(&b, 0x8102030405060708), 0);
	holds(&b, "\xfe\x01\x02\x03\x80\x81\x02\x03\x04\x05\x06\x07\x08", 13);
	assert_int_equal(buf_get_u8(&b, &v8), 0);
	assert_int_equal(buf_get_u32(&b, &v32), 0);
	assert_int_equal(buf_get_u64(&b, &v64), 0);
	assert_int_equal(v8, 0xfe);
	assert_int_equal(v32, 0x01020380);
	assert_true(v64 == 0x8102030405060708);
	assert_int_equal(buf_end(&b), 0);
	buf_clear(&b);
}

/* A failing read consumes nothing and writes nothing. */
static void
t_get_short(void **state)
{
	static const char bytes[] = "\0\0\0\5abcd"; /* says five, has four */
	struct buf b;
	char *s = NULL;
	char fixed[16] = "was";
	const uint8_t *p = NULL;
	size_t n = 77;
	uint32_t v32 = 77;
	uint64_t v64 = 77;
	uint8_t v8 = 77;

	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		buf_view(&b, bytes, len);
		assert_int_equal(buf_get_view(&b, 9, &p, &n), ERR_FORMAT);
		assert_int_equal(buf_get_cstr(&b, 9, &s), ERR_FORMAT);
		assert_int_equal(buf_get_fixed(&b, fixed, sizeof(fixed)),
		    ERR_FORMAT);
		assert_int_equal(buf_skip(&b, len + 1), ERR_FORMAT);
		assert_int_equal(buf_get(&b, fixed, len + 1), ERR_FORMAT);
		if (len < 8)
			assert_int_equal(buf_get_u64(&b, &v64), ERR_FORMAT);
		if (len < 4)
			assert_int_equal(buf_get_u32(&b, &v32), ERR_FORMAT);
		if (len < 1)
			assert_int_equal(buf_get_u8(&b, &v8), ERR_FORMAT);
		assert_int_equal(buf_len(&b), len);
		assert_int_equal(buf_end(&b), len == 0 ? 0 : ERR_FORMAT);
	}
	assert_null(s);
	assert_null(p);
	assert_string_equal(fixed, "was");
	assert_true(v8 == 77 && v32 == 77 && v64 == 77 && n == 77);
}

static void
t_get_strings(void **state)
{
	static const struct {
		const char *wire;
		size_t n, max;
		int r;
	} cases[] = {
		{ "\0\0\0\0", 4, 0, 0 },
		{ "\0\0\0\3abc", 7, 3, 0 },
		{ "\0\0\0\3abc", 7, 4, 0 },
		{ "\0\0\0\3abc", 7, 2, ERR_TOOBIG },
		{ "\0\0\0\3a\0c", 7, 9, ERR_FORMAT },
		{ "\0\0\0\1\0", 5, 9, ERR_FORMAT },
		/* A length nobody can have, and one that would wrap. */
		{ "\xff\xff\xff\xff", 4, SIZE_MAX, ERR_FORMAT },
		{ "\xff\xff\xff\xff", 4, 16, ERR_TOOBIG },
		{ "\x80\0\0\0abc", 7, SIZE_MAX, ERR_FORMAT },
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char fixed[32] = "was", *s = NULL;
		struct buf b;

		buf_view(&b, cases[i].wire, cases[i].n);
		assert_int_equal(buf_get_cstr(&b, cases[i].max, &s),
		    cases[i].r);
		assert_int_equal(buf_len(&b), cases[i].r ? cases[i].n : 0);
		if (cases[i].r == 0)
			assert_string_equal(s, cases[i].wire + 4);
		else
			assert_null(s);
		free(s);
		if (cases[i].max >= sizeof(fixed))
			continue;
		/* max characters need max + 1 bytes. */
		buf_view(&b, cases[i].wire, cases[i].n);
		assert_int_equal(buf_get_fixed(&b, fixed, cases[i].max + 1),
		    cases[i].r);
		assert_string_equal(fixed,
		    cases[i].r ? "was" : cases[i].wire + 4);
	}
}

static void
t_view_is_read_only(void **state)
{
	struct buf b;
	uint8_t *p;

	(void)state;
	buf_view(&b, "abc", 3);
	assert_int_equal(buf_put_u8(&b, 'd'), ERR_INTERNAL);
	assert_int_equal(buf_reserve(&b, 0, &p), ERR_INTERNAL);
	assert_int_equal(buf_putf(&b, "%s", ""), ERR_INTERNAL);
	assert_null(buf_cstr(&b));
	holds(&b, "abc", 3);
	buf_clear(&b); /* must not free it */
	assert_int_equal(buf_len(&b), 0);
	buf_view(&b, "abc", 3);
	buf_reset(&b);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(NULL);
}

/* Nothing to write into an empty buf: also for a sanitizer. */
static void
t_reserve_nothing(void **state)
{
	struct buf b;
	uint8_t *p = NULL;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_reserve(&b, 0, &p), 0);
	assert_int_equal(buf_put(&b, NULL, 0), 0);
	assert_int_equal(buf_put_cstr(&b, NULL), 0);
	holds(&b, "\0\0\0\0", 4);
	buf_clear(&b);
	buf_view(&b, NULL, 0);
	assert_int_equal(buf_end(&b), 0);
	assert_non_null(buf_ptr(&b));
}

static void
t_reset_wipes(void **state)
{
	struct buf b;
	const uint8_t *p;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(buf_put(&b, "secret", 6), 0);
	p = buf_ptr(&b);
	buf_reset(&b);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(p[i], 0);
	buf_clear(&b);
}

static int
write_all_kinds(struct buf *b)
{
	char *s = NULL;
	int r;

	for (int i = 0; i < 40; i++) {
		if ((r = buf_put_cstr(b, "0123456789")) != 0 ||
		    (r = buf_putf(b, "%0100d", i)) != 0)
			return r;
	}
	if (buf_cstr(b) == NULL)
		return ERR_NOMEM;
	r = buf_get_cstr(b, 10, &s);
	free(s);
	return r;
}

static void
t_no_memory(void **state)
{
	struct buf b;
	unsigned long n;
	size_t before;
	int r;

	(void)state;
	for (n = 1;; n++) {
		buf_init(&b, 8192);
		fault_at(n);
		r = write_all_kinds(&b);
		if (!fault_off())
			break;
		assert_int_equal(r, ERR_NOMEM);
		before = buf_len(&b);
		assert_int_equal(buf_put_u8(&b, 'x'), 0);
		assert_int_equal(buf_len(&b), before + 1);
		buf_clear(&b);
	}
	assert_int_equal(r, 0);
	assert_true(n > 3);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_put_bound),
		cmocka_unit_test(t_put_after_reading),
		cmocka_unit_test(t_put_too_much),
		cmocka_unit_test(t_putf_exact),
		cmocka_unit_test(t_putf_too_much_is_wiped),
		cmocka_unit_test(t_putf_after_put),
		cmocka_unit_test(t_numbers_big_endian),
		cmocka_unit_test(t_get_short),
		cmocka_unit_test(t_get_strings),
		cmocka_unit_test(t_view_is_read_only),
		cmocka_unit_test(t_reserve_nothing),
		cmocka_unit_test(t_reset_wipes),
		cmocka_unit_test(t_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
