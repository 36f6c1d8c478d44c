/*
 * The smallest edit of a policy that would allow what it denies.  Each one was
 * tried before it is shown, and none is ever made.
 */
#ifndef POSTERN_POLICY_SUGGEST_H
#define POSTERN_POLICY_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

struct whatif;

struct suggestion {
	size_t file; /* of policy_source */
	char *text;  /* the whole file as it would be */
	size_t len;
	bool breaks_tests; /* some test of the policy says otherwise */
};

/* For a request that was denied.  ERR_NOTFOUND: nothing helps, as where a
 * deny rule holds. */
int suggest(const struct whatif *w, struct suggestion *out);
void suggestion_clear(struct suggestion *s);

#endif
