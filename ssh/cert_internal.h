/*
 * What cert.c, cert_ca.c and cert_parse.c share; nobody else includes it.
 */
#ifndef POSTERN_SSH_CERT_INTERNAL_H
#define POSTERN_SSH_CERT_INTERNAL_H

#include <openssl/evp.h>

#include "ssh/cert.h"
#include "ssh/pubkey.h"

#define CERT_KEY_TYPE "ssh-ed25519"
#define CERT_NONCE_LEN 32
#define CERT_SIG_LEN 64
#define CERT_KIND_USER 1
#define CERT_SOURCE_MAX 1024	/* bytes of the source-address list */

struct cert_ca {
	EVP_PKEY *key; /* Ed25519; NULL: elsewhere */
	uint8_t pub[PUBKEY_BLOB_MAX];
	size_t npub;
};

/* The rules of every certificate we build or accept: ERR_FORMAT when spec
 * breaks one. */
int cert_spec_check(const struct cert_spec *spec);

#endif
