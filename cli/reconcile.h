/*
 * postern reconcile: what its files share.
 *
 *	reconcile.c	what is compared: options, logs, the ledger
 *	reconcile_ca.c	whose certificates count
 *	reconcile_say.c	what was found
 */
#ifndef POSTERN_CLI_RECONCILE_H
#define POSTERN_CLI_RECONCILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/authlog.h"
#include "audit/reconcile.h"
#include "cli/cli.h"

struct job {
	struct reconcile_want want;
	struct cli_ledger ledger;
	const char *ledger_path, *recordings_path;
	char ca[RECONCILE_CAS_MAX][AUTHLOG_KEY_MAX];
	char other[RECONCILE_CAS_MAX][AUTHLOG_KEY_MAX];
	char *paths; /* the two, where they were not named */
	int recordings;
	bool json;
	char *const *log;
	size_t nlog;
	struct reconcile *rc;
	uint64_t unread; /* lines of logs that are too long */
	uint64_t told[RECONCILE_KINDS];
	char why[128];
};

/* reconcile_ca.c; both return an exit code. */

/* A fingerprint, or a file with a public key: of a CA that counts, or of
 * another that may be in the logs. */
int ca_add(struct job *j, const char *text);
int ca_add_other(struct job *j, const char *text);
/* Where none was named: the bastion's own keys, next and retired ones, too. */
int ca_own(struct job *j);

/* reconcile_say.c */

/* A finding, said or counted; and whether its recording is there: NULL, or why
 * not. */
const char *found_look(void *arg, const char *recording);
int found_tell(void *arg, const struct reconcile_finding *f);
/* The sum; returns an exit code. */
int found_say(const struct job *j, const struct reconcile_sum *s);

#endif
