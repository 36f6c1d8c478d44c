/*
 * Says whether terminal output holds only what a replay may send: written
 * apart from the filter, as a plain reading of the list in audit/replay.h.
 */
#ifndef POSTERN_TESTS_FUZZ_REPLAY_ALLOWED_H
#define POSTERN_TESTS_FUZZ_REPLAY_ALLOWED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

/* Length of the sequence behind ESC [, 0 when it is not allowed. */
static inline size_t
allowed_csi(const uint8_t *p, size_t n)
{
	static const char plain[] = "@ABCDEFGHIKJLMPSTXZ`abdefmrsu";
	char num[128];
	size_t k = 0;

	while (k < n && k < sizeof(num) - 1 && (p[k] < 0x40 || p[k] > 0x7e)) {
		if (strchr("0123456789;:?", p[k]) == NULL || p[k] == '\0')
			return 0;
		num[k] = (char)p[k];
		k++;
	}
	if (k >= n || k == sizeof(num) - 1)
		return 0;
	num[k] = '\0';
	if (num[0] == '?')
		return (p[k] == 'h' || p[k] == 'l') &&
			       (strcmp(num, "?7") == 0 ||
				   strcmp(num, "?25") == 0 ||
				   strcmp(num, "?1049") == 0)
			   ? k + 1
			   : 0;
	if (strchr(num, '?') != NULL || strchr(plain, p[k]) == NULL)
		return 0;
	if (p[k] != 'm' && strchr(num, ':') != NULL)
		return 0;
	if ((p[k] == 'J' || p[k] == 'K') && strcmp(num, "") != 0 &&
	    (num[1] != '\0' || num[0] > '2'))
		return 0;
	if ((p[k] == 's' || p[k] == 'u') && num[0] != '\0')
		return 0;
	if (p[k] == 'T' && strchr(num, ';') != NULL)
		return 0;
	if (p[k] == 'b' && strtol(num, NULL, 10) > 1000)
		return 0;
	if (p[k] == 'm' &&
	    (strcmp(num, "8") == 0 || strncmp(num, "8;", 2) == 0))
		return 0;
	return k + 1;
}

static inline bool
allowed_output(const uint8_t *p, size_t n, bool ascii)
{
	uint32_t cp;
	size_t k;

	while (n > 0) {
		if ((k = utf8_next(p, n, &cp)) == 0)
			return false;
		if (cp == 0x1b) {
			if (n > 1 && strchr("78DEM", p[1]) != NULL &&
			    p[1] != '\0')
				k = 2;
			else if (n > 1 && p[1] == '[' &&
				 (k = allowed_csi(p + 2, n - 2)) != 0)
				k += 2;
			else
				return false;
		} else if (utf8_is_control(cp) && cp != '\r' && cp != '\n' &&
			   cp != '\b' && cp != '\t') {
			return false;
		} else if (ascii && cp > 0x7f) {
			return false;
		}
		p += k;
		n -= k;
	}
	return true;
}

#endif
