/*
 * What the explanations of commands and of everything else share.
 */
#ifndef POSTERN_POLICY_EXPLAIN_H
#define POSTERN_POLICY_EXPLAIN_H

#include "policy/served.h"

struct buf;
struct decision;
struct place;
struct policy;
struct request;
struct rule;
struct subject;

/* A rule's name, its file and line, and that line with a caret. */
int explain_show_rule(const struct policy *p, const struct rule *rule,
    const char *what, const struct place *at, struct buf *out);
/* The rule fits, but not now. */
int explain_show_window(
    const struct request *q, const struct rule *rule, struct buf *out);
/* The identities of the session, so that a job sees who it is taken for. */
int explain_show_identities(const struct request *q, struct buf *out);
/* What a rule decided; s: of a command, else NULL. */
int explain_rule(const struct request *q, const struct decision *d,
    const struct subject *s, struct buf *out);

/* Is a denied command the far end of a transfer?  Then *as is the request that
 * it is judged as, for its first path that alone is denied (the first, if none
 * is). */
enum served_is explain_transfer(const struct request *q, struct served *v,
    struct request *as, char path[PATH_LEN_MAX + 1]);

/* Of a file, a repository, a shell (explain_access.c). */
int explain_access(
    const struct request *q, const struct decision *d, struct buf *out);

#endif
