/*
 * Time zones against the C library's own reading of the same database.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/err.h"
#include "policy/arena.h"
#include "policy/zone.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const char *const zones[] = { "Europe/Berlin", "America/New_York",
	"Australia/Sydney", "Asia/Kolkata", "Pacific/Apia", "UTC",
	"America/Sao_Paulo", "Europe/Dublin", "Africa/Casablanca",
	"Antarctica/Troll", "Australia/Lord_Howe", "America/Godthab",
	"Etc/GMT+5" };

/* Every 7 hours and some minutes for two centuries. */
static void
t_zone_to_local_as_libc(void **state)
{
	struct zone_local l;
	const struct zone *z;
	struct arena *a;
	struct tm tm;

	(void)state;
	for (size_t i = 0; i < N(zones); i++) {
		a = arena_new();
		if (zone_load(a, zones[i], &z) != 0) { /* no such database */
			arena_free(a);
			continue;
		}
		assert_int_equal(setenv("TZ", zones[i], 1), 0);
		tzset();
		for (time_t t = 0; t < (time_t)130 * 365 * 86400;
		    t += 7 * 3600 + 1777) {
			assert_non_null(localtime_r(&t, &tm));
			zone_to_local(z, t, &l);
			if (l.year != tm.tm_year + 1900 ||
			    (int)l.month != tm.tm_mon + 1 ||
			    (int)l.day != tm.tm_mday ||
			    (int)l.weekday != (tm.tm_wday + 6) % 7 ||
			    (int)l.minute != tm.tm_hour * 60 + tm.tm_min)
				fail_msg("%s at %lld", zones[i], (long long)t);
		}
		arena_free(a);
	}
}

static void
t_zone_from_local_table(void **state)
{
	static const struct {
		struct zone_local l;
		int64_t want;	/* -1: no such time */
	} c[] = {
		{ { 2026, 11, 24, 0, 600 }, 1795510800 },
		{ { 2026, 7, 1, 0, 600 }, 1782892800 },
		{ { 1970, 1, 1, 0, 60 }, 0 },
		/* clocks skip 02:00 to 03:00, and live 02:00 to 03:00 twice */
		{ { 2026, 3, 29, 0, 119 }, 1774745940 },
		{ { 2026, 3, 29, 0, 150 }, -1 },
		{ { 2026, 3, 29, 0, 180 }, 1774746000 },
		{ { 2026, 10, 25, 0, 150 }, 1792888200 },
		{ { 2090, 10, 29, 0, 150 }, 3812920200 },
		{ { 2026, 2, 29, 0, 0 }, -1 },
		{ { 2026, 13, 1, 0, 0 }, -1 },
		{ { 2026, 0, 1, 0, 0 }, -1 },
		{ { 2026, 1, 0, 0, 0 }, -1 },
		{ { 2026, 1, 1, 0, 1440 }, -1 },
		{ { 1969, 1, 1, 0, 0 }, -1 },
	};
	const struct zone *z;
	struct arena *a = arena_new();
	int64_t t;

	(void)state;
	if (zone_load(a, "Europe/Berlin", &z) != 0) {
		arena_free(a);
		skip();
		return;
	}
	for (size_t i = 0; i < N(c); i++) {
		t = -1;
		assert_int_equal(zone_from_local(z, &c[i].l, &t),
		    c[i].want == -1 ? ERR_NOTFOUND : 0);
		if (t != c[i].want)
			fail_msg("%zu: %lld", i, (long long)t);
	}
	arena_free(a);
}

static void
t_zone_load_names(void **state)
{
	static const char *const bad[] = { "", "/", "..", "Europe/../UTC",
		"/etc/passwd", "Europe/", "Europe//Berlin", "Europe",
		"Nowhere/City", ".", "posixrules.", "tzdata.zi",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	struct arena *a = arena_new();
	const struct zone *z = NULL;

	(void)state;
	for (size_t i = 0; i < N(bad); i++)
		assert_int_not_equal(zone_load(a, bad[i], &z), 0);
	assert_null(z);
	assert_int_equal(zone_load(a, "UTC", &z), 0);
	assert_int_equal(zone_offset(z, 1795510800), 0);
	arena_free(a);
}

/* A file cut anywhere, or with any one byte changed: no crash, no hang. */
static void
t_zone_parse_damaged(void **state)
{
	static const char footer[] = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";
	uint8_t file[256] = { 0 }, copy[256];
	const struct zone *z;
	struct zone_local l;
	size_t n = 0;

	(void)state;
	for (int k = 0; k < 2; k++) {
		memcpy(file + n, "TZif2", 5);
		file[n + 39] = 1;	/* types */
		file[n + 43] = 4;	/* characters */
		n += 44;
		file[n + 2] = 0x0e;
		file[n + 3] = 0x10;
		memcpy(file + n + 6, "CET", 4);
		n += 10;
	}
	memcpy(file + n, footer, sizeof(footer) - 1);
	n += sizeof(footer) - 1;
	for (size_t i = 0; i <= n; i++) {
		struct arena *a = arena_new();

		assert_int_equal(zone_parse(a, file, i, &z) == 0, i == n);
		arena_free(a);
	}
	for (size_t i = 0; i < n; i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			struct arena *a = arena_new();

			memcpy(copy, file, sizeof(copy));
			copy[i] ^= (uint8_t)(1u << bit);
			if (zone_parse(a, copy, n, &z) == 0) {
				zone_to_local(z, 1795510800, &l);
				zone_to_local(z, INT64_MAX, &l);
				zone_to_local(z, INT64_MIN, &l);
			}
			arena_free(a);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_zone_to_local_as_libc),
		cmocka_unit_test(t_zone_from_local_table),
		cmocka_unit_test(t_zone_load_names),
		cmocka_unit_test(t_zone_parse_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
