/*
 * What backup and restoration share: a state folder's ledger and the
 * recordings that its lines name.
 */
#ifndef POSTERN_CLI_BACKUP_H
#define POSTERN_CLI_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#define BACKUP_LEDGER "ledger.jsonl"

struct backup {
	int from_ledger, from_recordings, to_ledger, to_recordings;
	void *items;             /* a tree of what the ledger names (tsearch) */
	uint64_t named, copied;  /* recordings */
	uint64_t missing, wrong; /* no line says why; another hash */
	bool last;               /* what is missing now is said */
	int r;                   /* an enum err: the copy failed */
};

void backup_init(struct backup *b);
void backup_clear(struct backup *b);
/* What the ledger at path says of recordings; may be called again when there
 * is more of it.  An exit code. */
int backup_read(struct backup *b, const char *path);
/* Copies what is not copied for good yet: whatever operation has ended, with
 * its hash held against the ledger.  An enum err. */
int backup_recordings(struct backup *b);
/* A folder and what is in it, three deep; one that is not there is none. */
int backup_folder(int from, int to, const char *name);
/* The same for each of its files whose name ends so. */
int backup_files(int from, int to, const char *const end[]);
/* backup_key.c: the restored ledger in this folder goes on with another key. An
 * exit code. */
int backup_another_key(int ledger);
/* Opens a folder, and makes it with these permissions if make is set. */
int backup_open(int dir, const char *name, bool make, int *fdp);

#endif
