/*
 * Sessions, as the policy process holds them: who proved what, and which sshd
 * monitor they came through.  One session is one connection to postern-sshd.
 *
 * A session is made when oidc has verified a token (pending), opened when PAM's
 * open_session has told which monitor it belongs to, and over when that monitor
 * closes it or dies.  The handle alone opens nothing: an operation must come
 * from a process whose grandparent is the monitor.
 */
#ifndef POSTERN_BROKER_SESSION_H
#define POSTERN_BROKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/proto.h"
#include "lib/str.h"
#include "lib/ulid.h"
#include "policy/claims.h"
#include "policy/policy.h"

#define SESSION_PENDING_MS 60000 /* between the token and open_session */

struct buf;
struct session;

enum session_state { SESSION_PENDING, SESSION_OPEN, SESSION_OVER };

struct session {
	struct session *next;
	enum session_state state;
	char id[ULID_LEN + 1];
	char handle[PROTO_HANDLE_LEN + 1];
	char user[USER_LEN_MAX + 1];
	struct user_name name;	/* user, taken apart */
	char source[PROTO_SOURCE_MAX + 1];
	char *issuer;
	char *subject;
	struct claims claims;
	struct ties ties;	/* values inside claims */
	bool *identity;		/* policy_match's set under the policy below */
	size_t noperations;	/* running; keeps the session in memory */
	pid_t monitor;
	int monitor_pidfd;
	struct watch *watch;
	struct timer *timer;
};

/* What SESSION_NEW says; claims are moved out of it on success. */
struct session_proof {
	char user[USER_LEN_MAX + 1];
	char source[PROTO_SOURCE_MAX + 1];
	char *issuer;
	char *subject;
	struct claims claims;
};
void session_proof_clear(struct session_proof *p);

/* Makes a pending session.  ERR_DENIED: no identity matches, the name is not
 * well formed or there is no room; why says which, for the ledger. */
int session_new(struct session_proof *take_proof, uint32_t max,
    struct session **out, char *why, size_t whysize);
/* Opens the pending session of that handle for a monitor (takes pidfd, also on
 * failure).  Everything must fit: user, source, and monitor must be alive. */
int session_open(const char *handle, const char *user, pid_t monitor,
    int take_pidfd, struct session **out);
/* Ends the session of that handle if the caller is its monitor. */
int session_close(const char *handle, pid_t monitor);
/* The open session of a handle for a process that asks: the asker's
 * grandparent must be the monitor, alive.  ERR_DENIED otherwise. */
int session_find(const char *handle, pid_t asker, struct session **out);
/* An operation has begun or ended. */
void session_hold(struct session *s);
void session_release(struct session *s);
/* Matches every session again: the policy is a new one. */
void session_rematch(void);
size_t session_count(void);

/* Appends a session's fields to an event: who, and what ties it to a change.
 * identity NULL: the session's first. */
int session_event(const struct session *s, const char *identity,
    struct buf *event);
/* The first identity of a session, for texts; "" when none matches. */
const char *session_identity(const struct session *s);

#endif
