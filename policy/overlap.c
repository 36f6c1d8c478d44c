/*
 * A look at two lines, which saves most of the work with their languages: is
 * the one within the other, or would it be but for one word?  Runs in the
 * command line tools.  Whatever is not plain to see is not known.
 */
#include "config.h"

#include "policy/overlap.h"

#include <stdint.h>
#include <string.h>

#include "policy/items.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/slot.h"

/* -- words within others --------------------------------------------------- */

static bool same_pieces(
    const struct piece *a, size_t na, const struct piece *b, size_t nb);

static bool
same_slot(const struct slot *a, const struct slot *b)
{
	if (a == b)
		return true;
	if (a->kind != b->kind || a->min != b->min || a->max != b->max ||
	    a->nvalue != b->nvalue)
		return false;
	for (size_t i = 0; i < a->nvalue; i++) {
		if (strcmp(a->value[i], b->value[i]) != 0)
			return false;
	}
	if ((a->pattern == NULL) != (b->pattern == NULL) ||
	    (a->pattern != NULL && strcmp(a->pattern, b->pattern) != 0))
		return false;
	return same_pieces(a->piece, a->npiece, b->piece, b->npiece);
}

static bool
same_piece(const struct piece *a, const struct piece *b)
{
	if (a->text != NULL || b->text != NULL)
		return a->text != NULL && b->text != NULL &&
		       strcmp(a->text, b->text) == 0;
	return same_slot(a->slot, b->slot);
}

static bool
same_pieces(const struct piece *a, size_t na, const struct piece *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++) {
		if (!same_piece(&a[i], &b[i]))
			return false;
	}
	return true;
}

/* Is every text of the slot one of the other? */
static bool
slot_is_within(const struct slot *s, const struct slot *t, bool deny)
{
	const struct slot_ctx x = { NULL, deny };

	if (same_slot(s, t))
		return true;
	if (t->kind == SLOT_CLAIM)
		return false;
	if (s->kind == SLOT_ENUM) {
		for (size_t i = 0; i < s->nvalue; i++) {
			if (!slot_matches(
				&x, t, s->value[i], strlen(s->value[i])))
				return false;
		}
		return true;
	}
	if (t->kind == SLOT_ANY)
		return deny || (s->kind != SLOT_ANY &&
				   (s->kind != SLOT_TEXT || s->min > 0));
	return (s->kind == SLOT_INT || s->kind == SLOT_TEXT) &&
	       s->kind == t->kind && s->min >= t->min && s->max <= t->max;
}

static bool
is_deny(const struct run *run)
{
	return run->rule->effect == EFFECT_DENY;
}

static bool
begins_without_dash(const struct item *it)
{
	return it->no_dash ||
	       (it->piece[0].text != NULL && it->piece[0].text[0] != '-');
}

bool
overlap_item_within(const struct item *a, const struct item *b)
{
	const struct piece *p = a->piece, *q = b->piece;

	if (a->deny && !b->deny)
		return false;
	if (b->no_dash && !begins_without_dash(a))
		return false;
	if (same_pieces(p, a->npiece, q, b->npiece))
		return true;
	if (item_is_text(a))
		return !item_has_claim(b) &&
		       text_matches_item(b, NULL, p->text, p->len);
	if (a->npiece == 1 && b->npiece == 1 && q->text == NULL)
		return slot_is_within(p->slot, q->slot, b->deny);
	return a->npiece == 2 && b->npiece == 2 && same_piece(p, q) &&
	       p[1].text == NULL && q[1].text == NULL &&
	       slot_is_within(p[1].slot, q[1].slot, b->deny);
}

static bool row_is_within(const struct run *a, const struct node *m,
    const struct run *b, const struct node *n);

/* One node, whatever stands behind it. */
static bool
node_is_within(const struct run *a, const struct node *m, const struct run *b,
    const struct node *n)
{
	if (m->kind != n->kind || (m->repeat && !n->repeat) ||
	    (m->optional && !n->optional))
		return false;
	return m->kind == NODE_WORD
		   ? overlap_item_within(&a->item[m->item], &b->item[n->item])
		   : row_is_within(a, m->child, b, n->child);
}

static bool
row_is_within(const struct run *a, const struct node *m, const struct run *b,
    const struct node *n)
{
	for (; m != NULL && n != NULL; m = m->next, n = n->next) {
		if (!node_is_within(a, m, b, n))
			return false;
	}
	/* what a has more is too much; what b has more must be optional, and is
	 * not a choice's */
	for (; n != NULL && n->optional && n->kind == NODE_WORD; n = n->next)
		;
	return m == NULL && n == NULL;
}

static bool
sets_are_within(const struct run *a, const struct run *b)
{
	size_t k;

	if (!is_deny(b) && a->nassign != b->nassign)
		return false;
	for (size_t i = 0; i < b->nassign; i++) {
		for (k = 0; k < a->nassign &&
			    !overlap_item_within(&a->assign[k], &b->assign[i]);
		     k++)
			;
		if (k == a->nassign)
			return false;
	}
	return true;
}

/* A deny line without a folder is about all of them. */
static bool
dir_is_within(const struct run *a, const struct run *b)
{
	if (b->dir == NULL)
		return a->dir == NULL || is_deny(b);
	return a->dir != NULL && overlap_item_within(a->dir, b->dir);
}

bool
overlap_run_within(const struct run *a, const struct run *b)
{
	/* a deny line is about longer pipelines, too */
	if ((is_deny(a) && !is_deny(b)) || a->nstage != b->nstage ||
	    !dir_is_within(a, b))
		return false;
	for (; a != NULL; a = a->next, b = b->next) {
		if (!sets_are_within(a, b) ||
		    !row_is_within(a, a->tree->child, b, b->tree->child))
			return false;
	}
	return true;
}

/* -- but for one word ------------------------------------------------------ */

/* One word, and always one. */
static bool
is_one_word(const struct node *n)
{
	if (n->optional || n->repeat)
		return false;
	switch (n->kind) {
	case NODE_WORD:
		return true;
	case NODE_SEQ:
		return n->child != NULL && n->child->next == NULL &&
		       is_one_word(n->child);
	case NODE_ALT:
		for (n = n->child; n != NULL && is_one_word(n); n = n->next)
			;
		return n == NULL;
	}
	return false;
}

static bool
are_one_word(const struct node *n, const struct node *end)
{
	while (n != end && n != NULL && is_one_word(n))
		n = n->next;
	return n == end;
}

/* The one place of a program where a is not within b.  It must be known by
 * its distance from an end, in both, and not have the first word, which has
 * several spellings.  false: there are more, or it is not such a place. */
static bool
find_word(const struct run *a, const struct run *b, struct overlap_word *in_a,
    struct overlap_word *in_b)
{
	const struct node *m = a->tree->child, *n = b->tree->child;

	if (m == NULL || n == NULL || !is_one_word(m) || !is_one_word(n))
		return false;
	while (m != NULL && n != NULL && node_is_within(a, m, b, n)) {
		m = m->next;
		n = n->next;
	}
	if (m == NULL || n == NULL || m == a->tree->child || !is_one_word(m) ||
	    !is_one_word(n) || !row_is_within(a, m->next, b, n->next))
		return false;
	if ((!are_one_word(a->tree->child, m) ||
		!are_one_word(b->tree->child, n)) &&
	    (!are_one_word(m, NULL) || !are_one_word(n, NULL)))
		return false;
	*in_a = (struct overlap_word){ a, m };
	*in_b = (struct overlap_word){ b, n };
	return true;
}

bool
overlap_run_word(const struct run *a, const struct run *b,
    struct overlap_word *in_a, struct overlap_word *in_b)
{
	bool found = false;

	if ((is_deny(a) && !is_deny(b)) || a->nstage != b->nstage ||
	    !dir_is_within(a, b))
		return false;
	for (; a != NULL; a = a->next, b = b->next) {
		if (!sets_are_within(a, b))
			return false;
		if (row_is_within(a, a->tree->child, b, b->tree->child))
			continue;
		if (found || !find_word(a, b, in_a, in_b))
			return false;
		found = true;
	}
	return found;
}

/* -- files, repositories --------------------------------------------------- */

bool
overlap_transfer_within(const struct transfer *a, const struct transfer *b)
{
	const struct piece *p = &a->under.piece[0], *q = &b->under.piece[0];

	if (a->rule->effect == EFFECT_DENY)
		return false;
	if (same_pieces(a->under.piece, a->under.npiece, b->under.piece,
		b->under.npiece))
		return true;
	return b->under.npiece == 1 && p->text != NULL && q->text != NULL &&
	       p->len > q->len && memcmp(p->text, q->text, q->len) == 0 &&
	       p->text[q->len] == '/';
}

static bool
refs_are_within(const struct repository *a, const struct repository *b)
{
	size_t k;

	for (size_t i = 0; i < a->nref; i++) {
		for (k = 0; k < b->nref; k++) {
			if (a->ref[i].glob != NULL
				? b->ref[k].glob != NULL &&
				      strcmp(a->ref[i].glob, b->ref[k].glob) ==
					  0
				: b->ref[k].slot != NULL &&
				      same_slot(a->ref[i].slot, b->ref[k].slot))
				break;
		}
		if (k == b->nref)
			return false;
	}
	return true;
}

bool
overlap_repository_within(
    const struct repository *a, const struct repository *b)
{
	if (a->rule->effect == EFFECT_DENY ||
	    !overlap_item_within(&a->path, &b->path))
		return false;
	/* no refs are all of them */
	return b->nref == 0 || (b->rule->effect == EFFECT_ALLOW &&
				   a->nref > 0 && refs_are_within(a, b));
}
