/*
 * Patterns as finite automata (libfa): what a `run` line matches, as a set of
 * texts.  The words of a command stand one after the other, each ended by
 * LANGUAGE_END, which no word holds.
 *
 * Automata are the caller's, to be freed by fa_free; NULL is out of memory, or
 * more states than LANGUAGE_STATES_MAX.
 */
#ifndef POSTERN_POLICY_LANGUAGE_H
#define POSTERN_POLICY_LANGUAGE_H

#include <stdbool.h>

struct claims;
struct fa;
struct policy;
struct run;

#define LANGUAGE_END '\001'
#define LANGUAGE_STATES_MAX 100000

/* What may follow `first`, in p's spelling of programs. */
struct fa *language_after(const struct run *run, const struct policy *p,
    const char *first, const struct claims *cs);
/* All of it, as words are spelled in the rule. */
struct fa *language_whole(const struct run *run, const struct claims *cs);
/* Does a slot of it ask for a claim? */
bool language_has_claims(const struct run *run);
/* Can no text be in both?  false: not known. */
bool language_is_apart(const struct run *a, const struct run *b);

/* Sets; the arguments stay as they are. */
struct fa *language_both(struct fa *a, struct fa *b);
struct fa *language_without(struct fa *a, struct fa *b);
/* Of the texts those that are ASCII. */
struct fa *language_ascii(struct fa *a);
bool language_is_empty(struct fa *a);

#endif
