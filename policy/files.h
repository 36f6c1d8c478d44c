/*
 * A session of files: which `read` and `write` lines hold for it, so that
 * whoever carries it can judge each path of it as decide() would.
 */
#ifndef POSTERN_POLICY_FILES_H
#define POSTERN_POLICY_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/decide.h"

#define FILES_LINES_MAX 256   /* of one session */
#define FILES_NAMES_MAX 1000  /* bytes of the names of what is granted */
#define FILES_NUMBERS_MAX 100 /* an <int> of a path that is written out */

/*
 * One line, without slots: path and all beneath it, "/" is everything.  A path
 * that a deny line covers is denied; of the others that cover it the first
 * decides, and none denies.
 */
struct file_line {
	const char *rule; /* the policy's */
	bool deny, write;
	char *path;
	uint64_t max; /* bytes; 0: no bound */
	bool no_delete, no_symlinks;
};

struct files {
	struct file_line *line; /* the allowing ones: best first */
	size_t n, cap;
	bool reads, writes; /* some path may be */
	/* The session's: rule and identity are the first line's, the limits
	 * the smallest of all. */
	struct decision d;
	char names[FILES_NAMES_MAX + 1]; /* of the rules that grant: "a, b" */
	/* What kept a line from being granted; for files_explain. */
	const struct rule *asks;    /* for approvals */
	const struct rule *lacks;   /* something that cannot be enforced, */
	const char *missing;        /* this */
	const struct rule *slotted; /* its path has too many forms */
};

/*
 * q as for decide(), but that kind, path and command say nothing; q->how is the
 * way.  d.verdict is VERDICT_ALLOW when anything may be read or written.
 * ERR_TOOBIG: more lines than a session may have; ERR_NOMEM.  Cleared by
 * files_clear in any case.
 *
 * What a line cannot say without slots is never granted: a line that allows is
 * left out, one that denies denies the folder in front of its slot.
 */
int files_decide(const struct request *q, struct files *f);
void files_clear(struct files *f);

/* Would a line of it let this path be read or written?  NULL: no. */
const struct file_line *files_judge(
    const struct files *f, bool write, const char *path);

/* Why nothing is granted; each line begins with "postern:". */
int files_explain(
    const struct request *q, const struct files *f, struct buf *out);

#endif
