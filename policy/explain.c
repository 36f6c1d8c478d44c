/*
 * Why a job was denied.  Runs in policy after a denial and decides nothing.
 * The command is the job's, so every piece of it is shown escaped; the work
 * for one answer is bounded, whatever the command and the policy.
 */
#include "config.h"

#include "policy/decide.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/nearest.h"
#include "policy/zone.h"

#define PREFIX "postern:   "
#define STEPS_MAX (1 << 20)	/* of looking for the nearest rule */
#define FIRST_WORD_COST 3	/* another program is far away */
#define NAMES_MAX 5
#define NONE NEAREST_NONE

static bool
is_shorter(const struct way *a, const struct way *b)
{
	if (a->cost != b->cost)
		return a->cost < b->cost;
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
    size_t i, const struct way *now, size_t from, struct way *next)
{
	const uint64_t *set = from == 0 ? run->first :
	    run->follow + (from - 1) * run->nw;
	struct way w;

	for (size_t p = 0; p < run->nitem; p++) {
		n->steps++;
		if (!bit_get(set, p))
			continue;
		w = now[from];
		if (!item_matches(&run->item[p], s, i))
			w = failed(w, i, p, from);
		improve(&next[p + 1], &w);
	}
	w = failed(now[from], i, NONE, from);
	improve(&next[from], &w);
}

/* Does the pattern end after this state?  If not, words are missing. */
static struct way
ended(const struct run *run, const struct subject *s, const struct way *now,
    size_t from)
{
	const uint64_t *set;
	size_t item = 0;

	if (from > 0 && bit_get(run->last, from - 1))
		return now[from];
	set = from == 0 ? run->first : run->follow + (from - 1) * run->nw;
	while (item + 1 < run->nitem && !bit_get(set, item))
		item++;
	return failed(now[from], s->argc, item, from);
}

static void
try_run(struct nearest *n, const struct run *run, const struct subject *s)
{
	static const struct way far = { SIZE_MAX / 2, NONE, NONE, NONE };
	struct way set[2][RUN_ITEMS_MAX + 1], w, best = far;
	size_t now = 0;

	for (size_t p = 0; p <= run->nitem; p++)
		set[0][p] = far;
	set[0][0].cost = 0;
	for (size_t i = 0; i < s->argc; i++, now = !now) {
		for (size_t p = 0; p <= run->nitem; p++)
			set[!now][p] = far;
		for (size_t p = 0; p <= run->nitem; p++) {
			if (set[now][p].cost < far.cost)
				advance(n, run, s, i, set[now], p, set[!now]);
		}
		if (n->steps > STEPS_MAX)
			return;
	}
	for (size_t p = 0; p <= run->nitem; p++) {
		if (set[now][p].cost >= far.cost)
			continue;
		w = ended(run, s, set[now], p);
		improve(&best, &w);
	}
	if (n->run == NULL || is_shorter(&best, &n->way) ||
	    (!is_shorter(&n->way, &best) &&
	    strcmp(run->rule->name, n->run->rule->name) < 0)) {
		n->run = run;
		n->way = best;
	}
}

static bool
could_allow(const struct rule *rule, const struct request *q)
{
	return rule->effect == EFFECT_ALLOW && rule_is_here(rule, q) &&
	    rule_identity(rule, q) != NULL;
}

/* First the rules of the same program, then all: within the bound on steps. */
void
nearest_find(
    const struct request *q, const struct subject *s, struct nearest *n)
{
	const struct policy *p = q->policy;
	const struct bucket *b = policy_bucket(p, s);

	*n = (struct nearest){ 0 };
	for (size_t i = 0; b != NULL && i < b->n; i++) {
		if (n->steps <= STEPS_MAX && could_allow(b->run[i]->rule, q))
			try_run(n, b->run[i], s);
	}
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

/* -- words ------------------------------------------------------------------- */

/* The command with a caret under one word (argc: behind the last). */
static int
show_command(const struct request *q, size_t word, struct buf *out)
{
	struct buf b;
	size_t off, len;
	int r;

	buf_init(&b, COMMAND_LEN_MAX);
	r = command_print_place(q->command, &b, word, &off, &len);
	if (r == 0)
		r = diag_excerpt(out, PREFIX, (const char *)buf_ptr(&b),
		    buf_len(&b), off, len);
	buf_clear(&b);
	return r;
}

/* A rule's name, its file and line, and that line with a caret. */
static int
show_rule(const struct policy *p, const struct rule *rule, const char *what,
    const struct place *at, struct buf *out)
{
	const struct source *s = &p->source[at->pos.file];
	int r;

	if ((r = buf_putf(out, "postern: %s `%s` at %s:%u\n", what, rule->name,
	    s->name, at->pos.line)) != 0)
		return r;
	return diag_excerpt(out, PREFIX, s->text, s->len, at->pos.off,
	    at->width);
}

static const char *
why_word_failed(const struct nearest *n, const struct subject *s)
{
	const struct item *it;

	if (n->way.word >= s->argc)
		return "here a word is missing";
	if (n->way.word == 0)
		return "no rule that is for you here runs this program";
	if (n->way.item == NONE)
		return "this word is one too many";
	it = &n->run->item[n->way.item];
	if (it->no_dash && s->argv[n->way.word][0] == '-')
		return "options must be written out in the rule";
	return "this word does not fit";
}

/* The rule fits, but not now. */
static int
show_window(const struct request *q, const struct rule *rule, struct buf *out)
{
	static const char day[7][4] = { "Mon", "Tue", "Wed", "Thu", "Fri",
		"Sat", "Sun" };
	const struct window *w = &rule->window[0];
	struct zone_local l;
	int r;

	if ((r = show_rule(q->policy, rule, "rule", &w->at, out)) != 0)
		return r;
	if (q->now <= 0)
		return buf_putf(out, "postern: the rule has its times, and it "
		    "is not known what time it is\n");
	zone_to_local(w->zone, q->now, &l);
	return buf_putf(out, "postern: the rule allows this command at other "
	    "times: now it is %s %02u:%02u in %s\n", day[l.weekday],
	    l.minute / 60, l.minute % 60, w->zone_name);
}

static int
show_nearest(const struct request *q, const struct subject *s,
    const struct nearest *n, struct buf *out)
{
	const struct run *run = n->run;
	const struct place *at = &run->at;
	int r;

	if (n->way.word == NONE && !rule_is_now(run->rule, q))
		return show_window(q, run->rule, out);
	if (n->way.word == NONE) {
		if ((r = show_rule(q->policy, run->rule, "rule", at, out)) != 0)
			return r;
		return buf_putf(out, "postern: the rule allows this command, "
		    "but no terminal: leave out ssh's -t\n");
	}
	if (n->way.item != NONE)
		at = &run->item[n->way.item].at;
	if ((r = show_command(q, n->way.word, out)) != 0 ||
	    (r = buf_putf(out, "postern: %s\n", why_word_failed(n, s))) != 0)
		return r;
	if (n->way.word == 0) /* a rule of another program would be no help */
		return 0;
	return show_rule(q->policy, run->rule, "nearest rule", at, out);
}

/* The identities of the session, so that a job sees who it is taken for. */
static int
show_identities(const struct request *q, struct buf *out)
{
	const struct identity *id;
	size_t n = 0;
	int r;

	if ((r = buf_putf(out, "postern: you are")) != 0)
		return r;
	for (size_t i = 0; i < q->policy->nidentity && n < NAMES_MAX; i++) {
		id = q->policy->by_name[i];
		if (!q->identity[id->index])
			continue;
		if ((r = buf_putf(out, "%s %s", n == 0 ? "" : ",",
		    id->name)) != 0)
			return r;
		n++;
	}
	return buf_putf(out, "%s\n", n == 0 ? " nobody that the policy knows" :
	    n == NAMES_MAX ? ", ..." : "");
}

static int
explain_default(const struct request *q, const struct subject *s,
    struct buf *out)
{
	bool full = q->policy->explain == EXPLAIN_FULL;
	struct nearest n = { 0 };
	int r;

	if (full)
		nearest_find(q, s, &n);
	if (full && n.run == NULL) {
		if ((r = show_identities(q, out)) != 0)
			return r;
		return buf_putf(out, "postern: denied: no rule allows you "
		    "anything as %s on %s\n", q->login, q->target->name);
	}
	if (full && (r = show_nearest(q, s, &n, out)) != 0)
		return r;
	return buf_putf(out, "postern: denied: no rule allows this as %s on "
	    "%s\n", q->login, q->target->name);
}

static int
explain_rule(const struct request *q, const struct decision *d,
    const struct subject *s, struct buf *out)
{
	const struct rule *rule = d->rule;
	const struct place *at = &rule->at;
	int r;

	for (size_t i = 0; i < rule->nrun; i++) {
		if (run_matches(rule->run[i], s)) {
			at = &rule->run[i]->at;
			break;
		}
	}
	if (q->policy->explain == EXPLAIN_FULL &&
	    (r = show_rule(q->policy, rule, "rule", at, out)) != 0)
		return r;
	if (d->missing != NULL)
		return buf_putf(out, "postern: denied: rule `%s` allows this, "
		    "but it or another rule demands %s, which this version "
		    "cannot enforce yet\n", rule->name, d->missing);
	return buf_putf(out, "postern: denied by rule `%s`%s%s\n", rule->name,
	    rule->because == NULL ? "" : ": ",
	    rule->because == NULL ? "" : rule->because);
}

int
decide_explain(const struct request *q, const struct decision *d,
    struct buf *out)
{
	struct subject s;

	if (d->verdict != VERDICT_DENY)
		return buf_putf(out, "postern: allowed by rule `%s`%s\n",
		    d->rule_name, d->verdict == VERDICT_APPROVAL ?
		    ", once it is approved" : "");
	if (q->target == NULL)
		return buf_putf(out, "postern: denied: there is no such "
		    "target\n");
	if (!request_is_whole(q) || !subject_init(&s, q->policy, q->command,
	    q->claims) || q->policy->explain == EXPLAIN_NONE)
		return buf_putf(out, "postern: denied\n");
	if (d->rule != NULL)
		return explain_rule(q, d, &s, out);
	return explain_default(q, &s, out);
}
