/*
 * Building OpenSSH user certificates (OpenSSH's PROTOCOL.certkeys), signed by
 * an Ed25519 key that is here, or by an agent.  Runs in the signer.  Distrusts
 * the spec: names, commands and keys come from policy and, behind it, from a
 * job; what breaks a rule here is not signed.
 */
#include "config.h"

#include "ssh/cert.h"

#include <arpa/inet.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "ssh/cert_internal.h"
#include "ssh/pubkey.h"
#include "ssh/sig.h"

/* sshd writes the key id into its log as it is: a newline there would forge a
 * line, a trailing blank would be lost. */
static bool
cert_key_id_ok(const char *s)
{
	size_t n;

	if (s == NULL || (n = strlen(s)) == 0 || n > CERT_KEY_ID_MAX ||
	    s[0] == ' ' || s[n - 1] == ' ')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	}
	return true;
}

/* No comma, blank, quote or wildcard: sshd matches principals as lists in
 * some places (CVE-2026-35414), as patterns in others. */
static bool
cert_principal_ok(const char *s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
	size_t n;

	return s != NULL && (n = strlen(s)) > 0 && n <= CERT_PRINCIPAL_MAX &&
	    s[0] != '-' && strspn(s, set) == n;
}

/* sshd refuses an address with bits behind its mask, and then every login. */
static bool
cert_mask_ok(const uint8_t *addr, size_t n, uint64_t bits)
{
	for (size_t i = 0; i < n; i++) {
		size_t keep = bits > 8 ? 8 : (size_t)bits;

		if ((addr[i] & (0xffU >> keep)) != 0)
			return false;
		bits -= keep;
	}
	return true;
}

static bool
cert_cidr_ok(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN + 4], *slash;
	uint8_t addr[16];
	uint64_t bits;
	size_t len;

	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	if ((slash = strchr(text, '/')) != NULL)
		*slash = '\0';
	if (inet_pton(AF_INET, text, addr) == 1)
		len = 4;
	else if (inet_pton(AF_INET6, text, addr) == 1)
		len = 16;
	else
		return false;
	if (slash == NULL)
		return true;
	return num_parse(slash + 1, 0, len * 8, &bits) == 0 &&
	    cert_mask_ok(addr, len, bits);
}

static bool
cert_source_ok(const char *s)
{
	size_t n;

	if (strlen(s) > CERT_SOURCE_MAX)
		return false;
	for (;;) {
		n = strcspn(s, ",");
		if (!cert_cidr_ok(s, n))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}

static bool
cert_command_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= PROTO_WIRE_MAX && strpbrk(s, "\r\n") == NULL &&
	    utf8_valid(s, n);
}

int
cert_spec_check(const struct cert_spec *spec)
{
	if (!cert_key_id_ok(spec->key_id))
		return ERR_FORMAT;
	/* A certificate without principals is good for every account. */
	if (spec->nprincipal == 0 || spec->nprincipal > CERT_PRINCIPALS_MAX)
		return ERR_FORMAT;
	for (size_t i = 0; i < spec->nprincipal; i++) {
		if (!cert_principal_ok(spec->principal[i]))
			return ERR_FORMAT;
	}
	if (spec->valid_after >= spec->valid_before ||
	    spec->valid_before == UINT64_MAX) /* "for ever" */
		return ERR_FORMAT;
	if (spec->force_command != NULL &&
	    !cert_command_ok(spec->force_command))
		return ERR_FORMAT;
	if (spec->source_address != NULL &&
	    !cert_source_ok(spec->source_address))
		return ERR_FORMAT;
	return 0;
}

int
cert_ed25519_blob(const uint8_t key[CERT_KEY_LEN], struct buf *out)
{
	size_t len = out->len;
	int r;

	if ((r = buf_put_cstr(out, CERT_KEY_TYPE)) != 0 ||
	    (r = buf_put_str(out, key, CERT_KEY_LEN)) != 0)
		out->len = len;
	return r;
}

int
cert_fingerprint(const void *blob, size_t n, char *dst, size_t dstsize)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned int mdlen = 0;
	const char *text;
	struct buf b;
	int r = ERR_INTERNAL;

	buf_init(&b, 64);
	if (EVP_Digest(blob, n, md, &mdlen, EVP_sha256(), NULL) != 1) {
		r = ERR_CRYPTO;
		goto out;
	}
	if ((r = buf_put(&b, "SHA256:", 7)) != 0 ||
	    (r = b64_encode(B64_STD_NOPAD, md, mdlen, &b)) != 0)
		goto out;
	if ((text = buf_cstr(&b)) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	r = str_copy(dst, dstsize, text);
out:
	buf_clear(&b);
	return r;
}

/* A critical option: its value is a string inside a string. */
static int
cert_put_option(struct buf *b, const char *name, const char *value)
{
	size_t n = strlen(value);
	int r;

	if ((r = buf_put_cstr(b, name)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)n + 4)) != 0)
		return r;
	return buf_put_str(b, value, n);
}

/* Sorted by name, as PROTOCOL.certkeys demands. */
static int
cert_put_critical(struct buf *b, const struct cert_spec *spec)
{
	struct buf in;
	int r = 0;

	buf_init(&in, CERT_BLOB_MAX);
	if (spec->force_command != NULL &&
	    (r = cert_put_option(&in, "force-command",
	    spec->force_command)) != 0)
		goto out;
	if (spec->source_address != NULL &&
	    (r = cert_put_option(&in, "source-address",
	    spec->source_address)) != 0)
		goto out;
	r = buf_put_str(b, buf_ptr(&in), buf_len(&in));
out:
	buf_clear(&in);
	return r;
}

static int
cert_put_extensions(struct buf *b, const struct cert_spec *spec)
{
	static const char name[] = "permit-pty";
	int r;

	if (!spec->permit_pty)
		return buf_put_u32(b, 0);
	if ((r = buf_put_u32(b, 4 + sizeof(name) - 1 + 4)) != 0 ||
	    (r = buf_put_cstr(b, name)) != 0)
		return r;
	return buf_put_u32(b, 0);
}

static int
cert_put_principals(struct buf *b, const struct cert_spec *spec)
{
	uint32_t n = 0;
	int r;

	for (size_t i = 0; i < spec->nprincipal; i++)
		n += 4 + (uint32_t)strlen(spec->principal[i]);
	if ((r = buf_put_u32(b, n)) != 0)
		return r;
	for (size_t i = 0; i < spec->nprincipal; i++) {
		if ((r = buf_put_cstr(b, spec->principal[i])) != 0)
			return r;
	}
	return 0;
}

/* Type, nonce and key: the key's fields are those of its blob. */
static int
cert_put_key(struct buf *b, const struct cert_spec *spec,
    const uint8_t nonce[CERT_NONCE_LEN])
{
	const struct pubkey_kind *k = NULL;
	struct buf own, pub;
	int r = 0;

	buf_init(&own, 128);
	buf_view(&pub, spec->pub, spec->npub);
	if (spec->pub == NULL && (r = cert_ed25519_blob(spec->key, &own)) == 0)
		buf_view(&pub, buf_ptr(&own), buf_len(&own));
	if (r == 0 &&
	    (r = pubkey_check(buf_ptr(&pub), buf_len(&pub), &k)) == 0 &&
	    (r = buf_skip(&pub, 4 + strlen(k->name))) == 0 &&
	    (r = buf_put_cstr(b, k->cert_name)) == 0 &&
	    (r = buf_put_str(b, nonce, CERT_NONCE_LEN)) == 0)
		r = buf_put(b, buf_ptr(&pub), buf_len(&pub));
	buf_clear(&own);
	return r;
}

/* Everything that is signed. */
static int
cert_put_body(struct buf *b, const struct cert_ca *ca,
    const struct cert_spec *spec)
{
	uint8_t nonce[CERT_NONCE_LEN];
	int r;

	if (RAND_bytes(nonce, sizeof(nonce)) != 1)
		return ERR_CRYPTO;
	if ((r = cert_put_key(b, spec, nonce)) != 0 ||
	    (r = buf_put_u64(b, spec->serial)) != 0 ||
	    (r = buf_put_u32(b, CERT_KIND_USER)) != 0 ||
	    (r = buf_put_cstr(b, spec->key_id)) != 0 ||
	    (r = cert_put_principals(b, spec)) != 0 ||
	    (r = buf_put_u64(b, spec->valid_after)) != 0 ||
	    (r = buf_put_u64(b, spec->valid_before)) != 0 ||
	    (r = cert_put_critical(b, spec)) != 0 ||
	    (r = cert_put_extensions(b, spec)) != 0 ||
	    (r = buf_put_u32(b, 0)) != 0) /* reserved */
		return r;
	return buf_put_str(b, ca->pub, ca->npub);
}

static int
cert_put_signature(struct buf *b, const struct cert_ca *ca)
{
	EVP_MD_CTX *ctx = NULL;
	uint8_t sig[CERT_SIG_LEN];
	size_t n = sizeof(sig);
	int r = ERR_CRYPTO;

	if ((ctx = EVP_MD_CTX_new()) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, ca->key) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, buf_ptr(b), buf_len(b)) != 1 ||
	    n != sizeof(sig))
		goto out;
	if ((r = buf_put_u32(b, 4 + 11 + 4 + CERT_SIG_LEN)) != 0 ||
	    (r = buf_put_cstr(b, CERT_KEY_TYPE)) != 0)
		goto out;
	r = buf_put_str(b, sig, sizeof(sig));
out:
	EVP_MD_CTX_free(ctx);
	return r;
}

int
cert_begin(
    const struct cert_ca *ca, const struct cert_spec *spec, struct buf *body)
{
	size_t len = body->len;
	int r;

	if ((r = cert_spec_check(spec)) != 0)
		return r;
	if ((r = cert_put_body(body, ca, spec)) != 0)
		body->len = len;
	return r;
}

int
cert_finish(const struct cert_ca *ca, const struct buf *body, const void *sig,
    size_t nsig, struct buf *blob)
{
	size_t len = blob->len;
	int r;

	if ((r = sig_verify(ca->pub, ca->npub, sig, nsig, buf_ptr(body),
		 buf_len(body))) != 0)
		return r;
	if ((r = buf_put(blob, buf_ptr(body), buf_len(body))) != 0 ||
	    (r = buf_put_str(blob, sig, nsig)) != 0)
		blob->len = len;
	return r;
}

int
cert_sign(const struct cert_ca *ca, const struct cert_spec *spec,
    struct buf *blob)
{
	struct buf b;
	int r = ERR_INTERNAL;

	if (ca->key == NULL)
		return ERR_NOTFOUND;
	buf_init(&b, CERT_BLOB_MAX);
	if ((r = cert_begin(ca, spec, &b)) != 0 ||
	    (r = cert_put_signature(&b, ca)) != 0)
		goto out;
	r = buf_put(blob, buf_ptr(&b), buf_len(&b));
out:
	buf_clear(&b);
	return r;
}
