/*
 * What would have to be written for a command that a policy denies: one edit,
 * the smallest, on the way to a policy that allows it.  Runs in the command
 * line tools.
 */
#include "config.h"

#include "policy/suggest_internal.h"

#include <inttypes.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/judge.h"
#include "policy/model.h"
#include "policy/nearest.h"

/* -- edits
 * --------------------------------------------------------------------- */

const char *
source_of(const struct search *f, const struct place *at)
{
	return f->p->source[at->pos.file].text + at->pos.off;
}

void
edit_at(struct edit *e, const struct place *at)
{
	e->file = at->pos.file;
	e->off = at->pos.off;
	e->len = at->width;
}

void
edit_behind(struct edit *e, const struct place *at)
{
	edit_at(e, at);
	e->off += e->len;
	e->len = 0;
}

void
edit_before(struct edit *e, const struct place *at)
{
	edit_at(e, at);
	e->len = 0;
}

int
put_string(struct buf *b, const char *s)
{
	int r = buf_put(b, "\"", 1);

	for (; *s != '\0' && r == 0; s++)
		r = buf_putf(b, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
	return r != 0 ? r : buf_put(b, "\"", 1);
}

/* One word as a `run` line has it. */
static int
put_word(struct buf *b, char *word)
{
	char *argv[] = { word, NULL };
	struct stage g = { .argv = argv, .argc = 1 };
	struct command c = { .stage = &g, .nstage = 1 };

	if (strcmp(word, "with") == 0 || strcmp(word, "in") == 0)
		return buf_putf(b, "'%s'", word);
	return command_print(&c, b);
}

static int
put_stage(struct buf *b, const struct stage *g)
{
	size_t n;
	int r = 0;

	for (size_t i = 0; i < g->nassign && r == 0; i++) {
		n = strcspn(g->assign[i], "=") + 1;
		if ((r = buf_put(b, g->assign[i], n)) == 0 &&
		    (r = put_word(b, g->assign[i] + n)) == 0)
			r = buf_put(b, " ", 1);
	}
	for (size_t i = 0; i < g->argc && r == 0; i++) {
		if (i > 0)
			r = buf_put(b, " ", 1);
		if (r == 0)
			r = put_word(b, g->argv[i]);
	}
	return r;
}

/* What stands behind `run`. */
static int
put_command(struct buf *b, const struct request *q)
{
	const struct command *c = q->command;
	int r = 0;

	if (c->dir != NULL && ((r = buf_putf(b, "in <path ")) != 0 ||
				  (r = put_string(b, c->dir)) != 0 ||
				  (r = buf_putf(b, "> ")) != 0))
		return r;
	for (size_t i = 0; i < c->nstage && r == 0; i++) {
		if (i > 0)
			r = buf_putf(b, " | ");
		if (r == 0)
			r = put_stage(b, &c->stage[i]);
	}
	return r != 0 || !q->pty ? r : buf_putf(b, " with pty");
}

/* The word is a number just outside of the slot's range. */
static int
edit_range(
    struct search *f, const struct item *it, const char *word, struct edit *e)
{
	const struct piece *last = &it->piece[it->npiece - 1];
	const char *s, *range;
	size_t skip = it->npiece == 2 ? it->piece[0].len : 0, n;
	uint64_t v;

	if (it->npiece > 2 || last->slot == NULL ||
	    last->slot->kind != SLOT_INT || last->type.name != NULL ||
	    (it->npiece == 2 &&
		(it->piece[0].text == NULL ||
		    strncmp(word, it->piece[0].text, skip) != 0)) ||
	    num_parse(word + skip, 0, UINT64_MAX, &v) != 0)
		return ERR_NOTFOUND;
	s = source_of(f, &it->at);
	if ((range = memmem(s, it->at.width, "int ", 4)) == NULL)
		return ERR_NOTFOUND;
	range += 4;
	range += strspn(range, " \t");
	n = strspn(range, "0123456789.");
	e->file = it->at.pos.file;
	e->off = it->at.pos.off + (size_t)(range - s);
	e->len = n;
	return buf_putf(&e->text, "%" PRIu64 "..%" PRIu64,
	    v < last->slot->min ? v : last->slot->min,
	    v > last->slot->max ? v : last->slot->max);
}

/* The failing word of the nearest pattern. */
static int
edit_word(struct search *f, const struct nearest *n, struct edit *e)
{
	const struct run *run = n->at;
	const struct stage *c = &f->w.q.command->stage[n->way.stage];
	const struct item *it;
	int r;

	if (n->way.item == NEAREST_NONE) {
		if (n->way.after == NEAREST_NONE)
			return ERR_NOTFOUND;
		edit_behind(e, &run->item[n->way.after].at);
		if ((r = buf_putf(&e->text, " [")) != 0 ||
		    (r = put_word(&e->text, c->argv[n->way.word])) != 0)
			return r;
		return buf_putf(&e->text, "]");
	}
	it = &run->item[n->way.item];
	edit_at(e, &it->at);
	if (n->way.word >= c->argc)
		return buf_putf(&e->text, "[%.*s]", (int)it->at.width,
		    source_of(f, &it->at));
	if ((r = edit_range(f, it, c->argv[n->way.word], e)) != ERR_NOTFOUND)
		return r;
	if ((r = buf_putf(&e->text, "(%.*s | ", (int)it->at.width,
		 source_of(f, &it->at))) != 0 ||
	    (r = put_word(&e->text, c->argv[n->way.word])) != 0)
		return r;
	return buf_putf(&e->text, ")");
}

/* The whole command as a line of its own, before the nearest. */
static int
edit_line(struct search *f, const struct nearest *n, struct edit *e)
{
	const struct run *run = n->run;
	const char *s;
	int r;

	edit_before(e, run->dir != NULL ? &run->dir->at : &run->at);
	/* back to the `run` */
	s = f->p->source[e->file].text;
	while (e->off > 4 && memcmp(s + e->off - 4, "run ", 4) != 0)
		e->off--;
	if ((r = put_command(&e->text, &f->w.q)) != 0)
		return r;
	return buf_putf(&e->text, "; run ");
}

int
edit_rule_begin(struct search *f, struct edit *e)
{
	static const char name[] = "new";
	const struct request *q = &f->w.q;
	bool own = strcmp(q->login, q->target->login) == 0;

	if (dict_get(&f->p->rules, name) != NULL)
		return ERR_NOTFOUND;
	e->file = f->p->nsource - 1;
	e->off = f->p->source[e->file].len;
	return buf_putf(&e->text, "\nallow %s for %s on %s%s%s { ", name,
	    f->w.identity->name, own ? "" : q->login, own ? "" : "+",
	    q->target->name);
}

static int
edit_rule(struct search *f, struct edit *e)
{
	int r;

	if ((r = edit_rule_begin(f, e)) != 0 ||
	    (r = buf_putf(&e->text, "run ")) != 0 ||
	    (r = put_command(&e->text, &f->w.q)) != 0)
		return r;
	return buf_putf(&e->text, " }\n");
}

/* -- a rule that fits but for who and where
 * ------------------------------------------ */

enum lacks
rule_lacks(const struct search *f, const struct rule *rule)
{
	const struct request *q = &f->w.q;
	enum lacks lacks = LACKS_NOTHING;

	if (rule->effect != EFFECT_ALLOW || !rule_is_now(rule, q))
		return LACKS_MORE;
	if (rule_identity(rule, q) == NULL)
		lacks = LACKS_WHO;
	if (!rule_is_here(rule, q))
		lacks = lacks == LACKS_NOTHING ? LACKS_WHERE : LACKS_MORE;
	return lacks;
}

int
edit_header(const struct search *f, const struct rule *rule, enum lacks lacks,
    struct edit *e)
{
	const struct request *q = &f->w.q;
	bool own = strcmp(q->login, q->target->login) == 0;

	switch (lacks) {
	case LACKS_WHO:
		if (rule->nwho == 0)
			return ERR_NOTFOUND;
		edit_behind(e, &rule->who[rule->nwho - 1].at);
		return buf_putf(&e->text, " %s", f->w.identity->name);
	case LACKS_WHERE:
		edit_behind(e, &rule->where[rule->nwhere - 1].ref.at);
		return buf_putf(&e->text, " %s%s%s", own ? "" : q->login,
		    own ? "" : "+", q->target->name);
	case LACKS_NOTHING:
	case LACKS_MORE:
		break;
	}
	return ERR_NOTFOUND;
}

static int
edit_run(const struct search *f, const struct run *run, struct edit *e)
{
	enum lacks lacks;

	if (!run_matches(run, &f->s))
		return ERR_NOTFOUND;
	lacks = rule_lacks(f, run->rule);
	if (!f->w.q.pty || run->pty)
		return edit_header(f, run->rule, lacks, e);
	if (lacks != LACKS_NOTHING)
		return ERR_NOTFOUND;
	edit_behind(e, &run->at);
	return buf_putf(
	    &e->text, run->stdin_ok ? " with pty stdin" : " with pty");
}

static int
edit_fitting(const struct search *f, struct edit *e)
{
	const struct rule *rule;

	for (size_t i = 0; i < f->p->nrule; i++) {
		rule = f->p->rule[i];
		for (size_t k = 0; k < rule->nrun; k++) {
			if (edit_run(f, rule->run[k], e) == 0)
				return 0;
		}
	}
	return ERR_NOTFOUND;
}

/* By the nearest pattern's failing word, or (whole) by the whole command. */
int
suggest_edit(struct search *f, bool whole, struct edit *e)
{
	struct nearest n;
	int r;

	if ((r = edit_fitting(f, e)) != ERR_NOTFOUND)
		return r;
	nearest_find(&f->w.q, &f->s, &n);
	if (n.run == NULL)
		return edit_rule(f, e);
	if (whole || n.way.what != WAY_WORDS || n.way.word == 0)
		return edit_line(f, &n, e);
	if (n.way.word == NEAREST_NONE)
		return ERR_NOTFOUND;
	return edit_word(f, &n, e);
}
