/*
 * Does a command's argv fit a `run` pattern?  No allocation, no backtracking:
 * O(words x items) steps, each over one word.
 */
#ifndef POSTERN_POLICY_MATCH_H
#define POSTERN_POLICY_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/command.h"

struct claims;
struct item;
struct policy;
struct program;
struct run;
struct target;

/* A command made ready to be matched many times. */
struct subject {
	const struct command *command;
	const struct claims *claims; /* for <claim NAME>; may be NULL */
	/* What the job sent of its environment, which every program gets; set
	 * by who has any.  Deny rules look at it. */
	const char *const *sent;
	size_t nsent;
	size_t nstage;
	struct subject_stage {
		char *const *argv;
		size_t argc;
		const size_t *len;
		/* argv[0] is its name or path, on this target */
		const struct program *program;
	} stage[COMMAND_STAGES_MAX];
	size_t len[COMMAND_WORDS_MAX];
};

/* false: no command that could be judged (no or too many words). */
bool subject_init(struct subject *s, const struct policy *p,
    const struct target *t, const struct command *c, const struct claims *cs);
/* The program that a name or path is on a target; NULL: none. */
const struct program *program_find(
    const struct policy *p, const struct target *t, const char *word);
/* One text against one item. */
bool text_matches_item(
    const struct item *it, const struct claims *cs, const char *w, size_t n);
/* Is the path the item's, or the item's folder or beneath it?  A deny rule's
 * holds for every path of which that cannot be told. */
bool path_is(
    const struct item *it, const struct claims *cs, const char *w, size_t n);
bool path_is_under(
    const struct item *it, const struct claims *cs, const char *w, size_t n);
/* Word i of a stage against one item; the first word in either spelling. */
bool item_matches(
    const struct item *it, const struct subject *s, size_t stage, size_t i);
/* One program of a line against one of the command, words alone. */
bool words_match(const struct run *run, const struct subject *s, size_t stage);
/* The items that may match word n of the first program, when those before it
 * do: bits of set, which has room for RUN_BITS.  false: none. */
bool words_follow(
    const struct run *run, const struct subject *s, size_t n, uint64_t *set);
/* The folder; the variables of one program. */
bool dir_matches(const struct run *run, const struct subject *s);
bool assigns_match(
    const struct run *run, const struct subject *s, size_t stage);
/*
 * The whole line.  An allow rule's is the whole command: its folder, its
 * programs, their variables in any order, and nothing else.  A deny rule's is
 * a part of it: one or more programs in a row, wherever they run and whatever
 * else is set.  With `in` it covers commands that go there; those that go
 * nowhere run in the login's home, which no job chooses.
 */
bool run_matches(const struct run *run, const struct subject *s);

#endif
