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

struct identity;
struct issuer_full;
struct policy;
struct rule;
struct target;

enum { CELLS_OLD, CELLS_NEW };

/* A job's claims, and who that is in both policies. */
struct session {
	const struct identity *as; /* of NEW, one that the claims are */
	struct claims claims;
	bool *set[2];
};

struct spot {
	const struct target *target[2]; /* OLD: NULL, when it is not the same */
	const char *login;
};

struct cells {
	const struct policy *p[2];
	struct session *session;
	size_t nsession, capsession;
	struct spot *spot;
	size_t nspot, capspot;
	time_t *now;
	size_t nnow, capnow;
	bool incomplete;    /* there are more than were made */
	bool frame_differs; /* issuers or targets are not the same */
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

#endif
