/*
 * `ssh postern@BASTION login < key.pub`: a certificate for a job's own key.
 * Runs in policy.  The key is a job's bytes; what the signer makes of it is
 * read back before anybody gets it.  The session remembers the certificate, and
 * the ledger has its line, before the job has it: so each one that opens a
 * connection later is one that was written down.
 */
#include "config.h"

#include "broker/jobcert.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#include "broker/child.h"
#include "broker/keyid.h"
#include "broker/loop.h"
#include "broker/operation.h"
#include "broker/operation_internal.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/policy.h"
#include "ssh/cert.h"
#include "ssh/pubkey.h"

#define SIGNER_MS 10000 /* and audit's time, too */
#define EVENT_MAX (64 * 1024)
#define PRINCIPALS_TEXT_MAX (CERT_PRINCIPALS_MAX * (USER_LEN_MAX + 1))

#define TRY_AGAIN "; try again in a minute"

/* One that is being made. */
struct jobcert {
	struct session *session;
	uint32_t id; /* of JOB_CERT; 0: it is answered */
	int64_t until_ms;
	uint32_t seconds;
	bool given; /* the session has it */
	bool more;  /* names than it holds */
	uint8_t digest[SESSION_DIGEST_LEN];
	struct buf key;  /* the job's, its SSH blob */
	struct buf blob; /* the certificate */
};

/* The job may have left in between: what it never got opens nothing. */
void
jobcert_free(struct jobcert *j)
{
	if (j == NULL)
		return;
	if (j->given)
		session_uncertify(j->session, j->digest);
	buf_clear(&j->key);
	buf_clear(&j->blob);
	free(j);
}

const struct session *
jobcert_session(const struct jobcert *j)
{
	return j->session;
}

static int __attribute__((format(printf, 3, 4)))
refuse(struct operation *op, uint32_t code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	operation_refuse(op, code, text);
	return ERR_DENIED;
}

/* -- the question ---------------------------------------------------------- */

/* How long it may be good: not longer than the session. */
static uint32_t
lifetime(const struct session *s)
{
	int64_t left = (s->limit_ms - msg_now_ms()) / 1000;
	uint32_t max = policy_conf()->certificate_lifetime_s;

	return left <= 0 ? 0 : left < max ? (uint32_t)left : max;
}

/* The others of the session's that are on their way count, too. */
static size_t
being_made(const struct session *s)
{
	size_t n = 0;

	for (struct operation *op = operation_first(); op != NULL;
	     op = op->next)
		n +=
		    op->job != NULL && op->job->session == s && !op->job->given;
	return n;
}

/* Whether the session may have one more; if not, op is refused. */
static int
may_have_one(struct operation *op, struct session *s)
{
	int64_t first = 0;

	if (operation_count() > policy_conf()->operations_max)
		return refuse(op, POSTERN_EX_TEMPFAIL,
		    "this bastion runs as many operations as it may "
		    "(operations-max); try again");
	if (policy_audit() == NULL)
		return refuse(op, POSTERN_EX_IOERR,
		    "audit is away, and what is not written down is not "
		    "given" TRY_AGAIN);
	if (policy_audit_room() == 0)
		return refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is behind with writing down what it was asked "
		    "before" TRY_AGAIN);
	if (!session_has_identity(s))
		return refuse(op, POSTERN_EX_DENIED,
		    "no identity of the policy matches this session any more");
	if (lifetime(s) == 0)
		return refuse(op, POSTERN_EX_DENIED,
		    "this session is about to end; log in again with a token");
	if (session_certificates(s, &first) + being_made(s) >=
	    SESSION_CERTIFICATES_MAX)
		return refuse(op, POSTERN_EX_TEMPFAIL,
		    "this session has %d certificates that are still good, "
		    "which is the limit; use one of them, or wait %lld s",
		    SESSION_CERTIFICATES_MAX,
		    (long long)(first == 0
				    ? 1
				    : (first - msg_now_ms()) / 1000 + 1));
	return 0;
}

static int
put_identities(struct buf *b, const struct session *s)
{
	const struct policy *p = policy_now();
	uint32_t n = 0, left;
	int r;

	for (size_t i = 0; i < policy_nidentities(p); i++)
		n += s->identity[i];
	left = n < PROTO_JOB_IDENTITIES_MAX ? n : PROTO_JOB_IDENTITIES_MAX;
	if ((r = buf_put_u32(b, left)) != 0)
		return r;
	for (size_t i = 0; left > 0; i++) {
		if (!s->identity[i])
			continue;
		if ((r = buf_put_cstr(b, policy_identity_name(p, i))) != 0)
			return r;
		left--;
	}
	return 0;
}

/* A key id takes no more; what is longer is no commit. */
static const char *
commit_of(const struct session *s)
{
	const char *c = s->ties.commit;

	return c != NULL && strlen(c) <= 100 ? c : "";
}

static int
send_job_cert(struct jobcert *j, const struct connection *conn)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_JOB_CERT);
	m.id = peer_next_id(policy_signer());
	if ((r = buf_put_cstr(&m.body, j->session->id)) == 0 &&
	    (r = buf_put_cstr(&m.body, commit_of(j->session))) == 0 &&
	    (r = buf_put_cstr(
		 &m.body, policy_conf()->certificate_source == CONF_SOURCE_SAME
			      ? conn->source
			      : "")) == 0 &&
	    (r = buf_put_u32(&m.body, j->seconds)) == 0 &&
	    (r = put_identities(&m.body, j->session)) == 0 &&
	    (r = buf_put_str(&m.body, buf_ptr(&j->key), buf_len(&j->key))) == 0)
		r = peer_send(policy_signer(), &m);
	if (r == 0)
		j->id = m.id;
	msg_clear(&m);
	return r;
}

static void
on_timeout(void *arg)
{
	struct operation *op = arg;

	op->timer = NULL;
	(void)refuse(op, POSTERN_EX_TEMPFAIL,
	    "the certificate was not made in time" TRY_AGAIN);
}

static struct jobcert *
jobcert_new(struct operation *op, struct connection *conn)
{
	struct jobcert *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	buf_init(&j->key, PROTO_JOB_KEY_MAX);
	buf_init(&j->blob, PROTO_JOB_CERT_MAX);
	op->job = j;
	op->conn = conn; /* and so its session */
	session_hold(conn);
	j->session = conn->session;
	j->seconds = lifetime(j->session);
	j->until_ms = msg_now_ms() + (int64_t)j->seconds * 1000;
	return j;
}

void
jobcert_ask(struct operation *op, struct connection *conn, const uint8_t *text,
    size_t n)
{
	struct jobcert *j;
	const char *why;

	if (may_have_one(op, conn->session) != 0)
		return;
	if ((j = jobcert_new(op, conn)) == NULL ||
	    (op->timer = loop_timer(child_loop(), SIGNER_MS, on_timeout, op)) ==
		NULL)
		(void)refuse(op, POSTERN_EX_TEMPFAIL,
		    "the broker is out of memory" TRY_AGAIN);
	else if (pubkey_read(text, n, &j->key, &why) != 0)
		(void)refuse(op, POSTERN_EX_USAGE,
		    "%s; as in: ssh postern@BASTION login < key.pub > "
		    "key-cert.pub",
		    why);
	else if (policy_signer() == NULL || send_job_cert(j, conn) != 0)
		(void)refuse(op, POSTERN_EX_TEMPFAIL,
		    "the signer cannot be asked for a certificate" TRY_AGAIN);
}

/* -- the answer ------------------------------------------------------------ */

/* `TYPE BASE64 postern-SESSION` and a newline: what ssh wants in key-cert.pub.
 */
static int
put_line(struct buf *b, const struct jobcert *j)
{
	const uint8_t *p = buf_ptr(&j->blob);
	size_t n = buf_len(&j->blob);
	int r;

	if ((r = buf_putf(b, "%s ", cert_type_name(p, n))) != 0 ||
	    (r = b64_encode(B64_STD, p, n, b)) != 0)
		return r;
	return buf_putf(b, " postern-%s\n", j->session->id);
}

static int
put_more(struct buf *b, const struct jobcert *j)
{
	if (!j->more)
		return 0;
	return buf_putf(b,
	    "postern: this job may use more names than the %d that a "
	    "certificate holds; for the others log in with a token\n",
	    CERT_PRINCIPALS_MAX - 1);
}

static void
hand_over(struct operation *op)
{
	struct jobcert *j = op->job;
	struct buf out, err;
	int r;

	buf_init(&out, PROTO_TEXT_MAX);
	buf_init(&err, PROTO_TEXT_MAX);
	if ((r = put_line(&out, j)) == 0 && (r = put_more(&err, j)) == 0 &&
	    (r = operation_answer(op, 0, &out, &err)) == 0)
		j->given = false; /* it is the job's now */
	else
		log_err_about(ABOUT_OPERATION(op->id), r,
		    "answer to operation %s", op->id);
	buf_clear(&out);
	buf_clear(&err);
	operation_free(op);
}

/* The ledger has its line, or has not. */
static void
on_written(void *arg, int result)
{
	struct operation *op = arg;

	if (result == 0)
		hand_over(op);
	else
		(void)refuse(op, POSTERN_EX_IOERR,
		    "the certificate could not be written into the bastion's "
		    "ledger, so it is not given" TRY_AGAIN);
}

static int
put_principals(struct buf *event, const struct cert_spec *spec)
{
	struct buf b;
	int r = 0;

	buf_init(&b, PRINCIPALS_TEXT_MAX);
	for (size_t i = 0; i < spec->nprincipal && r == 0; i++)
		r = buf_putf(&b, "%s%s", i == 0 ? "" : ",", spec->principal[i]);
	if (r == 0)
		r = event_str(event, EV_PRINCIPALS, buf_cstr(&b));
	buf_clear(&b);
	return r;
}

/* key is the certified one's fingerprint; the connection may itself have come
 * with a certificate, for another key. */
static int
note(struct operation *op, const struct cert_spec *spec, const char *key)
{
	struct connection asked = *op->conn;
	struct buf b;
	int r;

	buf_init(&b, EVENT_MAX);
	if ((r = event_start(&b, EVENT_CERT_ISSUE)) == 0 &&
	    (r = str_copy(asked.key, sizeof(asked.key), key)) == 0 &&
	    (r = session_event(op->job->session, &asked, NULL, &b)) == 0 &&
	    (r = event_num(&b, EV_SERIAL, spec->serial)) == 0 &&
	    (r = event_str(&b, EV_KEY_ID, spec->key_id)) == 0 &&
	    (r = put_principals(&b, spec)) == 0 &&
	    (r = event_num(&b, EV_LIFETIME_S, op->job->seconds)) == 0)
		r = policy_event_then(&b, on_written, op);
	explicit_bzero(&asked, sizeof(asked)); /* its handle */
	buf_clear(&b);
	return r;
}

/* It is what was asked for: this session's, for this key. */
static int
check(struct jobcert *j, const struct cert *c)
{
	const struct cert_spec *s = &c->spec;
	uint64_t serial;
	int r;

	if ((r = keyid_serial(j->session->id, &serial)) != 0)
		return r;
	if (s->serial != serial || s->npub != buf_len(&j->key) ||
	    memcmp(s->pub, buf_ptr(&j->key), s->npub) != 0 ||
	    s->force_command != NULL)
		return ERR_PROTO;
	return EVP_Digest(buf_ptr(&j->blob), buf_len(&j->blob), j->digest, NULL,
		   EVP_sha256(), NULL) == 1
		   ? 0
		   : ERR_CRYPTO;
}

/* The session has it, its row says so, and then the ledger. */
static void
take(struct operation *op)
{
	struct jobcert *j = op->job;
	char key[SESSION_KEY_MAX + 1];
	struct cert *c = NULL;
	int r;

	if ((r = cert_parse(buf_ptr(&j->blob), buf_len(&j->blob), &c)) != 0 ||
	    (r = check(j, c)) != 0 ||
	    (r = cert_fingerprint(
		 c->spec.pub, c->spec.npub, key, sizeof(key))) != 0 ||
	    (r = session_certify(j->session, j->digest, j->until_ms)) != 0)
		goto out;
	j->given = true;
	r = note(op, &c->spec, key);
out:
	cert_free(c);
	if (r != 0) {
		log_err_about(ABOUT_SESSION(j->session->id), r,
		    "a certificate for session %s", j->session->id);
		(void)refuse(op, POSTERN_EX_TEMPFAIL,
		    "the certificate could not be made" TRY_AGAIN);
	}
}

static struct operation *
waiting(uint32_t id)
{
	struct operation *op = operation_first();

	while (op != NULL && (op->job == NULL || op->job->id == 0 ||
				 (id != 0 && op->job->id != id)))
		op = op->next;
	return op;
}

int
jobcert_made(struct msg *m)
{
	char reason[256];
	struct operation *op = waiting(m->id);
	const uint8_t *blob;
	uint32_t result;
	uint8_t more;
	size_t n;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_view(&m->body, PROTO_JOB_CERT_MAX, &blob, &n)) != 0 ||
	    (r = buf_get_u8(&m->body, &more)) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (op == NULL || m->id == 0)
		return 0; /* whoever asked has left */
	op->job->id = 0;
	op->job->more = more != 0;
	if (result != 0 || buf_put(&op->job->blob, blob, n) != 0)
		(void)refuse(op, POSTERN_EX_TEMPFAIL,
		    "the signer gives no certificate: %s", log_safe(reason));
	else
		take(op);
	return 0;
}

void
jobcert_signer_lost(void)
{
	struct operation *op;

	while ((op = waiting(0)) != NULL)
		(void)refuse(op, POSTERN_EX_TEMPFAIL,
		    "the signer was restarted before it made the "
		    "certificate" TRY_AGAIN);
}
