/*
 * Claims, on any bytes as a token's payload.  What policy would be told must
 * keep the bounds that policy was promised.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/token.h"
#include "lib/buf.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a token", "one that is good", "claims",
	NULL };

static void
must_be_readable(struct buf *b)
{
	const uint8_t *p;
	uint32_t n, cp;
	size_t len, k;

	if (buf_get_u32(b, &n) != 0 || n > PROTO_CLAIMS_MAX)
		abort();
	for (; n > 0; n--) {
		if (buf_get_view(b, PROTO_CLAIM_NAME_MAX, &p, &len) != 0 ||
		    len == 0 ||
		    buf_get_view(b, PROTO_CLAIM_VALUE_MAX, &p, &len) != 0)
			abort();
		for (; len > 0; p += k, len -= k) {
			if ((k = utf8_next(p, len, &cp)) == 0 ||
			    utf8_is_control(cp))
				abort();
		}
	}
	if (buf_end(b) != 0)
		abort();
	fuzz_reached(2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "i", url[] = "https://i.example", us[] = "us";
	static char *aud[] = { us };
	const struct token_rules rules = { .name = name,
		.url = url,
		.aud = aud,
		.naud = 1,
		.max_age_s = 600,
		.max_life_s = 86400,
		.leeway_s = 60 };
	const char *why = NULL;
	struct token t;
	struct buf b;

	if (token_parse(data, size, &t, &why) == 0) {
		fuzz_reached(0);
		buf_init(&b, 64 * 1024);
		if (token_check(&t, &rules, 1700000000, &why) == 0) {
			fuzz_reached(1);
			if (t.sub == NULL || t.exp <= 1700000000 - 60)
				abort();
		}
		if (token_put_claims(&t, &b, &why) == 0)
			must_be_readable(&b);
		buf_clear(&b);
	}
	token_clear(&t);
	return 0;
}
