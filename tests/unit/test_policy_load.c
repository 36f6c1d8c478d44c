/*
 * Policies that nobody would write: large, deep, cut off, damaged at every
 * byte, with one name in two files, in files that are not ours to read.  None
 * crashes, none loads by accident, memory stays bounded.
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
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/policy.h"
#include "tests/unit/fault.h"

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

/* -- several files ----------------------------------------------------------
 */

/* What one file defines no other may, whatever it is; both places are said. */
static void
t_policy_load_twice(void **state)
{
	static const char *const what[] = {
		"issuer n { preset custom; url \"https://n\"; audience \"a\"; "
		"algorithms ES256 }",
		"identity n from github { claim repository_id = \"2\" }",
		"person n { key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcIyeGzt"
		"OoClPDsQahV6iiWCpQjStBk2dG9YobMNsg0\" }",
		"people n { x }",
		"target n { ssh \"d@10.0.3.12:22\"; hostkey ssh-ed25519 "
		"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\" }",
		"program n = /usr/bin/n",
		"type n = enum a b",
		"allow n for job on web-1 { run /bin/x }",
		"deny n for job on web-1 { run /bin/x }",
		"defaults { explain rule }",
	};
	static const char *const name[] = { "a.postern", "b.postern" };

	(void)state;
	for (size_t i = 0; i < N(what); i++) {
		struct diags *d = diags_new();
		struct policy *p = NULL;
		const char *text[2];
		struct buf a, b, said;
		size_t len[2];

		buf_init(&a, 4096);
		buf_init(&b, 4096);
		buf_init(&said, 1 << 16);
		assert_int_equal(buf_putf(&a, HEAD "%s\n", what[i]), 0);
		assert_int_equal(buf_putf(&b, "policy 1\n\n%s\n", what[i]), 0);
		text[0] = buf_cstr(&a);
		text[1] = buf_cstr(&b);
		len[0] = buf_len(&a);
		len[1] = buf_len(&b);
		assert_int_equal(
		    policy_load_text(name, text, len, 2, d, &p), ERR_CONFIG);
		assert_null(p);
		assert_int_equal(diags_print(d, &said), 0);
		if (strstr(buf_cstr(&said), "a.postern:5:") == NULL ||
		    strstr(buf_cstr(&said), "b.postern:3:") == NULL)
			fail_msg("%s: %s", what[i], buf_cstr(&said));
		buf_clear(&a);
		buf_clear(&b);
		buf_clear(&said);
		diags_free(d);
	}
}

static void
put_file(const char *path, size_t size, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "policy 1\n", 9), 9);
	if (size > 0)
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void
folder_is(const char *dir, const char *want)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct diags *d = diags_new();
	struct policy *p = NULL;
	struct buf b;

	buf_init(&b, 1 << 16);
	r = policy_load_folder(fd, dir, d, &p);
	assert_int_equal(diags_print(d, &b), 0);
	if ((r == 0) != (want == NULL) || (r == 0) != (p != NULL) ||
	    (want != NULL && strstr(buf_cstr(&b), want) == NULL))
		fail_msg("%d: %s", r, buf_cstr(&b));
	policy_free(p);
	diags_free(d);
	buf_clear(&b);
	(void)close(fd);
}

#define NOBODY 65534

/* A file that cannot be read, or is not ours, is no file that is not there. */
static void
t_policy_load_foreign_files(void **state)
{
	char dir[] = "/tmp/test_load.XXXXXX", good[256], odd[256];

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	(void)snprintf(good, sizeof(good), "%s/1.postern", dir);
	(void)snprintf(odd, sizeof(odd), "%s/2.postern", dir);
	put_file(good, 0, 0644);
	folder_is(dir, NULL);
	put_file(odd, POLICY_FILE_MAX + 1, 0644);
	folder_is(dir, "2.postern");
	assert_int_equal(unlink(odd), 0);
	assert_int_equal(symlink("nowhere", odd), 0);
	folder_is(dir, "2.postern");
	assert_int_equal(unlink(odd), 0);
	assert_int_equal(symlink("/dev/zero", odd), 0);
	folder_is(dir, "2.postern");
	assert_int_equal(unlink(odd), 0);
	assert_int_equal(mkdir(odd, 0755), 0);
	folder_is(dir, "2.postern");
	assert_int_equal(rmdir(odd), 0);
	if (geteuid() == 0) {
		put_file(odd, 0, 0600);
		assert_int_equal(seteuid(NOBODY), 0);
		folder_is(dir, "2.postern: ");
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(chown(odd, NOBODY, NOBODY), 0);
		folder_is(dir, "2.postern: ");
		assert_int_equal(unlink(odd), 0);
	}
	folder_is(dir, NULL);
	assert_int_equal(unlink(good), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* A moment's lack of memory is no error of the policy: whoever loads it reads a
 * policy again for the one, and waits for people after the other. */
static void
t_policy_load_out_of_memory(void **state)
{
	static const char *const name[] = { "t.postern" };
	static const char *const text[] = { HEAD
		"program systemctl = /usr/bin/systemctl\n"
		"type service = enum web api\n"
		"allow r for job on web-1 {\n"
		"\trun systemctl (restart | reload) <service> [--quiet]\n"
		"\trun /bin/echo \"a b\" <any>... | /usr/bin/wc -l\n"
		"\tlimit duration 30s\n"
		"}\n"
		"deny never for * on * { run systemctl stop <any>... }\n"
		"test \"t\" as job on web-1 {\n"
		"\tallow \"systemctl restart web\"\n"
		"\tdeny \"systemctl stop web\"\n"
		"}\n" };
	const size_t len[] = { strlen(text[0]) };
	struct policy *p;
	struct diags *d;
	unsigned long n;
	int r;

	(void)state;
	for (n = 1;; n++) {
		p = NULL;
		d = diags_new();
		assert_non_null(d);
		fault_at(n);
		r = policy_load_text(name, text, len, 1, d, &p);
		if (!fault_off())
			break;
		if (r != 0 && r != ERR_NOMEM)
			fail_msg("allocation %lu: %d", n, r);
		policy_free(p);
		diags_free(d);
	}
	assert_int_equal(r, 0);
	assert_in_range(n, 10, 1000);
	policy_free(p);
	diags_free(d);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_policy_load_cut),
		cmocka_unit_test(t_policy_load_damaged),
		cmocka_unit_test(t_policy_load_large),
		cmocka_unit_test(t_policy_load_out_of_memory),
		cmocka_unit_test(t_policy_load_rules),
		cmocka_unit_test(t_policy_load_twice),
		cmocka_unit_test(t_policy_load_foreign_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
