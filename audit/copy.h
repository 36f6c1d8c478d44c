/*
 * Files from one folder to another, measured on their way.  Runs in tools.
 */
#ifndef POSTERN_AUDIT_COPY_H
#define POSTERN_AUDIT_COPY_H

#include <stdint.h>

#define COPY_SHA256_MAX 65 /* digits and a NUL */

/* What was copied. */
struct copy_sum {
	uint64_t bytes;
	char sha256[COPY_SHA256_MAX];
};

/* From offset from on to max bytes (fewer when the file ends before), behind
 * what the other has; sum may be NULL. */
int copy_some(
    int in, int out, uint64_t from, uint64_t max, struct copy_sum *sum);
/* A regular file of that name (DAY/NAME or NAME) with these permissions at
 * most, in place of one that is there.  A folder in front of it is made.
 * ERR_NOTFOUND: there is none. */
int copy_file(int from, int to, const char *name, struct copy_sum *sum);

#endif
