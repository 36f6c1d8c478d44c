/*
 * The `person` and `people` statements: who may approve.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/parse.h"

#define PERSON_KEY_MAX 4096
#define ACTOR_MAX 128

struct person_block {
	struct person *person;
	struct parse_list key;
};

/* "TYPE BASE64 [comment]", as in authorized_keys, without options. */
static bool
key_valid(const char *s)
{
	static const char *const types[] = { "ssh-ed25519 ", "ssh-rsa ",
		"ecdsa-sha2-nistp256 ", "ecdsa-sha2-nistp384 ",
		"ecdsa-sha2-nistp521 ", "sk-ssh-ed25519@openssh.com ",
		"sk-ecdsa-sha2-nistp256@openssh.com " };
	size_t n;

	if (strlen(s) > PERSON_KEY_MAX)
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strncmp(s, types[i], strlen(types[i])) != 0)
			continue;
		s += strlen(types[i]);
		n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "abcdefghijklmnopqrstuvwxyz0123456789+/=");
		return n >= 64 && n % 4 == 0 && strncmp(s, "AAAA", 4) == 0 &&
		    (s[n] == '\0' || s[n] == ' ');
	}
	return false;
}

static int
person_key(struct parser *ps, void *ctx)
{
	struct person_block *b = ctx;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "a public key as a string", &ref)) != 0)
		return r;
	if (!key_valid(ref.name))
		return parse_error_at(ps, &ref.at, "expected a public key, as "
		    "\"ssh-ed25519 AAAA...\"");
	return parse_list_add(ps, &b->key, &ref, "key");
}

static int
token_claim(struct parser *ps, void *ctx)
{
	struct token *token = ctx;

	return parse_condition(ps, &token->cond);
}

static const struct parse_row token_rows[] = { { "claim", token_claim } };

/* token ISSUER { claim ... } */
static int
person_token(struct parser *ps, void *ctx)
{
	struct person_block *b = ctx;
	struct person *person = b->person;
	struct token *v, token = { 0 };
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "an issuer's name", &token.from)) != 0 ||
	    (r = parse_block(ps, ROWS(token_rows), "`claim`", &token)) != 0)
		return r;
	if (person->ntoken >= POLICY_LIST_MAX)
		return parse_error_at(ps, &token.from.at, "more than %d tokens",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, person->token, person->ntoken,
	    &person->captoken, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	person->token = v;
	person->token[person->ntoken++] = token;
	return 0;
}

/* actor ISSUER "ID" */
static int
person_actor(struct parser *ps, void *ctx)
{
	struct person_block *b = ctx;
	struct person *person = b->person;
	struct actor *v, actor = { 0 };
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "an issuer's name", &actor.from)) != 0 ||
	    (r = parse_string(ps, "the actor's id as a string", &ref)) != 0)
		return r;
	if (*ref.name == '\0' || strlen(ref.name) > ACTOR_MAX)
		return parse_error_at(ps, &ref.at, "an actor's id has 1 to %d "
		    "bytes", ACTOR_MAX);
	actor.id = ref;
	if (person->nactor >= POLICY_LIST_MAX)
		return parse_error_at(ps, &ref.at, "more than %d actors",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, person->actor, person->nactor,
	    &person->capactor, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	person->actor = v;
	person->actor[person->nactor++] = actor;
	return 0;
}

static const struct parse_row person_rows[] = {
	{ "key", person_key }, { "token", person_token },
	{ "actor", person_actor },
};

int
parse_person(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct person_block b = { 0 };
	struct person *first, **v;
	struct ref name;
	size_t errors = diags_count(ps->d);
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the person's name", &name)) != 0)
		return r;
	if (p->nperson >= POLICY_PERSONS_MAX)
		return parse_error_at(ps, &name.at, "more than %d persons",
		    POLICY_PERSONS_MAX);
	if ((b.person = arena_get(p->arena, sizeof(*b.person))) == NULL ||
	    (v = arena_extend(p->arena, p->person, p->nperson, &p->capperson,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->person = v;
	b.person->name = name.name;
	b.person->at = name.at;
	first = dict_get(&p->persons, name.name);
	r = parse_define(ps, &p->persons, &name, "person", b.person,
	    first == NULL ? &name.at : &first->at);
	if (r == 0)
		p->person[p->nperson++] = b.person;
	else if (r != ERR_EXISTS)
		return r;
	if ((r = parse_block(ps, ROWS(person_rows), "`key`, `token` or "
	    "`actor`", &b)) != 0)
		return r;
	b.person->key = b.key.v;
	b.person->nkey = b.key.n;
	if (b.key.n == 0 && b.person->ntoken == 0 &&
	    diags_count(ps->d) == errors)
		(void)parse_error_at(ps, &name.at, "person `%s` has neither "
		    "`key` nor `token`: nobody could be told to be it",
		    name.name);
	return 0;
}

static int
add_member(struct parser *ps, struct people *people)
{
	struct ref ref, *v;
	int r;

	if ((r = parse_name(ps, "a person's name", &ref)) != 0)
		return r;
	for (size_t i = 0; i < people->n; i++) {
		if (strcmp(people->member[i].name, ref.name) == 0)
			return parse_error_at(ps, &ref.at, "person `%s` is "
			    "written twice", ref.name);
	}
	if (people->n >= POLICY_PERSONS_MAX)
		return parse_error_at(ps, &ref.at, "more than %d persons",
		    POLICY_PERSONS_MAX);
	v = arena_extend(ps->p->arena, people->member, people->n, &people->cap,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	people->member = v;
	people->member[people->n++] = ref;
	return 0;
}

/* { NAME... } */
static int
members(struct parser *ps, struct people *people)
{
	int r;

	if (!parse_is_punct(ps, '{'))
		return parse_expected(ps, "`{`");
	parse_next(ps, LEX_POLICY);
	for (;;) {
		while (ps->t.kind == LEX_NEWLINE || parse_is_punct(ps, ';'))
			parse_next(ps, LEX_POLICY);
		if (parse_is_punct(ps, '}'))
			break;
		if ((r = add_member(ps, people)) != 0) {
			if (r == ERR_NOMEM || ps->t.kind == LEX_END)
				return r;
			parse_skip_line(ps, LEX_POLICY);
		}
	}
	parse_next(ps, LEX_POLICY);
	return 0;
}

int
parse_people(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct people *people, *first, **v;
	struct ref name;
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "a name of people", &name)) != 0)
		return r;
	if ((people = arena_get(p->arena, sizeof(*people))) == NULL ||
	    (v = arena_extend(p->arena, p->people, p->npeople, &p->cappeople,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->people = v;
	people->name = name.name;
	people->at = name.at;
	first = dict_get(&p->peoples, name.name);
	r = parse_define(ps, &p->peoples, &name, "people", people,
	    first == NULL ? &name.at : &first->at);
	if (r == 0)
		p->people[p->npeople++] = people;
	else if (r != ERR_EXISTS)
		return r;
	return members(ps, people);
}
