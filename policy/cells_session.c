/*
 * The sessions in which two policies can differ.  Runs in the command line
 * tools.
 *
 * A session is made for every identity of the new policy: of each of its
 * conditions each value, and for a glob such texts as the other conditions on
 * that claim tell apart; with everything else missing, and with what each one
 * of the other identities asks for besides.  What two policies take for the
 * same is one session.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/cells.h"
#include "policy/cells_internal.h"
#include "policy/items.h"
#include "policy/model.h"
#include "policy/preset.h"
#include "policy/whatif.h"

#define PRODUCT_MAX 512 /* combinations of one identity's values */
#define SESSIONS_MAX 65536
#define WISHES_MAX 64
#define SLOT_CLAIMS_MAX 64 /* claims that slots of one policy ask for */

/* The claims that slots ask for. */
struct slots {
	const char *name[SLOT_CLAIMS_MAX];
	size_t n;
};

struct maker {
	struct cells *c;
	const struct identity *id;
	const struct issuer_full *is;
	const char *old_issuer; /* NULL: none is the same */
	struct choice *choice;
	size_t nchoice;
	const struct slots *slots;
};

static int
copy_claims(struct claims *to, const struct claims *from)
{
	int r = 0;

	for (size_t i = 0; i < from->n && r == 0; i++)
		r = claims_set(to, from->c[i].name, from->c[i].value);
	return r;
}

/* -- a session ------------------------------------------------------------- */

void
session_clear(struct session *s)
{
	claims_clear(&s->claims);
	free(s->set[0]);
	free(s->set[1]);
	*s = (struct session){ 0 };
}

/* Who that is. */
static int
find_sets(const struct cells *c, struct session *s)
{
	for (int side = 0; side < 2; side++) {
		s->set[side] = calloc(c->p[side]->nidentity + 1, sizeof(bool));
		if (s->set[side] == NULL)
			return ERR_NOMEM;
	}
	(void)policy_match(c->p[CELLS_NEW], s->as->issuer->pub.name, &s->claims,
	    s->set[CELLS_NEW]);
	if (s->old_issuer != NULL)
		(void)policy_match(c->p[CELLS_OLD], s->old_issuer, &s->claims,
		    s->set[CELLS_OLD]);
	return 0;
}

int
session_with(const struct cells *c, const struct session *s,
    const struct claims *over, struct session *out)
{
	struct session new = { .as = s->as, .old_issuer = s->old_issuer };
	int r;

	if ((r = copy_claims(&new.claims, &s->claims)) != 0 ||
	    (r = copy_claims(&new.claims, over)) != 0 ||
	    (r = find_sets(c, &new)) != 0) {
		session_clear(&new);
		return r;
	}
	*out = new;
	return 0;
}

bool
session_is_same(
    const struct cells *c, const struct session *a, const struct session *b)
{
	for (int side = 0; side < 2; side++) {
		if (memcmp(a->set[side], b->set[side],
			c->p[side]->nidentity * sizeof(bool)) != 0)
			return false;
	}
	return true;
}

/* The same identities, and the same texts in slots. */
static bool
is_known(const struct maker *m, const struct session *s)
{
	const struct session *o;
	const char *a, *b;
	size_t k;

	for (size_t i = 0; i < m->c->nsession; i++) {
		o = &m->c->session[i];
		if (!session_is_same(m->c, s, o))
			continue;
		for (k = 0; k < m->slots->n; k++) {
			a = claims_get(&s->claims, m->slots->name[k]);
			b = claims_get(&o->claims, m->slots->name[k]);
			if (a != b &&
			    (a == NULL || b == NULL || strcmp(a, b) != 0))
				break;
		}
		if (k == m->slots->n)
			return true;
	}
	return false;
}

/* Adds the claims as a session, if they are the identity. */
static int
add_session(struct maker *m, const struct claims *cs)
{
	struct cells *c = m->c;
	const struct session plain = { .as = m->id,
		.old_issuer = m->old_issuer };
	struct session s, *v;
	int r;

	if ((r = session_with(c, &plain, cs, &s)) != 0)
		return r;
	if (!s.set[CELLS_NEW][m->id->index] || is_known(m, &s)) {
		session_clear(&s);
		return 0;
	}
	if (c->nsession == SESSIONS_MAX) {
		c->incomplete = "sessions";
		session_clear(&s);
		return 0;
	}
	v = cells_more(c->session, c->nsession, &c->capsession, sizeof(*v));
	if (v == NULL) {
		session_clear(&s);
		return ERR_NOMEM;
	}
	c->session = v;
	c->session[c->nsession++] = s;
	return 0;
}

/* -- what others ask for --------------------------------------------------- */

/* The n-th value that the condition asks for, or its last one. */
static int
add_wish(
    struct maker *m, struct claims *cs, const struct condition *c, size_t n)
{
	const struct claim_value *v;
	char fresh[CELLS_FRESH_MAX];
	struct buf b;
	int r = 0;

	if (c->kind == CONDITION_PRESENT) {
		cells_fresh(m->c, c->claim, fresh, sizeof(fresh));
		return claims_set(cs, c->claim, fresh);
	}
	v = &c->value[n < c->nvalue ? n : c->nvalue - 1];
	buf_init(&b, 4096);
	for (const char *s = v->text; *s != '\0' && r == 0; s++)
		r = buf_put(&b, v->glob && *s == '*' ? "x" : s, 1);
	if (r == 0)
		r = claims_set(cs, c->claim, buf_cstr(&b));
	buf_clear(&b);
	return r;
}

/* With what an identity asks for, as far as the claims say nothing about it,
 * unless they say otherwise. */
static int
with_wishes(struct maker *m, const struct claims *base,
    const struct identity *id, size_t n)
{
	const struct condition *c;
	struct claims cs = { 0 };
	const char *value;
	int r = 0;

	for (size_t i = 0; i < id->cond.n; i++) {
		c = &id->cond.v[i];
		value = claims_get(base, c->claim);
		if (value != NULL && !condition_fits(c, value))
			return 0;
	}
	r = copy_claims(&cs, base);
	for (size_t i = 0; i < id->cond.n && r == 0; i++) {
		c = &id->cond.v[i];
		if (c->kind != CONDITION_ABSENT &&
		    claims_get(&cs, c->claim) == NULL)
			r = add_wish(m, &cs, c, n);
	}
	if (r == 0)
		r = add_session(m, &cs);
	claims_clear(&cs);
	return r;
}

static size_t
wishes_of(const struct identity *id)
{
	size_t n = 1;

	for (size_t i = 0; i < id->cond.n; i++)
		n = id->cond.v[i].nvalue > n ? id->cond.v[i].nvalue : n;
	return n < WISHES_MAX ? n : WISHES_MAX;
}

/* -- claims of slots ------------------------------------------------------- */

static int
take_claims(void *arg, const struct item *it)
{
	const struct piece *v[ITEMS_FLAT_MAX];
	struct slots *s = arg;
	size_t n, k;

	if (!item_has_claim(it))
		return 0;
	(void)item_flatten(it, v, &n);
	for (size_t i = 0; i < n; i++) {
		if (v[i]->text != NULL || v[i]->slot->kind != SLOT_CLAIM)
			continue;
		for (k = 0;
		     k < s->n && strcmp(s->name[k], v[i]->slot->pattern) != 0;
		     k++)
			;
		if (k == SLOT_CLAIMS_MAX)
			return ERR_TOOBIG;
		if (k == s->n)
			s->name[s->n++] = v[i]->slot->pattern;
	}
	return 0;
}

static void
find_slots(struct cells *c, struct slots *s)
{
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < c->p[side]->nrule; i++) {
			if (items_of_rule(
				c->p[side]->rule[i], take_claims, s) != 0)
				c->incomplete = "claims in slots";
		}
	}
}

/* With some text for every claim that a slot of some rule asks for. */
static int
add_slots(const struct maker *m, struct claims *cs)
{
	char fresh[CELLS_FRESH_MAX];
	int r = 0;

	for (size_t i = 0; i < m->slots->n && r == 0; i++) {
		if (claims_get(cs, m->slots->name[i]) != NULL)
			continue;
		cells_fresh(m->c, m->slots->name[i], fresh, sizeof(fresh));
		r = claims_set(cs, m->slots->name[i], fresh);
	}
	return r;
}

/* -- an identity's sessions ------------------------------------------------ */

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
	    (r = copy_claims(&cs, &base)) == 0 && (r = add_slots(m, &cs)) == 0)
		r = add_session(m, &cs);
	for (int side = 0; side < 2; side++) {
		p = m->c->p[side];
		for (size_t i = 0; i < p->nidentity && r == 0; i++) {
			if (strcmp(p->identity[i]->issuer->pub.url,
				m->is->pub.url) != 0)
				continue;
			for (size_t n = 0;
			     n < wishes_of(p->identity[i]) && r == 0; n++) {
				r = with_wishes(m, &base, p->identity[i], n);
				if (r == 0)
					r = with_wishes(
					    m, &cs, p->identity[i], n);
			}
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
	       old->max_life_s >= new->max_life_s &&new->leeway_s <=
		   old->leeway_s &&
	       (new->once || !old->once);
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
add_identity(
    struct cells *c, const struct identity *id, const struct slots *slots)
{
	struct maker m = { .c = c,
		.slots = slots,
		.id = id,
		.is = id->issuer,
		.old_issuer = old_issuer(c, &id->issuer->pub) };
	int r = 0;

	c->frame_differs = c->frame_differs || m.old_issuer == NULL;
	m.choice = calloc(id->cond.n + 1, sizeof(*m.choice));
	if (m.choice == NULL)
		return ERR_NOMEM;
	for (; m.nchoice < id->cond.n && r == 0; m.nchoice++)
		r = choice_make(
		    c, &m.choice[m.nchoice], &id->cond.v[m.nchoice]);
	for (size_t n = 0; r == 0; n++) {
		r = add_combination(&m);
		if (!next_combination(&m))
			break;
		if (n == PRODUCT_MAX) {
			c->incomplete = "combinations of one identity's claims";
			break;
		}
	}
	for (size_t i = 0; i < m.nchoice; i++)
		choice_clear(&m.choice[i]);
	free(m.choice);
	return r;
}

int
cells_make_sessions(struct cells *c)
{
	struct slots slots = { .n = 0 };
	int r = 0;

	find_slots(c, &slots);
	for (size_t i = 0; i < c->p[CELLS_NEW]->nidentity && r == 0; i++)
		r = add_identity(c, c->p[CELLS_NEW]->identity[i], &slots);
	return r;
}
