/*
 * A comparison under way: what its parts share.
 *
 * Everything that can be asked for is looked at kind by kind: commands, files
 * by each way of moving them, repositories, shells.  The lines about a kind
 * are sorted into groups that match the same (compare_line.c) and put where
 * those that could overlap are found (compare_index.c).  A group in which
 * something changed is cut by each other one into pieces, of which one request
 * speaks for all (compare_piece.c), and that is asked of both policies in every
 * session, place and time that the lines of the piece tell apart
 * (compare_ask.c).  Where slots stand for claims, values are tried that make
 * them equal and unequal (compare_claim.c).  What is denied for a variable that
 * a job sends is looked at by itself (compare_sent.c).
 */
#ifndef POSTERN_POLICY_COMPARE_INTERNAL_H
#define POSTERN_POLICY_COMPARE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/cells.h"
#include "policy/compare.h"
#include "policy/decide.h"
#include "policy/language.h"

struct fa;
struct repository;
struct run;
struct transfer;

/* A digest of what is said, to be compared alone. */
struct mark {
	uint64_t a, b;
};

/* What is looked at together. */
struct topic {
	enum request_kind kind;
	unsigned int how; /* of files: one BY_ bit */
};

/* A line of the topic's kind; of the first three at most one is set. */
struct line {
	const struct run *run;
	const struct transfer *transfer;
	const struct repository *repository;
	const struct rule *rule;
	const struct place *at;
	int side;
	struct mark pattern, terms;
	bool changed; /* the other policy has not the same */
	bool touched; /* its first words are other programs there */
};

/* Lines that match the same. */
struct alike {
	size_t begin, end; /* of the lines */
	struct fa *fa;     /* NULL: not made yet */
};

/* A word that is another program in the other policy. */
struct moved {
	const char *word;
};

/* A name or a path of a program, with another that may mean the same. */
struct spelling {
	const char *word;
	size_t parent;
};

/* Requests that the same groups match. */
struct piece_of {
	struct fa *fa; /* NULL: the one that is looked at, whole, or: */
	char *text;    /* one request of it */
	size_t *group;
	size_t n, cap;
};

struct compare {
	const struct compare_ask *how;
	struct cells cells;
	struct topic topic;
	size_t programs;         /* spots of this number are looked at */
	const struct spot *spot; /* one of them */
	struct line *line;
	size_t n, cap;
	struct alike *group;
	size_t ngroup;
	struct key *key; /* compare_index.c's */
	size_t nkey, capkey;
	bool *near; /* of each group: could it overlap with this one? */
	size_t *found;
	size_t nfound;
	struct spelling *spelling;
	size_t nspelling;
	struct moved *moved;
	size_t nmoved;
	struct language_ctx ctx;   /* but for the policy */
	size_t nmade;              /* groups that have their fa */
	bool identities_differ;    /* NEW has one that OLD has not */
	bool some_stdin, some_env; /* what lines of NEW give */
	struct piece_of *piece;
	size_t npiece, cappiece;
	const char *const *sent; /* with what is asked, NAME=VALUE */
	size_t nsent;
	size_t nallowed; /* differences that were found: newly allowed */
	bool undecided;
	int64_t deadline_ns; /* of processor time; 0: none */
};

/* Says so, once for each reason and place. */
void compare_doubt(struct compare *c, const struct line *l, const char *why);
/* Is there time left? */
bool compare_has_time(struct compare *c);

/* Does the piece, with claims as they are, give nothing new? */
bool compare_is_settled(const struct compare *c, const struct piece_of *p);

/* -- compare_line.c -- */
int compare_find_identities(struct compare *c);
/* The topic's lines, in groups; false in *some: nothing has changed. */
int compare_collect(struct compare *c, bool *some);
void compare_forget(struct compare *c);
bool line_is_wanted(const struct compare *c, const struct line *l);
bool line_is_new_allow(const struct line *l);
bool line_is_apart(const struct line *a, const struct line *b);
bool line_is_within(const struct line *a, const struct line *b);
bool same_mark(const struct mark *x, const struct mark *y);
bool line_has_claims(const struct line *l);

/* -- compare_index.c -- */
int compare_spellings(struct compare *c);
int compare_index(struct compare *c);
/* Fills c->found with the other groups that could overlap with this one. */
void compare_near(struct compare *c, size_t group);

/* -- compare_piece.c -- */
/* Cuts the group, or what it has in common with another (NO_GROUP: none), by
 * those in c->found; the pieces are c->piece. */
#define NO_GROUP SIZE_MAX
void compare_cut(struct compare *c, size_t group, size_t with);
void compare_forget_pieces(struct compare *c);
void compare_forget_languages(struct compare *c);
struct fa *group_fa(struct compare *c, size_t group);
/* A request of the piece as a text; NULL: undecided. */
char *piece_example(
    struct compare *c, size_t group, const struct piece_of *p, size_t *n);
/* One more, without lines; NULL: there are too many. */
struct piece_of *piece_new(struct compare *c, size_t of, struct fa *take_fa);
/* The group matches it. */
void piece_add(struct compare *c, struct piece_of *p, size_t group);

/* -- compare_word.c -- */
/* The same for a group that each of the others differs from in one word at
 * most; false: that is not so, and there are no pieces. */
bool compare_cut_words(struct compare *c, size_t group);

/* -- compare_ask.c -- */
/* About a request, in these sessions and everywhere; the text is cut up.
 * ERR_NOTFOUND, ERR_TOOBIG: it is no request of the piece. */
int compare_ask_text(struct compare *c, const struct piece_of *p, char *text,
    size_t n, const struct session *s, size_t nsession);
/* About an example of the piece.  ERR_NOTFOUND: the one that it came with is
 * none. */
int compare_ask_piece(struct compare *c, size_t group, struct piece_of *p,
    const struct session *s, size_t nsession);
int compare_ask_observed(struct compare *c);
/* About a request, in this session, place and time alone. */
int compare_ask_there(struct compare *c, char *text, size_t n,
    const struct session *s, const struct spot *spot, time_t now);

/* -- compare_sent.c -- */
/* Has it variables that a job may send instead? */
bool line_denies_sent(const struct line *l);
int compare_sent(struct compare *c, const struct line *deny);

/* -- compare_claim.c -- */
bool compare_has_claims(const struct compare *c, size_t group, size_t with);
int compare_claims(struct compare *c, size_t group, size_t with);

#endif
