/*
 * What a policy defines and no rule uses.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/lint_unused.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/items.h"
#include "policy/model.h"
#include "policy/parse.h"

/* What some rule or block uses, by number. */
struct used {
	const struct policy *p;
	struct diags *d;
	bool *type, *program, *identity, *target, *people, *person, *issuer;
};

static void
use_slot(struct used *u, const struct piece *piece)
{
	for (size_t i = 0; i < u->p->ntype && piece->type.name != NULL; i++) {
		if (strcmp(u->p->type[i]->name, piece->type.name) == 0)
			u->type[i] = true;
	}
	for (size_t i = 0; piece->slot != NULL && i < piece->slot->npiece; i++)
		use_slot(u, &piece->slot->piece[i]);
}

static void
use_item(struct used *u, const struct item *it)
{
	const struct program *g;

	for (size_t i = 0; i < it->npiece; i++)
		use_slot(u, &it->piece[i]);
	if (it->npiece != 1 || it->piece[0].text == NULL)
		return;
	for (size_t i = 0; i < u->p->nprogram; i++) {
		g = u->p->program[i];
		if (strcmp(g->name, it->piece[0].text) == 0 ||
		    strcmp(g->path, it->piece[0].text) == 0)
			u->program[i] = true;
	}
}

static void
use_run(struct used *u, const struct run *run)
{
	for (; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nitem; i++)
			use_item(u, &run->item[i]);
		for (size_t i = 0; i < run->nassign; i++)
			use_item(u, &run->assign[i]);
		if (run->dir != NULL)
			use_item(u, run->dir);
	}
}

static void
use_rule(struct used *u, const struct rule *rule)
{
	for (size_t i = 0; i < rule->nrun; i++)
		use_run(u, rule->run[i]);
	for (size_t i = 0; i < rule->ntransfer; i++)
		use_item(u, &rule->transfer[i].under);
	for (size_t i = 0; i < rule->nrepository; i++)
		use_item(u, &rule->repository[i].path);
	for (size_t i = 0; i < rule->nenv; i++)
		use_item(u, &rule->env[i].value);
	if (rule->effect == EFFECT_DENY)
		return;
	for (size_t i = 0; i < u->p->nidentity; i++) {
		u->identity[i] |= rule->everyone;
		for (size_t k = 0; k < rule->nwho; k++)
			u->identity[i] |= rule->id[k] == i;
	}
	for (size_t i = 0; i < u->p->ntarget; i++) {
		for (size_t k = 0; k < rule->nwhere; k++)
			u->target[i] |=
			    where_has(&rule->where[k], u->p->target[i]);
	}
}

static void
use_people(struct used *u)
{
	const struct policy *p = u->p;

	for (size_t i = 0; i < p->npeople; i++) {
		for (size_t k = 0; k < p->napproval; k++)
			u->people[i] |= strcmp(p->approval[k]->pub.people,
					    p->people[i]->name) == 0;
		for (size_t k = 0; k < p->people[i]->n; k++) {
			for (size_t m = 0; m < p->nperson; m++)
				u->person[m] |=
				    strcmp(p->person[m]->name,
					p->people[i]->member[k].name) == 0;
		}
	}
	for (size_t i = 0; i < p->nissuer; i++) {
		for (size_t k = 0; k < p->nidentity; k++)
			u->issuer[i] |= p->identity[k]->issuer == p->issuer[i];
		for (size_t k = 0; k < p->nperson; k++) {
			for (size_t m = 0; m < p->person[k]->ntoken; m++)
				u->issuer[i] |= p->person[k]->token[m].issuer ==
						p->issuer[i];
		}
	}
}

#define UNUSED(what, n, used, v)                                               \
	for (size_t i = 0; i < (n); i++) {                                     \
		if (!(used)[i])                                                \
			policy_error(p, u->d, &(v)[i]->at,                     \
			    "warning: no rule uses the " what                  \
			    " `%s` [unused]",                                  \
			    (v)[i]->name);                                     \
	}

static void
say_unused(const struct used *u)
{
	const struct policy *p = u->p;

	UNUSED("type", p->ntype, u->type, p->type);
	UNUSED("program", p->nprogram, u->program, p->program);
	UNUSED("identity", p->nidentity, u->identity, p->identity);
	UNUSED("people", p->npeople, u->people, p->people);
	UNUSED("person", p->nperson, u->person, p->person);
	for (size_t i = 0; i < p->ntarget; i++) {
		if (!u->target[i])
			policy_error(p, u->d, &p->target[i]->at,
			    "warning: nothing is allowed on target `%s` "
			    "[unused]",
			    p->target[i]->pub.name);
	}
	for (size_t i = 0; i < p->nissuer; i++) {
		if (!u->issuer[i])
			policy_error(p, u->d, &p->issuer[i]->at,
			    "warning: nobody is from issuer `%s` [unused]",
			    p->issuer[i]->pub.name);
	}
}

int
lint_unused(const struct policy *p, struct diags *d)
{
	struct used u = { .p = p, .d = d };
	size_t n = p->ntype + p->nprogram + p->nidentity + p->ntarget +
		   p->npeople + p->nperson + p->nissuer;
	bool *all = calloc(n + 1, sizeof(*all));

	if (all == NULL)
		return ERR_NOMEM;
	u.type = all;
	u.program = u.type + p->ntype;
	u.identity = u.program + p->nprogram;
	u.target = u.identity + p->nidentity;
	u.people = u.target + p->ntarget;
	u.person = u.people + p->npeople;
	u.issuer = u.person + p->nperson;
	for (size_t i = 0; i < p->nrule; i++)
		use_rule(&u, p->rule[i]);
	use_people(&u);
	say_unused(&u);
	free(all);
	return 0;
}
