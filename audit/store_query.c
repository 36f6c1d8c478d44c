/*
 * The SQLite index, reader's side.  Runs in audit.  Filters come from whoever
 * may ask on the control socket; they are bound as parameters.
 */
#include "config.h"

#include "audit/store.h"

#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "audit/ledger.h"
#include "audit/store_internal.h"
#include "audit/utc.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/json.h"
#include "lib/str.h"

static int
query_bind(sqlite3_stmt *st, int i, const char *text)
{
	if (text == NULL)
		return 0; /* NULL: any */
	return sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC) == SQLITE_OK
		   ? 0
		   : ERR_SYS;
}

/* A text column into an array. */
static int
query_text(sqlite3_stmt *st, int i, char *dst, size_t dstsize)
{
	const char *s = (const char *)sqlite3_column_text(st, i);

	if (s == NULL) {
		dst[0] = '\0';
		return 0;
	}
	return str_copy(dst, dstsize, s);
}

int
store_unfinished(struct store *s, uint64_t after, struct store_open_op *out,
    size_t max, size_t *np)
{
	sqlite3_stmt *st = store_use(s, ST_UNFINISHED);
	size_t n = 0;
	int k = SQLITE_DONE, r = 0;

	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)after);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)max);
	while (n < max && r == 0 && (k = store_step(s, st)) == SQLITE_ROW) {
		struct store_open_op *o = &out[n];

		*o = (struct store_open_op){
			.time_ms = (uint64_t)sqlite3_column_int64(st, 3),
			.number = (uint64_t)sqlite3_column_int64(st, 4)
		};
		if ((r = query_text(
			 st, 0, o->operation, sizeof(o->operation))) == 0 &&
		    (r = query_text(st, 1, o->session, sizeof(o->session))) ==
			0 &&
		    (r = query_text(
			 st, 2, o->recording, sizeof(o->recording))) == 0)
			n++;
	}
	if (r == 0 && k != SQLITE_ROW && k != SQLITE_DONE)
		r = ERR_SYS;
	(void)sqlite3_reset(st);
	if (r == 0)
		*np = n;
	return r;
}

bool
store_session_has(struct store *s, const char *session, bool close)
{
	sqlite3_stmt *st = store_use(s, ST_SESSION_HAS);
	bool has = query_bind(st, 1, session) == 0 &&
		   store_step(s, st) == SQLITE_ROW &&
		   sqlite3_column_int(st, close ? 1 : 0) != 0;

	(void)sqlite3_reset(st);
	return has;
}

int
store_open_sessions(struct store *s, const char *after,
    char (*out)[STORE_ID_MAX], size_t max, size_t *np)
{
	sqlite3_stmt *st = store_use(s, ST_OPEN_SESSIONS);
	size_t n = 0;
	int k = SQLITE_DONE, r;

	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)max);
	r = query_bind(st, 1, after);
	while (n < max && r == 0 && (k = store_step(s, st)) == SQLITE_ROW) {
		if ((r = query_text(st, 0, out[n], STORE_ID_MAX)) == 0)
			n++;
	}
	if (r == 0 && k != SQLITE_ROW && k != SQLITE_DONE)
		r = ERR_SYS;
	(void)sqlite3_reset(st);
	if (r == 0)
		*np = n;
	return r;
}

/* -- finding ------------------------------------------------------------- */

struct query_list {
	struct store_found *f;
	size_t n;
	bool more; /* than there is room for */
};

/* Room for STORE_FOUND_MAX is made at once: a row is 33 bytes. */
static int
query_list_init(struct query_list *l)
{
	*l = (struct query_list){ .f = calloc(
				      STORE_FOUND_MAX + 1, sizeof(*l->f)) };
	return l->f == NULL ? ERR_NOMEM : 0;
}

/* The caller's; what was cut MUST say so. */
static void
query_list_give(struct query_list *l, struct store_found **found, size_t *np)
{
	if (l->more) {
		l->f[l->n] = l->f[l->n - 1];
		l->f[l->n++].kind = 'm';
	}
	*found = l->f;
	*np = l->n;
	l->f = NULL;
}

static int
query_add(struct query_list *l, char kind, const char *id)
{
	if (l->n == STORE_FOUND_MAX) {
		l->more = true;
		return ERR_TOOBIG;
	}
	l->f[l->n].kind = kind;
	if (str_copy(l->f[l->n].id, STORE_ID_MAX, id) != 0)
		return ERR_FORMAT;
	l->n++;
	return 0;
}

/* Rows of one text column; a full list is no error, the answer ends there. */
static int
query_collect(
    struct store *s, sqlite3_stmt *st, char kind, struct query_list *l)
{
	int k, r = 0;

	while (r == 0 && (k = store_step(s, st)) != SQLITE_DONE) {
		const char *id = k == SQLITE_ROW
				     ? (const char *)sqlite3_column_text(st, 0)
				     : NULL;

		r = id == NULL ? ERR_SYS : query_add(l, kind, id);
	}
	(void)sqlite3_reset(st);
	return r == ERR_TOOBIG ? 0 : r;
}

/* The operations that a statement finds for an id, in the ledger's order. */
static int
query_add_of(struct store *s, enum store_statement i, struct query_list *l,
    const char *id, const char *after)
{
	sqlite3_stmt *st = store_use(s, i);
	int r;

	(void)sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 2, STORE_FOUND_MAX + 1);
	(void)sqlite3_bind_text(st, 3, after, -1, SQLITE_STATIC);
	r = query_collect(s, st, 'o', l);
	(void)sqlite3_clear_bindings(st);
	return r;
}

static int
query_add_session(
    struct store *s, struct query_list *l, const char *id, const char *after)
{
	int r;

	if ((r = query_add(l, 's', id)) != 0)
		return r == ERR_TOOBIG ? 0 : r;
	return query_add_of(s, ST_OPERATIONS_OF, l, id, after);
}

int
store_find(struct store *s, const struct store_filter *f,
    struct store_found **found, size_t *np)
{
	struct query_list sessions, all;
	sqlite3_stmt *st = store_use(s, ST_FIND);
	uint32_t limit = f->limit == 0 ? STORE_LIMIT : f->limit;
	int r, r2;

	r = query_list_init(&sessions);
	r2 = query_list_init(&all);
	if (r != 0 || (r = r2) != 0)
		goto out;
	if ((r = query_bind(st, 1, f->commit)) != 0 ||
	    (r = query_bind(st, 2, f->identity)) != 0 ||
	    (r = query_bind(st, 3, f->target)) != 0 ||
	    (r = query_bind(st, 4, f->session)) != 0 ||
	    (r = query_bind(st, 7, f->before)) != 0)
		goto out;
	(void)sqlite3_bind_int64(st, 5, (sqlite3_int64)f->since_ms);
	(void)sqlite3_bind_int64(
	    st, 6, limit > STORE_LIMIT_MAX ? STORE_LIMIT_MAX : limit);
	r = query_collect(s, st, 's', &sessions);
	for (size_t i = 0; i < sessions.n && r == 0; i++)
		r = query_add_session(s, &all, sessions.f[i].id, NULL);
	if (r == 0)
		query_list_give(&all, found, np);
out:
	(void)store_use(s, ST_FIND);
	free(sessions.f);
	free(all.f);
	return r;
}

static bool
query_exists(struct store *s, enum store_statement i, const char *id)
{
	sqlite3_stmt *st = store_use(s, i);
	bool yes;

	(void)sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
	yes = store_step(s, st) == SQLITE_ROW;
	(void)store_use(s, i);
	return yes;
}

int
store_find_after(struct store *s, const char *id, const char *after,
    struct store_found **found, size_t *np)
{
	struct query_list l;
	int r;

	if (after != NULL && strcmp(after, id) == 0)
		after = NULL;
	if (after != NULL && !query_exists(s, ST_OPERATION_ROW, after))
		return ERR_NOTFOUND;
	if ((r = query_list_init(&l)) != 0)
		return r;
	if (query_exists(s, ST_SESSION_ROW, id))
		r = query_add_session(s, &l, id, after);
	else if ((r = query_add_of(s, ST_LINES_OF, &l, id, after)) == 0 &&
		 l.n == 0 && after == NULL)
		r = query_exists(s, ST_OPERATION_ROW, id)
			? query_add(&l, 'o', id)
			: ERR_NOTFOUND;
	if (r == 0 && l.n == 0)
		r = ERR_NOTFOUND;
	if (r == 0)
		query_list_give(&l, found, np);
	free(l.f);
	return r;
}

int
store_find_id(
    struct store *s, const char *id, struct store_found **found, size_t *np)
{
	return store_find_after(s, id, NULL, found, np);
}

int
store_recording(
    struct store *s, const char *operation, char path[STORE_PATH_MAX])
{
	sqlite3_stmt *st = store_use(s, ST_OPERATION_ROW);
	int r = ERR_NOTFOUND;

	(void)sqlite3_bind_text(st, 1, operation, -1, SQLITE_STATIC);
	if (store_step(s, st) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			if (strcmp(sqlite3_column_name(st, i),
				event_field_name(EV_RECORDING)) == 0)
				r = query_text(st, i, path, STORE_PATH_MAX);
		}
		if (r == 0 && path[0] == '\0')
			r = ERR_NOTFOUND;
	}
	(void)store_use(s, ST_OPERATION_ROW);
	return r;
}

/* -- rows ---------------------------------------------------------------- */

/* Bytes of s that a cut at max leaves: whole characters. */
static size_t
query_cut(const uint8_t *s, size_t n, size_t max)
{
	if (n <= max)
		return n;
	while (max > 0 && (s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static void
query_put_text(struct json *j, sqlite3_stmt *st, int i, size_t command_max)
{
	const char *name = sqlite3_column_name(st, i);
	const uint8_t *s = sqlite3_column_text(st, i);
	size_t n = (size_t)sqlite3_column_bytes(st, i), keep = n;

	if (s == NULL)
		return;
	if (strcmp(name, event_field_name(EV_COMMAND)) == 0)
		keep = query_cut(s, n, command_max);
	json_key(j, name);
	json_strn(j, s, keep);
	if (keep < n) {
		json_key(j, "command_cut");
		json_bool(j, true);
	}
}

static void
query_put_time(struct json *j, const char *name, uint64_t ms)
{
	char utc[UTC_LEN + 1];

	utc_format(ms, utc);
	json_kv_str(j, name, utc);
}

/* One column under its name; how it is written goes by the name. */
static void
query_put(struct json *j, sqlite3_stmt *st, int i, size_t command_max)
{
	static const char *const times[] = { "opened", "closed", "time",
		"ended", "deleted" };
	const char *name = sqlite3_column_name(st, i);
	uint64_t n;

	if (sqlite3_column_type(st, i) == SQLITE_NULL)
		return;
	if (sqlite3_column_type(st, i) == SQLITE_TEXT) {
		query_put_text(j, st, i, command_max);
		return;
	}
	n = (uint64_t)sqlite3_column_int64(st, i);
	for (size_t k = 0; k < sizeof(times) / sizeof(times[0]); k++) {
		if (strcmp(name, times[k]) == 0) {
			query_put_time(j, name, n);
			return;
		}
	}
	json_key(j, name);
	if (strcmp(name, event_field_name(EV_PTY)) == 0 ||
	    strcmp(name, event_field_name(EV_STDIN)) == 0)
		json_bool(j, n != 0);
	else
		ledger_put_num(j, n);
}

/* An operation that has not ended has no state of its own yet. */
static void
query_put_state(struct json *j, sqlite3_stmt *st)
{
	const char *state = NULL, *verdict = "", *name;

	for (int i = 0; i < sqlite3_column_count(st); i++) {
		const char *s = sqlite3_column_type(st, i) == SQLITE_TEXT
				    ? (const char *)sqlite3_column_text(st, i)
				    : NULL;

		name = sqlite3_column_name(st, i);
		if (s != NULL && strcmp(name, "state") == 0)
			state = s;
		else if (s != NULL && strcmp(name, "verdict") == 0)
			verdict = s;
	}
	if (state == NULL)
		json_kv_str(j, "state",
		    strcmp(verdict, "deny") != 0 ? "running" : "denied");
}

/* No row of the ledger's: what follows was left out. */
static int
query_more(const struct store_found *f, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_open(&j, '{');
	json_kv_str(&j, "kind", "more");
	json_kv_str(&j, "after", f->id);
	json_close(&j, '}');
	return json_end(&j);
}

static int
query_row(struct store *s, const struct store_found *f, size_t command_max,
    struct buf *out)
{
	bool op = f->kind == 'o', hold = f->kind == 'h';
	enum store_statement i = op     ? ST_OPERATION_ROW
				 : hold ? ST_HOLD_ROW
					: ST_SESSION_ROW;
	sqlite3_stmt *st;
	struct json j;
	int r;

	if (f->kind == 'm')
		return query_more(f, out);
	st = store_use(s, i);
	(void)sqlite3_bind_text(st, 1, f->id, -1, SQLITE_STATIC);
	if (store_step(s, st) != SQLITE_ROW) {
		(void)store_use(s, i);
		return ERR_NOTFOUND;
	}
	json_init(&j, out);
	json_open(&j, '{');
	json_kv_str(&j, "kind", op ? "operation" : hold ? "hold" : "session");
	for (int k = 0; k < sqlite3_column_count(st); k++)
		query_put(&j, st, k, command_max);
	if (op)
		query_put_state(&j, st);
	json_close(&j, '}');
	r = json_end(&j);
	(void)store_use(s, i);
	return r;
}

int
store_row(struct store *s, const struct store_found *f, bool whole, size_t max,
    struct buf *json)
{
	size_t command_max = whole ? SIZE_MAX : STORE_LIST_COMMAND_MAX;
	struct buf row;
	int r;

	/* A command of control characters grows sixfold: then it is cut so
	 * that the row fits, whatever it holds. */
	buf_init(&row, max);
	r = query_row(s, f, command_max, &row);
	if (r == ERR_TOOBIG && whole) {
		buf_reset(&row);
		r = query_row(s, f, max / 8, &row);
	}
	if (r == 0)
		r = buf_put(json, buf_ptr(&row), buf_len(&row));
	buf_clear(&row);
	return r;
}
