/*
 * pkt-lines out of any bytes: what is read is written again as it was, and what
 * it carries never reaches beyond it.  The same bytes are then a line's text,
 * so that its parts need no length that fits: its words, and as a ref's name,
 * which is held against git's rules, written here once more.
 */
#include "config.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "ssh/pktline.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a line with text", "a line without",
	NULL };

static void
fields(const struct pkt *k)
{
	struct pkt_text t = pkt_text(k), all = t, caps, word;
	char ref[PKT_REF_MAX + 1], oid[PKT_OID_MAX + 1];

	if (pkt_ref(&t, ref)) {
		assert(strlen(ref) == t.n && strncmp(ref, "refs/", 5) == 0);
		assert(utf8_valid(ref, t.n) && strpbrk(ref, " :*\n") == NULL);
	}
	if (pkt_take_caps(&t, &caps)) {
		assert(t.n + 1 + caps.n == all.n);
		assert(memchr(t.p, '\0', t.n) == NULL);
	}
	if (pkt_take_oid(&t, oid)) {
		assert(strlen(oid) == 40 || strlen(oid) == 64);
		assert(pkt_oid_is_zero(oid) ==
		       (strpbrk(oid, "123456789abcdef") == NULL));
	}
	if (pkt_take(&t, "want") || pkt_take(&t, "ng"))
		assert(t.p[-1] == ' ');
	while (pkt_take_word(&t, &word)) {
		assert(word.n > 0 && memchr(word.p, ' ', word.n) == NULL);
		assert(word.p >= all.p && word.p + word.n <= all.p + all.n);
	}
}

/* git-check-ref-format(1), and what is ours: UTF-8 without control characters,
 * and a bound. */
static bool
is_ref(const char *s, size_t n)
{
	static const char *const never[] = { "..", "@{", "//", "/.", "./",
		".lock/", " ", "~", "^", ":", "?", "*", "[", "\\" };
	uint32_t cp;
	size_t k;

	if (n > PKT_REF_MAX || memchr(s, '\0', n) != NULL || !utf8_valid(s, n))
		return false;
	for (size_t i = 0; i < n; i += k) {
		k = utf8_next((const uint8_t *)s + i, n - i, &cp);
		if (utf8_is_control(cp))
			return false;
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		if (memmem(s, n, never[i], strlen(never[i])) != NULL)
			return false;
	}
	return s[n - 1] != '/' && s[n - 1] != '.' &&
	       !(n >= 5 && memcmp(s + n - 5, ".lock", 5) == 0);
}

static void
ref(const uint8_t *data, size_t size)
{
	char name[PKT_REF_MAX + 1];
	struct pkt_text t;
	struct buf b;

	buf_init(&b, PKT_DATA_MAX);
	if (buf_put(&b, "refs/", 5) == 0 && buf_put(&b, data, size) == 0) {
		t.p = (const char *)buf_ptr(&b);
		t.n = buf_len(&b);
		assert(pkt_ref(&t, name) == (size > 0 && is_ref(t.p, t.n)));
		if (size > 0 && is_ref(t.p, t.n))
			assert(pkt_text_is(&t, name));
	}
	buf_clear(&b);
}

/* The bytes as a text: with all that a line may carry. */
static void
text(const uint8_t *data, size_t size)
{
	struct buf b;
	struct pkt k;

	buf_init(&b, PKT_MAX);
	assert((pkt_put(&b, data, size) == 0) == (size <= PKT_DATA_MAX));
	if (size <= PKT_DATA_MAX) {
		assert(pkt_read(buf_ptr(&b), buf_len(&b), &k) == 0);
		assert(k.n == size && k.size == buf_len(&b));
		fields(&k);
	}
	buf_reset(&b);
	if (memchr(data, '\0', size) == NULL && size < PKT_DATA_MAX) {
		if (pkt_putf(&b, "%.*s", (int)size, (const char *)data) != 0 ||
		    pkt_put_flush(&b) != 0)
			abort();
		assert(pkt_read(buf_ptr(&b), buf_len(&b), &k) == 0);
		assert(k.n == size + 1 && pkt_text(&k).n == size);
	}
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf again;
	struct pkt k;
	int r;

	text(data, size);
	ref(data, size);
	while (size > 0 && (r = pkt_read(data, size, &k)) != ERR_FORMAT) {
		if (r == ERR_AGAIN) {
			assert(k.size > size && k.size <= PKT_MAX);
			break;
		}
		assert(r == 0 && k.size >= PKT_HEAD && k.size <= size);
		fuzz_reached(k.kind == PKT_DATA ? 0 : 1);
		if (k.kind == PKT_DATA) {
			assert(k.data == data + PKT_HEAD);
			buf_init(&again, PKT_MAX);
			if (pkt_put(&again, k.data, k.n) != 0)
				abort();
			assert(buf_len(&again) == k.size);
			assert(memcmp(buf_ptr(&again) + PKT_HEAD,
				   data + PKT_HEAD, k.n) == 0);
			buf_clear(&again);
			fields(&k);
		}
		data += k.size;
		size -= k.size;
	}
	return 0;
}
