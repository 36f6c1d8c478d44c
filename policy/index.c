/*
 * The index of rules.  Built at load; read in policy for every operation, with
 * keys of which only the first word is a job's.
 *
 * A line stands under each (word, identity, place) that it is written for; a
 * session looks under its own identities and under its target, the target's
 * groups, and everywhere.  Lines that are written for very many stand under
 * (word, everyone, everywhere), where everybody looks.  Lines of files,
 * repositories and shells stand under words that no command has.
 *
 * Where many lines stand together they are sorted once more, by the literal
 * that most of them have at one of their first places.
 */
#include "config.h"

#include "policy/index.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/decide.h"
#include "policy/match.h"
#include "policy/model.h"

#define VALUES_MAX 64 /* an enum of more makes its line wild */
#define PLACES_MAX 64 /* identities x places under which a line stands */
#define WILD 0        /* the word of lines whose first word may be many */
#define MANY 16       /* lines of a bucket that is sorted once more, */
#define PLACE_MAX 4   /* by one of these words, */
#define KINDS_MIN 8   /* if it tells so many apart */
#define SPELLINGS 3   /* of a first word: its own, a program's name and path */
#define EVERYONE 0
#define EVERYWHERE 0

/* The word of lines that are no commands; those of commands count from 1. */
static uint32_t
kind_word(enum index_kind kind)
{
	return UINT32_MAX - (uint32_t)kind;
}

struct index_key {
	uint32_t word, who, where;
};

struct index_entry {
	struct index_key key;
	struct bucket *bucket; /* NULL: free */
};

static size_t
hash(const struct index_key *k)
{
	uint64_t h = k->word * 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 29 ^ k->who) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 32 ^ k->where) * 0x94d049bb133111ebu;
	return (size_t)(h ^ h >> 31);
}

/* The key's place, or the free one where it would go.  size is a power of 2
 * and never full. */
static struct index_entry *
place(struct index_entry *e, size_t size, const struct index_key *k)
{
	size_t i = hash(k) & (size - 1);

	while (e[i].bucket != NULL &&
	       (e[i].key.word != k->word || e[i].key.who != k->who ||
		   e[i].key.where != k->where))
		i = (i + 1) & (size - 1);
	return &e[i];
}

static uint32_t
group_key(const struct group *g)
{
	return (uint32_t)(1 + g->index);
}

static uint32_t
target_key(const struct policy *p, const struct target_full *t)
{
	return (uint32_t)(1 + p->ngroup + t->index);
}

/* -- reading
 * -------------------------------------------------------------------- */

struct walk {
	const struct policy *p;
	const struct subject_stage *stage; /* NULL: of every command */
	const struct target_full *t;
	uint32_t word[1 + SPELLINGS];
	size_t nword;
	index_fn fn;
	void *ctx;
};

static void
each_at(const struct walk *w, uint32_t word, uint32_t who, uint32_t where)
{
	const struct index_key k = { word, who, where };
	const struct bucket *b =
	    place(w->p->index, w->p->index_size, &k)->bucket;

	if (b != NULL && b->place > 0 && w->stage != NULL) {
		for (size_t i = 0; i < b->nrest; i++)
			w->fn(b->rest[i], w->ctx);
		b = b->place < w->stage->argc
			? dict_get(&b->by_word, w->stage->argv[b->place])
			: NULL;
	}
	for (size_t i = 0; b != NULL && i < b->n; i++)
		w->fn(b->line[i], w->ctx);
}

static void
each_of(const struct walk *w, uint32_t who)
{
	for (size_t i = 0; i < w->nword; i++) {
		each_at(w, w->word[i], who, EVERYWHERE);
		each_at(w, w->word[i], who, target_key(w->p, w->t));
		for (size_t g = 0; g < w->t->ngroup; g++)
			each_at(w, w->word[i], who, group_key(w->t->group[g]));
	}
}

/* 0: no line begins with it. */
static uint32_t
word_number(const struct policy *p, const char *text)
{
	return (uint32_t)(uintptr_t)dict_get(&p->words, text);
}

static void
add_word(struct walk *w, const char *text)
{
	uint32_t number = word_number(w->p, text);

	if (number != 0)
		w->word[w->nword++] = number;
}

static void
each_of_all(const struct walk *w, const struct request *q)
{
	const bool *id = q->identity, *end = id + w->p->nidentity;

	if (w->p->index_size == 0)
		return;
	each_of(w, EVERYONE);
	while (
	    id < end && (id = memchr(id, true, (size_t)(end - id))) != NULL) {
		each_of(w, (uint32_t)(1 + (id - q->identity)));
		id++;
	}
}

static void
each_run(const struct request *q, const struct subject_stage *stage, bool fit,
    index_fn fn, void *ctx)
{
	const char *first = stage->argv[0];
	const struct program *g = stage->program;
	/* every target is a struct target_full, with pub first */
	struct walk w = { .p = q->policy,
		.stage = fit ? stage : NULL,
		.fn = fn,
		.ctx = ctx,
		.nword = 1,
		.word = { WILD },
		.t = (const struct target_full *)q->target };

	add_word(&w, first);
	if (g != NULL && strcmp(g->name, first) != 0)
		add_word(&w, g->name);
	if (g != NULL && strcmp(g->path, first) != 0)
		add_word(&w, g->path);
	each_of_all(&w, q);
}

void
index_each(const struct request *q, const struct subject *s, size_t stage,
    index_fn fn, void *ctx)
{
	each_run(q, &s->stage[stage], true, fn, ctx);
}

void
index_each_program(const struct request *q, const struct subject *s,
    size_t stage, index_fn fn, void *ctx)
{
	each_run(q, &s->stage[stage], false, fn, ctx);
}

void
index_each_kind(
    const struct request *q, enum index_kind kind, index_fn fn, void *ctx)
{
	const struct walk w = { .p = q->policy,
		.fn = fn,
		.ctx = ctx,
		.nword = 1,
		.word = { kind_word(kind) },
		.t = (const struct target_full *)q->target };

	each_of_all(&w, q);
}

/* -- building
 * ------------------------------------------------------------------- */

static int
bucket_add(struct policy *p, struct bucket *b, const void *line)
{
	const void **v;

	if (b->n > 0 && b->line[b->n - 1] == line)
		return 0; /* two of its first words, or places, are the same */
	v = arena_extend(p->arena, b->line, b->n, &b->cap, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	b->line = v;
	b->line[b->n++] = line;
	return 0;
}

static int
grow(struct policy *p)
{
	size_t size = p->index_size == 0 ? 64 : p->index_size * 2;
	struct index_entry *e = arena_get(p->arena, size * sizeof(*e));

	if (e == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->index_size; i++) {
		if (p->index[i].bucket != NULL)
			*place(e, size, &p->index[i].key) = p->index[i];
	}
	p->index = e;
	p->index_size = size;
	return 0;
}

static int
put(struct policy *p, const void *line, uint32_t word, uint32_t who,
    uint32_t where)
{
	const struct index_key k = { word, who, where };
	struct index_entry *e;
	int r;

	if (p->nindex * 2 >= p->index_size && (r = grow(p)) != 0)
		return r;
	e = place(p->index, p->index_size, &k);
	if (e->bucket == NULL) {
		e->bucket = arena_get(p->arena, sizeof(*e->bucket));
		if (e->bucket == NULL)
			return ERR_NOMEM;
		e->key = k;
		p->nindex++;
	}
	return bucket_add(p, e->bucket, line);
}

static uint32_t
where_key(const struct policy *p, const struct where *w)
{
	switch (w->kind) {
	case WHERE_ALL:
		return EVERYWHERE;
	case WHERE_TARGET:
		return target_key(p, w->target);
	case WHERE_GROUP:
		return group_key(w->group);
	}
	return EVERYWHERE;
}

static int
put_everywhere(struct policy *p, const struct rule *rule, const void *line,
    uint32_t word, uint32_t who)
{
	int r = 0;

	for (size_t i = 0; i < rule->nwhere && r == 0; i++)
		r = put(p, line, word, who, where_key(p, &rule->where[i]));
	return r;
}

static int
put_line(
    struct policy *p, const struct rule *rule, const void *line, uint32_t word)
{
	int r = 0;

	if (rule->nwhere > PLACES_MAX || rule->nwho > PLACES_MAX ||
	    rule->nwhere * rule->nwho > PLACES_MAX)
		return put(p, line, word, EVERYONE, EVERYWHERE);
	if (rule->everyone)
		return put_everywhere(p, rule, line, word, EVERYONE);
	for (size_t i = 0; i < rule->nwho && r == 0; i++)
		r = put_everywhere(
		    p, rule, line, word, (uint32_t)(1 + rule->id[i]));
	return r;
}

static int
put_word(struct policy *p, const char *text, struct run *run)
{
	uint32_t number = word_number(p, text);
	int r;

	if (number == 0) {
		number = (uint32_t)(WILD + 1 + p->words.n);
		if ((r = dict_put(&p->words, p->arena, text,
			 (void *)(uintptr_t)number)) != 0)
			return r;
	}
	return put_line(p, run->rule, run, number);
}

/* Can every first word of the line be told beforehand? */
static bool
is_indexable(const struct run *run)
{
	const struct item *it;

	for (size_t i = 0; i < run->nitem; i++) {
		it = &run->item[i];
		if (!bit_get(run->first, i) ||
		    (it->npiece == 1 && it->piece[0].text != NULL))
			continue;
		if (it->npiece > 1 || it->piece[0].slot->kind != SLOT_ENUM ||
		    it->piece[0].slot->nvalue > VALUES_MAX)
			return false;
	}
	return true;
}

static int
index_run(struct policy *p, struct run *run)
{
	const struct piece *first;
	int r = 0;

	if (!is_indexable(run))
		return put_line(p, run->rule, run, WILD);
	for (size_t i = 0; i < run->nitem && r == 0; i++) {
		if (!bit_get(run->first, i))
			continue;
		first = &run->item[i].piece[0];
		if (first->text != NULL) {
			r = put_word(p, first->text, run);
			continue;
		}
		for (size_t k = 0; k < first->slot->nvalue && r == 0; k++)
			r = put_word(p, first->slot->value[k], run);
	}
	return r;
}

static int
index_rule(struct policy *p, const struct rule *rule)
{
	int r = 0;

	for (size_t i = 0; i < rule->nrun && r == 0; i++)
		r = index_run(p, rule->run[i]);
	for (size_t i = 0; i < rule->ntransfer && r == 0; i++)
		r = put_line(
		    p, rule, &rule->transfer[i], kind_word(INDEX_FILES));
	for (size_t i = 0; i < rule->nrepository && r == 0; i++)
		r = put_line(
		    p, rule, &rule->repository[i], kind_word(INDEX_GIT));
	if (rule->interactive && r == 0)
		r = put_line(p, rule, rule, kind_word(INDEX_SHELL));
	return r;
}

/* -- sorting once more ----------------------------------------------------- */

/* The word that a line must have at a place; NULL: it may be another one. */
static const char *
literal_at(const void *line, size_t at)
{
	const struct run *run = line;
	const struct item *it = at < run->nfixed ? &run->item[at] : NULL;

	return it != NULL && it->npiece == 1 ? it->piece[0].text : NULL;
}

static int
by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* How many literals there are at the place; text has room for one of each
 * line. */
static size_t
count_kinds(const struct bucket *b, size_t at, const char **text)
{
	size_t n = 0, kinds = 0;
	const char *s;

	for (size_t i = 0; i < b->n; i++) {
		if ((s = literal_at(b->line[i], at)) != NULL)
			text[n++] = s;
	}
	if (n > 1)
		qsort(text, n, sizeof(*text), by_text);
	for (size_t i = 0; i < n; i++)
		kinds += i == 0 || strcmp(text[i - 1], text[i]) != 0;
	return kinds;
}

static int
put_by_word(
    struct policy *p, struct bucket *b, const char *text, const void *line)
{
	struct bucket *to = dict_get(&b->by_word, text);
	int r;

	if (to == NULL) {
		if ((to = arena_get(p->arena, sizeof(*to))) == NULL)
			return ERR_NOMEM;
		if ((r = dict_put(&b->by_word, p->arena, text, to)) != 0)
			return r;
	}
	return bucket_add(p, to, line);
}

static int
sort_bucket(struct policy *p, struct bucket *b)
{
	size_t most = KINDS_MIN - 1, kinds, at = 0;
	const char **text = calloc(b->n, sizeof(*text)), *s;
	int r = 0;

	if (text == NULL)
		return ERR_NOMEM;
	for (size_t i = 1; i <= PLACE_MAX; i++) {
		if ((kinds = count_kinds(b, i, text)) > most) {
			most = kinds;
			at = i;
		}
	}
	free(text);
	if (at == 0)
		return 0;
	b->rest = arena_get(p->arena, b->n * sizeof(*b->rest));
	if (b->rest == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < b->n && r == 0; i++) {
		if ((s = literal_at(b->line[i], at)) != NULL)
			r = put_by_word(p, b, s, b->line[i]);
		else
			b->rest[b->nrest++] = b->line[i];
	}
	b->place = at;
	return r;
}

static int
sort_buckets(struct policy *p)
{
	struct index_entry *e;
	int r = 0;

	for (size_t i = 0; i < p->index_size && r == 0; i++) {
		e = &p->index[i];
		if (e->bucket != NULL && e->bucket->n >= MANY &&
		    e->key.word < kind_word(INDEX_SHELL))
			r = sort_bucket(p, e->bucket);
	}
	return r;
}

int
index_build(struct policy *p)
{
	int r = 0;

	for (size_t i = 0; i < p->ngroup; i++)
		p->group[i]->index = i;
	for (size_t i = 0; i < p->ntarget; i++)
		p->target[i]->index = i;
	for (size_t i = 0; i < p->nrule && r == 0; i++)
		r = index_rule(p, p->rule[i]);
	return r == 0 ? sort_buckets(p) : r;
}
