/*
 * postern policy can, who-can: the policy read from the identity's end, and
 * from the command's.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/model.h"
#include "policy/show.h"
#include "policy/whatif.h"

#define TEXT_MAX (64UL * 1024 * 1024)

/* What is written into: text, or an array of JSON objects. */
struct report {
	bool json;
	struct buf b;
	struct json j;
	size_t n;
};

static void
report_init(struct report *to, bool json)
{
	*to = (struct report){ .json = json };
	buf_init(&to->b, TEXT_MAX);
	json_init(&to->j, &to->b);
	if (json)
		json_open(&to->j, '[');
}

static int
report_end(struct report *to, int r)
{
	if (to->json) {
		json_close(&to->j, ']');
		r = r == 0 ? json_end(&to->j) : r;
		if (r == 0)
			r = buf_put(&to->b, "\n", 1);
	}
	return policy_say(&to->b, r);
}

/* Calls fn for every login of the target that is asked about, or of all. */
typedef int (*place_fn)(struct whatif *w, struct report *to);

static int
each_login(
    struct whatif *w, struct report *to, const struct target *t, place_fn fn)
{
	int r;

	w->q.target = t;
	w->q.login = t->login;
	r = fn(w, to);
	for (size_t i = 0; i < t->nextra_login && r == 0; i++) {
		w->q.login = t->extra_login[i];
		r = fn(w, to);
	}
	return r;
}

static int
each_place(struct whatif *w, struct report *to, const char *on, place_fn fn)
{
	const struct policy *p = w->policy;
	int r = 0;

	if (on != NULL && strchr(on, '+') != NULL)
		return (r = ask_where(w, on)) != 0 ? r : fn(w, to);
	if (on != NULL)
		return (r = ask_where(w, on)) != 0
			   ? r
			   : each_login(w, to, w->q.target, fn);
	for (size_t i = 0; i < p->ntarget && r == 0; i++)
		r = each_login(w, to, &p->target[i]->pub, fn);
	return r;
}

static void
json_place(struct report *to, const struct whatif *w)
{
	json_kv_str(&to->j, "target", w->q.target->name);
	json_kv_str(&to->j, "login", w->q.login);
}

/* -- can
 * ------------------------------------------------------------------------ */

/* What a rule's own words say about when and on which terms. */
static int
put_terms(struct buf *b, const struct policy *p, const struct rule *rule,
    const struct run *run)
{
	struct decision d = { .pty = run->pty,
		.stdin_ok = run->stdin_ok,
		.stdin_max = run->stdin_max,
		.limit = rule->limit };
	int r = 0;

	if (rule->effect == EFFECT_ALLOW) {
		memcpy(d.approvals, rule->approvals, sizeof(d.approvals));
		memcpy(d.masks, rule->masks, sizeof(d.masks));
		r = show_demands(p, &d, b);
	}
	for (size_t i = 0; i < rule->nwindow && r == 0; i++) {
		if ((r = buf_putf(b, "; ")) == 0)
			r = show_source(p, &rule->window[i].at, b);
	}
	return r;
}

static int
put_can(struct report *to, const struct whatif *w, const struct run *run)
{
	const struct policy *p = w->policy;
	const struct rule *rule = run->rule;
	const char *effect = rule->effect == EFFECT_ALLOW ? "allow" : "deny";
	struct buf b;
	int r;

	buf_init(&b, 256 * 1024);
	if (!to->json) {
		if ((r = buf_putf(
			 &to->b, "  %s %s  run ", effect, rule->name)) == 0 &&
		    (r = show_source(p, &run->at, &to->b)) == 0 &&
		    (r = put_terms(&to->b, p, rule, run)) == 0)
			r = buf_putf(&to->b, "\n");
		goto out;
	}
	json_open(&to->j, '{');
	json_place(to, w);
	json_kv_str(&to->j, "effect", effect);
	json_kv_str(&to->j, "rule", rule->name);
	json_kv_str(&to->j, "file", p->source[run->at.pos.file].name);
	json_kv_num(&to->j, "line", run->at.pos.line);
	if ((r = show_source(p, &run->at, &b)) == 0) {
		json_key(&to->j, "run");
		json_strn(&to->j, buf_ptr(&b), buf_len(&b));
		buf_reset(&b);
	}
	if (r == 0 && (r = put_terms(&b, p, rule, run)) == 0 &&
	    buf_len(&b) > 2) {
		json_key(&to->j, "terms");
		json_strn(&to->j, buf_ptr(&b) + 2, buf_len(&b) - 2);
	}
	json_close(&to->j, '}');
out:
	buf_clear(&b);
	return r;
}

static bool
is_for(const struct rule *rule, const struct request *q)
{
	return (rule_identity(rule, q) != NULL ||
		   (rule->everyone && rule->effect == EFFECT_DENY)) &&
	       rule_is_here(rule, q);
}

/* Something is allowed here: a place where all is denied is not shown. */
static bool
is_open(const struct whatif *w)
{
	for (size_t i = 0; i < w->policy->nrule; i++) {
		if (w->policy->rule[i]->effect == EFFECT_ALLOW &&
		    is_for(w->policy->rule[i], &w->q))
			return true;
	}
	return false;
}

static int
can_here(struct whatif *w, struct report *to)
{
	const struct policy *p = w->policy;
	int r = 0;

	if (!is_open(w))
		return 0;
	to->n++;
	if (!to->json)
		r = buf_putf(&to->b, "%s+%s\n", w->q.login, w->q.target->name);
	for (size_t i = 0; i < p->nrule; i++) {
		const struct rule *rule = p->rule[i];

		if (!is_for(rule, &w->q))
			continue;
		for (size_t k = 0; k < rule->nrun && r == 0; k++)
			r = put_can(to, w, rule->run[k]);
	}
	return r;
}

int
cli_policy_can(int argc, char **argv)
{
	struct policy *p = NULL;
	struct whatif w = { 0 };
	struct report to = { 0 };
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "snpcj")) != 0)
		goto out;
	if (a.as == NULL || optind != argc) {
		r = cli_usage();
		goto out;
	}
	if ((r = policy_of(&a.policy, a.policy != NULL, &p)) != 0)
		goto out;
	if (whatif_init(&w, p, a.as, &a.claim) != 0) {
		cli_error("the policy has no identity `%s'", a.as);
		r = POSTERN_EX_USAGE;
		goto out;
	}
	if (!whatif_is_somebody(&w)) {
		cli_error("with these claims nobody is `%s'", a.as);
		r = POSTERN_EX_USAGE;
		goto out;
	}
	report_init(&to, a.json);
	if ((r = each_place(&w, &to, a.on, can_here)) == POSTERN_EX_USAGE)
		goto out;
	r = report_end(&to, r);
	if (r == 0 && to.n == 0)
		r = POSTERN_EX_DENIED;
out:
	buf_clear(&to.b);
	whatif_clear(&w);
	policy_free(p);
	ask_clear(&a);
	return r;
}

/* -- who-can
 * ----------------------------------------------------------------------- */

static int
who_can_here(struct whatif *w, struct report *to)
{
	const struct run *run;
	struct decision d;
	int r;

	decide(&w->q, &d);
	if (d.verdict == VERDICT_DENY)
		return 0;
	to->n++;
	if (to->json) {
		json_open(&to->j, '{');
		json_kv_str(&to->j, "as", w->identity->name);
		json_place(to, w);
		show_decision_json(&to->j, &w->q, &d);
		json_close(&to->j, '}');
		return 0;
	}
	if (d.rule == NULL)
		return buf_putf(&to->b, "%s on %s+%s: observed\n",
		    w->identity->name, w->q.login, w->q.target->name);
	run = show_run(d.rule, &w->q);
	if ((r = buf_putf(&to->b, "%s on %s+%s: %s by %s at ",
		 w->identity->name, w->q.login, w->q.target->name,
		 show_verdict(&d), d.rule_name)) != 0 ||
	    (r = show_place(w->policy, run == NULL ? &d.rule->at : &run->at,
		 &to->b)) != 0 ||
	    (r = show_demands(w->policy, &d, &to->b)) != 0)
		return r;
	return buf_putf(&to->b, "\n");
}

static int
who_can(const struct ask *a, const struct policy *p, const struct command *c,
    struct report *to)
{
	struct whatif w;
	int r = 0;

	for (size_t i = 0; i < p->nidentity && r == 0; i++) {
		if ((r = whatif_init(&w, p, p->by_name[i]->name, NULL)) != 0)
			return r;
		w.q.command = c;
		w.q.pty = a->pty;
		w.q.now = a->now;
		if (whatif_is_somebody(&w))
			r = each_place(&w, to, a->on, who_can_here);
		whatif_clear(&w);
	}
	return r;
}

int
cli_policy_who_can(int argc, char **argv)
{
	struct policy *p = NULL;
	struct command *c = NULL;
	struct report to = { 0 };
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "+nptc@j")) != 0 ||
	    (r = ask_command(argc - optind, argv + optind, &c)) != 0 ||
	    (r = policy_of(&a.policy, a.policy != NULL, &p)) != 0)
		goto out;
	report_init(&to, a.json);
	if ((r = who_can(&a, p, c, &to)) == POSTERN_EX_USAGE)
		goto out;
	r = report_end(&to, r);
	if (r == 0 && to.n == 0)
		r = POSTERN_EX_DENIED;
out:
	buf_clear(&to.b);
	command_free(c);
	policy_free(p);
	ask_clear(&a);
	return r;
}
