/*
 * What comes nearest to a file, a repository or a shell that no rule allows;
 * decides nothing.
 */
#ifndef POSTERN_POLICY_NEAREST_ACCESS_H
#define POSTERN_POLICY_NEAREST_ACCESS_H

#include <stddef.h>

struct place;
struct repository;
struct request;
struct rule;
struct transfer;

/* What fits, further with each. */
enum near_fit {
	NEAR_NOTHING,
	NEAR_LINE,  /* reading or writing, as it is asked */
	NEAR_PATH,  /* the path, but the other of the two */
	NEAR_BOTH,  /* but not the way, or not the ref */
	NEAR_WHOLE, /* all of the line */
};

struct nearest_access {
	const struct rule *rule;         /* NULL: none speaks of it */
	const struct place *at;          /* what is to be shown of it */
	const struct transfer *transfer; /* of the last two one at most */
	const struct repository *repository;
	enum near_fit fit;
	size_t common; /* NEAR_LINE: bytes of the paths */
	size_t steps;
};

/* Among the rules that are for the session here. */
void nearest_access_find(const struct request *q, struct nearest_access *n);

#endif
