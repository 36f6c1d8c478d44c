/*
 * Parts of a policy and of a decision as people and programs are shown them.
 */
#ifndef POSTERN_POLICY_SHOW_H
#define POSTERN_POLICY_SHOW_H

#include <stddef.h>

struct buf;
struct decision;
struct json;
struct place;
struct policy;
struct request;
struct rule;

/* "FILE:LINE" */
int show_place(const struct policy *p, const struct place *at, struct buf *out);
/* The text of a stretch, in one line. */
int show_source(
    const struct policy *p, const struct place *at, struct buf *out);
/* Where the first line of the rule that fits the request stands; else where
 * the rule does. */
const struct place *show_line(const struct rule *rule, const struct request *q);
/* What is asked for, in the policy's words, a command in its own; and as
 * members of an object: kind, pty, command or path, by, ref. */
int show_request(const struct request *q, struct buf *out);
void show_request_json(struct json *j, const struct request *q);
/* "allow", "approval", "deny"; "observed": no rule allows it, and it is let
 * through. */
const char *show_verdict(const struct decision *d);
/* "; with pty; limit duration 600s; 2 approvals from managers": what is
 * demanded and granted. */
int show_demands(
    const struct policy *p, const struct decision *d, struct buf *out);
/* Members of an object: verdict, rule, file, line, identity, demands. */
void show_decision_json(
    struct json *j, const struct request *q, const struct decision *d);

#endif
