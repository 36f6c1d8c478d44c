/*
 * One operation in the policy process: take RUN from postern-shell, decide,
 * have audit open the recording and the parent start a hop, both at once, and
 * when both are there hand everything over: the grant to the signer, the job's
 * descriptors, the shell's connection and the certificate socket to the hop.
 * From then on policy may die without the operation noticing.
 *
 * Distrusts everything in RUN: the asker is known by the kernel's word, the
 * command is bytes until the parser has accepted it.
 */
#include "config.h"

#include "broker/operation.h"

#include <sys/random.h>
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/control.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "ssh/quote.h"

#define TERM_MAX 64
#define START_MS 15000	/* a caller's RUN; audit's and the parent's answers */
#define CALLERS_MAX 512	/* connected and have not asked yet */
#define KEY_ID_MAX 400	/* sshd's log line has to hold it whole */
#define EVENT_BODY_MAX (150 * 1024)

/* What the job asked for. */
struct ask {
	uint8_t kind;
	const uint8_t *command; /* inside the message */
	size_t ncommand;
	uint8_t tty;
	char term[TERM_MAX + 1];
	uint32_t cols, rows;
};

struct operation {
	struct operation *next;
	char id[ULID_LEN + 1];
	bool asked;		/* RUN has come; before, it is a mere caller */
	struct peer *shell;	/* until handed over or answered */
	struct connection *conn; /* held */
	int stdio[3];
	int control;		/* policy's end of the hop's control socket */
	int cert[2];		/* the certificate socket: signer's, hop's */
	int record[2];		/* recording, sidecar: from audit */
	int pidfd;		/* the hop's */
	bool opened, started;
	uint32_t open_id, start_id; /* the two questions under way */
	struct msg run;		/* HOP_RUN, ready but for its descriptors */
	struct msg grant;	/* GRANT, likewise */
	struct watch *watch;	/* the hop's control socket: end of file */
	struct timer *timer;	/* bounds the wait for RUN, audit and parent */
};

static struct {
	struct operation *first;
	size_t n;	/* that were asked for */
	size_t ncaller;	/* that were not, yet */
} env;

size_t
operation_count(void)
{
	return env.n;
}

static void
fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Everything that only the start needs. */
static void
operation_drop_start(struct operation *op)
{
	for (size_t i = 0; i < 3; i++)
		fd_close(&op->stdio[i]);
	for (size_t i = 0; i < 2; i++) {
		fd_close(&op->cert[i]);
		fd_close(&op->record[i]);
	}
	fd_close(&op->pidfd);
	msg_clear(&op->run);
	msg_clear(&op->grant);
}

static void
operation_free(struct operation *op)
{
	struct operation **at;

	if (op == NULL)
		return;
	for (at = &env.first; *at != NULL; at = &(*at)->next) {
		if (*at == op) {
			*at = op->next;
			(*(op->asked ? &env.n : &env.ncaller))--;
			break;
		}
	}
	operation_drop_start(op);
	watch_free(op->watch);
	timer_free(op->timer);
	fd_close(&op->control); /* a hop without work ends on this */
	peer_free(op->shell);
	if (op->conn != NULL)
		session_release(op->conn);
	free(op);
}

static struct operation *
operation_new(void)
{
	struct operation *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	*op = (struct operation){ .stdio = { -1, -1, -1 },
		.control = -1, .cert = { -1, -1 }, .record = { -1, -1 },
		.pidfd = -1 };
	msg_init(&op->run, MSG_HOP_RUN);
	msg_init(&op->grant, MSG_GRANT);
	op->next = env.first;
	env.first = op;
	env.ncaller++;
	return op;
}

/* -- answers --------------------------------------------------------------- */

static int
shell_answer(struct peer *shell, uint32_t code, const struct buf *out,
    const struct buf *err)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_ANSWER);
	if ((r = buf_put_u32(&m.body, code)) == 0 &&
	    (r = out == NULL ? buf_put_cstr(&m.body, "") :
	    buf_put_str(&m.body, buf_ptr(out), buf_len(out))) == 0 &&
	    (r = err == NULL ? buf_put_cstr(&m.body, "") :
	    buf_put_str(&m.body, buf_ptr(err), buf_len(err))) == 0)
		r = peer_send(shell, &m);
	msg_clear(&m);
	return r;
}

/* A refusal in one line of text; then the operation is forgotten.  What was
 * sent stays readable for the shell after the connection is closed here. */
static void
operation_refuse(struct operation *op, uint32_t code, const char *text)
{
	struct buf err;
	int r;

	buf_init(&err, PROTO_TEXT_MAX);
	if ((r = buf_putf(&err, "postern: %s (operation %s)\n", text,
	    op->id)) != 0 ||
	    (r = shell_answer(op->shell, code, NULL, &err)) != 0)
		log_err(r, "answer to operation %s", op->id);
	buf_clear(&err);
	operation_free(op);
}

/* -- the decision ----------------------------------------------------------- */

static int
decide_event(struct buf *b, const struct operation *op,
    const struct connection *conn, const struct decision *d, const char *verdict)
{
	int r;

	if ((r = event_start(b, EVENT_OP_DECIDE)) != 0 ||
	    (r = event_str(b, EV_OPERATION, op->id)) != 0 ||
	    (r = session_event(conn->session, conn,
	    d->identity_name, b)) != 0 ||
	    (r = event_str(b, EV_TARGET, conn->name.target)) != 0 ||
	    (r = event_str(b, EV_POLICY, policy_hash())) != 0 ||
	    (r = event_str(b, EV_RULE, d->rule_name)) != 0)
		return r;
	return event_str(b, EV_VERDICT, verdict);
}

/* What was asked, as text that a log and a ledger may hold: everything but
 * printable ASCII escaped, and the backslash, so that it reads back one way. */
static int
event_raw_command(struct buf *b, const struct ask *a)
{
	struct buf text;
	int r = 0;

	buf_init(&text, 4 * PROTO_COMMAND_MAX);
	for (size_t i = 0; i < a->ncommand && r == 0; i++) {
		uint8_t c = a->command[i];

		if (c >= 0x20 && c < 0x7f && c != '\\')
			r = buf_put_u8(&text, c);
		else
			r = buf_putf(&text, "\\x%02x", c);
		if (buf_len(&text) > 4096)
			break; /* enough to see what was tried */
	}
	if (r == 0 && buf_cstr(&text) != NULL)
		r = event_str(b, EV_COMMAND, buf_cstr(&text));
	buf_clear(&text);
	return r;
}

/* A denial: its ledger line, then the answer. */
static void
operation_deny(struct operation *op, const struct connection *conn,
    const struct decision *d, const struct ask *a, uint32_t code,
    struct buf *text)
{
	struct buf b;
	int r;

	buf_init(&b, EVENT_BODY_MAX);
	if ((r = decide_event(&b, op, conn, d, "deny")) != 0 ||
	    (r = event_str(&b, EV_REASON, code == POSTERN_EX_USAGE ?
	    "syntax" : "policy")) != 0 ||
	    (r = event_raw_command(&b, a)) != 0 ||
	    (r = policy_event(&b)) != 0)
		log_err(r, "denial %s has no ledger line", op->id);
	buf_clear(&b);
	if ((r = buf_putf(text, "postern: refused; this is operation %s in the "
	    "ledger\n", op->id)) != 0 ||
	    (r = shell_answer(op->shell, code, NULL, text)) != 0)
		log_err(r, "answer to operation %s", op->id);
	operation_free(op);
}

/* -- what the hop and the signer get ----------------------------------------- */

/* A claim's text in a key id: sshd writes it raw into its log. */
static int
put_safe(struct buf *b, const char *name, const char *value)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@:+-";

	if (value == NULL || *value == '\0' || strlen(value) > 100 ||
	    value[strspn(value, ok)] != '\0')
		return 0;
	return buf_putf(b, " %s=%s", name, value);
}

static int
make_key_id(const struct operation *op, const struct connection *conn,
    const char *identity, struct buf *b)
{
	int r;

	if ((r = buf_putf(b, "postern operation=%s", op->id)) != 0 ||
	    (r = put_safe(b, "identity", identity)) != 0 ||
	    (r = put_safe(b, "commit", conn->session->ties.commit)) != 0 ||
	    (r = put_safe(b, "run", conn->session->ties.run)) != 0)
		return r;
	return buf_cstr(b) == NULL ? ERR_NOMEM : 0;
}

struct plan {
	const struct target *target;
	const char *login;
	const struct command *command; /* argv[0] rewritten */
	struct decision d;
	struct buf wire;	/* as the target's shell gets it */
	struct buf shown;	/* as people read it */
	struct buf key_id;
	uint64_t serial;
	char principal[2 * NAME_LEN_MAX + 2];
};

static void
plan_init(struct plan *p)
{
	*p = (struct plan){ 0 };
	buf_init(&p->wire, PROTO_WIRE_MAX);
	buf_init(&p->shown, PROTO_WIRE_MAX);
	buf_init(&p->key_id, KEY_ID_MAX);
}

static void
plan_clear(struct plan *p)
{
	buf_clear(&p->wire);
	buf_clear(&p->shown);
	buf_clear(&p->key_id);
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
put_title(struct buf *b, struct plan *p)
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

static int
make_hop_run(struct operation *op, const struct connection *conn,
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
	    (r = buf_put_u8(b, p->command->out_null)) != 0 ||
	    (r = buf_put_u8(b, p->command->err_null)) != 0 ||
	    (r = buf_put_u8(b, p->command->err_to_out)) != 0 ||
	    (r = buf_put_u32(b, conf->connect_timeout_s)) != 0 ||
	    (r = buf_put_u32(b, conf->handshake_timeout_s)) != 0 ||
	    (r = buf_put_u64(b, conf->record_text_head)) != 0 ||
	    (r = buf_put_u64(b, conf->record_text_tail)) != 0)
		return r;
	return put_title(b, p);
}

static int
make_grant(struct operation *op, const struct ask *a, struct plan *p)
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
	return buf_put_cstr(b, buf_cstr(&p->key_id));
}

/* Completes the plan: canonical and wire form, principal, serial, key id. */
static int
plan_make(struct plan *p, const struct operation *op,
    const struct connection *conn)
{
	union {
		char **rw;
		const char *const *ro;
	} argv = { .rw = p->command->argv };
	int r;

	if ((r = command_print(p->command, &p->shown)) != 0 ||
	    (r = quote_argv(argv.ro, p->command->argc, &p->wire)) != 0 ||
	    (r = target_principal(p->target, p->login, p->principal,
	    sizeof(p->principal))) != 0 ||
	    (r = make_key_id(op, conn, p->d.identity_name, &p->key_id)) != 0)
		return r;
	if (getrandom(&p->serial, sizeof(p->serial), 0) !=
	    (ssize_t)sizeof(p->serial))
		return ERR_SYS;
	p->serial = (p->serial >> 1) | 1; /* never 0, fits signed 64 bit */
	return buf_cstr(&p->shown) == NULL ? ERR_NOMEM : 0;
}

/* -- starting ---------------------------------------------------------------- */

static int
ask_audit(struct operation *op, const struct connection *conn, const struct ask *a,
    struct plan *p)
{
	struct msg m;
	struct buf *b = &m.body;
	int r;

	if (policy_audit() == NULL)
		return ERR_NOTFOUND;
	msg_init(&m, MSG_OP_OPEN);
	m.id = op->open_id = peer_next_id(policy_audit());
	if ((r = buf_put_cstr(b, op->id)) != 0 ||
	    (r = buf_put_u8(b, p->d.pty && a->tty)) != 0 ||
	    (r = buf_put_u32(b, a->cols)) != 0 ||
	    (r = buf_put_u32(b, a->rows)) != 0 ||
	    (r = buf_put_cstr(b, a->term)) != 0 ||
	    (r = put_title(b, p)) != 0 ||
	    (r = decide_event(b, op, conn, &p->d, "allow")) != 0 ||
	    (r = event_str(b, EV_LOGIN, p->login)) != 0 ||
	    (r = event_str(b, EV_COMMAND, buf_cstr(&p->shown))) != 0 ||
	    (r = event_num(b, EV_PTY, p->d.pty && a->tty)) != 0 ||
	    (r = event_num(b, EV_STDIN, p->d.stdin_ok)) != 0 ||
	    (r = event_num(b, EV_SERIAL, p->serial)) != 0 ||
	    (r = event_str(b, EV_KEY_ID, buf_cstr(&p->key_id))) != 0 ||
	    (r = event_str(b, EV_PRINCIPAL, p->principal)) != 0)
		goto out;
	r = peer_send(policy_audit(), &m);
out:
	msg_clear(&m);
	return r;
}

static int
ask_parent(struct operation *op)
{
	struct msg m;
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return ERR_SYS;
	op->control = sv[0];
	msg_init(&m, MSG_HOP_START);
	m.id = op->start_id = peer_next_id(child_parent());
	if ((r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = msg_add_fd(&m, sv[1])) == 0)
		r = peer_send(child_parent(), &m);
	msg_clear(&m);
	(void)close(sv[1]);
	return r;
}

static void
operation_abort(const struct operation *op, const char *reason)
{
	struct msg m;
	int r;

	if (policy_audit() == NULL)
		return;
	msg_init(&m, MSG_OP_ABORT);
	if ((r = buf_put_cstr(&m.body, op->id)) != 0 ||
	    (r = buf_put_cstr(&m.body, reason)) != 0 ||
	    (r = peer_send(policy_audit(), &m)) != 0)
		log_err(r, "abort of operation %s", op->id);
	msg_clear(&m);
}

/* The hop closed its control socket: it is dead, audit sees the same by its
 * pidfd. */
static void
hop_gone(void *arg, int fd, short revents)
{
	(void)fd;
	(void)revents;
	operation_free(arg);
}

static int
send_started(const struct operation *op)
{
	struct msg m;
	int r;

	if (policy_audit() == NULL)
		return ERR_NOTFOUND;
	msg_init(&m, MSG_OP_STARTED);
	if ((r = buf_put_cstr(&m.body, op->id)) == 0 &&
	    (r = msg_add_fd(&m, op->pidfd)) == 0)
		r = peer_send(policy_audit(), &m);
	msg_clear(&m);
	return r;
}

/* Tells the shell and takes its connection out of policy's hands. */
static int
detach_shell(struct operation *op, int *fdp)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_ACCEPTED);
	if ((r = peer_send(op->shell, &m)) == 0 &&
	    (r = peer_detach(op->shell, fdp)) == 0)
		op->shell = NULL;
	msg_clear(&m);
	return r;
}

/* Both are there: hand over.  The order matters: audit watches the hop before
 * it can show a byte, the grant waits before it can be asked for. */
static int
operation_launch(struct operation *op, int shell)
{
	struct peer *signer = policy_signer();
	int r;

	if (signer == NULL)
		return ERR_NOTFOUND;
	for (size_t i = 0; i < 3; i++) {
		if ((r = msg_add_fd(&op->run, op->stdio[i])) != 0)
			return r;
	}
	if ((r = msg_add_fd(&op->run, shell)) != 0 ||
	    (r = msg_add_fd(&op->run, op->record[0])) != 0 ||
	    (r = msg_add_fd(&op->run, op->record[1])) != 0 ||
	    (r = msg_add_fd(&op->run, op->cert[1])) != 0 ||
	    (r = msg_add_fd(&op->grant, op->cert[0])) != 0 ||
	    (r = send_started(op)) != 0 ||
	    (r = peer_send(signer, &op->grant)) != 0)
		return r;
	return msg_send(op->control, &op->run);
}

static void
operation_proceed(struct operation *op)
{
	int shell = -1, r;

	if (!op->opened || !op->started)
		return;
	if (policy_signer() == NULL) {
		r = ERR_NOTFOUND; /* known before the job is told ACCEPTED */
		goto fail;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    op->cert) == -1) {
		r = ERR_SYS;
		goto fail;
	}
	op->watch = loop_watch(child_loop(), op->control, 0, hop_gone, op);
	if (op->watch == NULL) {
		r = ERR_NOMEM;
		goto fail;
	}
	if ((r = detach_shell(op, &shell)) != 0)
		goto fail;
	r = operation_launch(op, shell);
	(void)close(shell); /* the hop's now; on failure the shell sees 75 */
	if (r != 0)
		goto fail;
	operation_drop_start(op);
	timer_free(op->timer);
	op->timer = NULL;
	return;
fail:
	log_err(r, "start of operation %s", op->id);
	operation_abort(op, "the broker could not start it");
	if (op->shell != NULL)
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker could not start this operation; try again");
	else
		operation_free(op);
}

static struct operation *
operation_waiting(uint32_t id, bool audit)
{
	struct operation *op;

	for (op = env.first; op != NULL; op = op->next) {
		if (audit ? !op->opened && op->open_id == id && id != 0 :
		    !op->started && op->start_id == id && id != 0)
			return op;
	}
	return NULL;
}

int
operation_opened(struct msg *m)
{
	struct operation *op = operation_waiting(m->id, true);
	char reason[512], text[600];
	uint32_t result;
	uint64_t number;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_u64(&m->body, &number)) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (op == NULL)
		return 0; /* its shell has left meanwhile: OP_ABORT went out */
	op->opened = true;
	op->record[0] = msg_take_fd(m, 0);
	op->record[1] = msg_take_fd(m, 1);
	if (result == 0 && op->record[0] >= 0 && op->record[1] >= 0) {
		operation_proceed(op);
		return 0;
	}
	(void)snprintf(text, sizeof(text), "not run: %.500s", reason[0] != '\0' ?
	    reason : "the recording cannot be written");
	operation_refuse(op, POSTERN_EX_IOERR, text);
	return 0;
}

int
operation_hop_started(struct msg *m)
{
	struct operation *op = operation_waiting(m->id, false);
	uint32_t pid;
	int r;

	if ((r = buf_get_u32(&m->body, &pid)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (op == NULL)
		return 0;
	op->started = true;
	op->pidfd = msg_take_fd(m, 0);
	if (op->pidfd >= 0) {
		operation_proceed(op);
		return 0;
	}
	operation_abort(op, "the broker could not start a process");
	operation_refuse(op, POSTERN_EX_TEMPFAIL,
	    "the broker could not start a process for this; try again");
	return 0;
}

void
operation_audit_lost(void)
{
	struct operation *op, *next;

	for (op = env.first; op != NULL; op = next) {
		next = op->next;
		if (op->shell != NULL && op->open_id != 0 && !op->opened)
			operation_refuse(op, POSTERN_EX_IOERR, "not run: the "
			    "recording cannot be written just now; try again");
	}
}

/* -- RUN ---------------------------------------------------------------------- */

static int
get_ask(struct msg *m, char *handle, size_t handlesize, struct ask *a)
{
	struct buf *b = &m->body;
	int r;

	if ((r = buf_get_fixed(b, handle, handlesize)) != 0 ||
	    (r = buf_get_u8(b, &a->kind)) != 0 ||
	    (r = buf_get_view(b, PROTO_COMMAND_MAX, &a->command,
	    &a->ncommand)) != 0 ||
	    (r = buf_get_u8(b, &a->tty)) != 0 ||
	    (r = buf_get_fixed(b, a->term, sizeof(a->term))) != 0 ||
	    (r = buf_get_u32(b, &a->cols)) != 0 ||
	    (r = buf_get_u32(b, &a->rows)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (a->kind > RUN_EXEC || a->tty > 1)
		return ERR_PROTO;
	/* A terminal's name is a word, its size a sane one. */
	for (const char *t = a->term; *t != '\0'; t++) {
		if (!((*t >= 'a' && *t <= 'z') || (*t >= 'A' && *t <= 'Z') ||
		    (*t >= '0' && *t <= '9') || strchr("+-._", *t) != NULL)) {
			a->term[0] = '\0';
			break;
		}
	}
	if (a->cols == 0 || a->cols > 1000 || a->rows == 0 || a->rows > 500) {
		a->cols = 80;
		a->rows = 24;
	}
	return 0;
}

static void
start_expired(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	operation_abort(op, "the broker could not start it in time");
	operation_refuse(op, POSTERN_EX_TEMPFAIL, "the broker could not start "
	    "this operation in time; try again");
}

static void
operation_grant(struct operation *op, struct connection *conn,
    const struct ask *a, struct plan *p)
{
	int r;

	if (env.n > policy_conf()->operations_max) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL, "this bastion runs "
		    "as many operations as it may (operations-max); try again");
		return;
	}
	if ((r = plan_make(p, op, conn)) != 0) {
		log_err(r, "operation %s", op->id);
		operation_refuse(op, POSTERN_EX_USAGE, "this command has no "
		    "form that every login shell reads alike");
		return;
	}
	session_hold(conn);
	op->conn = conn;
	op->timer = loop_timer(child_loop(), START_MS, start_expired, op);
	if (op->timer == NULL) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		return;
	}
	if ((r = make_hop_run(op, conn, a, p)) != 0 ||
	    (r = make_grant(op, a, p)) != 0 ||
	    (r = ask_audit(op, conn, a, p)) != 0) {
		log_err(r, "operation %s", op->id);
		operation_refuse(op, POSTERN_EX_IOERR, "not run: the recording "
		    "cannot be written just now; try again");
		return;
	}
	if ((r = ask_parent(op)) != 0) {
		log_err(r, "hop for %s", op->id);
		operation_abort(op, "the broker could not start a process");
		operation_refuse(op, POSTERN_EX_TEMPFAIL, "the broker could "
		    "not start a process for this; try again");
	}
}

/* The argv to be sent: the command's words, the first one in its full path
 * when the policy gives one.  One allocation; the words stay where they are. */
static int
command_argv(const struct command *c, const char *program, char ***argvp)
{
	union {
		const char *ro;
		char *rw;
	} first = { .ro = program }; /* never written through */
	char **argv;

	if ((argv = calloc(c->argc + 1, sizeof(*argv))) == NULL)
		return ERR_NOMEM;
	memcpy(argv, c->argv, c->argc * sizeof(*argv));
	if (program != NULL)
		argv[0] = first.rw;
	*argvp = argv;
	return 0;
}

/* A target's command, parsed: decide. */
static void
operation_judge(struct operation *op, struct connection *conn,
    const struct ask *a, struct command *c)
{
	struct request q = { .policy = policy_now(), .identity = conn->session->identity,
		.claims = &conn->session->claims, .command = c, .pty = a->tty != 0,
		.now = time(NULL) };
	struct command sent = *c; /* argv[0] may become the program's path */
	struct plan p;
	struct buf text;

	plan_init(&p);
	buf_init(&text, PROTO_TEXT_MAX);
	q.target = q.policy == NULL ? NULL :
	    policy_target_find(q.policy, conn->name.target);
	if (q.target != NULL &&
	    target_login(q.target, conn->name.login, &q.login) != 0) {
		(void)buf_putf(&text, "postern: denied: the policy names no "
		    "login `%s` on %s\n", conn->name.login, q.target->name);
		q.target = NULL;
	}
	if (q.policy != NULL)
		decide(&q, &p.d);
	if (p.d.rule_name == NULL)
		p.d.rule_name = "default";
	if (p.d.verdict != VERDICT_ALLOW || q.target == NULL) {
		if (buf_len(&text) == 0 && (q.policy == NULL ||
		    decide_explain(&q, &p.d, &text) != 0))
			buf_reset(&text);
		operation_deny(op, conn, &p.d, a, POSTERN_EX_DENIED, &text);
		goto out;
	}
	p.target = q.target;
	p.login = q.login;
	p.command = &sent;
	if (command_argv(c, p.d.program, &sent.argv) != 0) {
		operation_refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory; try again");
		goto out;
	}
	operation_grant(op, conn, a, &p);
	free(sent.argv);
out:
	buf_clear(&text);
	plan_clear(&p);
}

/* The control surface: `ssh postern@bastion …`. */
static void
operation_control(struct operation *op, struct connection *conn,
    const struct command *c)
{
	struct buf out, err;
	uint32_t code;
	int r;

	buf_init(&out, PROTO_TEXT_MAX);
	buf_init(&err, PROTO_TEXT_MAX);
	code = control_run(conn, c, &out, &err);
	if ((r = shell_answer(op->shell, code, &out, &err)) != 0)
		log_err(r, "answer to operation %s", op->id);
	buf_clear(&out);
	buf_clear(&err);
	operation_free(op);
}

static void
operation_run(struct operation *op, struct connection *conn, const struct ask *a)
{
	const struct decision none = { .rule_name = "default" };
	const bool control = strcmp(conn->user, "postern") == 0;
	struct command_error e = { 0 };
	struct command *c = NULL;
	struct buf text;
	int r;

	buf_init(&text, PROTO_TEXT_MAX);
	if (a->kind == RUN_SHELL && control) {
		operation_control(op, conn, NULL);
	} else if (a->kind == RUN_SHELL) {
		(void)buf_putf(&text, "postern: no rule lets this job open a "
		    "shell on %s; name one command:\n"
		    "postern:   ssh %s@BASTION COMMAND\n",
		    conn->name.target, conn->user);
		operation_deny(op, conn, &none, a, POSTERN_EX_DENIED, &text);
	} else if ((r = command_parse((const char *)a->command, a->ncommand,
	    &c, &e)) != 0) {
		if (r != ERR_NOMEM &&
		    command_error_print((const char *)a->command, a->ncommand,
		    &e, &text) != 0)
			buf_reset(&text);
		operation_deny(op, conn, &none, a, POSTERN_EX_USAGE, &text);
	} else if (control) {
		operation_control(op, conn, c);
	} else {
		operation_judge(op, conn, a, c);
	}
	command_free(c);
	buf_clear(&text);
}

/* The one message postern-shell sends to policy. */
static int
shell_msg(void *arg, struct peer *p, struct msg *m)
{
	char handle[PROTO_HANDLE_LEN + 1];
	struct operation *op = arg;
	struct connection *conn;
	struct ask a = { 0 };
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int r;

	if (op->asked || m->type != MSG_RUN)
		return ERR_PROTO; /* once */
	if ((r = get_ask(m, handle, sizeof(handle), &a)) != 0 ||
	    (r = peer_cred(p, &pid, &uid, &gid)) != 0 ||
	    (r = ulid_new(op->id)) != 0)
		return r;
	op->asked = true;
	env.ncaller--;
	env.n++;
	timer_free(op->timer);
	op->timer = NULL;
	for (size_t i = 0; i < 3; i++)
		op->stdio[i] = msg_take_fd(m, i);
	r = uid != policy_job_uid() ? ERR_DENIED :
	    session_find(handle, pid, &conn);
	explicit_bzero(handle, sizeof(handle));
	if (r != 0) {
		log_err(r, "pid %ld of uid %ld asked without a session",
		    (long)pid, (long)uid);
		operation_refuse(op, POSTERN_EX_DENIED, "this connection has "
		    "no session here; log in again with a token");
		return 0;
	}
	operation_run(op, conn, &a);
	return 0;
}

/* The shell left before it was handed over. */
static void
shell_closed(void *arg, struct peer *p, int r)
{
	struct operation *op = arg;

	(void)p;
	if (r != ERR_NOTFOUND)
		log_err(r, "a postern-shell");
	op->shell = NULL; /* freed by its own loop */
	if (op->open_id != 0)
		operation_abort(op, "the job left before it began");
	operation_free(op);
}

static void
caller_expired(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	operation_free(op);
}

/* Whoever owns a postern-shell can connect as often as it likes: what has not
 * asked is bounded in number and time. */
void
operation_accept(int fd)
{
	struct operation *op = NULL;

	if (env.ncaller < CALLERS_MAX)
		op = operation_new();
	if (op == NULL) {
		log_err(ERR_TOOBIG, "a postern-shell");
		(void)close(fd);
		return;
	}
	op->shell = peer_new(child_loop(), fd, PROC_SHELL,
	    PROC_POLICY | PROC_HOP, shell_msg, shell_closed, op);
	op->timer = loop_timer(child_loop(), START_MS, caller_expired, op);
	if (op->shell == NULL || op->timer == NULL) {
		log_err(ERR_NOMEM, "a postern-shell");
		operation_free(op);
	}
}
