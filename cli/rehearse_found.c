/*
 * What a rehearsal finds, in groups: commands of one program, one identity and
 * place, whose answer changed from one rule to another.  A ledger may be long
 * and its commands all different, so groups and examples are bounded; what is
 * beyond is counted.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/utc.h"
#include "cli/cli.h"
#include "cli/rehearse.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"

#define GROUPS_MAX 2000
#define SLOTS 8192 /* of the table: a power of two, well above GROUPS_MAX */
#define EXAMPLES_MAX 5
#define EXAMPLE_MAX 500 /* bytes of one */
#define GROUP_JSON_MAX (64 * 1024)

static const struct {
	const char *name, *text;
	char mark;
	const char *colour;
} changes[CHANGES] = {
	[CHANGE_NONE] = { "same", "decided as before", '=', "" },
	[CHANGE_DENIED] = { "denied", "newly denied", '-', "\033[31m" },
	[CHANGE_NO_INPUT] = { "no-input", "newly without standard input", '<',
	    "\033[33m" },
	[CHANGE_OBSERVED] = { "would-deny",
	    "newly let through, allowed by no rule", '~', "\033[33m" },
	[CHANGE_APPROVAL] = { "approval", "newly allowed once approved", '?',
	    "\033[33m" },
	[CHANGE_ALLOWED] = { "allowed", "newly allowed", '+', "\033[32m" },
	[CHANGE_UNDECIDED] = { "undecided", "undecided", '?', "\033[33m" },
};

struct example {
	char *text; /* NULL: none */
	bool cut;
	uint64_t hash, count;
};

struct group {
	enum change change;
	char *part[PARTS];
	uint64_t count, first_ms, last_ms;
	struct example example[EXAMPLES_MAX];
	uint64_t others; /* that are none of the examples */
};

struct findings {
	struct group *slot[SLOTS];
	struct group *group[GROUPS_MAX]; /* as they came */
	size_t n;
	uint64_t count[CHANGES];
	uint64_t beyond; /* of no group that is kept */
};

const char *
change_text(enum change change)
{
	return changes[change].text;
}

const char *
change_name(enum change change)
{
	return changes[change].name;
}

/* FNV-1a, as its authors give it for 64 bits. */
static uint64_t
hash_text(uint64_t h, const char *s)
{
	do {
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	} while (*s++ != '\0');
	return h;
}

#define HASH_START UINT64_C(14695981039346656037)

int
findings_new(struct findings **out)
{
	struct findings *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return ERR_NOMEM;
	*out = f;
	return 0;
}

static void
group_free(struct group *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < PARTS; i++)
		free(g->part[i]);
	for (size_t i = 0; i < EXAMPLES_MAX; i++)
		free(g->example[i].text);
	free(g);
}

void
findings_free(struct findings *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n; i++)
		group_free(f->group[i]);
	free(f);
}

/* -- adding
 * ------------------------------------------------------------------ */

static bool
is_group(const struct group *g, const struct found *one)
{
	if (g->change != one->change)
		return false;
	for (size_t i = 0; i < PARTS; i++) {
		if (strcmp(g->part[i], one->part[i]) != 0)
			return false;
	}
	return true;
}

static struct group *
group_new(const struct found *one)
{
	struct group *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->change = one->change;
	g->first_ms = g->last_ms = one->time_ms;
	for (size_t i = 0; i < PARTS; i++) {
		if ((g->part[i] = strdup(one->part[i])) == NULL) {
			group_free(g);
			return NULL;
		}
	}
	return g;
}

/* Its group, maybe a new one; *gp is NULL where no more are kept. */
static int
find_group(struct findings *f, const struct found *one, struct group **gp)
{
	uint64_t h = HASH_START + (uint64_t)one->change;
	size_t at;

	for (size_t i = 0; i < PARTS; i++)
		h = hash_text(h, one->part[i]);
	for (at = h % SLOTS; f->slot[at] != NULL; at = (at + 1) % SLOTS) {
		if (is_group(f->slot[at], one)) {
			*gp = f->slot[at];
			return 0;
		}
	}
	*gp = NULL;
	if (f->n == GROUPS_MAX)
		return 0;
	if ((*gp = group_new(one)) == NULL)
		return ERR_NOMEM;
	f->slot[at] = f->group[f->n++] = *gp;
	return 0;
}

static int
add_example(struct group *g, const char *command)
{
	uint64_t h = hash_text(HASH_START, command);

	for (size_t i = 0; i < EXAMPLES_MAX; i++) {
		struct example *e = &g->example[i];

		if (e->text == NULL) {
			e->text = strndup(command, EXAMPLE_MAX);
			if (e->text == NULL)
				return ERR_NOMEM;
			e->cut = strlen(command) > EXAMPLE_MAX;
			e->hash = h;
		}
		if (e->hash == h) {
			e->count++;
			return 0;
		}
	}
	g->others++;
	return 0;
}

int
findings_add(struct findings *f, const struct found *one)
{
	struct group *g;
	int r;

	f->count[one->change]++;
	if (one->change == CHANGE_NONE)
		return 0;
	if ((r = find_group(f, one, &g)) != 0)
		return r;
	if (g == NULL) {
		f->beyond++;
		return 0;
	}
	g->count++;
	if (one->time_ms < g->first_ms)
		g->first_ms = one->time_ms;
	if (one->time_ms > g->last_ms)
		g->last_ms = one->time_ms;
	return add_example(g, one->command);
}

uint64_t
findings_count(const struct findings *f, enum change change)
{
	return f->count[change];
}

uint64_t
findings_changes(const struct findings *f)
{
	uint64_t n = 0;

	for (size_t i = 0; i < CHANGES; i++) {
		if (i != CHANGE_NONE && i != CHANGE_UNDECIDED)
			n += f->count[i];
	}
	return n;
}

/* -- showing
 * ----------------------------------------------------------------- */

/* What is most to be feared first; of one kind, what came most often; then
 * what came first. */
static int
compare_groups(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a;
	const struct group *y = *(struct group *const *)b;

	if (x->change != y->change)
		return x->change < y->change ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return (x->first_ms > y->first_ms) - (x->first_ms < y->first_ms);
}

/* To the minute: the ledger has it exactly. */
static void
print_when(const struct group *g)
{
	char first[UTC_LEN + 1], last[UTC_LEN + 1];

	utc_format(g->first_ms, first);
	utc_format(g->last_ms, last);
	(void)printf("%.16sZ", first);
	if (strncmp(first, last, 16) != 0)
		(void)printf(" to %.16sZ", last);
}

/* "allow by restart at main.postern:12: because" */
static void
print_side(const struct group *g, enum part verdict, enum part rule)
{
	cli_print_safe(g->part[verdict]);
	if (*g->part[rule] != '\0') {
		(void)fputs(" by ", stdout);
		cli_print_safe(g->part[rule]);
	}
}

static void
print_examples(const struct group *g)
{
	for (size_t i = 0; i < EXAMPLES_MAX; i++) {
		const struct example *e = &g->example[i];

		if (e->text == NULL)
			break;
		(void)printf("%8" PRIu64 "  ", e->count);
		cli_print_safe(*e->text == '\0' ? "(a shell)" : e->text);
		(void)puts(e->cut ? " ..." : "");
	}
	if (g->others > 0)
		(void)printf("%8" PRIu64 "  others\n", g->others);
}

static void
print_group(const struct group *g)
{
	bool colour = cli_colour();

	(void)printf("%s%c %s%s  ", colour ? changes[g->change].colour : "",
	    changes[g->change].mark, changes[g->change].text,
	    colour ? "\033[0m" : "");
	cli_print_safe(g->part[PART_IDENTITY]);
	(void)fputs(" on ", stdout);
	cli_print_safe(g->part[PART_WHERE]);
	(void)printf(
	    ", %" PRIu64 " time%s, ", g->count, g->count == 1 ? "" : "s");
	print_when(g);
	(void)fputs("\n    before: ", stdout);
	print_side(g, PART_OLD_VERDICT, PART_OLD_RULE);
	(void)fputs("\n    after:  ", stdout);
	if (g->change == CHANGE_UNDECIDED) {
		cli_print_safe(g->part[PART_WHY]);
	} else {
		print_side(g, PART_NEW_VERDICT, PART_NEW_RULE);
		if (*g->part[PART_PLACE] != '\0') {
			(void)fputs(" at ", stdout);
			cli_print_safe(g->part[PART_PLACE]);
		}
		if (*g->part[PART_WHY] != '\0') {
			(void)fputs(": ", stdout);
			cli_print_safe(g->part[PART_WHY]);
		}
	}
	(void)putchar('\n');
	print_examples(g);
}

void
findings_print(struct findings *f)
{
	qsort(f->group, f->n, sizeof(f->group[0]), compare_groups);
	for (size_t i = 0; i < f->n; i++)
		print_group(f->group[i]);
	if (f->beyond > 0)
		(void)printf("and %" PRIu64 " more, in groups beyond the first "
			     "%d\n",
		    f->beyond, GROUPS_MAX);
}

static void
json_time(struct json *j, const char *key, uint64_t ms)
{
	char text[UTC_LEN + 1];

	utc_format(ms, text);
	json_kv_str(j, key, text);
}

static void
json_part(struct json *j, const char *key, const struct group *g, enum part p)
{
	if (*g->part[p] != '\0')
		json_kv_str(j, key, g->part[p]);
}

static void
json_examples(struct json *j, const struct group *g)
{
	json_kv_open(j, "commands", '[');
	for (size_t i = 0; i < EXAMPLES_MAX; i++) {
		const struct example *e = &g->example[i];

		if (e->text == NULL)
			break;
		json_open(j, '{');
		json_kv_str(j, "command", e->text);
		if (e->cut) {
			json_kv_bool(j, "command_cut", true);
		}
		json_kv_num(j, "count", e->count);
		json_close(j, '}');
	}
	json_close(j, ']');
	if (g->others > 0)
		json_kv_num(j, "others", g->others);
}

static int
json_group(struct buf *b, const struct group *g)
{
	struct json j;

	json_init(&j, b);
	json_open(&j, '{');
	json_kv_str(&j, "change", changes[g->change].name);
	json_part(&j, "identity", g, PART_IDENTITY);
	json_part(&j, "on", g, PART_WHERE);
	json_kv_num(&j, "count", g->count);
	json_time(&j, "first", g->first_ms);
	json_time(&j, "last", g->last_ms);
	json_kv_open(&j, "before", '{');
	json_part(&j, "verdict", g, PART_OLD_VERDICT);
	json_part(&j, "by", g, PART_OLD_RULE);
	json_close(&j, '}');
	json_kv_open(&j, "after", '{');
	json_part(&j, "verdict", g, PART_NEW_VERDICT);
	json_part(&j, "by", g, PART_NEW_RULE);
	json_part(&j, "at", g, PART_PLACE);
	json_part(&j, "why", g, PART_WHY);
	json_close(&j, '}');
	json_examples(&j, g);
	json_close(&j, '}');
	return json_end(&j);
}

int
findings_json(struct findings *f)
{
	struct buf b;
	int r = 0;

	qsort(f->group, f->n, sizeof(f->group[0]), compare_groups);
	(void)fputs("\"groups\":[", stdout);
	buf_init(&b, GROUP_JSON_MAX);
	for (size_t i = 0; i < f->n && r == 0; i++) {
		buf_reset(&b);
		if (i > 0)
			r = buf_put(&b, ",", 1);
		if (r == 0 && (r = json_group(&b, f->group[i])) == 0)
			(void)fwrite(buf_ptr(&b), 1, buf_len(&b), stdout);
	}
	buf_clear(&b);
	(void)printf("],\"beyond\":%" PRIu64, f->beyond);
	return r;
}
