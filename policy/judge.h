/*
 * The parts of a decision that its explanation needs as well.
 */
#ifndef POSTERN_POLICY_JUDGE_H
#define POSTERN_POLICY_JUDGE_H

#include <stdbool.h>

struct identity;
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
/* Is the line about what the request asks for? */
bool transfer_matches(const struct transfer *t, const struct request *q);
bool repository_matches(const struct repository *r, const struct request *q);

#endif
