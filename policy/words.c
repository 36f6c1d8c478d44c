/*
 * The rules read from the end of somebody who may use them: their lines, and
 * the words that may come next.  Runs in the policy process, on a text that a
 * job chose; what it tells is literal text of allow rules that apply to that
 * job, and values of its own token.
 */
#include "config.h"

#include "policy/words.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/claims.h"
#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

#define FOUND_MAX 4096 /* words, before those that are the same are one */

/* -- lines ------------------------------------------------------------------
 */

/* One line of a rule, as it is written. */
struct line {
	const char *text;
	size_t n, at; /* which it is, from the top */
	bool again;   /* the same stands above it */
};

static int
by_text(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int r = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);

	if (r != 0)
		return r;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

static int
by_place(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->at < y->at ? -1 : 1;
}

static int
tell_line(const struct line *l, words_fn fn, void *arg)
{
	const char *s = l->text;
	struct buf b;
	int r = 0;

	buf_init(&b, WORDS_WORD_MAX);
	for (size_t i = 0; i < l->n && r == 0; i++)
		r = buf_put(&b, s[i] == '\n' || s[i] == '\t' ? " " : s + i, 1);
	if (r == 0)
		r = fn(arg, (const char *)buf_ptr(&b), buf_len(&b));
	else if (r == ERR_TOOBIG)
		r = 0;
	buf_clear(&b);
	return r;
}

static struct line
line_of(const struct policy *p, const struct place *at)
{
	return (
	    struct line){ .text = p->source[at->pos.file].text + at->pos.off,
		.n = at->width };
}

/* Of rules that have the same line, the first tells it. */
static void
mark_again(struct line *line, size_t n)
{
	qsort(line, n, sizeof(*line), by_text);
	for (size_t i = 1; i < n; i++)
		line[i].again =
		    line[i].n == line[i - 1].n &&
		    memcmp(line[i].text, line[i - 1].text, line[i].n) == 0;
	qsort(line, n, sizeof(*line), by_place);
}

static bool
is_open(const struct rule *rule, const struct request *q)
{
	return rule->effect == EFFECT_ALLOW && rule_applies(rule, q);
}

int
words_lines(const struct request *q, words_fn fn, void *arg)
{
	const struct policy *p = q->policy;
	struct line *line;
	size_t n = 0;
	int r = 0;

	if (p == NULL || q->target == NULL)
		return 0;
	for (size_t i = 0; i < p->nrule; i++)
		n += is_open(p->rule[i], q) ? p->rule[i]->nrun : 0;
	if ((line = calloc(n + 1, sizeof(*line))) == NULL)
		return ERR_NOMEM;
	n = 0;
	for (size_t i = 0; i < p->nrule; i++) {
		for (size_t k = 0;
		     is_open(p->rule[i], q) && k < p->rule[i]->nrun; k++) {
			line[n] = line_of(p, &p->rule[i]->run[k]->at);
			line[n].at = n;
			n++;
		}
	}
	mark_again(line, n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = line[i].again ? 0 : tell_line(&line[i], fn, arg);
	free(line);
	return r;
}

/* -- words ------------------------------------------------------------------
 */

struct typed {
	char *text;   /* a copy, its words terminated */
	char **word;  /* NULL-terminated */
	size_t nword; /* whole ones */
	const char *partial;
	size_t npartial;
};

struct found_words {
	char **word;
	size_t n, cap;
};

/* Characters that stand for themselves, in every place of a word. */
static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || strchr("-_./:,@%+=", c) != NULL;
}

static bool
is_plain_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\0' || !is_plain(s[i]))
			return false;
	}
	return true;
}

/* Where the command that is being typed begins: behind the last operator. */
static size_t
command_start(const char *s, size_t n)
{
	size_t at = n;

	while (
	    at > 0 && s[at - 1] != ';' && s[at - 1] != '&' && s[at - 1] != '|')
		at--;
	return at;
}

static int
typed_init(struct typed *t, const char *s, size_t n)
{
	size_t at = command_start(s, n), i;

	*t = (struct typed){ 0 };
	/* a pipeline's line goes on, and is not followed here */
	if (at > 0 && s[at - 1] == '|' && (at < 2 || s[at - 2] != '|'))
		return ERR_FORMAT;
	if (at > 0 && s[at - 1] == '&' && (at < 2 || s[at - 2] != '&'))
		return ERR_FORMAT;
	s += at;
	n -= at;
	t->text = malloc(n + 1);
	t->word = calloc(n / 2 + 2, sizeof(*t->word));
	if (t->text == NULL || t->word == NULL)
		return ERR_NOMEM;
	memcpy(t->text, s, n);
	t->text[n] = '\0';
	for (i = 0; i < n;) {
		size_t len = 0;

		while (i < n && (t->text[i] == ' ' || t->text[i] == '\t'))
			t->text[i++] = '\0';
		while (i + len < n && is_plain(t->text[i + len]))
			len++;
		if (i + len == n) {
			t->partial = t->text + i;
			t->npartial = len;
			return 0;
		}
		if (len == 0 ||
		    (t->text[i + len] != ' ' && t->text[i + len] != '\t'))
			return ERR_FORMAT;
		t->word[t->nword++] = t->text + i;
		i += len;
	}
	t->partial = t->text + n;
	return 0;
}

static void
typed_clear(struct typed *t)
{
	free(t->text);
	free(t->word);
}

/* a and b, one behind the other, if it begins like what was typed. */
static int
found_add(struct found_words *f, const struct typed *t, const char *a,
    size_t na, const char *b, size_t nb)
{
	char *w;

	if (na + nb > WORDS_WORD_MAX || na + nb == 0 || f->n == FOUND_MAX ||
	    !is_plain_text(a, na) || !is_plain_text(b, nb))
		return 0;
	if (f->n == f->cap) {
		size_t cap = f->cap == 0 ? 64 : 2 * f->cap;
		char **to = realloc(f->word, cap * sizeof(*to));

		if (to == NULL)
			return ERR_NOMEM;
		f->word = to;
		f->cap = cap;
	}
	if ((w = malloc(na + nb + 1)) == NULL)
		return ERR_NOMEM;
	memcpy(w, a, na);
	memcpy(w + na, b, nb);
	w[na + nb] = '\0';
	if (na + nb < t->npartial || memcmp(w, t->partial, t->npartial) != 0)
		free(w);
	else
		f->word[f->n++] = w;
	return 0;
}

/* A slot behind a literal text (or none). */
static int
add_slot(struct found_words *f, const struct typed *t, const struct request *q,
    const struct slot *slot, const char *a, size_t na)
{
	const char *v;
	int r = 0;

	if (slot->kind == SLOT_ENUM) {
		for (size_t i = 0; i < slot->nvalue && r == 0; i++)
			r = found_add(f, t, a, na, slot->value[i],
			    strlen(slot->value[i]));
		return r;
	}
	if (slot->kind == SLOT_CLAIM) {
		v = q->claims == NULL ? NULL
				      : claims_get(q->claims, slot->pattern);
		return v == NULL ? 0 : found_add(f, t, a, na, v, strlen(v));
	}
	/* what is not listed */
	return na == 0 ? 0 : found_add(f, t, a, na, "", 0);
}

static int
add_item(struct found_words *f, const struct typed *t, const struct request *q,
    const struct item *it)
{
	const struct piece *a = &it->piece[0];

	if (it->npiece == 0)
		return 0;
	if (it->npiece == 1 && a->text != NULL)
		return found_add(f, t, a->text, a->len, "", 0);
	if (a->text == NULL)
		return it->npiece == 1 ? add_slot(f, t, q, a->slot, "", 0) : 0;
	if (it->npiece == 2 && a[1].text == NULL)
		return add_slot(f, t, q, a[1].slot, a->text, a->len);
	return found_add(f, t, a->text, a->len, "", 0);
}

/* What may come next in one line of a rule. */
static int
add_run(struct found_words *f, const struct typed *t, const struct request *q,
    const struct subject *s, const struct run *run)
{
	uint64_t set[RUN_BITS], bits;
	int r = 0;

	if (run->nassign > 0 || !dir_matches(run, s) ||
	    !words_follow(run, s, t->nword, set))
		return 0;
	for (size_t k = 0; k < run->nw; k++) {
		for (bits = set[k]; bits != 0 && r == 0; bits &= bits - 1)
			r = add_item(f, t, q,
			    &run->item[k * 64 + (size_t)__builtin_ctzll(bits)]);
	}
	return r;
}

static int
by_bytes(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int
found_tell(struct found_words *f, words_fn fn, void *arg)
{
	int r = 0;

	if (f->n > 0)
		qsort(f->word, f->n, sizeof(*f->word), by_bytes);
	for (size_t i = 0; i < f->n && r == 0; i++) {
		if (i == 0 || strcmp(f->word[i], f->word[i - 1]) != 0)
			r = fn(arg, f->word[i], strlen(f->word[i]));
	}
	return r;
}

static int
find_words(struct found_words *f, const struct typed *t,
    const struct request *q, char *dir)
{
	const struct policy *p = q->policy;
	char *none[2] = { NULL, NULL };
	struct stage stage = { .argv = t->word, .argc = t->nword };
	const struct command c = { .dir = dir, .stage = &stage, .nstage = 1 };
	struct subject *s;
	int r = 0;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	if (t->nword == 0) { /* any word will do: none is looked at */
		none[0] = t->text + strlen(t->text);
		stage.argv = none;
		stage.argc = 1;
	}
	if (!subject_init(s, p, q->target, &c, q->claims))
		r = ERR_FORMAT;
	for (size_t i = 0; i < p->nrule && r == 0; i++) {
		if (!is_open(p->rule[i], q))
			continue;
		for (size_t k = 0; k < p->rule[i]->nrun && r == 0; k++)
			r = add_run(f, t, q, s, p->rule[i]->run[k]);
	}
	free(s);
	return r;
}

int
words_next(const struct request *q, char *dir, const char *text, size_t n,
    size_t *partial, words_fn fn, void *arg)
{
	struct found_words f = { 0 };
	struct typed t;
	int r;

	if ((r = typed_init(&t, text, n)) != 0)
		goto out;
	*partial = t.npartial;
	if (q->policy == NULL || q->target == NULL)
		goto out;
	if ((r = find_words(&f, &t, q, dir)) == 0)
		r = found_tell(&f, fn, arg);
out:
	for (size_t i = 0; i < f.n; i++)
		free(f.word[i]);
	free(f.word);
	typed_clear(&t);
	return r;
}
