/*
 * postern replay of a broker shell: its own recording and those of its lines'
 * operations, played as one.  Of a shell that has none of its own (it was
 * deleted, or a release before made it) its operations are played one after
 * the other; between them stands a marker with what was typed, from the ledger.
 * Rows hold what jobs sent: they are shown escaped.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "audit/castread.h"
#include "audit/replay.h"
#include "audit/splice.h"
#include "audit/store.h"
#include "cli/cli.h"
#include "lib/err.h"

#define GONE "its recording was deleted by retention"

struct lines {
	json_t *rows; /* an array */
	bool more;    /* than those */
};

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

/* -- what audit has ---------------------------------------------------------
 */

struct found {
	int fd;
	bool shell;
};

/* What the ledger says, and not the recording's header: that is its writer's.
 */
static int
take_recording(void *arg, const char *json, size_t n, int fd)
{
	struct found *f = arg;
	json_t *o;

	if (fd >= 0 && f->fd >= 0)
		(void)close(f->fd);
	if (fd >= 0)
		f->fd = fd;
	if ((o = json_loadb(json, n, 0, NULL)) == NULL) {
		cli_error("a row of the answer is not JSON");
		return CLI_EX_FAILED;
	}
	f->shell |= strcmp(text_of(o, "by"), "shell") == 0;
	json_decref(o);
	return 0;
}

int
cli_recording(const char *id, int *fdp, bool *shell)
{
	const struct cli_param param = { "id", id };
	struct found f = { .fd = -1 };
	int r = cli_query("recording", &param, 1, take_recording, &f);

	if (r == 0 && f.fd == -1) {
		cli_error("operation %s has no recording", id);
		r = CLI_EX_FAILED;
	}
	if (r != 0) {
		if (f.fd != -1)
			(void)close(f.fd);
		return r;
	}
	*fdp = f.fd;
	*shell = f.shell;
	return 0;
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
	if (strcmp(text_of(o, "kind"), "more") == 0) {
		l->more = true;
		json_decref(o);
		return 0;
	}
	if (json_array_size(l->rows) < STORE_FOUND_MAX)
		return json_array_append_new(l->rows, o) == 0 ? 0
							      : cli_no_memory();
	json_decref(o);
	cli_error("the answer has more rows than it may");
	return CLI_EX_FAILED;
}

static uint64_t
line_of(const struct lines *l, size_t i)
{
	return (uint64_t)json_integer_value(
	    json_object_get(json_array_get(l->rows, i), "line"));
}

/* Rows of a splice's parts: l->rows without the shell's own. */
static uint64_t
part_line(void *arg, size_t i)
{
	return line_of(arg, i);
}

/* A typist makes a shell as long as
 * he likes: what is not shown MUST be told. */
static int
tell_cut(const struct lines *l, int r)
{
	if (!l->more || json_array_size(l->rows) == 0)
		return r;
	cli_error("the shell has more operations than can be played as one: "
		  "none behind operation %s (line %" PRIu64 ") is shown; "
		  "the ledger names all of them",
	    text_of(json_array_get(l->rows, json_array_size(l->rows) - 1),
		"operation"),
	    line_of(l, json_array_size(l->rows) - 1));
	return r != 0 ? r : CLI_EX_FAILED;
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
	bool shell;
	int fd, r;

	put_marker(o, how);
	if (strcmp(text_of(o, "verdict"), "deny") == 0) {
		put_denied(o, how);
		return 0;
	}
	if (*text_of(o, "deleted") != '\0') {
		(void)fputs(GONE, stdout);
		(void)fputs(how->terminal ? "\r\n" : "\n", stdout);
		return 0;
	}
	if (*text_of(o, "recording") == '\0') { /* never begun */
		cli_print_safe(text_of(o, "reason"));
		(void)fputs(how->terminal ? "\r\n" : "\n", stdout);
		return 0;
	}
	(void)fflush(stdout);
	if ((r = cli_recording(text_of(o, "operation"), &fd, &shell)) != 0)
		return r;
	r = cli_replay_fd(fd, NULL, how);
	(void)close(fd);
	if (r != 0)
		return r;
	(void)fputs(how->terminal ? "\r\n" : "", stdout);
	return 0;
}

/* -- as one -----------------------------------------------------------------
 */

/* One that was decided has a name for its recording; one that did not begin, no
 * recording. */
static bool
has_recording(const json_t *o)
{
	return *text_of(o, "recording") != '\0' &&
	       (strcmp(text_of(o, "state"), "aborted") != 0 ||
		   json_object_get(o, "recording_bytes") != NULL);
}

static int
part_open(void *arg, size_t i, int *fdp, char text[SPLICE_TEXT_MAX])
{
	const struct lines *l = arg;
	const json_t *o = json_array_get(l->rows, i);
	const char *id = text_of(o, "operation");
	bool shell;

	*fdp = -1;
	if (*text_of(o, "deleted") != '\0')
		(void)snprintf(text, SPLICE_TEXT_MAX,
		    "\r\n[operation %.40s: " GONE " on %.40s]\r\n", id,
		    text_of(o, "deleted"));
	else if (has_recording(o) && cli_recording(id, fdp, &shell) != 0)
		(void)snprintf(text, SPLICE_TEXT_MAX,
		    "\r\n[operation %.40s: its recording is not there]\r\n",
		    id);
	return 0;
}

static int
play_spliced(int fd, struct lines *l, bool cast, const struct replay_options *o)
{
	const struct splice_parts parts = { .n = json_array_size(l->rows),
		.line = part_line,
		.open = part_open,
		.arg = l };
	struct splice *s;
	int r;

	if ((r = splice_open(fd, &parts, &s)) != 0) {
		cli_error("the recording cannot be played: %s", err_text(r));
		return CLI_EX_FAILED;
	}
	r = cast ? cli_replay_cast(-1, s, o) : cli_replay_fd(-1, s, o);
	if (r == 0 && o->line > splice_line(s) &&
	    (o->stop == NULL || *o->stop == 0)) {
		cli_error("the shell has no line %" PRIu64, o->line);
		r = CLI_EX_FAILED;
	}
	splice_free(s);
	return r;
}

/* -- one after the other ----------------------------------------------------
 */

static int
play_lines(const struct lines *l, const struct replay_options *o)
{
	const json_t *row;
	size_t i;
	int r;

	json_array_foreach(l->rows, i, row)
	{
		if (line_of(l, i) < o->line)
			continue;
		if (o->stop != NULL && *o->stop != 0)
			break;
		if ((r = play_line(row, o)) != 0)
			return r;
	}
	(void)fflush(stdout);
	return 0;
}

/* Takes the shell's own row out of them, if it has one with a recording that is
 * still there. */
static int
take_own(struct lines *l, const char *id, bool *has)
{
	const json_t *row;
	size_t i;

	*has = false;
	json_array_foreach(l->rows, i, row)
	{
		if (strcmp(text_of(row, "shell"), id) != 0) {
			cli_error("%s is no broker shell", id);
			return CLI_EX_FAILED;
		}
		if (strcmp(text_of(row, "operation"), id) != 0)
			continue;
		*has = *text_of(row, "recording") != '\0' &&
		       *text_of(row, "deleted") == '\0';
		(void)json_array_remove(l->rows, i--);
	}
	return 0;
}

int
cli_replay_shell(
    const char *id, int take_fd, bool cast, const struct replay_options *o)
{
	const struct cli_param param = { "id", id };
	struct lines l = { .rows = json_array() };
	int fd = take_fd, r;
	bool has, shell;

	if (l.rows == NULL)
		return cli_no_memory();
	if ((r = cli_query("show", &param, 1, take_row, &l)) != 0)
		goto out;
	if ((r = take_own(&l, id, &has)) != 0)
		goto out;
	if (has && fd == -1 && (r = cli_recording(id, &fd, &shell)) != 0)
		goto out;
	if (fd != -1) {
		r = play_spliced(fd, &l, cast, o);
	} else if (cast) {
		cli_error("shell %s has no recording of its own any more; its "
			  "operations have",
		    id);
		r = CLI_EX_FAILED;
	} else {
		r = play_lines(&l, o);
	}
	r = tell_cut(&l, r);
out:
	if (fd != -1)
		(void)close(fd);
	json_decref(l.rows);
	return r;
}
