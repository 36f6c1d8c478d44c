/*
 * The second half of a load: names become things, and what only the whole
 * policy can show is checked.
 */
#ifndef POSTERN_POLICY_RESOLVE_H
#define POSTERN_POLICY_RESOLVE_H

struct diags;
struct policy;

/* Errors go to d.  0 also when there were some; ERR_NOMEM. */
int policy_resolve(struct policy *p, struct diags *d);
/* Runs every test of a policy that has no errors; failures go to d. */
int policy_selftest(const struct policy *p, struct diags *d);

#endif
