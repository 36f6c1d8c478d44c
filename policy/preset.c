/*
 * What is asked of the presets (policy/preset_table.c): at policy load, and
 * when a session's claims are matched.  The claims are verified; their values
 * are whatever the issuer let its jobs choose.
 */
#include "config.h"

#include "policy/preset.h"

#include <string.h>

#include "policy/claims.h"

/* -- dangers ------------------------------------------------------------------- */

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static bool
risky_holds(const struct risky *k, const struct claims *cs)
{
	const char *value = claims_get(cs, k->claim), *other;

	switch (k->kind) {
	case RISKY_IS:
		return value != NULL && strcmp(value, k->value) == 0;
	case RISKY_BEGINS:
		return value != NULL && begins(value, k->value);
	case RISKY_BEGINS_NOT:
		return value == NULL || !begins(value, k->value);
	case RISKY_DIFFERS:
		other = claims_get(cs, k->value);
		return value != NULL && other != NULL &&
		    strcmp(value, other) != 0;
	}
	return true;
}

uint64_t
preset_risky(const struct preset *p, const struct claims *cs)
{
	uint64_t set = 0;

	for (size_t i = 0; p->risky != NULL && p->risky[i].word != NULL; i++) {
		if (risky_holds(&p->risky[i], cs))
			set |= (uint64_t)1 << i;
	}
	return set;
}

const struct risky *
preset_risky_value(const struct preset *p, const char *claim,
    const char *value)
{
	const struct risky *k = p->risky;

	for (; k != NULL && k->word != NULL; k++) {
		if (strcmp(k->claim, claim) != 0)
			continue;
		if ((k->kind == RISKY_IS && strcmp(value, k->value) == 0) ||
		    (k->kind == RISKY_BEGINS && begins(value, k->value)))
			return k;
	}
	return NULL;
}

uint64_t
preset_risky_word(const struct preset *p, const char *word)
{
	uint64_t set = 0;

	for (size_t i = 0; p->risky != NULL && p->risky[i].word != NULL; i++) {
		if (strcmp(p->risky[i].word, word) == 0)
			set |= (uint64_t)1 << i;
	}
	return set;
}

/* -- claims -------------------------------------------------------------------- */

const struct preset_claim *
preset_claim(const struct preset *p, const char *claim)
{
	const struct preset_claim *c = p->claim;
	size_t n;

	for (; c != NULL && c->name != NULL; c++) {
		n = strlen(c->name);
		if (c->name[n - 1] == '*'
			? strncmp(claim, c->name, n - 1) == 0 &&
			      claim[n - 1] != '\0'
			: strcmp(claim, c->name) == 0)
			return c;
	}
	return NULL;
}

bool
preset_has_claim(const struct preset *p, const char *claim)
{
	return p->claim == NULL || preset_claim(p, claim) != NULL;
}

static bool
ends(const char *s, const char *with)
{
	size_t n = strlen(s), k = strlen(with);

	return n > k && strcmp(s + n - k, with) == 0;
}

bool
preset_is_id(const struct preset *p, const char *claim)
{
	const struct preset_claim *c = preset_claim(p, claim);

	if (c != NULL)
		return c->kind == CLAIM_ID || c->kind == CLAIM_RUN;
	for (size_t i = 0; p->pin != NULL && p->pin[i] != NULL; i++) {
		if (strcmp(p->pin[i], claim) == 0)
			return true;
	}
	return ends(claim, "_id") || ends(claim, "-id") || ends(claim, "Id") ||
	    ends(claim, "Uuid");
}

bool
preset_is_shared(const struct preset *p, const char *url)
{
	return p->shared != NULL && (strcmp(p->shared, "*") == 0 ||
	    strcmp(p->shared, url) == 0);
}
