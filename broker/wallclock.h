/*
 * What time it is, for decisions that hang on it: a wall clock that was set
 * while we were looking is not believed.  Setting it is a step of it against
 * the time since boot, which nobody can set; time servers that only make it
 * run faster or slower move both.
 */
#ifndef POSTERN_BROKER_WALLCLOCK_H
#define POSTERN_BROKER_WALLCLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* All steps together since it was last believed: a leap second is none. */
#define WALLCLOCK_STEP_MS (60 * 1000)
/* 2026-01-01 UTC.  A clock that shows less was never set. */
#define WALLCLOCK_MIN_S ((int64_t)1767225600)

struct wallclock {
	/* CLOCK_REALTIME or CLOCK_BOOTTIME in milliseconds, negative: unknown.
	 * NULL: the kernel's. */
	int64_t (*read_ms)(clockid_t id, void *ctx);
	void *ctx;
	/* What does not happen meanwhile, for the log, and what an admin who
	 * has set the clock right does then to have it believed. */
	const char *meanwhile, *then;
	bool known;       /* the next one is set */
	int64_t apart_ms; /* between the two clocks when it was believed */
	bool wrong;       /* said in the log */
};

/* Believes the clock as it is now, unless nobody could. */
void wallclock_believe(struct wallclock *c);
/* Seconds since 1970; 0: not known.  Says once in the log when that begins, and
 * when it ends because the clock was set back. */
time_t wallclock_now(struct wallclock *c);

#endif
