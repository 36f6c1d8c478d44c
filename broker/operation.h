/*
 * Operations, as the policy process sees them: from RUN to the moment the hop
 * has everything, and afterwards only whether that hop still lives.
 */
#ifndef POSTERN_BROKER_OPERATION_H
#define POSTERN_BROKER_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct msg;
struct peer;
struct session;

/* A connection was accepted on shell.sock; takes fd. */
void operation_accept(int fd);
/* An answer of a sibling's or the parent's that belongs to an operation;
 * ERR_PROTO when none waits for it. */
int operation_opened(struct msg *m);	  /* OP_OPENED, from audit */
int operation_hop_started(struct msg *m); /* HOP_STARTED, from the parent */
/* audit is gone: what asked it with an id up to last is refused. */
void operation_audit_lost(uint32_t last);

/* The parent is gone: what waits for its hop is refused. */
void operation_parent_lost(void);

/* Takes over a running operation of an earlier policy process; takes pidfd. */
int operation_adopt(const char *id, const char *identity, struct connection *c,
    const char *target, int take_pidfd);
/* None waits for its decision or its start. */
bool operation_all_started(void);
/* Of lists that are under way, nothing more is run: this process leaves. */
void operation_break_lists(void);

/* Ends what a session runs and keeps what it wants to run from beginning; how
 * many that were. */
size_t operation_kill(const struct session *s);
/* The bastion is locked: what is left of lists does not begin. */
void operation_lock_lists(void);

size_t operation_count(void);

#endif
