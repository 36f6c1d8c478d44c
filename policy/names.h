/*
 * The SSH user names under which a set of identities may be allowed anything:
 * what a job certificate names as its principals.  Such a name opens a
 * connection and nothing else; each operation on it is decided by itself.
 */
#ifndef POSTERN_POLICY_NAMES_H
#define POSTERN_POLICY_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct policy;

/* Non-zero ends the listing, which returns it. */
typedef int (*names_fn)(void *arg, const char *name);

struct names {
	const struct policy *policy;
	const bool *identity; /* as policy_match sets it */
	time_t now;           /* for observed targets; 0: unknown, so none */
	size_t max;           /* names, at most */
	names_fn fn;
	void *arg;
	bool more; /* set: there are more than max */
};

/* Lists each name once: TARGET where an allow rule of theirs (or an
 * observation) covers the target's own login, LOGIN+TARGET for another login;
 * and, where all of them fit, LOGIN+TARGET for the own one, too.  ERR_NOMEM, or
 * what fn returned. */
int policy_names(struct names *n);

#endif
