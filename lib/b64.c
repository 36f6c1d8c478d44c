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

static int
b64_value(enum b64 kind, uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (kind == B64_URL ? '-' : '+'))
		return 62;
	if (c == (kind == B64_URL ? '_' : '/'))
		return 63;
	return -1;
}

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
	const uint8_t *s = p;
	size_t len = out->len;
	uint32_t v = 0;
	uint8_t *d;
	int bits = 0, c, r;

	if ((r = b64_unpad(kind, s, &n)) != 0)
		return r;
	if ((r = buf_reserve(out, n / 4 * 3 + (n % 4 == 0 ? 0 : n % 4 - 1),
	    &d)) != 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if ((c = b64_value(kind, s[i])) < 0) {
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
