/*
 * Lints: a table of known escapes, and a function for each thing to look at.
 * Runs in the command line tools.
 */
#include "config.h"

#include "policy/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <fa.h>

#include "lib/diag.h"
#include "lib/str.h"
#include "policy/items.h"
#include "policy/language.h"
#include "policy/lint_env.h"
#include "policy/lint_escape.h"
#include "policy/lint_unused.h"
#include "policy/model.h"
#include "policy/overlap.h"
#include "policy/parse.h"
#include "policy/preset.h"

#define PAIRS_MAX 20000 /* lines held against each other */

struct linter {
	const struct policy *p;
	struct diags *d;
	bool fails;
	size_t pairs;
};

static const char *const pagers[] = { "journalctl", "less", "man", "more",
	"most", "systemctl", "git", "psql", "mysql", NULL };
static const char *const interpreters[] = { "ash", "awk", "bash", "csh", "dash",
	"fish", "ksh", "lua", "mysql", "node", "perl", "php", "psql", "python",
	"ruby", "sh", "sqlite3", "tcsh", "xargs", "zsh", NULL };

static void __attribute__((format(printf, 4, 5))) warn(struct linter *l,
    const char *name, const struct place *at, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	policy_error(l->p, l->d, at, "warning: %s [%s]", text, name);
}

/* -- what a line runs -------------------------------------------------------
 */

static bool
is_in(const char *const *v, const char *s)
{
	for (; *v != NULL; v++) {
		if (strcmp(*v, s) == 0)
			return true;
	}
	return false;
}

/* As python3.11 is python. */
static bool
is_interpreter(const char *name)
{
	size_t n = strlen(name);

	while (n > 0 && (name[n - 1] == '.' ||
			    (name[n - 1] >= '0' && name[n - 1] <= '9')))
		n--;
	for (const char *const *v = interpreters; *v != NULL; v++) {
		if (strcmp(*v, name) == 0 ||
		    (strlen(*v) == n && strncmp(*v, name, n) == 0))
			return true;
	}
	return false;
}

static const char *
base_name(const struct policy *p, const char *s)
{
	const struct program *g = dict_get(&p->program_words, s);
	const char *slash;

	if (g != NULL)
		s = g->path;
	slash = strrchr(s, '/');
	return slash == NULL ? s : slash + 1;
}

/* The name of the program that the line runs, if it is one word. */
static const char *
run_name(const struct policy *p, const struct run *run)
{
	const struct node *n = run->tree->child;
	const char *s;

	if (n == NULL || n->kind != NODE_WORD)
		return "";
	s = run->item[n->item].piece[0].text;
	if (s == NULL || run->item[n->item].npiece > 1)
		return "";
	return base_name(p, s);
}

static void
lint_escapes(
    struct linter *l, const struct run *run, const char *name, size_t from)
{
	const struct escape *e;
	const struct item *at;
	size_t next = 0;

	while ((e = escape_next(name, run, from, &next, &at)) != NULL)
		warn(l, "escape", &at->at, "`%s%s%s` %s", name,
		    *e->word == '\0' ? "" : " ", e->word, e->does);
}

/* What another program runs for it, as `sudo tar`. */
static void
lint_wrapped(struct linter *l, const struct run *run, const char *name)
{
	const struct item *it;

	for (size_t k = 1; escape_wraps(name) && k < run->nitem; k++) {
		it = &run->item[k];
		if (it->npiece != 1 || it->piece[0].text == NULL)
			continue;
		name = base_name(l->p, it->piece[0].text);
		if (escape_knows(name)) {
			lint_escapes(l, run, name, k);
			return;
		}
	}
}

static void
lint_allow_run(struct linter *l, const struct run *run, bool piped)
{
	const char *name = run_name(l->p, run);
	const struct node *first = run->tree->child;
	const struct item *it;

	lint_escapes(l, run, name, 0);
	lint_wrapped(l, run, name);
	if (run->pty && is_in(pagers, name))
		warn(l, "pager", &run->at,
		    "`%s` shows its output in a pager "
		    "on a terminal, and a pager runs commands",
		    name);
	if (run->stdin_ok && is_interpreter(name))
		warn(l, "interpreter", &run->at,
		    "`%s` runs what comes on its "
		    "standard input",
		    name);
	if (piped && is_interpreter(name) && run->nitem == 1)
		warn(l, "interpreter", &run->at,
		    "`%s` runs what the program in front of it says", name);
	if (first != NULL && first->kind == NODE_WORD) {
		it = &run->item[first->item];
		if (it->piece[0].text != NULL && it->piece[0].text[0] != '/' &&
		    dict_get(&l->p->program_words, it->piece[0].text) == NULL)
			warn(l, "bare", &it->at,
			    "which `%s` this is, the "
			    "login's PATH decides: name it by `program` or by "
			    "its path",
			    it->piece[0].text);
	}
	for (size_t i = 0; i < run->nitem; i++) {
		it = &run->item[i];
		if (it->npiece != 1 || it->piece[0].text != NULL)
			continue;
		if (it->piece[0].slot->kind == SLOT_ANY)
			warn(l, "any", &it->at,
			    "any word at all is allowed "
			    "here");
		if (it->piece[0].slot->kind == SLOT_PATH &&
		    strcmp(it->piece[0].slot->pattern, "/**") == 0)
			warn(l, "any-path", &it->at,
			    "any path at all is "
			    "allowed here");
	}
}

static void
lint_variable(
    struct linter *l, const struct place *at, const char *name, size_t n)
{
	if (lint_env_loads(name, n))
		warn(l, "variable", at,
		    "who sets %.*s decides what programs load or run", (int)n,
		    name);
}

static void
lint_env(struct linter *l, const struct rule *rule)
{
	const struct env_var *e;

	for (size_t i = 0; i < rule->nenv; i++) {
		e = &rule->env[i];
		lint_variable(l, &e->at, e->name, strlen(e->name));
		if (!lint_env_comes(e->name, strlen(e->name)))
			warn(l, "never-sent", &e->at,
			    "no job can send %s: set it in the command, as "
			    "run %s=... COMMAND",
			    e->name, e->name);
	}
}

static void
lint_assigns(struct linter *l, const struct run *run)
{
	const char *text;

	for (; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nassign; i++) {
			text = run->assign[i].piece[0].text;
			if (text != NULL)
				lint_variable(l, &run->assign[i].at, text,
				    strcspn(text, "="));
		}
	}
}

/* -- what was written by a job ----------------------------------------------
 */

static bool
share_target(const struct linter *l, const struct rule *a, const struct rule *b)
{
	bool in[2];

	for (size_t i = 0; i < l->p->ntarget; i++) {
		in[0] = in[1] = false;
		for (size_t k = 0; k < a->nwhere; k++)
			in[0] |= where_has(&a->where[k], l->p->target[i]);
		for (size_t k = 0; k < b->nwhere; k++)
			in[1] |= where_has(&b->where[k], l->p->target[i]);
		if (in[0] && in[1])
			return true;
	}
	return false;
}

static bool
could_be_written(
    struct linter *l, const struct item *it, const struct transfer *t)
{
	const struct language_ctx ctx = { .p = l->p };
	struct fa *a, *b, *end, *both;
	bool some;

	if (!t->write || l->pairs++ >= PAIRS_MAX)
		return false;
	a = language_word(it, &ctx);
	end = language_text((const char[]){ LANGUAGE_END, '\0' });
	b = a == NULL || end == NULL ? NULL : language_behind(a, end);
	fa_free(a);
	fa_free(end);
	a = language_transfer(t, &ctx);
	both = a == NULL || b == NULL ? NULL : language_both(a, b);
	some = both != NULL && !language_is_empty(both);
	fa_free(a);
	fa_free(b);
	fa_free(both);
	return some;
}

/* May a job write what this word names?  Then it decides what is run. */
static void
lint_written_word(struct linter *l, const struct rule *rule,
    const struct item *it, const char *name)
{
	const struct rule *o;

	for (size_t i = 0; i < l->p->nrule; i++) {
		o = l->p->rule[i];
		for (size_t k = 0; k < o->ntransfer; k++) {
			if (o->effect != EFFECT_ALLOW ||
			    !share_target(l, rule, o) ||
			    !could_be_written(l, it, &o->transfer[k]))
				continue;
			warn(l, "written", &it->at,
			    "rule `%s` lets a job write there, and what lies "
			    "there decides what `%s` does",
			    o->name, name);
			return;
		}
	}
}

static void
lint_written(struct linter *l, const struct rule *rule, const struct run *run)
{
	const char *name = run_name(l->p, run);
	const struct item *it = &run->item[0];

	if (*name == '\0')
		return;
	if (it->piece[0].text[0] == '/')
		lint_written_word(l, rule, it, name);
	if (!escape_obeys_folder(name))
		return;
	if (run->dir != NULL)
		lint_written_word(l, rule, run->dir, name);
	for (size_t k = 1; k + 1 < run->nitem; k++) {
		it = &run->item[k];
		if (it->npiece == 1 && it->piece[0].text != NULL &&
		    (strcmp(it->piece[0].text, "-C") == 0 ||
			strcmp(it->piece[0].text, "-f") == 0))
			lint_written_word(l, rule, &run->item[k + 1], name);
	}
}

/* -- denies ------------------------------------------------------------------
 */

static bool
is_any_words(const struct run *run, const struct node *n)
{
	const struct item *it = &run->item[n->item];

	return n->kind == NODE_WORD && n->repeat && it->npiece == 1 &&
	       it->piece[0].slot != NULL && it->piece[0].slot->kind == SLOT_ANY;
}

/* One option more, and the rule does not hold any more. */
static void
lint_deny_run(struct linter *l, const struct run *run)
{
	const struct node *n = run->tree->child, *last = NULL;
	bool open = n != NULL && is_any_words(run, n);

	if (n == NULL || run->nitem < 2)
		return;
	for (; n != NULL; last = n, n = n->next) {
		if (last == NULL || is_any_words(run, n) || open ||
		    is_any_words(run, last))
			continue;
		warn(l, "deny-option", &run->at,
		    "one option more, and this "
		    "does not match: write <any>... between the words and "
		    "behind them");
		return;
	}
	if (!is_any_words(run, last))
		warn(l, "deny-option", &run->at,
		    "one word more at the end, and "
		    "this does not match: write <any>... behind it");
}

/* -- lines against each other
 * ---------------------------------------------------- */

static int
has_claim(void *arg, const struct item *it)
{
	(void)arg;
	return item_has_claim(it);
}

/* Does b match all that a does? */
static bool
contains(const struct linter *l, const struct run *a, const struct run *b)
{
	const struct language_ctx ctx = { .p = l->p };
	struct fa *x = NULL, *y = NULL;
	bool in = false;

	if (overlap_runs_apart(a, b) || items_of_run(a, has_claim, NULL) != 0 ||
	    items_of_run(b, has_claim, NULL) != 0)
		return false;
	if ((x = language_run(a, &ctx)) != NULL &&
	    (y = language_run(b, &ctx)) != NULL)
		in = fa_contains(x, y) == 1;
	fa_free(x);
	fa_free(y);
	return in;
}

static void
lint_same_rule(struct linter *l, const struct rule *rule, size_t i)
{
	const struct run *a = rule->run[i], *b;

	for (size_t k = 0; k < rule->nrun && l->pairs < PAIRS_MAX; k++) {
		b = rule->run[k];
		if (k == i)
			continue;
		l->pairs++;
		if ((a->pty && !b->pty) || (a->stdin_ok && !b->stdin_ok) ||
		    !contains(l, a, b) || (k > i && contains(l, b, a)))
			continue;
		warn(l, "shadowed", &a->at,
		    "line %u of this rule matches all "
		    "that this line does",
		    b->at.pos.line);
		return;
	}
}

static bool
is_everywhere(const struct rule *rule)
{
	return rule->nwhere == 1 && rule->where[0].kind == WHERE_ALL &&
	       rule->where[0].login == NULL && rule->nwindow == 0;
}

/* A line that some deny takes back whole. */
static void
lint_denied(struct linter *l, const struct run *a)
{
	const struct rule *rule;

	for (size_t i = 0; i < l->p->nrule && l->pairs < PAIRS_MAX; i++) {
		rule = l->p->rule[i];
		if (rule->effect != EFFECT_DENY || !rule->everyone ||
		    !is_everywhere(rule))
			continue;
		for (size_t k = 0; k < rule->nrun; k++) {
			l->pairs++;
			if (!contains(l, a, rule->run[k]))
				continue;
			warn(l, "never", &a->at,
			    "this line can never match: "
			    "rule `%s` denies all of it",
			    rule->name);
			return;
		}
	}
}

/* -- rules
 * ------------------------------------------------------------------------- */

/* Files that a login's shell reads would run as commands. */
static void
lint_home(struct linter *l, const struct transfer *t, const char *login)
{
	const char *path = t->under.piece[0].text;
	char home[64];

	if (path == NULL)
		return;
	(void)snprintf(home, sizeof(home),
	    strcmp(login, "root") == 0 ? "/%s" : "/home/%s", login);
	if (!path_is_beneath(path, home) && !path_is_beneath(home, path))
		return;
	l->fails = true;
	policy_error(l->p, l->d, &t->at,
	    "error: this reaches %s, and who "
	    "writes there decides what every later command of `%s` does "
	    "[home]",
	    home, login);
}

static void
lint_transfer(
    struct linter *l, const struct rule *rule, const struct transfer *t)
{
	const struct target *g;

	if (!t->write || rule->effect == EFFECT_DENY)
		return;
	if (t->max == 0)
		warn(l, "no-max", &t->at,
		    "nothing bounds how much is written: "
		    "say max SIZE");
	if ((t->by & BY_RSYNC) != 0 && !t->no_symlinks)
		warn(l, "links", &t->at,
		    "a link that is brought by rsync leads the next one "
		    "wherever this login may write: say no-symlinks");
	for (size_t i = 0; i < rule->nwhere; i++) {
		const struct where *w = &rule->where[i];

		if (w->login != NULL) {
			lint_home(l, t, w->login);
			return;
		}
		for (size_t k = 0; k < l->p->ntarget; k++) {
			g = &l->p->target[k]->pub;
			if (!where_has(w, l->p->target[k]))
				continue;
			lint_home(l, t, g->login);
			return;
		}
	}
}

/* May this repository be pushed to by anybody?  A path with slots may be. */
static bool
is_pushed_to(const struct linter *l, const struct repository *g)
{
	const char *path = g->path.piece[0].text, *other;
	const struct rule *rule;

	for (size_t i = 0; i < l->p->nrule; i++) {
		rule = l->p->rule[i];
		for (size_t k = 0; k < rule->nrepository; k++) {
			other = rule->repository[k].path.piece[0].text;
			if (rule->effect == EFFECT_ALLOW &&
			    rule->repository[k].write && path != NULL &&
			    other != NULL && strcmp(path, other) == 0)
				return true;
		}
	}
	return false;
}

/* What a fetch hides of a repository. */
static void
lint_fetch(struct linter *l, const struct repository *g)
{
	if (g->write || g->nref == 0)
		return;
	warn(l, "fetch-refs", &g->at,
	    is_pushed_to(l, g)
		? "this hides nothing from who may push here, too: a ref can "
		  "be pointed at any object and fetched"
		: "this hides names, not what is behind them: a ref that may "
		  "be fetched brings all that it was made from, of other refs, "
		  "too");
}

static void
lint_floor(struct linter *l, const struct rule *rule)
{
	const struct limits *m = &rule->limit;

	if (rule->floor && rule->approve == 0 && m->duration_s == 0 &&
	    m->output == 0 && m->concurrent == 0 && m->rate == 0)
		warn(l, "floor", &rule->at,
		    "a floor that demands nothing adds "
		    "nothing");
}

static void
lint_rule(struct linter *l, const struct rule *rule)
{
	bool allow = rule->effect == EFFECT_ALLOW;

	if (allow && rule->everyone)
		warn(l, "everyone", &rule->at,
		    "rule `%s` is for every "
		    "identity there is, and for those to come",
		    rule->name);
	if (!allow && rule->because == NULL)
		warn(l, "because", &rule->at,
		    "who is denied by `%s` is not "
		    "told why: add because \"...\"",
		    rule->name);
	lint_floor(l, rule);
	lint_env(l, rule);
	for (size_t i = 0; i < rule->nrun; i++) {
		if (!allow) {
			lint_deny_run(l, rule->run[i]);
			continue;
		}
		for (const struct run *run = rule->run[i]; run != NULL;
		     run = run->next) {
			lint_allow_run(l, run, run != rule->run[i]);
			lint_written(l, rule, run);
		}
		lint_assigns(l, rule->run[i]);
		lint_same_rule(l, rule, i);
		lint_denied(l, rule->run[i]);
	}
	for (size_t i = 0; i < rule->ntransfer; i++)
		lint_transfer(l, rule, &rule->transfer[i]);
	for (size_t i = 0; i < rule->nrepository; i++)
		lint_fetch(l, &rule->repository[i]);
}

/* -- identities
 * ------------------------------------------------------------------- */

static bool
has_id(const struct identity *id)
{
	const struct condition *c;

	for (size_t i = 0; i < id->cond.n; i++) {
		c = &id->cond.v[i];
		if (c->kind == CONDITION_VALUES &&
		    preset_is_id(id->issuer->preset, c->claim))
			return true;
	}
	return false;
}

static void
lint_identity(struct linter *l, const struct identity *id)
{
	if (id->issuer->preset->pin != NULL && !has_id(id))
		warn(l, "name-only", &id->at,
		    "identity `%s` goes by names "
		    "alone: whoever gets the name is it; add a claim that is "
		    "an id",
		    id->name);
	for (size_t i = 0; i < id->cond.n; i++) {
		const struct condition *c = &id->cond.v[i];

		for (size_t k = 0; k < c->nvalue; k++) {
			if (c->value[k].glob &&
			    (strcmp(c->value[k].text, "**") == 0 ||
				strcmp(c->value[k].text, "*") == 0))
				warn(l, "glob", &c->value[k].at,
				    "this matches "
				    "everything: write `present`");
		}
	}
	for (size_t i = 0; i < l->p->nidentity; i++) {
		const struct identity *o = l->p->identity[i];

		if (o->index < id->index && o->issuer == id->issuer &&
		    o->cond.n == 1 && id->cond.n == 1 &&
		    o->cond.v[0].nvalue == 1 && id->cond.v[0].nvalue == 1 &&
		    strcmp(o->cond.v[0].claim, id->cond.v[0].claim) == 0 &&
		    strcmp(o->cond.v[0].value[0].text,
			id->cond.v[0].value[0].text) == 0)
			warn(l, "twin", &id->at,
			    "identity `%s` is the same as "
			    "`%s`",
			    id->name, o->name);
	}
}

/* -- targets
 * --------------------------------------------------------------------- */

/* Words that postern@'s broker shell takes before it looks for a target
 * (broker/brokershell_targets.c, shell/interactive.c). */
static void
lint_shell_word(
    struct linter *l, const struct target *t, const struct place *at)
{
	static const char *const words[] = { "can", "exit", "help", "login",
		"logout", "targets", "whoami", NULL };

	if (is_in(words, t->name))
		warn(l, "shell-word", at,
		    "in the shell of postern@ `%s` is a word of the shell: "
		    "this target is `%s+%s` there",
		    t->name, t->login, t->name);
}

int
policy_lint(const struct policy *p, struct diags *d, bool *fails)
{
	struct linter l = { .p = p, .d = d };
	int r;

	for (size_t i = 0; i < p->nrule; i++)
		lint_rule(&l, p->rule[i]);
	for (size_t i = 0; i < p->nidentity; i++)
		lint_identity(&l, p->identity[i]);
	for (size_t i = 0; i < p->ntarget; i++)
		lint_shell_word(&l, &p->target[i]->pub, &p->target[i]->at);
	if ((r = lint_unused(p, d)) != 0)
		return r;
	if (p->nrule > 0 && p->ntest == 0)
		warn(&l, "untested", &p->rule[0]->at,
		    "the policy has no test: "
		    "say what must stay allowed, and what denied");
	*fails = l.fails;
	return 0;
}
