/*
 * The certificates that a session was given, in the policy process, and the
 * connections that they open.  What a certificate says was read by the caller
 * (jobcert_login.c); here it is known by its digest alone.
 */
#include "config.h"

#include "broker/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/session_internal.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "lib/msg.h"

static struct certificate *
certificate_find(struct session *s, const uint8_t *digest)
{
	for (size_t i = 0; i < s->ncertificate; i++) {
		if (mem_equal(
			s->certificate[i].digest, digest, SESSION_DIGEST_LEN))
			return &s->certificate[i];
	}
	return NULL;
}

static void
certificate_drop(struct session *s, struct certificate *c)
{
	*c = s->certificate[--s->ncertificate];
}

size_t
session_certificates(struct session *s, int64_t *first_ms)
{
	int64_t now = msg_now_ms();

	*first_ms = 0;
	for (size_t i = s->ncertificate; i-- > 0;) {
		if (now >= s->certificate[i].until_ms)
			certificate_drop(s, &s->certificate[i]);
	}
	for (size_t i = 0; i < s->ncertificate; i++) {
		if (*first_ms == 0 || s->certificate[i].until_ms < *first_ms)
			*first_ms = s->certificate[i].until_ms;
	}
	return s->ncertificate;
}

int
session_certify(struct session *s, const uint8_t *digest, int64_t until_ms)
{
	struct certificate *c;
	int64_t first;

	if (session_certificates(s, &first) == SESSION_CERTIFICATES_MAX)
		return ERR_TOOBIG;
	c = &s->certificate[s->ncertificate++];
	memcpy(c->digest, digest, SESSION_DIGEST_LEN);
	c->until_ms = until_ms < s->limit_ms ? until_ms : s->limit_ms;
	takeover_keep_session(s);
	return 0;
}

void
session_uncertify(struct session *s, const uint8_t *digest)
{
	struct certificate *c = certificate_find(s, digest);

	if (c == NULL)
		return;
	certificate_drop(s, c);
	if (!s->ending)
		takeover_keep_session(s);
}

struct session *
session_of_certificate(const uint8_t *digest)
{
	struct session *s;

	for (s = session_table.sessions; s != NULL; s = s->next) {
		if (!s->ending && certificate_find(s, digest) != NULL)
			return s;
	}
	return NULL;
}

/* NULL: the session takes a connection by that certificate. */
static const char *
certificate_fault(struct session *s, const uint8_t *digest)
{
	if (s == NULL)
		return "no live session was given this certificate";
	if (s->over || msg_now_ms() >= s->limit_ms)
		return "its session is over";
	if (msg_now_ms() >= certificate_find(s, digest)->until_ms)
		return "the certificate has expired";
	if (!session_has_identity(s))
		return "its session matches no identity of the policy any more";
	if (s->nconnection >= SESSION_CONNECTIONS_MAX)
		return "its session has as many connections as it may";
	return NULL;
}

int
session_open_certificate(const struct certificate_login *l, pid_t monitor,
    int pidfd, struct connection **out, const char **why)
{
	struct session *s = session_of_certificate(l->digest);
	struct connection *c = NULL;
	int r = ERR_DENIED;

	if ((*why = certificate_fault(s, l->digest)) != NULL)
		goto out;
	*why = "the connection could not be opened";
	if ((r = connection_make(l->user, l->source, &c)) != 0 ||
	    (r = str_copy(c->key, sizeof(c->key), l->key)) != 0)
		goto out;
	connection_join(c, s);
	r = connection_open(c, monitor, pidfd);
	pidfd = -1;
	if (r == 0)
		*out = c;
	else
		connection_drop(c);
	c = NULL;
out:
	connection_free(c);
	if (pidfd >= 0)
		(void)close(pidfd);
	return r;
}

void
session_names(struct connection *c, const char *const *name, size_t n)
{
	size_t size = 1;
	char *at;

	if (strcmp(c->user, "postern") != 0)
		return;
	for (size_t i = 0; i < n; i++)
		size += strlen(name[i]) + 1;
	if ((at = c->names = calloc(1, size)) == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		size = strlen(name[i]) + 1;
		memcpy(at, name[i], size);
		at += size;
	}
}

bool
session_may_name(const struct connection *c, const char *user)
{
	const char *at = c->names;

	if (c->key[0] == '\0') /* a token opens a session by any name */
		return true;
	while (at != NULL && *at != '\0') {
		if (strcmp(at, user) == 0)
			return true;
		at += strlen(at) + 1;
	}
	return false;
}
