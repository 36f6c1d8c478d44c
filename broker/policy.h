/*
 * What the files of the policy process share: its links, its policy.
 */
#ifndef POSTERN_BROKER_POLICY_H
#define POSTERN_BROKER_POLICY_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/event.h"

struct conf;
struct msg;
struct peer;
struct policy;

/* The running policy, NULL until one has loaded (then everything is denied). */
const struct policy *policy_now(void);
/* Its hash, 64 hexadecimal digits; "" without one. */
const char *policy_hash(void);
const struct conf *policy_conf(void);
/* The uid of every postern-shell. */
uid_t policy_job_uid(void);

/* Sibling links; NULL while a sibling is being started again. */
struct peer *policy_audit(void);
struct peer *policy_signer(void);

/* Sends the event to audit, which writes it; consumes b's content.  An error
 * means it could not be queued: whoever needed the line refuses. */
int policy_event(struct buf *event);

#endif
