/*
 * The decision.  Runs in policy for every operation; everything about the
 * request but the policy itself was chosen by a job.  Whatever is missing or
 * odd is a denial.  No allocation, no recursion, no order of rules.
 */
#include "config.h"

#include "policy/decide.h"

#include <string.h>

#include "policy/glob.h"
#include "policy/index.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/served.h"
#include "policy/slot.h"
#include "policy/zone.h"

bool
request_is_whole(const struct request *q)
{
	bool path = q->kind == REQUEST_READ || q->kind == REQUEST_WRITE ||
		    q->kind == REQUEST_GIT_READ || q->kind == REQUEST_GIT_WRITE;

	return q->policy != NULL && q->identity != NULL && q->target != NULL &&
	       q->login != NULL && q->login[0] != '\0' &&
	       (q->kind != REQUEST_RUN || q->command != NULL) &&
	       (!path || q->path != NULL);
}

const struct identity *
request_identity(const struct request *q)
{
	for (size_t i = 0; i < q->policy->nidentity; i++) {
		if (q->identity[q->policy->by_name[i]->index])
			return q->policy->by_name[i];
	}
	return NULL;
}

const struct identity *
rule_identity(const struct rule *rule, const struct request *q)
{
	if (rule->everyone)
		return request_identity(q);
	for (size_t i = 0; i < rule->nwho; i++) {
		if (q->identity[rule->id[i]])
			return q->policy->identity[rule->id[i]];
	}
	return NULL;
}

static bool
in_group(const struct target_full *t, const struct group *g)
{
	for (size_t i = 0; i < t->ngroup; i++) {
		if (t->group[i] == g)
			return true;
	}
	return false;
}

bool
where_has(const struct where *w, const struct target_full *t)
{
	switch (w->kind) {
	case WHERE_ALL:
		return true;
	case WHERE_TARGET:
		return w->target == t;
	case WHERE_GROUP:
		return w->group != NULL && in_group(t, w->group);
	}
	return false;
}

static bool
where_covers(const struct where *w, enum effect effect,
    const struct request *q)
{
	/* every target is a struct target_full, with pub first */
	const struct target_full *t = (const struct target_full *)q->target;

	if (!where_has(w, t))
		return false;
	if (w->login != NULL)
		return strcmp(w->login, q->login) == 0;
	/* Without a login: a deny covers all, an allow the target's own. */
	return effect == EFFECT_DENY || strcmp(t->pub.login, q->login) == 0;
}

bool
rule_is_here(const struct rule *rule, const struct request *q)
{
	for (size_t i = 0; i < rule->nwhere; i++) {
		if (where_covers(&rule->where[i], rule->effect, q))
			return true;
	}
	return false;
}

static bool
window_covers(const struct window *w, time_t now)
{
	struct zone_local l;
	unsigned int before;

	zone_to_local(w->zone, now, &l);
	before = (l.weekday + 6) % 7;
	if (w->from < w->to)
		return (w->days >> l.weekday & 1) != 0 && l.minute >= w->from &&
		    l.minute < w->to;
	/* over midnight: this day's evening, or the morning after the other */
	return ((w->days >> l.weekday & 1) != 0 && l.minute >= w->from) ||
	    ((w->days >> before & 1) != 0 && l.minute < w->to);
}

bool
rule_is_now(const struct rule *rule, const struct request *q)
{
	if (rule->nwindow == 0)
		return true;
	if (q->now <= 0)
		return rule->effect == EFFECT_DENY;
	for (size_t i = 0; i < rule->nwindow; i++) {
		if (window_covers(&rule->window[i], q->now))
			return true;
	}
	return false;
}

/* As rule_identity, but does not look for the first by name among all. */
static bool
rule_is_for(const struct rule *rule, const struct request *q)
{
	if (!rule->everyone)
		return rule_identity(rule, q) != NULL;
	/* A deny for everyone holds even for whom no identity was found. */
	return rule->effect == EFFECT_DENY ||
	       memchr(q->identity, true, q->policy->nidentity) != NULL;
}

bool
rule_applies(const struct rule *rule, const struct request *q)
{
	return rule_is_for(rule, q) && rule_is_here(rule, q) &&
	       rule_is_now(rule, q);
}

/* The best of each effect, and what the others that match add to it. */
struct best {
	struct found deny, allow;
	struct limits limit;
	uint64_t approvals[DECISION_APPROVALS_MAX / 64];
	uint64_t masks[DECISION_MASKS_MAX / 64];
	bool text_only, record_input, record_full;
	bool refs; /* some are denied */
};

static void
join_approvals(uint64_t *to, const uint64_t *from)
{
	for (size_t i = 0; i < DECISION_APPROVALS_MAX / 64; i++)
		to[i] |= from[i];
}

/* Masks of all rules that match unite, demands of floors are added. */
static void
add_demands(struct best *best, const struct rule *rule)
{
	for (size_t i = 0; i < DECISION_MASKS_MAX / 64; i++)
		best->masks[i] |= rule->masks[i];
	if (!rule->floor)
		return;
	limits_join(&best->limit, &rule->limit);
	join_approvals(best->approvals, rule->approvals);
	best->text_only |= rule->text_only;
	best->record_input |= rule->record_input;
	best->record_full |= rule->record_full;
}

/* A line that may match; `fits` is asked only if it would change anything. */
static void
consider(const struct request *q, const struct found *f, const void *line,
    bool (*fits)(const struct request *q, const void *line, const void *ctx),
    const void *ctx, struct best *best)
{
	bool allow = f->rule->effect == EFFECT_ALLOW;
	struct found *to = allow ? &best->allow : &best->deny;
	bool better = found_is_better(f, to);

	/* MUST NOT hang on pty: a job would ask for a terminal to leave a
	 * floor behind. */
	if (!better && !f->rule->adds)
		return;
	if (!rule_applies(f->rule, q) || !fits(q, line, ctx))
		return;
	if (allow && f->rule->adds)
		add_demands(best, f->rule);
	if (better && !(allow && q->pty && !f->pty))
		*to = *f;
}

/* -- commands ----------------------------------------------------------------
 */

static bool
run_fits(const struct request *q, const void *line, const void *ctx)
{
	(void)q;
	return run_matches(line, ctx);
}

struct judge {
	const struct request *q;
	const struct subject *s;
	size_t stage;
	struct best *best;
};

static void
judge_run(const void *line, void *ctx)
{
	struct judge *j = ctx;
	const struct run *run = line;

	if (j->stage > 0 && run->rule->effect == EFFECT_ALLOW)
		return;
	consider(j->q,
	    &(struct found){ .rule = run->rule,
		.pty = run->pty,
		.stdin_ok = run->stdin_ok,
		.stdin_max = run->stdin_max,
		.order = run->order },
	    run, run_fits, j->s, j->best);
}

/* A deny rule's first program may be any of the command's, an allow rule's
 * is the first. */
static void
judge_command(
    const struct request *q, const struct subject *s, struct best *best)
{
	struct judge j = { .q = q, .s = s, .best = best };

	for (j.stage = 0; j.stage < s->nstage; j.stage++)
		index_each(q, s, j.stage, judge_run, &j);
}

/* -- files, repositories, shells ---------------------------------------------
 */

bool
transfer_matches(const struct transfer *t, const struct request *q)
{
	return t->write == (q->kind == REQUEST_WRITE) &&
	       (t->by & q->how) != 0 && !(q->deletes && t->no_delete) &&
	       !(q->links && t->no_symlinks) &&
	       path_is_under(&t->under, q->claims, q->path, strlen(q->path));
}

static bool
transfer_fits(const struct request *q, const void *line, const void *ctx)
{
	(void)ctx;
	return transfer_matches(line, q);
}

static bool
ref_fits(const struct git_ref *ref, const struct request *q, bool deny)
{
	struct slot_ctx x = { q->claims, deny };
	size_t n = strlen(q->ref);

	return ref->slot != NULL ? slot_matches(&x, ref->slot, q->ref, n)
				 : glob_matches(ref->glob, "/", q->ref, n);
}

bool
repository_is(const struct repository *r, const struct request *q)
{
	return r->write == (q->kind == REQUEST_GIT_WRITE) &&
	       path_is(&r->path, q->claims, q->path, strlen(q->path));
}

bool
repository_matches(const struct repository *r, const struct request *q)
{
	bool deny = r->rule->effect == EFFECT_DENY;

	if (!repository_is(r, q))
		return false;
	if (r->nref == 0)
		return true;
	if (q->ref == NULL) /* each ref will be asked for */
		return !deny;
	for (size_t i = 0; i < r->nref; i++) {
		if (ref_fits(&r->ref[i], q, deny))
			return true;
	}
	return false;
}

static bool
repository_fits(const struct request *q, const void *line, const void *ctx)
{
	(void)ctx;
	return repository_matches(line, q);
}

static bool
always_fits(const struct request *q, const void *line, const void *ctx)
{
	(void)q;
	(void)line;
	(void)ctx;
	return true;
}

static void
judge_transfer(const void *line, void *ctx)
{
	const struct transfer *t = line;
	struct judge *j = ctx;

	consider(j->q,
	    &(struct found){ .rule = t->rule,
		.transfer = t,
		.order = t->order,
		.pty = true },
	    t, transfer_fits, NULL, j->best);
}

static void
judge_repository(const void *line, void *ctx)
{
	const struct repository *r = line;
	struct judge *j = ctx;
	bool some = r->nref > 0 && j->q->ref == NULL;

	/* A deny of some refs does not close the connection, but each of them
	 * must be asked for then. */
	if (some && r->rule->effect == EFFECT_DENY &&
	    rule_applies(r->rule, j->q) && repository_is(r, j->q))
		j->best->refs = true;
	consider(j->q,
	    &(struct found){
		.rule = r->rule, .order = r->order, .refs = some, .pty = true },
	    r, repository_fits, NULL, j->best);
}

static void
judge_shell(const void *line, void *ctx)
{
	struct judge *j = ctx;

	consider(j->q,
	    &(struct found){ .rule = line, .pty = true, .stdin_ok = true },
	    NULL, always_fits, NULL, j->best);
}

static void
judge_kind(const struct request *q, enum index_kind kind, index_fn fn,
    struct best *best)
{
	struct judge j = { .q = q, .best = best };

	index_each_kind(q, kind, fn, &j);
}

/* -- the answer --------------------------------------------------------------
 */

static bool
is_empty(const uint64_t *set, size_t words)
{
	for (size_t i = 0; i < words; i++) {
		if (set[i] != 0)
			return false;
	}
	return true;
}

const char *
decision_missing(const struct request *q, const struct decision *d)
{
	bool file = q->kind == REQUEST_READ || q->kind == REQUEST_WRITE;
	const struct {
		bool needed;
		unsigned int bit;
		const char *name;
	} demand[] = {
		{ !is_empty(d->approvals, DECISION_APPROVALS_MAX / 64),
		    ENFORCE_APPROVALS, "an approval" },
		{ d->limit.duration_s != 0, ENFORCE_DURATION,
		    "`limit duration`" },
		{ d->limit.output != 0, ENFORCE_OUTPUT, "`limit output`" },
		{ d->limit.concurrent != 0, ENFORCE_CONCURRENT,
		    "`limit concurrent`" },
		{ d->limit.rate != 0, ENFORCE_RATE, "`limit rate`" },
		/* A file is not shown: what may be read of it is its path. */
		{ !file && !is_empty(d->masks, DECISION_MASKS_MAX / 64),
		    ENFORCE_MASKS, "`mask`" },
		{ d->text_only, ENFORCE_TEXT_ONLY, "`text-only`" },
		{ d->record_input || d->record_full, ENFORCE_RECORD,
		    "`record`" },
		{ d->would_deny, ENFORCE_OBSERVE, "`observe`" },
		{ file && q->how == BY_RSYNC, ENFORCE_RSYNC,
		    "`read` and `write` by rsync" },
		{ file && q->how != BY_RSYNC, ENFORCE_FILES,
		    "`read` and `write`" },
		{ d->refs, ENFORCE_REFS, "`refs`" },
		{ q->kind == REQUEST_GIT_READ || q->kind == REQUEST_GIT_WRITE,
		    ENFORCE_GIT, "`git`" },
		{ q->kind == REQUEST_INTERACTIVE, ENFORCE_INTERACTIVE,
		    "`interactive`" },
	};

	for (size_t i = 0; i < sizeof(demand) / sizeof(demand[0]); i++) {
		if (demand[i].needed && (q->enforces & demand[i].bit) == 0)
			return demand[i].name;
	}
	return NULL;
}

/* What every grant has: the demands of the rule and those that others add. */
static void
grant(const struct request *q, const struct best *best,
    const struct limits *limit, const uint64_t *masks, struct decision *d)
{
	d->limit = *limit;
	limits_join(&d->limit, &best->limit);
	join_approvals(d->approvals, best->approvals);
	/* every rule that matched brought the defaults' masks, too */
	for (size_t i = 0; i < DECISION_MASKS_MAX / 64; i++)
		d->masks[i] = best->masks[i] | masks[i];
	d->text_only |= best->text_only;
	d->record_input |= best->record_input;
	d->record_full |= best->record_full;
	d->missing = decision_missing(q, d);
}

static enum verdict
approved(const struct decision *d)
{
	return is_empty(d->approvals, DECISION_APPROVALS_MAX / 64)
		   ? VERDICT_ALLOW
		   : VERDICT_APPROVAL;
}

/* What no rule allows, on a target that is only observed: whoever has an
 * identity may, and it is written down. */
static void
observe(const struct request *q, const struct best *best, struct decision *d)
{
	const struct identity *id = request_identity(q);

	if (id == NULL || q->now <= 0 ||
	    (int64_t)q->now >= q->target->observe_until)
		return;
	d->identity_name = id->name;
	d->would_deny = true;
	d->pty = q->pty;
	d->stdin_ok = true;
	d->refs = best->refs; /* those of a deny rule stay denied */
	grant(q, best, &q->policy->limit, q->policy->masks, d);
	/* MUST be last: what cannot be enforced is not granted. */
	if (d->missing == NULL)
		d->verdict = approved(d);
}

static void
answer(const struct request *q, const struct best *best, struct decision *d)
{
	const struct found *f = &best->allow;
	const struct identity *id;

	if (best->deny.rule != NULL) {
		d->rule = best->deny.rule;
		d->rule_name = d->rule->name;
		return;
	}
	if (f->rule == NULL) {
		observe(q, best, d);
		return;
	}
	if ((id = rule_identity(f->rule, q)) == NULL)
		return;
	d->rule = f->rule;
	d->rule_name = d->rule->name;
	d->identity_name = id->name;
	d->pty = q->pty && f->pty &&
		 (q->kind == REQUEST_RUN || q->kind == REQUEST_INTERACTIVE);
	d->stdin_ok = f->stdin_ok;
	d->stdin_max = f->stdin_max;
	if (f->transfer != NULL) {
		d->transfer_max = f->transfer->max;
		d->no_delete = f->transfer->no_delete;
		d->no_symlinks = f->transfer->no_symlinks;
	}
	d->refs = f->refs || best->refs;
	d->text_only = d->rule->text_only;
	d->record_input = d->rule->record_input;
	d->record_full = d->rule->record_full;
	memcpy(d->approvals, d->rule->approvals, sizeof(d->approvals));
	grant(q, best, &d->rule->limit, d->rule->masks, d);
	d->meant = approved(d);
	/* MUST be last: what cannot be enforced is not granted. */
	if (d->missing == NULL)
		d->verdict = d->meant;
}

static bool
is_same(const struct found *a, const struct found *b)
{
	return a->rule == b->rule && a->order == b->order;
}

/* All paths of a transfer: one line allows them all, or nothing does. */
static void
judge_served(const struct request *q, const struct served *v, struct best *best)
{
	char path[PATH_LEN_MAX + 1];
	struct request one = *q;
	struct best all = *best; /* the demands on each path are added up */
	struct found before = all.allow;

	one.kind = v->kind;
	one.how = v->how;
	one.deletes = v->deletes;
	one.links = v->links;
	one.path = path;
	for (size_t i = 0; i < v->npath; i++) {
		if (!served_path(q->command->stage[0].argv[v->first + i], path))
			return;
		all.allow = (struct found){ .rule = NULL };
		if (v->how != 0)
			judge_kind(&one, INDEX_FILES, judge_transfer, &all);
		else
			judge_kind(&one, INDEX_GIT, judge_repository, &all);
		if (all.deny.rule != NULL || all.allow.rule == NULL ||
		    (i > 0 && !is_same(&all.allow, &before))) {
			best->deny = all.deny;
			best->refs = all.refs;
			return;
		}
		before = all.allow;
	}
	*best = all;
}

/* The far end of a transfer that no `run` line is about; false: it is none, or
 * nothing is said of it. */
static bool
decide_served(const struct request *q, const struct subject *s,
    struct best *best, struct decision *d)
{
	struct request as = *q;
	struct served v;

	if (best->deny.rule != NULL || best->allow.rule != NULL ||
	    served_read(q->command, &v) != SERVED_YES)
		return false;
	judge_served(q, &v, best);
	if (best->deny.rule == NULL && best->allow.rule == NULL && v.how != 0)
		return false;
	as.kind = v.kind;
	as.how = v.how;
	answer(&as, best, d);
	/* A repository of a target that is observed: its refs are seen, too. */
	if (d->rule == NULL && !d->would_deny)
		return false;
	d->stream = v.stream;
	d->pty = false;
	if (d->would_deny && s->stage[0].program != NULL)
		d->program[0] = s->stage[0].program->path;
	if (d->meant == VERDICT_DENY)
		return true;
	d->stdin_ok = true;
	if (v.kind == REQUEST_WRITE)
		d->stdin_max = d->transfer_max;
	else if (v.kind == REQUEST_READ)
		limits_join(
		    &d->limit, &(struct limits){ .output = d->transfer_max });
	d->program[0] =
	    s->stage[0].program != NULL ? s->stage[0].program->path : v.program;
	return true;
}

/* A command's, and the paths that its programs have here. */
static void
decide_command(const struct request *q, struct best *best, struct decision *d)
{
	struct subject s;

	if (!subject_init(&s, q->policy, q->target, q->command, q->claims))
		return;
	s.sent = q->sent;
	s.nsent = q->nsent;
	judge_command(q, &s, best);
	if (decide_served(q, &s, best, d))
		return;
	answer(q, best, d);
	sent_judge(q, d);
	if (d->meant == VERDICT_DENY && !d->would_deny)
		return;
	for (size_t i = 0; i < s.nstage; i++) {
		if (s.stage[i].program != NULL)
			d->program[i] = s.stage[i].program->path;
	}
}

void
decide(const struct request *q, struct decision *d)
{
	struct best best = { .deny.rule = NULL };

	*d = (struct decision){ .verdict = VERDICT_DENY,
		.meant = VERDICT_DENY, .rule_name = "default" };
	if (!request_is_whole(q))
		return;
	switch (q->kind) {
	case REQUEST_RUN:
		decide_command(q, &best, d);
		return;
	case REQUEST_READ:
	case REQUEST_WRITE:
		judge_kind(q, INDEX_FILES, judge_transfer, &best);
		break;
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		judge_kind(q, INDEX_GIT, judge_repository, &best);
		break;
	case REQUEST_INTERACTIVE:
		judge_kind(q, INDEX_SHELL, judge_shell, &best);
		break;
	}
	answer(q, &best, d);
}
