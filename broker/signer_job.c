/*
 * Job certificates: what postern-signer makes of JOB_CERT.  policy names a
 * session, its identities, a lifetime and a key; everything else is the
 * signer's own.  The principals are the names that those identities may use by
 * the policy as the signer has read it, the serial is the session's, a terminal
 * is the one extension, and nothing is valid for more than a quarter of an
 * hour.  Such a certificate opens a connection and runs nothing: what is done
 * there is decided, and granted, one operation after the other.
 */
#include "config.h"

#include "broker/signer_job.h"

#include <sys/queue.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/keyid.h"
#include "broker/peer.h"
#include "broker/rules.h"
#include "broker/signer_ca.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/names.h"
#include "policy/policy.h"
#include "ssh/cert.h"
#include "ssh/pubkey.h"

#define SKEW_S 60      /* jobs whose clocks run behind look at it, too */
#define COMMIT_MAX 256 /* bytes; a key id takes less */

/* What is asked, and what is made of it. */
struct job {
	LIST_ENTRY(job) link;
	bool waits; /* it is on the list */
	struct peer *policy;
	uint32_t id; /* of its question */
	struct signing *signing;
	char session[PROTO_ID_LEN + 1];
	char *commit;
	char source[PROTO_SOURCE_MAX + 1];
	uint32_t seconds;
	const char *first; /* identity, in the policy's memory */
	bool *identity;    /* as policy_match sets it */
	size_t nidentity;  /* how many of them are set */
	const char *fault; /* why it is not signed */
	const uint8_t *pub;
	size_t npub;
	uint8_t more; /* 1: names than fit */
	size_t n;
	char name[CERT_PRINCIPALS_MAX][USER_LEN_MAX + 1];
};

/* Those that wait for an agent. */
static struct {
	LIST_HEAD(, job) waiting;
} env;

static void
job_free(struct job *j)
{
	if (j == NULL)
		return;
	if (j->waits)
		LIST_REMOVE(j, link);
	signing_free(j->signing);
	free(j->commit);
	free(j->identity);
	free(j);
}

/* -- the question ------------------------------------------------------------
 */

static void
take_identity(struct job *j, const struct policy *p, const char *name)
{
	for (size_t i = 0; p != NULL && i < policy_nidentities(p); i++) {
		if (strcmp(policy_identity_name(p, i), name) != 0)
			continue;
		if (j->first == NULL)
			j->first = policy_identity_name(p, i);
		j->nidentity += !j->identity[i];
		j->identity[i] = true;
		return;
	}
	j->fault = "the signer knows no such identity";
}

static int
get_identities(struct buf *b, struct job *j, const struct policy *p)
{
	size_t all = p == NULL ? 0 : policy_nidentities(p);
	char name[NAME_LEN_MAX + 1];
	uint32_t n;
	int r;

	if ((j->identity = calloc(all + 1, sizeof(*j->identity))) == NULL)
		return ERR_NOMEM;
	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > PROTO_JOB_IDENTITIES_MAX)
		return ERR_TOOBIG;
	for (uint32_t i = 0; i < n; i++) {
		if ((r = buf_get_fixed(b, name, sizeof(name))) != 0)
			return r;
		take_identity(j, p, name);
	}
	return 0;
}

static int
get_job(struct buf *b, struct job *j, const struct policy *p)
{
	int r;

	if ((r = buf_get_fixed(b, j->session, sizeof(j->session))) != 0 ||
	    (r = buf_get_cstr(b, COMMIT_MAX, &j->commit)) != 0 ||
	    (r = buf_get_fixed(b, j->source, sizeof(j->source))) != 0 ||
	    (r = buf_get_u32(b, &j->seconds)) != 0 ||
	    (r = get_identities(b, j, p)) != 0 ||
	    (r = buf_get_view(b, PUBKEY_BLOB_MAX, &j->pub, &j->npub)) != 0)
		return r;
	return buf_end(b);
}

/* Why it cannot be signed; NULL when it can. */
static const char *
job_fault(const struct job *j, const struct rules *rules)
{
	const struct pubkey_kind *k;
	const char *fault;

	if ((fault = signer_ca_fault(CA_JOB)) != NULL)
		return fault;
	if (rules->policy == NULL)
		return "the signer has no policy";
	if (j->fault != NULL)
		return j->fault;
	if (j->nidentity == 0)
		return "the session has no identity";
	if (j->seconds == 0 || j->seconds > PROTO_JOB_CERT_S_MAX)
		return "the lifetime is not within its bounds";
	if (strpbrk(j->source, ",/") != NULL)
		return "the source is not one address";
	if (pubkey_check(j->pub, j->npub, &k) != 0)
		return "the key is none that gets a certificate";
	return NULL;
}

/* -- the certificate ---------------------------------------------------------
 */

static int
add_name(void *arg, const char *name)
{
	struct job *j = arg;

	if (j->n == CERT_PRINCIPALS_MAX)
		return ERR_INTERNAL;
	return str_copy(j->name[j->n++], sizeof(j->name[0]), name);
}

static int
job_names(struct job *j, const struct policy *p, time_t now)
{
	struct names n = { .policy = p,
		.identity = j->identity,
		.now = now,
		.max = CERT_PRINCIPALS_MAX - 1,
		.fn = add_name,
		.arg = j };
	int r;

	/* whoami, and a further certificate, before this one is over */
	if ((r = add_name(j, "postern")) != 0 || (r = policy_names(&n)) != 0)
		return r;
	j->more = n.more;
	return 0;
}

static int
job_key_id(const struct job *j, struct buf *b)
{
	int r;

	if ((r = buf_putf(b, "postern session=%s", j->session)) != 0 ||
	    (r = keyid_put(b, "identity", j->first)) != 0 ||
	    (r = keyid_put(b, "commit", j->commit)) != 0)
		return r;
	return buf_cstr(b) == NULL ? ERR_NOMEM : 0;
}

static void
job_signed(void *arg, const struct buf *blob, const char *why)
{
	struct job *j = arg;
	int r;

	j->signing = NULL;
	if (why != NULL)
		log_err_about(ABOUT_SESSION(log_safe(j->session)), 0,
		    "session %s gets no certificate: %s", log_safe(j->session),
		    why);
	if ((r = signer_answer(j->policy, j->id, blob, &j->more, why)) != 0)
		log_err(r, "certificate for session %s", log_safe(j->session));
	job_free(j);
}

/* job_signed is called, and j perhaps freed, unless this returns an error. */
static int
job_sign(struct job *j, const struct rules *rules)
{
	uint64_t now = (uint64_t)time(NULL);
	struct buf key_id;
	int r;
	struct cert_spec spec = {
		.pub = j->pub,
		.npub = j->npub,
		.valid_after = now - SKEW_S,
		.valid_before = now + j->seconds,
		.source_address = j->source[0] == '\0' ? NULL : j->source,
		.permit_pty = true,
	};

	buf_init(&key_id, KEY_ID_MAX);
	if ((r = keyid_serial(j->session, &spec.serial)) != 0 ||
	    (r = job_names(j, rules->policy, (time_t)now)) != 0 ||
	    (r = job_key_id(j, &key_id)) != 0)
		goto out;
	spec.key_id = buf_cstr(&key_id);
	for (size_t i = 0; i < j->n; i++)
		spec.principal[i] = j->name[i];
	spec.nprincipal = j->n;
	j->waits = true;
	LIST_INSERT_HEAD(&env.waiting, j, link);
	signer_ca_sign(CA_JOB, &spec, job_signed, j, &j->signing);
out:
	buf_clear(&key_id);
	return r;
}

int
signer_job(const struct rules *rules, struct peer *policy, struct msg *m)
{
	struct job *j = calloc(1, sizeof(*j));
	const char *fault;
	struct buf none;
	int r;

	if (j == NULL)
		return ERR_NOMEM;
	j->policy = policy;
	j->id = m->id;
	if ((r = get_job(&m->body, j, rules->policy)) != 0) {
		job_free(j);
		return r;
	}
	buf_init(&none, 0);
	if ((fault = job_fault(j, rules)) == NULL && job_sign(j, rules) != 0)
		fault = "the certificate could not be signed";
	if (fault != NULL)
		job_signed(j, &none, fault);
	return 0;
}

void
signer_job_gone(const struct peer *policy)
{
	struct job *j = LIST_FIRST(&env.waiting), *next;

	for (; j != NULL; j = next) {
		next = LIST_NEXT(j, link);
		if (j->policy == policy)
			job_free(j);
	}
}
