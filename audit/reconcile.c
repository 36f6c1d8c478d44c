/*
 * Logs of targets against the ledger (reconcile.h).  Runs in tools.  Logins
 * are sorted by serial when all are read; then the ledger's operations pass by,
 * and those that matter are kept, found again by their id for their end.
 */
#include "config.h"

#include "audit/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/reconcile_internal.h"
#include "lib/err.h"
#include "lib/event.h"

#define LINES_ALIKE 64 /* of one serial that are compared with each other */
#define SAME_MS 2000   /* between two stamps of one line; one has seconds */

static int
take_cas(char (*to)[AUTHLOG_KEY_MAX], const char *const *from, size_t n)
{
	int r = n > RECONCILE_CAS_MAX ? ERR_TOOBIG : 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = str_copy(to[i], AUTHLOG_KEY_MAX, from[i]);
	return r;
}

int
reconcile_new(const struct reconcile_want *want, struct reconcile **out)
{
	struct reconcile *rc;
	int r = ERR_NOMEM;

	if ((rc = calloc(1, sizeof(*rc))) == NULL)
		return r;
	rc->nca = want->nca;
	rc->since_ms = want->since_ms;
	rc->until_ms = want->until_ms;
	rc->target = calloc(RECONCILE_TARGETS_MAX, sizeof(*rc->target));
	rc->nother = want->nother;
	if ((r = take_cas(rc->ca, want->ca, want->nca)) == 0)
		r = take_cas(rc->other, want->other, want->nother);
	if (r == 0 && want->target != NULL)
		r = str_copy(rc->only, sizeof(rc->only), want->target);
	if (r == 0 && rc->target == NULL)
		r = ERR_NOMEM;
	if (r != 0) {
		reconcile_free(rc);
		return r;
	}
	*out = rc;
	return 0;
}

void
reconcile_free(struct reconcile *rc)
{
	if (rc == NULL)
		return;
	for (size_t i = 0; i < rc->nlogin; i++)
		free(rc->login[i].text);
	for (size_t i = 0; i < rc->nop; i++)
		free(rc->op[i].key_id);
	free(rc->login);
	free(rc->op);
	free(rc->slot);
	free(rc->target);
	free(rc);
}

/* Room for one more of size bytes; *roomp grows by doubling. */
static int
grow(void **p, size_t n, size_t *roomp, size_t size, size_t max)
{
	size_t room = *roomp == 0 ? 256 : 2 * *roomp;
	void *d;

	if (n < *roomp)
		return 0;
	if (n >= max)
		return ERR_TOOBIG;
	if ((d = reallocarray(*p, room, size)) == NULL)
		return ERR_NOMEM;
	*p = d;
	*roomp = room;
	return 0;
}

void
reconcile_range_take(struct range *r, uint64_t ms)
{
	if (r->last == 0 || ms < r->first)
		r->first = ms;
	if (ms > r->last)
		r->last = ms;
}

/* -- logs ----------------------------------------------------------------- */

int
reconcile_log(struct reconcile *rc, size_t *log)
{
	if (rc->nlog == RECONCILE_LOGS_MAX)
		return ERR_TOOBIG;
	*log = rc->nlog++;
	return 0;
}

static bool
ca_among(const char (*list)[AUTHLOG_KEY_MAX], size_t n, const char *ca)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i], ca) == 0)
			return true;
	}
	return false;
}

/* The three texts behind each other. */
static int
login_texts(struct login *l, const struct authlog_entry *e)
{
	const size_t n = strlen(e->login) + 1, m = strlen(e->address) + 1;

	if ((l->text = malloc(n + m + strlen(e->key_id) + 1)) == NULL)
		return ERR_NOMEM;
	memcpy(l->text, e->login, n);
	memcpy(l->text + n, e->address, m);
	memcpy(l->text + n + m, e->key_id, strlen(e->key_id) + 1);
	l->address = l->text + n;
	l->key_id = l->text + n + m;
	return 0;
}

static int
login_add(struct reconcile *rc, size_t log, const struct authlog_entry *e,
    bool other_ca)
{
	void *p = rc->login;
	struct login *l;
	int r;

	r = grow(
	    &p, rc->nlogin, &rc->loginroom, sizeof(*l), RECONCILE_LOGINS_MAX);
	rc->login = p;
	if (r != 0)
		return r;
	l = &rc->login[rc->nlogin];
	*l = (struct login){ .serial = e->serial,
		.ms = e->has_time ? e->time_ms : 0,
		.line = e->line,
		.port = e->port,
		.log = (uint32_t)log,
		.operation = RECONCILE_NONE,
		.other_ca = other_ca,
		.kind = (uint8_t)e->kind };
	if ((r = login_texts(l, e)) == 0)
		rc->nlogin++;
	return r;
}

int
reconcile_entry(struct reconcile *rc, size_t log, const struct authlog_entry *e)
{
	bool other = false;

	if (e->has_time)
		reconcile_range_take(&rc->log[log], e->time_ms);
	switch (e->kind) {
	case AUTHLOG_OTHER:
		return 0;
	case AUTHLOG_LOGIN:
		rc->sum.other_login++;
		return 0;
	case AUTHLOG_CERT:
		if (ca_among(rc->other, rc->nother, e->ca)) {
			rc->sum.other_ca++;
			return 0;
		}
		other = !ca_among(rc->ca, rc->nca, e->ca);
		rc->sum.logins += !other;
		break;
	case AUTHLOG_FOREIGN:
	case AUTHLOG_UNREADABLE:
		break;
	}
	return login_add(rc, log, e, other);
}

static int
login_order(const void *a, const void *b)
{
	const struct login *x = a, *y = b;

	if (x->serial != y->serial)
		return x->serial < y->serial ? -1 : 1;
	if (x->log != y->log)
		return x->log < y->log ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

/* Do both say the same, of the same time?  Who has a hop's key may come again
 * from the port that it had. */
static bool
login_same(const struct login *a, const struct login *b)
{
	const uint64_t apart = a->ms < b->ms ? b->ms - a->ms : a->ms - b->ms;

	return a->kind == AUTHLOG_CERT && b->kind == AUTHLOG_CERT &&
	       a->other_ca == b->other_ca && a->port == b->port &&
	       (a->ms == 0 || b->ms == 0 || apart <= SAME_MS) &&
	       strcmp(a->text, b->text) == 0 &&
	       strcmp(a->address, b->address) == 0 &&
	       strcmp(a->key_id, b->key_id) == 0;
}

/* A collector's copy and the target's own say the same: of as many such lines
 * as one log has, another log may have as many. */
static bool
login_again(const struct reconcile *rc, size_t i)
{
	const struct login *l = rc->login;
	size_t own = 0, other = 0;
	uint32_t log = RECONCILE_NONE;

	for (size_t k = i;
	     k-- > 0 && i - k <= LINES_ALIKE && l[k].serial == l[i].serial;) {
		if (!login_same(&l[k], &l[i]))
			continue;
		if (l[k].log == l[i].log) {
			own++;
			continue;
		}
		/* they stand by logs: each is counted for itself */
		other = l[k].log == log ? other + 1 : 1;
		log = l[k].log;
		if (other > own)
			return true;
	}
	return false;
}

int
reconcile_logs_end(struct reconcile *rc)
{
	struct login *l = rc->login;

	if (rc->nlogin > 0)
		qsort(l, rc->nlogin, sizeof(*l), login_order);
	for (size_t i = 1; i < rc->nlogin; i++) {
		l[i].again = login_again(rc, i);
		rc->sum.again += l[i].again;
	}
	return 0;
}

/* The first login of that serial, or NULL. */
static struct login *
login_find(const struct reconcile *rc, uint64_t serial)
{
	size_t lo = 0, hi = rc->nlogin;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (rc->login[mid].serial < serial)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < rc->nlogin && rc->login[lo].serial == serial
		   ? &rc->login[lo]
		   : NULL;
}

/* -- the ledger ----------------------------------------------------------- */

static int
target_find(struct reconcile *rc, const char *name, uint32_t *at)
{
	/* A ledger names few, and one after the other the same. */
	for (size_t i = 0; i < rc->ntarget; i++) {
		if (strcmp(rc->target[i].name, name) == 0) {
			*at = (uint32_t)i;
			return 0;
		}
	}
	if (rc->ntarget == RECONCILE_TARGETS_MAX)
		return ERR_TOOBIG;
	*at = (uint32_t)rc->ntarget;
	return str_copy(rc->target[rc->ntarget++].name, NAME_LEN_MAX + 1, name);
}

static size_t
op_slot(const struct reconcile *rc, const char *id)
{
	return (size_t)(ulid_low(id) * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
	       (rc->nslot - 1);
}

static int
op_rehash(struct reconcile *rc)
{
	size_t n = rc->nslot == 0 ? 1024 : 4 * rc->nslot, at;
	uint32_t *slot = reallocarray(rc->slot, n, sizeof(*slot));

	if (slot == NULL)
		return ERR_NOMEM;
	rc->slot = slot;
	rc->nslot = n;
	for (size_t i = 0; i < n; i++)
		slot[i] = RECONCILE_NONE;
	for (size_t i = 0; i < rc->nop; i++) {
		at = op_slot(rc, rc->op[i].id);
		rc->op[i].next = slot[at];
		slot[at] = (uint32_t)i;
	}
	return 0;
}

static struct operation *
op_find(const struct reconcile *rc, const char *id)
{
	uint32_t i =
	    rc->nslot == 0 ? RECONCILE_NONE : rc->slot[op_slot(rc, id)];

	while (i != RECONCILE_NONE && strcmp(rc->op[i].id, id) != 0)
		i = rc->op[i].next;
	return i == RECONCILE_NONE ? NULL : &rc->op[i];
}

static bool
event_find(const struct buf *event, uint32_t field, struct event_value *v)
{
	struct buf b;
	uint32_t kind;

	buf_view(&b, buf_ptr(event), buf_len(event));
	if (event_get_kind(&b, &kind) != 0)
		return false;
	while (buf_len(&b) > 0 && event_get(&b, v) == 0) {
		if (v->field == field)
			return true;
	}
	return false;
}

static bool
event_has(const struct buf *event, uint32_t field)
{
	struct event_value v;

	return event_find(event, field, &v);
}

/* 0 where it is missing. */
static uint64_t
event_number(const struct buf *event, uint32_t field)
{
	struct event_value v;

	return event_find(event, field, &v) ? v.n : 0;
}

/* Ties the logs' lines of this serial to the operation. */
static int
op_match(struct reconcile *rc, struct operation *o, const struct buf *event)
{
	struct login *l = login_find(rc, o->serial);
	char key_id[AUTHLOG_KEY_ID_MAX];
	size_t at = rc->nop;

	if (l == NULL)
		return 0;
	(void)ledger_field(event, EV_KEY_ID, key_id, sizeof(key_id));
	if ((o->key_id = strdup(key_id)) == NULL)
		return ERR_NOMEM;
	for (; l < rc->login + rc->nlogin && l->serial == o->serial; l++) {
		if (l->kind == AUTHLOG_CERT && !l->other_ca &&
		    l->operation == RECONCILE_NONE)
			l->operation = (uint32_t)at;
	}
	return 0;
}

static int
op_decided(
    struct reconcile *rc, uint64_t number, uint64_t ms, const struct buf *event)
{
	char verdict[16], target[NAME_LEN_MAX + 1];
	void *p = rc->op;
	struct operation *o;
	size_t at;
	int r;

	if (ledger_field(event, EV_VERDICT, verdict, sizeof(verdict)) != 0 ||
	    strcmp(verdict, "deny") == 0 || !event_has(event, EV_SERIAL))
		return 0;
	r = grow(
	    &p, rc->nop, &rc->oproom, sizeof(*o), RECONCILE_OPERATIONS_MAX);
	rc->op = p;
	if (r == 0 && 2 * rc->nop >= rc->nslot)
		r = op_rehash(rc);
	if (r != 0)
		return r;
	o = &rc->op[rc->nop];
	*o = (struct operation){ .serial = event_number(event, EV_SERIAL),
		.number = number,
		.decided_ms = ms };
	if (ledger_field(event, EV_OPERATION, o->id, sizeof(o->id)) != 0 ||
	    !ulid_valid(o->id) ||
	    ledger_field(event, EV_TARGET, target, sizeof(target)) != 0)
		return ERR_FORMAT;
	(void)ledger_field(event, EV_LOGIN, o->login, sizeof(o->login));
	(void)ledger_field(
	    event, EV_RECORDING, o->recording, sizeof(o->recording));
	if ((r = target_find(rc, target, &o->target)) != 0 ||
	    (r = op_match(rc, o, event)) != 0)
		return r;
	at = op_slot(rc, o->id);
	o->next = rc->slot[at];
	rc->slot[at] = (uint32_t)rc->nop++;
	return 0;
}

/* What is known of its login at the target.  A hop that names a reason may have
 * failed before it, or long after. */
static enum reached
op_reached(const struct buf *event, const char *state)
{
	if (strcmp(state, "aborted") == 0)
		return REACHED_NO;
	if (event_number(event, EV_BYTES_OUT) > 0 ||
	    (strcmp(state, "complete") == 0 && !event_has(event, EV_REASON)))
		return REACHED_YES;
	return REACHED_MAYBE;
}

static void
op_ended(struct reconcile *rc, uint64_t ms, const struct buf *event)
{
	char id[ULID_LEN + 1], state[16];
	struct operation *o;

	if (ledger_field(event, EV_OPERATION, id, sizeof(id)) != 0 ||
	    !ulid_valid(id) || (o = op_find(rc, id)) == NULL)
		return;
	(void)ledger_field(event, EV_STATE, state, sizeof(state));
	o->ended = true;
	o->ended_ms = ms;
	o->hashed = event_has(event, EV_RECORDING_SHA256);
	o->reached = (uint8_t)op_reached(event, state);
}

static void
op_deleted(struct reconcile *rc, const struct buf *event)
{
	char id[ULID_LEN + 1];
	struct operation *o;

	if (ledger_field(event, EV_OPERATION, id, sizeof(id)) == 0 &&
	    ulid_valid(id) && (o = op_find(rc, id)) != NULL)
		o->deleted = true;
}

int
reconcile_event(struct reconcile *rc, uint64_t number, uint64_t time_ms,
    const struct buf *event)
{
	uint32_t kind;
	int r;

	if ((r = ledger_kind(event, &kind)) != 0)
		return r;
	if (kind == EVENT_OP_DECIDE)
		return op_decided(rc, number, time_ms, event);
	if (kind == EVENT_OP_END)
		op_ended(rc, time_ms, event);
	if (kind == EVENT_RETENTION)
		op_deleted(rc, event);
	return 0;
}
