/*
 * Job certificates, in the policy process: `login` on the control surface, and
 * connections that come with one.
 */
#ifndef POSTERN_BROKER_JOBCERT_H
#define POSTERN_BROKER_JOBCERT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct connection;
struct jobcert;
struct msg;
struct operation;
struct session;

/* A certificate for the public key in that text, for the connection's session;
 * op is answered, now or later, and freed. */
void jobcert_ask(struct operation *op, struct connection *conn,
    const uint8_t *text, size_t n);
/* The operation is over; one that got no certificate has none.  Takes NULL. */
void jobcert_free(struct jobcert *j);
/* Whose it will be. */
const struct session *jobcert_session(const struct jobcert *j);
/* JOB_CERT_MADE. */
int jobcert_made(struct msg *m);
/* There is another signer, or none: the one before answers nobody any more. */
void jobcert_signer_lost(void);

/* SESSION_OPEN without a handle: opens a connection of the session that was
 * given the certificate in info (SSH_AUTH_INFO_0), or has the ledger say why
 * not.  Takes pidfd. */
struct jobcert_login {
	const char *user, *source;
	const uint8_t *info;
	size_t ninfo;
	pid_t monitor;
};
int jobcert_login(
    const struct jobcert_login *l, int take_pidfd, struct connection **out);

#endif
