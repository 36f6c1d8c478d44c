/*
 * Somebody to ask a policy's questions for.  Runs in the tools, and for the
 * tests in policies.
 */
#include "config.h"

#include "policy/whatif.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/model.h"

int
claims_set(struct claims *cs, const char *name, const char *value)
{
	for (size_t i = 0; i < cs->n; i++) {
		if (strcmp(cs->c[i].name, name) != 0)
			continue;
		free(cs->c[i].value);
		cs->c[i].value = strdup(value);
		return cs->c[i].value == NULL ? ERR_NOMEM : 0;
	}
	return claims_add(cs, name, value);
}

/* The first value that the condition spells out; NULL: none. */
static const char *
first_value(const struct condition *c)
{
	for (size_t i = 0; i < c->nvalue; i++) {
		if (!c->value[i].glob)
			return c->value[i].text;
	}
	return NULL;
}

int
identity_claims(const struct identity *id, struct claims *cs)
{
	const char *value;
	int r;

	for (size_t i = 0; i < id->cond.n; i++) {
		value = first_value(&id->cond.v[i]);
		if (value != NULL &&
		    (r = claims_set(cs, id->cond.v[i].claim, value)) != 0)
			return r;
	}
	return 0;
}

/* A text that the glob matches: an `x` for each star. */
static int
set_example(struct claims *cs, const struct condition *c)
{
	struct buf b;
	const char *s = c->nvalue > 0 ? c->value[0].text : "*", *text;
	int r = 0;

	buf_init(&b, 4096);
	for (size_t i = 0; s[i] != '\0' && r == 0; i++) {
		if (s[i] != '*')
			r = buf_put(&b, s + i, 1);
		else if (s[i + 1] != '*')
			r = buf_put(&b, "x", 1);
	}
	if (r == 0)
		r = (text = buf_cstr(&b)) == NULL
			? ERR_NOMEM
			: claims_set(cs, c->claim, text);
	buf_clear(&b);
	return r;
}

static int
fill(struct whatif *w, const struct claims *given)
{
	const struct condition *c;
	int r;

	for (size_t i = 0; i < w->identity->cond.n; i++) {
		c = &w->identity->cond.v[i];
		if (c->kind != CONDITION_ABSENT && first_value(c) == NULL &&
		    (r = set_example(&w->claims, c)) != 0)
			return r;
	}
	if ((r = identity_claims(w->identity, &w->claims)) != 0)
		return r;
	for (size_t i = 0; given != NULL && i < given->n; i++) {
		if ((r = claims_set(
			 &w->claims, given->c[i].name, given->c[i].value)) != 0)
			return r;
	}
	return 0;
}

int
whatif_init(struct whatif *w, const struct policy *p, const char *identity,
    const struct claims *given)
{
	int r;

	*w = (struct whatif){ .policy = p };
	w->identity = dict_get(&p->identities, identity);
	if (w->identity == NULL)
		return ERR_NOTFOUND;
	if ((w->set = calloc(p->nidentity, sizeof(*w->set))) == NULL)
		return ERR_NOMEM;
	if ((r = fill(w, given)) != 0) {
		whatif_clear(w);
		return r;
	}
	(void)policy_match(
	    p, w->identity->issuer->pub.name, &w->claims, w->set);
	w->q = (struct request){ .policy = p,
		.identity = w->set,
		.claims = &w->claims,
		.enforces = ENFORCE_ALL };
	return 0;
}

void
whatif_clear(struct whatif *w)
{
	claims_clear(&w->claims);
	free(w->set);
	w->set = NULL;
}

bool
whatif_is_somebody(const struct whatif *w)
{
	return w->set[w->identity->index];
}

int
whatif_where(struct whatif *w, const char *target, const char *login)
{
	w->q.target = policy_target_find(w->policy, target);
	if (w->q.target == NULL)
		return ERR_NOTFOUND;
	return target_login(w->q.target, login, &w->q.login);
}
