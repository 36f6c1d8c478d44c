/*
 * RFC 3339 times in UTC, without the C library's time zones (which open files,
 * and a confined process cannot).
 */
#ifndef POSTERN_AUDIT_UTC_H
#define POSTERN_AUDIT_UTC_H

#include <stdint.h>

#define UTC_LEN 24 /* 2026-11-24T20:08:10.123Z */
#define UTC_DAY_LEN 10

/* Milliseconds since 1970 by CLOCK_REALTIME. */
uint64_t utc_now_ms(void);
/* Writes the time; years past 9999 are written as its end. */
void utc_format(uint64_t ms, char out[UTC_LEN + 1]);
/* Its day alone: 2026-11-24. */
void utc_format_day(uint64_t ms, char out[UTC_DAY_LEN + 1]);
/* Reads YYYY-MM-DD, YYYY-MM-DDThh:mm:ssZ or YYYY-MM-DDThh:mm:ss.mmmZ. */
int utc_parse(const char *s, uint64_t *ms);

/* From when on: one of these, seconds since 1970 as digits, or an age before
 * now_ms: N and s, m, h or d.  An age that begins before 1970 begins there. */
int utc_since(const char *s, uint64_t now_ms, uint64_t *ms);

#endif
