/*
 * A tar archive on its way to a pipe: POSIX.1-2017, pax, "ustar interchange
 * format", with GNU's base-256 for sizes of 8 GiB and more.
 */
#ifndef POSTERN_CLI_TAR_H
#define POSTERN_CLI_TAR_H

struct copy_sum;

/* name below the folder from, as path in the archive; as long as it is now: one
 * that grows meanwhile goes as far as that.  ERR_NOTFOUND: there is none. */
int tar_file(int out, int from, const char *name, const char *path,
    struct copy_sum *sum);
/* The first so many bytes of an opened file. */
int tar_part(int out, int in, const char *path, unsigned long long size,
    struct copy_sum *sum);
int tar_end(int out);

#endif
