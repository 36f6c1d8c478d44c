/*
 * The Merkle tree of RFC 6962 section 2.1, appended to in the 256-wide tiles
 * of C2SP tlog-tiles: all that is kept in memory is its right edge, at most
 * 255 hashes a level.  An entry is the SHA-256 of a ledger line
 * (doc/LEDGER.md).
 */
#ifndef POSTERN_AUDIT_TREE_H
#define POSTERN_AUDIT_TREE_H

#include <stddef.h>
#include <stdint.h>

#define TREE_HASH_LEN 32
#define TREE_WIDTH 256
#define TREE_LEVELS 8     /* 256^8 leaves: more than a number can count */
#define TREE_PROOF_MAX 65 /* hashes of any proof */

struct tree_hash {
	uint8_t b[TREE_HASH_LEN];
};

struct tree {
	uint64_t size; /* leaves */
	/* level n: how many hashes are there is (size >> 8n) & 255 */
	struct tree_hash edge[TREE_LEVELS][TREE_WIDTH];
};

/* SHA-256 of n bytes; of a leaf; of two nodes.  ERR_CRYPTO. */
int tree_sha256(const void *p, size_t n, struct tree_hash *out);
int tree_leaf(const struct tree_hash *entry, struct tree_hash *out);
int tree_node(const struct tree_hash *l, const struct tree_hash *r,
    struct tree_hash *out);
/* The root over n nodes of one level, the last of which may be of a subtree
 * that is not full; n > 0. */
int tree_over(const struct tree_hash *h, size_t n, struct tree_hash *out);

/* How many hashes the edge has at a level. */
size_t tree_edge(const struct tree *t, unsigned int level);
/* Called with each tile that an append fills. */
typedef int (*tree_full_cb)(void *arg, unsigned int level, uint64_t index,
    const struct tree_hash tile[TREE_WIDTH]);
/* After an error the tree is of no use any more. */
int tree_append(
    struct tree *t, const struct tree_hash *leaf, tree_full_cb cb, void *arg);
int tree_root(const struct tree *t, struct tree_hash *out);

/* Proofs.  get gives the hash at a tile's level (0, 1, …) and index, which is
 * that of a full subtree of 256^level leaves. */
typedef int (*tree_get_cb)(
    void *arg, unsigned int level, uint64_t index, struct tree_hash *out);
/* That leaf (0, 1, …) is in the tree of size leaves; ERR_NOTFOUND. */
int tree_prove_leaf(tree_get_cb get, void *arg, uint64_t leaf, uint64_t size,
    struct tree_hash proof[TREE_PROOF_MAX], size_t *np);
/* That the tree of size leaves begins with that of old; 0 < old <= size. */
int tree_prove_older(tree_get_cb get, void *arg, uint64_t old, uint64_t size,
    struct tree_hash proof[TREE_PROOF_MAX], size_t *np);
/* RFC 9162 sections 2.1.3.2 and 2.1.4.2.  ERR_DENIED: it proves nothing. */
int tree_check_leaf(const struct tree_hash *leaf, uint64_t index, uint64_t size,
    const struct tree_hash *proof, size_t n, const struct tree_hash *root);
int tree_check_older(uint64_t old, const struct tree_hash *old_root,
    uint64_t size, const struct tree_hash *root, const struct tree_hash *proof,
    size_t n);

#endif
