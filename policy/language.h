/*
 * Lines as finite automata (libfa): everything that a line matches, as a set
 * of texts.
 *
 * A command's text is its folder, ended by LANGUAGE_DIR, if it has one; then
 * its programs, LANGUAGE_PIPE between them; each of them its variables in order
 * of their names, each ended by LANGUAGE_SET, and its words, each ended by
 * LANGUAGE_END.  A file's is its path and LANGUAGE_END.  A repository's is the
 * same, and behind it LANGUAGE_SET when no ref is named yet, or the ref and
 * LANGUAGE_END.  No word holds any of these characters.
 *
 * Automata are the caller's, to be freed by fa_free; NULL is out of memory, or
 * more states than LANGUAGE_STATES_MAX.
 */
#ifndef POSTERN_POLICY_LANGUAGE_H
#define POSTERN_POLICY_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

struct claims;
struct fa;
struct item;
struct policy;
struct program;
struct repository;
struct run;
struct target;
struct transfer;

#define LANGUAGE_END '\001'
#define LANGUAGE_SET '\002'
#define LANGUAGE_PIPE '\003'
#define LANGUAGE_DIR '\004'
#define LANGUAGE_STATES_MAX 100000

/* Everything that a claim may be. */
struct language_cell {
	const char *claim;
	struct fa *fa;
};

/* What a line's language hangs on beside the line. */
struct language_ctx {
	const struct policy *p;           /* whose programs */
	const struct target *target;      /* on which target; NULL: on any */
	const struct claims *claims;      /* NULL: no claim has a value */
	const struct language_cell *cell; /* before the claims */
	size_t ncell;
};

/* The program that a first word is. */
const struct program *language_program(
    const struct language_ctx *x, const char *word);

/* All commands that an allow rule's line is, or that a deny rule's is a part
 * of; first words in each of their spellings. */
struct fa *language_run(const struct run *run, const struct language_ctx *x);
struct fa *language_transfer(
    const struct transfer *t, const struct language_ctx *x);
struct fa *language_repository(
    const struct repository *g, const struct language_ctx *x);
/* A word, without what ends it. */
struct fa *language_word(const struct item *it, const struct language_ctx *x);
/* All commands of which that program begins with that word. */
struct fa *language_first(size_t stage, const char *word);
/* What a claim's value may be, to be put into a word: plain, and of the globs
 * those that `fits` says.  NULL ends them. */
struct fa *language_plain(void);
struct fa *language_glob(const char *glob);
struct fa *language_text(const char *text);
/* Everything that begins with this. */
struct fa *language_beginning(const char *text);

/* Sets; the arguments stay as they are. */
struct fa *language_both(struct fa *a, struct fa *b);
struct fa *language_either(struct fa *a, struct fa *b);
struct fa *language_behind(struct fa *a, struct fa *b);
struct fa *language_without(struct fa *a, struct fa *b);
struct fa *language_copy(struct fa *a);
bool language_is_empty(struct fa *a);
/* Is a within b?  false also when it is not known. */
bool language_is_within(struct fa *a, struct fa *b);
/* One of the texts, if possible one that everybody can read; NULL: memory ran
 * out.  The caller's to free. */
char *language_example(struct fa *fa, size_t *n);

#endif
