/*
 * postern.conf: defaults, every setting, every mistake with its place.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void
t_conf_parse_defaults(void **state)
{
	static const char *const texts[] = { NULL, "", "\n", "# nothing\n" };
	struct diags *d = diags_new();
	struct conf c;

	(void)state;
	for (size_t i = 0; i < N(texts); i++) {
		assert_int_equal(conf_parse("c", texts[i],
		    texts[i] == NULL ? 0 : strlen(texts[i]), d, &c), 0);
		assert_string_equal(c.policy_folder,
		    POSTERN_SYSCONFDIR "/policy");
		assert_string_equal(c.ca_folder, POSTERN_SYSCONFDIR "/ca");
		assert_string_equal(c.state_folder, POSTERN_STATEDIR);
		assert_string_equal(c.run_folder, POSTERN_RUNDIR);
		assert_null(c.issuer_ca);
		assert_null(c.target_ca_agent);
		assert_null(c.job_ca_agent);
		assert_int_equal(c.source_address.n, 0);
		assert_int_equal(c.issuer_address.n, 0);
		assert_int_equal(c.connect_timeout_s, 10);
		assert_int_equal(c.handshake_timeout_s, 20);
		assert_int_equal(c.server_alive_interval_s, 30);
		assert_int_equal(c.server_alive_count_max, 3);
		assert_int_equal(c.login_deadline_s, 10);
		assert_int_equal(c.session_max_s, 6 * 3600);
		assert_int_equal(c.shell_idle_s, 900);
		assert_int_equal(c.certificate_lifetime_s, 900);
		assert_int_equal(c.certificate_source, CONF_SOURCE_ANY);
		assert_int_equal(c.operations_max, 256);
		assert_int_equal(c.sessions_max, 1024);
		assert_int_equal(c.record_text_head, 1 << 20);
		assert_int_equal(c.record_text_tail, 64 * 1024);
		assert_int_equal(c.anchor_interval_s, 60);
		assert_int_equal(c.ledger_key_lifetime_s, 90 * 86400);
		assert_true(c.disk_reserve > 0);
		conf_clear(&c);
	}
	conf_clear(&c); /* twice, and NULL */
	conf_clear(NULL);
	diags_free(d);
}

static void
t_conf_parse_all(void **state)
{
	static const char text[] =
	    "policy-folder /p; ca-folder \"/c d\"\nstate-folder /s # here\n"
	    "run-folder /r\nissuer-ca /i.pem\n"
	    "target-ca-agent /a.sock\njob-ca-agent /j.sock\n"
	    "issuer-address 10.9.0.0/16\n"
	    "source-address 10.0.0.1\nsource-address 2001:db8::/64\n"
	    "connect-timeout 3s\nhandshake-timeout 4m\nlogin-deadline 5s\n"
	    "server-alive-interval 6s\nserver-alive-count-max 9\n"
	    "certificate-lifetime 5s\ncertificate-source same\n"
	    "session-max 1h\noperations-max 7\nsessions-max 8\n"
	    "record-text-head 9KiB\nrecord-text-tail 10B\n"
	    "retention-age 90d\nretention-size 3GiB\n"
	    "anchor-interval 5s\nanchor-command /bin/a\n"
	    "anchor-timeout 7s\nledger-key-lifetime 6s\n"
	    "recording-quota 5MiB\ndisk-reserve 2GiB\n";
	struct diags *d = diags_new();
	struct conf c;

	(void)state;
	assert_int_equal(conf_parse("c", text, strlen(text), d, &c), 0);
	assert_string_equal(c.policy_folder, "/p");
	assert_string_equal(c.ca_folder, "/c d");
	assert_string_equal(c.state_folder, "/s");
	assert_string_equal(c.run_folder, "/r");
	assert_string_equal(c.issuer_ca, "/i.pem");
	assert_string_equal(c.target_ca_agent, "/a.sock");
	assert_string_equal(c.job_ca_agent, "/j.sock");
	assert_int_equal(c.issuer_address.n, 1);
	assert_string_equal(c.issuer_address.at[0], "10.9.0.0/16");
	assert_int_equal(c.source_address.n, 2);
	assert_string_equal(c.source_address.at[1], "2001:db8::/64");
	assert_int_equal(c.connect_timeout_s, 3);
	assert_int_equal(c.handshake_timeout_s, 240);
	assert_int_equal(c.server_alive_interval_s, 6);
	assert_int_equal(c.server_alive_count_max, 9);
	assert_int_equal(c.login_deadline_s, 5);
	assert_int_equal(c.session_max_s, 3600);
	assert_int_equal(c.certificate_lifetime_s, 5);
	assert_int_equal(c.certificate_source, CONF_SOURCE_SAME);
	assert_int_equal(c.operations_max, 7);
	assert_int_equal(c.sessions_max, 8);
	assert_int_equal(c.record_text_head, 9 * 1024);
	assert_int_equal(c.record_text_tail, 10);
	assert_int_equal(c.retention_age_s, 90 * 86400);
	assert_true(c.retention_size == (uint64_t)3 << 30);
	assert_true(c.recording_quota == (uint64_t)5 << 20);
	assert_int_equal(c.anchor_interval_s, 5);
	assert_string_equal(c.anchor_command, "/bin/a");
	assert_int_equal(c.anchor_timeout_s, 7);
	assert_int_equal(c.ledger_key_lifetime_s, 6);
	assert_true(c.disk_reserve == (uint64_t)2 << 30);
	conf_clear(&c);
	diags_free(d);
}

static const struct {
	const char *text, *want;
} bad[] = {
	{ "retention-age 59s", "retention-age" },
	{ "retention-age 36601d", "retention-age" },
	{ "policy-foldr /p\n",
	    "c:1:1: there is no setting `policy-foldr`; "
	    "did you mean \"policy-folder\"?\n    1 | policy-foldr /p\n" },
	{ "zebra 1\n", "there is no setting `zebra`\n" },
	{ "policy-folder\n", "policy-folder: expected a value" },
	{ "certificate-lifetime 4s\n", "not within 5 and 900 seconds" },
	{ "certificate-lifetime 16m\n", "not within 5 and 900 seconds" },
	{ "certificate-source sam\n", "expected one of: any same" },
	{ "certificate-source \"any same\"\n", "expected one of: any same" },
	{ "certificate-source\n", "certificate-source: expected a value" },
	{ "anchor-interval 0s\n", "not within 1 and 86400 seconds" },
	{ "anchor-interval 86401s\n", "not within 1 and 86400 seconds" },
	{ "anchor-command send\n", "expected an absolute path" },
	{ "anchor-timeout 0s\n", "not within 1 and 300 seconds" },
	{ "anchor-timeout 301s\n", "not within 1 and 300 seconds" },
	{ "ledger-key-lifetime 4s\n", "not within 5 and 315360000 seconds" },
	{ "ledger-key-lifetime 3651d\n", "not within 5 and 315360000 seconds" },
	{ "policy-folder p\n", "c:1:15: policy-folder: expected an absolute" },
	{ "policy-folder \"\"\n", "expected an absolute" },
	{ "policy-folder /p /q\n", "takes one value" },
	{ "run-folder /a\nrun-folder /b\n", "c:2:1: `run-folder` is set twice: "
					    "first on line 1" },
	{ "source-address x\n", "expected an address or network" },
	{ "source-address 10.0.0.1/33\n", "expected an address" },
	{ "source-address 10.0.0.1/\n", "expected an address" },
	{ "source-address 10.0.0\n", "expected an address" },
	{ "connect-timeout 5\n", "expected a number and s, m, h or d" },
	{ "connect-timeout 0s\n", "not within 1 and 300 seconds" },
	{ "connect-timeout 301s\n", "not within 1 and 300 seconds" },
	{ "connect-timeout 99999999999999999999d\n", "not within" },
	{ "connect-timeout 18446744073709551615m\n", "not within" },
	{ "login-deadline 21s\n", "not within 1 and 20 seconds" },
	{ "connect-timeout 5S\n", "expected a number and s" },
	{ "server-alive-interval 3601s\n", "not within 1 and 3600 seconds" },
	{ "server-alive-count-max 0\n", "not within 1 and 100\n" },
	{ "server-alive-count-max 101\n", "not within 1 and 100\n" },
	{ "session-max 1s\n", "not within 60" },
	{ "operations-max 0\n", "not within 1 and 65536\n" },
	{ "operations-max 1s\n", "expected a number\n" },
	{ "operations-max -1\n", "expected a number\n" },
	{ "record-text-head 5MB\n", "expected a number and B, KiB" },
	{ "record-text-head 0B\n", "bytes" },
	{ "record-text-head 1025MiB\n", "not within 1 and 1073741824 bytes" },
	{ "record-text-tail 65KiB\n", "not within 1 and 65536 bytes" },
	{ "policy-folder \"/p\n", "newline inside the quotes" },
	{ "policy-folder /p\033\n", "U+001B" },
	{ "= 5\n", "expected a setting's name" },
	{ "{\n}\n", "expected a setting's name" },
	{ "policy-folder { x }\n", "expected a value" },
};

static void
t_conf_parse_bad(void **state)
{
	struct diags *d;
	struct conf c, untouched = { .operations_max = 12345 };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		d = diags_new();
		c = untouched;
		buf_init(&b, 1 << 16);
		assert_int_equal(conf_parse("c", bad[i].text,
		    strlen(bad[i].text), d, &c), ERR_CONFIG);
		assert_int_equal(c.operations_max, 12345);
		assert_int_equal(diags_print(d, &b), 0);
		if (strstr(buf_cstr(&b), bad[i].want) == NULL)
			fail_msg("%s: %s", bad[i].text, buf_cstr(&b));
		buf_clear(&b);
		diags_free(d);
	}
}

static void
t_conf_parse_collects(void **state)
{
	static const char text[] = "a 1\nb 2\noperations-max x\n\nc 3";
	static char big[CONF_MAX + 1];
	struct diags *d = diags_new();
	struct conf c;
	struct buf b;

	(void)state;
	assert_int_equal(conf_parse("c", text, strlen(text), d, &c),
	    ERR_CONFIG);
	assert_int_equal(diags_count(d), 4);
	memset(big, '\n', sizeof(big));
	assert_int_equal(conf_parse("c", big, sizeof(big), d, &c), ERR_CONFIG);
	assert_int_equal(diags_count(d), 5);
	assert_int_equal(conf_parse("c", big, sizeof(big) - 1, d, &c), 0);
	conf_clear(&c);
	buf_init(&b, 1 << 16);
	for (int i = 0; i <= CONF_ADDRESSES_MAX; i++)
		assert_int_equal(buf_putf(&b, "source-address 10.0.0.%d\n", i),
		    0);
	assert_int_equal(conf_parse("c", (const char *)buf_ptr(&b),
	    buf_len(&b), d, &c), ERR_CONFIG);
	buf_clear(&b);
	diags_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_conf_parse_defaults),
		cmocka_unit_test(t_conf_parse_all),
		cmocka_unit_test(t_conf_parse_bad),
		cmocka_unit_test(t_conf_parse_collects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
