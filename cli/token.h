/*
 * What the tools of `postern token` share.  NOTHING HERE VERIFIES A SIGNATURE.
 */
#ifndef POSTERN_CLI_TOKEN_H
#define POSTERN_CLI_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/secret.h"
#include "policy/claims.h"

#define SEEN_AUD_MAX 16 /* audiences that are shown */

struct buf;
struct issuer;
struct json;
struct peek;
struct policy;
struct preset;

/* A token, taken apart. */
struct seen {
	struct secret text;
	struct peek *peek;
	/* as in struct peek; in there */
	const char *iss, *sub, *alg;
	int64_t iat, exp, nbf;
	const char *aud[SEEN_AUD_MAX];
	size_t naud;
	struct claims claims; /* as conditions see them */
	const struct preset *row;
	const char *by; /* what told the preset */
};

/* Reads and takes apart the token of a file; NULL: of standard input.  An exit
 * code, said. */
int token_see(const char *path, struct seen *out);
void token_unsee(struct seen *s);
/* As peek_check. */
int token_fits(const struct seen *s, const struct issuer *is, int64_t now,
    const char **why);

/* Appends the identity that a policy might have for such a job: pinned by ids,
 * with dangers as comments. */
int token_identity(const struct seen *s, struct buf *out);
/* What goes by names where ids could be had, in a policy: findings as text, or
 * as members of an array.  s may be NULL.  Returns how many, or an error. */
int token_lint_policy(
    const struct policy *p, const struct seen *s, struct json *j);

#endif
