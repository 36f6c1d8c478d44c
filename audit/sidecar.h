/*
 * The sidecar of a recording, writer's side: what the hop knows at the end of
 * an operation, as one JSON line on the append-only descriptor that audit gave
 * it.  audit takes it as a claim of the hop: it reads the line with bounds and
 * writes its own first and last line around it (doc/LEDGER.md, "Sidecar").
 */
#ifndef POSTERN_AUDIT_SIDECAR_H
#define POSTERN_AUDIT_SIDECAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIDECAR_REASON_MAX 1000 /* bytes; longer reasons are cut */
#define SIDECAR_SHA256_LEN 64   /* hexadecimal digits */

/* Bytes of one stream as they were passed on, and their SHA-256 in lower-case
 * hexadecimal; "" where there was no such stream. */
struct sidecar_stream {
	uint64_t bytes;
	char sha256[SIDECAR_SHA256_LEN + 1];
};

struct sidecar_hop {
	bool has_exit, has_signal; /* at most one: none when it never ran */
	uint32_t exit;             /* exit code, 0..255 */
	uint32_t signal;           /* number of the signal */
	const char *reason; /* why it ended otherwise; NULL: it did not */
	uint64_t duration_ms;
	struct sidecar_stream in, out, err;
};

#define SIDECAR_FILE_LINE_MAX (64 * 1024)    /* two paths, escaped */
#define SIDECAR_FILES_MAX (64 * 1024 * 1024) /* bytes, of all files' lines */
#define SIDECAR_FILE "{\"kind\":\"file\","

struct sidecar_range {
	uint64_t from, to;
};

/* One file of a session of files, or one name that was changed.  Pointers may
 * be NULL where there is nothing to say. */
struct sidecar_file {
	const char *verb, *result; /* words of doc/LEDGER.md */
	const char *path, *to;
	const char *rule;
	bool moved; /* contents: bytes counts */
	uint64_t bytes;
	const char *sha256; /* of the whole file */
	const struct sidecar_range *range;
	size_t nrange;
	bool more; /* ranges than these */
	/* A file that begins, or the end of one that did: which of the session,
	 * from 1.  0: neither. */
	uint32_t begun;
};

#define SIDECAR_REF "{\"kind\":\"ref\","

/* One ref of a session with a repository; likewise. */
struct sidecar_ref {
	const char *verb, *result; /* words of doc/LEDGER.md */
	const char *ref, *old, *new;
	const char *rule, *reason;
};

/* One write; *bytes grows by the line's length. */
int sidecar_ref_write(int fd, const struct sidecar_ref *f, uint64_t *bytes);
int sidecar_file_write(int fd, const struct sidecar_file *f, uint64_t *bytes);

/* One write.  ERR_SYS (errno) when the line was not written whole. */
int sidecar_hop_write(int fd, const struct sidecar_hop *h);

#endif
