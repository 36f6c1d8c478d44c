/*
 * The places and the times in which two policies can differ.  Runs in the
 * command line tools.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/cells.h"
#include "policy/cells_internal.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/zone.h"

#define MARKS_MAX 64 /* windows, and ends of observing */
#define TIMES_MAX 4096
#define DAY_S 86400

/* -- places
 * ----------------------------------------------------------------------------
 */

/* Is it the same machine, by address and by key? */
static bool
is_same(const struct target *old, const struct target *new)
{
	size_t k;

	if (strcmp(old->host, new->host) != 0 || old->port != new->port)
		return false;
	for (size_t i = 0; i < new->nhostkey; i++) {
		for (k = 0;
		     k < old->nhostkey && strcmp(new->hostkey[i].fingerprint,
					      old->hostkey[k].fingerprint) != 0;
		     k++)
			;
		if (k == old->nhostkey)
			return false;
	}
	return true;
}

static bool
same_groups(const struct target_full *a, const struct target_full *b)
{
	size_t k;

	if (a->ngroup != b->ngroup)
		return false;
	for (size_t i = 0; i < a->ngroup; i++) {
		for (k = 0; k < b->ngroup &&
			    strcmp(a->group[i]->name, b->group[k]->name) != 0;
		     k++)
			;
		if (k == b->ngroup)
			return false;
	}
	return strcmp(a->pub.login, b->pub.login) == 0;
}

static int
add_spot(struct cells *c, const struct target *t, const char *login)
{
	const struct target *old = policy_target_find(c->p[CELLS_OLD], t->name);
	struct spot s = { .login = login }, *v;
	const char *known;

	s.target[CELLS_NEW] = t;
	/* every target is a struct target_full, with pub first */
	if (old != NULL && is_same(old, t) &&
	    target_login(old, login, &known) == 0)
		s.target[CELLS_OLD] = old;
	if (s.target[CELLS_OLD] == NULL ||
	    !same_groups(
		(const struct target_full *)old, (const struct target_full *)t))
		c->frame_differs = true;
	v = cells_more(c->spot, c->nspot, &c->capspot, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	c->spot = v;
	c->spot[c->nspot++] = s;
	return 0;
}

/* -- which programs names are ---------------------------------------------- */

static const struct program *
program_on(const struct policy *p, const struct target *t, const char *word)
{
	return t == NULL ? NULL : program_find(p, t, word);
}

/* Is each name the same program on both, in each of the policies? */
static bool
same_programs(const struct cells *c, const struct spot *a, const struct spot *b)
{
	const struct program *g;

	for (int side = 0; side < 2; side++) {
		if ((a->target[side] == NULL) != (b->target[side] == NULL))
			return false;
		for (size_t i = 0; i < c->p[side]->nprogram; i++) {
			g = c->p[side]->program[i];
			if (g->nwhere > 0 &&
			    (program_on(c->p[side], a->target[side], g->name) !=
				    program_on(
					c->p[side], b->target[side], g->name) ||
				program_on(c->p[side], a->target[side],
				    g->path) != program_on(c->p[side],
						    b->target[side], g->path)))
				return false;
		}
	}
	return true;
}

static bool
has_places(const struct policy *p)
{
	for (size_t i = 0; i < p->nprogram; i++) {
		if (p->program[i]->nwhere > 0)
			return true;
	}
	return false;
}

/* Numbers the spots by the programs that names are there. */
static void
number_programs(struct cells *c)
{
	bool placed = has_places(c->p[0]) || has_places(c->p[1]);
	size_t k;

	for (size_t i = 0; i < c->nspot; i++) {
		for (k = 0; k < i && placed &&
			    !same_programs(c, &c->spot[k], &c->spot[i]);
		     k++)
			;
		c->spot[i].programs =
		    k < i ? c->spot[k].programs : c->nprograms++;
	}
}

static int
add_target(struct cells *c, const struct target *t, time_t from)
{
	size_t first = c->nspot;
	int r = add_spot(c, t, t->login);

	for (size_t i = 0; i < t->nextra_login && r == 0; i++)
		r = add_spot(c, t, t->extra_login[i]);
	for (size_t i = first; i < c->nspot; i++) {
		const struct target *old = c->spot[i].target[CELLS_OLD];

		c->spot[i].observed =
		    t->observe_until > from ||
		    (old != NULL && old->observe_until > from);
		c->observed = c->observed || t->observe_until > from;
	}
	return r;
}

int
cells_make_places(struct cells *c, time_t from)
{
	const struct policy *p = c->p[CELLS_NEW];
	int r = 0;

	for (size_t i = 0; i < p->ntarget && r == 0; i++)
		r = add_target(c, &p->target[i]->pub, from);
	if (r == 0)
		number_programs(c);
	return r;
}

/* -- times ----------------------------------------------------------------- */

static bool
same_window(const struct window *a, const struct window *b)
{
	return a->days == b->days && a->from == b->from && a->to == b->to &&
	       strcmp(a->zone_name, b->zone_name) == 0;
}

/* Windows, and ends of observing: what tells times apart. */
struct times {
	const struct window *window[MARKS_MAX];
	struct rule probe[MARKS_MAX];
	size_t n;
	int64_t until[MARKS_MAX];
	size_t nuntil;
	uint64_t seen[TIMES_MAX][2];
};

static void
take_windows(struct cells *c, struct times *t, const struct policy *p)
{
	struct window *w;
	size_t k;

	for (size_t i = 0; i < p->nrule; i++) {
		for (size_t n = 0; n < p->rule[i]->nwindow; n++) {
			w = &p->rule[i]->window[n];
			for (k = 0; k < t->n && !same_window(t->window[k], w);
			     k++)
				;
			if (k < t->n)
				continue;
			if (t->n == MARKS_MAX) {
				c->incomplete = "windows";
				return;
			}
			t->window[t->n] = w;
			t->probe[t->n++] =
			    (struct rule){ .effect = EFFECT_ALLOW,
				    .nwindow = 1,
				    .window = w };
		}
	}
}

static void
take_observed(
    struct cells *c, struct times *t, const struct policy *p, time_t from)
{
	int64_t until;
	size_t k;

	for (size_t i = 0; i < p->ntarget; i++) {
		until = p->target[i]->pub.observe_until;
		if (until <= from)
			continue;
		for (k = 0; k < t->nuntil && t->until[k] != until; k++)
			;
		if (k == MARKS_MAX)
			c->incomplete = "dates of `observe`";
		else if (k == t->nuntil)
			t->until[t->nuntil++] = until;
	}
}

static int
add_time(struct cells *c, struct times *t, time_t now)
{
	uint64_t bits[2] = { 0, 0 };
	time_t *v;

	for (size_t i = 0; i < t->n; i++) {
		if (cells_is_now(&t->probe[i], now))
			bits[0] |= (uint64_t)1 << i;
	}
	for (size_t i = 0; i < t->nuntil; i++) {
		if (now < t->until[i])
			bits[1] |= (uint64_t)1 << i;
	}
	for (size_t i = 0; i < c->nnow; i++) {
		if (t->seen[i][0] == bits[0] && t->seen[i][1] == bits[1])
			return 0;
	}
	if (c->nnow == TIMES_MAX) {
		c->incomplete = "times";
		return 0;
	}
	if ((v = cells_more(c->now, c->nnow, &c->capnow, sizeof(*v))) == NULL)
		return ERR_NOMEM;
	c->now = v;
	t->seen[c->nnow][0] = bits[0];
	t->seen[c->nnow][1] = bits[1];
	c->now[c->nnow++] = now;
	return 0;
}

static int
add_window(struct cells *c, struct times *t, const struct window *w, time_t day)
{
	struct zone_local l;
	int64_t at;
	int r = 0;

	for (int end = 0; end < 2 && r == 0; end++) {
		zone_to_local(w->zone, day, &l);
		l.minute = end == 0 ? w->from : w->to % 1440;
		if (zone_from_local(w->zone, &l, &at) == 0 &&
		    (r = add_time(c, t, (time_t)at)) == 0)
			r = add_time(c, t, (time_t)at - 60);
	}
	return r;
}

/* A year long, at and before each moment at which some window opens or
 * closes: the sets of windows that are open together. */
int
cells_make_times(struct cells *c, time_t from)
{
	struct times *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL)
		return ERR_NOMEM;
	for (int side = 0; side < 2; side++) {
		take_windows(c, t, c->p[side]);
		take_observed(c, t, c->p[side], from);
	}
	r = add_time(c, t, from);
	for (size_t i = 0; i < t->nuntil && r == 0; i++) {
		if ((r = add_time(c, t, (time_t)t->until[i] - 1)) == 0)
			r = add_time(c, t, (time_t)t->until[i]);
	}
	for (time_t day = 0; day < 366 && t->n > 0 && r == 0; day++) {
		for (size_t i = 0; i < t->n && r == 0; i++)
			r = add_window(c, t, t->window[i], from + day * DAY_S);
	}
	free(t);
	return r;
}
