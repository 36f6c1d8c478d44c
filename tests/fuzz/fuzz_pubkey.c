/*
 * A line that should be a public key.  What is read is a whole key, and its
 * blob is not longer than the line.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/proto.h"
#include "ssh/pubkey.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a key", NULL };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pubkey_kind *k;
	const char *why = NULL;
	struct buf blob;
	int r;

	buf_init(&blob, PROTO_JOB_KEY_MAX);
	r = pubkey_read(data, size, &blob, &why);
	if (why == NULL || (r != 0) != (buf_len(&blob) == 0) ||
	    (r == 0 && (pubkey_check(buf_ptr(&blob), buf_len(&blob), &k) != 0 ||
			   buf_len(&blob) > size)))
		abort();
	if (r == 0)
		fuzz_reached(0);
	buf_clear(&blob);
	return 0;
}
