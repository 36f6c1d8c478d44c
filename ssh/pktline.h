/*
 * git's pkt-lines, and the few forms of text that they carry between a client
 * and a repository.  Pure: nothing is allocated, nothing is kept.
 *
 * gitprotocol-common(5), gitprotocol-pack(5): four hexadecimal digits are the
 * length of the line, themselves included; 0000 ends a section.
 */
#ifndef POSTERN_SSH_PKTLINE_H
#define POSTERN_SSH_PKTLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define PKT_HEAD 4                        /* bytes of the length */
#define PKT_MAX 65520                     /* bytes of a line, length included */
#define PKT_DATA_MAX (PKT_MAX - PKT_HEAD) /* bytes that it carries */
#define PKT_OID_MAX 64                    /* digits of an object's name */
#define PKT_REF_MAX 1024                  /* bytes of a ref's */

enum pkt_kind {
	PKT_DATA,
	PKT_FLUSH, /* 0000 */
	PKT_DELIM, /* 0001, of version 2 */
	PKT_END,   /* 0002, of version 2 */
};

struct pkt {
	enum pkt_kind kind;
	const uint8_t *data; /* inside what was read */
	size_t n;
	size_t size; /* of the line, its length included */
};

/* The line that begins at p.  ERR_AGAIN: not all of it is there, but
 * out->size says how many bytes that are.  ERR_FORMAT: it is none. */
int pkt_read(const void *p, size_t n, struct pkt *out);

int pkt_put(struct buf *b, const void *p, size_t n);
int pkt_put_flush(struct buf *b);
/* A line of text; its newline is added. */
int pkt_putf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* -- what they carry ---------------------------------------------------------
 */

/* A text without its newline at the end; inside the line, not terminated. */
struct pkt_text {
	const char *p;
	size_t n;
};

struct pkt_text pkt_text(const struct pkt *k);
bool pkt_text_is(const struct pkt_text *t, const char *s);
/* Takes a word off the front, which ends at a space or with the text: false,
 * and t unchanged, if that is nothing. */
bool pkt_take_word(struct pkt_text *t, struct pkt_text *word);
/* Takes `word ` off the front. */
bool pkt_take(struct pkt_text *t, const char *word);
/* Everything behind the first NUL, if there is one; t is what stands before. */
bool pkt_take_caps(struct pkt_text *t, struct pkt_text *caps);
/* Takes an object's name off the front, of 40 or 64 digits, and the space
 * behind it, if one is there. */
bool pkt_take_oid(struct pkt_text *t, char oid[PKT_OID_MAX + 1]);
bool pkt_oid_is_zero(const char *oid);
/* The whole text as a ref's name that a policy can speak of: it begins with
 * refs/, has the form of git-check-ref-format(1), is UTF-8 without control
 * characters, and no longer than PKT_REF_MAX. */
bool pkt_ref(const struct pkt_text *t, char ref[PKT_REF_MAX + 1]);

#endif
