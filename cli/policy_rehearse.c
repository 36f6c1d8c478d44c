/*
 * postern policy rehearse: another policy against the ledger of what really
 * was asked.  The ledger may have been copied, cut or damaged: a line that
 * cannot be read is said, counted, and never taken for a yes.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_lines.h"
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

#define SAID_MAX 20             /* damaged lines that are told one by one */
#define PART_MAX 255            /* bytes of a part that are shown */
#define PROGRESS_FROM (1 << 20) /* bytes of a ledger */
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
	const char *path;
	uint64_t since_ms, size;
	bool shows;         /* progress */
	unsigned int shown; /* percent */
	struct rehearsal *rehearsal;
	struct findings *found;
	struct buf event;
	struct fields fields;
	uint64_t line, last_number; /* 0: not known */
	struct sum sum;
};

/* -- lines
 * ------------------------------------------------------------------- */

static void
progress(struct replay *re, uint64_t at)
{
	unsigned int percent =
	    re->size == 0 ? 100 : (unsigned int)(at * 100 / re->size);

	if (!re->shows || percent == re->shown)
		return;
	re->shown = percent;
	(void)fprintf(stderr, "\rrehearsing ... %u%%", percent);
	if (percent >= 100)
		(void)fputs("\r\033[K", stderr);
	(void)fflush(stderr);
}

static void
damage(struct replay *re, const char *what)
{
	if (++re->sum.damaged > SAID_MAX)
		return;
	if (re->shows)
		(void)fputs("\r\033[K", stderr);
	cli_error("%s:%" PRIu64 ": %s%s", re->path, re->line, what,
	    re->sum.damaged == SAID_MAX ? "; there may be more" : "");
}

/* Numbers have no gap; behind a damaged line one is not known. */
static void
check_number(struct replay *re, uint64_t number)
{
	char text[120];

	if (re->last_number != 0 && number != re->last_number + 1) {
		(void)snprintf(text, sizeof(text),
		    "its number is %" PRIu64 ", and the line before has "
		    "%" PRIu64,
		    number, re->last_number);
		damage(re, text);
	}
	re->last_number = number;
}

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
take_line(struct replay *re, const char *line, size_t n)
{
	const char *verdict;
	uint64_t number, ms;
	uint32_t kind;
	int r;

	buf_reset(&re->event);
	r = ledger_parse(line, n, &number, &ms, &re->event);
	if (r == ERR_NOMEM)
		return r;
	if (r != 0 && r != ERR_NOTFOUND) {
		damage(re, "this is no line of a ledger");
		re->last_number = 0;
		return 0;
	}
	check_number(re, number);
	if (r == ERR_NOTFOUND || ledger_kind(&re->event, &kind) != 0 ||
	    kind != EVENT_OP_DECIDE || ms < re->since_ms)
		return 0;
	if (read_fields(&re->event, &re->fields) != 0) {
		damage(re, "a text of this line is too long");
		return 0;
	}
	verdict = re->fields.text[EV_VERDICT];
	if (strcmp(verdict, "allow") != 0 && strcmp(verdict, "deny") != 0 &&
	    strcmp(verdict, "would-deny") != 0) {
		damage(re, "this decision has no verdict that is known");
		return 0;
	}
	return take_decision(re, ms);
}

static int
take_lines(struct replay *re, int fd)
{
	struct ledger_lines lines;
	const char *line;
	size_t n;
	int r;

	/* What is appended meanwhile is not looked at. */
	if ((r = ledger_lines_init(&lines, fd, 0, re->size)) != 0)
		return r;
	while ((r = ledger_lines_next(&lines, &line, &n)) != ERR_NOTFOUND) {
		re->line = lines.line;
		progress(re, lines.next);
		if (r == ERR_TOOBIG || r == ERR_FORMAT) {
			damage(re, r == ERR_TOOBIG
				       ? "this line is longer than 1 MiB"
				       : "the last line has no end");
			re->last_number = 0;
			continue;
		}
		if (r != 0 || (r = take_line(re, line, n)) != 0)
			goto out;
	}
	r = 0;
	lists_end(&re->sum.lists);
out:
	ledger_lines_clear(&lines);
	return r;
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
open_ledger(struct replay *re, const char *path, int *fdp)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1 || fstat(fd, &st) == -1) {
		cli_error("%s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		cli_error("%s: this is no file", path);
	} else {
		re->path = path;
		re->size = (uint64_t)st.st_size;
		re->shows = re->size >= PROGRESS_FROM && isatty(STDERR_FILENO);
		*fdp = fd;
		return 0;
	}
	if (fd != -1)
		(void)close(fd);
	return CLI_EX_FAILED;
}

static int
replay(const struct ask *a, const char *path, const struct policy *p,
    const struct policy *old)
{
	struct replay re = { .since_ms = a->since_ms,
		.sum.has_old = old != NULL };
	int fd = -1, r;

	buf_init(&re.event, LEDGER_LINE_MAX);
	re.fields.room = malloc(LEDGER_LINE_MAX);
	if ((r = open_ledger(&re, path, &fd)) != 0)
		goto out;
	if ((r = re.fields.room == NULL ? ERR_NOMEM : 0) == 0 &&
	    (r = findings_new(&re.found)) == 0 &&
	    (r = rehearsal_new(p, old, &re.rehearsal)) == 0)
		r = take_lines(&re, fd);
	if (r != 0) {
		cli_error("%s: %s", path, err_text(r));
		r = CLI_EX_FAILED;
	} else {
		r = say(&re, a->json);
	}
out:
	if (fd != -1)
		(void)close(fd);
	buf_clear(&re.event);
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
