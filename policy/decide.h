/*
 * The decision: one request against one policy.  A pure function; anything
 * that goes wrong on its way is a denial, and so is zeroed memory.
 */
#ifndef POSTERN_POLICY_DECIDE_H
#define POSTERN_POLICY_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "policy/command.h"

struct buf;
struct claims;
struct policy;
struct rule;
struct target;

enum verdict {
	VERDICT_DENY = 0,
	VERDICT_APPROVAL = 0x3c3c,
	VERDICT_ALLOW = 0x5a5a,
};

/* What is asked for. */
enum request_kind {
	REQUEST_RUN = 0, /* a command */
	REQUEST_READ,    /* a file of the target */
	REQUEST_WRITE,
	REQUEST_GIT_READ, /* a repository */
	REQUEST_GIT_WRITE,
	REQUEST_INTERACTIVE, /* a shell of the login */
};

/* What a caller can enforce.  A grant that demands more is a denial. */
enum {
	ENFORCE_DURATION = 1, /* limit duration */
	ENFORCE_OUTPUT = 2,   /* limit output */
	ENFORCE_CONCURRENT = 4,
	ENFORCE_RATE = 8,
	ENFORCE_MASKS = 16,
	ENFORCE_APPROVALS = 32,
	ENFORCE_FILES = 64, /* read, write: every path of every request */
	ENFORCE_GIT = 128,
	ENFORCE_INTERACTIVE = 256,
	ENFORCE_TEXT_ONLY = 512,
	ENFORCE_RECORD = 1024,  /* record input, record full */
	ENFORCE_OBSERVE = 2048, /* would_deny reaches the ledger */
	ENFORCE_RSYNC = 4096,   /* read, write by rsync: its arguments */
	ENFORCE_REFS = 8192,    /* refs of git: each one, on the stream */
};

/* All that this version enforces: what operations are decided with. */
#define ENFORCE_BASTION                                                        \
	(ENFORCE_DURATION | ENFORCE_OUTPUT | ENFORCE_CONCURRENT |              \
	    ENFORCE_RATE | ENFORCE_OBSERVE | ENFORCE_FILES | ENFORCE_RSYNC |   \
	    ENFORCE_GIT | ENFORCE_REFS)

struct limits {
	uint32_t duration_s;	/* each: 0 is none */
	uint64_t output;	/* bytes */
	uint32_t concurrent;	/* per identity and target */
	uint32_t rate, rate_per_s; /* per identity: rate operations in so long */
};

#define DECISION_APPROVALS_MAX 256 /* `require` lines of a policy */
#define DECISION_MASKS_MAX 256	/* `mask` words and lines of a policy */

struct request {
	const struct policy *policy;
	const bool *identity;	/* policy_match's set */
	const struct claims *claims;
	const struct target *target; /* NULL: no such target, denied */
	const char *login;	/* resolved by target_login */
	enum request_kind kind;
	const struct command *command; /* REQUEST_RUN's */
	const char *path;              /* of a file or repository */
	unsigned int how; /* of a file: one BY_ bit of policy/model.h */
	bool deletes;     /* of files: some may be deleted on the way */
	bool links;       /* by rsync: symbolic links may be among them */
	/* Of git; NULL asks whether the connection may be opened at all, and
	 * every ref is asked for then. */
	const char *ref;
	bool pty;		/* the job asked for a terminal */
	/* Of REQUEST_RUN, what the job sent of its environment: NAME=VALUE. */
	const char *const *sent;
	size_t nsent;
	time_t now;		/* 0: unknown; no allow rule with a window */
	unsigned int enforces;	/* ENFORCE_... */
};

/* What a command was judged as the far end of. */
enum stream {
	STREAM_NONE = 0,
	STREAM_RSYNC_READ,
	STREAM_RSYNC_WRITE,
	STREAM_GIT_FETCH,
	STREAM_GIT_ARCHIVE,
	STREAM_GIT_PUSH,
};

struct decision {
	enum verdict verdict;
	const struct rule *rule;  /* what decided; NULL: by default */
	const char *rule_name;	  /* "default" without a rule */
	const char *identity_name; /* the one the rule allowed; may be NULL */
	bool pty;		  /* granted */
	bool stdin_ok;		  /* granted */
	uint64_t stdin_max;	  /* bytes, 0: the policy names no bound */
	/* The program's path where a stage's first word is a `program`, to be
	 * put in place of argv[0]; NULL: argv[0] as it is.  Lives in the
	 * policy. */
	const char *program[COMMAND_STAGES_MAX];
	/* On a target that is observed: no rule allows this, and it is let
	 * through all the same.  verdict is VERDICT_ALLOW then, meant is a
	 * denial, rule is NULL; pty and stdin are as the job wants them. */
	bool would_deny;
	/* Of a file that is granted. */
	uint64_t transfer_max; /* bytes, 0: the policy names no bound */
	bool no_delete, no_symlinks;
	/* The command was judged as the far end of a transfer
	 * (policy/served.h): what it takes and says is no text. */
	enum stream stream;
	/* Of git: not every ref may pass, so each must be asked for. */
	bool refs;
	bool text_only, record_input, record_full;
	/* The first that the job sent of those variables that the rule names,
	 * and does not take with this value.  What it does not name stays
	 * behind, and is no denial. */
	const char *unfit;
	/* What the policy says, whether it can be enforced or not; `missing`
	 * names what cannot ("approvals"), and then verdict is a denial. */
	enum verdict meant;
	const char *missing;
	struct limits limit;
	/* Sets of policy_approval's and policy_mask's numbers: all of these
	 * approvals are needed, all of these masks are laid over the output. */
	uint64_t approvals[DECISION_APPROVALS_MAX / 64];
	uint64_t masks[DECISION_MASKS_MAX / 64];
};

void decide(const struct request *q, struct decision *d);

/* May this variable of the job, NAME=VALUE, go along with what d grants?
 * Nothing goes along with the far end of a transfer. */
bool decide_env(
    const struct request *q, const struct decision *d, const char *var);

/* The rule that came nearest to allowing it; "" when there is none. */
const char *decide_nearest(const struct request *q);

/* Text for a job that was denied: which word failed with a caret in the
 * command, the nearest rule's line with a caret in the pattern, `because`.
 * Each line begins with "postern:". */
int decide_explain(const struct request *q, const struct decision *d,
    struct buf *out);

#endif
