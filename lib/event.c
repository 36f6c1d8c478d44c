/*
 * Audit events: the ledger's vocabulary and its binary form.  Built by policy
 * and oidc, read by audit, which believes neither more than this file checks.
 */
#include "config.h"

#include "lib/event.h"

#include <string.h>

#include "lib/err.h"
#include "lib/str.h"

static const char *const event_kinds[] = {
	[EVENT_START] = "start",
	[EVENT_POLICY_LOAD] = "policy.load",
	[EVENT_LOGIN_REFUSED] = "login.refused",
	[EVENT_SESSION_OPEN] = "session.open",
	[EVENT_SESSION_CLOSE] = "session.close",
	[EVENT_OP_DECIDE] = "operation.decide",
	[EVENT_OP_END] = "operation.end",
	[EVENT_VIEW] = "view",
	[EVENT_ALARM] = "alarm",
	[EVENT_QUESTION] = "question",
	[EVENT_CERT_ISSUE] = "certificate.issue",
	[EVENT_CERT_LOGIN] = "certificate.login",
	[EVENT_KILL] = "kill",
	[EVENT_LOCK] = "lock",
	[EVENT_UNLOCK] = "unlock",
	[EVENT_RETENTION] = "retention.delete",
	[EVENT_HOLD_ADD] = "hold.add",
	[EVENT_HOLD_REMOVE] = "hold.remove",
	[EVENT_LEDGER_KEY] = "ledger.key",
	[EVENT_REFUSED] = "control.refused",
};

static const struct event_row {
	const char *name;
	char type;
} event_rows[] = {
	[EV_SESSION] = { "session", 's' },
	[EV_OPERATION] = { "operation", 's' },
	[EV_IDENTITY] = { "identity", 's' },
	[EV_ISSUER] = { "issuer", 's' },
	[EV_SUBJECT] = { "subject", 's' },
	[EV_USER] = { "user", 's' },
	[EV_SOURCE] = { "source", 's' },
	[EV_COMMIT] = { "commit", 's' },
	[EV_PULL_REQUEST] = { "pull_request", 's' },
	[EV_ACTOR] = { "actor", 's' },
	[EV_WORKFLOW] = { "workflow", 's' },
	[EV_RUN] = { "run", 's' },
	[EV_TARGET] = { "target", 's' },
	[EV_LOGIN] = { "login", 's' },
	[EV_COMMAND] = { "command", 's' },
	[EV_PTY] = { "pty", 'b' },
	[EV_STDIN] = { "stdin", 'b' },
	[EV_POLICY] = { "policy", 's' },
	[EV_RULE] = { "rule", 's' },
	[EV_VERDICT] = { "verdict", 's' },
	[EV_REASON] = { "reason", 's' },
	[EV_BY] = { "by", 's' },
	[EV_SERIAL] = { "serial", 'n' },
	[EV_KEY_ID] = { "key_id", 's' },
	[EV_PRINCIPAL] = { "principal", 's' },
	[EV_EXIT] = { "exit", 'n' },
	[EV_SIGNAL] = { "signal", 'n' },
	[EV_STATE] = { "state", 's' },
	[EV_DURATION_MS] = { "duration_ms", 'n' },
	[EV_BYTES_IN] = { "bytes_in", 'n' },
	[EV_BYTES_OUT] = { "bytes_out", 'n' },
	[EV_BYTES_ERR] = { "bytes_err", 'n' },
	[EV_SHA256_IN] = { "sha256_in", 's' },
	[EV_SHA256_OUT] = { "sha256_out", 's' },
	[EV_SHA256_ERR] = { "sha256_err", 's' },
	[EV_FILES] = { "files", 'n' },
	[EV_FILES_REFUSED] = { "files_refused", 'n' },
	[EV_BYTES_READ] = { "bytes_read", 'n' },
	[EV_BYTES_WRITTEN] = { "bytes_written", 'n' },
	[EV_MANIFEST_SHA256] = { "manifest_sha256", 's' },
	[EV_RECORDING] = { "recording", 's' },
	[EV_RECORDING_SHA256] = { "recording_sha256", 's' },
	[EV_VIEWER] = { "viewer", 's' },
	[EV_ASKER] = { "asker", 's' },
	[EV_KEY] = { "key", 's' },
	[EV_PRINCIPALS] = { "principals", 's' },
	[EV_LIFETIME_S] = { "lifetime_s", 'n' },
	[EV_LIST] = { "list", 's' },
	[EV_POSITION] = { "position", 'n' },
	[EV_POSITIONS] = { "positions", 'n' },
	[EV_JOINED] = { "joined", 's' },
	[EV_PROCESS] = { "process", 's' },
	[EV_RECORDING_BYTES] = { "recording_bytes", 'n' },
	[EV_RETENTION] = { "retention", 's' },
	[EV_SIDECAR_SHA256] = { "sidecar_sha256", 's' },
	[EV_CHECKPOINT] = { "checkpoint", 's' },
	[EV_WHAT] = { "what", 's' },
	[EV_ENV] = { "env", 's' },
	[EV_DIRECTION] = { "direction", 's' },
	[EV_REFS] = { "refs", 'n' },
	[EV_REFS_REFUSED] = { "refs_refused", 'n' },
	[EV_SHELL] = { "shell", 's' },
	[EV_LINE] = { "line", 'n' },
};

#define EVENT_KINDS (sizeof(event_kinds) / sizeof(event_kinds[0]))
#define EVENT_ROWS (sizeof(event_rows) / sizeof(event_rows[0]))

const char *
event_kind_name(uint32_t kind)
{
	return kind < EVENT_KINDS ? event_kinds[kind] : NULL;
}

const char *
event_field_name(uint32_t field)
{
	return field < EVENT_ROWS ? event_rows[field].name : NULL;
}

char
event_field_type(uint32_t field)
{
	return field < EVENT_ROWS ? event_rows[field].type : '\0';
}

int
event_start(struct buf *b, enum event_kind kind)
{
	return buf_put_u32(b, kind);
}

int
event_str(struct buf *b, enum event_field field, const char *s)
{
	int r;

	if (s == NULL || *s == '\0')
		return 0;
	if (event_field_type(field) != 's')
		return ERR_INTERNAL;
	if (!utf8_valid(s, strlen(s)))
		return ERR_FORMAT;
	if ((r = buf_put_u32(b, field)) != 0 ||
	    (r = buf_put_u8(b, 's')) != 0)
		return r;
	return buf_put_cstr(b, s);
}

int
event_num(struct buf *b, enum event_field field, uint64_t n)
{
	char type = event_field_type(field);
	int r;

	if (type != 'n' && type != 'b')
		return ERR_INTERNAL;
	if ((r = buf_put_u32(b, field)) != 0 ||
	    (r = buf_put_u8(b, (uint8_t)type)) != 0)
		return r;
	return buf_put_u64(b, n);
}

int
event_get_kind(struct buf *b, uint32_t *kind)
{
	uint32_t k;
	int r;

	if ((r = buf_get_u32(b, &k)) != 0)
		return r;
	if (event_kind_name(k) == NULL)
		return ERR_FORMAT;
	*kind = k;
	return 0;
}

int
event_get(struct buf *b, struct event_value *out)
{
	struct event_value v = { 0 };
	uint8_t type;
	int r;

	if ((r = buf_get_u32(b, &v.field)) != 0 ||
	    (r = buf_get_u8(b, &type)) != 0)
		return r;
	if (event_field_type(v.field) == '\0' ||
	    event_field_type(v.field) != (char)type)
		return ERR_FORMAT;
	v.type = (char)type;
	if (v.type == 's')
		r = buf_get_view(b, EVENT_STR_MAX, &v.s, &v.len);
	else
		r = buf_get_u64(b, &v.n);
	if (r != 0)
		return r;
	if (v.type == 's' && (memchr(v.s, '\0', v.len) != NULL ||
	    !utf8_valid(v.s, v.len)))
		return ERR_FORMAT;
	if (v.type == 'b' && v.n > 1)
		return ERR_FORMAT;
	*out = v;
	return 0;
}
