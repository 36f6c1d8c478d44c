/*
 * What the files of the verifier share.
 */
#ifndef POSTERN_AUDIT_VERIFY_INTERNAL_H
#define POSTERN_AUDIT_VERIFY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/ledger_lines.h"
#include "audit/note.h"
#include "audit/tree.h"
#include "audit/verify.h"
#include "lib/buf.h"

#define VERIFY_LEDGER "ledger/ledger.jsonl"
#define VERIFY_TREE "ledger/tree"
#define VERIFY_CHECKPOINT "ledger/tree/checkpoint"

/* A checkpoint from elsewhere. */
struct verify_given {
	const char *file; /* one of those asked for */
	uint64_t line;    /* or the ledger's, and this line of it */
	size_t n;         /* the how manieth */
	char *note;
	struct checkpoint at;
};

struct verify {
	const struct verify_ask *ask;
	struct verify_found *found;
	int ledger, tiles; /* file and folder; -1 */
	uint64_t ledger_size;
	/* what the store says of itself */
	struct buf note;
	struct checkpoint at;
	/* what its lines give */
	struct tree *tree;
	struct tree_hash entry[TREE_WIDTH];
	bool right; /* they give the checkpoint's root */
	struct note_key *keys;
	size_t nkeys;
	uint64_t restored;     /* the last line that says so, 0: none */
	size_t restored_nkeys; /* keys before it */
	/* what did not fit, each the first of its kind */
	uint64_t line;  /* of a tile, what this line gives */
	char tile[128]; /* a tile */
	uint64_t chain; /* a line, the key that the one before named */
	const struct verify_given *differs;
	/* sorted by size */
	struct verify_given *given;
	size_t ngiven, next_given;
};

/* Fills found; returns ERR_DENIED. */
int verify_wrong(struct verify *v, enum verdict_kind kind, const char *file,
    uint64_t line, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* A line of the ledger, or ERR_NOTFOUND; what is left behind the last newline
 * is none.  v->found says what is wrong with one that is not a line. */
int verify_line(
    struct verify *v, struct ledger_lines *l, const char **line, size_t *n);
/* It is signed by one of so many keys, and by none of them wrongly. */
bool verify_signed(
    const void *note, size_t n, const struct note_key *keys, size_t nkeys);

int verify_given_read(struct verify *v);
/* What the lines of restorations say was signed before them. */
int verify_given_restored(struct verify *v);
void verify_given_clear(struct verify *v);
/* Recordings and sidecars, and what is not signed. */
int verify_files(struct verify *v);

#endif
