/*
 * What one policy allows and another does not: exactly, and with a request
 * for each difference on which both have been asked.
 */
#ifndef POSTERN_POLICY_COMPARE_H
#define POSTERN_POLICY_COMPARE_H

#include <stdbool.h>
#include <time.h>

struct decision;
struct place;
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

/* What is not decided. */
struct doubt {
	const struct policy *p; /* NULL: */
	const struct place *at; /* no place in particular */
	const char *why;
};

struct compare_ask {
	time_t from;           /* times are looked at for a year */
	unsigned int budget_s; /* of processor time; 0: none */
	/* Non-zero ends the comparison and is its result. */
	int (*found)(void *arg, const struct witness *w);
	void (*doubt)(void *arg, const struct doubt *d);
	void *arg;
};

/* Calls found for differences among what NEW allows.  ERR_TOOBIG: undecided,
 * there may be more than were found, and doubt was told where. */
int compare_policies(const struct policy *before, const struct policy *after,
    const struct compare_ask *how);
/* How the two answers differ, the old one's request denied or not; false:
 * they do not. */
bool compare_decisions(const struct request *q[2], const struct decision *d[2],
    enum difference *out);

#endif
