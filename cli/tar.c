/*
 * Writing tar.  Runs in tools, as root; what goes into it may be written at
 * that moment.
 */
#include "config.h"

#include "cli/tar.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/copy.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define TAR_BLOCK 512
#define TAR_OCTAL_MAX ((UINT64_C(1) << 33) - 1) /* eleven digits */

struct tar_header {
	char name[100], mode[8], uid[8], gid[8];
	uint8_t size[12];
	char mtime[12], sum[8], type;
	char link[100], magic[6], version[2], user[32], group[32];
	char major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is a block");

static void
put_size(uint8_t to[12], uint64_t size)
{
	char text[16];

	if (size <= TAR_OCTAL_MAX) {
		(void)snprintf(
		    text, sizeof(text), "%011llo", (unsigned long long)size);
		memcpy(to, text, 12);
		return;
	}
	memset(to, 0, 12);
	for (int i = 11; i >= 4; i--, size >>= 8)
		to[i] = (uint8_t)size;
	to[0] = 0x80;
}

/* The sum is of the header with blanks in its place. */
static void
put_sum(struct tar_header *h)
{
	const uint8_t *p = (const uint8_t *)h;
	unsigned int sum = 0;

	memset(h->sum, ' ', sizeof(h->sum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += p[i];
	(void)snprintf(h->sum, sizeof(h->sum), "%06o", sum);
}

static int
put_header(int out, const char *path, const struct stat *st, uint64_t size)
{
	struct tar_header h = { .type = '0', .magic = "ustar" };
	char mtime[24];

	if (str_copy(h.name, sizeof(h.name), path) != 0)
		return ERR_TOOBIG;
	memcpy(h.version, "00", 2);
	(void)snprintf(h.mode, sizeof(h.mode), "%07o", st->st_mode & 0640U);
	(void)snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	(void)snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	(void)snprintf(mtime, sizeof(mtime), "%011llo",
	    (unsigned long long)st->st_mtime & TAR_OCTAL_MAX);
	memcpy(h.mtime, mtime, sizeof(h.mtime));
	put_size(h.size, size);
	put_sum(&h);
	return write_all(out, &h, sizeof(h));
}

static int
put_zeros(int out, uint64_t n)
{
	static const uint8_t none[TAR_BLOCK];
	size_t k;
	int r = 0;

	for (; n > 0 && r == 0; n -= k) {
		k = n < sizeof(none) ? (size_t)n : sizeof(none);
		r = write_all(out, none, k);
	}
	return r;
}

int
tar_part(int out, int in, const char *path, unsigned long long size,
    struct copy_sum *sum)
{
	struct copy_sum mine;
	struct stat st;
	int r;

	if (fstat(in, &st) == -1)
		return ERR_SYS;
	if ((r = put_header(out, path, &st, size)) != 0 ||
	    (r = copy_some(in, out, 0, size, &mine)) != 0)
		return r;
	/* One that was cut meanwhile still fills its place. */
	if ((r = put_zeros(out, size - mine.bytes)) == 0)
		r = put_zeros(out, -size % TAR_BLOCK);
	if (sum != NULL)
		*sum = mine;
	return r;
}

int
tar_file(
    int out, int from, const char *name, const char *path, struct copy_sum *sum)
{
	struct stat st;
	int in, r;

	in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (in == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	if (fstat(in, &st) == -1)
		r = ERR_SYS;
	else if (!S_ISREG(st.st_mode))
		r = ERR_DENIED;
	else
		r = tar_part(out, in, path, (uint64_t)st.st_size, sum);
	(void)close(in);
	return r;
}

int
tar_end(int out)
{
	return put_zeros(out, 2 * TAR_BLOCK);
}
