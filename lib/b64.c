/*
 * Strict base64.  The decoder sees text from tokens, keys and policies: one
 * byte string has exactly one accepted spelling.
 */
#include "config.h"

#include "lib/b64.h"

#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"

static const char b64_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int
b64_encode(enum b64 kind, const void *p, size_t n, struct buf *out)
{
	const char *abc = kind == B64_URL ? b64_url : b64_std;
	const uint8_t *s = p;
	size_t len = n / 3 * 4 + (n % 3 == 0 ? 0 : n % 3 + 1), i;
	size_t pad = kind == B64_STD ? (3 - n % 3) % 3 : 0;
	uint8_t *d;
	uint32_t v;
	int r;

	if ((r = buf_reserve(out, len + pad, &d)) != 0)
		return r;
	for (i = 0; i + 2 < n; i += 3) {
		v = (uint32_t)s[i] << 16 | (uint32_t)s[i + 1] << 8 | s[i + 2];
		for (int k = 18; k >= 0; k -= 6)
			*d++ = (uint8_t)abc[v >> k & 63];
	}
	if (i < n) {
		v = (uint32_t)s[i] << 16;
		if (i + 1 < n)
			v |= (uint32_t)s[i + 1] << 8;
		*d++ = (uint8_t)abc[v >> 18 & 63];
		*d++ = (uint8_t)abc[v >> 12 & 63];
		if (i + 1 < n)
			*d++ = (uint8_t)abc[v >> 6 & 63];
	}
	while (pad-- > 0)
		*d++ = '=';
	return 0;
}

/* A character's value and 1; 0: it is none. */
/* clang-format off */
#define B64_ALNUM \
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, \
	['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, \
	['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, \
	['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, \
	['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, \
	['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, \
	['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, \
	['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, \
	['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, \
	['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, \
	['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, \
	['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, \
	['8'] = 61, ['9'] = 62
static const uint8_t b64_values[][256] = {
	[B64_STD] = { B64_ALNUM, ['+'] = 63, ['/'] = 64 },
	[B64_STD_NOPAD] = { B64_ALNUM, ['+'] = 63, ['/'] = 64 },
	[B64_URL] = { B64_ALNUM, ['-'] = 63, ['_'] = 64 },
};
/* clang-format on */

/* Takes the padding off; false when it is not the variant's. */
static int
b64_unpad(enum b64 kind, const uint8_t *s, size_t *n)
{
	size_t pad = 0;

	if (kind != B64_STD)
		return *n % 4 == 1 ? ERR_FORMAT : 0;
	if (*n % 4 != 0)
		return ERR_FORMAT;
	while (pad < 2 && *n > pad && s[*n - 1 - pad] == '=')
		pad++;
	*n -= pad;
	return 0;
}

int
b64_decode(enum b64 kind, const void *p, size_t n, struct buf *out)
{
	const uint8_t *s = p, *value = b64_values[kind];
	size_t len = out->len;
	uint32_t v;
	uint8_t *d;
	int bits = 0, c, c2, c3, c4, r;
	size_t i = 0;

	if ((r = b64_unpad(kind, s, &n)) != 0)
		return r;
	if ((r = buf_reserve(out, n / 4 * 3 + (n % 4 == 0 ? 0 : n % 4 - 1),
	    &d)) != 0)
		return r;
	for (; i + 4 <= n; i += 4) {
		c = value[s[i]] - 1;
		c2 = value[s[i + 1]] - 1;
		c3 = value[s[i + 2]] - 1;
		c4 = value[s[i + 3]] - 1;
		if ((c | c2 | c3 | c4) < 0) {
			out->len = len;
			return ERR_FORMAT;
		}
		v = (uint32_t)c << 18 | (uint32_t)c2 << 12 | (uint32_t)c3 << 6 |
		    (uint32_t)c4;
		*d++ = (uint8_t)(v >> 16);
		*d++ = (uint8_t)(v >> 8);
		*d++ = (uint8_t)v;
	}
	v = 0;
	for (; i < n; i++) { /* one to three are left */
		if ((c = value[s[i]] - 1) < 0) {
			out->len = len;
			return ERR_FORMAT;
		}
		v = v << 6 | (uint32_t)c;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*d++ = (uint8_t)(v >> bits);
			v &= (1U << bits) - 1;
		}
	}
	if (v != 0) { /* spare bits: a second spelling of the same bytes */
		out->len = len;
		return ERR_FORMAT;
	}
	return 0;
}
