/*
 * pam_postern's questions to the broker.  Each is one connection, one message
 * and one answer, within the deadline of the options.
 */
#ifndef POSTERN_PAM_ASK_H
#define POSTERN_PAM_ASK_H

#include <stdbool.h>

#include "lib/proto.h"

struct opts;
struct token;

/* Who logs in, as sshd told PAM.  Borrowed strings, "" where unknown. */
struct who {
	const char *user;
	const char *source;
};

#define ASK_HANDLE_SIZE (PROTO_HANDLE_LEN + 1)

bool ask_handle_valid(const char *s);

/* Asks oidc for a session.  Always asks, with trouble, too: then the token
 * that is sent is empty, and the answer is a refusal.  ERR_DENIED: refused. */
int ask_login(const struct opts *o, const struct who *w, const struct token *t,
    char handle[ASK_HANDLE_SIZE]);
/* Tells policy that this process, the monitor of the connection, opens the
 * session of handle ("" for a certificate's, which auth_info then shows).
 * `opened` may be another handle than the one given. */
int ask_open(const struct opts *o, const struct who *w, const char *handle,
    const char *auth_info, char opened[ASK_HANDLE_SIZE]);
int ask_close(const struct opts *o, const char *handle);

#endif
