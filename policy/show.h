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
struct run;

/* "FILE:LINE" */
int show_place(const struct policy *p, const struct place *at, struct buf *out);
int show_run_place(
    const struct policy *p, const struct run *run, struct buf *out);
/* The text of a stretch, in one line. */
int show_source(
    const struct policy *p, const struct place *at, struct buf *out);
/* The first line of the rule that fits the request; NULL: none. */
const struct run *show_run(const struct rule *rule, const struct request *q);
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
