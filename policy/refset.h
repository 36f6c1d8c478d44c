/*
 * The refs of a repository that one session may have: `git` lines that hold for
 * it, so that whoever carries the session can judge each ref as decide() would.
 * Written by policy, read by the hop; slots of claims are worked in.
 */
#ifndef POSTERN_POLICY_REFSET_H
#define POSTERN_POLICY_REFSET_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct buf;
struct claims;
struct git_ref;

#define REFSET_MAX 256 /* lines of one session, and refs of one line */

/* A ref that a deny line covers is denied; of the others that cover it the
 * first decides, and none denies. */
struct ref_line {
	const char *rule;
	bool deny;
	const struct git_ref *ref; /* none: every ref */
	size_t nref;
};

struct refset {
	struct ref_line *line;
	size_t n;
	struct arena *arena; /* of what was read */
};

/* Appends them, with the claims' values in place of their slots; a ref whose
 * claim is missing or not plain stands for nothing.  ERR_TOOBIG: more than one
 * session can carry. */
int refset_put(
    const struct refset *s, const struct claims *claims, struct buf *b);
/* Reads what that wrote, strictly. */
int refset_get(struct buf *b, struct refset *out);
/* Takes one that was only begun, too. */
void refset_clear(struct refset *s);

/* Is there a line without refs, and none that denies? */
bool refset_is_all(const struct refset *s);
/* The line that decides: NULL is none, and so a denial. */
const struct ref_line *refset_judge(const struct refset *s, const char *ref);

#endif
