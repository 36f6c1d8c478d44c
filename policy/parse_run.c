/*
 * The patterns of `run` lines: words with slots and groups, turned into a
 * position automaton while they are read (Glushkov's construction: V. M.
 * Glushkov, The abstract theory of automata, 1961).  Groups become sets of
 * first and last positions, so that matching needs neither recursion nor
 * backtracking.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/parse.h"

/* What a part of the pattern looks like from outside. */
struct frag {
	uint64_t first[RUN_BITS], last[RUN_BITS];
	bool nullable;
	size_t min, max;	/* words; SIZE_MAX: no bound */
	struct node *node;      /* the part as it was written */
};

struct run_builder {
	struct parser *ps;
	const struct rule *rule;
	struct item item[RUN_ITEMS_MAX];
	uint64_t follow[RUN_ITEMS_MAX][RUN_BITS];
	size_t n;
	size_t end; /* of the pattern's text so far */
};

static void
set_join(uint64_t *to, const uint64_t *from)
{
	for (size_t i = 0; i < RUN_BITS; i++)
		to[i] |= from[i];
}

/* After each of `last` may come each of `first`. */
static void
connect(struct run_builder *b, const uint64_t *last, const uint64_t *first)
{
	for (size_t i = 0; i < b->n; i++) {
		if (bit_get(last, i))
			set_join(b->follow[i], first);
	}
}

static size_t
sum(size_t a, size_t b)
{
	return a == SIZE_MAX || b == SIZE_MAX ? SIZE_MAX : a + b;
}

static void
frag_then(struct run_builder *b, struct frag *a, const struct frag *next)
{
	connect(b, a->last, next->first);
	if (a->nullable)
		set_join(a->first, next->first);
	if (!next->nullable)
		memset(a->last, 0, sizeof(a->last));
	set_join(a->last, next->last);
	a->nullable = a->nullable && next->nullable;
	a->min = sum(a->min, next->min);
	a->max = sum(a->max, next->max);
}

static void
frag_or(struct frag *a, const struct frag *other)
{
	set_join(a->first, other->first);
	set_join(a->last, other->last);
	a->nullable = a->nullable || other->nullable;
	a->min = other->min < a->min ? other->min : a->min;
	a->max = other->max > a->max ? other->max : a->max;
}

/* A new node, to be the frag's; NULL when memory runs out. */
static struct node *
frag_node(struct run_builder *b, struct frag *f, enum node_kind kind)
{
	f->node = arena_get(b->ps->p->arena, sizeof(*f->node));
	if (f->node != NULL)
		f->node->kind = kind;
	return f->node;
}

/* -- words ------------------------------------------------------------------ */

int
parse_slot_piece(struct parser *ps, struct piece *out)
{
	struct slot *slot = arena_get(ps->p->arena, sizeof(*slot));
	int r;

	if (slot == NULL)
		return ERR_NOMEM;
	parse_next(ps, LEX_SLOT);
	if ((r = parse_slot(ps, slot, &out->type)) != 0)
		return r;
	if (!parse_is_punct(ps, '>'))
		return parse_expected(ps, "`>`");
	if (out->type.name == NULL)
		out->slot = slot;
	return 0;
}

static int
literal_piece(struct parser *ps, struct piece *out)
{
	out->len = ps->t.len;
	out->text = parse_text(ps);
	return out->text == NULL ? ERR_NOMEM : 0;
}

/* `(a | b)` or `[a]` inside a word: one literal for each choice. */
static int
group_piece(struct parser *ps, struct piece *out)
{
	struct slot *slot = arena_get(ps->p->arena, sizeof(*slot));
	bool optional = parse_is_punct(ps, '[');
	int r;

	if (slot == NULL)
		return ERR_NOMEM;
	slot->at = parse_place(ps);
	slot->kind = SLOT_ENUM;
	out->slot = slot;
	if (optional && (r = slot_add_value(ps, slot, "")) != 0)
		return r;
	do {
		parse_next(ps, LEX_RUN);
		if (ps->t.kind != LEX_WORD || ps->t.len == 0)
			return parse_expected(ps, "a literal, since a group "
			    "inside a word holds nothing else");
		if ((r = slot_add_value(ps, slot, parse_text(ps))) != 0)
			return r;
		parse_next(ps, LEX_RUN);
	} while (parse_is_punct(ps, '|'));
	if (!parse_is_punct(ps, optional ? ']' : ')'))
		return parse_expected(ps, optional ? "`|` or `]`, since a group "
		    "inside a word holds one literal for each choice" :
		    "`|` or `)`, since a group inside a word holds one literal "
		    "for each choice");
	return slot_sort_values(ps, slot);
}

static bool
starts_piece(const struct parser *ps)
{
	return ps->t.kind == LEX_WORD || parse_is_punct(ps, '<');
}

static bool
starts_group(const struct parser *ps)
{
	return parse_is_punct(ps, '(') || parse_is_punct(ps, '[');
}

int
parse_item(struct parser *ps, bool deny, struct item *it, bool *repeat)
{
	struct piece piece[RUN_PIECES_MAX] = { 0 };
	bool slot;
	int r;

	*it = (struct item){ .deny = deny, .at = parse_place(ps) };
	do {
		if (it->npiece >= RUN_PIECES_MAX)
			return parse_error(ps, "a word of more than %d parts",
			    RUN_PIECES_MAX);
		slot = parse_is_punct(ps, '<');
		r = slot ? parse_slot_piece(ps, &piece[it->npiece])
		    : starts_group(ps) ? group_piece(ps, &piece[it->npiece])
				       : literal_piece(ps, &piece[it->npiece]);
		if (r != 0)
			return r;
		it->npiece++;
		if (slot && lex_accept(&ps->l, "..."))
			*repeat = true;
		it->at.width = ps->l.off - it->at.pos.off;
		parse_next(ps, LEX_RUN);
	} while (!*repeat && ps->t.glued &&
	    (starts_piece(ps) || starts_group(ps)));
	if (*repeat && (it->npiece > 1 || (ps->t.glued &&
	    (starts_piece(ps) || starts_group(ps)))))
		return parse_error_at(ps, &it->at, "`...` repeats a whole word "
		    "that is one slot");
	it->piece = arena_get(ps->p->arena, it->npiece * sizeof(*it->piece));
	if (it->piece == NULL)
		return ERR_NOMEM;
	memcpy(it->piece, piece, it->npiece * sizeof(*it->piece));
	it->no_dash = !deny && it->piece[0].text == NULL;
	return 0;
}

static int
word(struct run_builder *b, struct frag *out)
{
	struct parser *ps = b->ps;
	bool deny = b->rule->effect == EFFECT_DENY, repeat = false;
	struct item *it = &b->item[b->n];
	const struct piece *first;
	int r;

	if (b->n >= RUN_ITEMS_MAX)
		return parse_error(ps, "a pattern of more than %d words",
		    RUN_ITEMS_MAX);
	if ((r = parse_item(ps, deny, it, &repeat)) != 0)
		return r;
	b->end = it->at.pos.off + it->at.width;
	first = &it->piece[0];
	*out = (struct frag){ .min = 1, .max = repeat ? SIZE_MAX : 1 };
	if (frag_node(b, out, NODE_WORD) == NULL)
		return ERR_NOMEM;
	out->node->item = b->n;
	out->node->repeat = repeat;
	bit_set(out->first, b->n);
	bit_set(out->last, b->n);
	b->n++;
	if (repeat)
		connect(b, out->last, out->first);
	/* In a deny rule `<any>...` also stands for no word at all. */
	if (repeat && deny && first->slot != NULL &&
	    first->slot->kind == SLOT_ANY) {
		out->node->optional = true;
		out->nullable = true;
		out->min = 0;
	}
	return 0;
}

/* -- groups ----------------------------------------------------------------- */

static int words(struct run_builder *b, size_t depth, struct frag *out);

/* ( words | words ) and [ words ] */
static int
group(struct run_builder *b, size_t depth, struct frag *out)
{
	struct parser *ps = b->ps;
	struct place open = parse_place(ps);
	char close = parse_is_punct(ps, '(') ? ')' : ']';
	struct node *first, **end;
	struct frag next;
	int r;

	if (depth >= RUN_DEPTH_MAX)
		return parse_error(ps, "more than %d groups within each other",
		    RUN_DEPTH_MAX);
	parse_next(ps, LEX_RUN);
	if ((r = words(b, depth + 1, out)) != 0)
		return r;
	first = out->node;
	end = &first->next;
	if (frag_node(b, out, NODE_ALT) == NULL)
		return ERR_NOMEM;
	out->node->child = first;
	while (parse_is_punct(ps, '|')) {
		parse_next(ps, LEX_RUN);
		if ((r = words(b, depth + 1, &next)) != 0)
			return r;
		frag_or(out, &next);
		*end = next.node;
		end = &next.node->next;
	}
	if (parse_at_line_end(ps))
		return parse_error_at(ps, &open, "this `%c` is never closed",
		    close == ')' ? '(' : '[');
	if (!parse_is_punct(ps, close))
		return parse_expected(ps, close == ')' ? "`)`" : "`]`");
	b->end = ps->l.off;
	parse_next(ps, LEX_RUN);
	if (ps->t.glued && (starts_piece(ps) || starts_group(ps)))
		return parse_error(ps, "a word cannot begin with a group: write "
		    "<enum a b>, or put a blank after the group");
	if (close == ']') {
		out->node->optional = true;
		out->nullable = true;
		out->min = 0;
	}
	return 0;
}

static bool
words_end(const struct parser *ps, size_t depth)
{
	return parse_at_line_end(ps) || parse_is_punct(ps, '|') ||
	    parse_is_punct(ps, ')') || parse_is_punct(ps, ']') ||
	    (depth == 0 && parse_is_word(ps, "with"));
}

static int
words(struct run_builder *b, size_t depth, struct frag *out)
{
	struct parser *ps = b->ps;
	struct node **end;
	struct frag next;
	bool any = false;
	int r;

	*out = (struct frag){ .nullable = true };
	if (frag_node(b, out, NODE_SEQ) == NULL)
		return ERR_NOMEM;
	end = &out->node->child;
	while (!words_end(ps, depth)) {
		if (ps->t.kind == LEX_REDIRECT)
			return parse_error(ps, "leave it out: 2>&1, >/dev/null "
			    "and 2>/dev/null change nothing about a decision");
		if (starts_group(ps))
			r = group(b, depth, &next);
		else if (starts_piece(ps))
			r = word(b, &next);
		else if (parse_is_punct(ps, '>'))
			r = parse_error(ps, "`>` writes into a file, which "
			    "cannot be allowed; quote it if it is an argument");
		else
			r = parse_expected(ps, "a word");
		if (r != 0)
			return r;
		frag_then(b, out, &next);
		*end = next.node;
		end = &next.node->next;
		any = true;
	}
	return any ? 0 : parse_expected(ps, "a word");
}

/* Items are numbered as they are written: up to a group, or a word that may be
 * missing or repeated, an item's number is its place. */
static size_t
fixed_items(const struct node *n)
{
	size_t count = 0;

	for (n = n->child;
	     n != NULL && n->kind == NODE_WORD && !n->optional && !n->repeat;
	     n = n->next)
		count++;
	return count;
}

/* Copies the builder's sets into the arena, as narrow as they can be. */
static int
compact(struct run_builder *b, const struct frag *f, struct run *run)
{
	struct arena *a = b->ps->p->arena;
	size_t nw = (b->n + 63) / 64;

	run->nitem = b->n;
	run->tree = f->node;
	run->nfixed = fixed_items(f->node);
	run->nw = nw;
	run->min_words = f->min;
	run->max_words = f->max;
	run->item = arena_get(a, b->n * sizeof(*run->item));
	run->first = arena_get(a, nw * sizeof(uint64_t));
	run->last = arena_get(a, nw * sizeof(uint64_t));
	run->follow = arena_get(a, b->n * nw * sizeof(uint64_t));
	if (run->item == NULL || run->first == NULL || run->last == NULL ||
	    run->follow == NULL)
		return ERR_NOMEM;
	memcpy(run->item, b->item, b->n * sizeof(*run->item));
	memcpy(run->first, f->first, nw * sizeof(uint64_t));
	memcpy(run->last, f->last, nw * sizeof(uint64_t));
	for (size_t i = 0; i < b->n; i++)
		memcpy(run->follow + i * nw, b->follow[i],
		    nw * sizeof(uint64_t));
	return 0;
}

int
parse_pattern(struct parser *ps, struct run *run)
{
	struct run_builder *b = calloc(1, sizeof(*b));
	struct frag f;
	int r = ERR_NOMEM;

	if (b == NULL)
		goto out;
	b->ps = ps;
	b->rule = run->rule;
	run->at = parse_place(ps);
	if ((r = words(b, 0, &f)) != 0)
		goto out;
	run->at.width = b->end - run->at.pos.off;
	if (f.nullable && run->rule->effect == EFFECT_ALLOW) {
		r = parse_error_at(ps, &run->at, "every word of this line may "
		    "be missing: a rule must say what program runs");
		goto out;
	}
	r = compact(b, &f, run);
out:
	free(b);
	return r;
}
