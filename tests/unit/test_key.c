/*
 * The key of one operation: its text is a key file that OpenSSL's own idea of
 * the pair agrees with, and it is gone after key_clear.
 */
#include "config.h"

#include "ssh/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <cmocka.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"

static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
static const char end[] = "-----END OPENSSH PRIVATE KEY-----\n";

/* The file's bytes, its armour and line ends taken off. */
static void
unarmour(const struct key *k, struct buf *bin)
{
	const char *p = (const char *)k->text.d, *stop;
	struct buf b64;

	assert_memory_equal(p, begin, sizeof(begin) - 1);
	p += sizeof(begin) - 1;
	stop = strstr(p, end);
	assert_non_null(stop);
	assert_string_equal(stop, end);
	buf_init(&b64, 4096);
	while (p < stop) {
		size_t n = strcspn(p, "\n");

		assert_true(n > 0 && n <= 70);
		assert_int_equal(buf_put(&b64, p, n), 0);
		p += n + 1;
	}
	assert_int_equal(b64_decode(B64_STD, buf_ptr(&b64), buf_len(&b64),
	    bin), 0);
	buf_clear(&b64);
}

static void
get_literal(struct buf *b, const char *s)
{
	char text[64];

	assert_int_equal(buf_get_fixed(b, text, sizeof(text)), 0);
	assert_string_equal(text, s);
}

static void
get_bytes(struct buf *b, size_t n, const uint8_t **pp)
{
	size_t len;

	assert_int_equal(buf_get_view(b, n, pp, &len), 0);
	assert_int_equal(len, n);
}

static void
check_pair(const struct key *k, const uint8_t *both)
{
	uint8_t pub[CERT_KEY_LEN];
	size_t n = sizeof(pub);
	EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
	    both, CERT_KEY_LEN);

	assert_non_null(pair);
	assert_int_equal(EVP_PKEY_get_raw_public_key(pair, pub, &n), 1);
	assert_memory_equal(pub, k->pub, CERT_KEY_LEN);
	assert_memory_equal(both + CERT_KEY_LEN, k->pub, CERT_KEY_LEN);
	EVP_PKEY_free(pair);
}

static void
check_private(const struct key *k, struct buf *b)
{
	uint32_t one, two;
	const uint8_t *p;
	uint8_t pad;

	assert_int_equal(buf_len(b) % 8, 0);
	assert_int_equal(buf_get_u32(b, &one), 0);
	assert_int_equal(buf_get_u32(b, &two), 0);
	assert_int_equal(one, two);
	get_literal(b, "ssh-ed25519");
	get_bytes(b, CERT_KEY_LEN, &p);
	assert_memory_equal(p, k->pub, CERT_KEY_LEN);
	get_bytes(b, 2 * CERT_KEY_LEN, &p);
	check_pair(k, p);
	get_literal(b, "");
	for (uint8_t i = 1; buf_len(b) > 0; i++) {
		assert_int_equal(buf_get_u8(b, &pad), 0);
		assert_int_equal(pad, i);
	}
}

static void
t_key_generate_file(void **state)
{
	struct buf bin, in;
	const uint8_t *p;
	struct key k;
	uint32_t n;
	size_t len;

	(void)state;
	assert_int_equal(key_generate(&k), 0);
	buf_init(&bin, 4096);
	unarmour(&k, &bin);
	assert_memory_equal(buf_ptr(&bin), "openssh-key-v1", 15);
	assert_int_equal(buf_skip(&bin, 15), 0);
	get_literal(&bin, "none");
	get_literal(&bin, "none");
	get_literal(&bin, "");
	assert_int_equal(buf_get_u32(&bin, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(buf_get_view(&bin, 100, &p, &len), 0);
	assert_int_equal(len, 51);
	assert_memory_equal(p + 19, k.pub, CERT_KEY_LEN);
	assert_int_equal(buf_get_view(&bin, 1000, &p, &len), 0);
	assert_int_equal(buf_end(&bin), 0);
	buf_view(&in, p, len);
	check_private(&k, &in);
	buf_clear(&bin);
	key_clear(&k);
	assert_null(k.text.d);
	key_clear(&k); /* twice is fine */
}

static void
t_key_generate_differs(void **state)
{
	struct key a, b;

	(void)state;
	assert_int_equal(key_generate(&a), 0);
	assert_int_equal(key_generate(&b), 0);
	assert_memory_not_equal(a.pub, b.pub, CERT_KEY_LEN);
	key_clear(&a);
	key_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_key_generate_file),
		cmocka_unit_test(t_key_generate_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
