/*
 * What a ledger says of a command that was decided, and who its job may have
 * been under a policy.  A ledger does not hold a token's claims: of each
 * identity it is sure, or possible, or out of the question that the job was it.
 */
#ifndef POSTERN_POLICY_PAST_H
#define POSTERN_POLICY_PAST_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "policy/claims.h"

struct policy;

/* One decision.  Texts that the ledger does not have are "". */
struct past {
	/* who: one identity that the job was, of maybe several */
	const char *identity, *issuer, *subject;
	const char *commit, *pull_request, *actor, *workflow, *run;
	/* where: the name it was logged in with, and what policy made of it */
	const char *user, *target, *login;
	/* what; "": a shell */
	const char *command;
	const char *by; /* files were moved in this way; "": none */
	bool escaped; /* as the job wrote it, `\xNN` for what is not plain */
	bool syntax;  /* it could not be read */
	bool has_pty, pty;
	time_t when;
};

/* Who that is.  Sets are of the policy's identities. */
struct suspects {
	size_t n;
	bool *sure;
	bool *all;            /* and those that it may have been */
	const char **lacks;   /* of these: a claim that would tell */
	bool any;             /* all has more than sure */
	struct claims claims; /* whose value is known */
};

/* By the policy that was in force, old, an identity's conditions are known to
 * have held.  Where old is NULL or has no such identity, p's own are taken to
 * have. */
int suspects_find(struct suspects *w, const struct policy *p,
    const struct policy *old, const struct past *past);
void suspects_clear(struct suspects *w);

#endif
