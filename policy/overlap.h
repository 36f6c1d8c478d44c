/*
 * How two lines lie to each other, as far as a look at their words shows; and
 * a command that a line matches, without looking for one.
 */
#ifndef POSTERN_POLICY_OVERLAP_H
#define POSTERN_POLICY_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct item;
struct node;
struct repository;
struct run;
struct transfer;

/* Can nothing be in both?  false: not known.  First words are not looked at,
 * for they have several spellings. */
bool overlap_runs_apart(const struct run *a, const struct run *b);
bool overlap_transfers_apart(
    const struct transfer *a, const struct transfer *b);
bool overlap_repositories_apart(
    const struct repository *a, const struct repository *b);

/* Is all of a in b?  false: not known.  Where programs' names mean the same in
 * both. */
bool overlap_item_within(const struct item *a, const struct item *b);
bool overlap_run_within(const struct run *a, const struct run *b);
bool overlap_transfer_within(
    const struct transfer *a, const struct transfer *b);
bool overlap_repository_within(
    const struct repository *a, const struct repository *b);

/* A place for one word in a line: a literal, a slot, or a choice of them. */
struct overlap_word {
	const struct run *stage; /* the program */
	const struct node *node;
};

/* Would a be within b, were it not for one place?  There a command that a
 * matches has one word, and b matches the command if its own place has that
 * word, and only then.  false: not known. */
bool overlap_run_word(const struct run *a, const struct run *b,
    struct overlap_word *in_a, struct overlap_word *in_b);

/* A text of the line's language (policy/language.h); ERR_NOTFOUND: none is at
 * hand. */
int overlap_run_example(const struct run *run, struct buf *out);
/* The same with other words at some places. */
struct overlap_chosen {
	struct overlap_word at;
	const char *word;
};
int overlap_run_chosen(const struct run *run, const struct overlap_chosen *v,
    size_t n, struct buf *out);
int overlap_transfer_example(const struct transfer *t, struct buf *out);
int overlap_repository_example(const struct repository *g, struct buf *out);

#endif
