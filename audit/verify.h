/*
 * Is what a Postern keeps complete and unchanged?  Offline, from a state folder
 * or a copy of one: the first thing that is wrong, and where.  The rules are
 * those of doc/LEDGER.md; doc/verify.py is a second reader of them.
 */
#ifndef POSTERN_AUDIT_VERIFY_H
#define POSTERN_AUDIT_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#include "audit/note.h"

#define VERIFY_KEYS_MAX 4096    /* that one ledger has had */
#define VERIFY_GIVEN_MAX 100000 /* checkpoints from elsewhere */
#define VERIFY_FILE_MAX 4096

enum verdict_kind {
	VERIFY_UNKNOWN = 0, /* it cannot be told: something cannot be read */
	VERIFY_MISSING,
	VERIFY_CHANGED,
	VERIFY_GAP,
	VERIFY_ORDER,
	VERIFY_CUT,
	VERIFY_KEY,
	VERIFY_SIGNATURE,
	VERIFY_TILE,
	VERIFY_ROLLBACK,
	VERIFY_UNSIGNED,
	VERIFY_RESTORED, /* nobody vouches for the key but who restored it */
	VERIFY_OK = 0x5a5a,
};

struct verify_found {
	enum verdict_kind verdict;
	char file[VERIFY_FILE_MAX]; /* below the folder, or as it was given */
	uint64_t line;              /* of the ledger; 0: not a line's matter */
	char text[256];
	/* what was looked at */
	uint64_t lines, signed_lines, recordings, given;
	char key[NOTE_KEY_MAX]; /* that signs now */
};

struct verify_ask {
	int dir;                 /* the state folder */
	const char *id;          /* recordings of this session or operation */
	const char *key;         /* one of the ledger's keys must be this */
	const char *const *file; /* checkpoints, or logs with anchors */
	size_t nfile;
	/* Who may not read the recordings: the SHA-256 of the one with this
	 * path, in hexadecimal; ERR_NOTFOUND: it is not there.  NULL: from the
	 * folder. */
	int (*sha256)(void *arg, const char *path, char *hex);
	void *sha256_arg;
	/* called now and then; NULL */
	void (*progress)(void *arg, uint64_t done, uint64_t all);
	void *arg;
};

/* SHA-256 of what is left of a file, in hexadecimal. */
#define VERIFY_SHA256_MAX 65
int verify_digest(int fd, char hex[VERIFY_SHA256_MAX]);
/* The name of a verdict: "ok", "changed". */
const char *verify_name(enum verdict_kind v);
/* found is always filled; 0 when verdict is VERIFY_OK, ERR_DENIED when
 * something is wrong, another error with VERIFY_UNKNOWN. */
int verify_store(const struct verify_ask *ask, struct verify_found *found);

#endif
