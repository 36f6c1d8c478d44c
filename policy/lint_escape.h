/*
 * What is known of programs: by which of their words they run, write or read
 * what no rule speaks of.
 */
#ifndef POSTERN_POLICY_LINT_ESCAPE_H
#define POSTERN_POLICY_LINT_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

struct item;
struct run;

/* The program's known ways out that the line leaves open, one after the other
 * from *next on, which is 0 at first: of the words behind the from-th.  NULL:
 * there are no more. */
struct escape {
	const char *programs; /* names, parted by blanks */
	const char *word;     /* "" where it is no certain one */
	const char *does;
	unsigned char when;
};
const struct escape *escape_next(const char *program, const struct run *run,
    size_t from, size_t *next, const struct item **at);
bool escape_knows(const char *program);
/* Does it run the program that its words name? */
bool escape_wraps(const char *program);
/* Does it take from the folder where it is what it runs? */
bool escape_obeys_folder(const char *program);

#endif
