/*
 * The names that identities may use: each once, no more than wanted, and none
 * that no rule of theirs covers.
 */
#include "config.h"

#include "policy/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/policy.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define PIN                                                                    \
	"hostkey ssh-ed25519 "                                                 \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\""

static const char text[] =
    "policy 1\n"
    "issuer github { preset github; audience \"bastion\" }\n"
    "identity shop from github { claim repository_id = \"1\" }\n"
    "identity ops from github { claim repository_id = \"2\" }\n"
    "identity none from github { claim repository_id = \"3\" }\n"
    "target web-1 { ssh \"deploy@10.0.0.1:22\"; " PIN
    "; group web adm; login root }\n"
    "target web-2 { ssh \"deploy@10.0.0.2:22\"; " PIN "; group web }\n"
    "target db-1 { ssh \"dba@10.0.0.3:22\"; " PIN "; group adm; login root }\n"
    "target old-1 { ssh \"deploy@10.0.0.4:22\"; " PIN
    "; group adm; login root; observe until 2026-12-01 }\n"
    "allow one for shop on @web { run /usr/bin/id }\n"
    "allow again for shop on web-1 { run /usr/bin/true }\n"
    "allow fix for shop on root+web-1 { run /usr/bin/true }\n"
    "allow dba for ops on dba+db-1 { run /usr/bin/true }\n"
    "allow any for ops on root+@adm { run /usr/bin/id }\n"
    "deny never for * on * { run /usr/bin/rm <any>... }\n";

#define WHILE 1795000000 /* November 2026 */
#define AFTER 1800000000

static int
add(void *arg, const char *name)
{
	struct buf *b = arg;

	return buf_putf(b, "%s%s", buf_len(b) == 0 ? "" : " ", name);
}

static void
t_policy_names(void **state)
{
	static const struct {
		const char *who;
		time_t now;
		size_t max;
		const char *names;
		bool more;
	} cases[] = {
		{ "shop", 0, 20,
		    "web-1 deploy+web-1 root+web-1 web-2 deploy+web-2", false },
		/* without the long forms */
		{ "shop", 0, 4, "web-1 root+web-1 web-2", false },
		{ "shop", 0, 3, "web-1 root+web-1 web-2", false },
		{ "shop", 0, 2, "web-1 root+web-1", true },
		{ "shop", 0, 0, "", true },
		{ "ops", 0, 20, "root+web-1 db-1 dba+db-1 root+db-1 root+old-1",
		    false },
		{ "none", AFTER, 20, "", false },
		{ "none", WHILE, 20, "old-1 deploy+old-1 root+old-1", false },
		{ "", WHILE, 20, "", false },
	};
	static const char *const name[] = { "t.postern" };
	const char *const texts[] = { text };
	const size_t len = sizeof(text) - 1;
	struct diags *d = diags_new();
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_load_text(name, texts, &len, 1, d, &p), 0);
	for (size_t i = 0; i < N(cases); i++) {
		bool set[8] = { false };
		struct buf b;
		struct names n = { .policy = p,
			.identity = set,
			.now = cases[i].now,
			.max = cases[i].max,
			.fn = add,
			.arg = &b };

		buf_init(&b, 4096);
		for (size_t k = 0; k < policy_nidentities(p); k++)
			set[k] = strcmp(policy_identity_name(p, k),
				     cases[i].who) == 0;
		assert_int_equal(policy_names(&n), 0);
		assert_string_equal(buf_cstr(&b), cases[i].names);
		assert_int_equal(n.more, cases[i].more);
		buf_clear(&b);
	}
	policy_free(p);
	diags_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_policy_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
