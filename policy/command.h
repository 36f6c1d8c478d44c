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
#define COMMAND_STAGES_MAX 16 /* of one pipeline */
#define COMMAND_ASSIGN_MAX 16 /* in front of one program */
#define COMMAND_LIST_MAX 64   /* commands of one list */

/* One program of a pipeline. */
struct stage {
	char **argv;		/* NULL-terminated */
	size_t argc;		/* at least 1 */
	char **assign;          /* the "NAME=value" words in front of it */
	size_t nassign;
};

struct command {
	char *dir; /* of the `cd DIR &&` before it, or NULL */
	struct stage *stage;
	size_t nstage; /* at least 1; more are a pipeline */
	/* Where the two outputs end, whatever the order they were written in:
	 * `>/dev/null 2>&1` is out_null and err_null, `2>&1 >/dev/null` is
	 * err_to_out and out_null. */
	bool err_to_out;	/* stderr goes to the job's stdout */
	bool out_null;		/* stdout is thrown away */
	bool err_null;		/* stderr is; never with err_to_out */
	size_t pos, len;        /* its bytes in the text it was read from */
};

/* When a command of a list runs, by what ran before it. */
enum connect {
	CONNECT_FIRST = 0,
	CONNECT_AND,  /* && : it ended well */
	CONNECT_OR,   /* || : it did not */
	CONNECT_THEN, /* ; or a newline: in any case */
	CONNECT_LINE, /* a new line of a script: if the one before it ended
			 well; else nothing that follows runs either */
};

enum list_form {
	LIST_LINE,   /* a newline is a `;` */
	LIST_SCRIPT, /* stops at the first line that fails */
};

struct list {
	struct command *command;
	enum connect *connect; /* one of each command */
	size_t n;              /* at least 1 */
};

struct command_error {
	size_t pos;		/* byte offset of what is wrong */
	size_t len;		/* how much of it */
	char what[160];		/* what it is: "`;` begins a second command" */
	char hint[200];		/* how to write it instead, may be "" */
};

/* Parses a list.  0 and *out (cleared by list_clear), or ERR_FORMAT /
 * ERR_TOOBIG with err filled in; ERR_NOMEM.
 *
 * `cd DIR &&` is no member of it but the folder of those that follow, where
 * all shells agree that it is theirs; where they would not, it is refused. */
int list_parse(const char *s, size_t n, enum list_form form, struct list *out,
    struct command_error *err);
void list_clear(struct list *l);
/* Gives its commands that have none a folder, which is the caller's and a `cd`
 * of such a list had; NULL: nothing to do.  ERR_TOOBIG with err filled in: with
 * that it is longer than a command may be. */
int list_enter(struct list *l, char *dir, struct command_error *err);
/* A list of exactly one; freed by command_free. */
int command_parse(const char *s, size_t n, struct command **out,
    struct command_error *err);
void command_free(struct command *c);

/* The canonical spelling: each word quoted only where it must be, in the one
 * way that command_parse reads back to the same argv (checked).  This is what
 * the ledger, recordings and certificates' key ids show. */
int command_print(const struct command *c, struct buf *out);
/* The same, and says where in the text the word-th of all argv's words stands;
 * the number of all gives the place behind the last one.  (Not checked by
 * parsing.) */
int command_print_place(const struct command *c, struct buf *out, size_t word,
    size_t *off, size_t *len);

/* One word of it. */
int word_print(const char *word, struct buf *out);
/* Variables, NAME=VALUE, in that spelling, blanks between them. */
int assigns_print(const char *const *v, size_t n, struct buf *out);

/* The whole list, in the form that list_parse reads back to the same
 * (checked); a `cd` stands in front of each command that has a folder. */
int list_print(const struct list *l, struct buf *out);

/* Text for a job's stderr: the command's line (control characters escaped, cut
 * around the place when long) with a caret under pos, what, hint.  Each line
 * begins with "postern:". */
int command_error_print(const char *s, size_t n,
    const struct command_error *err, struct buf *out);

#endif
