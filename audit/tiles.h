/*
 * A tree's tiles as files (C2SP tlog-tiles) below one folder:
 * tile/L/NNN[.p/W] are the hashes of level L, tile/entries/NNN[.p/W] the
 * entries, each with its length (two bytes) in front.
 */
#ifndef POSTERN_AUDIT_TILES_H
#define POSTERN_AUDIT_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/tree.h"

#define TILES_ENTRIES TREE_LEVELS /* the level that stands for entries */
#define TILES_PATH_MAX 80
#define TILES_BYTES_MAX (TREE_WIDTH * (2 + TREE_HASH_LEN))

/* The path of a tile that has `width` hashes. */
void tiles_path(unsigned int level, uint64_t index, size_t width,
    char path[TILES_PATH_MAX]);

/* Writes a tile whole, or not at all; sync: and to the disk.  One that is there
 * is replaced.  When a full one is written those with fewer go. */
int tiles_write(int dir, unsigned int level, uint64_t index,
    const struct tree_hash *h, size_t width, bool sync);
/* Reads exactly that tile.  ERR_NOTFOUND, ERR_FORMAT (another size, or a
 * length in it that is not a hash's). */
int tiles_read(int dir, unsigned int level, uint64_t index, size_t width,
    struct tree_hash *h);

/* The right edge of a tree of size leaves, but its lowest level, from the full
 * tiles.  ERR_NOTFOUND, ERR_FORMAT: they do not have it. */
int tiles_edge(int dir, uint64_t size, struct tree *t);

#endif
