/*
 * What serves files on a target: the command that a certificate forces there,
 * in the few forms that there are.  policy writes it, the signer compares, the
 * hop asks for it.
 */
#ifndef POSTERN_SSH_SERVE_H
#define POSTERN_SSH_SERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

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

/* What `scp -O` starts at the far end. */
#define SERVE_SCP "/usr/bin/scp"

struct serve_scp {
	bool write;                  /* -t: it receives; else -f */
	bool recurse;                /* -r */
	bool times;                  /* -p */
	bool into;                   /* -d, or a path with a / at its end */
	char path[PATH_LEN_MAX + 1]; /* plain; "": not absolute and plain */
};

/* scp (-v | -r | -p | -d | -t | -f)... [--] PATH, with exactly one of -t and
 * -f, by whatever path to scp.  ERR_NOTFOUND: it is another command. */
int serve_scp_read(const char *const *argv, size_t argc, struct serve_scp *out);
/* Appends it in its one form for the wire. */
int serve_scp_put(const struct serve_scp *s, struct buf *out);
/* Is it in that form?  Then *out is what it says. */
bool serve_scp_ok(const char *wire, struct serve_scp *out);

#endif
