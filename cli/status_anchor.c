/*
 * postern status, how far the ledger is signed and anchored: audit's own word,
 * added to what policy says.
 */
#include "config.h"

#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/status.h"

static int
take_row(void *arg, const char *json, size_t n, int fd)
{
	json_t *o = arg, *row = json_loadb(json, n, 0, NULL);

	if (fd >= 0)
		(void)close(fd);
	if (json_is_object(row)) {
		(void)json_object_del(row, "kind");
		(void)json_object_update_missing(o, row);
	}
	json_decref(row);
	return 0;
}

void
status_anchor_add(json_t *o)
{
	if (json_is_true(json_object_get(o, "audit")))
		(void)cli_query("anchor", NULL, 0, take_row, o);
}

static long long
num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void
print_anchors(const json_t *o)
{
	const char *why =
	    json_string_value(json_object_get(o, "anchor_trouble"));

	(void)fputs("anchors     ", stdout);
	if (!json_is_true(json_object_get(o, "anchor_command"))) {
		(void)puts("in the log; anchor-command sends them elsewhere");
		return;
	}
	if (why != NULL) {
		(void)fputs("NOT SENT: ", stdout);
		cli_print_safe(why);
		(void)putchar('\n');
		(void)fputs("            ", stdout);
	}
	if (json_object_get(o, "anchor_age_s") == NULL)
		(void)puts("none got through since postern-audit began");
	else
		(void)printf("the last one got through %lld s ago, %lld lines "
			     "are newer\n",
		    num(o, "anchor_age_s"), num(o, "anchor_behind_lines"));
}

void
status_anchor_print(const json_t *o)
{
	if (json_object_get(o, "ledger_lines") == NULL)
		return; /* audit has not answered */
	(void)printf("ledger      %lld lines, %s\n", num(o, "ledger_lines"),
	    json_is_true(json_object_get(o, "ledger_signing"))
		? "signed within a second"
		: "NOT SIGNED any more: see ALARM in the log, and `postern "
		  "verify'");
	print_anchors(o);
}
