/*
 * `ssh postern@bastion can TARGET COMMAND`: what would be decided, and why,
 * without any of it being done.  Runs in the policy process.  What stands
 * behind TARGET is read and judged like what is sent to that target, by the
 * same functions; it is no operation and counts for no limit.  A question is in
 * the ledger before it is answered, as a denial is: nobody tries out the rules
 * unseen.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "broker/operation_internal.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/files.h"
#include "policy/model.h"
#include "policy/policy.h"

/* One question, taken apart. */
struct question {
	struct ask ask; /* command: what stands behind the target */
	struct user_name name;
	struct list list;
};

static size_t
blanks(const uint8_t *s, size_t n, size_t at)
{
	while (at < n && (s[at] == ' ' || s[at] == '\t'))
		at++;
	return at;
}

static size_t
word_end(const uint8_t *s, size_t n, size_t at)
{
	while (at < n && s[at] > ' ')
		at++;
	return at;
}

bool
operation_is_can(const struct ask *a)
{
	size_t at = blanks(a->command, a->ncommand, 0);
	size_t end = word_end(a->command, a->ncommand, at);

	return end - at == 3 && memcmp(a->command + at, "can", 3) == 0;
}

/* ERR_FORMAT: there is no target, or nothing behind it. */
static int
split(const struct ask *a, struct question *q)
{
	const uint8_t *s = a->command;
	char name[USER_LEN_MAX + 1];
	size_t n = a->ncommand, at, end;

	at = blanks(s, n, word_end(s, n, blanks(s, n, 0)));
	end = word_end(s, n, at);
	if (end == at || end - at >= sizeof(name))
		return ERR_FORMAT;
	memcpy(name, s + at, end - at);
	name[end - at] = '\0';
	at = blanks(s, n, end);
	if (at == n || user_name_parse(name, &q->name) != 0)
		return ERR_FORMAT;
	q->ask = *a;
	q->ask.command = s + at;
	q->ask.ncommand = n - at;
	return 0;
}

static int
note(const struct connection *conn, const struct question *q,
    const struct decision *d, const char *reason)
{
	const char *verdict = d->verdict != VERDICT_ALLOW ? "deny"
			      : d->would_deny             ? "would-deny"
							  : "allow";
	struct buf b;
	int r;

	buf_init(&b, EVENT_BODY_MAX);
	if ((r = event_start(&b, EVENT_QUESTION)) == 0 &&
	    (r = session_event(conn->session, conn, d->identity_name, &b)) ==
		0 &&
	    (r = event_str(&b, EV_TARGET, q->name.target)) == 0 &&
	    (r = event_str(&b, EV_LOGIN, q->name.login)) == 0 &&
	    (r = ask_event_command(&b, &q->ask)) == 0 &&
	    (r = event_num(&b, EV_PTY, q->ask.tty)) == 0 &&
	    (r = event_str(&b, EV_POLICY, policy_hash())) == 0 &&
	    (r = event_str(&b, EV_RULE, d->rule_name)) == 0 &&
	    (r = event_str(&b, EV_VERDICT, verdict)) == 0 &&
	    (r = event_str(&b, EV_REASON, reason)) == 0)
		r = session_denial(conn->session, &b);
	buf_clear(&b);
	return r;
}

/* The line, then the answer. */
static void
answer(struct operation *op, const struct connection *conn,
    const struct question *q, const struct decision *d, const char *reason,
    uint32_t code, const struct buf *text)
{
	int r = note(conn, q, d, reason);

	if (r != 0) {
		log_err(r, "question %s has no ledger line", op->id);
		operation_refuse(op, POSTERN_EX_IOERR,
		    "not answered: the ledger "
		    "cannot be written just now; try again");
		return;
	}
	r = code == 0 ? operation_answer(op, code, text, NULL)
		      : operation_answer(op, code, NULL, text);
	if (r != 0)
		log_err(r, "answer to question %s", op->id);
	operation_free(op);
}

/* What an allowed command gets, for each of them. */
static void
say_allowed(const struct request *q, const struct decision *d, struct buf *text)
{
	if (d->would_deny) {
		(void)buf_putf(text,
		    "let through: no rule allows it, and %s is only observed "
		    "for now\n",
		    q->target->name);
		return;
	}
	(void)buf_putf(text, "allowed by rule `%s`%s%s\n", d->rule_name,
	    d->stdin_ok ? ", with standard input" : "",
	    d->pty ? ", in a terminal" : "");
}

static void
judge(struct operation *op, const struct connection *conn, struct question *qu)
{
	const struct list *l = &qu->list;
	struct decision *d = calloc(l->n, sizeof(*d));
	struct request q;
	struct buf text;
	size_t which;

	if (d == NULL) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		return;
	}
	buf_init(&text, PROTO_TEXT_MAX);
	judge_request(conn, &qu->name, qu->ask.tty != 0, &q);
	q.sent = qu->ask.sent.var;
	q.nsent = qu->ask.sent.n;
	which = op->in != NULL ? judge_decide_line(&q, l, d)
			       : judge_decide(&q, l, d);
	if (which == l->n) {
		for (size_t i = 0; i < l->n; i++)
			say_allowed(&q, &d[i], &text);
		answer(op, conn, qu, &d[0], NULL, 0, &text);
	} else {
		if (l->n > 1)
			(void)buf_putf(&text,
			    "postern: command %zu of %zu would be denied, and "
			    "so nothing of them would be run:\n",
			    which + 1, l->n);
		judge_explain(&q, &qu->name, l, d, which, &text);
		answer(op, conn, qu, &d[which], "policy", POSTERN_EX_DENIED,
		    &text);
	}
	buf_clear(&text);
	free(d);
}

/* `read PATH by sftp`, `write PATH by sftp`: the one question that is not about
 * a command.  There is no command of these names: a shell has them built in. */
static bool
is_files(const struct list *l, bool *write)
{
	const struct command *c = &l->command[0];
	const struct stage *st = c->stage;

	if (l->n != 1 || c->nstage != 1 || c->dir != NULL || st->nassign > 0 ||
	    st->argc != 4 || strcmp(st->argv[2], "by") != 0 ||
	    strcmp(st->argv[3], "sftp") != 0)
		return false;
	*write = strcmp(st->argv[0], "write") == 0;
	return *write || strcmp(st->argv[0], "read") == 0;
}

static void
say_file(const struct request *q, const struct files *f,
    const struct file_line *line, bool write, const char *path,
    struct buf *text)
{
	if (line != NULL && f->d.would_deny)
		(void)buf_putf(text,
		    "let through: %s is only observed for now\n",
		    q->target->name);
	else if (line != NULL)
		(void)buf_putf(text, "allowed by rule `%s`\n", line->rule);
	else if (f->d.verdict == VERDICT_ALLOW)
		(void)buf_putf(text,
		    "postern: denied: files of %s may be moved by sftp, and "
		    "not this one: %s %s\n",
		    q->target->name, write ? "write" : "read", log_safe(path));
	else if (q->policy == NULL || q->target == NULL ||
		 files_explain(q, f, text) != 0)
		(void)buf_putf(text,
		    "postern: denied: the policy names no such target or "
		    "login\n");
}

static void
judge_file(struct operation *op, const struct connection *conn,
    struct question *qu, bool write)
{
	const char *path = qu->list.command[0].stage->argv[1];
	const struct file_line *line = NULL;
	struct decision d = { .rule_name = "default" };
	struct request q;
	struct files f;
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	judge_request(conn, &qu->name, false, &q);
	q.kind = write ? REQUEST_WRITE : REQUEST_READ;
	q.how = BY_SFTP;
	if (files_decide(&q, &f) != 0) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "more `read` and `write` lines hold for this job here than "
		    "one session can carry");
		goto out;
	}
	if (f.d.verdict == VERDICT_ALLOW)
		line = files_judge(&f, write, path);
	if (line != NULL) {
		d = f.d;
		d.rule_name = line->rule;
	}
	say_file(&q, &f, line, write, path, &text);
	answer(op, conn, qu, &d, line != NULL ? NULL : "policy",
	    line != NULL ? 0 : POSTERN_EX_DENIED, &text);
out:
	files_clear(&f);
	buf_clear(&text);
}

/* What was asked about is no command. */
static void
not_read(struct operation *op, const struct connection *conn,
    const struct question *q, const struct command_error *e)
{
	const struct decision none = { .rule_name = "default" };
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	if (command_error_print(
		(const char *)q->ask.command, q->ask.ncommand, e, &text) != 0)
		buf_reset(&text);
	answer(op, conn, q, &none, "syntax", POSTERN_EX_USAGE, &text);
	buf_clear(&text);
}

void
operation_can(
    struct operation *op, const struct connection *conn, const struct ask *a)
{
	struct command_error e = { 0 };
	struct question q = { 0 };
	bool write = false;
	int r;

	if (split(a, &q) != 0) {
		operation_refuse(op, POSTERN_EX_USAGE,
		    "usage: can TARGET COMMAND, or can LOGIN+TARGET COMMAND; "
		    "of files: can TARGET read PATH by sftp, or write");
		return;
	}
	r = list_parse((const char *)q.ask.command, q.ask.ncommand,
	    a->kind == RUN_SCRIPT ? LIST_SCRIPT : LIST_LINE, &q.list, &e);
	if (r == ERR_NOMEM)
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
	else if (r != 0)
		not_read(op, conn, &q, &e);
	else if (is_files(&q.list, &write) &&
		 path_is_plain(q.list.command[0].stage->argv[1],
		     strlen(q.list.command[0].stage->argv[1])))
		judge_file(op, conn, &q, write);
	else
		judge(op, conn, &q);
	list_clear(&q.list);
}
