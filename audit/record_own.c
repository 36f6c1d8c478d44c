/*
 * Taking a finished recording out of everybody's reach.  Runs in audit, when
 * the hop is dead.  Distrusts whoever has ever had a descriptor of the files:
 * it may have been passed on, and what was append-only can be truncated.
 */
#include "config.h"

#include "audit/record.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/utc.h"
#include "lib/err.h"
#include "lib/safeopen.h"

#define OWN_BLOCK (64 * 1024)
#define OWN_FLAGS (O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

/*
 * Nobody else has the file open, be it in a process, in a message on its way
 * or as a mapping: to nobody else does the kernel give a lease for writing
 * (fcntl(2)).  The mode lets nobody open it anew.  Where a file system knows
 * no leases the answer is no.
 */
static bool
own_alone(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == -1)
		return false;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

static int
own_copy_begin(struct record *rec, int from, int dir, const char *copy_path)
{
	struct stat st;

	if (fstat(from, &st) == -1 ||
	    (unlinkat(dir, copy_path, 0) == -1 && errno != ENOENT))
		return ERR_SYS;
	rec->copy =
	    openat(dir, copy_path, O_RDWR | O_CREAT | O_EXCL | OWN_FLAGS, 0600);
	if (rec->copy == -1)
		return ERR_SYS;
	/* What is appended from now on is nobody's recording. */
	rec->copy_size = (uint64_t)st.st_size;
	rec->copied = 0;
	return 0;
}

static int
own_copy_some(struct record *rec, int from, size_t max)
{
	uint8_t *d = malloc(OWN_BLOCK);
	size_t want;
	ssize_t n;
	int r = 0;

	if (d == NULL)
		return ERR_NOMEM;
	while (rec->copied < rec->copy_size && max > 0 && r == 0) {
		want = max > OWN_BLOCK ? OWN_BLOCK : max;
		if (want > rec->copy_size - rec->copied)
			want = (size_t)(rec->copy_size - rec->copied);
		n = pread(from, d, want, (off_t)rec->copied);
		if (n == -1)
			r = ERR_SYS;
		else if (n == 0) /* somebody has cut it under our hands */
			rec->copy_size = rec->copied;
		else if ((r = write_all(rec->copy, d, (size_t)n)) == 0) {
			rec->copied += (size_t)n;
			max -= (size_t)n;
		}
	}
	free(d);
	return r == 0 && rec->copied < rec->copy_size ? ERR_AGAIN : r;
}

/* What a day's folder names now, it names after a power cut. */
static int
own_sync_day(int dir, const char *path)
{
	char day[UTC_DAY_LEN + 1];
	int fd, r;

	memcpy(day, path, UTC_DAY_LEN);
	day[UTC_DAY_LEN] = '\0';
	if ((fd = openat(dir, day, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return errno == ENOENT ? 0 : ERR_SYS;
	r = fsync(fd) == -1 ? ERR_SYS : 0;
	(void)close(fd);
	return r;
}

/* The copy stands in the file's place. */
static int
own_replace(int dir, const char *copy_path, const char *path)
{
	if (renameat(dir, copy_path, dir, path) == -1)
		return ERR_SYS;
	return own_sync_day(dir, path);
}

int
record_delete(int dir, const char *path)
{
	if (!record_path_valid(path))
		return ERR_FORMAT;
	if (unlinkat(dir, path, 0) == -1 && errno != ENOENT)
		return ERR_SYS;
	return own_sync_day(dir, path);
}

static int
own_copy(struct record *rec, int dir, const char *path, int *fd, size_t max)
{
	char copy_path[RECORD_PATH_MAX];
	int r;

	record_sibling_path(path, RECORD_COPY, copy_path);
	if (rec->copy == -1 &&
	    (r = own_copy_begin(rec, *fd, dir, copy_path)) != 0)
		return r;
	if ((r = own_copy_some(rec, *fd, max)) == ERR_AGAIN)
		return r;
	if (r == 0 && fdatasync(rec->copy) == -1)
		r = ERR_SYS;
	if (r == 0 && (r = own_replace(dir, copy_path, path)) == 0) {
		(void)close(*fd);
		*fd = rec->copy;
		rec->copy = -1;
		return 0;
	}
	(void)close(rec->copy); /* from its beginning, the next time */
	rec->copy = -1;
	return r;
}

int
record_own(struct record *rec, int dir, size_t max)
{
	char side_path[RECORD_PATH_MAX];
	int r;

	if (!rec->cast_own && rec->copy == -1)
		rec->cast_own = own_alone(rec->cast);
	if (!rec->cast_own) {
		rec->was_copied = true;
		if ((r = own_copy(rec, dir, rec->path, &rec->cast, max)) != 0)
			return r;
		rec->cast_own = true;
	}
	if (!rec->side_own && rec->copy == -1)
		rec->side_own = own_alone(rec->side);
	if (!rec->side_own) {
		rec->was_copied = true;
		record_sibling_path(rec->path, RECORD_SIDE, side_path);
		if ((r = own_copy(rec, dir, side_path, &rec->side, max)) != 0)
			return r;
		rec->side_own = true;
	}
	return 0;
}
