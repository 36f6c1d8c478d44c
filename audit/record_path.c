/*
 * Names of the two files of an operation.  Runs in audit, and in the tools that
 * read what a ledger says of them.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "audit/record.h"
#include "audit/utc.h"
#include "lib/err.h"
#include "lib/ulid.h"

int
record_path(uint64_t now_ms, const char *operation, char path[RECORD_PATH_MAX])
{
	char day[UTC_DAY_LEN + 1];
	int n;

	if (!ulid_valid(operation))
		return ERR_FORMAT;
	utc_format_day(now_ms, day);
	n = snprintf(
	    path, RECORD_PATH_MAX, "%s/%s" RECORD_CAST, day, operation);
	return n < 0 || n >= RECORD_PATH_MAX ? ERR_TOOBIG : 0;
}

bool
record_path_valid(const char *path)
{
	char day[UTC_DAY_LEN + 1], id[ULID_LEN + 1];
	uint64_t ms;

	if (strlen(path) !=
	    UTC_DAY_LEN + 1 + ULID_LEN + sizeof(RECORD_CAST) - 1)
		return false;
	memcpy(day, path, UTC_DAY_LEN);
	day[UTC_DAY_LEN] = '\0';
	memcpy(id, path + UTC_DAY_LEN + 1, ULID_LEN);
	id[ULID_LEN] = '\0';
	return path[UTC_DAY_LEN] == '/' && utc_parse(day, &ms) == 0 &&
	       ulid_valid(id) &&
	       strcmp(path + UTC_DAY_LEN + 1 + ULID_LEN, RECORD_CAST) == 0;
}

void
record_sibling_path(
    const char *path, const char *end, char sibling[RECORD_PATH_MAX])
{
	size_t n = strlen(path) - (sizeof(RECORD_CAST) - 1);

	memcpy(sibling, path, n);
	memcpy(sibling + n, end, sizeof(RECORD_CAST));
}
