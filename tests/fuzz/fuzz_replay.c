/*
 * The replay filter: whatever goes in, only the allowlist comes out, within
 * its growth, and pieces make no difference.  The first byte: bit 0 the
 * character set, the rest how long the pieces are.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/replay.h"
#include "lib/buf.h"
#include "tests/fuzz/depth.h"
#include "tests/fuzz/replay_allowed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "what can be shown", "what cannot", NULL };

static void
run(const uint8_t *p, size_t n, bool ascii, size_t piece, struct buf *out)
{
	struct replay_filter f;

	buf_init(out, (n + 16) * REPLAY_GROWTH);
	replay_init(&f, ascii);
	for (size_t at = 0; at < n; at += piece) {
		size_t k = n - at < piece ? n - at : piece;

		if (replay_filter(&f, p + at, k, out) != 0)
			abort();
	}
	if (replay_end(&f, out) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;
	bool ascii;
	size_t piece;

	if (size == 0)
		return 0;
	ascii = (data[0] & 1) != 0;
	piece = (size_t)(data[0] >> 1) + 1;
	data++;
	size--;
	run(data, size, ascii, size + 1, &whole);
	run(data, size, ascii, piece, &pieces);
	if (!allowed_output(buf_ptr(&whole), buf_len(&whole), ascii) ||
	    buf_len(&whole) != buf_len(&pieces) ||
	    memcmp(buf_ptr(&whole), buf_ptr(&pieces), buf_len(&whole)) != 0)
		abort();
	if (size > 0 && buf_len(&whole) >= size &&
	    memcmp(buf_ptr(&whole), data, size) == 0)
		fuzz_reached(0);
	else if (size > 0)
		fuzz_reached(1);
	buf_clear(&whole);
	buf_clear(&pieces);
	return 0;
}
