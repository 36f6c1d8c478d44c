/*
 * What a rule demands beside its pattern: limits, times, approvals, masks; and
 * the `defaults` block.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/zone.h"

#define DURATION_MAX_S (30 * 86400)
#define SIZE_MAX_BYTES ((uint64_t)1 << 50)
#define COUNT_MAX 100000
#define RATE_MAX 10000 /* the broker keeps so many moments of an identity */
#define PATTERN_MAX 1024

int
parse_duration(struct parser *ps, uint64_t max, const char *max_text,
    uint64_t *out)
{
	struct ref ref;
	int r;

	if ((r = parse_word(ps, "a duration, as 30s or 10m", &ref)) != 0)
		return r;
	r = lex_duration(ref.name, max, out);
	if (r == ERR_TOOBIG)
		return parse_error_at(ps, &ref.at, "`%.80s` is not within 1s "
		    "and %s", ref.name, max_text);
	if (r != 0)
		return parse_error_at(ps, &ref.at, "`%.80s` is no duration: a "
		    "number and s, m, h or d, as 30s", ref.name);
	return 0;
}

int
parse_size(struct parser *ps, uint64_t *out)
{
	struct ref ref;
	int r;

	if ((r = parse_word(ps, "a size, as 1MiB", &ref)) != 0)
		return r;
	if ((r = lex_size(ref.name, SIZE_MAX_BYTES, out)) != 0)
		return parse_error_at(ps, &ref.at, r == ERR_TOOBIG ?
		    "`%.80s` is not within 1B and 1048576GiB" :
		    "`%.80s` is no size: a number and B, KiB, MiB or "
		    "GiB, as 50MiB", ref.name);
	return 0;
}

static int
count(struct parser *ps, const char *what, uint64_t max, uint64_t *out)
{
	struct ref ref;
	int r;

	if ((r = parse_word(ps, what, &ref)) != 0)
		return r;
	if (num_parse(ref.name, 1, max, out) != 0)
		return parse_error_at(ps, &ref.at, "expected %s, 1 to %u, found "
		    "`%.80s`", what, (unsigned int)max, ref.name);
	return 0;
}

/* -- limit -------------------------------------------------------------------- */

static int
duration32(struct parser *ps, uint32_t *out)
{
	uint64_t v = 0;
	int r = parse_duration(ps, DURATION_MAX_S, "30d", &v);

	if (r == 0)
		*out = (uint32_t)v;
	return r;
}

static int
count32(struct parser *ps, const char *what, uint64_t max, uint32_t *out)
{
	uint64_t v = 0;
	int r = count(ps, what, max, &v);

	if (r == 0)
		*out = (uint32_t)v;
	return r;
}

static int
limit_rate(struct parser *ps, struct limits *l)
{
	int r;

	if ((r = count32(ps, "a number", RATE_MAX, &l->rate)) != 0)
		return r;
	if (!parse_is_word(ps, "per"))
		return parse_expected(ps, "`per` and a duration");
	parse_next(ps, LEX_POLICY);
	return duration32(ps, &l->rate_per_s);
}

int
parse_limit(struct parser *ps, struct limits *l)
{
	static const char what[] = "`duration`, `output`, `concurrent` or "
	    "`rate`";
	static const char twice[] = "this limit is written twice in this block";
	const char *word;

	parse_next(ps, LEX_POLICY);
	if (ps->t.kind != LEX_WORD)
		return parse_expected(ps, what);
	if ((word = parse_text(ps)) == NULL)
		return ERR_NOMEM;
	if ((strcmp(word, "duration") == 0 && l->duration_s != 0) ||
	    (strcmp(word, "output") == 0 && l->output != 0) ||
	    (strcmp(word, "concurrent") == 0 && l->concurrent != 0) ||
	    (strcmp(word, "rate") == 0 && l->rate != 0))
		return parse_error(ps, "%s", twice);
	if (strcmp(word, "duration") != 0 && strcmp(word, "output") != 0 &&
	    strcmp(word, "concurrent") != 0 && strcmp(word, "rate") != 0)
		return parse_expected(ps, what);
	parse_next(ps, LEX_POLICY);
	switch (*word) {
	case 'd':
		return duration32(ps, &l->duration_s);
	case 'o':
		return parse_size(ps, &l->output);
	case 'c':
		return count32(ps, "a number", COUNT_MAX, &l->concurrent);
	default:
		return limit_rate(ps, l);
	}
}

/* -- window ------------------------------------------------------------------- */

static const char days[7][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat",
	"Sun" };

/* The day at *s; 7: none. */
static size_t
day_at(const char **s)
{
	for (size_t i = 0; i < 7; i++) {
		if (strncmp(*s, days[i], 3) == 0) {
			*s += 3;
			return i;
		}
	}
	return 7;
}

/* Mon-Fri, Sat, Mon,Wed-Fri; a range may go over the week's end. */
static bool
window_days(const char *s, uint8_t *set)
{
	size_t from, to;

	for (;; s++) {
		if ((from = to = day_at(&s)) == 7)
			return false;
		if (*s == '-') {
			s++;
			if ((to = day_at(&s)) == 7)
				return false;
		}
		for (size_t d = from;; d = (d + 1) % 7) {
			*set |= (uint8_t)(1u << d);
			if (d == to)
				break;
		}
		if (*s == '\0')
			return true;
		if (*s != ',')
			return false;
	}
}

bool
parse_clock(const char *s, unsigned int *minute)
{
	unsigned int h, m;

	for (size_t i = 0; i < 5; i++) {
		if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
			return false;
	}
	h = (unsigned int)(s[0] - '0') * 10 + (unsigned int)(s[1] - '0');
	m = (unsigned int)(s[3] - '0') * 10 + (unsigned int)(s[4] - '0');
	*minute = h * 60 + m;
	return m < 60 && *minute <= 24 * 60;
}

/* HH:MM-HH:MM; the second may be 24:00, or lie on the next day. */
static bool
window_hours(const char *s, struct window *w)
{
	unsigned int from, to;

	if (strlen(s) != 11 || s[5] != '-' || !parse_clock(s, &from) ||
	    !parse_clock(s + 6, &to) || from == 24 * 60 || from == to)
		return false;
	w->from = (uint16_t)from;
	w->to = (uint16_t)to;
	return true;
}

int
parse_zone(struct parser *ps, const char *name, const struct place *at,
    const struct zone **out)
{
	struct policy *p = ps->p;
	int r;

	if ((*out = dict_get(&p->zones, name)) != NULL)
		return 0;
	r = p->zones.n >= POLICY_ZONES_MAX ? ERR_TOOBIG :
	    zone_load(p->arena, name, out);
	if (r == ERR_NOMEM)
		return r;
	if (r == ERR_NOTFOUND)
		return parse_error_at(ps, at, "this system knows no time zone "
		    "`%.80s`: expected one as Europe/Berlin or UTC", name);
	if (r != 0)
		return parse_error_at(ps, at, "the time zone `%.80s` cannot be "
		    "read: %s", name, r == ERR_FORMAT ? "its file has another "
		    "format" : err_text(r));
	return dict_put(&p->zones, p->arena, name,
	    (void *)(uintptr_t)*out);
}

int
parse_window(struct parser *ps, struct rule *rule)
{
	struct window w = { .at = parse_place(ps) }, *v;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_word(ps, "days, as Mon-Fri", &ref)) != 0)
		return r;
	if (!window_days(ref.name, &w.days))
		return parse_error_at(ps, &ref.at, "`%.80s` are no days: Mon "
		    "Tue Wed Thu Fri Sat Sun, as Mon-Fri or Mon,Thu", ref.name);
	if ((r = parse_word(ps, "hours, as 07:00-19:00", &ref)) != 0)
		return r;
	if (!window_hours(ref.name, &w))
		return parse_error_at(ps, &ref.at, "`%.80s` are no hours: "
		    "HH:MM-HH:MM, as 07:00-19:00 or 22:00-06:00", ref.name);
	if ((r = parse_word(ps, "a time zone, as Europe/Berlin", &ref)) != 0 ||
	    (r = parse_zone(ps, ref.name, &ref.at, &w.zone)) != 0)
		return r;
	w.zone_name = ref.name;
	w.at.width = ref.at.pos.off + ref.at.width - w.at.pos.off;
	if (rule->nwindow >= POLICY_LIST_MAX)
		return parse_error_at(ps, &w.at, "more than %d windows",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, rule->window, rule->nwindow,
	    &rule->capwindow, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->window = v;
	rule->window[rule->nwindow++] = w;
	return 0;
}

/* -- require ------------------------------------------------------------------ */

static int
add_approval(struct parser *ps, const struct approval_full *a,
    struct rule *rule)
{
	struct policy *p = ps->p;
	struct approval_full **v, *copy;

	if (p->napproval >= DECISION_APPROVALS_MAX)
		return parse_error_at(ps, &a->at, "more than %d `require` lines",
		    DECISION_APPROVALS_MAX);
	v = arena_extend(p->arena, p->approval, p->napproval, &p->capapproval,
	    sizeof(*v));
	if (v == NULL || (copy = arena_get(p->arena, sizeof(*copy))) == NULL)
		return ERR_NOMEM;
	*copy = *a;
	p->approval = v;
	bit_set(rule->approvals, p->napproval);
	p->approval[p->napproval++] = copy;
	rule->approve += a->pub.n;
	return 0;
}

/* N approvals from NAME within D valid D [with-stdin] */
int
parse_require(struct parser *ps, struct rule *rule)
{
	struct approval_full a = { .at = parse_place(ps) };
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = count32(ps, "how many approvals", COUNT_MAX, &a.pub.n)) != 0)
		return r;
	if (!parse_is_word(ps, "approval") && !parse_is_word(ps, "approvals"))
		return parse_expected(ps, "`approvals`");
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "from"))
		return parse_expected(ps, "`from` and a name of people");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "a name of people", &a.from)) != 0)
		return r;
	if (!parse_is_word(ps, "within"))
		return parse_expected(ps, "`within` and a duration");
	parse_next(ps, LEX_POLICY);
	if ((r = duration32(ps, &a.pub.within_s)) != 0)
		return r;
	if (!parse_is_word(ps, "valid"))
		return parse_expected(ps, "`valid` and a duration");
	parse_next(ps, LEX_POLICY);
	if ((r = duration32(ps, &a.pub.valid_s)) != 0)
		return r;
	if (parse_is_word(ps, "with-stdin")) {
		a.pub.with_stdin = true;
		parse_next(ps, LEX_POLICY);
	}
	a.pub.people = a.from.name;
	a.pub.rule = rule->name;
	return add_approval(ps, &a, rule);
}

/* -- mask ---------------------------------------------------------------------- */

static int
add_mask(struct parser *ps, const struct mask *m, uint64_t *set,
    const struct place *at)
{
	struct policy *p = ps->p;
	struct mask **v, *copy;

	if (p->nmask >= DECISION_MASKS_MAX)
		return parse_error_at(ps, at, "more than %d masks",
		    DECISION_MASKS_MAX);
	v = arena_extend(p->arena, p->mask, p->nmask, &p->capmask, sizeof(*v));
	if (v == NULL || (copy = arena_get(p->arena, sizeof(*copy))) == NULL)
		return ERR_NOMEM;
	*copy = *m;
	p->mask = v;
	bit_set(set, p->nmask);
	p->mask[p->nmask++] = copy;
	return 0;
}

/* 'pattern' as "name" */
static int
mask_pattern(struct parser *ps, struct mask *m)
{
	struct place at = parse_place(ps);
	struct ref ref;
	int r;

	m->kind = MASK_PATTERN;
	if (ps->t.len == 0 || ps->t.len > PATTERN_MAX)
		return parse_error(ps, "a pattern has 1 to %d bytes",
		    PATTERN_MAX);
	if ((m->text = parse_text(ps)) == NULL)
		return ERR_NOMEM;
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "as"))
		return parse_error_at(ps, &at, "say what is shown instead: "
		    "mask '...' as \"password\"");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "a name as a string", &ref)) != 0)
		return r;
	if (*ref.name == '\0' || strlen(ref.name) > NAME_LEN_MAX)
		return parse_error_at(ps, &ref.at, "a mask's name has 1 to %d "
		    "bytes", NAME_LEN_MAX);
	m->name = ref.name;
	return 0;
}

/* literal from "/path" */
static int
mask_literal(struct parser *ps, struct mask *m)
{
	struct ref ref;
	int r;

	m->kind = MASK_LITERAL;
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "from"))
		return parse_expected(ps, "`from` and a file");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "a file's path as a string", &ref)) != 0)
		return r;
	if (ref.name[0] != '/')
		return parse_error_at(ps, &ref.at, "the file's path begins "
		    "with /");
	m->name = m->text = ref.name;
	return 0;
}

int
parse_mask(struct parser *ps, uint64_t *set)
{
	struct place at = parse_place(ps);
	struct mask m = { .kind = MASK_CLASS };
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if (ps->t.kind == LEX_RAW || parse_is_word(ps, "literal")) {
		r = ps->t.kind == LEX_RAW ? mask_pattern(ps, &m) :
		    mask_literal(ps, &m);
		return r != 0 ? r : add_mask(ps, &m, set, &at);
	}
	if (ps->t.kind == LEX_STRING)
		return parse_error(ps, "a pattern stands in single quotes: "
		    "mask '...' as \"password\"");
	do {
		if ((r = parse_word(ps, "`secrets`, a pattern in single quotes "
		    "or `literal from`", &ref)) != 0)
			return r;
		if (strcmp(ref.name, "secrets") != 0)
			return parse_error_at(ps, &ref.at, "there is no class of "
			    "masks `%.80s`: expected `secrets`", ref.name);
		m.name = m.text = ref.name;
		if ((r = add_mask(ps, &m, set, &at)) != 0)
			return r;
	} while (ps->t.kind == LEX_WORD);
	return 0;
}

/* -- defaults ------------------------------------------------------------------- */

struct defaults_block {
	bool explain;
};

static int
defaults_limit(struct parser *ps, void *ctx)
{
	(void)ctx;
	return parse_limit(ps, &ps->p->limit);
}

static int
defaults_mask(struct parser *ps, void *ctx)
{
	(void)ctx;
	return parse_mask(ps, ps->p->masks);
}

static int
defaults_explain(struct parser *ps, void *ctx)
{
	struct defaults_block *b = ctx;
	int r;

	if ((r = parse_once(ps, &b->explain)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if (parse_is_word(ps, "full"))
		ps->p->explain = EXPLAIN_FULL;
	else if (parse_is_word(ps, "rule"))
		ps->p->explain = EXPLAIN_RULE;
	else if (parse_is_word(ps, "none"))
		ps->p->explain = EXPLAIN_NONE;
	else
		return parse_expected(ps, "`full`, `rule` or `none`");
	parse_next(ps, LEX_POLICY);
	return 0;
}

static const struct parse_row defaults_rows[] = {
	{ "limit", defaults_limit }, { "mask", defaults_mask },
	{ "explain", defaults_explain },
};

int
parse_defaults(struct parser *ps, void *ctx)
{
	struct defaults_block b = { false };
	struct place at = parse_place(ps), *first = &ps->p->defaults_at;

	(void)ctx;
	if (first->width != 0)
		return parse_error(ps, "`defaults` is written twice: first at "
		    "%s:%u:%u", ps->p->source[first->pos.file].name,
		    first->pos.line, first->pos.col);
	*first = at;
	parse_next(ps, LEX_POLICY);
	return parse_block(ps, ROWS(defaults_rows), "a default", &b);
}
