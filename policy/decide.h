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

struct buf;
struct claims;
struct command;
struct policy;
struct rule;
struct target;

enum verdict {
	VERDICT_DENY = 0,
	VERDICT_APPROVAL = 0x3c3c,
	VERDICT_ALLOW = 0x5a5a,
};

struct request {
	const struct policy *policy;
	const bool *identity;	/* policy_match's set */
	const struct claims *claims;
	const struct target *target; /* NULL: no such target, denied */
	const char *login;	/* resolved by target_login */
	const struct command *command;
	bool pty;		/* the job asked for a terminal */
	time_t now;
};

struct decision {
	enum verdict verdict;
	const struct rule *rule;  /* what decided; NULL: by default */
	const char *rule_name;	  /* "default" without a rule */
	const char *identity_name; /* the one the rule allowed; may be NULL */
	bool pty;		  /* granted */
	bool stdin_ok;		  /* granted */
	uint64_t stdin_max;	  /* bytes, 0: the policy names no bound */
	/* The program's path when the first word is a `program`, to be put in
	 * place of argv[0]; NULL: argv[0] as it is.  Lives in the policy. */
	const char *program;
};

void decide(const struct request *q, struct decision *d);

/* Text for a job that was denied: which word failed with a caret in the
 * command, the nearest rule's line with a caret in the pattern, `because`.
 * Each line begins with "postern:". */
int decide_explain(const struct request *q, const struct decision *d,
    struct buf *out);

#endif
