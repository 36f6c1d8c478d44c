/*
 * posternd gives way to the posternd that is installed now, in its own process:
 * first a trial that the new program understands settings and state, then
 * execve.  Children, listening sockets and links go along.
 *
 * The state is a buf in a memfd; its number is in the environment, which holds
 * no secret.  What it says is upgrade_state.c's.
 */
#ifndef POSTERN_BROKER_UPGRADE_H
#define POSTERN_BROKER_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/buf.h"

#define UPGRADE_STATE_MAX (64 * 1024)
#define UPGRADE_FDS_MAX 64

/* Descriptors that must live on. */
struct upgrade_fds {
	int fd[UPGRADE_FDS_MAX];
	size_t n;
};

/* Appends a descriptor (-1: none) to the state and to those that live on. */
int upgrade_put_fd(struct buf *state, struct upgrade_fds *fds, int fd);
/* Reads one: it is close-on-exec from now on.  ERR_FORMAT: it is not open.  In
 * a trial the number is read and nothing is there: -1. */
int upgrade_get_fd(struct buf *state, bool trial, int *fdp);

/* The state of the program before us, when there was one: ERR_NOTFOUND. */
int upgrade_state(struct buf *state);

/* Starts the new program with -t added to argv: it reads settings and state,
 * and exits with 0. */
int upgrade_try(char **argv, const struct buf *state, pid_t *pidp);
/* Does not return, unless it fails: then all is as it was. */
int upgrade_exec(
    char **argv, const struct buf *state, const struct upgrade_fds *fds);

#endif
