/*
 * SSH public keys of strangers: one line of a .pub file, and the blob in it
 * (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4).  Taken are
 * Ed25519, ECDSA on NIST's curves and RSA; nothing else has a certificate made.
 */
#ifndef POSTERN_SSH_PUBKEY_H
#define POSTERN_SSH_PUBKEY_H

#include <stddef.h>
#include <stdint.h>

#define PUBKEY_BLOB_MAX 1200        /* RSA of PUBKEY_RSA_MAX bits has 1052 */
#define PUBKEY_RSA_MIN 2048
#define PUBKEY_RSA_MAX 8192

struct buf;

struct pubkey_kind {
	const char *name;      /* "ssh-ed25519" */
	const char *cert_name; /* "ssh-ed25519-cert-v01@openssh.com" */
	const char *curve;     /* of ECDSA; else NULL */
	size_t len;            /* of an Ed25519 key or of a point; 0: RSA */
};

/* The kind of that name; NULL: none.  name is n bytes. */
const struct pubkey_kind *pubkey_kind_find(const void *name, size_t n);
/* The same by the name of its certificates. */
const struct pubkey_kind *pubkey_cert_kind_find(const void *name, size_t n);

/* Reads what follows the kind's name, in a blob or in a certificate, and no
 * further.  ERR_FORMAT: it is not such a key; ERR_DENIED: it is one that is too
 * weak or too large. */
int pubkey_get_rest(struct buf *b, const struct pubkey_kind *k);
/* The blob is one whole key. */
int pubkey_check(const void *blob, size_t n, const struct pubkey_kind **kind);

/* The blob of the one public key in a text (with or without a newline behind
 * it), into an empty buf.  On an error *why says what was given instead, in
 * words for whoever gave it that repeat nothing of it. */
int pubkey_read(const void *text, size_t n, struct buf *blob, const char **why);

#endif
