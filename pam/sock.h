/*
 * The client's TCP connection, which sshd holds while PAM runs.
 */
#ifndef POSTERN_PAM_SOCK_H
#define POSTERN_PAM_SOCK_H

/* Sets TCP_NODELAY on every connected TCP socket of this process: sshd 9.2
 * itself does so only once a session starts, and until then each small answer
 * waits 40 ms for the client's delayed acknowledgement.  Changes nothing that
 * could be noticed otherwise; cannot fail in a way that matters. */
void sock_nodelay(void);

#endif
