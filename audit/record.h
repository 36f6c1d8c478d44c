/*
 * The two files of one operation: the recording (DAY/ID.cast) and its sidecar
 * (DAY/ID.json), from their creation to the closing line.  audit keeps its own
 * descriptors, opened before the hop's exist, and measures with them alone.
 */
#ifndef POSTERN_AUDIT_RECORD_H
#define POSTERN_AUDIT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/sidecar.h"
#include "lib/buf.h"

struct evp_md_ctx_st;

#define RECORD_PATH_MAX 64         /* 2026-11-24/ULID.cast and its NUL */
#define RECORD_CAST ".cast"
#define RECORD_SIDE ".json"
#define RECORD_COPY ".copy"        /* all of one length */
#define RECORD_HOP_MAX (16 * 1024) /* what a hop may write to a sidecar */
/* A hop's reason as it comes back: a byte that was not UTF-8 is now three. */
#define RECORD_REASON_MAX (3 * SIDECAR_REASON_MAX + 1)

struct record {
	int cast, side;      /* read and append; -1: closed */
	uint64_t side_start; /* where the hop's lines begin; once its manifest
				was read, those behind it */
	char path[RECORD_PATH_MAX];
	/* the measurement */
	struct evp_md_ctx_st *md;
	uint64_t hashed, size;
	char sha256[SIDECAR_SHA256_LEN + 1];
	/* record_own */
	bool cast_own, side_own;
	bool was_copied; /* somebody else had one of them open */
	int copy;        /* the one under way, or -1 */
	uint64_t copied, copy_size;
};

/* What a hop's line says; texts are owned. */
struct record_facts {
	struct sidecar_hop hop; /* its reason is `reason` or NULL */
	char reason[RECORD_REASON_MAX];
};

/* DAY/ID.cast for an operation that is decided now. */
int record_path(
    uint64_t now_ms, const char *operation, char path[RECORD_PATH_MAX]);
bool record_path_valid(const char *path);
/* The same with another end: RECORD_SIDE, RECORD_COPY. */
void record_sibling_path(
    const char *path, const char *end, char sibling[RECORD_PATH_MAX]);

void record_init(struct record *rec);
void record_clear(struct record *rec);

/* Creates both files below dir, writes the sidecar's first line from the
 * decision's event.  *cast and *side: the hop's, write-only and append-only;
 * the first carries a lock (flock) that lasts as long as a copy of it.
 * ERR_EXISTS: there is such a file.  On failure nothing is left behind. */
int record_create(struct record *rec, int dir, const char *path,
    uint64_t number, uint64_t now_ms, const struct buf *decision, int *cast,
    int *side);
/* Opens the files of an operation that an earlier process left open.  A
 * missing sidecar is made. */
int record_reopen(struct record *rec, int dir, const char *path);
/* A recording for reading; ERR_NOTFOUND. */
int record_view(int dir, const char *path, int *fdp);
/* Its sidecar. */
int record_view_side(int dir, const char *path, int *fdp);

/* Somebody still has the hop's descriptor. */
bool record_has_writer(const struct record *rec);

/* After the writer is dead, before anything of it is read: from here on nobody
 * else can change the files.  Whatever somebody else still has open, by
 * whatever way, is copied and replaced, up to max bytes; ERR_AGAIN: there is
 * more. */
int record_own(struct record *rec, int dir, size_t max);

/* The hop's line.  ERR_NOTFOUND: it wrote none.  ERR_FORMAT: it wrote
 * something else, too, or not a line of that form. */
int record_facts(const struct record *rec, struct record_facts *f);

/* Cuts a last line that has no end; gives an empty
 * recording a header, so that every reader can open it. */
int record_trim(struct record *rec, uint64_t now_ms);
/* Hashes up to max bytes; ERR_AGAIN: there is more. */
int record_hash(struct record *rec, size_t max);
/* Writes the closing line and makes both files durable. */
int record_finish(
    struct record *rec, uint64_t now_ms, const char *state, const char *reason);
/* SHA-256 of the whole sidecar, when it has its last line. */
int record_side_hash(
    const struct record *rec, char sha256[SIDECAR_SHA256_LEN + 1]);
/* Both files read-only. */
int record_seal(struct record *rec);

/* Takes a recording away, for good also after a power cut; the sidecar stays.
 * One that is not there is gone already. */
int record_delete(int dir, const char *path);

#endif
