/*
 * What the tools show of rules and decisions.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/show.h"

#include <inttypes.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "policy/decide.h"
#include "policy/match.h"
#include "policy/model.h"

int
show_place(const struct policy *p, const struct place *at, struct buf *out)
{
	return buf_putf(
	    out, "%s:%u", p->source[at->pos.file].name, at->pos.line);
}

int
show_run_place(const struct policy *p, const struct run *run, struct buf *out)
{
	return show_place(p, &run->at, out);
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

const struct run *
show_run(const struct rule *rule, const struct request *q)
{
	struct subject s;

	if (!subject_init(&s, q->policy, q->target, q->command, q->claims))
		return NULL;
	for (size_t i = 0; i < rule->nrun; i++) {
		if (run_matches(rule->run[i], &s))
			return rule->run[i];
	}
	return NULL;
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
	const struct run *run = NULL;
	const struct place *at;
	struct buf b;

	json_kv_str(j, "verdict", show_verdict(d));
	json_kv_str(j, "by", d->rule_name);
	if (d->rule != NULL) {
		run = show_run(d->rule, q);
		at = run == NULL ? &d->rule->at : &run->at;
		json_kv_str(j, "file", p->source[at->pos.file].name);
		json_kv_num(j, "line", at->pos.line);
		buf_init(&b, 64 * 1024);
		if (run != NULL && show_source(p, at, &b) == 0) {
			json_key(j, "run");
			json_strn(j, buf_ptr(&b), buf_len(&b));
		}
		buf_clear(&b);
	}
	if (d->identity_name != NULL)
		json_kv_str(j, "identity", d->identity_name);
	json_key(j, "pty");
	json_bool(j, d->pty);
	json_key(j, "stdin");
	json_bool(j, d->stdin_ok);
	buf_init(&b, 64 * 1024);
	if (show_demands(p, d, &b) == 0 && buf_len(&b) > 2) {
		json_key(j, "demands");
		json_strn(j, buf_ptr(&b) + 2, buf_len(&b) - 2);
	}
	buf_clear(&b);
}
