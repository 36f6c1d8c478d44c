/*
 * What the files of an operation in the policy process share:
 *
 *	operation.c	 its life: RUN, the decision, the refusals
 *	operation_limit.c whether it fits beside what runs and ran
 *	operation_plan.c what the ledger, the hop and the signer are told
 *	operation_start.c audit and the parent asked, everything handed over
 */
#ifndef POSTERN_BROKER_OPERATION_INTERNAL_H
#define POSTERN_BROKER_OPERATION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/msg.h"
#include "lib/str.h"
#include "lib/ulid.h"
#include "policy/decide.h"

#define TERM_MAX 64
#define EVENT_BODY_MAX (150 * 1024)

struct command;
struct connection;
struct peer;
struct target;

/* What the job asked for. */
struct ask {
	uint8_t kind;
	const uint8_t *command; /* inside the message */
	size_t ncommand;
	uint8_t tty;
	char term[TERM_MAX + 1];
	uint32_t cols, rows;
};

struct operation {
	struct operation *next;
	char id[ULID_LEN + 1];
	bool asked;             /* RUN has come; before, it is a mere caller */
	pid_t monitor;          /* of a caller, once somebody wanted to know */
	struct peer *shell;	/* until handed over or answered */
	struct connection *conn; /* held */
	char identity[NAME_LEN_MAX + 1]; /* it is counted for, once granted */
	int stdio[3];
	int control;		/* policy's end of the hop's control socket */
	int cert[2];		/* the certificate socket: signer's, hop's */
	int record[2];		/* recording, sidecar: from audit */
	int pidfd;		/* the hop's */
	pid_t hop;
	bool kept; /* its row is with audit */
	bool opened, started;
	uint32_t open_id, start_id; /* the two questions under way */
	struct msg run;		/* HOP_RUN, ready but for its descriptors */
	struct msg grant;	/* GRANT, likewise */
	struct watch *watch;    /* the hop's pidfd: its death */
	struct timer *timer;	/* bounds the wait for RUN, audit and parent */
};

struct plan {
	const struct target *target;
	const char *login;
	const struct command *command; /* argv[0] rewritten */
	struct decision d;
	const char *nearest;    /* rule, where no rule allows it; else "" */
	struct buf wire;	/* as the target's shell gets it */
	struct buf shown;	/* as people read it */
	struct buf key_id;
	uint64_t serial;
	char principal[2 * NAME_LEN_MAX + 2];
};

/* operation.c */
/* The operations there are, newest first. */
struct operation *operation_first(void);
/* One that an earlier policy process has started; takes pidfd.  NULL: no
 * memory. */
struct operation *operation_new_running(
    const char *id, const char *identity, struct connection *c, int take_pidfd);
/* Takes NULL.  Closes what it holds; a hop without work ends on that. */
void operation_free(struct operation *op);
/* Everything that only the start needs. */
void operation_drop_start(struct operation *op);
/* A refusal in one line of text; frees op. */
void operation_refuse(struct operation *op, uint32_t code, const char *text);

/* operation_limit.c */
/* Whether one more is within `limit concurrent` and `limit rate`; else the text
 * says so. */
bool operation_fits(const struct operation *op, const struct plan *p,
    const struct connection *conn, struct buf *text);
/* It is granted: it counts from here on.  Any error: it must not run. */
int operation_counts(struct operation *op, const struct plan *p);

/* operation_plan.c */
void plan_init(struct plan *p);
void plan_clear(struct plan *p);
/* Completes the plan: canonical and wire form, principal, serial, key id. */
int plan_make(struct plan *p, const struct operation *op,
    const struct connection *conn);
/* Starts an operation.decide event. */
int plan_decide_event(struct buf *b, const struct operation *op,
    const struct connection *conn, const struct decision *d,
    const char *verdict);
/* The command as it was asked, escaped, for a denial's event. */
int ask_event_command(struct buf *b, const struct ask *a);
int plan_put_title(struct buf *b, struct plan *p);
/* Fill op->run and op->grant, all but their descriptors. */
int plan_put_hop_run(struct operation *op, const struct connection *conn,
    const struct ask *a, struct plan *p);
int plan_put_grant(struct operation *op, const struct ask *a, struct plan *p);

/* operation_start.c */
int operation_ask_audit(struct operation *op, const struct connection *conn,
    const struct ask *a, struct plan *p);
int operation_ask_parent(struct operation *op);
/* Tells audit that an opened operation will not run. */
void operation_abort(const struct operation *op, const char *reason);

#endif
