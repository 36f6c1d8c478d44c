/*
 * What the allow rules give somebody in one place, for him to see: their lines
 * as they are written, and what may come next in a command that he types.
 */
#ifndef POSTERN_POLICY_WORDS_H
#define POSTERN_POLICY_WORDS_H

#include <stddef.h>

struct request;

#define WORDS_WORD_MAX 4096 /* longer ones are not told */

/* What it returns, if it is not 0, ends the walk and is returned. */
typedef int (*words_fn)(void *arg, const char *text, size_t n);

/* Each `run` line of the rules that apply to the request, which needs no
 * command: once, in their order.  The text is as it stands in the policy. */
int words_lines(const struct request *q, words_fn fn, void *arg);

/*
 * Each word that may stand at the end of text, in byte order and once: those
 * that begin with its last word, *partial bytes long.  A value of a slot is
 * told only where the rule lists all of them, and one that a slot ends only up
 * to that slot.  Words that would have to be quoted are not told, nor is there
 * any behind one.  dir: where it would run, or NULL.  ERR_FORMAT: of such a
 * text nothing is told.
 */
int words_next(const struct request *q, char *dir, const char *text, size_t n,
    size_t *partial, words_fn fn, void *arg);

#endif
