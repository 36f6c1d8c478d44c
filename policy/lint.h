/*
 * What a policy says and hardly means: `postern policy check` on top of what
 * a load refuses.
 */
#ifndef POSTERN_POLICY_LINT_H
#define POSTERN_POLICY_LINT_H

#include <stdbool.h>
#include <stddef.h>

struct diags;
struct policy;

/* Adds a message for each finding: "warning: ... [NAME]", or "error: ..." for
 * what must not be.  *fails says whether there is one of the latter. */
int policy_lint(const struct policy *p, struct diags *d, bool *fails);

#endif
