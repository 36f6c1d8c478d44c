/*
 * A policy in memory: what policy/policy.h shows, and what the room keeps to
 * itself.  Everything lies in the policy's arena and never changes after the
 * load.
 */
#ifndef POSTERN_POLICY_MODEL_H
#define POSTERN_POLICY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/diag.h"
#include "policy/decide.h"
#include "policy/dict.h"
#include "policy/policy.h"

#define POLICY_TOTAL_MAX (64 * 1024 * 1024) /* bytes of all files */
#define POLICY_TARGETS_MAX 65536
#define POLICY_RULES_MAX 100000
#define POLICY_TESTS_MAX 100000
#define POLICY_LINES_MAX 4096	/* `run` lines of a rule, cases of a test */
#define POLICY_VALUES_MAX 4096	/* values of one enum */
#define POLICY_PERSONS_MAX 4096
#define POLICY_ZONES_MAX 64
#define RUN_ITEMS_MAX 256	/* words of one `run` pattern */
#define RUN_BITS (RUN_ITEMS_MAX / 64)
#define RUN_DEPTH_MAX 16	/* groups within groups */
#define RUN_PIECES_MAX 16	/* literals and slots of one word */

struct arena;
struct preset;
struct rule;

/* A stretch of a source. */
struct place {
	struct pos pos;
	size_t width;
};

/* A name that stands for something defined elsewhere. */
struct ref {
	const char *name;
	struct place at;
};

struct source {
	const char *name;
	const char *text;
	size_t len;
};

struct issuer_full {
	struct issuer pub;	/* first: what callers hold */
	const struct preset *preset;
	struct place at;
};

enum condition_kind { CONDITION_VALUES, CONDITION_PRESENT, CONDITION_ABSENT };

struct claim_value {
	const char *text;
	bool glob;
	struct place at;
};

/* claim NAME = A | B | glob "...", present, absent */
struct condition {
	enum condition_kind kind;
	const char *claim;
	struct place at;
	struct claim_value *value;
	size_t nvalue, cap;
};

struct conditions {
	struct condition *v;
	size_t n, cap;
};

struct identity {
	const char *name;
	struct place at;
	struct ref from;
	const struct issuer_full *issuer;
	struct conditions cond;	/* all of them must hold */
	struct ref *risky;	/* words of allow-risky */
	size_t nrisky, caprisky;
	uint64_t opened;	/* the preset's dangers that they open */
	size_t index;
};

struct group {
	const char *name;
	size_t index; /* of the policy's groups */
	struct target_full **member;
	size_t n, cap;
};

struct target_full {
	struct target pub;	/* first: what callers hold */
	struct place at;
	size_t index; /* of the policy's targets */
	struct group **group;
	size_t ngroup, cap;
};

struct where;

/* A name may stand for several, each on other targets. */
struct program {
	const char *name, *path;
	struct place at;
	struct where *where; /* none: everywhere */
	size_t nwhere, capwhere;
	struct program *same_name, *same_path; /* the next ones */
};

enum slot_kind { SLOT_ANY, SLOT_INT, SLOT_ENUM, SLOT_TEXT, SLOT_PATH,
	SLOT_CLAIM, SLOT_SEMVER, SLOT_SHA, SLOT_HOST, SLOT_REF };

struct slot {
	enum slot_kind kind;
	struct place at;
	uint64_t min, max;	/* SLOT_INT; characters of SLOT_TEXT */
	const char **value;	/* SLOT_ENUM, sorted */
	size_t nvalue, cap;
	const char *pattern;	/* SLOT_PATH; SLOT_CLAIM: the claim's name */
	struct piece *piece;	/* SLOT_REF */
	size_t npiece;
};

struct type {
	const char *name;
	struct place at;
	struct slot slot;
};

/* A part of a word: a literal text, or a slot. */
struct piece {
	const char *text;	/* NULL for a slot */
	size_t len;
	struct slot *slot;	/* resolved for a type's name */
	struct ref type;	/* name NULL: the slot stood here itself */
};

/* A word of a pattern: one position of its automaton. */
struct item {
	struct piece *piece;
	size_t npiece;
	bool no_dash;	/* allow: comes from a slot, so begins with no `-` */
	bool deny;	/* of a deny rule */
	struct place at;
};

/* The pattern as it was written, for those who reason about it: the tools. */
enum node_kind {
	NODE_WORD, /* one item, as often as it may be repeated */
	NODE_SEQ,  /* its children one after the other */
	NODE_ALT,  /* one of its children */
};

struct node {
	enum node_kind kind;
	bool optional; /* may be left out: [ ], a deny rule's <any>... */
	bool repeat;   /* NODE_WORD: `...` */
	size_t item;   /* NODE_WORD */
	struct node *child, *next;
};

/*
 * One program of a `run` line as a position automaton (Glushkov): state i is
 * "the last word read was item i".  Sets of states are bit sets of nw 64-bit
 * words; follow has one set for each item.  The line is its first program,
 * which alone has what is beside the words.
 */
struct run {
	const struct rule *rule;
	struct run *next;    /* behind the `|`; NULL: the last */
	size_t nstage;       /* from this one on */
	struct item *dir;    /* `in`; NULL: an allow rule wants none */
	struct item *assign; /* NAME=..., their text begins with it */
	size_t nassign;
	struct place at; /* of the words */
	struct item *item;
	const struct node *tree;
	size_t nitem, nw;
	size_t nfixed; /* item i of the first so many is the i-th word */
	uint64_t *first, *last, *follow;
	size_t min_words, max_words; /* SIZE_MAX: no bound */
	size_t order;		/* of the line in its rule */
	bool pty, stdin_ok;
	uint64_t stdin_max;
};

/* How files are moved: bits. */
enum { BY_SFTP = 1, BY_SCP_LEGACY = 2, BY_RSYNC = 4 };

/* (read | write) under PATH by WAYS... */
struct transfer {
	const struct rule *rule;
	struct place at, whole; /* its first word, the line */
	bool write;
	struct item under;
	unsigned int by;
	uint64_t max; /* bytes, 0: no bound */
	bool no_delete, no_symlinks;
	size_t order; /* of the line in its rule */
};

/* A glob, or a git-ref with slots. */
struct git_ref {
	const char *glob; /* NULL: */
	struct slot *slot;
};

/* git (read | write) PATH [refs STRING...] */
struct repository {
	const struct rule *rule;
	struct place at, whole;
	bool write;
	struct item path;
	struct git_ref *ref; /* none: every ref */
	size_t nref, capref;
	size_t order;
};

/* env NAME <slot> */
struct env_var {
	const char *name;
	struct place at;
	struct item value;
};

enum where_kind { WHERE_ALL, WHERE_TARGET, WHERE_GROUP };

struct where {
	enum where_kind kind;
	const char *login;	/* NULL: as the rule's effect says */
	const struct target_full *target;
	const struct group *group;
	struct ref ref;		/* of the target or group */
};

/* DAYS HH:MM-HH:MM ZONE */
struct window {
	struct place at;
	uint8_t days;		/* bit 0 is Monday */
	uint16_t from, to;	/* minutes; to < from: on the next day */
	const struct zone *zone;
	const char *zone_name;
};

struct approval_full {
	struct approval pub;
	struct place at;
	struct ref from;
};

/* One way of a person to show a token. */
struct token {
	struct ref from;
	const struct issuer_full *issuer;
	struct conditions cond;
};

/* Who the person is to an issuer of jobs' tokens. */
struct actor {
	struct ref from, id;
	const struct issuer_full *issuer;
};

struct person {
	const char *name;
	struct place at;
	const char **key;
	size_t nkey;
	struct token *token;
	size_t ntoken, captoken;
	struct actor *actor;
	size_t nactor, capactor;
};

struct people {
	const char *name;
	struct place at;
	struct ref *member;
	size_t n, cap;
};

enum explain_level { EXPLAIN_FULL, EXPLAIN_RULE, EXPLAIN_NONE };

enum effect { EFFECT_DENY, EFFECT_ALLOW };

struct rule {
	enum effect effect;
	const char *name;
	struct place at;
	bool everyone;		/* for * */
	struct ref *who;
	size_t nwho, capwho;
	size_t *id;		/* of identities, in order of their names */
	struct where *where;
	size_t nwhere, capwhere;
	struct run **run;
	size_t nrun, caprun;
	struct transfer *transfer;
	size_t ntransfer, captransfer;
	struct repository *repository;
	size_t nrepository, caprepository;
	struct env_var *env;
	size_t nenv, capenv;
	bool interactive;
	bool text_only, record_input, record_full;
	const char *because;	/* or NULL */
	struct window *window;	/* none: always */
	size_t nwindow, capwindow;
	struct limits limit;	/* with the defaults, once resolved */
	uint64_t approvals[DECISION_APPROVALS_MAX / 64];
	uint64_t approve;	/* how many people they need */
	uint64_t masks[DECISION_MASKS_MAX / 64];
	bool floor;
	bool adds;		/* floor or masks of its own: always matched */
};

enum by_kind { BY_ANY, BY_RULE, BY_DEFAULT, BY_SYNTAX };

/* One line of a test. */
struct expect {
	enum verdict want;
	struct place at;
	enum request_kind kind;
	unsigned int how;    /* of a file: one BY_ bit */
	const char *ref;     /* of git; may be NULL */
	const char *command; /* or the path of a file or repository */
	size_t len;
	struct place command_at;
	enum by_kind by;
	struct ref rule;	/* BY_RULE */
	bool pty, stdin_ok;
	const char *const *sent; /* of its environment, NAME=VALUE */
	size_t nsent;
};

/* A claim that a test sets. */
struct given {
	const char *claim, *value;
	struct place at;
};

struct test {
	const char *name;
	struct place at;
	struct ref as;
	struct given *given;
	size_t ngiven, capgiven;
	struct where where;
	int64_t now;		/* 0: the test says no time */
	struct expect *expect;
	size_t nexpect, capexpect;
};

/* Lines that are looked for together (policy/index.h). */
struct bucket {
	const void **line;
	size_t n, cap;
	size_t place;        /* a word that tells many apart; 0: none does */
	struct dict by_word; /* what it is in a command, to a bucket */
	const void **rest;   /* those that it may be anything in */
	size_t nrest;
};

struct policy {
	struct arena *arena;
	struct source *source;
	size_t nsource;
	struct issuer_full **issuer;
	size_t nissuer, capissuer;
	struct identity **identity;
	size_t nidentity, capidentity;
	struct identity **by_name; /* identities in order of their names */
	struct target_full **target;
	size_t ntarget, captarget;
	struct rule **rule;
	size_t nrule, caprule;
	struct test **test;
	size_t ntest, captest;
	struct program **program;
	size_t nprogram, capprogram;
	struct type **type;
	size_t ntype, captype;
	struct group **group;
	size_t ngroup, capgroup;
	struct person **person;
	size_t nperson, capperson;
	struct people **people;
	size_t npeople, cappeople;
	struct approval_full **approval;
	size_t napproval, capapproval;
	struct mask **mask;
	size_t nmask, capmask;
	/* defaults { } */
	struct place defaults_at;
	struct limits limit;
	uint64_t masks[DECISION_MASKS_MAX / 64];
	enum explain_level explain;
	struct dict persons, peoples, zones;
	struct dict issuers, identities, targets, rules, programs, types,
	    groups;
	struct dict program_words; /* name and path, both to the program */
	struct dict words;         /* first word of lines to its number */
	struct index_entry *index; /* policy/index.c's */
	size_t nindex, index_size;
};

/* Is that one of the claim's values? */
bool claim_value_holds(const struct claim_value *want, const char *value);
/* Is it met?  An empty value counts as no value, but for the `=` that asks for
 * it. */
bool condition_holds(const struct condition *c, const struct claims *cs);
/* Is the target there, whatever the login? */
bool where_has(const struct where *w, const struct target_full *t);

static inline bool
bit_get(const uint64_t *set, size_t i)
{
	return (set[i / 64] >> (i % 64) & 1) != 0;
}

static inline void
bit_set(uint64_t *set, size_t i)
{
	set[i / 64] |= (uint64_t)1 << (i % 64);
}

#endif
