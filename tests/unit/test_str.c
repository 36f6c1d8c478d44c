/*
 * lib/str.c: names, numbers, UTF-8 (RFC 3629), hexadecimal.
 */
#include "config.h"

#include "lib/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define N31 "a23456789012345678901234567890b"

static void
t_str_copy(void **state)
{
	char d[4] = "xyz";

	(void)state;
	assert_int_equal(str_copy(d, sizeof(d), "abc"), 0);
	assert_string_equal(d, "abc");
	assert_int_equal(str_copy(d, sizeof(d), "abcd"), ERR_TOOBIG);
	assert_string_equal(d, "");
	assert_int_equal(str_copy(d, 1, ""), 0);
	memcpy(d, "xyz", 4);
	assert_int_equal(str_copy(d, 0, ""), ERR_TOOBIG);
	assert_string_equal(d, "xyz");
}

static void
t_num_parse(void **state)
{
	static const struct {
		const char *s;
		uint64_t min, max, n;
		int r;
	} cases[] = {
		{ "0", 0, 9, 0, 0 },
		{ "9", 0, 9, 9, 0 },
		{ "10", 0, 9, 0, ERR_TOOBIG },
		{ "1", 2, 9, 0, ERR_TOOBIG },
		{ "18446744073709551615", 0, UINT64_MAX, UINT64_MAX, 0 },
		{ "18446744073709551616", 0, UINT64_MAX, 0, ERR_TOOBIG },
		{ "99999999999999999999999", 0, UINT64_MAX, 0, ERR_TOOBIG },
		{ "", 0, 9, 0, ERR_FORMAT },
		{ "00", 0, 9, 0, ERR_FORMAT },
		{ "01", 0, 9, 0, ERR_FORMAT },
		{ "+1", 0, 9, 0, ERR_FORMAT },
		{ "-1", 0, 9, 0, ERR_FORMAT },
		{ " 1", 0, 9, 0, ERR_FORMAT },
		{ "1 ", 0, 9, 0, ERR_FORMAT },
		{ "1\n", 0, 9, 0, ERR_FORMAT },
		{ "0x1", 0, 9, 0, ERR_FORMAT },
		{ "1e1", 0, 99, 0, ERR_FORMAT },
		{ "\xd9\xa1", 0, 9, 0, ERR_FORMAT }, /* an Arabic one */
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		uint64_t n = 4711;

		assert_int_equal(num_parse(cases[i].s, cases[i].min,
		    cases[i].max, &n), cases[i].r);
		assert_true(n == (cases[i].r == 0 ? cases[i].n : 4711));
	}
}

static void
t_name_valid(void **state)
{
	static const char *const good[] = { "a", "0", "web-1", "a.b_c-d", "1-",
		N31 };
	static const char *const bad[] = { "", "-a", ".a", "_a", "A", "aB",
		"a b", "a+b", "a/b", "a\n", "a\xc3\xa4", N31 "c", "a:b",
		"..", "a@b", "a%b" };

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_true(name_valid(good[i]));
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(name_valid(bad[i]));
}

static void
t_path_is_plain(void **state)
{
	static const char *const good[] = { "/a", "/a/b", "/...", "/a/..b",
		"/.a", "/ ", "/~", "/a\xff" };
	static const char *const bad[] = { "", "/", "a", "./a", "//", "//a",
		"/a/", "/a//b", "/.", "/..", "/a/.", "/a/..", "/./a", "/../a",
		"/a/../b" };
	char longest[PATH_LEN_MAX + 2];

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_true(path_is_plain(good[i], strlen(good[i])));
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_false(path_is_plain(bad[i], strlen(bad[i])));
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	assert_true(path_is_plain(longest, PATH_LEN_MAX));
	assert_false(path_is_plain(longest, PATH_LEN_MAX + 1));
}

static void
t_path_is_beneath(void **state)
{
	static const struct {
		const char *path, *folder;
		bool is;
	} cases[] = {
		{ "/a", "/a", true },
		{ "/a/b", "/a", true },
		{ "/a/b/c", "/a/b", true },
		{ "/a", "/", true },
		{ "/", "/", true },
		{ "/a.b", "/a", false },
		{ "/ab", "/a", false },
		{ "/a", "/a/b", false },
		{ "/a", "/b", false },
		{ "/A", "/a", false },
		{ "/", "/a", false },
		{ "/b/a", "/a", false },
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_int_equal(
		    path_is_beneath(cases[i].path, cases[i].folder),
		    cases[i].is);
}

static void
t_user_name_parse(void **state)
{
	static const struct {
		const char *s, *login, *target; /* NULL: refused */
	} cases[] = {
		{ "web-1", "", "web-1" },
		{ "root+web-1", "root", "web-1" },
		{ "postern", "", "postern" },
		{ N31 "+" N31, N31, N31 },
		{ "", NULL, NULL },
		{ "+", NULL, NULL },
		{ "+web-1", NULL, NULL },
		{ "root+", NULL, NULL },
		{ "a+b+c", NULL, NULL },
		{ "a++b", NULL, NULL },
		{ "Root+web-1", NULL, NULL },
		{ "root+Web-1", NULL, NULL },
		{ "root +web-1", NULL, NULL },
		{ N31 "c+web-1", NULL, NULL },
		{ "root+" N31 "c", NULL, NULL },
		{ "web-1\n", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct user_name u = { "was", "was" };
		const bool ok = cases[i].target != NULL;

		assert_int_equal(user_name_parse(cases[i].s, &u),
		    ok ? 0 : ERR_FORMAT);
		assert_string_equal(u.login, ok ? cases[i].login : "was");
		assert_string_equal(u.target, ok ? cases[i].target : "was");
	}
}

static void
t_utf8_next(void **state)
{
	static const struct {
		const char *s;
		size_t n, len; /* len 0: not valid */
		uint32_t cp;
	} cases[] = {
		{ "", 0, 0, 0 },
		{ "\0", 1, 1, 0 },
		{ "a", 1, 1, 'a' },
		{ "\x7f", 1, 1, 0x7f },
		{ "\xc2\x80", 2, 2, 0x80 },
		{ "\xdf\xbf", 2, 2, 0x7ff },
		{ "\xe0\xa0\x80", 3, 3, 0x800 },
		{ "\xed\x9f\xbf", 3, 3, 0xd7ff },
		{ "\xee\x80\x80", 3, 3, 0xe000 },
		{ "\xef\xbf\xbf", 3, 3, 0xffff },
		{ "\xf0\x90\x80\x80", 4, 4, 0x10000 },
		{ "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff },
		/* Overlong: the first forbidden and the last of each length. */
		{ "\xc0\x80", 2, 0, 0 },
		{ "\xc0\xaf", 2, 0, 0 },
		{ "\xc1\xbf", 2, 0, 0 },
		{ "\xe0\x80\x80", 3, 0, 0 },
		{ "\xe0\x9f\xbf", 3, 0, 0 },
		{ "\xf0\x80\x80\x80", 4, 0, 0 },
		{ "\xf0\x8f\xbf\xbf", 4, 0, 0 },
		/* Surrogates, alone and in a pair (CESU-8). */
		{ "\xed\xa0\x80", 3, 0, 0 },
		{ "\xed\xbf\xbf", 3, 0, 0 },
		{ "\xed\xa0\x81\xed\xb0\x80", 6, 0, 0 },
		/* Above the last character, and forms of five and six. */
		{ "\xf4\x90\x80\x80", 4, 0, 0 },
		{ "\xf5\x80\x80\x80", 4, 0, 0 },
		{ "\xf8\x88\x80\x80\x80", 5, 0, 0 },
		{ "\xfc\x84\x80\x80\x80\x80", 6, 0, 0 },
		{ "\xfe", 1, 0, 0 },
		{ "\xff", 1, 0, 0 },
		/* Out of place or cut off. */
		{ "\x80", 1, 0, 0 },
		{ "\xbf", 1, 0, 0 },
		{ "\xc2", 1, 0, 0 },
		{ "\xc2 ", 2, 0, 0 },
		{ "\xc2\xc0", 2, 0, 0 },
		{ "\xe2\x82", 2, 0, 0 },
		{ "\xe2\x82 ", 3, 0, 0 },
		{ "\xf0\x9f\x98", 3, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		uint32_t cp = 0x5a5a5a;

		assert_int_equal(utf8_next((const uint8_t *)cases[i].s,
		    cases[i].n, &cp), cases[i].len);
		if (cases[i].len != 0)
			assert_int_equal(cp, cases[i].cp);
		assert_int_equal(utf8_valid(cases[i].s, cases[i].n),
		    cases[i].n == 0 || cases[i].len == cases[i].n);
	}
}

/* Every code point has one spelling, and it is read back. */
static void
t_utf8_every_character(void **state)
{
	uint8_t d[4];
	uint32_t cp, got;
	size_t n;

	(void)state;
	for (cp = 0; cp <= 0x10ffff; cp++) {
		if (cp < 0x80) {
			n = 1, d[0] = (uint8_t)cp;
		} else if (cp < 0x800) {
			n = 2, d[0] = (uint8_t)(0xc0 | cp >> 6);
		} else if (cp < 0x10000) {
			n = 3, d[0] = (uint8_t)(0xe0 | cp >> 12);
		} else {
			n = 4, d[0] = (uint8_t)(0xf0 | cp >> 18);
		}
		for (size_t i = 1; i < n; i++)
			d[i] = (uint8_t)(0x80 | (cp >> 6 * (n - 1 - i) & 63));
		if (cp >= 0xd800 && cp <= 0xdfff) {
			assert_int_equal(utf8_next(d, n, &got), 0);
			continue;
		}
		assert_int_equal(utf8_next(d, n, &got), n);
		assert_int_equal(got, cp);
		assert_int_equal(utf8_next(d, n - 1, &got), 0);
	}
}

static void
t_utf8_is_control(void **state)
{
	static const uint32_t yes[] = { 0, 7, 8, 9, 10, 13, 0x1b, 0x1f, 0x7f,
		0x80, 0x85, 0x9b, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x2029,
		0x202a, 0x202e, 0x2066, 0x2069 };
	static const uint32_t no[] = { ' ', '~', 0xa0, 0xe4, 0x2027, 0x202f,
		0x2065, 0x206a, 0x1f600 };

	(void)state;
	for (size_t i = 0; i < LENGTH(yes); i++)
		assert_true(utf8_is_control(yes[i]));
	for (size_t i = 0; i < LENGTH(no); i++)
		assert_false(utf8_is_control(no[i]));
}

static void
t_utf8_is_hidden(void **state)
{
	static const uint32_t yes[] = { 0xad, 0x200b, 0x200c, 0x200d, 0x2060,
		0x3164, 0xfeff, 0xffa0, 0xfffb, 0xe0001, 0xe0fff };
	static const uint32_t no[] = { ' ', 'a', 0xac, 0xae, 0xe4, 0x200a,
		0x2010, 0x3163, 0xfffd, 0x1f600, 0x10ffff };

	(void)state;
	for (size_t i = 0; i < LENGTH(yes); i++)
		assert_true(utf8_is_hidden(yes[i]));
	for (size_t i = 0; i < LENGTH(no); i++)
		assert_false(utf8_is_hidden(no[i]));
}

static void
t_mem_equal(void **state)
{
	uint8_t a[256], b[256];

	(void)state;
	memset(a, 0x5a, sizeof(a));
	memcpy(b, a, sizeof(b));
	assert_true(mem_equal(a, b, sizeof(a)));
	assert_true(mem_equal(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			b[i] = (uint8_t)(a[i] ^ 1U << bit);
			assert_false(mem_equal(a, b, sizeof(a)));
		}
		b[i] = a[i];
	}
}

static void
t_hex(void **state)
{
	static const char *const bad[] = { "", "0", "000", "00000", "0g00",
		"00AA", " 000", "0x00", "00\n0", "-100" };
	uint8_t all[256], back[256], two[2] = { 7, 7 };
	char text[2 * sizeof(all) + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	hex_encode(all, sizeof(all), text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102", 6);
	assert_string_equal(text + 506, "fdfeff");
	assert_int_equal(hex_decode(text, back, sizeof(back)), 0);
	assert_memory_equal(all, back, sizeof(all));
	hex_encode(all, 0, text);
	assert_string_equal(text, "");
	assert_int_equal(hex_decode("", back, 0), 0);
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_int_equal(hex_decode(bad[i], two, 2), ERR_FORMAT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_str_copy),
		cmocka_unit_test(t_num_parse),
		cmocka_unit_test(t_name_valid),
		cmocka_unit_test(t_path_is_plain),
		cmocka_unit_test(t_path_is_beneath),
		cmocka_unit_test(t_user_name_parse),
		cmocka_unit_test(t_utf8_next),
		cmocka_unit_test(t_utf8_every_character),
		cmocka_unit_test(t_utf8_is_control),
		cmocka_unit_test(t_utf8_is_hidden),
		cmocka_unit_test(t_mem_equal),
		cmocka_unit_test(t_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
