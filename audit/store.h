/*
 * The index over the ledger: sessions and operations as rows that can be
 * found.  Nothing in it is evidence: it follows the ledger line by line, knows
 * how far it has come, and can be deleted at any time.  The interface is
 * narrow on purpose: another database may stand behind it one day.
 */
#ifndef POSTERN_AUDIT_STORE_H
#define POSTERN_AUDIT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

struct store; /* opaque */

#define STORE_ID_MAX 32             /* an id and its NUL */
#define STORE_PATH_MAX 64           /* DAY/ID.cast and its NUL */
#define STORE_LIMIT_MAX 1000        /* sessions of one answer */
#define STORE_LIMIT 50              /* when none was asked for */
#define STORE_FOUND_MAX 5000        /* rows of one answer, and its 'm' */
#define STORE_LIST_COMMAND_MAX 1000 /* bytes of a command in a list */

/* What a query asks for; NULL and 0 are "any". */
struct store_filter {
	const char *commit; /* its beginning */
	const char *identity;
	const char *target;
	const char *session;
	const char *before; /* a session: older ones */
	uint64_t since_ms;
	uint32_t limit;
};

struct store_found {
	char kind; /* 's' session, 'o' operation, 'h' hold; 'm', the last one:
		      there are more, behind the id */
	char id[STORE_ID_MAX];
};

struct store_open_op {
	char operation[STORE_ID_MAX];
	char session[STORE_ID_MAX];
	char recording[STORE_PATH_MAX];
	uint64_t number, time_ms; /* of the decision */
};

/* Opens or creates the database at path; one that is damaged or of another
 * version is deleted and begun anew.  ERR_SYS. */
int store_open(const char *path, struct store **sp);
void store_free(struct store *s);
/* Deletes a database of SQLite's, the files beside it included. */
void store_remove(const char *path);
/* Something in it could not be read: it is to be deleted and made anew. */
bool store_damaged(const struct store *s);

/* The last ledger line that is in it and the offset behind it; 0, 0: none. */
int store_position(struct store *s, uint64_t *number, uint64_t *offset);
/* Forgets everything. */
int store_reset(struct store *s);
/* Takes in the ledger line `number`, which must be the next one (ERR_FORMAT);
 * event NULL: a line that the index has no use for. */
int store_apply(struct store *s, uint64_t number, uint64_t time_ms,
    uint64_t end, const struct buf *event);

/* The operations with a recording and without an end, oldest first, after the
 * decision `after` (0: from the beginning).  At most max. */
int store_unfinished(struct store *s, uint64_t after, struct store_open_op *out,
    size_t max, size_t *np);

/* The session's open line was seen, or its close line. */
bool store_session_has(struct store *s, const char *session, bool close);
/* Ids of sessions without an end, in their order, after `after` ("": from the
 * beginning).  At most max. */
int store_open_sessions(struct store *s, const char *after,
    char (*out)[STORE_ID_MAX], size_t max, size_t *np);

/* Newest session first, each with its operations behind it.  The caller frees
 * *found. */
int store_find(struct store *s, const struct store_filter *f,
    struct store_found **found, size_t *np);
/* A session with its operations, or a shell's, or one operation; after: an
 * operation, for those behind it in the ledger, or the id itself or NULL.
 * ERR_NOTFOUND. */
int store_find_after(struct store *s, const char *id, const char *after,
    struct store_found **found, size_t *np);
/* The same from the first on. */
int store_find_id(
    struct store *s, const char *id, struct store_found **found, size_t *np);
/* Appends the row as a JSON object of at most max bytes; whole: the command is
 * not cut unless it must be. */
int store_row(struct store *s, const struct store_found *f, bool whole,
    size_t max, struct buf *json);
/* Where an operation's recording is.  ERR_NOTFOUND: no such operation, or it
 * has none. */
int store_recording(
    struct store *s, const char *operation, char path[STORE_PATH_MAX]);

/* -- what is kept, and how long (store_keep.c) ---------------------------- */

#define STORE_SHA256_MAX 65  /* a digest and its NUL */
#define STORE_HOLDS_MAX 1000 /* more are not to be made */

/* A finished recording that is there. */
struct store_kept {
	char operation[STORE_ID_MAX], session[STORE_ID_MAX];
	char recording[STORE_PATH_MAX], sha256[STORE_SHA256_MAX];
	uint64_t bytes, ended_ms, number;
	bool held;
};

/* The oldest ones behind (ended_ms, number), at most max. */
int store_kept(struct store *s, uint64_t ended_ms, uint64_t number,
    struct store_kept *out, size_t max, size_t *np);
/* All that ended, deleted ones too, by a number of the index's own, which is in
 * `number`; only the ids and the path are filled beside it. */
int store_files(struct store *s, uint64_t after, struct store_kept *out,
    size_t max, size_t *np);
/* Bytes of all that are there. */
int store_kept_bytes(struct store *s, uint64_t *bytes);
/* Bytes that an identity's operations recorded which ended since then, whether
 * they are still there or not. */
int store_used_bytes(
    struct store *s, const char *identity, uint64_t since_ms, uint64_t *bytes);
/* The paths of those that retention deleted last, at most max. */
int store_deleted(
    struct store *s, char (*out)[STORE_PATH_MAX], size_t max, size_t *np);
/* When retention deleted an operation's recording.  ERR_NOTFOUND. */
int store_deleted_ms(struct store *s, const char *operation, uint64_t *ms);

/* All holds, oldest first; kind 'h', and as the id their line's number. */
int store_find_holds(struct store *s, struct store_found **found, size_t *np);
/* There is such a hold: kind is "session" or "commit". */
bool store_has_hold(struct store *s, const char *kind, const char *id);

#endif
