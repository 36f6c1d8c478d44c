/*
 * Base64 of RFC 4648: section 4 (padded, SSH keys) and section 5 without
 * padding (base64url, JWS).  Decoding is strict: no white space, no foreign
 * character, no spare bits, padding exactly as the variant demands.
 */
#ifndef POSTERN_LIB_B64_H
#define POSTERN_LIB_B64_H

#include <stddef.h>

struct buf;

enum b64 {
	B64_STD,	/* + /  with = */
	B64_STD_NOPAD,	/* + /  without = (SHA256: fingerprints) */
	B64_URL,	/* - _  without = */
};

/* Appends the encoding of n bytes. */
int b64_encode(enum b64 kind, const void *p, size_t n, struct buf *out);
/* Appends the decoding of n characters; ERR_FORMAT leaves out unchanged. */
int b64_decode(enum b64 kind, const void *p, size_t n, struct buf *out);

#endif
