/*
 * Questions to a policy without a job: what the tools and the policy's own
 * tests ask in some identity's place.
 */
#ifndef POSTERN_POLICY_WHATIF_H
#define POSTERN_POLICY_WHATIF_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/claims.h"
#include "policy/decide.h"

struct command;
struct identity;
struct policy;

/* Adds or replaces. */
int claims_set(struct claims *cs, const char *name, const char *value);

/* The first value that each condition of the identity spells out. */
int identity_claims(const struct identity *id, struct claims *cs);

struct whatif {
	const struct policy *policy;
	const struct identity *identity;
	struct claims claims;
	bool *set; /* the identities that these claims are */
	struct request q;
};

/* Everything that the identity can be asked with: its own first values; for a
 * glob or `present` without one some value that fits; over them `given`.
 * ERR_NOTFOUND: no such identity.  Whether the claims are the identity then is
 * whatif_is_somebody's answer. */
int whatif_init(struct whatif *w, const struct policy *p, const char *identity,
    const struct claims *given);
void whatif_clear(struct whatif *w);
bool whatif_is_somebody(const struct whatif *w);
/* ERR_NOTFOUND: no such target or login (login "": its own). */
int whatif_where(struct whatif *w, const char *target, const char *login);

/* What a caller that enforces everything is told. */
#define ENFORCE_ALL (~0U)

#endif
