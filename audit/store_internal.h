/*
 * What the two halves of the index share: store.c follows the ledger,
 * store_query.c answers.
 */
#ifndef POSTERN_AUDIT_STORE_INTERNAL_H
#define POSTERN_AUDIT_STORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct sqlite3;
struct sqlite3_stmt;

enum store_statement {
	ST_POSITION,
	ST_POSITION_SET,
	ST_SESSION_NEW,
	ST_SESSION_PUT,
	ST_OPERATION_NEW,
	ST_OPERATION_PUT,
	ST_UNFINISHED,
	ST_OPEN_SESSIONS,
	ST_SESSION_HAS,
	ST_FIND,
	ST_OPERATIONS_OF,
	ST_LINES_OF,
	ST_SESSION_ROW,
	ST_OPERATION_ROW,
	ST_EXPIRED,
	ST_KEPT_BYTES,
	ST_USED_BYTES,
	ST_DELETED,
	ST_HOLD_PUT,
	ST_HOLD_DROP,
	ST_HOLDS,
	ST_HOLD_ROW,
	ST_FILES,
	STORE_STATEMENTS,
};

struct store {
	struct sqlite3 *db;
	struct sqlite3_stmt *st[STORE_STATEMENTS];
	bool damaged;
};

/* A table: its name, the columns that are no fields of an event (parameters
 * ?1, ?2, ?3), and the fields (parameter: number + STORE_PARAM), ended by 0;
 * the first is the key. */
#define STORE_PARAM 10
#define STORE_OWN_MAX 4

struct store_table {
	const char *name;
	const char *own[STORE_OWN_MAX + 1];
	const uint32_t *fields;
};

/* A statement that only answers; NULL where there is no such one. */
const char *store_keep_sql(enum store_statement i);
/* hold.add and hold.remove. */
int store_hold_apply(struct store *s, uint64_t number, uint64_t time_ms,
    bool add, const struct buf *event);

extern const struct store_table store_sessions;
extern const struct store_table store_operations;

/* Resets and unbinds a statement for its next use. */
struct sqlite3_stmt *store_use(struct store *s, enum store_statement i);
/* sqlite3_step, which remembers that it found damage. */
int store_step(struct store *s, struct sqlite3_stmt *st);

#endif
