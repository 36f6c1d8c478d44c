/*
 * The second half of a load, for who there is: issuers, identities, persons.
 * What an issuer's preset knows about its tokens is checked here.
 */
#include "config.h"

#include "policy/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/preset.h"

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

/* What the issuer's tokens can never say is a mistake. */
static void
check_type(struct resolver *v, const struct preset_claim *claim,
    const struct condition *c, const struct claim_value *value)
{
	switch (claim->type) {
	case CLAIM_STRING:
	case CLAIM_LIST: /* said once, for the whole condition */
		return;
	case CLAIM_BOOL:
		if (strcmp(value->text, "true") != 0 &&
		    strcmp(value->text, "false") != 0)
			policy_error(v->p, v->d, &value->at,
			    "`%s` is \"true\" "
			    "or \"false\"",
			    c->claim);
		return;
	case CLAIM_INT:
		if (value->text[strspn(value->text, "0123456789")] != '\0')
			policy_error(v->p, v->d, &value->at,
			    "`%s` is a whole "
			    "number, as \"1201\"",
			    c->claim);
		return;
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
	const struct preset_claim *claim = preset_claim(row, c->claim);
	struct diag_near near = diag_near(c->claim);
	char text[NEAR_TEXT_MAX];

	if (!preset_has_claim(row, c->claim)) {
		for (size_t i = 0; row->claim[i].name != NULL; i++)
			diag_near_try(&near, row->claim[i].name);
		policy_error(v->p, v->d, &c->at, "tokens of the preset `%s` "
		    "have no claim `%.80s`%s", row->name, c->claim,
		    near_text(&near, text, sizeof(text)));
		return;
	}
	if (claim != NULL && claim->type == CLAIM_LIST) {
		policy_error(v->p, v->d, &c->at,
		    "`%s` is a list, and no "
		    "condition can be on it",
		    c->claim);
		return;
	}
	for (size_t i = 0; i < c->nvalue; i++) {
		check_value(v, id, c, &c->value[i]);
		if (claim != NULL)
			check_type(v, claim, c, &c->value[i]);
	}
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
	id->issuer = resolve_find(v, &v->p->issuers, &id->from, "issuer");
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

int
resolve_identities(struct resolver *v)
{
	check_issuers(v);
	for (size_t i = 0; i < v->p->nidentity; i++)
		resolve_identity(v, v->p->identity[i]);
	return sort_identities(v->p);
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

	token->issuer = resolve_find(v, &v->p->issuers, &token->from, "issuer");
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
		a->issuer = resolve_find(v, &v->p->issuers, &a->from, "issuer");
		if ((r = claim_once(v, seen, person, &a->id.at, "actor",
		    a->from.name, a->id.name)) != 0)
			return r;
	}
	return 0;
}

int
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
			(void)resolve_find(v, &p->persons, &p->people[i]->member[k],
			    "person");
	}
	for (size_t i = 0; i < p->napproval; i++) {
		a = p->approval[i];
		people = resolve_find(v, &p->peoples, &a->from, "list of people");
		if (people != NULL && people->n < a->pub.n)
			policy_error(v->p, v->d, &a->from.at, "there are %zu of "
			    "`%s`, so %u approvals can never come", people->n,
			    people->name, a->pub.n);
	}
	return 0;
}
