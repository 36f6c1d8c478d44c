/*
 * Slots as regular expressions: for `postern policy export`, and for the tools
 * that reason about whole languages.
 *
 * The expressions are anchored by their reader, use | ( ) [ ] ? * + { } alone,
 * and say the same as policy/slot.c but for its bounds on a slot's length in
 * bytes.
 */
#ifndef POSTERN_POLICY_REGEX_H
#define POSTERN_POLICY_REGEX_H

#include <stdbool.h>

struct buf;
struct slot;

enum regex_dialect {
	REGEX_CHARS, /* over characters: Python, ECMAScript, RE2 */
	REGEX_BYTES, /* over the bytes of UTF-8: libfa */
};

/* Not for SLOT_CLAIM and SLOT_REF. */
int regex_slot(const struct slot *slot, bool deny, enum regex_dialect dialect,
    struct buf *out);
/* The text and nothing else. */
int regex_literal(const char *text, struct buf *out);
/* Any one character. */
const char *regex_any(enum regex_dialect dialect);
/* A glob: `*` stays within parts, which end at / in a ref, and at : as well in
 * a claim's value. */
int regex_glob(
    const char *pattern, bool ref, enum regex_dialect dialect, struct buf *out);

#endif
