/*
 * The parts of a decision that its explanation needs as well.
 */
#ifndef POSTERN_POLICY_JUDGE_H
#define POSTERN_POLICY_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decision;
struct env_var;
struct identity;
struct limits;
struct repository;
struct request;
struct rule;
struct transfer;

/* Does the request name everything that a decision needs? */
bool request_is_whole(const struct request *q);
/* The first by name of the request's identities that the rule is for. */
const struct identity *rule_identity(const struct rule *rule,
    const struct request *q);
/* Does the rule cover the request's target and login? */
bool rule_is_here(const struct rule *rule, const struct request *q);
/* Is it the rule's time?  When the time is not known, it is for a deny rule. */
bool rule_is_now(const struct rule *rule, const struct request *q);
/* All of that: for the request, here and now. */
bool rule_applies(const struct rule *rule, const struct request *q);
/* The first by name of the request's identities; NULL: it has none. */
const struct identity *request_identity(const struct request *q);
/* The first demand that the caller cannot enforce; NULL: none. */
const char *decision_missing(const struct request *q, const struct decision *d);

/* A line that matches, and what it gives. */
struct found {
	const struct rule *rule; /* NULL: none */
	bool pty, stdin_ok;
	uint64_t stdin_max;
	const struct transfer *transfer;
	bool refs; /* of git: not every ref */
	size_t order;
};
/* Of two that match, is a the better answer?  A total order. */
bool found_is_better(const struct found *a, const struct found *b);
/* What the job sent of its environment, against the rule that decided: with a
 * value that it does not take nothing is granted. */
void sent_judge(const struct request *q, struct decision *d);
/* The rule's line for the variable, which begins with its name and `=`; NULL:
 * it has none. */
const struct env_var *sent_line(const struct rule *rule, const char *var);
/* The smaller of each limit. */
void limits_join(struct limits *to, const struct limits *l);

/* Is the line about what the request asks for? */
bool transfer_matches(const struct transfer *t, const struct request *q);
/* The same, whatever its refs. */
bool repository_is(const struct repository *r, const struct request *q);
bool repository_matches(const struct repository *r, const struct request *q);

#endif
