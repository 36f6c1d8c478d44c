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
enum way_what {
	WAY_WORDS = 0, /* the word, or nothing */
	WAY_ASSIGN,    /* the words fit; the variables of a stage do not */
	WAY_DIR,       /* the folder does not */
	WAY_STAGES,    /* the pipeline is longer or shorter */
};

struct way {
	size_t cost;
	enum way_what what;
	size_t stage;
	size_t word;  /* of the stage; NEAREST_NONE: no word failed */
	size_t item;  /* NEAREST_NONE: the word is one too many */
	size_t after; /* the item before it; NEAREST_NONE: none */
};

struct nearest {
	const struct run *run; /* NULL: no rule is for the caller here */
	const struct run *at;  /* the program of it that way.item is of */
	struct way way;
	size_t steps;
};

void nearest_find(
    const struct request *q, const struct subject *s, struct nearest *n);

#endif
