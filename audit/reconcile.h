/*
 * Holding what targets' logs say against the ledger: each certificate that a
 * target accepted has its operation and recording, and each operation that
 * reached a target is in its log.  Offline and pure: no file is opened here.
 *
 *	reconcile_new, then for each log reconcile_log and its logins, then the
 *	ledger's events in their order, then reconcile_end.
 */
#ifndef POSTERN_AUDIT_RECONCILE_H
#define POSTERN_AUDIT_RECONCILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct authlog_entry;
struct buf;
struct reconcile; /* opaque */

#define RECONCILE_LOGS_MAX 256
#define RECONCILE_LOGINS_MAX (4U << 20)
#define RECONCILE_OPERATIONS_MAX (8U << 20)
#define RECONCILE_CAS_MAX 16
/* Between two clocks, and the life of an operation's certificate. */
#define RECONCILE_SLACK_MS (5ULL * 60 * 1000)

struct reconcile_want {
	const char *ca[RECONCILE_CAS_MAX]; /* fingerprints that count */
	size_t nca;
	const char *other[RECONCILE_CAS_MAX]; /* of others, that may be there */
	size_t nother;
	const char *target;          /* whose log it is; NULL: it says itself */
	uint64_t since_ms, until_ms; /* what the logs must cover; 0: they say */
};

enum reconcile_kind {
	RECONCILE_UNKNOWN,   /* accepted, and the ledger knows no such serial */
	RECONCILE_DIFFERS,   /* its line says otherwise: key id or login */
	RECONCILE_ELSEWHERE, /* its operation is another target's */
	RECONCILE_TWICE,     /* accepted more than once */
	RECONCILE_TIME,      /* accepted outside its operation's time */
	RECONCILE_NOT_RUN,   /* its operation never started, says the ledger */
	RECONCILE_UNRECORDED, /* its operation has no recording */
	RECONCILE_MISSING,    /* reached the target, and is not in the log */
	RECONCILE_UNREADABLE, /* a certificate's line that cannot be read */
	RECONCILE_FOREIGN,    /* not sshd's own word, by the journal */
	RECONCILE_OTHER_CA,   /* by a CA that nobody named */
	RECONCILE_KINDS,
};

struct reconcile_finding {
	enum reconcile_kind kind;
	/* the log's part; log is RECONCILE_LOGS_MAX where there is none */
	size_t log;
	uint64_t line, log_ms; /* 0: not known */
	uint64_t serial;
	const char *login, *address, *key_id; /* "" : not known */
	/* the ledger's; operation is "" where there is none */
	const char *operation, *target, *recording;
	uint64_t number, decided_ms;
};

struct reconcile_sum {
	uint64_t logins;      /* certificates of these CAs, in the logs */
	uint64_t matched;     /* of them, with their operation */
	uint64_t other_ca;    /* of others that were named */
	uint64_t other_login; /* no certificate at all */
	uint64_t again;       /* the same line in two logs */
	uint64_t operations;  /* of the targets, within the logs' time */
	uint64_t outside;     /* beyond it: nothing is said of them */
	uint64_t maybe;       /* may have reached the target or not */
	uint64_t found[RECONCILE_KINDS];
};

int reconcile_new(const struct reconcile_want *want, struct reconcile **out);
void reconcile_free(struct reconcile *rc);

/* A log begins; *log is its place. */
int reconcile_log(struct reconcile *rc, size_t *log);
/* One of its entries, whatever it says; local stamps are put right before. */
int reconcile_entry(
    struct reconcile *rc, size_t log, const struct authlog_entry *e);
/* All logs are read. */
int reconcile_logs_end(struct reconcile *rc);

/* A line of the ledger. */
int reconcile_event(struct reconcile *rc, uint64_t number, uint64_t time_ms,
    const struct buf *event);

/* Is the recording there?  A non-empty text says why not. */
typedef const char *(*reconcile_look)(void *arg, const char *recording);
typedef int (*reconcile_tell)(void *arg, const struct reconcile_finding *f);
/* Tells each finding; stops at tell's first error and returns it.  look may be
 * NULL: then the ledger's word is taken. */
int reconcile_end(struct reconcile *rc, reconcile_look look,
    reconcile_tell tell, void *arg, struct reconcile_sum *sum);

const char *reconcile_name(enum reconcile_kind kind);

#endif
