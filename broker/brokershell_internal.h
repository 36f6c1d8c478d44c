/*
 * What the two files of the broker shell share: brokershell.c,
 * brokershell_words.c.  For nobody else.
 */
#ifndef POSTERN_BROKER_BROKERSHELL_INTERNAL_H
#define POSTERN_BROKER_BROKERSHELL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/operation_internal.h"
#include "lib/proto.h"

struct brokershell {
	struct operation *line; /* under way; or NULL */
	uint64_t lines;         /* that came */
	char *dir;              /* where lines run; NULL: the login's own */
	char term[TERM_MAX + 1];
	char shown[PROTO_PROMPT_MAX];
	bool killed; /* ends with its line */
};

struct place_sought {
	const char *target, *login; /* "": the target's own */
};

/* What may be run here. */
void brokershell_help(const struct operation *op, struct buf *out);
/* WORDS: answered. */
int brokershell_words(struct operation *op, struct msg *m);

#endif
