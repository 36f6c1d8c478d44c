/*
 * Certificates: what is signed reads back the same, what breaks a rule is not
 * signed, and no changed byte is accepted.  ssh-keygen and sshd have their say
 * in tests/ssh.
 */
#include "config.h"

#include "ssh/cert.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <cmocka.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/secret.h"
#include "ssh/cert_internal.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static struct cert_ca *ca;

static const struct cert_spec plain = {
	.key = { 1, 2, 3 },
	.serial = 0xfedcba9876543210ULL,
	.key_id = "op=01H x commit=1f0c",
	.principal = { "deploy+web-1" },
	.nprincipal = 1,
	.valid_after = 1700000000,
	.valid_before = 1700000060,
	.force_command = "'systemctl' 'restart' 'shop'",
	.source_address = "192.0.2.1/32,2001:db8::/32",
};

static int
setup(void **state)
{
	struct secret pem = { 0 };
	int r;

	(void)state;
	if ((r = cert_ca_generate(&pem)) == 0)
		r = cert_ca_from_pem(pem.d, pem.len, &ca);
	secret_clear(&pem);
	return r;
}

static int
teardown(void **state)
{
	(void)state;
	cert_ca_free(ca);
	return 0;
}

static void
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_true(a == b);
	else
		assert_string_equal(a, b);
}

static void
round_trip(const struct cert_spec *s)
{
	struct cert *c = NULL;
	struct buf b;

	buf_init(&b, CERT_BLOB_MAX);
	assert_int_equal(cert_sign(ca, s, &b), 0);
	assert_int_equal(cert_parse(buf_ptr(&b), buf_len(&b), &c), 0);
	assert_memory_equal(c->spec.key, s->key, CERT_KEY_LEN);
	assert_true(c->spec.serial == s->serial);
	assert_string_equal(c->spec.key_id, s->key_id);
	assert_int_equal(c->spec.nprincipal, s->nprincipal);
	for (size_t i = 0; i < s->nprincipal; i++)
		assert_string_equal(c->spec.principal[i], s->principal[i]);
	assert_true(c->spec.valid_after == s->valid_after);
	assert_true(c->spec.valid_before == s->valid_before);
	same_text(c->spec.force_command, s->force_command);
	same_text(c->spec.source_address, s->source_address);
	assert_true(c->spec.permit_pty == s->permit_pty);
	cert_free(c);
	buf_clear(&b);
}

static void
t_cert_sign_round_trip(void **state)
{
	struct cert_spec s = plain;
	char longest[CERT_KEY_ID_MAX + 1];

	(void)state;
	round_trip(&s);
	s.permit_pty = true;
	round_trip(&s);
	s.force_command = NULL;
	round_trip(&s);
	s.source_address = NULL;
	round_trip(&s);
	for (size_t i = 0; i < CERT_PRINCIPALS_MAX; i++)
		s.principal[i] = "a";
	s.nprincipal = CERT_PRINCIPALS_MAX;
	memset(longest, 'x', CERT_KEY_ID_MAX);
	longest[CERT_KEY_ID_MAX] = '\0';
	s.key_id = longest;
	s.serial = 0;
	round_trip(&s);
}

/* Keys of every kind: in the certificate are the fields of their blobs. */
static void
t_cert_sign_any_key(void **state)
{
	static const struct {
		const char *kind, *curve;
		size_t n;
	} keys[] = {
		{ "ssh-ed25519", NULL, 32 },
		{ "ecdsa-sha2-nistp256", "nistp256", 65 },
		{ "ecdsa-sha2-nistp384", "nistp384", 97 },
		{ "ecdsa-sha2-nistp521", "nistp521", 133 },
	};
	uint8_t raw[133] = { 4, 7 };
	struct cert_spec s = plain;
	struct cert *c = NULL;
	struct buf k, b;

	(void)state;
	for (size_t i = 0; i < N(keys); i++) {
		buf_init(&k, 512);
		buf_init(&b, CERT_BLOB_MAX);
		assert_int_equal(buf_put_cstr(&k, keys[i].kind), 0);
		if (keys[i].curve != NULL)
			assert_int_equal(buf_put_cstr(&k, keys[i].curve), 0);
		assert_int_equal(buf_put_str(&k, raw, keys[i].n), 0);
		s.pub = buf_ptr(&k);
		s.npub = buf_len(&k);
		assert_int_equal(cert_sign(ca, &s, &b), 0);
		assert_memory_equal(cert_type_name(buf_ptr(&b), buf_len(&b)),
		    keys[i].kind, strlen(keys[i].kind));
		assert_int_equal(cert_parse(buf_ptr(&b), buf_len(&b), &c), 0);
		assert_int_equal(c->spec.npub, s.npub);
		assert_memory_equal(c->spec.pub, s.pub, s.npub);
		cert_free(c);
		s.npub--; /* and half a key gets none */
		buf_reset(&b);
		assert_int_not_equal(cert_sign(ca, &s, &b), 0);
		assert_int_equal(buf_len(&b), 0);
		buf_clear(&b);
		buf_clear(&k);
	}
}

static void
refused(const struct cert_spec *s)
{
	struct buf b;

	buf_init(&b, CERT_BLOB_MAX);
	assert_int_equal(cert_sign(ca, s, &b), ERR_FORMAT);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
}

/* What sshd says of a login, with the longest of everything, has to be whole in
 * the 500 bytes of it that it gives to syslog. */
static void
t_cert_key_id_in_syslog(void **state)
{
	char key_id[CERT_KEY_ID_MAX + 1], line[1024];

	(void)state;
	memset(key_id, 'x', CERT_KEY_ID_MAX);
	key_id[CERT_KEY_ID_MAX] = '\0';
	assert_in_range(
	    snprintf(line, sizeof(line),
		"Accepted publickey for %031d from %s port 65535 ssh2: "
		"ED25519-CERT SHA256:%043d ID %s (serial %" PRIu64
		") CA ED25519-SK SHA256:%043d",
		0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0, key_id,
		UINT64_MAX, 0),
	    400, 499);
}

static void
t_cert_sign_key_id_rules(void **state)
{
	static const char *const bad[] = {
		"", " a", "a ", "a\nb", "a\tb", "\x7f", "\xc3\xa9", "\x1b[m",
	};
	char longer[CERT_KEY_ID_MAX + 2];
	struct cert_spec s = plain;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		s.key_id = bad[i];
		refused(&s);
	}
	memset(longer, 'x', CERT_KEY_ID_MAX + 1);
	longer[CERT_KEY_ID_MAX + 1] = '\0';
	s.key_id = longer;
	refused(&s);
	s.key_id = NULL;
	refused(&s);
}

static void
t_cert_sign_principal_rules(void **state)
{
	static const char *const bad[] = {
		"", "a,b", "a b", "*", "ro?t", "!root", "-a", "a\n", "a\"",
		"\xc3\xa9", "a=b",
	};
	struct cert_spec s = plain;
	char longer[CERT_PRINCIPAL_MAX + 2];

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		s.principal[0] = bad[i];
		refused(&s);
	}
	memset(longer, 'x', CERT_PRINCIPAL_MAX + 1);
	longer[CERT_PRINCIPAL_MAX + 1] = '\0';
	s.principal[0] = longer;
	refused(&s);
	s = plain;
	s.nprincipal = 0; /* would be good for every account */
	refused(&s);
	s.nprincipal = CERT_PRINCIPALS_MAX + 1;
	refused(&s);
	s.nprincipal = 2; /* second one missing */
	refused(&s);
}

static void
t_cert_sign_source_rules(void **state)
{
	static const char *const bad[] = {
		"", ",", "192.0.2.1,", "192.0.2.1/33", "192.0.2.1/24",
		"192.0.2.1/", "192.0.2.1/032", "host", "192.0.2", "::1/129",
		"::1/64", "192.0.2.1 ", " 192.0.2.1", "192.0.2.1/-1",
		"192.0.2.1,,::1", "*", "!192.0.2.1", "fe80::1%eth0",
		"192.0.2.1/32/32",
	};
	static const char *const good[] = {
		"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "::1", "::1/128",
		"2001:db8::/32", "192.0.2.1/32,::1", "10.128.0.0/9",
	};
	struct cert_spec s = plain;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		s.source_address = bad[i];
		refused(&s);
	}
	for (size_t i = 0; i < N(good); i++) {
		s.source_address = good[i];
		round_trip(&s);
	}
}

static void
t_cert_sign_other_rules(void **state)
{
	static const char *const bad[] = { "", "a\nb", "a\r", "\xff" };
	struct cert_spec s = plain;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		s.force_command = bad[i];
		refused(&s);
	}
	s = plain;
	s.valid_before = s.valid_after;
	refused(&s);
	s.valid_before = UINT64_MAX;
	refused(&s);
}

/* No byte may be changed, none left away, none added. */
static void
t_cert_parse_changed(void **state)
{
	struct cert_spec s = plain;
	struct cert *c = NULL;
	uint8_t *d;
	size_t n;
	struct buf b;

	(void)state;
	s.permit_pty = true;
	buf_init(&b, CERT_BLOB_MAX);
	assert_int_equal(cert_sign(ca, &s, &b), 0);
	n = buf_len(&b);
	d = malloc(n + 1);
	assert_non_null(d);
	for (size_t i = 0; i < n; i++) {
		memcpy(d, buf_ptr(&b), n);
		d[i] ^= 1;
		assert_int_not_equal(cert_parse(d, n, &c), 0);
		d[i] ^= 0x81;
		assert_int_not_equal(cert_parse(d, n, &c), 0);
		memcpy(d, buf_ptr(&b), n);
		assert_int_not_equal(cert_parse(d, i, &c), 0);
	}
	memcpy(d, buf_ptr(&b), n);
	d[n] = 0;
	assert_int_not_equal(cert_parse(d, n + 1, &c), 0);
	assert_int_equal(cert_parse(d, n, &c), 0);
	cert_free(c);
	free(d);
	buf_clear(&b);
}

/* A blob with the options given as they are, validly signed. */
static int
parse_options(const void *critical, size_t ncritical, const void *ext,
    size_t next, uint32_t kind)
{
	uint8_t zero[CERT_NONCE_LEN] = { 0 }, sig[64];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t nsig = sizeof(sig);
	struct cert *c = NULL;
	struct buf b, k;
	int r;

	buf_init(&b, 4096);
	buf_init(&k, 128);
	assert_int_equal(buf_put(&k, ca->pub, ca->npub), 0);
	assert_int_equal(
	    buf_put_cstr(&b, "ssh-ed25519-cert-v01@openssh.com"), 0);
	assert_int_equal(buf_put_str(&b, zero, CERT_NONCE_LEN), 0);
	assert_int_equal(buf_put_str(&b, zero, CERT_KEY_LEN), 0);
	assert_int_equal(buf_put_u64(&b, 1), 0);
	assert_int_equal(buf_put_u32(&b, kind), 0);
	assert_int_equal(buf_put_cstr(&b, "id"), 0);
	assert_int_equal(buf_put_str(&b, "\0\0\0\1a", 5), 0);
	assert_int_equal(buf_put_u64(&b, 1), 0);
	assert_int_equal(buf_put_u64(&b, 2), 0);
	assert_int_equal(buf_put_str(&b, critical, ncritical), 0);
	assert_int_equal(buf_put_str(&b, ext, next), 0);
	assert_int_equal(buf_put_u32(&b, 0), 0);
	assert_int_equal(buf_put_str(&b, buf_ptr(&k), buf_len(&k)), 0);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, ca->key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &nsig, buf_ptr(&b),
	    buf_len(&b)), 1);
	buf_reset(&k);
	assert_int_equal(buf_put_cstr(&k, CERT_KEY_TYPE), 0);
	assert_int_equal(buf_put_str(&k, sig, nsig), 0);
	assert_int_equal(buf_put_str(&b, buf_ptr(&k), buf_len(&k)), 0);
	r = cert_parse(buf_ptr(&b), buf_len(&b), &c);
	cert_free(c);
	EVP_MD_CTX_free(ctx);
	buf_clear(&k);
	buf_clear(&b);
	return r;
}

#define FORCE "\0\0\0\15force-command\0\0\0\5\0\0\0\1x"
#define SOURCE "\0\0\0\16source-address\0\0\0\7\0\0\0\3::1"
#define OTHER "\0\0\0\17verify-required\0\0\0\0"
#define PTY "\0\0\0\12permit-pty\0\0\0\0"
#define PORT "\0\0\0\26permit-port-forwarding\0\0\0\0"
#define S(x) (x), sizeof(x) - 1

static void
t_cert_parse_options(void **state)
{
	(void)state;
	assert_int_equal(parse_options(S(""), S(""), 1), 0);
	assert_int_equal(parse_options(S(FORCE), S(PTY), 1), 0);
	assert_int_equal(parse_options(S(FORCE SOURCE), S(PTY), 1), 0);
	assert_int_equal(parse_options(S(SOURCE), S(""), 1), 0);
	/* order, repeats, strangers, and host certificates */
	assert_int_equal(parse_options(S(SOURCE FORCE), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(FORCE FORCE), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(SOURCE SOURCE), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(FORCE OTHER), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(OTHER), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(FORCE "\0"), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(""), S(PORT), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(""), S(PTY PTY), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(""), S(PTY PORT), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(PTY), S(""), 1), ERR_FORMAT);
	assert_int_equal(parse_options(S(""), S(""), 2), ERR_FORMAT);
	assert_int_equal(parse_options(S(""), S(""), 0), ERR_FORMAT);
}

static void
t_cert_ca_from_pem_refuses(void **state)
{
	static const char rsa[] = "-----BEGIN RSA PRIVATE KEY-----\n";
	static const char junk[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n"
	    "-----END PRIVATE KEY-----\n";
	/* a P-256 key, openssl genpkey */
	static const char p256[] = "-----BEGIN PRIVATE KEY-----\n"
	    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgC6IHB1BG2aAOtYTJ\n"
	    "ooR0IU85fgvkUzASOleJV5fN2ZqhRANCAAS3Y020KMWzfh+X7FPMg9e12J9QgrhY\n"
	    "k0B8lC3d3JI+dK1omENlBm6Wm4ZqVqwpeqTwlVH2uWbwP2BcqBxJQsNW\n"
	    "-----END PRIVATE KEY-----\n";
	struct cert_ca *k = NULL;

	(void)state;
	assert_int_equal(cert_ca_from_pem("", 0, &k), ERR_FORMAT);
	assert_int_equal(cert_ca_from_pem(S(rsa), &k), ERR_FORMAT);
	assert_int_equal(cert_ca_from_pem(S(junk), &k), ERR_FORMAT);
	assert_int_equal(cert_ca_from_pem(S(p256), &k), ERR_FORMAT);
	assert_null(k);
}

static void
t_cert_ca_public_line(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 300);
	assert_int_equal(cert_ca_public_line(ca, "postern", &b), 0);
	assert_memory_equal(buf_ptr(&b), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", 32);
	assert_int_equal(buf_len(&b), 12 + 68 + 8);
	buf_reset(&b);
	assert_int_equal(cert_ca_public_line(ca, "a\nb", &b), ERR_FORMAT);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
}

/* ssh-keygen -l of the same key says the same. */
static void
t_cert_fingerprint_known(void **state)
{
	static const char key[] =
	    "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhsc"
	    "HR4f";
	char text[64], small[10];
	uint8_t raw[CERT_KEY_LEN];
	struct buf b, mine;

	(void)state;
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)i;
	buf_init(&b, 100);
	buf_init(&mine, 100);
	assert_int_equal(b64_decode(B64_STD, S(key), &b), 0);
	assert_int_equal(cert_ed25519_blob(raw, &mine), 0);
	assert_int_equal(buf_len(&b), buf_len(&mine));
	assert_memory_equal(buf_ptr(&b), buf_ptr(&mine), buf_len(&b));
	assert_int_equal(cert_fingerprint(buf_ptr(&b), buf_len(&b), text,
	    sizeof(text)), 0);
	assert_string_equal(text,
	    "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA");
	assert_int_equal(cert_fingerprint(buf_ptr(&b), buf_len(&b), small,
	    sizeof(small)), ERR_TOOBIG);
	buf_clear(&b);
	buf_clear(&mine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_cert_sign_round_trip),
		cmocka_unit_test(t_cert_sign_any_key),
		cmocka_unit_test(t_cert_key_id_in_syslog),
		cmocka_unit_test(t_cert_sign_key_id_rules),
		cmocka_unit_test(t_cert_sign_principal_rules),
		cmocka_unit_test(t_cert_sign_source_rules),
		cmocka_unit_test(t_cert_sign_other_rules),
		cmocka_unit_test(t_cert_parse_changed),
		cmocka_unit_test(t_cert_parse_options),
		cmocka_unit_test(t_cert_ca_from_pem_refuses),
		cmocka_unit_test(t_cert_ca_public_line),
		cmocka_unit_test(t_cert_fingerprint_known),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
