/*
 * Patterns as automata.  Runs in the command line tools, on policies that have
 * been loaded.
 */
#include "config.h"

#include "policy/language.h"

#include <stdint.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/claims.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/regex.h"
#include "policy/slot.h"

#define REGEX_MAX (4UL * 1024 * 1024)
#define END "\001"

/* -- small things about libfa
 * --------------------------------------------------- */

/* Frees what went in, and what came out when it is too large. */
static struct fa *
checked(struct fa *out, struct fa *a, struct fa *b)
{
	size_t n = 0;

	fa_free(a);
	fa_free(b);
	if (out == NULL)
		return NULL;
	for (struct state *s = fa_state_initial(out); s != NULL;
	     s = fa_state_next(s))
		n++;
	if (n <= LANGUAGE_STATES_MAX)
		return out;
	fa_free(out);
	return NULL;
}

static struct fa *
concat(struct fa *take_a, struct fa *take_b)
{
	return checked(
	    take_a == NULL || take_b == NULL ? NULL : fa_concat(take_a, take_b),
	    take_a, take_b);
}

static struct fa *
either(struct fa *take_a, struct fa *take_b)
{
	return checked(
	    take_a == NULL || take_b == NULL ? NULL : fa_union(take_a, take_b),
	    take_a, take_b);
}

static struct fa *
times(struct fa *take_a, int min, int max)
{
	return checked(
	    take_a == NULL ? NULL : fa_iter(take_a, min, max), take_a, NULL);
}

static struct fa *
compile(const void *s, size_t n)
{
	struct fa *fa = NULL;

	if (fa_compile(s, n, &fa) != REG_NOERROR) {
		fa_free(fa);
		return NULL;
	}
	return checked(fa, NULL, NULL);
}

struct fa *
language_both(struct fa *a, struct fa *b)
{
	return checked(fa_intersect(a, b), NULL, NULL);
}

struct fa *
language_without(struct fa *a, struct fa *b)
{
	return checked(fa_minus(a, b), NULL, NULL);
}

bool
language_is_empty(struct fa *a)
{
	return fa_is_basic(a, FA_EMPTY) == 1;
}

/* Those without a character of more than one byte. */
struct fa *
language_ascii(struct fa *a)
{
	static const char text[] = "(" END "|[ -~])*";
	struct fa *ascii = compile(text, strlen(text));

	return checked(
	    ascii == NULL ? NULL : fa_intersect(a, ascii), ascii, NULL);
}

/* -- words
 * ------------------------------------------------------------------------ */

/* false: with these claims nothing matches. */
static bool
put_piece(const struct piece *piece, const struct item *it,
    const struct claims *cs, struct buf *out, int *r)
{
	const struct slot *slot = piece->slot;
	const char *value;

	if (*r != 0)
		return true;
	if (piece->text != NULL) {
		*r = regex_literal(piece->text, out);
		return true;
	}
	if (slot->kind == SLOT_CLAIM) {
		value = cs == NULL ? NULL : claims_get(cs, slot->pattern);
		if (value == NULL || !claim_is_plain(value))
			return false;
		*r = regex_literal(value, out);
		return true;
	}
	for (size_t i = 0; i < slot->npiece; i++) {
		if (!put_piece(&slot->piece[i], it, cs, out, r))
			return false;
	}
	if (slot->kind == SLOT_REF || *r != 0)
		return true;
	if ((*r = buf_putf(out, "(")) == 0 &&
	    (*r = regex_slot(slot, it->deny, REGEX_BYTES, out)) == 0)
		*r = buf_putf(out, ")");
	return true;
}

/* No option: neither `-` nor anything behind it. */
static struct fa *
without_dash(struct fa *take)
{
	/* libfa compares the ends of a range as signed characters */
	static const char dash[] = "\\-([\x01-\x7f]|[\x80-\xff])*";
	struct fa *options = compile(dash, strlen(dash));

	return checked(
	    take == NULL || options == NULL ? NULL : fa_minus(take, options),
	    take, options);
}

static struct fa *
word(const struct item *it, const struct claims *cs)
{
	struct fa *fa = NULL;
	struct buf b;
	int r = 0;

	buf_init(&b, REGEX_MAX);
	for (size_t i = 0; i < it->npiece; i++) {
		if (!put_piece(&it->piece[i], it, cs, &b, &r)) {
			fa = fa_make_basic(FA_EMPTY);
			goto out;
		}
	}
	if (r != 0)
		goto out;
	fa = buf_len(&b) == 0 ? fa_make_basic(FA_EPSILON)
			      : compile(buf_ptr(&b), buf_len(&b));
	if (it->no_dash)
		fa = without_dash(fa);
	fa = concat(fa, compile(END, 1));
out:
	buf_clear(&b);
	return fa;
}

/* -- patterns
 * ------------------------------------------------------------------------ */

struct built {
	const struct run *run;
	const struct claims *cs;
	/* The first word, where it is told beforehand. */
	const struct policy *p;
	const struct subject *first;
};

static struct fa *node_fa(const struct built *b, const struct node *node);

/* The nodes from `n` on, one after the other. */
static struct fa *
row(const struct built *b, const struct node *n)
{
	struct fa *fa = fa_make_basic(FA_EPSILON);

	for (; n != NULL && fa != NULL; n = n->next)
		fa = concat(fa, node_fa(b, n));
	return fa;
}

static struct fa *
node_fa(const struct built *b, const struct node *node)
{
	struct fa *fa = NULL;

	switch (node->kind) {
	case NODE_WORD:
		fa = word(&b->run->item[node->item], b->cs);
		break;
	case NODE_SEQ:
		fa = row(b, node->child);
		break;
	case NODE_ALT:
		fa = fa_make_basic(FA_EMPTY);
		for (const struct node *n = node->child;
		     n != NULL && fa != NULL; n = n->next)
			fa = either(fa, node_fa(b, n));
		break;
	}
	if (node->repeat)
		fa = times(fa, 1, -1);
	if (node->optional)
		fa = times(fa, 0, 1);
	return fa;
}

struct fa *
language_whole(const struct run *run, const struct claims *cs)
{
	const struct built b = { .run = run, .cs = cs };

	return node_fa(&b, run->tree);
}

/* What comes behind a node: its brothers, and what comes behind its parent. */
struct behind {
	const struct node *next;
	const struct behind *up;
};

static struct fa *
behind_fa(const struct built *b, const struct behind *k)
{
	struct fa *fa = fa_make_basic(FA_EPSILON);

	for (; k != NULL && fa != NULL; k = k->up)
		fa = concat(fa, row(b, k->next));
	return fa;
}

static bool
is_nullable(const struct node *node)
{
	const struct node *n;

	if (node->optional)
		return true;
	switch (node->kind) {
	case NODE_WORD:
		return false;
	case NODE_SEQ:
		for (n = node->child; n != NULL && is_nullable(n); n = n->next)
			;
		return n == NULL;
	case NODE_ALT:
		for (n = node->child; n != NULL && !is_nullable(n); n = n->next)
			;
		return n != NULL;
	}
	return false;
}

/* Adds to *sum what follows the first word, where the node begins with it. */
static void
follow(const struct built *b, const struct node *node, const struct behind *k,
    struct fa **sum)
{
	const struct item *it;
	struct fa *fa;

	if (*sum == NULL)
		return;
	switch (node->kind) {
	case NODE_WORD:
		it = &b->run->item[node->item];
		if (!item_matches(it, b->first, 0, 0))
			return;
		fa = behind_fa(b, k);
		if (node->repeat)
			fa = concat(times(word(it, b->cs), 0, -1), fa);
		*sum = either(*sum, fa);
		return;
	case NODE_SEQ:
		for (const struct node *n = node->child; n != NULL;
		     n = n->next) {
			const struct behind here = { n->next, k };

			follow(b, n, &here, sum);
			if (!is_nullable(n))
				return;
		}
		return;
	case NODE_ALT:
		for (const struct node *n = node->child; n != NULL; n = n->next)
			follow(b, n, k, sum);
		return;
	}
}

struct fa *
language_after(const struct run *run, const struct policy *p, const char *first,
    const struct claims *cs)
{
	char *argv[] = { (char *)(uintptr_t)first, NULL };
	struct stage g = { .argv = argv, .argc = 1 };
	struct command c = { .stage = &g, .nstage = 1 };
	struct subject s;
	const struct built b = { .run = run, .cs = cs, .p = p, .first = &s };
	struct fa *sum = fa_make_basic(FA_EMPTY);

	if (!subject_init(&s, p, NULL, &c, cs)) {
		fa_free(sum);
		return NULL;
	}
	follow(&b, run->tree, NULL, &sum);
	return sum;
}

bool
language_has_claims(const struct run *run)
{
	const struct slot *slot;

	for (size_t i = 0; i < run->nitem; i++) {
		for (size_t k = 0; k < run->item[i].npiece; k++) {
			slot = run->item[i].piece[k].slot;
			if (slot == NULL)
				continue;
			if (slot->kind == SLOT_CLAIM)
				return true;
			for (size_t m = 0; m < slot->npiece; m++) {
				if (slot->piece[m].slot != NULL &&
				    slot->piece[m].slot->kind == SLOT_CLAIM)
					return true;
			}
		}
	}
	return false;
}

/* -- a quick look
 * ------------------------------------------------------------------- */

static bool
is_text(const struct item *it)
{
	return it->npiece == 1 && it->piece[0].text != NULL;
}

static bool
is_slot(const struct item *it, enum slot_kind kind)
{
	return it->npiece == 1 && it->piece[0].text == NULL &&
	       it->piece[0].slot->kind == kind;
}

static bool
text_is_apart(const char *text, const struct item *it)
{
	const struct slot_ctx x = { NULL, it->deny };

	if (is_text(it))
		return strcmp(text, it->piece[0].text) != 0;
	if (it->no_dash && text[0] == '-')
		return true;
	if (it->npiece > 1)
		return it->piece[0].text != NULL &&
		       strncmp(text, it->piece[0].text, it->piece[0].len) != 0;
	switch (it->piece[0].slot->kind) {
	case SLOT_CLAIM:
	case SLOT_REF:
		return false;
	case SLOT_ANY:
	case SLOT_INT:
	case SLOT_ENUM:
	case SLOT_TEXT:
	case SLOT_PATH:
	case SLOT_SEMVER:
	case SLOT_SHA:
	case SLOT_HOST:
		return !slot_matches(&x, it->piece[0].slot, text, strlen(text));
	}
	return false;
}

static bool
items_are_apart(const struct item *a, const struct item *b)
{
	const struct slot *s = a->piece[0].slot, *t = b->piece[0].slot;

	if (is_text(a))
		return text_is_apart(a->piece[0].text, b);
	if (is_text(b))
		return text_is_apart(b->piece[0].text, a);
	if (is_slot(a, SLOT_INT) && is_slot(b, SLOT_INT))
		return s->max < t->min || t->max < s->min;
	if (!is_slot(a, SLOT_ENUM))
		return is_slot(b, SLOT_ENUM) && items_are_apart(b, a);
	for (size_t i = 0; i < s->nvalue; i++) {
		if (!text_is_apart(s->value[i], b))
			return false;
	}
	return true;
}

/* Words that stand at a fixed place: the pattern's beginning. */
bool
language_is_apart(const struct run *a, const struct run *b)
{
	const struct node *m = a->tree->child, *n = b->tree->child;

	if (a->min_words > b->max_words || b->min_words > a->max_words)
		return true;
	/* the first word has several spellings, and its own index */
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
