/*
 * The SQLite index, writer's side.  Runs in audit.  Its input is the ledger's
 * events, bound as parameters and never spelled into SQL; names of columns
 * come from the event vocabulary.
 */
#include "config.h"

#include "audit/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "audit/ledger.h"
#include "audit/store_internal.h"
#include "lib/err.h"
#include "lib/event.h"

#define STORE_VERSION 6
#define STORE_SQL_MAX (16 * 1024)
#define STORE_BUSY_MS 2000

/* -- the two tables ------------------------------------------------------ */

const struct store_table store_sessions = {
	.name = "sessions",
	.own = { "opened", "closed" },
	.fields = (const uint32_t[]){ EV_SESSION, EV_IDENTITY, EV_ISSUER,
	    EV_SUBJECT, EV_USER, EV_SOURCE, EV_COMMIT, EV_PULL_REQUEST,
	    EV_ACTOR, EV_WORKFLOW, EV_RUN, EV_REASON, 0 },
};

const struct store_table store_operations = {
	.name = "operations",
	.own = { "number", "time", "ended", "deleted" },
	.fields = (const uint32_t[]){ EV_OPERATION, EV_SESSION, EV_IDENTITY,
	    EV_USER, EV_SOURCE, EV_COMMIT, EV_PULL_REQUEST, EV_ACTOR,
	    EV_WORKFLOW, EV_RUN, EV_TARGET, EV_LOGIN, EV_COMMAND, EV_ENV,
	    EV_PTY, EV_STDIN, EV_POLICY, EV_RULE, EV_VERDICT, EV_REASON, EV_BY,
	    EV_DIRECTION, EV_SERIAL, EV_KEY_ID, EV_PRINCIPAL, EV_LIST,
	    EV_POSITION, EV_POSITIONS, EV_JOINED, EV_SHELL, EV_LINE, EV_STATE,
	    EV_EXIT, EV_SIGNAL, EV_DURATION_MS, EV_BYTES_IN, EV_BYTES_OUT,
	    EV_BYTES_ERR, EV_SHA256_IN, EV_SHA256_OUT, EV_SHA256_ERR, EV_FILES,
	    EV_FILES_REFUSED, EV_BYTES_READ, EV_BYTES_WRITTEN, EV_REFS,
	    EV_REFS_REFUSED, EV_MANIFEST_SHA256, EV_RECORDING,
	    EV_RECORDING_SHA256, EV_RECORDING_BYTES, EV_RETENTION, 0 },
};

static const char store_schema_end[] =
    "CREATE INDEX sessions_opened ON sessions(opened);"
    "CREATE INDEX sessions_commit ON sessions(\"commit\");"
    "CREATE INDEX operations_session ON operations(\"session\");"
    "CREATE INDEX operations_shell ON operations(\"shell\")"
    " WHERE shell IS NOT NULL;"
    "CREATE INDEX operations_target ON operations(\"target\");"
    "CREATE INDEX operations_open ON operations(number)"
    " WHERE recording IS NOT NULL AND ended IS NULL;"
    "CREATE INDEX sessions_open ON sessions(\"session\")"
    " WHERE opened IS NOT NULL AND closed IS NULL;"
    "CREATE INDEX operations_kept ON operations(ended, number, recording_bytes)"
    " WHERE recording_sha256 IS NOT NULL AND deleted IS NULL;"
    "CREATE INDEX operations_used ON operations(identity, ended,"
    " recording_bytes);"
    "CREATE INDEX operations_deleted ON operations(deleted)"
    " WHERE deleted IS NOT NULL;"
    "CREATE TABLE holds(number INTEGER PRIMARY KEY, kind TEXT, id TEXT,"
    " time INTEGER, asker TEXT, reason TEXT, UNIQUE(kind, id));"
    "CREATE TABLE position(number INTEGER, offset INTEGER);"
    "INSERT INTO position VALUES(0, 0);";

static int
store_put_table(struct buf *sql, const struct store_table *t)
{
	const char *name;
	int r;

	r = buf_putf(sql, "CREATE TABLE %s(", t->name);
	for (size_t i = 0; t->fields[i] != 0 && r == 0; i++) {
		name = event_field_name(t->fields[i]);
		r = buf_putf(sql, "\"%s\" %s,", name,
		    i == 0                                  ? "TEXT PRIMARY KEY"
		    : event_field_type(t->fields[i]) == 's' ? "TEXT"
							    : "INTEGER");
	}
	for (size_t i = 0; t->own[i] != NULL && r == 0; i++)
		r = buf_putf(
		    sql, "%s\"%s\" INTEGER", i == 0 ? "" : ",", t->own[i]);
	return r != 0 ? r : buf_putf(sql, ");");
}

static int
store_put_schema(struct buf *sql)
{
	int r;

	if ((r = store_put_table(sql, &store_sessions)) != 0 ||
	    (r = store_put_table(sql, &store_operations)) != 0)
		return r;
	return buf_putf(
	    sql, "%sPRAGMA user_version=%d;", store_schema_end, STORE_VERSION);
}

/* -- opening ------------------------------------------------------------- */

static void
store_note(struct store *s, int rc)
{
	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
		s->damaged = true;
}

bool
store_damaged(const struct store *s)
{
	return s->damaged;
}

int
store_step(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	store_note(s, rc);
	return rc;
}

static int
store_exec(struct store *s, const char *sql)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	store_note(s, rc);
	return rc == SQLITE_OK ? 0 : ERR_SYS;
}

static int
store_create(struct store *s)
{
	const char *text;
	struct buf sql;
	int r;

	buf_init(&sql, STORE_SQL_MAX);
	if ((r = buf_putf(&sql, "BEGIN IMMEDIATE;")) != 0 ||
	    (r = store_put_schema(&sql)) != 0 ||
	    (r = buf_putf(&sql, "COMMIT;")) != 0)
		goto out;
	text = buf_cstr(&sql);
	r = text == NULL ? ERR_NOMEM : store_exec(s, text);
	if (r != 0)
		(void)store_exec(s, "ROLLBACK");
out:
	buf_clear(&sql);
	return r;
}

static int
store_version(struct store *s, int *version)
{
	sqlite3_stmt *st = NULL;
	int r = ERR_SYS;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) ==
		SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		*version = sqlite3_column_int(st, 0);
		r = 0;
	}
	(void)sqlite3_finalize(st);
	return r;
}

static int store_prepare(struct store *s);

/* ERR_FORMAT: what is there is not ours, or damaged. */
static int
store_try(const char *path, struct store **sp)
{
	struct store *s;
	uint64_t n;
	int version, r = ERR_SYS;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	if (sqlite3_open_v2(path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
		    SQLITE_OPEN_NOMUTEX,
		NULL) != SQLITE_OK)
		goto out;
	(void)sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	/* NORMAL in WAL mode: a power cut may take the last lines from the
	 * index, which then takes them from the ledger again. */
	r = ERR_FORMAT;
	if (store_exec(s,
		"PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
		"PRAGMA trusted_schema=OFF;PRAGMA temp_store=MEMORY") != 0 ||
	    store_version(s, &version) != 0)
		goto out;
	if (version == 0 && store_create(s) != 0)
		goto out;
	if (version != 0 && version != STORE_VERSION)
		goto out;
	if ((r = store_prepare(s)) != 0 || (r = store_position(s, &n, &n)) != 0)
		r = ERR_FORMAT;
out:
	if (r != 0) {
		store_free(s);
		return r;
	}
	*sp = s;
	return 0;
}

void
store_remove(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	const char *name;
	struct buf b;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		buf_init(&b, 4096);
		if (buf_putf(&b, "%s%s", path, ends[i]) == 0 &&
		    (name = buf_cstr(&b)) != NULL)
			(void)unlink(name);
		buf_clear(&b);
	}
}

int
store_open(const char *path, struct store **sp)
{
	int r;

	if ((r = store_try(path, sp)) != ERR_FORMAT)
		return r;
	store_remove(path);
	r = store_try(path, sp);
	return r == ERR_FORMAT ? ERR_SYS : r;
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < STORE_STATEMENTS; i++)
		(void)sqlite3_finalize(s->st[i]);
	(void)sqlite3_close(s->db);
	free(s);
}

/* -- statements ---------------------------------------------------------- */

static int
store_compile(struct store *s, enum store_statement i, const char *sql)
{
	return sql != NULL && sqlite3_prepare_v3(s->db, sql, -1,
				  SQLITE_PREPARE_PERSISTENT, &s->st[i],
				  NULL) == SQLITE_OK
		   ? 0
		   : ERR_SYS;
}

/* UPDATE t SET x=coalesce(?,x), ... WHERE key=?: what the event does not say
 * stays as it is. */
static int
store_compile_put(
    struct store *s, enum store_statement i, const struct store_table *t)
{
	const char *name;
	struct buf sql;
	int r;

	buf_init(&sql, STORE_SQL_MAX);
	r = buf_putf(&sql, "UPDATE %s SET ", t->name);
	for (size_t k = 0; t->own[k] != NULL && r == 0; k++)
		r = buf_putf(&sql, "%s\"%s\"=coalesce(?%zu,\"%s\")",
		    k == 0 ? "" : ",", t->own[k], k + 1, t->own[k]);
	for (size_t k = 1; t->fields[k] != 0 && r == 0; k++) {
		name = event_field_name(t->fields[k]);
		r = buf_putf(&sql, ",\"%s\"=coalesce(?%" PRIu32 ",\"%s\")",
		    name, t->fields[k] + STORE_PARAM, name);
	}
	if (r == 0)
		r = buf_putf(&sql, " WHERE \"%s\"=?%" PRIu32,
		    event_field_name(t->fields[0]), t->fields[0] + STORE_PARAM);
	if (r == 0)
		r = store_compile(s, i, buf_cstr(&sql));
	buf_clear(&sql);
	return r;
}

/* Behind the operation ?3, in the ledger's order. */
#define AFTER                                                                  \
	" AND (?3 IS NULL OR number >"                                         \
	"  (SELECT number FROM operations WHERE operation = ?3))"

static int
store_prepare(struct store *s)
{
	static const struct {
		enum store_statement i;
		const char *sql;
	} plain[] = {
		{ ST_POSITION, "SELECT number, offset FROM position" },
		{ ST_POSITION_SET, "UPDATE position SET number=?1, offset=?2" },
		{ ST_SESSION_NEW,
		    "INSERT OR IGNORE INTO sessions(session) VALUES(?1)" },
		{ ST_OPERATION_NEW,
		    "INSERT OR IGNORE INTO operations(operation) VALUES(?1)" },
		{ ST_UNFINISHED,
		    "SELECT operation, session, recording, time, number"
		    " FROM operations WHERE recording IS NOT NULL"
		    " AND ended IS NULL AND number > ?1 ORDER BY number"
		    " LIMIT ?2" },
		{ ST_OPEN_SESSIONS,
		    "SELECT session FROM sessions WHERE opened IS NOT NULL"
		    " AND closed IS NULL AND session > ?1"
		    " ORDER BY session LIMIT ?2" },
		{ ST_SESSION_HAS,
		    "SELECT opened IS NOT NULL, closed IS NOT NULL"
		    " FROM sessions WHERE session = ?1" },
		{ ST_FIND,
		    "SELECT session FROM sessions s WHERE"
		    " (?1 IS NULL OR (\"commit\" >= ?1"
		    "  AND \"commit\" < ?1 || char(1114111)))"
		    " AND (?2 IS NULL OR identity = ?2)"
		    " AND (?3 IS NULL OR EXISTS(SELECT 1 FROM operations o"
		    "  WHERE o.session = s.session AND o.target = ?3))"
		    " AND (?4 IS NULL OR session = ?4)"
		    " AND opened >= ?5"
		    " AND (?7 IS NULL OR (opened, session) < (SELECT opened,"
		    "  session FROM sessions WHERE session = ?7))"
		    " ORDER BY opened DESC, session DESC LIMIT ?6" },
		{ ST_OPERATIONS_OF,
		    "SELECT operation FROM operations WHERE session = ?1" AFTER
		    " ORDER BY number LIMIT ?2" },
		{ ST_LINES_OF,
		    "SELECT operation FROM operations WHERE shell = ?1" AFTER
		    " ORDER BY number LIMIT ?2" },
		{ ST_SESSION_ROW, "SELECT *, (SELECT count(*) FROM operations o"
				  " WHERE o.session = s.session) AS operations"
				  " FROM sessions s WHERE session = ?1" },
		{ ST_OPERATION_ROW,
		    "SELECT * FROM operations WHERE operation = ?1" },
	};
	int r;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if ((r = store_compile(s, plain[i].i, plain[i].sql)) != 0)
			return r;
	}
	for (size_t i = 0; i < STORE_STATEMENTS; i++) {
		const char *sql = store_keep_sql((enum store_statement)i);

		if (sql != NULL &&
		    (r = store_compile(s, (enum store_statement)i, sql)) != 0)
			return r;
	}
	if ((r = store_compile_put(s, ST_SESSION_PUT, &store_sessions)) != 0)
		return r;
	return store_compile_put(s, ST_OPERATION_PUT, &store_operations);
}

sqlite3_stmt *
store_use(struct store *s, enum store_statement i)
{
	(void)sqlite3_reset(s->st[i]);
	(void)sqlite3_clear_bindings(s->st[i]);
	return s->st[i];
}

static int
store_run(struct store *s, sqlite3_stmt *st)
{
	int k = store_step(s, st);

	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return k == SQLITE_DONE ? 0 : ERR_SYS;
}

/* -- following the ledger ------------------------------------------------ */

int
store_position(struct store *s, uint64_t *number, uint64_t *offset)
{
	sqlite3_stmt *st = store_use(s, ST_POSITION);
	int r = ERR_SYS;

	if (store_step(s, st) == SQLITE_ROW) {
		*number = (uint64_t)sqlite3_column_int64(st, 0);
		*offset = (uint64_t)sqlite3_column_int64(st, 1);
		r = 0;
	}
	(void)sqlite3_reset(st);
	return r;
}

int
store_reset(struct store *s)
{
	return store_exec(s, "BEGIN IMMEDIATE;DELETE FROM operations;"
			     "DELETE FROM sessions;DELETE FROM holds;UPDATE "
			     "position SET number=0, offset=0;"
			     "COMMIT");
}

/* Binds the fields that the table has. */
static int
store_bind(
    sqlite3_stmt *st, const struct store_table *t, const struct buf *event)
{
	struct event_value v;
	struct buf b;
	uint32_t kind;
	size_t i;
	int k, r;

	buf_view(&b, buf_ptr(event), buf_len(event));
	if ((r = event_get_kind(&b, &kind)) != 0)
		return r;
	while (buf_len(&b) > 0) {
		if ((r = event_get(&b, &v)) != 0)
			return r;
		for (i = 0; t->fields[i] != 0 && t->fields[i] != v.field;)
			i++;
		if (t->fields[i] == 0)
			continue;
		k = v.type == 's'
			? sqlite3_bind_text(st, (int)v.field + STORE_PARAM,
			      (const char *)v.s, (int)v.len, SQLITE_STATIC)
			: sqlite3_bind_int64(st, (int)v.field + STORE_PARAM,
			      (sqlite3_int64)v.n);
		if (k != SQLITE_OK)
			return ERR_SYS;
	}
	return 0;
}

static int
store_put(struct store *s, enum store_statement new_row,
    enum store_statement put, const struct store_table *t,
    const int64_t own[STORE_OWN_MAX], const struct buf *event)
{
	char id[STORE_ID_MAX];
	sqlite3_stmt *st;
	int r;

	/* An event without its key is of no use here, but the ledger has it. */
	if (ledger_field(event, t->fields[0], id, sizeof(id)) != 0)
		return 0;
	st = store_use(s, new_row);
	if (sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC) != SQLITE_OK ||
	    (r = store_run(s, st)) != 0)
		return ERR_SYS;
	st = store_use(s, put);
	for (int i = 0; t->own[i] != NULL; i++) {
		if (own[i] >= 0 &&
		    sqlite3_bind_int64(st, i + 1, own[i]) != SQLITE_OK)
			return ERR_SYS;
	}
	if ((r = store_bind(st, t, event)) != 0)
		return r;
	return store_run(s, st);
}

static int
store_apply_event(
    struct store *s, uint64_t number, uint64_t time_ms, const struct buf *event)
{
	const int64_t n = (int64_t)number, t = (int64_t)time_ms;
	uint32_t kind;
	int r;

	if ((r = ledger_kind(event, &kind)) != 0)
		return r;
	switch (kind) {
	case EVENT_SESSION_OPEN:
		return store_put(s, ST_SESSION_NEW, ST_SESSION_PUT,
		    &store_sessions, (const int64_t[]){ t, -1, -1, -1 }, event);
	case EVENT_SESSION_CLOSE:
		return store_put(s, ST_SESSION_NEW, ST_SESSION_PUT,
		    &store_sessions, (const int64_t[]){ -1, t, -1, -1 }, event);
	case EVENT_OP_DECIDE:
		return store_put(s, ST_OPERATION_NEW, ST_OPERATION_PUT,
		    &store_operations, (const int64_t[]){ n, t, -1, -1 },
		    event);
	case EVENT_OP_END:
		return store_put(s, ST_OPERATION_NEW, ST_OPERATION_PUT,
		    &store_operations, (const int64_t[]){ -1, -1, t, -1 },
		    event);
	case EVENT_RETENTION:
		return store_put(s, ST_OPERATION_NEW, ST_OPERATION_PUT,
		    &store_operations, (const int64_t[]){ -1, -1, -1, t },
		    event);
	case EVENT_HOLD_ADD:
	case EVENT_HOLD_REMOVE:
		return store_hold_apply(
		    s, number, time_ms, kind == EVENT_HOLD_ADD, event);
	default:
		return 0;
	}
}

int
store_apply(struct store *s, uint64_t number, uint64_t time_ms, uint64_t end,
    const struct buf *event)
{
	uint64_t last, offset;
	sqlite3_stmt *st;
	int r;

	if ((r = store_position(s, &last, &offset)) != 0)
		return r;
	if (number != last + 1)
		return ERR_FORMAT;
	if ((r = store_exec(s, "BEGIN IMMEDIATE")) != 0)
		return r;
	if (event != NULL &&
	    (r = store_apply_event(s, number, time_ms, event)) != 0)
		goto out;
	st = store_use(s, ST_POSITION_SET);
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)number);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)end);
	if ((r = store_run(s, st)) == 0)
		r = store_exec(s, "COMMIT");
out:
	if (r != 0)
		(void)store_exec(s, "ROLLBACK");
	return r;
}
