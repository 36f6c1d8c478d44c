/*
 * What the two halves of the languages share: automata whose memory runs out
 * in one place.
 */
#ifndef POSTERN_POLICY_LANGUAGE_INTERNAL_H
#define POSTERN_POLICY_LANGUAGE_INTERNAL_H

#include <stddef.h>

struct fa;

/* Each frees what it takes, takes NULL for what failed before, and answers
 * NULL when the result is too large. */
struct fa *fa_checked(struct fa *out, struct fa *take_a, struct fa *take_b);
struct fa *fa_behind(struct fa *take_a, struct fa *take_b);
struct fa *fa_either(struct fa *take_a, struct fa *take_b);
struct fa *fa_times(struct fa *take_a, int min, int max);
struct fa *fa_regex(const void *s, size_t n);
struct fa *fa_char(char c);
/* A regular expression in which `%s` stands for any character. */
struct fa *fa_format(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#endif
