/*
 * `run` lines: where the command runs, the variables in front of it, the
 * patterns of its programs (parse_run.c), and what it is given.
 */
#include "config.h"

#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/parse.h"

bool
parse_is_assign(const char *s, size_t *len)
{
	static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz_0123456789";
	size_t n = strspn(s, name);

	if (n == 0 || s[n] != '=' || (*s >= '0' && *s <= '9'))
		return false;
	*len = n;
	return true;
}

/* in <slot> */
static int
line_dir(struct parser *ps, struct run *run)
{
	bool repeat = false, deny = run->rule->effect == EFFECT_DENY;
	int r;

	parse_next(ps, LEX_RUN);
	if (!parse_is_punct(ps, '<'))
		return parse_expected(ps,
		    "a folder as </srv/app/**>, since "
		    "`in` says where the command runs; a program of that name "
		    "is quoted: 'in'");
	run->dir = arena_get(ps->p->arena, sizeof(*run->dir));
	if (run->dir == NULL)
		return ERR_NOMEM;
	if ((r = parse_item(ps, deny, run->dir, &repeat)) != 0)
		return r;
	if (repeat || run->dir->npiece != 1)
		return parse_error_at(ps, &run->dir->at,
		    "the folder is one "
		    "slot, as </srv/app/**>");
	return 0;
}

static int
add_assign(
    struct parser *ps, struct run *run, const struct item *it, size_t *cap)
{
	const char *text = it->piece[0].text;
	struct item *v;
	size_t len = 0;

	(void)parse_is_assign(text, &len);
	for (size_t i = 0; i < run->nassign; i++) {
		if (strncmp(run->assign[i].piece[0].text, text, len + 1) == 0)
			return parse_error_at(ps, &it->at,
			    "`%.*s` is set twice "
			    "in this line",
			    (int)len, text);
	}
	if (run->nassign >= COMMAND_ASSIGN_MAX)
		return parse_error_at(
		    ps, &it->at, "more than %d variables", COMMAND_ASSIGN_MAX);
	v = arena_extend(
	    ps->p->arena, run->assign, run->nassign, cap, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	run->assign = v;
	run->assign[run->nassign++] = *it;
	return 0;
}

/* { NAME=word } */
static int
line_assigns(struct parser *ps, struct run *run)
{
	bool repeat = false, deny = run->rule->effect == EFFECT_DENY;
	struct item it;
	size_t len, cap = 0;
	int r;

	while (ps->t.kind == LEX_WORD && !ps->t.quoted &&
	       parse_is_assign(ps->t.text, &len)) {
		if ((r = parse_item(ps, deny, &it, &repeat)) != 0)
			return r;
		if (repeat)
			return parse_error_at(ps, &it.at,
			    "a variable has one "
			    "value: leave out the `...`");
		if ((r = add_assign(ps, run, &it, &cap)) != 0)
			return r;
	}
	return 0;
}

/* One program, behind `run` or `|`; **tail gets it. */
static int
line_stage(struct parser *ps, const struct rule *rule, struct run ***tail)
{
	struct run *run = arena_get(ps->p->arena, sizeof(*run));
	int r;

	if (run == NULL)
		return ERR_NOMEM;
	run->rule = rule;
	parse_next(ps, LEX_RUN);
	if (parse_is_word(ps, "in") && (r = line_dir(ps, run)) != 0)
		return r;
	if ((r = line_assigns(ps, run)) != 0 ||
	    (r = parse_pattern(ps, run)) != 0)
		return r;
	**tail = run;
	*tail = &run->next;
	return 0;
}

/* program | program ... */
static int
line_stages(struct parser *ps, const struct rule *rule, struct run **first)
{
	struct run **tail = first;
	size_t n = 0;
	int r;

	do {
		if (n >= COMMAND_STAGES_MAX)
			return parse_error(ps,
			    "a pipeline of more than %d "
			    "programs",
			    COMMAND_STAGES_MAX);
		if ((r = line_stage(ps, rule, &tail)) != 0)
			return r;
		n++;
	} while (parse_is_punct(ps, '|'));
	for (struct run *run = *first; run != NULL; run = run->next) {
		run->nstage = n--;
		if (run != *first && run->dir != NULL)
			return parse_error_at(ps, &run->dir->at,
			    "`in` stands "
			    "in front of the whole pipeline: behind `run`");
	}
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
			return parse_expected(ps, *pty || *stdin_ok
						      ? "the end of the line"
						      : "`pty` or `stdin`");
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

/* What the command is given beside its words. */
static int
line_with(struct parser *ps, struct run *run)
{
	if (!parse_is_word(ps, "with"))
		return parse_at_line_end(ps)
			   ? 0
			   : parse_expected(
				 ps, "a word or the end of the line");
	if (run->rule->effect == EFFECT_DENY)
		return parse_error(ps,
		    "a deny rule denies whatever terminal "
		    "or input there is: leave `with` out; quote the word if it "
		    "is an argument");
	return parse_with(ps, &run->pty, &run->stdin_ok, &run->stdin_max);
}

int
parse_run(struct parser *ps, struct rule *rule)
{
	struct place at = parse_place(ps);
	struct run **v, *run = NULL;
	int r;

	if (rule->nrun >= POLICY_LINES_MAX)
		return parse_error_at(
		    ps, &at, "more than %d `run` lines", POLICY_LINES_MAX);
	if ((r = line_stages(ps, rule, &run)) != 0 ||
	    (r = line_with(ps, run)) != 0)
		return r;
	v = arena_extend(
	    ps->p->arena, rule->run, rule->nrun, &rule->caprun, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->run = v;
	run->order = rule->nrun;
	rule->run[rule->nrun++] = run;
	return 0;
}
