/*
 * A past command against a policy.  Runs in the command line; the texts are a
 * ledger's, which may be damaged.  Where two answers are possible it says
 * neither, but what the ledger would have to hold.
 */
#include "config.h"

#include "policy/rehearse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

#define ESCAPED_MAX 4096      /* what is longer may have been cut */
#define WHO_MAX (1024 * 1024) /* as a line of the ledger */

/* A line of a rule with a claim's value in it. */
struct claimed {
	const struct run *run;
	const char *claim;
};

struct rehearsal {
	const struct policy *policy, *old;
	struct claimed *claimed;
	size_t nclaimed, cap;
	/* who was asked about last, and what was found */
	struct buf key;
	struct suspects who;
	/* the question */
	struct list list;
	struct request q;
};

static void undecided(struct rehearsed *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
undecided(struct rehearsed *out, const char *fmt, ...)
{
	va_list ap;

	out->undecided = true;
	va_start(ap, fmt);
	(void)vsnprintf(out->why, sizeof(out->why), fmt, ap);
	va_end(ap);
}

/* -- rules with claims in them
 * ----------------------------------------------- */

static int
add_claimed(struct rehearsal *h, const struct run *run, const struct item *it)
{
	const struct piece *p;
	struct claimed *more;

	for (size_t i = 0; it != NULL && i < it->npiece; i++) {
		p = &it->piece[i];
		if (p->text != NULL)
			continue;
		for (size_t k = 0;
		     p->slot->kind == SLOT_REF && k < p->slot->npiece; k++) {
			const struct item inner = { .piece = &p->slot->piece[k],
				.npiece = 1 };
			int r = add_claimed(h, run, &inner);

			if (r != 0)
				return r;
		}
		if (p->slot->kind != SLOT_CLAIM)
			continue;
		if (h->nclaimed == h->cap) {
			h->cap = h->cap == 0 ? 64 : 2 * h->cap;
			more = reallocarray(
			    h->claimed, h->cap, sizeof(*h->claimed));
			if (more == NULL)
				return ERR_NOMEM;
			h->claimed = more;
		}
		h->claimed[h->nclaimed++] =
		    (struct claimed){ run, p->slot->pattern };
	}
	return 0;
}

static int
find_claimed(struct rehearsal *h, const struct run *line)
{
	int r = add_claimed(h, line, line->dir);

	for (const struct run *run = line; run != NULL; run = run->next) {
		for (size_t i = 0; i < run->nassign && r == 0; i++)
			r = add_claimed(h, line, &run->assign[i]);
		for (size_t i = 0; i < run->nitem && r == 0; i++)
			r = add_claimed(h, line, &run->item[i]);
	}
	return r;
}

/* May the line be about the stage's program, with so many words? */
static bool
may_be(const struct run *run, const struct subject *s, size_t stage)
{
	const size_t argc = s->stage[stage].argc;

	if (argc < run->min_words || argc > run->max_words)
		return false;
	for (size_t i = 0; i < run->nitem; i++) {
		const struct piece *p = &run->item[i].piece[0];

		if (bit_get(run->first, i) &&
		    (p->text == NULL || run->item[i].npiece > 1 ||
			item_matches(&run->item[i], s, stage, 0)))
			return true;
	}
	return false;
}

static bool
may_match(const struct run *run, const struct subject *s)
{
	if (run->rule->effect == EFFECT_ALLOW)
		return run->nstage == s->nstage && may_be(run, s, 0);
	for (size_t k = 0; k + run->nstage <= s->nstage; k++) {
		if (may_be(run, s, k))
			return true;
	}
	return false;
}

/* Might the answer be another one, if the rule matched, too? */
static bool
would_matter(const struct rule *rule, const struct decision *d)
{
	bool denied = d->verdict == VERDICT_DENY;

	return rule->effect == EFFECT_DENY
		   ? !denied
		   : denied || d->would_deny || rule->adds;
}

/* A line that would change the answer, had its claim some value. */
static const struct claimed *
open_claim(const struct rehearsal *h, const struct decision *d)
{
	struct request q = h->q;
	struct subject s;

	q.identity = h->who.all;
	if (q.kind != REQUEST_RUN ||
	    !subject_init(&s, q.policy, q.target, q.command, q.claims))
		return NULL;
	for (size_t i = 0; i < h->nclaimed; i++) {
		const struct claimed *c = &h->claimed[i];
		const struct rule *rule = c->run->rule;

		if (would_matter(rule, d) &&
		    claims_get(q.claims, c->claim) == NULL &&
		    (rule_identity(rule, &q) != NULL ||
			(rule->everyone && rule->effect == EFFECT_DENY)) &&
		    rule_is_here(rule, &q) && rule_is_now(rule, &q) &&
		    may_match(c->run, &s))
			return c;
	}
	return NULL;
}

/* -- one question
 * ------------------------------------------------------------ */

static bool
is_same(const struct decision *a, const struct decision *b)
{
	return a->verdict == b->verdict && a->would_deny == b->would_deny;
}

static bool
denies(const struct decision *d)
{
	return d->verdict == VERDICT_DENY && d->rule != NULL &&
	       d->meant == VERDICT_DENY;
}

/* An identity that makes the difference. */
static void
say_who(
    const struct rehearsal *h, const struct decision *d, struct rehearsed *out)
{
	const struct identity *id = NULL;
	struct request q = h->q;
	size_t i;

	q.identity = h->who.all;
	if (d->rule != NULL)
		id = rule_identity(d->rule, &q);
	if (id != NULL && !h->who.sure[id->index]) {
		i = id->index;
	} else {
		for (i = 0; i < h->who.n; i++) {
			if (h->who.all[i] && !h->who.sure[i])
				break;
		}
	}
	if (i < h->who.n)
		undecided(out,
		    "the ledger does not hold claim `%s`, which tells whether "
		    "the job is `%s`",
		    h->who.lacks[i], h->policy->identity[i]->name);
	else
		undecided(out, "the ledger does not say who the job is");
}

/* With or without a terminal. */
static void
ask_once(struct rehearsal *h, bool pty, struct rehearsed *out)
{
	const struct claimed *c;
	struct decision more;

	h->q.pty = pty;
	h->q.identity = h->who.sure;
	decide(&h->q, &out->d);
	if (denies(&out->d))
		return;
	if (h->who.any) {
		h->q.identity = h->who.all;
		decide(&h->q, &more);
		h->q.identity = h->who.sure;
		/* One more identity may allow, or deny: what both say of all
		 * holds for some of them only where no rule denies. */
		if (!is_same(&out->d, &more) || denies(&more)) {
			say_who(h, &more, out);
			return;
		}
	}
	if ((c = open_claim(h, &out->d)) != NULL)
		undecided(out,
		    "the ledger does not hold claim `%s`, which rule `%s` "
		    "asks for",
		    c->claim, c->run->rule->name);
}

static void
ask_pty(struct rehearsal *h, const struct past *past, struct rehearsed *out)
{
	struct rehearsed other = { .undecided = false };

	ask_once(h, past->pty, out);
	if (past->has_pty || out->undecided)
		return;
	ask_once(h, true, &other);
	h->q.pty = false;
	if (other.undecided || !is_same(&out->d, &other.d))
		undecided(out,
		    "the ledger does not say whether the job asked for a "
		    "terminal");
}

/* -- the command
 * ------------------------------------------------------------- */

/* "\xNN" back to bytes; ERR_FORMAT. */
static int
unescape(const char *s, struct buf *to)
{
	char two[3] = "";
	uint8_t byte;
	int r = 0;

	for (; *s != '\0' && r == 0; s++) {
		if (*s != '\\') {
			r = buf_put_u8(to, (uint8_t)*s);
			continue;
		}
		if (s[1] != 'x' || s[2] == '\0')
			return ERR_FORMAT;
		two[0] = s[2];
		two[1] = s[3];
		if (hex_decode(two, &byte, 1) != 0)
			return ERR_FORMAT;
		r = buf_put_u8(to, byte);
		s += 3;
	}
	return r;
}

/* Exactly one command, in either form. */
static int
parse_one(const void *s, size_t n, struct list *out)
{
	static const enum list_form form[] = { LIST_LINE, LIST_SCRIPT };
	struct command_error err;
	int r = ERR_FORMAT;

	for (size_t i = 0; i < 2 && r != 0 && r != ERR_NOMEM; i++) {
		if ((r = list_parse(s, n, form[i], out, &err)) == 0 &&
		    out->n != 1) {
			list_clear(out);
			r = ERR_FORMAT;
		}
	}
	return r;
}

static int
read_command(
    struct rehearsal *h, const struct past *past, struct rehearsed *out)
{
	struct buf b;
	int r;

	list_clear(&h->list);
	h->list = (struct list){ 0 };
	if (past->by != NULL && *past->by != '\0') {
		undecided(out,
		    "files were moved (%s): that is judged path by path",
		    past->by);
		return 0;
	}
	if (past->escaped && strlen(past->command) > ESCAPED_MAX) {
		undecided(
		    out, "the ledger holds no more than its first 4096 bytes");
		return 0;
	}
	buf_init(&b, COMMAND_LEN_MAX);
	r = past->escaped ? unescape(past->command, &b)
			  : buf_put(&b, past->command, strlen(past->command));
	if (r == 0)
		r = parse_one(buf_ptr(&b), buf_len(&b), &h->list);
	buf_clear(&b);
	if (r == 0) {
		h->q.command = h->list.command;
	} else if (r != ERR_NOMEM && past->syntax) {
		(void)str_copy(out->why, sizeof(out->why), "it cannot be read");
	} else if (r != ERR_NOMEM) {
		undecided(out, "what the ledger holds is not one command");
	}
	return r == ERR_NOMEM ? r : 0;
}

/* The ledger shows a program's path, whichever the job wrote.  What the name
 * stands for may be another path now. */
static void
ask_by_name(struct rehearsal *h, const struct past *past, struct rehearsed *out)
{
	const struct command *c = h->q.command;
	char *path[COMMAND_STAGES_MAX] = { NULL }, *name;
	struct rehearsed other = { .undecided = false };
	const char *changed = NULL;

	for (size_t i = 0; i < c->nstage && i < COMMAND_STAGES_MAX; i++) {
		name = strrchr(c->stage[i].argv[0], '/');
		path[i] = c->stage[i].argv[0];
		if (path[i][0] != '/' ||
		    program_find(h->policy, h->q.target, path[i]) != NULL ||
		    program_find(h->policy, h->q.target, name + 1) == NULL)
			continue;
		changed = c->stage[i].argv[0] = name + 1;
	}
	if (changed == NULL)
		return;
	ask_pty(h, past, &other);
	if (other.undecided || !is_same(&out->d, &other.d))
		undecided(out,
		    "`%s` is another path in this policy, and the ledger does "
		    "not say whether the job wrote the name",
		    changed);
	for (size_t i = 0; i < c->nstage && i < COMMAND_STAGES_MAX; i++)
		c->stage[i].argv[0] = path[i];
}

/* What the bastion would not send, whatever the rules say. */
static void
hold_back(const struct request *q, struct rehearsed *out)
{
	if (out->undecided || out->d.verdict == VERDICT_DENY ||
	    q->target->shell == TARGET_POSIX ||
	    (q->command->dir == NULL && q->command->nstage == 1))
		return;
	out->d = (struct decision){ .verdict = VERDICT_DENY,
		.rule_name = "default" };
	(void)str_copy(out->why, sizeof(out->why),
	    "its target's shell takes no folders and pipelines");
}

/* -- who and where
 * ----------------------------------------------------------- */

/* What suspects_find looks at. */
static int
put_key(const struct past *past, struct buf *b)
{
	const char *const text[] = { past->identity, past->issuer,
		past->subject, past->commit, past->pull_request, past->actor,
		past->workflow, past->run };
	int r = 0;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]) && r == 0; i++)
		r = buf_put_cstr(b, text[i]);
	return r;
}

/* The commands of one session come one after the other. */
static int
find_who(struct rehearsal *h, const struct past *past)
{
	struct buf key;
	int r;

	buf_init(&key, WHO_MAX);
	if ((r = put_key(past, &key)) != 0)
		goto out;
	if (h->who.sure != NULL && buf_len(&key) == buf_len(&h->key) &&
	    memcmp(buf_ptr(&key), buf_ptr(&h->key), buf_len(&key)) == 0)
		goto out;
	suspects_clear(&h->who);
	buf_reset(&h->key);
	if ((r = suspects_find(&h->who, h->policy, h->old, past)) == 0 &&
	    (r = buf_put(&h->key, buf_ptr(&key), buf_len(&key))) != 0)
		suspects_clear(&h->who);
out:
	buf_clear(&key);
	return r;
}

/* The name it was logged in with says what it would be now. */
static bool
find_where(struct rehearsal *h, const struct past *past, struct rehearsed *out)
{
	const char *login;
	struct user_name u;

	if (user_name_parse(past->user, &u) != 0 ||
	    strcmp(u.target, past->target) != 0) {
		if (str_copy(u.target, sizeof(u.target), past->target) != 0 ||
		    str_copy(u.login, sizeof(u.login), past->login) != 0) {
			undecided(out, "the ledger does not say where");
			return false;
		}
	}
	login = u.login;
	h->q.target = policy_target_find(h->policy, u.target);
	if (h->q.target != NULL &&
	    target_login(h->q.target, login, &h->q.login) == 0)
		return true;
	if (h->q.target == NULL)
		(void)snprintf(out->why, sizeof(out->why),
		    "the policy has no target `%s`", u.target);
	else
		(void)snprintf(out->why, sizeof(out->why),
		    "target `%s` has no login `%s`", u.target, login);
	h->q.target = NULL;
	return false;
}

/* -- the whole
 * --------------------------------------------------------------- */

int
rehearse(struct rehearsal *h, const struct past *past, struct rehearsed *out)
{
	int r;

	*out =
	    (struct rehearsed){ .d = { .rule_name = "default" }, .q = &h->q };
	h->q = (struct request){ .policy = h->policy,
		.now = past->when,
		.enforces = ENFORCE_BASTION };
	if (*past->command == '\0')
		h->q.kind = REQUEST_INTERACTIVE;
	else if ((r = read_command(h, past, out)) != 0)
		return r;
	if ((r = find_who(h, past)) != 0)
		return r;
	h->q.identity = h->who.sure;
	h->q.claims = &h->who.claims;
	if (!find_where(h, past, out) || out->undecided ||
	    (h->q.kind == REQUEST_RUN && h->q.command == NULL))
		return 0;
	ask_pty(h, past, out);
	if (h->q.kind != REQUEST_RUN)
		return 0;
	if (!out->undecided && !past->escaped)
		ask_by_name(h, past, out);
	hold_back(&h->q, out);
	return 0;
}

int
rehearsal_new(
    const struct policy *p, const struct policy *old, struct rehearsal **out)
{
	struct rehearsal *h = calloc(1, sizeof(*h));
	int r = h == NULL ? ERR_NOMEM : 0;

	if (r != 0)
		return r;
	h->policy = p;
	h->old = old;
	buf_init(&h->key, WHO_MAX);
	for (size_t i = 0; i < p->nrule && r == 0; i++) {
		for (size_t k = 0; k < p->rule[i]->nrun && r == 0; k++)
			r = find_claimed(h, p->rule[i]->run[k]);
	}
	if (r == 0)
		*out = h;
	else
		rehearsal_free(h);
	return r;
}

void
rehearsal_free(struct rehearsal *h)
{
	if (h == NULL)
		return;
	list_clear(&h->list);
	suspects_clear(&h->who);
	buf_clear(&h->key);
	free(h->claimed);
	free(h);
}
