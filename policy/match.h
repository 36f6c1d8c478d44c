/*
 * Does a command's argv fit a `run` pattern?  No allocation, no backtracking:
 * O(words x items) steps, each over one word.
 */
#ifndef POSTERN_POLICY_MATCH_H
#define POSTERN_POLICY_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/command.h"

struct claims;
struct item;
struct policy;
struct program;
struct run;

/* A command made ready to be matched many times. */
struct subject {
	char *const *argv;
	size_t argc;
	size_t len[COMMAND_WORDS_MAX];
	const struct claims *claims; /* for <claim NAME>; may be NULL */
	const struct program *program; /* argv[0] is its name or path */
};

/* false: no command that could be judged (no or too many words). */
bool subject_init(struct subject *s, const struct policy *p,
    const struct command *c, const struct claims *cs);
/* Word i alone against one item; the first word in either spelling. */
bool item_matches(const struct item *it, const struct subject *s, size_t i);
bool run_matches(const struct run *run, const struct subject *s);

#endif
