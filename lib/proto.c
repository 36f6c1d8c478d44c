/*
 * The message table.  Read by msg_send and msg_recv on every message, and by
 * the lint that compares it with doc/PROTOCOL.md.
 */
#include "config.h"

#include "lib/proto.h"

#include "lib/msg.h"

#define KIB 1024U
#define ROW(t, from, to, max, fmin, fmax, answer) \
	{ MSG_##t, #t, from, to, max, fmin, fmax, answer }

static const struct proto_row proto_rows[] = {
	/* clang-format off */
	/*  message         from         to          body      fds   answer */
	ROW(LISTEN,         PROC_PARENT, PROC_CHILD, 256,      1, 1, 0),
	ROW(LINK,           PROC_PARENT, PROC_CHILD, 256,      1, 1, 0),
	ROW(FOLDER,         PROC_PARENT, PROC_CHILD, 256,      1, 1, 0),
	ROW(GO,             PROC_PARENT, PROC_CHILD, 72 * KIB, 0, 0, 0),
	ROW(RELOAD,         PROC_PARENT, PROC_POLICY | PROC_SIGNER, 16, 0, 0,
	    MSG_RELOADED),
	ROW(RELOADED,       PROC_POLICY | PROC_SIGNER, PROC_PARENT, 256,
	    0, 0, 0),
	ROW(STOP,           PROC_PARENT, PROC_CHILD, 0,        0, 0, 0),
	ROW(READY,          PROC_CHILD,  PROC_PARENT, 0,       0, 0, 0),
	ROW(HOP_START,      PROC_POLICY, PROC_PARENT, 64,      1, 1,
	    MSG_HOP_STARTED),
	ROW(HOP_STARTED,    PROC_PARENT, PROC_POLICY, 64,      0, 1, 0),
	ROW(HOP_STOP,       PROC_POLICY, PROC_PARENT, 64,      1, 1, 0),
	ROW(RELOAD_WANTED,  PROC_POLICY, PROC_PARENT, 0,       0, 0,
	    MSG_RELOAD_OVER),
	ROW(RELOAD_OVER,    PROC_PARENT, PROC_POLICY, 256,     0, 0, 0),
	ROW(ALARM,          PROC_PARENT, PROC_AUDIT, 256,      0, 0,
	    MSG_ALARM_DONE),
	ROW(ALARM_DONE,     PROC_AUDIT,  PROC_PARENT, 16,      0, 0, 0),
	ROW(ANCHOR,         PROC_AUDIT,  PROC_PARENT, 3 * KIB, 0, 0,
	    MSG_ANCHOR_DONE),
	ROW(ANCHOR_DONE,    PROC_PARENT, PROC_AUDIT, 256,      0, 0, 0),
	ROW(AGENT_WANTED,   PROC_SIGNER, PROC_PARENT, 16,      0, 0,
	    MSG_AGENT),
	ROW(AGENT,          PROC_PARENT, PROC_SIGNER, 16,      0, 1, 0),
	ROW(AGENT_LOST,     PROC_SIGNER, PROC_PARENT, 16,      0, 0, 0),

	ROW(LOGIN,          PROC_PAM,    PROC_OIDC,   20 * KIB, 0, 0,
	    MSG_LOGIN_RESULT),
	ROW(LOGIN_RESULT,   PROC_OIDC,   PROC_PAM,    256,      0, 0, 0),
	ROW(ISSUERS,        PROC_POLICY, PROC_OIDC,   64 * KIB, 0, 0, 0),
	ROW(ISSUER_KEYS,    PROC_POLICY, PROC_OIDC,   64 * KIB, 1, 1, 0),
	ROW(SESSION_NEW,    PROC_OIDC,   PROC_POLICY, 64 * KIB, 0, 0,
	    MSG_SESSION_MADE),
	ROW(SESSION_MADE,   PROC_POLICY, PROC_OIDC,   4 * KIB,  0, 0, 0),
	ROW(SESSION_OPEN,   PROC_PAM,    PROC_POLICY, 32 * KIB, 1, 1,
	    MSG_SESSION_OPENED),
	ROW(SESSION_OPENED, PROC_POLICY, PROC_PAM,    256,      0, 0, 0),
	ROW(SESSION_CLOSE,  PROC_PAM,    PROC_POLICY, 256,      0, 0,
	    MSG_SESSION_CLOSED),
	ROW(SESSION_CLOSED, PROC_POLICY, PROC_PAM,    16,       0, 0, 0),

	ROW(RUN,            PROC_SHELL,  PROC_POLICY, 100 * KIB, 3, 3,
	    MSG_ANSWER),
	ROW(ANSWER,         PROC_POLICY, PROC_SHELL,  72 * KIB, 0, 0, 0),
	ROW(ACCEPTED,       PROC_POLICY, PROC_SHELL,  0,        0, 1, 0),
	ROW(RESIZED,        PROC_SHELL,  PROC_HOP,    0,        0, 0, 0),
	ROW(SIGNAL,         PROC_SHELL,  PROC_HOP,    16,       0, 0, 0),
	ROW(EXIT,           PROC_HOP,    PROC_SHELL,  16,       0, 0, 0),
	ROW(SHELL_RECORD,   PROC_POLICY, PROC_SHELL,  2 * KIB,  2, 2, 0),
	ROW(PROMPT,         PROC_POLICY, PROC_SHELL,  1 * KIB,  0, 0, 0),
	ROW(LINE,           PROC_SHELL,  PROC_POLICY, 66 * KIB, 0, 0,
	    MSG_ANSWER),
	ROW(BREAK,          PROC_SHELL,  PROC_POLICY, 0,        0, 0, 0),
	ROW(LEAVE,          PROC_SHELL,  PROC_POLICY, 0,        0, 0,
	    MSG_ANSWER),
	ROW(WORDS,          PROC_SHELL,  PROC_POLICY, 66 * KIB, 0, 0,
	    MSG_WORDS_ARE),
	ROW(WORDS_ARE,      PROC_POLICY, PROC_SHELL,  34 * KIB, 0, 0, 0),

	ROW(HOP_RUN,        PROC_POLICY, PROC_HOP,    160 * KIB, 7, 7, 0),
	ROW(HOP_ENDED,      PROC_HOP,    PROC_POLICY, 16,       0, 0, 0),
	ROW(GRANT,          PROC_POLICY, PROC_SIGNER, 160 * KIB, 1, 1, 0),
	ROW(CERT_REQUEST,   PROC_HOP,    PROC_SIGNER, 256,      0, 0,
	    MSG_CERT),
	ROW(CERT,           PROC_SIGNER, PROC_HOP,    160 * KIB, 0, 0, 0),
	ROW(JOB_CERT,       PROC_POLICY, PROC_SIGNER, 12 * KIB, 0, 0,
	    MSG_JOB_CERT_MADE),
	ROW(JOB_CERT_MADE,  PROC_SIGNER, PROC_POLICY, 21 * KIB, 0, 0, 0),
	ROW(CA_IS,          PROC_SIGNER, PROC_POLICY, 256,      0, 0, 0),

	ROW(EVENT,          PROC_POLICY | PROC_OIDC, PROC_AUDIT, 160 * KIB,
	    0, 0, MSG_EVENT_DONE),
	ROW(EVENT_DONE,     PROC_AUDIT, PROC_POLICY | PROC_OIDC, 1 * KIB,
	    0, 0, 0),
	ROW(OP_OPEN,        PROC_POLICY, PROC_AUDIT, 160 * KIB, 0, 0,
	    MSG_OP_OPENED),
	ROW(OP_OPENED,      PROC_AUDIT,  PROC_POLICY, 1 * KIB,  0, 2, 0),
	ROW(OP_STARTED,     PROC_POLICY, PROC_AUDIT, 64,        1, 1, 0),
	ROW(OP_ABORT,       PROC_POLICY, PROC_AUDIT, 1 * KIB,   0, 0, 0),
	ROW(KEEP,           PROC_POLICY | PROC_OIDC, PROC_AUDIT, 73 * KIB,
	    0, 0, MSG_KEPT),
	ROW(KEPT,           PROC_AUDIT, PROC_POLICY | PROC_OIDC, 16,
	    0, 0, 0),
	ROW(FORGET,         PROC_POLICY, PROC_AUDIT, 256,       0, 0, 0),
	ROW(RECALL,         PROC_POLICY | PROC_OIDC, PROC_AUDIT, 256,
	    0, 0, MSG_RECALLED),
	ROW(RECALLED,       PROC_AUDIT, PROC_POLICY | PROC_OIDC, 128 * KIB,
	    0, 0, 0),
	ROW(SETTLED,        PROC_POLICY, PROC_AUDIT, 0,         0, 0, 0),

	ROW(STATUS,         PROC_CLI,    PROC_POLICY, 0,        0, 0,
	    MSG_STATUS_IS),
	ROW(STATUS_IS,      PROC_POLICY, PROC_CLI,    32 * KIB, 0, 0, 0),
	ROW(RELOAD_POLICY,  PROC_CLI,    PROC_POLICY, 0,        0, 0,
	    MSG_POLICY_RELOADED),
	ROW(POLICY_RELOADED, PROC_POLICY, PROC_CLI,   34 * KIB, 0, 0, 0),
	ROW(QUERY,          PROC_CLI,    PROC_POLICY, 4 * KIB,  0, 0,
	    MSG_ROW),
	ROW(ROW,            PROC_AUDIT,  PROC_CLI,    160 * KIB, 0, 1, 0),
	ROW(ROWS_END,       PROC_POLICY | PROC_AUDIT, PROC_CLI, 1 * KIB,
	    0, 0, 0),
	ROW(KILL,           PROC_CLI,    PROC_POLICY, 128,      0, 0,
	    MSG_KILLED),
	ROW(KILLED,         PROC_POLICY, PROC_CLI,    1 * KIB,  0, 0, 0),
	ROW(LOCK,           PROC_CLI,    PROC_POLICY, 256,      0, 0,
	    MSG_LOCKED),
	ROW(LOCKED,         PROC_POLICY, PROC_CLI,    1 * KIB,  0, 0, 0),
	ROW(AUDIT_QUERY,    PROC_POLICY, PROC_AUDIT,  5 * KIB,  1, 1, 0),
	/* clang-format on */
};

const struct proto_row *
proto_find(uint32_t type)
{
	size_t n = sizeof(proto_rows) / sizeof(proto_rows[0]);

	for (size_t i = 0; i < n; i++) {
		if (proto_rows[i].type == type)
			return &proto_rows[i];
	}
	return NULL;
}

const struct proto_row *
proto_table(size_t *n)
{
	*n = sizeof(proto_rows) / sizeof(proto_rows[0]);
	return proto_rows;
}
