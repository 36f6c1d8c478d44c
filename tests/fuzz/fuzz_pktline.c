/*
 * pkt-lines out of any bytes: what is read is written again as it was, and what
 * it carries never reaches beyond it.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "ssh/pktline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	if (pkt_take_oid(&t, oid))
		assert(strlen(oid) == 40 || strlen(oid) == 64);
	while (pkt_take_word(&t, &word)) {
		assert(word.n > 0 && memchr(word.p, ' ', word.n) == NULL);
		assert(word.p >= all.p && word.p + word.n <= all.p + all.n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf again;
	struct pkt k;
	int r;

	while (size > 0 && (r = pkt_read(data, size, &k)) != ERR_FORMAT) {
		if (r == ERR_AGAIN) {
			assert(k.size > size && k.size <= PKT_MAX);
			break;
		}
		assert(r == 0 && k.size >= PKT_HEAD && k.size <= size);
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
