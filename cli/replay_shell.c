/*
 * postern replay --shell: the lines of a broker shell, played as one.  Each of
 * its operations has a recording of its own; between them stands a marker with
 * what was typed, from the ledger.  Rows hold what jobs sent: they are shown
 * escaped.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "audit/replay.h"
#include "cli/cli.h"
#include "lib/err.h"

#define LINES_MAX 100000 /* operations of one shell that are played */

struct lines {
	json_t *rows; /* an array */
};

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static int
take_row(void *arg, const char *json, size_t n, int fd)
{
	struct lines *l = arg;
	json_t *o;

	(void)fd; /* `show` sends none */
	if ((o = json_loadb(json, n, 0, NULL)) == NULL) {
		cli_error("a row of the answer is not JSON");
		return CLI_EX_FAILED;
	}
	if (json_array_size(l->rows) >= LINES_MAX ||
	    json_array_append_new(l->rows, o) != 0) {
		cli_error("the shell has more lines than can be played");
		return CLI_EX_FAILED;
	}
	return 0;
}

/* A line of its own, set apart, as replay shows markers. */
static void
put_marker(const json_t *o, const struct replay_options *how)
{
	if (how->terminal)
		(void)fputs("\033[7m", stdout);
	(void)printf("line %" JSON_INTEGER_FORMAT ": ",
	    json_integer_value(json_object_get(o, "line")));
	cli_print_safe(text_of(o, "user"));
	(void)fputs(" as ", stdout);
	cli_print_safe(text_of(o, "identity"));
	(void)fputs("> ", stdout);
	cli_print_safe(text_of(o, "command"));
	(void)fputs(how->terminal ? "\033[0m\r\n" : "\n", stdout);
}

static void
put_denied(const json_t *o, const struct replay_options *how)
{
	(void)fputs("denied by ", stdout);
	cli_print_safe(text_of(o, "rule"));
	(void)fputs(" (", stdout);
	cli_print_safe(text_of(o, "reason"));
	(void)fputs(how->terminal ? ")\r\n" : ")\n", stdout);
}

static int
play_line(const json_t *o, const struct replay_options *how)
{
	int r;

	put_marker(o, how);
	if (strcmp(text_of(o, "verdict"), "deny") == 0) {
		put_denied(o, how);
		return 0;
	}
	if (*text_of(o, "recording") == '\0') { /* never begun, or deleted */
		cli_print_safe(text_of(o, "reason"));
		(void)fputs(how->terminal ? "\r\n" : "\n", stdout);
		return 0;
	}
	(void)fflush(stdout);
	if ((r = cli_replay_recording(text_of(o, "operation"), how)) != 0)
		return r;
	(void)fputs(how->terminal ? "\r\n" : "", stdout);
	return 0;
}

int
cli_replay_shell(const char *id, uint64_t line, const struct replay_options *o)
{
	const struct cli_param param = { "id", id };
	struct lines l = { json_array() };
	const json_t *row;
	size_t i;
	int r;

	if (l.rows == NULL)
		return cli_no_memory();
	if ((r = cli_query("show", &param, 1, take_row, &l)) != 0)
		goto out;
	json_array_foreach(l.rows, i, row)
	{
		if (strcmp(text_of(row, "shell"), id) != 0) {
			cli_error("%s is no broker shell", id);
			r = CLI_EX_FAILED;
			goto out;
		}
		if ((uint64_t)json_integer_value(json_object_get(row, "line")) <
		    line)
			continue;
		if (o->stop != NULL && *o->stop != 0)
			break;
		if ((r = play_line(row, o)) != 0)
			goto out;
	}
	(void)fflush(stdout);
out:
	json_decref(l.rows);
	return r;
}
