/*
 * One login's way from a token to a question to policy.
 *
 *	login_read -> login_parse -> login_verify (again after ERR_AGAIN)
 *	-> login_spend -> login_put_session -> (policy) -> login_spend again
 */
#ifndef POSTERN_BROKER_LOGIN_H
#define POSTERN_BROKER_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/jws.h"
#include "broker/token.h"
#include "lib/proto.h"
#include "lib/secret.h"

#define LOGIN_USER_MAX 255   /* what sshd passes on; policy judges it */
#define LOGIN_TROUBLE_MAX 200

struct issuers;
struct replay;

struct login {
	char user[LOGIN_USER_MAX + 1];
	char source[PROTO_SOURCE_MAX + 1];
	char trouble[LOGIN_TROUBLE_MAX + 1]; /* the PAM module's word */
	struct secret token;
	struct jws jws;		/* views into token */
	struct token claims;
	bool verified;		/* both verdicts: the claims are the issuer's */
	bool alarm;             /* its refusal is for a person to look at */
	char digest[PROTO_TOKEN_DIGEST_LEN + 1]; /* set by login_spend */
	int64_t spent_until; /* seconds: nobody else may use it so long */
	bool marked;         /* spent: its issuer wants that */
};

/* The body of LOGIN.  An error here is the sender's: ERR_FORMAT, ERR_TOOBIG. */
int login_read(struct buf *b, struct login *out);
/* Gate, payload, issuer's name.  From here on an error refuses the login and
 * *why says for the ledger why; login_clear whatever comes back. */
int login_parse(struct login *l, const char **why);
/* Issuer, keys, both signature verdicts, claims at time now (s).  ERR_AGAIN:
 * keys are on their way (jwks.h). */
int login_verify(struct login *l, const struct issuers *is, int64_t now,
    const char **why);
/* Marks the token as spent by the source if its issuer wants that (l->marked);
 * a mark is then to be kept, too. */
int login_spend(struct login *l, const struct issuers *is, struct replay *marks,
    int64_t now, const char **why);
/* The mark is to stay: policy has made a session for this token. */
void login_keep(const struct login *l, struct replay *marks);
/* The module is told of that session: the token opens no other one. */
void login_opened(const struct login *l, struct replay *marks);
/* Nothing was opened by this login: its mark is taken back, unless another
 * login with the token had it kept. */
void login_unspend(const struct login *l, struct replay *marks);
/* Writes the body of SESSION_NEW of a login that was spent. */
int login_put_session(const struct login *l, const struct issuers *is,
    struct replay *marks, struct buf *b, const char **why);
/* Wipes the token and everything made of it; user and source stay. */
void login_forget(struct login *l);

#endif
