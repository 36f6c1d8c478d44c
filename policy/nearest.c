/*
 * The nearest rule to a command that none allows.  Runs in policy after a
 * denial, and in the tools; decides nothing.  Edit distance over words, along
 * the pattern's automaton.
 */
#include "config.h"

#include "policy/nearest.h"

#include <string.h>

#include "policy/decide.h"
#include "policy/index.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

#define STEPS_MAX (1 << 20) /* of looking for the nearest rule */
#define FIRST_WORD_COST 3   /* another program is far away */
#define NONE NEAREST_NONE

static bool
is_shorter(const struct way *a, const struct way *b)
{
	if (a->cost != b->cost)
		return a->cost < b->cost;
	if (a->stage != b->stage)
		return a->stage > b->stage;
	return a->word > b->word; /* the one that gets further */
}

static struct way
failed(struct way w, size_t word, size_t item, size_t from)
{
	w.cost += word == 0 ? FIRST_WORD_COST : 1;
	if (w.word == NONE) {
		w.word = word;
		w.item = item;
		w.after = from == 0 ? NONE : from - 1;
	}
	return w;
}

static void
improve(struct way *to, const struct way *by)
{
	if (is_shorter(by, to))
		*to = *by;
}

/* Word i read as each item that may follow state `from` (0: the start). */
static void
advance(struct nearest *n, const struct run *run, const struct subject *s,
    size_t stage, size_t i, const struct way *now, size_t from,
    struct way *next)
{
	const uint64_t *set =
	    from == 0 ? run->first : run->follow + (from - 1) * run->nw;
	struct way w;

	for (size_t p = 0; p < run->nitem; p++) {
		n->steps++;
		if (!bit_get(set, p))
			continue;
		w = now[from];
		if (!item_matches(&run->item[p], s, stage, i))
			w = failed(w, i, p, from);
		improve(&next[p + 1], &w);
	}
	w = failed(now[from], i, NONE, from);
	improve(&next[from], &w);
}

/* Does the pattern end after this state?  If not, words are missing. */
static struct way
ended(const struct run *run, size_t argc, const struct way *now, size_t from)
{
	const uint64_t *set;
	size_t item = 0;

	if (from > 0 && bit_get(run->last, from - 1))
		return now[from];
	set = from == 0 ? run->first : run->follow + (from - 1) * run->nw;
	while (item + 1 < run->nitem && !bit_get(set, item))
		item++;
	return failed(now[from], argc, item, from);
}

/* One program of a line and one of the command. */
static struct way
words_way(struct nearest *n, const struct run *run, const struct subject *s,
    size_t stage)
{
	static const struct way far = {
		.cost = SIZE_MAX / 4, .word = NONE, .item = NONE, .after = NONE
	};
	struct way set[2][RUN_ITEMS_MAX + 1], w, best = far;
	size_t now = 0, argc = s->stage[stage].argc;

	for (size_t p = 0; p <= run->nitem; p++)
		set[0][p] = far;
	set[0][0].cost = 0;
	for (size_t i = 0; i < argc; i++, now = !now) {
		for (size_t p = 0; p <= run->nitem; p++)
			set[!now][p] = far;
		for (size_t p = 0; p <= run->nitem; p++) {
			if (set[now][p].cost < far.cost)
				advance(n, run, s, stage, i, set[now], p,
				    set[!now]);
		}
		if (n->steps > STEPS_MAX)
			return far;
	}
	for (size_t p = 0; p <= run->nitem; p++) {
		if (set[now][p].cost >= far.cost)
			continue;
		w = ended(run, argc, set[now], p);
		improve(&best, &w);
	}
	return best;
}

/* Adds what is wrong; the first of all is what is shown. */
static void
beside(struct way *w, enum way_what what, size_t stage, size_t cost)
{
	if (cost > 0 && w->word == NONE && w->what == WAY_WORDS) {
		w->what = what;
		w->stage = stage;
	}
	w->cost += cost;
}

static struct way
line_way(struct nearest *n, const struct run *run, const struct subject *s,
    const struct run **at)
{
	struct way all = { .word = NONE, .item = NONE, .after = NONE }, w;
	const struct run *r = run;
	size_t k;

	for (k = 0; r != NULL && k < s->nstage; r = r->next, k++) {
		w = words_way(n, r, s, k);
		w.cost += all.cost;
		w.stage = k;
		if (all.word == NONE && w.word != NONE) {
			all = w;
			*at = r;
		}
		all.cost = w.cost;
	}
	for (r = run, k = 0; r != NULL && k < s->nstage; r = r->next, k++)
		beside(&all, WAY_ASSIGN, k, !assigns_match(r, s, k));
	beside(&all, WAY_DIR, 0, !dir_matches(run, s));
	beside(&all, WAY_STAGES, 0,
	    2 * (run->nstage > s->nstage ? run->nstage - s->nstage
					 : s->nstage - run->nstage));
	return all;
}

static void
try_run(struct nearest *n, const struct run *run, const struct subject *s)
{
	const struct run *at = run;
	struct way w = line_way(n, run, s, &at);

	if (n->run == NULL || is_shorter(&w, &n->way) ||
	    (!is_shorter(&n->way, &w) &&
		strcmp(run->rule->name, n->run->rule->name) < 0)) {
		n->run = run;
		n->at = at;
		n->way = w;
	}
}

static bool
could_allow(const struct rule *rule, const struct request *q)
{
	return rule->effect == EFFECT_ALLOW && rule_is_here(rule, q) &&
	       rule_identity(rule, q) != NULL;
}

struct search {
	const struct request *q;
	const struct subject *s;
	struct nearest *n;
};

static void
try_indexed(const void *line, void *ctx)
{
	const struct search *f = ctx;
	const struct run *run = line;

	if (f->n->steps <= STEPS_MAX && could_allow(run->rule, f->q))
		try_run(f->n, run, f->s);
}

/* First the rules of the same program, then all: within the bound on steps. */
void
nearest_find(
    const struct request *q, const struct subject *s, struct nearest *n)
{
	const struct policy *p = q->policy;
	struct search f = { q, s, n };

	*n = (struct nearest){ 0 };
	index_each_program(q, s, 0, try_indexed, &f);
	for (size_t i = 0; i < p->nrule && n->steps <= STEPS_MAX; i++) {
		n->steps++;
		if (!could_allow(p->rule[i], q))
			continue;
		for (size_t k = 0; k < p->rule[i]->nrun; k++) {
			if (n->steps <= STEPS_MAX)
				try_run(n, p->rule[i]->run[k], s);
		}
	}
}
