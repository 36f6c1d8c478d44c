/*
 * What the policy process leaves to the one after it, and takes over from the
 * one before: sessions, their connections, running operations, and when each
 * identity was granted one.  audit keeps
 * the rows and looks into none; a MAC with a key that audit does not have
 * makes that sure the other way round, too.
 *
 * Rows have the keys 1/SESSION, 2/CONNECTION, 3/OPERATION, 4/OPERATION and
 * 5/lock, so that they come back in the order in which they need each other.
 */
#ifndef POSTERN_BROKER_TAKEOVER_H
#define POSTERN_BROKER_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/policy.h"

struct buf;
struct connection;
struct msg;
struct operation;
struct session;

/* The boot's key, out of the file that the parent handed over; takes fd. */
int takeover_key(int take_fd);
/* Settings and policy are there: take over, now or when audit is there.
 * done is called when it has come about. */
int takeover_start(void (*done)(void));
bool takeover_done(void);
/* There is a new link to audit. */
void takeover_link(void);
/* RECALLED. */
int takeover_recalled(struct msg *m);

/* Keep a row: again, whenever what it says has changed.  What could not be
 * sent, or was not taken, is tried again by itself. */
void takeover_keep_session(struct session *s);
void takeover_keep_connection(struct connection *c);
int takeover_keep_operation(const struct operation *op, uint64_t start);
/* A grant that `limit rate` counts, at that moment of this boot. */
int takeover_keep_grant(
    const char *identity, const char *operation, int64_t at_ms);
/* A row that can only refuse something, and outlasts the boot: 5/lock. */
int takeover_keep_denial(char kind, const char *id, int64_t keep_s,
    const struct buf *body, policy_done_cb done, void *arg);
void takeover_forget_denial(char kind, const char *id);
void takeover_forget_session(const struct session *s);
void takeover_forget_connection(const struct connection *c);
void takeover_forget_operation(const char *id);
void takeover_forget_grant(const char *operation);
/* Something of a session is not with audit yet: settle it in a while, or as
 * soon as there is a new link. */
void takeover_again(void);
/* What the audit before did not answer is asked of this one now. */
void takeover_lost(void);

#endif
