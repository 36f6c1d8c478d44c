/*
 * One slot against a piece of a word.  No allocation; every function is
 * linear in the piece, but for the slots of bounded length, which are tried
 * from every offset.
 */
#ifndef POSTERN_POLICY_SLOT_H
#define POSTERN_POLICY_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims;
struct piece;
struct slot;

#define SLOT_SEMVER_MAX 255
#define SLOT_HOST_MAX 253
#define SLOT_SHA_MAX 64
#define SLOT_REF_MAX 255 /* bytes of a git-ref's text in the policy */

/* What slots are matched with beside the word. */
struct slot_ctx {
	const struct claims *claims; /* may be NULL */
	bool deny;	/* the rule denies: when in doubt, it matches */
};

/* Does the slot match all n bytes? */
bool slot_matches(const struct slot_ctx *x, const struct slot *slot,
    const char *w, size_t n);
/* Which offsets can the pieces end at, from offset 0 on?  True when the end
 * of the word is one. */
bool pieces_match(const struct slot_ctx *x, const struct piece *piece,
    size_t npiece, const char *w, size_t n);

/* May a claim's value be put into a word?  [A-Za-z0-9._-]+, but `.` and `..` */
bool claim_is_plain(const char *s);

#endif
