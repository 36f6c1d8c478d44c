/*
 * What is said to an ssh-agent that holds a key (draft-miller-ssh-agent): sign
 * this; and what it answers.  Bytes only: who connects, sends and waits is the
 * caller.
 */
#ifndef POSTERN_SSH_AGENT_H
#define POSTERN_SSH_AGENT_H

#include <stddef.h>

#include "ssh/cert.h"
#include "ssh/sig.h"

struct buf;

/* A question about a whole certificate, and an answer with a signature. */
#define AGENT_QUESTION_MAX (CERT_BLOB_MAX + 2048)
#define AGENT_ANSWER_MAX (4 + 1 + 4 + SIG_BLOB_MAX)

/* Appends SIGN_REQUEST for data by the key of that SSH blob; of RSA, with
 * SHA-512. */
int agent_put_sign(
    struct buf *out, const void *key, size_t nkey, const void *data, size_t n);

/* Reads an agent's whole answer to one SIGN_REQUEST from what has come so far,
 * and appends the signature's blob, which nobody has verified yet.
 * ERR_AGAIN: there is more to come (nothing is read).  ERR_DENIED: the agent
 * does not sign.  Any other: that is no answer, or there is more than one. */
int agent_get_signature(struct buf *in, struct buf *sig);

#endif
