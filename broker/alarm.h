/*
 * The deaths of broker processes, and what is wrong with an ssh-agent, on their
 * way into the ledger: posternd counts them and tells audit, again and again
 * until audit has written them.
 */
#ifndef POSTERN_BROKER_ALARM_H
#define POSTERN_BROKER_ALARM_H

#include <stdint.h>

struct buf;
struct msg;
struct peer;

/* Of one process.  Many deaths are one line: there is nothing to queue. */
struct alarm {
	const char *what; /* for what is no death: "the target CA" */
	uint32_t n;    /* not in the ledger yet */
	int status;    /* of the last, as wait(2) has it; -1: nobody knows; or
			  of an agent its enum agent_trouble */
	uint32_t told; /* so many of them audit has been asked to write, */
	uint32_t id;   /* with this question; 0: none */
};

void alarm_note(struct alarm *a, int status);
/* Asks audit to write what it has not been asked; 0 when there is nothing. */
int alarm_tell(struct alarm *a, const char *process, struct peer *audit);
/* Audit's answer, if it is this alarm's.  What was not written stays. */
void alarm_told(struct alarm *a, uint32_t id, uint32_t result);
/* Audit is gone, and with it perhaps the question. */
void alarm_untold(struct alarm *a);

/* Over an upgrade. */
int alarm_put(struct buf *b, const struct alarm *a);
int alarm_get(struct buf *b, struct alarm *a);

#endif
