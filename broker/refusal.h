/*
 * What a refused login costs whoever made it, and what is written down of it.
 */
#ifndef POSTERN_BROKER_REFUSAL_H
#define POSTERN_BROKER_REFUSAL_H

#include <stdint.h>

struct judge;
struct login;

/* Refusals leave at whole multiples of this after the question, so that the
 * time says nothing about how far a token came. */
#define REFUSAL_STEP_MS 500

/* Counts it, writes it down, and answers how many steps it shall take: 1, 2 or
 * 4, by how many of this address, and of this address for this target, failed
 * of late.  What an address fails with beyond that is written down as a number,
 * unless an issuer signed it. */
unsigned int refusal_note(
    const struct judge *j, const struct login *l, const char *reason);
/* What was only counted is written down now. */
void refusal_flush(const struct judge *j);

#endif
