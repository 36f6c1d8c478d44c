/*
 * The `test` statement: claims to be somebody, a place, and lines that say what
 * must happen.  selftest.c runs them.
 */
#include "config.h"

#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/zone.h"

/* { NAME "value"; ... } behind `as NAME` */
static int
given_claim(struct parser *ps, struct test *t)
{
	struct given c = { 0 }, *v;
	struct ref ref;
	int r;

	if ((r = parse_word(ps, "a claim's name", &ref)) != 0)
		return r;
	c.claim = ref.name;
	c.at = ref.at;
	if ((r = parse_string(ps, "the claim's value as a string", &ref)) != 0)
		return r;
	c.value = ref.name;
	for (size_t i = 0; i < t->ngiven; i++) {
		if (strcmp(t->given[i].claim, c.claim) == 0)
			return parse_error_at(ps, &c.at, "claim `%.80s` is "
			    "given twice", c.claim);
	}
	if (t->ngiven >= POLICY_LIST_MAX)
		return parse_error_at(ps, &c.at, "more than %d claims",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, t->given, t->ngiven, &t->capgiven,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	t->given = v;
	t->given[t->ngiven++] = c;
	return 0;
}

static int
given_claims(struct parser *ps, struct test *t)
{
	bool failed = false;
	int r;

	parse_next(ps, LEX_POLICY);
	for (;;) {
		while (ps->t.kind == LEX_NEWLINE || parse_is_punct(ps, ';'))
			parse_next(ps, LEX_POLICY);
		if (parse_is_punct(ps, '}'))
			break;
		if (ps->t.kind == LEX_END)
			return parse_expected(ps, "`}`");
		if ((r = given_claim(ps, t)) == 0 && !parse_at_line_end(ps))
			r = parse_expected(ps, "`;` or `}`");
		if (r == ERR_NOMEM)
			return r;
		failed = failed || r != 0;
		parse_skip_line(ps, LEX_POLICY);
	}
	parse_next(ps, LEX_POLICY);
	return failed ? ERR_FORMAT : 0;
}

/* by NAME | default | syntax */
static int
expect_by(struct parser *ps, struct expect *e)
{
	int r;

	if (e->by != BY_ANY)
		return parse_expected(ps, "the end of the line");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "a rule's name, `default` or `syntax`",
	    &e->rule)) != 0)
		return r;
	e->by = strcmp(e->rule.name, "default") == 0 ? BY_DEFAULT :
	    strcmp(e->rule.name, "syntax") == 0 ? BY_SYNTAX : BY_RULE;
	if (e->want != VERDICT_DENY && e->by != BY_RULE)
		return parse_error_at(ps, &e->rule.at, "nothing is allowed by "
		    "`%s`", e->rule.name);
	return 0;
}

/* "path", and for a file by what. */
static int
expect_path(struct parser *ps, struct expect *e, enum request_kind kind)
{
	bool git = kind == REQUEST_GIT_READ || kind == REQUEST_GIT_WRITE;
	struct ref ref;
	int r;

	e->kind = kind;
	parse_next(ps, LEX_POLICY);
	e->command_at = parse_place(ps);
	if ((r = parse_string(ps, "the path as a string", &ref)) != 0)
		return r;
	e->command = ref.name;
	e->len = strlen(ref.name);
	if (!git) {
		if (!parse_is_word(ps, "by"))
			return parse_expected(ps, "`by` and `sftp`, "
						  "`scp-legacy` or `rsync`");
		parse_next(ps, LEX_POLICY);
		return parse_by_way(ps, &e->how);
	}
	if (!parse_is_word(ps, "ref"))
		return 0;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps,
		 "the ref as a string, as "
		 "\"refs/heads/main\"",
		 &ref)) == 0)
		e->ref = ref.name;
	return r;
}

static int
expect_git(struct parser *ps, struct expect *e)
{
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "read") && !parse_is_word(ps, "write"))
		return parse_expected(ps, "`read` or `write`");
	return expect_path(ps, e,
	    parse_is_word(ps, "read") ? REQUEST_GIT_READ : REQUEST_GIT_WRITE);
}

/* What is asked for. */
static int
expect_what(struct parser *ps, struct expect *e)
{
	e->command_at = parse_place(ps);
	if (parse_is_word(ps, "read"))
		return expect_path(ps, e, REQUEST_READ);
	if (parse_is_word(ps, "write"))
		return expect_path(ps, e, REQUEST_WRITE);
	if (parse_is_word(ps, "git"))
		return expect_git(ps, e);
	if (parse_is_word(ps, "interactive")) {
		e->kind = REQUEST_INTERACTIVE;
		parse_next(ps, LEX_POLICY);
		return 0;
	}
	if (ps->t.kind != LEX_STRING)
		return parse_expected(ps, "a command as a string, `read`, "
					  "`write`, `git` or `interactive`");
	e->len = ps->t.len;
	if ((e->command = parse_text(ps)) == NULL)
		return ERR_NOMEM;
	parse_next(ps, LEX_POLICY);
	return 0;
}

/* sent "NAME=VALUE"; may stand several times */
static int
expect_sent(struct parser *ps, struct parse_list *sent)
{
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "a variable as \"NAME=VALUE\"", &ref)) != 0)
		return r;
	if (env_name_len(ref.name) == 0)
		return parse_error_at(
		    ps, &ref.at, "expected a variable as \"NAME=VALUE\"");
	return parse_list_add(ps, sent, &ref, "variable");
}

static int
expect_line(struct parser *ps, struct test *t, enum verdict want)
{
	struct expect e = { .want = want, .at = parse_place(ps) }, *v;
	struct parse_list sent = { .n = 0 };
	int r;

	parse_next(ps, LEX_POLICY);
	if (parse_is_word(ps, "by") && (r = expect_by(ps, &e)) != 0)
		return r;
	if ((r = expect_what(ps, &e)) != 0)
		return r;
	while (!parse_at_line_end(ps)) {
		if (parse_is_word(ps, "with") && !e.pty && !e.stdin_ok &&
		    e.kind == REQUEST_RUN)
			r = parse_with(ps, &e.pty, &e.stdin_ok, NULL);
		else if (parse_is_word(ps, "sent") && e.kind == REQUEST_RUN)
			r = expect_sent(ps, &sent);
		else if (parse_is_word(ps, "by"))
			r = expect_by(ps, &e);
		else
			r = parse_expected(
			    ps, e.kind != REQUEST_RUN
				    ? "`by` or the end of the line"
				    : "`with`, `sent`, `by` or the end of the "
				      "line");
		if (r != 0)
			return r;
	}
	e.sent = sent.v;
	e.nsent = sent.n;
	if (t->nexpect >= POLICY_LINES_MAX)
		return parse_error_at(ps, &e.at, "more than %d lines in a test",
		    POLICY_LINES_MAX);
	v = arena_extend(ps->p->arena, t->expect, t->nexpect, &t->capexpect,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	t->expect = v;
	t->expect[t->nexpect++] = e;
	return 0;
}

static int
expect_allow(struct parser *ps, void *ctx)
{
	return expect_line(ps, ctx, VERDICT_ALLOW);
}

static int
expect_deny(struct parser *ps, void *ctx)
{
	return expect_line(ps, ctx, VERDICT_DENY);
}

static int
expect_approval(struct parser *ps, void *ctx)
{
	return expect_line(ps, ctx, VERDICT_APPROVAL);
}

static const struct parse_row test_rows[] = {
	{ "allow", expect_allow }, { "deny", expect_deny },
	{ "approval", expect_approval },
};

static bool
digits(const char *s, size_t n, uint64_t *out)
{
	char number[8];

	memcpy(number, s, n);
	number[n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	s = number;
	while (*s == '0' && s[1] != '\0')
		s++;
	return num_parse(s, 0, 9999, out) == 0;
}

bool
parse_date(const char *s, struct zone_local *l)
{
	uint64_t year, month, day;

	if (s[4] != '-' || s[7] != '-' || !digits(s, 4, &year) ||
	    !digits(s + 5, 2, &month) || !digits(s + 8, 2, &day))
		return false;
	l->year = (int64_t)year;
	l->month = (unsigned int)month;
	l->day = (unsigned int)day;
	return true;
}

/* YYYY-MM-DD HH:MM */
static bool
split_time(const char *s, struct zone_local *l)
{
	return strlen(s) >= 18 && s[10] == ' ' && s[16] == ' ' &&
	       parse_date(s, l) && parse_clock(s + 11, &l->minute);
}

/* at "2026-11-24 10:00 Europe/Berlin" */
static int
test_at(struct parser *ps, struct test *t)
{
	struct zone_local l;
	const struct zone *zone;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "a time as a string", &ref)) != 0)
		return r;
	if (!split_time(ref.name, &l))
		return parse_error_at(ps, &ref.at, "expected \"YYYY-MM-DD HH:MM "
		    "ZONE\", as \"2026-11-24 10:00 Europe/Berlin\"");
	if ((r = parse_zone(ps, ref.name + 17, &ref.at, &zone)) != 0)
		return r;
	if (zone_from_local(zone, &l, &t->now) != 0 || t->now <= 0)
		return parse_error_at(ps, &ref.at, "there is no such time in "
		    "that zone");
	return 0;
}

/* "what" as NAME [{...}] on WHERE [at "..."] */
static int
test_header(struct parser *ps, struct test *t)
{
	struct ref name;
	int r;

	t->at = parse_place(ps);
	if ((r = parse_string(ps, "the test's name as a string", &name)) != 0)
		return r;
	t->name = name.name;
	t->at = name.at;
	if (!parse_is_word(ps, "as"))
		return parse_expected(ps, "`as` and an identity's name");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "an identity's name", &t->as)) != 0)
		return r;
	if (parse_is_punct(ps, '{') && (r = given_claims(ps, t)) != 0)
		return r;
	if (!parse_is_word(ps, "on"))
		return parse_expected(ps, "`on` and a target");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_where(ps, &t->where)) != 0)
		return r;
	if (t->where.kind != WHERE_TARGET)
		return parse_error_at(ps, &t->where.ref.at, "a test runs on one "
		    "target: TARGET or LOGIN+TARGET");
	if (parse_is_word(ps, "at") && (r = test_at(ps, t)) != 0)
		return r;
	return parse_is_punct(ps, '{') ? 0 : parse_expected(ps, "`{`");
}

int
parse_test(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct test *t, **v;
	size_t errors = diags_count(ps->d);
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if (p->ntest >= POLICY_TESTS_MAX)
		return parse_error(ps, "more than %d tests", POLICY_TESTS_MAX);
	if ((t = arena_get(p->arena, sizeof(*t))) == NULL ||
	    (v = arena_extend(p->arena, p->test, p->ntest, &p->captest,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->test = v;
	if ((r = test_header(ps, t)) != 0)
		return r;
	p->test[p->ntest++] = t;
	if ((r = parse_block(ps, ROWS(test_rows), "`allow`, `approval` or "
	    "`deny`", t)) != 0)
		return r;
	if (t->nexpect == 0 && diags_count(ps->d) == errors)
		(void)parse_error_at(ps, &t->at, "this test has no lines: it "
		    "tests nothing");
	return 0;
}
