/*
 * postern policy rehearse: another policy against the ledger of what really
 * was asked.  The ledger may have been copied, cut or damaged: a line that
 * cannot be read is said, counted, and never taken for a yes.
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/utc.h"
#include "cli/cli.h"
#include "cli/policy.h"
#include "cli/rehearse.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/rehearse.h"
#include "policy/show.h"

#define PART_MAX 255 /* bytes of a part that are shown */
#define FIELDS_MAX 64
#define COMMAND_ROOM (4 * COMMAND_LEN_MAX)

/* A line's fields as texts. */
struct fields {
	const char *text[FIELDS_MAX]; /* never NULL */
	bool has_pty, pty, stdin_ok;
	uint64_t positions;
	char *room; /* where they are */
};

struct replay {
	uint64_t since_ms;
	struct cli_ledger ledger;
	struct rehearsal *rehearsal;
	struct findings *found;
	struct fields fields;
	struct sum sum;
};

/* -- lines
 * ------------------------------------------------------------------- */

static int
read_fields(const struct buf *event, struct fields *f)
{
	struct event_value v;
	char *to = f->room;
	struct buf b;
	uint32_t kind;
	int r;

	for (size_t i = 0; i < FIELDS_MAX; i++)
		f->text[i] = "";
	f->has_pty = f->pty = f->stdin_ok = false;
	f->positions = 0;
	buf_view(&b, buf_ptr(event), buf_len(event));
	if ((r = event_get_kind(&b, &kind)) != 0)
		return r;
	while (buf_len(&b) > 0) {
		if ((r = event_get(&b, &v)) != 0)
			return r;
		if (v.type == 's' && v.field < FIELDS_MAX) {
			memcpy(to, v.s, v.len);
			to[v.len] = '\0';
			f->text[v.field] = to;
			to += v.len + 1; /* shorter than the event has it */
		} else if (v.field == EV_PTY) {
			f->has_pty = true;
			f->pty = v.n != 0;
		} else if (v.field == EV_STDIN) {
			f->stdin_ok = v.n != 0;
		} else if (v.field == EV_POSITIONS) {
			f->positions = v.n;
		}
	}
	return 0;
}

/* -- one command
 * ------------------------------------------------------------- */

static void
fill_past(const struct fields *f, uint64_t ms, bool denied, struct past *p)
{
	*p = (struct past){ .identity = f->text[EV_IDENTITY],
		.issuer = f->text[EV_ISSUER],
		.subject = f->text[EV_SUBJECT],
		.commit = f->text[EV_COMMIT],
		.pull_request = f->text[EV_PULL_REQUEST],
		.actor = f->text[EV_ACTOR],
		.workflow = f->text[EV_WORKFLOW],
		.run = f->text[EV_RUN],
		.user = f->text[EV_USER],
		.target = f->text[EV_TARGET],
		.login = f->text[EV_LOGIN],
		.command = f->text[EV_COMMAND],
		.by = f->text[EV_BY],
		.escaped = denied && *f->text[EV_LIST] == '\0',
		.syntax = denied && strcmp(f->text[EV_REASON], "syntax") == 0,
		.has_pty = f->has_pty,
		.pty = f->pty,
		.when = (time_t)(ms / 1000) };
}

static const char *
new_verdict(const struct rehearsed *now)
{
	return now->undecided      ? "undecided"
	       : now->d.would_deny ? "would-deny"
				   : show_verdict(&now->d);
}

static enum change
find_change(const struct fields *f, const struct rehearsed *now)
{
	const char *was = f->text[EV_VERDICT], *is = new_verdict(now);

	if (now->undecided)
		return CHANGE_UNDECIDED;
	if (strcmp(was, is) == 0)
		return strcmp(is, "allow") == 0 && f->stdin_ok &&
			       !now->d.stdin_ok
			   ? CHANGE_NO_INPUT
			   : CHANGE_NONE;
	if (now->d.would_deny)
		return CHANGE_OBSERVED;
	switch (now->d.verdict) {
	case VERDICT_DENY:
		return CHANGE_DENIED;
	case VERDICT_APPROVAL:
		return CHANGE_APPROVAL;
	case VERDICT_ALLOW:
		return CHANGE_ALLOWED;
	}
	return CHANGE_UNDECIDED;
}

/* What people are shown of it: text and program. */
static int
show_command(const struct fields *f, const struct request *q, struct buf *text,
    struct buf *program)
{
	const struct command *c = q->command;
	int r;

	if (c == NULL)
		return buf_putf(text, "%s", f->text[EV_COMMAND]);
	if ((r = command_print(c, text)) != 0)
		return r;
	for (size_t i = 0; i < c->nstage && r == 0; i++)
		r = buf_putf(program, "%s%.*s", i == 0 ? "" : " | ", PART_MAX,
		    c->stage[i].argv[0]);
	return r;
}

static int
show_rule(const struct rehearsed *now, struct buf *place)
{
	const struct rule *rule = now->d.rule;

	if (now->undecided || rule == NULL)
		return 0;
	return show_place(now->q->policy, show_line(rule, now->q), place);
}

static int
show_why(const struct rehearsed *now, struct buf *why)
{
	const struct decision *d = &now->d;

	if (*now->why != '\0')
		return buf_putf(why, "%s", now->why);
	if (d->missing != NULL)
		return buf_putf(
		    why, "this version cannot enforce %s", d->missing);
	if (d->verdict == VERDICT_DENY && d->rule != NULL &&
	    d->rule->because != NULL)
		return buf_putf(why, "%s", d->rule->because);
	return 0;
}

/* The identity that the ledger names may be another one now. */
static int
add_found(struct replay *re, const struct fields *f,
    const struct rehearsed *now, enum change change, uint64_t ms)
{
	enum { TEXT, PROGRAM, PLACE, WHY, BUFS };
	struct found one = { .change = change, .time_ms = ms };
	const bool syntax = strcmp(f->text[EV_REASON], "syntax") == 0;
	char part[PARTS][PART_MAX + 1];
	const char *s[BUFS], *text[PARTS];
	struct buf b[BUFS];
	int r = 0;

	if (change == CHANGE_NONE)
		return findings_add(re->found, &one);
	for (size_t i = 0; i < BUFS; i++)
		buf_init(&b[i], COMMAND_ROOM);
	if ((r = show_command(f, now->q, &b[TEXT], &b[PROGRAM])) != 0 ||
	    (r = show_rule(now, &b[PLACE])) != 0 ||
	    (r = show_why(now, &b[WHY])) != 0)
		goto out;
	for (size_t i = 0; i < BUFS; i++) {
		if ((s[i] = buf_cstr(&b[i])) == NULL)
			s[i] = "";
	}
	text[PART_IDENTITY] = f->text[EV_IDENTITY];
	text[PART_WHERE] =
	    *f->text[EV_USER] != '\0' ? f->text[EV_USER] : f->text[EV_TARGET];
	text[PART_OLD_VERDICT] = f->text[EV_VERDICT];
	text[PART_OLD_RULE] = syntax ? "syntax" : f->text[EV_RULE];
	text[PART_NEW_VERDICT] = new_verdict(now);
	text[PART_NEW_RULE] = now->undecided ? "" : now->d.rule_name;
	text[PART_PLACE] = s[PLACE];
	text[PART_WHY] = s[WHY];
	text[PART_PROGRAM] = s[PROGRAM];
	for (size_t i = 0; i < PARTS; i++) {
		(void)snprintf(part[i], sizeof(part[i]), "%s", text[i]);
		one.part[i] = part[i];
	}
	one.command = s[TEXT];
	r = findings_add(re->found, &one);
out:
	for (size_t i = 0; i < BUFS; i++)
		buf_clear(&b[i]);
	return r;
}

/* A denial for what stood beside it was not about the command. */
static bool
is_beside(const struct fields *f)
{
	const char *why = f->text[EV_REASON];

	return strcmp(f->text[EV_VERDICT], "deny") == 0 &&
	       (strcmp(why, "list") == 0 || strcmp(why, "limit") == 0);
}

static int
take_decision(struct replay *re, uint64_t ms)
{
	const struct fields *f = &re->fields;
	const bool denied = strcmp(f->text[EV_VERDICT], "deny") == 0;
	struct list_line list = { .id = f->text[EV_LIST],
		.positions = f->positions,
		.ran = !denied,
		.limited = strcmp(f->text[EV_REASON], "limit") == 0 };
	struct rehearsed now;
	struct past past;
	int r;

	fill_past(f, ms, denied, &past);
	if ((r = rehearse(re->rehearsal, &past, &now)) != 0)
		return r;
	if (*list.id != '\0') {
		list.undecided = now.undecided;
		list.denied = !now.undecided && now.d.verdict == VERDICT_DENY;
		lists_add(&re->sum.lists, &list);
	}
	if (is_beside(f)) {
		re->sum.passed_over++;
		return 0;
	}
	re->sum.commands++;
	if (re->sum.first_ms == 0 || ms < re->sum.first_ms)
		re->sum.first_ms = ms;
	if (ms > re->sum.last_ms)
		re->sum.last_ms = ms;
	return add_found(re, f, &now, find_change(f, &now), ms);
}

static int
take_event(void *arg, uint64_t number, uint64_t ms, const struct buf *event)
{
	struct replay *re = arg;
	const char *verdict;
	uint32_t kind;

	(void)number;
	if (ledger_kind(event, &kind) != 0 || kind != EVENT_OP_DECIDE ||
	    ms < re->since_ms)
		return 0;
	if (read_fields(event, &re->fields) != 0) {
		cli_ledger_damage(
		    &re->ledger, "a text of this line is too long");
		return 0;
	}
	verdict = re->fields.text[EV_VERDICT];
	if (strcmp(verdict, "allow") != 0 && strcmp(verdict, "deny") != 0 &&
	    strcmp(verdict, "would-deny") != 0) {
		cli_ledger_damage(
		    &re->ledger, "this decision has no verdict that is known");
		return 0;
	}
	if (strcmp(re->fields.text[EV_BY], "shell") == 0)
		return 0; /* its lines have decisions of their own */
	return take_decision(re, ms);
}

/* -- the tool
 * ---------------------------------------------------------------- */

/* An exit code. */
static int
say(struct replay *re, bool json)
{
	int r = 0;

	if (json)
		r = sum_json(&re->sum, re->found);
	else
		sum_print(&re->sum, re->found);
	if (r != 0) {
		cli_error("%s", err_text(r));
		return CLI_EX_UNDECIDED;
	}
	if (findings_changes(re->found) > 0)
		return CLI_EX_NEW;
	return findings_count(re->found, CHANGE_UNDECIDED) > 0 ||
		       re->sum.damaged > 0
		   ? CLI_EX_UNDECIDED
		   : 0;
}

/* The policy that was in force: the one that is named, or, if there is one,
 * the bastion's own. */
static int
load_old(const char *path, struct policy **old)
{
	struct diags *d;
	int r = 0;

	if (path != NULL)
		return policy_of(&path, 1, old);
	if ((d = diags_new()) == NULL)
		return cli_no_memory();
	if (policy_load_from(NULL, 0, d, old) == ERR_NOMEM)
		r = cli_no_memory();
	diags_free(d);
	return r;
}

static int
replay(const struct ask *a, const char *path, const struct policy *p,
    const struct policy *old)
{
	struct replay re = { .since_ms = a->since_ms,
		.ledger = { .path = path,
		    .doing = "rehearsing",
		    .fn = take_event,
		    .arg = &re },
		.sum.has_old = old != NULL };
	int r;

	re.fields.room = malloc(LEDGER_LINE_MAX);
	if (re.fields.room == NULL || findings_new(&re.found) != 0 ||
	    rehearsal_new(p, old, &re.rehearsal) != 0)
		r = cli_no_memory();
	else
		r = cli_ledger_read(&re.ledger);
	if (r == 0) {
		lists_end(&re.sum.lists);
		re.sum.damaged = re.ledger.damaged;
		r = say(&re, a->json);
	}
	free(re.fields.room);
	findings_free(re.found);
	rehearsal_free(re.rehearsal);
	return r;
}

int
cli_policy_rehearse(int argc, char **argv)
{
	struct policy *p = NULL, *old = NULL;
	char *own = NULL;
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "OSLj")) != 0)
		goto out;
	if (argc - optind != 1) {
		r = cli_usage();
		goto out;
	}
	if ((r = policy_of((const char *const *)argv + optind, 1, &p)) != 0 ||
	    (r = load_old(a.old, &old)) != 0)
		goto out;
	policy_tell_left_out((const struct policy *const[]){ p }, 1);
	if (a.ledger == NULL && asprintf(&own, "%s/ledger/ledger.jsonl",
				    cli_conf()->state_folder) == -1) {
		own = NULL;
		r = CLI_EX_FAILED;
		goto out;
	}
	r = replay(&a, own != NULL ? own : a.ledger, p, old);
out:
	free(own);
	policy_free(p);
	policy_free(old);
	ask_clear(&a);
	return r;
}
