/*
 * A connection to a repository of which not every ref is granted, or denied by
 * no rule: which `git` lines hold for it.  decide() has said that it may be
 * opened; what is said here is what goes through it.
 */
#ifndef POSTERN_POLICY_REFS_H
#define POSTERN_POLICY_REFS_H

struct decision;
struct refset;
struct request;

/* d: what decide() answered to q, a command.  Where its refs are judged one by
 * one, the limits of every line that may let one through are its limits. */
void refs_join(const struct request *q, struct decision *d);
/* The lines: of a connection that may have every ref one alone.  They live in
 * the policy; out is the caller's, for refset_clear. */
int refs_gather(
    const struct request *q, const struct decision *d, struct refset *out);

#endif
