/*
 * A command that a line matches, put together from its words.  Runs in the
 * command line tools, which ask the matcher whether it is one.
 */
#include "config.h"

#include "policy/overlap.h"

#include <inttypes.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/items.h"
#include "policy/language.h"
#include "policy/model.h"

static int
put_path(const char *pattern, struct buf *out)
{
	int r = 0;

	for (const char *s = pattern; *s != '\0' && r == 0; s++) {
		if (*s == '*' && s[1] == '*')
			s++;
		r = buf_put(out, *s == '*' ? "x" : s, 1);
	}
	return r;
}

static int put_pieces(const struct piece *v, size_t n, struct buf *out);

static int
put_slot(const struct slot *slot, struct buf *out)
{
	static const char sha[] = "0123456789abcdef0123456789abcdef01234567";
	int r = 0;

	switch (slot->kind) {
	case SLOT_ANY:
	case SLOT_HOST:
		return buf_put(out, "x", 1);
	case SLOT_INT:
		return buf_putf(out, "%" PRIu64, slot->min);
	case SLOT_ENUM:
		return buf_putf(out, "%s", slot->value[0]);
	case SLOT_TEXT:
		if ((r = buf_put(out, "x", 1)) != 0)
			return r;
		for (uint64_t i = 1; i < slot->min && r == 0; i++)
			r = buf_put(out, "x", 1);
		return r;
	case SLOT_PATH:
		return put_path(slot->pattern, out);
	case SLOT_SEMVER:
		return buf_putf(out, "1.0.0");
	case SLOT_SHA:
		return buf_putf(out, "%s", sha);
	case SLOT_REF:
		return put_pieces(slot->piece, slot->npiece, out);
	case SLOT_CLAIM:
		break;
	}
	return ERR_NOTFOUND;
}

static int
put_pieces(const struct piece *v, size_t n, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = v[i].text != NULL ? buf_put(out, v[i].text, v[i].len)
				      : put_slot(v[i].slot, out);
	return r;
}

static int
put_ended(const struct item *it, char end, struct buf *out)
{
	int r = put_pieces(it->piece, it->npiece, out);

	return r != 0 ? r : buf_put(out, &end, 1);
}

struct chosen {
	const struct overlap_chosen *v;
	size_t n;
};

static const char *
chosen_word(const struct chosen *x, const struct node *node)
{
	for (size_t i = 0; i < x->n; i++) {
		if (x->v[i].at.node == node)
			return x->v[i].word;
	}
	return NULL;
}

static int put_row(const struct run *run, const struct node *n,
    const struct chosen *x, struct buf *out);

static int
put_node(const struct run *run, const struct node *n, const struct chosen *x,
    struct buf *out)
{
	const char *word = chosen_word(x, n);
	struct node one;

	if (word != NULL)
		return buf_putf(out, "%s%c", word, LANGUAGE_END);
	switch (n->kind) {
	case NODE_WORD:
		return put_ended(&run->item[n->item], LANGUAGE_END, out);
	case NODE_SEQ:
		return put_row(run, n->child, x, out);
	case NODE_ALT:
		one = *n->child;
		one.next = NULL;
		return put_row(run, &one, x, out);
	}
	return ERR_INTERNAL;
}

/* With the first of each choice, and without what is optional. */
static int
put_row(const struct run *run, const struct node *n, const struct chosen *x,
    struct buf *out)
{
	int r = 0;

	for (; n != NULL && r == 0; n = n->next)
		r = n->optional ? 0 : put_node(run, n, x, out);
	return r;
}

static int
put_sets(const struct run *run, struct buf *out)
{
	const struct item *it[COMMAND_ASSIGN_MAX];
	size_t n = items_by_name(run, it);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = put_ended(it[i], LANGUAGE_SET, out);
	return r;
}

int
overlap_run_chosen(const struct run *run, const struct overlap_chosen *v,
    size_t n, struct buf *out)
{
	const struct chosen x = { v, n };
	const char pipe = LANGUAGE_PIPE;
	int r = run->dir == NULL ? 0 : put_ended(run->dir, LANGUAGE_DIR, out);

	for (; run != NULL && r == 0; run = run->next) {
		if ((r = put_sets(run, out)) == 0)
			r = put_row(run, run->tree, &x, out);
		if (r == 0 && run->next != NULL)
			r = buf_put(out, &pipe, 1);
	}
	return r;
}

int
overlap_run_example(const struct run *run, struct buf *out)
{
	return overlap_run_chosen(run, NULL, 0, out);
}

int
overlap_transfer_example(const struct transfer *t, struct buf *out)
{
	return put_ended(&t->under, LANGUAGE_END, out);
}

int
overlap_repository_example(const struct repository *g, struct buf *out)
{
	const char set = LANGUAGE_SET;
	int r = put_ended(&g->path, LANGUAGE_END, out);

	if (r != 0)
		return r;
	if (g->nref == 0)
		return buf_put(out, &set, 1);
	if (g->ref[0].slot != NULL)
		r = put_slot(g->ref[0].slot, out);
	else
		r = put_path(g->ref[0].glob, out);
	return r != 0 ? r : buf_put(out, "\001", 1);
}
