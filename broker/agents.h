/*
 * The ssh-agents that hold CA keys, as far as they are root's: posternd opens
 * the socket that postern.conf names and hands the connection to the signer.
 */
#ifndef POSTERN_BROKER_AGENTS_H
#define POSTERN_BROKER_AGENTS_H

#include <stdint.h>

#include "lib/proto.h"

struct alarm;
struct msg;
struct peer;

/* The socket of the agent that holds this key; NULL: a file holds it. */
const char *agents_path(enum ca_which which);

/* The signer's AGENT_WANTED and AGENT_LOST. */
int agents_wanted(struct peer *signer, struct msg *m);
int agents_lost(struct msg *m);

/* The alarms, as children_alarm has them. */
void agents_alarm(struct peer *audit);
struct alarm *agents_alarm_of(enum ca_which which);
void agents_told(uint32_t id, uint32_t result);
void agents_untold(void);

#endif
