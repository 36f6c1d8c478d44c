/*
 * What one oidc process leaves for the next: the issuers' keys, so that its
 * death during an issuer's outage costs no login.  The file is in the run
 * folder, root's, and handed to oidc alone as a descriptor.
 *
 * Keys that come from it are not fresh: the issuer is asked for them at once,
 * and only while it cannot be do they serve (jwks_restore), not longer than the
 * process before would have used them.
 */
#ifndef POSTERN_BROKER_KEYFILE_H
#define POSTERN_BROKER_KEYFILE_H

#include <stdint.h>

struct issuers;
struct keyfile;

/* Reads what is there (take_fd, open for reading and writing, also on failure
 * taken).  Damaged, torn or empty: there are no keys in it, which is no error.
 * ERR_SYS, ERR_NOMEM, ERR_TOOBIG. */
int keyfile_open(int take_fd, struct keyfile **out);
/* Takes NULL. */
void keyfile_free(struct keyfile *f);
/* Gives those issuers that have no keys what is there of them, and how many
 * got some.  Once: with the first issuers that there are, and then what was
 * read is forgotten, for an issuer may have withdrawn it meanwhile.  f may be
 * NULL. */
unsigned int keyfile_give(
    struct keyfile *f, const struct issuers *s, int64_t now_s);
/* Writes all keys that were fetched (jwks_kept).  f may be NULL.  ERR_SYS,
 * ERR_NOMEM: what was there before still is. */
int keyfile_save(struct keyfile *f, const struct issuers *s, int64_t now_s);

#endif
