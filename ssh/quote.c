/*
 * Quoting a command for a target's login shell, and reading it back.  Runs in
 * policy (writes) and in the signer (reads what policy wants certified).
 * Distrusts every byte of argv: a job chose it.
 *
 * The form: words parted by one blank; a word is made of '...' around runs of
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

/* Reads the result back; anything but the very same argv is our own fault. */
static int
quote_check(const char *const *argv, size_t argc, const struct buf *b)
{
	char **back = NULL;
	size_t n = 0;
	int r;

	r = quote_split((const char *)buf_ptr(b), buf_len(b), &back, &n);
	if (r == ERR_NOMEM)
		return r;
	if (r != 0 || n != argc) {
		r = ERR_INTERNAL;
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(back[i], argv[i]) != 0) {
			r = ERR_INTERNAL;
			goto out;
		}
	}
	r = 0;
out:
	free(back);
	return r;
}

int
quote_argv(const char *const *argv, size_t argc, struct buf *out)
{
	struct buf b;
	int r = ERR_INTERNAL;

	buf_init(&b, PROTO_WIRE_MAX);
	if (argc == 0) {
		r = ERR_FORMAT;
		goto out;
	}
	for (size_t i = 0; i < argc; i++) {
		if (i > 0 && (r = buf_put(&b, " ", 1)) != 0)
			goto out;
		if ((r = quote_word(argv[i], &b)) != 0)
			goto out;
	}
	if ((r = quote_check(argv, argc, &b)) != 0)
		goto out;
	r = buf_put(out, buf_ptr(&b), buf_len(&b));
out:
	buf_clear(&b);
	return r;
}

/*
 * The reader is a machine of its own, one character at a time, and shares
 * nothing with the writer, so that one mistake is not made twice.
 */
enum split_state {
	SPLIT_WORD,	/* a word must begin here */
	SPLIT_OPEN,	/* just behind an opening quote */
	SPLIT_RUN,	/* inside quotes, something was read */
	SPLIT_CLOSED,	/* behind a closing quote: no second run may follow */
	SPLIT_EMPTY,	/* behind '': the word must end */
	SPLIT_SLASH,	/* behind a backslash */
	SPLIT_PAIR,	/* behind a pair */
};

struct split {
	enum split_state state;
	bool first;	/* at the first character of a word */
	char *to;	/* where the next character of a word goes */
	size_t words;	/* finished ones */
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

static int
split_outside(struct split *sp, char c)
{
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
		sp->words++;
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
	case SPLIT_EMPTY:
		return c == ' ' ? split_outside(sp, c) : ERR_FORMAT;
	case SPLIT_WORD:
	case SPLIT_CLOSED:
	case SPLIT_PAIR:
		return split_outside(sp, c);
	}
	return ERR_INTERNAL;
}

/* One allocation: the pointers, then the words.  The words never need more
 * than the string did: each gives up at least a quote or a backslash. */
static int
split_alloc(const char *s, size_t n, char ***argvp, char **textp)
{
	size_t most = 1;
	void *p;

	for (size_t i = 0; i < n; i++)
		most += s[i] == ' ';
	if ((p = malloc((most + 1) * sizeof(char *) + n + 1)) == NULL)
		return ERR_NOMEM;
	*argvp = p;
	*textp = (char *)p + (most + 1) * sizeof(char *);
	return 0;
}

int
quote_split(const char *s, size_t n, char ***argvp, size_t *argcp)
{
	struct split sp = { .state = SPLIT_WORD };
	char **argv = NULL, *text = NULL;
	int r = ERR_INTERNAL;

	if (n == 0 || n > PROTO_WIRE_MAX || !utf8_valid(s, n))
		return ERR_FORMAT;
	if ((r = split_alloc(s, n, &argv, &text)) != 0)
		goto out;
	sp.to = text;
	for (size_t i = 0; i < n; i++) {
		if ((r = split_step(&sp, s[i])) != 0)
			goto out;
	}
	/* The last word must end, too, and not inside a quote. */
	if ((r = split_step(&sp, ' ')) != 0)
		goto out;
	if (sp.state != SPLIT_WORD) {
		r = ERR_FORMAT;
		goto out;
	}
	for (size_t i = 0; i < sp.words; i++) {
		argv[i] = text;
		text += strlen(text) + 1;
	}
	argv[sp.words] = NULL;
	*argvp = argv;
	*argcp = sp.words;
	argv = NULL;
out:
	free(argv);
	return r;
}
