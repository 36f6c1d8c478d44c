/*
 * What the files of the session table share: session.c, connection.c,
 * session_cert.c, session_adopt.c, session_kill.c.  For nobody else.
 */
#ifndef POSTERN_BROKER_SESSION_INTERNAL_H
#define POSTERN_BROKER_SESSION_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "broker/session.h"

#define SESSION_EVENT_MAX (64 * 1024)

extern struct session_table {
	struct session *sessions;
	size_t nsession; /* those that are ending included */
	size_t nending;
	struct connection *connections;
} session_table;

/* Takes NULL; the session is in no list. */
void session_free(struct session *s);
/* Into the table. */
void session_join(struct session *s);
/* Out of the table, and freed. */
void session_drop(struct session *s);
/* Ends it in the ledger, once, and here when that is written. */
void session_end(struct session *s);
/* Ends it, its certificates and its connections; it may be gone afterwards. */
void session_kill(struct session *s);
/* It has no connection, and will have none. */
bool session_may_end(const struct session *s);
/* Looks again when it may be over. */
int session_arm(struct session *s);
/* Who it is, moved out of the proof, and what that is under the policy of now:
 * *np identities. */
int session_fill(struct session *s, struct session_proof *proof, size_t *np);
/* Sends session.open, if it is not there; c may be NULL. */
int session_note_open(struct session *s, const struct connection *c);

/* A pending one, in no list. */
int connection_make(
    const char *user, const char *source, struct connection **out);
/* Takes NULL; the connection is in no list. */
void connection_free(struct connection *c);
/* Into the table, as one of the session's. */
void connection_join(struct connection *c, struct session *s);
/* Off the table, and off its session, which may be over with it. */
void connection_drop(struct connection *c);
/* Ties a pending one to its monitor; takes pidfd, also on failure. */
int connection_open(struct connection *c, pid_t monitor, int take_pidfd);
/* Opens nothing more; dropped when it runs nothing. */
void connection_end(struct connection *c);
/* The monitor of one that was taken up is found again, or it is over. */
int connection_find_monitor(struct connection *c);

#endif
