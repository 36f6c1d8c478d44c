/*
 * Suggestions: edits are made on the policy's text, loaded again, and judged
 * by the decision itself; what would not help is not shown.  Runs in the
 * command line tools.
 */
#include "config.h"

#include "policy/suggest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/nearest.h"
#include "policy/resolve.h"
#include "policy/whatif.h"

#define EDITS_MAX 4 /* of one suggestion */

/* A stretch of a source and what would stand there. */
struct edit {
	size_t file, off, len;
	struct buf text;
};

/* What is being looked for, on the policy as edited so far. */
struct search {
	const struct whatif *asked;
	const struct policy *p;
	struct whatif w;
	struct subject s;
};

void
suggestion_clear(struct suggestion *s)
{
	free(s->text);
	*s = (struct suggestion){ 0 };
}

/* -- edits
 * --------------------------------------------------------------------- */

static const char *
source_of(const struct search *f, const struct place *at)
{
	return f->p->source[at->pos.file].text + at->pos.off;
}

static void
edit_at(struct edit *e, const struct place *at)
{
	e->file = at->pos.file;
	e->off = at->pos.off;
	e->len = at->width;
}

static void
edit_behind(struct edit *e, const struct place *at)
{
	edit_at(e, at);
	e->off += e->len;
	e->len = 0;
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
put_command(struct buf *b, const struct command *c)
{
	int r = 0;

	for (size_t i = 0; i < c->stage->argc && r == 0; i++) {
		if (i > 0)
			r = buf_put(b, " ", 1);
		if (r == 0)
			r = put_word(b, c->stage->argv[i]);
	}
	return r;
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
	const struct run *run = n->run;
	const struct stage *c = f->w.q.command->stage;
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
	const struct request *q = &f->w.q;
	int r;

	edit_at(e, &n->run->at);
	e->len = 0;
	if ((r = put_command(&e->text, q->command)) != 0)
		return r;
	return buf_putf(&e->text, "%s; run ", q->pty ? " with pty" : "");
}

/* A rule of its own, behind everything. */
static int
edit_rule(struct search *f, struct edit *e)
{
	const struct request *q = &f->w.q;
	const struct source *s = &f->p->source[f->p->nsource - 1];
	const char *plus = strcmp(q->login, q->target->login) == 0 ? "" : "+";
	char name[NAME_LEN_MAX + 1];
	int r;

	if (str_copy(name, sizeof(name), "new") != 0 ||
	    dict_get(&f->p->rules, name) != NULL)
		return ERR_NOTFOUND;
	e->file = f->p->nsource - 1;
	e->off = s->len;
	if ((r = buf_putf(&e->text, "\nallow %s for %s on %s%s%s { run ", name,
		 f->w.identity->name, *plus == '\0' ? "" : q->login, plus,
		 q->target->name)) != 0 ||
	    (r = put_command(&e->text, q->command)) != 0)
		return r;
	return buf_putf(&e->text, "%s }\n", q->pty ? " with pty" : "");
}

/* -- a rule that fits but for who and where
 * ------------------------------------------ */

enum lacks { LACKS_NOTHING, LACKS_WHO, LACKS_WHERE, LACKS_PTY, LACKS_MORE };

static enum lacks
what_lacks(const struct search *f, const struct run *run)
{
	const struct request *q = &f->w.q;
	enum lacks lacks = LACKS_NOTHING;

	if (run->rule->effect != EFFECT_ALLOW || !run_matches(run, &f->s) ||
	    !rule_is_now(run->rule, q))
		return LACKS_MORE;
	if (rule_identity(run->rule, q) == NULL)
		lacks = LACKS_WHO;
	if (!rule_is_here(run->rule, q))
		lacks = lacks == LACKS_NOTHING ? LACKS_WHERE : LACKS_MORE;
	if (q->pty && !run->pty)
		lacks = lacks == LACKS_NOTHING ? LACKS_PTY : LACKS_MORE;
	return lacks;
}

static int
edit_header(const struct search *f, const struct run *run, enum lacks lacks,
    struct edit *e)
{
	const struct rule *rule = run->rule;
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
	case LACKS_PTY:
		edit_behind(e, &run->at);
		return buf_putf(
		    &e->text, run->stdin_ok ? " with pty stdin" : " with pty");
	case LACKS_NOTHING:
	case LACKS_MORE:
		break;
	}
	return ERR_NOTFOUND;
}

static int
edit_fitting(const struct search *f, struct edit *e)
{
	const struct rule *rule;
	enum lacks lacks;

	for (size_t i = 0; i < f->p->nrule; i++) {
		rule = f->p->rule[i];
		for (size_t k = 0; k < rule->nrun; k++) {
			lacks = what_lacks(f, rule->run[k]);
			if (edit_header(f, rule->run[k], lacks, e) == 0)
				return 0;
		}
	}
	return ERR_NOTFOUND;
}

/* -- trying
 * -------------------------------------------------------------------------- */

static int
search_init(struct search *f, const struct policy *p)
{
	const struct whatif *a = f->asked;
	struct whatif *w = &f->w;
	int r;

	f->p = p;
	if ((r = whatif_init(w, p, a->identity->name, &a->claims)) != 0)
		return r;
	if ((r = whatif_where(w, a->q.target->name, a->q.login)) != 0 ||
	    !subject_init(&f->s, p, w->q.target, a->q.command, &w->claims)) {
		whatif_clear(w);
		return ERR_NOTFOUND;
	}
	w->q.command = a->q.command;
	w->q.pty = a->q.pty;
	w->q.now = a->q.now;
	return 0;
}

/* The policy with one file changed, without its tests. */
static int
reload(const struct policy *p, const struct edit *e, struct policy **out)
{
	const char *name[POLICY_FILES_MAX], *text[POLICY_FILES_MAX];
	size_t len[POLICY_FILES_MAX];
	struct diags *d = diags_new();
	const struct source *s = &p->source[e->file];
	struct buf b;
	int r;

	if (d == NULL)
		return ERR_NOMEM;
	buf_init(&b, POLICY_FILE_MAX);
	for (size_t i = 0; i < p->nsource; i++) {
		name[i] = p->source[i].name;
		text[i] = p->source[i].text;
		len[i] = p->source[i].len;
	}
	if ((r = buf_put(&b, s->text, e->off)) == 0 &&
	    (r = buf_put(&b, buf_ptr(&e->text), buf_len(&e->text))) == 0 &&
	    (r = buf_put(&b, s->text + e->off + e->len,
		 s->len - e->off - e->len)) == 0) {
		text[e->file] = (const char *)buf_ptr(&b);
		len[e->file] = buf_len(&b);
		r = policy_load_untested(name, text, len, p->nsource, d, out);
	}
	buf_clear(&b);
	diags_free(d);
	return r;
}

/* The next edit on the way: by the nearest pattern's failing word, or
 * (whole) by the whole command. */
static int
next_edit(struct search *f, bool whole, struct edit *e)
{
	struct nearest n;
	int r;

	if ((r = edit_fitting(f, e)) != ERR_NOTFOUND)
		return r;
	nearest_find(&f->w.q, &f->s, &n);
	if (n.run == NULL)
		return edit_rule(f, e);
	if (whole || n.way.word == 0 || n.way.what != WAY_WORDS ||
	    n.at != n.run)
		return edit_line(f, &n, e);
	if (n.way.word == NEAREST_NONE)
		return ERR_NOTFOUND;
	return edit_word(f, &n, e);
}

static int
take(const struct policy *p, size_t file, struct suggestion *out)
{
	const struct source *s = &p->source[file];
	struct diags *d = diags_new();
	int r = ERR_NOMEM;

	if (d == NULL || (out->text = malloc(s->len + 1)) == NULL)
		goto out;
	memcpy(out->text, s->text, s->len);
	out->text[s->len] = '\0';
	out->len = s->len;
	out->file = file;
	if ((r = policy_selftest(p, d)) == 0)
		out->breaks_tests = diags_count(d) > 0;
out:
	diags_free(d);
	return r;
}

/* Edits until the answer is another one. */
static int
try_edits(const struct whatif *asked, bool whole, struct suggestion *out)
{
	struct search f = { .asked = asked };
	struct policy *p = NULL, *next;
	struct decision d;
	size_t file = SIZE_MAX;
	int r = search_init(&f, asked->policy);

	for (size_t i = 0; r == 0 && i < EDITS_MAX; i++) {
		struct edit e = { 0 };

		buf_init(&e.text, COMMAND_LEN_MAX * 2);
		next = NULL;
		if ((r = next_edit(&f, whole, &e)) == 0 && file != SIZE_MAX &&
		    e.file != file)
			r = ERR_NOTFOUND; /* one file, or it is not small */
		file = e.file;
		if (r == 0)
			r = reload(f.p, &e, &next);
		buf_clear(&e.text);
		whatif_clear(&f.w);
		policy_free(p);
		if ((p = next) == NULL || r != 0 ||
		    (r = search_init(&f, p)) != 0)
			break;
		decide(&f.w.q, &d);
		if (d.verdict != VERDICT_DENY) {
			r = take(p, file, out);
			goto out;
		}
	}
	r = r == ERR_NOMEM ? r : ERR_NOTFOUND;
out:
	whatif_clear(&f.w);
	policy_free(p);
	return r;
}

int
suggest(const struct whatif *w, struct suggestion *out)
{
	const struct command *c = w->q.command;
	struct suggestion s = { 0 };
	struct decision d;
	int r;

	decide(&w->q, &d);
	/* no edit is known for files, folders, variables and pipelines */
	if (d.rule != NULL || c == NULL || c->dir != NULL || c->nstage != 1 ||
	    c->stage->nassign != 0)
		return ERR_NOTFOUND;
	if ((r = try_edits(w, false, &s)) == ERR_NOTFOUND)
		r = try_edits(w, true, &s);
	if (r == 0)
		*out = s;
	else
		suggestion_clear(&s);
	return r;
}
