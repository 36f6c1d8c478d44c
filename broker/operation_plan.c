/*
 * What an operation's decision means for the others: the ledger's line, the
 * hop's work, the signer's grant.  Runs in policy.  The command is argv here,
 * and goes on in the one quoting that every login shell reads alike.
 */
#include "config.h"

#include "broker/operation_internal.h"

#include <sys/random.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/keyid.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/proto.h"
#include "policy/command.h"
#include "policy/files.h"
#include "policy/refset.h"
#include "ssh/quote.h"
#include "ssh/serve.h"

#define PLAN_ENV "/usr/bin/env"
#define ASKED_MAX 4096 /* bytes shown of what was asked, and of its folder */

/* -- the decision ----------------------------------------------------------- */

int
plan_decide_event(struct buf *b, const struct operation *op,
    const struct connection *conn, const struct decision *d, const char *verdict)
{
	int r;

	if ((r = event_start(b, EVENT_OP_DECIDE)) != 0 ||
	    (r = event_str(b, EV_OPERATION, op->id)) != 0 ||
	    (r = session_event(conn->session, conn, d->identity_name, b)) !=
		0 ||
	    (r = event_str(b, EV_TARGET, op->place.target)) != 0 ||
	    (r = event_str(b, EV_POLICY, policy_hash())) != 0 ||
	    (r = event_str(b, EV_RULE, d->rule_name)) != 0 ||
	    (op->list != NULL && (r = joblist_event(op->list, b)) != 0) ||
	    (op->in != NULL && (r = brokershell_event(op->in, b)) != 0))
		return r;
	return event_str(b, EV_VERDICT, verdict);
}

int
plan_put_way(struct buf *b, enum op_what what, const struct decision *d)
{
	static const struct {
		const char *way, *direction;
	} streams[] = {
		[STREAM_NONE] = { "", "" },
		[STREAM_RSYNC_READ] = { "rsync", "read" },
		[STREAM_RSYNC_WRITE] = { "rsync", "write" },
		[STREAM_GIT_FETCH] = { "git", "read" },
		[STREAM_GIT_ARCHIVE] = { "git", "read" },
		[STREAM_GIT_PUSH] = { "git", "write" },
	};
	int r;

	if (what == OP_SFTP || what == OP_SCP)
		return event_str(
		    b, EV_BY, what == OP_SFTP ? "sftp" : "scp-legacy");
	if ((r = event_str(b, EV_BY, streams[d->stream].way)) != 0)
		return r;
	return event_str(b, EV_DIRECTION, streams[d->stream].direction);
}

int
plan_put_denied_login(
    struct buf *b, const struct operation *op, const struct connection *conn)
{
	const struct target *t;
	const char *login = op->place.login;

	if (strcmp(op->place.target, conn->name.target) == 0)
		return 0;
	if (*login == '\0' && policy_now() != NULL &&
	    (t = policy_target_find(policy_now(), op->place.target)) != NULL)
		login = t->login;
	return event_str(b, EV_LOGIN, login);
}

/* Variables, as a command would have them in front. */
static int
plan_env_event(struct buf *b, const char *const *env, size_t n)
{
	struct buf text;
	int r;

	if (n == 0)
		return 0;
	buf_init(&text, 2 * PROTO_ENV_MAX);
	if ((r = assigns_print(env, n, &text)) == 0)
		r = buf_cstr(&text) == NULL
			? ERR_TOOBIG
			: event_str(b, EV_ENV, buf_cstr(&text));
	buf_clear(&text);
	return r;
}

/* Everything but printable ASCII escaped, and the backslash, so that it reads
 * back one way; as much as shows what was tried. */
static int
put_asked(struct buf *text, const uint8_t *p, size_t n)
{
	const size_t end = buf_len(text) + ASKED_MAX;
	int r = 0;

	for (size_t i = 0; i < n && r == 0 && buf_len(text) <= end; i++) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\')
			r = buf_put_u8(text, p[i]);
		else
			r = buf_putf(text, "\\x%02x", p[i]);
	}
	return r;
}

/* Where a shell's line would have run: as it is written of one that does. */
static int
put_asked_folder(struct buf *text, const char *dir)
{
	struct buf cd;
	int r;

	if (dir == NULL)
		return 0;
	buf_init(&cd, PROTO_COMMAND_MAX);
	if ((r = buf_putf(&cd, "cd ")) == 0 &&
	    (r = word_print(dir, &cd)) == 0 &&
	    (r = put_asked(text, buf_ptr(&cd), buf_len(&cd))) == 0)
		r = buf_putf(text, " && ");
	buf_clear(&cd);
	return r;
}

/* What was asked, as text that a log and a ledger may hold. */
int
ask_event_command(struct buf *b, const struct ask *a)
{
	struct buf text;
	int r;

	buf_init(&text, 4 * PROTO_COMMAND_MAX);
	if ((r = put_asked_folder(&text, a->dir)) == 0)
		r = put_asked(&text, a->command, a->ncommand);
	if (r == 0 && buf_cstr(&text) != NULL)
		r = event_str(b, EV_COMMAND, buf_cstr(&text));
	buf_clear(&text);
	return r;
}

/* -- what the hop and the signer get ----------------------------------------- */

static int
make_key_id(const struct operation *op, const struct connection *conn,
    const char *identity, struct buf *b)
{
	int r;

	if ((r = buf_putf(b, "postern operation=%s", op->id)) != 0 ||
	    (r = keyid_put(b, "identity", identity)) != 0 ||
	    (r = keyid_put(b, "commit", conn->session->ties.commit)) != 0 ||
	    (r = keyid_put(b, "run", conn->session->ties.run)) != 0)
		return r;
	return buf_cstr(b) == NULL ? ERR_NOMEM : 0;
}

void
plan_init(struct plan *p)
{
	*p = (struct plan){ 0 };
	buf_init(&p->wire, PROTO_WIRE_MAX);
	buf_init(&p->shown, PROTO_WIRE_MAX);
	buf_init(&p->key_id, KEY_ID_MAX);
}

void
plan_clear(struct plan *p)
{
	buf_clear(&p->wire);
	buf_clear(&p->shown);
	buf_clear(&p->key_id);
	free(p->env);
}

static int
put_hop_target(struct buf *b, const struct plan *p)
{
	const struct target *t = p->target;
	int r;

	if ((r = buf_put_cstr(b, t->name)) != 0 ||
	    (r = buf_put_cstr(b, t->host)) != 0 ||
	    (r = buf_put_u32(b, t->port)) != 0 ||
	    (r = buf_put_cstr(b, p->login)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)t->nhostkey)) != 0)
		return r;
	for (size_t i = 0; i < t->nhostkey; i++) {
		if ((r = buf_put_cstr(b, t->hostkey[i].type)) != 0 ||
		    (r = buf_put_cstr(b, t->hostkey[i].fingerprint)) != 0)
			return r;
	}
	return 0;
}

static int
plan_put_title(struct buf *b, struct plan *p)
{
	struct buf title;
	int r;

	buf_init(&title, 512);
	/* A title is a line in a list: what is longer is cut. */
	r = buf_putf(&title, "%s@%s: %.300s", p->login, p->target->name,
	    buf_cstr(&p->shown));
	if (r == 0) /* never cut inside a character */
		while (!utf8_valid(buf_ptr(&title), buf_len(&title)))
			title.len--;
	if (r == 0)
		r = buf_put_str(b, buf_ptr(&title), buf_len(&title));
	buf_clear(&title);
	return r;
}

int
plan_put_decision(struct buf *b, const struct operation *op,
    const struct connection *conn, const struct ask *a, struct plan *p)
{
	const char *verdict = p->d.would_deny ? "would-deny" : "allow";
	char reason[NAME_LEN_MAX + 64] = "";
	int r;

	if (p->d.would_deny)
		(void)snprintf(reason, sizeof(reason),
		    "no rule allows this; nearest: %s",
		    *p->nearest != '\0' ? p->nearest : "none");
	if ((r = plan_decide_event(b, op, conn, &p->d, verdict)) != 0 ||
	    (r = event_str(b, EV_REASON, reason)) != 0 ||
	    (r = event_str(b, EV_LOGIN, p->login)) != 0 ||
	    (r = event_str(b, EV_COMMAND, buf_cstr(&p->shown))) != 0 ||
	    (r = plan_env_event(b, p->env, p->nenv)) != 0 ||
	    (r = plan_put_way(b, p->what, &p->d)) != 0 ||
	    (r = event_num(b, EV_PTY, p->d.pty && a->tty)) != 0 ||
	    (r = event_num(b, EV_STDIN, p->d.stdin_ok)) != 0 ||
	    (r = event_num(b, EV_SERIAL, p->serial)) != 0 ||
	    (r = event_str(b, EV_KEY_ID, buf_cstr(&p->key_id))) != 0)
		return r;
	return event_str(b, EV_PRINCIPAL, p->principal);
}

int
plan_put_open(struct operation *op, const struct connection *conn,
    const struct ask *a, struct plan *p)
{
	struct buf *b = &op->open.body;
	int r;

	if ((r = buf_put_cstr(b, op->id)) != 0 ||
	    (r = buf_put_u8(b, p->d.pty && a->tty)) != 0 ||
	    (r = buf_put_u32(b, a->cols)) != 0 ||
	    (r = buf_put_u32(b, a->rows)) != 0 ||
	    (r = buf_put_cstr(b, a->term)) != 0 ||
	    (r = plan_put_title(b, p)) != 0)
		return r;
	return plan_put_decision(b, op, conn, a, p);
}

/* What is granted, and the `read` and `write` lines of it. */
static int
plan_put_files(struct buf *b, const struct plan *p)
{
	const struct files none = { 0 },
			   *f = p->files == NULL ? &none : p->files;
	const struct file_line *l;
	int r;

	if ((r = buf_put_u8(b, (uint8_t)p->what)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)f->n)) != 0)
		return r;
	for (size_t i = 0; i < f->n; i++) {
		l = &f->line[i];
		if ((r = buf_put_cstr(b, l->rule)) != 0 ||
		    (r = buf_put_u8(b, l->deny)) != 0 ||
		    (r = buf_put_u8(b, l->write)) != 0 ||
		    (r = buf_put_cstr(b, l->path)) != 0 ||
		    (r = buf_put_u64(b, l->max)) != 0 ||
		    (r = buf_put_u8(b, l->no_delete)) != 0 ||
		    (r = buf_put_u8(b, l->no_symlinks)) != 0)
			return r;
	}
	return 0;
}

/* What the hop may let through of refs. */
static int
plan_put_refs(struct buf *b, const struct plan *p)
{
	static const struct refset none = { .line = NULL };

	return refset_put(p->refs == NULL ? &none : p->refs, p->claims, b);
}

/* Where the command sends what it prints. */
static int
plan_put_output(struct buf *b, const struct plan *p)
{
	const struct command *c = p->command;
	int r;

	if ((r = buf_put_u8(b, c != NULL && c->out_null)) != 0 ||
	    (r = buf_put_u8(b, c != NULL && c->err_null)) != 0)
		return r;
	return buf_put_u8(b, c != NULL && c->err_to_out);
}

int
plan_put_hop_run(struct operation *op, const struct connection *conn,
    const struct ask *a, struct plan *p)
{
	const struct conf *conf = policy_conf();
	struct buf *b = &op->run.body;
	int r;

	if ((r = buf_put_cstr(b, op->id)) != 0 ||
	    (r = buf_put_cstr(b, conn->session->id)) != 0 ||
	    (r = put_hop_target(b, p)) != 0 ||
	    (r = buf_put_str(b, buf_ptr(&p->wire), buf_len(&p->wire))) != 0 ||
	    (r = buf_put_u8(b, p->d.pty && a->tty)) != 0 ||
	    (r = buf_put_cstr(b, a->term)) != 0 ||
	    (r = buf_put_u32(b, a->cols)) != 0 ||
	    (r = buf_put_u32(b, a->rows)) != 0 ||
	    (r = buf_put_u8(b, p->d.stdin_ok)) != 0 ||
	    (r = buf_put_u64(b, p->d.stdin_max)) != 0 ||
	    (r = buf_put_u32(b, p->d.limit.duration_s)) != 0 ||
	    (r = buf_put_u64(b, p->d.limit.output)) != 0 ||
	    (r = plan_put_output(b, p)) != 0 ||
	    (r = buf_put_u32(b, conf->connect_timeout_s)) != 0 ||
	    (r = buf_put_u32(b, conf->handshake_timeout_s)) != 0 ||
	    (r = buf_put_u32(b, conf->server_alive_interval_s)) != 0 ||
	    (r = buf_put_u32(b, conf->server_alive_count_max)) != 0 ||
	    (r = buf_put_u64(b, conf->record_text_head)) != 0 ||
	    (r = buf_put_u64(b, conf->record_text_tail)) != 0 ||
	    (r = plan_put_title(b, p)) != 0)
		return r;
	if ((r = plan_put_files(b, p)) != 0)
		return r;
	return plan_put_refs(b, p);
}

int
plan_put_grant(struct operation *op, const struct ask *a, struct plan *p)
{
	struct buf *b = &op->grant.body;
	int r;

	if ((r = buf_put_cstr(b, op->id)) != 0 ||
	    (r = buf_put_cstr(b, p->target->name)) != 0 ||
	    (r = buf_put_cstr(b, p->login)) != 0 ||
	    (r = buf_put_cstr(b, p->principal)) != 0 ||
	    (r = buf_put_str(b, buf_ptr(&p->wire), buf_len(&p->wire))) != 0 ||
	    (r = buf_put_u8(b, p->d.pty && a->tty)) != 0 ||
	    (r = buf_put_u64(b, p->serial)) != 0)
		return r;
	if ((r = buf_put_cstr(b, buf_cstr(&p->key_id))) != 0)
		return r;
	/* What is looked at on its way is a command like any other here. */
	return buf_put_u8(
	    b, (uint8_t)(p->what >= OP_GIT_FETCH ? OP_COMMAND : p->what));
}

/* One program's words as they are sent: variables go through env, which sets
 * them whatever the login's shell is, and whatever the target's sshd accepts.
 */
static size_t
wire_words(const struct plan *p, const struct stage *s, const char **to)
{
	size_t n = 0;

	if (p->nenv + s->nassign > 0)
		to[n++] = PLAN_ENV;
	for (size_t i = 0; i < p->nenv; i++)
		to[n++] = p->env[i];
	/* behind them: what the command itself says is the last word */
	for (size_t i = 0; i < s->nassign; i++)
		to[n++] = s->assign[i];
	for (size_t i = 0; i < s->argc; i++)
		to[n++] = s->argv[i];
	return n;
}

static int
make_wire(const struct plan *p, struct buf *out)
{
	const struct command *c = p->command;
	struct quote_program prog[COMMAND_STAGES_MAX];
	const struct quote_line line = {
		.dir = c->dir, .program = prog, .n = c->nstage
	};
	const char **word;
	size_t n = 0;
	int r;

	if (c->nstage > COMMAND_STAGES_MAX)
		return ERR_TOOBIG;
	for (size_t i = 0; i < c->nstage; i++)
		n += 1 + p->nenv + c->stage[i].nassign + c->stage[i].argc;
	if ((word = calloc(n, sizeof(*word))) == NULL)
		return ERR_NOMEM;
	n = 0;
	for (size_t i = 0; i < c->nstage; i++) {
		prog[i].argv = word + n;
		prog[i].argc = wire_words(p, &c->stage[i], word + n);
		n += prog[i].argc;
	}
	r = quote_put(&line, out);
	free(word);
	return r;
}

/* Principal, key id and serial. */
static int
make_names(
    struct plan *p, const struct operation *op, const struct connection *conn)
{
	int r;

	if ((r = target_principal(p->target, p->login, p->principal,
		 sizeof(p->principal))) != 0 ||
	    (r = make_key_id(op, conn, p->d.identity_name, &p->key_id)) != 0)
		return r;
	if (getrandom(&p->serial, sizeof(p->serial), 0) !=
	    (ssize_t)sizeof(p->serial))
		return ERR_SYS;
	p->serial = (p->serial >> 1) | 1; /* never 0, fits signed 64 bit */
	return buf_cstr(&p->shown) == NULL ? ERR_NOMEM : 0;
}

/* Completes the plan: canonical and wire form, principal, serial, key id. */
int
plan_make(struct plan *p, const struct operation *op,
    const struct connection *conn)
{
	int r;

	/* MUST be refused where the shell would read it in another way. */
	if (p->target->shell != TARGET_POSIX &&
	    (p->command->dir != NULL || p->command->nstage > 1))
		return ERR_FORMAT;
	if ((r = command_print(p->command, &p->shown)) != 0 ||
	    (r = make_wire(p, &p->wire)) != 0)
		return r;
	return make_names(p, op, conn);
}

int
plan_make_files(struct plan *p, const struct operation *op,
    const struct connection *conn, enum op_what what)
{
	int r;

	p->what = what;
	if (what == OP_SCP)
		r = serve_scp_put(p->scp, &p->wire);
	else
		r = serve_sftp_put(
		    p->target->sftp, !p->files->writes, &p->wire);
	if (r == 0 && what == OP_SCP)
		r = buf_putf(&p->shown, "scp %s %s",
		    p->scp->write ? "-t" : "-f", p->scp->path);
	else if (r == 0)
		r = buf_putf(&p->shown, "sftp");
	if (r != 0)
		return r;
	return make_names(p, op, conn);
}
