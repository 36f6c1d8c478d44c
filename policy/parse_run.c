/*
 * `run` lines: words with slots and groups, turned into a position automaton
 * while they are read (Glushkov's construction: V. M. Glushkov, The abstract
 * theory of automata, 1961).  Groups become sets of first and last positions,
 * so that matching needs neither recursion nor backtracking.
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

/* `<slot>`; leaves the lexer right behind the `>`, which stays in ps->t. */
static int
slot_piece(struct run_builder *b, struct piece *out)
{
	struct parser *ps = b->ps;
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
literal_piece(struct run_builder *b, struct piece *out)
{
	out->len = b->ps->t.len;
	out->text = parse_text(b->ps);
	return out->text == NULL ? ERR_NOMEM : 0;
}

/* `(a | b)` or `[a]` inside a word: one literal for each choice. */
static int
group_piece(struct run_builder *b, struct piece *out)
{
	struct parser *ps = b->ps;
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

/* The pieces of one word; *repeat for a trailing `...`. */
static int
word_pieces(struct run_builder *b, struct item *it, bool *repeat)
{
	struct parser *ps = b->ps;
	struct piece piece[RUN_PIECES_MAX] = { 0 };
	bool slot;
	int r;

	it->at = parse_place(ps);
	do {
		if (it->npiece >= RUN_PIECES_MAX)
			return parse_error(ps, "a word of more than %d parts",
			    RUN_PIECES_MAX);
		slot = parse_is_punct(ps, '<');
		r = slot ? slot_piece(b, &piece[it->npiece]) :
		    starts_group(ps) ? group_piece(b, &piece[it->npiece]) :
		    literal_piece(b, &piece[it->npiece]);
		if (r != 0)
			return r;
		it->npiece++;
		if (slot && lex_accept(&ps->l, "..."))
			*repeat = true;
		it->at.width = ps->l.off - it->at.pos.off;
		b->end = ps->l.off;
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
	*it = (struct item){ 0 };
	if ((r = word_pieces(b, it, &repeat)) != 0)
		return r;
	first = &it->piece[0];
	it->no_dash = !deny && first->text == NULL;
	it->deny = deny;
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

/* -- the line --------------------------------------------------------------- */

/* Forms of the language that begin a `run` line and are refused. */
static int
refuse_prefix(struct run_builder *b)
{
	struct parser *ps = b->ps;
	struct place at = parse_place(ps);
	const char *s = ps->t.text;
	size_t n;

	if (parse_is_word(ps, "in"))
		return parse_unsupported(ps, &at, "`run in`");
	if (ps->t.kind != LEX_WORD || ps->t.quoted)
		return 0;
	n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789_");
	if (n > 0 && s[n] == '=')
		return parse_unsupported(ps, &at, "a variable in front of a "
		    "command, NAME=...,");
	return 0;
}

int
parse_with(struct parser *ps, bool *pty, bool *stdin_ok, uint64_t *max)
{
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if (parse_is_word(ps, "pty") && !*pty) {
			*pty = true;
			parse_next(ps, LEX_POLICY);
			continue;
		}
		if (!parse_is_word(ps, "stdin") || *stdin_ok)
			return parse_expected(ps, *pty || *stdin_ok ?
			    "the end of the line" : "`pty` or `stdin`");
		*stdin_ok = true;
		parse_next(ps, LEX_POLICY);
		if (!parse_is_word(ps, "max"))
			continue;
		if (max == NULL)
			return parse_expected(ps, "the end of the line");
		parse_next(ps, LEX_POLICY);
		if ((r = parse_size(ps, max)) != 0)
			return r;
	} while (parse_is_word(ps, "pty") || parse_is_word(ps, "stdin"));
	return 0;
}

/* Copies the builder's sets into the arena, as narrow as they can be. */
static int
compact(struct run_builder *b, const struct frag *f, struct run *run)
{
	struct arena *a = b->ps->p->arena;
	size_t nw = (b->n + 63) / 64;

	run->nitem = b->n;
	run->tree = f->node;
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

/* The pattern, the `with` behind it, and what may not stand there. */
static int
line(struct run_builder *b, struct frag *f, struct run *run)
{
	struct parser *ps = b->ps;
	struct place at;
	int r;

	parse_next(ps, LEX_RUN);
	run->at = parse_place(ps);
	if ((r = refuse_prefix(b)) != 0 || (r = words(b, 0, f)) != 0)
		return r;
	at = parse_place(ps);
	if (parse_is_punct(ps, '|'))
		return parse_error(ps, "a pipeline is not yet supported; did "
		    "you mean a choice: ( a | b )?");
	if (!parse_is_word(ps, "with"))
		return parse_at_line_end(ps) ? 0 :
		    parse_expected(ps, "a word or the end of the line");
	if (b->rule->effect == EFFECT_DENY)
		return parse_error_at(ps, &at, "a deny rule denies whatever "
		    "terminal or input there is: leave `with` out; quote the "
		    "word if it is an argument");
	return parse_with(ps, &run->pty, &run->stdin_ok, &run->stdin_max);
}

static int
add_run(struct parser *ps, struct rule *rule, struct run *run)
{
	struct run **v;

	if (rule->nrun >= POLICY_LINES_MAX)
		return parse_error_at(ps, &run->at, "more than %d `run` lines",
		    POLICY_LINES_MAX);
	v = arena_extend(ps->p->arena, rule->run, rule->nrun, &rule->caprun,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->run = v;
	run->order = rule->nrun;
	rule->run[rule->nrun++] = run;
	return 0;
}

int
parse_run(struct parser *ps, struct rule *rule)
{
	struct run_builder *b = calloc(1, sizeof(*b));
	struct run *run = arena_get(ps->p->arena, sizeof(*run));
	struct frag f;
	int r = ERR_NOMEM;

	if (b == NULL || run == NULL)
		goto out;
	b->ps = ps;
	b->rule = rule;
	run->rule = rule;
	if ((r = line(b, &f, run)) != 0)
		goto out;
	run->at.width = b->end - run->at.pos.off;
	if (f.nullable && rule->effect == EFFECT_ALLOW) {
		r = parse_error_at(ps, &run->at, "every word of this line may "
		    "be missing: a rule must say what program runs");
		goto out;
	}
	if ((r = compact(b, &f, run)) == 0)
		r = add_run(ps, rule, run);
out:
	free(b);
	return r;
}
