/*
 * A hop's last words.  Runs in audit on bytes that a hop, which may be owned
 * by its target, has appended to a sidecar: one line of one form, or nothing
 * of it is believed.
 */
#include "config.h"

#include "audit/record.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/str.h"

#define FACTS_HOP "{\"kind\":\"hop\","

static int
facts_num(const json_t *v, uint64_t max, uint64_t *n)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return ERR_FORMAT;
	*n = (uint64_t)json_integer_value(v);
	return 0;
}

static int
facts_u32(const json_t *v, uint32_t max, bool *has, uint32_t *n)
{
	uint64_t x;

	if (facts_num(v, max, &x) != 0)
		return ERR_FORMAT;
	*has = true;
	*n = (uint32_t)x;
	return 0;
}

static int
facts_sha256(const json_t *v, char sha256[SIDECAR_SHA256_LEN + 1])
{
	uint8_t d[SIDECAR_SHA256_LEN / 2];
	const char *s = json_string_value(v);

	if (s == NULL || hex_decode(s, d, sizeof(d)) != 0)
		return ERR_FORMAT;
	return str_copy(sha256, SIDECAR_SHA256_LEN + 1, s);
}

static int
facts_reason(const json_t *v, struct record_facts *f)
{
	const char *s = json_string_value(v);

	if (s == NULL || str_copy(f->reason, sizeof(f->reason), s) != 0)
		return ERR_FORMAT;
	return 0;
}

/* A member by its name; a name that is not known is a malformed line. */
static int
facts_member(const char *name, const json_t *v, struct record_facts *f)
{
	struct sidecar_hop *h = &f->hop;

	if (strcmp(name, "kind") == 0)
		return 0; /* it stands first, see facts_line */
	if (strcmp(name, "exit") == 0)
		return facts_u32(v, 255, &h->has_exit, &h->exit);
	if (strcmp(name, "signal") == 0)
		return facts_u32(v, 64, &h->has_signal, &h->signal);
	if (strcmp(name, "reason") == 0)
		return facts_reason(v, f);
	if (strcmp(name, "duration_ms") == 0)
		return facts_num(v, INT64_MAX, &h->duration_ms);
	if (strcmp(name, "bytes_in") == 0)
		return facts_num(v, INT64_MAX, &h->in.bytes);
	if (strcmp(name, "bytes_out") == 0)
		return facts_num(v, INT64_MAX, &h->out.bytes);
	if (strcmp(name, "bytes_err") == 0)
		return facts_num(v, INT64_MAX, &h->err.bytes);
	if (strcmp(name, "sha256_in") == 0)
		return facts_sha256(v, h->in.sha256);
	if (strcmp(name, "sha256_out") == 0)
		return facts_sha256(v, h->out.sha256);
	if (strcmp(name, "sha256_err") == 0)
		return facts_sha256(v, h->err.sha256);
	return ERR_FORMAT;
}

static int
facts_line(const char *line, size_t n, struct record_facts *f)
{
	const char *name;
	json_t *o, *v;
	int r = ERR_FORMAT;

	o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	if (o == NULL || !json_is_object(o))
		goto out;
	json_object_foreach(o, name, v)
	{
		if ((r = facts_member(name, v, f)) != 0)
			goto out;
	}
	r = f->hop.has_exit && f->hop.has_signal ? ERR_FORMAT : 0;
out:
	json_decref(o);
	return r;
}

/* A closing line of an earlier audit, which died before the ledger had it.  A
 * hop can write such a line, too; it says nothing here either way. */
static bool
facts_is_closing(const char *line, size_t n)
{
	static const char start[] = "{\"kind\":\"closed\",";

	return n >= sizeof(start) - 1 &&
	       memcmp(line, start, sizeof(start) - 1) == 0;
}

static int
facts_all(const char *p, size_t n, struct record_facts *f)
{
	const char *nl;
	bool have = false;
	size_t len;
	int r;

	while (n > 0) {
		nl = memchr(p, '\n', n);
		len = nl == NULL ? n : (size_t)(nl - p);
		if (len > 0 && !facts_is_closing(p, len)) {
			if (nl == NULL || have || len < sizeof(FACTS_HOP) - 1 ||
			    memcmp(p, FACTS_HOP, sizeof(FACTS_HOP) - 1) != 0)
				return ERR_FORMAT;
			if ((r = facts_line(p, len, f)) != 0)
				return r;
			have = true;
		}
		len += nl == NULL ? 0 : 1;
		p += len;
		n -= len;
	}
	return have ? 0 : ERR_NOTFOUND;
}

int
record_facts(const struct record *rec, struct record_facts *out)
{
	struct record_facts f = { 0 };
	char d[RECORD_HOP_MAX + 1];
	size_t got = 0;
	ssize_t n = 1;
	int r;

	while (n > 0 && got < sizeof(d)) {
		n = pread(rec->side, d + got, sizeof(d) - got,
		    (off_t)(rec->side_start + got));
		if (n == -1 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n == -1)
			return ERR_SYS;
		got += (size_t)n;
	}
	if (got > RECORD_HOP_MAX)
		return ERR_FORMAT;
	if ((r = facts_all(d, got, &f)) != 0)
		return r;
	*out = f;
	out->hop.reason = out->reason[0] != '\0' ? out->reason : NULL;
	return 0;
}

int
record_side_hash(const struct record *rec, char sha256[SIDECAR_SHA256_LEN + 1])
{
	uint8_t d[16384], md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned int len = 0;
	off_t at = 0;
	ssize_t n;
	int r = ERR_CRYPTO;

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		goto out;
	while ((n = pread(rec->side, d, sizeof(d), at)) > 0) {
		if (EVP_DigestUpdate(ctx, d, (size_t)n) != 1)
			goto out;
		at += n;
	}
	if (n == -1) {
		r = ERR_SYS;
		goto out;
	}
	if (EVP_DigestFinal_ex(ctx, md, &len) != 1 ||
	    2 * len != SIDECAR_SHA256_LEN)
		goto out;
	hex_encode(md, len, sha256);
	r = 0;
out:
	EVP_MD_CTX_free(ctx);
	return r;
}
