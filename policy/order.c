/*
 * Which of two lines that match is the better answer, and what limits become of
 * two.  Runs in policy, beside the decision.
 */
#include "config.h"

#include <string.h>

#include "policy/judge.h"
#include "policy/model.h"

/* The smaller bound first; 0 is none. */
static int
compare_max(uint64_t a, uint64_t b)
{
	a = a == 0 ? UINT64_MAX : a;
	b = b == 0 ? UINT64_MAX : b;
	return (a > b) - (a < b);
}

/* 5 per 10 is smaller than 6 per 10; 0 is none. */
static int
compare_rate(const struct limits *a, const struct limits *b)
{
	uint64_t x, y;

	if (a->rate == 0 || b->rate == 0)
		return (a->rate == 0) - (b->rate == 0);
	x = (uint64_t)a->rate * b->rate_per_s;
	y = (uint64_t)b->rate * a->rate_per_s;
	/* of two that are the same on the long run, the shorter */
	return x != y ? (x > y) - (x < y)
		      : (a->rate > b->rate) - (a->rate < b->rate);
}

static int
compare_limits(const struct limits *a, const struct limits *b)
{
	int c;

	if ((c = compare_max(a->duration_s, b->duration_s)) != 0 ||
	    (c = compare_max(a->output, b->output)) != 0 ||
	    (c = compare_max(a->concurrent, b->concurrent)) != 0)
		return c;
	return compare_rate(a, b);
}

static int
compare_transfers(const struct transfer *a, const struct transfer *b)
{
	if (a == NULL || b == NULL)
		return 0;
	if (a->no_delete != b->no_delete)
		return a->no_delete ? 1 : -1;
	if (a->no_symlinks != b->no_symlinks)
		return a->no_symlinks ? 1 : -1;
	return compare_max(a->max, b->max);
}

/* Is a the better answer of two that match?  What demands fewer approvals
 * comes first; then what gives the job its input, so that one rule more never
 * takes anything away; then the smaller limits; then the name, then the line.
 * A total order, so the answer does not hang on the order of rules. */
bool
found_is_better(const struct found *a, const struct found *b)
{
	int c;

	if (b->rule == NULL)
		return true;
	if (a->rule->approve != b->rule->approve)
		return a->rule->approve < b->rule->approve;
	if (a->stdin_ok != b->stdin_ok)
		return a->stdin_ok;
	if (a->refs != b->refs)
		return b->refs;
	if ((c = compare_transfers(a->transfer, b->transfer)) != 0 ||
	    (c = compare_limits(&a->rule->limit, &b->rule->limit)) != 0 ||
	    (c = compare_max(a->stdin_max, b->stdin_max)) != 0)
		return c < 0;
	if ((c = strcmp(a->rule->name, b->rule->name)) != 0)
		return c < 0;
	return a->order < b->order;
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

void
limits_join(struct limits *to, const struct limits *l)
{
	to->duration_s = (uint32_t)smaller(to->duration_s, l->duration_s);
	to->output = smaller(to->output, l->output);
	to->concurrent = (uint32_t)smaller(to->concurrent, l->concurrent);
	if (compare_rate(l, to) < 0) {
		to->rate = l->rate;
		to->rate_per_s = l->rate_per_s;
	}
}
