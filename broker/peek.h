/*
 * What a token says, without anybody's key: for a person who wants to know why
 * a job did not get in.  The only header of the broker that the tools may see
 * (tests/lint/arrows.sh).  NOTHING HERE VERIFIES A SIGNATURE.
 */
#ifndef POSTERN_BROKER_PEEK_H
#define POSTERN_BROKER_PEEK_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct issuer; /* policy/policy.h */

#define PEEK_TOKEN_MAX (16 * 1024) /* PROTO_TOKEN_MAX */

struct peek {
	const char *alg; /* one of those we know */
	const char *kid; /* NULL: the token names no key */
	const char *iss;
	const char *sub; /* NULL: it has none that is a text */
	/* NumericDates, cut to seconds; -1: missing or malformed */
	int64_t iat, exp, nbf;
	const json_t *claims; /* as they stand in the token */
	const json_t *texts;  /* as conditions see them (lib/claimtext.h) */
};

/* Takes apart n bytes (no blank or newline around them) by the rules that
 * postern-oidc has.  On failure *why is a literal: what it would refuse the
 * token for, whoever the issuer were.  peek_free the result. */
int peek_open(const char *token, size_t n, struct peek **out, const char **why);
/* What postern-oidc would say of this issuer's token at time now (seconds),
 * were the signature good and the token not spent: iss, algorithm, audience,
 * sub, times; the first that does not hold.  With now = p->iat it is everything
 * but the clock. */
int peek_check(const struct peek *p, const struct issuer *is, int64_t now,
    const char **why);
void peek_free(struct peek *p);

#endif
