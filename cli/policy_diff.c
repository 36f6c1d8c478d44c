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
#include "policy/policy.h"
#include "policy/show.h"

#define TEXT_MAX (64UL * 1024 * 1024)
#define FOUND_MAX 10000
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
	const struct run *run;
	const char *identity;
	const struct rule *other;
};

struct diff {
	bool json, only_new, swapped;
	struct buf b;
	struct json j;
	struct seen seen[FOUND_MAX];
	size_t n;
};

static bool
is_known(struct diff *to, enum kind kind, const struct witness *w)
{
	const struct seen s = { kind,
		w->d[1]->rule == NULL ? NULL : show_run(w->d[1]->rule, w->q[1]),
		w->identity, w->d[0]->rule };
	size_t i;

	for (i = 0; i < to->n; i++) {
		if (to->seen[i].kind == s.kind && to->seen[i].run == s.run &&
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
	const struct run *run;
	int r;

	if (d->rule == NULL)
		return buf_putf(b, "%s%s", text,
		    q->target == NULL ? ": not that machine or login" : "");
	run = show_run(d->rule, q);
	if ((r = buf_putf(b, "%s by %s", text, d->rule_name)) != 0)
		return r;
	if (run != NULL && ((r = buf_putf(b, " at ")) != 0 ||
			       (r = show_run_place(q->policy, run, b)) != 0))
		return r;
	return d->verdict == VERDICT_DENY ? 0 : show_demands(q->policy, d, b);
}

static int
put_command(struct buf *b, const struct witness *w)
{
	const struct request *q = w->q[1];
	const struct claims *cs = q->claims;
	char day[32];
	struct tm tm;
	time_t now = q->now;
	int r;

	if ((r = buf_putf(b, "%s on %s+%s: ", w->identity, q->login,
		 q->target->name)) != 0 ||
	    (r = command_print(q->command, b)) != 0)
		return r;
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
	    (r = put_command(&to->b, w)) != 0 ||
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
	json_key(j, key);
	json_open(j, '{');
	show_decision_json(j, q, d);
	json_close(j, '}');
}

static int
json_witness(struct diff *to, enum kind kind, const struct witness *w)
{
	const struct request *q = w->q[1];
	int old = to->swapped ? 1 : 0, r;
	struct buf b;

	buf_init(&b, 4 * COMMAND_LEN_MAX);
	if ((r = command_print(q->command, &b)) != 0)
		goto out;
	json_open(&to->j, '{');
	json_kv_str(&to->j, "change", kinds[kind].name);
	json_kv_str(&to->j, "as", w->identity);
	json_key(&to->j, "claims");
	json_open(&to->j, '{');
	for (size_t i = 0; i < q->claims->n; i++)
		json_kv_str(
		    &to->j, q->claims->c[i].name, q->claims->c[i].value);
	json_close(&to->j, '}');
	json_kv_str(&to->j, "target", q->target->name);
	json_kv_str(&to->j, "login", q->login);
	json_kv_num(&to->j, "time", (uint64_t)q->now);
	json_key(&to->j, "pty");
	json_bool(&to->j, q->pty);
	json_key(&to->j, "command");
	json_strn(&to->j, buf_ptr(&b), buf_len(&b));
	json_side(&to->j, "before", w->q[old], w->d[old]);
	json_side(&to->j, "after", w->q[!old], w->d[!old]);
	json_close(&to->j, '}');
	r = json_end(&to->j);
out:
	buf_clear(&b);
	return r;
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

/* Languages can be made that no time is enough for. */
static void
set_budget(unsigned int s)
{
	const struct rlimit cpu = { s, s + 5 };

	(void)signal(SIGXCPU, out_of_budget);
	(void)setrlimit(RLIMIT_CPU, &cpu);
}

/* An exit code. */
static int
compare(
    struct diff *to, const struct policy *before, const struct policy *after)
{
	int r = compare_policies(before, after, time(NULL), found, to);

	if (r == 0 && !to->only_new) {
		to->swapped = true;
		r = compare_policies(after, before, time(NULL), found, to);
	}
	if (r == 0 || r == STOP)
		return to->n > 0 ? CLI_EX_NEW : 0;
	if (r == ERR_TOOBIG) {
		cli_error("undecided: the policies differ in more than can be "
			  "looked at");
		return CLI_EX_UNDECIDED;
	}
	cli_error("%s", err_text(r));
	return CLI_EX_UNDECIDED;
}

static int
diff_run(int argc, char **argv, bool only_new)
{
	struct diff *to = calloc(1, sizeof(*to));
	struct policy *p[2] = { NULL, NULL };
	struct ask a;
	int r;

	if (to == NULL)
		return CLI_EX_UNDECIDED;
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
	r = compare(to, p[0], p[1]);
	if (a.json) {
		json_close(&to->j, ']');
		(void)buf_put(&to->b, "\n", 1);
	} else if (r == 0) {
		(void)buf_putf(&to->b, only_new ? "proved: nothing is allowed "
						  "that was not\n"
						: "no difference\n");
	}
	(void)policy_say(&to->b, 0);
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
