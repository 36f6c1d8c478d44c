/*
 * Operations begin, in postern-audit: policy's decision goes into the ledger,
 * and then there are files for a recording, or the reason why not.  Distrusts
 * what policy sends: only a decision that allows something opens anything, and
 * each once.
 */
#include "config.h"

#include "broker/audit_ops.h"

#include <string.h>
#include <unistd.h>

#include "audit/utc.h"
#include "broker/audit.h"
#include "broker/peer.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

struct opening {
	char id[ULID_LEN + 1];
	char session[ULID_LEN + 1];
	char path[RECORD_PATH_MAX];
	struct buf decision;
	struct ledger_line line;
	struct op *known; /* decided before; its line is in the ledger */
	int cast, side;
};

static int
opening_read(struct msg *m, struct opening *o)
{
	char verdict[16], id[ULID_LEN + 1];
	const uint8_t *p;
	uint8_t pty;
	uint32_t columns, rows, kind;
	size_t n;
	int r;

	/* The terminal's facts are the hop's to record; here they are read
	 * past, as the message has them for whoever writes the header. */
	if ((r = buf_get_fixed(&m->body, o->id, sizeof(o->id))) != 0 ||
	    (r = buf_get_u8(&m->body, &pty)) != 0 ||
	    (r = buf_get_u32(&m->body, &columns)) != 0 ||
	    (r = buf_get_u32(&m->body, &rows)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_TEXT_MAX, &p, &n)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_WIRE_MAX, &p, &n)) != 0)
		return r;
	o->known = op_find(o->id);
	if (!ulid_valid(o->id) ||
	    (o->known != NULL && o->known->decider == NULL) ||
	    ledger_kind(&m->body, &kind) != 0 || kind != EVENT_OP_DECIDE ||
	    ledger_field(&m->body, EV_OPERATION, id, sizeof(id)) != 0 ||
	    strcmp(id, o->id) != 0 ||
	    ledger_field(&m->body, EV_VERDICT, verdict, sizeof(verdict)) != 0 ||
	    (strcmp(verdict, "allow") != 0 &&
		strcmp(verdict, "would-deny") != 0))
		return ERR_PROTO;
	r = ledger_field(&m->body, EV_SESSION, o->session, sizeof(o->session));
	if (r != 0 && r != ERR_NOTFOUND)
		return ERR_PROTO;
	return buf_put(&o->decision, buf_ptr(&m->body), buf_len(&m->body));
}

/* The decision is in the ledger, but nothing can begin: say so there, too. */
static void
opening_refuse(const struct opening *o, struct buf *why)
{
	struct op gone = { .pidfd = -1, .state = "aborted" };
	const char *text = buf_cstr(why);

	record_init(&gone.rec);
	(void)str_copy(gone.id, sizeof(gone.id), o->id);
	(void)str_copy(gone.session, sizeof(gone.session), o->session);
	(void)str_copy(
	    gone.reason, sizeof(gone.reason), text == NULL ? "" : text);
	(void)op_write_end(&gone);
}

static int
opening_files(struct opening *o, struct buf *why)
{
	struct op *op = o->known;
	int r;

	if (op == NULL)
		op = op_new(o->id, o->session, o->line.time_ms);
	if (op == NULL) {
		(void)buf_putf(why, "the recording cannot be written: too many "
				    "operations are open");
		return ERR_TOOBIG;
	}
	r = record_create(&op->rec, audit_recordings(), o->path, o->line.number,
	    o->line.time_ms, &o->decision, &o->cast, &o->side);
	if (r != 0) {
		(void)buf_putf(
		    why, "the recording cannot be written: %s", err_text(r));
		op_free(op);
		return r;
	}
	(void)ledger_field(
	    &o->decision, EV_IDENTITY, op->identity, sizeof(op->identity));
	op->decider = NULL;
	buf_clear(&op->decision);
	op_look_later(op);
	return 0;
}

/* The ledger's line.  may: and a recording will follow. */
static int
opening_decide(struct opening *o, bool may, struct buf *why)
{
	int r;

	if (may &&
	    ((r = record_path(utc_now_ms(), o->id, o->path)) != 0 ||
		(r = event_str(&o->decision, EV_RECORDING, o->path)) != 0))
		return r;
	return audit_write(&o->decision, false, &o->line, may ? why : NULL);
}

/* What its line says, and where its recording is to be, is known already. */
static int
opening_known(struct opening *o)
{
	buf_reset(&o->decision);
	o->line = o->known->line;
	(void)str_copy(o->path, sizeof(o->path), o->known->path);
	return buf_put(&o->decision, buf_ptr(&o->known->decision),
	    buf_len(&o->known->decision));
}

/* Ledger first, then the files: a recording without a decision cannot be. */
static int
opening_do(struct opening *o, struct buf *why)
{
	bool may = audit_may_begin(why) && retain_quota(&o->decision, why);
	int r;

	if ((r = o->known != NULL ? opening_known(o)
				  : opening_decide(o, may, why)) != 0)
		return r;
	r = may ? opening_files(o, why) : ERR_DENIED;
	if (r != 0 && !may && o->known != NULL)
		op_free(o->known);
	if (r != 0)
		opening_refuse(o, why);
	return r;
}

static int
opening_answer(struct peer *p, uint32_t id, const struct opening *o, int done,
    struct buf *why)
{
	const char *text = done == 0 ? "" : buf_cstr(why);
	struct msg a;
	int r;

	msg_init(&a, MSG_OP_OPENED);
	a.id = id;
	if ((r = buf_put_u32(&a.body, (uint32_t)-done)) != 0 ||
	    (r = buf_put_u64(&a.body, o->line.number)) != 0 ||
	    (r = buf_put_cstr(&a.body, text)) != 0)
		goto out;
	if (done == 0 && ((r = msg_add_fd(&a, o->cast)) != 0 ||
			     (r = msg_add_fd(&a, o->side)) != 0))
		goto out;
	r = peer_send(p, &a);
out:
	msg_clear(&a);
	return r;
}

static int
decided_read(const struct buf *event, struct opening *o)
{
	int r;

	if (ledger_field(event, EV_OPERATION, o->id, sizeof(o->id)) != 0 ||
	    !ulid_valid(o->id) || op_find(o->id) != NULL)
		return ERR_PROTO;
	r = ledger_field(event, EV_SESSION, o->session, sizeof(o->session));
	if (r != 0 && r != ERR_NOTFOUND)
		return ERR_PROTO;
	return buf_put(&o->decision, buf_ptr(event), buf_len(event));
}

int
ops_decided(struct peer *p, const struct buf *event, struct ledger_line *line)
{
	struct opening o = { .cast = -1, .side = -1 };
	struct buf why;
	struct op *op;
	int r;

	buf_init(&o.decision, LEDGER_EVENT_MAX);
	buf_init(&why, 700);
	if ((r = decided_read(event, &o)) != 0)
		goto out;
	if (!audit_may_begin(&why)) {
		r = ERR_DENIED;
		goto out;
	}
	if ((op = op_new(o.id, o.session, utc_now_ms())) == NULL) {
		r = ERR_TOOBIG;
		goto out;
	}
	op->decider = p;
	if ((r = opening_decide(&o, true, &why)) != 0 ||
	    (r = str_copy(op->path, sizeof(op->path), o.path)) != 0 ||
	    (r = buf_put(&op->decision, buf_ptr(&o.decision),
		 buf_len(&o.decision))) != 0) {
		op_free(op);
		goto out;
	}
	op->line = *line = o.line;
	op->opened_ms = o.line.time_ms;
out:
	buf_clear(&o.decision);
	buf_clear(&why);
	return r;
}

bool
ops_is_decision(const struct buf *event)
{
	char verdict[16];
	uint32_t kind;

	return ledger_kind(event, &kind) == 0 && kind == EVENT_OP_DECIDE &&
	       ledger_field(event, EV_VERDICT, verdict, sizeof(verdict)) == 0 &&
	       (strcmp(verdict, "allow") == 0 ||
		   strcmp(verdict, "would-deny") == 0);
}

int
ops_open(struct peer *p, struct msg *m)
{
	struct opening o = { .cast = -1, .side = -1 };
	struct buf why;
	int done, r;

	buf_init(&o.decision, LEDGER_EVENT_MAX);
	buf_init(&why, 700);
	if ((r = opening_read(m, &o)) != 0)
		goto out;
	done = opening_do(&o, &why);
	if (done != 0) {
		if (buf_len(&why) == 0)
			(void)buf_putf(&why,
			    "the recording cannot be written: "
			    "%s",
			    err_text(done));
		log_info("operation %s is refused: %s", o.id, buf_cstr(&why));
	}
	r = opening_answer(p, m->id, &o, done, &why);
out:
	/* The lock on o.cast lives on in the copy that policy has now. */
	if (o.cast >= 0)
		(void)close(o.cast);
	if (o.side >= 0)
		(void)close(o.side);
	buf_clear(&o.decision);
	buf_clear(&why);
	return r;
}
