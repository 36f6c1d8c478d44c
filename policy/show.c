/*
 * What the tools show of rules and decisions.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/show.h"

#include <inttypes.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

int
show_place(const struct policy *p, const struct place *at, struct buf *out)
{
	return buf_putf(
	    out, "%s:%u", p->source[at->pos.file].name, at->pos.line);
}

int
show_source(const struct policy *p, const struct place *at, struct buf *out)
{
	const char *s = p->source[at->pos.file].text + at->pos.off;
	int r = 0;

	for (size_t i = 0; i < at->width && r == 0; i++)
		r = buf_put(out, s[i] == '\n' || s[i] == '\t' ? " " : s + i, 1);
	return r;
}

/* -- the line of a rule ---------------------------------------------------- */

static const struct run *
run_of(const struct rule *rule, const struct request *q)
{
	struct subject s;

	if (q->command == NULL ||
	    !subject_init(&s, q->policy, q->target, q->command, q->claims))
		return NULL;
	for (size_t i = 0; i < rule->nrun; i++) {
		if (run_matches(rule->run[i], &s))
			return rule->run[i];
	}
	return NULL;
}

static const struct transfer *
transfer_of(const struct rule *rule, const struct request *q)
{
	for (size_t i = 0; i < rule->ntransfer; i++) {
		if (transfer_matches(&rule->transfer[i], q))
			return &rule->transfer[i];
	}
	return NULL;
}

static const struct repository *
repository_of(const struct rule *rule, const struct request *q)
{
	for (size_t i = 0; i < rule->nrepository; i++) {
		if (repository_matches(&rule->repository[i], q))
			return &rule->repository[i];
	}
	return NULL;
}

const struct place *
show_line(const struct rule *rule, const struct request *q)
{
	const struct repository *g;
	const struct transfer *t;
	const struct run *run;

	switch (q->kind) {
	case REQUEST_RUN:
		run = run_of(rule, q);
		return run == NULL ? &rule->at : &run->at;
	case REQUEST_READ:
	case REQUEST_WRITE:
		t = transfer_of(rule, q);
		return t == NULL ? &rule->at : &t->whole;
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		g = repository_of(rule, q);
		return g == NULL ? &rule->at : &g->whole;
	case REQUEST_INTERACTIVE:
		break;
	}
	return &rule->at;
}

/* -- requests and answers -------------------------------------------------- */

static const char *
way_of(const struct request *q)
{
	return q->how == BY_RSYNC        ? "rsync"
	       : q->how == BY_SCP_LEGACY ? "scp-legacy"
					 : "sftp";
}

int
show_request(const struct request *q, struct buf *out)
{
	int r;

	switch (q->kind) {
	case REQUEST_RUN:
		return command_print(q->command, out);
	case REQUEST_READ:
	case REQUEST_WRITE:
		return buf_putf(out, "%s \"%s\" by %s",
		    q->kind == REQUEST_READ ? "read" : "write", q->path,
		    way_of(q));
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		r = buf_putf(out, "git %s \"%s\"",
		    q->kind == REQUEST_GIT_READ ? "read" : "write", q->path);
		return r != 0 || q->ref == NULL
			   ? r
			   : buf_putf(out, " ref \"%s\"", q->ref);
	case REQUEST_INTERACTIVE:
		return buf_putf(out, "interactive");
	}
	return ERR_INTERNAL;
}

void
show_request_json(struct json *j, const struct request *q)
{
	static const char *const kind[] = { [REQUEST_RUN] = "run",
		[REQUEST_READ] = "read",
		[REQUEST_WRITE] = "write",
		[REQUEST_GIT_READ] = "git read",
		[REQUEST_GIT_WRITE] = "git write",
		[REQUEST_INTERACTIVE] = "interactive" };
	struct buf b;

	json_kv_str(j, "kind", kind[q->kind]);
	json_kv_bool(j, "pty", q->pty);
	if (q->kind == REQUEST_READ || q->kind == REQUEST_WRITE)
		json_kv_str(j, "by", way_of(q));
	if (q->path != NULL)
		json_kv_str(j, "path", q->path);
	if (q->ref != NULL)
		json_kv_str(j, "ref", q->ref);
	buf_init(&b, 4 * COMMAND_LEN_MAX);
	if (q->kind == REQUEST_RUN && j->r == 0 &&
	    (j->r = command_print(q->command, &b)) == 0) {
		json_key(j, "command");
		json_strn(j, buf_ptr(&b), buf_len(&b));
	}
	buf_clear(&b);
}

const char *
show_verdict(const struct decision *d)
{
	if (d->would_deny)
		return "observed";
	return d->verdict == VERDICT_ALLOW      ? "allow"
	       : d->verdict == VERDICT_APPROVAL ? "approval"
						: "deny";
}

static const char *
mask_name(const struct mask *m)
{
	return m->name != NULL ? m->name : m->text;
}

static int
show_limits(const struct limits *l, struct buf *out)
{
	int r = 0;

	if (l->duration_s != 0)
		r = buf_putf(out, "; limit duration %us", l->duration_s);
	if (r == 0 && l->output != 0)
		r = buf_putf(out, "; limit output %" PRIu64 "B", l->output);
	if (r == 0 && l->concurrent != 0)
		r = buf_putf(out, "; limit concurrent %u", l->concurrent);
	if (r == 0 && l->rate != 0)
		r = buf_putf(
		    out, "; limit rate %u per %us", l->rate, l->rate_per_s);
	return r;
}

int
show_demands(const struct policy *p, const struct decision *d, struct buf *out)
{
	const struct approval *a;
	int r = 0;

	if (d->pty)
		r = buf_putf(out, "; with pty");
	if (r == 0 && d->stdin_ok)
		r = buf_putf(out, "; with stdin");
	if (r == 0 && d->stdin_ok && d->stdin_max != 0)
		r = buf_putf(out, " max %" PRIu64 "B", d->stdin_max);
	for (size_t i = 0; i < p->napproval && r == 0; i++) {
		a = &p->approval[i]->pub;
		if (bit_get(d->approvals, i))
			r = buf_putf(out, "; %u approval%s from %s", a->n,
			    a->n == 1 ? "" : "s", a->people);
	}
	if (r == 0)
		r = show_limits(&d->limit, out);
	if (r == 0 && d->transfer_max != 0)
		r = buf_putf(out, "; max %" PRIu64 "B", d->transfer_max);
	if (r == 0 && d->no_delete)
		r = buf_putf(out, "; no-delete");
	if (r == 0 && d->no_symlinks)
		r = buf_putf(out, "; no-symlinks");
	for (size_t i = 0; i < p->nmask && r == 0; i++) {
		if (bit_get(d->masks, i))
			r = buf_putf(out, "; mask %s", mask_name(p->mask[i]));
	}
	return r;
}

void
show_decision_json(
    struct json *j, const struct request *q, const struct decision *d)
{
	const struct policy *p = q->policy;
	const struct place *at;
	struct buf b;

	json_kv_str(j, "verdict", show_verdict(d));
	json_kv_str(j, "by", d->rule_name);
	if (d->rule != NULL) {
		at = show_line(d->rule, q);
		json_kv_str(j, "file", p->source[at->pos.file].name);
		json_kv_num(j, "line", at->pos.line);
		buf_init(&b, 64UL * 1024);
		if (at != &d->rule->at && show_source(p, at, &b) == 0) {
			json_key(j, q->kind == REQUEST_RUN ? "run" : "access");
			json_strn(j, buf_ptr(&b), buf_len(&b));
		}
		buf_clear(&b);
	}
	if (d->identity_name != NULL)
		json_kv_str(j, "identity", d->identity_name);
	json_kv_bool(j, "pty", d->pty);
	json_kv_bool(j, "stdin", d->stdin_ok);
	buf_init(&b, 64 * 1024);
	if (show_demands(p, d, &b) == 0 && buf_len(&b) > 2) {
		json_key(j, "demands");
		json_strn(j, buf_ptr(&b) + 2, buf_len(&b) - 2);
	}
	buf_clear(&b);
}
