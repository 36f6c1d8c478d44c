/*
 * What a rehearsal says at its end: the groups, and the sums under them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "audit/utc.h"
#include "cli/rehearse.h"
#include "lib/buf.h"
#include "lib/json.h"

static void
print_span(const struct sum *s)
{
	char first[UTC_LEN + 1], last[UTC_LEN + 1];

	if (s->commands == 0)
		return;
	utc_format(s->first_ms, first);
	utc_format(s->last_ms, last);
	(void)printf(", %.16sZ to %.16sZ", first, last);
}

/* "  12 lists TEXT" where there are any. */
static void
print_count(uint64_t n, const char *noun, const char *text)
{
	if (n > 0)
		(void)printf("%8" PRIu64 "  %s%s%s\n", n, noun,
		    n == 1 || *noun == '\0' ? "" : "s", text);
}

void
sum_print(const struct sum *s, struct findings *f)
{
	findings_print(f);
	(void)printf("%" PRIu64 " command%s of the ledger", s->commands,
	    s->commands == 1 ? "" : "s");
	print_span(s);
	(void)putchar('\n');
	for (int i = 0; i < CHANGES; i++)
		print_count(findings_count(f, (enum change)i), "",
		    change_text((enum change)i));
	print_count(
	    s->lists.newly_denied, "list", " that ran, and would be denied");
	print_count(s->lists.newly_run, "list", " denied then that would run");
	print_count(s->lists.undecided, "list", " undecided");
	print_count(s->passed_over, "denial",
	    " passed over: by a limit, or for another command of its list");
	print_count(s->damaged, "place", " where the ledger is damaged");
	if (!s->has_old)
		(void)puts("Who a job was is taken from this policy: the one "
			   "that was in force is not known (--old).");
}

int
sum_json(const struct sum *s, struct findings *f)
{
	struct json j;
	struct buf b;
	int r;

	buf_init(&b, 64 * 1024);
	json_init(&j, &b);
	json_open(&j, '{');
	json_kv_num(&j, "commands", s->commands);
	json_kv_open(&j, "counts", '{');
	for (int i = 0; i < CHANGES; i++)
		json_kv_num(&j, change_name((enum change)i),
		    findings_count(f, (enum change)i));
	json_close(&j, '}');
	json_kv_open(&j, "lists", '{');
	json_kv_num(&j, "denied", s->lists.newly_denied);
	json_kv_num(&j, "allowed", s->lists.newly_run);
	json_kv_num(&j, "undecided", s->lists.undecided);
	json_close(&j, '}');
	json_kv_num(&j, "passed_over", s->passed_over);
	json_kv_num(&j, "damaged", s->damaged);
	json_kv_bool(&j, "old_policy", s->has_old);
	if ((r = json_end(&j)) == 0) {
		(void)fwrite(buf_ptr(&b), 1, buf_len(&b), stdout);
		(void)putchar(',');
		r = findings_json(f);
		(void)puts("}");
	}
	buf_clear(&b);
	return r;
}
