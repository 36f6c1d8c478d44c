/*
 * The command parser: from a job's bytes to argv, or to the one character
 * that makes it impossible.  Grammar and refusal list: doc/POLICY.md.
 * Pure: no I/O, no allocation that survives a failure.
 */
#ifndef POSTERN_POLICY_COMMAND_H
#define POSTERN_POLICY_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

#define COMMAND_LEN_MAX (64 * 1024)
#define COMMAND_WORDS_MAX 1024
#define COMMAND_WORD_MAX (32 * 1024)

struct command {
	char **argv;		/* NULL-terminated */
	size_t argc;		/* at least 1 */
	bool err_to_out;	/* 2>&1 */
	bool out_null;		/* >/dev/null */
	bool err_null;		/* 2>/dev/null */
};

struct command_error {
	size_t pos;		/* byte offset of what is wrong */
	size_t len;		/* how much of it */
	char what[160];		/* what it is: "`;` begins a second command" */
	char hint[200];		/* how to write it instead, may be "" */
};

/* Parses one command.  0 and *out (freed by command_free), or ERR_FORMAT /
 * ERR_TOOBIG with err filled in; ERR_NOMEM. */
int command_parse(const char *s, size_t n, struct command **out,
    struct command_error *err);
void command_free(struct command *c);

/* The canonical spelling: each word quoted only where it must be, in the one
 * way that command_parse reads back to the same argv (checked).  This is what
 * the ledger, recordings and certificates' key ids show. */
int command_print(const struct command *c, struct buf *out);

/* Text for a job's stderr: the command's line (control characters escaped, cut
 * around the place when long) with a caret under pos, what, hint.  Each line
 * begins with "postern:". */
int command_error_print(const char *s, size_t n,
    const struct command_error *err, struct buf *out);

#endif
