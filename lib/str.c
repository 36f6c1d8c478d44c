/*
 * Strings, numbers and names.  Used by every process; `name_valid` and
 * `user_name_parse` are the edge where an SSH user name is first believed.
 */
#include "config.h"

#include "lib/str.h"

#include <string.h>

#include "lib/err.h"

int
str_copy(char *dst, size_t dstsize, const char *src)
{
	size_t n = strlen(src);

	if (n >= dstsize) {
		if (dstsize > 0)
			dst[0] = '\0';
		return ERR_TOOBIG;
	}
	memcpy(dst, src, n + 1);
	return 0;
}

int
num_parse(const char *s, uint64_t min, uint64_t max, uint64_t *n)
{
	uint64_t v = 0;

	if (*s == '\0' || (s[0] == '0' && s[1] != '\0'))
		return ERR_FORMAT;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return ERR_FORMAT;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return ERR_TOOBIG;
	}
	if (v < min || v > max)
		return ERR_TOOBIG;
	*n = v;
	return 0;
}

static bool
name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
name_valid(const char *s)
{
	size_t i;

	if (!name_char(s[0]))
		return false;
	for (i = 1; s[i] != '\0'; i++) {
		if (i >= NAME_LEN_MAX)
			return false;
		if (!name_char(s[i]) && s[i] != '.' && s[i] != '_' &&
		    s[i] != '-')
			return false;
	}
	return true;
}

size_t
env_name_len(const char *s)
{
	static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz_0123456789";
	size_t n = strspn(s, name);

	if (n > ENV_NAME_MAX || s[n] != '=' || (*s >= '0' && *s <= '9'))
		return 0;
	return n;
}

bool
path_is_plain(const char *s, size_t n)
{
	size_t begin = 1;

	if (n == 0 || n > PATH_LEN_MAX || s[0] != '/')
		return false;
	for (size_t i = 1; i <= n; i++) {
		if (i < n && s[i] != '/')
			continue;
		if (i == begin || (i - begin == 1 && s[begin] == '.') ||
		    (i - begin == 2 && memcmp(s + begin, "..", 2) == 0))
			return false;
		begin = i + 1;
	}
	return true;
}

bool
path_is_beneath(const char *path, const char *folder)
{
	size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);

	return strncmp(path, folder, n) == 0 &&
	       (path[n] == '\0' || path[n] == '/');
}

int
user_name_parse(const char *s, struct user_name *out)
{
	const char *plus = strchr(s, '+');
	struct user_name u = { "", "" };
	size_t n;

	if (plus != NULL) {
		n = (size_t)(plus - s);
		if (n > NAME_LEN_MAX)
			return ERR_FORMAT;
		memcpy(u.login, s, n);
		u.login[n] = '\0';
		if (!name_valid(u.login))
			return ERR_FORMAT;
		s = plus + 1;
	}
	if (!name_valid(s) || str_copy(u.target, sizeof(u.target), s) != 0)
		return ERR_FORMAT;
	*out = u;
	return 0;
}

size_t
utf8_next(const uint8_t *p, size_t n, uint32_t *cp)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len;
	uint32_t c;

	if (n == 0)
		return 0;
	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if ((p[0] & 0xe0) == 0xc0)
		len = 2, c = p[0] & 0x1f;
	else if ((p[0] & 0xf0) == 0xe0)
		len = 3, c = p[0] & 0x0f;
	else if ((p[0] & 0xf8) == 0xf0)
		len = 4, c = p[0] & 0x07;
	else
		return 0;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return len;
}

bool
utf8_valid(const void *p, size_t n)
{
	const uint8_t *s = p;
	uint64_t eight;
	uint32_t cp;
	size_t k;

	while (n > 0) {
		/* Most of all text: each output of a target comes by here. */
		if (n >= sizeof(eight)) {
			memcpy(&eight, s, sizeof(eight));
			if ((eight & UINT64_C(0x8080808080808080)) == 0) {
				s += sizeof(eight);
				n -= sizeof(eight);
				continue;
			}
		}
		if ((k = utf8_next(s, n, &cp)) == 0)
			return false;
		s += k;
		n -= k;
	}
	return true;
}

bool
utf8_is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x061c ||
	    cp == 0x200e || cp == 0x200f || cp == 0x2028 || cp == 0x2029 ||
	    (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

bool
utf8_is_hidden(uint32_t cp)
{
	static const struct {
		uint32_t from, to;
	} hidden[] = {
		{ 0x00ad, 0x00ad },                     /* soft hyphen */
		{ 0x034f, 0x034f },                     /* grapheme joiner */
		{ 0x115f, 0x1160 },                     /* Hangul fillers */
		{ 0x17b4, 0x17b5 },                     /* inherent vowels */
		{ 0x180b, 0x180f }, { 0x200b, 0x200d }, /* zero width */
		{ 0x2060, 0x206f }, /* invisible operators */
		{ 0x3164, 0x3164 }, { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 },
		{ 0xfff9, 0xfffb },   /* interlinear annotation */
		{ 0xe0000, 0xe0fff }, /* tags, variation selectors */
	};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		if (cp >= hidden[i].from && cp <= hidden[i].to)
			return true;
	}
	return false;
}

bool
mem_equal(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t d = 0;

	for (size_t i = 0; i < n; i++)
		d |= (uint8_t)(x[i] ^ y[i]);
	return d == 0;
}

void
hex_encode(const void *p, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *s = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digit[s[i] >> 4];
		*out++ = digit[s[i] & 15];
	}
	*out = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int
hex_decode(const char *s, void *p, size_t n)
{
	uint8_t *d = p;

	if (strlen(s) != 2 * n)
		return ERR_FORMAT;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return ERR_FORMAT;
		d[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}
