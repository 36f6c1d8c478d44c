/*
 * The matcher: runs in policy for every operation, on words that a job chose.
 * Patterns are position automata: a set of positions moves over the words, so
 * nothing here is ever tried twice.
 */
#include "config.h"

#include "policy/match.h"

#include <stdint.h>
#include <string.h>

#include "lib/str.h"
#include "policy/model.h"
#include "policy/slot.h"

static bool
is_on(const struct program *g, const struct target *target)
{
	/* every target is a struct target_full, with pub first */
	const struct target_full *t = (const struct target_full *)target;

	for (size_t i = 0; i < g->nwhere; i++) {
		if (where_has(&g->where[i], t))
			return true;
	}
	return g->nwhere == 0;
}

const struct program *
program_find(const struct policy *p, const struct target *t, const char *word)
{
	const struct program *g = dict_get(&p->program_words, word);

	while (g != NULL && !is_on(g, t))
		g = *word == '/' ? g->same_path : g->same_name;
	return g;
}

bool
subject_init(struct subject *s, const struct policy *p, const struct target *t,
    const struct command *c, const struct claims *cs)
{
	struct subject_stage *g;
	size_t words = 0;

	if (c->nstage == 0 || c->nstage > COMMAND_STAGES_MAX)
		return false;
	s->command = c;
	s->claims = cs;
	s->sent = NULL;
	s->nsent = 0;
	s->nstage = c->nstage;
	for (size_t k = 0; k < c->nstage; k++) {
		g = &s->stage[k];
		g->argv = c->stage[k].argv;
		g->argc = c->stage[k].argc;
		g->len = s->len + words;
		if (g->argc == 0 || g->argc > COMMAND_WORDS_MAX - words)
			return false;
		for (size_t i = 0; i < g->argc; i++, words++) {
			s->len[words] = strlen(g->argv[i]);
			if (s->len[words] > COMMAND_WORD_MAX)
				return false;
		}
		g->program = program_find(p, t, g->argv[0]);
	}
	return true;
}

/* -- one word ---------------------------------------------------------------- */

bool
text_matches_item(
    const struct item *it, const struct claims *cs, const char *w, size_t n)
{
	const struct piece *a = &it->piece[0], *b = &it->piece[1];
	struct slot_ctx x = { cs, it->deny };

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
path_is(const struct item *it, const struct claims *cs, const char *w, size_t n)
{
	if (!path_is_plain(w, n))
		return it->deny;
	return text_matches_item(it, cs, w, n);
}

/* The slots of a folder hold no `/`, so its parts are counted. */
bool
path_is_under(
    const struct item *it, const struct claims *cs, const char *w, size_t n)
{
	size_t parts = 0, end;

	if (!path_is_plain(w, n))
		return it->deny;
	for (size_t i = 0; i < it->npiece; i++) {
		for (size_t k = 0;
		     it->piece[i].text != NULL && k < it->piece[i].len; k++)
			parts += it->piece[i].text[k] == '/';
	}
	for (end = 0; end < n; end++) {
		if (w[end] == '/' && parts-- == 0)
			break;
	}
	return text_matches_item(it, cs, w, end);
}

bool
item_matches(
    const struct item *it, const struct subject *s, size_t stage, size_t i)
{
	const struct subject_stage *g = &s->stage[stage];
	const struct program *p = g->program;

	if (text_matches_item(it, s->claims, g->argv[i], g->len[i]))
		return true;
	if (i > 0 || p == NULL)
		return false;
	return text_matches_item(it, s->claims, p->name, strlen(p->name)) ||
	       text_matches_item(it, s->claims, p->path, strlen(p->path));
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
keep_matching(const struct run *run, const struct subject *s, size_t stage,
    size_t i, uint64_t *set)
{
	uint64_t bits;
	size_t p;

	for (size_t k = 0; k < run->nw; k++) {
		for (bits = set[k]; bits != 0; bits &= bits - 1) {
			p = k * 64 + (size_t)__builtin_ctzll(bits);
			if (!item_matches(&run->item[p], s, stage, i))
				set[k] &= ~((uint64_t)1 << (p % 64));
		}
	}
}

bool
words_follow(
    const struct run *run, const struct subject *s, size_t n, uint64_t *set)
{
	uint64_t now[RUN_BITS];

	memcpy(set, run->first, run->nw * sizeof(uint64_t));
	for (size_t i = 0; i < n; i++) {
		memcpy(now, set, run->nw * sizeof(uint64_t));
		keep_matching(run, s, 0, i, now);
		if (!candidates(run, now, set))
			return false;
	}
	return true;
}

bool
words_match(const struct run *run, const struct subject *s, size_t stage)
{
	const struct subject_stage *g = &s->stage[stage];
	uint64_t set[2][RUN_BITS], ends = 0;
	size_t now = 0;

	if (g->argc < run->min_words || g->argc > run->max_words)
		return false;
	memcpy(set[0], run->first, run->nw * sizeof(uint64_t));
	keep_matching(run, s, stage, 0, set[0]);
	for (size_t i = 1; i < g->argc; i++) {
		if (!candidates(run, set[now], set[!now]))
			return false;
		now = !now;
		keep_matching(run, s, stage, i, set[now]);
	}
	for (size_t k = 0; k < run->nw; k++)
		ends |= set[now][k] & run->last[k];
	return ends != 0;
}

bool
dir_matches(const struct run *run, const struct subject *s)
{
	const char *dir = s->command->dir;
	bool deny = run->rule->effect == EFFECT_DENY;

	if (run->dir == NULL)
		return deny || dir == NULL;
	return dir != NULL &&
	       text_matches_item(run->dir, s->claims, dir, strlen(dir));
}

/* Is the item's variable set, and to what it says?  (Of several of one name
 * any will do: an allow rule's are as many as the command's.) */
static bool
assign_matches(
    const struct item *it, const struct subject *s, const struct stage *g)
{
	for (size_t i = 0; i < g->nassign; i++) {
		if (text_matches_item(
			it, s->claims, g->assign[i], strlen(g->assign[i])))
			return true;
	}
	/* MUST be looked at whether it goes along or not: what does is the
	 * rule's to say that a deny takes back. */
	for (size_t i = 0; it->deny && i < s->nsent; i++) {
		if (text_matches_item(
			it, s->claims, s->sent[i], strlen(s->sent[i])))
			return true;
	}
	return false;
}

bool
assigns_match(const struct run *run, const struct subject *s, size_t stage)
{
	const struct stage *g = &s->command->stage[stage];

	if (run->rule->effect == EFFECT_ALLOW && run->nassign != g->nassign)
		return false;
	for (size_t i = 0; i < run->nassign; i++) {
		if (!assign_matches(&run->assign[i], s, g))
			return false;
	}
	return true;
}

/* The line's programs against those of the command from a stage on. */
static bool
stages_match(const struct run *run, const struct subject *s, size_t stage)
{
	for (; run != NULL; run = run->next, stage++) {
		if (!assigns_match(run, s, stage) ||
		    !words_match(run, s, stage))
			return false;
	}
	return true;
}

bool
run_matches(const struct run *run, const struct subject *s)
{
	if (run->nstage > s->nstage || !dir_matches(run, s))
		return false;
	if (run->rule->effect == EFFECT_ALLOW)
		return run->nstage == s->nstage && stages_match(run, s, 0);
	for (size_t k = 0; k + run->nstage <= s->nstage; k++) {
		if (stages_match(run, s, k))
			return true;
	}
	return false;
}
