/*
 * What Postern knows about the issuers of the field: one row each.
 */
#ifndef POSTERN_POLICY_PRESET_H
#define POSTERN_POLICY_PRESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims;

#define PRESET_LIFE_S 86400 /* where a preset says nothing of it */
#define PRESET_RISKY_MAX 64 /* dangers of one preset: bits of a uint64_t */

enum risky_kind {
	RISKY_IS,	  /* the claim has the value */
	RISKY_BEGINS,	  /* ... begins with it */
	RISKY_BEGINS_NOT, /* ... does not, or is missing */
	RISKY_DIFFERS,	  /* ... differs from the claim named by value */
};

/* What opens the door to code that nobody with write access has reviewed, or
 * to a person's shell.  A session it holds for is nobody, but for identities
 * that say `allow-risky WORD`. */
struct risky {
	const char *word;	/* NULL ends the table */
	enum risky_kind kind;
	const char *claim;
	const char *value;
	const char *why;
};

/* What a claim is to those who write conditions on it. */
enum claim_kind {
	CLAIM_ID,   /* of something that lasts; nobody chooses it */
	CLAIM_RUN,  /* the id or number of this run */
	CLAIM_NAME, /* may be given up and taken by somebody else */
	CLAIM_REF,  /* a branch or tag */
	CLAIM_COMMIT,
	CLAIM_FACT,   /* what the issuer says of the job */
	CLAIM_CHOSEN, /* text of whoever started the job or asked for the
		       * token */
};

/* How the issuer writes it; conditions are always on the text. */
enum claim_type {
	CLAIM_STRING,
	CLAIM_INT,  /* matched in decimal */
	CLAIM_BOOL, /* matched as true and false */
	CLAIM_LIST, /* of texts: no condition can match it */
};

struct preset_claim {
	const char *name; /* "x_*": all that begin so; NULL ends */
	enum claim_kind kind;
	enum claim_type type;
};

struct preset {
	const char *name;	/* NULL ends the table */
	const char *url;	/* NULL: must be written */
	const char *const *algorithm;
	uint32_t max_age_s;  /* now - iat; 0: none */
	uint32_t max_life_s; /* exp - iat, at most a week; 0: a day */
	bool once;
	/* The URL that serves strangers, too, "*" for all: an identity must
	 * pin one of the claims below.  NULL: none. */
	const char *shared;
	const char *const *pin;
	const struct preset_claim *claim; /* NULL: any */
	const struct risky *risky;
	/* Where the five ties are found. */
	const char *commit, *actor, *workflow, *run;
	const char *pull_request; /* a number, or refs/pull/N/... */
	/* The actor is the part of that claim between this and the next `/`;
	 * NULL: all of it. */
	const char *actor_after;
};

const struct preset *preset_table(void);
/* NULL when there is no such row. */
const struct preset *preset_find(const char *name);
/* Bit i for each row i of the dangers that holds for the claims. */
uint64_t preset_risky(const struct preset *p, const struct claims *cs);
/* The row by which this claim's value alone is dangerous, or NULL. */
const struct risky *preset_risky_value(const struct preset *p,
    const char *claim, const char *value);
/* Bit i for each row i with this word; 0: the preset has no such word. */
uint64_t preset_risky_word(const struct preset *p, const char *word);
bool preset_has_claim(const struct preset *p, const char *claim);
/* What the row says of a claim; NULL: nothing. */
const struct preset_claim *preset_claim(
    const struct preset *p, const char *claim);
/* Does the claim hold an id, which nobody can choose or take over? */
bool preset_is_id(const struct preset *p, const char *claim);
/* Does this URL serve strangers? */
bool preset_is_shared(const struct preset *p, const char *url);

#endif
