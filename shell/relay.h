/*
 * postern-shell's part in a running operation: signals one way, its end the
 * other way.
 */
#ifndef POSTERN_SHELL_RELAY_H
#define POSTERN_SHELL_RELAY_H

#include <stdbool.h>

/* How the operation ended, and so how this process shall end. */
struct ending {
	int code;   /* exit code, when signal is 0 */
	int signal; /* the signal that the operation died of */
	bool sftp;  /* given: the client hears a refusal in SFTP alone */
};

/* Puts every signal into a known state and routes those that are passed on to
 * *fdp. */
int relay_signals(int *fdp);
/* Follows the connection, on which RUN was sent, to the end.  ERR_NOTFOUND:
 * it closed before an answer; ERR_PROTO: an answer that is none; ERR_AGAIN: it
 * closed between two commands of a list.  In all these cases descriptors 1 and
 * 2 are still the job's.  null takes the place of the job's descriptors once
 * the operation is accepted; err, a copy of descriptor 2, then hears one line
 * if the hop is gone without EXIT. */
int relay_run(int conn, int sigfd, int null, int err, struct ending *e);
/* Ends this process in the same way, so that sshd tells the client. */
_Noreturn void relay_end(const struct ending *e);

#endif
