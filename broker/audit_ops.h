/*
 * An operation as postern-audit knows it, from its decision to its
 * operation.end in the ledger:
 *
 *	audit_open.c	 it is decided, and its record is opened
 *	audit_ops.c	 it is watched, measured and closed; and after a crash
 */
#ifndef POSTERN_BROKER_AUDIT_OPS_H
#define POSTERN_BROKER_AUDIT_OPS_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

#include "audit/ledger.h"
#include "audit/manifest.h"
#include "audit/record.h"
#include "lib/buf.h"
#include "lib/str.h"
#include "lib/ulid.h"

struct peer;
struct timer;
struct watch;

struct op {
	LIST_ENTRY(op) link;
	char id[ULID_LEN + 1];
	char session[ULID_LEN + 1];
	char identity[NAME_LEN_MAX + 1]; /* "": not known here */
	struct record rec;
	int pidfd; /* -1: not started, or not by this process */
	struct watch *watch;
	struct timer *timer;
	uint64_t opened_ms; /* wall clock */
	/* Decided, and its turn has not come: a command of a list. */
	struct peer *decider;
	struct buf decision;
	struct ledger_line line;
	char path[RECORD_PATH_MAX];
	bool closing; /* nobody can write any more */
	bool own;     /* and nobody has the files but us */
	bool told;    /* facts are what its hop said */
	bool aborted;
	bool finished; /* the sidecar has its last line */
	bool said;     /* its trouble is in the log */
	const char *state;
	struct record_facts facts;
	struct manifest manifest;
	bool listed; /* the manifest was read, */
	bool broken; /* and is none */
	char reason[RECORD_REASON_MAX];
};

/* NULL: no operation that is open has this id. */
struct op *op_find(const char *id);

/* Among those that are open from here on; opened_ms is the wall clock.  NULL:
 * no memory, or AUDIT_OPERATIONS_MAX are open. */
struct op *op_new(const char *id, const char *session, uint64_t opened_ms);

/* It is forgotten, and its files are closed.  NULL will do. */
void op_free(struct op *o);

/* Asks every second whether somebody can still write its files, and closes it
 * when nobody can. */
void op_look_later(struct op *o);

/* Its operation.end, by what o has; o need not be one of op_new's. */
int op_write_end(struct op *o);

#endif
