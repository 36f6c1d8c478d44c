/*
 * What logs and ledger say differently (reconcile.h), in the order of the
 * logins' serials, then of the operations.  Runs in tools.
 */
#include "config.h"

#include <string.h>

#include "audit/reconcile_internal.h"

static const char *const names[RECONCILE_KINDS] = {
	[RECONCILE_UNKNOWN] = "unknown",
	[RECONCILE_DIFFERS] = "differs",
	[RECONCILE_ELSEWHERE] = "elsewhere",
	[RECONCILE_TWICE] = "twice",
	[RECONCILE_TIME] = "time",
	[RECONCILE_NOT_RUN] = "not-run",
	[RECONCILE_UNRECORDED] = "unrecorded",
	[RECONCILE_MISSING] = "missing",
	[RECONCILE_UNREADABLE] = "unreadable",
	[RECONCILE_FOREIGN] = "foreign",
	[RECONCILE_OTHER_CA] = "other-ca",
};

const char *
reconcile_name(enum reconcile_kind kind)
{
	return names[kind];
}

struct teller {
	struct reconcile *rc;
	reconcile_look look;
	reconcile_tell tell;
	void *arg;
};

static int
tell(const struct teller *t, enum reconcile_kind kind, const struct login *l,
    const struct operation *o)
{
	const struct reconcile_finding f = {
		.kind = kind,
		.log = l == NULL ? RECONCILE_LOGS_MAX : l->log,
		.line = l == NULL ? 0 : l->line,
		.log_ms = l == NULL ? 0 : l->ms,
		.serial = l == NULL ? o->serial : l->serial,
		.login = l == NULL ? o->login : l->text,
		.address = l == NULL ? "" : l->address,
		.key_id = l == NULL ? "" : l->key_id,
		.operation = o == NULL ? "" : o->id,
		.target = o == NULL ? "" : t->rc->target[o->target].name,
		.recording = o == NULL ? "" : o->recording,
		.number = o == NULL ? 0 : o->number,
		.decided_ms = o == NULL ? 0 : o->decided_ms,
	};

	t->rc->sum.found[kind]++;
	return t->tell(t->arg, &f);
}

/* Before it was decided, or when its certificate was long worthless. */
static bool
out_of_time(const struct login *l, const struct operation *o)
{
	const uint64_t end = o->ended ? o->ended_ms : UINT64_MAX / 2;

	return l->ms != 0 && (l->ms + RECONCILE_SLACK_MS < o->decided_ms ||
				 l->ms > end + RECONCILE_SLACK_MS);
}

static int
tell_recording(
    const struct teller *t, const struct login *l, const struct operation *o)
{
	bool bad = o->recording[0] == '\0' || (o->ended && !o->hashed);

	if (!bad && !o->deleted && t->look != NULL) {
		const char *why = t->look(t->arg, o->recording);

		bad = why != NULL && *why != '\0';
	}
	return bad ? tell(t, RECONCILE_UNRECORDED, l, o) : 0;
}

/* A line that has its operation. */
static int
tell_matched(const struct teller *t, struct login *l, struct operation *o)
{
	const char *target = t->rc->target[o->target].name;
	enum reconcile_kind kind;
	int r = 0;

	if (strcmp(l->key_id, o->key_id) != 0 || strcmp(l->text, o->login) != 0)
		return tell(t, RECONCILE_DIFFERS, l, o);
	kind = t->rc->only[0] != '\0' && strcmp(target, t->rc->only) != 0
		   ? RECONCILE_ELSEWHERE
	       : o->reached == REACHED_NO ? RECONCILE_NOT_RUN
	       : o->seen                  ? RECONCILE_TWICE
	       : out_of_time(l, o)        ? RECONCILE_TIME
					  : RECONCILE_KINDS;
	if (kind == RECONCILE_KINDS)
		t->rc->sum.matched++;
	else
		r = tell(t, kind, l, o);
	if (r == 0 && !o->seen)
		r = tell_recording(t, l, o);
	o->seen = true;
	return r;
}

static int
tell_logins(const struct teller *t)
{
	struct reconcile *rc = t->rc;
	int r = 0;

	for (size_t i = 0; i < rc->nlogin && r == 0; i++) {
		struct login *l = &rc->login[i];

		if (l->again)
			continue;
		if (l->kind == AUTHLOG_UNREADABLE)
			r = tell(t, RECONCILE_UNREADABLE, l, NULL);
		else if (l->kind == AUTHLOG_FOREIGN)
			r = tell(t, RECONCILE_FOREIGN, l, NULL);
		else if (l->other_ca)
			r = tell(t, RECONCILE_OTHER_CA, l, NULL);
		else if (l->operation == RECONCILE_NONE)
			r = tell(t, RECONCILE_UNKNOWN, l, NULL);
		else
			r = tell_matched(t, l, &rc->op[l->operation]);
	}
	return r;
}

/* The time that is answered for: each log's, for the targets that are in it.
 * Lines without a stamp have the time of their operation. */
static void
find_ranges(struct reconcile *rc)
{
	for (size_t i = 0; i < rc->nlogin; i++) {
		const struct login *l = &rc->login[i];

		if (l->kind == AUTHLOG_CERT && l->operation != RECONCILE_NONE &&
		    l->ms == 0)
			reconcile_range_take(
			    &rc->log[l->log], rc->op[l->operation].decided_ms);
	}
	for (size_t i = 0; i < rc->nlogin; i++) {
		const struct login *l = &rc->login[i];
		const struct range *log = &rc->log[l->log];
		struct range *target;

		if (l->kind != AUTHLOG_CERT || l->operation == RECONCILE_NONE)
			continue;
		target = &rc->target[rc->op[l->operation].target].range;
		reconcile_range_take(target, log->first);
		reconcile_range_take(target, log->last);
	}
}

/* With a name, all logs are that target's, and no other's is judged. */
static void
name_ranges(struct reconcile *rc)
{
	struct range all = { 0 };

	for (size_t i = 0; i < rc->nlog; i++) {
		if (rc->log[i].last == 0)
			continue;
		reconcile_range_take(&all, rc->log[i].first);
		reconcile_range_take(&all, rc->log[i].last);
	}
	for (size_t i = 0; i < rc->ntarget; i++)
		rc->target[i].range = strcmp(rc->target[i].name, rc->only) == 0
					  ? all
					  : (struct range){ 0 };
}

static void
set_ranges(struct reconcile *rc)
{
	find_ranges(rc);
	if (rc->only[0] != '\0')
		name_ranges(rc);
	for (size_t i = 0; i < rc->ntarget; i++) {
		struct log_target *t = &rc->target[i];

		if (t->range.last == 0 && strcmp(t->name, rc->only) != 0)
			continue;
		if (rc->since_ms != 0)
			t->range.first = rc->since_ms;
		if (rc->until_ms != 0)
			t->range.last = rc->until_ms;
	}
}

static int
tell_operations(const struct teller *t)
{
	struct reconcile *rc = t->rc;
	int r = 0;

	for (size_t i = 0; i < rc->nop && r == 0; i++) {
		const struct operation *o = &rc->op[i];
		const struct range *in = &rc->target[o->target].range;

		if (in->last == 0 && rc->only[0] != '\0' &&
		    strcmp(rc->target[o->target].name, rc->only) == 0)
			rc->sum.outside++;
		if (in->last == 0)
			continue;
		if (o->decided_ms < in->first ||
		    (o->ended ? o->ended_ms : o->decided_ms) > in->last) {
			rc->sum.outside += !o->seen;
			rc->sum.operations += o->seen;
			continue;
		}
		rc->sum.operations++;
		if (!o->seen && o->reached == REACHED_YES)
			r = tell(t, RECONCILE_MISSING, NULL, o);
		else if (!o->seen && o->reached == REACHED_MAYBE)
			rc->sum.maybe++;
	}
	return r;
}

int
reconcile_end(struct reconcile *rc, reconcile_look look, reconcile_tell tell_fn,
    void *arg, struct reconcile_sum *sum)
{
	const struct teller t = {
		.rc = rc, .look = look, .tell = tell_fn, .arg = arg
	};
	int r;

	set_ranges(rc);
	if ((r = tell_logins(&t)) == 0)
		r = tell_operations(&t);
	*sum = rc->sum;
	return r;
}
