/*
 * What the files of an operation in the policy process share:
 *
 *	operation.c	 its life: RUN, answers, its end
 *	operation_env.c	 what the job sent of its environment
 *	operation_judge.c the decision, of one command or of a list
 *	operation_can.c	 the decision alone, for a job that asks
 *	operation_files.c the same of a session of files
 *	operation_limit.c whether it fits beside what runs and ran
 *	operation_plan.c what the ledger, the hop and the signer are told
 *	operation_start.c audit and the parent asked, everything handed over
 *	operation_kill.c	 ended by an admin
 *	operation_list.c one command after the other, and what is not run
 *	brokershell.c	 a shell whose lines are operations
 *	brokershell_record.c the recording of what it shows itself
 *	brokershell_words.c what completes a line, and its `help`
 *	brokershell_targets.c postern@'s shell, from which targets are entered
 */
#ifndef POSTERN_BROKER_OPERATION_INTERNAL_H
#define POSTERN_BROKER_OPERATION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "lib/ulid.h"
#include "policy/command.h"
#include "policy/decide.h"

#define TERM_MAX 64
#define EVENT_BODY_MAX (150 * 1024)
#define START_MS 15000 /* audit's and the parent's answers */

struct brokershell;
struct claims;
struct connection;
struct files;
struct jobcert;
struct joblist;
struct peer;
struct refset;
struct serve_scp;
struct target;

/* What the job sent of its environment: NAME=VALUE. */
struct sent {
	char *text;       /* all of it */
	const char **var; /* into text */
	size_t n, len;
};

/* What the job asked for. */
struct ask {
	uint8_t kind;
	const uint8_t *command; /* inside the message */
	size_t ncommand;
	uint8_t tty;
	char term[TERM_MAX + 1];
	uint32_t cols, rows;
	struct sent sent;
	const char *dir; /* of a shell, where its command runs; or NULL */
	enum op_what what;
};

struct operation {
	struct operation *next;
	char id[ULID_LEN + 1];
	bool asked;             /* RUN has come; before, it is a mere caller */
	pid_t monitor;          /* of a caller, once somebody wanted to know */
	struct peer *shell;	/* until handed over or answered */
	struct connection *conn; /* held */
	struct user_name place;  /* where: the connection's, or a line's own */
	struct brokershell *hosts; /* it is a shell: no hop */
	struct operation *in;      /* the shell that it is a line of; then the
				      shell's connection is only borrowed */
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
	struct msg open;            /* OP_OPEN, ready but for its id */
	struct msg run;		/* HOP_RUN, ready but for its descriptors */
	struct msg grant;	/* GRANT, likewise */
	struct joblist *list;   /* whose commands this is, one by one */
	bool running;           /* of a list, and not its last; or of a shell */
	struct jobcert *job;    /* a certificate on its way; else NULL */
	struct watch *watch;    /* the hop's pidfd: its death */
	struct timer *timer;	/* bounds the wait for RUN, audit and parent */
};

struct plan {
	const struct target *target;
	const char *login;
	enum op_what what;
	const struct command *command; /* argv[0] rewritten; or NULL: */
	const struct files *files;     /* what may be moved */
	const struct serve_scp *scp;   /* of OP_SCP */
	const char **env;              /* variables that go along: NAME=VALUE */
	size_t nenv;
	const struct refset *refs;   /* of OP_GIT_... */
	const struct claims *claims; /* that they are filled in with */
	struct decision d;
	const char *nearest;    /* rule, where no rule allows it; else "" */
	struct buf wire;	/* as the target's shell gets it */
	struct buf shown;	/* as people read it */
	struct buf key_id;
	uint64_t serial;
	char principal[2 * NAME_LEN_MAX + 2];
};

/* One command of a list, decided and ready. */
struct member {
	char id[ULID_LEN + 1];
	char identity[NAME_LEN_MAX + 1]; /* it counts for */
	enum connect connect;
	size_t line;         /* of the job's text, from 1 */
	struct buf decision; /* its line for the ledger */
	struct msg open, run, grant;
};

/*
 * A list of two commands or more.  All are decided, and their lines are in the
 * ledger, before the first begins; then one operation is each of them in turn.
 * The shell's connection stays here up to the last command, which gets it like
 * one that is alone.
 */
struct joblist {
	char id[ULID_LEN + 1];
	struct member *member;
	size_t n;
	size_t at; /* being planned; later: how many have begun */
	int stdio[3];
	size_t asked;             /* lines that audit has not written yet */
	const struct peer *audit; /* that writes them; NULL: none does */
	bool pty;
	const char *broken; /* why nothing more of it is run; or NULL */
	uint32_t code;      /* for the job, when it is broken */
	bool interrupted;   /* by whoever typed it: that is how it ended */
	uint32_t status;    /* of what ran last, as a shell has it in $? */
	size_t line;        /* of what ran last */
};

/* operation.c */
/* A terminal's size is a sane one. */
void ask_bound_size(struct ask *a);
/* The operations there are, newest first. */
struct operation *operation_first(void);
/* One that an earlier policy process has started; takes pidfd.  NULL: no
 * memory. */
struct operation *operation_new_running(const char *id, const char *identity,
    struct connection *c, const char *target, int take_pidfd);
/* Takes NULL.  Closes what it holds; a hop without work ends on that. */
void operation_free(struct operation *op);
/* Everything that only the start needs. */
void operation_drop_start(struct operation *op);
/* A refusal in one line of text; frees op. */
void operation_refuse(struct operation *op, uint32_t code, const char *text);
/* The same, because audit does not keep up. */
void operation_behind(struct operation *op);

int operation_answer(struct operation *op, uint32_t code, const struct buf *out,
    const struct buf *err);

/* A line of a shell, with copies of its streams; NULL: there is no room. */
struct operation *operation_new_line(
    struct operation *shell, const struct user_name *place);
/* No shell for this job there: answered. */
void operation_no_shell(
    struct operation *op, struct connection *conn, const struct ask *a);
/* Words of the control surface: answered. */
void operation_words(
    struct operation *op, struct connection *conn, const struct ask *a);
/* LOGIN+TARGET, as it is written in front of @BASTION. */
#define PLACE_SIZE (USER_LEN_MAX + 1)
const char *place_name(const struct user_name *place, char name[PLACE_SIZE]);
/* The connection of a shell's line, or of whatever else, is let go. */
void operation_drop_shell(struct operation *op);
/* Is it denied because of the lock?  Then it is answered. */
void operation_locked(struct operation *op, struct connection *conn,
    const struct ask *a, bool control);
/* The commands of what was sent; those without a folder run in dir, which is
 * the caller's (NULL: none).  false: it cannot be read, and was answered.  l
 * must be cleared in any case. */
bool operation_read(struct operation *op, struct connection *conn,
    const struct ask *a, char *dir, struct list *l);

/* operation_env.c */
/* The last field of RUN.  ERR_PROTO: no variables, or beyond a bound; what was
 * there must be cleared in any case. */
int sent_get(struct buf *b, struct sent *s);
/* A copy; must be cleared in any case. */
int sent_copy(const struct sent *from, struct sent *to);
/* Wipes it: there may be secrets in it. */
void sent_clear(struct sent *s);
/* Appends the field of a denial that is for such a variable. */
int sent_denied_event(struct buf *b, const struct decision *d);
/* Those that go along with what is granted, into p. */
int sent_choose(const struct sent *s, const struct request *q, struct plan *p);

/* brokershell.c */
/* RUN without a command, with a terminal: opens a shell, in op, or answers. */
void brokershell_open(
    struct operation *op, struct connection *conn, const struct ask *a);
/* brokershell_record.c: audit has answered; op->record is filled when result is
 * 0.  May free op. */
void brokershell_opened(
    struct operation *op, uint32_t result, const char *reason);
/* A message of that shell's. */
int brokershell_msg(struct operation *op, struct msg *m);
/* Its process is gone. */
void brokershell_closed(struct operation *op);
/* A line of it is over. */
void brokershell_line_over(struct operation *op);
/* Its session was ended: it is told, now or when its line has ended. */
void brokershell_kill(struct operation *op);
/* It was not told of all that it shall show: it is closed, now or when its line
 * has ended. */
void brokershell_unsaid(struct operation *op);
/* This process leaves: the shell is let go, unless a line waits to begin. */
void brokershell_leave(struct operation *op);
/* Appends the fields that tie a line's operation to its shell. */
int brokershell_event(const struct operation *op, struct buf *event);
/* Takes what is no shell, too. */
void brokershell_free(struct operation *op);

/* operation_judge.c */
/* A target's command or list: decides, and starts it or answers. */
void operation_judge(struct operation *op, struct connection *conn,
    const struct ask *a, const struct list *l);
/* The parts of it that `can` shares: what is asked, without a command; the
 * first command that is not allowed, and a decision for each (the list's
 * length: all are allowed); why that one is not. */
void judge_request(const struct connection *conn, const struct user_name *name,
    bool pty, struct request *q);
size_t judge_decide(
    struct request *q, const struct list *l, struct decision *d);
/* The same for a line of a shell, which asks for no terminal: each command has
 * it where its rule gives one. */
size_t judge_decide_line(
    struct request *q, const struct list *l, struct decision *d);
void judge_explain(struct request *q, const struct user_name *name,
    const struct list *l, const struct decision *d, size_t which,
    struct buf *text);
/* A denial: its ledger line, then the answer. */
void operation_deny(struct operation *op, const struct connection *conn,
    const struct decision *d, const struct ask *a, uint32_t code,
    struct buf *text);

/* operation_can.c */
/* Does it begin with `can`? */
bool operation_is_can(const struct ask *a);
void operation_can(
    struct operation *op, const struct connection *conn, const struct ask *a);

/* operation_files.c */
/* Is it the sftp subsystem? */
bool operation_is_sftp(const struct ask *a);
/* Decides, and starts it or answers. */
void operation_files(
    struct operation *op, struct connection *conn, const struct ask *a);
/* `scp -O`'s far end, of which no `run` line speaks: the same.  false: it is
 * something else. */
bool operation_scp(struct operation *op, struct connection *conn,
    const struct ask *a, const struct list *l);

/* operation_list.c */
int joblist_new(
    const struct list *l, const struct ask *a, struct joblist **out);
/* Audit is told of what was decided and did not begin.  Takes NULL. */
void joblist_free(struct joblist *j);
/* Appends the fields that tie a command's line to its list's. */
int joblist_event(const struct joblist *j, struct buf *event);
/* What is ready in op becomes the list's next command; moves decision. */
void joblist_take(struct operation *op, struct buf *decision);
/* All are ready: has their lines written, and then begins. */
void joblist_begin(struct operation *op);
/* The hop of a command that is not the last is dead. */
void joblist_hop_gone(struct operation *op);
/* Is a command of this identity still to come? */
bool joblist_needs(const struct joblist *j, const char *identity);
/* Nothing more of it is run. */
void joblist_break(struct operation *op, uint32_t code, const char *why);

/* operation_limit.c */
/* Whether one more is within `limit concurrent` and `limit rate`; else the text
 * says so.  beside: how many of its list come before it and are the same
 * identity's. */
bool operation_fits(const struct operation *op, const struct plan *p,
    uint32_t beside, struct buf *text);
/* It is granted: it counts from here on.  Any error: it must not run. */
int operation_counts(struct operation *op, const struct plan *p);

/* operation_plan.c */
void plan_init(struct plan *p);
void plan_clear(struct plan *p);
/* Completes the plan: canonical and wire form, principal, serial, key id. */
int plan_make(struct plan *p, const struct operation *op,
    const struct connection *conn);
/* The same for a session of files: no command of the job's. */
int plan_make_files(struct plan *p, const struct operation *op,
    const struct connection *conn, enum op_what what);
/* Starts an operation.decide event. */
int plan_decide_event(struct buf *b, const struct operation *op,
    const struct connection *conn, const struct decision *d,
    const char *verdict);
/* The fields that say how something is moved, and which way: none of a
 * command. */
int plan_put_way(struct buf *b, enum op_what what, const struct decision *d);
/* The login of a denied line of postern@'s shell, which no user name tells. */
int plan_put_denied_login(
    struct buf *b, const struct operation *op, const struct connection *conn);
/* The command as it was asked, escaped, for a denial's event. */
int ask_event_command(struct buf *b, const struct ask *a);
/* The event of a decision that allows. */
int plan_put_decision(struct buf *b, const struct operation *op,
    const struct connection *conn, const struct ask *a, struct plan *p);
/* Fill op->open, op->run and op->grant, all but their descriptors. */
int plan_put_open(struct operation *op, const struct connection *conn,
    const struct ask *a, struct plan *p);
int plan_put_hop_run(struct operation *op, const struct connection *conn,
    const struct ask *a, struct plan *p);
int plan_put_grant(struct operation *op, const struct ask *a, struct plan *p);

/* operation_start.c */
/* Asks audit and the parent for what is ready in op; on failure op is refused,
 * and freed. */
void operation_start(struct operation *op);
/* OP_OPEN, ready in op, to audit. */
int operation_ask_audit(struct operation *op);
/* Whose death ends the recording: op->pidfd, for audit. */
int operation_tell_started(const struct operation *op);
/* Tells audit that an operation will not run. */
void operation_abort(const char *id, const char *reason);

#endif
