/*
 * ULIDs for sessions and operations.
 */
#include "config.h"

#include "lib/ulid.h"

#include <sys/random.h>

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "lib/err.h"

static const char ulid_digit[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int
ulid_new(char out[ULID_LEN + 1])
{
	struct timespec ts;
	uint8_t rnd[16]; /* one byte a character: 5 of its bits are used */
	uint64_t ms;
	int i;

	if (clock_gettime(CLOCK_REALTIME, &ts) == -1 ||
	    getrandom(rnd, sizeof(rnd), 0) != (ssize_t)sizeof(rnd))
		return ERR_SYS;
	ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	for (i = 9; i >= 0; i--, ms >>= 5)
		out[i] = ulid_digit[ms & 31];
	for (i = 0; i < 16; i++)
		out[10 + i] = ulid_digit[rnd[i] & 31];
	out[ULID_LEN] = '\0';
	return 0;
}

bool
ulid_valid(const char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++) {
		if (i >= ULID_LEN || strchr(ulid_digit, s[i]) == NULL)
			return false;
	}
	return i == ULID_LEN && s[0] <= '7';
}

uint64_t
ulid_low(const char *s)
{
	uint64_t v = 0;

	/* 13 digits are 65 bits: the first falls out at the top. */
	for (const char *at = s + ULID_LEN - 13; *at != '\0'; at++)
		v = v << 5 | (uint64_t)(strchr(ulid_digit, *at) - ulid_digit);
	return v;
}
