/*
 * STATUS on ctl.sock, in the policy process: numbers of what is held, what
 * waits and what is in force.  Nothing of a job or a target is in it.
 */
#include "config.h"

#include "broker/control.h"

#include <string.h>
#include <time.h>

#include "broker/lock.h"
#include "broker/operation.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/policy.h"

#define STATUS_MAX (16 * 1024)

/* What the signer has said of its keys. */
static struct {
	struct {
		uint8_t state;
		char fingerprint[PROTO_FINGERPRINT_MAX + 1];
	} ca[NCA];
} env;

int
control_ca_is(struct msg *m)
{
	uint8_t state[NCA];
	char fingerprint[NCA][PROTO_FINGERPRINT_MAX + 1];
	int r;

	for (size_t i = 0; i < NCA; i++) {
		if ((r = buf_get_u8(&m->body, &state[i])) != 0 ||
		    (r = buf_get_fixed(&m->body, fingerprint[i],
			 sizeof(fingerprint[i]))) != 0)
			return r;
		if (state[i] > CA_AGENT_TROUBLE)
			return ERR_PROTO;
	}
	if ((r = msg_end(m)) != 0)
		return r;
	for (size_t i = 0; i < NCA; i++) {
		env.ca[i].state = state[i];
		memcpy(env.ca[i].fingerprint, fingerprint[i],
		    sizeof(fingerprint[i]));
	}
	return 0;
}

/* The keys that sign now, and whether they can. */
static void
put_ca(struct json *j)
{
	static const char *const states[] = {
		[CA_NONE] = "none",
		[CA_FILE] = "file",
		[CA_AGENT] = "agent",
		[CA_AGENT_TROUBLE] = "agent fails",
	};

	if (policy_signer() == NULL)
		return;
	json_kv_str(j, "target_ca", env.ca[CA_TARGET].fingerprint);
	json_kv_str(j, "target_ca_key", states[env.ca[CA_TARGET].state]);
	json_kv_str(j, "job_ca", env.ca[CA_JOB].fingerprint);
	json_kv_str(j, "job_ca_key", states[env.ca[CA_JOB].state]);
}

static void
put_policy(struct json *j)
{
	const struct policy *p = policy_now();

	json_kv_str(j, "policy", policy_hash());
	json_kv_str(j, "policy_load", policy_state());
	json_kv_num(j, "policy_tried", policy_tried());
	json_kv_num(j, "policy_since", policy_since());
	json_kv_num(j, "targets", p == NULL ? 0 : policy_ntargets(p));
	json_kv_num(j, "identities", p == NULL ? 0 : policy_nidentities(p));
}

static void
put_lock(struct json *j)
{
	const struct lock *l = lock_now();

	json_kv_bool(j, "locked", l->on);
	if (!l->on)
		return;
	json_kv_str(j, "lock_reason", l->reason);
	json_kv_str(j, "lock_who", l->who);
	json_kv_num(j, "lock_since", l->since);
}

/* What is on its way to audit: not sent, and not answered. */
static void
put_backlog(struct json *j)
{
	struct peer *audit = policy_audit();

	json_kv_num(j, "audit_queue", audit == NULL ? 0 : peer_queued(audit));
	json_kv_num(j, "audit_unanswered", policy_audit_unanswered());
	json_kv_num(j, "audit_room", policy_audit_room());
	json_kv_num(j, "denial_room", policy_denial_room());
}

int
control_status(struct peer *p, uint32_t id)
{
	const struct conf *c = policy_conf();
	struct buf text;
	struct json j;
	struct msg m;
	int r;

	buf_init(&text, STATUS_MAX);
	json_init(&j, &text);
	json_open(&j, '{');
	json_kv_num(&j, "sessions", session_count());
	json_kv_num(&j, "operations", operation_count());
	json_kv_num(&j, "sessions_max", c->sessions_max);
	json_kv_num(&j, "operations_max", c->operations_max);
	put_policy(&j);
	put_lock(&j);
	put_backlog(&j);
	json_kv_bool(&j, "audit", policy_audit() != NULL);
	json_kv_bool(&j, "signer", policy_signer() != NULL);
	json_kv_bool(&j, "oidc", policy_oidc() != NULL);
	put_ca(&j);
	json_kv_num(&j, "time", (uint64_t)time(NULL));
	json_close(&j, '}');
	msg_init(&m, MSG_STATUS_IS);
	m.id = id;
	if ((r = json_end(&j)) == 0 &&
	    (r = buf_put_str(&m.body, buf_ptr(&text), buf_len(&text))) == 0)
		r = peer_send(p, &m);
	msg_clear(&m);
	buf_clear(&text);
	return r;
}
