/*
 * Names of variables, for lints.
 */
#ifndef POSTERN_POLICY_LINT_ENV_H
#define POSTERN_POLICY_LINT_ENV_H

#include <stdbool.h>
#include <stddef.h>

/* Does who sets it decide what programs load or run? */
bool lint_env_loads(const char *name, size_t n);
/* Can a job send it at all? */
bool lint_env_comes(const char *name, size_t n);

#endif
