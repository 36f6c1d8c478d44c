/*
 * What serves files on a target: the command that a certificate forces there,
 * in the few forms that there are.  policy writes it, the signer compares, the
 * hop asks for it.
 */
#ifndef POSTERN_SSH_SERVE_H
#define POSTERN_SSH_SERVE_H

#include <stdbool.h>

struct buf;

/* The sftp server inside sshd: its own name for it. */
#define SERVE_INTERNAL "internal-sftp"

/* Appends the command of a session of the sftp subsystem.  program: the
 * target's server, NULL or "internal" for sshd's own, which can be told to
 * change nothing. */
int serve_sftp_put(const char *program, bool reads_only, struct buf *out);
/* Is it such a command, of that target's server? */
bool serve_sftp_ok(const char *wire, const char *program);
/* Is it sshd's own server, which is asked for as a subsystem? */
bool serve_is_subsystem(const char *wire);

#endif
