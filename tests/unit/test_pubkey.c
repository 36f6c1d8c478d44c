/*
 * Public keys of strangers: each kind that gets a certificate is read, and what
 * is anything else is refused in words that repeat nothing of it.
 */
#include "config.h"

#include "ssh/pubkey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

#define ED25519                                                                \
	"ssh-ed25519 "                                                         \
	"AAAAC3NzaC1lZDI1NTE5AAAAIAfSLHKHTCWJqnEu4sHh9MnwxVMn+AYnHml6"         \
	"192izmqe"
#define P256                                                                   \
	"ecdsa-sha2-nistp256 "                                                 \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIr6sg6t"         \
	"C23kRtZTldx7mxopGu//Sa/IC2/sPEgEGrhA8k3BS3KhoPh7LRMqE2Th8dbH"         \
	"7pjfiG9/J5oSApvnO9U="
#define P384                                                                   \
	"ecdsa-sha2-nistp384 "                                                 \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBHSpSbfT"         \
	"8EbKPIuqEBeaM+s1fYpsKae4b/3mriYhUxzflyU0ADl9TTjxvNMnYXewI1cz"         \
	"HwMbaK69pjeuC3CYfxgt+6yHO0k48SOf0cpS8QGne5NC6R1uyKqelPSeNPSG"         \
	"ug=="
#define P521                                                                   \
	"ecdsa-sha2-nistp521 "                                                 \
	"AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAAf8N+N"         \
	"IyokW5KDtGXFP7Go9K4C0CaV6Y7UG//T69OCFIsxfvLS8bw4bDQb92+r2bP3"         \
	"UGaT39NuoMtAumfPee0S8QFdBYwlXS+j7rz2lXmQf8zDwp6atq4QCJ+fBl6O"         \
	"8PkUgfU5Z6s3ra4PCuxDxpDokWYx+2zXwOM+2bHGoYd/KbMkhQ=="
#define RSA2048                                                                \
	"ssh-rsa "                                                             \
	"AAAAB3NzaC1yc2EAAAADAQABAAABAQDaiTLAzQeomA/jmhElUZS1w7osTU4o"         \
	"tIwZEJqZO3vkpzinX+WfJgExWK/2ZaZmKKdbMD6EDnDRSYroltz1sv3/aD09"         \
	"B/zVYCo12+lmlmMGXROZhJ8G6xd1RqSiF6quhJk6jdqJWFTJU+hFb6513bup"         \
	"T2LQ2OysEwjuY4SS+fvN9it7wGr+/kiSEYFAiHFC6GzFj26ZTg0qrctPVmxv"         \
	"MCnAkiYZ7zWI6ps2Ul1KcUABh+NRFC6fZlPVJ7DQ65lsp0bJzcRjyw4BE/s5"         \
	"iUxQQ9baWy5FFxHdvss47Ne2i+8Tk3Qf+VfcVn4UoFXmG/BiCYe0MWN6t63z"         \
	"1PuJ0Ic5V5lX"
#define RSA1024                                                                \
	"ssh-rsa "                                                             \
	"AAAAB3NzaC1yc2EAAAADAQABAAAAgQDTJJ2DyXPG11Ee4k/G97IhERGkwbU7"         \
	"dMhiU+FbysFa0kub8J4rpk90P9kuvC0WO0vdFl4ZhvOsCqEXK8iSJ1lYGzQN"         \
	"jP+nfzWSWSHuOa+P+P1lGXnwwFw1grYWRotACuDjplgiXYZZS6yv9bY/cilG"         \
	"F5Ke32rJ60kx0nSp/l/oQw=="

static int
reads(const char *text, size_t n, struct buf *blob, const char **why)
{
	buf_init(blob, PROTO_JOB_KEY_MAX);
	return pubkey_read(text, n, blob, why);
}

static void
t_pubkey_read_kinds(void **state)
{
	static const struct {
		const char *text, *name;
	} good[] = {
		{ ED25519, "ssh-ed25519" },
		{ ED25519 "\n", "ssh-ed25519" },
		{ ED25519 " runner@job with words\n", "ssh-ed25519" },
		{ "\n  " ED25519 " c\r\n\n", "ssh-ed25519" },
		{ P256, "ecdsa-sha2-nistp256" },
		{ P384, "ecdsa-sha2-nistp384" },
		{ P521, "ecdsa-sha2-nistp521" },
		{ RSA2048 " c", "ssh-rsa" },
	};
	const struct pubkey_kind *k = NULL;
	const char *why = "";
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(good); i++) {
		assert_int_equal(
		    reads(good[i].text, strlen(good[i].text), &b, &why), 0);
		assert_int_equal(pubkey_check(buf_ptr(&b), buf_len(&b), &k), 0);
		assert_string_equal(k->name, good[i].name);
		assert_ptr_equal(
		    pubkey_cert_kind_find(k->cert_name, strlen(k->cert_name)),
		    k);
		buf_clear(&b);
	}
}

static void
t_pubkey_read_else(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "nothing on standard input" },
		{ " \n\n", "nothing on standard input" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n",
		    "private key" },
		{ "-----BEGIN RSA PRIVATE KEY-----\nSECRET\n", "private key" },
		{ ED25519 "\n" ED25519 "\n", "more than one line" },
		{ "# comment\n" ED25519 "\n", "more than one line" },
		{ "ssh-ed25519-cert-v01@openssh.com AAAA c", "certificate" },
		{ "sk-ssh-ed25519@openssh.com AAAA c", "security tokens" },
		{ "ssh-dss AAAA", "DSA" },
		{ "SECRET", "not a public key" },
		{ "restrict " ED25519, "not a public key" },
		{ "SSH-ED25519 AAAA", "not a public key" },
		{ "ssh-ed25519", "damaged" },
		{ "ssh-ed25519 SECRET", "damaged" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "damaged" },
		{ RSA1024, "2048" },
	};
	const char *why = "";
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		assert_int_not_equal(
		    reads(bad[i].text, strlen(bad[i].text), &b, &why), 0);
		assert_int_equal(buf_len(&b), 0);
		if (strstr(why, bad[i].says) == NULL ||
		    strstr(why, "SECRET") != NULL)
			fail_msg("%zu: %s", i, why);
		buf_clear(&b);
	}
	assert_int_equal(reads("ssh-ed25519 A\0B", 15, &b, &why), ERR_FORMAT);
	buf_clear(&b);
}

/* Another kind's blob behind a kind's name. */
static void
t_pubkey_read_two_minds(void **state)
{
	static const char p256[] = P256;
	const char *why = "";
	struct buf b, text;

	(void)state;
	buf_init(&text, 4096);
	assert_int_equal(
	    buf_putf(&text, "ssh-ed25519 %s", strchr(p256, ' ') + 1), 0);
	assert_int_not_equal(
	    reads((const char *)buf_ptr(&text), buf_len(&text), &b, &why), 0);
	buf_clear(&text);
	buf_clear(&b);
}

/* A blob of RSA with those two numbers. */
static int
rsa(const char *e, size_t ne, size_t bits, uint8_t last)
{
	const struct pubkey_kind *k;
	uint8_t n[2048] = { 0 };
	size_t bytes = (bits + 7) / 8, lead = bits % 8 == 0;
	struct buf b;
	int r;

	n[lead] = (uint8_t)(1U << ((bits + 7) % 8));
	n[lead + bytes - 1] |= last;
	buf_init(&b, 4096);
	assert_int_equal(buf_put_cstr(&b, "ssh-rsa"), 0);
	assert_int_equal(buf_put_str(&b, e, ne), 0);
	assert_int_equal(buf_put_str(&b, n, lead + bytes), 0);
	r = pubkey_check(buf_ptr(&b), buf_len(&b), &k);
	buf_clear(&b);
	return r;
}

static void
t_pubkey_check_rsa(void **state)
{
	(void)state;
	assert_int_equal(rsa("\1\0\1", 3, 2048, 1), 0);
	assert_int_equal(rsa("\1\0\1", 3, 2049, 1), 0);
	assert_int_equal(rsa("\3", 1, PUBKEY_RSA_MAX, 1), 0);
	assert_int_equal(rsa("\1\0\1", 3, 2047, 1), ERR_DENIED);
	assert_int_equal(rsa("\1\0\1", 3, PUBKEY_RSA_MAX + 1, 1), ERR_DENIED);
	assert_int_equal(rsa("\1\0\1", 3, 2048, 0), ERR_FORMAT); /* even */
	assert_int_equal(rsa("\1", 1, 2048, 1), ERR_DENIED);
	assert_int_equal(rsa("\2", 1, 2048, 1), ERR_FORMAT);
	assert_int_equal(rsa("", 0, 2048, 1), ERR_FORMAT);
	assert_int_equal(rsa("\0\3", 2, 2048, 1), ERR_FORMAT);
	assert_int_equal(rsa("\xff\1", 2, 2048, 1), ERR_FORMAT); /* negative */
	assert_int_equal(rsa("\1\0\0\0\0\0\0\0\1", 9, 2048, 1), ERR_DENIED);
}

/* Cut anywhere, or longer by a byte, a blob is no key. */
static void
t_pubkey_check_whole(void **state)
{
	static const char *const all[] = { ED25519, P256, RSA2048 };
	const struct pubkey_kind *k;
	const char *why = "";
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(all); i++) {
		assert_int_equal(reads(all[i], strlen(all[i]), &b, &why), 0);
		for (size_t n = 0; n < buf_len(&b); n++)
			assert_int_not_equal(
			    pubkey_check(buf_ptr(&b), n, &k), 0);
		assert_int_equal(buf_put_u8(&b, 0), 0);
		assert_int_not_equal(
		    pubkey_check(buf_ptr(&b), buf_len(&b), &k), 0);
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_pubkey_read_kinds),
		cmocka_unit_test(t_pubkey_read_else),
		cmocka_unit_test(t_pubkey_read_two_minds),
		cmocka_unit_test(t_pubkey_check_rsa),
		cmocka_unit_test(t_pubkey_check_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
