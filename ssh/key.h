/*
 * The throw-away key of one operation: an Ed25519 pair that lives in this
 * process alone.  libssh takes a private key as the text of a key file
 * (OpenSSH's PROTOCOL.key); the text is made in memory, in a struct secret.
 */
#ifndef POSTERN_SSH_KEY_H
#define POSTERN_SSH_KEY_H

#include <stdint.h>

#include "lib/secret.h"
#include "ssh/cert.h"

struct key {
	uint8_t pub[CERT_KEY_LEN];
	struct secret text;	/* "-----BEGIN OPENSSH PRIVATE KEY-----..." */
};

/* A new pair.  *k may be uninitialised; after a failure nothing is held. */
int key_generate(struct key *k);
/* Wipes the private text; pub stays.  To be called right after the import. */
void key_clear(struct key *k);

#endif
