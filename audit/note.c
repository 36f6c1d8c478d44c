/*
 * Signed notes and checkpoints.  Runs in audit, which signs, and in the tools
 * that verify, where a note may come from anywhere: nothing of it is believed
 * before its form is right, byte by byte.
 */
#include "config.h"

#include "audit/note.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

#define NOTE_ED25519 0x01 /* the kind of a key */
#define NOTE_SIG_LEN 64
#define NOTE_DASH "\xe2\x80\x94 " /* an em dash and a blank */
#define NOTE_PRIVATE "PRIVATE+KEY+"
#define NOTE_B64_MAX 100 /* characters: of a key 44, of a signature 92 */

/* -- keys ----------------------------------------------------------------- */

static bool
note_name_valid(const char *s, size_t n)
{
	if (n == 0 || n > NOTE_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '+')
			return false;
	}
	return true;
}

/* id from name and pub. */
static int
note_key_id(struct note_key *k)
{
	uint8_t d[NOTE_NAME_MAX + 2 + NOTE_KEY_LEN];
	size_t n = strlen(k->name);
	struct tree_hash h;
	int r;

	memcpy(d, k->name, n);
	d[n++] = '\n';
	d[n++] = NOTE_ED25519;
	memcpy(d + n, k->pub, NOTE_KEY_LEN);
	if ((r = tree_sha256(d, n + NOTE_KEY_LEN, &h)) == 0)
		memcpy(k->id, h.b, sizeof(k->id));
	return r;
}

/* Exactly want bytes from n characters of base64. */
static int
note_b64(const char *s, size_t n, uint8_t *out, size_t want)
{
	struct buf b;
	int r;

	if (n > NOTE_B64_MAX)
		return ERR_FORMAT;
	buf_init(&b, NOTE_B64_MAX);
	if ((r = b64_decode(B64_STD, s, n, &b)) == 0 && buf_len(&b) != want)
		r = ERR_FORMAT;
	if (r == 0)
		r = buf_get(&b, out, want);
	buf_clear(&b);
	return r;
}

/* NAME+ID+BASE64 of n characters; d gets the 32 bytes. */
static int
note_parts(const char *s, size_t n, struct note_key *k, uint8_t d[NOTE_KEY_LEN])
{
	const char *plus = memchr(s, '+', n);
	size_t name = plus == NULL ? 0 : (size_t)(plus - s);
	uint8_t raw[1 + NOTE_KEY_LEN];
	char id[2 * sizeof(k->id) + 1];
	int r;

	if (!note_name_valid(s, name) || n < name + 1 + sizeof(id) ||
	    s[name + sizeof(id)] != '+')
		return ERR_FORMAT;
	memcpy(k->name, s, name);
	k->name[name] = '\0';
	memcpy(id, s + name + 1, sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	s += name + 1 + sizeof(id);
	n -= name + 1 + sizeof(id);
	if ((r = hex_decode(id, k->id, sizeof(k->id))) == 0 &&
	    (r = note_b64(s, n, raw, sizeof(raw))) == 0 &&
	    raw[0] != NOTE_ED25519)
		r = ERR_FORMAT;
	if (r == 0)
		memcpy(d, raw + 1, NOTE_KEY_LEN);
	explicit_bzero(raw, sizeof(raw));
	return r;
}

int
note_key_parse(const char *text, struct note_key *out)
{
	struct note_key k = { 0 };
	uint8_t id[sizeof(k.id)];
	int r;

	if ((r = note_parts(text, strlen(text), &k, k.pub)) != 0)
		return r;
	memcpy(id, k.id, sizeof(id));
	if ((r = note_key_id(&k)) != 0)
		return r;
	if (memcmp(id, k.id, sizeof(id)) != 0)
		return ERR_FORMAT;
	*out = k;
	return 0;
}

/* NAME+ID+BASE64 into out; d is the key, or the seed. */
static int
note_put_parts(
    const struct note_key *k, const uint8_t d[NOTE_KEY_LEN], struct buf *out)
{
	uint8_t raw[1 + NOTE_KEY_LEN] = { NOTE_ED25519 };
	char id[2 * sizeof(k->id) + 1];
	int r;

	memcpy(raw + 1, d, NOTE_KEY_LEN);
	hex_encode(k->id, sizeof(k->id), id);
	if ((r = buf_putf(out, "%s+%s+", k->name, id)) == 0)
		r = b64_encode(B64_STD, raw, sizeof(raw), out);
	explicit_bzero(raw, sizeof(raw));
	return r;
}

void
note_key_text(const struct note_key *k, char text[NOTE_KEY_MAX])
{
	const char *s = NULL;
	struct buf b;

	buf_init(&b, NOTE_KEY_MAX);
	if (note_put_parts(k, k->pub, &b) == 0)
		s = buf_cstr(&b);
	(void)str_copy(text, NOTE_KEY_MAX, s == NULL ? "" : s);
	buf_clear(&b);
}

/* -- signers -------------------------------------------------------------- */

static EVP_PKEY *
signer_pkey(const struct note_signer *s)
{
	return EVP_PKEY_new_raw_private_key(
	    EVP_PKEY_ED25519, NULL, s->seed.d, s->seed.len);
}

/* The public half and the id, from name and seed. */
static int
signer_finish(struct note_signer *s)
{
	EVP_PKEY *pkey = signer_pkey(s);
	size_t n = NOTE_KEY_LEN;
	int r = ERR_CRYPTO;

	if (pkey != NULL &&
	    EVP_PKEY_get_raw_public_key(pkey, s->key.pub, &n) == 1 &&
	    n == NOTE_KEY_LEN)
		r = note_key_id(&s->key);
	EVP_PKEY_free(pkey);
	return r;
}

static int
signer_take_seed(struct note_signer *s, uint8_t seed[NOTE_KEY_LEN])
{
	int r;

	if ((r = secret_init(&s->seed, NOTE_KEY_LEN)) == 0 &&
	    (r = secret_append(&s->seed, seed, NOTE_KEY_LEN)) == 0)
		r = signer_finish(s);
	explicit_bzero(seed, NOTE_KEY_LEN);
	if (r != 0)
		note_signer_clear(s);
	return r;
}

int
note_signer_new(struct note_signer *s, const char *name)
{
	uint8_t seed[NOTE_KEY_LEN];

	*s = (struct note_signer){ 0 };
	if (!note_name_valid(name, strlen(name)) ||
	    str_copy(s->key.name, sizeof(s->key.name), name) != 0)
		return ERR_FORMAT;
	if (RAND_bytes(seed, sizeof(seed)) != 1)
		return ERR_CRYPTO;
	return signer_take_seed(s, seed);
}

int
note_signer_parse(struct note_signer *s, const struct secret *text)
{
	static const char start[] = NOTE_PRIVATE;
	const size_t skip = sizeof(start) - 1;
	uint8_t seed[NOTE_KEY_LEN], id[sizeof(s->key.id)];
	const char *p = (const char *)text->d;
	size_t n = text->len;
	int r;

	*s = (struct note_signer){ 0 };
	n -= n > 0 && p[n - 1] == '\n';
	if (n < skip || memcmp(p, start, skip) != 0)
		return ERR_FORMAT;
	if ((r = note_parts(p + skip, n - skip, &s->key, seed)) != 0)
		return r;
	memcpy(id, s->key.id, sizeof(id));
	if ((r = signer_take_seed(s, seed)) != 0)
		return r;
	if (memcmp(id, s->key.id, sizeof(id)) != 0) {
		note_signer_clear(s);
		return ERR_FORMAT;
	}
	return 0;
}

int
note_signer_text(const struct note_signer *s, struct secret *text)
{
	struct buf b;
	int r;

	buf_init(&b, NOTE_KEY_MAX + sizeof(NOTE_PRIVATE)); /* wiped by clear */
	if ((r = buf_putf(&b, "%s", NOTE_PRIVATE)) == 0 &&
	    (r = note_put_parts(&s->key, s->seed.d, &b)) == 0 &&
	    (r = buf_put(&b, "\n", 1)) == 0 &&
	    (r = secret_init(text, buf_len(&b))) == 0)
		r = secret_append(text, buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return r;
}

void
note_signer_clear(struct note_signer *s)
{
	secret_clear(&s->seed);
}

/* -- notes ---------------------------------------------------------------- */

int
note_sign(
    const struct note_signer *s, const void *text, size_t n, struct buf *note)
{
	uint8_t sig[sizeof(s->key.id) + NOTE_SIG_LEN];
	EVP_PKEY *pkey = signer_pkey(s);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t k = NOTE_SIG_LEN;
	int r = ERR_CRYPTO;

	memcpy(sig, s->key.id, sizeof(s->key.id));
	if (pkey == NULL || md == NULL ||
	    EVP_DigestSignInit(md, NULL, NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(md, sig + sizeof(s->key.id), &k, text, n) != 1 ||
	    k != NOTE_SIG_LEN)
		goto out;
	if ((r = buf_put(note, text, n)) == 0 &&
	    (r = buf_putf(note, "\n" NOTE_DASH "%s ", s->key.name)) == 0 &&
	    (r = b64_encode(B64_STD, sig, sizeof(sig), note)) == 0)
		r = buf_put(note, "\n", 1);
out:
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return r;
}

static int
note_check(
    const struct note_key *k, const uint8_t *sig, const void *text, size_t n)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, k->pub, sizeof(k->pub));
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int r = ERR_CRYPTO;

	if (pkey != NULL && md != NULL &&
	    EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
	    EVP_DigestVerify(md, sig, NOTE_SIG_LEN, text, n) == 1)
		r = 0;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return r;
}

/* UTF-8 without control characters but newlines, with one at its end. */
static bool
note_text_valid(const char *s, size_t n)
{
	if (n < 2 || s[n - 1] != '\n' || !utf8_valid(s, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)s[i] < ' ' && s[i] != '\n')
			return false;
	}
	return true;
}

/* What lies before the last empty line; 0: there is none. */
static size_t
note_text_len(const char *s, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		if (s[i - 1] == '\n' && s[i - 2] == '\n')
			return i - 1;
	}
	return 0;
}

/* A line `— NAME BASE64` of n characters without its newline. */
static int
note_signature(const char *s, size_t n, const char **name, size_t *namelen,
    uint8_t sig[4 + NOTE_SIG_LEN])
{
	static const char dash[] = NOTE_DASH;
	const size_t skip = sizeof(dash) - 1;
	const char *blank;

	if (n <= skip || memcmp(s, dash, skip) != 0 ||
	    (blank = memchr(s + skip, ' ', n - skip)) == NULL)
		return ERR_FORMAT;
	*name = s + skip;
	*namelen = (size_t)(blank - *name);
	if (!note_name_valid(*name, *namelen))
		return ERR_FORMAT;
	return note_b64(
	    blank + 1, n - (size_t)(blank + 1 - s), sig, 4 + NOTE_SIG_LEN);
}

int
note_verify(
    const void *note, size_t n, const struct note_key *k, size_t *textlen)
{
	const char *s = note, *line, *nl, *name;
	uint8_t sig[4 + NOTE_SIG_LEN];
	size_t text, namelen, count = 0;
	int r, found = ERR_NOTFOUND;

	if (n > NOTE_MAX || !note_text_valid(s, n) ||
	    (text = note_text_len(s, n)) < 2)
		return ERR_FORMAT;
	for (line = s + text + 1; line < s + n; line = nl + 1) {
		nl = memchr(line, '\n', (size_t)(s + n - line));
		if (nl == NULL || ++count > NOTE_SIGNATURES_MAX)
			return ERR_FORMAT;
		if ((r = note_signature(
			 line, (size_t)(nl - line), &name, &namelen, sig)) != 0)
			return r;
		if (namelen != strlen(k->name) ||
		    memcmp(name, k->name, namelen) != 0 ||
		    memcmp(sig, k->id, sizeof(k->id)) != 0)
			continue;
		if ((r = note_check(k, sig + sizeof(k->id), s, text)) != 0)
			return r;
		found = 0;
	}
	if (count == 0)
		return ERR_FORMAT;
	if (found == 0)
		*textlen = text;
	return found;
}

/* -- checkpoints ---------------------------------------------------------- */

int
checkpoint_text(const char *origin, uint64_t size, const struct tree_hash *root,
    const char *more, struct buf *text)
{
	int r;

	if ((r = buf_putf(
		 text, "%s\n%llu\n", origin, (unsigned long long)size)) != 0 ||
	    (r = b64_encode(B64_STD, root, sizeof(*root), text)) != 0)
		return r;
	return buf_putf(text, "\n%s", more);
}

/* The line at *s, and on to the next. */
static int
checkpoint_line(const char **s, const char *end, size_t *n)
{
	const char *nl = memchr(*s, '\n', (size_t)(end - *s));

	if (nl == NULL || nl == *s)
		return ERR_FORMAT;
	*n = (size_t)(nl - *s);
	*s = nl + 1;
	return 0;
}

int
checkpoint_parse(const void *text, size_t n, struct checkpoint *out)
{
	const char *s = text, *end, *line;
	struct checkpoint c = { 0 };
	char number[21] = "";
	size_t k, note;

	if (n > NOTE_MAX || !note_text_valid(s, n))
		return ERR_FORMAT;
	if ((note = note_text_len(s, n)) != 0)
		n = note;
	end = s + n;
	line = s;
	if (checkpoint_line(&s, end, &k) != 0 || !note_name_valid(line, k))
		return ERR_FORMAT;
	memcpy(c.origin, line, k);
	line = s;
	if (checkpoint_line(&s, end, &k) != 0 || k >= sizeof(number))
		return ERR_FORMAT;
	memcpy(number, line, k);
	if (num_parse(number, 0, UINT64_MAX - 1, &c.size) != 0)
		return ERR_FORMAT;
	line = s;
	if (checkpoint_line(&s, end, &k) != 0 ||
	    note_b64(line, k, c.root.b, sizeof(c.root.b)) != 0)
		return ERR_FORMAT;
	c.more = s;
	c.more_len = (size_t)(end - s);
	*out = c;
	return 0;
}
