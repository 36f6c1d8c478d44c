/*
 * What the files of the audit process share: the ledger with its index, the
 * operations that run, the views that are being answered.
 */
#ifndef POSTERN_BROKER_AUDIT_H
#define POSTERN_BROKER_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/ledger.h"
#include "audit/note.h"
#include "lib/buf.h"

struct conf;
struct files;
struct json;
struct msg;
struct ledger_line;
struct peer;
struct store;

#define AUDIT_OPERATIONS_MAX 1024 /* open records, those of a crash included   \
				   */
#define AUDIT_VIEWS_MAX 32        /* answers under way */
#define AUDIT_VIEWS_EACH 8        /* to one who asks: others have theirs */
#define AUDIT_VIEW_MS 20000       /* an asker that takes nothing for so long */

/* -- audit.c ------------------------------------------------------------- */

/* Writes an event to the ledger and the index.  On failure why (if not NULL)
 * gets the words for whoever is refused. */
int audit_write(const struct buf *event, bool last_words,
    struct ledger_line *line, struct buf *why);
/* There is room for the last words of one more operation. */
bool audit_may_begin(struct buf *why);
/* The index, as far as the ledger; NULL while there is none. */
struct store *audit_store(void);
/* The same, for who looks: where it cannot follow, what it has. */
struct store *audit_store_as_it_is(void);
/* The ledger while it is open and whole; NULL. */
const struct ledger *audit_ledger(void);
/* It had lines before this process opened it. */
bool audit_ledger_is_old(void);
/* An audit from before still has the ledger, and reads what it was told. */
bool audit_is_another(void);
int audit_recordings(void); /* the folder */
int audit_store_folder(void);
/* The message at hand is oidc's; else it is policy's. */
bool audit_is_oidc(void);
const struct conf *audit_conf(void);

/* -- audit_alarm.c ------------------------------------------------------- */

/* What the parent says beside what every child is told: MSG_ALARM,
 * MSG_ANCHOR_DONE. */
int alarm_take(struct peer *parent, struct msg *m);
/* An alarm's line. */
int alarm_write(const char *process, const char *reason, bool last_words);

/* -- audit_anchor.c ------------------------------------------------------ */

/* What was signed last, and how many lines that are: it goes into the log and
 * to the anchor command, when it is due.  NULL: nothing is signed any more. */
void anchor_due(const struct buf *note, uint64_t size);
/* MSG_ANCHOR_DONE. */
int anchor_done(struct msg *m);
/* What is known of it, for `postern status`. */
void anchor_state(struct json *j, uint64_t size);

/* -- audit_sign.c -------------------------------------------------------- */

/* The ledger was opened: its tree follows, and what is there is signed. */
void sign_open(const struct ledger *l);
/* The key that signs, as text; "": none does. */
void sign_key(char key[NOTE_KEY_MAX]);
/* A line was written; within SIGN_MS it is signed. */
void sign_line(const struct ledger_line *line);
/* Whatever could not be done when it was due, and what is due by now. */
void sign_tidy(void);
/* The last lines, before this process ends. */
void sign_close(void);
/* How far it is signed and anchored, as one row. */
int sign_state(struct buf *row);

/* -- audit_open.c, audit_ops.c ------------------------------------------- */

/* MSG_OP_OPEN, MSG_OP_STARTED, MSG_OP_ABORT. */
int ops_open(struct peer *p, struct msg *m);
/* An event that allows a command of a list, whose OP_OPEN comes when it is its
 * turn, or OP_ABORT when that does not come.  Writes the line. */
bool ops_is_decision(const struct buf *event);
int ops_decided(
    struct peer *p, const struct buf *event, struct ledger_line *line);
/* The policy that decided is gone: the turns it has not given do not come. */
void ops_orphaned(const struct peer *decider);
int ops_started(struct msg *m);
int ops_abort(struct msg *m);
/* Takes up the operations that have no end in the ledger and are not known;
 * called at the start and whenever index and ledger are whole again. */
void ops_recover(void);
/* Bytes that an identity's operations have recorded which run now. */
uint64_t ops_open_bytes(const char *identity);

/* -- audit_keep.c -------------------------------------------------------- */

/* MSG_KEEP, MSG_FORGET, MSG_RECALL, MSG_SETTLED. */
int kept_put(struct peer *p, struct msg *m);
int kept_forget(struct msg *m);
int kept_recall(struct peer *p, struct msg *m);
int kept_settled(struct msg *m);
/* Forgets what has run out. */
void kept_tidy(void);
void kept_close(void);

/* -- audit_retain.c ------------------------------------------------------- */

/* Begins with what the one before had to leave undone. */
void retain_begin(void);
/* The identity of this decision has room left for today; why says what not. */
bool retain_quota(const struct buf *decision, struct buf *why);
/* A hold comes or goes; kind is "session" or "commit". */
int retain_hold(bool add, const char *kind, const char *id, const char *asker,
    const char *reason, struct buf *why);

/* -- audit_query.c ------------------------------------------------------- */

/* MSG_AUDIT_QUERY. */
int query_begin(struct msg *m);

/* -- audit_view.c -------------------------------------------------------- */

/* This view's line could not be written, and why: the log says so, and it
 * follows.  ERR_TOOBIG: too many are owed. */
int view_owe(const struct buf *event, const struct buf *why);
/* Writes what is owed, if that can be. */
void view_tidy(void);

/* -- audit_files.c -------------------------------------------------------- */

/* Every finished recording and sidecar, one after the other, for who verifies
 * them and may not read the folder.  NULL: no memory, or so many are under way,
 * or of this viewer (then *why says so). */
struct files *files_new(const char *id, const char *viewer, struct buf *why);
void files_free(struct files *f);
/* The next one: its row, and the file or -1 where there is none any more.
 * ERR_NOTFOUND: that was the last. */
int files_next(struct files *f, struct buf *json, int *fdp);

#endif
