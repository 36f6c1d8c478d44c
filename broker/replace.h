/*
 * The upgrade: the posternd that is installed now is tried, takes over in this
 * process, and replaces the children one after the other.
 */
#ifndef POSTERN_BROKER_REPLACE_H
#define POSTERN_BROKER_REPLACE_H

#include <stdbool.h>
#include <sys/types.h>

struct buf;

/* SIGUSR2: begins, at once or when nothing else is being changed. */
void replace_want(void);
/* Begins what is wanted, if it can be begun now. */
void replace_try(void);
bool replace_running(void);
/* Was reaped: false when pid is not the trial's. */
bool replace_tried(pid_t pid, int status);
/* We are the new program; state is the one before's. */
void replace_arrive(struct buf *state);
/* A child serves: makes the next one make room. */
void replace_next(void);

#endif
