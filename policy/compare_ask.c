/*
 * Asking both policies about one request, in every session, place and time
 * that the lines which match it tell apart.  Runs in the command line tools.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/command.h"
#include "policy/compare_internal.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/whatif.h"

/* -- a request from its text ----------------------------------------------- */

/* What is asked for; its words are the text's. */
struct asked {
	struct command command;
	struct stage stage[COMMAND_STAGES_MAX];
	char **word;
	const char *path, *ref;
};

/* Cuts the next word off, in front of the first of these characters that there
 * is; *end is that character. */
static char *
next_word(char **text, const char *ends, char *end)
{
	char *word = *text;
	size_t n = strcspn(word, ends);

	*end = word[n];
	word[n] = '\0';
	*text += n + (*end != '\0');
	return word;
}

static int
read_command(struct asked *a, char *text, size_t n)
{
	static const char ends[] = { LANGUAGE_END, LANGUAGE_SET, LANGUAGE_PIPE,
		LANGUAGE_DIR, '\0' };
	struct stage *g = a->stage;
	char *word, end, **next;

	if ((a->word = calloc(2 * n + 4, sizeof(*a->word))) == NULL)
		return ERR_NOMEM;
	next = a->word;
	*g = (struct stage){ .assign = next, .argv = next };
	while (*text != '\0') {
		word = next_word(&text, ends, &end);
		if (end == LANGUAGE_DIR) {
			a->command.dir = word;
		} else if (end == LANGUAGE_SET) {
			*next++ = word;
			g->nassign++;
			g->argv = next;
		} else if (end == LANGUAGE_END) {
			*next++ = word;
			g->argc++;
		} else if (++g == a->stage + COMMAND_STAGES_MAX) {
			return ERR_TOOBIG;
		} else {
			next++; /* behind the NULL */
			*g = (struct stage){ .assign = next, .argv = next };
		}
	}
	a->command.stage = a->stage;
	a->command.nstage = (size_t)(g - a->stage) + 1;
	return g->argc == 0 ? ERR_TOOBIG : 0;
}

static int
read_text(const struct compare *c, char *text, size_t n, struct asked *a)
{
	static const char ends[] = { LANGUAGE_END, LANGUAGE_SET, '\0' };
	char end;

	*a = (struct asked){ .path = NULL };
	switch (c->topic.kind) {
	case REQUEST_RUN:
		return read_command(a, text, n);
	case REQUEST_READ:
	case REQUEST_WRITE:
		a->path = next_word(&text, ends, &end);
		return 0;
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		a->path = next_word(&text, ends, &end);
		if (*text != LANGUAGE_SET)
			a->ref = next_word(&text, ends, &end);
		return 0;
	case REQUEST_INTERACTIVE:
		return 0;
	}
	return ERR_INTERNAL;
}

/* -- asking ---------------------------------------------------------------- */

struct where_when {
	const struct session *s;
	const struct spot *spot;
	time_t now;
};

static struct request
request_of(const struct compare *c, int side, const struct asked *a,
    const struct where_when *x)
{
	return (struct request){ .policy = c->cells.p[side],
		.identity = x->s->set[side],
		.claims = &x->s->claims,
		.target = x->spot->target[side],
		.login = x->spot->login,
		.kind = c->topic.kind,
		.command = c->topic.kind == REQUEST_RUN ? &a->command : NULL,
		.path = a->path,
		.how = c->topic.how,
		.ref = a->ref,
		.sent = c->sent,
		.nsent = c->nsent,
		.now = x->now,
		.enforces = ENFORCE_ALL };
}

static int
ask(struct compare *c, const struct asked *a, const struct where_when *x,
    bool terminal)
{
	struct request old = request_of(c, CELLS_OLD, a, x);
	struct request new = request_of(c, CELLS_NEW, a, x);
	struct decision d[2];
	struct witness w = { .q = { &old, &new },
		.d = { &d[0], &d[1] },
		.identity = x->s->as->name };
	int r = 0;

	for (int pty = 0; pty < 1 + terminal && r == 0; pty++) {
		old.pty = new.pty = pty == 1;
		decide(&new, &d[1]);
		if (d[1].verdict == VERDICT_DENY)
			continue;
		decide(&old, &d[0]);
		if (!compare_decisions(w.q, w.d, &w.kind))
			continue;
		c->nallowed += w.kind == DIFFERENCE_ALLOWED;
		r = c->how->found(c->how->arg, &w);
	}
	return r;
}

/* -- everywhere ------------------------------------------------------------ */

/* The lines of a piece, and sets of them. */
struct asking {
	struct compare *c;
	const struct asked *a;
	size_t *line;
	size_t n, words;
	uint64_t *mine, *here, *now;
	bool terminal; /* NEW could grant one */
};

/* Sets that have been looked at already. */
struct seen {
	struct mark *v;
	size_t n, cap;
};

/* true for a set that is new; false also when memory runs out. */
static bool
see(struct asking *q, struct seen *s, const uint64_t *set, uint64_t more)
{
	struct mark m = { 0xcbf29ce484222325U ^ more, 0x84222325cbf29ce4U }, *v;

	for (size_t i = 0; i < q->words; i++) {
		m.a = (m.a ^ set[i]) * 0x9e3779b97f4a7c15U;
		m.b = ((m.b ^ set[i]) * 0xbf58476d1ce4e5b9U) ^ m.b >> 31;
		m.a ^= m.a >> 29;
	}
	for (size_t i = 0; i < s->n; i++) {
		if (same_mark(&s->v[i], &m))
			return false;
	}
	if (s->n == s->cap) {
		v = reallocarray(s->v, s->cap * 2 + 16, sizeof(*v));
		if (v == NULL) {
			compare_doubt(q->c, NULL, "memory ran out");
			return false;
		}
		s->v = v;
		s->cap = s->cap * 2 + 16;
	}
	s->v[s->n++] = m;
	return true;
}

static const struct line *
line_of(const struct asking *q, size_t i)
{
	return &q->c->line[q->line[i]];
}

static bool
has_allow(const struct asking *q, const uint64_t *set)
{
	for (size_t i = 0; i < q->n; i++) {
		if (bit_get(set, i) && line_is_new_allow(line_of(q, i)))
			return true;
	}
	return false;
}

/* Of the lines in `from` (NULL: all) those that are for the session. */
static void
for_session(struct asking *q, const struct session *s)
{
	memset(q->mine, 0, q->words * sizeof(uint64_t));
	for (size_t i = 0; i < q->n; i++) {
		const struct line *l = line_of(q, i);

		if (cells_is_for(&q->c->cells, l->side, l->rule, s))
			bit_set(q->mine, i);
	}
}

static void
at_spot(struct asking *q, const struct spot *spot)
{
	memset(q->here, 0, q->words * sizeof(uint64_t));
	for (size_t i = 0; i < q->n; i++) {
		const struct line *l = line_of(q, i);

		if (bit_get(q->mine, i) &&
		    cells_is_here(&q->c->cells, l->side, l->rule, spot))
			bit_set(q->here, i);
	}
}

static void
at_time(struct asking *q, time_t now)
{
	memset(q->now, 0, q->words * sizeof(uint64_t));
	for (size_t i = 0; i < q->n; i++) {
		if (bit_get(q->here, i) &&
		    cells_is_now(line_of(q, i)->rule, now))
			bit_set(q->now, i);
	}
}

/* 0: not observed; else different for each answer about OLD and NEW. */
static uint64_t
observes(const struct spot *s, time_t now)
{
	uint64_t bits = 0;

	for (int side = 0; side < 2 && s->observed; side++) {
		if (s->target[side] != NULL &&
		    now < s->target[side]->observe_until)
			bits |= (uint64_t)1 << side;
	}
	return bits;
}

static int
ask_at(struct asking *q, const struct session *s, const struct spot *spot)
{
	const struct cells *cells = &q->c->cells;
	struct seen when = { 0 };
	uint64_t watched;
	int r = 0;

	at_spot(q, spot);
	for (size_t t = 0; t < cells->nnow && r == 0; t++) {
		const struct where_when x = { s, spot, cells->now[t] };

		watched = observes(spot, x.now);
		at_time(q, x.now);
		if ((has_allow(q, q->now) || (watched & 2) != 0) &&
		    see(q, &when, q->now, watched))
			r = ask(q->c, q->a, &x, q->terminal);
	}
	free(when.v);
	return r;
}

static int
ask_as(struct asking *q, const struct session *s)
{
	const struct cells *cells = &q->c->cells;
	struct seen where = { 0 };
	int r = 0;

	for (size_t k = 0; k < cells->nspot && r == 0; k++) {
		const struct spot *spot = &cells->spot[k];

		if (spot->programs != q->c->programs)
			continue;
		at_spot(q, spot);
		/* each spot that is observed is one of its own */
		if (spot->observed ? true
				   : has_allow(q, q->here) &&
					 see(q, &where, q->here,
					     spot->target[CELLS_OLD] == NULL))
			r = ask_at(q, s, spot);
	}
	free(where.v);
	return r;
}

static int
find_lines(struct asking *q, const struct piece_of *p)
{
	const struct alike *g;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		g = &q->c->group[p->group[i]];
		n += g->end - g->begin;
	}
	q->words = n / 64 + 1;
	q->line = calloc(n + 1, sizeof(*q->line));
	q->mine = calloc(3 * q->words, sizeof(*q->mine));
	if (q->line == NULL || q->mine == NULL)
		return ERR_NOMEM;
	q->here = q->mine + q->words;
	q->now = q->here + q->words;
	q->terminal = q->c->topic.kind == REQUEST_INTERACTIVE ||
		      (q->c->topic.kind == REQUEST_RUN && q->c->cells.observed);
	for (size_t i = 0; i < p->n; i++) {
		g = &q->c->group[p->group[i]];
		for (size_t k = g->begin; k < g->end; k++) {
			const struct line *l = &q->c->line[k];

			q->line[q->n++] = k;
			q->terminal =
			    q->terminal || (line_is_new_allow(l) &&
					       l->run != NULL && l->run->pty);
		}
	}
	return 0;
}

static int
ask_all(struct compare *c, const struct piece_of *p, const struct asked *a,
    const struct session *s, size_t nsession)
{
	struct asking q = { .c = c, .a = a };
	struct seen who = { 0 };
	int r = find_lines(&q, p);

	for (size_t i = 0; i < nsession && r == 0; i++) {
		for_session(&q, &s[i]);
		/* where nothing matters, but for somebody who is nobody in OLD
		 * on a target that is observed */
		if ((has_allow(&q, q.mine) || c->cells.observed) &&
		    see(&q, &who, q.mine, c->cells.observed ? i + 1 : 0))
			r = ask_as(&q, &s[i]);
	}
	free(who.v);
	free(q.line);
	free(q.mine);
	return r;
}

/* An example that was put together must be what the line says. */
static bool
is_of(const struct compare *c, const struct piece_of *p, const struct asked *a,
    const struct claims *cs)
{
	const struct line *l = &c->line[c->group[p->group[0]].begin];
	struct subject s;

	return p->fa != NULL || l->run == NULL ||
	       c->spot->target[l->side] == NULL ||
	       (subject_init(&s, c->cells.p[l->side], c->spot->target[l->side],
		    &a->command, cs) &&
		   run_matches(l->run, &s));
}

/* Can somebody ask for it?  A language is of texts, and no word in it is
 * looked at for what it means in front. */
static bool
can_be_asked(const struct compare *c, const struct asked *a)
{
	struct buf b;
	int r;

	if (c->topic.kind != REQUEST_RUN)
		return true;
	buf_init(&b, COMMAND_LEN_MAX);
	r = command_print(&a->command, &b);
	buf_clear(&b);
	return r != ERR_INTERNAL;
}

int
compare_ask_text(struct compare *c, const struct piece_of *p, char *text,
    size_t n, const struct session *s, size_t nsession)
{
	struct asked a;
	int r = read_text(c, text, n, &a);

	if (r == 0 && nsession > 0 &&
	    (!is_of(c, p, &a, &s->claims) || !can_be_asked(c, &a)))
		r = ERR_NOTFOUND;
	else if (r == 0)
		r = ask_all(c, p, &a, s, nsession);
	free(a.word);
	return r;
}

int
compare_ask_piece(struct compare *c, size_t group, struct piece_of *p,
    const struct session *s, size_t nsession)
{
	bool given = p->text != NULL;
	struct fa *fa;
	char *text;
	size_t n;
	int r = 0;

	if (compare_is_settled(c, p))
		return 0;
	for (int tries = 0; tries < 2; tries++) {
		if ((text = piece_example(c, group, p, &n)) == NULL)
			return 0;
		r = compare_ask_text(c, p, text, n, s, nsession);
		free(text);
		if ((r != ERR_NOTFOUND && r != ERR_TOOBIG) || p->fa != NULL)
			break;
		if (given)
			return ERR_NOTFOUND;
		/* what was put together is no example: find one */
		fa = group_fa(c, group);
		p->fa = fa == NULL ? NULL : language_copy(fa);
	}
	if (r != ERR_NOTFOUND && r != ERR_TOOBIG)
		return r;
	compare_doubt(c, &c->line[c->group[group].begin],
	    "no request was found that it matches");
	return 0;
}

int
compare_ask_there(struct compare *c, char *text, size_t n,
    const struct session *s, const struct spot *spot, time_t now)
{
	const struct where_when x = { s, spot, now };
	struct asked a;
	int r = read_text(c, text, n, &a);

	if (r == 0 && can_be_asked(c, &a))
		r = ask(c, &a, &x, true);
	free(a.word);
	return r;
}

/* -- targets that are observed --------------------------------------------- */

/* Requests of which no line speaks by name. */
static const char *const unheard[] = { "postern-observed", "/postern/observed",
	"postern-observed x", "/postern/observed x y --z" };

static char *
unheard_text(const struct compare *c, size_t i)
{
	static const char end[] = { LANGUAGE_END, '\0' };
	static const char set[] = { LANGUAGE_SET, '\0' };
	char *s = NULL;
	int r;

	switch (c->topic.kind) {
	case REQUEST_RUN:
		r = asprintf(&s, "%s%s", unheard[i], end);
		for (char *k = s; r > 0 && *k != '\0'; k++) {
			if (*k == ' ')
				*k = LANGUAGE_END;
		}
		return r > 0 ? s : NULL;
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		r = asprintf(&s, "/postern-%zu/observed%s%s", i, end, set);
		return r > 0 ? s : NULL;
	case REQUEST_READ:
	case REQUEST_WRITE:
	case REQUEST_INTERACTIVE:
		r = asprintf(&s, "/postern-%zu/observed%s", i, end);
		return r > 0 ? s : NULL;
	}
	return NULL;
}

/* Is it let through by NEW for want of a rule, and by no rule of OLD?  Then it
 * stands for all that is not spoken of. */
static bool
is_unheard(
    const struct compare *c, const struct asked *a, const struct where_when *x)
{
	struct request new = request_of(c, CELLS_NEW, a, x);
	struct request old = request_of(c, CELLS_OLD, a, x);
	struct decision d;

	decide(&new, &d);
	if (!d.would_deny || d.verdict == VERDICT_DENY)
		return false;
	decide(&old, &d);
	return d.rule == NULL || d.rule->effect == EFFECT_DENY;
}

static int
ask_unheard(struct compare *c, const struct where_when *x)
{
	struct asked a;
	bool found = false;
	char *text;
	int r = 0;

	for (size_t i = 0; i < sizeof(unheard) / sizeof(unheard[0]) && !found;
	     i++) {
		if ((text = unheard_text(c, i)) == NULL)
			return ERR_NOMEM;
		r = read_text(c, text, strlen(text), &a);
		found = r == 0 && is_unheard(c, &a, x);
		if (found)
			r = ask(c, &a, x, c->topic.kind == REQUEST_RUN);
		free(a.word);
		free(text);
		if (r != 0)
			return r;
	}
	if (!found && c->topic.kind != REQUEST_INTERACTIVE)
		compare_doubt(c, NULL,
		    "a target is observed, and what no rule speaks of is "
		    "denied there");
	return 0;
}

static bool
is_somebody(const struct compare *c, const struct session *s)
{
	for (size_t i = 0; i < c->cells.p[CELLS_OLD]->nidentity; i++) {
		if (s->set[CELLS_OLD][i])
			return true;
	}
	return false;
}

/* For one whom OLD knows, and for one whom it does not. */
static int
ask_observed_at(struct compare *c, const struct spot *spot, time_t now)
{
	bool done[2] = { false, false };
	int r = 0;

	for (size_t i = 0; i < c->cells.nsession && r == 0; i++) {
		const struct where_when x = { &c->cells.session[i], spot, now };
		bool known = is_somebody(c, x.s);

		if (!done[known])
			r = ask_unheard(c, &x);
		done[known] = true;
	}
	return r;
}

/* A target that is observed lets everything through that no rule denies. */
int
compare_ask_observed(struct compare *c)
{
	const struct cells *cells = &c->cells;
	int r = 0;

	for (size_t k = 0; k < cells->nspot; k++) {
		const struct spot *spot = &cells->spot[k];

		for (size_t t = 0; t < cells->nnow && r == 0; t++) {
			if ((observes(spot, cells->now[t]) & 2) != 0 &&
			    spot->programs == c->programs)
				r = ask_observed_at(c, spot, cells->now[t]);
		}
	}
	return r;
}
