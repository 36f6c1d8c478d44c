/*
 * The policy as a process of the broker holds it: read from the folder it was
 * handed, known by its digest.  A folder whose policy does not load leaves the
 * one before in force; what the system could not give us is tried again.
 * Runs in policy and signer.
 */
#ifndef POSTERN_BROKER_RULES_H
#define POSTERN_BROKER_RULES_H

#include <stdint.h>

#include "lib/proto.h"

struct buf;
struct diags;
struct policy;
struct timer;

/* Also on the wire: RELOADED; and POLICY_RELOADED, the only one that DIFFERs
 * or is BUSY. */
enum rules_outcome {
	RULES_LOADED = 0,
	RULES_REFUSED = 1, /* it is wrong: somebody has to mend it */
	RULES_UNREAD = 2,  /* it could not be read: tried again every second */
	RULES_DIFFER = 3,  /* policy has it, the signer not yet */
	RULES_BUSY = 4,    /* nobody was asked to read it */
};

struct rules {
	struct policy *policy; /* NULL until one has loaded */
	char hash[PROTO_POLICY_HASH_LEN + 1];
	int folder;                 /* -1: there is none */
	const char *path;           /* the folder's, for messages */
	enum rules_outcome outcome; /* of the last try */
	/* After each try; r says why it was not loaded, d where. */
	void (*tried)(enum rules_outcome o, int r, const struct diags *d);
	struct timer *again;
};

/* Takes the folder to read from now on. */
void rules_folder(struct rules *rs, int take_fd);
/* Reads the folder and calls tried.  An error is fatal to the process. */
int rules_load(struct rules *rs);
/* Has it read again in a moment; ERR_NOMEM is fatal, too. */
int rules_load_later(struct rules *rs);
/* The fields of RELOADED: how it went and what is in force now. */
int rules_put(const struct rules *rs, struct buf *b);

#endif
