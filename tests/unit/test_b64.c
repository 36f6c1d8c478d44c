/*
 * lib/b64.c: the vectors of RFC 4648 section 10, and everything that would be
 * a second spelling of the same bytes.
 */
#include "config.h"

#include "lib/b64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void
t_vectors(void **state)
{
	static const struct {
		const char *plain, *padded, *bare;
	} cases[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	};
	static const enum b64 kinds[] = { B64_STD, B64_STD_NOPAD, B64_URL };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		for (size_t k = 0; k < LENGTH(kinds); k++) {
			const char *text = kinds[k] == B64_STD ?
			    cases[i].padded : cases[i].bare;

			buf_init(&b, 64);
			assert_int_equal(b64_encode(kinds[k], cases[i].plain,
			    strlen(cases[i].plain), &b), 0);
			assert_string_equal(buf_cstr(&b), text);
			buf_reset(&b);
			assert_int_equal(b64_decode(kinds[k], text,
			    strlen(text), &b), 0);
			assert_string_equal(buf_cstr(&b), cases[i].plain);
			buf_clear(&b);
		}
	}
}

static void
t_alphabets(void **state)
{
	static const uint8_t plain[] = { 0xfb, 0xff, 0xbf };
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(b64_encode(B64_STD, plain, 3, &b), 0);
	assert_int_equal(b64_encode(B64_URL, plain, 3, &b), 0);
	assert_string_equal(buf_cstr(&b), "+/+/-_-_");
	buf_reset(&b);
	assert_int_equal(b64_decode(B64_STD, "+/+/", 4, &b), 0);
	assert_int_equal(b64_decode(B64_URL, "-_-_", 4, &b), 0);
	assert_int_equal(buf_len(&b), 6);
	assert_memory_equal(buf_ptr(&b), plain, 3);
	assert_memory_equal(buf_ptr(&b) + 3, plain, 3);
	buf_clear(&b);
}

/* Refused, and what was in the buf is all that is in it. */
static void
t_decode_refused(void **state)
{
	static const struct {
		enum b64 kind;
		const char *s;
	} cases[] = {
		/* spare bits */
		{ B64_STD, "Zh==" }, { B64_STD, "Zm9=" },
		{ B64_URL, "Zh" }, { B64_URL, "Zm9" }, { B64_URL, "_z" },
		{ B64_STD_NOPAD, "Zh" },
		/* padding: too little, too much, in the middle, alone */
		{ B64_STD, "Zg" }, { B64_STD, "Zg=" }, { B64_STD, "Zg===" },
		{ B64_STD, "Z===" }, { B64_STD, "=" }, { B64_STD, "====" },
		{ B64_STD, "Zg==Zg==" }, { B64_STD, "Zm9v====" },
		{ B64_STD, "Zm=v" }, { B64_STD, "=m9v" }, { B64_STD, "==" },
		{ B64_URL, "Zg==" }, { B64_STD_NOPAD, "Zg==" },
		{ B64_URL, "Zm8=" },
		/* a length that no bytes have */
		{ B64_URL, "Z" }, { B64_URL, "Zm9vY" }, { B64_STD, "Zm9vY" },
		{ B64_STD_NOPAD, "A" },
		/* the other alphabet, white space, anything else */
		{ B64_STD, "-_-_" }, { B64_URL, "+/+/" },
		{ B64_STD, "Zm9v\n" }, { B64_STD, "Zm9\n" },
		{ B64_STD, " Zm9" }, { B64_URL, "Zm 9v" }, { B64_URL, "Zm.v" },
		{ B64_STD, "Zm9\x80" }, { B64_STD, "Zm9\xff" },
		{ B64_URL, "Zm9v!AAA" },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		buf_init(&b, 64);
		assert_int_equal(buf_put(&b, "was", 3), 0);
		assert_int_equal(b64_decode(cases[i].kind, cases[i].s,
		    strlen(cases[i].s), &b), ERR_FORMAT);
		assert_string_equal(buf_cstr(&b), "was");
		buf_clear(&b);
	}
	/* A NUL is a character like any other. */
	buf_init(&b, 64);
	assert_int_equal(b64_decode(B64_STD, "Zm\0v", 4, &b), ERR_FORMAT);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
}

static void
t_every_length(void **state)
{
	static const enum b64 kinds[] = { B64_STD, B64_STD_NOPAD, B64_URL };
	uint8_t plain[200];
	struct buf text, back;

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 37 + 11);
	for (size_t n = 0; n <= sizeof(plain); n++) {
		for (size_t k = 0; k < LENGTH(kinds); k++) {
			/* The bounds are exact on both sides. */
			const size_t len = kinds[k] == B64_STD ?
			    (n + 2) / 3 * 4 : (n * 4 + 2) / 3;

			buf_init(&text, len);
			buf_init(&back, n);
			assert_int_equal(b64_encode(kinds[k], plain, n, &text),
			    0);
			assert_int_equal(buf_len(&text), len);
			assert_int_equal(b64_decode(kinds[k], buf_ptr(&text),
			    len, &back), 0);
			assert_int_equal(buf_len(&back), n);
			assert_memory_equal(buf_ptr(&back), plain, n);
			assert_int_equal(b64_encode(kinds[k], plain, 1, &text),
			    ERR_TOOBIG);
			assert_int_equal(b64_decode(kinds[k], "AAAA", 4,
			    &back), ERR_TOOBIG);
			assert_int_equal(buf_len(&back), n);
			buf_clear(&text);
			buf_clear(&back);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_vectors),
		cmocka_unit_test(t_alphabets),
		cmocka_unit_test(t_decode_refused),
		cmocka_unit_test(t_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
