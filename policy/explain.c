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
#include "policy/command.h"
#include "policy/explain.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/nearest.h"
#include "policy/served.h"
#include "policy/zone.h"

#define PREFIX "postern:   "
#define NAMES_MAX 5
#define NONE NEAREST_NONE

/* -- words ------------------------------------------------------------------- */

/* The command with a caret under one word (argc: behind the last). */
static int
show_command(
    const struct request *q, size_t stage, size_t word, struct buf *out)
{
	struct buf b;
	size_t off, len;
	int r;

	for (size_t k = 0; k < stage; k++)
		word += q->command->stage[k].argc;
	buf_init(&b, COMMAND_LEN_MAX);
	r = command_print_place(q->command, &b, word, &off, &len);
	if (r == 0)
		r = diag_excerpt(out, PREFIX, (const char *)buf_ptr(&b),
		    buf_len(&b), off, len);
	buf_clear(&b);
	return r;
}

int
explain_show_rule(const struct policy *p, const struct rule *rule,
    const char *what, const struct place *at, struct buf *out)
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
	const struct subject_stage *g = &s->stage[n->way.stage];
	const struct item *it;

	if (n->way.word >= g->argc)
		return "here a word is missing";
	if (n->way.word == 0 && n->way.stage == 0)
		return "no rule that is for you here runs this program";
	if (n->way.item == NONE)
		return "this word is one too many";
	it = &n->at->item[n->way.item];
	if (it->no_dash && g->argv[n->way.word][0] == '-')
		return "options must be written out in the rule";
	return "this word does not fit";
}

int
explain_show_window(
    const struct request *q, const struct rule *rule, struct buf *out)
{
	static const char day[7][4] = { "Mon", "Tue", "Wed", "Thu", "Fri",
		"Sat", "Sun" };
	const struct window *w = &rule->window[0];
	struct zone_local l;
	int r;

	if ((r = explain_show_rule(q->policy, rule, "rule", &w->at, out)) != 0)
		return r;
	if (q->now <= 0)
		return buf_putf(out, "postern: the rule has its times, and it "
		    "is not known what time it is\n");
	zone_to_local(w->zone, q->now, &l);
	return buf_putf(out,
	    "postern: the rule allows this at other "
	    "times: now it is %s %02u:%02u in %s\n",
	    day[l.weekday], l.minute / 60, l.minute % 60, w->zone_name);
}

/* The words fit, and what stands beside them does not. */
static int
show_beside(const struct request *q, const struct nearest *n, struct buf *out)
{
	const struct run *run = n->run;
	const struct place *at = n->way.what == WAY_DIR && run->dir != NULL
				     ? &run->dir->at
				     : &run->at;
	const char *why = "another number of programs in this pipeline";
	int r;

	if (n->way.what == WAY_ASSIGN)
		why = "not with these variables in front of it";
	else if (n->way.what == WAY_DIR && run->dir == NULL)
		why = "not in a folder of the job's choice: leave out the `cd`";
	else if (n->way.what == WAY_DIR && q->command->dir == NULL)
		why = "only in a folder: write cd /FOLDER && in front of it";
	else if (n->way.what == WAY_DIR)
		why = "not in this folder";
	if ((r = explain_show_rule(
		 q->policy, run->rule, "nearest rule", at, out)) != 0)
		return r;
	return buf_putf(
	    out, "postern: the rule allows this command, but %s\n", why);
}

static int
show_nearest(const struct request *q, const struct subject *s,
    const struct nearest *n, struct buf *out)
{
	const struct run *run = n->run;
	const struct place *at = &run->at;
	int r;

	if (n->way.what != WAY_WORDS)
		return show_beside(q, n, out);
	if (n->way.word == NONE && !rule_is_now(run->rule, q))
		return explain_show_window(q, run->rule, out);
	if (n->way.word == NONE) {
		if ((r = explain_show_rule(
			 q->policy, run->rule, "rule", at, out)) != 0)
			return r;
		return buf_putf(out, "postern: the rule allows this command, "
		    "but no terminal: leave out ssh's -t\n");
	}
	if (n->way.item != NONE)
		at = &n->at->item[n->way.item].at;
	if ((r = show_command(q, n->way.stage, n->way.word, out)) != 0 ||
	    (r = buf_putf(out, "postern: %s\n", why_word_failed(n, s))) != 0)
		return r;
	if (n->way.word == 0 &&
	    n->way.stage == 0) /* a rule of another program would be no help */
		return 0;
	return explain_show_rule(q->policy, run->rule, "nearest rule", at, out);
}

int
explain_show_identities(const struct request *q, struct buf *out)
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

/* Where it would have run, which the job may not have written. */
static int
show_folder(const struct request *q, const struct subject *s, struct buf *out)
{
	int r;

	if (s == NULL || q->command->dir == NULL)
		return 0;
	if ((r = buf_putf(out, " in ")) != 0)
		return r;
	return word_print(q->command->dir, out);
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
		if ((r = explain_show_identities(q, out)) != 0)
			return r;
		return buf_putf(out, "postern: denied: no rule allows you "
		    "anything as %s on %s\n", q->login, q->target->name);
	}
	if (full && (r = show_nearest(q, s, &n, out)) != 0)
		return r;
	if ((r = buf_putf(out,
		 "postern: denied: no rule allows this as %s on "
		 "%s",
		 q->login, q->target->name)) != 0 ||
	    (r = show_folder(q, s, out)) != 0)
		return r;
	return buf_put(out, "\n", 1);
}

/* The line of the rule that decided. */
static const struct place *
rule_line(
    const struct rule *rule, const struct request *q, const struct subject *s)
{
	bool file = q->kind == REQUEST_READ || q->kind == REQUEST_WRITE;
	bool git = q->kind == REQUEST_GIT_READ || q->kind == REQUEST_GIT_WRITE;

	for (size_t i = 0; file && i < rule->ntransfer; i++) {
		if (transfer_matches(&rule->transfer[i], q))
			return &rule->transfer[i].whole;
	}
	for (size_t i = 0; git && i < rule->nrepository; i++) {
		if (repository_matches(&rule->repository[i], q))
			return &rule->repository[i].whole;
	}
	for (size_t i = 0; s != NULL && i < rule->nrun; i++) {
		if (run_matches(rule->run[i], s))
			return &rule->run[i]->at;
	}
	return &rule->at;
}

int
explain_rule(const struct request *q, const struct decision *d,
    const struct subject *s, struct buf *out)
{
	const struct rule *rule = d->rule;
	int r;

	if (q->policy->explain == EXPLAIN_FULL &&
	    (r = explain_show_rule(
		 q->policy, rule, "rule", rule_line(rule, q, s), out)) != 0)
		return r;
	if (d->missing != NULL)
		return buf_putf(out, "postern: denied: rule `%s` allows this, "
		    "but it or another rule demands %s, which this version "
		    "cannot enforce yet\n", rule->name, d->missing);
	if ((r = buf_putf(out, "postern: denied by rule `%s`", rule->name)) !=
		0 ||
	    (r = show_folder(q, s, out)) != 0)
		return r;
	return buf_putf(out, "%s%s\n", rule->because == NULL ? "" : ": ",
	    rule->because == NULL ? "" : rule->because);
}

/* The path of a transfer that is not allowed: the first of several that is
 * not, alone; else the first. */
static void
denied_path(const struct request *q, struct request *as, const struct served *v,
    char path[PATH_LEN_MAX + 1])
{
	char *const *argv = q->command->stage[0].argv + v->first;
	struct decision d;

	as->path = path;
	for (size_t i = 0; i < v->npath; i++) {
		if (!served_path(argv[i], path))
			return;
		decide(as, &d);
		if (d.meant == VERDICT_DENY)
			return;
	}
	(void)served_path(argv[0], path);
}

enum served_is
explain_transfer(const struct request *q, struct served *v, struct request *as,
    char path[PATH_LEN_MAX + 1])
{
	enum served_is is = served_read(q->command, v);

	*as = *q;
	if (is != SERVED_YES)
		return is;
	as->kind = v->kind;
	as->how = v->how;
	as->deletes = v->deletes;
	as->links = v->links;
	denied_path(q, as, v, path);
	return is;
}

static int
explain_bad_served(
    const struct request *q, const struct served *v, struct buf *out)
{
	int r;

	if (q->policy->explain == EXPLAIN_FULL &&
	    (r = show_command(q, 0, v->word, out)) != 0)
		return r;
	return buf_putf(out, "postern: denied: %s; %s\n", v->what, v->hint);
}

static int
explain_command(
    const struct request *q, const struct decision *d, struct buf *out)
{
	char path[PATH_LEN_MAX + 1] = "";
	struct request as;
	struct subject s;
	struct served v;

	if (!subject_init(&s, q->policy, q->target, q->command, q->claims))
		return buf_putf(out, "postern: denied\n");
	s.sent = q->sent;
	s.nsent = q->nsent;
	switch (d->rule != NULL && !d->stream
		    ? SERVED_NO
		    : explain_transfer(q, &v, &as, path)) {
	case SERVED_YES:
		return explain_access(&as, d, out);
	case SERVED_BAD:
		return explain_bad_served(q, &v, out);
	case SERVED_NO:
		break;
	}
	if (d->rule != NULL)
		return explain_rule(q, d, &s, out);
	return explain_default(q, &s, out);
}

/* Nothing of the value is said: it may be a secret, and this goes to a log. */
static int
explain_unfit(
    const struct request *q, const struct decision *d, struct buf *out)
{
	const struct env_var *e = sent_line(d->rule, d->unfit);
	int r;

	if (e == NULL)
		return ERR_INTERNAL;
	if (q->policy->explain == EXPLAIN_FULL &&
	    (r = explain_show_rule(q->policy, d->rule, "rule", &e->at, out)) !=
		0)
		return r;
	return buf_putf(out,
	    "postern: denied: rule `%s` does not take the value that this job "
	    "sends for %s (SetEnv, SendEnv); leave it out, or send one that "
	    "fits\n",
	    d->rule->name, e->name);
}

const char *
decide_nearest(const struct request *q)
{
	struct nearest n = { 0 };
	struct subject s;

	if (!request_is_whole(q) || q->kind != REQUEST_RUN ||
	    !subject_init(&s, q->policy, q->target, q->command, q->claims))
		return "";
	nearest_find(q, &s, &n);
	return n.run == NULL ? "" : n.run->rule->name;
}

int
decide_explain(
    const struct request *q, const struct decision *d, struct buf *out)
{
	if (d->verdict != VERDICT_DENY && d->would_deny)
		return buf_putf(out,
		    "postern: no rule allows this; it is let "
		    "through, since %s is only observed for now\n",
		    q->target->name);
	if (d->verdict != VERDICT_DENY)
		return buf_putf(out, "postern: allowed by rule `%s`%s\n",
		    d->rule_name, d->verdict == VERDICT_APPROVAL ?
		    ", once it is approved" : "");
	if (q->target == NULL)
		return buf_putf(out, "postern: denied: there is no such "
		    "target\n");
	if (!request_is_whole(q) || q->policy->explain == EXPLAIN_NONE)
		return buf_putf(out, "postern: denied\n");
	if (d->unfit != NULL)
		return explain_unfit(q, d, out);
	return q->kind == REQUEST_RUN ? explain_command(q, d, out)
				      : explain_access(q, d, out);
}
