/*
 * Commands that no person types: what rsync and git start at the far end of a
 * transfer.  They are judged as the transfer they are, by `read`, `write` and
 * `git`, and only in the form that is understood whole.  Pure: no allocation.
 *
 * rsync: the options of its server, versions 3.1 to 3.5 (options.c,
 * server_options); git: connect.c, "git-upload-pack 'PATH'".
 */
#ifndef POSTERN_POLICY_SERVED_H
#define POSTERN_POLICY_SERVED_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"
#include "policy/decide.h"

#define SERVED_PATHS_MAX 64

enum served_is {
	SERVED_NO = 0, /* a command like any other */
	SERVED_YES,
	SERVED_BAD, /* the far end of a transfer, but not one to be granted */
};

struct served {
	enum request_kind kind; /* READ, WRITE, GIT_READ or GIT_WRITE */
	enum stream stream;
	unsigned int how;       /* of a file: its BY_ bit */
	/* Where the program lives if the policy gives it no other place. */
	const char *program;
	bool redirected; /* 2>&1, >/dev/null */
	bool deletes; /* it may delete at its destination */
	bool links;   /* it may bring symbolic links */
	unsigned int verbose; /* how often it was asked for */
	/* The paths are this many words of argv, from this one on. */
	size_t first, npath;
	/* SERVED_BAD: which word, what about it, and what to do instead. */
	size_t word;
	const char *what, *hint;
};

/* Reads a command.  The words of *out live as long as c's. */
enum served_is served_read(const struct command *c, struct served *out);

/* The path that a word names, as a rule has it: without the `/` at its end
 * that tells rsync to take the contents.  false: too long. */
bool served_path(const char *word, char dst[PATH_LEN_MAX + 1]);

#endif
