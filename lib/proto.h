/*
 * Every message that crosses a process border, in one table.  A number never
 * changes its meaning; a change of this table or of a message's fields raises
 * MSG_VERSION (lib/msg.h; lib/proto.versions).  The fields, in order, are in
 * doc/PROTOCOL.md; a lint compares the two.
 */
#ifndef POSTERN_LIB_PROTO_H
#define POSTERN_LIB_PROTO_H

#include <stddef.h>
#include <stdint.h>

/* Questions are even, their answers follow; what has no answer is even, too. */
enum msg_type {
	/* parent -> child: what a process is given before and while it runs */
	MSG_LISTEN = 2,  /* a listening socket */
	MSG_LINK = 4,    /* one end of a pair to a sibling */
	MSG_FOLDER = 6,  /* an opened folder or file */
	MSG_GO = 8,      /* all is there: confine yourself, serve */
	MSG_RELOAD = 10, /* the policy may have changed */
	MSG_RELOADED = 11,
	MSG_STOP = 12,
	/* child -> parent */
	MSG_READY = 14,
	MSG_HOP_START = 16,
	MSG_HOP_STARTED = 17,
	MSG_RELOAD_WANTED = 18,
	MSG_RELOAD_OVER = 19, /* signer and policy have answered */
	MSG_HOP_STOP = 22,    /* policy -> parent: end that hop */
	/* parent -> audit: for the ledger */
	MSG_ALARM = 20,
	MSG_ALARM_DONE = 21,
	/* audit -> parent: the checkpoint, for the anchor command */
	MSG_ANCHOR = 24,
	MSG_ANCHOR_DONE = 25,
	/* signer -> parent: an ssh-agent with a CA key */
	MSG_AGENT_WANTED = 26,
	MSG_AGENT = 27,
	MSG_AGENT_LOST = 28, /* for the ledger */
	/* pam_postern -> oidc (pam.sock) */
	MSG_LOGIN = 32,
	MSG_LOGIN_RESULT = 33,
	/* oidc <-> policy */
	MSG_ISSUERS = 34,
	MSG_ISSUER_KEYS = 35,
	MSG_SESSION_NEW = 36,
	MSG_SESSION_MADE = 37,
	/* pam_postern -> policy (session.sock) */
	MSG_SESSION_OPEN = 48,
	MSG_SESSION_OPENED = 49,
	MSG_SESSION_CLOSE = 50,
	MSG_SESSION_CLOSED = 51,
	/* postern-shell -> policy (shell.sock), later the hop */
	MSG_RUN = 64,
	MSG_ANSWER = 65,   /* final: text and exit code */
	MSG_ACCEPTED = 66, /* the hop has it from here */
	MSG_RESIZED = 68,
	MSG_SIGNAL = 70,
	MSG_EXIT = 72,
	MSG_SHELL_RECORD = 67, /* a broker shell's own recording */
	MSG_PROMPT = 74, /* it has a broker shell, or that shows another text */
	MSG_LINE = 76,   /* a line of it; answered by ANSWER */
	MSG_BREAK = 78,  /* nothing more of the line */
	MSG_LEAVE = 94,  /* back to the shell around it; answered by ANSWER */
	MSG_WORDS = 82,  /* what may come next in a line? */
	MSG_WORDS_ARE = 83,
	/* policy -> hop, hop -> signer */
	MSG_HOP_RUN = 80,
	MSG_GRANT = 84,
	MSG_CERT_REQUEST = 86,
	MSG_CERT = 87,
	MSG_HOP_ENDED = 88, /* hop -> policy: how its command ended */
	/* policy -> signer: a certificate for a job's own key */
	MSG_JOB_CERT = 90,
	MSG_JOB_CERT_MADE = 91,
	MSG_CA_IS = 92, /* signer -> policy: which keys sign */
	/* policy, oidc -> audit */
	MSG_EVENT = 96,
	MSG_EVENT_DONE = 97,
	MSG_OP_OPEN = 98,
	MSG_OP_OPENED = 99,
	MSG_OP_STARTED = 100,
	MSG_OP_ABORT = 102,
	MSG_KEEP = 104, /* for whoever comes after me */
	MSG_KEPT = 105,
	MSG_FORGET = 106,
	MSG_RECALL = 108, /* what was kept, page by page */
	MSG_RECALLED = 109,
	MSG_SETTLED = 110, /* what is not kept by now is over */
	/* postern -> policy (ctl.sock); queries go on to audit with the socket
	 */
	MSG_STATUS = 112,
	MSG_STATUS_IS = 113,
	MSG_RELOAD_POLICY = 114,
	MSG_POLICY_RELOADED = 115,
	MSG_QUERY = 116,
	MSG_ROW = 117,
	MSG_ROWS_END = 118,
	MSG_AUDIT_QUERY = 120,
	MSG_KILL = 122, /* sessions are ended */
	MSG_KILLED = 123,
	MSG_LOCK = 124, /* nothing new begins, or again */
	MSG_LOCKED = 125,
};

/* Who may be at either end: a set of bits. */
enum {
	PROC_PARENT = 1 << 0,
	PROC_OIDC = 1 << 1,
	PROC_POLICY = 1 << 2,
	PROC_SIGNER = 1 << 3,
	PROC_AUDIT = 1 << 4,
	PROC_HOP = 1 << 5,
	PROC_PAM = 1 << 6,
	PROC_SHELL = 1 << 7,
	PROC_CLI = 1 << 8,
};
#define PROC_CHILD (PROC_OIDC | PROC_POLICY | PROC_SIGNER | PROC_AUDIT)

struct proto_row {
	uint32_t type;
	const char *name;	/* as in doc/PROTOCOL.md: "LOGIN" */
	unsigned int from, to;	/* PROC_* bits */
	uint32_t max;		/* bytes of the body */
	uint8_t fds_min, fds_max;
	uint32_t answer;	/* type of the answer, 0 for none */
};

/* The row of a type, NULL for a type that does not exist. */
const struct proto_row *proto_find(uint32_t type);
/* The whole table, for the lint and the tests. */
const struct proto_row *proto_table(size_t *n);

/* Bounds of fields that several rooms must agree on. */
#define PROTO_TOKEN_MAX (16 * 1024)	/* a whole OIDC token */
#define PROTO_HANDLE_LEN 32		/* 16 random bytes in hexadecimal */
#define PROTO_TOKEN_DIGEST_LEN 64	/* SHA-256 in hexadecimal */
#define PROTO_COMMAND_MAX (64 * 1024)	/* SSH_ORIGINAL_COMMAND */
#define PROTO_ENV_MAX                                                          \
	(32 * 1024)        /* all variables of one RUN, with their NULs */
#define PROTO_ENVS_MAX 130 /* sshd takes 129 of a session */
#define PROTO_WIRE_MAX (130 * 1000)	/* a command quoted for the target */
#define PROTO_TEXT_MAX (32 * 1024)	/* text for a job's stdout or stderr */
#define PROTO_PROMPT_MAX 512            /* a broker shell's, with its folder */
#define PROTO_WORDS_MAX 512             /* that complete a line */
#define PROTO_ID_LEN 26			/* a ULID */
#define PROTO_POLICY_HASH_LEN 64        /* SHA-256 in hexadecimal */
#define PROTO_JOB_KEY_MAX (16 * 1024)   /* text that should be a public key */
#define PROTO_JOB_CERT_S_MAX 900        /* seconds a job certificate is good */
#define PROTO_JOB_CERT_MAX (20 * 1024)  /* its blob, with 256 names */
#define PROTO_JOB_IDENTITIES_MAX 256    /* that one is made for */
#define PROTO_SFTP_COMMAND "postern-sftp" /* sshd's word for the subsystem */
#define PROTO_SFTP_REFUSE_MS 5000         /* to tell such a client why not */
#define PROTO_FILE_RULES_MAX 256          /* `read` and `write` lines of one */
#define PROTO_SOURCE_MAX 63		/* numeric client address */
#define PROTO_ALARM_MAX 160             /* text of an alarm */
#define PROTO_ANCHOR_MAX 2048           /* a signed checkpoint */
#define PROTO_FINGERPRINT_MAX 63        /* "SHA256:..." */
#define PROTO_REASON_MAX 200            /* an admin's words for a lock */
#define PROTO_KEEP_KEY_MAX 80           /* bytes of a kept row's key */
#define PROTO_KEEP_MAX (72 * 1024)      /* and of its value */
#define PROTO_CLAIMS_MAX 128		/* claims of one token */
#define PROTO_CLAIM_NAME_MAX 128
#define PROTO_CLAIM_VALUE_MAX 4096

/* MSG_RUN: what the job asked sshd for. */
enum run_kind {
	RUN_SHELL = 0,
	RUN_EXEC = 1,
	RUN_SCRIPT = 2, /* no command; this came on standard input */
	RUN_LOGIN = 3,  /* `login`; this key came on standard input */
};
/* HOP_RUN, GRANT: what is granted. */
enum op_what {
	OP_COMMAND = 0,
	OP_SFTP = 1, /* a session of the sftp subsystem */
	OP_SCP = 2,  /* `scp -O`: its program on the target, and its protocol */
	/* A command whose stream is looked at on its way (HOP_RUN alone): */
	OP_GIT_FETCH = 3,
	OP_GIT_ARCHIVE = 4,
	OP_GIT_PUSH = 5,
};
/* MSG_AGENT_WANTED and its kin: which CA key. */
enum ca_which { CA_TARGET = 0, CA_JOB = 1, NCA = 2 };
/* MSG_AGENT_LOST: what is wrong with the ssh-agent that holds it. */
enum agent_trouble {
	AGENT_WELL = 0,
	AGENT_ABSENT = 1,   /* there is none to connect to */
	AGENT_VANISHED = 2, /* it has closed the connection */
	AGENT_STALLED = 3,  /* no answer in time */
	AGENT_REFUSED = 4,  /* it does not sign */
	AGENT_LIED = 5,     /* a signature that is not the key's */
	AGENT_BROKE = 6,    /* an answer that is none */
	NAGENT_TROUBLE = 7,
};
/* MSG_CA_IS: where a CA key is. */
enum ca_state {
	CA_NONE = 0, /* nowhere: nothing is signed */
	CA_FILE = 1,
	CA_AGENT = 2,
	CA_AGENT_TROUBLE = 3, /* which does not sign now */
};
/* MSG_KILL: whose sessions. */
enum kill_what { KILL_SESSION = 0, KILL_IDENTITY = 1, KILL_ALL = 2 };
/* MSG_KILLED, MSG_LOCKED: how it went. */
enum admin_result {
	ADMIN_DONE = 0,
	ADMIN_NOTHING = 1,   /* there is nothing of that name, or no change */
	ADMIN_UNWRITTEN = 2, /* done, but audit has not written it down */
	ADMIN_REFUSED = 3,   /* not done */
	ADMIN_DENIED = 4,    /* not for who asked */
};
/* POLICY_RELOADED, beside RELOADED's outcomes: not for who asked. */
enum { RELOAD_DENIED = 5 };
/* MSG_EXIT */
enum exit_kind { EXIT_CODE = 0, EXIT_SIGNAL = 1 };

/* Postern's own exit codes (design: sysexits where one fits). */
enum {
	POSTERN_EX_USAGE = 64,	     /* command cannot be parsed */
	POSTERN_EX_UNAVAILABLE = 69, /* target not reached, host key wrong */
	POSTERN_EX_IOERR = 74,	     /* the recording cannot be written */
	POSTERN_EX_TEMPFAIL = 75,    /* broker down, nobody approved in time */
	POSTERN_EX_DENIED = 77,
};

#endif
