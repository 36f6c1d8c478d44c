/*
 * Which rules could speak of a command: `run` lines by first word, identity
 * and place, so that a decision meets only rules of its own program, identity
 * and target.
 */
#ifndef POSTERN_POLICY_INDEX_H
#define POSTERN_POLICY_INDEX_H

#include <stddef.h>

struct policy;
struct request;
struct run;
struct subject;

/* After everything is resolved.  0, or ERR_NOMEM. */
int index_build(struct policy *p);

/* Calls fn with every line whose first word could be the stage's and that is
 * written for the request's identities and place, in no order; a line may come
 * more than once. */
typedef void (*index_fn)(const struct run *run, void *ctx);
void index_each(const struct request *q, const struct subject *s, size_t stage,
    index_fn fn, void *ctx);

#endif
