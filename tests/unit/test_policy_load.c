/*
 * Policies that nobody would write: large, deep, cut off, damaged at every
 * byte.  None crashes, none loads by accident, memory stays bounded.
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
#include <sys/resource.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/policy.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define LARGE ((size_t)10 * 1024 * 1024)
#define RSS_MAX_KIB (1024L * 1024)
#define RULES 100000

#define HEAD                                                                   \
	"policy 1\n"                                                           \
	"issuer github { preset github; audience \"bastion\" }\n"              \
	"identity job from github { claim repository_id = \"1\" }\n"           \
	"target web-1 { ssh \"d@10.0.3.11:22\"; hostkey ssh-ed25519 "          \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\" }\n"

/* Loads; how many errors there were. */
static size_t
errors(const char *text, size_t len)
{
	static const char *const name[] = { "t.postern" };
	struct diags *d = diags_new();
	struct policy *p = NULL;
	struct buf b;
	size_t n;
	int r;

	assert_non_null(d);
	r = policy_load_text(name, &text, &len, 1, d, &p);
	n = diags_count(d);
	assert_true((r == 0) == (n == 0));
	assert_true((r == 0) == (p != NULL));
	assert_true(r == 0 || r == ERR_CONFIG);
	buf_init(&b, 8 << 20);
	assert_int_equal(diags_print(d, &b), 0);
	buf_clear(&b);
	policy_free(p);
	diags_free(d);
	return n;
}

static void
slurp(struct buf *b)
{
	const char *dir = getenv("srcdir");
	char path[4096], s[4096];
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/doc/examples/acme.postern",
	    dir == NULL ? "." : dir);
	assert_non_null(f = fopen(path, "re"));
	while ((n = fread(s, 1, sizeof(s), f)) > 0)
		assert_int_equal(buf_put(b, s, n), 0);
	(void)fclose(f);
}

/* A cut is an error, but for cuts between statements. */
static void
t_policy_load_cut(void **state)
{
	struct buf b;
	const char *s;
	size_t loads = 0;

	(void)state;
	buf_init(&b, 1 << 20);
	slurp(&b);
	s = (const char *)buf_ptr(&b);
	for (size_t len = 0; len <= buf_len(&b); len++) {
		char *copy = malloc(len + 1); /* so that ASan sees its end */

		assert_non_null(copy);
		memcpy(copy, s, len);
		loads += errors(copy, len) == 0;
		free(copy);
	}
	assert_true(loads > 0 && loads < buf_len(&b) / 2);
	buf_clear(&b);
}

/* Bytes that are no text refuse the policy wherever they stand: every third. */
static void
t_policy_load_damaged(void **state)
{
	static const char bad[] = { '\0', '\xff', '\x1b', '\x7f', '\r',
		'\xc0' };
	struct buf b;
	char *s, was;

	(void)state;
	buf_init(&b, 1 << 20);
	slurp(&b);
	assert_non_null(s = malloc(buf_len(&b)));
	memcpy(s, buf_ptr(&b), buf_len(&b));
	assert_int_equal(errors(s, buf_len(&b)), 0);
	for (size_t i = 0; i < buf_len(&b); i += 3) {
		was = s[i];
		s[i] = bad[i % N(bad)];
		if (errors(s, buf_len(&b)) == 0)
			fail_msg(
			    "byte %zu may be 0x%02x", i, (unsigned char)s[i]);
		s[i] = was;
	}
	free(s);
	buf_clear(&b);
}

static void
check_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__)
	struct rusage ru;

	assert_int_equal(getrusage(RUSAGE_SELF, &ru), 0);
	assert_true(ru.ru_maxrss < RSS_MAX_KIB);
#endif
}

/* Ten megabytes of the same thing. */
static void
t_policy_load_large(void **state)
{
	static const struct {
		const char *head, *again, *tail;
		bool loads;
	} c[] = {
		{ "", "a", "", false },
		{ "", "\n", "", false },
		{ HEAD, "\n", "", true },
		{ HEAD, ";", "", true },
		{ HEAD "#", "x", "", true },
		{ HEAD, "# a comment\n", "", true },
		{ HEAD, "{", "", false },
		{ HEAD, "}", "", false },
		{ HEAD, "a ", "", false },
		{ HEAD, "allow\n", "", false },
		{ HEAD, "'", "", false },
		{ HEAD "allow a for job on web-1 { run ", "(", " }", false },
		{ HEAD "allow a for job on web-1 { run /x ", "[a] ", " }",
		    false },
		{ HEAD "allow a for job on web-1 { run /x ", "a", " }", false },
		{ HEAD "allow a for job on web-1 { run /x ", "| /x ", " }",
		    false },
		{ HEAD "allow a for job on web-1 { run ", "A=1 ", "/x }",
		    false },
		{ HEAD "allow a for job on web-1 {", "run /x\n", " }", false },
		{ HEAD "allow a for job on web-1 {", "read under /x by sftp\n",
		    " }", false },
		{ HEAD "allow a for job on web-1 { git read /x refs ",
		    "\"refs/x\" ", " }", false },
		{ HEAD "allow a for job on web-1 { run /x\n", "env A <any>\n",
		    " }", false },
		{ HEAD "allow a for job on ", "web-1 ", "{ run /x }", false },
		{ HEAD "program a = /x on ", "web-1 ", "", false },
		{ HEAD, "program a = /x on web-1\n", "", false },
		{ HEAD "type a = enum ", "a ", "", false },
		{ HEAD "identity i from github { claim ref = \"1\" ",
		    "| \"2\" ", "}", false },
		{ HEAD "people p { ", "p ", "}", false },
		{ HEAD "test \"t\" as job on web-1 {", "deny \"x\"\n", "}",
		    false },
		{ HEAD "test \"t\" as job on web-1 { deny \"", "x && ", "x\" }",
		    false },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		buf_init(&b, LARGE + 4096);
		assert_int_equal(buf_putf(&b, "%s", c[i].head), 0);
		while (buf_len(&b) < LARGE)
			assert_int_equal(
			    buf_put(&b, c[i].again, strlen(c[i].again)), 0);
		assert_int_equal(buf_putf(&b, "%s\n", c[i].tail), 0);
		if ((errors((const char *)buf_ptr(&b), buf_len(&b)) == 0) !=
		    c[i].loads)
			fail_msg("%zu: %s", i, c[i].again);
		buf_clear(&b);
	}
	check_memory();
}

/* As many rules as there may be, and one more. */
static void
t_policy_load_rules(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, POLICY_FILE_MAX);
	assert_int_equal(buf_putf(&b, HEAD), 0);
	for (size_t i = 0; i < RULES; i++)
		assert_int_equal(buf_putf(&b,
				     "allow r%zu for job on web-1 { run "
				     "/bin/p%zu x <int 1..%zu> }\n",
				     i, i % 977, i + 1),
		    0);
	assert_int_equal(errors((const char *)buf_ptr(&b), buf_len(&b)), 0);
	assert_int_equal(buf_putf(&b, "deny last for * on * { run /x }\n"), 0);
	assert_int_equal(errors((const char *)buf_ptr(&b), buf_len(&b)), 1);
	buf_clear(&b);
	check_memory();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_policy_load_cut),
		cmocka_unit_test(t_policy_load_damaged),
		cmocka_unit_test(t_policy_load_large),
		cmocka_unit_test(t_policy_load_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
