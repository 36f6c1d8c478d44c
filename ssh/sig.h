/*
 * SSH signatures (RFC 4253 section 6.6, RFC 5656 section 3.1.2, RFC 8332, RFC
 * 8709): verified, whoever made them.
 */
#ifndef POSTERN_SSH_SIG_H
#define POSTERN_SSH_SIG_H

#include <stddef.h>

/* A blob; RSA of 8192 bits has 1044 bytes. */
#define SIG_BLOB_MAX 1100

/* Is sig the signature that the key of that SSH blob gave to data?  Of RSA,
 * only with SHA-512.  ERR_FORMAT: it is no signature of such a key; ERR_CRYPTO:
 * it is one, of something else or by somebody else. */
int sig_verify(const void *key, size_t nkey, const void *sig, size_t nsig,
    const void *data, size_t n);

#endif
