/*
 * OpenSSH user certificates (PROTOCOL.certkeys): built, signed and parsed.  The
 * CA's key is one that pubkey.h takes, and so is the key that is certified. The
 * signer builds; policy, tests and `postern` parse.
 */
#ifndef POSTERN_SSH_CERT_H
#define POSTERN_SSH_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERT_KEY_LEN 32
/* Of what sshd says of a login, syslog gets the first 500 bytes (log.c,
 * "%.500s") and `sshd -E` 1021.  Serial and CA come last: with the longest
 * login, address and serial that there are, this is what leaves them whole. */
#define CERT_KEY_ID_MAX 220
#define CERT_PRINCIPALS_MAX 256 /* sshd reads no more */
#define CERT_PRINCIPAL_MAX 128  /* bytes of one */
#define CERT_BLOB_MAX (160 * 1000)
#define CERT_CA_RSA_MAX 4096 /* bits; more, and a job's does not fit */

struct buf;
struct cert_ca; /* a CA key: its SSH blob, and its private half or not */

/* What a certificate says.  Texts belong to whoever fills it. */
struct cert_spec {
	uint8_t key[CERT_KEY_LEN]; /* of Ed25519 */
	const uint8_t *pub;        /* or any key's blob; NULL: key above */
	size_t npub;               /* read back: always set */
	uint64_t serial;
	const char *key_id;	/* printable ASCII, no blank at either end */
	const char *principal[CERT_PRINCIPALS_MAX];
	size_t nprincipal;	/* at least one */
	uint64_t valid_after, valid_before; /* Unix seconds */
	const char *force_command;  /* NULL: none */
	const char *source_address; /* NULL: none; CIDR list */
	bool permit_pty;
};

/* Reads a PKCS#8 PEM Ed25519 private key from memory. */
int cert_ca_from_pem(const void *pem, size_t n, struct cert_ca **out);
/* A CA key whose private half is somebody else's to use (an ssh-agent's), by
 * its SSH blob.  ERR_TOOBIG: RSA of more than CERT_CA_RSA_MAX bits. */
int cert_ca_from_public(const void *blob, size_t n, struct cert_ca **out);
/* A new CA key as PEM (into a secret, for `postern ca init`). */
struct secret;
int cert_ca_generate(struct secret *pem);
void cert_ca_free(struct cert_ca *ca);
/* Its SSH blob, which is the CA's. */
void cert_ca_blob(const struct cert_ca *ca, const uint8_t **p, size_t *n);
/* "ssh-ed25519 AAAA... comment" */
int cert_ca_public_line(const struct cert_ca *ca, const char *comment,
    struct buf *out);

/* Builds and signs; appends the blob.  ERR_FORMAT: the spec breaks a rule
 * above (and nothing was signed).  ERR_NOTFOUND: the CA's private half is
 * elsewhere. */
int cert_sign(const struct cert_ca *ca, const struct cert_spec *spec,
    struct buf *blob);

/* The same in two halves, for a signature that is made elsewhere: appends what
 * is to be signed; and that with the signature, if it is the CA's. */
int cert_begin(
    const struct cert_ca *ca, const struct cert_spec *spec, struct buf *body);
int cert_finish(const struct cert_ca *ca, const struct buf *body,
    const void *sig, size_t nsig, struct buf *blob);

/* Parses and verifies the signature against the CA key inside the blob
 * (comparing that CA with a trusted one is the caller's work).  Unknown
 * critical options, extensions and trailing bytes are ERR_FORMAT.  The texts
 * live in *out and go with cert_free. */
struct cert {
	struct cert_spec spec;
	char ca_fingerprint[64]; /* "SHA256:..." */
	char *texts;
};
int cert_parse(const void *blob, size_t n, struct cert **out);
void cert_free(struct cert *c);

/* "SHA256:..." of an SSH public key blob. */
int cert_fingerprint(const void *blob, size_t n, char *dst, size_t dstsize);
/* The SSH public blob of a raw Ed25519 key. */
int cert_ed25519_blob(const uint8_t key[CERT_KEY_LEN], struct buf *out);
/* How the certificate's own type is called, as sshd does ("" for none). */
const char *cert_type_name(const void *blob, size_t n);

#endif
