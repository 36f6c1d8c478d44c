/*
 * The `identity` statement, and conditions on claims wherever they stand.  What
 * the issuer's preset knows about claims is used in resolve.c.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "policy/arena.h"
#include "policy/glob.h"
#include "policy/parse.h"

static int
add_value(struct parser *ps, struct condition *c)
{
	struct claim_value value = { 0 }, *v;
	struct ref ref;
	const char *wrong;
	int r;

	if (parse_is_word(ps, "glob")) {
		value.glob = true;
		parse_next(ps, LEX_POLICY);
	}
	if ((r = parse_string(ps, value.glob ? "a pattern as a string" :
	    "the claim's value as a string", &ref)) != 0)
		return r;
	if (value.glob && (wrong = glob_wrong(ref.name)) != NULL)
		return parse_error_at(ps, &ref.at, "%s", wrong);
	for (size_t i = 0; i < c->nvalue; i++) {
		if (c->value[i].glob == value.glob &&
		    strcmp(c->value[i].text, ref.name) == 0)
			return parse_error_at(ps, &ref.at, "this value is "
			    "written twice");
	}
	if (c->nvalue >= POLICY_LIST_MAX)
		return parse_error_at(ps, &ref.at, "more than %d values",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, c->value, c->nvalue, &c->cap,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	value.text = ref.name;
	value.at = ref.at;
	c->value = v;
	c->value[c->nvalue++] = value;
	return 0;
}

/* What follows the claim's name. */
static int
condition_rest(struct parser *ps, struct condition *c)
{
	int r;

	if (parse_is_word(ps, "present") || parse_is_word(ps, "absent")) {
		c->kind = parse_is_word(ps, "present") ? CONDITION_PRESENT :
		    CONDITION_ABSENT;
		parse_next(ps, LEX_POLICY);
		return 0;
	}
	if (!parse_is_punct(ps, '='))
		return parse_expected(ps, "`=`, `present` or `absent`");
	do {
		parse_next(ps, LEX_POLICY);
		if ((r = add_value(ps, c)) != 0)
			return r;
	} while (parse_is_punct(ps, '|'));
	return 0;
}

int
parse_condition(struct parser *ps, struct conditions *to)
{
	struct condition c = { .kind = CONDITION_VALUES }, *v;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_word(ps, "a claim's name", &ref)) != 0)
		return r;
	if (strlen(ref.name) > PROTO_CLAIM_NAME_MAX)
		return parse_error_at(ps, &ref.at, "this claim's name is longer "
		    "than %d bytes", PROTO_CLAIM_NAME_MAX);
	c.claim = ref.name;
	c.at = ref.at;
	if ((r = condition_rest(ps, &c)) != 0)
		return r;
	for (size_t i = 0; i < to->n; i++) {
		if (strcmp(to->v[i].claim, c.claim) == 0)
			return parse_error_at(ps, &c.at, "a second condition on "
			    "`%s`: the first is on line %u, and both must hold; "
			    "for a choice write claim %s = \"a\" | \"b\"",
			    c.claim, to->v[i].at.pos.line, c.claim);
	}
	if (to->n >= POLICY_LIST_MAX)
		return parse_error_at(ps, &c.at, "more than %d conditions",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, to->v, to->n, &to->cap, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	to->v = v;
	to->v[to->n++] = c;
	return 0;
}

static int
identity_claim(struct parser *ps, void *ctx)
{
	struct identity *id = ctx;

	return parse_condition(ps, &id->cond);
}

static int
identity_risky(struct parser *ps, void *ctx)
{
	struct identity *id = ctx;
	struct ref ref, *v;
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if ((r = parse_word(ps, "what is allowed though it is risky, "
		    "as pull-request", &ref)) != 0)
			return r;
		if (id->nrisky >= POLICY_LIST_MAX)
			return parse_error_at(ps, &ref.at, "more than %d words",
			    POLICY_LIST_MAX);
		v = arena_extend(ps->p->arena, id->risky, id->nrisky,
		    &id->caprisky, sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		id->risky = v;
		id->risky[id->nrisky++] = ref;
	} while (ps->t.kind == LEX_WORD);
	return 0;
}

static const struct parse_row identity_rows[] = {
	{ "claim", identity_claim }, { "allow-risky", identity_risky },
};

static int
identity_header(struct parser *ps, struct identity *id)
{
	if (!parse_is_word(ps, "from"))
		return parse_expected(ps, "`from` and an issuer's name");
	parse_next(ps, LEX_POLICY);
	return parse_name(ps, "an issuer's name", &id->from);
}

int
parse_identity(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct identity *id, *first, **v;
	struct ref name;
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the identity's name", &name)) != 0)
		return r;
	if (p->nidentity >= POLICY_IDENTITIES_MAX)
		return parse_error_at(ps, &name.at, "more than %d identities",
		    POLICY_IDENTITIES_MAX);
	if ((id = arena_get(p->arena, sizeof(*id))) == NULL ||
	    (v = arena_extend(p->arena, p->identity, p->nidentity,
	    &p->capidentity, sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->identity = v;
	id->name = name.name;
	id->at = name.at;
	first = dict_get(&p->identities, name.name);
	r = parse_define(ps, &p->identities, &name, "identity", id,
	    first == NULL ? &name.at : &first->at);
	if (r == 0) {
		id->index = p->nidentity;
		p->identity[p->nidentity++] = id;
	} else if (r != ERR_EXISTS) {
		return r;
	}
	if ((r = identity_header(ps, id)) == ERR_NOMEM ||
	    (r != 0 && !parse_to_block(ps)))
		return r;
	return parse_block(ps, ROWS(identity_rows), "`claim` or `allow-risky`", id);
}
