/*
 * Which rules could speak of a request: `run` lines by first word, the others
 * by their kind, and all by identity and place, so that a decision meets only
 * rules of its own program, identity and target.
 */
#ifndef POSTERN_POLICY_INDEX_H
#define POSTERN_POLICY_INDEX_H

#include <stddef.h>

struct policy;
struct request;
struct subject;

/* After everything is resolved.  0, or ERR_NOMEM. */
int index_build(struct policy *p);

/* Lines that are no commands. */
enum index_kind {
	INDEX_FILES, /* struct transfer */
	INDEX_GIT,   /* struct repository */
	INDEX_SHELL, /* struct rule */
};

typedef void (*index_fn)(const void *line, void *ctx);
/* Calls fn with every struct run that could match the stage and is written for
 * the request's identities and place, in no order; a line may come more than
 * once. */
void index_each(const struct request *q, const struct subject *s, size_t stage,
    index_fn fn, void *ctx);
/* The same with every one whose first word could be the stage's. */
void index_each_program(const struct request *q, const struct subject *s,
    size_t stage, index_fn fn, void *ctx);
/* The same with every line of a kind. */
void index_each_kind(
    const struct request *q, enum index_kind kind, index_fn fn, void *ctx);

#endif
