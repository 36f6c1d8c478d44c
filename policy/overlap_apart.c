/*
 * A look at two lines, which saves most of the work with their languages: can
 * nothing be in both?  Runs in the command line tools.  Whatever is not plain
 * to see is not known.
 */
#include "config.h"

#include "policy/overlap.h"

#include <stdint.h>
#include <string.h>

#include "policy/items.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/slot.h"

/* -- words that are apart -------------------------------------------------- */

static bool
is_slot(const struct item *it, enum slot_kind kind)
{
	return it->npiece == 1 && it->piece[0].text == NULL &&
	       it->piece[0].slot->kind == kind;
}

static bool
text_is_apart(const char *text, const struct item *it)
{
	if (item_has_claim(it))
		return it->npiece > 1 && it->piece[0].text != NULL &&
		       strncmp(text, it->piece[0].text, it->piece[0].len) != 0;
	return !text_matches_item(it, NULL, text, strlen(text));
}

/* Before any slot, the one or the other word goes elsewhere. */
static bool
beginnings_are_apart(const struct item *a, const struct item *b)
{
	const struct piece *p = &a->piece[0], *q = &b->piece[0];

	return p->text != NULL && q->text != NULL &&
	       memcmp(p->text, q->text, p->len < q->len ? p->len : q->len) != 0;
}

static bool
items_are_apart(const struct item *a, const struct item *b)
{
	const struct slot *s = a->piece[0].slot, *t = b->piece[0].slot;

	if (item_is_text(a))
		return text_is_apart(a->piece[0].text, b);
	if (item_is_text(b))
		return text_is_apart(b->piece[0].text, a);
	if (is_slot(a, SLOT_INT) && is_slot(b, SLOT_INT))
		return s->max < t->min || t->max < s->min;
	if (is_slot(b, SLOT_ENUM) && !is_slot(a, SLOT_ENUM))
		return items_are_apart(b, a);
	if (!is_slot(a, SLOT_ENUM))
		return beginnings_are_apart(a, b);
	for (size_t i = 0; i < s->nvalue; i++) {
		if (!text_is_apart(s->value[i], b))
			return false;
	}
	return true;
}

/* Words that stand at a fixed place: the pattern's beginning. */
static bool
words_are_apart(const struct run *a, const struct run *b)
{
	const struct node *m = a->tree->child, *n = b->tree->child;

	if (a->min_words > b->max_words || b->min_words > a->max_words)
		return true;
	for (bool first = true; m != NULL && n != NULL; first = false) {
		if (m->kind != NODE_WORD || n->kind != NODE_WORD ||
		    m->optional || n->optional)
			return false;
		if (!first &&
		    items_are_apart(&a->item[m->item], &b->item[n->item]))
			return true;
		if (m->repeat || n->repeat)
			return false;
		m = m->next;
		n = n->next;
	}
	return false;
}

/* Could the program have the words of this node, wherever they stand? */
static bool
could_have(const struct run *run, const struct run *of, const struct node *node)
{
	const struct node *n = node->child;

	if (node->optional)
		return true;
	switch (node->kind) {
	case NODE_WORD:
		for (size_t i = 0; i < run->nitem; i++) {
			if (!items_are_apart(
				&run->item[i], &of->item[node->item]))
				return true;
		}
		return false;
	case NODE_SEQ:
		while (n != NULL && could_have(run, of, n))
			n = n->next;
		return n == NULL;
	case NODE_ALT:
		while (n != NULL && !could_have(run, of, n))
			n = n->next;
		return n != NULL;
	}
	return true;
}

/* Must the one have a word that the other never has?  First words have several
 * spellings: what stands behind one that must be there is never such. */
static bool
words_are_missing(const struct run *a, const struct run *b)
{
	const struct node *n = a->tree->child;

	if (n == NULL || n->optional || n->kind != NODE_WORD)
		return false;
	for (n = n->next; n != NULL; n = n->next) {
		if (!could_have(b, a, n))
			return true;
	}
	return false;
}

/* -- commands that are apart ----------------------------------------------- */

static bool
is_deny(const struct run *run)
{
	return run->rule->effect == EFFECT_DENY;
}

static bool
sets_are_apart(const struct run *allow, const struct run *b)
{
	size_t k;

	if (!is_deny(b) && allow->nassign != b->nassign)
		return true;
	for (size_t i = 0; i < b->nassign; i++) {
		for (k = 0; k < allow->nassign &&
			    items_are_apart(&allow->assign[k], &b->assign[i]);
		     k++)
			;
		if (k == allow->nassign)
			return true;
	}
	return false;
}

/* A deny line's programs from the allow line's on. */
static bool
stages_are_apart(const struct run *allow, const struct run *b)
{
	for (; b != NULL; allow = allow->next, b = b->next) {
		if (sets_are_apart(allow, b) || words_are_apart(allow, b) ||
		    words_are_missing(allow, b) || words_are_missing(b, allow))
			return true;
	}
	return false;
}

bool
overlap_runs_apart(const struct run *a, const struct run *b)
{
	if (is_deny(a) && is_deny(b))
		return false;
	if (is_deny(a))
		return overlap_runs_apart(b, a);
	if (a->dir == NULL && b->dir != NULL)
		return true;
	if (!is_deny(b))
		return (a->dir == NULL) != (b->dir == NULL) ||
		       a->nstage != b->nstage || stages_are_apart(a, b);
	for (; a != NULL && a->nstage >= b->nstage; a = a->next) {
		if (!stages_are_apart(a, b))
			return false;
	}
	return true;
}

/* -- files, repositories --------------------------------------------------- */

/* The paths' beginnings, with the / that ends a part where the path does. */
static bool
folders_are_apart(const struct item *a, const struct item *b)
{
	const struct piece *p = &a->piece[0], *q = &b->piece[0];
	size_t n = p->len < q->len ? p->len : q->len;

	if (p->text == NULL || q->text == NULL)
		return false;
	if (memcmp(p->text, q->text, n) != 0)
		return true;
	return (a->npiece == 1 && q->len > n && q->text[n] != '/') ||
	       (b->npiece == 1 && p->len > n && p->text[n] != '/');
}

bool
overlap_transfers_apart(const struct transfer *a, const struct transfer *b)
{
	return folders_are_apart(&a->under, &b->under);
}

bool
overlap_repositories_apart(
    const struct repository *a, const struct repository *b)
{
	return items_are_apart(&a->path, &b->path);
}
