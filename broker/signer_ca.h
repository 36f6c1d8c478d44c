/*
 * The two CA keys, in the signer: each a file's, or one that an ssh-agent
 * holds, which may take its time and may fail.
 */
#ifndef POSTERN_BROKER_SIGNER_CA_H
#define POSTERN_BROKER_SIGNER_CA_H

#include <stdint.h>

#include "lib/proto.h"

struct buf;
struct cert_ca;
struct cert_spec;
struct msg;
struct peer;
struct signing;

#define SIGNINGS_MAX 128 /* that wait for one agent */

/* FOLDER of that name is a CA's: takes fd.  ERR_PROTO: it is none. */
int signer_ca_folder(const char *name, int fd);
/* GO: all is here, and agents are asked for.  changed is called when what
 * signer_ca_put says has changed. */
int signer_ca_serve(void (*changed)(void));
/* The parent's AGENT. */
int signer_ca_parent(struct peer *parent, struct msg *m);

/* Why nothing is signed with that key at all; NULL: it may be tried. */
const char *signer_ca_fault(enum ca_which which);

/* How it ended: the certificate's blob; or why there is none, and blob is
 * empty.  Whatever the signing is for may be freed here. */
typedef void (*signing_cb)(void *arg, const struct buf *blob, const char *why);

/* Builds and signs a certificate.  A key of a file signs at once: fn was called
 * when this returns.  Else *out is set, until fn is called. */
void signer_ca_sign(enum ca_which which, const struct cert_spec *spec,
    signing_cb fn, void *arg, struct signing **out);
/* Nobody waits for it any more: fn is not called.  Takes NULL. */
void signing_free(struct signing *s);

/* CERT, and with more JOB_CERT_MADE: the certificate, or why there is none. */
int signer_answer(struct peer *to, uint32_t id, const struct buf *blob,
    const uint8_t *more, const char *why);

/* The body of CA_IS. */
int signer_ca_put(struct buf *b);

#endif
