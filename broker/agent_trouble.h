/*
 * Words for what is wrong with an ssh-agent that holds a CA key: for a job, for
 * the log and for the ledger.
 */
#ifndef POSTERN_BROKER_AGENT_TROUBLE_H
#define POSTERN_BROKER_AGENT_TROUBLE_H

#include "lib/proto.h"

/* Never NULL. */
const char *agent_trouble_text(enum agent_trouble t);
/* "target" or "job". */
const char *ca_name(enum ca_which which);

#endif
