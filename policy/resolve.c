/*
 * Names become things, and the index of rules is built.  Runs at load, after
 * every file has been read; an error here refuses the whole policy.
 */
#include "config.h"

#include "policy/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/preset.h"

#define INDEX_VALUES_MAX 64 /* an enum of more makes its run wild */

struct resolver {
	struct policy *p;
	struct diags *d;
};

/* Looks a name up; an unknown one is reported with the nearest. */
static void *
find(struct resolver *v, const struct dict *dict, const struct ref *ref,
    const char *what)
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

/* -- issuers and identities ------------------------------------------------ */

static bool
share_audience(const struct issuer *a, const struct issuer *b)
{
	for (size_t i = 0; i < a->naudience; i++) {
		for (size_t j = 0; j < b->naudience; j++) {
			if (strcmp(a->audience[i], b->audience[j]) == 0)
				return true;
		}
	}
	return false;
}

/* A token must belong to one block and no other. */
static void
check_issuers(struct resolver *v)
{
	const struct issuer_full *a, *b;

	for (size_t i = 0; i < v->p->nissuer; i++) {
		for (size_t j = 0; j < i; j++) {
			a = v->p->issuer[i];
			b = v->p->issuer[j];
			if (a->pub.url == NULL || b->pub.url == NULL ||
			    strcmp(a->pub.url, b->pub.url) != 0 ||
			    !share_audience(&a->pub, &b->pub))
				continue;
			policy_error(v->p, v->d, &a->at, "issuer `%s` has the "
			    "same url as `%s` (%s:%u:%u) and shares an audience "
			    "with it", a->pub.name, b->pub.name,
			    v->p->source[b->at.pos.file].name,
			    b->at.pos.line, b->at.pos.col);
		}
	}
}

/* One value of a condition. */
static void
check_value(struct resolver *v, const struct identity *id,
    const struct condition *c, const struct claim_value *value)
{
	const struct preset *row = id->issuer->preset;
	const struct risky *risky = preset_risky_value(row, c->claim,
	    value->text);

	if (value->glob && preset_is_id(row, c->claim))
		policy_error(v->p, v->d, &value->at, "`%s` is an id: only `=` "
		    "and the whole value match it", c->claim);
	if (risky != NULL &&
	    (preset_risky_word(row, risky->word) & ~id->opened) != 0)
		policy_error(v->p, v->d, &value->at, "this can never match: %s;"
		    " if that is meant, say `allow-risky %s`", risky->why,
		    risky->word);
}

static void
check_condition(struct resolver *v, const struct identity *id,
    const struct condition *c)
{
	const struct preset *row = id->issuer->preset;
	struct diag_near near = diag_near(c->claim);
	char text[NEAR_TEXT_MAX];

	if (!preset_has_claim(row, c->claim)) {
		for (size_t i = 0; row->claim[i] != NULL; i++)
			diag_near_try(&near, row->claim[i]);
		policy_error(v->p, v->d, &c->at, "tokens of the preset `%s` "
		    "have no claim `%.80s`%s", row->name, c->claim,
		    near_text(&near, text, sizeof(text)));
		return;
	}
	for (size_t i = 0; i < c->nvalue; i++)
		check_value(v, id, c, &c->value[i]);
}

/* Every value that the condition lets through is one, whole and not "". */
static bool
is_exact(const struct condition *c)
{
	for (size_t i = 0; i < c->nvalue; i++) {
		if (c->value[i].glob || c->value[i].text[0] == '\0')
			return false;
	}
	return c->kind == CONDITION_VALUES;
}

static bool
is_pinned(const struct identity *id, const struct preset *row)
{
	const struct condition *c;

	for (size_t i = 0; i < id->cond.n; i++) {
		c = &id->cond.v[i];
		for (size_t k = 0; row->pin[k] != NULL; k++) {
			if (strcmp(c->claim, row->pin[k]) == 0 && is_exact(c))
				return true;
		}
	}
	return false;
}

static bool
has_values(const struct identity *id)
{
	for (size_t i = 0; i < id->cond.n; i++) {
		if (id->cond.v[i].kind == CONDITION_VALUES)
			return true;
	}
	return false;
}

static void
say_no_pin(struct resolver *v, const struct identity *id,
    const struct preset *row)
{
	char text[256] = "";
	size_t n = 0;

	for (size_t i = 0; row->pin[i] != NULL && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
		    i == 0 ? "" : " nor ", row->pin[i]);
	policy_error(v->p, v->d, &id->at, "identity `%s` pins %s%s: this issuer "
	    "serves strangers, too, and names can be taken over", id->name,
	    row->pin[1] == NULL ? "no " : "neither ", text);
}

/* The words of allow-risky, as bits of the preset's table. */
static void
open_risky(struct resolver *v, struct identity *id)
{
	const struct preset *row = id->issuer->preset;
	struct diag_near near;
	char text[NEAR_TEXT_MAX];
	uint64_t bits;

	for (size_t i = 0; i < id->nrisky; i++) {
		bits = preset_risky_word(row, id->risky[i].name);
		if (bits == 0) {
			near = diag_near(id->risky[i].name);
			for (const struct risky *k = row->risky; k != NULL &&
			    k->word != NULL; k++)
				diag_near_try(&near, k->word);
			policy_error(v->p, v->d, &id->risky[i].at, "the preset "
			    "`%s` knows no danger `%.80s`%s", row->name,
			    id->risky[i].name, near_text(&near, text,
			    sizeof(text)));
		} else if ((bits & id->opened) != 0) {
			policy_error(v->p, v->d, &id->risky[i].at, "`%s` is "
			    "written twice", id->risky[i].name);
		}
		id->opened |= bits;
	}
}

static void
resolve_identity(struct resolver *v, struct identity *id)
{
	const struct preset *row;

	if (id->from.name == NULL)
		return;
	id->issuer = find(v, &v->p->issuers, &id->from, "issuer");
	if (id->issuer == NULL || (row = id->issuer->preset) == NULL)
		return;
	if (strcmp(row->name, "people") == 0)
		policy_error(v->p, v->d, &id->from.at, "issuer `%s` speaks for "
		    "people: they approve, and jobs are identities",
		    id->issuer->pub.name);
	open_risky(v, id);
	for (size_t i = 0; i < id->cond.n; i++)
		check_condition(v, id, &id->cond.v[i]);
	if (!has_values(id))
		policy_error(v->p, v->d, &id->at, "identity `%s` has no `claim`"
		    "%s: everybody with a token of `%s` would be it", id->name,
		    id->cond.n == 0 ? "" : " with a value",
		    id->issuer->pub.name);
	else if (id->issuer->pub.url != NULL &&
	    preset_is_shared(row, id->issuer->pub.url) && !is_pinned(id, row))
		say_no_pin(v, id, row);
}

static int
by_name(const void *a, const void *b)
{
	const struct identity *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int
sort_identities(struct policy *p)
{
	p->by_name = arena_get(p->arena, p->nidentity * sizeof(*p->by_name));
	if (p->by_name == NULL)
		return ERR_NOMEM;
	if (p->nidentity == 0)
		return 0;
	memcpy(p->by_name, p->identity, p->nidentity * sizeof(*p->by_name));
	qsort(p->by_name, p->nidentity, sizeof(*p->by_name), by_name);
	return 0;
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
		id = find(v, &v->p->identities, &rule->who[i], "identity");
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
		w->target = find(v, &v->p->targets, &w->ref, "target");
		if (w->target != NULL && w->target->pub.login != NULL &&
		    w->login != NULL && !has_login(w->target, w->login))
			policy_error(v->p, v->d, &w->ref.at, "target `%s` has "
			    "no login `%s`: its block says none of that name",
			    w->ref.name, w->login);
		return;
	}
	w->group = find(v, &v->p->groups, &w->ref, "group");
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
		(void)find(v, &v->p->types, ref, "type or slot");
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

	for (size_t i = 0; i < run->nitem; i++) {
		it = &run->item[i];
		if (!bit_get(run->first, i) || it->piece[0].text != NULL ||
		    it->piece[0].slot == NULL ||
		    it->piece[0].slot->kind == SLOT_ENUM)
			continue;
		policy_error(v->p, v->d, &it->at, "the first word of an allow "
		    "rule says which program runs: write it out");
	}
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
	for (size_t i = 0; i < rule->nrun; i++) {
		for (size_t k = 0; k < rule->run[i]->nitem; k++)
			resolve_item(v, rule, &rule->run[i]->item[k]);
		if (rule->effect == EFFECT_ALLOW)
			check_first(v, rule->run[i]);
	}
	return 0;
}

/* -- people ------------------------------------------------------------------ */

/* Two persons behind one key or actor would be one who approves twice. */
static int
claim_once(struct resolver *v, struct dict *seen, const struct person *person,
    const struct place *at, const char *what, const char *issuer,
    const char *value)
{
	const struct person *other;
	char key[8192];
	char *copy;
	int r;

	(void)snprintf(key, sizeof(key), "%s %s %s", what, issuer, value);
	if ((copy = arena_str(v->p->arena, key, strlen(key))) == NULL)
		return ERR_NOMEM;
	other = dict_get(seen, copy);
	r = dict_put(seen, v->p->arena, copy, (void *)(uintptr_t)person);
	if (r != ERR_EXISTS)
		return r;
	policy_error(v->p, v->d, at, "person `%s` has the same %s as `%s`",
	    person->name, what, other->name);
	return 0;
}

static void
resolve_token(struct resolver *v, struct token *token)
{
	const struct preset *row;
	bool exact = false;

	token->issuer = find(v, &v->p->issuers, &token->from, "issuer");
	if (token->issuer == NULL || (row = token->issuer->preset) == NULL)
		return;
	for (size_t i = 0; i < token->cond.n; i++) {
		exact = exact || is_exact(&token->cond.v[i]);
		if (!preset_has_claim(row, token->cond.v[i].claim))
			policy_error(v->p, v->d, &token->cond.v[i].at, "tokens "
			    "of the preset `%s` have no claim `%.80s`",
			    row->name, token->cond.v[i].claim);
	}
	if (!exact)
		policy_error(v->p, v->d, &token->from.at, "a person's token "
		    "needs a `claim` with a whole value, as its `sub`");
}

static int
resolve_person(struct resolver *v, struct person *person, struct dict *seen)
{
	struct actor *a;
	char blob[4097];
	const char *s;
	int r;

	for (size_t i = 0; i < person->ntoken; i++)
		resolve_token(v, &person->token[i]);
	for (size_t i = 0; i < person->nkey; i++) {
		/* without the comment */
		s = strchr(person->key[i], ' ') + 1;
		(void)snprintf(blob, sizeof(blob), "%.*s",
		    (int)strcspn(s, " "), s);
		if ((r = claim_once(v, seen, person, &person->at, "key", "",
		    blob)) != 0)
			return r;
	}
	for (size_t i = 0; i < person->nactor; i++) {
		a = &person->actor[i];
		a->issuer = find(v, &v->p->issuers, &a->from, "issuer");
		if ((r = claim_once(v, seen, person, &a->id.at, "actor",
		    a->from.name, a->id.name)) != 0)
			return r;
	}
	return 0;
}

static int
resolve_people(struct resolver *v)
{
	const struct policy *p = v->p;
	const struct approval_full *a;
	const struct people *people;
	struct dict seen = { 0 };
	int r;

	for (size_t i = 0; i < p->nperson; i++) {
		if ((r = resolve_person(v, p->person[i], &seen)) != 0)
			return r;
	}
	for (size_t i = 0; i < p->npeople; i++) {
		for (size_t k = 0; k < p->people[i]->n; k++)
			(void)find(v, &p->persons, &p->people[i]->member[k],
			    "person");
	}
	for (size_t i = 0; i < p->napproval; i++) {
		a = p->approval[i];
		people = find(v, &p->peoples, &a->from, "list of people");
		if (people != NULL && people->n < a->pub.n)
			policy_error(v->p, v->d, &a->from.at, "there are %zu of "
			    "`%s`, so %u approvals can never come", people->n,
			    people->name, a->pub.n);
	}
	return 0;
}

/* -- the index --------------------------------------------------------------- */

static int
bucket_add(struct policy *p, struct bucket *b, struct run *run)
{
	struct run **v;

	if (b->n > 0 && b->run[b->n - 1] == run)
		return 0; /* two of its first words are one program */
	v = arena_extend(p->arena, b->run, b->n, &b->cap, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	b->run = v;
	b->run[b->n++] = run;
	return 0;
}

static int
index_word(struct policy *p, const char *word, struct run *run)
{
	const struct program *program = dict_get(&p->program_words, word);
	const char *key = program == NULL ? word : program->path;
	struct bucket *b = dict_get(&p->index, key);
	int r;

	if (b == NULL) {
		if ((b = arena_get(p->arena, sizeof(*b))) == NULL)
			return ERR_NOMEM;
		if ((r = dict_put(&p->index, p->arena, key, b)) != 0)
			return r;
	}
	return bucket_add(p, b, run);
}

/* Can every first word of the run be told beforehand? */
static bool
is_indexable(const struct run *run)
{
	const struct item *it;

	for (size_t i = 0; i < run->nitem; i++) {
		it = &run->item[i];
		if (!bit_get(run->first, i) ||
		    (it->npiece == 1 && it->piece[0].text != NULL))
			continue;
		if (it->npiece > 1 || it->piece[0].slot->kind != SLOT_ENUM ||
		    it->piece[0].slot->nvalue > INDEX_VALUES_MAX)
			return false;
	}
	return true;
}

static int
index_run(struct policy *p, struct run *run)
{
	const struct piece *first;
	int r;

	if (!is_indexable(run))
		return bucket_add(p, &p->wild, run);
	for (size_t i = 0; i < run->nitem; i++) {
		if (!bit_get(run->first, i))
			continue;
		first = &run->item[i].piece[0];
		if (first->text != NULL) {
			if ((r = index_word(p, first->text, run)) != 0)
				return r;
			continue;
		}
		for (size_t k = 0; k < first->slot->nvalue; k++) {
			if ((r = index_word(p, first->slot->value[k],
			    run)) != 0)
				return r;
		}
	}
	return 0;
}

static int
build_index(struct policy *p)
{
	int r;

	for (size_t i = 0; i < p->nrule; i++) {
		for (size_t k = 0; k < p->rule[i]->nrun; k++) {
			if ((r = index_run(p, p->rule[i]->run[k])) != 0)
				return r;
		}
	}
	return 0;
}

static void
resolve_test(struct resolver *v, struct test *t)
{
	(void)find(v, &v->p->identities, &t->as, "identity");
	resolve_where(v, &t->where);
	for (size_t i = 0; i < t->nexpect; i++) {
		if (t->expect[i].by == BY_RULE)
			(void)find(v, &v->p->rules, &t->expect[i].rule,
			    "rule");
	}
}

int
policy_resolve(struct policy *p, struct diags *d)
{
	struct resolver v = { p, d };
	int r;

	check_issuers(&v);
	for (size_t i = 0; i < p->nidentity; i++)
		resolve_identity(&v, p->identity[i]);
	if ((r = resolve_people(&v)) != 0)
		return r;
	for (size_t i = 0; i < p->ntype; i++)
		resolve_slot(&v, &p->type[i]->slot);
	for (size_t i = 0; i < p->nrule; i++) {
		if ((r = resolve_rule(&v, p->rule[i])) != 0)
			return r;
	}
	for (size_t i = 0; i < p->ntest; i++)
		resolve_test(&v, p->test[i]);
	if (diags_count(d) > 0)
		return 0;
	if ((r = sort_identities(p)) != 0)
		return r;
	return build_index(p);
}
