/*
 * The SQLite index, for retention: which recordings are there, how large, and
 * which of them are held.  Runs in audit.  What it says comes from the ledger
 * alone, so an index that is made anew says the same.
 */
#include "config.h"

#include "audit/store.h"

#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "audit/ledger.h"
#include "audit/store_internal.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/str.h"

/* A hold on a commit holds whatever begins with it, as a query finds it. */
static const struct {
	enum store_statement i;
	const char *sql;
} statements[] = {
	{ ST_EXPIRED, "SELECT operation, session, recording, recording_sha256,"
		      " coalesce(recording_bytes, 0), ended, number,"
		      " EXISTS(SELECT 1 FROM holds h WHERE"
		      "  (h.kind = 'session' AND h.id = o.session) OR"
		      "  (h.kind = 'commit' AND o.\"commit\" >= h.id"
		      "   AND o.\"commit\" < h.id || char(1114111)))"
		      " FROM operations o WHERE recording_sha256 IS NOT NULL"
		      " AND deleted IS NULL AND (ended, number) > (?1, ?2)"
		      " ORDER BY ended, number LIMIT ?3" },
	{ ST_KEPT_BYTES,
	    "SELECT coalesce(sum(recording_bytes), 0) FROM operations"
	    " WHERE recording_sha256 IS NOT NULL AND deleted IS NULL" },
	{ ST_USED_BYTES,
	    "SELECT coalesce(sum(recording_bytes), 0) FROM operations"
	    " WHERE identity = ?1 AND ended >= ?2" },
	{ ST_DELETED,
	    "SELECT recording FROM operations WHERE deleted IS NOT NULL"
	    " ORDER BY deleted DESC LIMIT ?1" },
	{ ST_HOLD_PUT,
	    "INSERT OR IGNORE INTO holds(number, kind, id, time, asker, reason)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)" },
	{ ST_HOLD_DROP, "DELETE FROM holds WHERE kind = ?1 AND id = ?2" },
	{ ST_HOLDS, "SELECT number FROM holds ORDER BY number LIMIT ?1" },
	{ ST_HOLD_ROW, "SELECT CASE kind WHEN 'session' THEN id END AS session,"
		       " CASE kind WHEN 'commit' THEN id END AS \"commit\","
		       " time, asker, reason FROM holds"
		       " WHERE number = CAST(?1 AS INTEGER)" },
	{ ST_FILES, "SELECT operation, session, recording, '', 0, 0, rowid, 0"
		    " FROM operations WHERE rowid > ?1"
		    " AND recording_sha256 IS NOT NULL"
		    " ORDER BY rowid LIMIT ?2" },
};

const char *
store_keep_sql(enum store_statement i)
{
	for (size_t k = 0; k < sizeof(statements) / sizeof(statements[0]); k++)
		if (statements[k].i == i)
			return statements[k].sql;
	return NULL;
}

/* -- recordings ----------------------------------------------------------- */

static int
keep_text(sqlite3_stmt *st, int i, char *dst, size_t size)
{
	const char *s = (const char *)sqlite3_column_text(st, i);

	return str_copy(dst, size, s == NULL ? "" : s);
}

static int
keep_row(sqlite3_stmt *st, struct store_kept *k)
{
	int r;

	*k =
	    (struct store_kept){ .bytes = (uint64_t)sqlite3_column_int64(st, 4),
		    .ended_ms = (uint64_t)sqlite3_column_int64(st, 5),
		    .number = (uint64_t)sqlite3_column_int64(st, 6),
		    .held = sqlite3_column_int(st, 7) != 0 };
	if ((r = keep_text(st, 0, k->operation, sizeof(k->operation))) != 0 ||
	    (r = keep_text(st, 1, k->session, sizeof(k->session))) != 0 ||
	    (r = keep_text(st, 2, k->recording, sizeof(k->recording))) != 0)
		return r;
	return keep_text(st, 3, k->sha256, sizeof(k->sha256));
}

static int
keep_rows(struct store *s, sqlite3_stmt *st, struct store_kept *out, size_t max,
    size_t *np)
{
	int k = SQLITE_DONE, r = 0;
	size_t n = 0;

	while (n < max && r == 0 && (k = store_step(s, st)) == SQLITE_ROW) {
		if ((r = keep_row(st, &out[n])) == 0)
			n++;
	}
	if (r == 0 && k != SQLITE_ROW && k != SQLITE_DONE)
		r = ERR_SYS;
	if (r == 0)
		*np = n;
	return r;
}

int
store_kept(struct store *s, uint64_t ended_ms, uint64_t number,
    struct store_kept *out, size_t max, size_t *np)
{
	sqlite3_stmt *st = store_use(s, ST_EXPIRED);
	int r;

	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)ended_ms);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)number);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)max);
	r = keep_rows(s, st, out, max, np);
	(void)store_use(s, ST_EXPIRED);
	return r;
}

int
store_files(struct store *s, uint64_t after, struct store_kept *out, size_t max,
    size_t *np)
{
	sqlite3_stmt *st = store_use(s, ST_FILES);
	int r;

	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)after);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)max);
	r = keep_rows(s, st, out, max, np);
	(void)store_use(s, ST_FILES);
	return r;
}

static int
keep_sum(struct store *s, sqlite3_stmt *st, uint64_t *bytes)
{
	int r = store_step(s, st) == SQLITE_ROW ? 0 : ERR_SYS;

	if (r == 0)
		*bytes = (uint64_t)sqlite3_column_int64(st, 0);
	(void)sqlite3_reset(st);
	return r;
}

int
store_kept_bytes(struct store *s, uint64_t *bytes)
{
	return keep_sum(s, store_use(s, ST_KEPT_BYTES), bytes);
}

int
store_used_bytes(
    struct store *s, const char *identity, uint64_t since_ms, uint64_t *bytes)
{
	sqlite3_stmt *st = store_use(s, ST_USED_BYTES);

	if (sqlite3_bind_text(st, 1, identity, -1, SQLITE_STATIC) != SQLITE_OK)
		return ERR_SYS;
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)since_ms);
	return keep_sum(s, st, bytes);
}

int
store_deleted(
    struct store *s, char (*out)[STORE_PATH_MAX], size_t max, size_t *np)
{
	sqlite3_stmt *st = store_use(s, ST_DELETED);
	int k = SQLITE_DONE, r = 0;
	size_t n = 0;

	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)max);
	while (n < max && r == 0 && (k = store_step(s, st)) == SQLITE_ROW) {
		if ((r = keep_text(st, 0, out[n], STORE_PATH_MAX)) == 0)
			n++;
	}
	if (r == 0 && k != SQLITE_ROW && k != SQLITE_DONE)
		r = ERR_SYS;
	(void)store_use(s, ST_DELETED);
	if (r == 0)
		*np = n;
	return r;
}

int
store_deleted_ms(struct store *s, const char *operation, uint64_t *ms)
{
	sqlite3_stmt *st = store_use(s, ST_OPERATION_ROW);
	int r = ERR_NOTFOUND;

	(void)sqlite3_bind_text(st, 1, operation, -1, SQLITE_STATIC);
	if (store_step(s, st) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			if (strcmp(sqlite3_column_name(st, i), "deleted") !=
				0 ||
			    sqlite3_column_type(st, i) == SQLITE_NULL)
				continue;
			*ms = (uint64_t)sqlite3_column_int64(st, i);
			r = 0;
		}
	}
	(void)store_use(s, ST_OPERATION_ROW);
	return r;
}

/* -- holds ---------------------------------------------------------------- */

/* What it is on. */
static int
hold_of(const struct buf *event, const char **kind, char id[256])
{
	*kind = "session";
	if (ledger_field(event, EV_SESSION, id, 256) == 0)
		return 0;
	*kind = "commit";
	return ledger_field(event, EV_COMMIT, id, 256);
}

int
store_hold_apply(struct store *s, uint64_t number, uint64_t time_ms, bool add,
    const struct buf *event)
{
	sqlite3_stmt *st = store_use(s, add ? ST_HOLD_PUT : ST_HOLD_DROP);
	char id[256], asker[256], reason[1024];
	const int at = add ? 2 : 1;
	const char *kind;
	int r;

	if (hold_of(event, &kind, id) != 0)
		return 0;
	(void)ledger_field(event, EV_ASKER, asker, sizeof(asker));
	(void)ledger_field(event, EV_REASON, reason, sizeof(reason));
	(void)sqlite3_bind_text(st, at, kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(st, at + 1, id, -1, SQLITE_STATIC);
	if (add) {
		(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)number);
		(void)sqlite3_bind_int64(st, 4, (sqlite3_int64)time_ms);
		(void)sqlite3_bind_text(st, 5, asker, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(st, 6, reason, -1, SQLITE_STATIC);
	}
	r = store_step(s, st) == SQLITE_DONE ? 0 : ERR_SYS;
	(void)store_use(s, add ? ST_HOLD_PUT : ST_HOLD_DROP);
	return r;
}

int
store_find_holds(struct store *s, struct store_found **found, size_t *np)
{
	sqlite3_stmt *st = store_use(s, ST_HOLDS);
	struct store_found *f = calloc(STORE_HOLDS_MAX, sizeof(*f));
	size_t n = 0;
	int r = 0;

	if (f == NULL)
		return ERR_NOMEM;
	(void)sqlite3_bind_int64(st, 1, STORE_HOLDS_MAX);
	while (
	    n < STORE_HOLDS_MAX && r == 0 && store_step(s, st) == SQLITE_ROW) {
		f[n].kind = 'h';
		if ((r = keep_text(st, 0, f[n].id, sizeof(f[n].id))) == 0)
			n++;
	}
	(void)store_use(s, ST_HOLDS);
	if (r != 0) {
		free(f);
		return r;
	}
	*found = f;
	*np = n;
	return 0;
}

bool
store_has_hold(struct store *s, const char *kind, const char *id)
{
	static const char sql[] =
	    "SELECT 1 FROM holds WHERE kind = ?1 AND id = ?2";
	sqlite3_stmt *st = NULL;
	bool has = false;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_bind_text(st, 2, id, -1, SQLITE_STATIC) == SQLITE_OK)
		has = store_step(s, st) == SQLITE_ROW;
	(void)sqlite3_finalize(st);
	return has;
}
