/*
 * A loaded policy as JSON, with everything that another program needs to
 * decide as Postern does.  The format is doc/EXPORT.md's.
 */
#ifndef POSTERN_POLICY_EXPORT_H
#define POSTERN_POLICY_EXPORT_H

struct buf;
struct json;
struct policy;
struct rule;
struct slot;

#define EXPORT_VERSION 1
#define EXPORT_MAX (1024UL * 1024 * 1024)

int policy_export(const struct policy *p, struct buf *out);
/* One rule: its member of "rules" (export_rule.c). */
void export_rule(
    struct json *j, const struct policy *p, const struct rule *rule);
/* A slot as an array of pieces. */
void export_slot(struct json *j, const struct slot *slot);

#endif
