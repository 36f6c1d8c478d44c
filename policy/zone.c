/*
 * Time zones.  Used at policy load (files of the system's zone database) and
 * for every decision under a `window`.  The files are the system's, yet every
 * count in them is checked.  Format and rules: RFC 8536, POSIX's TZ.
 */
#include "config.h"

#include "policy/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "policy/arena.h"

#define ZONE_FOLDER "/usr/share/zoneinfo/"
#define ZONE_FILE_MAX (64 * 1024)
#define ZONE_TIMES_MAX 4096
#define OFFSET_MAX (26 * 3600)	/* RFC 8536, 3.2: about a day, and a reserve */
#define DAY 86400

enum date_kind { DATE_JULIAN, DATE_DAY, DATE_MONTH };

/* When the clocks change: Jn, n or Mm.w.d, and the wall time. */
struct date {
	enum date_kind kind;
	int day;		/* Jn: 1..365, n: 0..365, M: 0 is Sunday */
	int month, week;
	int32_t time;
};

struct zone {
	int64_t *at;		/* times from which ... */
	int32_t *offset;	/* ... these offsets hold */
	size_t n;
	int32_t first;		/* before them */
	/* after them */
	bool has_rule, has_dst;
	int32_t std, dst;
	struct date start, end;
};

/* -- the calendar ------------------------------------------------------------ */

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool
is_leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int
month_days(int64_t year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to January 1st. */
static int64_t
year_days(int64_t y)
{
	y--;
	return y * 365 + floor_div(y, 4) - floor_div(y, 100) +
	    floor_div(y, 400) - 719162;
}

static int64_t
date_days(int64_t year, int month, int day)
{
	int64_t n = year_days(year);

	for (int m = 1; m < month; m++)
		n += month_days(year, m);
	return n + day - 1;
}

static int64_t
days_year(int64_t days)
{
	int64_t y = 1970 + floor_div(days, 366);

	while (year_days(y + 1) <= days)
		y++;
	while (year_days(y) > days)
		y--;
	return y;
}

/* 0 is Monday; 1970-01-01 was a Thursday. */
static unsigned int
weekday(int64_t days)
{
	return (unsigned int)(days + 3 - floor_div(days + 3, 7) * 7);
}

/* -- the rule after the last transition --------------------------------------- */

static int64_t
rule_days(const struct date *d, int64_t year)
{
	int64_t first;
	int day;

	switch (d->kind) {
	case DATE_JULIAN: /* never counts February 29th */
		return year_days(year) + d->day - 1 +
		    (is_leap(year) && d->day >= 60);
	case DATE_DAY:
		return year_days(year) + d->day;
	case DATE_MONTH:
		break;
	}
	first = date_days(year, d->month, 1);
	/* how far from the first to the first such weekday */
	day = (d->day + 6 - (int)weekday(first)) % 7 + (d->week - 1) * 7;
	while (day >= month_days(year, d->month))
		day -= 7;
	return first + day;
}

static int32_t
rule_offset(const struct zone *z, int64_t t)
{
	int64_t year, start, end;

	if (!z->has_dst)
		return z->std;
	year = days_year(floor_div(t + z->std, DAY));
	start = rule_days(&z->start, year) * DAY + z->start.time - z->std;
	end = rule_days(&z->end, year) * DAY + z->end.time - z->dst;
	if (start < end)
		return t >= start && t < end ? z->dst : z->std;
	return t >= end && t < start ? z->std : z->dst;
}

/* The number at *s, of at most `digits` digits; -1: none. */
static int
number(const char **s, int digits)
{
	int n = 0, k = 0;

	for (; k < digits && **s >= '0' && **s <= '9'; k++, (*s)++)
		n = n * 10 + (**s - '0');
	return k == 0 ? -1 : n;
}

/* [+-]hh[:mm[:ss]] */
static bool
rule_time(const char **s, int32_t *out)
{
	bool minus = **s == '-';
	int h, m = 0, sec = 0;

	if (**s == '-' || **s == '+')
		(*s)++;
	if ((h = number(s, 3)) < 0 || h > 167)
		return false;
	if (**s == ':') {
		(*s)++;
		if ((m = number(s, 2)) < 0 || m > 59)
			return false;
		if (**s == ':') {
			(*s)++;
			if ((sec = number(s, 2)) < 0 || sec > 59)
				return false;
		}
	}
	*out = (h * 3600 + m * 60 + sec) * (minus ? -1 : 1);
	return true;
}

/* A zone's short name: letters, or <+03>. */
static bool
rule_name(const char **s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz";
	const char *end;
	size_t n;

	if (**s == '<') {
		if ((end = strchr(*s, '>')) == NULL)
			return false;
		*s = end + 1;
		return true;
	}
	n = strspn(*s, letters);
	*s += n;
	return n >= 3;
}

static bool
rule_date(const char **s, struct date *d)
{
	bool ok = true;

	*d = (struct date){ .kind = DATE_DAY, .time = 2 * 3600 };
	if (**s == 'M') {
		d->kind = DATE_MONTH;
		(*s)++;
		d->month = number(s, 2);
		ok = d->month >= 1 && d->month <= 12 && *(*s)++ == '.';
		d->week = ok ? number(s, 1) : 0;
		ok = ok && d->week >= 1 && d->week <= 5 && *(*s)++ == '.';
		d->day = ok ? number(s, 1) : -1;
		ok = ok && d->day >= 0 && d->day <= 6;
	} else {
		if (**s == 'J') {
			d->kind = DATE_JULIAN;
			(*s)++;
		}
		d->day = number(s, 3);
		ok = d->day >= (d->kind == DATE_JULIAN) && d->day <= 365;
	}
	if (ok && **s == '/') {
		(*s)++;
		ok = rule_time(s, &d->time);
	}
	return ok;
}

/* std offset [dst [offset] , date , date] */
static bool
parse_rule(struct zone *z, const char *s)
{
	int32_t offset;

	if (!rule_name(&s) || !rule_time(&s, &offset))
		return false;
	z->std = -offset;
	z->has_rule = true;
	if (*s == '\0')
		return true;
	z->has_dst = true;
	z->dst = z->std + 3600;
	if (!rule_name(&s))
		return false;
	if (*s != ',') {
		if (!rule_time(&s, &offset))
			return false;
		z->dst = -offset;
	}
	return *s++ == ',' && rule_date(&s, &z->start) && *s++ == ',' &&
	    rule_date(&s, &z->end) && *s == '\0';
}

/* -- the file -------------------------------------------------------------------- */

#define HEADER 44

struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static uint64_t
big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* The counts at p, if a header and its data lie within n bytes. */
static bool
read_counts(const uint8_t *p, size_t n, size_t width, struct counts *c,
    size_t *data)
{
	uint32_t *v[] = { &c->isut, &c->isstd, &c->leap, &c->time, &c->type,
		&c->chars };

	if (n < HEADER || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	for (size_t i = 0; i < 6; i++) {
		*v[i] = (uint32_t)big_endian(p + 20 + 4 * i, 4);
		if (*v[i] > ZONE_FILE_MAX)
			return false;
	}
	*data = c->time * width + c->time + c->type * 6 + c->chars +
	    c->leap * (width + 4) + c->isstd + c->isut;
	return *data <= n - HEADER;
}

static bool
type_offset(const uint8_t *types, const struct counts *c, size_t i,
    int32_t *out)
{
	if (i >= c->type)
		return false;
	*out = (int32_t)(uint32_t)big_endian(types + i * 6, 4);
	return *out > -OFFSET_MAX && *out < OFFSET_MAX;
}

static int
read_times(struct arena *a, struct zone *z, const uint8_t *p,
    const struct counts *c)
{
	const uint8_t *index = p + c->time * 8, *types = index + c->time;

	z->at = arena_get(a, (c->time + 1) * sizeof(*z->at));
	z->offset = arena_get(a, (c->time + 1) * sizeof(*z->offset));
	if (z->at == NULL || z->offset == NULL)
		return ERR_NOMEM;
	if (!type_offset(types, c, 0, &z->first))
		return ERR_FORMAT;
	for (size_t i = 0; i < c->time; i++) {
		z->at[i] = (int64_t)big_endian(p + i * 8, 8);
		if (!type_offset(types, c, index[i], &z->offset[i]) ||
		    (i > 0 && z->at[i] <= z->at[i - 1]))
			return ERR_FORMAT;
	}
	z->n = c->time;
	return 0;
}

/* "\nRULE\n", to the end of the file. */
static int
read_footer(struct zone *z, const uint8_t *p, size_t n)
{
	char rule[128];

	if (n < 2 || n - 2 >= sizeof(rule) || p[0] != '\n' || p[n - 1] != '\n')
		return ERR_FORMAT;
	memcpy(rule, p + 1, n - 2);
	rule[n - 2] = '\0';
	if (strlen(rule) != n - 2)
		return ERR_FORMAT;
	return *rule == '\0' || parse_rule(z, rule) ? 0 : ERR_FORMAT;
}

int
zone_parse(struct arena *a, const void *data, size_t n,
    const struct zone **out)
{
	struct zone *z = arena_get(a, sizeof(*z));
	const uint8_t *p = data;
	struct counts c;
	size_t len;
	int r;

	if (z == NULL)
		return ERR_NOMEM;
	/* first the old block with its 32-bit times, which is skipped */
	if (n > ZONE_FILE_MAX || !read_counts(p, n, 4, &c, &len))
		return ERR_FORMAT;
	p += HEADER + len;
	n -= HEADER + len;
	if (!read_counts(p, n, 8, &c, &len) || c.leap > 0 ||
	    c.time > ZONE_TIMES_MAX)
		return ERR_FORMAT;
	if ((r = read_times(a, z, p + HEADER, &c)) != 0 ||
	    (r = read_footer(z, p + HEADER + len, n - HEADER - len)) != 0)
		return r;
	*out = z;
	return 0;
}

bool
zone_name_valid(const char *name)
{
	size_t n = 0;

	if (strlen(name) > ZONE_NAME_MAX)
		return false;
	for (size_t i = 0;; i++) {
		if (name[i] == '/' || name[i] == '\0') {
			if (n == 0)
				return false;
			if (name[i] == '\0')
				return true;
			n = 0;
			continue;
		}
		if (!(name[i] >= 'a' && name[i] <= 'z') &&
		    !(name[i] >= 'A' && name[i] <= 'Z') &&
		    !(name[i] >= '0' && name[i] <= '9') && name[i] != '_' &&
		    name[i] != '-' && name[i] != '+')
			return false;
		n++;
	}
}

/* Links are followed: the database itself is made of them. */
static int
slurp_zone(const char *name, struct buf *b)
{
	char path[sizeof(ZONE_FOLDER) + ZONE_NAME_MAX];
	struct stat st;
	int fd, r = ERR_SYS;

	(void)snprintf(path, sizeof(path), "%s%s", ZONE_FOLDER, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND :
		    ERR_SYS;
	if (fstat(fd, &st) == 0)
		r = S_ISREG(st.st_mode) ? slurp_fd(fd, b) : ERR_NOTFOUND;
	(void)close(fd);
	return r;
}

int
zone_load(struct arena *a, const char *name, const struct zone **out)
{
	struct zone *z;
	struct buf b;
	int r;

	if (!zone_name_valid(name))
		return ERR_NOTFOUND;
	if (strcmp(name, "UTC") == 0) {
		if ((z = arena_get(a, sizeof(*z))) == NULL)
			return ERR_NOMEM;
		*out = z;
		return 0;
	}
	buf_init(&b, ZONE_FILE_MAX);
	if ((r = slurp_zone(name, &b)) == 0)
		r = zone_parse(a, buf_ptr(&b), buf_len(&b), out);
	buf_clear(&b);
	return r;
}

/* -- times ------------------------------------------------------------------------ */

int32_t
zone_offset(const struct zone *z, int64_t t)
{
	size_t low = 0, high = z->n, mid;

	if (z->has_rule && (z->n == 0 || t >= z->at[z->n - 1]))
		return rule_offset(z, t);
	while (low < high) {	/* how many begin at t or before it */
		mid = low + (high - low) / 2;
		if (z->at[mid] <= t)
			low = mid + 1;
		else
			high = mid;
	}
	return low == 0 ? z->first : z->offset[low - 1];
}

#define TIME_MAX ((int64_t)1 << 40) /* the year 36812: far enough */

void
zone_to_local(const struct zone *z, int64_t t, struct zone_local *out)
{
	int64_t days, left;
	int month = 1;

	t = t > TIME_MAX ? TIME_MAX : t < -TIME_MAX ? -TIME_MAX : t;
	t += zone_offset(z, t);
	days = floor_div(t, DAY);
	out->weekday = weekday(days);
	out->minute = (unsigned int)((t - days * DAY) / 60);
	out->year = days_year(days);
	left = days - year_days(out->year);
	while (left >= month_days(out->year, month))
		left -= month_days(out->year, month++);
	out->month = (unsigned int)month;
	out->day = (unsigned int)left + 1;
}

int
zone_from_local(const struct zone *z, const struct zone_local *l, int64_t *t)
{
	int64_t local, first, second;

	if (l->year < 1970 || l->year > 9999 || l->month < 1 ||
	    l->month > 12 || l->day < 1 || l->minute >= DAY / 60 ||
	    l->day > (unsigned int)month_days(l->year, (int)l->month))
		return ERR_NOTFOUND;
	local = date_days(l->year, (int)l->month, (int)l->day) * DAY +
	    (int64_t)l->minute * 60;
	/* the offsets on both sides of a change of clocks */
	first = local - zone_offset(z, local - DAY);
	second = local - zone_offset(z, local + DAY);
	if (second < first) {
		int64_t swap = first;

		first = second;
		second = swap;
	}
	if (first + zone_offset(z, first) == local)
		*t = first;
	else if (second + zone_offset(z, second) == local)
		*t = second;
	else
		return ERR_NOTFOUND;
	return 0;
}
