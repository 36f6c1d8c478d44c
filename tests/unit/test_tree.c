/*
 * The Merkle tree: the published roots of RFC 6962 logs, every size around the
 * tiles' edges against the definition itself, every proof of small trees, and
 * what a proof does not prove.
 */
#include "config.h"

#include "audit/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"
#include "lib/str.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define SMALL 70
#define LARGE 66000 /* more than a tile of tiles */

static struct tree_hash leaves[LARGE];
static struct tree_hash level1[LARGE / TREE_WIDTH + 1];
static struct tree_hash level2[2];

static int
setup(void **state)
{
	struct tree_hash h;

	(void)state;
	for (uint32_t i = 0; i < LARGE; i++) {
		assert_int_equal(tree_sha256(&i, sizeof(i), &h), 0);
		assert_int_equal(tree_leaf(&h, &leaves[i]), 0);
	}
	return 0;
}

/* RFC 6962 section 2.1, word for word. */
static void
mth(size_t from, size_t to, struct tree_hash *out)
{
	struct tree_hash l, r;
	size_t k = 1;

	if (to == from) {
		assert_int_equal(tree_sha256("", 0, out), 0);
		return;
	}
	if (to - from == 1) {
		*out = leaves[from];
		return;
	}
	while (k * 2 < to - from)
		k *= 2;
	mth(from, from + k, &l);
	mth(from + k, to, &r);
	assert_int_equal(tree_node(&l, &r, out), 0);
}

static int
full(void *arg, unsigned int level, uint64_t index,
    const struct tree_hash tile[TREE_WIDTH])
{
	struct tree_hash *to = level == 0 ? level1 : level2;

	(void)arg;
	assert_true(level < 2);
	assert_int_equal(tree_over(tile, TREE_WIDTH, &to[index]), 0);
	return 0;
}

static int
get(void *arg, unsigned int level, uint64_t index, struct tree_hash *out)
{
	(void)arg;
	*out = (level == 0 ? leaves : level == 1 ? level1 : level2)[index];
	return 0;
}

static void
t_root_published(void **state)
{
	/* the roots that logs are tested with, after each of eight leaves */
	static const struct {
		const char *leaf, *root;
	} cases[] = {
		{ "", "6e340b9cffb37a989ca544e6bb780a2c"
		      "78901d3fb33738768511a30617afa01d" },
		{ "00", "fac54203e7cc696cf0dfcb42c92a1d9d"
			"baf70ad9e621f4bd8d98662f00e3c125" },
		{ "10", "aeb6bcfe274b70a14fb067a5e5578264"
			"db0fa9b51af5e0ba159158f329e06e77" },
		{ "2021", "d37ee418976dd95753c1c73862b9398f"
			  "a2a2cf9b4ff0fdfe8b30cd95209614b7" },
		{ "3031", "4e3bbb1f7b478dcfe71fb631631519a3"
			  "bca12c9aefca1612bfce4c13a86264d4" },
		{ "40414243", "76e67dadbcdf1e10e1b74ddc608abd2f"
			      "98dfb16fbce75277b5232a127f2087ef" },
		{ "5051525354555657", "ddb89be403809e325750d3d263cd7892"
				      "9c2942b7942a34b77e122c9594a74c8c" },
		{ "606162636465666768696a6b6c6d6e6f",
		    "5dc9da79a70659a9ad559cb701ded9a2"
		    "ab9d823aad2f4960cfe370eff4604328" },
	};
	struct tree *t = calloc(1, sizeof(*t));
	uint8_t d[1 + 16] = { 0 };
	struct tree_hash h;
	char hex[65];

	(void)state;
	assert_non_null(t);
	assert_int_equal(tree_root(t, &h), 0);
	hex_encode(&h, sizeof(h), hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb924"
				 "27ae41e4649b934ca495991b7852b855");
	for (size_t i = 0; i < N(cases); i++) {
		size_t n = strlen(cases[i].leaf) / 2;

		assert_int_equal(hex_decode(cases[i].leaf, d + 1, n), 0);
		assert_int_equal(tree_sha256(d, 1 + n, &h), 0);
		assert_int_equal(tree_append(t, &h, full, NULL), 0);
		assert_int_equal(tree_root(t, &h), 0);
		hex_encode(&h, sizeof(h), hex);
		assert_string_equal(hex, cases[i].root);
	}
	free(t);
}

static void
t_root_every_edge(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct tree_hash is, ought;

	(void)state;
	assert_non_null(t);
	for (size_t n = 1; n <= LARGE; n++) {
		assert_int_equal(tree_append(t, &leaves[n - 1], full, NULL), 0);
		if (n > 600 && n % TREE_WIDTH > 1 && n < 65530 && n % 8191 != 0)
			continue;
		if (n > 600 && n % (16 * TREE_WIDTH) > 1 && n < 65530)
			continue;
		assert_int_equal(tree_root(t, &is), 0);
		mth(0, n, &ought);
		assert_memory_equal(&is, &ought, sizeof(is));
	}
	free(t);
}

static void
check_leaf(uint64_t leaf, uint64_t size)
{
	struct tree_hash proof[TREE_PROOF_MAX], root, bad;
	size_t n;

	mth(0, (size_t)size, &root);
	assert_int_equal(tree_prove_leaf(get, NULL, leaf, size, proof, &n), 0);
	assert_int_equal(
	    tree_check_leaf(&leaves[leaf], leaf, size, proof, n, &root), 0);
	/* another leaf, place, size or root; one hash less, more or changed */
	bad = root;
	bad.b[31] ^= 1;
	assert_int_equal(
	    tree_check_leaf(&leaves[leaf], leaf, size, proof, n, &bad),
	    ERR_DENIED);
	bad = leaves[leaf];
	bad.b[0] ^= 1;
	assert_int_equal(
	    tree_check_leaf(&bad, leaf, size, proof, n, &root), ERR_DENIED);
	assert_int_equal(
	    tree_check_leaf(&leaves[leaf], leaf ^ 1, size, proof, n, &root),
	    ERR_DENIED);
	proof[n] = root;
	assert_int_equal(
	    tree_check_leaf(&leaves[leaf], leaf, size, proof, n + 1, &root),
	    ERR_DENIED);
	if (n == 0)
		return;
	assert_int_equal(
	    tree_check_leaf(&leaves[leaf], leaf, size, proof, n - 1, &root),
	    ERR_DENIED);
	proof[n / 2].b[7] ^= 1;
	assert_int_equal(
	    tree_check_leaf(&leaves[leaf], leaf, size, proof, n, &root),
	    ERR_DENIED);
}

static void
check_older(uint64_t old, uint64_t size)
{
	struct tree_hash proof[TREE_PROOF_MAX], root, was, bad;
	size_t n;

	mth(0, (size_t)size, &root);
	mth(0, (size_t)old, &was);
	assert_int_equal(tree_prove_older(get, NULL, old, size, proof, &n), 0);
	assert_int_equal(tree_check_older(old, &was, size, &root, proof, n), 0);
	bad = was;
	bad.b[3] ^= 1;
	assert_int_equal(
	    tree_check_older(old, &bad, size, &root, proof, n), ERR_DENIED);
	bad = root;
	bad.b[3] ^= 1;
	assert_int_equal(
	    tree_check_older(old, &was, size, &bad, proof, n), ERR_DENIED);
	proof[n] = root;
	assert_int_equal(
	    tree_check_older(old, &was, size, &root, proof, n + 1), ERR_DENIED);
	if (n == 0)
		return;
	assert_int_equal(
	    tree_check_older(old, &was, size, &root, proof, n - 1), ERR_DENIED);
	proof[n - 1].b[7] ^= 1;
	assert_int_equal(
	    tree_check_older(old, &was, size, &root, proof, n), ERR_DENIED);
}

/* level1 and level2 are there since t_root_every_edge. */
static void
t_proofs(void **state)
{
	static const uint64_t large[] = { 255, 256, 257, 511, 513, 4097, 65535,
		65536, 65537, 65999 };

	(void)state;
	for (uint64_t size = 1; size <= SMALL; size++) {
		for (uint64_t i = 0; i < size; i++) {
			check_leaf(i, size);
			check_older(i + 1, size);
		}
	}
	for (size_t s = 0; s < N(large); s++) {
		for (size_t i = 0; i <= s; i++) {
			check_leaf(large[i] - 1, large[s]);
			check_older(large[i], large[s]);
		}
		check_leaf(0, large[s]);
	}
}

static void
t_proofs_of_nothing(void **state)
{
	struct tree_hash proof[TREE_PROOF_MAX], h = leaves[0];
	size_t n;

	(void)state;
	assert_int_equal(
	    tree_prove_leaf(get, NULL, 0, 0, proof, &n), ERR_NOTFOUND);
	assert_int_equal(
	    tree_prove_leaf(get, NULL, 5, 5, proof, &n), ERR_NOTFOUND);
	assert_int_equal(
	    tree_prove_older(get, NULL, 0, 5, proof, &n), ERR_NOTFOUND);
	assert_int_equal(
	    tree_prove_older(get, NULL, 6, 5, proof, &n), ERR_NOTFOUND);
	assert_int_equal(tree_check_leaf(&h, 0, 0, proof, 0, &h), ERR_DENIED);
	assert_int_equal(tree_check_older(0, &h, 5, &h, proof, 0), ERR_DENIED);
	assert_int_equal(tree_check_older(6, &h, 5, &h, proof, 0), ERR_DENIED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_root_published),
		cmocka_unit_test(t_root_every_edge),
		cmocka_unit_test(t_proofs),
		cmocka_unit_test(t_proofs_of_nothing),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
