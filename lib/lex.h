/*
 * The one lexer: policy files, their `run` lines and slots, postern.conf, and
 * the commands that jobs send.  What differs between them is the mode, given
 * with each call; characters, quotes, positions and messages are the same.
 *
 *	lex_init(&l, 0, text, n, 4096);
 *	do
 *		lex_next(&l, LEX_POLICY, &t);
 *	while (t.kind != LEX_END);
 *	lex_clear(&l);
 *
 * Text is UTF-8 without control characters (tab and newline apart) and without
 * bidirectional controls, comments included: what a reviewer reads is what is
 * there.  After LEX_ERROR the lexer stands behind the faulty text, so a caller
 * may go on and find the next fault.
 */
#ifndef POSTERN_LIB_LEX_H
#define POSTERN_LIB_LEX_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/diag.h"

enum lex_mode {
	LEX_POLICY,  /* words, "strings", 'raw', { } ; = | < > ( ) [ ] */
	LEX_RUN,     /* a command's words and < > ( ) [ ] | ; } */
	LEX_SLOT,    /* between < and > */
	LEX_COMMAND, /* a job's commands: words, redirections, operators */
};

enum lex_kind {
	LEX_ERROR = 0, /* what, hint */
	LEX_END,
	LEX_NEWLINE,
	LEX_WORD,     /* text, len, quoted */
	LEX_STRING,   /* "...": text, len */
	LEX_RAW,      /* '...': text, len */
	LEX_PUNCT,    /* punct */
	LEX_REDIRECT, /* redirect; in LEX_RUN and LEX_COMMAND */
	LEX_OPERATOR, /* op; in LEX_COMMAND */
};

enum lex_op {
	LEX_AND = 1, /* && */
	LEX_OR,      /* || */
	LEX_SEMICOLON,
	LEX_PIPE,
};

enum lex_redirect {
	LEX_ERR_TO_OUT = 1,	/* 2>&1 */
	LEX_OUT_NULL,		/* >/dev/null */
	LEX_ERR_NULL,		/* 2>/dev/null */
};

#define LEX_WHAT_MAX 160
#define LEX_HINT_MAX 200

struct lex_token {
	enum lex_kind kind;
	struct pos pos;
	size_t width;		/* bytes of source from pos.off on */
	bool glued;		/* nothing stands between it and the one before */
	bool quoted;		/* some of the word was quoted */
	bool over;		/* LEX_ERROR: a bound, not a fault of form */
	bool nomem;		/* LEX_ERROR: memory ran out */
	char punct;
	enum lex_redirect redirect;
	enum lex_op op;
	const char *text;	/* unquoted, NUL at the end; until the next call */
	size_t len;
	char what[LEX_WHAT_MAX];
	char hint[LEX_HINT_MAX];
};

struct lex {
	const char *s;
	size_t n, off;
	size_t last;		/* end of the token before */
	unsigned int file, line, col;
	struct buf word;
	bool nomem; /* it ran out for some token: nothing is known */
};

/* word_max bounds one token's text. */
void lex_init(struct lex *l, unsigned int file, const char *s, size_t n,
    size_t word_max);
void lex_clear(struct lex *l);
/* Out of memory is a LEX_ERROR, too: its text says so. */
void lex_next(struct lex *l, enum lex_mode mode, struct lex_token *t);
/* Steps over s if it is what comes next, without a blank before it. */
bool lex_accept(struct lex *l, const char *s);

/* May c stand in a command without quotes?  (ASCII; = not at the start.) */
bool lex_plain(char c);

/* A number with a unit, as `30m` or `50MiB`.  DURATION units s m h d; SIZE
 * units B KiB MiB GiB.  ERR_FORMAT, or ERR_TOOBIG outside 1..max. */
int lex_duration(const char *s, uint64_t max, uint64_t *seconds);
int lex_size(const char *s, uint64_t max, uint64_t *bytes);

#endif
