/*
 * The rule that comes nearest to allowing a command, and what keeps it from
 * doing so.  The work is bounded, whatever the command and the policy.
 */
#ifndef POSTERN_POLICY_NEAREST_H
#define POSTERN_POLICY_NEAREST_H

#include <stddef.h>
#include <stdint.h>

struct request;
struct run;
struct subject;

#define NEAREST_NONE SIZE_MAX

/* How far along a pattern the command is, and what failed first on the way. */
struct way {
	size_t cost;
	size_t word;  /* NEAREST_NONE: nothing failed */
	size_t item;  /* NEAREST_NONE: the word is one too many */
	size_t after; /* the item before it; NEAREST_NONE: none */
};

struct nearest {
	const struct run *run; /* NULL: no rule is for the caller here */
	struct way way;
	size_t steps;
};

void nearest_find(
    const struct request *q, const struct subject *s, struct nearest *n);

#endif
