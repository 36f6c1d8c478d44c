/*
 * The glob matcher.  Runs in policy on claims and paths that a job's issuer or
 * the job itself chose.  A set of pattern positions moves over the text, so the
 * work is bounded by the product of the two lengths, whatever they are.
 */
#include "config.h"

#include "policy/glob.h"

#include <stdint.h>
#include <string.h>

#define SET_WORDS ((GLOB_MAX + 1) / 64)

static size_t
star(const char *p)
{
	return p[0] != '*' ? 0 : p[1] == '*' ? 2 : 1;
}

/* Position i, and those behind the stars that stand there. */
static void
enter(uint64_t *set, const char *pattern, size_t i)
{
	size_t k;

	do {
		set[i / 64] |= (uint64_t)1 << (i % 64);
		k = star(pattern + i);
		i += k;
	} while (k > 0);
}

/* Where the positions of `now` lead over one byte; false: nowhere. */
static bool
over(const uint64_t *now, uint64_t *next, const char *pattern, const char *sep,
    char c)
{
	uint64_t bits, any = 0;
	bool within = strchr(sep, c) == NULL;
	size_t i;

	memset(next, 0, SET_WORDS * sizeof(uint64_t));
	for (size_t k = 0; k < SET_WORDS; k++) {
		for (bits = now[k]; bits != 0; bits &= bits - 1) {
			i = k * 64 + (size_t)__builtin_ctzll(bits);
			if (star(pattern + i) == 2 ||
			    (star(pattern + i) == 1 && within))
				enter(next, pattern, i);
			else if (pattern[i] == c && c != '\0' && c != '*')
				enter(next, pattern, i + 1);
		}
	}
	for (size_t k = 0; k < SET_WORDS; k++)
		any |= next[k];
	return any != 0;
}

bool
glob_matches(const char *pattern, const char *sep, const char *s, size_t n)
{
	uint64_t set[2][SET_WORDS] = { { 0 } };
	size_t end = strlen(pattern), now = 0;

	if (end > GLOB_MAX)
		return false;
	enter(set[0], pattern, 0);
	for (size_t i = 0; i < n; i++, now = !now) {
		if (!over(set[now], set[!now], pattern, sep, s[i]))
			return false;
	}
	return (set[now][end / 64] >> (end % 64) & 1) != 0;
}

const char *
glob_wrong(const char *pattern)
{
	if (*pattern == '\0')
		return "a pattern cannot be empty";
	if (strlen(pattern) > GLOB_MAX)
		return "a pattern has at most 511 bytes";
	if (strstr(pattern, "***") != NULL)
		return "`***` means nothing: `*` stays within a part, `**` "
		    "goes across";
	if (strpbrk(pattern, "?[]{}\\") != NULL)
		return "only `*` and `**` have a meaning in a pattern: ? [ ] { "
		    "} and \\ cannot stand in it";
	return NULL;
}
