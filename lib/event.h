/*
 * An audit event on its way to the ledger: a kind and typed fields from a
 * closed vocabulary.  policy and oidc build it, audit checks it and turns it
 * into one JSON line.  The names are the stable names of the ledger
 * (doc/LEDGER.md); audit adds `number` and `time` itself.
 */
#ifndef POSTERN_LIB_EVENT_H
#define POSTERN_LIB_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define EVENT_STR_MAX (140 * 1024) /* one field; the command is the longest */

enum event_kind {
	EVENT_START = 1,     /* "start": audit opened the ledger */
	EVENT_POLICY_LOAD,   /* "policy.load" */
	EVENT_LOGIN_REFUSED, /* "login.refused" */
	EVENT_SESSION_OPEN,  /* "session.open" */
	EVENT_SESSION_CLOSE, /* "session.close" */
	EVENT_OP_DECIDE,     /* "operation.decide" */
	EVENT_OP_END,        /* "operation.end": written by audit alone */
	EVENT_VIEW,          /* "view": somebody read a recording */
	EVENT_ALARM,         /* "alarm": a broker process died */
	EVENT_QUESTION,      /* "question": a job asked what it may do */
	EVENT_CERT_ISSUE,    /* "certificate.issue": to a job's own key */
	EVENT_CERT_LOGIN,    /* "certificate.login": a connection by one */
	EVENT_KILL,          /* "kill": an admin ended sessions */
	EVENT_LOCK,          /* "lock": an admin locked the bastion */
	EVENT_UNLOCK,        /* "unlock" */
	EVENT_RETENTION,   /* "retention.delete": a recording's time is over */
	EVENT_HOLD_ADD,    /* "hold.add": recordings that retention leaves */
	EVENT_HOLD_REMOVE, /* "hold.remove" */
	EVENT_LEDGER_KEY,  /* "ledger.key": another key signs from here on */
	EVENT_REFUSED,     /* "control.refused": an auditor asked for more */
};

enum event_field {
	/* who */
	EV_SESSION = 1,
	EV_OPERATION,
	EV_IDENTITY,
	EV_ISSUER,
	EV_SUBJECT,
	EV_USER,
	EV_SOURCE,
	/* what ties it to a change: the five names of every issuer */
	EV_COMMIT,
	EV_PULL_REQUEST,
	EV_ACTOR,
	EV_WORKFLOW,
	EV_RUN,
	/* what was asked and answered */
	EV_TARGET,
	EV_LOGIN,
	EV_COMMAND,
	EV_PTY,
	EV_STDIN,
	EV_POLICY,
	EV_RULE,
	EV_VERDICT,
	EV_REASON,
	EV_BY, /* "sftp", "scp-legacy", "rsync", "git"; "shell" */
	/* what was given */
	EV_SERIAL,
	EV_KEY_ID,
	EV_PRINCIPAL,
	/* what ties the commands of a list: the list, which of how many, and
	 * how it hangs on the one before */
	EV_LIST,
	EV_POSITION,
	EV_POSITIONS,
	EV_JOINED,
	EV_ASKER, /* who had the policy loaded */
	/* a job's certificate */
	EV_KEY, /* fingerprint of the job's own key */
	EV_PRINCIPALS,
	EV_LIFETIME_S,
	EV_ENV, /* variables of the job that go along */
	/* how it ended: audit alone writes these */
	EV_EXIT,
	EV_SIGNAL,
	EV_STATE,
	EV_DURATION_MS,
	EV_BYTES_IN,
	EV_BYTES_OUT,
	EV_BYTES_ERR,
	EV_SHA256_IN,
	EV_SHA256_OUT,
	EV_SHA256_ERR,
	EV_FILES, /* lines of the manifest */
	EV_FILES_REFUSED,
	EV_BYTES_READ, /* contents of files */
	EV_BYTES_WRITTEN,
	EV_MANIFEST_SHA256,
	EV_RECORDING,
	EV_RECORDING_SHA256,
	EV_VIEWER,
	EV_PROCESS,
	EV_RECORDING_BYTES,
	EV_RETENTION, /* which bound a recording was beyond */
	EV_SIDECAR_SHA256,
	EV_CHECKPOINT, /* what the old key signed last */
	EV_WHAT,       /* of a view: which question */
	EV_DIRECTION,  /* of a transfer: "read", "write" */
	EV_REFS,       /* of git: lines of the manifest */
	EV_REFS_REFUSED,
	/* of a line of a broker shell: that shell, and which line, from 1; of
	 * the shell's own operation itself, and no line */
	EV_SHELL,
	EV_LINE,
};

/* The ledger's name of a field or kind; NULL when there is none. */
const char *event_field_name(uint32_t field);
const char *event_kind_name(uint32_t kind);
/* 's' text, 'n' whole number, 'b' true or false; 0 for an unknown field. */
char event_field_type(uint32_t field);

/* Starts an event in b: writes its kind. */
int event_start(struct buf *b, enum event_kind kind);
/* Appends a field.  NULL or "" texts are left out.  ERR_INTERNAL when the type
 * is not the field's.  Text that is not valid UTF-8 is refused: ERR_FORMAT. */
int event_str(struct buf *b, enum event_field field, const char *s);
int event_num(struct buf *b, enum event_field field, uint64_t n);

struct event_value {
	uint32_t field;
	char type;
	uint64_t n;
	const uint8_t *s; /* inside the buffer, not terminated */
	size_t len;
};
/* Reads: first the kind, then fields until buf_len is 0.  ERR_FORMAT for an
 * unknown kind or field or invalid UTF-8. */
int event_get_kind(struct buf *b, uint32_t *kind);
int event_get(struct buf *b, struct event_value *v);

#endif
