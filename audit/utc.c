/*
 * Times as text.  Used by the hop (recordings), audit and the command line;
 * utc_parse and utc_since read what an auditor typed.
 */
#include "config.h"

#include "audit/utc.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/err.h"
#include "lib/str.h"

#define DAY_MS 86400000ULL
#define DAYS_MAX 2932896ULL /* 9999-12-31 */

uint64_t
utc_now_ms(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &t);
	if (t.tv_sec < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/*
 * Days since 1970 to year, month, day and back, with years that begin in
 * March, so that a leap day is the last day of its year.
 */
static void
utc_civil(uint64_t days, unsigned int *y, unsigned int *m, unsigned int *d)
{
	unsigned int z = (unsigned int)days + 719468; /* from 0000-03-01 */
	unsigned int era = z / 146097, doe = z % 146097;
	unsigned int yoe =
	    (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned int mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = yoe + era * 400 + (*m <= 2 ? 1 : 0);
}

static uint64_t
utc_days(unsigned int y, unsigned int m, unsigned int d)
{
	unsigned int yy = m <= 2 ? y - 1 : y, era = yy / 400, yoe = yy % 400;
	unsigned int doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;

	return (uint64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy -
	       719468;
}

void
utc_format_day(uint64_t ms, char out[UTC_DAY_LEN + 1])
{
	uint64_t days = ms / DAY_MS;
	unsigned int y, m, d;

	utc_civil(days > DAYS_MAX ? DAYS_MAX : days, &y, &m, &d);
	(void)snprintf(out, UTC_DAY_LEN + 1, "%04u-%02u-%02u", y % 10000,
	    m % 100, d % 100);
}

void
utc_format(uint64_t ms, char out[UTC_LEN + 1])
{
	char day[UTC_DAY_LEN + 1];
	unsigned int t;

	if (ms / DAY_MS > DAYS_MAX)
		ms = (DAYS_MAX + 1) * DAY_MS - 1;
	t = (unsigned int)(ms % DAY_MS);
	utc_format_day(ms, day);
	(void)snprintf(out, UTC_LEN + 1, "%sT%02u:%02u:%02u.%03uZ", day,
	    t / 3600000 % 24, t / 60000 % 60, t / 1000 % 60, t % 1000);
}

/* n digits at s, followed by end. */
static bool
utc_digits(
    const char **s, size_t n, char end, unsigned int max, unsigned int *v)
{
	unsigned int x = 0;

	for (size_t i = 0; i < n; i++) {
		if ((*s)[i] < '0' || (*s)[i] > '9')
			return false;
		x = x * 10 + (unsigned int)((*s)[i] - '0');
	}
	if ((*s)[n] != end || x > max)
		return false;
	*s += n + (end != '\0' ? 1 : 0);
	*v = x;
	return true;
}

int
utc_parse(const char *s, uint64_t *ms)
{
	unsigned int y, mo, d, h = 0, mi = 0, sec = 0, milli = 0;
	unsigned int cy, cm, cd;
	bool date_only = strlen(s) == UTC_DAY_LEN;

	if (!utc_digits(&s, 4, '-', 9999, &y) || y < 1970 ||
	    !utc_digits(&s, 2, '-', 12, &mo) || mo == 0 ||
	    !utc_digits(&s, 2, date_only ? '\0' : 'T', 31, &d) || d == 0)
		return ERR_FORMAT;
	utc_civil(utc_days(y, mo, d), &cy, &cm, &cd);
	if (cy != y || cm != mo || cd != d)
		return ERR_FORMAT; /* 30 February */
	if (!date_only) {
		if (!utc_digits(&s, 2, ':', 23, &h) ||
		    !utc_digits(&s, 2, ':', 59, &mi))
			return ERR_FORMAT;
		if (strlen(s) == 3) {
			if (!utc_digits(&s, 2, 'Z', 59, &sec))
				return ERR_FORMAT;
		} else if (!utc_digits(&s, 2, '.', 59, &sec) ||
			   !utc_digits(&s, 3, 'Z', 999, &milli)) {
			return ERR_FORMAT;
		}
		if (*s != '\0')
			return ERR_FORMAT;
	}
	*ms = utc_days(y, mo, d) * DAY_MS + h * 3600000ULL + mi * 60000ULL +
	      sec * 1000ULL + milli;
	return 0;
}

/* The unit's milliseconds; 0: none. */
static uint64_t
utc_unit(char c)
{
	return c == 's'   ? 1000
	       : c == 'm' ? 60 * 1000
	       : c == 'h' ? 3600 * 1000
	       : c == 'd' ? DAY_MS
			  : 0;
}

int
utc_since(const char *s, uint64_t now_ms, uint64_t *ms)
{
	size_t n = strlen(s);
	uint64_t unit = n > 0 ? utc_unit(s[n - 1]) : 0, count, age;
	char digits[11]; /* of UINT32_MAX */

	if (num_parse(s, 0, UINT32_MAX, &count) == 0) {
		*ms = count * 1000;
		return 0;
	}
	if (unit == 0)
		return utc_parse(s, ms);
	if (n > sizeof(digits))
		return ERR_FORMAT;
	memcpy(digits, s, n - 1);
	digits[n - 1] = '\0';
	if (num_parse(digits, 0, UINT32_MAX, &count) != 0)
		return ERR_FORMAT;
	age = count * unit; /* 2^32 days of milliseconds fit */
	*ms = age > now_ms ? 0 : now_ms - age;
	return 0;
}
