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
	const struct list *asked; /* who-can's commands */
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

/* A line of a rule: where it stands, and what it gives. */
struct can {
	const struct rule *rule;
	const struct place *at;
	const char *what; /* "run ", or "" where the place begins with it */
	const char *text; /* NULL: the place's */
	const struct run *run;
};

/* What a rule's own words say about when and on which terms. */
static int
put_terms(struct buf *b, const struct policy *p, const struct can *c)
{
	const struct rule *rule = c->rule;
	struct decision d = { .limit = rule->limit };
	int r = 0;

	if (c->run != NULL) {
		d.pty = c->run->pty;
		d.stdin_ok = c->run->stdin_ok;
		d.stdin_max = c->run->stdin_max;
	}
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
put_text(struct buf *b, const struct policy *p, const struct can *c)
{
	return c->text != NULL ? buf_putf(b, "%s", c->text)
			       : show_source(p, c->at, b);
}

static int
json_can(struct report *to, const struct whatif *w, const struct can *c)
{
	const struct policy *p = w->policy;
	struct buf b;
	int r;

	buf_init(&b, 256UL * 1024);
	json_open(&to->j, '{');
	json_place(to, w);
	json_kv_str(&to->j, "effect",
	    c->rule->effect == EFFECT_ALLOW ? "allow" : "deny");
	json_kv_str(&to->j, "rule", c->rule->name);
	json_kv_str(&to->j, "file", p->source[c->at->pos.file].name);
	json_kv_num(&to->j, "line", c->at->pos.line);
	if ((r = put_text(&b, p, c)) == 0) {
		json_key(&to->j, c->run != NULL ? "run" : "access");
		json_strn(&to->j, buf_ptr(&b), buf_len(&b));
		buf_reset(&b);
	}
	if (r == 0 && (r = put_terms(&b, p, c)) == 0 && buf_len(&b) > 2) {
		json_key(&to->j, "terms");
		json_strn(&to->j, buf_ptr(&b) + 2, buf_len(&b) - 2);
	}
	json_close(&to->j, '}');
	buf_clear(&b);
	return r;
}

static int
put_can(struct report *to, const struct whatif *w, const struct can *c)
{
	int r;

	if (to->json)
		return json_can(to, w, c);
	if ((r = buf_putf(&to->b, "  %s %s  %s",
		 c->rule->effect == EFFECT_ALLOW ? "allow" : "deny",
		 c->rule->name, c->what)) != 0 ||
	    (r = put_text(&to->b, w->policy, c)) != 0 ||
	    (r = put_terms(&to->b, w->policy, c)) != 0)
		return r;
	return buf_putf(&to->b, "\n");
}

/* All lines of a rule. */
static int
put_rule(struct report *to, const struct whatif *w, const struct rule *rule)
{
	struct can c = { .rule = rule, .what = "run " };
	int r = 0;

	for (size_t i = 0; i < rule->nrun && r == 0; i++) {
		c.run = rule->run[i];
		c.at = &c.run->at;
		r = put_can(to, w, &c);
	}
	c = (struct can){ .rule = rule, .what = "" };
	for (size_t i = 0; i < rule->ntransfer && r == 0; i++) {
		c.at = &rule->transfer[i].whole;
		r = put_can(to, w, &c);
	}
	for (size_t i = 0; i < rule->nrepository && r == 0; i++) {
		c.at = &rule->repository[i].whole;
		r = put_can(to, w, &c);
	}
	if (rule->interactive && r == 0) {
		c.at = &rule->at;
		c.text = "interactive";
		r = put_can(to, w, &c);
	}
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
	for (size_t i = 0; i < p->nrule && r == 0; i++) {
		if (is_for(p->rule[i], &w->q))
			r = put_rule(to, w, p->rule[i]);
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
	if ((r = whatif_init(&w, p, a.as, &a.claim)) == ERR_NOMEM) {
		r = cli_no_memory();
		goto out;
	}
	if (r != 0) {
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

/* Of a list all must be allowed, and the one that demands most is shown. */
static bool
is_allowed(struct whatif *w, const struct list *l, struct decision *d)
{
	const struct command *most = NULL;
	struct decision one;

	for (size_t i = 0; i < l->n; i++) {
		w->q.command = &l->command[i];
		decide(&w->q, &one);
		if (one.verdict == VERDICT_DENY)
			return false;
		if (most == NULL || one.verdict < d->verdict) {
			*d = one;
			most = w->q.command;
		}
	}
	if (l->n == 0)
		decide(&w->q, d);
	w->q.command = most;
	return d->verdict != VERDICT_DENY;
}

static int
who_can_here(struct whatif *w, struct report *to)
{
	struct decision d;
	int r;

	if (!is_allowed(w, to->asked, &d))
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
	if ((r = buf_putf(&to->b, "%s on %s+%s: %s by %s at ",
		 w->identity->name, w->q.login, w->q.target->name,
		 show_verdict(&d), d.rule_name)) != 0 ||
	    (r = show_place(w->policy, show_line(d.rule, &w->q), &to->b)) !=
		0 ||
	    (r = show_demands(w->policy, &d, &to->b)) != 0)
		return r;
	return buf_putf(&to->b, "\n");
}

static int
who_can(const struct ask *a, const struct policy *p, struct report *to)
{
	struct whatif w;
	int r = 0;

	for (size_t i = 0; i < p->nidentity && r == 0; i++) {
		if ((r = whatif_init(&w, p, p->by_name[i]->name, &a->claim)) !=
		    0)
			return r;
		ask_fill(a, NULL, &w.q);
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
	struct list l = { .n = 0 };
	struct report to = { 0 };
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "+nptcex@j")) != 0 ||
	    (r = ask_commands(&a, argc - optind, argv + optind, &l)) != 0 ||
	    (r = policy_of(&a.policy, a.policy != NULL, &p)) != 0)
		goto out;
	report_init(&to, a.json);
	to.asked = &l;
	if ((r = who_can(&a, p, &to)) == POSTERN_EX_USAGE)
		goto out;
	r = report_end(&to, r);
	if (r == 0 && to.n == 0) {
		r = POSTERN_EX_DENIED;
		if (!a.json)
			cli_error("nobody may; `postern policy explain` says "
				  "what keeps one identity from it");
	}
out:
	buf_clear(&to.b);
	list_clear(&l);
	policy_free(p);
	ask_clear(&a);
	return r;
}
