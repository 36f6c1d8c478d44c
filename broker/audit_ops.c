/*
 * The operations of postern-audit: a record that was opened (audit_open.c) is
 * watched while the hop lives, and measured and closed after its death.  An
 * operation is known from here to its operation.end in the ledger; one that a
 * crash left open is found in the index and closed when nobody can write it.
 */
#include "config.h"

#include "broker/audit_ops.h"

#include <sys/queue.h>
#include <sys/stat.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/manifest.h"
#include "audit/record.h"
#include "audit/store.h"
#include "audit/utc.h"
#include "broker/audit.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define OPS_HASH_STEP (4 * 1024 * 1024) /* bytes per turn of the loop */
#define OPS_LOOK_MS 1000  /* is there a writer, where there is no pidfd */
#define OPS_RETRY_MS 3000 /* a record that cannot be closed */
#define OPS_RECOVER 64    /* unfinished ones per look into the index */
#define OPS_REASON_MAX 1000

static struct {
	LIST_HEAD(, op) all;
	size_t n;
} env;

static void op_look(void *arg);
static void op_close(void *arg);

struct op *
op_find(const char *id)
{
	struct op *o;

	LIST_FOREACH(o, &env.all, link)
	{
		if (strcmp(o->id, id) == 0)
			return o;
	}
	return NULL;
}

struct op *
op_new(const char *id, const char *session, uint64_t opened_ms)
{
	struct op *o;

	if (env.n >= AUDIT_OPERATIONS_MAX ||
	    (o = calloc(1, sizeof(*o))) == NULL)
		return NULL;
	record_init(&o->rec);
	manifest_init(&o->manifest);
	buf_init(&o->decision, LEDGER_EVENT_MAX);
	o->pidfd = -1;
	o->opened_ms = opened_ms;
	if (str_copy(o->id, sizeof(o->id), id) != 0 ||
	    str_copy(o->session, sizeof(o->session), session) != 0) {
		buf_clear(&o->decision);
		free(o);
		return NULL;
	}
	LIST_INSERT_HEAD(&env.all, o, link);
	env.n++;
	return o;
}

void
op_free(struct op *o)
{
	if (o == NULL)
		return;
	watch_free(o->watch);
	timer_free(o->timer);
	if (o->pidfd >= 0)
		(void)close(o->pidfd);
	record_clear(&o->rec);
	manifest_clear(&o->manifest);
	buf_clear(&o->decision);
	LIST_REMOVE(o, link);
	env.n--;
	free(o);
}

static void
op_later(struct op *o, int64_t ms, timer_cb cb)
{
	timer_free(o->timer);
	if ((o->timer = loop_timer(child_loop(), ms, cb, o)) == NULL)
		fatal(ERR_NOMEM, "timer"); /* a record would stay open */
}

void
op_look_later(struct op *o)
{
	op_later(o, OPS_LOOK_MS, op_look);
}

uint64_t
ops_open_bytes(const char *identity)
{
	uint64_t sum = 0;
	struct stat st;
	struct op *o;

	LIST_FOREACH(o, &env.all, link)
	{
		if (strcmp(o->identity, identity) == 0 && o->rec.cast >= 0 &&
		    fstat(o->rec.cast, &st) == 0)
			sum += (uint64_t)st.st_size;
	}
	return sum;
}

/* -- the end ------------------------------------------------------------- */

static int
op_put_stream(struct buf *ev, enum event_field bytes, enum event_field sha256,
    const struct sidecar_stream *s)
{
	int r;

	if (s->sha256[0] == '\0')
		return 0;
	if ((r = event_num(ev, bytes, s->bytes)) != 0)
		return r;
	return event_str(ev, sha256, s->sha256);
}

static int
op_put_facts(struct buf *ev, const struct op *o)
{
	const struct sidecar_hop *h = &o->facts.hop;
	int r = 0;

	if (h->has_exit)
		r = event_num(ev, EV_EXIT, h->exit);
	if (r == 0 && h->has_signal)
		r = event_num(ev, EV_SIGNAL, h->signal);
	if (r != 0 ||
	    (r = event_num(ev, EV_DURATION_MS, h->duration_ms)) != 0 ||
	    (r = op_put_stream(ev, EV_BYTES_IN, EV_SHA256_IN, &h->in)) != 0 ||
	    (r = op_put_stream(ev, EV_BYTES_OUT, EV_SHA256_OUT, &h->out)) != 0)
		return r;
	return op_put_stream(ev, EV_BYTES_ERR, EV_SHA256_ERR, &h->err);
}

/* What its files add up to.  Known also of a hop that died. */
static int
op_put_manifest(struct buf *ev, const struct op *o)
{
	const struct manifest *m = &o->manifest;
	int r;

	if (m->sha256[0] == '\0' || o->broken)
		return 0;
	if (m->files > 0 &&
	    ((r = event_num(ev, EV_FILES, m->files)) != 0 ||
		(r = event_num(ev, EV_FILES_REFUSED, m->files_refused)) != 0 ||
		(r = event_num(ev, EV_BYTES_READ, m->bytes_read)) != 0 ||
		(r = event_num(ev, EV_BYTES_WRITTEN, m->bytes_written)) != 0))
		return r;
	if (m->refs > 0 &&
	    ((r = event_num(ev, EV_REFS, m->refs)) != 0 ||
		(r = event_num(ev, EV_REFS_REFUSED, m->refs_refused)) != 0))
		return r;
	return event_str(ev, EV_MANIFEST_SHA256, m->sha256);
}

int
op_write_end(struct op *o)
{
	char side[SIDECAR_SHA256_LEN + 1];
	struct ledger_line line;
	struct buf ev;
	int r;

	buf_init(&ev, LEDGER_EVENT_MAX);
	if ((r = event_start(&ev, EVENT_OP_END)) != 0 ||
	    (r = event_str(&ev, EV_OPERATION, o->id)) != 0 ||
	    (r = event_str(&ev, EV_SESSION, o->session)) != 0 ||
	    (r = event_str(&ev, EV_STATE, o->state)) != 0 ||
	    (r = event_str(&ev, EV_REASON, o->reason)) != 0)
		goto out;
	if ((o->told && (r = op_put_facts(&ev, o)) != 0) ||
	    (r = op_put_manifest(&ev, o)) != 0)
		goto out;
	if (o->rec.path[0] != '\0' && o->rec.sha256[0] != '\0' &&
	    ((r = event_str(&ev, EV_RECORDING, o->rec.path)) != 0 ||
		(r = event_str(&ev, EV_RECORDING_SHA256, o->rec.sha256)) != 0 ||
		(r = event_num(&ev, EV_RECORDING_BYTES, o->rec.size)) != 0 ||
		(r = record_side_hash(&o->rec, side)) != 0 ||
		(r = event_str(&ev, EV_SIDECAR_SHA256, side)) != 0))
		goto out;
	r = audit_write(&ev, true, &line, NULL);
out:
	buf_clear(&ev);
	return r;
}

/* How it ended, from what the hop wrote and what is known. */
static int
op_judge(struct op *o)
{
	const char *why = NULL;
	int r = record_facts(&o->rec, &o->facts);

	if (r == 0 && o->broken)
		r = ERR_FORMAT;
	if (r == ERR_SYS || r == ERR_NOMEM)
		return r;
	if (r != 0 && o->aborted) {
		o->state = "aborted";
		return 0; /* o->reason is policy's */
	}
	/* A hop that names no end has lost its job before there was one. */
	o->told = r == 0;
	o->state = r == 0 && (o->facts.hop.has_exit || o->facts.hop.has_signal)
		       ? "complete"
		       : "interrupted";
	if (r == 0)
		why = o->facts.hop.reason;
	else if (r == ERR_NOTFOUND)
		why = "it ended without its last words";
	else
		why = "what it wrote to its sidecar is malformed";
	return str_copy(o->reason, sizeof(o->reason), why == NULL ? "" : why);
}

static int
op_measure(struct op *o)
{
	int r;

	if (o->rec.sha256[0] != '\0')
		return 0;
	if (o->rec.md == NULL && (r = record_trim(&o->rec, o->opened_ms)) != 0)
		return r;
	return record_hash(&o->rec, OPS_HASH_STEP);
}

/* A long manifest is read in pieces, too. */
static int
op_list(struct op *o)
{
	int r;

	if (o->listed)
		return 0;
	r = manifest_read(&o->manifest, &o->rec, OPS_HASH_STEP);
	if (r == ERR_AGAIN || r == ERR_SYS || r == ERR_NOMEM)
		return r;
	o->listed = true;
	o->broken = r != 0;
	if (r == 0)
		o->rec.side_start = o->manifest.at; /* its last words */
	return 0;
}

/* What audit measures from here on, nobody else can change. */
static int
op_own(struct op *o)
{
	int r;

	if (o->own)
		return 0;
	r = record_own(&o->rec, audit_recordings(), OPS_HASH_STEP);
	if (r == 0 && o->rec.was_copied)
		log_info("the recording of %s is still open somewhere; a copy "
			 "is sealed in its place",
		    o->id);
	o->own = r == 0;
	return r;
}

static int
op_close_step(struct op *o)
{
	int r;

	if ((r = op_own(o)) != 0 || (r = op_measure(o)) != 0 ||
	    (r = op_list(o)) != 0)
		return r;
	if (o->state == NULL && (r = op_judge(o)) != 0)
		return r;
	if (!o->finished) {
		if ((r = record_finish(
			 &o->rec, utc_now_ms(), o->state, o->reason)) != 0)
			return r;
		o->finished = true;
	}
	/* Before the ledger says that it is over: whoever takes up what is open
	 * there finds it, if this process dies in between. */
	if ((r = record_seal(&o->rec)) != 0)
		return r;
	return op_write_end(o);
}

/* Timer, and first step.  Each step can be repeated; nothing is given up. */
static void
op_close(void *arg)
{
	struct op *o = arg;
	int r;

	o->timer = NULL;
	o->closing = true;
	r = op_close_step(o);
	if (r == ERR_AGAIN) {
		op_later(o, 0, op_close);
		return;
	}
	if (r == 0) {
		op_free(o);
		return;
	}
	if (!o->said)
		log_err(r, "operation %s cannot be closed yet", o->id);
	o->said = true;
	op_later(o, OPS_RETRY_MS, op_close);
}

/* -- while it runs ------------------------------------------------------- */

/* A pidfd is readable when its process is dead; its descriptors are closed by
 * then, so nothing can follow. */
static void
op_dead(void *arg, int fd, short revents)
{
	struct op *o = arg;

	(void)fd;
	(void)revents;
	watch_free(o->watch);
	o->watch = NULL;
	(void)close(o->pidfd);
	o->pidfd = -1;
	timer_free(o->timer);
	op_close(o);
}

/* No pidfd: not started yet, or started under an earlier audit process.  The
 * lock on the hop's descriptor says whether anybody still has it. */
static void
op_look(void *arg)
{
	struct op *o = arg;

	o->timer = NULL;
	if (o->pidfd >= 0 || o->closing)
		return;
	if (record_has_writer(&o->rec))
		op_look_later(o);
	else
		op_close(o);
}

int
ops_started(struct msg *m)
{
	char id[ULID_LEN + 1];
	struct op *o;
	int fd, r;

	if ((r = buf_get_fixed(&m->body, id, sizeof(id))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	fd = msg_take_fd(m, 0);
	o = op_find(id);
	if (o == NULL || o->pidfd >= 0 || o->closing) {
		(void)close(fd);
		return 0; /* known already, or over */
	}
	o->watch = loop_watch(child_loop(), fd, POLLIN, op_dead, o);
	if (o->watch == NULL) {
		(void)close(fd);
		return 0; /* op_look goes on */
	}
	o->pidfd = fd;
	timer_free(o->timer);
	o->timer = NULL;
	return 0;
}

/* Decided, and never begun: all there will be of it is this line. */
static void
op_not_run(void *arg)
{
	struct op *o = arg;

	o->timer = NULL;
	o->closing = true;
	o->state = "aborted";
	if (op_write_end(o) == 0) {
		op_free(o);
		return;
	}
	if (!o->said)
		log_err(0, "operation %s cannot be closed yet", o->id);
	o->said = true;
	op_later(o, OPS_RETRY_MS, op_not_run);
}

void
ops_orphaned(const struct peer *decider)
{
	struct op *o, *next;

	for (o = LIST_FIRST(&env.all); o != NULL; o = next) {
		next = LIST_NEXT(o, link);
		if (o->decider != decider || o->closing)
			continue;
		(void)str_copy(o->reason, sizeof(o->reason),
		    "not run: the "
		    "broker was restarted in the middle of its list");
		op_not_run(o);
	}
}

int
ops_abort(struct msg *m)
{
	char id[ULID_LEN + 1], reason[OPS_REASON_MAX];
	struct op *o;
	int r;

	if ((r = buf_get_fixed(&m->body, id, sizeof(id))) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (!utf8_valid(reason, strlen(reason)))
		return ERR_PROTO;
	o = op_find(id);
	if (o == NULL || o->closing)
		return 0;
	o->aborted = true;
	(void)str_copy(o->reason, sizeof(o->reason), reason);
	if (o->decider != NULL) {
		op_not_run(o);
		return 0;
	}
	if (o->pidfd >= 0)
		return 0; /* its death closes it */
	timer_free(o->timer);
	op_look(o);
	return 0;
}

/* -- after a crash ------------------------------------------------------- */

static int
op_recover(const struct store_open_op *u)
{
	struct op *o;
	int r;

	if ((o = op_new(u->operation, u->session, u->time_ms)) == NULL)
		return ERR_TOOBIG;
	r = record_reopen(&o->rec, audit_recordings(), u->recording);
	if (r == ERR_NOTFOUND || r == ERR_FORMAT) {
		/* The decision is all there is: a command of a list whose
		 * turn did not come, or somebody took the recording away.
		 * MUST NOT say that it never ran. */
		o->state = "interrupted";
		(void)str_copy(o->reason, sizeof(o->reason),
		    "there is no recording: it never began, or its recording "
		    "is gone");
		r = op_write_end(o);
		op_free(o);
		return r;
	}
	if (r != 0) {
		log_err(r, "the recording of %s", o->id);
		op_free(o);
		return r;
	}
	/* Not op_look: policy may be about to send the pidfd. */
	op_look_later(o);
	return 0;
}

void
ops_recover(void)
{
	struct store_open_op *u;
	struct store *s = audit_store();
	uint64_t after = 0;
	size_t n = OPS_RECOVER;
	int r = 0;

	if (s == NULL || (u = calloc(OPS_RECOVER, sizeof(*u))) == NULL)
		return;
	while (n == OPS_RECOVER && r == 0) {
		if (store_unfinished(s, after, u, OPS_RECOVER, &n) != 0)
			break;
		for (size_t i = 0; i < n && r == 0; i++) {
			after = u[i].number;
			if (op_find(u[i].operation) == NULL)
				r = op_recover(&u[i]);
		}
	}
	free(u);
}
