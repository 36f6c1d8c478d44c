/*
 * What sshd was asked for, as postern-shell finds it.
 */
#ifndef POSTERN_SHELL_REQUEST_H
#define POSTERN_SHELL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/proto.h"

#define REQUEST_TERM_MAX 40
#define REQUEST_WAIT_MS 60000 /* for the next bytes of a script */

/* The strings belong to the process's first environment. */
struct request {
	const char *handle;  /* "" when there is none of the right form */
	const char *command; /* the client's bytes; NULL: it sent none */
	const char *term;    /* "" without a terminal */
	uint8_t kind;        /* enum run_kind */
	bool tty;
	bool control; /* the user is `postern`: its input is no script */
	uint32_t columns, rows;
	const char *env[PROTO_ENVS_MAX]; /* the job's variables */
	size_t nenv;                     /* PROTO_ENVS_MAX + 1: more */
};

struct msg;

/* Exactly `SHELL -c postern`: how sshd runs ForceCommand by the passwd shell,
 * whatever the client asked for. */
bool request_form(int argc, char *const *argv);
/* Does the client speak SFTP? */
bool request_is_sftp(const struct request *q);
/* Reads environment and terminal, and leaves the environment empty. */
void request_read(struct request *q);
/* Without a command and without a terminal, what comes on descriptor 0 up to
 * its end is the text: `ssh web-1@bastion <<EOF`.  ERR_TOOBIG: it needs size
 * bytes or more; ERR_FORMAT: it holds a NUL; ERR_TIMEOUT: it stopped coming. */
int request_script(struct request *q, char *text, size_t size);
/* `login` for the control surface, without a terminal: what comes on descriptor
 * 0 up to its end is the key.  The same errors. */
int request_key(struct request *q, char *text, size_t size);
/* What is typed ahead of a command's terminal is for that one to echo and to
 * make lines of: this one keeps it as it came.  Signals stay. */
void request_quiet(const struct request *q);
/* Has the job sent no more variables than RUN may carry? */
bool request_env_fits(const struct request *q);
/* The fields of RUN, and descriptors 0, 1 and 2, lent.  ERR_TOOBIG: the
 * command is longer than PROTO_COMMAND_MAX, or the variables do not fit. */
int request_put(const struct request *q, struct msg *m);

#endif
