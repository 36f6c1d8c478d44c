/*
 * The command parser: never a crash, and what is accepted prints to something
 * that is accepted as the same.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/buf.h"
#include "policy/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
print_again(const struct command *c)
{
	struct command *again = NULL;
	struct command_error e;
	struct buf b, b2;

	buf_init(&b, COMMAND_LEN_MAX);
	buf_init(&b2, COMMAND_LEN_MAX);
	assert(command_print(c, &b) == 0);
	assert(command_parse((const char *)buf_ptr(&b), buf_len(&b), &again,
	    &e) == 0);
	assert(again->stage->argc == c->stage->argc);
	for (size_t i = 0; i < c->stage->argc; i++)
		assert(strcmp(again->stage->argv[i], c->stage->argv[i]) == 0);
	assert(command_print(again, &b2) == 0);
	assert(buf_len(&b) == buf_len(&b2));
	assert(memcmp(buf_ptr(&b), buf_ptr(&b2), buf_len(&b)) == 0);
	command_free(again);
	buf_clear(&b);
	buf_clear(&b2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct command *c = NULL;
	struct command_error e;
	struct buf b;

	if (command_parse((const char *)data, size, &c, &e) == 0) {
		print_again(c);
	} else {
		assert(e.pos <= size && e.what[0] != '\0');
		buf_init(&b, 1 << 16);
		assert(command_error_print((const char *)data, size, &e,
		    &b) == 0);
		buf_clear(&b);
	}
	command_free(c);
	return 0;
}
