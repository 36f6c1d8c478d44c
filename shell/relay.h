/*
 * postern-shell's part in a running operation: signals one way, its end the
 * other way.
 */
#ifndef POSTERN_SHELL_RELAY_H
#define POSTERN_SHELL_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/proto.h"

struct msg;
struct record;

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
/* A broker shell's end of its connection to policy. */
struct relay_shell {
	int conn, sigfd;
	struct record *record;
	char prompt[PROTO_PROMPT_MAX];
	bool inner; /* leaving leads back to the shell around it */
	/* What policy's last ANSWER is to be shown, once there is one: */
	bool told;
	struct buf out, text;
	bool quit; /* it ended the shell, or something else did */
};

/* RUN was sent: waits for the recording and the first prompt, or for the
 * refusal (quit). */
int relay_opened(struct relay_shell *s, struct ending *e);
/* LINE was sent: follows what it becomes up to policy's ANSWER, which stays for
 * relay_tell.  Descriptors 0, 1 and 2 stay the caller's; the terminal's
 * settings are as the last hop left them.  ERR_AGAIN: policy is gone, and so is
 * what ran.
 */
int relay_line(struct relay_shell *s, struct ending *e);
/* Between two lines: one message, if there is one.  One of that type (0: none)
 * stays in m; a prompt is taken; an ANSWER ends the shell (quit).  The caller
 * clears m. */
int relay_between(
    struct relay_shell *s, uint32_t type, struct msg *m, struct ending *e);
/* Shows what the last ANSWER said. */
void relay_tell(struct relay_shell *s);
/* Forgets it. */
void relay_forget(struct relay_shell *s);
/* Ends this process in the same way, so that sshd tells the client. */
_Noreturn void relay_end(const struct ending *e);

#endif
