/*
 * Adding up a manifest.  Runs in audit on bytes that a hop, which may be owned
 * by its target, has appended to a sidecar.  What the lines say is the hop's
 * statement; that they have the form, and what their digest is, is audit's.
 */
#include "config.h"

#include "audit/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "audit/record.h"
#include "lib/err.h"
#include "lib/str.h"

void
manifest_init(struct manifest *m)
{
	*m = (struct manifest){ .files = 0 };
}

void
manifest_clear(struct manifest *m)
{
	EVP_MD_CTX_free(m->md);
	m->md = NULL;
}

/* How its lines begin, of files and of refs. */
static const char *const starts[] = { SIDECAR_FILE, SIDECAR_REF };

static bool
begins(const char *line, size_t n, const char *start)
{
	size_t k = strlen(start);

	return n >= k && memcmp(line, start, k) == 0;
}

/* -- one line ----------------------------------------------------------------
 */

enum member_type { IS_TEXT, IS_NUMBER, IS_SHA256, IS_RANGES, IS_TRUE };

static bool
is_number(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool
is_range(const json_t *v)
{
	return json_is_array(v) && json_array_size(v) == 2 &&
	       is_number(json_array_get(v, 0)) &&
	       is_number(json_array_get(v, 1)) &&
	       json_integer_value(json_array_get(v, 0)) <=
		   json_integer_value(json_array_get(v, 1));
}

static bool
is_of(const json_t *v, enum member_type type)
{
	uint8_t md[SIDECAR_SHA256_LEN / 2];
	const json_t *range;
	size_t i;

	switch (type) {
	case IS_TEXT:
		return json_is_string(v);
	case IS_NUMBER:
		return is_number(v);
	case IS_SHA256:
		return json_is_string(v) &&
		       hex_decode(json_string_value(v), md, sizeof(md)) == 0;
	case IS_TRUE:
		return json_is_true(v);
	case IS_RANGES:
		break;
	}
	if (!json_is_array(v))
		return false;
	json_array_foreach((json_t *)(uintptr_t)v, i, range)
	{
		if (!is_range(range))
			return false;
	}
	return true;
}

static bool
is_member(const char *name, const json_t *v)
{
	static const struct {
		const char *name;
		enum member_type type;
	} member[] = {
		{ "kind", IS_TEXT },
		{ "verb", IS_TEXT },
		{ "path", IS_TEXT },
		{ "to", IS_TEXT },
		{ "result", IS_TEXT },
		{ "rule", IS_TEXT },
		{ "bytes", IS_NUMBER },
		{ "status", IS_NUMBER },
		{ "sha256", IS_SHA256 },
		{ "ranges", IS_RANGES },
		{ "more", IS_TRUE },
		{ "begun", IS_NUMBER },
		{ "ref", IS_TEXT },
		{ "old", IS_TEXT },
		{ "new", IS_TEXT },
		{ "reason", IS_TEXT },
	};

	for (size_t i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
		if (strcmp(member[i].name, name) == 0)
			return is_of(v, member[i].type);
	}
	return false;
}

static bool
add_bytes(uint64_t *to, const json_t *v)
{
	return !__builtin_add_overflow(
		   *to, (uint64_t)json_integer_value(v), to) &&
	       *to <= INT64_MAX;
}

/*
 * A file that begins has a line of its own, by number; the next one of that
 * number ends it.  It is counted once, when it begins.
 */
static int
add_begun(struct manifest *m, const json_t *v, bool first)
{
	uint64_t n;

	if (v == NULL)
		return first ? ERR_FORMAT : 0;
	n = (uint64_t)json_integer_value(v);
	if (first) {
		m->files++;
		m->open++;
		return n == ++m->begun ? 0 : ERR_FORMAT;
	}
	if (n == 0 || n > m->begun || m->open == 0)
		return ERR_FORMAT;
	m->open--;
	m->files--;
	return 0;
}

static int
add_object(struct manifest *m, const json_t *o, bool is_ref)
{
	bool refused, first;
	const char *name, *verb, *result;
	const json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, name, v)
	{
		if (!is_member(name, v))
			return ERR_FORMAT;
	}
	verb = json_string_value(json_object_get(o, "verb"));
	result = json_string_value(json_object_get(o, "result"));
	if (verb == NULL || result == NULL)
		return ERR_FORMAT;
	refused = strcmp(result, "refused") == 0;
	if (is_ref) {
		m->refs++;
		m->refs_refused += refused;
		return 0;
	}
	if (json_object_get(o, "path") == NULL)
		return ERR_FORMAT;
	first = strcmp(result, "begun") == 0;
	if (add_begun(m, json_object_get(o, "begun"), first) != 0)
		return ERR_FORMAT;
	if (first)
		return 0;
	m->files++;
	m->files_refused += refused;
	v = json_object_get(o, "bytes");
	if (v != NULL && strcmp(verb, "get") == 0 &&
	    !add_bytes(&m->bytes_read, v))
		return ERR_FORMAT;
	if (v != NULL && strcmp(verb, "put") == 0 &&
	    !add_bytes(&m->bytes_written, v))
		return ERR_FORMAT;
	return 0;
}

static int
digest(struct manifest *m, const void *p, size_t n)
{
	if (m->md == NULL &&
	    ((m->md = EVP_MD_CTX_new()) == NULL ||
		EVP_DigestInit_ex(m->md, EVP_sha256(), NULL) != 1))
		return ERR_CRYPTO;
	return EVP_DigestUpdate(m->md, p, n) == 1 ? 0 : ERR_CRYPTO;
}

int
manifest_add(struct manifest *m, const char *line, size_t n)
{
	json_t *o;
	int r;

	if (n > MANIFEST_LINE_MAX)
		return ERR_FORMAT;
	o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	r = o == NULL || !json_is_object(o)
		? ERR_FORMAT
		: add_object(m, o, begins(line, n, SIDECAR_REF));
	json_decref(o);
	if (r != 0 || (r = digest(m, line, n)) != 0 ||
	    (r = digest(m, "\n", 1)) != 0)
		return r;
	return 0;
}

/* -- all of them -------------------------------------------------------------
 */

static int
done(struct manifest *m)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (m->md == NULL)
		return 0; /* none */
	if (EVP_DigestFinal_ex(m->md, md, &n) != 1 ||
	    n * 2 != SIDECAR_SHA256_LEN)
		return ERR_CRYPTO;
	hex_encode(md, n, m->sha256);
	manifest_clear(m);
	return 0;
}

static bool
is_own(const char *line, size_t n)
{
	return begins(line, n, starts[0]) || begins(line, n, starts[1]);
}

/* Its writer died in the middle of one. */
static bool
is_half(const char *line, size_t n)
{
	size_t k;

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		k = strlen(starts[i]);
		if (memcmp(line, starts[i], n < k ? n : k) == 0)
			return true;
	}
	return false;
}

/* The whole lines of d.  ERR_NOTFOUND: a line is none of its own. */
static int
add_lines(struct manifest *m, const char *d, size_t n, size_t *used)
{
	const char *nl;
	size_t len;
	int r = 0;

	*used = 0;
	while (r == 0 && (nl = memchr(d + *used, '\n', n - *used)) != NULL) {
		len = (size_t)(nl - d) - *used;
		if (!is_own(d + *used, len))
			return ERR_NOTFOUND;
		if ((m->bytes += len + 1) > MANIFEST_MAX)
			return ERR_FORMAT;
		r = manifest_add(m, d + *used, len);
		*used += len + 1;
	}
	return r;
}

int
manifest_read(struct manifest *m, const struct record *rec, size_t max)
{
	const size_t size = 4 * MANIFEST_LINE_MAX;
	size_t used, all = 0;
	ssize_t n;
	char *d;
	int r = 0;

	if (m->at == 0)
		m->at = rec->side_start;
	if ((d = malloc(size)) == NULL)
		return ERR_NOMEM;
	while (r == 0 && all < max) {
		n = pread(rec->side, d, size, (off_t)m->at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			r = ERR_SYS;
		if (r != 0)
			break;
		r = add_lines(m, d, (size_t)n, &used);
		m->at += used;
		all += used;
		if (r != 0 || used > 0)
			continue;
		/* the end, or half a line, or a line that is too long */
		r = n == (ssize_t)size ? ERR_FORMAT : ERR_NOTFOUND;
		if (m->bytes > 0 && is_half(d, (size_t)n))
			m->at += (size_t)n;
	}
	free(d);
	if (r == ERR_NOTFOUND)
		return done(m);
	return r == 0 ? ERR_AGAIN : r;
}
