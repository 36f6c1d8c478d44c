/*
 * A session of files: what its lines let through is what decide() allows, path
 * by path, or less; and what is not granted has its reason.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/claims.h"
#include "policy/decide.h"
#include "policy/files.h"
#include "policy/policy.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define ALL (~0u)
#define TUESDAY 1795514400 /* 2026-11-24 10:00 UTC */

enum { SFTP = 1, SCP = 2, RSYNC = 4 };

#define HEAD                                                                   \
	"policy 1\n"                                                           \
	"issuer github { preset github; audience \"bastion\" }\n"              \
	"identity job from github { claim repository_id = \"1\" }\n"           \
	"identity other from github { claim repository_id = \"2\" }\n"         \
	"issuer okta { preset people; url \"https://o.example\"; "             \
	"audience \"p\" }\n"                                                   \
	"person ann { token okta { claim sub = \"7\" } }\n"                    \
	"people some { ann }\n"                                                \
	"target web-1 { ssh \"d@10.0.3.11:22\"; hostkey ssh-ed25519 "          \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\"; login root "  \
	"}\n"                                                                  \
	"target web-2 { ssh \"d@10.0.3.12:22\"; hostkey ssh-ed25519 "          \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\"; "             \
	"observe until 2026-12-24 }\n"

struct who {
	struct policy *p;
	struct claims cs;
	bool set[2];
	struct request q;
};

static void
who_init(struct who *w, const char *text, const char *target)
{
	static const char *const name[] = { "t.postern" };
	struct diags *d = diags_new();
	size_t len = strlen(text);
	struct buf b;

	*w = (struct who){ .p = NULL };
	if (policy_load_text(name, &text, &len, 1, d, &w->p) != 0) {
		buf_init(&b, 1 << 20);
		(void)diags_print(d, &b);
		fail_msg("%s", buf_cstr(&b));
	}
	diags_free(d);
	assert_int_equal(claims_add(&w->cs, "repository_id", "1"), 0);
	assert_int_equal(policy_match(w->p, "github", &w->cs, w->set), 1);
	w->q = (struct request){ .policy = w->p,
		.identity = w->set,
		.claims = &w->cs,
		.target = policy_target_find(w->p, target),
		.login = "d",
		.kind = REQUEST_READ,
		.how = SFTP,
		.now = TUESDAY,
		.enforces = ALL & ~(unsigned int)ENFORCE_APPROVALS };
}

static void
who_clear(struct who *w)
{
	claims_clear(&w->cs);
	policy_free(w->p);
}

static const char *const paths[] = { "/", "/srv", "/srv/", "/srv/app",
	"/srv/app/x", "/srv/appx", "/srv/app/etc", "/srv/app/etc/x",
	"/srv/app/etcx", "/srv/app/big", "/srv/app/big/x/y", "/srv/app/../x",
	"/srv/pages/1", "/srv/pages/1/x", "/srv/pages/2", "/srv/rel/v1-x/y",
	"/srv/rel/v3-x", "/srv/rel/v2-x", "/srv/n/0", "/srv/n/1/x", "/srv/n/9",
	"/srv/n/10", "/srv/n/01", "/srv/far/123456", "/srv/far", "/srv/farm",
	"/srv/any/x/k", "/srv/any/x", "/srv/any", "/srv/keys/a", "/srv/slow/x",
	"/home/a/.ssh/k", "/home/a/x", "/home", "/etc/passwd", "srv/app", "",
	"/srv/\xff", "/srv//app" };

/* Both, of one path. */
static void
compare(struct who *w, const struct files *f, enum request_kind kind,
    const char *path, bool same)
{
	bool write = kind == REQUEST_WRITE;
	const struct file_line *l = files_judge(f, write, path);
	struct request q = w->q;
	struct decision d;

	q.kind = kind;
	q.path = path;
	decide(&q, &d);
	/* Nobody asks for a path of another form. */
	same = same && path_is_plain(path, strlen(path));
	if (l == NULL && (!same || d.verdict != VERDICT_ALLOW))
		return;
	if (l == NULL || d.verdict != VERDICT_ALLOW ||
	    strcmp(l->rule, d.rule_name) != 0)
		fail_msg("%s %s by %u: %s, but decide() says %s by %s",
		    write ? "write" : "read", path, q.how,
		    l == NULL ? "nothing" : l->rule,
		    d.verdict == VERDICT_ALLOW ? "yes" : "no", d.rule_name);
	assert_int_equal(l->max, d.transfer_max);
	assert_int_equal(l->no_delete, d.no_delete);
	assert_int_equal(l->no_symlinks, d.no_symlinks);
}

/* What a policy's session lets through, beside what it should. */
static void
t_files_decide_as_decide(void **state)
{
	static const struct {
		const char *text;
		bool same; /* nothing of it is beyond a session's lines */
	} c[] = {
		{ "", true },
		{ "type rel = enum v1 v2\n"
		  "defaults { limit duration 9m; mask secrets }\n"
		  "allow put for job on web-1 {\n"
		  "    write under /srv/app by sftp scp-legacy max 5MiB "
		  "no-delete\n"
		  "    write under /srv/pages/<claim repository_id> by sftp\n"
		  "    write under /srv/rel/<rel>-x by sftp\n"
		  "    write under /srv/n/<int 1..9> by scp-legacy sftp\n"
		  "    read under /srv by sftp }\n"
		  "allow slow for job on web-1 { write under /srv by sftp\n"
		  "    require 1 approval from some within 5m valid 5m }\n"
		  "allow more for job on web-1 { write under /srv/app/big by "
		  "sftp }\n"
		  "deny no for * on * { write under /srv/app/etc by sftp "
		  "scp-legacy; read under /srv/keys by sftp }\n",
		    true },
		/* times, other places, other logins, other people */
		{ "allow a for job on web-1 { write under /srv by sftp; window "
		  "Mon 09:00-11:00 UTC }\n"
		  "allow b for job on web-1 { read under /srv by sftp; window "
		  "Tue 09:00-11:00 UTC }\n"
		  "allow c for other on web-1 { write under /home by sftp }\n"
		  "allow d for job on web-2 { write under /home by sftp }\n"
		  "allow e for job on root+web-1 { write under /etc by sftp }\n"
		  "deny f for * on * { read under /srv/app by sftp; window "
		  "Wed 09:00-11:00 UTC }\n"
		  "deny g for other on * { read under /srv by sftp }\n"
		  "deny h for job on * { read under /srv/n by sftp; window "
		  "Tue 00:00-24:00 UTC }\n",
		    true },
		/* the better line of two, whatever their order */
		{ "allow a for job on web-1 { write under /srv by sftp max "
		  "1KiB; write under /srv by sftp max 2KiB no-symlinks }\n"
		  "allow b for job on web-1 { write under /srv/app by sftp "
		  "no-delete }\n"
		  "allow c for job on web-1 { write under /srv/app by sftp; "
		  "limit rate 5 per 1h }\n",
		    true },
		/* floors: a demand of every path beneath */
		{ "allow a for job on web-1 { write under /srv by sftp; read "
		  "under /srv by sftp }\n"
		  "allow b for job on web-1 { write under /srv/app by sftp; "
		  "floor; require 1 approval from some within 5m valid 5m }\n",
		    true },
		/* more forms than can be written out */
		{ "allow a for job on web-1 { write under /srv/far/<int "
		  "1..999999> by "
		  "sftp; read under /srv/any/<host>/k by sftp; write under "
		  "/home by sftp; write under /srv/n by sftp }\n"
		  "deny b for * on * { write under /home/<host>/.ssh by sftp; "
		  "write under /srv/n/<int 5..500> by sftp }\n",
		    false },
		{ "deny b for * on * { write under /x<semver> by sftp }\n"
		  "allow a for job on web-1 { write under /srv by sftp }\n",
		    false },
		/* demands that cannot be kept */
		{ "allow a for job on web-1 { write under /srv by sftp; "
		  "text-only }\n"
		  "allow b for job on web-1 { write under /srv/app by sftp; "
		  "read under /srv by sftp }\n",
		    false },
	};
	char *text;
	struct who w;
	struct files f;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		assert_true(asprintf(&text, "%s%s", HEAD, c[i].text) > 0);
		for (unsigned int k = 0; k < 8; k++) {
			who_init(&w, text, k < 4 ? "web-1" : "web-2");
			w.q.how = k % 2 == 0 ? SFTP : SCP;
			w.q.now = k % 4 < 2 ? TUESDAY : 0;
			w.q.enforces &= ~(unsigned int)ENFORCE_TEXT_ONLY;
			assert_int_equal(files_decide(&w.q, &f), 0);
			for (size_t j = 0; j < N(paths); j++) {
				compare(
				    &w, &f, REQUEST_READ, paths[j], c[i].same);
				compare(
				    &w, &f, REQUEST_WRITE, paths[j], c[i].same);
			}
			files_clear(&f);
			who_clear(&w);
		}
		free(text);
	}
}

static void
t_files_decide_session(void **state)
{
	struct who w;
	struct files f;

	(void)state;
	who_init(&w,
	    HEAD "allow look for job on web-1 { read under /var/log by sftp\n"
		 "    limit output 5MiB; limit duration 9m }\n"
		 "allow ship for job on web-1 { write under /srv by sftp\n"
		 "    write under /opt by sftp; limit duration 3m }\n"
		 "allow other for job on web-1 { write under /x by rsync }\n",
	    "web-1");
	assert_int_equal(files_decide(&w.q, &f), 0);
	assert_int_equal(f.d.verdict, VERDICT_ALLOW);
	assert_string_equal(f.names, "ship, look");
	assert_string_equal(f.d.rule_name, "ship");
	assert_string_equal(f.d.identity_name, "job");
	assert_true(f.reads && f.writes && f.d.stdin_ok && !f.d.pty);
	assert_int_equal(f.n, 3);
	/* the smallest of each */
	assert_int_equal(f.d.limit.duration_s, 180);
	assert_int_equal(f.d.limit.output, 5 << 20);
	files_clear(&f);
	/* nothing that the caller cannot do, nothing with a terminal */
	w.q.enforces &= ~(unsigned int)ENFORCE_FILES;
	assert_int_equal(files_decide(&w.q, &f), 0);
	assert_int_equal(f.d.verdict, VERDICT_DENY);
	files_clear(&f);
	w.q.enforces = ALL;
	w.q.pty = true;
	assert_int_equal(files_decide(&w.q, &f), 0);
	assert_int_equal(f.d.verdict, VERDICT_DENY);
	files_clear(&f);
	who_clear(&w);
}

/* On a target that is observed everything may be moved that no rule denies. */
static void
t_files_decide_observed(void **state)
{
	struct who w;
	struct files f;

	(void)state;
	who_init(&w, HEAD "deny keys for * on * { read under /root by sftp }\n",
	    "web-2");
	assert_int_equal(files_decide(&w.q, &f), 0);
	assert_int_equal(f.d.verdict, VERDICT_ALLOW);
	assert_true(f.d.would_deny && f.d.rule == NULL);
	assert_non_null(files_judge(&f, false, "/etc/passwd"));
	assert_non_null(files_judge(&f, true, "/root/x"));
	assert_null(files_judge(&f, false, "/root/x"));
	files_clear(&f);
	w.set[0] = w.set[1] = false; /* nobody */
	assert_int_equal(files_decide(&w.q, &f), 0);
	assert_int_equal(f.d.verdict, VERDICT_DENY);
	files_clear(&f);
	who_clear(&w);
}

/* `n` lines of `text` that has a number in it. */
static char *
many(size_t n, const char *text)
{
	char *all = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&all, &size);

	(void)fputs(HEAD, out);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(
		    out, "allow r%zu for job on web-1 { %s }\n", i, text);
	(void)fclose(out);
	return all;
}

static void
t_files_decide_bounds(void **state)
{
	const struct {
		size_t n;
		const char *text;
		int want;
	} c[] = {
		{ 256, "read under /srv by sftp", 0 },
		{ 257, "read under /srv by sftp", ERR_TOOBIG },
		{ 2, "read under /srv/<int 1..100>/x by sftp", 0 },
		{ 3, "read under /srv/<int 1..100>/x by sftp", ERR_TOOBIG },
	};
	struct who w;
	struct files f;
	char *text;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		text = many(c[i].n, c[i].text);
		who_init(&w, text, "web-1");
		assert_int_equal(files_decide(&w.q, &f), c[i].want);
		assert_true(strlen(f.names) <= FILES_NAMES_MAX);
		if (c[i].n == 256)
			assert_non_null(strstr(f.names, ", ..."));
		if (c[i].want != 0)
			assert_int_equal(f.d.verdict, VERDICT_DENY);
		files_clear(&f);
		who_clear(&w);
		free(text);
	}
}

static void
t_files_explain(void **state)
{
	static const struct {
		const char *text, *words;
	} c[] = {
		{ "", "you are job" },
		{ "allow a for job on web-1 { write under /s by rsync }",
		    "in another way: rule `a`" },
		{ "allow a for job on web-1 { write under /s by sftp; window "
		  "Mon 09:00-10:00 UTC }",
		    "now it is Tue 10:00 in UTC" },
		{ "allow a for job on web-1 { write under /s by sftp; require "
		  "1 approval from some within 5m valid 5m }",
		    "rule `a` asks for approvals" },
		{ "allow a for job on web-1 { write under /s by sftp; "
		  "text-only }",
		    "demands `text-only`" },
		{ "allow a for job on web-1 { write under /s/<sha> by sftp }",
		    "too many folders" },
	};
	struct who w;
	struct files f;
	struct buf b;
	char *text;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		assert_true(asprintf(&text, "%s%s\n", HEAD, c[i].text) > 0);
		who_init(&w, text, "web-1");
		w.q.enforces &= ~(unsigned int)ENFORCE_TEXT_ONLY;
		assert_int_equal(files_decide(&w.q, &f), 0);
		assert_int_equal(f.d.verdict, VERDICT_DENY);
		buf_init(&b, 1 << 20);
		assert_int_equal(files_explain(&w.q, &f, &b), 0);
		if (strstr(buf_cstr(&b), c[i].words) == NULL)
			fail_msg("no `%s` in:\n%s", c[i].words, buf_cstr(&b));
		assert_non_null(strstr(buf_cstr(&b), "postern: denied: "));
		buf_clear(&b);
		files_clear(&f);
		who_clear(&w);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_files_decide_as_decide),
		cmocka_unit_test(t_files_decide_session),
		cmocka_unit_test(t_files_decide_observed),
		cmocka_unit_test(t_files_decide_bounds),
		cmocka_unit_test(t_files_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
