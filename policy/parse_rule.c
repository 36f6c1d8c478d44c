/*
 * The `allow` and `deny` statements: their header and block.  The patterns of
 * `run` lines are parse_run.c's.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/parse.h"

#define BECAUSE_MAX 500

static int
rule_run(struct parser *ps, void *ctx)
{
	return parse_run(ps, ctx);
}

static int
rule_because(struct parser *ps, void *ctx)
{
	struct rule *rule = ctx;
	struct ref ref;
	int r;

	if (rule->because != NULL)
		return parse_error(ps, "`because` is written twice in this "
		    "block");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "the reason as a string", &ref)) != 0)
		return r;
	if (strlen(ref.name) > BECAUSE_MAX)
		return parse_error_at(ps, &ref.at, "a reason has at most %d "
		    "bytes", BECAUSE_MAX);
	rule->because = ref.name;
	return 0;
}

static int
only_allow(struct parser *ps, const struct rule *rule)
{
	if (rule->effect == EFFECT_ALLOW)
		return 0;
	return parse_error(ps, "`%s` belongs into an allow rule: a deny rule "
	    "denies, whatever else is demanded", ps->t.text);
}

static int
rule_limit(struct parser *ps, void *ctx)
{
	struct rule *rule = ctx;
	int r = only_allow(ps, rule);

	return r != 0 ? r : parse_limit(ps, &rule->limit);
}

static int
rule_window(struct parser *ps, void *ctx)
{
	return parse_window(ps, ctx);
}

static int
rule_require(struct parser *ps, void *ctx)
{
	int r = only_allow(ps, ctx);

	return r != 0 ? r : parse_require(ps, ctx);
}

static int
rule_mask(struct parser *ps, void *ctx)
{
	struct rule *rule = ctx;
	int r = only_allow(ps, rule);

	rule->adds = true;
	return r != 0 ? r : parse_mask(ps, rule->masks);
}

static int
rule_floor(struct parser *ps, void *ctx)
{
	struct rule *rule = ctx;
	int r;

	if ((r = only_allow(ps, rule)) != 0 ||
	    (r = parse_once(ps, &rule->floor)) != 0)
		return r;
	rule->adds = true;
	parse_next(ps, LEX_POLICY);
	return 0;
}

static int
rule_read(struct parser *ps, void *ctx)
{
	return parse_transfer(ps, ctx, false);
}

static int
rule_write(struct parser *ps, void *ctx)
{
	return parse_transfer(ps, ctx, true);
}

static int
rule_git(struct parser *ps, void *ctx)
{
	return parse_git(ps, ctx);
}

static int
rule_interactive(struct parser *ps, void *ctx)
{
	struct rule *rule = ctx;
	int r;

	if ((r = parse_once(ps, &rule->interactive)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	return 0;
}

static int
rule_env(struct parser *ps, void *ctx)
{
	int r = only_allow(ps, ctx);

	return r != 0 ? r : parse_env(ps, ctx);
}

static int
rule_text_only(struct parser *ps, void *ctx)
{
	struct rule *rule = ctx;
	int r;

	if ((r = only_allow(ps, rule)) != 0 ||
	    (r = parse_once(ps, &rule->text_only)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	return 0;
}

static int
rule_record(struct parser *ps, void *ctx)
{
	int r = only_allow(ps, ctx);

	return r != 0 ? r : parse_record(ps, ctx);
}

static const struct parse_row rule_rows[] = {
	{ "run", rule_run },
	{ "because", rule_because },
	{ "limit", rule_limit },
	{ "window", rule_window },
	{ "require", rule_require },
	{ "mask", rule_mask },
	{ "floor", rule_floor },
	{ "read", rule_read },
	{ "write", rule_write },
	{ "git", rule_git },
	{ "interactive", rule_interactive },
	{ "env", rule_env },
	{ "text-only", rule_text_only },
	{ "record", rule_record },
};

/* [LOGIN+](NAME | @GROUP), or `*` */
static int
split_where(struct parser *ps, struct where *w)
{
	const char *s = w->ref.name, *plus = strchr(s, '+');

	if (strcmp(s, "*") == 0) {
		w->kind = WHERE_ALL;
		return 0;
	}
	if (plus != NULL) {
		w->login = arena_str(ps->p->arena, s, (size_t)(plus - s));
		if (w->login == NULL)
			return ERR_NOMEM;
		if (!name_valid(w->login))
			return parse_error_at(ps, &w->ref.at, "`%.80s` is no "
			    "login's name", w->login);
		s = plus + 1;
	}
	w->kind = *s == '@' ? WHERE_GROUP : WHERE_TARGET;
	if (*s == '@')
		s++;
	if (!name_valid(s))
		return parse_error_at(ps, &w->ref.at, "expected a target, "
		    "@GROUP, LOGIN+TARGET, LOGIN+@GROUP or `*`");
	w->ref.name = s;
	return 0;
}

int
parse_where(struct parser *ps, struct where *out)
{
	struct where w = { .kind = WHERE_TARGET };
	int r;

	if ((r = parse_word(ps, "a target, @GROUP, LOGIN+TARGET or `*`",
	    &w.ref)) != 0 || (r = split_where(ps, &w)) != 0)
		return r;
	*out = w;
	return 0;
}

static int
add_who(struct parser *ps, struct rule *rule)
{
	struct ref ref, *v;
	int r;

	if (parse_is_word(ps, "*")) {
		if (rule->everyone || rule->nwho > 0)
			return parse_error(ps, "`*` stands alone");
		rule->everyone = true;
		parse_next(ps, LEX_POLICY);
		return 0;
	}
	if (rule->everyone)
		return parse_expected(ps, "`on`");
	if ((r = parse_name(ps, "an identity's name or `*`", &ref)) != 0)
		return r;
	for (size_t i = 0; i < rule->nwho; i++) {
		if (strcmp(rule->who[i].name, ref.name) == 0)
			return parse_error_at(ps, &ref.at, "identity `%s` is "
			    "written twice", ref.name);
	}
	v = arena_extend(ps->p->arena, rule->who, rule->nwho, &rule->capwho,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->who = v;
	rule->who[rule->nwho++] = ref;
	return 0;
}

static int
add_where(struct parser *ps, struct rule *rule)
{
	struct where w, *v;
	int r;

	if ((r = parse_where(ps, &w)) != 0)
		return r;
	if (rule->nwhere >= POLICY_LINES_MAX)
		return parse_error_at(ps, &w.ref.at, "more than %d places",
		    POLICY_LINES_MAX);
	v = arena_extend(ps->p->arena, rule->where, rule->nwhere,
	    &rule->capwhere, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->where = v;
	rule->where[rule->nwhere++] = w;
	return 0;
}

/* for WHO... on WHERE... */
static int
rule_header(struct parser *ps, struct rule *rule)
{
	int r;

	if (!parse_is_word(ps, "for"))
		return parse_expected(ps, "`for` and identities");
	parse_next(ps, LEX_POLICY);
	do {
		if ((r = add_who(ps, rule)) != 0)
			return r;
		if (rule->nwho > POLICY_IDENTITIES_MAX)
			return parse_error(ps, "too many identities");
	} while (!parse_is_word(ps, "on") && ps->t.kind == LEX_WORD);
	if (!parse_is_word(ps, "on"))
		return parse_expected(ps, "`on` and targets");
	parse_next(ps, LEX_POLICY);
	do {
		if ((r = add_where(ps, rule)) != 0)
			return r;
	} while (ps->t.kind == LEX_WORD);
	return parse_is_punct(ps, '{') ? 0 : parse_expected(ps, "`{`");
}

static int
rule_new(struct parser *ps, enum effect effect, struct rule **out)
{
	struct policy *p = ps->p;
	struct rule *rule, *first, **v;
	struct ref name;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the rule's name", &name)) != 0)
		return r;
	if (strcmp(name.name, "default") == 0 ||
	    strcmp(name.name, "syntax") == 0)
		return parse_error_at(ps, &name.at, "`%s` has a meaning of its "
		    "own in tests and cannot name a rule", name.name);
	if (p->nrule >= POLICY_RULES_MAX)
		return parse_error_at(ps, &name.at, "more than %d rules",
		    POLICY_RULES_MAX);
	if ((rule = arena_get(p->arena, sizeof(*rule))) == NULL ||
	    (v = arena_extend(p->arena, p->rule, p->nrule, &p->caprule,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->rule = v;
	rule->effect = effect;
	rule->name = name.name;
	rule->at = name.at;
	first = dict_get(&p->rules, name.name);
	r = parse_define(ps, &p->rules, &name, "rule", rule,
	    first == NULL ? &name.at : &first->at);
	if (r == 0)
		p->rule[p->nrule++] = rule;
	else if (r != ERR_EXISTS)
		return r;
	*out = rule;
	return 0;
}

static int
parse_rule(struct parser *ps, enum effect effect)
{
	size_t errors = diags_count(ps->d);
	struct rule *rule = NULL;
	int r;

	if ((r = rule_new(ps, effect, &rule)) != 0)
		return r;
	if ((r = rule_header(ps, rule)) == ERR_NOMEM ||
	    (r != 0 && !parse_to_block(ps)))
		return r;
	if ((r = parse_block(ps, ROWS(rule_rows), "`run` or another line of a "
	    "rule", rule)) != 0)
		return r;
	if (rule->nrun == 0 && rule->ntransfer == 0 && rule->nrepository == 0 &&
	    !rule->interactive && diags_count(ps->d) == errors)
		(void)parse_error_at(ps, &rule->at,
		    "rule `%s` has no `run` "
		    "line, no `read`, `write`, `git` or `interactive`: it %s "
		    "nothing",
		    rule->name, effect == EFFECT_ALLOW ? "allows" : "denies");
	return 0;
}

int
parse_allow(struct parser *ps, void *ctx)
{
	(void)ctx;
	return parse_rule(ps, EFFECT_ALLOW);
}

int
parse_deny(struct parser *ps, void *ctx)
{
	(void)ctx;
	return parse_rule(ps, EFFECT_DENY);
}
