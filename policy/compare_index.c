/*
 * Which groups of lines could overlap with one of them: those which have the
 * same literal at some place, or no literal there.  Runs in the command line
 * tools.
 *
 * Places are the first few words of a program, and the first few parts of a
 * path.  Of a command's first word all spellings, in both policies, are one.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/compare_internal.h"
#include "policy/items.h"
#include "policy/match.h"
#include "policy/model.h"

#define PLACES_MAX 6 /* words, or parts, that are looked at */
#define WORDS_MAX 16 /* literals at one place; more are any */
#define ANY 0

/* What stands under a key; deny lines are looked for at each program. */
enum role { ROLE_DENY, ROLE_ALLOW /* + the program's number in the line */ };

struct key {
	uint64_t hash; /* of a literal; ANY */
	unsigned int role, place;
	size_t group;
};

/* The literals that can stand at a place. */
struct words {
	uint64_t hash[WORDS_MAX];
	size_t n;
	bool any;  /* and others */
	bool must; /* the place is never left out */
};

static uint64_t
hash_text(const char *s, size_t n)
{
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 0x100000001b3U;
	return h == ANY ? 1 : h;
}

static void
add_word(struct words *w, uint64_t hash)
{
	if (w->n == WORDS_MAX)
		w->any = true;
	else
		w->hash[w->n++] = hash;
}

/* -- words of a command ---------------------------------------------------- */

static int
by_word(const void *x, const void *y)
{
	const struct spelling *a = x, *b = y;

	return strcmp(a->word, b->word);
}

static struct spelling *
spelling(const struct compare *c, const char *word)
{
	const struct spelling k = { .word = word };
	struct spelling *s =
	    c->nspelling == 0
		? NULL
		: bsearch(&k, c->spelling, c->nspelling, sizeof(k), by_word);

	/* two policies may have the word, and it stands twice */
	while (s != NULL && s > c->spelling && by_word(s, s - 1) == 0)
		s--;
	return s;
}

static struct spelling *
root(const struct compare *c, struct spelling *s)
{
	while (s != &c->spelling[s->parent])
		s = &c->spelling[s->parent];
	return s;
}

/* All spellings of a program are one; those which share one as well. */
int
compare_spellings(struct compare *c)
{
	const struct policy *p;
	size_t n = 0;

	for (int side = 0; side < 2; side++)
		n += 2 * c->cells.p[side]->nprogram;
	if ((c->spelling = calloc(n + 1, sizeof(*c->spelling))) == NULL)
		return ERR_NOMEM;
	for (int side = 0; side < 2; side++) {
		p = c->cells.p[side];
		for (size_t i = 0; i < p->nprogram; i++) {
			c->spelling[c->nspelling++].word = p->program[i]->name;
			c->spelling[c->nspelling++].word = p->program[i]->path;
		}
	}
	if (n > 1)
		qsort(c->spelling, n, sizeof(*c->spelling), by_word);
	for (size_t i = 0; i < n; i++)
		c->spelling[i].parent = i;
	for (int side = 0; side < 2; side++) {
		p = c->cells.p[side];
		for (size_t i = 0; i < p->nprogram; i++)
			root(c, spelling(c, p->program[i]->name))->parent =
			    (size_t)(root(c, spelling(c, p->program[i]->path)) -
				     c->spelling);
	}
	return 0;
}

static uint64_t
hash_first(const struct compare *c, const char *word)
{
	struct spelling *s = spelling(c, word);

	if (s != NULL)
		word = root(c, s)->word;
	return hash_text(word, strlen(word));
}

static void
add_item(
    const struct compare *c, const struct item *it, bool first, struct words *w)
{
	const struct piece *p = &it->piece[0];

	if (it->npiece != 1 ||
	    (p->text == NULL && p->slot->kind != SLOT_ENUM)) {
		w->any = true;
		return;
	}
	if (p->text != NULL) {
		add_word(w, first ? hash_first(c, p->text)
				  : hash_text(p->text, p->len));
		return;
	}
	for (size_t i = 0; i < p->slot->nvalue; i++) {
		const char *s = p->slot->value[i];

		add_word(w, first ? hash_first(c, s) : hash_text(s, strlen(s)));
	}
}

static void
words_of_stage(const struct compare *c, const struct run *run, size_t place,
    struct words *w)
{
	uint64_t now[RUN_BITS];

	*w = (struct words){ .must = place < run->min_words };
	items_at(run, place, now);
	for (size_t i = 0; i < run->nitem; i++) {
		if (bit_get(now, i))
			add_item(c, &run->item[i], place == 0, w);
	}
}

/* -- parts of a path ------------------------------------------------------- */

/* From the part's / on; a part with a slot is any. */
static void
words_of_path(const struct item *it, bool under, size_t place, struct words *w)
{
	size_t part = 0, begin = 0;
	const struct piece *p;
	bool slot = false;

	*w = (struct words){ .n = 0 };
	for (size_t i = 0; i < it->npiece; i++) {
		p = &it->piece[i];
		if (p->text == NULL) {
			slot = slot || part == place + 1;
			continue;
		}
		begin = 0;
		for (size_t k = 0; k < p->len; k++) {
			if (p->text[k] != '/')
				continue;
			if (part == place + 1 && !slot && begin > 0)
				add_word(
				    w, hash_text(p->text + begin, k - begin));
			part++;
			begin = k + 1;
		}
		if (part == place + 1 && !slot && begin > 0 && begin < p->len &&
		    i + 1 == it->npiece)
			add_word(w, hash_text(p->text + begin, p->len - begin));
	}
	w->must = part > place;
	/* a part that is put together from pieces, or lies beneath */
	if (part > place ? w->n == 0 : under)
		w->any = true;
}

/* -- keys ------------------------------------------------------------------ */

static void
words_of(const struct compare *c, const struct line *l, const struct run *stage,
    size_t place, struct words *w)
{
	if (stage != NULL)
		words_of_stage(c, stage, place, w);
	else if (l->transfer != NULL)
		words_of_path(&l->transfer->under, true, place, w);
	else if (l->repository != NULL)
		words_of_path(&l->repository->path, false, place, w);
	else
		*w = (struct words){ .any = true };
}

static int
add_key(struct compare *c, struct key k)
{
	struct key *v;

	if (c->nkey == c->capkey) {
		v = reallocarray(c->key, c->capkey * 2 + 256, sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		c->key = v;
		c->capkey = c->capkey * 2 + 256;
	}
	c->key[c->nkey++] = k;
	return 0;
}

static int
add_stage(
    struct compare *c, size_t group, const struct run *stage, unsigned int role)
{
	const struct line *l = &c->line[c->group[group].begin];
	struct key k = { .group = group, .role = role };
	struct words w;
	int r = 0;

	for (k.place = 0; k.place < PLACES_MAX && r == 0; k.place++) {
		words_of(c, l, stage, k.place, &w);
		k.hash = ANY;
		if (w.any)
			r = add_key(c, k);
		for (size_t i = 0; i < w.n && !w.any && r == 0; i++) {
			k.hash = w.hash[i];
			r = add_key(c, k);
		}
	}
	return r;
}

static int
by_key(const void *x, const void *y)
{
	const struct key *a = x, *b = y;

	if (a->role != b->role)
		return a->role < b->role ? -1 : 1;
	if (a->place != b->place)
		return a->place < b->place ? -1 : 1;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->group > b->group) - (a->group < b->group);
}

static unsigned int
role_of(const struct line *l)
{
	/* paths begin at one place, whatever the rule does */
	return l->run != NULL && l->rule->effect == EFFECT_DENY ? ROLE_DENY
								: ROLE_ALLOW;
}

int
compare_index(struct compare *c)
{
	const struct line *l;
	unsigned int role;
	int r = 0;

	for (size_t i = 0; i < c->ngroup && r == 0; i++) {
		l = &c->line[c->group[i].begin];
		role = role_of(l);
		r = add_stage(c, i, l->run, role);
		for (const struct run *s = l->run == NULL || role == ROLE_DENY
					       ? NULL
					       : l->run->next;
		     s != NULL && r == 0; s = s->next)
			r = add_stage(c, i, s, ++role);
	}
	if (c->nkey > 1)
		qsort(c->key, c->nkey, sizeof(*c->key), by_key);
	return r;
}

/* -- looking --------------------------------------------------------------- */

struct range {
	size_t begin, end;
};

static size_t
lower(const struct compare *c, const struct key *k)
{
	size_t low = 0, high = c->nkey, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (by_key(&c->key[mid], k) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct range
find(const struct compare *c, unsigned int role, unsigned int place,
    uint64_t hash)
{
	const struct key from = { hash, role, place, 0 };
	const struct key to = { hash, role, place, SIZE_MAX };

	return (struct range){ lower(c, &from), lower(c, &to) };
}

/* How many there are, and with `take` also which. */
static size_t
look(struct compare *c, unsigned int role, unsigned int place,
    const struct words *w, bool take)
{
	struct range g = find(c, role, place, ANY);
	size_t count = 0;

	for (size_t i = 0; i <= w->n; i++) {
		count += g.end - g.begin;
		for (size_t k = g.begin; k < g.end && take; k++)
			c->near[c->key[k].group] = true;
		if (i < w->n)
			g = find(c, role, place, w->hash[i]);
	}
	return count;
}

/* Those of a role, by the place at which there are the fewest. */
static void
look_for(struct compare *c, const struct line *l, const struct run *stage,
    unsigned int role)
{
	struct words w, best = { .n = 0 };
	size_t count, least = SIZE_MAX;
	unsigned int at = 0;

	for (unsigned int place = 0; place < PLACES_MAX; place++) {
		words_of(c, l, stage, place, &w);
		if (!w.must || w.any || w.n == 0)
			continue;
		if ((count = look(c, role, place, &w, false)) < least) {
			least = count;
			best = w;
			at = place;
		}
	}
	if (least != SIZE_MAX) {
		(void)look(c, role, at, &best, true);
		return;
	}
	for (size_t i = 0; i < c->nkey; i++) {
		if (c->key[i].role == role)
			c->near[c->key[i].group] = true;
	}
}

void
compare_near(struct compare *c, size_t group)
{
	const struct line *l = &c->line[c->group[group].begin];

	memset(c->near, 0, c->ngroup * sizeof(*c->near));
	if (role_of(l) == ROLE_DENY) {
		look_for(c, l, l->run, ROLE_DENY);
		for (unsigned int i = 0; i < COMMAND_STAGES_MAX; i++)
			look_for(c, l, l->run, ROLE_ALLOW + i);
	} else {
		look_for(c, l, l->run, ROLE_ALLOW);
		for (const struct run *s = l->run; s != NULL; s = s->next)
			look_for(c, l, s, ROLE_DENY);
	}
	c->nfound = 0;
	for (size_t i = 0; i < c->ngroup; i++) {
		if (c->near[i] && i != group &&
		    !line_is_apart(l, &c->line[c->group[i].begin]))
			c->found[c->nfound++] = i;
	}
}
