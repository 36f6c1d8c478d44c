/*
 * Who, where and when, as far as two policies can tell them apart: finitely
 * many sessions, places and times that stand for all there are.
 */
#ifndef POSTERN_POLICY_CELLS_H
#define POSTERN_POLICY_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "policy/claims.h"

struct fa;
struct identity;
struct issuer_full;
struct policy;
struct rule;
struct target;

enum { CELLS_OLD, CELLS_NEW };

/* A job's claims, and who that is in both policies. */
struct session {
	const struct identity *as; /* of NEW, one that the claims are */
	const char *old_issuer;    /* NULL: none of OLD takes these tokens */
	struct claims claims;
	bool *set[2];
};

struct spot {
	const struct target *target[2]; /* OLD: NULL, when it is not the same */
	const char *login;
	size_t programs; /* the same number: the same names of programs */
	bool observed;   /* in one of the policies, now or later */
};

struct cells {
	const struct policy *p[2];
	struct session *session;
	size_t nsession, capsession;
	struct spot *spot;
	size_t nspot, capspot, nprograms;
	time_t *now;
	size_t nnow, capnow;
	const char *incomplete; /* what there is more of than was made */
	bool frame_differs;     /* issuers or targets are not the same */
	bool observed;          /* some spot of NEW is */
};

/* `from` is when the year of times begins. */
int cells_init(struct cells *c, const struct policy *before,
    const struct policy *after, time_t from);
void cells_clear(struct cells *c);

/* Is it a rule for that session, place, time? */
bool cells_is_for(const struct cells *c, int side, const struct rule *rule,
    const struct session *s);
bool cells_is_here(const struct cells *c, int side, const struct rule *rule,
    const struct spot *s);
bool cells_is_now(const struct rule *rule, time_t now);

/* The session with other values of some claims, as it were; 0 or ERR_NOMEM. */
int session_with(const struct cells *c, const struct session *s,
    const struct claims *over, struct session *out);
void session_clear(struct session *s);
bool session_is_same(
    const struct cells *c, const struct session *a, const struct session *b);
/* All that this claim of the session could be, to be put into a word, without
 * another pattern on it holding than holds now; with the values that conditions
 * spell out, or without them.  NULL: out of memory. */
struct fa *cells_values(
    const struct cells *c, const char *claim, const char *value, bool literals);
/* Does a condition of some identity spell it out? */
bool cells_is_literal(
    const struct cells *c, const char *claim, const char *value);

#endif
