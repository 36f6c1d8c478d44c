/*
 * CA keys: read from PEM, made, shown as a public line; and those that are in
 * an ssh-agent, of which only the public half is here.  Runs in the signer
 * and, for `postern ca`, in the administrator's hands.  The PEM is our own
 * file, yet it is read strictly: a key of another kind must not sign.
 */
#include "config.h"

#include "ssh/cert.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/secret.h"
#include "ssh/cert_internal.h"

#define CA_PEM_MAX 4096
#define CA_COMMENT_MAX 200

/* Without this OpenSSL would ask for a passphrase on the terminal. */
static int
ca_no_passphrase(char *dst, int size, int writing, void *arg)
{
	(void)dst;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int
ca_from_key(EVP_PKEY *key, struct cert_ca **out)
{
	uint8_t raw[CERT_KEY_LEN];
	struct cert_ca *ca = NULL;
	size_t n = sizeof(raw);
	struct buf blob;
	int r = ERR_FORMAT;

	buf_init(&blob, PUBKEY_BLOB_MAX);
	if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519)
		goto out;
	if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1 ||
	    n != sizeof(raw)) {
		r = ERR_CRYPTO;
		goto out;
	}
	if ((r = cert_ed25519_blob(raw, &blob)) != 0 ||
	    (r = cert_ca_from_public(buf_ptr(&blob), buf_len(&blob), &ca)) != 0)
		goto out;
	ca->key = key;
	*out = ca;
out:
	buf_clear(&blob);
	return r;
}

int
cert_ca_from_public(const void *blob, size_t n, struct cert_ca **out)
{
	const struct pubkey_kind *k = NULL;
	struct cert_ca *ca;
	int r;

	if ((r = pubkey_check(blob, n, &k)) != 0)
		return r;
	/* Its blob is little more than its modulus. */
	if (k->len == 0 && n > CERT_CA_RSA_MAX / 8 + 64)
		return ERR_TOOBIG;
	if ((ca = OPENSSL_zalloc(sizeof(*ca))) == NULL)
		return ERR_NOMEM;
	memcpy(ca->pub, blob, n);
	ca->npub = n;
	*out = ca;
	return 0;
}

void
cert_ca_blob(const struct cert_ca *ca, const uint8_t **p, size_t *n)
{
	*p = ca->pub;
	*n = ca->npub;
}

int
cert_ca_from_pem(const void *pem, size_t n, struct cert_ca **out)
{
	static const char begin[] = "-----BEGIN PRIVATE KEY-----";
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;
	int r = ERR_INTERNAL;

	if (n > CA_PEM_MAX || n < sizeof(begin) ||
	    memcmp(pem, begin, sizeof(begin) - 1) != 0) {
		r = ERR_FORMAT;
		goto out;
	}
	if ((bio = BIO_new_mem_buf(pem, (int)n)) == NULL) {
		r = ERR_NOMEM;
		goto out;
	}
	key = PEM_read_bio_PrivateKey(bio, NULL, ca_no_passphrase, NULL);
	if (key == NULL) {
		r = ERR_FORMAT;
		goto out;
	}
	if ((r = ca_from_key(key, out)) != 0)
		goto out;
	key = NULL;
out:
	EVP_PKEY_free(key);
	BIO_free(bio);
	return r;
}

int
cert_ca_generate(struct secret *pem)
{
	struct secret s = { 0 };
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;
	char *p = NULL;
	long n;
	int r = ERR_CRYPTO;

	/* s_secmem wipes what it frees. */
	if ((key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")) == NULL ||
	    (bio = BIO_new(BIO_s_secmem())) == NULL ||
	    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL,
	    NULL) != 1)
		goto out;
	if ((n = BIO_get_mem_data(bio, &p)) <= 0)
		goto out;
	if ((r = secret_init(&s, CA_PEM_MAX)) != 0 ||
	    (r = secret_append(&s, p, (size_t)n)) != 0)
		goto out;
	*pem = s;
	s = (struct secret){ 0 };
out:
	secret_clear(&s);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return r;
}

void
cert_ca_free(struct cert_ca *ca)
{
	if (ca == NULL)
		return;
	EVP_PKEY_free(ca->key);
	OPENSSL_free(ca);
}

int
cert_ca_public_line(const struct cert_ca *ca, const char *comment,
    struct buf *out)
{
	const struct pubkey_kind *k = NULL;
	size_t len = out->len;
	int r;

	if (strlen(comment) > CA_COMMENT_MAX ||
	    strpbrk(comment, "\r\n") != NULL)
		return ERR_FORMAT;
	if ((r = pubkey_check(ca->pub, ca->npub, &k)) != 0 ||
	    (r = buf_putf(out, "%s ", k->name)) != 0 ||
	    (r = b64_encode(B64_STD, ca->pub, ca->npub, out)) != 0 ||
	    (comment[0] != '\0' && (r = buf_putf(out, " %s", comment)) != 0))
		out->len = len;
	return r;
}
