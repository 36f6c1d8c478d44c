/*
 * Making the key of one operation.  Runs in the hop, before it is confined.
 * Distrusts nothing but its own mistakes: every copy of the private half that
 * is made here is wiped here.
 */
#include "config.h"

#include "ssh/key.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"

#define KEY_BIN_MAX 512
#define KEY_TEXT_MAX 1024
#define KEY_LINE 70 /* base64 characters a line, as ssh-keygen writes */

static const char key_magic[] = "openssh-key-v1"; /* with its NUL */

/* The part that would be encrypted had the file a passphrase. */
static int
key_put_private(struct buf *b, const uint8_t pub[CERT_KEY_LEN],
    const uint8_t seed[CERT_KEY_LEN])
{
	uint8_t check[4];
	int r;

	if (RAND_bytes(check, sizeof(check)) != 1)
		return ERR_CRYPTO;
	if ((r = buf_put(b, check, sizeof(check))) != 0 ||
	    (r = buf_put(b, check, sizeof(check))) != 0 ||
	    (r = cert_ed25519_blob(pub, b)) != 0 ||
	    (r = buf_put_u32(b, 2 * CERT_KEY_LEN)) != 0 ||
	    (r = buf_put(b, seed, CERT_KEY_LEN)) != 0 ||
	    (r = buf_put(b, pub, CERT_KEY_LEN)) != 0 ||
	    (r = buf_put_u32(b, 0)) != 0) /* comment */
		return r;
	for (uint8_t pad = 1; buf_len(b) % 8 != 0; pad++) {
		if ((r = buf_put_u8(b, pad)) != 0)
			return r;
	}
	return 0;
}

static int
key_put_file(struct buf *b, const uint8_t pub[CERT_KEY_LEN],
    const uint8_t seed[CERT_KEY_LEN])
{
	struct buf part;
	int r = ERR_INTERNAL;

	buf_init(&part, KEY_BIN_MAX);
	if ((r = buf_put(b, key_magic, sizeof(key_magic))) != 0 ||
	    (r = buf_put_cstr(b, "none")) != 0 || /* cipher */
	    (r = buf_put_cstr(b, "none")) != 0 || /* kdf */
	    (r = buf_put_u32(b, 0)) != 0 ||	  /* its options */
	    (r = buf_put_u32(b, 1)) != 0 ||	  /* keys */
	    (r = cert_ed25519_blob(pub, &part)) != 0 ||
	    (r = buf_put_str(b, buf_ptr(&part), buf_len(&part))) != 0)
		goto out;
	buf_reset(&part);
	if ((r = key_put_private(&part, pub, seed)) != 0)
		goto out;
	r = buf_put_str(b, buf_ptr(&part), buf_len(&part));
out:
	buf_clear(&part);
	return r;
}

static int
key_put_text(struct secret *s, const struct buf *bin)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	static const char end[] = "-----END OPENSSH PRIVATE KEY-----\n";
	struct buf b64;
	size_t n;
	int r = ERR_INTERNAL;

	buf_init(&b64, KEY_TEXT_MAX);
	if ((r = b64_encode(B64_STD, buf_ptr(bin), buf_len(bin), &b64)) != 0 ||
	    (r = secret_append(s, begin, sizeof(begin) - 1)) != 0)
		goto out;
	while ((n = buf_len(&b64)) > 0) {
		n = n > KEY_LINE ? KEY_LINE : n;
		if ((r = secret_append(s, buf_ptr(&b64), n)) != 0 ||
		    (r = secret_append(s, "\n", 1)) != 0 ||
		    (r = buf_skip(&b64, n)) != 0)
			goto out;
	}
	r = secret_append(s, end, sizeof(end) - 1);
out:
	buf_clear(&b64);
	return r;
}

int
key_generate(struct key *k)
{
	uint8_t seed[CERT_KEY_LEN];
	size_t nseed = sizeof(seed), npub = CERT_KEY_LEN;
	EVP_PKEY *pair = NULL;
	struct buf bin;
	int r = ERR_INTERNAL;

	*k = (struct key){ 0 };
	buf_init(&bin, KEY_BIN_MAX);
	if ((pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")) == NULL ||
	    EVP_PKEY_get_raw_private_key(pair, seed, &nseed) != 1 ||
	    EVP_PKEY_get_raw_public_key(pair, k->pub, &npub) != 1 ||
	    nseed != sizeof(seed) || npub != CERT_KEY_LEN) {
		r = ERR_CRYPTO;
		goto out;
	}
	if ((r = key_put_file(&bin, k->pub, seed)) != 0 ||
	    (r = secret_init(&k->text, KEY_TEXT_MAX)) != 0)
		goto out;
	r = key_put_text(&k->text, &bin);
out:
	if (r != 0)
		key_clear(k);
	explicit_bzero(seed, sizeof(seed));
	buf_clear(&bin);
	EVP_PKEY_free(pair);
	return r;
}

void
key_clear(struct key *k)
{
	secret_clear(&k->text);
	k->text = (struct secret){ 0 };
}
