/*
 * pkt-lines.  Runs in the hop, on bytes that a job or a target chose.
 */
#include "config.h"

#include "ssh/pktline.h"

#include <stdarg.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

/* -- lines -------------------------------------------------------------------
 */

static int
digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
pkt_read(const void *src, size_t n, struct pkt *out)
{
	const uint8_t *p = src;
	size_t size = 0;
	int d;

	*out = (struct pkt){ .size = PKT_HEAD };
	for (size_t i = 0; i < PKT_HEAD; i++) {
		if (i == n)
			return ERR_AGAIN;
		if ((d = digit(p[i])) == -1)
			return ERR_FORMAT;
		size = size * 16 + (size_t)d;
	}
	switch (size) {
	case 0:
		out->kind = PKT_FLUSH;
		return 0;
	case 1:
		out->kind = PKT_DELIM;
		return 0;
	case 2:
		out->kind = PKT_END;
		return 0;
	case 3:
		return ERR_FORMAT;
	default:
		break;
	}
	if (size > PKT_MAX)
		return ERR_FORMAT;
	out->size = size;
	if (n < size)
		return ERR_AGAIN;
	out->kind = PKT_DATA;
	out->data = p + PKT_HEAD;
	out->n = size - PKT_HEAD;
	return 0;
}

int
pkt_put(struct buf *b, const void *p, size_t n)
{
	int r;

	if (n > PKT_DATA_MAX)
		return ERR_TOOBIG;
	if ((r = buf_putf(b, "%04zx", n + PKT_HEAD)) != 0)
		return r;
	return buf_put(b, p, n);
}

int
pkt_put_flush(struct buf *b)
{
	return buf_put(b, "0000", PKT_HEAD);
}

int
pkt_putf(struct buf *b, const char *fmt, ...)
{
	struct buf text;
	va_list ap;
	int r;

	buf_init(&text, PKT_DATA_MAX);
	va_start(ap, fmt);
	r = buf_vputf(&text, fmt, ap);
	va_end(ap);
	if (r == 0 && (r = buf_put(&text, "\n", 1)) == 0)
		r = pkt_put(b, buf_ptr(&text), buf_len(&text));
	buf_clear(&text);
	return r;
}

/* -- what they carry ---------------------------------------------------------
 */

struct pkt_text
pkt_text(const struct pkt *k)
{
	struct pkt_text t = { (const char *)k->data, k->n };

	if (t.n > 0 && t.p[t.n - 1] == '\n')
		t.n--;
	return t;
}

bool
pkt_text_is(const struct pkt_text *t, const char *s)
{
	return t->n == strlen(s) && memcmp(t->p, s, t->n) == 0;
}

static void
skip(struct pkt_text *t, size_t n)
{
	t->p += n;
	t->n -= n;
}

bool
pkt_take_word(struct pkt_text *t, struct pkt_text *word)
{
	const char *end = t->n == 0 ? NULL : memchr(t->p, ' ', t->n);
	size_t n = end == NULL ? t->n : (size_t)(end - t->p);

	if (n == 0)
		return false;
	*word = (struct pkt_text){ t->p, n };
	skip(t, end == NULL ? n : n + 1);
	return true;
}

bool
pkt_take(struct pkt_text *t, const char *word)
{
	size_t n = strlen(word);

	if (t->n <= n || memcmp(t->p, word, n) != 0 || t->p[n] != ' ')
		return false;
	skip(t, n + 1);
	return true;
}

bool
pkt_take_caps(struct pkt_text *t, struct pkt_text *caps)
{
	const char *nul = t->n == 0 ? NULL : memchr(t->p, '\0', t->n);
	size_t n;

	if (nul == NULL)
		return false;
	n = (size_t)(nul - t->p);
	*caps = (struct pkt_text){ nul + 1, t->n - n - 1 };
	t->n = n;
	return true;
}

bool
pkt_take_oid(struct pkt_text *t, char oid[PKT_OID_MAX + 1])
{
	struct pkt_text rest = *t, word;

	if (!pkt_take_word(&rest, &word) ||
	    (word.n != 40 && word.n != PKT_OID_MAX))
		return false;
	for (size_t i = 0; i < word.n; i++) {
		if (!(word.p[i] >= '0' && word.p[i] <= '9') &&
		    !(word.p[i] >= 'a' && word.p[i] <= 'f'))
			return false;
	}
	memcpy(oid, word.p, word.n);
	oid[word.n] = '\0';
	*t = rest;
	return true;
}

bool
pkt_oid_is_zero(const char *oid)
{
	return oid[strspn(oid, "0")] == '\0';
}

/* One of the parts between the slashes. */
static bool
part_ok(const char *p, size_t n)
{
	static const char lock[] = ".lock";
	size_t k = sizeof(lock) - 1;

	return n > 0 && p[0] != '.' && p[n - 1] != '.' &&
	       !(n >= k && memcmp(p + n - k, lock, k) == 0);
}

static bool
parts_ok(const char *s)
{
	const char *end;

	for (;; s = end + 1) {
		end = strchr(s, '/');
		if (!part_ok(s, end == NULL ? strlen(s) : (size_t)(end - s)))
			return false;
		if (end == NULL)
			return true;
	}
}

static bool
chars_ok(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;
	uint32_t cp;
	size_t k;

	for (; n > 0; p += k, n -= k) {
		if ((k = utf8_next(p, n, &cp)) == 0 || utf8_is_control(cp) ||
		    (cp < 0x80 && strchr(" ~^:?*[\\", (int)cp) != NULL))
			return false;
	}
	return strstr(s, "..") == NULL && strstr(s, "@{") == NULL;
}

bool
pkt_ref(const struct pkt_text *t, char ref[PKT_REF_MAX + 1])
{
	static const char refs[] = "refs/";
	char name[PKT_REF_MAX + 1];

	if (t->n > PKT_REF_MAX || t->n < sizeof(refs) ||
	    memcmp(t->p, refs, sizeof(refs) - 1) != 0 ||
	    memchr(t->p, '\0', t->n) != NULL)
		return false;
	memcpy(name, t->p, t->n);
	name[t->n] = '\0';
	if (!chars_ok(name, t->n) || !parts_ok(name))
		return false;
	memcpy(ref, name, t->n + 1);
	return true;
}
