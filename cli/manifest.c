/*
 * The manifest behind `postern show`: the lines of a sidecar that are files'
 * and refs'. They were written by a hop, and the paths in them chosen by a job
 * or target: a terminal sees them escaped.  That a file was begun is shown
 * where no other line says what became of it.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "audit/sidecar.h"
#include "cli/cli.h"

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static bool
is_begun(const json_t *o)
{
	return strcmp(text(o, "result"), "begun") == 0;
}

/* The digest of what passed whole, or which parts of it passed. */
static void
print_what(const json_t *o)
{
	const json_t *ranges = json_object_get(o, "ranges"), *range;
	size_t i;

	if (ranges == NULL || json_array_size(ranges) == 0) {
		cli_print_safe(
		    *text(o, "sha256") == '\0' ? "-" : text(o, "sha256"));
		return;
	}
	json_array_foreach((json_t *)(uintptr_t)ranges, i, range)
	{
		(void)printf("%s%" JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT,
		    i == 0 ? "" : ",",
		    json_integer_value(json_array_get(range, 0)),
		    json_integer_value(json_array_get(range, 1)));
	}
	if (json_is_true(json_object_get(o, "more")))
		(void)fputs(",...", stdout);
}

static void
print_in_brackets(const json_t *o, const char *key)
{
	if (*text(o, key) == '\0')
		return;
	(void)fputs("  (", stdout);
	cli_print_safe(text(o, key));
	(void)putchar(')');
}

/* A word of ours, or what a hop that somebody owns wrote in its place. */
static void
print_word(const char *word, size_t most, size_t width)
{
	char part[32];
	int n;

	n = snprintf(part, sizeof(part), "%.*s", (int)most, word);
	cli_print_safe(part);
	(void)printf(
	    "%*s", (int)((size_t)n < width ? width - (size_t)n : 0) + 1, "");
}

static void
print_result(const json_t *o)
{
	(void)fputs("  ", stdout);
	print_word(text(o, "verb"), 20, 10);
	print_word(text(o, "result"), 20, 7);
}

static void
print_file(const json_t *o)
{
	print_result(o);
	if (json_object_get(o, "bytes") != NULL)
		(void)printf("%12" JSON_INTEGER_FORMAT " ",
		    json_integer_value(json_object_get(o, "bytes")));
	else
		(void)printf("%12s ", "-");
	print_what(o);
	(void)fputs("  ", stdout);
	cli_print_safe(text(o, "path"));
	if (json_object_get(o, "to") != NULL) {
		(void)fputs(" -> ", stdout);
		cli_print_safe(text(o, "to"));
	}
	print_in_brackets(o, "rule");
	if (is_begun(o))
		(void)fputs("  (begun, and not ended)", stdout);
	(void)putchar('\n');
}

/* An object's name, short, as git shows it. */
static void
print_object(const json_t *o, const char *key)
{
	print_word(*text(o, key) == '\0' ? "-" : text(o, key), 7, 7);
}

static void
print_ref(const json_t *o)
{
	print_result(o);
	print_object(o, "old");
	print_object(o, "new");
	(void)putchar(' ');
	cli_print_safe(*text(o, "ref") == '\0' ? "-" : text(o, "ref"));
	print_in_brackets(o, "rule");
	print_in_brackets(o, "reason");
	(void)putchar('\n');
}

static bool
begins(const char *line, const char *start)
{
	return strncmp(line, start, strlen(start)) == 0;
}

/* -- what was begun ----------------------------------------------------------
 */

/* More than a manifest has lines: what a hop that somebody owns writes beyond
 * that is shown as not ended. */
#define BEGUN_MAX (1U << 20)

/* The numbers of those that ended, a bit for each. */
struct ended {
	uint8_t bit[BEGUN_MAX / 8];
};

/* Its number, or BEGUN_MAX. */
static uint32_t
begun_number(const json_t *o)
{
	json_int_t n = json_integer_value(json_object_get(o, "begun"));

	return n > 0 && n < (json_int_t)BEGUN_MAX ? (uint32_t)n : BEGUN_MAX;
}

static void
ended_add(struct ended *e, const json_t *o)
{
	uint32_t n = begun_number(o);

	if (!is_begun(o) && n != BEGUN_MAX)
		e->bit[n / 8] |= (uint8_t)(1U << n % 8);
}

static bool
ended_has(const struct ended *e, const json_t *o)
{
	uint32_t n = begun_number(o);

	return is_begun(o) && n != BEGUN_MAX &&
	       (e->bit[n / 8] >> n % 8 & 1) != 0;
}

/* -- all of it ---------------------------------------------------------------
 */

/* The next line that is of the manifest; NULL: there is none. */
static json_t *
next_line(FILE *in, char **line, size_t *size)
{
	json_t *o = NULL;
	ssize_t n;

	/* Others are audit's, the hop's, or half a line. */
	while (o == NULL && (n = getline(line, size, in)) > 0) {
		if (begins(*line, SIDECAR_FILE) || begins(*line, SIDECAR_REF))
			o = json_loadb(*line, (size_t)n, 0, NULL);
	}
	return o;
}

static void
print_line(const char *line, const json_t *o, bool json)
{
	if (json)
		(void)fputs(line, stdout);
	else if (begins(line, SIDECAR_REF))
		print_ref(o);
	else
		print_file(o);
}

int
cli_manifest_print(int take_fd, bool json)
{
	struct ended *ended = calloc(1, sizeof(*ended));
	FILE *in = fdopen(take_fd, "r");
	char *line = NULL;
	size_t size = 0;
	off_t end;
	json_t *o;

	if (in == NULL || ended == NULL) {
		if (in == NULL)
			(void)close(take_fd);
		else
			(void)fclose(in);
		free(ended);
		return cli_no_memory();
	}
	if (!json)
		(void)puts("manifest");
	for (; (o = next_line(in, &line, &size)) != NULL; json_decref(o))
		ended_add(ended, o);
	/* One that runs goes on writing: what was not looked at is not shown.
	 */
	end = ftello(in);
	rewind(in);
	for (; ftello(in) < end && (o = next_line(in, &line, &size)) != NULL;
	     json_decref(o)) {
		if (!ended_has(ended, o))
			print_line(line, o, json);
	}
	free(line);
	free(ended);
	(void)fclose(in);
	return 0;
}
