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

/* What RUN carries of such an environment; q has been read from it. */
static void
sent(char **env, struct request *q, size_t n, const char *want)
{
	const uint8_t *p;
	struct msg m;
	uint32_t count;
	size_t len;

	environ = env;
	request_read(q);
	assert_true(request_env_fits(q));
	msg_init(&m, MSG_RUN);
	assert_int_equal(request_put(q, &m), 0);
	/* handle, kind, command, tty, term, columns, rows */
	assert_int_equal(buf_skip(&m.body, 4 + 1 + 4 + 1 + 4 + 4 + 4), 0);
	assert_int_equal(buf_get_u32(&m.body, &count), 0);
	assert_int_equal(count, n);
	for (; count > 0; count--) {
		assert_int_equal(
		    buf_get_view(&m.body, PROTO_ENV_MAX, &p, &len), 0);
		if (want != NULL)
			assert_memory_equal(p, want, len);
	}
	assert_int_equal(buf_end(&m.body), 0);
	msg_clear(&m);
}

static void
t_request_put_env(void **state)
{
	char own[] = "PATH=/bin", user[] = "USER=x", tty[] = "SSH_TTY=/x",
	     handle[] = "POSTERN_SESSION=x", odd[] = "A.B=c", none[] = "AB",
	     bash[] = "BASH_FUNC_x%%=() { id; }", term[] = "TERM=xterm",
	     stage[] = "STAGE=blue", path[] = "PATHS=a", empty[] = "=x";
	char *env[] = { own, user, tty, handle, odd, none, bash, term, empty,
		NULL };
	char *one[] = { own, stage, odd, NULL };
	char *two[] = { path, stage, NULL };
	struct request q;

	(void)state;
	sent(NULL, &q, 0, NULL);
	sent(env, &q, 0, NULL);
	sent(one, &q, 1, stage);
	sent(two, &q, 2, NULL);
}

/* One too much: nothing is sent. */
static void
unsent(char **env)
{
	struct request q;
	struct msg m;

	environ = env;
	request_read(&q);
	assert_false(request_env_fits(&q));
	msg_init(&m, MSG_RUN);
	assert_int_equal(request_put(&q, &m), ERR_TOOBIG);
	msg_clear(&m);
}

/* Promise 10: as many and as long as may be, and one more. */
static void
t_request_env_fits_bound(void **state)
{
	char *many[PROTO_ENVS_MAX + 3] = { NULL }, a[] = "A=b";
	char *text = malloc(PROTO_ENV_MAX + 1), *one[] = { text, NULL };
	struct request q;

	(void)state;
	for (size_t i = 0; i < PROTO_ENVS_MAX; i++)
		many[i] = a;
	sent(many, &q, PROTO_ENVS_MAX, a);
	many[PROTO_ENVS_MAX] = a;
	unsent(many);
	many[PROTO_ENVS_MAX + 1] = a;
	unsent(many);
	assert_non_null(text);
	memset(text, 'x', PROTO_ENV_MAX);
	text[1] = '=';
	text[PROTO_ENV_MAX - 1] = '\0';
	sent(one, &q, 1, text);
	text[PROTO_ENV_MAX - 1] = 'x';
	text[PROTO_ENV_MAX] = '\0';
	unsent(one);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_request_form),
		cmocka_unit_test(t_request_read_handle),
		cmocka_unit_test(t_request_read_leaves_nothing),
		cmocka_unit_test(t_request_put_bound),
		cmocka_unit_test(t_request_put_env),
		cmocka_unit_test(t_request_env_fits_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
