/*
 * The hops that posternd starts for policy, one an operation, and the lease
 * they live on.
 */
#ifndef POSTERN_BROKER_HOPS_H
#define POSTERN_BROKER_HOPS_H

#include <stdbool.h>
#include <stddef.h>

#include "broker/setup.h"

struct msg;
struct peer;

/* Makes the lease; a is the account of every hop. */
int hops_prepare(const char *run_folder, struct account a);
/* HOP_START: the one thing a child can ask of root.  Answers on p. */
int hops_start(struct peer *p, struct msg *m);
/* HOP_STOP: ends a hop, whichever posternd started it; nothing else. */
int hops_stop(struct msg *m);
/* One that was reaped. */
void hops_dead(int status);
/* How many there are; and those that an earlier posternd started. */
size_t hops_count(void);
void hops_adopt(size_t n);
/* Hops live on while audit and policy serve. */
void hops_stamp(void);

/* posternd's own life and death, kept beside the lease: lease.h. */
bool hops_begin(bool fresh);
void hops_told(void);
void hops_end(void);

#endif
