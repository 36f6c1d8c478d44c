/*
 * postern policy diff, prove: what another policy would change.
 */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/compare.h"
#include "policy/decide.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/show.h"

#define TEXT_MAX (64UL * 1024 * 1024)
#define FOUND_MAX 10000
#define DOUBTS_MAX 16
#define STOP 1

enum kind { NEWLY_ALLOWED, NEWLY_DENIED, DEMANDS_LESS, DEMANDS_MORE };

static const struct {
	const char *name, *text;
	char mark;
	const char *colour;
} kinds[] = {
	[NEWLY_ALLOWED] = { "allowed", "newly allowed", '+', "\033[32m" },
	[NEWLY_DENIED] = { "denied", "newly denied", '-', "\033[31m" },
	[DEMANDS_LESS] = { "less", "demands less", '<', "\033[33m" },
	[DEMANDS_MORE] = { "more", "demands more", '>', "\033[33m" },
};

/* What has been told already: one example for each pair of lines, identity
 * and kind. */
struct seen {
	enum kind kind;
	const struct place *line;
	const char *identity;
	const struct rule *other;
};

struct diff {
	bool json, only_new, swapped;
	struct doubt doubt[DOUBTS_MAX];
	size_t ndoubt;
	struct buf b;
	struct json j;
	struct seen seen[FOUND_MAX];
	size_t n;
};

static bool
is_known(struct diff *to, enum kind kind, const struct witness *w)
{
	const struct seen s = { kind,
		w->d[1]->rule == NULL ? NULL
				      : show_line(w->d[1]->rule, w->q[1]),
		w->identity, w->d[0]->rule };
	size_t i;

	for (i = 0; i < to->n; i++) {
		if (to->seen[i].kind == s.kind && to->seen[i].line == s.line &&
		    to->seen[i].other == s.other &&
		    strcmp(to->seen[i].identity, s.identity) == 0)
			return true;
	}
	if (i < FOUND_MAX)
		to->seen[to->n++] = s;
	return i == FOUND_MAX;
}

/* "allowed by restart at FILE:LINE; limit duration 60s" */
static int
put_answer(struct buf *b, const struct request *q, const struct decision *d)
{
	const char *text = show_verdict(d);
	int r;

	if (d->rule == NULL)
		return buf_putf(b, "%s%s", text,
		    q->target == NULL ? ": not that machine or login" : "");
	if ((r = buf_putf(b, "%s by %s at ", text, d->rule_name)) != 0 ||
	    (r = show_place(q->policy, show_line(d->rule, q), b)) != 0)
		return r;
	return d->verdict == VERDICT_DENY ? 0 : show_demands(q->policy, d, b);
}

static int
put_question(struct buf *b, const struct witness *w)
{
	const struct request *q = w->q[1];
	const struct claims *cs = q->claims;
	char day[32];
	struct tm tm;
	time_t now = q->now;
	int r;

	if ((r = buf_putf(b, "%s on %s+%s: ", w->identity, q->login,
		 q->target->name)) != 0 ||
	    (r = show_request(q, b)) != 0)
		return r;
	for (size_t i = 0; i < q->nsent; i++) {
		if ((r = buf_putf(b, "  (sent \"%s\")", q->sent[i])) != 0)
			return r;
	}
	if (q->pty && (r = buf_putf(b, "  (with pty)")) != 0)
		return r;
	if (gmtime_r(&now, &tm) == NULL ||
	    strftime(day, sizeof(day), "%a %Y-%m-%dT%H:%MZ", &tm) == 0 ||
	    (r = buf_putf(b, "\n    at %s, claims", day)) != 0)
		return ERR_INTERNAL;
	for (size_t i = 0; i < cs->n && r == 0; i++)
		r = buf_putf(b, " %s=%s", cs->c[i].name, cs->c[i].value);
	return r;
}

static int
put_witness(struct diff *to, enum kind kind, const struct witness *w)
{
	bool colour = cli_colour();
	int old = to->swapped ? 1 : 0, r;

	if ((r = buf_putf(&to->b, "%s%c %s%s ",
		 colour ? kinds[kind].colour : "", kinds[kind].mark,
		 kinds[kind].text, colour ? "\033[0m" : "")) != 0 ||
	    (r = put_question(&to->b, w)) != 0 ||
	    (r = buf_putf(&to->b, "\n    before: ")) != 0 ||
	    (r = put_answer(&to->b, w->q[old], w->d[old])) != 0 ||
	    (r = buf_putf(&to->b, "\n    after:  ")) != 0 ||
	    (r = put_answer(&to->b, w->q[!old], w->d[!old])) != 0)
		return r;
	return buf_putf(&to->b, "\n");
}

static void
json_side(struct json *j, const char *key, const struct request *q,
    const struct decision *d)
{
	json_kv_open(j, key, '{');
	show_decision_json(j, q, d);
	json_close(j, '}');
}

static int
json_witness(struct diff *to, enum kind kind, const struct witness *w)
{
	const struct request *q = w->q[1];
	int old = to->swapped ? 1 : 0;

	json_open(&to->j, '{');
	json_kv_str(&to->j, "change", kinds[kind].name);
	json_kv_str(&to->j, "as", w->identity);
	json_kv_open(&to->j, "claims", '{');
	for (size_t i = 0; i < q->claims->n; i++)
		json_kv_str(
		    &to->j, q->claims->c[i].name, q->claims->c[i].value);
	json_close(&to->j, '}');
	json_kv_str(&to->j, "target", q->target->name);
	json_kv_str(&to->j, "login", q->login);
	json_kv_num(&to->j, "time", (uint64_t)q->now);
	show_request_json(&to->j, q);
	if (q->nsent > 0) {
		json_kv_open(&to->j, "sent", '[');
		for (size_t i = 0; i < q->nsent; i++)
			json_str(&to->j, q->sent[i]);
		json_close(&to->j, ']');
	}
	json_side(&to->j, "before", w->q[old], w->d[old]);
	json_side(&to->j, "after", w->q[!old], w->d[!old]);
	json_close(&to->j, '}');
	return json_end(&to->j);
}

static int
found(void *arg, const struct witness *w)
{
	struct diff *to = arg;
	enum kind kind = w->kind == DIFFERENCE_ALLOWED ? NEWLY_ALLOWED
			 : w->kind == DIFFERENCE_LESS  ? DEMANDS_LESS
						       : DEMANDS_MORE;
	int r;

	if (to->only_new && kind == DEMANDS_MORE)
		return 0;
	/* The other way round it is what is denied that is of interest. */
	if (to->swapped) {
		if (kind != NEWLY_ALLOWED || w->d[0]->verdict != VERDICT_DENY)
			return 0;
		kind = NEWLY_DENIED;
	}
	if (is_known(to, kind, w))
		return 0;
	r = to->json ? json_witness(to, kind, w) : put_witness(to, kind, w);
	return r != 0 ? r : to->only_new ? STOP : 0;
}

/* -- what is not decided --------------------------------------------------- */

/* Each once. */
static void
doubtful(void *arg, const struct doubt *d)
{
	struct diff *to = arg;
	const struct doubt *o;

	for (size_t i = 0; i < to->ndoubt; i++) {
		o = &to->doubt[i];
		if (o->p == d->p && o->at == d->at &&
		    strcmp(o->why, d->why) == 0)
			return;
	}
	if (to->ndoubt < DOUBTS_MAX)
		to->doubt[to->ndoubt++] = *d;
}

static void
json_doubt(struct json *j, const struct doubt *d)
{
	json_open(j, '{');
	json_kv_str(j, "change", "undecided");
	if (d->at != NULL) {
		json_kv_str(j, "file", d->p->source[d->at->pos.file].name);
		json_kv_num(j, "line", d->at->pos.line);
	}
	json_kv_str(j, "why", d->why);
	json_close(j, '}');
}

static int
tell_doubts(struct diff *to)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < to->ndoubt; i++) {
		const struct doubt *d = &to->doubt[i];

		buf_reset(&b);
		if (d->at == NULL || (show_place(d->p, d->at, &b) == 0 &&
					 buf_putf(&b, ": ") == 0))
			cli_error("undecided: %s%s",
			    d->at == NULL ? "" : buf_cstr(&b), d->why);
		if (to->json)
			json_doubt(&to->j, d);
	}
	buf_clear(&b);
	return CLI_EX_UNDECIDED;
}

/* -- the tools
 * ------------------------------------------------------------------- */

static void
out_of_budget(int sig)
{
	static const char text[] = "postern: undecided: not done within the "
				   "budget\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) == -1)
		_exit(CLI_EX_UNDECIDED);
	_exit(CLI_EX_UNDECIDED);
}

/* The comparison looks at its time by itself; but languages can be made one
 * step with which no time is enough for. */
static void
set_budget(unsigned int s)
{
	rlim_t used = (rlim_t)(clock() / CLOCKS_PER_SEC) + 1;
	const struct rlimit cpu = { used + s + 1, used + s + 5 };

	(void)signal(SIGXCPU, out_of_budget);
	(void)setrlimit(RLIMIT_CPU, &cpu);
}

/* An exit code. */
static int
compare(struct diff *to, const struct policy *before,
    const struct policy *after, unsigned int budget_s)
{
	const struct compare_ask how = { .from = time(NULL),
		.budget_s = budget_s,
		.found = found,
		.doubt = doubtful,
		.arg = to };
	int r = compare_policies(before, after, &how);

	if ((r == 0 || r == ERR_TOOBIG) && !to->only_new) {
		int other;

		to->swapped = true;
		other = compare_policies(after, before, &how);
		r = r == 0 ? other : r;
	}
	if (r == 0 || r == STOP)
		return to->n > 0 ? CLI_EX_NEW : 0;
	if (r == ERR_TOOBIG)
		return tell_doubts(to);
	cli_error("%s", err_text(r));
	return CLI_EX_UNDECIDED;
}

static int
diff_run(int argc, char **argv, bool only_new)
{
	struct diff *to = calloc(1, sizeof(*to));
	struct policy *p[2] = { NULL, NULL };
	struct ask a;
	int said = 0, r;

	if (to == NULL) {
		(void)cli_no_memory();
		return CLI_EX_UNDECIDED;
	}
	if ((r = ask_parse(&a, argc, argv, "jb")) != 0)
		goto out;
	if (argc - optind != 2) {
		r = cli_usage();
		goto out;
	}
	for (int i = 0; i < 2; i++) {
		if ((r = policy_of((const char *const *)&argv[optind + i], 1,
			 &p[i])) != 0)
			goto out;
	}
	set_budget(a.budget_s);
	to->json = a.json;
	to->only_new = only_new;
	buf_init(&to->b, TEXT_MAX);
	json_init(&to->j, &to->b);
	if (a.json)
		json_open(&to->j, '[');
	r = compare(to, p[0], p[1], a.budget_s);
	if (a.json) {
		json_close(&to->j, ']');
		if ((said = json_end(&to->j)) == 0)
			said = buf_put(&to->b, "\n", 1);
	} else if (r == 0) {
		said = buf_putf(&to->b, only_new ? "proved: nothing is allowed "
						   "that was not\n"
						 : "no difference\n");
	}
	/* Half an answer is none, whatever was found. */
	if (policy_say(&to->b, said) != 0)
		r = CLI_EX_UNDECIDED;
out:
	policy_free(p[0]);
	policy_free(p[1]);
	free(to);
	return r;
}

int
cli_policy_diff(int argc, char **argv)
{
	return diff_run(argc, argv, false);
}

int
cli_policy_prove(int argc, char **argv)
{
	return diff_run(argc, argv, true);
}
