/*
 * Two policies against each other: exactly, where it can be decided.  Runs in
 * the command line tools.
 *
 * What NEW allows and OLD does not shows in a line that only one of them has,
 * or in one that is written alike and means something else.  How such a line
 * is looked at is told in policy/compare_internal.h.
 */
#include "config.h"

#include "policy/compare.h"

#include <stdlib.h>

#include <fa.h>

#include "lib/err.h"
#include "policy/compare_internal.h"
#include "policy/model.h"

static int64_t
processor_ns(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == -1)
		return INT64_MAX;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void
compare_doubt(struct compare *c, const struct line *l, const char *why)
{
	const struct doubt d = { .p = l == NULL ? NULL : c->cells.p[l->side],
		.at = l == NULL ? NULL : l->at,
		.why = why };

	c->undecided = true;
	c->how->doubt(c->how->arg, &d);
}

bool
compare_has_time(struct compare *c)
{
	if (c->deadline_ns == 0 || processor_ns() < c->deadline_ns)
		return true;
	if (c->deadline_ns != INT64_MIN)
		compare_doubt(c, NULL, "not done within the budget");
	c->deadline_ns = INT64_MIN;
	return false;
}

/* -- what need not be looked at -------------------------------------------- */

/* The same on the same terms is in the group, or in one around it. */
static bool
has_equal(const struct compare *c, size_t group, const struct line *l, int side)
{
	const struct alike *g = &c->group[group];

	for (size_t i = g->begin; i < g->end; i++) {
		if (c->line[i].side == side &&
		    same_mark(&c->line[i].terms, &l->terms))
			return true;
	}
	return false;
}

static bool
is_covered(const struct compare *c, size_t group, const struct line *l)
{
	const struct line *first;

	if (has_equal(c, group, l, !l->side))
		return true;
	for (size_t i = 0; i < c->nfound; i++) {
		first = &c->line[c->group[c->found[i]].begin];
		if (line_is_within(l, first) &&
		    has_equal(c, c->found[i], l, !l->side))
			return true;
	}
	return false;
}

/* Does NEW allow something near it on other terms? */
static bool
is_on_other_terms(const struct compare *c, size_t group, const struct line *l)
{
	const struct alike *g = &c->group[group];

	for (size_t i = g->begin; i < g->end; i++) {
		if (line_is_new_allow(&c->line[i]) &&
		    !same_mark(&c->line[i].terms, &l->terms))
			return true;
	}
	return false;
}

static bool
can_settle(const struct compare *c, const struct line *l)
{
	return !c->cells.frame_differs && !c->cells.observed && !l->touched &&
	       !(c->identities_differ && l->rule->everyone);
}

/*
 * What NEW allows as OLD does, in more than that, gives nothing new.  What OLD
 * demanded is demanded where NEW allows it on the same terms alone, and where
 * NEW allows nothing.  Each other line that has changed is looked at by itself.
 */
static bool
is_settled(const struct compare *c, size_t group, const struct line *l)
{
	if (!can_settle(c, l))
		return false;
	if (l->side == CELLS_NEW || l->rule->effect == EFFECT_DENY)
		return is_covered(c, group, l);
	if (is_on_other_terms(c, group, l))
		return false;
	for (size_t i = 0; i < c->nfound; i++) {
		if (is_on_other_terms(c, c->found[i], l))
			return false;
	}
	return true;
}

/* The same, of a line and all others that match a piece. */
static bool
is_settled_in(
    const struct compare *c, const struct piece_of *p, const struct line *l)
{
	bool covers = l->side == CELLS_NEW || l->rule->effect == EFFECT_DENY;

	if (!can_settle(c, l))
		return false;
	for (size_t i = 0; i < p->n; i++) {
		if (covers && has_equal(c, p->group[i], l, !l->side))
			return true;
		if (!covers && is_on_other_terms(c, p->group[i], l))
			return false;
	}
	return !covers;
}

bool
compare_is_settled(const struct compare *c, const struct piece_of *p)
{
	const struct alike *g;

	for (size_t i = 0; i < p->n; i++) {
		g = &c->group[p->group[i]];
		for (size_t k = g->begin; k < g->end; k++) {
			if (line_is_wanted(c, &c->line[k]) &&
			    !is_settled_in(c, p, &c->line[k]))
				return false;
		}
	}
	return true;
}

/* -- looking --------------------------------------------------------------- */

static int
ask_each(struct compare *c, size_t group)
{
	int r = 0;

	for (size_t i = 0; i < c->npiece && r == 0; i++)
		r = compare_ask_piece(c, group, &c->piece[i], c->cells.session,
		    c->cells.nsession);
	compare_forget_pieces(c);
	return r;
}

static int
ask_pieces(struct compare *c, size_t group, size_t with)
{
	int r;

	if (compare_has_claims(c, group, with))
		return compare_claims(c, group, with);
	if (with == NO_GROUP && compare_cut_words(c, group) &&
	    (r = ask_each(c, group)) != ERR_NOTFOUND)
		return r;
	compare_cut(c, group, with);
	return ask_each(c, group);
}

/* What was denied by it: each line of NEW that allows some of it. */
static int
look_at_denied(struct compare *c, size_t group)
{
	size_t *near = calloc(c->nfound + 1, sizeof(*near)), n = 0;
	int r = 0;

	if (near == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->nfound; i++) {
		const struct alike *g = &c->group[c->found[i]];

		for (size_t k = g->begin; k < g->end; k++) {
			if (line_is_new_allow(&c->line[k])) {
				near[n++] = c->found[i];
				break;
			}
		}
	}
	for (size_t i = 0; i < n && r == 0 && compare_has_time(c); i++) {
		compare_near(c, near[i]);
		r = ask_pieces(c, near[i], group);
	}
	free(near);
	return r;
}

/* Everything that can differ about one group. */
static int
look_at(struct compare *c, size_t group)
{
	const struct alike *g = &c->group[group];
	bool wanted = false;
	int r = 0;

	for (size_t i = g->begin; i < g->end && !wanted; i++)
		wanted = line_is_wanted(c, &c->line[i]);
	if (!wanted)
		return 0;
	compare_near(c, group);
	wanted = false;
	for (size_t i = g->begin; i < g->end && r == 0; i++) {
		const struct line *l = &c->line[i];

		if (!line_is_wanted(c, l) || is_settled(c, group, l))
			continue;
		wanted = true;
		if (c->some_env && line_denies_sent(l))
			r = compare_sent(c, l);
	}
	if (!wanted || r != 0)
		return r;
	if (c->line[g->begin].rule->effect == EFFECT_DENY && !c->cells.observed)
		return look_at_denied(c, group);
	return ask_pieces(c, group, NO_GROUP);
}

static const struct spot *
spot_of(const struct compare *c)
{
	for (size_t i = 0; i < c->cells.nspot; i++) {
		if (c->cells.spot[i].programs == c->programs)
			return &c->cells.spot[i];
	}
	return NULL;
}

static int
look_at_topic(struct compare *c)
{
	bool some = false;
	int r = 0;

	for (c->programs = 0; c->programs < c->cells.nprograms && r == 0;
	     c->programs++) {
		c->spot = spot_of(c);
		if ((r = compare_collect(c, &some)) == 0 && some &&
		    (r = compare_index(c)) == 0) {
			for (size_t i = 0;
			     i < c->ngroup && r == 0 && compare_has_time(c);
			     i++)
				r = look_at(c, i);
		}
		if (r == 0 && c->cells.observed)
			r = compare_ask_observed(c);
		compare_forget(c);
	}
	return r;
}

static const struct topic topics[] = {
	{ REQUEST_RUN, 0 },
	{ REQUEST_READ, BY_SFTP },
	{ REQUEST_READ, BY_SCP_LEGACY },
	{ REQUEST_READ, BY_RSYNC },
	{ REQUEST_WRITE, BY_SFTP },
	{ REQUEST_WRITE, BY_SCP_LEGACY },
	{ REQUEST_WRITE, BY_RSYNC },
	{ REQUEST_GIT_READ, 0 },
	{ REQUEST_GIT_WRITE, 0 },
	{ REQUEST_INTERACTIVE, 0 },
};

static void
clear(struct compare *c)
{
	compare_forget(c);
	free(c->line);
	free(c->key);
	free(c->spelling);
	compare_forget_pieces(c);
	free(c->piece);
	cells_clear(&c->cells);
}

int
compare_policies(const struct policy *before, const struct policy *after,
    const struct compare_ask *how)
{
	struct compare c = { .how = how };
	int r;

	if (how->budget_s != 0)
		c.deadline_ns =
		    processor_ns() + (int64_t)how->budget_s * 1000000000;
	if ((r = cells_init(&c.cells, before, after, how->from)) != 0)
		return r;
	if ((r = compare_find_identities(&c)) != 0 ||
	    (r = compare_spellings(&c)) != 0)
		goto out;
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]) && r == 0;
	     i++) {
		c.topic = topics[i];
		r = look_at_topic(&c);
	}
	if (c.cells.incomplete != NULL)
		compare_doubt(&c, NULL, c.cells.incomplete);
	if (r == 0 && c.undecided)
		r = ERR_TOOBIG;
out:
	clear(&c);
	return r;
}
