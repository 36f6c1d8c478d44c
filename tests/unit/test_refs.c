/*
 * The lines about refs that go to the hop: what they answer for a ref is what
 * decide() answers, whoever reads them.
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
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/refs.h"
#include "policy/refset.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const char policy_text[] =
    "policy 1\n"
    "issuer g { preset github; audience \"x\" }\n"
    "issuer p { preset people; url \"https://p.example\"; audience \"x\" }\n"
    "identity dev from g { claim repository_id = \"1\" }\n"
    "person anna { token p { claim email = \"a@x\" } }\n"
    "people boss { anna }\n"
    "type stage = enum blue green\n"
    "target web-1 { ssh \"deploy@h:22\"; hostkey ssh-ed25519 "
    "\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\" }\n"
    "target new-1 { ssh \"deploy@h:22\"; observe until 2027-01-01; "
    "hostkey ssh-ed25519 "
    "\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\" }\n"
    "allow code for dev on web-1 { git write /srv/a.git refs "
    "\"refs/heads/main\" \"refs/heads/f/*\" \"refs/deep/**\" "
    "\"refs/tags/v<int 1..9>.<int>\" \"refs/env/<stage>/x\" "
    "\"refs/sha/<sha>\" \"refs/sem/<semver>-x\" "
    "\"refs/mine/<claim repository_id>\" \"refs/none/<claim environment>\"; "
    "limit duration 10m }\n"
    "allow more for dev on web-1 { git write /srv/a.git refs \"refs/more/*\"; "
    "limit duration 5m }\n"
    "allow only for dev on web-1 { git write /srv/a.git refs "
    "\"refs/only/<claim environment>\" }\n"
    "allow asks for dev on web-1 { git write /srv/a.git refs \"refs/asks/*\"; "
    "require 1 approval from boss within 1m valid 1m }\n"
    "deny never for * on * { git write /srv/a.git refs \"refs/heads/f/no\" "
    "\"refs/deny/<claim environment>\"; git write /srv/all.git refs "
    "\"refs/heads/keys\" }\n"
    "allow all for dev on web-1 { git write /srv/all.git; "
    "git read /srv/all.git }\n";

static const char *const names[] = { "refs/heads/main", "refs/heads/mainx",
	"refs/heads/f/x", "refs/heads/f/x/y", "refs/heads/f/no", "refs/heads/f",
	"refs/deep/a/b/c", "refs/tags/v1.0", "refs/tags/v10.0",
	"refs/tags/v1.01", "refs/env/blue/x", "refs/env/red/x",
	"refs/sha/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "refs/sha/aaaa",
	"refs/sem/1.2.3-x", "refs/sem/1.2-x", "refs/mine/1", "refs/mine/2",
	"refs/none/", "refs/none/x", "refs/only/x", "refs/more/a",
	"refs/deny/x", "refs/heads/keys", "refs/other" };

struct world {
	struct policy *p;
	struct diags *diags;
	struct claims cs;
	bool who[8];
	struct request q;
	struct command *c;
};

static void
setup(struct world *w, const char *target, const char *command)
{
	static const char *const name[] = { "t.postern" };
	const char *text = policy_text;
	size_t len = strlen(policy_text);
	struct command_error e;

	*w = (struct world){ .diags = diags_new() };
	if (policy_load_text(name, &text, &len, 1, w->diags, &w->p) != 0) {
		struct buf b;

		buf_init(&b, 65536);
		(void)diags_print(w->diags, &b);
		fail_msg("%s", buf_cstr(&b));
	}
	w->who[0] = true;
	assert_int_equal(claims_add(&w->cs, "repository_id", "1"), 0);
	assert_int_equal(command_parse(command, strlen(command), &w->c, &e), 0);
	w->q = (struct request){ .policy = w->p,
		.identity = w->who,
		.claims = &w->cs,
		.target = policy_target_find(w->p, target),
		.login = "deploy",
		.command = w->c,
		.now = 1795000000, /* 2026-11-18 */
		.enforces = ENFORCE_BASTION };
}

static void
teardown(struct world *w)
{
	command_free(w->c);
	claims_clear(&w->cs);
	policy_free(w->p);
	diags_free(w->diags);
}

/* What decide() answers for one ref. */
static bool
decided(const struct world *w, enum request_kind kind, const char *path,
    const char *ref)
{
	struct request one = w->q;
	struct decision d;

	one.kind = kind;
	one.path = path;
	one.ref = ref;
	decide(&one, &d);
	return d.verdict == VERDICT_ALLOW;
}

static void
same(const struct world *w, enum request_kind kind, const char *path,
    const struct refset *s)
{
	const struct ref_line *l;

	for (size_t i = 0; i < N(names); i++) {
		l = refset_judge(s, names[i]);
		if ((l != NULL && !l->deny) != decided(w, kind, path, names[i]))
			fail_msg("%s: %s", path, names[i]);
	}
}

static void
check(const char *target, const char *command, enum request_kind kind,
    const char *path, bool refs, bool all, uint32_t seconds)
{
	struct refset here, there;
	struct decision d;
	struct world w;
	struct buf b;

	setup(&w, target, command);
	decide(&w.q, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_int_equal(d.refs, refs);
	refs_join(&w.q, &d);
	assert_int_equal(d.limit.duration_s, seconds);
	assert_int_equal(refs_gather(&w.q, &d, &here), 0);
	buf_init(&b, 160 * 1024);
	assert_int_equal(refset_put(&here, &w.cs, &b), 0);
	assert_int_equal(refset_get(&b, &there), 0);
	assert_int_equal(buf_end(&b), 0);
	assert_int_equal(refset_is_all(&there), all);
	/* the hop has no claims: they were written out */
	same(&w, kind, path, &there);
	refset_clear(&here);
	refset_clear(&there);
	buf_clear(&b);
	teardown(&w);
}

static void
t_as_decided(void **state)
{
	(void)state;
	check("web-1", "git-receive-pack /srv/a.git", REQUEST_GIT_WRITE,
	    "/srv/a.git", true, false, 300);
	check("web-1", "git-receive-pack /srv/all.git", REQUEST_GIT_WRITE,
	    "/srv/all.git", true, false, 0);
	check("web-1", "git-upload-pack /srv/all.git", REQUEST_GIT_READ,
	    "/srv/all.git", false, true, 0);
	/* where it is only observed, deny rules still deny */
	check("new-1", "git-receive-pack /srv/all.git", REQUEST_GIT_WRITE,
	    "/srv/all.git", true, false, 0);
	check("new-1", "git-upload-pack /srv/b.git", REQUEST_GIT_READ,
	    "/srv/b.git", false, true, 0);
}

/* Cut anywhere, it is nothing. */
static void
t_reads_strictly(void **state)
{
	static const char *const bad[] = {
		/* a count without its lines; odd flag; no rule; odd piece;
		 * values that are not sorted; a minimum above its maximum */
		"\0\0\0\1",
		"\0\0\0\1\0\0\0\1a\2\0\0\0\0",
		"\0\0\0\1\0\0\0\0\0\0\0\0\0",
		"\0\0\0\1\0\0\0\1a\0\0\0\0\1\0\0\0\0\0\0\0\1\5",
		"\0\0\0\1\0\0\0\1a\0\0\0\0\1\0\0\0\0\0\0\0\1\2\0\0\0\2\0\0\0\1b"
		"\0\0\0\1a",
		"\0\0\0\1\0\0\0\1a\0\0\0\0\1\0\0\0\0\0\0\0\1\1\0\0\0\0\0\0\0\2"
		"\0\0\0\0\0\0\0\1",
		"\0\0\0\1\0\0\0\1a\0\0\0\0\1\0\0\0\3***",
		"\0\0\0\1\0\0\0\1a\0\0\0\0\1\0\0\0\0\0\0\0\0",
	};
	static const size_t len[] = { 4, 14, 13, 23, 37, 39, 21, 22 };
	struct refset s;
	struct decision d;
	struct world w;
	struct buf b, cut;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		buf_view(&b, bad[i], len[i]);
		if (refset_get(&b, &s) != ERR_FORMAT)
			fail_msg("%zu", i);
	}
	setup(&w, "web-1", "git-receive-pack /srv/a.git");
	decide(&w.q, &d);
	assert_int_equal(refs_gather(&w.q, &d, &s), 0);
	buf_init(&b, 160 * 1024);
	assert_int_equal(refset_put(&s, &w.cs, &b), 0);
	refset_clear(&s);
	for (size_t n = 0; n < buf_len(&b); n++) {
		buf_view(&cut, buf_ptr(&b), n);
		assert_int_not_equal(refset_get(&cut, &s), 0);
	}
	buf_clear(&b);
	teardown(&w);
}

static void
t_bounds(void **state)
{
	struct ref_line line[REFSET_MAX + 1];
	struct refset s = { .line = line, .n = REFSET_MAX }, again;
	struct buf b;

	(void)state;
	for (size_t i = 0; i <= REFSET_MAX; i++)
		line[i] = (struct ref_line){ .rule = "a" };
	buf_init(&b, 160 * 1024);
	assert_int_equal(refset_put(&s, NULL, &b), 0);
	assert_int_equal(refset_get(&b, &again), 0);
	assert_int_equal(again.n, REFSET_MAX);
	refset_clear(&again);
	s.n++;
	buf_reset(&b);
	assert_int_equal(refset_put(&s, NULL, &b), ERR_TOOBIG);
	assert_int_equal(buf_put_u32(&b, REFSET_MAX + 1), 0);
	assert_int_equal(buf_put(&b, policy_text, REFSET_MAX + 1), 0);
	assert_int_equal(refset_get(&b, &again), ERR_FORMAT);
	buf_clear(&b);
	/* nothing is no ref */
	s = (struct refset){ .n = 0 };
	assert_false(refset_is_all(&s));
	assert_null(refset_judge(&s, "refs/heads/main"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_as_decided),
		cmocka_unit_test(t_reads_strictly),
		cmocka_unit_test(t_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
