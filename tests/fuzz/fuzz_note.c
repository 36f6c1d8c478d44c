/*
 * Keys, signed notes and checkpoints, which may come from anywhere.  What is a
 * checkpoint is written again as it was read.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/note.h"
#include "lib/buf.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a checkpoint", NULL };

static void
key(const uint8_t *data, size_t size)
{
	char text[NOTE_KEY_MAX], again[NOTE_KEY_MAX];
	struct note_key k;

	if (size >= sizeof(text))
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (note_key_parse(text, &k) != 0)
		return;
	note_key_text(&k, again);
	if (strcmp(text, again) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct note_key k = { .name = "n", .id = { 1, 2, 3, 4 } };
	struct checkpoint c;
	struct buf b;
	size_t n = 0;

	key(data, size);
	if (note_verify(data, size, &k, &n) == 0 && n >= size)
		abort();
	if (checkpoint_parse(data, size, &c) != 0)
		return 0;
	fuzz_reached(0);
	buf_init(&b, 2 * NOTE_MAX);
	if (checkpoint_text(c.origin, c.size, &c.root, "", &b) != 0 ||
	    buf_len(&b) + c.more_len > size ||
	    memcmp(buf_ptr(&b), data, buf_len(&b)) != 0 ||
	    (const uint8_t *)c.more != data + buf_len(&b))
		abort();
	buf_clear(&b);
	return 0;
}
