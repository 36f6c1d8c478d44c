/*
 * The running policy and its next one, in the policy process: loading, what the
 * ledger and oidc are told of it, and who asked for it on ctl.sock.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/quota.h"
#include "broker/rules.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "policy/policy.h"

#define REFUSED_MAX 4096 /* bytes in the ledger of what is wrong with one */
#define ASKERS_MAX 16
#define KEYS_FILE_MAX (256 * 1024) /* bytes of a key set */

/* Who waits for a reload: told when signer and policy have both loaded. */
struct asker {
	struct peer *peer; /* NULL: it did not wait */
	uint32_t id;
	uid_t uid;
	bool asked; /* the round that runs is its; else the next one */
};

static struct {
	struct rules rules;
	struct asker asker[ASKERS_MAX];
	size_t nasker;
	uint32_t wanted; /* the id of RELOAD_WANTED; 0: none is out */
	bool loading;    /* this load is what was wanted */
	struct buf text; /* what was wrong with it */
	uint64_t since, tried; /* Unix seconds */
} env = { .rules = { .folder = -1 } };

const struct policy *
policy_now(void)
{
	return env.rules.policy;
}

const char *
policy_hash(void)
{
	return env.rules.hash;
}

const char *
policy_state(void)
{
	return env.rules.outcome == RULES_LOADED    ? "loaded"
	       : env.rules.outcome == RULES_REFUSED ? "refused"
						    : "unread";
}

uint64_t
policy_since(void)
{
	return env.rules.policy == NULL ? 0 : env.since;
}

uint64_t
policy_tried(void)
{
	return env.tried;
}

/* -- what the others are told of it ---------------------------------------- */

static int
put_issuer(struct buf *b, const struct issuer *is)
{
	int r;

	if ((r = buf_put_cstr(b, is->name)) != 0 ||
	    (r = buf_put_cstr(b, is->url)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)is->naudience)) != 0)
		return r;
	for (size_t i = 0; i < is->naudience; i++) {
		if ((r = buf_put_cstr(b, is->audience[i])) != 0)
			return r;
	}
	if ((r = buf_put_u32(b, (uint32_t)is->nalgorithm)) != 0)
		return r;
	for (size_t i = 0; i < is->nalgorithm; i++) {
		if ((r = buf_put_cstr(b, is->algorithm[i])) != 0)
			return r;
	}
	if ((r = buf_put_u32(b, is->max_age_s)) != 0 ||
	    (r = buf_put_u32(b, is->max_life_s)) != 0 ||
	    (r = buf_put_u32(b, is->leeway_s)) != 0)
		return r;
	if ((r = buf_put_u8(b, is->once)) != 0)
		return r;
	return buf_put_cstr(b, is->keys_url);
}

/* An issuer whose keys lie in a file: oidc, which opens none, gets it opened.
 * It MUST NOT be asked for keys then: without the file it has none. */
static int
send_issuer_keys(const struct issuer *is)
{
	const struct safeopen_want want = {
		.owner = 0, .forbid = 022, .max = KEYS_FILE_MAX
	};
	const char *why = "it cannot be opened";
	struct msg m;
	int fd = -1, r;

	r = safeopen_read(AT_FDCWD, is->keys_file, &want, &fd, &why);
	if (r != 0) {
		log_err(r,
		    "ALARM: issuer %s has no keys, its tokens are "
		    "refused: keys-file %s: %s",
		    is->name, is->keys_file, why);
		return 0;
	}
	msg_init(&m, MSG_ISSUER_KEYS);
	if ((r = put_issuer(&m.body, is)) == 0 && (r = msg_add_fd(&m, fd)) == 0)
		r = peer_send(policy_oidc(), &m);
	msg_clear(&m);
	(void)close(fd);
	return r;
}

void
policy_send_issuers(void)
{
	size_t n =
	    env.rules.policy == NULL ? 0 : policy_nissuers(env.rules.policy);
	size_t files = 0;
	const struct issuer *is;
	struct msg m;
	int r = 0;

	if (policy_oidc() == NULL || policy_conf() == NULL)
		return;
	for (size_t i = 0; i < n && r == 0; i++) {
		is = policy_issuer(env.rules.policy, i);
		files += is->keys_file != NULL;
		if (is->keys_file != NULL)
			r = send_issuer_keys(is);
	}
	msg_init(&m, MSG_ISSUERS);
	if (r == 0)
		r = buf_put_u32(&m.body, (uint32_t)(n - files));
	for (size_t i = 0; i < n && r == 0; i++) {
		is = policy_issuer(env.rules.policy, i);
		if (is->keys_file == NULL)
			r = put_issuer(&m.body, is);
	}
	if (r == 0)
		r = peer_send(policy_oidc(), &m);
	msg_clear(&m);
	if (r != 0) {
		log_err(r, "the issuers for oidc");
		if (rules_load_later(&env.rules) != 0)
			fatal(ERR_NOMEM, "timer");
	}
}

/* The first who asked for the load that is going on; "" for a signal. */
static const char *
reload_asker(void)
{
	static char who[32];

	who[0] = '\0';
	for (size_t i = 0; i < env.nasker && env.loading; i++) {
		if (env.asker[i].asked && who[0] == '\0')
			(void)snprintf(who, sizeof(who), "uid:%ld",
			    (long)env.asker[i].uid);
	}
	return who;
}

/* A refused one is told by its errors: it has no hash, and what stays in force
 * is said by the line before. */
static void
note_policy(const char *verdict, const char *hash, const char *reason)
{
	const char *asker = reload_asker();
	struct buf b;
	int r;

	buf_init(&b, 2 * REFUSED_MAX);
	if ((r = event_start(&b, EVENT_POLICY_LOAD)) != 0 ||
	    (r = event_str(&b, EV_POLICY, hash)) != 0 ||
	    (r = event_str(&b, EV_VERDICT, verdict)) != 0 ||
	    (r = event_str(&b, EV_REASON, reason)) != 0 ||
	    (r = event_str(&b, EV_ASKER, asker)) != 0 ||
	    (r = policy_audit_room() > 0 ? policy_event(&b) : ERR_TOOBIG) != 0)
		log_err(r, "the policy's load has no ledger line");
	buf_clear(&b);
}

/* What is counted is what a rule may ask for. */
static void
count_rates(void)
{
	uint32_t most, longest_s;

	policy_rates(env.rules.policy, &most, &longest_s);
	quota_bounds(most, longest_s);
}

/* As many whole lines as fit; b is empty, and big enough for most. */
static void
put_lines(struct buf *b, size_t max, const uint8_t *p, size_t n)
{
	if (n > max)
		for (n = max; n > 0 && p[n - 1] != '\n';)
			n--;
	while (n > 0 && p[n - 1] == '\n')
		n--;
	(void)buf_put(b, p, n);
}

/* Not accepted: the log has all of the errors, the ledger the first ones, and
 * who asked has as many as a message holds. */
static void
report(enum rules_outcome o, int r, const struct diags *d)
{
	struct buf out, first;

	buf_init(&out, 256 * 1024);
	buf_init(&first, REFUSED_MAX);
	(void)diags_print(d, &out);
	(void)write_all(STDERR_FILENO, buf_ptr(&out), buf_len(&out));
	log_err(r, "ALARM: the policy is not accepted; %s%s",
	    env.rules.policy == NULL ? "everything is denied"
				     : "the running one stays",
	    o == RULES_UNREAD ? "; trying again" : "");
	if (env.loading)
		put_lines(&env.text, PROTO_TEXT_MAX - 1, buf_ptr(&out),
		    buf_len(&out));
	if (env.loading && buf_len(&env.text) == 0)
		(void)buf_putf(&env.text, "%s", err_text(r));
	if (o == RULES_REFUSED) {
		put_lines(
		    &first, REFUSED_MAX - 1, buf_ptr(&out), buf_len(&out));
		if (buf_len(&first) == 0 || buf_cstr(&first) == NULL)
			note_policy("refused", "", err_text(r));
		else
			note_policy("refused", "", buf_cstr(&first));
	}
	buf_clear(&out);
	buf_clear(&first);
}

static void
tried(enum rules_outcome o, int r, const struct diags *d)
{
	env.tried = (uint64_t)time(NULL);
	if (o != RULES_LOADED) {
		report(o, r, d);
		return;
	}
	env.since = env.tried;
	count_rates();
	session_rematch();
	policy_send_issuers();
	note_policy("accepted", env.rules.hash, "");
	log_info("policy %.12s: %zu targets, %zu identities", env.rules.hash,
	    policy_ntargets(env.rules.policy),
	    policy_nidentities(env.rules.policy));
}

/* -- loading ---------------------------------------- */

void
policy_folder(int take_fd)
{
	rules_folder(&env.rules, take_fd);
}

int
policy_folder_fd(void)
{
	return env.rules.folder;
}

int
policy_load(const char *path)
{
	env.rules.path = path;
	env.rules.tried = tried;
	return rules_load(&env.rules);
}

int
policy_reload(uint32_t asked, struct buf *answer)
{
	int r;

	if (policy_conf() == NULL || (asked != 0 && asked != env.wanted))
		return ERR_PROTO;
	env.loading = asked != 0;
	r = rules_load(&env.rules);
	env.loading = false;
	return r != 0 ? r : rules_put(&env.rules, answer);
}

/* -- who asks for it ---------------------------------------- */

/* The signer checks each grant against its own: it must have the same. */
static const char *
signer_fault(uint32_t outcome, const char *hash)
{
	if (hash[0] == '\0')
		return "postern-signer has not read it yet (is it being "
		       "started again?): until then what is new is refused; "
		       "see `postern status`, and reload again";
	if (outcome != RULES_LOADED || strcmp(hash, env.rules.hash) != 0)
		return "postern-signer read something else: the folder "
		       "changed meanwhile, or could not be read; reload again";
	return NULL;
}

static void
answer(struct asker *a, uint32_t outcome, const char *text)
{
	const struct policy *p = env.rules.policy;
	struct msg m;
	int r;

	if (a->peer == NULL)
		return;
	msg_init(&m, MSG_POLICY_RELOADED);
	m.id = a->id;
	if ((r = buf_put_u32(&m.body, outcome)) != 0 ||
	    (r = buf_put_cstr(&m.body, env.rules.hash)) != 0 ||
	    (r = buf_put_u32(
		 &m.body, p == NULL ? 0 : (uint32_t)policy_ntargets(p))) != 0 ||
	    (r = buf_put_u32(&m.body,
		 p == NULL ? 0 : (uint32_t)policy_nidentities(p))) != 0 ||
	    (r = buf_put_cstr(&m.body, text)) != 0 ||
	    (r = peer_send(a->peer, &m)) != 0)
		log_err(
		    r, "uid %ld is not told how the reload went", (long)a->uid);
	msg_clear(&m);
}

/* Everybody who waits now is served by one round. */
static int
round_start(void)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_RELOAD_WANTED);
	m.id = peer_next_id(child_parent());
	if ((r = peer_send(child_parent(), &m)) == 0) {
		env.wanted = m.id;
		buf_clear(&env.text);
		buf_init(&env.text, PROTO_TEXT_MAX);
		for (size_t i = 0; i < env.nasker; i++)
			env.asker[i].asked = true;
	}
	msg_clear(&m);
	return r;
}

int
policy_reload_over(struct msg *m)
{
	char hash[PROTO_POLICY_HASH_LEN + 1];
	uint32_t signer, outcome = env.rules.outcome;
	const char *fault, *text;
	size_t left = 0;
	int r;

	if ((r = buf_get_u32(&m->body, &signer)) != 0 ||
	    (r = buf_get_fixed(&m->body, hash, sizeof(hash))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (env.wanted == 0 || m->id != env.wanted)
		return ERR_PROTO;
	env.wanted = 0;
	text = buf_len(&env.text) == 0 ? "" : buf_cstr(&env.text);
	if (outcome == RULES_LOADED &&
	    (fault = signer_fault(signer, hash)) != NULL) {
		outcome = RULES_DIFFER;
		text = fault;
	}
	for (size_t i = 0; i < env.nasker; i++) {
		if (env.asker[i].asked)
			answer(
			    &env.asker[i], outcome, text == NULL ? "" : text);
		else
			env.asker[left++] = env.asker[i];
	}
	env.nasker = left;
	return left == 0 ? 0 : round_start();
}

int
policy_reload_ask(struct peer *p, uint32_t id)
{
	struct asker a = { .peer = p, .id = id };
	pid_t pid;
	gid_t gid;
	int r;

	if ((r = peer_cred(p, &pid, &a.uid, &gid)) != 0)
		return r;
	for (size_t i = 0; i < env.nasker; i++) {
		if (env.asker[i].peer == p)
			return ERR_PROTO; /* it waits already */
	}
	if (env.nasker == ASKERS_MAX || child_parent() == NULL) {
		answer(&a, RULES_BUSY,
		    child_parent() == NULL
			? "posternd, which opens the folder, is not there"
			: "as many reloads wait already as may");
		return 0;
	}
	log_info("uid %ld asks for a reload of the policy", (long)a.uid);
	env.asker[env.nasker++] = a;
	return env.wanted != 0 ? 0 : round_start();
}

void
policy_reload_drop(const struct peer *p)
{
	for (size_t i = 0; i < env.nasker; i++) {
		if (env.asker[i].peer == p)
			env.asker[i].peer = NULL;
	}
}
