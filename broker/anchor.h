/*
 * ANCHOR from audit in posternd: the administrator's command that takes the
 * ledger's checkpoint off this host.
 */
#ifndef POSTERN_BROKER_ANCHOR_H
#define POSTERN_BROKER_ANCHOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "broker/setup.h"

struct msg;

/* It runs as that account. */
void anchor_prepare(struct account a);
/* ANCHOR; answered at once when it cannot be run. */
int anchor_run(struct msg *m);
/* Was reaped: false when pid is not the command. */
bool anchor_dead(pid_t pid, int status);
/* It runs. */
bool anchor_running(void);
/* It does not outlive posternd. */
void anchor_stop(void);

#endif
