/*
 * Programs that postern runs, and what they print; and the host keys that a
 * target shows, by ssh-keyscan.
 */
#ifndef POSTERN_CLI_SPAWN_H
#define POSTERN_CLI_SPAWN_H

#include <stddef.h>
#include <stdint.h>

struct buf;

#define HOSTKEYS_MAX 8

/* Runs argv without a shell, with an empty standard input, for at most ms; out
 * gets what it prints on standard output, and on standard error with both.
 * *code is its exit code, 128 and more for a signal, 127: it is not there.
 * ERR_TIMEOUT: it was killed.  ERR_TOOBIG: it prints more than out takes. */
enum spawn_what { SPAWN_OUT, SPAWN_BOTH };
int spawn_read(const char *const *argv, enum spawn_what what, int64_t ms,
    struct buf *out, int *code);

struct hostkey_seen {
	char type[32];
	char fingerprint[64]; /* "SHA256:..." */
};
/* The keys that a host shows at that port.  ERR_NOTFOUND: none. */
int hostkeys_scan(const char *host, uint16_t port,
    struct hostkey_seen key[HOSTKEYS_MAX], size_t *n);

#endif
