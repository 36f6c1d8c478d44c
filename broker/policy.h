/*
 * What the files of the policy process share: its links, its policy.
 */
#ifndef POSTERN_BROKER_POLICY_H
#define POSTERN_BROKER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/event.h"

struct conf;
struct msg;
struct peer;
struct policy;

const struct conf *policy_conf(void);
/* The uid of every postern-shell. */
uid_t policy_job_uid(void);
/* Seconds since 1970, 0: not known, as decisions want it. */
time_t policy_time(void);

/* Sibling links; NULL while a sibling is being started again. */
struct peer *policy_oidc(void);
struct peer *policy_audit(void);
struct peer *policy_signer(void);

/* Sends the event to audit, which writes it; consumes b's content.  An error
 * means it could not be queued: whoever needed the line refuses. */
int policy_event(struct buf *event);

/* policy_reload.c */

/* The running policy, NULL until one has loaded (then everything is denied). */
const struct policy *policy_now(void);
/* Its hash, 64 hexadecimal digits; "" without one. */
const char *policy_hash(void);
/* When, in Unix seconds: it came into force, and one was last tried; 0: never.
 */
uint64_t policy_since(void);
uint64_t policy_tried(void);
/* How the last try to load one went: "loaded", "refused", "unread". */
const char *policy_state(void);

/* Takes the folder to load from. */
void policy_folder(int take_fd);
int policy_folder_fd(void);
/* The first load; path is the folder's, for messages.  What does not load
 * leaves the bastion denying everything; an error is fatal. */
int policy_load(const char *path);
/* RELOAD: loads what is in the folder now, and fills RELOADED. */
int policy_reload(uint32_t asked, struct buf *answer);
/* Tells oidc whose tokens may be asked about. */
void policy_send_issuers(void);

/* RELOAD_POLICY on ctl.sock: asks the parent for a reload, and answers p when
 * signer and policy have loaded. */
int policy_reload_ask(struct peer *p, uint32_t id);
/* That connection is gone. */
void policy_reload_drop(const struct peer *p);
/* RELOAD_OVER: the parent's answer. */
int policy_reload_over(struct msg *m);

/* policy_audit.c */

/* How the question ended: 0, audit's failure, or ERR_NOTFOUND when audit died
 * before it answered. */
typedef void (*policy_done_cb)(void *arg, int result);
/* The same, and done hears the end, once. */
int policy_event_then(struct buf *event, policy_done_cb done, void *arg);
/* That ask for no room, of the two sockets for people: what an admin did, and
 * what an auditor was refused. */
#define POLICY_ADMIN_MAX 64
#define POLICY_REFUSED_MAX 16
/* Asks audit; m is EVENT or KEEP, and stays the caller's. */
int policy_ask_audit(struct msg *m, policy_done_cb done, void *arg);
/* arg is gone: nobody wants to hear any more. */
void policy_ask_drop(const void *arg);
/* How many answers are still to come. */
size_t policy_audit_unanswered(void);
/* Answers are still to come. */
bool policy_audit_answers(void);

/* The link's queue is as long as the settings ask for, once they are there. */
void policy_audit_bound(struct peer *audit);
/* How many messages of what begins the queue to audit still takes; what follows
 * from it has its room. */
size_t policy_audit_room(void);
/* A denial's line; ERR_TOOBIG: so many are not written yet that this one is
 * not taken. */
int policy_event_denial(struct buf *event, policy_done_cb done, void *arg);
/* How many more are taken. */
size_t policy_denial_room(void);

/* EVENT_DONE and KEPT; and the end of a link, whose last id that was. */
int policy_audit_done(struct msg *m);
void policy_audit_lost(uint32_t last);

#endif
