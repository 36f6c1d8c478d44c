/*
 * postern hold: recordings that retention leaves.  Asks the broker; what it
 * answers holds what people wrote and is printed escaped.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"

static void
print_member(const json_t *o, const char *before, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL || *s == '\0')
		return;
	(void)fputs(before, stdout);
	cli_print_safe(s);
}

static int
print_hold(void *arg, const char *json, size_t n, int fd)
{
	const bool *as_json = arg;
	json_t *o;

	if (fd >= 0)
		(void)close(fd);
	if (*as_json) {
		(void)fwrite(json, 1, n, stdout);
		(void)putchar('\n');
		return 0;
	}
	if ((o = json_loadb(json, n, 0, NULL)) == NULL) {
		cli_error("a row of the answer is not JSON");
		return CLI_EX_FAILED;
	}
	print_member(o, "session ", "session");
	print_member(o, "commit ", "commit");
	print_member(o, "  since ", "time");
	print_member(o, "  by ", "asker");
	print_member(o, "  ", "reason");
	(void)putchar('\n');
	json_decref(o);
	return 0;
}

static int
hold(int argc, char **argv, const char *what)
{
	/* The long options are the query's keys. */
	static const struct option options[] = {
		{ "session", required_argument, NULL, 'q' },
		{ "commit", required_argument, NULL, 'q' },
		{ "reason", required_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const bool list = strcmp(what, "holds") == 0;
	struct cli_param param[4];
	bool json = false;
	size_t n = 0;
	int c, at = 0;

	while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
		if (c == 'j' && list) {
			json = true;
		} else if (c == 'q' && !list &&
			   n < sizeof(param) / sizeof(param[0])) {
			param[n].key = options[at].name;
			param[n++].value = optarg;
		} else {
			return cli_usage();
		}
	}
	if (optind != argc || list != (n == 0))
		return cli_usage();
	return cli_query(what, param, n, print_hold, &json);
}

int
cli_hold_add(int argc, char **argv)
{
	return hold(argc, argv, "hold-add");
}

int
cli_hold_remove(int argc, char **argv)
{
	return hold(argc, argv, "hold-remove");
}

int
cli_hold_list(int argc, char **argv)
{
	return hold(argc, argv, "holds");
}
