/*
 * Bounded bytes.  Used by every process; its readers see input from any peer,
 * so every length is checked against what is there before it is believed.
 */
#include "config.h"

#include "lib/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"

#define BUF_FIRST 256

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_view(struct buf *b, const void *p, size_t n)
{
	union {
		const void *ro;
		uint8_t *rw;
	} u = { .ro = p }; /* never written through: borrowed */

	*b = (struct buf){ .d = u.rw, .len = n, .cap = n, .max = n,
		.borrowed = true };
}

void
buf_clear(struct buf *b)
{
	if (b == NULL)
		return;
	if (b->d != NULL && !b->borrowed) {
		explicit_bzero(b->d, b->cap);
		free(b->d);
	}
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	if (b->borrowed) {
		buf_clear(b);
		return;
	}
	if (b->d != NULL)
		explicit_bzero(b->d, b->len);
	b->off = b->len = 0;
}

const uint8_t *
buf_ptr(const struct buf *b)
{
	static const uint8_t none[1];

	return b->d == NULL ? none : b->d + b->off;
}

size_t
buf_len(const struct buf *b)
{
	return b->len - b->off;
}

/* Moves to a larger allocation.  realloc would leave the old bytes behind. */
static int
buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap == 0 ? BUF_FIRST : b->cap;
	uint8_t *d;

	while (cap < need) {
		if (__builtin_mul_overflow(cap, 2, &cap))
			return ERR_TOOBIG;
	}
	if (cap > b->max + 1) /* + 1: room for buf_cstr's NUL */
		cap = b->max + 1;
	if ((d = malloc(cap)) == NULL)
		return ERR_NOMEM;
	if (b->d != NULL) {
		memcpy(d, b->d, b->len);
		explicit_bzero(b->d, b->cap);
		free(b->d);
	}
	b->d = d;
	b->cap = cap;
	return 0;
}

void
buf_shift(struct buf *b)
{
	size_t n = b->len - b->off;

	if (b->borrowed || b->off == 0)
		return;
	memmove(b->d, b->d + b->off, n);
	explicit_bzero(b->d + n, b->off);
	b->off = 0;
	b->len = n;
}

int
buf_reserve(struct buf *b, size_t n, uint8_t **pp)
{
	size_t end;
	int r;

	if (b->borrowed)
		return ERR_INTERNAL;
	if (__builtin_add_overflow(b->len, n, &end) || end > b->max)
		return ERR_TOOBIG;
	if (end > b->cap && (r = buf_grow(b, end)) != 0)
		return r;
	/* Nothing in nothing: no arithmetic on NULL. */
	*pp = b->d == NULL ? NULL : b->d + b->len;
	b->len = end;
	return 0;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *d;
	int r;

	if (n == 0)
		return 0;
	if (!b->borrowed && n <= b->cap - b->len && n <= b->max - b->len) {
		memcpy(b->d + b->len, p, n); /* nearly always */
		b->len += n;
		return 0;
	}
	if ((r = buf_reserve(b, n, &d)) != 0)
		return r;
	memcpy(d, p, n);
	return 0;
}

int
buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put(b, &v, 1);
}

int
buf_put_u32(struct buf *b, uint32_t v)
{
	uint8_t d[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
		(uint8_t)(v >> 8), (uint8_t)v };

	return buf_put(b, d, sizeof(d));
}

int
buf_put_u64(struct buf *b, uint64_t v)
{
	uint8_t d[8];

	for (int i = 0; i < 8; i++)
		d[i] = (uint8_t)(v >> (56 - 8 * i));
	return buf_put(b, d, sizeof(d));
}

int
buf_put_str(struct buf *b, const void *p, size_t n)
{
	size_t len = b->len;
	int r;

	if (n > UINT32_MAX)
		return ERR_TOOBIG;
	if ((r = buf_put_u32(b, (uint32_t)n)) != 0)
		return r;
	if ((r = buf_put(b, p, n)) != 0)
		b->len = len;
	return r;
}

int
buf_put_cstr(struct buf *b, const char *s)
{
	return s == NULL ? buf_put_u32(b, 0) : buf_put_str(b, s, strlen(s));
}

int
buf_vputf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->len;
	va_list again;
	uint8_t *d;
	int n, r;

	if (b->borrowed)
		return ERR_INTERNAL;
	/* With a NUL, which is not counted; often there is room already. */
	va_copy(again, ap);
	n = vsnprintf(
	    room == 0 ? NULL : (char *)b->d + b->len, room, fmt, again);
	va_end(again);
	if (n < 0)
		return ERR_INTERNAL;
	if ((size_t)n > b->max - b->len) {
		if (room > 0) /* nothing of it stays */
			explicit_bzero(b->d + b->len, room);
		return ERR_TOOBIG;
	}
	if ((size_t)n < room) {
		b->len += (size_t)n;
		return 0;
	}
	if (b->max < SIZE_MAX && (r = buf_grow(b, b->len + (size_t)n + 1)) != 0)
		return r;
	if ((r = buf_reserve(b, (size_t)n, &d)) != 0)
		return r;
	(void)vsnprintf((char *)d, (size_t)n + 1, fmt, ap);
	return 0;
}

int
buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vputf(b, fmt, ap);
	va_end(ap);
	return r;
}

const char *
buf_cstr(struct buf *b)
{
	if (b->borrowed)
		return NULL;
	if (b->len + 1 > b->cap && buf_grow(b, b->len + 1) != 0)
		return NULL;
	b->d[b->len] = '\0';
	return (const char *)b->d + b->off;
}

int
buf_get(struct buf *b, void *p, size_t n)
{
	if (n > buf_len(b))
		return ERR_FORMAT;
	if (n != 0)
		memcpy(p, b->d + b->off, n);
	b->off += n;
	return 0;
}

int
buf_skip(struct buf *b, size_t n)
{
	if (n > buf_len(b))
		return ERR_FORMAT;
	b->off += n;
	return 0;
}

int
buf_get_u8(struct buf *b, uint8_t *v)
{
	return buf_get(b, v, 1);
}

int
buf_get_u32(struct buf *b, uint32_t *v)
{
	uint8_t d[4];
	int r;

	if ((r = buf_get(b, d, sizeof(d))) != 0)
		return r;
	*v = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 |
	    (uint32_t)d[2] << 8 | (uint32_t)d[3];
	return 0;
}

int
buf_get_u64(struct buf *b, uint64_t *v)
{
	uint8_t d[8];
	uint64_t x = 0;
	int r;

	if ((r = buf_get(b, d, sizeof(d))) != 0)
		return r;
	for (int i = 0; i < 8; i++)
		x = x << 8 | d[i];
	*v = x;
	return 0;
}

int
buf_get_view(struct buf *b, size_t max, const uint8_t **pp, size_t *np)
{
	size_t off = b->off;
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > max || n > buf_len(b)) {
		b->off = off;
		return n > max ? ERR_TOOBIG : ERR_FORMAT;
	}
	*pp = buf_ptr(b);
	*np = n;
	b->off += n;
	return 0;
}

int
buf_get_cstr(struct buf *b, size_t max, char **sp)
{
	size_t off = b->off, n;
	const uint8_t *p;
	char *s;
	int r;

	if ((r = buf_get_view(b, max, &p, &n)) != 0)
		return r;
	if (memchr(p, '\0', n) != NULL) {
		b->off = off;
		return ERR_FORMAT;
	}
	if ((s = malloc(n + 1)) == NULL) {
		b->off = off;
		return ERR_NOMEM;
	}
	memcpy(s, p, n);
	s[n] = '\0';
	*sp = s;
	return 0;
}

int
buf_get_fixed(struct buf *b, char *dst, size_t dstsize)
{
	size_t off = b->off, n;
	const uint8_t *p;
	int r;

	if ((r = buf_get_view(b, dstsize - 1, &p, &n)) != 0)
		return r;
	if (memchr(p, '\0', n) != NULL) {
		b->off = off;
		return ERR_FORMAT;
	}
	memcpy(dst, p, n);
	dst[n] = '\0';
	return 0;
}

int
buf_end(const struct buf *b)
{
	return buf_len(b) == 0 ? 0 : ERR_FORMAT;
}
