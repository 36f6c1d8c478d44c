/*
 * What the files of `postern policy rehearse` share:
 *
 *	policy_rehearse.c options, the ledger's lines, each command's answer
 *	rehearse_found.c  what is decided differently, in groups
 *	rehearse_list.c   the commands of a list, which run together or not
 *	rehearse_sum.c    all of it, shown
 */
#ifndef POSTERN_CLI_REHEARSE_H
#define POSTERN_CLI_REHEARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum change {
	CHANGE_NONE = 0,
	CHANGE_DENIED,
	CHANGE_NO_INPUT, /* allowed as before, without its standard input */
	CHANGE_OBSERVED, /* no rule allows it, and it is let through */
	CHANGE_APPROVAL,
	CHANGE_ALLOWED,
	CHANGE_UNDECIDED,
	CHANGES
};

/* One command.  Texts that there are none of are "". */
enum part {
	PART_IDENTITY,
	PART_WHERE,
	PART_OLD_VERDICT,
	PART_OLD_RULE,
	PART_NEW_VERDICT,
	PART_NEW_RULE,
	PART_PLACE,   /* FILE:LINE of the new rule */
	PART_WHY,     /* it is undecided, or denied by no rule */
	PART_PROGRAM, /* two groups where only this differs */
	PARTS
};

struct found {
	enum change change;
	const char *part[PARTS];
	const char *command;
	uint64_t time_ms;
};

struct findings;

int findings_new(struct findings **out);
void findings_free(struct findings *f);
/* ERR_NOMEM.  What does not fit in the groups that are kept is counted. */
int findings_add(struct findings *f, const struct found *one);
uint64_t findings_count(const struct findings *f, enum change change);
/* Anything but CHANGE_NONE and CHANGE_UNDECIDED. */
uint64_t findings_changes(const struct findings *f);
void findings_print(struct findings *f);
/* Member "groups". */
int findings_json(struct findings *f);
/* "newly denied" */
const char *change_text(enum change change);
/* "denied" */
const char *change_name(enum change change);

/* -- lists -- */

#define LISTS_OPEN_MAX 64

/* What is known of a list so far. */
struct open_list {
	char id[32];
	uint64_t positions, seen;
	bool ran, limited;      /* then */
	bool denied, undecided; /* now */
};

struct lists {
	struct open_list open[LISTS_OPEN_MAX];
	size_t next;
	uint64_t newly_denied, newly_run, undecided;
};

/* One command of a list. */
struct list_line {
	const char *id;
	uint64_t positions;
	bool ran, limited, denied, undecided;
};

void lists_add(struct lists *l, const struct list_line *one);
/* What is still open counts as it is. */
void lists_end(struct lists *l);

/* -- all -- */

struct sum {
	uint64_t commands;
	uint64_t passed_over; /* denials that were not about the command */
	uint64_t damaged;     /* lines */
	uint64_t first_ms, last_ms;
	struct lists lists;
	bool has_old; /* the policy that was in force is known */
};

void sum_print(const struct sum *s, struct findings *f);
/* One object, and a newline. */
int sum_json(const struct sum *s, struct findings *f);

#endif
