/*
 * pkt-lines, and what they carry.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "ssh/pktline.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define OID "0123456789abcdef0123456789abcdef01234567"

static void
t_pkt_read(void **state)
{
	static const struct {
		const char *text;
		int want;
		enum pkt_kind kind;
		size_t n, size;
	} c[] = {
		{ "0000", 0, PKT_FLUSH, 0, 4 },
		{ "0000rest", 0, PKT_FLUSH, 0, 4 },
		{ "0001", 0, PKT_DELIM, 0, 4 },
		{ "0002", 0, PKT_END, 0, 4 },
		{ "0003", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ "0004", 0, PKT_DATA, 0, 4 },
		{ "0005a", 0, PKT_DATA, 1, 5 },
		{ "000Aabcdef", 0, PKT_DATA, 6, 10 },
		{ "000aabcdefmore", 0, PKT_DATA, 6, 10 },
		{ "", ERR_AGAIN, PKT_DATA, 0, 4 },
		{ "00", ERR_AGAIN, PKT_DATA, 0, 4 },
		{ "0005", ERR_AGAIN, PKT_DATA, 0, 5 },
		{ "000aabcde", ERR_AGAIN, PKT_DATA, 0, 10 },
		{ "fff0", ERR_AGAIN, PKT_DATA, 0, PKT_MAX },
		{ "fff1", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ "ffff", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ "PACK", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ "00g0", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ "-001", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ " 004", ERR_FORMAT, PKT_DATA, 0, 0 },
		{ "0x04", ERR_FORMAT, PKT_DATA, 0, 0 },
	};
	struct pkt k;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		int r = pkt_read(c[i].text, strlen(c[i].text), &k);

		if (r != c[i].want)
			fail_msg("%s: %d", c[i].text, r);
		if (r == ERR_FORMAT)
			continue;
		assert_int_equal(k.size, c[i].size);
		if (r == 0) {
			assert_int_equal(k.kind, c[i].kind);
			assert_int_equal(k.n, c[i].n);
		}
	}
}

static void
t_pkt_put(void **state)
{
	static uint8_t most[PKT_DATA_MAX + 1];
	struct buf b;
	struct pkt k;

	(void)state;
	buf_init(&b, 2 * PKT_MAX);
	assert_int_equal(pkt_putf(&b, "ng %s %s", "refs/x", "no"), 0);
	assert_int_equal(pkt_put_flush(&b), 0);
	assert_string_equal(buf_cstr(&b), "0011ng refs/x no\n0000");
	buf_reset(&b);
	assert_int_equal(pkt_put(&b, most, sizeof(most)), ERR_TOOBIG);
	assert_int_equal(pkt_put(&b, most, sizeof(most) - 1), 0);
	assert_int_equal(pkt_read(buf_ptr(&b), buf_len(&b), &k), 0);
	assert_int_equal(k.n, PKT_DATA_MAX);
	buf_clear(&b);
}

static struct pkt_text
text(const char *s)
{
	return (struct pkt_text){ s, strlen(s) };
}

static void
t_words(void **state)
{
	struct pkt_text t = text("ng refs/x no such\n"), word, caps;
	const struct pkt k = { .data = (const uint8_t *)t.p, .n = t.n };
	char oid[PKT_OID_MAX + 1] = "";

	(void)state;
	t = pkt_text(&k);
	assert_false(pkt_take(&t, "n"));
	assert_false(pkt_take(&t, "ok"));
	assert_true(pkt_take(&t, "ng"));
	assert_true(pkt_take_word(&t, &word));
	assert_true(pkt_text_is(&word, "refs/x"));
	assert_true(pkt_text_is(&t, "no such"));
	t = text(" x");
	assert_false(pkt_take_word(&t, &word));
	t = text("");
	assert_false(pkt_take_word(&t, &word));
	t = (struct pkt_text){ "a\0b c", 5 };
	assert_true(pkt_take_caps(&t, &caps));
	assert_true(pkt_text_is(&t, "a"));
	assert_true(pkt_text_is(&caps, "b c"));
	assert_false(pkt_take_caps(&t, &caps));

	t = text(OID " x");
	assert_true(pkt_take_oid(&t, oid));
	assert_string_equal(oid, OID);
	assert_true(pkt_text_is(&t, "x"));
	t = text(OID "0123456789abcdef01234567");
	assert_true(pkt_take_oid(&t, oid));
	assert_int_equal(strlen(oid), 64);
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = { "x", OID "0",
			"0123456789ABCDEF0123456789abcdef01234567",
			"0123456789abcdef0123456789abcdef0123456g" };

		t = text(bad[i]);
		assert_false(pkt_take_oid(&t, oid));
	}
	assert_true(pkt_oid_is_zero("0000"));
	assert_false(pkt_oid_is_zero("0010"));
}

/* As git-check-ref-format(1) says; what begins elsewhere is no ref here. */
static void
t_pkt_ref(void **state)
{
	static const char *const good[] = { "refs/heads/main", "refs/x",
		"refs/tags/v1.0", "refs/heads/a-b_c", "refs/heads/\xc3\xa4",
		"refs/heads/-x", "refs/heads/a@b", "refs/heads/{a}" };
	static const char *const bad[] = { "", "HEAD", "refs", "refs/", "main",
		"Refs/heads/x", "refs//x", "refs/heads/", "refs/heads//x",
		"refs/heads/.x", "refs/heads/x.", "refs/heads/x.lock",
		"refs/x.lock/y", "refs/heads/a..b", "refs/../x",
		"refs/heads/a b", "refs/heads/a~1", "refs/heads/a^",
		"refs/heads/a:b", "refs/heads/a?", "refs/heads/a*",
		"refs/heads/[a", "refs/heads/a\\b", "refs/heads/a@{1}",
		"refs/heads/a\x01", "refs/heads/a\x7f", "refs/heads/\xff",
		"refs/heads/\xe2\x80\xae", "refs/heads/a\n" };
	char ref[PKT_REF_MAX + 1], longest[PKT_REF_MAX + 2];
	struct pkt_text t;

	(void)state;
	for (size_t i = 0; i < N(good); i++) {
		t = text(good[i]);
		if (!pkt_ref(&t, ref))
			fail_msg("%s", good[i]);
		assert_string_equal(ref, good[i]);
	}
	for (size_t i = 0; i < N(bad); i++) {
		t = text(bad[i]);
		if (pkt_ref(&t, ref))
			fail_msg("%s", bad[i]);
	}
	t = (struct pkt_text){ "refs/a\0b", 8 };
	assert_false(pkt_ref(&t, ref));
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "refs/", 5);
	t = (struct pkt_text){ longest, PKT_REF_MAX };
	assert_true(pkt_ref(&t, ref));
	t.n++;
	assert_false(pkt_ref(&t, ref));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_pkt_read),
		cmocka_unit_test(t_pkt_put),
		cmocka_unit_test(t_words),
		cmocka_unit_test(t_pkt_ref),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
