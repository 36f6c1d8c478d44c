/*
 * A command that a ledger holds, decided again by another policy: what is
 * certain, whatever the ledger does not hold.
 */
#ifndef POSTERN_POLICY_REHEARSE_H
#define POSTERN_POLICY_REHEARSE_H

#include <stdbool.h>

#include "policy/decide.h"
#include "policy/past.h"

struct rehearsal;

#define REHEARSED_WHY_MAX 256

struct rehearsed {
	bool undecided;
	/* Why; or what denies it where no rule does.  May be "". */
	char why[REHEARSED_WHY_MAX];
	struct decision d; /* unless it is undecided */
	/* What was asked, until the next; q->command is NULL where it could
	 * not be read, q->target where there is no such target. */
	const struct request *q;
};

/* By p; old, which may be NULL, is the policy that was in force.  Both are
 * borrowed. */
int rehearsal_new(
    const struct policy *p, const struct policy *old, struct rehearsal **out);
void rehearsal_free(struct rehearsal *h);
/* ERR_NOMEM; whatever the ledger holds is no error. */
int rehearse(
    struct rehearsal *h, const struct past *past, struct rehearsed *out);

#endif
