/*
 * The lock of the bastion: while it is on nothing new begins.  It is a row that
 * audit keeps, and so outlives every process and the boot.
 */
#ifndef POSTERN_BROKER_LOCK_H
#define POSTERN_BROKER_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/policy.h"
#include "lib/proto.h"

struct buf;

#define LOCK_WHO_MAX 31

struct lock {
	bool on;
	uint32_t turn; /* differs from that of every lock before */
	char who[LOCK_WHO_MAX + 1];
	uint64_t since; /* Unix seconds */
	char reason[PROTO_REASON_MAX + 1];
};

const struct lock *lock_now(void);
/* What a job that is refused is told, a line. */
void lock_say(struct buf *text);
/* Locks, at once; done hears whether audit keeps it.  An error: it does not,
 * and the next policy process would not know. */
int lock_set(const struct lock *l, policy_done_cb done, void *arg);
void lock_clear(void);
/* The row is there, from an earlier policy process: whatever it says, the
 * bastion is locked. */
void lock_adopt(struct buf *row);

#endif
