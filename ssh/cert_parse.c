/*
 * Reading OpenSSH user certificates.  Runs wherever one is looked at: tests,
 * `postern`, policy on a job certificate.  Distrusts every byte: accepted is
 * only what cert.c could have built, and only with a good signature.
 */
#include "config.h"

#include "ssh/cert.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "ssh/cert_internal.h"
#include "ssh/pubkey.h"
#include "ssh/sig.h"

#define CERT_PRINCIPALS_BYTES \
	(CERT_PRINCIPALS_MAX * (4 + CERT_PRINCIPAL_MAX))

/* Moves a string into c->texts.  The room is as large as the blob: each string
 * gave up four bytes of length for its one NUL, and the key's blob is shorter
 * than what it is made from. */
struct texts {
	char *at;
};

static int
parse_text(struct buf *b, size_t max, struct texts *t, const char **sp)
{
	const uint8_t *p;
	size_t n;
	int r;

	if ((r = buf_get_view(b, max, &p, &n)) != 0)
		return r;
	if (memchr(p, '\0', n) != NULL)
		return ERR_FORMAT;
	memcpy(t->at, p, n);
	t->at[n] = '\0';
	*sp = t->at;
	t->at += n + 1;
	return 0;
}

/* A string that must be exactly s. */
static int
parse_literal(struct buf *b, const char *s)
{
	const uint8_t *p;
	size_t n;

	if (buf_get_view(b, 64, &p, &n) != 0 || n != strlen(s) ||
	    memcmp(p, s, n) != 0)
		return ERR_FORMAT;
	return 0;
}

/* A string of exactly n bytes. */
static int
parse_exact(struct buf *b, size_t n, const uint8_t **pp)
{
	size_t len;

	return buf_get_view(b, n, pp, &len) == 0 && len == n ? 0 : ERR_FORMAT;
}

/* A string that is read on its own. */
static int
parse_inner(struct buf *b, size_t max, struct buf *in)
{
	const uint8_t *p;
	size_t n;
	int r;

	if ((r = buf_get_view(b, max, &p, &n)) != 0)
		return r;
	buf_view(in, p, n);
	return 0;
}

static int
parse_principals(struct buf *b, struct cert_spec *spec, struct texts *t)
{
	struct buf in;
	int r;

	if ((r = parse_inner(b, CERT_PRINCIPALS_BYTES, &in)) != 0)
		return r;
	while (buf_len(&in) > 0) {
		if (spec->nprincipal == CERT_PRINCIPALS_MAX)
			return ERR_TOOBIG;
		if ((r = parse_text(&in, CERT_PRINCIPAL_MAX, t,
		    &spec->principal[spec->nprincipal])) != 0)
			return r;
		spec->nprincipal++;
	}
	return 0;
}

/* One critical option, if it is the next one.  Its absence is fine; an option
 * that is unknown, repeated or out of order is left over and refused then. */
static int
parse_option(struct buf *b, const char *name, size_t max, struct texts *t,
    const char **sp)
{
	struct buf at = *b, in;
	int r;

	if (buf_len(b) == 0 || parse_literal(&at, name) != 0)
		return 0;
	if ((r = parse_inner(&at, max + 4, &in)) != 0 ||
	    (r = parse_text(&in, max, t, sp)) != 0 ||
	    (r = buf_end(&in)) != 0)
		return r;
	*b = at;
	return 0;
}

static int
parse_critical(struct buf *b, struct cert_spec *spec, struct texts *t)
{
	struct buf in;
	int r;

	if ((r = parse_inner(b, CERT_BLOB_MAX, &in)) != 0 ||
	    (r = parse_option(&in, "force-command", PROTO_WIRE_MAX, t,
	    &spec->force_command)) != 0 ||
	    (r = parse_option(&in, "source-address", CERT_SOURCE_MAX, t,
	    &spec->source_address)) != 0)
		return r;
	return buf_end(&in);
}

static int
parse_extensions(struct buf *b, struct cert_spec *spec)
{
	struct buf in;
	int r;

	if ((r = parse_inner(b, 256, &in)) != 0)
		return r;
	if (buf_len(&in) == 0)
		return 0;
	if ((r = parse_literal(&in, "permit-pty")) != 0 ||
	    (r = parse_literal(&in, "")) != 0)
		return r;
	spec->permit_pty = true;
	return buf_end(&in);
}

/* The CA's key and its signature over everything before the signature. */
static int
parse_authority(struct buf *b, const uint8_t *blob, struct cert *c)
{
	const uint8_t *ca = NULL, *sig = NULL;
	size_t nca = 0, nsig = 0, nbody;
	int r;

	if ((r = buf_get_view(b, PUBKEY_BLOB_MAX, &ca, &nca)) != 0)
		return r;
	nbody = (size_t)(buf_ptr(b) - blob);
	if ((r = buf_get_view(b, SIG_BLOB_MAX, &sig, &nsig)) != 0 ||
	    (r = buf_end(b)) != 0 ||
	    (r = sig_verify(ca, nca, sig, nsig, blob, nbody)) != 0)
		return r;
	return cert_fingerprint(
	    ca, nca, c->ca_fingerprint, sizeof(c->ca_fingerprint));
}

/* Its blob, put together from the kind's name and the fields that are in the
 * certificate. */
static int
parse_key(struct buf *b, struct cert_spec *spec, struct texts *t)
{
	const struct pubkey_kind *k;
	const uint8_t *name, *nonce, *rest;
	struct buf pub;
	size_t n;
	int r;

	if ((r = buf_get_view(b, 64, &name, &n)) != 0)
		return r;
	if ((k = pubkey_cert_kind_find(name, n)) == NULL)
		return ERR_FORMAT;
	if ((r = parse_exact(b, CERT_NONCE_LEN, &nonce)) != 0)
		return r;
	rest = buf_ptr(b);
	if ((r = pubkey_get_rest(b, k)) != 0)
		return r;
	buf_init(&pub, PUBKEY_BLOB_MAX);
	n = (size_t)(buf_ptr(b) - rest);
	if ((r = buf_put_cstr(&pub, k->name)) == 0 &&
	    (r = buf_put(&pub, rest, n)) == 0) {
		spec->pub = memcpy(t->at, buf_ptr(&pub), buf_len(&pub));
		spec->npub = buf_len(&pub);
		t->at += spec->npub;
		if (k->len == CERT_KEY_LEN)
			memcpy(spec->key, rest + 4, CERT_KEY_LEN);
	}
	buf_clear(&pub);
	return r;
}

static int
parse_body(struct buf *b, struct cert_spec *spec, struct texts *t)
{
	uint32_t kind = 0;
	int r;

	if ((r = parse_key(b, spec, t)) != 0 ||
	    (r = buf_get_u64(b, &spec->serial)) != 0 ||
	    (r = buf_get_u32(b, &kind)) != 0)
		return r;
	if (kind != CERT_KIND_USER)
		return ERR_FORMAT;
	if ((r = parse_text(b, CERT_KEY_ID_MAX, t, &spec->key_id)) != 0 ||
	    (r = parse_principals(b, spec, t)) != 0 ||
	    (r = buf_get_u64(b, &spec->valid_after)) != 0 ||
	    (r = buf_get_u64(b, &spec->valid_before)) != 0 ||
	    (r = parse_critical(b, spec, t)) != 0 ||
	    (r = parse_extensions(b, spec)) != 0)
		return r;
	return parse_literal(b, ""); /* reserved */
}

int
cert_parse(const void *blob, size_t n, struct cert **out)
{
	struct cert *c = NULL;
	struct texts t;
	struct buf b;
	int r = ERR_INTERNAL;

	if (n == 0 || n > CERT_BLOB_MAX) {
		r = n == 0 ? ERR_FORMAT : ERR_TOOBIG;
		goto out;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL ||
	    (c->texts = malloc(n)) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	t.at = c->texts;
	buf_view(&b, blob, n);
	if ((r = parse_body(&b, &c->spec, &t)) != 0 ||
	    (r = parse_authority(&b, blob, c)) != 0 ||
	    (r = cert_spec_check(&c->spec)) != 0)
		goto out;
	*out = c;
	c = NULL;
out:
	cert_free(c);
	return r;
}

void
cert_free(struct cert *c)
{
	if (c == NULL)
		return;
	free(c->texts);
	free(c);
}

const char *
cert_type_name(const void *blob, size_t n)
{
	const struct pubkey_kind *k;
	const uint8_t *name;
	struct buf b;
	size_t len;

	buf_view(&b, blob, n);
	if (buf_get_view(&b, 64, &name, &len) != 0 ||
	    (k = pubkey_cert_kind_find(name, len)) == NULL)
		return "";
	return k->cert_name;
}
