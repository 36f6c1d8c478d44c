/*
 * A token as it comes through keyboard-interactive: in one answer, or in
 * parts, because OpenSSH's client cuts an answer at 1023 bytes and says
 * nothing.
 *
 * Whether another part is asked for depends on the length of the last answer
 * and on nothing else: for a user name that sshd refuses, sshd replaces the
 * answers by junk of equal length, and a rule about content would tell the
 * two kinds of names apart.
 */
#ifndef POSTERN_PAM_TOKEN_H
#define POSTERN_PAM_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/secret.h"

#define TOKEN_PART_MIN 1000 /* from this length on there may be more */
#define TOKEN_PART_MAX 1023 /* what the client's buffer holds */
#define TOKEN_PARTS_MAX 16

struct token {
	struct secret text;  /* empty once there is trouble */
	uint32_t parts;      /* answers so far */
	size_t last;         /* length of the last one */
	const char *trouble; /* what is wrong with it (a literal), or NULL */
};

/* Room for a token.  token_clear it whatever comes back. */
int token_init(struct token *t);
/* Wipes.  Takes what was zeroed and never initialised. */
void token_clear(struct token *t);

/* Takes the next answer, which stays the caller's to wipe.  Trouble is
 * recorded, not returned: the conversation goes on as if there were none.
 * *more: ask for another part. */
void token_add(struct token *t, const char *part, size_t n, bool *more);

#endif
