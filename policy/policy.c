/*
 * Looking things up in a loaded policy, and matching a session's claims.  Used
 * by policy and the command line tools; claims were verified, but their text
 * is the issuer's.
 */
#include "config.h"

#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/claims.h"
#include "policy/glob.h"
#include "policy/model.h"
#include "policy/preset.h"

#define GLOB_SEPARATORS "/:" /* `*` in a claim stops there */

void
policy_free(struct policy *p)
{
	if (p != NULL)
		arena_free(p->arena); /* p itself lies in it */
}

int
policy_source(const struct policy *p, size_t i, const char **name,
    const char **text, size_t *len)
{
	if (i >= p->nsource)
		return ERR_NOTFOUND;
	*name = p->source[i].name;
	*text = p->source[i].text;
	*len = p->source[i].len;
	return 0;
}

const struct issuer *
policy_issuer(const struct policy *p, size_t i)
{
	return i < p->nissuer ? &p->issuer[i]->pub : NULL;
}

size_t
policy_nissuers(const struct policy *p)
{
	return p->nissuer;
}

const struct issuer *
policy_issuer_find(const struct policy *p, const char *name)
{
	const struct issuer_full *is = dict_get(&p->issuers, name);

	return is == NULL ? NULL : &is->pub;
}

const struct target *
policy_target(const struct policy *p, size_t i)
{
	return i < p->ntarget ? &p->target[i]->pub : NULL;
}

size_t
policy_ntargets(const struct policy *p)
{
	return p->ntarget;
}

const struct target *
policy_target_find(const struct policy *p, const char *name)
{
	const struct target_full *t = dict_get(&p->targets, name);

	return t == NULL ? NULL : &t->pub;
}

int
target_login(const struct target *t, const char *login, const char **out)
{
	if (*login == '\0' || strcmp(login, t->login) == 0) {
		*out = t->login;
		return 0;
	}
	for (size_t i = 0; i < t->nextra_login; i++) {
		if (strcmp(login, t->extra_login[i]) == 0) {
			*out = t->extra_login[i];
			return 0;
		}
	}
	return ERR_NOTFOUND;
}

int
target_principal(const struct target *t, const char *login, char *dst,
    size_t dstsize)
{
	const char *known;
	int n, r;

	if (dstsize > 0)
		dst[0] = '\0';
	if ((r = target_login(t, login, &known)) != 0)
		return r;
	if (t->plain_principal)
		return str_copy(dst, dstsize, known);
	n = snprintf(dst, dstsize, "%s+%s", known, t->name);
	if (n < 0 || (size_t)n >= dstsize) {
		if (dstsize > 0)
			dst[0] = '\0';
		return ERR_TOOBIG;
	}
	return 0;
}

const struct approval *
policy_approval(const struct policy *p, size_t i)
{
	return i < p->napproval ? &p->approval[i]->pub : NULL;
}

const struct mask *
policy_mask(const struct policy *p, size_t i)
{
	return i < p->nmask ? p->mask[i] : NULL;
}

/* -- identities -------------------------------------------------------------- */

size_t
policy_nidentities(const struct policy *p)
{
	return p->nidentity;
}

const char *
policy_identity_name(const struct policy *p, size_t i)
{
	return i < p->nidentity ? p->identity[i]->name : NULL;
}

bool
claim_value_holds(const struct claim_value *want, const char *value)
{
	if (!want->glob)
		return strcmp(want->text, value) == 0;
	return *value != '\0' && glob_matches(want->text, GLOB_SEPARATORS,
	    value, strlen(value));
}

bool
condition_holds(const struct condition *c, const struct claims *cs)
{
	const char *value = claims_get(cs, c->claim);
	bool there = value != NULL && *value != '\0';

	switch (c->kind) {
	case CONDITION_PRESENT:
		return there;
	case CONDITION_ABSENT:
		return !there;
	case CONDITION_VALUES:
		break;
	}
	for (size_t i = 0; value != NULL && i < c->nvalue; i++) {
		if (claim_value_holds(&c->value[i], value))
			return true;
	}
	return false;
}

static bool
identity_matches(const struct identity *id, const struct claims *cs,
    uint64_t risky)
{
	if (id->cond.n == 0 || (risky & ~id->opened) != 0)
		return false;
	for (size_t i = 0; i < id->cond.n; i++) {
		if (!condition_holds(&id->cond.v[i], cs))
			return false;
	}
	return true;
}

size_t
policy_match(const struct policy *p, const char *issuer,
    const struct claims *cs, bool *set)
{
	const struct issuer_full *is = dict_get(&p->issuers, issuer);
	uint64_t risky;
	size_t n = 0;

	for (size_t i = 0; i < p->nidentity; i++)
		set[i] = false;
	if (is == NULL)
		return 0;
	risky = preset_risky(is->preset, cs);
	for (size_t i = 0; i < p->nidentity; i++) {
		if (p->identity[i]->issuer != is)
			continue;
		set[i] = identity_matches(p->identity[i], cs, risky);
		n += set[i];
	}
	return n;
}

/* The issuer's identity with the fewest conditions that fail, then no danger,
 * then the most conditions that hold, then by name. */
static const struct identity *
nearest(const struct policy *p, const struct issuer_full *is,
    const struct claims *cs, uint64_t risky)
{
	const struct identity *id, *best = NULL;
	size_t least = SIZE_MAX, most = 0, fails, cost;

	for (size_t i = 0; i < p->nidentity; i++) {
		id = p->by_name[i];
		if (id->issuer != is)
			continue;
		fails = 0;
		for (size_t k = 0; k < id->cond.n; k++)
			fails += !condition_holds(&id->cond.v[k], cs);
		cost = 2 * fails + ((risky & ~id->opened) != 0);
		if (cost < least ||
		    (cost == least && id->cond.n - fails > most)) {
			least = cost;
			most = id->cond.n - fails;
			best = id;
		}
	}
	return best;
}

/* The values that are shown are the preset's, never the token's. */
static const char *
say_risky(const struct issuer_full *is, uint64_t bits, char *dst, size_t size)
{
	static const char *const verb[] = { [RISKY_IS] = "is",
		[RISKY_BEGINS] = "begins with",
		[RISKY_BEGINS_NOT] = "does not begin with",
		[RISKY_DIFFERS] = "differs from" };
	const struct risky *k = &is->preset->risky[__builtin_ctzll(bits)];

	(void)snprintf(dst, size,
	    "claim %s %s %s: %s; allow-risky %s would open it", k->claim,
	    verb[k->kind], k->value, k->why, k->word);
	return k->claim;
}

/* What keeps the claims from being the identity, and the claim that it is;
 * NULL: nothing does. */
static const char *
say_why(const struct identity *id, const struct claims *cs, uint64_t risky,
    char *dst, size_t size)
{
	const struct condition *c;

	if ((risky & ~id->opened) != 0)
		return say_risky(id->issuer, risky & ~id->opened, dst, size);
	for (size_t i = 0; i < id->cond.n; i++) {
		c = &id->cond.v[i];
		if (condition_holds(c, cs))
			continue;
		(void)snprintf(dst, size, "claim %s %s", c->claim,
		    c->kind == CONDITION_ABSENT        ? "is there"
		    : claims_get(cs, c->claim) == NULL ? "is missing"
						       : "has another value");
		return c->claim;
	}
	return NULL;
}

void
policy_match_explain(const struct policy *p, const char *issuer,
    const struct claims *cs, char *dst, size_t dstsize)
{
	const struct issuer_full *is = dict_get(&p->issuers, issuer);
	const struct identity *id;
	char why[512];
	uint64_t risky;

	if (dstsize == 0)
		return;
	dst[0] = '\0';
	if (is == NULL)
		return;
	risky = preset_risky(is->preset, cs);
	if ((id = nearest(p, is, cs, risky)) == NULL)
		(void)snprintf(dst, dstsize, "no identity is from issuer %s",
		    is->pub.name);
	else if (say_why(id, cs, risky, why, sizeof(why)) != NULL)
		(void)snprintf(
		    dst, dstsize, "nearest identity %s: %s", id->name, why);
}

/* Nothing that it asks for is another job's. */
static bool
is_about(const struct identity *id, const struct claims *cs)
{
	const struct condition *c;
	bool some = false;

	for (size_t i = 0; i < id->cond.n; i++) {
		c = &id->cond.v[i];
		if (c->kind != CONDITION_VALUES)
			continue;
		if (condition_holds(c, cs))
			some = true;
		else if (preset_is_id(id->issuer->preset, c->claim))
			return false;
	}
	return some;
}

int
policy_match_other(const struct policy *p, const char *issuer,
    const struct claims *cs, size_t i, struct other *out)
{
	const struct issuer_full *is = dict_get(&p->issuers, issuer);
	const struct identity *id;
	uint64_t risky;

	if (is == NULL)
		return ERR_NOTFOUND;
	risky = preset_risky(is->preset, cs);
	for (size_t k = 0; k < p->nidentity; k++) {
		id = p->by_name[k];
		if (id->issuer != is || !is_about(id, cs))
			continue;
		out->claim = say_why(id, cs, risky, out->why, sizeof(out->why));
		if (out->claim == NULL || i-- > 0)
			continue;
		out->identity = id->name;
		return 0;
	}
	return ERR_NOTFOUND;
}

/* -- ties -------------------------------------------------------------------- */

static const char *
get(const struct claims *cs, const char *name)
{
	const char *value = name == NULL ? NULL : claims_get(cs, name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* The number of "123" or "refs/pull/123/merge"; "" for anything else. */
static void
pull_number(const char *s, char *dst, size_t dstsize)
{
	static const char prefix[] = "refs/pull/";
	size_t n;

	dst[0] = '\0';
	if (s == NULL)
		return;
	if (strncmp(s, prefix, strlen(prefix)) == 0)
		s += strlen(prefix);
	n = strspn(s, "0123456789");
	if (n == 0 || n >= dstsize || (s[n] != '\0' && s[n] != '/'))
		return;
	memcpy(dst, s, n);
	dst[n] = '\0';
}

/* A build that a person starts may name a branch where others have a commit:
 * what is no hash is none. */
static const char *
commit_of(const struct preset *row, const char *s)
{
	if (s == NULL || row->claim == NULL)
		return s;
	return strlen(s) <= 64 && s[strspn(s, "0123456789abcdefABCDEF")] == '\0'
		   ? s
		   : NULL;
}

/* The part of an actor's claim that names the actor, in room of the ties. */
static const char *
actor_of(const struct preset *row, const char *s, struct ties *t)
{
	size_t n;

	if (s == NULL || row->actor_after == NULL)
		return s;
	if ((s = strstr(s, row->actor_after)) == NULL)
		return NULL;
	s += strlen(row->actor_after);
	n = strcspn(s, "/");
	if (n == 0 || n >= sizeof(t->actor_part))
		return NULL;
	memcpy(t->actor_part, s, n);
	t->actor_part[n] = '\0';
	return t->actor_part;
}

void
issuer_ties(const struct issuer *is, const struct claims *cs, struct ties *out)
{
	const struct preset *row = preset_find(is->preset);

	*out = (struct ties){ 0 };
	if (row == NULL)
		return;
	out->commit = commit_of(row, get(cs, row->commit));
	out->actor = actor_of(row, get(cs, row->actor), out);
	out->workflow = get(cs, row->workflow);
	out->run = get(cs, row->run);
	pull_number(get(cs, row->pull_request), out->pull_request,
	    sizeof(out->pull_request));
}

void
policy_rates(const struct policy *p, uint32_t *most, uint32_t *longest_s)
{
	*most = *longest_s = 0;
	for (size_t i = 0; i < p->nrule; i++) {
		const struct limits *l = &p->rule[i]->limit;

		if (l->rate > *most)
			*most = l->rate;
		if (l->rate != 0 && l->rate_per_s > *longest_s)
			*longest_s = l->rate_per_s;
	}
}
