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
#include "lib/str.h"
#include "policy/command.h"
#include "policy/served.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a command", "a list", "a pipeline",
	"a folder", "a variable", "the far end of a transfer",
	"one that does more than is known", NULL };

static void
same_command(const struct command *a, const struct command *b)
{
	assert(a->nstage == b->nstage);
	assert((a->dir == NULL) == (b->dir == NULL));
	assert(a->dir == NULL || strcmp(a->dir, b->dir) == 0);
	for (size_t i = 0; i < a->nstage; i++) {
		const struct stage *x = &a->stage[i], *y = &b->stage[i];

		assert(x->argc == y->argc && x->nassign == y->nassign);
		for (size_t k = 0; k < x->argc; k++)
			assert(strcmp(x->argv[k], y->argv[k]) == 0);
		for (size_t k = 0; k < x->nassign; k++)
			assert(strcmp(x->assign[k], y->assign[k]) == 0);
	}
}

/* Parsed, printed, parsed, printed: the same list, the same text.  A script
 * that is one line prints as a line. */
static void
print_again(const struct list *l, enum list_form form)
{
	struct list again;
	struct command_error e;
	struct buf b, b2;

	buf_init(&b, COMMAND_LEN_MAX);
	buf_init(&b2, COMMAND_LEN_MAX);
	assert(list_print(l, &b) == 0);
	assert(list_parse((const char *)buf_ptr(&b), buf_len(&b), form, &again,
		   &e) == 0);
	assert(again.n == l->n);
	for (size_t i = 0; i < l->n; i++) {
		assert(again.connect[i] == l->connect[i]);
		same_command(&again.command[i], &l->command[i]);
	}
	assert(list_print(&again, &b2) == 0);
	assert(buf_len(&b) == buf_len(&b2));
	assert(memcmp(buf_ptr(&b), buf_ptr(&b2), buf_len(&b)) == 0);
	list_clear(&again);
	buf_clear(&b);
	buf_clear(&b2);
}

/* What is read as the far end of a transfer names only whole paths, and
 * nothing behind them. */
static void
read_served(const struct command *c)
{
	char path[PATH_LEN_MAX + 1];
	struct served v;

	switch (served_read(c, &v)) {
	case SERVED_NO:
		break;
	case SERVED_BAD:
		fuzz_reached(6);
		assert(v.what != NULL && v.hint != NULL);
		assert(v.word <= c->stage[0].argc);
		break;
	case SERVED_YES:
		fuzz_reached(5);
		assert(v.npath > 0 && v.program != NULL);
		assert(v.first + v.npath == c->stage[0].argc);
		for (size_t i = 0; i < v.npath; i++)
			assert(
			    served_path(c->stage[0].argv[v.first + i], path) &&
			    path_is_plain(path, strlen(path)));
	}
}

static void
see(const struct command *c)
{
	fuzz_reached(0);
	if (c->nstage > 1)
		fuzz_reached(2);
	if (c->dir != NULL)
		fuzz_reached(3);
	if (c->stage[0].nassign > 0)
		fuzz_reached(4);
}

static void
parse(const char *s, size_t n, enum list_form form)
{
	struct list l;
	struct command_error e;
	struct buf b;

	if (list_parse(s, n, form, &l, &e) == 0) {
		print_again(&l, form);
		if (l.n > 1)
			fuzz_reached(1);
		for (size_t i = 0; i < l.n; i++) {
			assert(l.command[i].pos + l.command[i].len <= n);
			see(&l.command[i]);
			read_served(&l.command[i]);
		}
		list_clear(&l);
		return;
	}
	assert(e.pos <= n && e.what[0] != '\0');
	buf_init(&b, 1 << 16);
	assert(command_error_print(s, n, &e, &b) == 0);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse((const char *)data, size, LIST_LINE);
	parse((const char *)data, size, LIST_SCRIPT);
	return 0;
}
