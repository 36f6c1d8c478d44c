/*
 * What postern-shell makes of its arguments and environment.
 */
#include "config.h"

#include "shell/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define HANDLE "0123456789abcdef0123456789abcdef"

struct form_case {
	const char *argv[5];
	bool fine;
};

static void
t_request_form(void **state)
{
	static const struct form_case cases[] = {
		{ { "postern-shell", "-c", "postern", NULL }, true },
		{ { NULL }, false },
		{ { "-postern-shell", NULL }, false },
		{ { "postern-shell", NULL }, false },
		{ { "postern-shell", "-c", NULL }, false },
		{ { "postern-shell", "postern", NULL }, false },
		{ { "postern-shell", "-c", "", NULL }, false },
		{ { "postern-shell", "-c", "postern ", NULL }, false },
		{ { "postern-shell", "-c", "Postern", NULL }, false },
		{ { "postern-shell", "-c", "postern; id", NULL }, false },
		{ { "postern-shell", "-lc", "postern", NULL }, false },
		{ { "postern-shell", "-c", "postern", "x", NULL }, false },
		{ { "postern-shell", "-i", "-c", "postern", NULL }, false },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char *argv[5] = { NULL };
		int argc = 0;

		for (; cases[i].argv[argc] != NULL; argc++)
			argv[argc] = strdup(cases[i].argv[argc]);
		assert_true(request_form(argc, argv) == cases[i].fine);
		for (int j = 0; j < argc; j++)
			free(argv[j]);
	}
}

static void
t_request_read_handle(void **state)
{
	static const char *const wrong[] = { "", "x", HANDLE "0",
		"0123456789ABCDEF0123456789ABCDEF",
		"0123456789abcdef0123456789abcde ", };
	struct request q;

	(void)state;
	assert_int_equal(setenv("POSTERN_SESSION", HANDLE, 1), 0);
	request_read(&q);
	assert_string_equal(q.handle, HANDLE);
	for (size_t i = 0; i < N(wrong); i++) {
		assert_int_equal(setenv("POSTERN_SESSION", wrong[i], 1), 0);
		request_read(&q);
		assert_string_equal(q.handle, "");
	}
	request_read(&q);
	assert_string_equal(q.handle, "");
	assert_null(q.command);
	assert_false(q.tty);
	assert_string_equal(q.term, "");
}

static void
t_request_read_leaves_nothing(void **state)
{
	struct request q;

	(void)state;
	assert_int_equal(setenv("LD_PRELOAD", "/x", 1), 0);
	assert_int_equal(setenv("SSH_ORIGINAL_COMMAND", "a  b\n", 1), 0);
	request_read(&q);
	assert_string_equal(q.command, "a  b\n");
	assert_true(environ == NULL || environ[0] == NULL);
	assert_null(getenv("LD_PRELOAD"));
}

static void
put(const char *command, int want)
{
	struct request q = { .handle = "", .term = "", .command = command };
	struct msg m;

	msg_init(&m, MSG_RUN);
	assert_int_equal(request_put(&q, &m), want);
	if (want == 0)
		assert_int_equal(m.nfd, 3);
	msg_clear(&m);
}

/* Promise 10: the longest command fits its message, one more byte does not
 * pass. */
static void
t_request_put_bound(void **state)
{
	char *s = malloc(PROTO_COMMAND_MAX + 2);

	(void)state;
	assert_non_null(s);
	memset(s, 'x', PROTO_COMMAND_MAX + 1);
	s[PROTO_COMMAND_MAX + 1] = '\0';
	put(s, ERR_TOOBIG);
	s[PROTO_COMMAND_MAX] = '\0';
	put(s, 0);
	put("", 0);
	put(NULL, 0);
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_request_form),
		cmocka_unit_test(t_request_read_handle),
		cmocka_unit_test(t_request_read_leaves_nothing),
		cmocka_unit_test(t_request_put_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
