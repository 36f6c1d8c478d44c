/*
 * Quoting a command for a target's login shell, and reading it back.  Runs in
 * policy (writes) and in the signer (reads what policy wants certified).
 * Distrusts every byte of argv: a job chose it.
 *
 * The form: words parted by one blank, programs by ` | `, and in front of all
 * perhaps 'cd' '--' '/DIR' && ; a word is made of '...' around runs of
 * ordinary characters and of \' \! \\ between them; the empty word is ''.  No
 * shell of the ten gives a meaning of its own to any part of it: csh expands
 * `!` even inside quotes, fish takes `\` inside quotes, and aliases apply to
 * words that are not quoted.
 */
#include "config.h"

#include "ssh/quote.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"

/* What must stand outside the quotes, behind a backslash. */
static bool
quote_special(char c)
{
	return c == '\'' || c == '!' || c == '\\';
}

static int
quote_word(const char *w, struct buf *b)
{
	size_t n = strlen(w), run;
	int r;

	if (strchr(w, '\n') != NULL || !utf8_valid(w, n))
		return ERR_FORMAT;
	if (n == 0)
		return buf_put(b, "''", 2);
	while (*w != '\0') {
		if (quote_special(*w)) {
			const char pair[2] = { '\\', *w++ };

			if ((r = buf_put(b, pair, 2)) != 0)
				return r;
			continue;
		}
		run = strcspn(w, "'!\\");
		if ((r = buf_put(b, "'", 1)) != 0 ||
		    (r = buf_put(b, w, run)) != 0 ||
		    (r = buf_put(b, "'", 1)) != 0)
			return r;
		w += run;
	}
	return 0;
}

static bool
same_words(const struct quote_program *a, const struct quote_program *b)
{
	for (size_t i = 0; a->argc == b->argc && i < a->argc; i++) {
		if (strcmp(a->argv[i], b->argv[i]) != 0)
			return false;
	}
	return a->argc == b->argc;
}

static bool
same_line(const struct quote_line *a, const struct quote_line *b)
{
	if ((a->dir == NULL) != (b->dir == NULL) || a->n != b->n ||
	    (a->dir != NULL && strcmp(a->dir, b->dir) != 0))
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (!same_words(&a->program[i], &b->program[i]))
			return false;
	}
	return true;
}

/* Reads the result back; anything but the very same is our own fault. */
static int
quote_check(const struct quote_line *l, const struct buf *b)
{
	struct quote_line *back = NULL;
	int r;

	r = quote_read((const char *)buf_ptr(b), buf_len(b), &back);
	if (r == ERR_NOMEM)
		return r;
	r = r == 0 && same_line(l, back) ? 0 : ERR_INTERNAL;
	free(back);
	return r;
}

static int
put_program(const struct quote_program *p, struct buf *b)
{
	int r;

	if (p->argc == 0)
		return ERR_FORMAT;
	for (size_t i = 0; i < p->argc; i++) {
		if (i > 0 && (r = buf_put(b, " ", 1)) != 0)
			return r;
		if ((r = quote_word(p->argv[i], b)) != 0)
			return r;
	}
	return 0;
}

static int
put_dir(const char *dir, struct buf *b)
{
	static const char *const cd[] = { "cd", "--" };
	static const struct quote_program head = { cd, 2 };
	int r;

	if (*dir != '/')
		return ERR_FORMAT;
	if ((r = put_program(&head, b)) != 0 || (r = buf_put(b, " ", 1)) != 0 ||
	    (r = quote_word(dir, b)) != 0)
		return r;
	return buf_put(b, " && ", 4);
}

int
quote_put(const struct quote_line *l, struct buf *out)
{
	struct buf b;
	int r = ERR_INTERNAL;

	buf_init(&b, PROTO_WIRE_MAX);
	if (l->n == 0 || l->n > QUOTE_PROGRAMS_MAX) {
		r = ERR_FORMAT;
		goto out;
	}
	if (l->dir != NULL && (r = put_dir(l->dir, &b)) != 0)
		goto out;
	for (size_t i = 0; i < l->n; i++) {
		if ((i > 0 && (r = buf_put(&b, " | ", 3)) != 0) ||
		    (r = put_program(&l->program[i], &b)) != 0)
			goto out;
	}
	if ((r = quote_check(l, &b)) != 0)
		goto out;
	r = buf_put(out, buf_ptr(&b), buf_len(&b));
out:
	buf_clear(&b);
	return r;
}

int
quote_argv(const char *const *argv, size_t argc, struct buf *out)
{
	const struct quote_program p = { argv, argc };
	const struct quote_line l = { .program = &p, .n = 1 };

	return quote_put(&l, out);
}

/*
 * The reader is a machine of its own, one character at a time, and shares
 * nothing with the writer, so that one mistake is not made twice.
 */
enum split_state {
	SPLIT_WORD,   /* a word must begin here */
	SPLIT_OPEN,   /* just behind an opening quote */
	SPLIT_RUN,    /* inside quotes, something was read */
	SPLIT_CLOSED, /* behind a closing quote: no second run may follow */
	SPLIT_EMPTY,  /* behind '': the word must end */
	SPLIT_SLASH,  /* behind a backslash */
	SPLIT_PAIR,   /* behind a pair */
	SPLIT_AND,    /* behind one & */
	SPLIT_JOINED, /* behind && or |: a blank must follow */
};

struct split {
	enum split_state state;
	bool first;	/* at the first character of a word */
	char *to;	/* where the next character of a word goes */
	size_t words;	/* finished ones */
	char *join;     /* what stands behind each word: 0, & or | */
};

static int
split_quoted(struct split *sp, char c)
{
	switch (c) {
	case '\'':
		if (sp->state == SPLIT_RUN)
			sp->state = SPLIT_CLOSED;
		else if (sp->first)
			sp->state = SPLIT_EMPTY;
		else
			return ERR_FORMAT;
		return 0;
	case '\0':
	case '\n':
	case '!':
	case '\\':
		return ERR_FORMAT;
	default:
		*sp->to++ = c;
		sp->state = SPLIT_RUN;
		return 0;
	}
}

/* Where a word must begin, behind the first. */
static int
split_join(struct split *sp, char c)
{
	if (sp->words == 0 || sp->join[sp->words - 1] != '\0')
		return ERR_FORMAT; /* nothing stands between the two */
	sp->join[sp->words - 1] = c;
	sp->state = c == '&' ? SPLIT_AND : SPLIT_JOINED;
	return 0;
}

static int
split_outside(struct split *sp, char c)
{
	if (sp->state == SPLIT_WORD && (c == '&' || c == '|'))
		return split_join(sp, c);
	sp->first = sp->state == SPLIT_WORD;
	switch (c) {
	case '\'':
		if (sp->state == SPLIT_CLOSED)
			return ERR_FORMAT;
		sp->state = SPLIT_OPEN;
		return 0;
	case '\\':
		sp->state = SPLIT_SLASH;
		return 0;
	case ' ':
		if (sp->first)
			return ERR_FORMAT;
		*sp->to++ = '\0';
		sp->join[sp->words++] = '\0';
		sp->state = SPLIT_WORD;
		return 0;
	default:
		return ERR_FORMAT;
	}
}

static int
split_step(struct split *sp, char c)
{
	switch (sp->state) {
	case SPLIT_OPEN:
	case SPLIT_RUN:
		return split_quoted(sp, c);
	case SPLIT_SLASH:
		if (c != '\'' && c != '!' && c != '\\')
			return ERR_FORMAT;
		*sp->to++ = c;
		sp->state = SPLIT_PAIR;
		return 0;
	case SPLIT_AND:
		sp->state = SPLIT_JOINED;
		return c == '&' ? 0 : ERR_FORMAT;
	case SPLIT_JOINED:
		sp->state = SPLIT_WORD;
		return c == ' ' ? 0 : ERR_FORMAT;
	case SPLIT_EMPTY:
		return c == ' ' ? split_outside(sp, c) : ERR_FORMAT;
	case SPLIT_WORD:
	case SPLIT_CLOSED:
	case SPLIT_PAIR:
		return split_outside(sp, c);
	}
	return ERR_INTERNAL;
}

/* What the reader needs, in one allocation: a line, its programs, the
 * pointers, the joins, then the words.  The words never need more than the
 * string did: each gives up at least a quote or a backslash. */
struct split_room {
	struct quote_line line;
	struct quote_program program[QUOTE_PROGRAMS_MAX];
	char *word[];
};

static int
split_alloc(
    const char *s, size_t n, struct split_room **roomp, struct split *sp)
{
	struct split_room *room;
	size_t most = 1;

	for (size_t i = 0; i < n; i++)
		most += s[i] == ' ';
	/* and a NULL behind each program */
	room = malloc(sizeof(*room) +
		      (most + QUOTE_PROGRAMS_MAX + 1) * sizeof(char *) + most +
		      n + 1);
	if (room == NULL)
		return ERR_NOMEM;
	*sp = (struct split){ .state = SPLIT_WORD };
	sp->join = (char *)(room->word + most + QUOTE_PROGRAMS_MAX + 1);
	sp->to = sp->join + most;
	*roomp = room;
	return 0;
}

static int
split_words(const char *s, size_t n, struct split *sp)
{
	int r;

	for (size_t i = 0; i < n; i++) {
		if ((r = split_step(sp, s[i])) != 0)
			return r;
	}
	/* The last word must end, too, and not inside a quote. */
	if ((r = split_step(sp, ' ')) != 0)
		return r;
	return sp->state == SPLIT_WORD && sp->words > 0 &&
		       sp->join[sp->words - 1] == '\0'
		   ? 0
		   : ERR_FORMAT;
}

/* Words and what stands behind them, made a line. */
static int
split_line(struct split_room *room, const struct split *sp, char *text)
{
	struct quote_line *l = &room->line;
	union {
		char **rw;
		const char *const *ro;
	} at = { .rw = room->word };
	struct quote_program *p = room->program;

	*l = (struct quote_line){ .program = room->program };
	*p = (struct quote_program){ .argv = at.ro };
	for (size_t i = 0; i < sp->words; i++) {
		*at.rw++ = text;
		text += strlen(text) + 1;
		p->argc++;
		if (sp->join[i] == '&') {
			if (i != 2 || strcmp(p->argv[0], "cd") != 0 ||
			    strcmp(p->argv[1], "--") != 0 || *p->argv[2] != '/')
				return ERR_FORMAT;
			l->dir = p->argv[2];
			*p = (struct quote_program){ .argv = at.ro };
		} else if (sp->join[i] == '|' || i + 1 == sp->words) {
			*at.rw++ = NULL;
			if (++l->n == QUOTE_PROGRAMS_MAX && i + 1 != sp->words)
				return ERR_FORMAT;
			if (i + 1 != sp->words)
				*++p = (struct quote_program){ .argv = at.ro };
		}
	}
	return 0;
}

int
quote_read(const char *s, size_t n, struct quote_line **out)
{
	struct split_room *room = NULL;
	struct split sp;
	char *text;
	int r = ERR_INTERNAL;

	if (n == 0 || n > PROTO_WIRE_MAX || !utf8_valid(s, n))
		return ERR_FORMAT;
	if ((r = split_alloc(s, n, &room, &sp)) != 0)
		goto out;
	text = sp.to;
	if ((r = split_words(s, n, &sp)) != 0 ||
	    (r = split_line(room, &sp, text)) != 0)
		goto out;
	*out = &room->line;
	room = NULL;
out:
	free(room);
	return r;
}
