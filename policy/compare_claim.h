/*
 * Claims that are tried: what the two halves of it share.
 */
#ifndef POSTERN_POLICY_COMPARE_CLAIM_H
#define POSTERN_POLICY_COMPARE_CLAIM_H

#include "policy/compare_internal.h"

#define CLAIMS_MAX 8  /* that are open at once */
#define PLACES_MAX 4  /* of one claim in one example */
#define WORDS_MAX 512 /* of an example that holds claims */

#define CLAIM_NOT_ALONE "a claim shares its word with another slot"

/* A claim that may be anything in its cell. */
struct open_claim {
	const char *name;
	struct fa *cell;
	struct {
		size_t begin, end;
	} place[PLACES_MAX]; /* in the example */
	size_t nplace;
	char *value[PLACES_MAX + 1];
	size_t nvalue, now;
};

struct trial {
	struct compare *c;
	size_t group;
	const struct session *s;
	struct open_claim claim[CLAIMS_MAX];
	size_t nclaim;
	bool literals;
	const struct line *two_places; /* of one claim; NULL: nowhere */
	const struct line *line; /* that is looked at */
	const char *text;        /* the example */
	struct {
		size_t begin, end, stage;
		char mark;
	} word[WORDS_MAX];
	size_t nword;
};

/* Finds the open claims in the example (t->text, n bytes), as the lines of the
 * piece have them. */
void trial_find_places(struct trial *t, const struct piece_of *p, size_t n);

/* What stands before and behind the claim in its word, or its part of a path:
 * literals. */
struct claim_around {
	const char *name;
	const char *before, *after;
	size_t nbefore, nafter;
	size_t part; /* of a path */
};

/* false: it stands beside something else. */
bool claim_look_around(
    const struct item *it, bool path, struct claim_around *a);
/* Does the word hold a claim that is open? */
bool trial_is_open(const struct trial *t, const struct item *it);

/* -- compare_value.c -- */
/* The same with values that stand for all; *decided: there are such. */
int trial_of_values(struct trial *t, size_t with, bool *decided);

#endif
