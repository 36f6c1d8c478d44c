/*
 * What OLD denied for a variable that a job sends.  Runs in the command line
 * tools.
 *
 * No text of a command shows such a variable, so what differs by it alone is
 * not found by cutting languages.  But a variable counts only where it goes
 * along, which is where the rule that decides names it (`env`): one that stays
 * behind leaves the command as it is without it, and that is looked at
 * already.  So each deny line of OLD that has variables is held against each
 * allow line of NEW whose rule lets one of them in, in every session, place
 * and time that both are for.  Either a deny line of NEW covers it there, or
 * both policies are asked about a command that both lines match, with the
 * variables; and if that shows nothing, it is not decided.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/compare_internal.h"
#include "policy/items.h"
#include "policy/language_internal.h"
#include "policy/model.h"
#include "policy/overlap.h"

#define SENT_MAX (COMMAND_STAGES_MAX * COMMAND_ASSIGN_MAX)

/* A deny line of OLD and an allow line of NEW. */
struct pair {
	struct compare *c;
	const struct line *deny, *allow;
	const struct line **cover; /* deny lines of NEW around it */
	size_t ncover;
	char *text; /* a command that both match; NULL: none was made */
	size_t len;
	char *sent[SENT_MAX];
	size_t nsent;
};

static bool
has_variables(const struct run *run)
{
	for (; run != NULL; run = run->next) {
		if (run->nassign > 0)
			return true;
	}
	return false;
}

bool
line_denies_sent(const struct line *l)
{
	return l->side == CELLS_OLD && l->rule->effect == EFFECT_DENY &&
	       l->run != NULL && has_variables(l->run);
}

static bool
is_of_name(const struct item *it, const char *name)
{
	const char *text = it->piece[0].text;
	size_t n = text == NULL ? 0 : env_name_len(text);

	return n > 0 && strlen(name) == n && strncmp(name, text, n) == 0;
}

/* The allow line's variable that the deny line's speaks of, or NULL. */
static const struct env_var *
let_in(const struct pair *p, const struct item *it)
{
	const struct rule *rule = p->allow->rule;

	for (size_t i = 0; i < rule->nenv; i++) {
		if (is_of_name(it, rule->env[i].name))
			return &rule->env[i];
	}
	return NULL;
}

/* -- a command and variables that both lines match ------------------------- */

/* A deny line of NEW of the same variable is more likely to show nothing. */
static const struct item *
denied_anew(const struct line *l, const struct env_var *e)
{
	const struct item *it;

	if (l->side != CELLS_NEW || l->rule->effect != EFFECT_DENY)
		return NULL;
	for (const struct run *run = l->run; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nassign; i++) {
			it = &run->assign[i];
			if (is_of_name(it, e->name) && !item_has_claim(it))
				return it;
		}
	}
	return NULL;
}

/* The rest, if there is one. */
static struct fa *
preferring(struct fa *take, struct fa *take_less)
{
	struct fa *rest = language_without(take, take_less);

	fa_free(take_less);
	if (rest == NULL || language_is_empty(rest)) {
		fa_free(rest);
		return take;
	}
	fa_free(take);
	return rest;
}

static struct fa *
preferred_values(const struct pair *p, struct fa *take, const struct env_var *e)
{
	const struct language_ctx new = { .p = p->c->cells.p[CELLS_NEW] };
	const struct item *it;
	struct fa *less;

	for (size_t i = 0; i < p->c->n && take != NULL; i++) {
		if ((it = denied_anew(&p->c->line[i], e)) != NULL &&
		    (less = language_word(it, &new)) != NULL)
			take = preferring(take, less);
	}
	return take;
}

/* NAME=VALUE, as the one denies it and the other takes it; NULL for none. */
static struct fa *
both_values(
    const struct pair *p, const struct item *it, const struct env_var *e)
{
	const struct language_ctx old = { .p = p->c->cells.p[CELLS_OLD] };
	const struct language_ctx new = { .p = p->c->cells.p[CELLS_NEW] };
	struct fa *a = language_word(it, &old);
	struct fa *b =
	    fa_behind(fa_behind(language_text(e->name), fa_char('=')),
		language_word(&e->value, &new));
	struct fa *both = language_both(a, b);

	fa_free(a);
	fa_free(b);
	return both;
}

/* Takes an example of the values; false: there are none. */
static bool
add_value(struct pair *p, const struct item *it, const struct env_var *e)
{
	struct fa *fa;
	char *text;
	size_t n;

	if (item_has_claim(it) || item_has_claim(&e->value))
		return true;
	if ((fa = both_values(p, it, e)) != NULL && language_is_empty(fa)) {
		fa_free(fa);
		return false;
	}
	fa = preferred_values(p, fa, e);
	text = fa == NULL ? NULL : language_example(fa, &n);
	if (text != NULL && p->nsent < SENT_MAX)
		p->sent[p->nsent++] = text;
	else
		free(text);
	fa_free(fa);
	return true;
}

/* Can a variable that the deny line speaks of go along? */
static bool
add_values(struct pair *p)
{
	const struct env_var *e;
	bool some = false;

	for (const struct run *run = p->deny->run; run != NULL;
	     run = run->next) {
		for (size_t i = 0; i < run->nassign; i++) {
			e = let_in(p, &run->assign[i]);
			if (e != NULL && add_value(p, &run->assign[i], e))
				some = true;
		}
	}
	return some;
}

/* The line without its variables, in this place. */
static struct fa *
without_variables(const struct line *l, const struct language_ctx *x)
{
	struct run copy[COMMAND_STAGES_MAX];
	size_t n = 0;

	for (const struct run *run = l->run;
	     run != NULL && n < COMMAND_STAGES_MAX; run = run->next, n++) {
		copy[n] = *run;
		copy[n].nassign = 0;
		copy[n].next = NULL;
		if (n > 0)
			copy[n - 1].next = &copy[n];
	}
	return language_run(copy, x);
}

/* Makes p->text; false: there is no such command. */
static bool
add_command(struct pair *p)
{
	const struct spot *spot = p->c->spot;
	const struct language_ctx old = { .p = p->c->cells.p[CELLS_OLD],
		.target = spot->target[CELLS_OLD] };
	const struct language_ctx new = { .p = p->c->cells.p[CELLS_NEW],
		.target = spot->target[CELLS_NEW] };
	struct fa *a, *b, *both;
	bool some;

	if (line_has_claims(p->deny) || line_has_claims(p->allow))
		return true;
	a = without_variables(p->deny, &old);
	b = language_run(p->allow->run, &new);
	both = language_both(a, b);
	fa_free(a);
	fa_free(b);
	some = both == NULL || !language_is_empty(both);
	if (both != NULL && some)
		p->text = language_example(both, &p->len);
	fa_free(both);
	return some;
}

/* -- where both are for ---------------------------------------------------- */

static bool
is_in(const struct pair *p, const struct line *l, const struct session *s,
    const struct spot *spot, time_t now)
{
	return cells_is_for(&p->c->cells, l->side, l->rule, s) &&
	       cells_is_here(&p->c->cells, l->side, l->rule, spot) &&
	       cells_is_now(l->rule, now);
}

static bool
is_covered_in(const struct pair *p, const struct session *s,
    const struct spot *spot, time_t now)
{
	for (size_t i = 0; i < p->ncover; i++) {
		if (is_in(p, p->cover[i], s, spot, now))
			return true;
	}
	return false;
}

/* Asks; without an answer that differs it is not decided. */
static int
ask_in(struct pair *p, const struct session *s, const struct spot *spot,
    time_t now)
{
	struct compare *c = p->c;
	size_t before = c->nallowed;
	char *text = p->text == NULL ? NULL : malloc(p->len + 1);
	int r = 0;

	if (text != NULL) {
		memcpy(text, p->text, p->len + 1);
		c->sent = (const char *const *)p->sent;
		c->nsent = p->nsent;
		r = compare_ask_there(c, text, p->len, s, spot, now);
		c->sent = NULL;
		c->nsent = 0;
	}
	free(text);
	if (c->nallowed == before && (r == 0 || r == ERR_TOOBIG)) {
		compare_doubt(c, p->deny,
		    "what it denies for a variable that a job sends");
		r = 0;
	}
	return r;
}

/* One place and time of each session is enough. */
static int
ask_session(struct pair *p, const struct session *s)
{
	const struct cells *cells = &p->c->cells;

	if (!cells_is_for(cells, CELLS_OLD, p->deny->rule, s) ||
	    !cells_is_for(cells, CELLS_NEW, p->allow->rule, s))
		return 0;
	for (size_t k = 0; k < cells->nspot; k++) {
		const struct spot *spot = &cells->spot[k];

		if (spot->programs != p->c->programs ||
		    !cells_is_here(cells, CELLS_OLD, p->deny->rule, spot) ||
		    !cells_is_here(cells, CELLS_NEW, p->allow->rule, spot))
			continue;
		for (size_t t = 0; t < cells->nnow; t++) {
			time_t now = cells->now[t];

			if (is_in(p, p->deny, s, spot, now) &&
			    is_in(p, p->allow, s, spot, now) &&
			    !is_covered_in(p, s, spot, now))
				return ask_in(p, s, spot, now);
		}
	}
	return 0;
}

/* The deny lines of NEW around one of the two. */
static int
find_cover(struct pair *p)
{
	const struct line *l;

	p->cover = calloc(p->c->n + 1, sizeof(*p->cover));
	if (p->cover == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->c->n; i++) {
		l = &p->c->line[i];
		if (l->side == CELLS_NEW && l->rule->effect == EFFECT_DENY &&
		    !l->touched &&
		    (line_is_within(p->deny, l) || line_is_within(p->allow, l)))
			p->cover[p->ncover++] = l;
	}
	return 0;
}

static int
look_at_pair(struct pair *p)
{
	int r = 0;

	if (add_values(p) && add_command(p) && (r = find_cover(p)) == 0) {
		for (size_t i = 0; i < p->c->cells.nsession && r == 0 &&
				   compare_has_time(p->c);
		     i++)
			r = ask_session(p, &p->c->cells.session[i]);
	}
	for (size_t i = 0; i < p->nsent; i++)
		free(p->sent[i]);
	free(p->text);
	free(p->cover);
	return r;
}

int
compare_sent(struct compare *c, const struct line *deny)
{
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0 && compare_has_time(c); i++) {
		struct pair p = { .c = c, .deny = deny, .allow = &c->line[i] };

		if (line_is_new_allow(p.allow) && p.allow->rule->nenv > 0)
			r = look_at_pair(&p);
	}
	return r;
}
