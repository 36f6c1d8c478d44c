/*
 * The database of kept rows.  Runs in audit; keys and values are policy's and
 * oidc's, bound as parameters and never looked into.
 */
#include "config.h"

#include "audit/keep.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/stat.h>

#include <sqlite3.h>

#include "audit/store.h"
#include "lib/err.h"

#define KEEP_BUSY_MS 2000

enum keep_statement {
	ST_PUT,
	ST_DROP,
	ST_SIZE,
	ST_EXPIRE,
	ST_PAGE,
	ST_SUM,
	ST_N
};

static const char *const keep_sql[ST_N] = {
	[ST_PUT] = "INSERT OR REPLACE INTO kept(owner, key, until, value)"
		   " VALUES(?1, ?2, ?3, ?4)",
	[ST_DROP] = "DELETE FROM kept WHERE owner = ?1 AND key = ?2",
	[ST_SIZE] = "SELECT length(value) FROM kept"
		    " WHERE owner = ?1 AND key = ?2",
	[ST_EXPIRE] = "DELETE FROM kept WHERE until < ?1",
	[ST_PAGE] = "SELECT key, until, value FROM kept WHERE owner = ?1"
		    " AND key > ?2 AND until >= ?3 ORDER BY key",
	[ST_SUM] = "SELECT count(*), coalesce(sum(length(value)), 0)"
		   " FROM kept WHERE owner = ?1",
};

struct keep {
	sqlite3 *db;
	sqlite3_stmt *st[ST_N];
	size_t rows[KEEP_OWNERS];
	size_t bytes[KEEP_OWNERS];
	bool damaged;
};

bool
keep_damaged(const struct keep *k)
{
	return k->damaged;
}

static int
keep_step(struct keep *k, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
		k->damaged = true;
	return rc;
}

void
keep_free(struct keep *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < ST_N; i++)
		(void)sqlite3_finalize(k->st[i]);
	(void)sqlite3_close(k->db);
	free(k);
}

static sqlite3_stmt *
keep_use(struct keep *k, enum keep_statement i)
{
	(void)sqlite3_reset(k->st[i]);
	(void)sqlite3_clear_bindings(k->st[i]);
	return k->st[i];
}

static int
keep_run(struct keep *k, sqlite3_stmt *st)
{
	int rc = keep_step(k, st);

	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE ? 0 : ERR_SYS;
}

/* What there is of each owner's, for the bounds. */
static int
keep_measure(struct keep *k)
{
	sqlite3_stmt *st;

	for (int o = 0; o < KEEP_OWNERS; o++) {
		st = keep_use(k, ST_SUM);
		(void)sqlite3_bind_int(st, 1, o);
		if (keep_step(k, st) != SQLITE_ROW)
			return ERR_SYS;
		k->rows[o] = (size_t)sqlite3_column_int64(st, 0);
		k->bytes[o] = (size_t)sqlite3_column_int64(st, 1);
		(void)sqlite3_reset(st);
	}
	return 0;
}

/* Statements of a table of ours, and none of another version's. */
static int
keep_prepare(struct keep *k)
{
	static const char schema[] =
	    "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
	    "PRAGMA trusted_schema=OFF;PRAGMA temp_store=MEMORY;"
	    "PRAGMA secure_delete=ON;"
	    "CREATE TABLE IF NOT EXISTS kept(owner INTEGER, key TEXT,"
	    " until INTEGER, value BLOB, PRIMARY KEY(owner, key))"
	    " WITHOUT ROWID;"
	    "CREATE INDEX IF NOT EXISTS kept_until ON kept(until);";

	(void)sqlite3_busy_timeout(k->db, KEEP_BUSY_MS);
	if (sqlite3_exec(k->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return ERR_FORMAT;
	for (size_t i = 0; i < ST_N; i++) {
		if (sqlite3_prepare_v3(k->db, keep_sql[i], -1,
			SQLITE_PREPARE_PERSISTENT, &k->st[i],
			NULL) != SQLITE_OK)
			return ERR_FORMAT;
	}
	return keep_measure(k);
}

static int
keep_try(const char *path, struct keep **kp)
{
	struct keep *k;
	int r = ERR_SYS;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return ERR_NOMEM;
	if (sqlite3_open_v2(path, &k->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
		    SQLITE_OPEN_NOMUTEX,
		NULL) == SQLITE_OK)
		r = keep_prepare(k);
	/* A full or read-only disk is no damage. */
	if (r == ERR_FORMAT && sqlite3_errcode(k->db) != SQLITE_NOTADB &&
	    sqlite3_errcode(k->db) != SQLITE_CORRUPT &&
	    sqlite3_errcode(k->db) != SQLITE_ERROR)
		r = ERR_SYS;
	if (k->damaged)
		r = ERR_FORMAT;
	if (r != 0) {
		keep_free(k);
		return r;
	}
	*kp = k;
	return 0;
}

/* Handles are in there, which are nobody's to see: the file exists with the
 * right mode before SQLite, whose other files take it over, sees it. */
static int
keep_touch(const char *path, bool *empty)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st = { 0 };

	if (fd == -1)
		return ERR_SYS;
	*empty = fstat(fd, &st) == 0 && st.st_size == 0;
	(void)close(fd);
	return 0;
}

int
keep_open(const char *path, struct keep **kp, enum keep_before *before)
{
	bool empty;
	int r;

	if ((r = keep_touch(path, &empty)) != 0)
		return r;
	*before = empty ? KEEP_EMPTY : KEEP_GOOD;
	if ((r = keep_try(path, kp)) == ERR_FORMAT) {
		store_remove(path);
		*before = KEEP_DAMAGED;
		if ((r = keep_touch(path, &empty)) == 0)
			r = keep_try(path, kp);
	}
	return r == ERR_FORMAT ? ERR_SYS : r;
}

/* The size of the value that is there; ERR_NOTFOUND. */
static int
keep_size(struct keep *k, enum keep_owner o, const char *key, size_t *np)
{
	sqlite3_stmt *st = keep_use(k, ST_SIZE);
	int rc;

	(void)sqlite3_bind_int(st, 1, (int)o);
	if (sqlite3_bind_text(st, 2, key, -1, SQLITE_STATIC) != SQLITE_OK)
		return ERR_NOMEM;
	if ((rc = keep_step(k, st)) == SQLITE_ROW)
		*np = (size_t)sqlite3_column_int64(st, 0);
	(void)sqlite3_reset(st);
	return rc == SQLITE_ROW    ? 0
	       : rc == SQLITE_DONE ? ERR_NOTFOUND
				   : ERR_SYS;
}

bool
keep_has(struct keep *k, enum keep_owner o, const char *key)
{
	size_t n;

	return keep_size(k, o, key, &n) == 0;
}

int
keep_put(struct keep *k, enum keep_owner o, const char *key, uint64_t until,
    const uint8_t *value, size_t n)
{
	size_t old = 0;
	sqlite3_stmt *st;
	int had, r;

	had = keep_size(k, o, key, &old);
	if (had != 0 && had != ERR_NOTFOUND)
		return had;
	if (until > INT64_MAX || n > KEEP_BYTES_MAX ||
	    k->rows[o] + (had != 0) > KEEP_ROWS_MAX ||
	    k->bytes[o] - old + n > KEEP_BYTES_MAX)
		return ERR_TOOBIG;
	st = keep_use(k, ST_PUT);
	if (sqlite3_bind_int(st, 1, (int)o) != SQLITE_OK ||
	    sqlite3_bind_text(st, 2, key, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_int64(st, 3, (sqlite3_int64)until) != SQLITE_OK ||
	    sqlite3_bind_blob(st, 4, value, (int)n, SQLITE_STATIC) != SQLITE_OK)
		return ERR_NOMEM;
	if ((r = keep_run(k, st)) != 0)
		return r;
	k->rows[o] += had != 0;
	k->bytes[o] += n - old;
	return 0;
}

int
keep_drop(struct keep *k, enum keep_owner o, const char *key)
{
	sqlite3_stmt *st;
	size_t old = 0;
	int r;

	if ((r = keep_size(k, o, key, &old)) != 0)
		return r == ERR_NOTFOUND ? 0 : r;
	st = keep_use(k, ST_DROP);
	(void)sqlite3_bind_int(st, 1, (int)o);
	if (sqlite3_bind_text(st, 2, key, -1, SQLITE_STATIC) != SQLITE_OK)
		return ERR_NOMEM;
	if ((r = keep_run(k, st)) != 0)
		return r;
	k->rows[o]--;
	k->bytes[o] -= old;
	return 0;
}

int
keep_expire(struct keep *k, uint64_t now)
{
	sqlite3_stmt *st = keep_use(k, ST_EXPIRE);
	int r;

	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)now);
	if ((r = keep_run(k, st)) != 0)
		return r;
	return sqlite3_changes(k->db) == 0 ? 0 : keep_measure(k);
}

/* One row behind the others; ERR_TOOBIG when it does not fit. */
static int
page_put(sqlite3_stmt *st, size_t room, struct buf *out)
{
	const uint8_t *key = sqlite3_column_text(st, 0);
	size_t nkey = (size_t)sqlite3_column_bytes(st, 0);
	const uint8_t *value = sqlite3_column_blob(st, 2);
	size_t nvalue = (size_t)sqlite3_column_bytes(st, 2);
	int r;

	if (key == NULL)
		return ERR_NOMEM;
	if (buf_len(out) + nkey + nvalue + 16 > room)
		return ERR_TOOBIG;
	if ((r = buf_put_str(out, key, nkey)) != 0 ||
	    (r = buf_put_u64(out, (uint64_t)sqlite3_column_int64(st, 1))) != 0)
		return r;
	return buf_put_str(out, value, nvalue);
}

int
keep_page(struct keep *k, enum keep_owner o, const char *after, uint64_t now,
    size_t room, struct buf *out, uint32_t *np, bool *more)
{
	sqlite3_stmt *st = keep_use(k, ST_PAGE);
	int rc, r = 0;

	*np = 0;
	(void)sqlite3_bind_int(st, 1, (int)o);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)now);
	if (sqlite3_bind_text(st, 2, after, -1, SQLITE_STATIC) != SQLITE_OK)
		return ERR_NOMEM;
	while ((rc = keep_step(k, st)) == SQLITE_ROW &&
	       (r = page_put(st, room, out)) == 0)
		(*np)++;
	(void)sqlite3_reset(st);
	if (r == 0 && rc != SQLITE_DONE)
		return ERR_SYS;
	*more = r == ERR_TOOBIG;
	return r == ERR_TOOBIG && *np > 0 ? 0 : r;
}
