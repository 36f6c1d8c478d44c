/*
 * The ledger's Merkle tree: hashes alone, no files.  Runs in audit and in the
 * tools that verify.  Leaves and nodes are hashed with a byte in front that
 * tells them apart (RFC 6962 section 2.1), so that a node can never be passed
 * off as a leaf.
 */
#include "config.h"

#include "audit/tree.h"

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/str.h"

#define TREE_BITS 8 /* a tile has 2^8 hashes */

int
tree_sha256(const void *p, size_t n, struct tree_hash *out)
{
	return EVP_Digest(p, n, out->b, NULL, EVP_sha256(), NULL) == 1
		   ? 0
		   : ERR_CRYPTO;
}

int
tree_leaf(const struct tree_hash *entry, struct tree_hash *out)
{
	struct {
		uint8_t kind;
		struct tree_hash entry;
	} d = { 0x00, *entry };

	_Static_assert(sizeof(d) == 1 + TREE_HASH_LEN, "bytes alone");
	return tree_sha256(&d, sizeof(d), out);
}

int
tree_node(
    const struct tree_hash *l, const struct tree_hash *r, struct tree_hash *out)
{
	struct {
		uint8_t kind;
		struct tree_hash l, r;
	} d = { 0x01, *l, *r };

	_Static_assert(sizeof(d) == 1 + 2 * TREE_HASH_LEN, "bytes alone");
	return tree_sha256(&d, sizeof(d), out);
}

/* The largest power of two below n; n > 1. */
static uint64_t
tree_split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

int
tree_over(const struct tree_hash *h, size_t n, struct tree_hash *out)
{
	struct tree_hash l, r;
	size_t k;
	int e;

	if (n < 2) {
		*out = h[0];
		return n == 1 ? 0 : ERR_INTERNAL;
	}
	k = (size_t)tree_split(n);
	if ((e = tree_over(h, k, &l)) != 0 ||
	    (e = tree_over(h + k, n - k, &r)) != 0)
		return e;
	return tree_node(&l, &r, out);
}

/* -- appending ------------------------------------------------------------ */

size_t
tree_edge(const struct tree *t, unsigned int level)
{
	return (size_t)(t->size >> (TREE_BITS * level)) % TREE_WIDTH;
}

int
tree_append(
    struct tree *t, const struct tree_hash *leaf, tree_full_cb cb, void *arg)
{
	struct tree_hash h = *leaf;
	unsigned int level = 0;
	size_t at;
	int r;

	for (; level < TREE_LEVELS; level++) {
		at = tree_edge(t, level);
		t->edge[level][at] = h;
		if (at < TREE_WIDTH - 1)
			break;
		/* Full: one hash of it goes up. */
		if ((r = cb(arg, level, t->size >> (TREE_BITS * (level + 1)),
			 t->edge[level])) != 0 ||
		    (r = tree_over(t->edge[level], TREE_WIDTH, &h)) != 0)
			return r;
	}
	t->size++;
	return 0;
}

/* From the leaves up: what hangs over the right of a level is the last node of
 * the next. */
int
tree_root(const struct tree *t, struct tree_hash *out)
{
	struct tree_hash h[TREE_WIDTH], rest;
	size_t n, rests = 0;
	int r;

	for (unsigned int level = 0; level < TREE_LEVELS; level++) {
		n = tree_edge(t, level);
		for (size_t i = 0; i < n; i++)
			h[i] = t->edge[level][i];
		if (rests != 0)
			h[n] = rest;
		n += rests;
		if (n == 0)
			continue;
		if ((r = tree_over(h, n, &rest)) != 0)
			return r;
		rests = 1;
	}
	if (rests == 0)
		return tree_sha256("", 0, out);
	*out = rest;
	return 0;
}

/* -- making proofs -------------------------------------------------------- */

struct proof {
	tree_get_cb get;
	void *arg;
	struct tree_hash *h;
	size_t n;
};

/* The root over leaves from..to-1; from is a multiple of what a full subtree
 * of that size has. */
static int
proof_range(
    const struct proof *p, uint64_t from, uint64_t to, struct tree_hash *out)
{
	struct tree_hash h[TREE_WIDTH], l, r;
	uint64_t n = to - from, k;
	unsigned int level;
	int e;

	if ((n & (n - 1)) == 0) { /* full: 2^(8 level + some) leaves */
		level = (unsigned int)__builtin_ctzll(n) / TREE_BITS;
		n >>= TREE_BITS * level;
		from >>= TREE_BITS * level;
		for (uint64_t i = 0; i < n; i++) {
			if ((e = p->get(p->arg, level, from + i, &h[i])) != 0)
				return e;
		}
		return tree_over(h, (size_t)n, out);
	}
	k = tree_split(n);
	if ((e = proof_range(p, from, from + k, &l)) != 0 ||
	    (e = proof_range(p, from + k, to, &r)) != 0)
		return e;
	return tree_node(&l, &r, out);
}

static int
proof_add(struct proof *p, uint64_t from, uint64_t to)
{
	int r;

	if (p->n >= TREE_PROOF_MAX)
		return ERR_TOOBIG;
	if ((r = proof_range(p, from, to, &p->h[p->n])) == 0)
		p->n++;
	return r;
}

/* Hashes are added from the top down, and are wanted from the bottom up. */
static void
proof_turn(struct proof *p)
{
	for (size_t i = 0; i < p->n / 2; i++) {
		struct tree_hash h = p->h[i];

		p->h[i] = p->h[p->n - 1 - i];
		p->h[p->n - 1 - i] = h;
	}
}

int
tree_prove_leaf(tree_get_cb get, void *arg, uint64_t leaf, uint64_t size,
    struct tree_hash proof[TREE_PROOF_MAX], size_t *np)
{
	struct proof p = { get, arg, proof, 0 };
	uint64_t from = 0, to = size, k;
	int r = 0;

	if (leaf >= size)
		return ERR_NOTFOUND;
	while (to - from > 1 && r == 0) {
		k = from + tree_split(to - from);
		if (leaf < k) {
			r = proof_add(&p, k, to);
			to = k;
		} else {
			r = proof_add(&p, from, k);
			from = k;
		}
	}
	proof_turn(&p);
	*np = p.n;
	return r;
}

int
tree_prove_older(tree_get_cb get, void *arg, uint64_t old, uint64_t size,
    struct tree_hash proof[TREE_PROOF_MAX], size_t *np)
{
	struct proof p = { get, arg, proof, 0 };
	uint64_t from = 0, to = size, k;
	int r = 0;

	if (old == 0 || old > size)
		return ERR_NOTFOUND;
	while (old < to && r == 0) {
		k = from + tree_split(to - from);
		if (old <= k) {
			r = proof_add(&p, k, to);
			to = k;
		} else {
			r = proof_add(&p, from, k);
			from = k;
		}
	}
	/* What is left is a subtree that both have; who checks knows it when
	 * it is all of the old tree. */
	if (r == 0 && from != 0)
		r = proof_add(&p, from, to);
	proof_turn(&p);
	*np = p.n;
	return r;
}

/* -- checking proofs ------------------------------------------------------ */

int
tree_check_leaf(const struct tree_hash *leaf, uint64_t index, uint64_t size,
    const struct tree_hash *proof, size_t n, const struct tree_hash *root)
{
	struct tree_hash h = *leaf;
	uint64_t fn = index, sn;
	int r;

	if (index >= size)
		return ERR_DENIED;
	sn = size - 1;
	for (size_t i = 0; i < n; i++) {
		if (sn == 0)
			return ERR_DENIED;
		if ((fn & 1) != 0 || fn == sn) {
			if ((r = tree_node(&proof[i], &h, &h)) != 0)
				return r;
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else if ((r = tree_node(&h, &proof[i], &h)) != 0) {
			return r;
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && mem_equal(&h, root, sizeof(h)) ? 0 : ERR_DENIED;
}

/* Both are not empty and differ in size.  What is left of a proof when the
 * subtree that they share is known. */
static int
older_climb(uint64_t fn, uint64_t sn, struct tree_hash *fr,
    struct tree_hash *sr, const struct tree_hash *proof, size_t n)
{
	int r;

	for (size_t i = 0; i < n; i++) {
		if (sn == 0)
			return ERR_DENIED;
		if ((fn & 1) != 0 || fn == sn) {
			if ((r = tree_node(&proof[i], fr, fr)) != 0 ||
			    (r = tree_node(&proof[i], sr, sr)) != 0)
				return r;
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else if ((r = tree_node(sr, &proof[i], sr)) != 0) {
			return r;
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 ? 0 : ERR_DENIED;
}

int
tree_check_older(uint64_t old, const struct tree_hash *old_root, uint64_t size,
    const struct tree_hash *root, const struct tree_hash *proof, size_t n)
{
	struct tree_hash fr, sr;
	uint64_t fn = old - 1, sn = size - 1;
	int r;

	if (old == 0 || old > size)
		return ERR_DENIED;
	if (old == size)
		return n == 0 && mem_equal(old_root, root, sizeof(*root))
			   ? 0
			   : ERR_DENIED;
	fr = sr = *old_root;
	if ((old & (old - 1)) != 0) {
		if (n == 0)
			return ERR_DENIED;
		fr = sr = proof[0];
		proof++;
		n--;
	}
	while ((fn & 1) != 0) {
		fn >>= 1;
		sn >>= 1;
	}
	if ((r = older_climb(fn, sn, &fr, &sr, proof, n)) != 0)
		return r;
	return mem_equal(&fr, old_root, sizeof(fr)) &&
		       mem_equal(&sr, root, sizeof(sr))
		   ? 0
		   : ERR_DENIED;
}
