/*
 * What Postern knows about the issuers of the field: one row each.
 */
#ifndef POSTERN_POLICY_PRESET_H
#define POSTERN_POLICY_PRESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A claim's value (or beginning of it) that opens the door to code which
 * nobody with write access has reviewed. */
struct risky {
	const char *claim;
	const char *value;
	bool prefix;
	const char *why;
};

struct preset {
	const char *name;	/* NULL ends the table */
	bool supported;		/* false: known, "not yet supported" */
	const char *url;	/* NULL: must be written */
	const char *const *algorithm;
	uint32_t max_age_s;	/* 0: none */
	bool once;
	/* One issuer for strangers, too: an identity must pin one of these. */
	const char *const *pin;
	/* The claims there are, "x_*" for all that begin so; NULL: any. */
	const char *const *claim;
	const struct risky *risky;
	/* Where the five ties are found. */
	const char *commit, *actor, *workflow, *run;
	const char *pull_request; /* a number, or refs/pull/N/... */
};

const struct preset *preset_table(void);
/* NULL when there is no such row. */
const struct preset *preset_find(const char *name);
/* The row of dangerous values that this claim's value falls under, or NULL. */
const struct risky *preset_risky(const struct preset *p, const char *claim,
    const char *value);
bool preset_has_claim(const struct preset *p, const char *claim);

#endif
