/*
 * The manifest of a session of files, or with a repository: the lines that its
 * hop wrote into the sidecar, one for each file, name or ref (doc/LEDGER.md,
 * "Sidecar").  audit adds
 * them up and digests them, for the ledger.
 */
#ifndef POSTERN_AUDIT_MANIFEST_H
#define POSTERN_AUDIT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/sidecar.h"

#define MANIFEST_LINE_MAX (64 * 1024)       /* bytes of one */
#define MANIFEST_MAX (64 * 1024 * 1024 + 1) /* bytes of all */

struct evp_md_ctx_st;
struct record;

struct manifest {
	uint64_t files, files_refused, refs, refs_refused; /* lines */
	uint64_t bytes_read, bytes_written;  /* of contents */
	char sha256[SIDECAR_SHA256_LEN + 1]; /* "" until it is done */
	/* under way */
	struct evp_md_ctx_st *md;
	uint64_t at; /* of the sidecar: what comes next */
	uint64_t bytes;
	uint64_t begun; /* lines of files that begin, */
	uint64_t open;  /* and of those that had no other yet */
};

void manifest_init(struct manifest *m);
void manifest_clear(struct manifest *m);

/* One line without its newline.  ERR_FORMAT: it is not of the form. */
int manifest_add(struct manifest *m, const char *line, size_t n);

/* Reads on in the record's sidecar, from the hop's first line to the first that
 * is none of its own; about max bytes.  0: all was read, sha256 is set if there
 * is a line.  ERR_AGAIN: there is more.  ERR_FORMAT: a line is malformed, or
 * there are too many.  Half a line at the end is none: its writer died. */
int manifest_read(struct manifest *m, const struct record *rec, size_t max);

#endif
