/*
 * Tiles as files.  Runs in audit, which writes them, and in the tools that
 * verify, which believe nothing of them.  A full tile never changes, and is on
 * the disk before a checkpoint needs it; one that is not full is a copy for
 * those who read along, and is made again from the ledger where it is lost.
 */
#include "config.h"

#include "audit/tiles.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/safeopen.h"

#define TILES_NEW ".new"
#define TILES_DIGITS 1000 /* per element of a path */

/* The folder of an index, and its last element: x001/x234/067 */
static void
tiles_index(uint64_t index, char text[TILES_PATH_MAX])
{
	unsigned int part[7];
	size_t n = 0, at = 0;

	do {
		part[n++] = (unsigned int)(index % TILES_DIGITS);
		index /= TILES_DIGITS;
	} while (index > 0);
	while (n-- > 0)
		at += (size_t)snprintf(text + at, TILES_PATH_MAX - at,
		    n > 0 ? "x%03u/" : "%03u", part[n]);
}

void
tiles_path(
    unsigned int level, uint64_t index, size_t width, char path[TILES_PATH_MAX])
{
	char where[TILES_PATH_MAX], name[16] = "entries";
	unsigned int part = (unsigned int)(width % TREE_WIDTH);

	if (level != TILES_ENTRIES)
		(void)snprintf(name, sizeof(name), "%u", level);
	tiles_index(index, where);
	if (part == 0)
		(void)snprintf(
		    path, TILES_PATH_MAX, "tile/%s/%.40s", name, where);
	else
		(void)snprintf(path, TILES_PATH_MAX, "tile/%s/%.40s.p/%u", name,
		    where, part);
}

/* Each folder on the way to path. */
static int
tiles_folders(int dir, const char *path)
{
	char folder[TILES_PATH_MAX];
	const char *slash = path;

	while ((slash = strchr(slash, '/')) != NULL) {
		memcpy(folder, path, (size_t)(slash - path));
		folder[slash - path] = '\0';
		if (mkdirat(dir, folder, 0750) == -1 && errno != EEXIST)
			return ERR_SYS;
		slash++;
	}
	return 0;
}

static size_t
tiles_put(unsigned int level, const struct tree_hash *h, size_t width,
    uint8_t d[TILES_BYTES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < width; i++) {
		if (level == TILES_ENTRIES) {
			d[n++] = 0;
			d[n++] = TREE_HASH_LEN;
		}
		memcpy(d + n, h[i].b, TREE_HASH_LEN);
		n += TREE_HASH_LEN;
	}
	return n;
}

static int
tiles_file(int dir, const char *path, const uint8_t *d, size_t n, bool sync)
{
	char fresh[TILES_PATH_MAX + sizeof(TILES_NEW)];
	int fd, r, err;

	(void)snprintf(fresh, sizeof(fresh), "%s" TILES_NEW, path);
	fd = openat(dir, fresh,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0440);
	if (fd == -1)
		return ERR_SYS;
	r = write_all(fd, d, n);
	if (r == 0 && sync && fdatasync(fd) == -1)
		r = ERR_SYS;
	err = errno;
	(void)close(fd);
	if (r == 0 && renameat(dir, fresh, dir, path) == 0)
		return 0;
	err = r == 0 ? errno : err;
	(void)unlinkat(dir, fresh, 0);
	errno = err;
	return ERR_SYS;
}

/* Those with fewer hashes; whoever wants one of them reads the full one. */
static void
tiles_forget(int dir, unsigned int level, uint64_t index)
{
	char path[TILES_PATH_MAX];

	for (size_t w = 1; w < TREE_WIDTH; w++) {
		tiles_path(level, index, w, path);
		(void)unlinkat(dir, path, 0);
	}
}

int
tiles_write(int dir, unsigned int level, uint64_t index,
    const struct tree_hash *h, size_t width, bool sync)
{
	uint8_t d[TILES_BYTES_MAX];
	char path[TILES_PATH_MAX];
	size_t n = tiles_put(level, h, width, d);
	int r;

	tiles_path(level, index, width, path);
	r = tiles_file(dir, path, d, n, sync);
	if (r == ERR_SYS && errno == ENOENT &&
	    (r = tiles_folders(dir, path)) == 0)
		r = tiles_file(dir, path, d, n, sync);
	if (r == 0 && width == TREE_WIDTH)
		tiles_forget(dir, level, index);
	return r;
}

int
tiles_read(int dir, unsigned int level, uint64_t index, size_t width,
    struct tree_hash *h)
{
	const size_t head = level == TILES_ENTRIES ? 2 : 0;
	const size_t each = head + TREE_HASH_LEN;
	uint8_t d[TILES_BYTES_MAX + 1];
	char path[TILES_PATH_MAX];
	ssize_t n;
	int fd;

	tiles_path(level, index, width, path);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			   ? ERR_NOTFOUND
			   : ERR_SYS;
	n = read(fd, d, sizeof(d));
	(void)close(fd);
	if (n == -1)
		return errno == EISDIR ? ERR_FORMAT : ERR_SYS;
	if ((size_t)n != width * each)
		return ERR_FORMAT;
	for (size_t i = 0; i < width; i++) {
		if (head != 0 &&
		    (d[i * each] != 0 || d[i * each + 1] != TREE_HASH_LEN))
			return ERR_FORMAT;
		memcpy(h[i].b, d + i * each + head, TREE_HASH_LEN);
	}
	return 0;
}

int
tiles_edge(int dir, uint64_t size, struct tree *t)
{
	struct tree_hash tile[TREE_WIDTH];
	uint64_t first;
	size_t n;
	int r;

	t->size = size;
	for (unsigned int level = 1; level < TREE_LEVELS; level++) {
		n = tree_edge(t, level);
		/* of the level's hashes the first that is at the edge */
		first = (size >> (8 * level)) - n;
		for (size_t i = 0; i < n; i++) {
			if ((r = tiles_read(dir, level - 1, first + i,
				 TREE_WIDTH, tile)) != 0 ||
			    (r = tree_over(
				 tile, TREE_WIDTH, &t->edge[level][i])) != 0)
				return r;
		}
	}
	return 0;
}
