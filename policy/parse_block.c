/*
 * The `program` and `type` statements.  Each checks what can be
 * judged from the statement alone; what needs other statements is resolve.c's.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/slot.h"

/* -- program, type --------------------------------------------------------- */

static int
program_path(struct parser *ps, struct ref *path)
{
	if (!parse_is_punct(ps, '='))
		return parse_expected(ps, "`=`");
	parse_next(ps, LEX_POLICY);
	if (ps->t.kind != LEX_WORD && ps->t.kind != LEX_STRING)
		return parse_expected(ps, "the program's path");
	path->at = parse_place(ps);
	if ((path->name = parse_text(ps)) == NULL)
		return ERR_NOMEM;
	if (!path_is_plain(path->name, strlen(path->name)))
		return parse_error(ps, "expected an absolute path without empty, "
		    "`.` or `..` parts");
	parse_next(ps, LEX_POLICY);
	return 0;
}

/* on WHERE... : whatever the login is called */
static int
program_where(struct parser *ps, struct program *g)
{
	struct where w, *v;
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if ((r = parse_where(ps, &w)) != 0)
			return r;
		if (w.login != NULL)
			return parse_error_at(ps, &w.ref.at,
			    "a program is "
			    "the same for every login: leave `%s+` out",
			    w.login);
		if (g->nwhere >= POLICY_LIST_MAX)
			return parse_error_at(ps, &w.ref.at,
			    "more than %d "
			    "places: make a group of them",
			    POLICY_LIST_MAX);
		v = arena_extend(ps->p->arena, g->where, g->nwhere,
		    &g->capwhere, sizeof(*v));
		if (v == NULL)
			return ERR_NOMEM;
		g->where = v;
		g->where[g->nwhere++] = w;
	} while (ps->t.kind == LEX_WORD);
	return 0;
}

/* A name or path of programs on other targets: one more of them.  Whether
 * two are for one target is seen when targets are known. */
static int
program_add(struct parser *ps, struct program *head, struct program *g,
    struct program *(*next)(struct program *g, struct program *to))
{
	struct program *other;
	size_t n = 1;

	for (other = head; other != NULL; other = next(other, NULL))
		n++;
	if (n > POLICY_LIST_MAX)
		return parse_error_at(ps, &g->at,
		    "more than %d programs of "
		    "one name or path: put targets into groups",
		    POLICY_LIST_MAX);
	other = next(head, NULL);
	(void)next(head, g);
	if (other != NULL)
		(void)next(g, other);
	return 0;
}

static struct program *
next_name(struct program *g, struct program *to)
{
	if (to != NULL)
		g->same_name = to;
	return g->same_name;
}

static struct program *
next_path(struct program *g, struct program *to)
{
	if (to != NULL)
		g->same_path = to;
	return g->same_path;
}

/* Its name: once, or each time for other targets. */
static int
program_name(struct parser *ps, struct program *g, const struct ref *name)
{
	struct policy *p = ps->p;
	struct program *first = dict_get(&p->program_words, g->name);

	if (first != NULL && first->nwhere > 0 && g->nwhere > 0)
		return program_add(ps, first, g, next_name);
	return parse_define(ps, &p->program_words, name, "program", g,
	    first == NULL ? &name->at : &first->at);
}

static int
program_word(struct parser *ps, struct program *g, const struct place *at)
{
	struct policy *p = ps->p;
	struct program *first = dict_get(&p->program_words, g->path);

	if (first == NULL)
		return dict_put(&p->program_words, p->arena, g->path, g);
	if (first->nwhere > 0 && g->nwhere > 0)
		return program_add(ps, first, g, next_path);
	return parse_error_at(ps, at,
	    "`%s` is already the path of program "
	    "`%s`",
	    g->path, first->name);
}

int
parse_program(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct program *g, **v;
	struct ref name, path;
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the program's name", &name)) != 0 ||
	    (r = program_path(ps, &path)) != 0)
		return r;
	if ((g = arena_get(p->arena, sizeof(*g))) == NULL ||
	    (v = arena_extend(p->arena, p->program, p->nprogram,
	    &p->capprogram, sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->program = v;
	*g = (struct program){
		.name = name.name, .path = path.name, .at = name.at
	};
	if (parse_is_word(ps, "on") && (r = program_where(ps, g)) != 0)
		return r;
	if ((r = program_name(ps, g, &name)) != 0)
		return r == ERR_EXISTS ? 0 : r;
	p->program[p->nprogram++] = g;
	return program_word(ps, g, &path.at);
}

static bool
is_slot_word(const char *s)
{
	for (size_t i = 0; slot_words[i] != NULL; i++) {
		if (strcmp(slot_words[i], s) == 0)
			return true;
	}
	return false;
}

int
parse_type(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct type *t, *first, **v;
	struct ref name, ref = { 0 };
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the type's name", &name)) != 0)
		return r;
	if (is_slot_word(name.name))
		return parse_error_at(ps, &name.at, "`%s` is a slot's own word "
		    "and cannot name a type", name.name);
	if ((t = arena_get(p->arena, sizeof(*t))) == NULL ||
	    (v = arena_extend(p->arena, p->type, p->ntype, &p->captype,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->type = v;
	t->name = name.name;
	t->at = name.at;
	first = dict_get(&p->types, name.name);
	r = parse_define(ps, &p->types, &name, "type", t,
	    first == NULL ? &name.at : &first->at);
	if (r == 0)
		p->type[p->ntype++] = t;
	else if (r != ERR_EXISTS)
		return r;
	if (!parse_is_punct(ps, '='))
		return parse_expected(ps, "`=`");
	parse_next(ps, LEX_SLOT);
	if (parse_is_punct(ps, '<'))
		return parse_error(ps, "a type is written without < >: "
		    "type %s = enum a b", name.name);
	if ((r = parse_slot(ps, &t->slot, &ref)) != 0)
		return r;
	if (ref.name != NULL)
		return parse_error_at(ps, &ref.at, "expected a slot, as enum "
		    "a b, found `%.80s`: a type is no other type's name",
		    ref.name);
	return 0;
}
