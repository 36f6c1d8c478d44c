/*
 * The words of a line: every pattern of one word that it has, wherever it
 * stands.
 */
#ifndef POSTERN_POLICY_ITEMS_H
#define POSTERN_POLICY_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct item;
struct piece;
struct repository;
struct rule;
struct run;

#define ITEMS_FLAT_MAX 64

/* Non-zero ends the walk and is its result. */
typedef int (*item_fn)(void *arg, const struct item *it);

/* The folder, the variables and the words of all programs. */
int items_of_run(const struct run *run, item_fn fn, void *arg);
/* The path, and each ref that has slots. */
int items_of_repository(const struct repository *g, item_fn fn, void *arg);
/* All lines of the rule, but not its `env`. */
int items_of_rule(const struct rule *rule, item_fn fn, void *arg);

/* The words that can be a program's place-th, from 0: a set of RUN_BITS words.
 */
void items_at(const struct run *run, size_t place, uint64_t *set);
/* A program's variables in order of their names, at most COMMAND_ASSIGN_MAX. */
size_t items_by_name(const struct run *run, const struct item **out);

/* The literals and slots of a word, those within a git-ref as well, at most
 * ITEMS_FLAT_MAX; false: more. */
bool item_flatten(const struct item *it, const struct piece **out, size_t *n);
bool item_has_claim(const struct item *it);
/* Is it one literal? */
bool item_is_text(const struct item *it);

#endif
