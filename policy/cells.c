/*
 * The finitely many sessions, places and times in which two policies can
 * differ.  Runs in the command line tools.
 *
 * A session is made for every identity of the new policy: of each of its
 * conditions each value, and for a glob such texts as the other conditions on
 * that claim tell apart; with everything else missing, and with what each one
 * of the other identities asks for besides.
 */
#include "config.h"

#include "policy/cells.h"

#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/glob.h"
#include "policy/judge.h"
#include "policy/model.h"
#include "policy/preset.h"
#include "policy/regex.h"
#include "policy/whatif.h"
#include "policy/zone.h"

#define VALUES_MAX 128  /* of one claim */
#define PRODUCT_MAX 512 /* combinations of one identity's values */
#define SESSIONS_MAX 4096
#define WINDOWS_MAX 64
#define TIMES_MAX 4096
#define DAY_S 86400
#define FRESH "zq7" /* a claim's value that nothing asks for */

/* What a claim of a session may be. */
struct choice {
	const char *claim;
	char *value[VALUES_MAX];
	size_t n, now;
};

struct maker {
	struct cells *c;
	const struct identity *id;
	const struct issuer_full *is;
	const char *old_issuer; /* NULL: none is the same */
	struct choice *choice;
	size_t nchoice;
};

static void *
more(void *v, size_t n, size_t *cap, size_t size)
{
	void *bigger;

	if (n < *cap)
		return v;
	bigger = reallocarray(v, *cap == 0 ? 16 : *cap * 2, size);
	if (bigger != NULL)
		*cap = *cap == 0 ? 16 : *cap * 2;
	return bigger;
}

/* -- values
 * ----------------------------------------------------------------------- */

static int
add_value(struct cells *c, struct choice *to, const char *value, size_t n)
{
	for (size_t i = 0; i < to->n; i++) {
		if (strlen(to->value[i]) == n &&
		    memcmp(to->value[i], value, n) == 0)
			return 0;
	}
	if (to->n == VALUES_MAX) {
		c->incomplete = true;
		return 0;
	}
	if ((to->value[to->n] = strndup(value, n)) == NULL)
		return ERR_NOMEM;
	to->n++;
	return 0;
}

static struct fa *
glob_fa(const char *glob)
{
	struct fa *fa = NULL;
	struct buf b;

	buf_init(&b, 64UL * 1024);
	if (regex_glob(glob, REGEX_BYTES, &b) == 0 &&
	    fa_compile((const char *)buf_ptr(&b), buf_len(&b), &fa) != 0) {
		fa_free(fa);
		fa = NULL;
	}
	buf_clear(&b);
	return fa;
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

/* Texts that fit `glob`: within and without each other pattern, and without
 * all of them. */
static int
add_glob(struct maker *m, struct choice *to, const char *glob,
    const char *const *other, size_t nother)
{
	struct fa *whole = glob_fa(glob), *rest = glob_fa(glob), *o, *x;
	int r = whole == NULL || rest == NULL ? ERR_NOMEM : 0;

	for (size_t i = 0; i < nother && r == 0; i++) {
		if (strcmp(other[i], glob) == 0)
			continue;
		if ((o = glob_fa(other[i])) == NULL) {
			r = ERR_NOMEM;
			break;
		}
		x = fa_intersect(whole, o);
		r = add_example(m->c, to, x);
		fa_free(x);
		x = fa_minus(whole, o);
		r = r != 0 ? r : add_example(m->c, to, x);
		fa_free(x);
		x = fa_minus(rest, o);
		fa_free(rest);
		rest = x;
		fa_free(o);
	}
	if (r == 0)
		r = add_example(m->c, to, rest);
	if (r == 0 && nother == 0)
		r = add_example(m->c, to, whole);
	fa_free(whole);
	fa_free(rest);
	return r;
}

static bool
fits(const struct condition *c, const char *value)
{
	if (c->kind == CONDITION_PRESENT)
		return *value != '\0';
	for (size_t i = 0; i < c->nvalue; i++) {
		if (c->value[i].glob ? glob_matches(c->value[i].text,
					   "/:", value, strlen(value))
				     : strcmp(c->value[i].text, value) == 0)
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
	struct maker *m;
	struct choice *to;
	const struct condition *mine;
	const char *glob[VALUES_MAX];
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
			if (fits(v->mine, c->value[i].text))
				r = add_value(v->m->c, v->to, c->value[i].text,
				    strlen(c->value[i].text));
			continue;
		}
		for (g = 0;
		     g < v->nglob && strcmp(v->glob[g], c->value[i].text) != 0;
		     g++)
			;
		if (g == VALUES_MAX)
			v->m->c->incomplete = true;
		else if (g == v->nglob)
			v->glob[v->nglob++] = c->value[i].text;
	}
	return r;
}

static int
choose(struct maker *m, struct choice *to, const struct condition *mine)
{
	struct values_of v = { .m = m, .to = to, .mine = mine };
	int r;

	to->claim = mine->claim;
	if (mine->kind == CONDITION_ABSENT)
		return 0;
	if ((r = each_condition(m->c, mine->claim, take_values, &v)) != 0)
		return r;
	if (mine->kind == CONDITION_PRESENT)
		return add_glob(m, to, "**", v.glob, v.nglob);
	for (size_t i = 0; i < mine->nvalue && r == 0; i++) {
		if (mine->value[i].glob)
			r = add_glob(
			    m, to, mine->value[i].text, v.glob, v.nglob);
	}
	return r;
}

/* -- sessions
 * ------------------------------------------------------------------------ */

static int
copy_claims(struct claims *to, const struct claims *from)
{
	int r = 0;

	for (size_t i = 0; i < from->n && r == 0; i++)
		r = claims_set(to, from->c[i].name, from->c[i].value);
	return r;
}

static bool
same_claims(const struct claims *a, const struct claims *b)
{
	const char *v;

	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		v = claims_get(b, a->c[i].name);
		if (v == NULL || strcmp(v, a->c[i].value) != 0)
			return false;
	}
	return true;
}

static void
session_clear(struct session *s)
{
	claims_clear(&s->claims);
	free(s->set[0]);
	free(s->set[1]);
}

/* Adds the claims as a session, if they are the identity. */
static int
add_session(struct maker *m, const struct claims *cs)
{
	struct cells *c = m->c;
	struct session s = { .as = m->id }, *v;
	int r;

	for (size_t i = 0; i < c->nsession; i++) {
		if (same_claims(&c->session[i].claims, cs))
			return 0;
	}
	for (int side = 0; side < 2; side++) {
		s.set[side] = calloc(c->p[side]->nidentity + 1, sizeof(bool));
		if (s.set[side] == NULL) {
			session_clear(&s);
			return ERR_NOMEM;
		}
	}
	(void)policy_match(
	    c->p[CELLS_NEW], m->is->pub.name, cs, s.set[CELLS_NEW]);
	if (m->old_issuer != NULL)
		(void)policy_match(
		    c->p[CELLS_OLD], m->old_issuer, cs, s.set[CELLS_OLD]);
	if (!s.set[CELLS_NEW][m->id->index] || c->nsession == SESSIONS_MAX) {
		c->incomplete = c->incomplete || c->nsession == SESSIONS_MAX;
		session_clear(&s);
		return 0;
	}
	v = more(c->session, c->nsession, &c->capsession, sizeof(*v));
	if (v != NULL)
		c->session = v;
	if (v == NULL || (r = copy_claims(&s.claims, cs)) != 0) {
		session_clear(&s);
		return ERR_NOMEM;
	}
	c->session[c->nsession++] = s;
	return 0;
}

/* What an identity asks for, as far as the claims say nothing about it. */
static int
add_wishes(struct claims *cs, const struct identity *id)
{
	const struct condition *c;
	struct buf b;
	int r = 0;

	buf_init(&b, 4096);
	for (size_t i = 0; i < id->cond.n && r == 0; i++) {
		c = &id->cond.v[i];
		if (c->kind == CONDITION_ABSENT ||
		    claims_get(cs, c->claim) != NULL)
			continue;
		if (c->kind == CONDITION_PRESENT) {
			r = claims_set(cs, c->claim, FRESH);
			continue;
		}
		buf_reset(&b);
		for (const char *s = c->value[0].text; *s != '\0' && r == 0;
		     s++)
			r = buf_put(
			    &b, c->value[0].glob && *s == '*' ? "x" : s, 1);
		if (r == 0)
			r = claims_set(cs, c->claim, buf_cstr(&b));
	}
	buf_clear(&b);
	return r;
}

static int
with_wishes(
    struct maker *m, const struct claims *base, const struct identity *id)
{
	struct claims cs = { 0 };
	int r = copy_claims(&cs, base);

	if (r == 0 && (r = add_wishes(&cs, id)) == 0)
		r = add_session(m, &cs);
	claims_clear(&cs);
	return r;
}

/* With some text for every claim that a slot of some rule asks for. */
static int
add_slots(const struct policy *p, struct claims *cs)
{
	const struct run *run;
	const struct slot *slot;
	int r = 0;

	for (size_t i = 0; i < p->nrule; i++) {
		for (size_t k = 0; k < p->rule[i]->nrun; k++) {
			run = p->rule[i]->run[k];
			for (size_t n = 0; n < run->nitem; n++) {
				for (size_t q = 0;
				     q < run->item[n].npiece && r == 0; q++) {
					slot = run->item[n].piece[q].slot;
					if (slot != NULL &&
					    slot->kind == SLOT_CLAIM &&
					    claims_get(cs, slot->pattern) ==
						NULL)
						r = claims_set(
						    cs, slot->pattern, FRESH);
				}
			}
		}
	}
	return r;
}

/* The dangers that the identity opens. */
static int
add_danger(struct maker *m, const struct claims *base, const struct risky *k)
{
	struct claims cs = { 0 };
	const char *value = k->value;
	char text[512];
	int r;

	if (k->kind == RISKY_DIFFERS || k->kind == RISKY_BEGINS_NOT) {
		value = "x";
	} else if (k->kind == RISKY_BEGINS) {
		if (strlen(k->value) + 2 > sizeof(text))
			return 0;
		memcpy(text, k->value, strlen(k->value));
		memcpy(text + strlen(k->value), "1", 2);
		value = text;
	}
	if ((r = copy_claims(&cs, base)) == 0 &&
	    (r = claims_set(&cs, k->claim, value)) == 0)
		r = add_session(m, &cs);
	claims_clear(&cs);
	return r;
}

static int
add_dangers(struct maker *m, const struct claims *base)
{
	const struct risky *k = m->is->preset->risky;
	int r = 0;

	for (size_t i = 0; k != NULL && k[i].word != NULL && r == 0; i++) {
		if ((m->id->opened >> i & 1) != 0)
			r = add_danger(m, base, &k[i]);
	}
	return r;
}

/* One combination of values, and what can be added to it. */
static int
add_combination(struct maker *m)
{
	struct claims base = { 0 }, cs = { 0 };
	const struct policy *p;
	int r = 0;

	for (size_t i = 0; i < m->nchoice && r == 0; i++) {
		if (m->choice[i].n > 0)
			r = claims_set(&base, m->choice[i].claim,
			    m->choice[i].value[m->choice[i].now]);
	}
	if (r == 0 && (r = add_session(m, &base)) == 0 &&
	    (r = add_dangers(m, &base)) == 0 &&
	    (r = copy_claims(&cs, &base)) == 0 &&
	    (r = add_slots(m->c->p[0], &cs)) == 0 &&
	    (r = add_slots(m->c->p[1], &cs)) == 0)
		r = add_session(m, &cs);
	for (int side = 0; side < 2; side++) {
		p = m->c->p[side];
		for (size_t i = 0; i < p->nidentity && r == 0; i++) {
			if (strcmp(p->identity[i]->issuer->pub.url,
				m->is->pub.url) != 0)
				continue;
			if ((r = with_wishes(m, &base, p->identity[i])) == 0)
				r = with_wishes(m, &cs, p->identity[i]);
		}
	}
	claims_clear(&base);
	claims_clear(&cs);
	return r;
}

static bool
next_combination(struct maker *m)
{
	for (size_t i = 0; i < m->nchoice; i++) {
		if (++m->choice[i].now < m->choice[i].n)
			return true;
		m->choice[i].now = 0;
	}
	return false;
}

static bool
has_all(const char *const *v, size_t n, const char *const *of, size_t nof)
{
	size_t k;

	for (size_t i = 0; i < n; i++) {
		for (k = 0; k < nof && strcmp(v[i], of[k]) != 0; k++)
			;
		if (k == nof)
			return false;
	}
	return true;
}

/* Does the old issuer take every token that the new one takes? */
static bool
takes_all(const struct issuer *old, const struct issuer *new)
{
	return strcmp(old->url, new->url) == 0 &&
	       strcmp(old->preset, new->preset) == 0 &&
	       has_all(new->audience, new->naudience, old->audience,
		   old->naudience) &&
	       has_all(new->algorithm, new->nalgorithm, old->algorithm,
		   old->nalgorithm) &&
	       (old->max_age_s == 0 ||
		   (new->max_age_s != 0 && new->max_age_s <= old->max_age_s)) &&
	       new->leeway_s <= old->leeway_s && (new->once || !old->once);
}

static const char *
old_issuer(const struct cells *c, const struct issuer *is)
{
	const struct policy *p = c->p[CELLS_OLD];

	for (size_t i = 0; i < p->nissuer; i++) {
		if (takes_all(&p->issuer[i]->pub, is))
			return p->issuer[i]->pub.name;
	}
	return NULL;
}

static int
add_identity(struct cells *c, const struct identity *id)
{
	struct maker m = { .c = c,
		.id = id,
		.is = id->issuer,
		.old_issuer = old_issuer(c, &id->issuer->pub) };
	int r = 0;

	c->frame_differs = c->frame_differs || m.old_issuer == NULL;
	m.choice = calloc(id->cond.n + 1, sizeof(*m.choice));
	if (m.choice == NULL)
		return ERR_NOMEM;
	for (; m.nchoice < id->cond.n && r == 0; m.nchoice++)
		r = choose(&m, &m.choice[m.nchoice], &id->cond.v[m.nchoice]);
	for (size_t n = 0; r == 0; n++) {
		r = add_combination(&m);
		if (!next_combination(&m))
			break;
		if (n == PRODUCT_MAX) {
			c->incomplete = true;
			break;
		}
	}
	for (size_t i = 0; i < m.nchoice; i++) {
		for (size_t k = 0; k < m.choice[i].n; k++)
			free(m.choice[i].value[k]);
	}
	free(m.choice);
	return r;
}

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
	v = more(c->spot, c->nspot, &c->capspot, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	c->spot = v;
	c->spot[c->nspot++] = s;
	return 0;
}

static int
add_target(struct cells *c, const struct target *t)
{
	int r = add_spot(c, t, t->login);

	for (size_t i = 0; i < t->nextra_login && r == 0; i++)
		r = add_spot(c, t, t->extra_login[i]);
	return r;
}

/* -- times
 * -------------------------------------------------------------------------------
 */

static bool
same_window(const struct window *a, const struct window *b)
{
	return a->days == b->days && a->from == b->from && a->to == b->to &&
	       strcmp(a->zone_name, b->zone_name) == 0;
}

struct times {
	const struct window *window[WINDOWS_MAX];
	struct rule probe[WINDOWS_MAX];
	size_t n;
	uint64_t seen[TIMES_MAX];
};

static void
take_windows(struct cells *c, struct times *t, const struct policy *p)
{
	const struct window *w;
	size_t k;

	for (size_t i = 0; i < p->nrule; i++) {
		for (size_t n = 0; n < p->rule[i]->nwindow; n++) {
			w = &p->rule[i]->window[n];
			for (k = 0; k < t->n && !same_window(t->window[k], w);
			     k++)
				;
			if (k < t->n)
				continue;
			if (t->n == WINDOWS_MAX) {
				c->incomplete = true;
				return;
			}
			t->window[t->n] = w;
			t->probe[t->n++] =
			    (struct rule){ .effect = EFFECT_ALLOW,
				    .nwindow = 1,
				    .window = p->rule[i]->window + n };
		}
	}
}

static int
add_time(struct cells *c, struct times *t, time_t now)
{
	uint64_t bits = 0;
	time_t *v;

	for (size_t i = 0; i < t->n; i++) {
		if (cells_is_now(&t->probe[i], now))
			bits |= (uint64_t)1 << i;
	}
	for (size_t i = 0; i < c->nnow; i++) {
		if (t->seen[i] == bits)
			return 0;
	}
	if (c->nnow == TIMES_MAX) {
		c->incomplete = true;
		return 0;
	}
	if ((v = more(c->now, c->nnow, &c->capnow, sizeof(*v))) == NULL)
		return ERR_NOMEM;
	c->now = v;
	t->seen[c->nnow] = bits;
	c->now[c->nnow++] = now;
	return 0;
}

/* A year long, at and before each moment at which some window opens or
 * closes: the sets of windows that are open together. */
static int
make_times(struct cells *c, time_t from)
{
	struct times *t = calloc(1, sizeof(*t));
	struct zone_local l;
	int64_t at;
	int r;

	if (t == NULL)
		return ERR_NOMEM;
	take_windows(c, t, c->p[0]);
	take_windows(c, t, c->p[1]);
	r = add_time(c, t, from);
	for (size_t day = 0; day < 366 && t->n > 0 && r == 0; day++) {
		for (size_t i = 0; i < 2 * t->n && r == 0; i++) {
			const struct window *w = t->window[i / 2];

			zone_to_local(w->zone, from + (time_t)day * DAY_S, &l);
			l.minute = i % 2 == 0 ? w->from : w->to % 1440;
			if (zone_from_local(w->zone, &l, &at) == 0 &&
			    (r = add_time(c, t, (time_t)at)) == 0)
				r = add_time(c, t, (time_t)at - 60);
		}
	}
	free(t);
	return r;
}

/* -- all
 * ---------------------------------------------------------------------------------
 */

int
cells_init(struct cells *c, const struct policy *before,
    const struct policy *after, time_t from)
{
	int r = 0;

	*c = (struct cells){ .p = { before, after } };
	for (size_t i = 0; i < after->nidentity && r == 0; i++)
		r = add_identity(c, after->identity[i]);
	for (size_t i = 0; i < after->ntarget && r == 0; i++)
		r = add_target(c, &after->target[i]->pub);
	if (r == 0)
		r = make_times(c, from);
	if (r != 0)
		cells_clear(c);
	return r;
}

void
cells_clear(struct cells *c)
{
	for (size_t i = 0; i < c->nsession; i++)
		session_clear(&c->session[i]);
	free(c->session);
	free(c->spot);
	free(c->now);
	*c = (struct cells){ 0 };
}

bool
cells_is_for(const struct cells *c, int side, const struct rule *rule,
    const struct session *s)
{
	const struct request q = { .policy = c->p[side],
		.identity = s->set[side] };

	return (rule->everyone && rule->effect == EFFECT_DENY) ||
	       rule_identity(rule, &q) != NULL;
}

bool
cells_is_here(const struct cells *c, int side, const struct rule *rule,
    const struct spot *s)
{
	const struct request q = { .policy = c->p[side],
		.target = s->target[side],
		.login = s->login };

	return q.target != NULL && rule_is_here(rule, &q);
}

bool
cells_is_now(const struct rule *rule, time_t now)
{
	const struct request q = { .now = now };

	return rule_is_now(rule, &q);
}
