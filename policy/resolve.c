/*
 * Names become things, and the index of rules is built.  Runs at load, after
 * every file has been read; an error here refuses the whole policy.
 */
#include "config.h"

#include "policy/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/index.h"
#include "policy/parse.h"
#include "policy/preset.h"
#include "policy/resolver.h"

void *
resolve_find(struct resolver *v, const struct dict *dict,
    const struct ref *ref, const char *what)
{
	struct diag_near near = diag_near(ref->name);
	void *thing = dict_get(dict, ref->name);
	char text[NEAR_TEXT_MAX];
	size_t tried = 0;

	if (thing != NULL)
		return thing;
	for (size_t i = 0; i < dict->size && tried < PARSE_NEAR_MAX; i++) {
		if (dict->e[i].key == NULL)
			continue;
		diag_near_try(&near, dict->e[i].key);
		tried++;
	}
	policy_error(v->p, v->d, &ref->at, "there is no %s `%.80s`%s", what,
	    ref->name, near_text(&near, text, sizeof(text)));
	return NULL;
}

/* -- rules ------------------------------------------------------------------ */

static int
ref_name(const void *a, const void *b)
{
	const struct ref *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int
resolve_who(struct resolver *v, struct rule *rule)
{
	const struct identity *id;
	size_t n = 0;

	rule->id = arena_get(v->p->arena, rule->nwho * sizeof(*rule->id));
	if (rule->id == NULL)
		return ERR_NOMEM;
	if (rule->nwho > 1)
		qsort(rule->who, rule->nwho, sizeof(*rule->who), ref_name);
	for (size_t i = 0; i < rule->nwho; i++) {
		id = resolve_find(v, &v->p->identities, &rule->who[i], "identity");
		if (id != NULL)
			rule->id[n++] = id->index;
	}
	rule->nwho = n;
	return 0;
}

static bool
has_login(const struct target_full *t, const char *login)
{
	const char *out;

	return t->pub.login != NULL && target_login(&t->pub, login, &out) == 0;
}

static void
resolve_where(struct resolver *v, struct where *w)
{
	size_t i;

	if (w->kind == WHERE_ALL)
		return;
	if (w->kind == WHERE_TARGET) {
		w->target = resolve_find(v, &v->p->targets, &w->ref, "target");
		if (w->target != NULL && w->target->pub.login != NULL &&
		    w->login != NULL && !has_login(w->target, w->login))
			policy_error(v->p, v->d, &w->ref.at, "target `%s` has "
			    "no login `%s`: its block says none of that name",
			    w->ref.name, w->login);
		return;
	}
	w->group = resolve_find(v, &v->p->groups, &w->ref, "group");
	if (w->group == NULL || w->login == NULL)
		return;
	for (i = 0; i < w->group->n; i++) {
		if (has_login(w->group->member[i], w->login))
			return;
	}
	policy_error(v->p, v->d, &w->ref.at, "no target of group `%s` has a "
	    "login `%s`", w->ref.name, w->login);
}

/* A slot that cannot stand in a git-ref. */
static bool
fits_ref(const struct slot *slot)
{
	return slot->kind == SLOT_INT || slot->kind == SLOT_ENUM ||
	    slot->kind == SLOT_SEMVER || slot->kind == SLOT_SHA ||
	    slot->kind == SLOT_CLAIM;
}

static struct slot *
find_type(struct resolver *v, const struct ref *ref)
{
	struct diag_near near = diag_near(ref->name);
	struct type *type = dict_get(&v->p->types, ref->name);
	char text[NEAR_TEXT_MAX];

	if (type != NULL)
		return &type->slot;
	for (size_t i = 0; slot_words[i] != NULL; i++)
		diag_near_try(&near, slot_words[i]);
	if (near.best == NULL) {
		(void)resolve_find(v, &v->p->types, ref, "type or slot");
		return NULL;
	}
	policy_error(v->p, v->d, &ref->at, "there is no type or slot `%.80s`%s",
	    ref->name, near_text(&near, text, sizeof(text)));
	return NULL;
}

/* The types within a git-ref. */
static void
resolve_slot(struct resolver *v, struct slot *slot)
{
	struct piece *piece;

	for (size_t i = 0; i < slot->npiece; i++) {
		piece = &slot->piece[i];
		if (piece->type.name != NULL)
			piece->slot = find_type(v, &piece->type);
		if (piece->slot != NULL && !fits_ref(piece->slot))
			policy_error(v->p, v->d, piece->type.name != NULL ?
			    &piece->type.at : &piece->slot->at, "a git-ref "
			    "holds int, enum, semver, sha and claim, and types "
			    "of them");
	}
}

/* Claims that the tokens of the rule's identities never have. */
static void
check_claim(struct resolver *v, const struct rule *rule,
    const struct place *at, const char *claim)
{
	const struct identity *id;

	for (size_t i = 0; i < rule->nwho; i++) {
		id = v->p->identity[rule->id[i]];
		if (id->issuer == NULL || id->issuer->preset == NULL ||
		    preset_has_claim(id->issuer->preset, claim))
			continue;
		policy_error(v->p, v->d, at, "tokens of the preset `%s` have no "
		    "claim `%.80s`, and identity `%s` is from it",
		    id->issuer->preset->name, claim, id->name);
		return;
	}
}

static void
check_claims(struct resolver *v, const struct rule *rule,
    const struct place *at, const struct slot *slot)
{
	if (slot->kind == SLOT_CLAIM)
		check_claim(v, rule, at, slot->pattern);
	for (size_t i = 0; i < slot->npiece; i++) {
		if (slot->piece[i].slot != NULL &&
		    slot->piece[i].slot->kind == SLOT_CLAIM)
			check_claim(v, rule, at,
			    slot->piece[i].slot->pattern);
	}
}

/* A value that begins with `-` could never match in an allow rule. */
static void
check_values(struct resolver *v, const struct item *it, const struct slot *slot)
{
	if (!it->no_dash || slot->kind != SLOT_ENUM)
		return;
	for (size_t i = 0; i < slot->nvalue; i++) {
		if (slot->value[i][0] != '-')
			continue;
		policy_error(v->p, v->d, &it->at, "a word from a slot never "
		    "begins with `-`: write `%.80s` out, as in ( %.80s | ... )",
		    slot->value[i], slot->value[i]);
		return;
	}
}

static void
resolve_item(struct resolver *v, const struct rule *rule, struct item *it)
{
	struct piece *piece;

	for (size_t i = 0; i < it->npiece; i++) {
		piece = &it->piece[i];
		if (piece->type.name != NULL)
			piece->slot = find_type(v, &piece->type);
		else if (piece->text == NULL)
			resolve_slot(v, piece->slot);
		if (piece->text != NULL || piece->slot == NULL)
			continue;
		if (i == 0)
			check_values(v, it, piece->slot);
		check_claims(v, rule, &it->at, piece->slot);
		/* So that a path is matched once a word, and not from every
		 * place in it. */
		if (piece->slot->kind == SLOT_PATH && (i + 1 < it->npiece ||
		    i > 1 || (i == 1 && it->piece[0].text == NULL)))
			policy_error(v->p, v->d, &it->at, "a path ends its word,"
			    " and only a literal stands before it");
	}
}

/* An allow rule must say what program runs. */
static void
check_first(struct resolver *v, const struct run *run)
{
	const struct item *it;
	size_t len;

	for (size_t i = 0; i < run->nitem; i++) {
		it = &run->item[i];
		if (!bit_get(run->first, i))
			continue;
		if (it->piece[0].text != NULL &&
		    parse_is_assign(it->piece[0].text, &len)) {
			policy_error(v->p, v->d, &it->at,
			    "variables stand in "
			    "front of the program, outside of groups: "
			    "run %.*s=... /the/program",
			    (int)len, it->piece[0].text);
			continue;
		}
		if (run->rule->effect == EFFECT_DENY ||
		    it->piece[0].text != NULL || it->piece[0].slot == NULL ||
		    it->piece[0].slot->kind == SLOT_ENUM)
			continue;
		policy_error(v->p, v->d, &it->at, "the first word of an allow "
		    "rule says which program runs: write it out");
	}
}

static bool
is_program(const struct policy *p, const char *word)
{
	return *word == '/' || dict_get(&p->program_words, word) != NULL;
}

/* The first text of the item that names no program; NULL: none. */
static const char *
no_program(const struct policy *p, const struct item *it)
{
	const struct slot *slot = it->piece[0].slot;

	if (it->piece[0].text != NULL)
		return is_program(p, it->piece[0].text) ? NULL
							: it->piece[0].text;
	for (size_t i = 0; slot != NULL && i < slot->nvalue; i++) {
		if (!is_program(p, slot->value[i]))
			return slot->value[i];
	}
	return NULL;
}

/* A `|` that was meant as a choice shows in what stands beside it. */
static void
check_pipeline(struct resolver *v, const struct run *run)
{
	const char *word;

	for (; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nitem; i++) {
			if (!bit_get(run->first, i) ||
			    (word = no_program(v->p, &run->item[i])) == NULL)
				continue;
			policy_error(v->p, v->d, &run->item[i].at,
			    "each side "
			    "of a `|` begins with a program or an absolute "
			    "path, and `%.80s` is neither; did you mean a "
			    "choice: ( a | b )?",
			    word);
			return;
		}
	}
}

static void
check_dir(struct resolver *v, const struct item *dir)
{
	if (dir->piece[0].slot == NULL || dir->piece[0].slot->kind == SLOT_PATH)
		return;
	policy_error(v->p, v->d, &dir->at,
	    "the folder is a path, as "
	    "</srv/app/**>, or a type of one");
}

static void
resolve_run(struct resolver *v, const struct rule *rule, struct run *run)
{
	if (run->dir != NULL) {
		resolve_item(v, rule, run->dir);
		check_dir(v, run->dir);
	}
	if (run->next != NULL)
		check_pipeline(v, run);
	for (; run != NULL; run = run->next) {
		for (size_t k = 0; k < run->nassign; k++)
			resolve_item(v, rule, &run->assign[k]);
		for (size_t k = 0; k < run->nitem; k++)
			resolve_item(v, rule, &run->item[k]);
		check_first(v, run);
	}
}

/* -- files, repositories ----------------------------------------------------
 */

static bool
fits_path(const struct slot *slot)
{
	for (size_t i = 0; i < slot->nvalue; i++) {
		if (strchr(slot->value[i], '/') != NULL)
			return false;
	}
	return slot->kind == SLOT_INT || slot->kind == SLOT_ENUM ||
	       slot->kind == SLOT_SEMVER || slot->kind == SLOT_SHA ||
	       slot->kind == SLOT_HOST || slot->kind == SLOT_CLAIM;
}

static void
resolve_path(struct resolver *v, const struct rule *rule, struct item *it)
{
	resolve_item(v, rule, it);
	for (size_t i = 0; i < it->npiece; i++) {
		if (it->piece[i].slot != NULL && !fits_path(it->piece[i].slot))
			policy_error(v->p, v->d, &it->at,
			    "a part of a path "
			    "holds int, enum, semver, sha, host or claim, and "
			    "no /");
	}
}

static void
resolve_access(struct resolver *v, struct rule *rule)
{
	struct repository *repo;

	for (size_t i = 0; i < rule->ntransfer; i++) {
		rule->transfer[i].rule = rule;
		resolve_path(v, rule, &rule->transfer[i].under);
	}
	for (size_t i = 0; i < rule->nrepository; i++) {
		repo = &rule->repository[i];
		resolve_path(v, rule, &repo->path);
		for (size_t k = 0; k < repo->nref; k++) {
			if (repo->ref[k].slot == NULL)
				continue;
			resolve_slot(v, repo->ref[k].slot);
			check_claims(v, rule, &repo->at, repo->ref[k].slot);
		}
	}
	for (size_t i = 0; i < rule->nenv; i++)
		resolve_item(v, rule, &rule->env[i].value);
}

/* What the rule does not say itself, the defaults say. */
static void
resolve_demands(const struct policy *p, struct rule *rule)
{
	struct limits *l = &rule->limit;
	const struct limits *d = &p->limit;

	if (rule->effect == EFFECT_DENY)
		return;
	l->duration_s = l->duration_s == 0 ? d->duration_s : l->duration_s;
	l->output = l->output == 0 ? d->output : l->output;
	l->concurrent = l->concurrent == 0 ? d->concurrent : l->concurrent;
	if (l->rate == 0) {
		l->rate = d->rate;
		l->rate_per_s = d->rate_per_s;
	}
	for (size_t i = 0; i < DECISION_MASKS_MAX / 64; i++)
		rule->masks[i] |= p->masks[i];
}

static int
resolve_rule(struct resolver *v, struct rule *rule)
{
	int r;

	resolve_demands(v->p, rule);
	if ((r = resolve_who(v, rule)) != 0)
		return r;
	for (size_t i = 0; i < rule->nwhere; i++)
		resolve_where(v, &rule->where[i]);
	for (size_t i = 0; i < rule->nrun; i++)
		resolve_run(v, rule, rule->run[i]);
	resolve_access(v, rule);
	return 0;
}

/* -- programs ---------------------------------------------------------------
 */

static bool
place_overlaps(const struct where *a, const struct where *b)
{
	const struct where *g = a->kind == WHERE_GROUP ? a : b;
	const struct where *other = g == a ? b : a;

	if (a->kind == WHERE_ALL || b->kind == WHERE_ALL)
		return true;
	if (g->kind != WHERE_GROUP)
		return a->target != NULL && a->target == b->target;
	for (size_t i = 0; g->group != NULL && i < g->group->n; i++) {
		if (where_has(other, g->group->member[i]))
			return true;
	}
	return false;
}

static void
check_programs(struct resolver *v, const struct program *a,
    const struct program *b, const char *what)
{
	for (size_t i = 0; i < a->nwhere; i++) {
		for (size_t k = 0; k < b->nwhere; k++) {
			if (!place_overlaps(&a->where[i], &b->where[k]))
				continue;
			policy_error(v->p, v->d, &a->where[i].ref.at,
			    "program "
			    "`%s` has the %s of `%s` at %s:%u:%u, and both are "
			    "for one target",
			    a->name, what, b->name,
			    v->p->source[b->at.pos.file].name, b->at.pos.line,
			    b->at.pos.col);
			return;
		}
	}
}

static void
resolve_programs(struct resolver *v)
{
	struct program *g;

	for (size_t i = 0; i < v->p->nprogram; i++) {
		g = v->p->program[i];
		for (size_t k = 0; k < g->nwhere; k++)
			resolve_where(v, &g->where[k]);
	}
	for (size_t i = 0; i < v->p->nprogram; i++) {
		g = v->p->program[i];
		for (const struct program *o = g->same_name; o != NULL;
		     o = o->same_name)
			check_programs(v, o, g, "name");
		for (const struct program *o = g->same_path; o != NULL;
		     o = o->same_path)
			check_programs(v, o, g, "path");
	}
}

static void
resolve_test(struct resolver *v, struct test *t)
{
	(void)resolve_find(v, &v->p->identities, &t->as, "identity");
	resolve_where(v, &t->where);
	for (size_t i = 0; i < t->nexpect; i++) {
		if (t->expect[i].by == BY_RULE)
			(void)resolve_find(v, &v->p->rules, &t->expect[i].rule,
			    "rule");
	}
}

int
policy_resolve(struct policy *p, struct diags *d)
{
	struct resolver v = { p, d };
	int r;

	if ((r = resolve_identities(&v)) != 0 || (r = resolve_people(&v)) != 0)
		return r;
	for (size_t i = 0; i < p->ntype; i++)
		resolve_slot(&v, &p->type[i]->slot);
	resolve_programs(&v);
	for (size_t i = 0; i < p->nrule; i++) {
		if ((r = resolve_rule(&v, p->rule[i])) != 0)
			return r;
	}
	for (size_t i = 0; i < p->ntest; i++)
		resolve_test(&v, p->test[i]);
	if (diags_count(d) > 0)
		return 0;
	return index_build(p);
}
