/*
 * The lines of two policies about one kind of requests, sorted so that those
 * which match the same stand together.  Runs in the command line tools.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "policy/compare_internal.h"
#include "policy/export.h"
#include "policy/items.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/overlap.h"

/* -- marks ----------------------------------------------------------------- */

/* FNV-1a, twice with different beginnings. */
static struct mark
mark_of(const struct buf *b)
{
	struct mark m = { 0xcbf29ce484222325U, 0x84222325cbf29ce4U };

	for (size_t i = 0; i < buf_len(b); i++) {
		m.a = (m.a ^ buf_ptr(b)[i]) * 0x100000001b3U;
		m.b = (m.b ^ buf_ptr(b)[i]) * 0x10000000233U;
	}
	return m;
}

bool
same_mark(const struct mark *x, const struct mark *y)
{
	return x->a == y->a && x->b == y->b;
}

static int
order_marks(const struct mark *x, const struct mark *y)
{
	if (x->a != y->a)
		return x->a < y->a ? -1 : 1;
	return (x->b > y->b) - (x->b < y->b);
}

static void
put_pattern(struct json *j, const struct line *l)
{
	json_kv_num(j, "effect", l->rule->effect);
	if (l->run != NULL)
		export_pattern(j, l->run);
	else if (l->transfer != NULL)
		export_item(j, "under", &l->transfer->under);
	else if (l->repository != NULL)
		export_repository(j, l->repository);
}

static void
put_terms(struct json *j, const struct policy *p, const struct line *l)
{
	const struct run none = { .rule = l->rule };

	export_terms(j, p, l->run != NULL ? l->run : &none);
	if (l->transfer == NULL)
		return;
	json_num(j, l->transfer->max);
	json_bool(j, l->transfer->no_delete);
	json_bool(j, l->transfer->no_symlinks);
}

static int
mark_line(const struct policy *p, struct line *l)
{
	struct json j;
	struct buf b;
	int r;

	buf_init(&b, EXPORT_MAX);
	json_init(&j, &b);
	json_open(&j, '[');
	json_open(&j, '{');
	put_pattern(&j, l);
	json_close(&j, '}');
	l->pattern = mark_of(&b);
	buf_reset(&b);
	put_terms(&j, p, l);
	json_close(&j, ']');
	l->terms = mark_of(&b);
	r = json_end(&j);
	buf_clear(&b);
	return r;
}

/* -- who ------------------------------------------------------------------- */

static struct mark
mark_identity(const struct identity *id)
{
	struct mark m = { 0, 0 };
	struct json j;
	struct buf b;

	buf_init(&b, EXPORT_MAX);
	json_init(&j, &b);
	json_open(&j, '[');
	json_str(&j, id->issuer->pub.url);
	json_num(&j, id->opened);
	export_conditions(&j, &id->cond);
	json_close(&j, ']');
	if (json_end(&j) == 0)
		m = mark_of(&b);
	buf_clear(&b);
	return m;
}

static int
by_order(const void *x, const void *y)
{
	return order_marks(x, y);
}

/* A rule for everyone is for those whom OLD does not know, too. */
int
compare_find_identities(struct compare *c)
{
	const struct policy *old = c->cells.p[CELLS_OLD];
	const struct policy *new = c->cells.p[CELLS_NEW];
	struct mark *m = calloc(old->nidentity + 1, sizeof(*m)), mine;

	if (m == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < old->nidentity; i++)
		m[i] = mark_identity(old->identity[i]);
	if (old->nidentity > 1)
		qsort(m, old->nidentity, sizeof(*m), by_order);
	for (size_t i = 0; i < new->nidentity && !c->identities_differ; i++) {
		mine = mark_identity(new->identity[i]);
		c->identities_differ = bsearch(&mine, m, old->nidentity,
					   sizeof(*m), by_order) == NULL;
	}
	free(m);
	return 0;
}

static bool
is_for_strangers(const struct compare *c, const struct line *l)
{
	return c->identities_differ && l->rule->everyone &&
	       l->rule->effect == EFFECT_ALLOW;
}

/* -- programs that moved --------------------------------------------------- */

static const char *
path_of(const struct compare *c, int side, const char *word)
{
	const struct language_ctx x = { .p = c->cells.p[side],
		.target = c->spot->target[side] };
	const struct program *g = language_program(&x, word);

	return g == NULL ? NULL : g->path;
}

static bool
has_moved(const struct compare *c, const char *word)
{
	const char *a = path_of(c, CELLS_OLD, word);
	const char *b = path_of(c, CELLS_NEW, word);

	return (a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0);
}

static int
add_moved(struct compare *c, const char *word)
{
	struct moved *v;

	for (size_t i = 0; i < c->nmoved; i++) {
		if (strcmp(c->moved[i].word, word) == 0)
			return 0;
	}
	if (!has_moved(c, word))
		return 0;
	if ((v = reallocarray(c->moved, c->nmoved + 1, sizeof(*v))) == NULL)
		return ERR_NOMEM;
	c->moved = v;
	c->moved[c->nmoved++].word = word;
	return 0;
}

static int
find_moved(struct compare *c)
{
	const struct program *g;
	int r = 0;

	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < c->cells.p[side]->nprogram; i++) {
			g = c->cells.p[side]->program[i];
			if ((r = add_moved(c, g->name)) != 0 ||
			    (r = add_moved(c, g->path)) != 0)
				return r;
		}
	}
	return 0;
}

static bool
is_any(const struct item *it)
{
	return it->deny && it->npiece == 1 && it->piece[0].text == NULL &&
	       it->piece[0].slot->kind == SLOT_ANY;
}

/* Does the word match, in any of its spellings? */
static bool
begins_with(const struct item *it, const struct program *g, const char *word)
{
	return text_matches_item(it, NULL, word, strlen(word)) ||
	       (g != NULL &&
		   (text_matches_item(it, NULL, g->name, strlen(g->name)) ||
		       text_matches_item(it, NULL, g->path, strlen(g->path))));
}

/* Could a program of the line begin with a word that moved?  (What takes any
 * word, takes the same.) */
static bool
is_touched(const struct compare *c, const struct line *l)
{
	const struct language_ctx x = { .p = c->cells.p[l->side],
		.target = c->spot->target[l->side] };
	const char *word;

	for (const struct run *run = l->run; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nitem; i++) {
			if (!bit_get(run->first, i) || is_any(&run->item[i]))
				continue;
			for (size_t k = 0; k < c->nmoved; k++) {
				word = c->moved[k].word;
				if (item_has_claim(&run->item[i]) ||
				    begins_with(&run->item[i],
					language_program(&x, word), word))
					return true;
			}
		}
	}
	return false;
}

/* -- collecting ------------------------------------------------------------ */

static int
add_line(struct compare *c, struct line l)
{
	struct line *v;
	int r;

	if (c->n == c->cap) {
		v = reallocarray(c->line, c->cap * 2 + 64, sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		c->line = v;
		c->cap = c->cap * 2 + 64;
	}
	if ((r = mark_line(c->cells.p[l.side], &l)) != 0)
		return r;
	l.touched = c->nmoved > 0 && is_touched(c, &l);
	c->line[c->n++] = l;
	if (line_is_new_allow(&l)) {
		c->some_stdin =
		    c->some_stdin || (l.run != NULL && l.run->stdin_ok);
		c->some_env = c->some_env || l.rule->nenv > 0;
	}
	return 0;
}

static int
add_runs(struct compare *c, struct line l)
{
	int r = 0;

	for (size_t i = 0; i < l.rule->nrun && r == 0; i++) {
		l.run = l.rule->run[i];
		l.at = &l.run->at;
		r = add_line(c, l);
	}
	return r;
}

static int
add_transfers(struct compare *c, struct line l)
{
	int r = 0;

	for (size_t i = 0; i < l.rule->ntransfer && r == 0; i++) {
		l.transfer = &l.rule->transfer[i];
		l.at = &l.transfer->at;
		if (l.transfer->write == (c->topic.kind == REQUEST_WRITE) &&
		    (l.transfer->by & c->topic.how) != 0)
			r = add_line(c, l);
	}
	return r;
}

static int
add_repositories(struct compare *c, struct line l)
{
	int r = 0;

	for (size_t i = 0; i < l.rule->nrepository && r == 0; i++) {
		l.repository = &l.rule->repository[i];
		l.at = &l.repository->at;
		if (l.repository->write == (c->topic.kind == REQUEST_GIT_WRITE))
			r = add_line(c, l);
	}
	return r;
}

static int
add_rule(struct compare *c, int side, const struct rule *rule)
{
	const struct line l = { .rule = rule, .at = &rule->at, .side = side };

	switch (c->topic.kind) {
	case REQUEST_RUN:
		return add_runs(c, l);
	case REQUEST_READ:
	case REQUEST_WRITE:
		return add_transfers(c, l);
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		return add_repositories(c, l);
	case REQUEST_INTERACTIVE:
		return rule->interactive ? add_line(c, l) : 0;
	}
	return ERR_INTERNAL;
}

/* -- groups ---------------------------------------------------------------- */

/* A line whose first words moved matches something else than the same line of
 * the other policy. */
static int
order_patterns(const struct line *a, const struct line *b)
{
	int c;

	if ((c = order_marks(&a->pattern, &b->pattern)) != 0)
		return c;
	return a->touched || b->touched ? a->side - b->side : 0;
}

static int
by_mark(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	int c;

	if ((c = order_patterns(a, b)) != 0 ||
	    (c = order_marks(&a->terms, &b->terms)) != 0)
		return c;
	return a->side - b->side;
}

/* Sorted; of lines of one policy that say the same, one is enough. */
static void
sort_lines(struct compare *c)
{
	size_t n = 0;

	if (c->n > 1)
		qsort(c->line, c->n, sizeof(*c->line), by_mark);
	for (size_t i = 0; i < c->n; i++) {
		if (n > 0 && by_mark(&c->line[n - 1], &c->line[i]) == 0)
			continue;
		c->line[n++] = c->line[i];
	}
	c->n = n;
}

static int
make_groups(struct compare *c)
{
	c->group = calloc(c->n + 1, sizeof(*c->group));
	c->near = calloc(c->n + 1, sizeof(*c->near));
	c->found = calloc(c->n + 1, sizeof(*c->found));
	if (c->group == NULL || c->near == NULL || c->found == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n; i++) {
		if (i == 0 || order_patterns(&c->line[i - 1], &c->line[i]) != 0)
			c->group[c->ngroup++].begin = i;
		c->group[c->ngroup - 1].end = i + 1;
	}
	return 0;
}

/* Marks the lines that the other policy has not; true when there are some. */
static bool
find_changed(struct compare *c)
{
	bool some = c->cells.frame_differs;
	struct line *l, *next;

	for (size_t i = 0; i < c->n; i++) {
		l = &c->line[i];
		l->changed = true;
		next = l + 1;
		if (i + 1 < c->n && order_patterns(l, next) == 0 &&
		    same_mark(&l->terms, &next->terms) &&
		    !c->cells.frame_differs && !l->touched &&
		    !is_for_strangers(c, l)) {
			l->changed = next->changed = false;
			i++;
		}
		some = some || l->changed;
	}
	return some;
}

int
compare_collect(struct compare *c, bool *some)
{
	const struct policy *p;
	int r = 0;

	if (c->topic.kind == REQUEST_RUN && (r = find_moved(c)) != 0)
		return r;
	for (int side = 0; side < 2; side++) {
		p = c->cells.p[side];
		for (size_t i = 0; i < p->nrule && r == 0; i++)
			r = add_rule(c, side, p->rule[i]);
	}
	if (r != 0)
		return r;
	sort_lines(c);
	*some = find_changed(c);
	return *some ? make_groups(c) : 0;
}

void
compare_forget(struct compare *c)
{
	for (size_t i = 0; i < c->ngroup; i++)
		fa_free(c->group[i].fa);
	free(c->group);
	free(c->near);
	free(c->found);
	free(c->moved);
	c->group = NULL;
	c->near = NULL;
	c->found = NULL;
	c->moved = NULL;
	c->n = c->ngroup = c->nmoved = c->nkey = c->nmade = 0;
	c->some_stdin = c->some_env = false;
}

/* -- one line, or two ------------------------------------------------------ */

bool
line_is_new_allow(const struct line *l)
{
	return l->side == CELLS_NEW && l->rule->effect == EFFECT_ALLOW;
}

/* An allow line of OLD that demands nothing: without it there is less. */
static bool
is_mere_gift(const struct compare *c, const struct line *l)
{
	const struct rule *rule = l->rule;
	const struct limits *m = &rule->limit;
	const struct transfer *t = l->transfer;

	return rule->effect == EFFECT_ALLOW && !rule->adds &&
	       rule->approve == 0 && m->duration_s == 0 && m->output == 0 &&
	       m->concurrent == 0 && m->rate == 0 && !rule->text_only &&
	       !rule->record_input && !rule->record_full && !c->some_env &&
	       !c->cells.observed &&
	       (t == NULL ||
		   (t->max == 0 && !t->no_delete && !t->no_symlinks)) &&
	       (!c->some_stdin || l->run == NULL ||
		   (l->run->stdin_ok && l->run->stdin_max == 0));
}

/* What NEW has anew; and what it has no more, which shows in what was denied,
 * or demanded, by it. */
bool
line_is_wanted(const struct compare *c, const struct line *l)
{
	if (!l->changed)
		return false;
	return l->side == CELLS_OLD ? !is_mere_gift(c, l)
				    : l->rule->effect == EFFECT_ALLOW;
}

bool
line_is_apart(const struct line *a, const struct line *b)
{
	if (a->run != NULL)
		return overlap_runs_apart(a->run, b->run);
	if (a->transfer != NULL)
		return overlap_transfers_apart(a->transfer, b->transfer);
	return a->repository != NULL &&
	       overlap_repositories_apart(a->repository, b->repository);
}

bool
line_is_within(const struct line *a, const struct line *b)
{
	if (a->run != NULL)
		return !a->touched && overlap_run_within(a->run, b->run);
	if (a->transfer != NULL)
		return overlap_transfer_within(a->transfer, b->transfer);
	return a->repository == NULL ||
	       overlap_repository_within(a->repository, b->repository);
}

static int
has_claim(void *arg, const struct item *it)
{
	(void)arg;
	return item_has_claim(it);
}

bool
line_has_claims(const struct line *l)
{
	return (l->run != NULL && items_of_run(l->run, has_claim, NULL) != 0) ||
	       (l->transfer != NULL && item_has_claim(&l->transfer->under)) ||
	       (l->repository != NULL &&
		   items_of_repository(l->repository, has_claim, NULL) != 0);
}
