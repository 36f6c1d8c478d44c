/*
 * postern policy explain: what is decided, by which rule, and what would have
 * to be written for another answer.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/model.h"
#include "policy/show.h"
#include "policy/suggest.h"
#include "policy/whatif.h"

#define TEXT_MAX (4UL * 1024 * 1024)

/* The lines in which two texts differ. */
struct change {
	unsigned int line; /* of the first, from 1 */
	const char *old, *new;
	size_t oldlen, newlen;
};

static size_t
line_begin(const char *s, size_t off)
{
	while (off > 0 && s[off - 1] != '\n')
		off--;
	return off;
}

static size_t
line_end(const char *s, size_t n, size_t off)
{
	while (off < n && s[off] != '\n')
		off++;
	return off;
}

static struct change
find_change(const char *old, size_t oldlen, const char *new, size_t newlen)
{
	size_t head = 0, tail = 0, begin;
	struct change c = { .line = 1 };

	while (head < oldlen && head < newlen && old[head] == new[head])
		head++;
	while (tail < oldlen - head && tail < newlen - head &&
	       old[oldlen - 1 - tail] == new[newlen - 1 - tail])
		tail++;
	begin = line_begin(old, head);
	for (size_t i = 0; i < begin; i++)
		c.line += old[i] == '\n';
	c.old = old + begin;
	c.oldlen =
	    oldlen == begin ? 0 : line_end(old, oldlen, oldlen - tail) - begin;
	c.new = new + begin;
	c.newlen = line_end(new, newlen, newlen - tail) - begin;
	return c;
}

static void
print_lines(char mark, const char *s, size_t n)
{
	const char *colour = mark == '-' ? "\033[31m" : "\033[32m";
	bool colours = cli_colour();
	size_t k;

	while (n > 0) {
		k = line_end(s, n, 0);
		(void)printf("%s%c %.*s%s\n", colours ? colour : "", mark,
		    (int)k, s, colours ? "\033[0m" : "");
		k += k < n;
		s += k;
		n -= k;
	}
}

static void
print_suggestion(const struct policy *p, const struct suggestion *s)
{
	struct change c = find_change(
	    p->source[s->file].text, p->source[s->file].len, s->text, s->len);

	(void)printf("the smallest edit that would allow it, at %s:%u%s:\n",
	    p->source[s->file].name, c.line,
	    s->breaks_tests ? " (tests of the policy say otherwise)" : "");
	print_lines('-', c.old, c.oldlen);
	print_lines('+', c.new, c.newlen);
}

static void
json_suggestion(
    struct json *j, const struct policy *p, const struct suggestion *s)
{
	struct change c = find_change(
	    p->source[s->file].text, p->source[s->file].len, s->text, s->len);

	json_kv_open(j, "edit", '{');
	json_kv_str(j, "file", p->source[s->file].name);
	json_kv_num(j, "line", c.line);
	json_key(j, "old");
	json_strn(j, c.old, c.oldlen);
	json_key(j, "new");
	json_strn(j, c.new, c.newlen);
	json_kv_bool(j, "breaks_tests", s->breaks_tests);
	json_close(j, '}');
}

/* The text that a job gets, without its mark. */
static void
print_explanation(struct buf *b)
{
	static const char mark[] = "postern: ";
	char *s = (char *)(uintptr_t)buf_cstr(b), *end;

	for (; s != NULL && *s != '\0'; s = end) {
		end = s + strcspn(s, "\n");
		end += *end == '\n';
		if (strncmp(s, mark, strlen(mark)) == 0)
			s += strlen(mark);
		(void)fwrite(s, 1, (size_t)(end - s), stdout);
	}
}

/* The tools judge what a policy means; a bastion grants what it can keep. */
static const char *
not_yet(const struct whatif *w)
{
	struct request q = w->q;
	struct decision d;

	q.enforces = ENFORCE_BASTION;
	decide(&q, &d);
	return d.missing;
}

static void
print_not_yet(const struct whatif *w)
{
	const char *missing = not_yet(w);

	if (missing != NULL)
		(void)printf("but denied so far: this version cannot enforce "
			     "%s yet\n",
		    missing);
}

static int
print_answer(const struct whatif *w, const struct decision *d)
{
	struct suggestion s = { 0 };
	const struct place *at;
	struct buf b;
	int r;

	buf_init(&b, TEXT_MAX);
	if (d->verdict == VERDICT_DENY) {
		if ((r = decide_explain(&w->q, d, &b)) == 0)
			print_explanation(&b);
		if (r == 0 && (r = suggest(w, &s)) == 0)
			print_suggestion(w->policy, &s);
		r = r == ERR_NOTFOUND ? 0 : r;
		goto out;
	}
	if (d->rule == NULL) {
		(void)printf("let through, though no rule allows it: target "
			     "`%s` is observed\n",
		    w->q.target->name);
		print_not_yet(w);
		r = 0;
		goto out;
	}
	at = show_line(d->rule, &w->q);
	if ((r = buf_putf(&b, "%s by rule `%s` at ",
		 d->verdict == VERDICT_ALLOW ? "allowed"
					     : "allowed once it is approved,",
		 d->rule_name)) == 0 &&
	    (r = show_place(w->policy, at, &b)) == 0 &&
	    (r = show_demands(w->policy, d, &b)) == 0 && at != &d->rule->at &&
	    (r = buf_putf(
		 &b, "\n    %s", w->q.kind == REQUEST_RUN ? "run " : "")) == 0)
		r = show_source(w->policy, at, &b);
	if (r == 0) {
		(void)printf("%s\n", buf_cstr(&b));
		print_not_yet(w);
	}
out:
	suggestion_clear(&s);
	buf_clear(&b);
	return r;
}

static int
json_answer(const struct whatif *w, const struct decision *d)
{
	struct suggestion s = { 0 };
	const char *missing;
	struct buf b, text;
	struct json j;
	int r = 0;

	buf_init(&b, TEXT_MAX);
	buf_init(&text, TEXT_MAX);
	json_init(&j, &b);
	json_open(&j, '{');
	json_kv_open(&j, "asked", '{');
	show_request_json(&j, &w->q);
	json_close(&j, '}');
	show_decision_json(&j, &w->q, d);
	if (d->verdict == VERDICT_DENY) {
		if ((r = decide_explain(&w->q, d, &text)) == 0) {
			json_key(&j, "text");
			json_strn(&j, buf_ptr(&text), buf_len(&text));
		}
		if (suggest(w, &s) == 0)
			json_suggestion(&j, w->policy, &s);
	} else if ((missing = not_yet(w)) != NULL) {
		json_kv_str(&j, "not_yet", missing);
	}
	json_close(&j, '}');
	if (r == 0 && (r = json_end(&j)) == 0)
		(void)printf("%s", buf_cstr(&b));
	suggestion_clear(&s);
	buf_clear(&text);
	buf_clear(&b);
	return r;
}

static int
exit_code(const struct decision *d)
{
	return d->verdict == VERDICT_ALLOW  ? 0
	       : d->verdict == VERDICT_DENY ? POSTERN_EX_DENIED
					    : POSTERN_EX_TEMPFAIL;
}

/* One answer; of a list, under the command that it is about. */
static int
explain_one(const struct ask *a, struct whatif *w, const struct list *l,
    const struct command *c, int *code)
{
	struct decision d;
	struct buf b;
	int r;

	ask_fill(a, c, &w->q);
	decide(&w->q, &d);
	*code = exit_code(&d) > *code ? exit_code(&d) : *code;
	if (a->json)
		return json_answer(w, &d);
	if (l->n > 1) {
		buf_init(&b, TEXT_MAX);
		if ((r = command_print(c, &b)) == 0)
			(void)printf("%s\n", buf_cstr(&b));
		buf_clear(&b);
		if (r != 0)
			return r;
	}
	if (a->stdin_ok && d.verdict != VERDICT_DENY && !d.stdin_ok)
		(void)printf("without standard input:\n");
	return print_answer(w, &d);
}

static int
explain(const struct ask *a, struct whatif *w, const struct list *l)
{
	struct policy full = *w->policy; /* whatever jobs are told */
	int code = 0, r;

	if ((r = ask_where(w, a->on)) != 0)
		return r;
	if (!whatif_is_somebody(w)) {
		cli_error("with these claims nobody is `%s'; give them by "
			  "--claim",
		    a->as);
		return POSTERN_EX_USAGE;
	}
	full.explain = EXPLAIN_FULL;
	w->policy = w->q.policy = &full;
	if (l->n == 0)
		r = explain_one(a, w, l, NULL, &code);
	if (a->json && l->n > 1)
		(void)printf("[");
	for (size_t i = 0; i < l->n && r == 0; i++) {
		if (i > 0)
			(void)printf("%s", a->json ? "," : "\n");
		r = explain_one(a, w, l, &l->command[i], &code);
	}
	if (a->json)
		(void)printf("%s\n", l->n > 1 ? "]" : "");
	if (r != 0) {
		cli_error("%s", err_text(r));
		return CLI_EX_FAILED;
	}
	return code;
}

int
cli_policy_explain(int argc, char **argv)
{
	struct policy *p = NULL;
	struct list l = { .n = 0 };
	struct whatif w = { 0 };
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "+snpctiexj@")) != 0)
		goto out;
	if (a.as == NULL || a.on == NULL) {
		r = cli_usage();
		goto out;
	}
	if ((r = ask_commands(&a, argc - optind, argv + optind, &l)) != 0 ||
	    (r = policy_of(&a.policy, a.policy != NULL, &p)) != 0)
		goto out;
	if ((r = whatif_init(&w, p, a.as, &a.claim)) == ERR_NOMEM) {
		r = cli_no_memory();
		goto out;
	}
	if (r != 0) {
		cli_error("the policy has no identity `%s'", a.as);
		r = POSTERN_EX_USAGE;
		goto out;
	}
	r = explain(&a, &w, &l);
out:
	whatif_clear(&w);
	list_clear(&l);
	policy_free(p);
	ask_clear(&a);
	return r;
}
