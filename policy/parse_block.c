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
	int r;

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
	if (!parse_is_word(ps, "on"))
		return 0;
	path->at = parse_place(ps);
	r = parse_unsupported(ps, &path->at, "a program of some targets, `on`,");
	return r;
}

int
parse_program(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct program *g, *first, **v;
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
	*g = (struct program){ name.name, path.name, name.at };
	first = dict_get(&p->programs, name.name);
	r = parse_define(ps, &p->programs, &name, "program", g,
	    first == NULL ? &name.at : &first->at);
	if (r == ERR_EXISTS)
		return 0;
	if (r != 0)
		return r;
	p->program[p->nprogram++] = g;
	if ((r = dict_put(&p->program_words, p->arena, name.name, g)) == 0)
		r = dict_put(&p->program_words, p->arena, path.name, g);
	if (r == ERR_EXISTS) {
		first = dict_get(&p->program_words, path.name);
		return parse_error_at(ps, &path.at, "`%s` is already the path "
		    "of program `%s`", path.name, first->name);
	}
	return r;
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
