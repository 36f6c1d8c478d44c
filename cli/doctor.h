/*
 * postern doctor: what its files share.
 *
 *	doctor.c	the list of checks, and what is said
 *	doctor_ca.c	CA keys, in files and in ssh-agents
 *	doctor_files.c	settings, policy, accounts, permissions, disk
 *	doctor_issuers.c	issuers, the clock
 *	doctor_net.c	the broker, sshd, targets, addresses
 *	doctor_unit.c	the units: what they let the broker do, what runs
 */
#ifndef POSTERN_CLI_DOCTOR_H
#define POSTERN_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"

struct conf;
struct json;
struct policy;

enum doctor_level { DOCTOR_NOTE, DOCTOR_BAD };

struct doctor {
	const struct conf *conf;
	struct buf issuer_ca;        /* read as root */
	struct buf conf_fault;       /* why these are the defaults; or empty */
	const struct policy *policy; /* NULL: none loads */
	const char *check;           /* that runs */
	bool json, offline;
	struct json *j;
	size_t nbad, nnote;
	bool clock_seen; /* some issuer has told the time */
};

/* One finding: where it is, what is wrong there, and what to do.  Nothing of a
 * file's content goes into it. */
void doctor_find(struct doctor *d, enum doctor_level level, const char *where,
    const char *what, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* doctor_ca.c */
void doctor_ca(struct doctor *d);

/* doctor_files.c */
void doctor_settings(struct doctor *d);
void doctor_policy(struct doctor *d);
void doctor_accounts(struct doctor *d);
void doctor_names(struct doctor *d);
void doctor_files(struct doctor *d);
void doctor_disk(struct doctor *d);

/* doctor_unit.c */
void doctor_unit(struct doctor *d);

/* doctor_issuers.c */
void doctor_clock(struct doctor *d);
void doctor_issuers(struct doctor *d);

/* doctor_net.c */
void doctor_broker(struct doctor *d);
void doctor_sshd(struct doctor *d);
void doctor_targets(struct doctor *d);
void doctor_addresses(struct doctor *d);

#endif
