/*
 * Which addresses an issuer may have.
 */
#include "config.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/reach.h"
#include "lib/err.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static bool
allowed(const struct reach *r, const char *text)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return reach_allows(r, (struct sockaddr *)&v4, sizeof(v4));
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return reach_allows(r, (struct sockaddr *)&v6, sizeof(v6));
}

static const char *const special[] = {
	"0.0.0.0",
	"0.1.2.3",
	"10.0.0.1",
	"10.255.255.255",
	"100.64.0.1",
	"100.100.100.200",
	"100.127.255.255",
	"127.0.0.1",
	"127.255.0.1",
	"168.63.129.16",
	"169.254.169.254",
	"169.254.0.1",
	"172.16.0.1",
	"172.31.255.255",
	"192.0.0.1",
	"192.0.0.192",
	"192.0.2.1",
	"192.88.99.1",
	"192.168.0.1",
	"192.168.255.255",
	"198.18.0.1",
	"198.19.255.255",
	"198.51.100.1",
	"203.0.113.1",
	"224.0.0.1",
	"239.255.255.255",
	"240.0.0.1",
	"255.255.255.255",
	"::",
	"::1",
	"::7f00:1",
	"::ffff:10.0.0.1",
	"::ffff:127.0.0.1",
	"::ffff:169.254.169.254",
	"64:ff9b::a00:1",
	"64:ff9b::a9fe:a9fe",
	"64:ff9b::7f00:1",
	"64:ff9b:1::808:808",
	"100::1",
	"2001::1",
	"2001:1::1",
	"2001:20::1",
	"2001:1ff::1",
	"2001:db8::1",
	"2002::1",
	"2002:a00:1::1",
	"3fff::1",
	"3fff:fff::1",
	"4000::1",
	"5f00::1",
	"fc00::1",
	"fd00:ec2::254",
	"fdff::1",
	"fe80::1",
	"fec0::1",
	"ff02::1",
	"ffff::1",
};

/* The neighbours of the above. */
static const char *const normal[] = {
	"1.0.0.0",
	"8.8.8.8",
	"9.255.255.255",
	"11.0.0.0",
	"100.63.255.255",
	"100.128.0.0",
	"126.255.255.255",
	"128.0.0.0",
	"168.63.129.15",
	"168.63.129.17",
	"169.253.255.255",
	"169.255.0.0",
	"172.15.255.255",
	"172.32.0.0",
	"191.255.255.255",
	"192.0.1.0",
	"192.0.3.0",
	"192.88.98.255",
	"192.88.100.0",
	"192.167.255.255",
	"192.169.0.0",
	"198.17.255.255",
	"198.20.0.0",
	"198.51.99.255",
	"198.51.101.0",
	"203.0.112.255",
	"203.0.114.0",
	"223.255.255.255",
	"::ffff:8.8.8.8",
	"64:ff9b::808:808",
	"2001:200::1",
	"2001:db7:ffff::1",
	"2001:db9::1",
	"2003::1",
	"2606:50c0:8000::153",
	"2a00:1450::1",
	"3ffe:ffff::1",
	"3fff:1000::1",
};

static void
t_reach_allows_public(void **state)
{
	const struct reach r = { 0 };

	(void)state;
	for (size_t i = 0; i < N(special); i++) {
		if (allowed(&r, special[i]))
			fail_msg("%s", special[i]);
	}
	for (size_t i = 0; i < N(normal); i++) {
		if (!allowed(&r, normal[i]))
			fail_msg("%s", normal[i]);
	}
}

/* What is not an address that we know is none. */
static void
t_reach_allows_others(void **state)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6,
		.sin6_addr.s6_addr = { 0x26 } };
	const struct reach r = { 0 };

	(void)state;
	assert_true(reach_allows(&r, (struct sockaddr *)&a, sizeof(a)));
	assert_false(reach_allows(&r, (struct sockaddr *)&a, sizeof(a) - 1));
	a.sin6_family = AF_INET;
	assert_false(reach_allows(&r, (struct sockaddr *)&a, 8));
	a.sin6_family = AF_UNIX;
	assert_false(reach_allows(&r, (struct sockaddr *)&a, sizeof(a)));
}

static struct reach
reach_of(char *text)
{
	struct conf_nets nets = { .at = { text }, .n = 1 };
	struct reach r;

	assert_int_equal(reach_init(&nets, &r), 0);
	return r;
}

static void
t_reach_allows_named(void **state)
{
	static const struct {
		char net[32];
		const char *in[4], *out[4];
	} cases[] = {
		{ "10.1.0.0/16",
		    { "10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3",
			"64:ff9b::a01:1" },
		    { "10.0.255.255", "10.2.0.0", "127.0.0.1", "::1" } },
		{ "127.0.0.1", { "127.0.0.1", "::ffff:127.0.0.1" },
		    { "127.0.0.2", "::1" } },
		{ "10.0.0.128/25", { "10.0.0.128", "10.0.0.255" },
		    { "10.0.0.127", "10.0.1.128" } },
		{ "fd12::/15", { "fd12::1", "fd13:ffff::1" },
		    { "fd11::1", "fd14::1", "10.0.0.1" } },
		{ "::1", { "::1" }, { "::2", "127.0.0.1" } },
		{ "::/0", { "::1", "fe80::1" },
		    { "10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1" } },
		{ "0.0.0.0/0", { "10.0.0.1", "169.254.169.254" },
		    { "::1", "fd00::1" } },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct reach r = reach_of((char *)(uintptr_t)cases[i].net);

		for (size_t k = 0; k < N(cases[i].in); k++) {
			if (cases[i].in[k] != NULL &&
			    !allowed(&r, cases[i].in[k]))
				fail_msg(
				    "%s in %s", cases[i].in[k], cases[i].net);
			if (cases[i].out[k] != NULL &&
			    allowed(&r, cases[i].out[k]))
				fail_msg("%s not in %s", cases[i].out[k],
				    cases[i].net);
		}
		assert_true(allowed(&r, "8.8.8.8"));
	}
}

static void
t_reach_init_bad(void **state)
{
	static char bad[][64] = { "", "x", "10.0.0", "10.0.0.1/33", "::1/129",
		"10.0.0.1/", "10.0.0.1/x", "/8",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111" };
	struct conf_nets nets = { .n = 1 };
	struct reach r = { .n = 7 };

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		nets.at[0] = bad[i];
		assert_int_equal(reach_init(&nets, &r), ERR_FORMAT);
		assert_int_equal(r.n, 7);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_reach_allows_public),
		cmocka_unit_test(t_reach_allows_others),
		cmocka_unit_test(t_reach_allows_named),
		cmocka_unit_test(t_reach_init_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
