/*
 * A policy printed.  In its one layout it loads as the same, and printing that
 * again changes nothing; what does not load still does not.  As JSON it is
 * read by a strict reader.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "policy/export.h"
#include "policy/format.h"
#include "policy/policy.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a policy that loads", "one that does not",
	NULL };

#define PRINTED_MAX (64UL << 20)

static struct policy *
load(const char *text, size_t len)
{
	static const char *const name[] = { "fuzz.postern" };
	struct diags *d = diags_new();
	struct policy *p = NULL;

	assert(d != NULL);
	(void)policy_load_text(name, &text, &len, 1, d, &p);
	diags_free(d);
	return p;
}

static void
check_json(const struct buf *b)
{
	json_t *j = json_loadb(
	    (const char *)buf_ptr(b), buf_len(b), JSON_REJECT_DUPLICATES, NULL);

	assert(json_is_object(j));
	json_decref(j);
}

/* Without the numbers of lines, which a layout may change. */
static void
export_without_lines(const struct policy *p, struct buf *out)
{
	static const char line[] = "\"line\":";
	struct buf b;
	const char *s, *at;

	buf_init(&b, PRINTED_MAX);
	assert(policy_export(p, &b) == 0);
	check_json(&b);
	for (s = buf_cstr(&b); (at = strstr(s, line)) != NULL; s = at) {
		at += strlen(line);
		assert(buf_put(out, s, (size_t)(at - s)) == 0);
		at += strspn(at, " 0123456789");
	}
	assert(buf_put(out, s, strlen(s)) == 0);
	buf_clear(&b);
}

static bool
same_bytes(const struct buf *a, const struct buf *b)
{
	return buf_len(a) == buf_len(b) &&
	       (buf_len(a) == 0 ||
		   memcmp(buf_ptr(a), buf_ptr(b), buf_len(a)) == 0);
}

static void
same_policy(const struct policy *p, const struct policy *q)
{
	struct buf a, b;

	buf_init(&a, PRINTED_MAX);
	buf_init(&b, PRINTED_MAX);
	export_without_lines(p, &a);
	export_without_lines(q, &b);
	assert(same_bytes(&a, &b));
	buf_clear(&a);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *p = load((const char *)data, size), *q;
	struct buf out, again;

	buf_init(&out, PRINTED_MAX);
	buf_init(&again, PRINTED_MAX);
	assert(policy_format((const char *)data, size, &out) == 0);
	q = load((const char *)buf_ptr(&out), buf_len(&out));
	assert((p == NULL) == (q == NULL));
	fuzz_reached(p == NULL ? 1 : 0);
	if (p != NULL) {
		same_policy(p, q);
		assert(policy_format((const char *)buf_ptr(&out), buf_len(&out),
			   &again) == 0);
		assert(same_bytes(&out, &again));
	}
	policy_free(p);
	policy_free(q);
	buf_clear(&out);
	buf_clear(&again);
	return 0;
}
