/*
 * Lines about refs on their way from policy to the hop.  What is written is
 * what slot.c and glob.c match with, so that both ends match alike; the hop has
 * no claims and needs none.
 *
 *	u32 n, n x (str rule, u8 deny, u32 refs, refs x
 *	    (str glob, or "" and u32 pieces, pieces x piece))
 *	piece: u8 kind: 0 text: str; 1 int: u64 min, u64 max;
 *	    2 enum: u32 n, n x str; 3 semver; 4 sha
 */
#include "config.h"

#include "policy/refset.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/claims.h"
#include "policy/glob.h"
#include "policy/model.h"
#include "policy/slot.h"

#define PIECES_MAX 128  /* of SLOT_REF_MAX bytes */
#define VALUES_MAX 4096 /* of an enum */

enum piece_kind { IS_TEXT = 0, IS_INT, IS_ENUM, IS_SEMVER, IS_SHA };

/* -- judging -----------------------------------------------------------------
 */

bool
refset_is_all(const struct refset *s)
{
	bool all = false;

	for (size_t i = 0; i < s->n; i++) {
		if (s->line[i].deny)
			return false;
		all |= s->line[i].nref == 0;
	}
	return all;
}

static bool
line_covers(const struct ref_line *l, const char *name)
{
	const struct slot_ctx x = { NULL, l->deny };
	size_t n = strlen(name);
	const struct git_ref *ref;

	for (size_t i = 0; i < l->nref; i++) {
		ref = &l->ref[i];
		if (ref->slot != NULL ? slot_matches(&x, ref->slot, name, n)
				      : glob_matches(ref->glob, "/", name, n))
			return true;
	}
	return l->nref == 0;
}

const struct ref_line *
refset_judge(const struct refset *s, const char *ref)
{
	const struct ref_line *best = NULL;

	for (size_t i = 0; i < s->n; i++) {
		if (!line_covers(&s->line[i], ref))
			continue;
		if (s->line[i].deny)
			return &s->line[i];
		if (best == NULL)
			best = &s->line[i];
	}
	return best;
}

/* -- writing -----------------------------------------------------------------
 */

/* The claim's value; NULL: the ref that it is part of stands for nothing. */
static const char *
claim_value(const struct slot *s, const struct claims *claims)
{
	const char *v = claims == NULL ? NULL : claims_get(claims, s->pattern);

	return v != NULL && claim_is_plain(v) ? v : NULL;
}

static bool
stands_for_something(const struct git_ref *ref, const struct claims *claims)
{
	const struct piece *p;

	for (size_t i = 0; ref->slot != NULL && i < ref->slot->npiece; i++) {
		p = &ref->slot->piece[i];
		if (p->text == NULL && p->slot->kind == SLOT_CLAIM &&
		    claim_value(p->slot, claims) == NULL)
			return false;
	}
	return true;
}

static int
put_kind(struct buf *b, enum piece_kind kind)
{
	return buf_put_u8(b, (uint8_t)kind);
}

static int
put_slot(struct buf *b, const struct slot *s, const struct claims *claims)
{
	int r;

	switch (s->kind) {
	case SLOT_CLAIM:
		if ((r = put_kind(b, IS_TEXT)) != 0)
			return r;
		return buf_put_cstr(b, claim_value(s, claims));
	case SLOT_INT:
		if ((r = put_kind(b, IS_INT)) != 0 ||
		    (r = buf_put_u64(b, s->min)) != 0)
			return r;
		return buf_put_u64(b, s->max);
	case SLOT_ENUM:
		if ((r = put_kind(b, IS_ENUM)) != 0 ||
		    (r = buf_put_u32(b, (uint32_t)s->nvalue)) != 0)
			return r;
		for (size_t i = 0; i < s->nvalue && r == 0; i++)
			r = buf_put_cstr(b, s->value[i]);
		return r;
	case SLOT_SEMVER:
		return put_kind(b, IS_SEMVER);
	case SLOT_SHA:
		return put_kind(b, IS_SHA);
	case SLOT_ANY:
	case SLOT_TEXT:
	case SLOT_PATH:
	case SLOT_HOST:
	case SLOT_REF:
		break; /* no part of a ref */
	}
	return ERR_INTERNAL;
}

static int
put_ref(struct buf *b, const struct git_ref *ref, const struct claims *claims)
{
	const struct piece *p;
	int r;

	if (ref->slot == NULL)
		return buf_put_cstr(b, ref->glob);
	if ((r = buf_put_cstr(b, "")) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)ref->slot->npiece)) != 0)
		return r;
	for (size_t i = 0; i < ref->slot->npiece && r == 0; i++) {
		p = &ref->slot->piece[i];
		if (p->text == NULL)
			r = put_slot(b, p->slot, claims);
		else if ((r = put_kind(b, IS_TEXT)) == 0)
			r = buf_put_str(b, p->text, p->len);
	}
	return r;
}

/* A line of which no ref is left says nothing, and is left out: without refs it
 * would say everything. */
static size_t
count_refs(const struct ref_line *l, const struct claims *claims)
{
	size_t n = 0;

	for (size_t i = 0; i < l->nref; i++)
		n += stands_for_something(&l->ref[i], claims);
	return n;
}

static bool
is_put(const struct ref_line *l, const struct claims *claims)
{
	return l->nref == 0 || count_refs(l, claims) > 0;
}

static int
put_line(struct buf *b, const struct ref_line *l, const struct claims *claims)
{
	int r;

	if ((r = buf_put_cstr(b, l->rule)) != 0 ||
	    (r = buf_put_u8(b, l->deny)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)count_refs(l, claims))) != 0)
		return r;
	for (size_t i = 0; i < l->nref && r == 0; i++) {
		if (stands_for_something(&l->ref[i], claims))
			r = put_ref(b, &l->ref[i], claims);
	}
	return r;
}

int
refset_put(const struct refset *s, const struct claims *claims, struct buf *b)
{
	size_t n = 0;
	int r;

	for (size_t i = 0; i < s->n; i++)
		n += is_put(&s->line[i], claims);
	if (n > REFSET_MAX)
		return ERR_TOOBIG;
	if ((r = buf_put_u32(b, (uint32_t)n)) != 0)
		return r;
	for (size_t i = 0; i < s->n && r == 0; i++) {
		if (is_put(&s->line[i], claims))
			r = put_line(b, &s->line[i], claims);
	}
	return r;
}

/* -- reading -----------------------------------------------------------------
 */

static int
get_text(struct buf *b, struct arena *a, size_t max, const char **out)
{
	const uint8_t *p;
	size_t n;
	int r;

	if ((r = buf_get_view(b, max, &p, &n)) != 0)
		return r;
	if (n > 0 && memchr(p, '\0', n) != NULL)
		return ERR_FORMAT;
	*out = arena_str(a, n > 0 ? (const char *)p : "", n);
	return *out == NULL ? ERR_NOMEM : 0;
}

/* How many; an element has a byte at least. */
static int
get_count(struct buf *b, size_t max, size_t *out)
{
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > max || n > buf_len(b))
		return ERR_FORMAT;
	*out = n;
	return 0;
}

static int
get_values(struct buf *b, struct arena *a, struct slot *s)
{
	int r;

	s->kind = SLOT_ENUM;
	if ((r = get_count(b, VALUES_MAX, &s->nvalue)) != 0)
		return r;
	s->value = arena_get(a, (s->nvalue + 1) * sizeof(*s->value));
	if (s->value == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->nvalue; i++) {
		if ((r = get_text(b, a, SLOT_REF_MAX, &s->value[i])) != 0)
			return r;
		/* the search in it wants them sorted */
		if (i > 0 && strcmp(s->value[i - 1], s->value[i]) >= 0)
			return ERR_FORMAT;
	}
	return 0;
}

static int
get_slot(struct buf *b, struct arena *a, uint8_t kind, struct slot *s)
{
	int r;

	switch (kind) {
	case IS_INT:
		s->kind = SLOT_INT;
		if ((r = buf_get_u64(b, &s->min)) != 0 ||
		    (r = buf_get_u64(b, &s->max)) != 0)
			return r;
		return s->min <= s->max ? 0 : ERR_FORMAT;
	case IS_ENUM:
		return get_values(b, a, s);
	case IS_SEMVER:
		s->kind = SLOT_SEMVER;
		return 0;
	case IS_SHA:
		s->kind = SLOT_SHA;
		return 0;
	default:
		return ERR_FORMAT;
	}
}

static int
get_piece(struct buf *b, struct arena *a, struct piece *p)
{
	uint8_t kind;
	int r;

	if ((r = buf_get_u8(b, &kind)) != 0)
		return r;
	if (kind == IS_TEXT) {
		r = get_text(b, a, PROTO_CLAIM_VALUE_MAX, &p->text);
		p->len = r == 0 ? strlen(p->text) : 0;
		return r;
	}
	if ((p->slot = arena_get(a, sizeof(*p->slot))) == NULL)
		return ERR_NOMEM;
	return get_slot(b, a, kind, p->slot);
}

static int
get_ref(struct buf *b, struct arena *a, struct git_ref *ref)
{
	struct slot *s;
	int r;

	if ((r = get_text(b, a, GLOB_MAX, &ref->glob)) != 0)
		return r;
	if (ref->glob[0] != '\0')
		return glob_wrong(ref->glob) == NULL ? 0 : ERR_FORMAT;
	ref->glob = NULL;
	if ((ref->slot = s = arena_get(a, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	s->kind = SLOT_REF;
	if ((r = get_count(b, PIECES_MAX, &s->npiece)) != 0)
		return r;
	if (s->npiece == 0)
		return ERR_FORMAT;
	s->piece = arena_get(a, s->npiece * sizeof(*s->piece));
	if (s->piece == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->npiece; i++) {
		if ((r = get_piece(b, a, &s->piece[i])) != 0)
			return r;
	}
	return 0;
}

static int
get_line(struct buf *b, struct arena *a, struct ref_line *l)
{
	struct git_ref *ref;
	uint8_t deny;
	int r;

	if ((r = get_text(b, a, NAME_LEN_MAX, &l->rule)) != 0 ||
	    (r = buf_get_u8(b, &deny)) != 0 ||
	    (r = get_count(b, REFSET_MAX, &l->nref)) != 0)
		return r;
	if (deny > 1 || !name_valid(l->rule))
		return ERR_FORMAT;
	l->deny = deny == 1;
	if ((ref = arena_get(a, (l->nref + 1) * sizeof(*ref))) == NULL)
		return ERR_NOMEM;
	l->ref = ref;
	for (size_t i = 0; i < l->nref; i++) {
		if ((r = get_ref(b, a, &ref[i])) != 0)
			return r;
	}
	return 0;
}

int
refset_get(struct buf *b, struct refset *out)
{
	struct refset s = { .line = NULL };
	int r;

	if ((s.arena = arena_new()) == NULL)
		return ERR_NOMEM;
	if ((r = get_count(b, REFSET_MAX, &s.n)) != 0)
		goto fail;
	r = ERR_NOMEM;
	s.line = arena_get(s.arena, (s.n + 1) * sizeof(*s.line));
	if (s.line == NULL)
		goto fail;
	for (size_t i = 0; i < s.n; i++) {
		if ((r = get_line(b, s.arena, &s.line[i])) != 0)
			goto fail;
	}
	*out = s;
	return 0;
fail:
	arena_free(s.arena);
	return r;
}

void
refset_clear(struct refset *s)
{
	if (s->arena != NULL)
		arena_free(s->arena);
	else
		free(s->line);
	*s = (struct refset){ .line = NULL };
}
