/*
 * Quoting, both ways.  What the reader takes must be written back byte for
 * byte; any list of words must come back as it was.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "ssh/quote.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a line in quotes", "words to be quoted",
	NULL };

#define WORDS_MAX 64

static void
fuzz_read(const uint8_t *data, size_t size)
{
	struct quote_line *l = NULL;
	struct buf b;

	if (quote_read((const char *)data, size, &l) != 0)
		return;
	fuzz_reached(0);
	buf_init(&b, PROTO_WIRE_MAX);
	if (quote_put(l, &b) != 0 || buf_len(&b) != size ||
	    memcmp(buf_ptr(&b), data, size) != 0)
		abort();
	buf_clear(&b);
	free(l);
}

/* The input as words parted by NULs. */
static void
fuzz_write(const uint8_t *data, size_t size)
{
	struct quote_program prog[QUOTE_PROGRAMS_MAX];
	struct quote_line l = { .program = prog };
	const char *argv[WORDS_MAX];
	char *text = malloc(size + 1), *p, *end;
	size_t argc = 0;
	struct buf b;

	if (text == NULL)
		return;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	end = text + size;
	for (p = text; p <= end && argc < WORDS_MAX; p += strlen(p) + 1)
		argv[argc++] = p;
	buf_init(&b, PROTO_WIRE_MAX);
	if (quote_argv(argv, argc, &b) == ERR_INTERNAL)
		abort();
	if (argc > 1 && buf_len(&b) > 0)
		fuzz_reached(1);
	buf_reset(&b);
	/* and each word a program, behind a folder */
	for (size_t i = 0; i + 1 < argc && i < QUOTE_PROGRAMS_MAX; i++)
		prog[i] = (struct quote_program){ &argv[i + 1], 1 };
	l.dir = argv[0];
	l.n = argc - 1 < QUOTE_PROGRAMS_MAX ? argc - 1 : QUOTE_PROGRAMS_MAX;
	if (quote_put(&l, &b) == ERR_INTERNAL)
		abort();
	buf_clear(&b);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_read(data, size);
	fuzz_write(data, size);
	return 0;
}
