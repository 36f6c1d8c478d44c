/*
 * The lease on which running operations live: a page in the run folder that
 * posternd stamps every second for as long as audit and policy serve, and that
 * every hop can read without asking anybody.  A hop may go on without them for
 * LEASE_MS; a new posternd stamps the same page.
 */
#ifndef POSTERN_BROKER_LEASE_H
#define POSTERN_BROKER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define LEASE_MS 30000
#define LEASE_TICK_MS 1000

/* It has ended well, or never lived; it lives; and one before it has died. */
enum { LEASE_LIFE_NONE, LEASE_LIFE_RUNS, LEASE_LIFE_DEATH };

enum lease_of { LEASE_AUDIT, LEASE_POLICY, LEASE_N };

/* Milliseconds of CLOCK_MONOTONIC when it was last seen serving. */
struct lease {
	volatile int64_t seen_ms[LEASE_N];
	volatile int64_t life; /* posternd's, for the next one; LEASE_LIFE_* */
};

/* posternd: the page, made if need be, and a read-only descriptor of it. */
int lease_make(const char *folder, struct lease **lp, int *fdp);
void lease_stamp(struct lease *l, enum lease_of who, int64_t now_ms);

/* posternd begins; `fresh`: and is not the one before in another program.
 * Whether one has died whose death is not in the ledger. */
bool lease_begin(struct lease *l, bool fresh);
/* That death is in the ledger. */
void lease_told(struct lease *l);
/* posternd ends as it was told to. */
void lease_end(struct lease *l);

/* A hop: the page behind its descriptor, which is closed. */
int lease_open(int take_fd, const struct lease **lp);
/* Who has been away for too long; NULL: nobody. */
const char *lease_lost(const struct lease *l, int64_t now_ms);

#endif
