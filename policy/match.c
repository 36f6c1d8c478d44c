/*
 * The matcher: runs in policy for every operation, on words that a job chose.
 * Patterns are position automata; a word of several slots is matched by the
 * set of offsets that can be reached, so nothing here is ever tried twice.
 */
#include "config.h"

#include "policy/match.h"

#include <stdint.h>
#include <string.h>

#include "policy/model.h"

bool
subject_init(struct subject *s, const struct policy *p, const struct command *c)
{
	if (c->argc == 0 || c->argc > COMMAND_WORDS_MAX)
		return false;
	s->argv = c->argv;
	s->argc = c->argc;
	for (size_t i = 0; i < c->argc; i++) {
		s->len[i] = strlen(c->argv[i]);
		if (s->len[i] > COMMAND_WORD_MAX)
			return false;
	}
	s->program = dict_get(&p->program_words, c->argv[0]);
	return true;
}

/* -- one slot ---------------------------------------------------------------- */

/* Decimal as num_parse reads it: digits without a leading zero. */
static bool
int_matches(const struct slot *slot, const char *w, size_t n)
{
	uint64_t v = 0;

	if (n == 0 || n > 20 || (n > 1 && w[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (w[i] < '0' || w[i] > '9' ||
		    __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(w[i] - '0'), &v))
			return false;
	}
	return v >= slot->min && v <= slot->max;
}

/* As strcmp orders: bytes, then length. */
static int
order(const char *value, const char *w, size_t n)
{
	size_t len = strlen(value);
	int c = memcmp(value, w, len < n ? len : n);

	return c != 0 ? c : (len > n) - (len < n);
}

static bool
enum_matches(const struct slot *slot, const char *w, size_t n)
{
	size_t low = 0, high = slot->nvalue, mid;
	int c;

	while (low < high) {
		mid = low + (high - low) / 2;
		c = order(slot->value[mid], w, n);
		if (c == 0)
			return true;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool
slot_matches(const struct item *it, const struct slot *slot, const char *w,
    size_t n)
{
	switch (slot->kind) {
	case SLOT_ANY:
		return n > 0 || it->may_be_empty;
	case SLOT_INT:
		return int_matches(slot, w, n);
	case SLOT_ENUM:
		return enum_matches(slot, w, n);
	}
	return false;
}

/* -- one word ---------------------------------------------------------------- */

#define REACH_WORDS (COMMAND_WORD_MAX / 64 + 1)

/* From every reached offset over one literal or enum value. */
static void
reach_text(const uint64_t *from, uint64_t *to, const char *w, size_t n,
    const char *text, size_t len)
{
	if (len > n)
		return;
	for (size_t o = 0; o + len <= n; o++) {
		if (bit_get(from, o) && memcmp(w + o, text, len) == 0)
			bit_set(to, o + len);
	}
}

static void
reach_int(const uint64_t *from, uint64_t *to, const struct slot *slot,
    const char *w, size_t n)
{
	for (size_t o = 0; o < n; o++) {
		if (!bit_get(from, o))
			continue;
		for (size_t k = 1; k <= 20 && o + k <= n; k++) {
			if (int_matches(slot, w + o, k))
				bit_set(to, o + k);
		}
	}
}

static void
reach_any(const uint64_t *from, uint64_t *to, size_t n, bool empty)
{
	bool on = false;

	for (size_t o = 0; o <= n; o++) {
		if (on || (empty && bit_get(from, o)))
			bit_set(to, o);
		on = on || bit_get(from, o);
	}
}

static void
reach(const struct item *it, const struct piece *piece, const uint64_t *from,
    uint64_t *to, const char *w, size_t n)
{
	const struct slot *slot = piece->slot;

	if (piece->text != NULL) {
		reach_text(from, to, w, n, piece->text, piece->len);
		return;
	}
	switch (slot->kind) {
	case SLOT_ANY:
		reach_any(from, to, n, it->may_be_empty);
		break;
	case SLOT_INT:
		reach_int(from, to, slot, w, n);
		break;
	case SLOT_ENUM:
		for (size_t i = 0; i < slot->nvalue; i++)
			reach_text(from, to, w, n, slot->value[i],
			    strlen(slot->value[i]));
		break;
	}
}

/* A word of several parts: which offsets can the parts so far end at? */
static bool
pieces_match(const struct item *it, const char *w, size_t n)
{
	uint64_t set[2][REACH_WORDS];
	size_t words = n / 64 + 1, now = 0;

	memset(set[0], 0, words * sizeof(uint64_t));
	bit_set(set[0], 0);
	for (size_t i = 0; i < it->npiece; i++) {
		memset(set[!now], 0, words * sizeof(uint64_t));
		reach(it, &it->piece[i], set[now], set[!now], w, n);
		now = !now;
	}
	return bit_get(set[now], n);
}

static bool
word_matches(const struct item *it, const char *w, size_t n)
{
	const struct piece *a = &it->piece[0], *b = &it->piece[1];

	/* MUST stay first: what a slot lets through is no option. */
	if (it->no_dash && n > 0 && w[0] == '-')
		return false;
	if (it->npiece == 1 && a->text != NULL)
		return n == a->len && memcmp(w, a->text, n) == 0;
	if (it->npiece == 1)
		return slot_matches(it, a->slot, w, n);
	if (it->npiece == 2 && a->text != NULL && b->text == NULL)
		return n >= a->len && memcmp(w, a->text, a->len) == 0 &&
		    slot_matches(it, b->slot, w + a->len, n - a->len);
	return pieces_match(it, w, n);
}

bool
item_matches(const struct item *it, const struct subject *s, size_t i)
{
	if (word_matches(it, s->argv[i], s->len[i]))
		return true;
	if (i > 0 || s->program == NULL)
		return false;
	return word_matches(it, s->program->name, strlen(s->program->name)) ||
	    word_matches(it, s->program->path, strlen(s->program->path));
}

/* -- the whole --------------------------------------------------------------- */

/* The items that may come next, after any of `now`. */
static bool
candidates(const struct run *run, const uint64_t *now, uint64_t *next)
{
	uint64_t any = 0, bits;
	size_t p;

	memset(next, 0, run->nw * sizeof(uint64_t));
	for (size_t k = 0; k < run->nw; k++) {
		for (bits = now[k]; bits != 0; bits &= bits - 1) {
			p = k * 64 + (size_t)__builtin_ctzll(bits);
			for (size_t j = 0; j < run->nw; j++)
				next[j] |= run->follow[p * run->nw + j];
		}
	}
	for (size_t k = 0; k < run->nw; k++)
		any |= next[k];
	return any != 0;
}

/* Of the candidates, those whose item matches word i. */
static void
keep_matching(const struct run *run, const struct subject *s, size_t i,
    uint64_t *set)
{
	uint64_t bits;
	size_t p;

	for (size_t k = 0; k < run->nw; k++) {
		for (bits = set[k]; bits != 0; bits &= bits - 1) {
			p = k * 64 + (size_t)__builtin_ctzll(bits);
			if (!item_matches(&run->item[p], s, i))
				set[k] &= ~((uint64_t)1 << (p % 64));
		}
	}
}

bool
run_matches(const struct run *run, const struct subject *s)
{
	uint64_t set[2][RUN_BITS], ends = 0;
	size_t now = 0;

	if (s->argc < run->min_words || s->argc > run->max_words)
		return false;
	memcpy(set[0], run->first, run->nw * sizeof(uint64_t));
	keep_matching(run, s, 0, set[0]);
	for (size_t i = 1; i < s->argc; i++) {
		if (!candidates(run, set[now], set[!now]))
			return false;
		now = !now;
		keep_matching(run, s, i, set[now]);
	}
	for (size_t k = 0; k < run->nw; k++)
		ends |= set[now][k] & run->last[k];
	return ends != 0;
}
