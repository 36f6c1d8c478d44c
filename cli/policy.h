/*
 * What the tools of `postern policy` share.
 */
#ifndef POSTERN_CLI_POLICY_H
#define POSTERN_CLI_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lib/proto.h"
#include "policy/claims.h"
#include "policy/decide.h"

struct buf;
struct command;
struct diags;
struct list;
struct option;
struct policy;

#define CLI_EX_NEW 3 /* diff, prove, rehearse: there is a difference */
#define CLI_EX_UNDECIDED 4
#define ASK_SENT_MAX PROTO_ENVS_MAX

/* What several of the tools take as options. */
struct ask {
	const char *as, *on, *policy, *old, *ledger;
	struct claims claim;
	bool json, check, pty, stdin_ok;
	/* what is asked for, when it is no command */
	enum request_kind kind;
	const char *path, *ref;
	unsigned int how;
	const char *sent[ASK_SENT_MAX]; /* of its environment: NAME=VALUE */
	size_t nsent;
	time_t now;
	uint64_t since_ms;
	unsigned int budget_s; /* of processor time */
};

/* The letters of an `ask`'s long options, as the tool accepts them: a(s)
 * o(n) p(olicy) b(udget) c(laim) t(ty: --pty) i(stdin) @(at) j(son) O(ld)
 * L(edger) S(ince) k(--check) e(nv) x(--read, --write, --by, --git-read,
 * --git-write,
 * --ref, --interactive).  One `+` in front: what follows is a command, whose
 * words are not looked at.  0 or an exit code, said. */
int ask_parse(struct ask *a, int argc, char **argv, const char *accepted);
void ask_clear(struct ask *a);
/* "LOGIN+TARGET" taken apart and looked up; says what is wrong. */
struct whatif;
int ask_where(struct whatif *w, const char *on);
/* The commands of argv, joined by blanks, as ssh does; none where something
 * else is asked for.  Says what is wrong. */
int ask_commands(const struct ask *a, int argc, char **argv, struct list *out);
/* What is asked for, with one of the commands, or NULL. */
void ask_fill(const struct ask *a, const struct command *c, struct request *q);

/* A policy of files and folders, none: the bastion's own.  An exit code, said.
 */
int policy_of(const char *const *path, size_t n, struct policy **out);
/* The same, quietly: errors are the diags'. */
int policy_load_from(
    const char *const *path, size_t n, struct diags *d, struct policy **out);
/* Says of the first deny line that looks at variables, where a job can send
 * some, that this tool does not. */
void policy_tell_left_out(const struct policy *const *p, size_t n);
/* Writes and clears it; an exit code. */
int policy_say(struct buf *b, int r);

#endif
