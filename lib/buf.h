/*
 * Bounded bytes: the only growing buffer of the project, and the reader and
 * writer of every binary format (messages, SSH blobs).
 *
 * A buf never grows beyond the maximum given at buf_init; writing more is
 * ERR_TOOBIG and leaves the content as it was.  Readers consume from the
 * front; a failing read consumes nothing.  Memory is wiped when it is freed
 * or outgrown, so a buf may carry a secret on its way into a struct secret.
 *
 * Integers are big-endian.  A "string" is a u32 length and that many bytes:
 * the string of RFC 4251 section 5, and the one of doc/PROTOCOL.md.
 */
#ifndef POSTERN_LIB_BUF_H
#define POSTERN_LIB_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *d;	/* allocation, NULL while empty */
	size_t off;	/* first unread byte */
	size_t len;	/* end of the written bytes */
	size_t cap;	/* size of the allocation */
	size_t max;	/* len never passes this */
	bool borrowed;	/* d belongs to somebody else, read-only */
};

/* Empty buf that holds at most max bytes.  Allocates nothing. */
void buf_init(struct buf *b, size_t max);
/* A read-only view over n bytes at p, which must outlive it. */
void buf_view(struct buf *b, const void *p, size_t n);
/* Wipes and frees.  Takes NULL.  The buf may be used again afterwards. */
void buf_clear(struct buf *b);
/* Forgets (and wipes) the content, keeps the memory. */
void buf_reset(struct buf *b);

const uint8_t *buf_ptr(const struct buf *b); /* unread bytes */
size_t buf_len(const struct buf *b);	     /* how many of them */

/* Moves the unread bytes to the front: what was read makes room for more. */
void buf_shift(struct buf *b);
/* Room for n more bytes; *pp points at them, already counted as written. */
int buf_reserve(struct buf *b, size_t n, uint8_t **pp);
int buf_put(struct buf *b, const void *p, size_t n);
int buf_put_u8(struct buf *b, uint8_t v);
int buf_put_u32(struct buf *b, uint32_t v);
int buf_put_u64(struct buf *b, uint64_t v);
int buf_put_str(struct buf *b, const void *p, size_t n);
int buf_put_cstr(struct buf *b, const char *s); /* NULL is written as "" */
/* Appends formatted text without a terminator. */
int buf_putf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int buf_vputf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Terminates (without counting the NUL) and returns the unread bytes as a
 * C string that lives until the next write; NULL when there is no room. */
const char *buf_cstr(struct buf *b);

int buf_get(struct buf *b, void *p, size_t n);
int buf_get_u8(struct buf *b, uint8_t *v);
int buf_get_u32(struct buf *b, uint32_t *v);
int buf_get_u64(struct buf *b, uint64_t *v);
int buf_skip(struct buf *b, size_t n);
/* String of at most max bytes, as a pointer into the buf (not terminated,
 * valid until the buf is written or cleared). */
int buf_get_view(struct buf *b, size_t max, const uint8_t **pp, size_t *np);
/* String of at most max bytes without NUL, as a new C string the caller
 * frees. */
int buf_get_cstr(struct buf *b, size_t max, char **sp);
/* The same into an array; ERR_TOOBIG when it does not fit with its NUL. */
int buf_get_fixed(struct buf *b, char *dst, size_t dstsize);
/* 0 when everything was read, else ERR_FORMAT. */
int buf_end(const struct buf *b);

#endif
