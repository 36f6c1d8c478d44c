/*
 * The matcher: runs in policy for every operation, on words that a job chose.
 * Patterns are position automata: a set of positions moves over the words, so
 * nothing here is ever tried twice.
 */
#include "config.h"

#include "policy/match.h"

#include <stdint.h>
#include <string.h>

#include "policy/model.h"
#include "policy/slot.h"

bool
subject_init(struct subject *s, const struct policy *p, const struct command *c,
    const struct claims *cs)
{
	const struct stage *g = c->stage;

	/* MUST deny what no rule can speak of yet. */
	if (c->dir != NULL || c->nstage != 1 || g->nassign != 0)
		return false;
	if (g->argc == 0 || g->argc > COMMAND_WORDS_MAX)
		return false;
	s->argv = g->argv;
	s->argc = g->argc;
	s->claims = cs;
	for (size_t i = 0; i < g->argc; i++) {
		s->len[i] = strlen(g->argv[i]);
		if (s->len[i] > COMMAND_WORD_MAX)
			return false;
	}
	s->program = dict_get(&p->program_words, g->argv[0]);
	return true;
}

/* -- one word ---------------------------------------------------------------- */

static bool
word_matches(const struct item *it, const struct subject *s, const char *w,
    size_t n)
{
	const struct piece *a = &it->piece[0], *b = &it->piece[1];
	struct slot_ctx x = { s->claims, it->deny };

	/* MUST stay first: what a slot lets through is no option. */
	if (it->no_dash && n > 0 && w[0] == '-')
		return false;
	if (it->npiece == 1 && a->text != NULL)
		return n == a->len && memcmp(w, a->text, n) == 0;
	if (it->npiece == 1)
		return slot_matches(&x, a->slot, w, n);
	if (it->npiece == 2 && a->text != NULL && b->text == NULL)
		return n >= a->len && memcmp(w, a->text, a->len) == 0 &&
		    slot_matches(&x, b->slot, w + a->len, n - a->len);
	return pieces_match(&x, it->piece, it->npiece, w, n);
}

bool
item_matches(const struct item *it, const struct subject *s, size_t i)
{
	if (word_matches(it, s, s->argv[i], s->len[i]))
		return true;
	if (i > 0 || s->program == NULL)
		return false;
	return word_matches(it, s, s->program->name,
	    strlen(s->program->name)) || word_matches(it, s, s->program->path,
	    strlen(s->program->path));
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
