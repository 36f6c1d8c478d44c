/*
 * Connections that come with a job certificate.  Runs in policy.  sshd has
 * verified the CA's signature and that the client has the key, and shows the
 * certificate to PAM's open_session, where root hands it on unread.  Here it
 * opens a connection only if it is, byte for byte, one that a live session was
 * given; what it says is read all the same, and held against the connection.
 */
#include "config.h"

#include "broker/jobcert.h"

#include <openssl/evp.h>

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/keyid.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "ssh/cert.h"

#define EVENT_MAX (64 * 1024)

/* What is known of a certificate so far. */
struct shown {
	struct buf blob;
	struct cert *cert; /* NULL: it cannot be read */
	uint8_t digest[SESSION_DIGEST_LEN];
	char key[SESSION_KEY_MAX + 1];
	char session[PROTO_ID_LEN + 1]; /* as its key id has it; or "" */
};

/* -- reading --------------------------------------------------------------- */

static bool
take_text(const char **at, const char *end, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(end - *at) < n || memcmp(*at, text, n) != 0)
		return false;
	*at += n;
	return true;
}

/* SSH_AUTH_INFO_0, one method: "publickey TYPE BASE64\n". */
static int
read_info(const uint8_t *info, size_t n, struct buf *blob)
{
	const char *at = (const char *)info, *end = at + n, *type, *name;
	size_t len;
	int r;

	if (!take_text(&at, end, "publickey "))
		return ERR_FORMAT;
	type = at;
	if ((at = memchr(type, ' ', (size_t)(end - type))) == NULL)
		return ERR_FORMAT;
	len = (size_t)(at++ - type);
	if (end - at < 1 || memchr(at, '\n', (size_t)(end - at)) != end - 1)
		return ERR_FORMAT;
	if ((r = b64_decode(B64_STD, at, (size_t)(end - at) - 1, blob)) != 0)
		return r;
	name = cert_type_name(buf_ptr(blob), buf_len(blob));
	return len > 0 && strlen(name) == len && memcmp(name, type, len) == 0
		   ? 0
		   : ERR_FORMAT;
}

/* "postern session=ID ..." */
static void
read_session(struct shown *s)
{
	const char *at = s->cert->spec.key_id, *end = at + strlen(at);
	char id[PROTO_ID_LEN + 1];

	if (!take_text(&at, end, "postern session=") || end - at < PROTO_ID_LEN)
		return;
	memcpy(id, at, PROTO_ID_LEN);
	id[PROTO_ID_LEN] = '\0';
	if (ulid_valid(id))
		memcpy(s->session, id, sizeof(id));
}

/* Non-NULL: what is wrong with it. */
static const char *
read_shown(const struct jobcert_login *l, struct shown *s)
{
	if (read_info(l->info, l->ninfo, &s->blob) != 0)
		return "sshd shows no certificate";
	if (cert_parse(buf_ptr(&s->blob), buf_len(&s->blob), &s->cert) != 0)
		return "the certificate is not of the form of ours";
	if (cert_fingerprint(s->cert->spec.pub, s->cert->spec.npub, s->key,
		sizeof(s->key)) != 0 ||
	    EVP_Digest(buf_ptr(&s->blob), buf_len(&s->blob), s->digest, NULL,
		EVP_sha256(), NULL) != 1)
		return "the certificate cannot be told from others";
	read_session(s);
	return NULL;
}

static bool
has_principal(const struct cert_spec *spec, const char *user)
{
	for (size_t i = 0; i < spec->nprincipal; i++) {
		if (strcmp(spec->principal[i], user) == 0)
			return true;
	}
	return false;
}

/* sshd has looked at all of this, too. */
static const char *
fault(const struct jobcert_login *l, const struct shown *s,
    const struct session *session)
{
	const struct cert_spec *spec = &s->cert->spec;
	uint64_t serial, now = (uint64_t)time(NULL);

	if (session != NULL &&
	    (keyid_serial(session->id, &serial) != 0 || serial != spec->serial))
		return "the serial is not its session's";
	if (!has_principal(spec, l->user))
		return "the certificate is not for that user name";
	if (now >= spec->valid_before)
		return "the certificate has expired";
	if (spec->source_address != NULL &&
	    strcmp(spec->source_address, l->source) != 0)
		return "the certificate is for another source address";
	return NULL;
}

/* -- writing down ---------------------------------------------------------- */

static int
put_refusal(struct buf *b, const struct jobcert_login *l, const struct shown *s,
    const char *why)
{
	int r;

	if ((r = event_start(b, EVENT_LOGIN_REFUSED)) != 0 ||
	    (r = event_str(b, EV_SESSION, s->session)) != 0 ||
	    (r = event_str(b, EV_USER, log_safe(l->user))) != 0 ||
	    (r = event_str(b, EV_SOURCE, log_safe(l->source))) != 0 ||
	    (r = event_str(b, EV_KEY, s->key)) != 0 ||
	    (s->cert != NULL &&
		(r = event_num(b, EV_SERIAL, s->cert->spec.serial)) != 0))
		return r;
	return event_str(b, EV_REASON, why);
}

/* Those who can bring this about as often as they like leave room for the
 * others' lines. */
static void
note_refusal(
    const struct jobcert_login *l, const struct shown *s, const char *why)
{
	struct buf b;
	int r;

	buf_init(&b, EVENT_MAX);
	if ((r = put_refusal(&b, l, s, why)) == 0)
		r = policy_event_denial(&b, NULL, NULL);
	if (r != 0)
		log_err(r,
		    "not in the ledger: certificate login of %s from %s "
		    "refused: %s",
		    log_safe(l->user), log_safe(l->source), why);
	buf_clear(&b);
}

static int
note_login(const struct connection *c, const struct shown *s)
{
	struct buf b;
	int r;

	buf_init(&b, EVENT_MAX);
	if ((r = event_start(&b, EVENT_CERT_LOGIN)) == 0 &&
	    (r = session_event(c->session, c, NULL, &b)) == 0 &&
	    (r = event_num(&b, EV_SERIAL, s->cert->spec.serial)) == 0)
		r = policy_event(&b);
	buf_clear(&b);
	return r;
}

/* -- the connection -------------------------------------------------------- */

/* Whether it may open one.  On an error *why is its reason. */
static int
judge(const struct jobcert_login *l, struct shown *s, const char **why)
{
	if ((*why = read_shown(l, s)) != NULL ||
	    (*why = fault(l, s, session_of_certificate(s->digest))) != NULL)
		return ERR_DENIED;
	*why = "audit is away, or behind with what it has to write";
	return policy_audit_room() == 0 ? ERR_AGAIN : 0;
}

/* Takes pidfd. */
static int
open_shown(const struct jobcert_login *l, const struct shown *s, int pidfd,
    struct connection **out, const char **why)
{
	const struct certificate_login cl = { .user = l->user,
		.source = l->source,
		.digest = s->digest,
		.key = s->key };
	struct connection *c = NULL;
	int r;

	if ((r = session_open_certificate(&cl, l->monitor, pidfd, &c, why)) !=
	    0)
		return r;
	*why = "its line could not be written into the ledger";
	if ((r = note_login(c, s)) != 0) {
		(void)session_close(c->handle, l->monitor);
		return r;
	}
	session_names(c, s->cert->spec.principal, s->cert->spec.nprincipal);
	*out = c;
	return 0;
}

int
jobcert_login(const struct jobcert_login *l, int pidfd, struct connection **out)
{
	const char *why = NULL;
	struct shown s = { 0 };
	int r;

	buf_init(&s.blob, PROTO_JOB_CERT_MAX);
	if ((r = judge(l, &s, &why)) == 0)
		r = open_shown(l, &s, pidfd, out, &why);
	else if (pidfd >= 0)
		(void)close(pidfd);
	if (r != 0)
		note_refusal(l, &s, why);
	cert_free(s.cert);
	buf_clear(&s.blob);
	return r;
}
