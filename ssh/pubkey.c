/*
 * Reading public keys.  Runs in policy, on what a job sends, and in the signer
 * once more, on the blob alone.  Distrusts every byte: a text may be anything,
 * the job's private key included, so nothing of it is ever repeated.  Only the
 * form is judged; who holds the private half is sshd's to find out.
 */
#include "config.h"

#include "ssh/pubkey.h"

#include <stdbool.h>
#include <string.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"

#define CERT_SUFFIX "-cert-v01@openssh.com"
#define POINT_UNCOMPRESSED 4 /* SEC 1, 2.3.3 */

static const struct pubkey_kind pubkey_kinds[] = {
	{ "ssh-ed25519", "ssh-ed25519" CERT_SUFFIX, NULL, 32 },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256" CERT_SUFFIX, "nistp256",
	    1 + 2 * 32 },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384" CERT_SUFFIX, "nistp384",
	    1 + 2 * 48 },
	{ "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521" CERT_SUFFIX, "nistp521",
	    1 + 2 * 66 },
	{ "ssh-rsa", "ssh-rsa" CERT_SUFFIX, NULL, 0 },
};
#define NKINDS (sizeof(pubkey_kinds) / sizeof(pubkey_kinds[0]))

static bool
is(const char *name, const void *p, size_t n)
{
	return strlen(name) == n && memcmp(name, p, n) == 0;
}

const struct pubkey_kind *
pubkey_kind_find(const void *name, size_t n)
{
	for (size_t i = 0; i < NKINDS; i++) {
		if (is(pubkey_kinds[i].name, name, n))
			return &pubkey_kinds[i];
	}
	return NULL;
}

const struct pubkey_kind *
pubkey_cert_kind_find(const void *name, size_t n)
{
	for (size_t i = 0; i < NKINDS; i++) {
		if (is(pubkey_kinds[i].cert_name, name, n))
			return &pubkey_kinds[i];
	}
	return NULL;
}

/* -- the blob -------------------------------------------------------------- */

/* A positive mpint in its one form (RFC 4251 section 5), odd as both numbers
 * of an RSA key are; *bits: how long. */
static int
get_odd(struct buf *b, size_t max, size_t *bits)
{
	const uint8_t *p;
	size_t n, k = 0;
	int r;

	if ((r = buf_get_view(b, max, &p, &n)) != 0)
		return r;
	if (n > 1 && p[0] == 0) {
		if ((p[1] & 0x80) == 0)
			return ERR_FORMAT; /* a zero too many */
		p++;
		n--;
	} else if (n == 0 || p[0] == 0 || (p[0] & 0x80) != 0) {
		return ERR_FORMAT;
	}
	if ((p[n - 1] & 1) == 0)
		return ERR_FORMAT;
	for (unsigned int top = p[0]; top != 0; top >>= 1)
		k++;
	*bits = (n - 1) * 8 + k;
	return 0;
}

static int
get_rsa(struct buf *b)
{
	size_t e = 0, n = 0;
	int r;

	if ((r = get_odd(b, PUBKEY_BLOB_MAX, &e)) != 0 ||
	    (r = get_odd(b, PUBKEY_BLOB_MAX, &n)) != 0)
		return r;
	/* 1 as an exponent would verify anything. */
	return n < PUBKEY_RSA_MIN || n > PUBKEY_RSA_MAX || e < 2 || e > 64
		   ? ERR_DENIED
		   : 0;
}

static int
get_exact(struct buf *b, size_t n, const uint8_t **pp)
{
	size_t len;

	return buf_get_view(b, n, pp, &len) == 0 && len == n ? 0 : ERR_FORMAT;
}

int
pubkey_get_rest(struct buf *b, const struct pubkey_kind *k)
{
	const uint8_t *p = NULL;
	int r;

	if (k->len == 0)
		return get_rsa(b);
	if (k->curve != NULL) {
		if ((r = get_exact(b, strlen(k->curve), &p)) != 0)
			return r;
		if (!is(k->curve, p, strlen(k->curve)))
			return ERR_FORMAT;
	}
	if ((r = get_exact(b, k->len, &p)) != 0)
		return r;
	return k->curve != NULL && p[0] != POINT_UNCOMPRESSED ? ERR_FORMAT : 0;
}

int
pubkey_check(const void *blob, size_t n, const struct pubkey_kind **kind)
{
	const struct pubkey_kind *k;
	const uint8_t *name;
	struct buf b;
	size_t len;
	int r;

	if (n > PUBKEY_BLOB_MAX)
		return ERR_TOOBIG;
	buf_view(&b, blob, n);
	if ((r = buf_get_view(&b, 64, &name, &len)) != 0)
		return r;
	if ((k = pubkey_kind_find(name, len)) == NULL)
		return ERR_NOTFOUND;
	if ((r = pubkey_get_rest(&b, k)) != 0 || (r = buf_end(&b)) != 0)
		return r;
	*kind = k;
	return 0;
}

/* -- the line -------------------------------------------------------------- */

struct word {
	const char *p;
	size_t n;
};

static struct word
next_word(const char **at, const char *end)
{
	struct word w;

	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	w.p = *at;
	while (*at < end && **at != ' ' && **at != '\t')
		(*at)++;
	w.n = (size_t)(*at - w.p);
	return w;
}

static bool
holds(const char *text, size_t n, const char *what)
{
	return memmem(text, n, what, strlen(what)) != NULL;
}

static bool
ends(struct word w, const char *with)
{
	size_t n = strlen(with);

	return w.n > n && memcmp(w.p + w.n - n, with, n) == 0;
}

/* What a text is that is no public key, as far as that can be told. */
static const char *
what_else(const char *text, size_t n)
{
	const char *at = text;
	struct word w = next_word(&at, text + n);

	if (n == 0)
		return "there is nothing on standard input";
	if (holds(text, n, "PRIVATE KEY"))
		return "that is a private key: keep it, and send the file "
		       "that ends in .pub (nothing of it was kept here)";
	if (holds(text, n, "\n"))
		return "that is more than one line: send one public key";
	if (ends(w, CERT_SUFFIX))
		return "that is a certificate: send the public key itself";
	if (w.n > 3 && memcmp(w.p, "sk-", 3) == 0)
		return "keys of security tokens get no certificate here";
	if (is("ssh-dss", w.p, w.n))
		return "DSA keys get no certificate here";
	return "that is not a public key of OpenSSH's form";
}

/* Without the one newline at its end, and blanks around it. */
static struct word
trimmed(const char *text, size_t n)
{
	while (n > 0 && strchr("\r\n \t", text[n - 1]) != NULL &&
	       text[n - 1] != '\0')
		n--;
	while (n > 0 && (*text == ' ' || *text == '\t' || *text == '\n')) {
		text++;
		n--;
	}
	return (struct word){ text, n };
}

static int
read_blob(struct word name, struct word data, struct buf *blob)
{
	const struct pubkey_kind *k = NULL;
	int r;

	/* The two agree, or the line is not what it says. */
	if ((r = b64_decode(B64_STD, data.p, data.n, blob)) == 0 &&
	    (r = pubkey_check(buf_ptr(blob), buf_len(blob), &k)) == 0 &&
	    !is(k->name, name.p, name.n))
		r = ERR_FORMAT;
	return r;
}

int
pubkey_read(const void *text, size_t n, struct buf *blob, const char **why)
{
	struct word t = trimmed(text, n), name, data;
	const char *at = t.p;
	int r;

	name = next_word(&at, t.p + t.n);
	data = next_word(&at, t.p + t.n);
	*why = what_else(t.p, t.n);
	if (memchr(t.p, '\n', t.n) != NULL ||
	    pubkey_kind_find(name.p, name.n) == NULL)
		return ERR_FORMAT;
	*why = "that public key is damaged";
	if ((r = read_blob(name, data, blob)) == ERR_DENIED)
		*why = "RSA keys must have 2048 to 8192 bits here; better: "
		       "ssh-keygen -t ed25519";
	if (r != 0)
		buf_reset(blob);
	return r;
}
