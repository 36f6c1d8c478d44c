/*
 * Key sets, on any bytes as an issuer's answer.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/jwk.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a key", NULL };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwk_set *s = NULL;
	const char *why = NULL;

	if (jwk_set_parse(data, size, &s, &why) != 0) {
		if (why == NULL || s != NULL)
			abort();
		return 0;
	}
	if (s->n + s->skipped > JWK_KEYS_MAX)
		abort();
	for (size_t i = 0; i < s->n; i++) {
		fuzz_reached(0);
		if (s->key[i].key == NULL || s->key[i].pem_len == 0)
			abort();
		for (size_t k = 0; s->key[i].kid != NULL && k < i; k++) {
			if (s->key[k].kid != NULL &&
			    strcmp(s->key[i].kid, s->key[k].kid) == 0)
				abort();
		}
	}
	jwk_set_free(s);
	return 0;
}
