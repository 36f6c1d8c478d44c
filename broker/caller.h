/*
 * What comes to shell.sock, before it is believed anything: who it is by the
 * kernel's word, and whether its streams are such as sshd gives.
 */
#ifndef POSTERN_BROKER_CALLER_H
#define POSTERN_BROKER_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

/* Of a connected socket: the open connection's monitor that is the other end's
 * grandparent, or CALLER_NOBODYS. */
#define CALLER_NOBODYS ((pid_t)-1)
pid_t caller_monitor(int fd);

/* Pipes, pseudo-terminals, local sockets and /dev/null.  Anything else could
 * make whoever reads, writes or closes it wait for its owner. */
bool caller_streams_fit(const int fd[3]);

/* Whoever could not be looked at was perhaps not to blame. */
bool caller_starved(void);

#endif
