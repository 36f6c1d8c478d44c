/*
 * Loading policies.  Every malformed policy of tests/policy/bad says exactly
 * what its .expect file says; what loads means what is written.
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
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/claims.h"
#include "policy/glob.h"
#include "policy/policy.h"
#include "policy/preset.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

#define HOSTKEY                                                              \
	"hostkey ssh-ed25519 "                                               \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\""
#define GITHUB "issuer github { preset github; audience \"bastion\" }\n"

static const char *
source_dir(void)
{
	const char *s = getenv("srcdir");

	return s == NULL ? "." : s;
}

static int
load(const char *text, struct policy **out, struct buf *said)
{
	static const char *const name[] = { "t.postern" };
	struct diags *d = diags_new();
	size_t len = strlen(text);
	int r;

	assert_non_null(d);
	*out = NULL;
	r = policy_load_text(name, &text, &len, 1, d, out);
	if (said != NULL)
		assert_int_equal(diags_print(d, said), 0);
	else if (r != 0) {
		struct buf b;

		buf_init(&b, 1 << 20);
		(void)diags_print(d, &b);
		fail_msg("%s", buf_cstr(&b));
	}
	assert_int_equal(r == 0, *out != NULL);
	diags_free(d);
	return r;
}

/* -- malformed ---------------------------------------------------------------- */

static void
slurp(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "re");
	char s[4096];
	size_t n;

	if (f == NULL)
		fail_msg("%s is missing", path);
	while ((n = fread(s, 1, sizeof(s), f)) > 0)
		assert_int_equal(buf_put(b, s, n), 0);
	(void)fclose(f);
}

static void
write_file(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	(void)fwrite(buf_ptr(b), 1, buf_len(b), f);
	(void)fclose(f);
}

/* UPDATE_GOLDEN=1 writes the .expect files anew: read the difference. */
static void
check_bad(const char *dir, const char *name)
{
	struct diags *d = diags_new();
	struct policy *p = NULL;
	struct buf text, want, said;
	const char *s, *shown = name;
	char path[4096];
	size_t len;

	buf_init(&text, 1 << 20);
	buf_init(&want, 1 << 20);
	buf_init(&said, 1 << 20);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	slurp(path, &text);
	s = (const char *)buf_ptr(&text);
	len = buf_len(&text);
	assert_int_equal(policy_load_text(&shown, &s, &len, 1, d, &p),
	    ERR_CONFIG);
	assert_null(p);
	assert_int_equal(diags_print(d, &said), 0);
	(void)snprintf(path, sizeof(path), "%s/%.*s.expect", dir,
	    (int)(strlen(name) - strlen(".postern")), name);
	if (getenv("UPDATE_GOLDEN") != NULL)
		write_file(path, &said);
	slurp(path, &want);
	if (strcmp(buf_cstr(&want), buf_cstr(&said)) != 0)
		fail_msg("%s says:\n%s", name, buf_cstr(&said));
	diags_free(d);
	buf_clear(&text);
	buf_clear(&want);
	buf_clear(&said);
}

static void
t_policy_load_bad(void **state)
{
	char dir[2048];
	struct dirent **list = NULL;
	int n, found = 0;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/tests/policy/bad", source_dir());
	n = scandir(dir, &list, NULL, alphasort);
	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		if (strstr(list[i]->d_name, ".postern") != NULL) {
			check_bad(dir, list[i]->d_name);
			found++;
		}
		free(list[i]);
	}
	free(list);
	assert_true(found >= 85);
}

/* What doc/ shows loads as it stands, and its tests pass. */
static void
t_policy_load_example(void **state)
{
	char path[4096];
	struct policy *p;
	struct buf b, doc;

	(void)state;
	buf_init(&b, 1 << 20);
	(void)snprintf(
	    path, sizeof(path), "%s/doc/examples/acme.postern", source_dir());
	slurp(path, &b);
	(void)load(buf_cstr(&b), &p, NULL);
	assert_int_equal(policy_ntargets(p), 2);
	policy_free(p);
	/* and it is what doc/POLICY.md shows */
	buf_init(&doc, 1 << 20);
	(void)snprintf(path, sizeof(path), "%s/doc/POLICY.md", source_dir());
	slurp(path, &doc);
	assert_non_null(strstr(buf_cstr(&doc), buf_cstr(&b)));
	buf_clear(&doc);
	buf_clear(&b);
}

/* No prefix of a good policy loads as something else, or crashes. */
static void
t_policy_load_prefixes(void **state)
{
	static const char text[] =
	    "policy 1\n" GITHUB
	    "identity a from github { claim repository_id = \"1\" }\n"
	    "target w { ssh \"d@h:22\"; " HOSTKEY "; group g; login r }\n"
	    "type s = enum a b\nprogram p = /bin/p\n"
	    "program q = /bin/q on @g\n"
	    "allow x for a on @g r+w { run p (a | [b] <s>) c=<int 1..5> "
	    "<any>... with pty stdin max 1KiB; "
	    "run in </s/**> A=(x | y) p | B=<s> q <any>; "
	    "read under /s/<claim actor>/x by sftp rsync max 5MiB; "
	    "write under \"/s t\" by scp-legacy no-delete no-symlinks; "
	    "git write /g.git refs \"refs/heads/*\" \"refs/tags/v<int>\"; "
	    "interactive; env L <s>; text-only; record input; record full }\n"
	    "deny y for * on * { run p <any>... \"z\"; because \"no\" }\n"
	    "test \"t\" as a { ref \"x\" } on w { allow \"p a c=5 x\" by x "
	    "with pty; deny \"p z\" by y; allow \"cd /s/x && A=x p | B=a q z; "
	    "cd /s/y && A=y p | B=b q z\"; deny read \"/s/1/x\" by sftp; "
	    "deny git read \"/g\" ref \"refs/x\"; allow interactive }\n";
	static const char *const name[] = { "t.postern" };
	struct diags *d;
	struct policy *p;
	const char *s = text;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char *copy = malloc(len == 0 ? 1 : len);

		assert_non_null(copy);
		memcpy(copy, text, len);
		s = copy;
		d = diags_new();
		p = NULL;
		if (policy_load_text(name, &s, &len, 1, d, &p) != 0)
			assert_true(diags_count(d) > 0);
		else
			assert_int_equal(diags_count(d), 0);
		policy_free(p);
		diags_free(d);
		free(copy);
		if (len == sizeof(text) - 1)
			assert_non_null(p);
	}
}

/* -- good ---------------------------------------------------------------------- */

static void
t_policy_load_issuer(void **state)
{
	const struct issuer *is;
	struct policy *p;

	(void)state;
	(void)load("policy 1\n" GITHUB "issuer acme {\n    preset custom\n"
		   "    url \"https://ci.acme.example:8443/a\"\n"
		   "    audience \"a\" \"b\"\n    audience \"c\"\n"
		   "    algorithms ES256; max-age 90m; leeway 5s; replay off\n"
		   "    keys-url \"https://keys.acme.example/jwks\"\n}\n",
	    &p, NULL);
	assert_int_equal(policy_nissuers(p), 2);
	is = policy_issuer(p, 0);
	assert_string_equal(is->name, "github");
	assert_string_equal(is->preset, "github");
	assert_string_equal(is->url,
	    "https://token.actions.githubusercontent.com");
	assert_int_equal(is->nalgorithm, 1);
	assert_string_equal(is->algorithm[0], "RS256");
	assert_true(is->once);
	assert_true(is->leeway_s <= 60);
	assert_int_equal(is->max_age_s, 300);
	assert_int_equal(is->max_life_s, 86400);
	is = policy_issuer_find(p, "acme");
	assert_ptr_equal(is, policy_issuer(p, 1));
	assert_string_equal(is->url, "https://ci.acme.example:8443/a");
	assert_int_equal(is->naudience, 3);
	assert_string_equal(is->audience[2], "c");
	assert_int_equal(is->nalgorithm, 1);
	assert_string_equal(is->algorithm[0], "ES256");
	assert_int_equal(is->max_age_s, 5400);
	assert_int_equal(is->leeway_s, 5);
	assert_false(is->once);
	assert_string_equal(is->keys_url, "https://keys.acme.example/jwks");
	assert_null(policy_issuer(p, 0)->keys_url);
	assert_null(policy_issuer(p, 2));
	assert_null(policy_issuer_find(p, "nobody"));
	policy_free(p);
}

static void
t_policy_load_target(void **state)
{
	const struct target *t;
	struct policy *p;

	(void)state;
	(void)load("policy 1\n"
	    "target a { ssh \"deploy@web-1.prod:2222\"; " HOSTKEY
	    "; hostkey ssh-rsa "
	    "\"SHA256:WIcL2yAl04nASo8twTZWecsPlnZ/w/H2YZ8QsH0L8+A\"; "
	    "login root www; shell posix; principals plain; "
	    "seen-from \"10.0.0.1,10.1.0.0/16\" }\n"
	    "target b { ssh \"x@[2001:db8::1]:22\"; " HOSTKEY " }\n", &p, NULL);
	assert_int_equal(policy_ntargets(p), 2);
	t = policy_target_find(p, "a");
	assert_ptr_equal(t, policy_target(p, 0));
	assert_string_equal(t->login, "deploy");
	assert_string_equal(t->host, "web-1.prod");
	assert_int_equal(t->port, 2222);
	assert_int_equal(t->nhostkey, 2);
	assert_string_equal(t->hostkey[1].type, "ssh-rsa");
	assert_int_equal(t->nextra_login, 2);
	assert_true(t->plain_principal);
	assert_string_equal(t->seen_from, "10.0.0.1,10.1.0.0/16");
	t = policy_target(p, 1);
	assert_string_equal(t->host, "2001:db8::1");
	assert_false(t->plain_principal);
	assert_null(t->seen_from);
	assert_null(policy_target(p, 2));
	assert_null(policy_target_find(p, ""));
	policy_free(p);
}

static void
t_target_login_table(void **state)
{
	static const struct {
		const char *target, *login, *want, *principal;
	} c[] = {
		{ "a", "", "deploy", "deploy+a" },
		{ "a", "deploy", "deploy", "deploy+a" },
		{ "a", "root", "root", "root+a" },
		{ "a", "other", NULL, NULL },
		{ "a", "roo", NULL, NULL },
		{ "b", "", "x", "x" },
		{ "b", "root", NULL, NULL },
	};
	struct policy *p;
	const struct target *t;
	const char *out;
	char dst[64];

	(void)state;
	(void)load("policy 1\n"
	    "target a { ssh \"deploy@h:22\"; " HOSTKEY "; login root }\n"
	    "target b { ssh \"x@h:22\"; " HOSTKEY "; principals plain }\n",
	    &p, NULL);
	for (size_t i = 0; i < N(c); i++) {
		t = policy_target_find(p, c[i].target);
		if (c[i].want == NULL) {
			assert_int_equal(target_login(t, c[i].login, &out),
			    ERR_NOTFOUND);
			assert_int_equal(target_principal(t, c[i].login, dst,
			    sizeof(dst)), ERR_NOTFOUND);
			assert_string_equal(dst, "");
			continue;
		}
		assert_int_equal(target_login(t, c[i].login, &out), 0);
		assert_string_equal(out, c[i].want);
		assert_int_equal(target_principal(t, c[i].login, dst,
		    sizeof(dst)), 0);
		assert_string_equal(dst, c[i].principal);
	}
	t = policy_target_find(p, "a");
	assert_int_equal(target_principal(t, "", dst, 8), ERR_TOOBIG);
	assert_string_equal(dst, "");
	assert_int_equal(target_principal(t, "", dst, 9), 0);
	policy_free(p);
}

/* -- several files --------------------------------------------------------------- */

static void
t_policy_load_several(void **state)
{
	static const char *const name[] = { "a.postern", "b.postern" };
	static const char *const good[] = {
		"policy 1\nidentity j from github "
		"{ claim repository_id = \"1\" }\n",
		"policy 1\n" GITHUB };
	static const char *const twice[] = { "policy 1\n" GITHUB,
		"policy 1\n\n" GITHUB };
	size_t len[2] = { strlen(good[0]), strlen(good[1]) };
	struct diags *d = diags_new();
	struct policy *p = NULL;
	const char *n, *t;
	struct buf b;
	size_t l;

	(void)state;
	assert_int_equal(policy_load_text(name, good, len, 2, d, &p), 0);
	assert_int_equal(policy_source(p, 1, &n, &t, &l), 0);
	assert_string_equal(n, "b.postern");
	assert_int_equal(l, len[1]);
	assert_memory_equal(t, good[1], l);
	assert_int_equal(policy_source(p, 2, &n, &t, &l), ERR_NOTFOUND);
	policy_free(p);
	p = NULL;
	len[0] = strlen(twice[0]);
	len[1] = strlen(twice[1]);
	assert_int_equal(policy_load_text(name, twice, len, 2, d, &p),
	    ERR_CONFIG);
	assert_null(p);
	buf_init(&b, 4096);
	assert_int_equal(diags_print(d, &b), 0);
	assert_non_null(strstr(buf_cstr(&b), "b.postern:3:8: issuer `github` "
	    "is defined twice: first at a.postern:2:8"));
	assert_non_null(strstr(buf_cstr(&b), "a.postern:2:8: issuer `github` "
	    "is defined again at b.postern:3:8"));
	buf_clear(&b);
	diags_free(d);
}

/* -- folders and files ------------------------------------------------------------ */

static void
put(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int
load_folder(const char *dir, struct policy **p, struct buf *said)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct diags *d = diags_new();
	int r;

	assert_true(fd >= 0);
	*p = NULL;
	r = policy_load_folder(fd, "/etc/x", d, p);
	buf_reset(said);
	assert_int_equal(diags_print(d, said), 0);
	diags_free(d);
	(void)close(fd);
	return r;
}

static void
t_policy_load_folder_rules(void **state)
{
	char dir[] = "/tmp/test_policy.XXXXXX", path[256];
	const char *n, *t;
	struct policy *p;
	struct buf b;
	size_t l;

	(void)state;
	buf_init(&b, 1 << 16);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(load_folder(dir, &p, &b), ERR_CONFIG);
	assert_non_null(strstr(buf_cstr(&b), "holds no *.postern"));
	put(dir, "20.postern", "policy 1\n", 0644);
	put(dir, "10.postern", "policy 1\n" GITHUB, 0600);
	put(dir, "30.postern~", "nonsense", 0644);
	put(dir, ".40.postern", "nonsense", 0644);
	put(dir, "README", "nonsense", 0644);
	assert_int_equal(load_folder(dir, &p, &b), 0);
	assert_int_equal(policy_source(p, 0, &n, &t, &l), 0);
	assert_string_equal(n, "/etc/x/10.postern");
	assert_int_equal(policy_source(p, 1, &n, &t, &l), 0);
	assert_int_equal(policy_source(p, 2, &n, &t, &l), ERR_NOTFOUND);
	policy_free(p);
	/* Who may write a file may write the policy. */
	put(dir, "20.postern", "policy 1\n", 0664);
	assert_int_equal(load_folder(dir, &p, &b), ERR_CONFIG);
	assert_non_null(strstr(buf_cstr(&b), "/etc/x/20.postern: "));
	put(dir, "20.postern", "policy 1\n", 0602);
	assert_int_equal(load_folder(dir, &p, &b), ERR_CONFIG);
	put(dir, "20.postern", "policy 1\n", 0644);
	/* A link could lead anywhere. */
	(void)snprintf(path, sizeof(path), "%s/50.postern", dir);
	assert_int_equal(symlink("20.postern", path), 0);
	assert_int_equal(load_folder(dir, &p, &b), ERR_CONFIG);
	assert_non_null(strstr(buf_cstr(&b), "symbolic link"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(load_folder(dir, &p, &b), ERR_CONFIG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(load_folder(dir, &p, &b), 0);
	policy_free(p);
	for (size_t i = 0; i < 5; i++) {
		static const char *const made[] = { "10.postern", "20.postern",
			"30.postern~", ".40.postern", "README" };

		(void)snprintf(path, sizeof(path), "%s/%s", dir, made[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
	buf_clear(&b);
}

static void
t_policy_load_files_missing(void **state)
{
	static const char *const path[] = { "/nonexistent/a", "/dev" };
	struct diags *d = diags_new();
	struct policy *p = NULL;
	struct buf b;

	(void)state;
	assert_int_equal(policy_load_files(path, 2, d, &p), ERR_CONFIG);
	assert_null(p);
	buf_init(&b, 4096);
	assert_int_equal(diags_print(d, &b), 0);
	assert_non_null(strstr(buf_cstr(&b), "/nonexistent/a: cannot be read: "
	    "No such file"));
	assert_non_null(strstr(buf_cstr(&b), "/dev: cannot be read: "
	    "no regular file"));
	buf_clear(&b);
	diags_free(d);
}

/* The page's example is one that loads, tests and all. */
static void
t_policy_document_example(void **state)
{
	char path[2048];
	struct buf page;
	const char *s, *end;
	struct policy *p;
	char *text;
	size_t found = 0;

	(void)state;
	buf_init(&page, 1 << 20);
	(void)snprintf(path, sizeof(path), "%s/doc/POLICY.md", source_dir());
	slurp(path, &page);
	s = buf_cstr(&page);
	while ((s = strstr(s, "```\npolicy 1\n")) != NULL) {
		s += 4;
		end = strstr(s, "```\n");
		assert_non_null(end);
		text = strndup(s, (size_t)(end - s));
		assert_non_null(text);
		(void)load(text, &p, NULL);
		assert_true(policy_nidentities(p) > 0);
		policy_free(p);
		free(text);
		found++;
		s = end;
	}
	assert_true(found > 0);
	buf_clear(&page);
}

/* -- identities -------------------------------------------------------------------- */

static const char identities[] = "policy 1\n" GITHUB
    "issuer acme { preset custom; url \"https://ci.example\"; "
    "audience \"b\" }\n"
    "identity shop from github { claim repository_id = \"7\"; "
    "claim ref = \"refs/heads/main\" }\n"
    "identity all from github { claim repository_owner_id = \"42\" }\n"
    "identity ci from acme { claim repository_id = \"7\" }\n"
    "identity tag from github { claim repository_id = \"8\"; claim ref = "
    "\"refs/heads/main\" | glob \"refs/tags/v*\"; claim environment present; "
    "claim head_ref absent }\n"
    "identity pr from github { claim repository_id = \"9\"; allow-risky "
    "pull-request; claim event_name = \"pull_request\" }\n"
    "issuer lab { preset gitlab; url \"https://lab.example\"; "
    "audience \"b\" }\n"
    "identity dba from lab { claim project_path = glob \"acme/**\" }\n"
    "identity fork from lab { claim project_id = \"5\"; allow-risky "
    "merge-request fork }\n"
    "issuer circle { preset circleci; url "
    "\"https://oidc.circleci.com/org/1\"; audience \"b\" }\n"
    "identity orb from circle { claim oidc.circleci.com/project-id = "
    "\"1\" }\n"
    "issuer azure { preset azure-devops; url "
    "\"https://vstoken.dev.azure.com/1\"; audience \"b\" }\n"
    "identity pipe from azure { claim def_id = \"12\" }\n"
    "issuer lift { preset spacelift; url "
    "\"https://acme.app.spacelift.io\"; audience \"b\" }\n"
    "identity stack from lift { claim spaceId = \"root\" }\n";
#define NIDENTITIES 10

static const struct {
	const char *issuer;
	const char *claim[9];	/* name, value, ... */
	const char *want;	/* identities, blank separated */
	const char *why;	/* part of policy_match_explain */
} matches[] = {
	{ "github", { "repository_id", "7", "ref", "refs/heads/main" },
	    "shop", "" },
	{ "github", { "repository_id", "7", "ref", "refs/heads/main",
	    "repository_owner_id", "42" }, "shop all", "" },
	{ "github", { "repository_owner_id", "42" }, "all", "" },
	{ "github", { "repository_id", "7" }, "",
	    "claim ref" },
	{ "github", { "repository_id", "7", "ref", "refs/heads/Main" }, "",
	    "nearest identity shop: claim ref has another value" },
	{ "github", { "repository_id", "70", "ref", "refs/heads/main" }, "",
	    "" },
	{ "github", { "repository_id", "", "ref", "refs/heads/main" }, "", "" },
	{ "github", { "Repository_id", "7", "ref", "refs/heads/main" }, "",
	    "" },
	{ "github", { NULL }, "", "is missing" },
	{ "acme", { "repository_id", "7", "ref", "refs/heads/main" }, "ci",
	    "" },
	{ "acme", { "repository_id", "8" }, "",
	    "nearest identity ci: claim repository_id has another value" },
	/* the custom preset knows no dangerous values */
	{ "acme", { "repository_id", "7", "event_name",
	    "pull_request_target" }, "ci", "" },
	{ "nobody", { "repository_id", "7" }, "", "" },
	{ "", { "repository_id", "7" }, "", "" },
	/* dangerous values match nobody, whatever else is right */
	{ "github", { "repository_owner_id", "42", "event_name",
	    "pull_request_target" }, "", "pull_request_target" },
	{ "github", { "repository_owner_id", "42", "event_name",
	    "workflow_run" }, "", "workflow_run" },
	{ "github", { "repository_owner_id", "42", "event_name",
	    "issue_comment" }, "", "issue_comment" },
	{ "github", { "repository_owner_id", "42", "event_name",
	    "pull_request" }, "", "pull_request" },
	{ "github", { "repository_owner_id", "42", "ref",
	    "refs/pull/7/merge" }, "", "refs/pull/" },
	{ "github", { "repository_owner_id", "42", "ref", "refs/pull/" }, "",
	    "" },
	{ "github", { "repository_owner_id", "42", "ref", "refs/pulley" },
	    "all", "" },
	{ "github", { "repository_owner_id", "42", "event_name", "push" },
	    "all", "" },
	{ "github", { "event_name", "issue_comment", "repository_owner_id",
	    "42", "ref", "refs/heads/main", "repository_id", "7" }, "", "" },
	/* choices, patterns, presence */
	{ "github", { "repository_id", "8", "ref", "refs/heads/main",
	    "environment", "p" }, "tag", "" },
	{ "github", { "repository_id", "8", "ref", "refs/tags/v1.2",
	    "environment", "p", "head_ref", "" }, "tag", "" },
	{ "github", { "repository_id", "8", "ref", "refs/tags/v1/2",
	    "environment", "p" }, "", "claim ref has another value" },
	{ "github", { "repository_id", "8", "ref", "refs/tags/v",
	    "environment", "p" }, "tag", "" },
	{ "github", { "repository_id", "8", "ref", "refs/tags/v1:x",
	    "environment", "p" }, "", "" },
	{ "github", { "repository_id", "8", "ref", "refs/tags/w",
	    "environment", "p" }, "", "" },
	{ "github", { "repository_id", "8", "ref", "refs/heads/main" }, "",
	    "claim environment is missing" },
	{ "github", { "repository_id", "8", "ref", "refs/heads/main",
	    "environment", "" }, "", "" },
	{ "github", { "repository_id", "8", "ref", "refs/heads/main",
	    "environment", "p", "head_ref", "x" }, "",
	    "claim head_ref is there" },
	{ "lab", { "project_path", "acme/shop/api" }, "dba", "" },
	{ "lab", { "project_path", "acme/" }, "dba", "" },
	{ "lab", { "project_path", "acme" }, "", "" },
	{ "lab", { "project_path", "acme-evil/shop" }, "", "" },
	{ "lab", { "project_path", "" }, "", "" },
	/* dangers opened by name, and no others */
	{ "github", { "repository_id", "9", "event_name", "pull_request",
	    "ref", "refs/pull/7/merge" }, "pr", "" },
	{ "github", { "repository_id", "9", "event_name",
	    "pull_request_target" }, "", "" },
	{ "github", { "repository_id", "9", "event_name", "push" }, "", "" },
	{ "lab", { "project_id", "5", "job_project_id", "5" }, "fork", "" },
	{ "lab", { "project_id", "5", "job_project_id", "6",
	    "pipeline_source", "merge_request_event" }, "fork", "" },
	{ "lab", { "project_path", "acme/x", "project_id", "7",
	    "job_project_id", "6" }, "", "project_id differs from "
	    "job_project_id" },
	{ "lab", { "project_id", "5", "pipeline_source",
	    "external_pull_request_event" }, "", "allow-risky "
	    "external-pull-request would open it" },
	{ "circle", { "oidc.circleci.com/project-id", "1" }, "orb", "" },
	{ "circle", { "oidc.circleci.com/project-id", "1",
	    "oidc.circleci.com/ssh-rerun", "false" }, "orb", "" },
	{ "circle", { "oidc.circleci.com/project-id", "1",
	    "oidc.circleci.com/ssh-rerun", "true" }, "", "ssh-rerun" },
	{ "azure", { "def_id", "12", "sub", "p://a/b/c" }, "pipe", "" },
	{ "azure", { "def_id", "12", "sub", "sc://a/b/c" }, "",
	    "service-connection" },
	{ "azure", { "def_id", "12" }, "", "" },
	{ "lift", { "spaceId", "root", "runType", "TRACKED" }, "stack", "" },
	{ "lift", { "spaceId", "root", "runType", "PROPOSED" }, "",
	    "proposed-run" },
};

static void
t_policy_match_table(void **state)
{
	struct policy *p;
	struct claims cs;
	bool set[NIDENTITIES];
	char names[256], why[256];
	size_t n, count;

	(void)state;
	(void)load(identities, &p, NULL);
	assert_int_equal(policy_nidentities(p), NIDENTITIES);
	for (size_t i = 0; i < N(matches); i++) {
		cs = (struct claims){ 0 };
		for (size_t k = 0; matches[i].claim[k] != NULL; k += 2)
			assert_int_equal(claims_add(&cs, matches[i].claim[k],
			    matches[i].claim[k + 1]), 0);
		memset(set, 1, sizeof(set));
		n = policy_match(p, matches[i].issuer, &cs, set);
		names[0] = '\0';
		count = 0;
		for (size_t k = 0, len = 0; k < NIDENTITIES; k++) {
			if (!set[k])
				continue;
			len += (size_t)snprintf(names + len,
			    sizeof(names) - len, "%s%s", len > 0 ? " " : "",
			    policy_identity_name(p, k));
			count++;
		}
		if (strcmp(names, matches[i].want) != 0 || n != count)
			fail_msg("%zu: %s (%zu)", i, names, n);
		policy_match_explain(p, matches[i].issuer, &cs, why,
		    sizeof(why));
		if (strstr(why, matches[i].why) == NULL)
			fail_msg("%zu: %s", i, why);
		/* a short buffer is cut, never overrun */
		policy_match_explain(p, matches[i].issuer, &cs, why, 4);
		assert_true(strlen(why) < 4);
		claims_clear(&cs);
	}
	assert_null(policy_identity_name(p, NIDENTITIES));
	policy_free(p);
}

/* A job hears of identities that are about it, and of no others. */
static void
t_policy_match_other_table(void **state)
{
	static const struct {
		const char *issuer;
		const char *claim[9];
		const char *want; /* "NAME: why", joined by "; " */
	} c[] = {
		{ "github",
		    { "repository_id", "8", "repository_owner_id", "42", "ref",
			"refs/heads/x", "environment", "p" },
		    "tag: claim ref has another value" },
		/* the id of another repository: not told */
		{ "github", { "repository_id", "6", "ref", "refs/heads/main" },
		    "" },
		/* nothing that holds */
		{ "github", { "ref", "refs/heads/other" }, "" },
		{ "github",
		    { "repository_owner_id", "42", "event_name",
			"workflow_run" },
		    "all: claim event_name is workflow_run: "
		    "it can be started by a workflow that strangers triggered; "
		    "allow-risky workflow-run would open it" },
		{ "github", { "repository_id", "9", "event_name", "push" },
		    "pr: claim event_name has another value" },
		{ "github", { "repository_id", "7" },
		    "shop: claim ref is missing" },
		{ "github",
		    { "repository_id", "8", "ref", "refs/heads/main",
			"environment", "p", "head_ref", "x" },
		    "tag: claim head_ref is there" },
		{ "nobody", { "repository_id", "7" }, "" },
	};
	struct policy *p;
	struct other o;
	struct claims cs;
	char got[1024];
	size_t n;

	(void)state;
	(void)load(identities, &p, NULL);
	for (size_t i = 0; i < N(c); i++) {
		cs = (struct claims){ 0 };
		for (size_t k = 0; k < 8 && c[i].claim[k] != NULL; k += 2)
			assert_int_equal(
			    claims_add(&cs, c[i].claim[k], c[i].claim[k + 1]),
			    0);
		got[0] = '\0';
		n = 0;
		for (size_t k = 0;
		     policy_match_other(p, c[i].issuer, &cs, k, &o) == 0; k++)
			n += (size_t)snprintf(got + n, sizeof(got) - n,
			    "%s%s: %s", k == 0 ? "" : "; ", o.identity, o.why);
		assert_string_equal(got, c[i].want);
		claims_clear(&cs);
	}
	policy_free(p);
}

static int
put_reach(void *arg, const struct target *t, const char *login, bool denied)
{
	char *to = arg;
	size_t n = strlen(to);

	(void)snprintf(
	    to + n, 512 - n, " %s+%s%s", login, t->name, denied ? "!" : "");
	return strcmp(t->name, "stop") == 0 ? ERR_TOOBIG : 0;
}

#define REACH(name, more)                                                      \
	"target " name " { ssh \"d@10.0.0.1:22\"; hostkey ssh-ed25519 "        \
	"\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"; " more " }\n"

static void
t_policy_reach_table(void **state)
{
	static const char text[] =
	    "policy 1\n" GITHUB
	    "identity a from github { claim repository_id = \"1\" }\n"
	    "identity b from github { claim repository_id = \"2\" }\n"
	    "identity c from github { claim repository_id = \"3\" }\n" REACH(
		"w1", "group web; login root")
		REACH("w2", "group web prod; login root") REACH(
		    "db", "group prod") REACH("seen",
		    "observe until 2000-02-01") "allow one for a on w1 "
						"root+@prod { run /bin/true }\n"
						"allow two for b on @web { run "
						"/bin/true }\n"
						"allow dup for b on w1 @web { "
						"run /bin/true }\n"
						"allow all for c on * { run "
						"/bin/true }\n"
						"deny no for * on db { run "
						"/bin/false }\n"
						"deny some for a on w2 { run "
						"/bin/false }\n"
						"deny r for b on root+@web "
						"{ run /bin/false }\n";
	static const struct {
		bool set[3];
		const char *want;
	} c[] = {
		{ { false, false, false }, "" },
		{ { true, false, false }, " d+w1 root+w2!" },
		{ { false, true, false }, " d+w1 d+w2" },
		{ { true, true, false }, " d+w1 d+w2! root+w2!" },
		{ { false, false, true }, " d+w1 d+w2 d+db! d+seen" },
	};
	char got[512];
	struct policy *p;

	(void)state;
	(void)load(text, &p, NULL);
	for (size_t i = 0; i < N(c); i++) {
		got[0] = '\0';
		assert_int_equal(
		    policy_reach(p, c[i].set, 0, put_reach, got), 0);
		assert_string_equal(got, c[i].want);
	}
	/* while it is observed, everybody gets there */
	got[0] = '\0';
	(void)policy_reach(p, c[0].set, 949276800, put_reach, got);
	assert_string_equal(got, " d+seen");
	got[0] = '\0';
	(void)policy_reach(p, c[0].set, 1000000000, put_reach, got);
	assert_string_equal(got, "");
	policy_free(p);
}

static void
t_issuer_ties_table(void **state)
{
	static const struct {
		const char *issuer;
		const char *claim[11];
		const char *commit, *pull, *actor, *workflow, *run;
	} c[] = {
		{ "github",
		    { "sha", "1f0c", "ref", "refs/pull/17/merge", "actor",
			"octocat", "workflow_ref", "o/r/d.yml@x", "run_id",
			"99" },
		    "1f0c", "17", "octocat", "o/r/d.yml@x", "99" },
		{ "github", { "ref", "refs/heads/main" }, NULL, "", NULL, NULL,
		    NULL },
		{ "github", { "ref", "refs/pull/x/merge", "sha", "" }, NULL, "",
		    NULL, NULL, NULL },
		{ "github", { "ref", "refs/pull/1x" }, NULL, "", NULL, NULL,
		    NULL },
		{ "github", { "ref", "refs/pull/123456789012345678901234" },
		    NULL, "", NULL, NULL, NULL },
		{ "github", { "commit", "1f0c", "run", "1" }, NULL, "", NULL,
		    NULL, NULL },
		{ "acme",
		    { "commit", "1f0c", "pull_request", "5", "actor", "a",
			"workflow", "w", "run", "1" },
		    "1f0c", "5", "a", "w", "1" },
		{ "acme", { "sha", "1f0c", "pull_request", "5; rm" }, NULL, "",
		    NULL, NULL, NULL },
		{ "lab",
		    { "sha", "1f0c", "user_login", "anna", "pipeline_id", "9",
			"ci_config_ref_uri", "g/p//.gitlab-ci.yml@x", "ref",
			"refs/pull/17/merge" },
		    "1f0c", "", "anna", "g/p//.gitlab-ci.yml@x", "9" },
		{ "azure",
		    { "rpo_ver", "1f0c", "rpo_ref", "refs/pull/17/merge",
			"def_id", "12", "run_id", "3" },
		    "1f0c", "17", NULL, "12", "3" },
		{ "circle", { "oidc.circleci.com/pipeline-id", "3" }, NULL, "",
		    NULL, NULL, "3" },
		/* a part of the subject */
		{ "circle", { "sub", "org/1/project/2/user/u-3" }, NULL, "",
		    "u-3", NULL, NULL },
		{ "circle", { "sub", "org/1/user/u-3/vcs-ref/user/x" }, NULL,
		    "", "u-3", NULL, NULL },
		{ "circle", { "sub", "org/1/project/2/user/" }, NULL, "", NULL,
		    NULL, NULL },
		{ "circle", { "sub", "org/1/project/2" }, NULL, "", NULL, NULL,
		    NULL },
		{ "circle",
		    { "sub", "/user/1234567890123456789012345678901234"
			     "567890123456789012345678901234" },
		    NULL, "", NULL, NULL, NULL },
		/* what is no hash is no commit */
		{ "azure", { "rpo_ver", "HEAD" }, NULL, "", NULL, NULL, NULL },
		{ "azure", { "rpo_ver", "abcdef0 " }, NULL, "", NULL, NULL,
		    NULL },
		{ "acme", { "commit", "r1234" }, "r1234", "", NULL, NULL,
		    NULL },
	};
	struct policy *p;
	struct claims cs;
	struct ties t;

	(void)state;
	(void)load(identities, &p, NULL);
	for (size_t i = 0; i < N(c); i++) {
		const char *want[] = { c[i].commit, c[i].actor, c[i].workflow,
			c[i].run };

		cs = (struct claims){ 0 };
		for (size_t k = 0; k < 10 && c[i].claim[k] != NULL; k += 2)
			assert_int_equal(claims_add(&cs, c[i].claim[k],
			    c[i].claim[k + 1]), 0);
		issuer_ties(policy_issuer_find(p, c[i].issuer), &cs, &t);
		const char *got[] = { t.commit, t.actor, t.workflow, t.run };

		assert_string_equal(t.pull_request, c[i].pull);
		for (size_t k = 0; k < 4; k++) {
			assert_int_equal(want[k] == NULL, got[k] == NULL);
			if (want[k] != NULL)
				assert_string_equal(got[k], want[k]);
		}
		claims_clear(&cs);
	}
	policy_free(p);
}

/* What each row of the table must be. */
static void
t_preset_table_sound(void **state)
{
	const struct preset *row = preset_table();
	size_t n = 0, k;

	(void)state;
	for (; row->name != NULL; row++, n++) {
		assert_ptr_equal(preset_find(row->name), row);
		assert_non_null(row->algorithm);
		assert_non_null(row->algorithm[0]);
		assert_true(row->max_age_s > 0 && row->max_age_s <= 3600);
		/* TOKEN_LIFE_MAX */
		assert_in_range(row->max_life_s, 0, 7 * 86400);
		assert_true(row->shared == NULL || row->pin != NULL);
		for (k = 0; row->pin != NULL && row->pin[k] != NULL; k++) {
			assert_true(preset_has_claim(row, row->pin[k]));
			assert_true(preset_is_id(row, row->pin[k]));
		}
		for (k = 0; row->risky != NULL && row->risky[k].word; k++) {
			assert_true(preset_has_claim(row,
			    row->risky[k].claim));
			assert_int_not_equal(preset_risky_word(row,
			    row->risky[k].word), 0);
			assert_true(k < PRESET_RISKY_MAX);
			if (row->risky[k].kind == RISKY_DIFFERS)
				assert_true(
				    preset_has_claim(row, row->risky[k].value));
		}
		for (k = 0; row->claim != NULL && row->claim[k].name; k++)
			assert_ptr_equal(preset_claim(row, row->claim[k].name),
			    &row->claim[k]); /* once, or not hidden */
		{
			const char *tie[] = { row->commit, row->actor,
				row->workflow, row->run, row->pull_request };

			for (k = 0; k < N(tie); k++)
				assert_true(tie[k] == NULL ||
				    preset_has_claim(row, tie[k]));
		}
	}
	assert_int_equal(n, 17);
	assert_null(preset_find("nobody"));
}

static void
t_glob_matches_table(void **state)
{
	static const struct {
		const char *pattern, *s;
		bool want;
	} c[] = {
		{ "a", "a", true }, { "a", "ab", false }, { "a", "", false },
		{ "*", "", true }, { "*", "abc", true }, { "*", "a/b", false },
		{ "*", "a:b", false }, { "**", "a/b:c", true },
		{ "**", "", true }, { "a*", "a", true }, { "*a", "aba", true },
		{ "a*b*c", "axbxc", true }, { "a*b*c", "axb/c", false },
		{ "a/*/c", "a/b/c", true }, { "a/*/c", "a//c", true },
		{ "a/*/c", "a/b/b/c", false }, { "a/**/c", "a/b/b/c", true },
		{ "a/**/c", "a/c", false }, { "a**c", "ac", true },
		{ "refs/tags/v*", "refs/tags/v1.2", true },
		{ "refs/tags/v*", "xrefs/tags/v1.2", false },
		{ "*x**y*", "axb/cyd", true }, { "*x**y*", "axb/cy/d", false },
		{ "a*", "a*", true }, { "*a*", "**", false },
	};
	static char long_s[30000];
	char pattern[GLOB_MAX + 1];

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		if (glob_matches(c[i].pattern, "/:", c[i].s,
		    strlen(c[i].s)) != c[i].want)
			fail_msg("%s %s", c[i].pattern, c[i].s);
	}
	/* what makes backtracking matchers take for ever */
	memset(long_s, 'a', sizeof(long_s));
	for (size_t i = 0; i < GLOB_MAX; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	pattern[GLOB_MAX] = '\0';
	pattern[GLOB_MAX - 1] = 'b';
	assert_null(glob_wrong(pattern));
	assert_false(glob_matches(pattern, "/:", long_s, sizeof(long_s)));
	assert_non_null(glob_wrong(""));
	assert_non_null(glob_wrong("a***"));
	assert_non_null(glob_wrong("a?"));
}

static void
t_policy_free_null(void **state)
{
	(void)state;
	policy_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_policy_load_bad),
		cmocka_unit_test(t_policy_load_example),
		cmocka_unit_test(t_policy_load_prefixes),
		cmocka_unit_test(t_policy_load_issuer),
		cmocka_unit_test(t_policy_load_target),
		cmocka_unit_test(t_target_login_table),
		cmocka_unit_test(t_policy_load_several),
		cmocka_unit_test(t_policy_load_folder_rules),
		cmocka_unit_test(t_policy_load_files_missing),
		cmocka_unit_test(t_policy_document_example),
		cmocka_unit_test(t_policy_match_table),
		cmocka_unit_test(t_policy_match_other_table),
		cmocka_unit_test(t_policy_reach_table),
		cmocka_unit_test(t_issuer_ties_table),
		cmocka_unit_test(t_preset_table_sound),
		cmocka_unit_test(t_glob_matches_table),
		cmocka_unit_test(t_policy_free_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
