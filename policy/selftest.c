/*
 * The tests inside policies, run at every load: each line goes through the
 * command parser and the decision that a job's command would go through.
 */
#include "config.h"

#include "policy/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/parse.h"
#include "policy/whatif.h"

struct run_test {
	const struct policy *p;
	struct diags *d;
	const struct test *t;
	struct request q;
};

/* The identity's own values, and over them what the test gives. */
static int
make_claims(const struct test *t, const struct identity *id, struct claims *cs)
{
	int r = identity_claims(id, cs);

	if (r != 0)
		return r;
	for (size_t i = 0; i < t->ngiven; i++) {
		if ((r = claims_set(
			 cs, t->given[i].claim, t->given[i].value)) != 0)
			return r;
	}
	return 0;
}

/* Why the test's claims make nobody of its identity. */
static void
say_nobody(struct run_test *rt, const struct identity *id,
    const struct claims *cs)
{
	const struct condition *c;

	for (size_t i = 0; i < id->cond.n; i++) {
		c = &id->cond.v[i];
		if (c->kind == CONDITION_ABSENT ||
		    claims_get(cs, c->claim) != NULL)
			continue;
		policy_error(rt->p, rt->d, &rt->t->as.at, "test \"%s\": give "
		    "the claim `%s`, since `%s` names no value of it: as %s "
		    "{ %s \"...\" }", rt->t->name, c->claim, id->name, id->name,
		    c->claim);
		return;
	}
	policy_error(rt->p, rt->d, &rt->t->as.at, "test \"%s\": with these "
	    "claims nobody is `%s`", rt->t->name, id->name);
}

/* The place of byte off of a string's text: escapes take two bytes. */
static struct place
inside(const struct policy *p, const struct expect *e, size_t off, size_t width)
{
	const char *s = p->source[e->command_at.pos.file].text;
	struct place at = e->command_at;
	size_t i = at.pos.off + 1;

	for (; off > 0; off--)
		i += s[i] == '\\' ? 2 : 1;
	for (size_t k = at.pos.off; k < i; k++)
		at.pos.col += ((unsigned char)s[k] & 0xc0) != 0x80;
	at.pos.off = i;
	at.width = width > 0 ? width : 1;
	return at;
}

static void
no_syntax(struct run_test *rt, const struct expect *e,
    const struct command_error *err)
{
	struct place at;

	if (e->want == VERDICT_DENY &&
	    (e->by == BY_ANY || e->by == BY_SYNTAX))
		return;
	at = inside(rt->p, e, err->pos, err->len);
	policy_error(rt->p, rt->d, &at, "test \"%s\": %s%s%s", rt->t->name,
	    err->what, *err->hint == '\0' ? "" : ": ", err->hint);
}

static const char *
verdict_text(enum verdict v)
{
	return v == VERDICT_ALLOW ? "allowed" : v == VERDICT_APPROVAL ?
	    "allowed with approval" : "denied";
}

/* Is a rule with times for whom and where the test is about? */
static bool
has_windows(const struct request *q)
{
	const struct rule *rule;

	for (size_t i = 0; i < q->policy->nrule; i++) {
		rule = q->policy->rule[i];
		if (rule->nwindow > 0 && rule->effect == EFFECT_ALLOW &&
		    rule_identity(rule, q) != NULL && rule_is_here(rule, q))
			return true;
	}
	return false;
}

/* A test is about what the policy means, not about what this version can
 * already enforce. */
static void
compare(struct run_test *rt, const struct expect *e, const struct decision *d)
{
	bool no_input = e->stdin_ok && !d->stdin_ok &&
	    d->meant != VERDICT_DENY;
	enum verdict is = no_input ? VERDICT_DENY : d->meant;
	const char *by = e->by == BY_SYNTAX ? "syntax" :
	    e->by == BY_DEFAULT ? "default" : e->rule.name;
	const char *why =
	    no_input ? ", and without stdin"
	    : rt->t->now == 0 && d->rule == NULL && has_windows(&rt->q)
		? "; a rule with a `window` "
		  "allows nothing in a test without `at`"
		: "";

	if (is != e->want)
		policy_error(rt->p, rt->d, &e->command_at, "test \"%s\": "
		    "expected %s, but it is %s by %s%s%s", rt->t->name,
		    e->want == VERDICT_ALLOW ? "allow" :
		    e->want == VERDICT_APPROVAL ? "approval" : "deny",
		    verdict_text(d->meant), d->rule == NULL ? "" : "rule ",
		    d->rule_name, why);
	else if (e->by != BY_ANY && strcmp(by, d->rule_name) != 0)
		policy_error(rt->p, rt->d, &e->command_at, "test \"%s\": "
		    "expected this by %s, but it is by %s%s", rt->t->name, by,
		    d->rule == NULL ? "" : "rule ", d->rule_name);
}

/* Everything of a list must be allowed: what is furthest from it decides. */
static void
decide_list(struct run_test *rt, const struct list *l, struct decision *d)
{
	struct decision one;

	for (size_t i = 0; i < l->n; i++) {
		rt->q.command = &l->command[i];
		decide(&rt->q, &one);
		if (i == 0 || one.meant < d->meant)
			*d = one;
	}
}

static int
run_commands(struct run_test *rt, const struct expect *e)
{
	struct list l = { .n = 0 };
	struct command_error err;
	struct decision d = { .rule_name = "default" };
	int r = list_parse(e->command, e->len, LIST_LINE, &l, &err);

	if (r == ERR_NOMEM)
		return r;
	if (r != 0) {
		no_syntax(rt, e, &err);
		return 0;
	}
	decide_list(rt, &l, &d);
	compare(rt, e, &d);
	list_clear(&l);
	return 0;
}

static int
run_line(struct run_test *rt, const struct expect *e)
{
	struct decision d;

	rt->q.kind = e->kind;
	rt->q.pty = e->pty;
	rt->q.sent = e->sent;
	rt->q.nsent = e->nsent;
	if (e->kind == REQUEST_RUN)
		return run_commands(rt, e);
	rt->q.path = e->command;
	rt->q.how = e->how;
	rt->q.ref = e->ref;
	decide(&rt->q, &d);
	compare(rt, e, &d);
	return 0;
}

/* Who and where; false when the test cannot be run, which is reported. */
static bool
place_test(struct run_test *rt, const struct identity *id, struct claims *cs,
    bool *set)
{
	const struct policy *p = rt->p;
	const struct where *w = &rt->t->where;

	(void)policy_match(p, id->issuer->pub.name, cs, set);
	if (!set[id->index]) {
		say_nobody(rt, id, cs);
		return false;
	}
	rt->q = (struct request){ .policy = p, .identity = set, .claims = cs,
		.target = &w->target->pub, .now = (time_t)rt->t->now };
	return target_login(&w->target->pub, w->login == NULL ? "" : w->login,
	    &rt->q.login) == 0;
}

static int
run_test(const struct policy *p, struct diags *d, const struct test *t,
    bool *set)
{
	struct run_test rt = { .p = p, .d = d, .t = t };
	const struct identity *id = dict_get(&p->identities, t->as.name);
	struct claims cs = { 0 };
	int r;

	if ((r = make_claims(t, id, &cs)) != 0)
		goto out;
	if (!place_test(&rt, id, &cs, set))
		goto out;
	for (size_t i = 0; i < t->nexpect && r == 0; i++)
		r = run_line(&rt, &t->expect[i]);
out:
	claims_clear(&cs);
	if (r == ERR_TOOBIG) {
		policy_error(p, d, &t->at, "a claim of this test is too long");
		r = 0;
	}
	return r;
}

int
policy_selftest(const struct policy *p, struct diags *d)
{
	bool *set = calloc(p->nidentity + 1, sizeof(*set));
	int r = 0;

	if (set == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->ntest && r == 0; i++)
		r = run_test(p, d, p->test[i], set);
	free(set);
	return r;
}
