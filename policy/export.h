/*
 * A loaded policy as JSON, with everything that another program needs to
 * decide as Postern does.  The format is doc/EXPORT.md's.
 */
#ifndef POSTERN_POLICY_EXPORT_H
#define POSTERN_POLICY_EXPORT_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct conditions;
struct item;
struct json;
struct limits;
struct policy;
struct repository;
struct rule;
struct run;
struct where;
struct slot;

#define EXPORT_VERSION 1
#define EXPORT_MAX (1024UL * 1024 * 1024)

int policy_export(const struct policy *p, struct buf *out);
/* One rule: its member of "rules" (export_rule.c). */
void export_limits(struct json *j, const struct limits *l);
void export_masks(struct json *j, const struct policy *p, const uint64_t *set);
void export_where(struct json *j, const struct where *w, size_t n);
void export_rule(
    struct json *j, const struct policy *p, const struct rule *rule);
/* A line's pattern: of a command, a path, a repository. */
void export_pattern(struct json *j, const struct run *run);
void export_item(struct json *j, const char *key, const struct item *it);
void export_repository(struct json *j, const struct repository *g);
/* Everything that a line says besides, without names and places, but with what
 * identities and people are. */
void export_terms(
    struct json *j, const struct policy *p, const struct run *run);
/* A variable of the job that a rule lets through. */
struct env_var;
void export_env(struct json *j, const struct env_var *e);
/* Who: an array of conditions. */
void export_conditions(struct json *j, const struct conditions *cs);
/* A slot as an array of pieces. */
void export_slot(struct json *j, const struct slot *slot);

#endif
