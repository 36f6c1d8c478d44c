/*
 * The logins that postern-oidc works on: one for each connection of the PAM
 * module, CONNS_MAX at once.
 */
#ifndef POSTERN_BROKER_CONN_H
#define POSTERN_BROKER_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/issuers.h"

#define CONNS_MAX 512

struct conf;
struct peer;
struct replay;

/* What logins are judged with; the process keeps it up to date. */
struct judge {
	const struct conf *conf;
	struct peer *policy, *audit; /* NULL while there is none */
	struct issuers issuers;
	struct replay *marks;
};

/* j outlives everything here. */
void conns_init(struct judge *j);
/* Takes one connection of the listening socket; root's alone are kept. */
void conns_accept(int listener);
/* Judges again whoever waits for keys: of this issuer, of any for NULL. */
void conns_rejudge(const char *iss);
/* policy's answer to the question of that id: a handle, or NULL and why. */
void conns_session_made(uint32_t id, const char *handle, const char *reason);
/* audit's: the mark of a spent token is kept, or is not. */
void conns_kept(uint32_t id, bool kept);
/* Nobody waits any longer for the policy process that was. */
void conns_policy_gone(void);
/* There is a new link: whoever waits for an answer asks again on it. */
void conns_policy_new(void);
void conns_audit_new(void);
/* A login is not answered yet. */
bool conns_busy(void);

#endif
