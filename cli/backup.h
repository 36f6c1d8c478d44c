/*
 * What backup and restoration share: a state folder's ledger and the
 * recordings that its lines name.
 */
#ifndef POSTERN_CLI_BACKUP_H
#define POSTERN_CLI_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#define BACKUP_LEDGER "ledger.jsonl"

#define BACKUP_PATH_MAX 128

struct copy_sum;

/* Where files go: a folder; or an archive, and the path in it. */
struct backup_to {
	int dir;                    /* -1 */
	int tar;                    /* -1 */
	char path[BACKUP_PATH_MAX]; /* "ledger/" */
};

struct backup {
	int from_ledger, from_recordings;
	struct backup_to to_ledger, to_recordings;
	uint64_t lines;          /* bytes of the ledger that are copied */
	uint64_t number;         /* of the last line that was read */
	void *items;             /* a tree of what the ledger names (tsearch) */
	uint64_t named, copied;  /* recordings */
	uint64_t missing, wrong; /* no line says why; another hash */
	bool last;               /* what is missing now is said */
	int r;                   /* an enum err: the copy failed */
};

void backup_init(struct backup *b);
void backup_clear(struct backup *b);
/* What the ledger at path, or so much of it (0: all), says of recordings; may
 * be called again when there is more of it.  An exit code. */
int backup_read(struct backup *b, const char *path, uint64_t max);
/* Copies what is not copied for good yet: whatever operation has ended, with
 * its hash held against the ledger.  An enum err. */
int backup_recordings(struct backup *b);
/* A folder and what is in it, three deep; one that is not there is none. */
int backup_folder(int from, const struct backup_to *to, const char *name);
/* The same for each of its files whose name ends so. */
int backup_files(int from, const struct backup_to *to, const char *const end[]);
/* The place of that name below a place; a folder is made. */
int backup_below(
    const struct backup_to *to, const char *name, struct backup_to *below);
/* backup_key.c: how many lines this ledger's checkpoint signs; ERR_NOTFOUND:
 * there is none. */
int backup_signed(int ledger, uint64_t *lines);
/* The restored ledger in this folder goes on with another key. An
 * exit code. */
int backup_another_key(int ledger);
/* backup_ca.c: what was revoked and, if asked for, the CAs' keys; into a
 * backup, and from the backup in the opened folder.  An exit code. */
int backup_ca(const struct backup_to *dst, bool keys);
int restore_ca(int src);
/* Opens a folder, and makes it if make is set. */
int backup_open(int dir, const char *name, bool make, int *fdp);
/* One below a folder that is not root's own: MUST NOT be a link, by which
 * whoever owns audit could have root copy what he may not read. */
int backup_open_below(int dir, const char *name, bool make, int *fdp);

#endif
