/*
 * The words of a line.  Runs in the command line tools, on policies that have
 * been loaded.
 */
#include "config.h"

#include "policy/items.h"

#include <stdlib.h>
#include <string.h>

#include "policy/model.h"

static int
each(const struct item *it, size_t n, item_fn fn, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = fn(arg, &it[i]);
	return r;
}

int
items_of_run(const struct run *run, item_fn fn, void *arg)
{
	int r = run->dir == NULL ? 0 : fn(arg, run->dir);

	for (; run != NULL && r == 0; run = run->next) {
		if ((r = each(run->assign, run->nassign, fn, arg)) == 0)
			r = each(run->item, run->nitem, fn, arg);
	}
	return r;
}

int
items_of_repository(const struct repository *g, item_fn fn, void *arg)
{
	int r = fn(arg, &g->path);

	for (size_t i = 0; i < g->nref && r == 0; i++) {
		struct piece piece = { .slot = g->ref[i].slot };
		const struct item it = { .piece = &piece,
			.npiece = 1,
			.deny = g->rule->effect == EFFECT_DENY };

		if (piece.slot != NULL)
			r = fn(arg, &it);
	}
	return r;
}

int
items_of_rule(const struct rule *rule, item_fn fn, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < rule->nrun && r == 0; i++)
		r = items_of_run(rule->run[i], fn, arg);
	for (size_t i = 0; i < rule->ntransfer && r == 0; i++)
		r = fn(arg, &rule->transfer[i].under);
	for (size_t i = 0; i < rule->nrepository && r == 0; i++)
		r = items_of_repository(&rule->repository[i], fn, arg);
	return r;
}

void
items_at(const struct run *run, size_t place, uint64_t *set)
{
	uint64_t next[RUN_BITS];

	memset(set, 0, sizeof(next));
	memcpy(set, run->first, run->nw * sizeof(uint64_t));
	for (size_t p = 0; p < place; p++) {
		memset(next, 0, sizeof(next));
		for (size_t i = 0; i < run->nitem; i++) {
			for (size_t k = 0; bit_get(set, i) && k < run->nw; k++)
				next[k] |= run->follow[i * run->nw + k];
		}
		memcpy(set, next, sizeof(next));
	}
}

static int
by_text(const void *x, const void *y)
{
	const struct item *const *a = x, *const *b = y;

	return strcmp((*a)->piece[0].text, (*b)->piece[0].text);
}

size_t
items_by_name(const struct run *run, const struct item **out)
{
	for (size_t i = 0; i < run->nassign; i++)
		out[i] = &run->assign[i];
	if (run->nassign > 1)
		qsort(out, run->nassign, sizeof(*out), by_text);
	return run->nassign;
}

bool
item_flatten(const struct item *it, const struct piece **out, size_t *n)
{
	const struct slot *slot;

	*n = 0;
	for (size_t i = 0; i < it->npiece; i++) {
		slot = it->piece[i].slot;
		if (*n == ITEMS_FLAT_MAX)
			return false;
		if (it->piece[i].text != NULL || slot->kind != SLOT_REF) {
			out[(*n)++] = &it->piece[i];
			continue;
		}
		for (size_t k = 0; k < slot->npiece; k++) {
			if (*n == ITEMS_FLAT_MAX)
				return false;
			out[(*n)++] = &slot->piece[k];
		}
	}
	return true;
}

bool
item_has_claim(const struct item *it)
{
	const struct slot *slot;

	for (size_t i = 0; i < it->npiece; i++) {
		if (it->piece[i].text != NULL)
			continue;
		slot = it->piece[i].slot;
		if (slot->kind == SLOT_CLAIM)
			return true;
		for (size_t k = 0; k < slot->npiece; k++) {
			if (slot->piece[k].text == NULL &&
			    slot->piece[k].slot->kind == SLOT_CLAIM)
				return true;
		}
	}
	return false;
}

bool
item_is_text(const struct item *it)
{
	return it->npiece == 1 && it->piece[0].text != NULL;
}
