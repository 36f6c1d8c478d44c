/*
 * The ledger proves itself: its key, its tree in files, and the checkpoint
 * that signs how far it has come (doc/LEDGER.md).  audit alone signs.
 *
 *	STATE/ledger/key               the private key, 0600
 *	STATE/ledger/key.next          the next one, while they change
 *	STATE/ledger/tree/checkpoint   the signed root
 *	STATE/ledger/tree/tile/...     the tiles
 *
 * Everything but the key can be made again from the ledger's lines, which are
 * on the disk before anything of here speaks of them.
 */
#ifndef POSTERN_AUDIT_TLOG_H
#define POSTERN_AUDIT_TLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/note.h"
#include "audit/tree.h"
#include "lib/buf.h"

struct ledger;

#define TLOG_FOLDER "tree"
#define TLOG_CHECKPOINT "checkpoint"
#define TLOG_KEY "key"
#define TLOG_NAME_PREFIX "postern-ledger/1/" /* and an ULID; 1: this format */
#define TLOG_UNSIGNED UINT64_MAX
#define TLOG_NEXT_KEY "next-key " /* a checkpoint's line of the old key */

struct tlog {
	int ledger_dir;                  /* borrowed */
	int dir;                         /* tree/; -1: closed */
	struct note_signer signer, next; /* next: while they change */
	uint64_t key_time; /* when it was made, seconds since 1970 */
	struct tree *tree;
	struct tree_hash entry[TREE_WIDTH]; /* of the lowest level's edge */
	uint64_t signed_size; /* or TLOG_UNSIGNED, when just opened */
	struct buf note;      /* the last checkpoint */
	bool broken;          /* of use no more: open it again */
	bool made_anew;       /* opening had no checkpoint to go by */
	bool repaired;        /* or tiles that were not there */
};

/* Makes what is missing, and takes in the lines that the tree lacks.  The
 * caller has the ledger open.  Nothing is signed yet.  ERR_DENIED: the ledger
 * is not the one that was signed, and *why (a literal) says how: it must be put
 * right before anything is signed again. */
int tlog_open(
    struct tlog *t, int ledger_dir, const struct ledger *l, const char **why);
void tlog_close(struct tlog *t);

/* Takes in the line that was written last. */
int tlog_line(struct tlog *t, const struct tree_hash *entry);
/* Signs what was taken in; 0 too when it is signed already. */
int tlog_checkpoint(struct tlog *t);
/* Another key, in three steps.  begin makes it and gives its text and the old
 * key's word for it, a checkpoint of all that is here; the caller writes both
 * into the ledger, and ends with end, or takes it back with drop. */
int tlog_rotate_begin(struct tlog *t, char key[NOTE_KEY_MAX], struct buf *note);
int tlog_rotate_end(struct tlog *t);
void tlog_rotate_drop(struct tlog *t);

#endif
