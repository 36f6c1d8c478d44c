/*
 * Time zones: local wall time of an IANA zone.  A zone is read once, at load;
 * later nothing is opened and nothing allocated.
 */
#ifndef POSTERN_POLICY_ZONE_H
#define POSTERN_POLICY_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct zone;

#define ZONE_NAME_MAX 64

/* May the name be looked up at all? */
bool zone_name_valid(const char *name);
/* Reads /usr/share/zoneinfo/NAME; "UTC" needs no file.  ERR_NOTFOUND, ERR_SYS,
 * ERR_FORMAT, ERR_NOMEM. */
int zone_load(struct arena *a, const char *name, const struct zone **out);
/* The same from a file's bytes (TZif, RFC 8536). */
int zone_parse(struct arena *a, const void *data, size_t n,
    const struct zone **out);
/* Seconds east of UTC at a time. */
int32_t zone_offset(const struct zone *z, int64_t t);

struct zone_local {
	int64_t year;
	unsigned int month, day;	/* from 1 */
	unsigned int weekday;		/* 0 is Monday */
	unsigned int minute;		/* of the day */
};

void zone_to_local(const struct zone *z, int64_t t, struct zone_local *out);
/* year, month, day and minute as a time.  Of two that are right, the earlier;
 * ERR_NOTFOUND: clocks skip it, or there is no such day. */
int zone_from_local(const struct zone *z, const struct zone_local *l,
    int64_t *t);

#endif
