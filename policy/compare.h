/*
 * What one policy allows and another does not: exactly, and with a command
 * for each difference on which both have been asked.
 */
#ifndef POSTERN_POLICY_COMPARE_H
#define POSTERN_POLICY_COMPARE_H

#include <stdbool.h>
#include <time.h>

struct decision;
struct policy;
struct request;

enum difference {
	DIFFERENCE_ALLOWED, /* NEW allows, or asks for an approval, where
			     * OLD denied; or allows without one */
	DIFFERENCE_LESS,    /* both allow it; NEW demands less */
	DIFFERENCE_MORE,    /* NEW demands more, and nothing less */
};

struct witness {
	enum difference kind;
	const struct request *q[2]; /* of OLD and NEW */
	const struct decision *d[2];
	const char *identity;
};

/* Non-zero ends the comparison and is its result. */
typedef int (*compare_fn)(void *arg, const struct witness *w);

/* Calls fn for differences among what NEW allows.  ERR_TOOBIG: undecided, there
 * may be more than were found. */
int compare_policies(const struct policy *before, const struct policy *after,
    time_t from, compare_fn fn, void *arg);
/* How the two answers differ, the old one's request denied or not; false:
 * they do not. */
bool compare_decisions(const struct request *q[2], const struct decision *d[2],
    enum difference *out);

#endif
