/*
 * A seccomp filter, put together row by row: the first row that fits a call
 * answers it, and what fits none kills the process.  Needs no memory but its
 * own and no library, so that a hop pays nothing for it.
 */
#ifndef POSTERN_LIB_FILTER_H
#define POSTERN_LIB_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>

#define FILTER_MAX 448 /* instructions; a longer one does not load */
#define FILTER_IFS 2
/* An answer; any other is an errno. */
#define FILTER_ALLOW 0
#define FILTER_KILL (-1)

/* The lower half of argument `arg`, masked, is `value`; a mask of 0 always
 * fits.  All that is looked at is an int or flags in the lower half. */
struct filter_if {
	unsigned int arg;
	uint32_t mask, value;
};

struct filter {
	struct sock_filter code[FILTER_MAX];
	size_t n;
	bool full;
};

/* Starts with what is true of every filter: calls of another architecture, of
 * x32 among them, kill. */
void filter_init(struct filter *f);
/* number: below 0 for a call that this architecture does not have. */
void filter_add(struct filter *f, int number, int answer,
    const struct filter_if when[FILTER_IFS]);
/* Puts it in force, for good.  MUST be called with no_new_privs set and while
 * there is one thread.  0 or ERR_TOOBIG, ERR_SYS. */
int filter_load(struct filter *f);

#endif
