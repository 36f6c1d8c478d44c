/*
 * What a client of SFTP is told when it is refused, byte by byte.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/sftprefuse.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define INIT "\0\0\0\5\1\0\0\0\3"
#define HELLO "\0\0\0\5\2\0\0\0\3"
#define REALPATH "\0\0\0\12\20\0\0\0\7\0\0\0\1."
#define STATUS7 "\0\0\0\23\145\0\0\0\7\0\0\0\3\0\0\0\2no\0\0\0\0"

/* What comes back for in; the client has left then. */
static size_t
refuse(const void *in, size_t n, const char *text, uint8_t *out, size_t size)
{
	int to[2], from[2];
	ssize_t k;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	assert_int_equal(write(to[1], in, n), n);
	(void)close(to[1]);
	sftprefuse(to[0], from[1], text, strlen(text), 60000);
	(void)close(to[0]);
	(void)close(from[1]);
	k = read(from[0], out, size);
	(void)close(from[0]);
	assert_true(k >= 0);
	return (size_t)k;
}

static void
t_sftprefuse_answers(void **state)
{
#define C(in, out)                                                             \
	{                                                                      \
		in, sizeof(in) - 1, out, sizeof(out) - 1                       \
	}
	static const struct {
		const char *in;
		size_t nin;
		const char *out;
		size_t nout;
	} c[] = {
		C("", ""),
		C(INIT, HELLO),
		C(INIT REALPATH, HELLO STATUS7),
		C(INIT REALPATH REALPATH, HELLO STATUS7 STATUS7),
		C(REALPATH, STATUS7),
		/* cut, too short, too long */
		C(INIT "\0\0\0\12\20\0\0\0\7\0\0\0\1", HELLO),
		C(INIT "\0\0\0\4\20\0\0\0\7", HELLO),
		C(INIT "\0\0\0\0\0\0\0\0\0", HELLO),
		C(INIT "\0\4\0\1\20\0\0\0\7", HELLO),
		C(INIT "\377\377\377\377\20\0\0\0\7", HELLO),
	};
	uint8_t out[256];

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		assert_int_equal(
		    refuse(c[i].in, c[i].nin, "no\n", out, sizeof(out)),
		    c[i].nout);
		assert_memory_equal(out, c[i].out, c[i].nout);
	}
}

/* So many questions, and then it ends. */
static void
t_sftprefuse_bounds(void **state)
{
	static const char one[] = REALPATH, two[] = STATUS7;
	char in[100 * (sizeof(one) - 1)];
	uint8_t out[8192];

	(void)state;
	for (size_t i = 0; i < 100; i++)
		memcpy(in + i * (sizeof(one) - 1), one, sizeof(one) - 1);
	assert_int_equal(refuse(in, sizeof(in), "no", out, sizeof(out)),
	    (1 + SFTPREFUSE_TIMES) * (sizeof(two) - 1));
}

/* Of a long text the last lines, of a long line its beginning. */
static void
t_sftprefuse_text(void **state)
{
	char text[3000];
	uint8_t out[4096];
	size_t n;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + 2000, "\nlast\n", 7);
	text[2006] = '\0';
	n = refuse(REALPATH, sizeof(REALPATH) - 1, text, out, sizeof(out));
	assert_int_equal(n, 17 + 4 + 4);
	assert_memory_equal(out + 17, "last", 4);
	text[1500] = '\0';
	n = refuse(REALPATH, sizeof(REALPATH) - 1, text, out, sizeof(out));
	assert_int_equal(n, 17 + SFTPREFUSE_TEXT_MAX + 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_sftprefuse_answers),
		cmocka_unit_test(t_sftprefuse_bounds),
		cmocka_unit_test(t_sftprefuse_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
