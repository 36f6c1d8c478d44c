/*
 * Sessions, as the policy process holds them: who proved what, and through
 * which connections of postern-sshd they work.
 *
 * A token opens one session; the same token again, from the same address, is a
 * further connection of it, and opens no other when that one is over.  A
 * connection is made when oidc has verified the token (pending), opened when
 * PAM's open_session has told which sshd monitor it is, and over when that
 * monitor closes it or dies.  A certificate that the session was given opens a
 * connection at once.  The session is over when its last connection is and
 * neither the token nor a certificate could open a further one, or at the
 * policy's limit (session-max) at the latest.
 *
 * A handle alone opens nothing: an operation must come from a process whose
 * grandparent is the monitor.
 */
#ifndef POSTERN_BROKER_SESSION_H
#define POSTERN_BROKER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/proto.h"
#include "lib/str.h"
#include "lib/ulid.h"
#include "policy/claims.h"
#include "policy/policy.h"

#define CONNECTION_PENDING_MS 60000 /* between the token and open_session */
#define SESSION_CONNECTIONS_MAX 64  /* of one session */
#define SESSION_CERTIFICATES_MAX 16 /* of one session that are good */
#define SESSION_DIGEST_LEN 32       /* SHA-256 of a certificate's blob */
#define SESSION_KEY_MAX 63          /* a key's fingerprint, "SHA256:..." */

struct buf;

#define SESSION_DENIALS_MAX 16 /* that audit has not written yet */

/* Whether a row or line is with audit. */
enum kept { KEPT_NO, KEPT_ASKED, KEPT_YES };

/* A certificate that a session was given. */
struct certificate {
	uint8_t digest[SESSION_DIGEST_LEN];
	int64_t until_ms;
};

struct session {
	struct session *next;
	char id[ULID_LEN + 1];
	char source[PROTO_SOURCE_MAX + 1];
	char token[PROTO_TOKEN_DIGEST_LEN + 1];
	char *issuer;
	char *subject;
	struct claims claims;
	struct ties ties;	/* values inside claims */
	bool *identity;		/* policy_match's set under the running policy */
	bool opened;            /* had an open connection */
	bool over;		/* takes no further connection or operation */
	bool killed;            /* by an admin; it is over then, too */
	bool ending;            /* gone, but for its last line in the ledger */
	enum kept noted;        /* session.open is in the ledger */
	enum kept kept;         /* its row for the next policy process */
	size_t ndenials;        /* on their way to the ledger */
	int64_t until_ms;	/* the token may open connections until then */
	int64_t limit_ms;	/* session-max */
	size_t nconnection;
	struct certificate certificate[SESSION_CERTIFICATES_MAX];
	size_t ncertificate; /* some may be over */
	struct timer *timer; /* the moment when it may be over */
};

enum connection_state {
	CONNECTION_PENDING,
	CONNECTION_OPEN,
	CONNECTION_OVER,
};

struct connection {
	struct connection *next;
	struct session *session;
	enum connection_state state;
	char id[ULID_LEN + 1]; /* names its row; no secret */
	enum kept kept;
	char handle[PROTO_HANDLE_LEN + 1];
	char user[USER_LEN_MAX + 1];
	struct user_name name;	/* user, taken apart */
	char source[PROTO_SOURCE_MAX + 1];
	char key[SESSION_KEY_MAX + 1]; /* of its certificate; "": a token's */
	char *names; /* the user names in that, each with its NUL, and an empty
			one; NULL: they are not known */
	size_t noperations;	/* running; keep the connection in memory */
	pid_t monitor;
	uint64_t monitor_start; /* clock ticks since boot */
	int monitor_pidfd;
	struct watch *watch;
	struct timer *timer;
};

/* What SESSION_NEW says. */
struct session_proof {
	char user[USER_LEN_MAX + 1];
	char source[PROTO_SOURCE_MAX + 1];
	char token[PROTO_TOKEN_DIGEST_LEN + 1];
	char *issuer;
	char *subject;
	uint64_t expires;	/* Unix seconds */
	bool opened;            /* the token has opened a session before */
	struct claims claims;
};
void session_proof_clear(struct session_proof *p);

/* What comes back from an earlier policy process (broker/takeover.h). */
struct session_row {
	char id[ULID_LEN + 1];
	struct session_proof proof; /* but for user, expires, opened */
	int64_t until_ms, limit_ms;
	bool over, killed, opened;
	struct certificate certificate[SESSION_CERTIFICATES_MAX];
	size_t ncertificate;
};
struct connection_row {
	char id[ULID_LEN + 1];
	char session[ULID_LEN + 1];
	char handle[PROTO_HANDLE_LEN + 1];
	char user[USER_LEN_MAX + 1];
	char source[PROTO_SOURCE_MAX + 1];
	char key[SESSION_KEY_MAX + 1];
	pid_t monitor; /* 0: it is still pending */
	uint64_t monitor_start;
};
/* Takes up a session; what it keeps it moves out of the row. */
int session_adopt(struct session_row *row);
/* Takes up a connection of it, over already when its monitor is dead. */
int session_adopt_connection(const struct connection_row *row);
/* All of it was taken up: what is over by now ends. */
void session_adopted(void);
/* The connection of that id, NULL: none. */
struct connection *session_connection(const char *id);
/* Sends what audit does not have yet.  Non-zero: not all could be sent. */
int session_keep_all(void);

/* Makes a pending connection, of a new session or of the one that the token has
 * opened already; what it keeps it moves out of proof.  ERR_DENIED: no identity
 * matches, the name is not well formed, there is no room, or the token's own
 * session is over; why says which, for the ledger. */
int session_new(struct session_proof *proof, struct connection **out,
    char *why, size_t whysize);
/* Opens the pending connection of that handle for a monitor (takes pidfd, also
 * on failure).  User, source and monitor must fit; ERR_DENIED otherwise. */
int session_open(const char *handle, const char *user, const char *source,
    pid_t monitor, int take_pidfd, struct connection **out);
/* Who comes with a certificate. */
struct certificate_login {
	const char *user, *source;
	const uint8_t *digest; /* of the certificate */
	const char *key;       /* fingerprint of the key in it */
};
/* The live session that was given that certificate; NULL: none. */
struct session *session_of_certificate(const uint8_t *digest);
/* Opens a connection of it for a monitor (takes pidfd, also on failure).  An
 * error, and why says for the ledger what is wrong. */
int session_open_certificate(const struct certificate_login *l, pid_t monitor,
    int take_pidfd, struct connection **out, const char **why);
/* The user names that its certificate has: kept of a connection of postern@,
 * and not for a later policy process.  Without them it may use none. */
void session_names(struct connection *c, const char *const *name, size_t n);
/* Could a connection like this one have been opened by that user name, as far
 * as its certificate goes? */
bool session_may_name(const struct connection *c, const char *user);
/* The session was given one, and lives until that is over.  ERR_TOOBIG: it has
 * as many as it may. */
int session_certify(struct session *s, const uint8_t *digest, int64_t until_ms);
/* It never got that one. */
void session_uncertify(struct session *s, const uint8_t *digest);
/* How many of its certificates are good; *first_ms: when the first of them is
 * over. */
size_t session_certificates(struct session *s, int64_t *first_ms);
/* At least one identity is its own under the policy of now. */
bool session_has_identity(const struct session *s);
/* Ends the connection of that handle if the caller is its monitor. */
int session_close(const char *handle, pid_t monitor);
/* The open connection of a handle for a process that asks: the asker's
 * grandparent must be the monitor, alive; pidfd is the asker's, and stays the
 * caller's.  ERR_DENIED otherwise. */
int session_find(
    const char *handle, pid_t asker, int pidfd, struct connection **out);
/* Nobody could say whether this was a session: the handle is not known, or not
 * as an open connection's, and the asker's monitor is older than this process,
 * so that what was known of it may be lost. */
bool session_is_lost(const char *handle, pid_t asker);
/* Some open connection has it. */
bool session_has_monitor(pid_t monitor);
/* An operation has begun or ended. */
void session_hold(struct connection *c);
void session_release(struct connection *c);
/* Sends a denial's event; consumes it.  ERR_TOOBIG: so many of this session's
 * are not written yet that others would suffer. */
int session_denial(struct session *s, struct buf *event);
/* Matches every session again: the policy is a new one. */
void session_rematch(void);
size_t session_count(void);

/* session_kill.c */
/* Ends the sessions of that session id or identity, or all, with what they run;
 * how many sessions, *operations: and operations that were. */
size_t session_kill_all(
    enum kill_what what, const char *name, size_t *operations);
/* Goes on with ending those that were taken up. */
void session_kill_adopted(void);

/* Appends who and what ties it to a change to an event.  c may be NULL: the
 * session alone, and where it was opened from; identity NULL: the session's
 * first. */
int session_event(const struct session *s, const struct connection *c,
    const char *identity, struct buf *event);
/* The first identity of a session, for texts; "" when none matches. */
const char *session_identity(const struct session *s);

#endif
