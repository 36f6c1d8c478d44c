/*
 * What the files of the broker shell share: brokershell.c,
 * brokershell_record.c, brokershell_words.c, brokershell_targets.c.  For nobody
 * else.
 */
#ifndef POSTERN_BROKER_BROKERSHELL_INTERNAL_H
#define POSTERN_BROKER_BROKERSHELL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/operation_internal.h"
#include "lib/proto.h"
#include "policy/words.h"

struct brokershell {
	struct operation *line; /* under way; or NULL */
	uint64_t lines;         /* that came */
	bool control;           /* postern@'s: a line names its target, */
	bool inside;            /* unless one was entered: that is place */
	struct user_name place; /* where lines run */
	char *dir;              /* and in which folder; NULL: the login's own */
	struct sent sent; /* variables, for each line that may have them */
	char term[TERM_MAX + 1];
	char shown[PROTO_PROMPT_MAX];
	bool killed; /* ends with its line */
	bool unsaid; /* so, too: it was not told of all that it shall show */
};

/* What `targets` would list. */
bool brokershell_reaches(
    const struct connection *conn, const struct user_name *place);
/* Has policy's text of the prompt sent, if that is another one. */
int brokershell_prompt(struct operation *op);
/* Nothing but an ANSWER: the line is over. */
void brokershell_done(struct operation *line, const struct buf *out);
/* The same, of a line after which others run elsewhere: the prompt says where,
 * or the shell is over. */
void brokershell_moved(struct operation *line);
/* Reads a line and decides it, where the line is; in the shell's folder, if it
 * names none. */
void brokershell_judge(struct operation *line, const struct ask *a);

/* brokershell_record.c */
/* Has audit open its recording; it begins when that is there, or is refused.
 * May free op. */
void brokershell_record(struct operation *op, const struct ask *a);
/* Its recording is in its hands: the first prompt.  May free op. */
void brokershell_begin(struct operation *op);

/* brokershell_words.c */
/* A list in an answer, as long as there is room for it and for what stands
 * around it. */
struct shell_list {
	struct buf *out;
	size_t n, left; /* in it, and left out */
};
/* One more, for a words_fn or the like; arg: the list. */
int brokershell_put(void *arg, const char *text, size_t n);
/* Says what was left out, or that there is nothing: "none", "no command". */
void brokershell_put_end(const struct shell_list *l, const char *none);
/* What may be run there. */
void brokershell_help(
    const struct operation *op, const struct user_name *place, struct buf *out);
/* WORDS: answered. */
int brokershell_words(struct operation *op, struct msg *m);

/* brokershell_targets.c */
/* A line of postern@'s shell, while no target is entered. */
void brokershell_targets_line(
    struct operation *op, struct operation *line, const struct ask *a);
/* The words that may come next in it, as words_next has them. */
int brokershell_targets_words(const struct operation *op, const char *text,
    size_t n, size_t *partial, words_fn fn, void *arg);
/* Back out of a target. */
int brokershell_targets_leave(struct operation *op, struct msg *m);

#endif
