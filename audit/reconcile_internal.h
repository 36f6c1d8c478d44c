/*
 * What the two halves of the reconciliation share: reconcile.c takes in logs
 * and ledger, reconcile_tell.c judges.
 */
#ifndef POSTERN_AUDIT_RECONCILE_INTERNAL_H
#define POSTERN_AUDIT_RECONCILE_INTERNAL_H

#include "audit/authlog.h"
#include "audit/reconcile.h"
#include "audit/record.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define RECONCILE_TARGETS_MAX 65536
#define RECONCILE_NONE UINT32_MAX /* no operation */

enum reached { REACHED_MAYBE, REACHED_YES, REACHED_NO };

struct login {
	uint64_t serial, ms, line;
	char *text; /* login, address, key id: three strings */
	const char *address, *key_id;
	uint32_t port, log, operation;
	uint8_t kind; /* enum authlog_kind */
	bool again;   /* another log has said the same */
	bool other_ca; /* its certificate is of a CA that nobody named */
};

struct operation {
	uint64_t serial, number, decided_ms, ended_ms;
	char id[ULID_LEN + 1];
	char recording[RECORD_PATH_MAX];
	char login[NAME_LEN_MAX + 1];
	char *key_id;          /* of those that a log names */
	uint32_t target, next; /* next: in the same slot of the table */
	uint8_t reached;       /* enum reached */
	bool hashed, ended, seen;
	bool deleted; /* by retention, says the ledger */
};

struct range {
	uint64_t first, last; /* 0, 0: none */
};

struct log_target {
	char name[NAME_LEN_MAX + 1];
	struct range range;
};

struct reconcile {
	char ca[RECONCILE_CAS_MAX][AUTHLOG_KEY_MAX];
	char other[RECONCILE_CAS_MAX][AUTHLOG_KEY_MAX];
	size_t nca, nother;
	char only[NAME_LEN_MAX + 1];
	uint64_t since_ms, until_ms;
	struct range log[RECONCILE_LOGS_MAX];
	size_t nlog;
	struct login *login;
	size_t nlogin, loginroom;
	struct operation *op;
	size_t nop, oproom;
	uint32_t *slot; /* of operations by their id */
	size_t nslot;   /* a power of two */
	struct log_target *target;
	size_t ntarget;
	struct reconcile_sum sum;
};

void reconcile_range_take(struct range *r, uint64_t ms);

#endif
