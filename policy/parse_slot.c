/*
 * Slots: what stands between < and >, and behind `type NAME =`.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/command.h"
#include "policy/glob.h"
#include "policy/parse.h"
#include "policy/slot.h"

#define ANY_SLOT "a slot, as int 1..5, enum a b, text 1..80, /srv/** or a type"

const char *const slot_words[] = { "int", "enum", "text", "path", "git-ref",
	"semver", "sha", "host", "claim", "any", NULL };

/* -- values ------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int
slot_add_value(struct parser *ps, struct slot *slot, const char *text)
{
	const char **v;

	if (slot->nvalue >= POLICY_VALUES_MAX)
		return parse_error(ps, "more than %d values",
		    POLICY_VALUES_MAX);
	v = arena_extend(ps->p->arena, slot->value, slot->nvalue, &slot->cap,
	    sizeof(*v));
	if (v == NULL || text == NULL)
		return ERR_NOMEM;
	slot->value = v;
	slot->value[slot->nvalue++] = text;
	return 0;
}

int
slot_sort_values(struct parser *ps, struct slot *slot)
{
	qsort(slot->value, slot->nvalue, sizeof(*slot->value), compare);
	for (size_t i = 1; i < slot->nvalue; i++) {
		if (strcmp(slot->value[i - 1], slot->value[i]) == 0)
			return parse_error_at(ps, &slot->at, "the value `%.80s` "
			    "is written twice", slot->value[i]);
	}
	return 0;
}

static int
enum_values(struct parser *ps, struct slot *out)
{
	int r;

	while (ps->t.kind == LEX_WORD || ps->t.kind == LEX_STRING) {
		if (ps->t.len == 0)
			return parse_error(ps, "a value cannot be empty");
		if ((r = slot_add_value(ps, out, parse_text(ps))) != 0)
			return r;
		parse_next(ps, LEX_SLOT);
	}
	if (out->nvalue == 0)
		return parse_expected(ps, "the values, as in enum web api");
	return slot_sort_values(ps, out);
}

/* -- ranges ------------------------------------------------------------------- */

/* A..B */
static int
range(struct parser *ps, const char *form, uint64_t max, struct slot *out)
{
	char low[24];
	const char *dots;
	size_t n;

	if (ps->t.kind != LEX_WORD)
		return parse_expected(ps, form);
	dots = strstr(ps->t.text, "..");
	n = dots == NULL ? sizeof(low) : (size_t)(dots - ps->t.text);
	if (n >= sizeof(low))
		return parse_expected(ps, form);
	memcpy(low, ps->t.text, n);
	low[n] = '\0';
	if (num_parse(low, 0, max, &out->min) != 0 ||
	    num_parse(dots + 2, 0, max, &out->max) != 0)
		return parse_expected(ps, form);
	if (out->min > out->max)
		return parse_error(ps, "no number lies within %s",
		    ps->t.text);
	parse_next(ps, LEX_SLOT);
	return 0;
}

static int
int_range(struct parser *ps, struct slot *out)
{
	return range(ps, "a range of whole numbers, as 1..500", UINT64_MAX,
	    out);
}

static int
text_range(struct parser *ps, struct slot *out)
{
	struct place at = parse_place(ps);
	int r;

	if ((r = range(ps, "how many characters, as 1..80",
	    COMMAND_WORD_MAX, out)) != 0)
		return r;
	if (out->min == 0)
		return parse_error_at(ps, &at, "a text has at least one "
		    "character: begin with 1");
	return 0;
}

/* -- paths, claims -------------------------------------------------------------- */

static const char *
path_wrong(const char *s)
{
	const char *stars = strstr(s, "**");
	size_t n = strlen(s);

	if (*s != '/')
		return "a path is absolute: it begins with /";
	if (glob_wrong(s) != NULL)
		return glob_wrong(s);
	if (!path_is_plain(s, n))
		return "a path has no empty, `.` or `..` parts";
	if (stars != NULL && (stars[2] != '\0' || stars[-1] != '/'))
		return "`**` stands for whole parts, at the end only, as in "
		    "/srv/app/**";
	return NULL;
}

static int
path_pattern(struct parser *ps, struct slot *out)
{
	const char *wrong;

	if (ps->t.kind != LEX_WORD && ps->t.kind != LEX_STRING)
		return parse_expected(ps, "a path, as /srv/app/**");
	out->kind = SLOT_PATH;
	if ((out->pattern = parse_text(ps)) == NULL)
		return ERR_NOMEM;
	if ((wrong = path_wrong(out->pattern)) != NULL)
		return parse_error(ps, "%s", wrong);
	parse_next(ps, LEX_SLOT);
	return 0;
}

static int
claim_name(struct parser *ps, struct slot *out)
{
	struct ref ref;
	int r;

	if ((r = parse_word(ps, "a claim's name", &ref)) != 0)
		return r;
	if (strlen(ref.name) > PROTO_CLAIM_NAME_MAX)
		return parse_error_at(ps, &ref.at, "this claim's name is longer "
		    "than %d bytes", PROTO_CLAIM_NAME_MAX);
	out->pattern = ref.name;
	out->at = ref.at;
	return 0;
}

/* -- git-ref ---------------------------------------------------------------------- */

/* What git accepts as a part of a ref (git-check-ref-format), and ASCII. */
static const char *
ref_wrong(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '*')
			return "a git-ref has no wildcards: write a slot, as in "
			    "\"refs/tags/v<int>.<int>\"";
		if (s[i] <= ' ' || s[i] > '~' || strchr("~^:?[\\>\"", s[i]))
			return "git does not take this character in a ref";
		if (i + 1 < n && (memcmp(s + i, "..", 2) == 0 ||
		    memcmp(s + i, "//", 2) == 0 ||
		    memcmp(s + i, "@{", 2) == 0 || memcmp(s + i, "/.", 2) == 0))
			return "git does not take .. // /. or @{ in a ref";
	}
	return NULL;
}

static int
ref_add(struct parser *ps, struct slot *out, const struct piece *piece)
{
	if (out->npiece >= RUN_PIECES_MAX)
		return parse_error(ps, "a git-ref of more than %d parts",
		    RUN_PIECES_MAX);
	out->piece[out->npiece++] = *piece;
	return 0;
}

/* <slot>, the lexer stands on the `<`. */
static int
ref_slot(struct parser *ps, struct slot *out)
{
	struct piece piece = { 0 };
	struct slot *slot = arena_get(ps->p->arena, sizeof(*slot));
	int r;

	if (slot == NULL)
		return ERR_NOMEM;
	parse_next(ps, LEX_SLOT);	/* < */
	if (memchr(ps->l.s + ps->l.off, '>', ps->l.n - ps->l.off) == NULL)
		return parse_error(ps, "this `<` is never closed");
	parse_next(ps, LEX_SLOT);
	if (parse_is_word(ps, "int")) {
		slot->at = parse_place(ps);
		slot->kind = SLOT_INT;
		slot->max = UINT64_MAX;
		parse_next(ps, LEX_SLOT);
		r = parse_is_punct(ps, '>') ? 0 : int_range(ps, slot);
	} else if (parse_is_word(ps, "git-ref")) {
		r = parse_error(ps, "a git-ref within a git-ref");
	} else {
		r = parse_slot(ps, slot, &piece.type);
	}
	if (r != 0)
		return r;
	if (!parse_is_punct(ps, '>'))
		return parse_expected(ps, "`>`");
	if (piece.type.name == NULL)
		piece.slot = slot;
	return ref_add(ps, out, &piece);
}

static int
ref_literal(struct parser *ps, struct slot *out)
{
	struct lex *l = &ps->l;
	const char *s = l->s + l->off, *wrong;
	size_t n = 0;
	struct piece piece = { 0 };
	struct place at = { { l->file, l->line, l->col, l->off }, 1 };

	while (l->off + n < l->n && s[n] != '<')
		n++;
	at.width = n;
	if ((wrong = ref_wrong(s, n)) != NULL)
		return parse_error_at(ps, &at, "%s", wrong);
	piece.len = n;
	if ((piece.text = arena_str(ps->p->arena, s, n)) == NULL)
		return ERR_NOMEM;
	l->off += n;
	l->col += (unsigned int)n;
	return ref_add(ps, out, &piece);
}

/* "refs/tags/v<int>.<int>": the string is read once more, from its source, so
 * that its slots are the language's own and errors stand where they are. */
int
parse_git_ref(struct parser *ps, struct slot *out)
{
	struct parser in = { .p = ps->p, .d = ps->d, .src = ps->src };
	int r = 0;

	out->kind = SLOT_REF;
	out->at = parse_place(ps);
	if (ps->t.kind != LEX_STRING)
		return parse_expected(ps, "a ref as a string, as "
		    "\"refs/tags/v<int>.<int>\"");
	if (ps->t.len == 0 || ps->t.len > SLOT_REF_MAX ||
	    ps->t.width != ps->t.len + 2 || *ps->t.text == '/' ||
	    *ps->t.text == '-')
		return parse_error(ps, "a ref has 1 to %d bytes, begins with "
		    "neither / nor -, and holds no backslash", SLOT_REF_MAX);
	out->piece = arena_get(ps->p->arena, RUN_PIECES_MAX *
	    sizeof(*out->piece));
	if (out->piece == NULL)
		return ERR_NOMEM;
	lex_init(&in.l, ps->t.pos.file, ps->src->text,
	    ps->t.pos.off + ps->t.width - 1, PARSE_TOKEN_MAX);
	in.l.off = ps->t.pos.off + 1;
	in.l.line = ps->t.pos.line;
	in.l.col = ps->t.pos.col + 1;
	while (r == 0 && in.l.off < in.l.n)
		r = in.l.s[in.l.off] == '<' ? ref_slot(&in, out) :
		    ref_literal(&in, out);
	lex_clear(&in.l);
	parse_next(ps, LEX_SLOT);
	return r;
}

/* -- the slot ----------------------------------------------------------------------- */

static int
nothing_more(struct parser *ps, struct slot *out)
{
	(void)ps;
	(void)out;
	return 0;
}

static const struct slot_row {
	const char *word;
	enum slot_kind kind;
	int (*rest)(struct parser *ps, struct slot *out);
} slot_rows[] = {
	{ "any", SLOT_ANY, nothing_more },
	{ "int", SLOT_INT, int_range },
	{ "enum", SLOT_ENUM, enum_values },
	{ "text", SLOT_TEXT, text_range },
	{ "path", SLOT_PATH, path_pattern },
	{ "claim", SLOT_CLAIM, claim_name },
	{ "semver", SLOT_SEMVER, nothing_more },
	{ "sha", SLOT_SHA, nothing_more },
	{ "host", SLOT_HOST, nothing_more },
	{ "git-ref", SLOT_REF, parse_git_ref },
};

int
parse_slot(struct parser *ps, struct slot *out, struct ref *type)
{
	struct place at = parse_place(ps);

	if (ps->t.kind != LEX_WORD && ps->t.kind != LEX_STRING)
		return parse_expected(ps, ANY_SLOT);
	out->at = at;
	if (ps->t.text[0] == '/')
		return path_pattern(ps, out);
	if (ps->t.kind == LEX_STRING)
		return parse_error(ps, "expected a path that begins with /; "
		    "values are written enum \"a b\" c");
	for (size_t i = 0; i < sizeof(slot_rows) / sizeof(slot_rows[0]); i++) {
		if (!parse_is_word(ps, slot_rows[i].word))
			continue;
		out->kind = slot_rows[i].kind;
		parse_next(ps, LEX_SLOT);
		return slot_rows[i].rest(ps, out);
	}
	if (!name_valid(ps->t.text))
		return parse_expected(ps, ANY_SLOT);
	*type = (struct ref){ parse_text(ps), at };
	if (type->name == NULL)
		return ERR_NOMEM;
	parse_next(ps, LEX_SLOT);
	return 0;
}
