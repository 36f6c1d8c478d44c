/*
 * Lines as sets of texts: commands, files, repositories.  Runs in the command
 * line tools, on policies that have been loaded.
 */
#include "config.h"

#include "policy/language.h"

#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "policy/items.h"
#include "policy/language_internal.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/regex.h"

/* Regular expressions, with any character for each %s. */
#define SETS "(%s+\002)*"
#define STAGE SETS "%s+\001(%s*\001)*" /* a program has a name */

static const char *
any(void)
{
	return regex_any(REGEX_BYTES);
}

/* -- first words ----------------------------------------------------------- */

const struct program *
language_program(const struct language_ctx *x, const char *word)
{
	return x->target == NULL ? dict_get(&x->p->program_words, word)
				 : program_find(x->p, x->target, word);
}

static struct fa *
ended(struct fa *take)
{
	return fa_behind(take, fa_char(LANGUAGE_END));
}

static struct fa *
with_spellings(struct fa *take, const struct program *g)
{
	take = fa_either(take, ended(language_text(g->name)));
	return fa_either(take, ended(language_text(g->path)));
}

static bool
is_any(const struct item *it)
{
	return it->npiece == 1 && it->piece[0].text == NULL &&
	       it->piece[0].slot->kind == SLOT_ANY && it->deny;
}

/* A program's name matches what its path does, and the other way round. */
static struct fa *
first_word(const struct item *it, const struct language_ctx *x)
{
	const struct program *g;
	struct fa *fa;

	if (is_any(it)) /* a program has a name */
		return ended(fa_format("%s+", any()));
	fa = ended(language_word(it, x));
	if (it->npiece == 1 && it->piece[0].text != NULL) {
		g = language_program(x, it->piece[0].text);
		return g == NULL ? fa : with_spellings(fa, g);
	}
	for (size_t i = 0; i < x->p->nprogram && fa != NULL; i++) {
		g = x->p->program[i];
		if (language_program(x, g->name) == g &&
		    (text_matches_item(
			 it, x->claims, g->name, strlen(g->name)) ||
			text_matches_item(
			    it, x->claims, g->path, strlen(g->path))))
			fa = with_spellings(fa, g);
	}
	return fa;
}

/* -- patterns -------------------------------------------------------------- */

struct built {
	const struct run *run;
	const struct language_ctx *x;
};

static struct fa *node_fa(const struct built *b, const struct node *node);

/* The nodes from `n` on, one after the other. */
static struct fa *
row(const struct built *b, const struct node *n)
{
	struct fa *fa = fa_make_basic(FA_EPSILON);

	for (; n != NULL && fa != NULL; n = n->next)
		fa = fa_behind(fa, node_fa(b, n));
	return fa;
}

static struct fa *
node_fa(const struct built *b, const struct node *node)
{
	struct fa *fa = NULL;

	switch (node->kind) {
	case NODE_WORD:
		fa = ended(language_word(&b->run->item[node->item], b->x));
		break;
	case NODE_SEQ:
		fa = row(b, node->child);
		break;
	case NODE_ALT:
		fa = fa_make_basic(FA_EMPTY);
		for (const struct node *n = node->child;
		     n != NULL && fa != NULL; n = n->next)
			fa = fa_either(fa, node_fa(b, n));
		break;
	}
	if (node->repeat)
		fa = fa_times(fa, 1, -1);
	if (node->optional)
		fa = fa_times(fa, 0, 1);
	return fa;
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
		fa = fa_behind(fa, row(b, k->next));
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

/* Adds to *sum what there is when the node has the first word. */
static void
begin(const struct built *b, const struct node *node, const struct behind *k,
    struct fa **sum)
{
	const struct item *it;
	struct fa *fa;

	if (*sum == NULL)
		return;
	switch (node->kind) {
	case NODE_WORD:
		it = &b->run->item[node->item];
		fa = first_word(it, b->x);
		if (node->repeat)
			fa = fa_behind(fa,
			    fa_times(ended(language_word(it, b->x)), 0, -1));
		*sum = fa_either(*sum, fa_behind(fa, behind_fa(b, k)));
		return;
	case NODE_SEQ:
		for (const struct node *n = node->child; n != NULL;
		     n = n->next) {
			const struct behind here = { n->next, k };

			begin(b, n, &here, sum);
			if (!is_nullable(n))
				return;
		}
		return;
	case NODE_ALT:
		for (const struct node *n = node->child; n != NULL; n = n->next)
			begin(b, n, k, sum);
		return;
	}
}

/* -- commands -------------------------------------------------------------- */

/* The variables in order of their names; behind a deny rule's there may be
 * others. */
static struct fa *
sets_fa(const struct built *b, bool deny)
{
	const struct item *it[COMMAND_ASSIGN_MAX];
	struct fa *fa =
	    deny ? fa_format(SETS, any()) : fa_make_basic(FA_EPSILON);
	size_t n = items_by_name(b->run, it);

	for (size_t i = 0; i < n && fa != NULL; i++) {
		fa = fa_behind(fa, language_word(it[i], b->x));
		fa = fa_behind(fa, fa_char(LANGUAGE_SET));
		if (deny)
			fa = fa_behind(fa, fa_format(SETS, any()));
	}
	return fa;
}

static struct fa *
stages_fa(const struct run *run, const struct language_ctx *x, bool deny)
{
	struct fa *fa = fa_make_basic(FA_EPSILON), *sum;
	struct built b = { .x = x };

	for (b.run = run; b.run != NULL && fa != NULL; b.run = b.run->next) {
		if (b.run != run)
			fa = fa_behind(fa, fa_char(LANGUAGE_PIPE));
		fa = fa_behind(fa, sets_fa(&b, deny));
		sum = fa_make_basic(FA_EMPTY);
		begin(&b, b.run->tree, NULL, &sum);
		fa = fa_behind(fa, sum);
	}
	return fa;
}

struct fa *
language_run(const struct run *run, const struct language_ctx *x)
{
	bool deny = run->rule->effect == EFFECT_DENY;
	struct fa *fa;

	if (run->dir != NULL)
		fa = fa_behind(
		    language_word(run->dir, x), fa_char(LANGUAGE_DIR));
	else
		fa = deny ? fa_format("(/%s*\004)?", any())
			  : fa_make_basic(FA_EPSILON);
	if (!deny)
		return fa_behind(fa, stages_fa(run, x, false));
	fa = fa_behind(fa, fa_format("(" STAGE "\003)*", any(), any(), any()));
	fa = fa_behind(fa, stages_fa(run, x, true));
	return fa_behind(
	    fa, fa_format("(\003" STAGE ")*", any(), any(), any()));
}

struct fa *
language_first(size_t stage, const char *word)
{
	struct fa *fa = fa_format("(/%s*\004)?", any());

	for (size_t i = 0; i < stage; i++)
		fa =
		    fa_behind(fa, fa_format(STAGE "\003", any(), any(), any()));
	fa = fa_behind(fa, fa_format(SETS, any()));
	fa = fa_behind(fa, ended(language_text(word)));
	fa = fa_behind(fa, fa_format("(%s*\001)*", any()));
	return fa_behind(
	    fa, fa_format("(\003" STAGE ")*", any(), any(), any()));
}

/* -- files, repositories --------------------------------------------------- */

struct fa *
language_transfer(const struct transfer *t, const struct language_ctx *x)
{
	const struct slot beneath = { .kind = SLOT_PATH, .pattern = "/**" };
	struct fa *fa = language_word(&t->under, x), *more = NULL;
	struct buf b;

	buf_init(&b, 64UL * 1024);
	if (regex_slot(&beneath, false, REGEX_BYTES, &b) == 0)
		more = fa_times(fa_regex(buf_ptr(&b), buf_len(&b)), 0, 1);
	buf_clear(&b);
	return ended(fa_behind(fa, more));
}

static struct fa *
ref_fa(const struct git_ref *ref, bool deny, const struct language_ctx *x)
{
	struct piece piece = { .slot = ref->slot };
	const struct item it = { .piece = &piece, .npiece = 1, .deny = deny };
	struct fa *fa = NULL;
	struct buf b;

	if (ref->slot != NULL)
		return ended(language_word(&it, x));
	buf_init(&b, 64UL * 1024);
	if (regex_glob(ref->glob, true, REGEX_BYTES, &b) == 0)
		fa = fa_regex(buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return ended(fa);
}

struct fa *
language_repository(const struct repository *g, const struct language_ctx *x)
{
	bool deny = g->rule->effect == EFFECT_DENY;
	struct fa *refs = g->nref == 0 ? fa_format("%s+\001", any())
				       : fa_make_basic(FA_EMPTY);

	for (size_t i = 0; i < g->nref && refs != NULL; i++)
		refs = fa_either(refs, ref_fa(&g->ref[i], deny, x));
	/* Whether the connection may be opened at all is not asked of a rule
	 * that denies some refs. */
	if (!deny || g->nref == 0)
		refs = fa_either(refs, fa_char(LANGUAGE_SET));
	return fa_behind(ended(language_word(&g->path, x)), refs);
}
