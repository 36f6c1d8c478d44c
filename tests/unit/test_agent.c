/*
 * The ssh-agent protocol: what is asked, byte for byte, and of what is answered
 * only one whole signature is taken.  Agents that are processes are in
 * tests/broker/test_signer_agent.py.
 */
#include "config.h"

#include "ssh/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define S(s) (s), sizeof(s) - 1

#define ED25519                                                                \
	"\0\0\0\x0bssh-ed25519\0\0\0\x20kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

static void
t_agent_put_sign_bytes(void **state)
{
	static const char want[] = "\0\0\0\x43"
				   "\x0d"
				   "\0\0\0\x33" ED25519 "\0\0\0\3abc"
				   "\0\0\0\0";
	struct buf b;

	(void)state;
	buf_init(&b, AGENT_QUESTION_MAX + 4);
	assert_int_equal(agent_put_sign(&b, S(ED25519), S("abc")), 0);
	assert_int_equal(buf_len(&b), sizeof(want) - 1);
	assert_memory_equal(buf_ptr(&b), want, sizeof(want) - 1);
	buf_reset(&b);
	assert_int_not_equal(agent_put_sign(&b, S("key"), S("abc")), 0);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
}

static void
t_agent_put_sign_largest(void **state)
{
	static uint8_t data[CERT_BLOB_MAX];
	struct buf b;

	(void)state;
	buf_init(&b, AGENT_QUESTION_MAX + 4);
	assert_int_equal(agent_put_sign(&b, S(ED25519), data, sizeof(data)), 0);
	buf_clear(&b);
}

static void
t_agent_get_signature_cases(void **state)
{
	static const struct {
		const char *p;
		size_t n;
		int r;
	} cases[] = {
		{ S("\0\0\0\x08\x0e\0\0\0\3sig"), 0 },
		{ S("\0\0\0\1\5"), ERR_DENIED },
		{ S(""), ERR_AGAIN },
		{ S("\0\0\0"), ERR_AGAIN },
		{ S("\0\0\0\x08"), ERR_AGAIN },
		{ S("\0\0\0\x08\x0e\0\0\0\3si"), ERR_AGAIN },
		{ S("\0\0\0\0"), ERR_TOOBIG },
		{ S("\0\0\5\0\x0e"), ERR_TOOBIG },
		{ S("\xff\xff\xff\xff"), ERR_TOOBIG },
		{ S("\0\0\0\x08\x0e\0\0\0\3sigx"), ERR_FORMAT },
		{ S("\0\0\0\x09\x0e\0\0\0\3sigx"), ERR_FORMAT },
		{ S("\0\0\0\x08\x0e\0\0\0\4sig"), ERR_FORMAT },
		{ S("\0\0\0\2\5x"), ERR_FORMAT },
		{ S("\0\0\0\1\6"), ERR_FORMAT },
		{ S("\0\0\0\1\x0e"), ERR_FORMAT },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf in, sig;
		int r;

		buf_view(&in, cases[i].p, cases[i].n);
		buf_init(&sig, SIG_BLOB_MAX);
		r = agent_get_signature(&in, &sig);
		if (r != cases[i].r)
			fail_msg("case %zu: %d", i, r);
		assert_int_equal(buf_len(&sig), r == 0 ? 3 : 0);
		assert_int_equal(buf_len(&in), r == 0 ? 0 : cases[i].n);
		buf_clear(&sig);
	}
}

/* The bound, and one past it. */
static void
t_agent_get_signature_bound(void **state)
{
	struct buf in, sig;
	uint8_t *p;

	(void)state;
	for (uint32_t n = SIG_BLOB_MAX; n <= SIG_BLOB_MAX + 1; n++) {
		buf_init(&in, 2 * AGENT_ANSWER_MAX);
		buf_init(&sig, SIG_BLOB_MAX);
		assert_int_equal(buf_put_u32(&in, n + 5), 0);
		assert_int_equal(buf_put_u8(&in, 14), 0);
		assert_int_equal(buf_put_u32(&in, n), 0);
		assert_int_equal(buf_reserve(&in, n, &p), 0);
		memset(p, 'x', n);
		assert_int_equal(agent_get_signature(&in, &sig),
		    n == SIG_BLOB_MAX ? 0 : ERR_TOOBIG);
		buf_clear(&in);
		buf_clear(&sig);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_agent_put_sign_bytes),
		cmocka_unit_test(t_agent_put_sign_largest),
		cmocka_unit_test(t_agent_get_signature_cases),
		cmocka_unit_test(t_agent_get_signature_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
