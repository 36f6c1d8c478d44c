/*
 * Everything that a policy allows, cut into sets of commands that neither of
 * two policies tells apart.  Runs in the command line tools.
 *
 * Commands are looked at by their first word.  The words behind it are a
 * regular language, `run` line by `run` line; a line that is new, or gone, is
 * cut by each other line of both policies that it overlaps with.  All commands
 * of a piece so found match the same lines, so that one of them speaks for
 * all: both policies are asked about it, in every session, place and time that
 * these lines tell apart.  Nothing is built for all lines together, which is
 * what would not end.
 */
#include "config.h"

#include "policy/compare.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "policy/cells.h"
#include "policy/command.h"
#include "policy/export.h"
#include "policy/language.h"
#include "policy/model.h"
#include "policy/whatif.h"

#define PIECES_MAX 4096 /* of one line */
#define NONE SIZE_MAX
#define MATCHED_MAX 62 /* lines that match one command: bits of a uint64_t */

/* A digest of what a line says, to be compared alone. */
struct mark {
	uint64_t a, b;
};

struct line {
	const struct run *run;
	int side;
	struct mark pattern, all;
	bool changed;  /* the other policy has not the same */
	struct fa *fa; /* behind the first word that is looked at */
};

/* Commands that match the same lines. */
struct piece_of {
	struct fa *fa;
	size_t line[MATCHED_MAX];
	size_t n;
};

/* A line, by a word that it may begin with; NULL: by any. */
struct entry {
	const char *word;
	const struct run *run;
};

struct compare {
	struct cells cells;
	struct entry *entry[2]; /* sorted by word, those by any first */
	size_t nentry[2], capentry[2];
	struct line *line; /* of the first word that is looked at */
	size_t n, cap;
	const char *first;            /* NULL: any that no index holds */
	bool same_first;              /* it is the same program in both */
	const struct session *claims; /* whose claims the slots have */
	struct piece_of *piece;
	size_t npiece, cappiece;
	bool identities_differ; /* NEW has one that OLD has not */
	bool programs_differ;   /* from target to target */
	bool undecided;
	compare_fn fn;
	void *arg;
};

/* -- marks
 * ------------------------------------------------------------------------ */

/* FNV-1a, twice with different beginnings. */
static struct mark
mark_of(const struct buf *b)
{
	struct mark m = { 0xcbf29ce484222325U, 0x84222325cbf29ce4U };

	for (size_t i = 0; i < buf_len(b); i++) {
		m.a = (m.a ^ buf_ptr(b)[i]) * 0x100000001b3U;
		m.b = (m.b ^ buf_ptr(b)[i]) * 0x10000000233U;
	}
	return m;
}

static bool
same_mark(const struct mark *x, const struct mark *y)
{
	return x->a == y->a && x->b == y->b;
}

static int
mark_line(const struct policy *p, struct line *l)
{
	struct json j;
	struct buf b;
	int r;

	buf_init(&b, EXPORT_MAX);
	json_init(&j, &b);
	json_open(&j, '{');
	export_pattern(&j, l->run);
	l->pattern = mark_of(&b);
	json_key(&j, "terms");
	export_terms(&j, p, l->run);
	json_close(&j, '}');
	l->all = mark_of(&b);
	r = json_end(&j);
	buf_clear(&b);
	return r;
}

/* Can the line match a command of one program, without folder and variables?
 * Those are looked at. */
static bool
is_plain(const struct run *run)
{
	return run->nstage == 1 && run->nassign == 0 &&
	       (run->dir == NULL || run->rule->effect == EFFECT_DENY);
}

/* -- lines
 * -------------------------------------------------------------------------- */

static int
add_line(struct compare *c, int side, const struct run *run)
{
	struct line *v;
	int r;

	if (c->n == c->cap) {
		v = reallocarray(c->line, c->cap * 2 + 64, sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		c->line = v;
		c->cap = c->cap * 2 + 64;
	}
	c->line[c->n] = (struct line){ .run = run, .side = side };
	if ((r = mark_line(c->cells.p[side], &c->line[c->n])) != 0)
		return r;
	c->n++;
	return 0;
}

/* -- first words
 * -------------------------------------------------------------------- */

static int
add_entry(struct compare *c, int side, const char *word, const struct run *run)
{
	struct entry *v;

	if (c->nentry[side] == c->capentry[side]) {
		v = reallocarray(
		    c->entry[side], c->capentry[side] * 2 + 64, sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		c->entry[side] = v;
		c->capentry[side] = c->capentry[side] * 2 + 64;
	}
	c->entry[side][c->nentry[side]++] = (struct entry){ word, run };
	return 0;
}

/* Can every first word be told beforehand? */
static bool
has_words(const struct run *run)
{
	const struct item *it;

	for (size_t i = 0; i < run->nitem; i++) {
		it = &run->item[i];
		if (bit_get(run->first, i) &&
		    (it->npiece > 1 ||
			(it->piece[0].text == NULL &&
			    it->piece[0].slot->kind != SLOT_ENUM)))
			return false;
	}
	return true;
}

static int
add_entries(struct compare *c, int side, const struct run *run)
{
	const struct piece *first;
	int r = 0;

	if (!has_words(run))
		return add_entry(c, side, NULL, run);
	for (size_t i = 0; i < run->nitem && r == 0; i++) {
		if (!bit_get(run->first, i))
			continue;
		first = &run->item[i].piece[0];
		if (first->text != NULL) {
			r = add_entry(c, side, first->text, run);
			continue;
		}
		for (size_t k = 0; k < first->slot->nvalue && r == 0; k++)
			r = add_entry(c, side, first->slot->value[k], run);
	}
	return r;
}

static int
order_words(const char *a, const char *b)
{
	return a == NULL || b == NULL ? (a != NULL) - (b != NULL)
				      : strcmp(a, b);
}

static int
by_word(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	return order_words(a->word, b->word);
}

static int
make_entries(struct compare *c)
{
	const struct rule *rule;
	int r = 0;

	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < c->cells.p[side]->nrule; i++) {
			rule = c->cells.p[side]->rule[i];
			for (size_t k = 0; k < rule->nrun && r == 0; k++) {
				if (is_plain(rule->run[k]))
					r = add_entries(c, side, rule->run[k]);
			}
		}
		if (c->nentry[side] > 1)
			qsort(c->entry[side], c->nentry[side],
			    sizeof(*c->entry[side]), by_word);
	}
	return r;
}

/* The first entry of the word, or behind all that are less. */
static size_t
find_entry(const struct compare *c, int side, const char *word)
{
	size_t low = 0, high = c->nentry[side], mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (order_words(c->entry[side][mid].word, word) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
add_lines(struct compare *c, int side, const char *word)
{
	int r = 0;

	for (size_t i = find_entry(c, side, word);
	     i < c->nentry[side] &&
	     order_words(c->entry[side][i].word, word) == 0 && r == 0;
	     i++)
		r = add_line(c, side, c->entry[side][i].run);
	return r;
}

static int
order_marks(const struct mark *x, const struct mark *y)
{
	if (x->a != y->a)
		return x->a < y->a ? -1 : 1;
	return (x->b > y->b) - (x->b < y->b);
}

static int
by_mark(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	int c;

	if ((c = order_marks(&a->pattern, &b->pattern)) != 0 ||
	    (c = order_marks(&a->all, &b->all)) != 0)
		return c;
	return a->side - b->side;
}

/* Sorted; of lines of one policy that say the same, one is enough. */
static void
sort_lines(struct compare *c)
{
	size_t n = 0;

	if (c->n > 1)
		qsort(c->line, c->n, sizeof(*c->line), by_mark);
	for (size_t i = 0; i < c->n; i++) {
		if (n > 0 && by_mark(&c->line[n - 1], &c->line[i]) == 0)
			continue;
		c->line[n++] = c->line[i];
	}
	c->n = n;
}

static struct mark
mark_identity(const struct identity *id)
{
	struct mark m = { 0, 0 };
	struct json j;
	struct buf b;

	buf_init(&b, EXPORT_MAX);
	json_init(&j, &b);
	json_open(&j, '[');
	json_str(&j, id->issuer->pub.url);
	json_num(&j, id->opened);
	export_conditions(&j, &id->cond);
	json_close(&j, ']');
	if (json_end(&j) == 0)
		m = mark_of(&b);
	buf_clear(&b);
	return m;
}

/* A rule for everyone is for those whom OLD does not know, too. */
static int
find_identities(struct compare *c)
{
	const struct policy *old = c->cells.p[CELLS_OLD];
	const struct policy *new = c->cells.p[CELLS_NEW];
	struct mark *m = calloc(old->nidentity + 1, sizeof(*m)), mine;
	size_t k;

	if (m == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < old->nidentity; i++)
		m[i] = mark_identity(old->identity[i]);
	for (size_t i = 0; i < new->nidentity; i++) {
		mine = mark_identity(new->identity[i]);
		for (k = 0; k < old->nidentity && !same_mark(&m[k], &mine); k++)
			;
		c->identities_differ =
		    c->identities_differ || k == old->nidentity;
	}
	free(m);
	return 0;
}

static bool
is_for_strangers(const struct compare *c, const struct line *l)
{
	return c->identities_differ && l->run->rule->everyone &&
	       l->run->rule->effect == EFFECT_ALLOW;
}

/* Marks the lines that the other policy has not; true when there are some. */
static bool
find_changed(struct compare *c)
{
	bool some = c->cells.frame_differs, both;
	size_t end;

	sort_lines(c);
	for (size_t i = 0; i < c->n; i = end) {
		for (end = i + 1; end < c->n &&
				  same_mark(&c->line[i].all, &c->line[end].all);
		     end++)
			;
		both = c->line[i].side != c->line[end - 1].side;
		both = both && !c->cells.frame_differs &&
		       !is_for_strangers(c, &c->line[i]);
		for (size_t k = i; k < end; k++)
			c->line[k].changed = !both;
		some = some || !both;
	}
	return some;
}

static void
forget_lines(struct compare *c)
{
	for (size_t i = 0; i < c->n; i++)
		fa_free(c->line[i].fa);
	c->n = 0;
}

/* The line's language, made when it is needed. */
static struct fa *
line_fa(struct compare *c, struct line *l)
{
	const struct claims *cs = c->claims == NULL ? NULL : &c->claims->claims;

	if (l->fa == NULL)
		l->fa = c->first == NULL
			    ? language_whole(l->run, cs)
			    : language_after(
				  l->run, c->cells.p[l->side], c->first, cs);
	if (l->fa == NULL)
		c->undecided = true;
	return l->fa;
}

/* -- pieces
 * ---------------------------------------------------------------------------
 */

static void
forget_pieces(struct compare *c)
{
	for (size_t i = 0; i < c->npiece; i++)
		fa_free(c->piece[i].fa);
	c->npiece = 0;
}

static struct piece_of *
new_piece(struct compare *c, struct fa *take_fa)
{
	struct piece_of *v;

	if (c->npiece == c->cappiece) {
		v = c->npiece >= PIECES_MAX
			? NULL
			: reallocarray(
			      c->piece, c->cappiece * 2 + 16, sizeof(*v));
		if (v == NULL) {
			c->undecided = true;
			fa_free(take_fa);
			return NULL;
		}
		c->piece = v;
		c->cappiece = c->cappiece * 2 + 16;
	}
	v = &c->piece[c->npiece++];
	v->fa = take_fa;
	v->n = 0;
	return v;
}

static void
add_match(struct compare *c, struct piece_of *p, size_t line)
{
	if (p->n == MATCHED_MAX)
		c->undecided = true;
	else
		p->line[p->n++] = line;
}

/* The piece, cut by the line: what is in both stays, the rest is a new one. */
static void
cut(struct compare *c, size_t piece, size_t line)
{
	struct fa *fa = line_fa(c, &c->line[line]), *both, *rest;
	struct piece_of *p;

	if (fa == NULL)
		return;
	if ((both = language_both(c->piece[piece].fa, fa)) == NULL) {
		c->undecided = true;
		return;
	}
	if (language_is_empty(both)) {
		fa_free(both);
		return;
	}
	rest = language_without(c->piece[piece].fa, fa);
	if (rest == NULL) {
		c->undecided = true;
	} else if (language_is_empty(rest)) {
		fa_free(rest);
	} else if ((p = new_piece(c, rest)) != NULL) {
		p->n = c->piece[piece].n;
		memcpy(p->line, c->piece[piece].line, sizeof(p->line));
	}
	fa_free(c->piece[piece].fa);
	c->piece[piece].fa = both;
	add_match(c, &c->piece[piece], line);
}

/* Do both match the same commands, as their patterns show? */
static bool
is_same_language(const struct compare *c, size_t x, size_t y)
{
	return same_mark(&c->line[x].pattern, &c->line[y].pattern) &&
	       (c->same_first || c->line[x].side == c->line[y].side);
}

static bool
has_match(const struct piece_of *p, size_t line)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->line[i] == line)
			return true;
	}
	return false;
}

/* Lines of one pattern stand side by side. */
static void
cut_by(struct compare *c, size_t begun, size_t line)
{
	size_t n = c->npiece, like = NONE;

	if (is_same_language(c, begun, line))
		like = begun;
	else if (line > 0 && is_same_language(c, line - 1, line))
		like = line - 1;
	if (like == NONE) {
		if (language_is_apart(c->line[begun].run, c->line[line].run))
			return;
		for (size_t i = 0; i < n; i++)
			cut(c, i, line);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (has_match(&c->piece[i], like))
			add_match(c, &c->piece[i], line);
	}
}

/* -- asking
 * ------------------------------------------------------------------------------
 */

/* Which of the piece's lines are for the session, the place, the time. */
static uint64_t
lines_for(
    const struct compare *c, const struct piece_of *p, const struct session *s)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct line *l = &c->line[p->line[i]];

		if (cells_is_for(&c->cells, l->side, l->run->rule, s))
			bits |= (uint64_t)1 << i;
	}
	return bits;
}

static uint64_t
lines_here(
    const struct compare *c, const struct piece_of *p, const struct spot *s)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct line *l = &c->line[p->line[i]];

		if (cells_is_here(&c->cells, l->side, l->run->rule, s))
			bits |= (uint64_t)1 << i;
	}
	return bits;
}

static uint64_t
lines_now(const struct compare *c, const struct piece_of *p, time_t now)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (cells_is_now(c->line[p->line[i]].run->rule, now))
			bits |= (uint64_t)1 << i;
	}
	return bits;
}

static bool
has_allow(const struct compare *c, const struct piece_of *p, uint64_t bits)
{
	for (size_t i = 0; i < p->n; i++) {
		if ((bits >> i & 1) != 0 &&
		    c->line[p->line[i]].side == CELLS_NEW &&
		    c->line[p->line[i]].run->rule->effect == EFFECT_ALLOW)
			return true;
	}
	return false;
}

/* Bits that have been looked at already. */
struct seen {
	uint64_t *v;
	size_t n, cap;
};

/* true for bits that are new; false also when memory runs out. */
static bool
see(struct compare *c, struct seen *s, uint64_t bits)
{
	uint64_t *v;

	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i] == bits)
			return false;
	}
	if (s->n == s->cap) {
		v = reallocarray(s->v, s->cap * 2 + 16, sizeof(*v));
		if (v == NULL) {
			c->undecided = true;
			return false;
		}
		s->v = v;
		s->cap = s->cap * 2 + 16;
	}
	s->v[s->n++] = bits;
	return true;
}

struct where_when {
	const struct session *s;
	const struct spot *spot;
	time_t now;
};

static int
ask(struct compare *c, const struct command *cmd, const struct where_when *x)
{
	struct request old, new;
	struct decision d[2];
	struct witness w = { .q = { &old, &new },
		.d = { &d[0], &d[1] },
		.identity = x->s->as->name };
	int r = 0;

	new = (struct request){ .policy = c->cells.p[CELLS_NEW],
		.identity = x->s->set[CELLS_NEW],
		.claims = &x->s->claims,
		.target = x->spot->target[CELLS_NEW],
		.login = x->spot->login,
		.command = cmd,
		.now = x->now,
		.enforces = ENFORCE_ALL };
	old = new;
	old.policy = c->cells.p[CELLS_OLD];
	old.identity = x->s->set[CELLS_OLD];
	old.target = x->spot->target[CELLS_OLD];
	for (int pty = 0; pty < 2 && r == 0; pty++) {
		old.pty = new.pty = pty == 1;
		decide(&new, &d[1]);
		if (d[1].verdict == VERDICT_DENY)
			continue;
		decide(&old, &d[0]);
		if (compare_decisions(w.q, w.d, &w.kind))
			r = c->fn(c->arg, &w);
	}
	return r;
}

/* In each session, place and time that the piece's lines tell apart. */
static int
ask_everywhere(
    struct compare *c, const struct piece_of *p, const struct command *cmd)
{
	const struct cells *cells = &c->cells;
	struct seen who = { 0 }, where = { 0 }, when = { 0 };
	uint64_t now;
	int r = 0;

	for (size_t i = 0; i < cells->nsession && r == 0; i++) {
		const struct session *s = &cells->session[i];
		uint64_t mine = lines_for(c, p, s);

		if (c->claims != NULL && s != c->claims)
			continue;
		if (!has_allow(c, p, mine) || !see(c, &who, mine))
			continue;
		where.n = 0;
		for (size_t k = 0; k < cells->nspot && r == 0; k++) {
			uint64_t here =
			    lines_here(c, p, &cells->spot[k]) & mine;

			if (!has_allow(c, p, here) ||
			    !see(c, &where,
				here << 1 |
				    (cells->spot[k].target[CELLS_OLD] == NULL)))
				continue;
			when.n = 0;
			for (size_t t = 0; t < cells->nnow && r == 0; t++) {
				const struct where_when x = { s,
					&cells->spot[k], cells->now[t] };

				now = lines_now(c, p, x.now) & here;
				if (has_allow(c, p, now) && see(c, &when, now))
					r = ask(c, cmd, &x);
			}
		}
	}
	free(who.v);
	free(where.v);
	free(when.v);
	return r;
}

/* The words of an example.  The text is the caller's and is cut up. */
static int
split(const char *first, char *text, size_t n, struct stage *g)
{
	char **argv = calloc(n + 3, sizeof(*argv));
	size_t argc = 0;

	if (argv == NULL)
		return ERR_NOMEM;
	if (first != NULL)
		argv[argc++] = (char *)(uintptr_t)first;
	for (size_t i = 0, begin = 0; i < n; i++) {
		if (text[i] != LANGUAGE_END)
			continue;
		text[i] = '\0';
		argv[argc++] = text + begin;
		begin = i + 1;
	}
	*g = (struct stage){ .argv = argv, .argc = argc };
	return 0;
}

/* Some text of the language, if possible one that everybody can read; NULL:
 * memory ran out. */
static char *
example(struct fa *fa, size_t *n)
{
	struct fa *ascii = language_ascii(fa);
	char *text = NULL;
	int r;

	*n = 0;
	if (ascii != NULL && !language_is_empty(ascii))
		fa = ascii;
	r = fa_example(fa, &text, n);
	fa_free(ascii);
	/* libfa says NULL for the empty text */
	return r != 0 ? NULL : text == NULL ? strdup("") : text;
}

/* Asks about one command of the piece, which speaks for all of them. */
static int
ask_piece(struct compare *c, const struct piece_of *p)
{
	struct command cmd = { .nstage = 1 };
	struct stage g;
	char *text;
	size_t n;
	int r;

	if ((text = example(p->fa, &n)) == NULL) {
		c->undecided = true;
		return 0;
	}
	if ((r = split(c->first, text, n, &g)) == 0) {
		cmd.stage = &g;
		if (g.argc > COMMAND_WORDS_MAX)
			c->undecided = true;
		else if (g.argc > 0)
			r = ask_everywhere(c, p, &cmd);
		free(g.argv);
	}
	free(text);
	return r;
}

/* -- one first word
 * ------------------------------------------------------------------------ */

/* Everything that can differ about one line. */
static int
look_at(struct compare *c, size_t line)
{
	struct fa *fa = line_fa(c, &c->line[line]), *copy;
	struct piece_of *p;
	int r = 0;

	/* pieces are the comparison's own: a language without nothing */
	copy = fa == NULL || language_is_empty(fa) ? NULL : fa_iter(fa, 1, 1);
	if (copy == NULL) {
		c->undecided = c->undecided || fa == NULL;
		return 0;
	}
	if ((p = new_piece(c, copy)) == NULL)
		return 0;
	add_match(c, p, line);
	for (size_t i = 0; i < c->n; i++) {
		if (i != line)
			cut_by(c, line, i);
	}
	for (size_t i = 0; i < c->npiece && r == 0; i++)
		r = ask_piece(c, &c->piece[i]);
	forget_pieces(c);
	return r;
}

static bool
have_claims(const struct compare *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (language_has_claims(c->line[i].run))
			return true;
	}
	return false;
}

/* An allow line of OLD that demands nothing: without it there is less. */
static bool
is_mere_gift(const struct line *l, bool some_stdin)
{
	const struct rule *rule = l->run->rule;
	const struct limits *m = &rule->limit;

	return rule->effect == EFFECT_ALLOW && !rule->adds &&
	       rule->approve == 0 && m->duration_s == 0 && m->output == 0 &&
	       m->concurrent == 0 && m->rate == 0 &&
	       (!some_stdin || (l->run->stdin_ok && l->run->stdin_max == 0));
}

/* What NEW has anew; and what it has no more, which shows in what was denied,
 * or demanded, by it. */
static int
look_at_lines(struct compare *c)
{
	const struct line *l;
	bool some_stdin = false, wanted;
	int r = 0;

	for (size_t i = 0; i < c->n; i++)
		some_stdin = some_stdin || (c->line[i].side == CELLS_NEW &&
					       c->line[i].run->stdin_ok);
	for (size_t i = 0; i < c->n && r == 0; i++) {
		l = &c->line[i];
		wanted = l->side == CELLS_OLD
			     ? !is_mere_gift(l, some_stdin)
			     : l->run->rule->effect == EFFECT_ALLOW;
		if (l->changed && wanted)
			r = look_at(c, i);
	}
	return r;
}

/* Slots of claims are another language for each session. */
static int
look_at_sessions(struct compare *c)
{
	int r = 0;

	for (size_t i = 0; i < c->cells.nsession && r == 0; i++) {
		c->claims = &c->cells.session[i];
		r = look_at_lines(c);
		for (size_t k = 0; k < c->n; k++) {
			fa_free(c->line[k].fa);
			c->line[k].fa = NULL;
		}
	}
	c->claims = NULL;
	return r;
}

/* Everything about the lines that are there, and then no more of them. */
static int
look_at_all(struct compare *c)
{
	int r = 0;

	if (find_changed(c)) {
		/* a word may be another program on each target */
		if (c->programs_differ)
			c->undecided = true;
		else
			r = have_claims(c) ? look_at_sessions(c)
					   : look_at_lines(c);
	}
	forget_lines(c);
	return r;
}

/* The lines for a first word, in each of its spellings. */
static int
add_word(struct compare *c, int side, const char *first)
{
	const struct policy *p = c->cells.p[side];
	const struct program *g = dict_get(&p->program_words, first);
	int r = add_lines(c, side, first);

	if (g != NULL && r == 0 && strcmp(g->name, first) != 0)
		r = add_lines(c, side, g->name);
	if (g != NULL && r == 0 && strcmp(g->path, first) != 0)
		r = add_lines(c, side, g->path);
	return r != 0 ? r : add_lines(c, side, NULL);
}

static bool
same_program(const struct compare *c, const char *word)
{
	const struct program *p[2];

	for (int side = 0; side < 2; side++)
		p[side] = dict_get(&c->cells.p[side]->program_words, word);
	return p[0] == p[1] || (p[0] != NULL && p[1] != NULL &&
				   strcmp(p[0]->path, p[1]->path) == 0);
}

static int
look_at_word(struct compare *c, const char *first)
{
	int r = 0;

	c->first = first;
	c->same_first = same_program(c, first);
	for (int side = 0; side < 2 && r == 0; side++)
		r = add_word(c, side, first);
	return r != 0 ? r : look_at_all(c);
}

/* Lines whose first word cannot be told beforehand: in their own words. */
static int
look_at_wild(struct compare *c)
{
	const struct entry *e = c->entry[CELLS_NEW];
	bool some = false;
	int r = 0;

	for (size_t i = 0; i < c->nentry[CELLS_NEW] && e[i].word == NULL; i++)
		some = some || e[i].run->rule->effect == EFFECT_ALLOW;
	if (!some)
		return 0;
	c->first = NULL;
	c->same_first = true;
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < c->nentry[side] && r == 0; i++)
			r = add_line(c, side, c->entry[side][i].run);
	}
	return r != 0 ? r : look_at_all(c);
}

/* -- what else there is
 * ----------------------------------------------------------------------- */

/* A target that is observed lets everything through that no rule denies. */
static int
look_at_observed(struct compare *c)
{
	static char word[] = "observed";
	char *argv[] = { word, NULL };
	struct stage g = { .argv = argv, .argc = 1 };
	const struct command cmd = { .stage = &g, .nstage = 1 };
	const struct cells *cells = &c->cells;
	int r = 0;

	for (size_t i = 0; i < cells->nspot && cells->nsession > 0 && r == 0;
	     i++) {
		const struct target *t = cells->spot[i].target[CELLS_NEW];
		const struct where_when x = { &cells->session[0],
			&cells->spot[i], cells->now[0] };
		const struct target *o = cells->spot[i].target[CELLS_OLD];

		if (t->observe_until <= cells->now[0])
			continue;
		if ((r = ask(c, &cmd, &x)) == 0 &&
		    (o == NULL || o->observe_until < t->observe_until))
			c->undecided = true;
	}
	return r;
}

static int
by_order(const void *x, const void *y)
{
	return order_marks(x, y);
}

/* The marks of all that is not looked at: files, repositories, shells, and
 * commands with folders, variables, several programs. */
static int
other_marks(const struct policy *p, struct mark **out, size_t *n)
{
	struct mark *m = NULL;
	size_t count = 0, k = 0;
	int r = 0;

	for (size_t i = 0; i < p->nrule; i++)
		count += 1 + p->rule[i]->nrun;
	if ((m = calloc(count + 1, sizeof(*m))) == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->nrule && r == 0; i++) {
		const struct rule *rule = p->rule[i];
		struct line l = { 0 };
		struct json j;
		struct buf b;

		for (size_t q = 0; q < rule->nrun && r == 0; q++) {
			if (is_plain(rule->run[q]) &&
			    rule->effect == EFFECT_ALLOW && !rule->adds)
				continue;
			l.run = rule->run[q];
			r = mark_line(p, &l);
			m[k++] = l.all;
		}
		if (rule->ntransfer + rule->nrepository == 0 &&
		    !rule->interactive)
			continue;
		buf_init(&b, EXPORT_MAX);
		json_init(&j, &b);
		json_open(&j, '[');
		export_others(&j, p, rule);
		json_close(&j, ']');
		r = r != 0 ? r : json_end(&j);
		m[k++] = mark_of(&b);
		buf_clear(&b);
	}
	if (k > 1)
		qsort(m, k, sizeof(*m), by_order);
	*out = m;
	*n = k;
	return r;
}

static bool
has_others(const struct policy *p)
{
	for (size_t i = 0; i < p->nrule; i++) {
		const struct rule *rule = p->rule[i];

		if (rule->effect == EFFECT_DENY)
			continue;
		if (rule->ntransfer + rule->nrepository > 0 ||
		    rule->interactive)
			return true;
		for (size_t k = 0; k < rule->nrun; k++) {
			if (!is_plain(rule->run[k]))
				return true;
		}
	}
	return false;
}

/* Where NEW allows such things, all of them MUST be the same in both, and all
 * that denies or adds to them, or nothing is proved. */
static int
look_at_others(struct compare *c)
{
	struct mark *m[2] = { NULL, NULL };
	size_t n[2] = { 0, 0 };
	int r = 0;

	if (!has_others(c->cells.p[CELLS_NEW]))
		return 0;
	for (int side = 0; side < 2 && r == 0; side++)
		r = other_marks(c->cells.p[side], &m[side], &n[side]);
	if (r == 0 && (c->cells.frame_differs || c->identities_differ ||
			  c->programs_differ || n[0] != n[1] ||
			  memcmp(m[0], m[1], n[0] * sizeof(*m[0])) != 0))
		c->undecided = true;
	free(m[0]);
	free(m[1]);
	return r;
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

int
compare_policies(const struct policy *before, const struct policy *after,
    time_t from, compare_fn fn, void *arg)
{
	struct compare c = { .fn = fn, .arg = arg };
	const struct program *program;
	int r;

	if ((r = cells_init(&c.cells, before, after, from)) != 0)
		return r;
	c.programs_differ = has_places(before) || has_places(after);
	r = find_identities(&c);
	if (r == 0)
		r = make_entries(&c);
	for (size_t i = 0; i < c.nentry[CELLS_NEW] && r == 0; i++) {
		const struct entry *e = &c.entry[CELLS_NEW][i];

		if (e->word != NULL &&
		    (i == 0 || order_words(e[-1].word, e->word) != 0))
			r = look_at_word(&c, e->word);
	}
	for (size_t i = 0; i < after->nprogram && r == 0; i++) {
		program = after->program[i];
		if (same_program(&c, program->name) &&
		    same_program(&c, program->path))
			continue;
		if ((r = look_at_word(&c, program->name)) == 0)
			r = look_at_word(&c, program->path);
	}
	if (r == 0)
		r = look_at_wild(&c);
	if (r == 0)
		r = look_at_observed(&c);
	if (r == 0)
		r = look_at_others(&c);
	if (r == 0 && (c.undecided || c.cells.incomplete))
		r = ERR_TOOBIG;
	forget_lines(&c);
	free(c.line);
	free(c.entry[0]);
	free(c.entry[1]);
	forget_pieces(&c);
	free(c.piece);
	cells_clear(&c.cells);
	return r;
}
