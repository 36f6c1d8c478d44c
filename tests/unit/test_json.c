/*
 * lib/json.c: its form, its escapes (promise 8), and errors that stick.
 */
#include "config.h"

#include "lib/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void
t_form(void **state)
{
	struct buf b;
	struct json j;

	(void)state;
	buf_init(&b, 1024);
	json_init(&j, &b);
	json_open(&j, '{');
	json_kv_num(&j, "a", UINT64_MAX);
	json_kv_str(&j, "b", "c");
	json_key(&j, "d");
	json_open(&j, '[');
	json_close(&j, ']');
	json_kv_open(&j, "e", '[');
	json_int(&j, INT64_MIN);
	json_bool(&j, true);
	json_bool(&j, false);
	json_null(&j);
	json_open(&j, '{');
	json_close(&j, '}');
	json_open(&j, '{');
	json_kv_num(&j, "f", 0);
	json_close(&j, '}');
	json_str(&j, "");
	json_close(&j, ']');
	json_kv_num(&j, "g", 1);
	json_close(&j, '}');
	assert_int_equal(json_end(&j), 0);
	assert_string_equal(buf_cstr(&b),
	    "{\"a\":18446744073709551615,\"b\":\"c\",\"d\":[],"
	    "\"e\":[-9223372036854775808,true,false,null,{},{\"f\":0},\"\"],"
	    "\"g\":1}");
	buf_clear(&b);
}

static void
t_escapes(void **state)
{
	static const struct {
		const char *s;
		size_t n;
		const char *json;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "\0", 1, "\"\\u0000\"" },
		{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
		{ "\n\r\t", 3, "\"\\n\\r\\t\"" },
		{ "\b\f\v\x1b[31m", 8,
		    "\"\\u0008\\u000c\\u000b\\u001b[31m\"" },
		{ "\x7f", 1, "\"\\u007f\"" },
		{ "\xc2\x80\xc2\x9b\xc2\x9f", 6,
		    "\"\\u0080\\u009b\\u009f\"" },
		{ "\xc2\xa0", 2, "\"\xc2\xa0\"" },
		{ "\xe2\x80\xa8\xe2\x80\xa9", 6, "\"\\u2028\\u2029\"" },
		{ "\xe2\x80\xae", 3, "\"\\u202e\"" },
		{ "\xe2\x81\xa6x\xe2\x81\xa9", 7, "\"\\u2066x\\u2069\"" },
		{ "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"" },
		/* not UTF-8: one U+FFFD for each byte that is not */
		{ "\xff", 1, "\"\xef\xbf\xbd\"" },
		{ "a\x80z", 3, "\"a\xef\xbf\xbdz\"" },
		{ "\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xc2\"", 2, "\"\xef\xbf\xbd\\\"\"" },
		{ "\xe2\x80\n", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\\n\"" },
	};
	struct buf b;
	struct json j;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		buf_init(&b, 256);
		json_init(&j, &b);
		json_strn(&j, cases[i].s, cases[i].n);
		assert_int_equal(json_end(&j), 0);
		assert_string_equal(buf_cstr(&b), cases[i].json);
		buf_clear(&b);
	}
}

/* What json_strn makes of n bytes, without its quotes. */
static size_t
escaped(const uint8_t *s, size_t n, char dst[64])
{
	struct buf b;
	struct json j;
	size_t len;

	buf_init(&b, 64);
	json_init(&j, &b);
	json_strn(&j, s, n);
	assert_int_equal(json_end(&j), 0);
	len = buf_len(&b) - 2;
	memcpy(dst, buf_ptr(&b) + 1, len);
	buf_clear(&b);
	return len;
}

/* Bytes are looked at in eights: a byte is escaped, or not, as it is by itself,
 * wherever it stands and whatever stands before it. */
static void
t_every_place(void **state)
{
	uint8_t s[10];
	char alone[256][64], got[64], *want;
	size_t len[256], n;

	(void)state;
	for (unsigned int x = 0; x < 256; x++)
		len[x] = escaped(&(uint8_t){ (uint8_t)x }, 1, alone[x]);
	for (unsigned int i = 0; i < 65536; i++) {
		unsigned int x = i >> 8, y = i & 0xff;

		if (x >= 0x80 && y >= 0x80)
			continue; /* perhaps a character */
		for (size_t at = 0; at < sizeof(s) - 1; at++) {
			char text[64];

			memset(s, 'a', sizeof(s));
			s[at] = (uint8_t)x;
			s[at + 1] = (uint8_t)y;
			memset(text, 'a', sizeof(text));
			want = text + at;
			memcpy(want, alone[x], len[x]);
			memcpy(want + len[x], alone[y], len[y]);
			n = sizeof(s) - 2 + len[x] + len[y];
			assert_int_equal(escaped(s, sizeof(s), got), n);
			assert_memory_equal(got, text, n);
		}
	}
}

/* Whatever two bytes come: valid UTF-8, nothing that steers a terminal. */
static void
t_promise_8_harmless(void **state)
{
	const uint8_t *p;
	uint32_t cp;
	struct buf b;
	struct json j;
	size_t n, k;

	(void)state;
	buf_init(&b, 256);
	for (unsigned int i = 0; i < 65536; i++) {
		const uint8_t s[4] = { 0xe2, (uint8_t)(i >> 8), (uint8_t)i,
			'x' };

		for (size_t skip = 0; skip < 2; skip++) {
			buf_reset(&b);
			json_init(&j, &b);
			json_strn(&j, s + skip, sizeof(s) - skip);
			assert_int_equal(json_end(&j), 0);
			p = buf_ptr(&b);
			for (n = buf_len(&b); n > 0; n -= k, p += k) {
				k = utf8_next(p, n, &cp);
				assert_int_not_equal(k, 0);
				assert_false(utf8_is_control(cp));
			}
		}
	}
	buf_clear(&b);
}

static void
t_errors_stick(void **state)
{
	struct buf b;
	struct json j;

	(void)state;
	for (size_t max = 0; max < 30; max++) {
		buf_init(&b, max);
		json_init(&j, &b);
		json_open(&j, '{');
		json_kv_str(&j, "key", "long\ntext");
		json_kv_num(&j, "n", 12345);
		json_kv_bool(&j, "t", true);
		json_close(&j, '}');
		/* 41 bytes: none of these fits. */
		assert_int_equal(json_end(&j), ERR_TOOBIG);
		assert_true(buf_len(&b) <= max);
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_form),
		cmocka_unit_test(t_escapes),
		cmocka_unit_test(t_every_place),
		cmocka_unit_test(t_promise_8_harmless),
		cmocka_unit_test(t_errors_stick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
