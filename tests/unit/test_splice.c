/*
 * A shell's recording and its operations', as one time line.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/splice.h"
#include "lib/err.h"

#define HEAD "{\"version\":2,\"width\":80,\"height\":24,\"postern\":{"
#define PARTS_MAX 4

struct given {
	size_t n;
	const char *text[PARTS_MAX]; /* NULL: its recording is not there */
	uint64_t line[PARTS_MAX];
};

static int
file_of(const char *text)
{
	char name[] = "/tmp/splice-XXXXXX";
	size_t n = strlen(text);
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(write(fd, text, n), (ssize_t)n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static uint64_t
given_line(void *arg, size_t i)
{
	return ((const struct given *)arg)->line[i];
}

static int
given_open(void *arg, size_t i, int *fdp, char text[SPLICE_TEXT_MAX])
{
	const struct given *g = arg;

	*fdp = -1;
	if (g->text[i] != NULL && *g->text[i] != '\0')
		*fdp = file_of(g->text[i]);
	else if (g->text[i] == NULL)
		(void)snprintf(text, SPLICE_TEXT_MAX, "[gone]");
	return 0;
}

/* "LINE TIME CODE DATA|" of all events; a damaged line is "!|". */
static void
check(const char *shell, struct given *g, const char *want)
{
	const struct splice_parts parts = {
		.n = g->n, .line = given_line, .open = given_open, .arg = g
	};
	struct castread_event ev;
	char got[1000] = "";
	struct splice *s;
	int fd = file_of(shell), r;

	assert_int_equal(splice_open(fd, &parts, &s), 0);
	while ((r = splice_next(s, &ev)) != ERR_NOTFOUND) {
		size_t n = strlen(got);

		if (r == ERR_FORMAT) {
			(void)snprintf(got + n, sizeof(got) - n, "!|");
			continue;
		}
		assert_int_equal(r, 0);
		(void)snprintf(got + n, sizeof(got) - n, "%u %u%s %c %.*s|",
		    (unsigned int)splice_line(s), (unsigned int)ev.at_us,
		    splice_is_plain(s) ? "p" : "", ev.code, (int)ev.len,
		    (const char *)ev.data);
	}
	assert_string_equal(got, want);
	splice_free(s);
	assert_int_equal(close(fd), 0);
}

#define SHELL                                                                  \
	HEAD "\"clock_us\":1000,\"pty\":true,\"shell\":true}}\n"               \
	     "[0.000010,\"o\",\"> a\"]\n"                                      \
	     "[0.000020,\"m\",\"line 1: a\"]\n"                                \
	     "[0.000050,\"o\",\"> b\"]\n"                                      \
	     "[0.000060,\"m\",\"line 2: b\"]\n"                                \
	     "[0.000090,\"o\",\"> \"]\n"

/* By the clock; what is written at the same time is the operation's first. */
static void
t_splice_next_by_clock(void **state)
{
	struct given g = { .n = 3,
		.line = { 1, 1, 2 },
		.text = { HEAD
		    "\"clock_us\":1030,\"pty\":false}}\n"
		    "[0.000001,\"o\",\"x\"]\n[0.000005,\"x\",\"0\"]\n",
		    HEAD "\"clock_us\":1040,\"pty\":true}}\n"
			 "[0.000001,\"o\",\"y\"]\n[0.000010,\"o\",\"z\"]\n",
		    HEAD "\"clock_us\":1070,\"pty\":true}}\n"
			 "[0.000000,\"m\",\"line 7: no\"]\n" } };

	(void)state;
	check(SHELL, &g,
	    "0 10 o > a|1 20 m line 1: a|1 31p o x|1 35p X 0|1 41 o y|"
	    "1 50 o z|1 50 o > b|2 60 m line 2: b|2 70 m line 7: no|"
	    "2 90 o > |");
}

/* What is gone is named where it was; one that never began is not. */
static void
t_splice_next_missing(void **state)
{
	struct given g = { .n = 3, .line = { 1, 2, 9 }, .text = { NULL, "" } };

	(void)state;
	check(SHELL, &g,
	    "0 10 o > a|1 20 m line 1: a|1 20 o [gone]|1 50 o > b|"
	    "2 60 m line 2: b|2 90 o > |9 90 o [gone]|");
}

/* A clock from before the shell, or none: where its line is. */
static void
t_splice_next_no_clock(void **state)
{
	struct given g = { .n = 2,
		.line = { 1, 2 },
		.text = { HEAD "\"pty\":true}}\n[0.000001,\"o\",\"x\"]\n",
		    HEAD "\"clock_us\":9,\"pty\":true}}\n"
			 "[0.000001,\"o\",\"y\"]\n" } };

	(void)state;
	check(SHELL, &g,
	    "0 10 o > a|1 20 m line 1: a|1 21 o x|1 50 o > b|"
	    "2 60 m line 2: b|2 61 o y|2 90 o > |");
}

/* A clock that lies does not lead out of the line. */
static void
t_splice_next_lying_clock(void **state)
{
	struct given g = { .n = 2,
		.line = { 1, 2 },
		.text = { HEAD
		    "\"clock_us\":9223372036854775807,\"pty\":true}}\n"
		    "[0.000001,\"o\",\"x\"]\n[9.000000,\"o\",\"y\"]\n",
		    HEAD "\"clock_us\":1070,\"pty\":true}}\n"
			 "[0.000001,\"o\",\"z\"]\n" } };

	(void)state;
	check(SHELL, &g,
	    "0 10 o > a|1 20 m line 1: a|1 50 o > b|1 60 o x|1 60 o y|"
	    "2 60 m line 2: b|2 71 o z|2 90 o > |");
}

/* A shell that says no clock, and marks no line: all of it is there. */
static void
t_splice_next_lying_shell(void **state)
{
	struct given g = { .n = 2,
		.line = { 1, 2 },
		.text = { HEAD "\"clock_us\":5000000,\"pty\":true}}\n"
			       "[0.000001,\"o\",\"x\"]\n",
		    HEAD "\"clock_us\":6000000,\"pty\":true}}\n"
			 "[0.000001,\"o\",\"y\"]\n" } };

	(void)state;
	check(HEAD "\"clock_us\":-1,\"pty\":true,\"shell\":true}}\n"
		   "[0.000020,\"m\",\"line 1: a\"]\n"
		   "[0.000050,\"m\",\"line 2: b\"]\n",
	    &g, "1 20 m line 1: a|1 21 o x|2 50 m line 2: b|2 51 o y|");
	check(HEAD "\"clock_us\":1,\"pty\":true,\"shell\":true}}\n"
		   "[0.000020,\"m\",\"line x: a\"]\n",
	    &g, "0 20 m line x: a|1 5000000 o x|2 6000000 o y|");
}

/* Damage in one of them, and one that is no recording. */
static void
t_splice_next_damaged(void **state)
{
	struct given g = { .n = 2,
		.line = { 1, 2 },
		.text = { "no\n",
		    HEAD "\"clock_us\":1070,\"pty\":true}}\n"
			 "[no]\n[0.000001,\"o\",\"y\"]\n[0.00" } };

	(void)state;
	check(SHELL, &g,
	    "0 10 o > a|1 20 m line 1: a|!|1 50 o > b|2 60 m line 2: b|!|"
	    "2 71 o y|2 90 o > |");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_splice_next_by_clock),
		cmocka_unit_test(t_splice_next_missing),
		cmocka_unit_test(t_splice_next_no_clock),
		cmocka_unit_test(t_splice_next_lying_clock),
		cmocka_unit_test(t_splice_next_lying_shell),
		cmocka_unit_test(t_splice_next_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
