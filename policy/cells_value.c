/*
 * The values of claims: as many as the conditions of two policies tell apart.
 * Runs in the command line tools.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/cells.h"
#include "policy/cells_internal.h"
#include "policy/glob.h"
#include "policy/language.h"
#include "policy/model.h"
#include "policy/regex.h"

#define FRESH_TRIES 100

static int
add_value(struct cells *c, struct choice *to, const char *value, size_t n)
{
	for (size_t i = 0; i < to->n; i++) {
		if (strlen(to->value[i]) == n &&
		    memcmp(to->value[i], value, n) == 0)
			return 0;
	}
	if (to->n == CELLS_VALUES_MAX) {
		c->incomplete = "values of one claim";
		return 0;
	}
	if ((to->value[to->n] = strndup(value, n)) == NULL)
		return ERR_NOMEM;
	to->n++;
	return 0;
}

void
choice_clear(struct choice *to)
{
	for (size_t i = 0; i < to->n; i++)
		free(to->value[i]);
	to->n = 0;
}

static int
add_example(struct cells *c, struct choice *to, struct fa *fa)
{
	char *s = NULL;
	size_t n;
	int r = 0;

	if (fa == NULL || fa_example(fa, &s, &n) != 0)
		return ERR_NOMEM;
	if (s != NULL && n > 0)
		r = add_value(c, to, s, n);
	free(s);
	return r;
}

/* And frees what was made. */
static int
add_cell(struct cells *c, struct choice *to, struct fa *take)
{
	int r = add_example(c, to, take);

	fa_free(take);
	return r;
}

/* Texts that fit `glob`: within and without each other pattern, and without
 * all of them. */
static int
add_glob(struct cells *c, struct choice *to, const char *glob,
    const char *const *other, size_t nother)
{
	struct fa *whole = language_glob(glob), *rest = language_glob(glob), *o,
		  *x;
	int r = whole == NULL || rest == NULL ? ERR_NOMEM : 0;

	for (size_t i = 0; i < nother && r == 0; i++) {
		if (strcmp(other[i], glob) == 0)
			continue;
		if ((o = language_glob(other[i])) == NULL) {
			r = ERR_NOMEM;
			break;
		}
		if ((r = add_cell(c, to, fa_intersect(whole, o))) == 0)
			r = add_cell(c, to, fa_minus(whole, o));
		x = fa_minus(rest, o);
		fa_free(rest);
		rest = x;
		fa_free(o);
		r = r == 0 && rest == NULL ? ERR_NOMEM : r;
	}
	if (r == 0)
		r = add_example(c, to, rest);
	if (r == 0 && nother == 0)
		r = add_example(c, to, whole);
	fa_free(whole);
	fa_free(rest);
	return r;
}

bool
condition_fits(const struct condition *c, const char *value)
{
	if (c->kind != CONDITION_VALUES)
		return (c->kind == CONDITION_PRESENT) == (*value != '\0');
	for (size_t i = 0; i < c->nvalue; i++) {
		if (claim_value_holds(&c->value[i], value))
			return true;
	}
	return false;
}

/* Every condition on the claim, of both policies. */
typedef int (*condition_fn)(void *arg, const struct condition *c);

static int
each_condition(
    const struct cells *c, const char *claim, condition_fn fn, void *arg)
{
	const struct identity *id;
	int r = 0;

	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < c->p[side]->nidentity; i++) {
			id = c->p[side]->identity[i];
			for (size_t k = 0; k < id->cond.n && r == 0; k++) {
				if (strcmp(id->cond.v[k].claim, claim) == 0)
					r = fn(arg, &id->cond.v[k]);
			}
		}
	}
	return r;
}

struct values_of {
	struct cells *c;
	struct choice *to;
	const struct condition *mine;
	const char *glob[CELLS_VALUES_MAX];
	size_t nglob;
};

static int
take_values(void *arg, const struct condition *c)
{
	struct values_of *v = arg;
	size_t g;
	int r = 0;

	for (size_t i = 0; i < c->nvalue && r == 0; i++) {
		if (!c->value[i].glob) {
			if (condition_fits(v->mine, c->value[i].text))
				r = add_value(v->c, v->to, c->value[i].text,
				    strlen(c->value[i].text));
			continue;
		}
		for (g = 0;
		     g < v->nglob && strcmp(v->glob[g], c->value[i].text) != 0;
		     g++)
			;
		if (g == CELLS_VALUES_MAX)
			v->c->incomplete = "patterns of one claim";
		else if (g == v->nglob)
			v->glob[v->nglob++] = c->value[i].text;
	}
	return r;
}

int
choice_make(struct cells *c, struct choice *to, const struct condition *mine)
{
	struct values_of v = { .c = c, .to = to, .mine = mine };
	int r;

	to->claim = mine->claim;
	if (mine->kind == CONDITION_ABSENT)
		return 0;
	if ((r = each_condition(c, mine->claim, take_values, &v)) != 0)
		return r;
	if (mine->kind == CONDITION_PRESENT)
		return add_glob(c, to, "**", v.glob, v.nglob);
	for (size_t i = 0; i < mine->nvalue && r == 0; i++) {
		if (mine->value[i].glob)
			r = add_glob(
			    c, to, mine->value[i].text, v.glob, v.nglob);
	}
	return r;
}

/* -- all values of a kind -------------------------------------------------- */

/* The language of a claim's values, cut by each condition on it. */
struct cut {
	struct fa *fa;
	const char *value;
	struct buf literals; /* a regular expression */
};

static int
cut_by(struct cut *cut, struct fa *take, bool within)
{
	struct fa *fa = take == NULL || cut->fa == NULL ? NULL
			: within ? language_both(cut->fa, take)
				 : language_without(cut->fa, take);

	fa_free(take);
	fa_free(cut->fa);
	cut->fa = fa;
	return fa == NULL ? ERR_NOMEM : 0;
}

static int
cut_by_condition(void *arg, const struct condition *c)
{
	struct cut *cut = arg;
	const char *text;
	int r = 0;

	for (size_t i = 0; i < c->nvalue && r == 0; i++) {
		text = c->value[i].text;
		if (c->value[i].glob)
			r = cut_by(cut, language_glob(text),
			    glob_matches(
				text, "/:", cut->value, strlen(cut->value)));
		else if (buf_len(&cut->literals) == 0 ||
			 (r = buf_put(&cut->literals, "|", 1)) == 0)
			r = regex_literal(text, &cut->literals);
	}
	return r;
}

struct fa *
cells_values(
    const struct cells *c, const char *claim, const char *value, bool literals)
{
	struct cut cut = { .fa = language_plain(), .value = value };
	struct fa *fa = NULL;
	int r = ERR_NOMEM;

	buf_init(&cut.literals, 4UL * 1024 * 1024);
	if (cut.fa == NULL ||
	    (r = each_condition(c, claim, cut_by_condition, &cut)) != 0)
		goto out;
	if (!literals && buf_len(&cut.literals) > 0) {
		if (fa_compile((const char *)buf_ptr(&cut.literals),
			buf_len(&cut.literals), &fa) != REG_NOERROR)
			r = ERR_NOMEM;
		else
			r = cut_by(&cut, fa, false);
	}
out:
	buf_clear(&cut.literals);
	if (r != 0) {
		fa_free(cut.fa);
		return NULL;
	}
	return cut.fa;
}

static int
is_literal(void *arg, const struct condition *c)
{
	for (size_t i = 0; i < c->nvalue; i++) {
		if (!c->value[i].glob && strcmp(c->value[i].text, arg) == 0)
			return 1;
	}
	return 0;
}

bool
cells_is_literal(const struct cells *c, const char *claim, const char *value)
{
	return each_condition(c, claim, is_literal, (void *)(uintptr_t)value) !=
	       0;
}

static int
is_asked_for(void *arg, const struct condition *c)
{
	return c->kind == CONDITION_VALUES && condition_fits(c, arg);
}

void
cells_fresh(const struct cells *c, const char *claim, char *out, size_t size)
{
	for (unsigned int i = 0; i < FRESH_TRIES; i++) {
		(void)snprintf(out, size, "zq%u", i);
		if (each_condition(c, claim, is_asked_for, out) == 0)
			return;
	} /* patterns take everything */
}
