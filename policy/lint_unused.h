/*
 * What a policy defines and no rule uses.
 */
#ifndef POSTERN_POLICY_LINT_UNUSED_H
#define POSTERN_POLICY_LINT_UNUSED_H

struct diags;
struct policy;

/* Adds "warning: ... [unused]" for each; ERR_NOMEM, and nothing added. */
int lint_unused(const struct policy *p, struct diags *d);

#endif
