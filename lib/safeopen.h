/*
 * Opening files that are read as configuration or kept as evidence.
 */
#ifndef POSTERN_LIB_SAFEOPEN_H
#define POSTERN_LIB_SAFEOPEN_H

#include <stddef.h>
#include <sys/types.h>

struct buf;

/* What the file must be.  All of it is checked on the opened descriptor. */
struct safeopen_want {
	uid_t owner;	 /* this uid or root */
	mode_t forbid;	 /* permission bits that must be clear, e.g. 022 */
	size_t max;	 /* bytes */
};

/* Opens a regular file read-only (O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK) relative to
 * dirfd.  ERR_DENIED: wrong owner, mode or kind; *why (a literal) says which. */
int safeopen_read(int dirfd, const char *path, const struct safeopen_want *w,
    int *fdp, const char **why);
/* The same, and reads it whole into b (whose maximum counts, too). */
int safeopen_slurp(int dirfd, const char *path, const struct safeopen_want *w,
    struct buf *b, const char **why);
/* Reads an already opened fd to its end into b; ERR_TOOBIG past b's maximum. */
int slurp_fd(int fd, struct buf *b);
/* Writes n bytes whole; retries on EINTR and short writes (not on EAGAIN). */
int write_all(int fd, const void *p, size_t n);

#endif
