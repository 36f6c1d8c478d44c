/*
 * Suggestions: what the edits of commands and those of files share.
 */
#ifndef POSTERN_POLICY_SUGGEST_INTERNAL_H
#define POSTERN_POLICY_SUGGEST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "policy/match.h"
#include "policy/whatif.h"

struct place;
struct policy;
struct rule;

/* A stretch of a source and what would stand there. */
struct edit {
	size_t file, off, len;
	struct buf text;
};

/* What is being looked for, on the policy as edited so far. */
struct search {
	const struct whatif *asked;
	const struct policy *p;
	struct whatif w;
	struct subject s; /* of a command */
};

/* What a rule with a line that fits lacks. */
enum lacks { LACKS_NOTHING, LACKS_WHO, LACKS_WHERE, LACKS_MORE };

/* -- suggest.c -- */
/* The next edit on the way, for a command; whole: by a line of its own. */
int suggest_edit(struct search *f, bool whole, struct edit *e);
const char *source_of(const struct search *f, const struct place *at);
/* In its place; behind it; before it. */
void edit_at(struct edit *e, const struct place *at);
void edit_behind(struct edit *e, const struct place *at);
void edit_before(struct edit *e, const struct place *at);
/* Who and where, and that it is the rule's time. */
enum lacks rule_lacks(const struct search *f, const struct rule *rule);
/* Adds whom or what it lacks; ERR_NOTFOUND: that is not it. */
int edit_header(const struct search *f, const struct rule *rule,
    enum lacks lacks, struct edit *e);
/* A rule of its own, behind everything, up to its first line. */
int edit_rule_begin(struct search *f, struct edit *e);
/* In "…". */
int put_string(struct buf *b, const char *s);

/* -- suggest_access.c -- */
/* The same, for a file, a repository or a shell. */
int suggest_access_edit(struct search *f, struct edit *e);

#endif
