/*
 * Decisions about what stands beside a command's words: folders, variables,
 * pipelines; and about what is no command: files, repositories, shells,
 * variables of the session, targets that are observed.  Most lines are ways to
 * get past a rule.
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
#include "policy/claims.h"
#include "policy/decide.h"
#include "policy/policy.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define ALL (~0u)

#define HEAD                                                                   \
	"policy 1\n"                                                           \
	"issuer github { preset github; audience \"bastion\" }\n"              \
	"identity job from github { claim repository_id = \"1\" }\n"           \
	"identity other from github { claim repository_id = \"2\" }\n"         \
	"target web-1 { ssh \"d@10.0.3.11:22\"; hostkey ssh-ed25519 "          \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\"; group web; "  \
	"login root }\n"                                                       \
	"target web-2 { ssh \"d@10.0.3.12:22\"; hostkey ssh-ed25519 "          \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\"; group web "   \
	"}\n"

static const char rules[] =
    HEAD "program sctl = /usr/bin/systemctl\n"
	 "program grep = /usr/bin/grep on web-1\n"
	 "program grep = /opt/bin/grep on web-2\n"
	 "program cat = /bin/cat\n"
	 "allow pipe for job on @web {\n"
	 "    run cat <int 1..9> | grep -F -e <text 1..5>\n"
	 "    run cat <int 1..9> | grep x | /usr/bin/wc [-l]\n"
	 "    run sctl restart <any>\n"
	 "    run sctl restart <any> | cat\n"
	 "    run cat 1 | sctl restart <any>\n"
	 "}\n"
	 "allow env for job on @web {\n"
	 "    run A=(x | y) B=<int 1..5> /bin/env1\n"
	 "    run /bin/env2\n"
	 "    run LD_PRELOAD=<any> /bin/env3\n"
	 "    run cat 1 | C=<text 1..5> /bin/env4\n"
	 "}\n"
	 "allow dir for job on @web {\n"
	 "    run in </srv/app/**> /bin/in1\n"
	 "    run in </srv/app/**> A=1 cat 1 | cat\n"
	 "    run /bin/in2\n"
	 "    run in </srv/app/**> /bin/in3\n"
	 "    run /bin/in3\n"
	 "}\n"
	 "deny never for * on * { run sctl <any>... db <any>... }\n"
	 "deny preload for * on * { run LD_PRELOAD=<any> <any>... }\n"
	 "deny there for * on * { run in </srv/app/secret/**> <any>...\n"
	 "    run in </srv/app/home/**> /bin/in3 }\n"
	 "deny both for * on * { run cat 9 | grep -F <any>... }\n";

static struct policy *
load(const char *text)
{
	static const char *const name[] = { "t.postern" };
	struct diags *d = diags_new();
	struct policy *p = NULL;
	size_t len = strlen(text);
	struct buf b;

	if (policy_load_text(name, &text, &len, 1, d, &p) != 0) {
		buf_init(&b, 1 << 20);
		(void)diags_print(d, &b);
		fail_msg("%s", buf_cstr(&b));
	}
	diags_free(d);
	return p;
}

struct who {
	struct policy *p;
	struct claims cs;
	bool set[2];
	struct request q;
};

static void
who_init(struct who *w, const char *text)
{
	*w = (struct who){ .p = load(text) };
	assert_int_equal(claims_add(&w->cs, "repository_id", "1"), 0);
	assert_int_equal(policy_match(w->p, "github", &w->cs, w->set), 1);
	w->q = (struct request){ .policy = w->p,
		.identity = w->set,
		.claims = &w->cs,
		.target = policy_target_find(w->p, "web-1"),
		.login = "d",
		.enforces = ALL };
}

static void
who_clear(struct who *w)
{
	claims_clear(&w->cs);
	policy_free(w->p);
}

static void
ask(struct who *w, const char *text, struct decision *d)
{
	struct command *c = NULL;
	struct command_error err;
	struct buf b;

	if (command_parse(text, strlen(text), &c, &err) != 0)
		fail_msg("%s: %s", text, err.what);
	w->q.command = c;
	memset(d, 0xff, sizeof(*d));
	decide(&w->q, d);
	/* whatever it is, it can be explained */
	buf_init(&b, 1 << 20);
	assert_int_equal(decide_explain(&w->q, d, &b), 0);
	assert_int_equal(strncmp(buf_cstr(&b), "postern:", 8), 0);
	buf_clear(&b);
	command_free(c);
	w->q.command = NULL;
}

static void
t_judge_lines(void **state)
{
	static const struct {
		const char *command, *rule;
		bool allow;
	} c[] = {
		/* a pipeline is exactly that pipeline */
		{ "cat 1 | grep -F -e x", "pipe", true },
		{ "/bin/cat 1 | /usr/bin/grep -F -e x", "pipe", true },
		{ "cat 1 | grep x | /usr/bin/wc", "pipe", true },
		{ "cat 1 | grep x | /usr/bin/wc -l", "pipe", true },
		{ "cat 1", "default", false },
		{ "grep -F -e x", "default", false },
		{ "grep -F -e x | cat 1", "default", false },
		{ "cat 1 | grep x", "default", false },
		{ "cat 1 | grep -F -e -x", "default", false },
		{ "cat 1 | grep -F -e x | cat 1", "default", false },
		{ "cat 1 | cat 1 | grep -F -e x", "default", false },
		{ "cat 1 | grep x | grep x | /usr/bin/wc", "default", false },
		{ "cat 1 '|' grep -F -e x", "default", false },
		{ "cat 1 | /opt/bin/grep -F -e x", "default", false },
		/* a deny reaches every stage, folder and variable */
		{ "sctl restart web", "pipe", true },
		{ "sctl restart web | cat", "pipe", true },
		{ "sctl restart db", "never", false },
		{ "sctl restart db | cat", "never", false },
		{ "cat 1 | sctl restart db", "never", false },
		{ "cat 1 | /usr/bin/systemctl restart db", "never", false },
		{ "A=1 sctl restart db", "never", false },
		{ "A=1 B=2 /usr/bin/systemctl restart db", "never", false },
		{ "cat 1 | A=1 sctl restart db", "never", false },
		{ "cd / && sctl restart db", "never", false },
		{ "cd /tmp && A=1 cat 1 | B=2 sctl restart db", "never",
		    false },
		{ "cat 9 | grep -F -e x", "both", false },
		{ "cat 1 | cat 9 | grep -F -e x | cat", "both", false },
		{ "A=1 cat 9 | B=1 grep -F", "both", false },
		{ "cat 9 | cat | grep -F -e x", "default", false },
		/* variables */
		{ "A=x B=1 /bin/env1", "env", true },
		{ "B=1 A=y /bin/env1", "env", true },
		{ "A=x /bin/env1", "default", false },
		{ "A=z B=1 /bin/env1", "default", false },
		{ "A=x B=6 /bin/env1", "default", false },
		{ "A=x B=1 C=1 /bin/env1", "default", false },
		{ "A=x A=x /bin/env1", "default", false },
		{ "A=x B=1 B=1 /bin/env1", "default", false },
		{ "A=x B=1 B=/ /bin/env1", "default", false },
		{ "AA=x B=1 /bin/env1", "default", false },
		{ "'A=x' B=1 /bin/env1", "default", false },
		{ "/bin/env1", "default", false },
		{ "/bin/env2", "env", true },
		{ "A=1 /bin/env2", "default", false },
		{ "LD_PRELOAD=/x /bin/env2", "preload", false },
		{ "LD_PRELOAD=/x /bin/env3", "preload", false },
		{ "LD_PRELOAD= /bin/env3", "preload", false },
		{ "A=1 LD_PRELOAD=/x cat 1 | grep -F -e x", "preload", false },
		{ "cat 1 | LD_PRELOAD=/x grep -F -e x", "preload", false },
		{ "LD_PRELOADX=/x /bin/env3", "default", false },
		{ "cat 1 | C=a /bin/env4", "env", true },
		{ "C=a cat 1 | /bin/env4", "default", false },
		{ "C=a cat 1 | C=a /bin/env4", "default", false },
		/* folders */
		{ "cd /srv/app/x && /bin/in1", "dir", true },
		{ "cd /srv/app/x/y && A=1 cat 1 | cat", "dir", true },
		{ "/bin/in1", "default", false },
		{ "cd /srv/app && /bin/in1", "default", false },
		{ "cd /srv/apps/x && /bin/in1", "default", false },
		{ "cd /etc && /bin/in1", "default", false },
		{ "/bin/in2", "dir", true },
		{ "cd /srv/app/x && /bin/in2", "default", false },
		{ "cd /srv/app/x && A=1 cat 1", "default", false },
		{ "cd /srv/app/secret/x && /bin/in1", "there", false },
		{ "/bin/in3", "dir", true },
		{ "cd /srv/app/x && /bin/in3", "dir", true },
		{ "cd /srv/app/home/x && /bin/in3", "there", false },
	};
	struct decision d;
	struct who w;

	(void)state;
	who_init(&w, rules);
	for (size_t i = 0; i < N(c); i++) {
		ask(&w, c[i].command, &d);
		if (strcmp(d.rule_name, c[i].rule) != 0 ||
		    (d.verdict == VERDICT_ALLOW) != c[i].allow)
			fail_msg("%s: %x by %s", c[i].command,
			    (unsigned int)d.verdict, d.rule_name);
		assert_true(d.verdict == VERDICT_ALLOW || d.program[0] == NULL);
	}
	who_clear(&w);
}

/* What a name means hangs on the target. */
static void
t_judge_programs(void **state)
{
	struct decision d;
	struct who w;

	(void)state;
	who_init(&w, rules);
	ask(&w, "cat 1 | grep -F -e x", &d);
	assert_string_equal(d.program[0], "/bin/cat");
	assert_string_equal(d.program[1], "/usr/bin/grep");
	assert_null(d.program[2]);
	w.q.target = policy_target_find(w.p, "web-2");
	ask(&w, "cat 1 | grep -F -e x", &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_string_equal(d.program[1], "/opt/bin/grep");
	ask(&w, "cat 1 | /opt/bin/grep -F -e x", &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	ask(&w, "cat 1 | /usr/bin/grep -F -e x", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	who_clear(&w);
}

static const char files[] = HEAD
    "issuer okta { preset people; url \"https://o.example\"; "
    "audience \"p\" }\n"
    "person ann { token okta { claim sub = \"7\" } }\npeople some { ann }\n"
    "type rel = enum v1 v2\n"
    "defaults { limit duration 9m }\n"
    "allow put for job on @web {\n"
    "    write under /srv/app by sftp scp-legacy max 5MiB no-delete\n"
    "    write under /srv/pages/<claim repository_id> by rsync\n"
    "    write under /srv/rel/<rel>-x by sftp\n"
    "    read under /srv by sftp\n"
    "    git read /git/<claim repository_id>.git\n"
    "    git write /git/a.git refs \"refs/heads/f/*\" "
    "\"refs/tags/v<int>.<int>\"\n"
    "}\n"
    "allow slow for job on @web { write under /srv/app by sftp\n"
    "    write under /srv/slow by sftp\n"
    "    require 1 approval from some within 5m valid 5m }\n"
    "allow more for job on @web { write under /srv/app/big by sftp }\n"
    "allow in for job on web-1 { interactive; text-only; record full;\n"
    "    env LANG <enum C de>; env NOTE <text 1..5> }\n"
    "deny no for * on * { write under /srv/app/etc by sftp scp-legacy rsync\n"
    "    read under /srv/keys by sftp\n"
    "    git write /git/a.git refs \"refs/heads/f/x\" }\n";

static void
t_judge_files(void **state)
{
	enum { SFTP = 1, SCP = 2, RSYNC = 4 };
	static const struct {
		enum request_kind kind;
		unsigned int how;
		const char *path, *ref, *rule;
		enum verdict want;
	} c[] = {
#define W REQUEST_WRITE
#define R REQUEST_READ
#define YES VERDICT_ALLOW
#define NO VERDICT_DENY
		{ W, SFTP, "/srv/app/x", NULL, "put", YES },
		{ W, SFTP, "/srv/app", NULL, "put", YES },
		{ W, SCP, "/srv/app/x/y", NULL, "put", YES },
		{ W, RSYNC, "/srv/app/x", NULL, "default", NO },
		{ W, 0, "/srv/app/x", NULL, "default", NO },
		{ W, SFTP, "/srv/appx", NULL, "default", NO },
		{ W, SFTP, "/srv/ap", NULL, "default", NO },
		{ W, SFTP, "/srv", NULL, "default", NO },
		{ W, SFTP, "/", NULL, "no", NO },
		{ W, SFTP, "", NULL, "no", NO },
		{ W, SFTP, "srv/app/x", NULL, "no", NO },
		{ W, SFTP, "/srv/app/", NULL, "no", NO },
		{ W, SFTP, "/srv//app/x", NULL, "no", NO },
		{ W, SFTP, "/srv/app/./x", NULL, "no", NO },
		{ W, SFTP, "/srv/app/../x", NULL, "no", NO },
		{ W, SFTP, "/srv/app/..", NULL, "no", NO },
		{ W, SFTP, "/srv/app/etc/x", NULL, "no", NO },
		{ W, SFTP, "/srv/app/etc", NULL, "no", NO },
		{ W, SFTP, "/srv/app/etcx", NULL, "put", YES },
		{ R, SFTP, "/srv/app/etc/x", NULL, "put", YES },
		{ R, SFTP, "/srv/keys/x", NULL, "no", NO },
		{ R, SCP, "/srv/x", NULL, "default", NO },
		{ R, SFTP, "/etc/passwd", NULL, "default", NO },
		/* a claim's value is the token's */
		{ W, RSYNC, "/srv/pages/1/x", NULL, "put", YES },
		{ W, RSYNC, "/srv/pages/1", NULL, "put", YES },
		{ W, RSYNC, "/srv/pages/2/x", NULL, "default", NO },
		{ W, RSYNC, "/srv/pages/11", NULL, "default", NO },
		{ W, RSYNC, "/srv/pages", NULL, "default", NO },
		{ W, SFTP, "/srv/rel/v1-x/y", NULL, "put", YES },
		{ W, SFTP, "/srv/rel/v1-x", NULL, "put", YES },
		{ W, SFTP, "/srv/rel/v3-x", NULL, "default", NO },
		{ W, SFTP, "/srv/rel/v1/-x", NULL, "default", NO },
		/* approvals; the fewest decide, then what takes least away */
		{ W, SFTP, "/srv/slow/x", NULL, "slow", VERDICT_APPROVAL },
		{ W, SFTP, "/srv/app/big/x", NULL, "more", YES },
		/* repositories */
		{ REQUEST_GIT_READ, 0, "/git/1.git", NULL, "put", YES },
		{ REQUEST_GIT_READ, 0, "/git/2.git", NULL, "default", NO },
		{ REQUEST_GIT_READ, 0, "/git/1.git/x", NULL, "default", NO },
		{ REQUEST_GIT_WRITE, 0, "/git/1.git", NULL, "default", NO },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", NULL, "put", YES },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "refs/heads/f/y", "put",
		    YES },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "refs/heads/f/x", "no",
		    NO },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "refs/heads/f/y/z",
		    "default", NO },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "refs/heads/main",
		    "default", NO },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "refs/tags/v1.2", "put",
		    YES },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "refs/tags/v1", "default",
		    NO },
		{ REQUEST_GIT_WRITE, 0, "/git/a.git", "", "default", NO },
	};
	struct decision d;
	struct who w;
	struct buf b;

	(void)state;
	who_init(&w, files);
	for (size_t i = 0; i < N(c); i++) {
		w.q.kind = c[i].kind;
		w.q.how = c[i].how;
		w.q.path = c[i].path;
		w.q.ref = c[i].ref;
		w.q.enforces = ALL;
		decide(&w.q, &d);
		if (strcmp(d.rule_name, c[i].rule) != 0 ||
		    d.verdict != c[i].want)
			fail_msg("%s %s: %x by %s", c[i].path,
			    c[i].ref == NULL ? "" : c[i].ref,
			    (unsigned int)d.verdict, d.rule_name);
		buf_init(&b, 1 << 16);
		assert_int_equal(decide_explain(&w.q, &d, &b), 0);
		buf_clear(&b);
		/* what cannot be enforced is a denial that says so */
		w.q.enforces =
		    ALL & ~(unsigned int)(ENFORCE_FILES | ENFORCE_RSYNC |
					  ENFORCE_GIT);
		decide(&w.q, &d);
		assert_int_equal(d.verdict, VERDICT_DENY);
		assert_true((d.missing != NULL) == (c[i].want != NO));
	}
	w.q.path = NULL;
	w.q.enforces = ALL;
	decide(&w.q, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	who_clear(&w);
}

static void
t_judge_bounds_of_files(void **state)
{
	struct decision d;
	struct who w;

	(void)state;
	who_init(&w, files);
	w.q.kind = REQUEST_WRITE;
	w.q.how = 1;
	w.q.path = "/srv/app/x";
	w.q.pty = true;
	decide(&w.q, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_int_equal(d.transfer_max, 5 << 20);
	assert_true(d.no_delete);
	assert_false(d.no_symlinks);
	assert_false(d.pty);
	assert_int_equal(d.limit.duration_s, 540);
	/* a second rule that demands as little gives more */
	w.q.path = "/srv/app/big/x";
	decide(&w.q, &d);
	assert_int_equal(d.transfer_max, 0);
	assert_false(d.no_delete);
	who_clear(&w);
}

static void
t_judge_shell(void **state)
{
	static const struct {
		const char *var;
		bool go;
	} e[] = {
		{ "LANG=C", true },
		{ "LANG=de", true },
		{ "LANG=fr", false },
		{ "LANG=", false },
		{ "NOTE=a b", true },
		{ "NOTE=-a", false },
		{ "NOTE=abcdef", false },
		{ "LAN=C", false },
		{ "LANG =C", false },
		{ "PATH=C", false },
		{ "=", false },
	};
	struct decision d;
	struct who w;

	(void)state;
	who_init(&w, files);
	w.q.kind = REQUEST_INTERACTIVE;
	w.q.pty = true;
	decide(&w.q, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_string_equal(d.rule_name, "in");
	assert_true(d.pty);
	assert_true(d.text_only && d.record_full && !d.record_input);
	for (size_t i = 0; i < N(e); i++) {
		if (decide_env(&w.q, &d, e[i].var) != e[i].go)
			fail_msg("%s", e[i].var);
	}
	/* nothing goes along with what is denied */
	w.q.enforces = ALL & ~(unsigned int)ENFORCE_INTERACTIVE;
	decide(&w.q, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_string_equal(d.missing, "`interactive`");
	assert_false(decide_env(&w.q, &d, "LANG=C"));
	w.q.enforces = ALL & ~(unsigned int)ENFORCE_RECORD;
	decide(&w.q, &d);
	assert_string_equal(d.missing, "`record`");
	w.q.enforces = ALL & ~(unsigned int)ENFORCE_TEXT_ONLY;
	decide(&w.q, &d);
	assert_string_equal(d.missing, "`text-only`");
	w.q.enforces = ALL;
	w.q.target = policy_target_find(w.p, "web-2");
	decide(&w.q, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	who_clear(&w);
}

/* `observe` lets through what no rule allows, and nothing else. */
static void
t_judge_observe(void **state)
{
	char text[4096], date[32];
	struct decision d;
	struct who w;
	time_t now = time(NULL);
	struct tm tm;

	(void)state;
	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	(void)snprintf(text, sizeof(text),
	    HEAD
	    "target seen { ssh \"d@10.0.3.13:22\"; hostkey ssh-ed25519 "
	    "\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\"; "
	    "observe until %s; login root }\n"
	    "issuer okta { preset people; url \"https://o.example\"; "
	    "audience \"p\" }\n"
	    "person ann { token okta { claim sub = \"7\" } }\npeople some { "
	    "ann }\n"
	    "defaults { limit output 5MiB; mask secrets }\n"
	    "program id = /bin/id\n"
	    "allow ok for job on seen { run id -u }\n"
	    "allow slow for job on * { run id -g\n"
	    "    floor; require 1 approval from some within 5m valid 5m }\n"
	    "deny no for * on * { run id -n }\n"
	    "test \"rules, not observation\" as job on seen { "
	    "deny \"whoami\" by default; allow \"id -u\" }\n",
	    date);
	who_init(&w, text);
	w.q.target = policy_target_find(w.p, "seen");
	w.q.now = now;
	ask(&w, "id -u", &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_false(d.would_deny);
	ask(&w, "id -x | whoami", &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_true(d.would_deny);
	assert_int_equal(d.meant, VERDICT_DENY);
	assert_null(d.rule);
	assert_string_equal(d.identity_name, "job");
	assert_string_equal(d.program[0], "/bin/id");
	assert_int_equal(d.limit.output, 5 << 20);
	assert_true(d.masks[0] != 0);
	/* denies still deny, floors still hold */
	ask(&w, "id -n", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	w.q.pty = true;
	ask(&w, "id -g", &d);
	assert_int_equal(d.verdict, VERDICT_APPROVAL);
	assert_true(d.would_deny);
	w.q.pty = false;
	/* only who has an identity, now, where it is known to be marked */
	w.set[0] = w.set[1] = false;
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	w.set[0] = true;
	/* to the end of that day, by UTC */
	w.q.now = now - now % 86400 + 86399;
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	w.q.now++;
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	w.q.now = now + 2 * 86400;
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	w.q.now = 0;
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	w.q.now = now;
	w.q.enforces = ALL & ~(unsigned int)ENFORCE_OBSERVE;
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_string_equal(d.missing, "`observe`");
	w.q.enforces = ALL;
	w.q.target = policy_target_find(w.p, "web-1");
	ask(&w, "whoami", &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	who_clear(&w);
}

static const char vars[] =
    HEAD "allow ship for job on web-1 {\n"
	 "    run /bin/ship\n"
	 "    run /bin/ship | /bin/cat\n"
	 "    run A=1 /bin/two\n"
	 "    env STAGE <enum blue green prod>\n"
	 "    env NOTE <any>\n"
	 "    env TEAM <claim repository_id>\n"
	 "}\n"
	 "allow fetch for job on web-1 { git read /srv/a.git; env STAGE <enum "
	 "blue> }\n"
	 "deny prod for * on * { run STAGE=prod <any>... }\n"
	 "deny other for * on * { run OTHER=<any> /bin/two }\n";

/* What a job sends of its environment, beside its command. */
static void
t_judge_sent(void **state)
{
	static const struct {
		const char *command, *sent[3];
		const char *rule, *unfit, *goes;
	} c[] = {
		{ "/bin/ship", { NULL }, "ship", NULL, "" },
		{ "/bin/ship", { "STAGE=blue" }, "ship", NULL, "0" },
		{ "/bin/ship | /bin/cat", { "STAGE=blue" }, "ship", NULL, "0" },
		{ "A=1 /bin/two", { "A=2", "STAGE=green" }, "ship", NULL, "1" },
		/* what no line names stays behind */
		{ "/bin/ship", { "LANG=C", "STAG=blue", "STAGES=blue" }, "ship",
		    NULL, "" },
		{ "/bin/ship", { "stage=red" }, "ship", NULL, "" },
		/* what one names, and does not take, stops it */
		{ "/bin/ship", { "STAGE=red" }, "ship", "STAGE=red", "" },
		{ "/bin/ship", { "STAGE=" }, "ship", "STAGE=", "" },
		{ "/bin/ship", { "LANG=C", "STAGE=blue ", "STAGE=red" }, "ship",
		    "STAGE=blue ", "" },
		{ "/bin/ship", { "TEAM=1" }, "ship", NULL, "0" },
		{ "/bin/ship", { "TEAM=2" }, "ship", "TEAM=2", "" },
		/* any word is one that a command may have, and no option */
		{ "/bin/ship", { "NOTE=it's; $(id)" }, "ship", NULL, "0" },
		{ "/bin/ship", { "NOTE=-x" }, "ship", "NOTE=-x", "" },
		{ "/bin/ship", { "NOTE=a\nb" }, "ship", "NOTE=a\nb", "" },
		{ "/bin/ship", { "NOTE=a\033b" }, "ship", "NOTE=a\033b", "" },
		{ "/bin/ship", { "NOTE=\xff" }, "ship", "NOTE=\xff", "" },
		{ "/bin/ship", { "NOTE=\xe2\x80\xae" }, "ship",
		    "NOTE=\xe2\x80\xae", "" },
		/* a deny that speaks of a variable sees it in either place */
		{ "/bin/ship", { "STAGE=prod" }, "prod", NULL, "" },
		{ "STAGE=prod /bin/ship", { NULL }, "prod", NULL, "" },
		{ "/bin/ship | /bin/cat", { "STAGE=prod" }, "prod", NULL, "" },
		{ "A=1 /bin/two", { "OTHER=x" }, "other", NULL, "" },
		/* nothing goes along with the far end of a transfer */
		{ "git-upload-pack /srv/a.git", { "STAGE=blue" }, "fetch", NULL,
		    "" },
		{ "git-upload-pack /srv/a.git", { "STAGE=red" }, "fetch", NULL,
		    "" },
		{ "/bin/none", { "STAGE=red" }, "default", NULL, "" },
	};
	char goes[8];
	struct decision d;
	struct who w;
	size_t n;

	(void)state;
	who_init(&w, vars);
	for (size_t i = 0; i < N(c); i++) {
		w.q.sent = c[i].sent;
		for (w.q.nsent = 0;
		     w.q.nsent < N(c[i].sent) && c[i].sent[w.q.nsent] != NULL;)
			w.q.nsent++;
		ask(&w, c[i].command, &d);
		if (strcmp(d.rule_name, c[i].rule) != 0)
			fail_msg("%zu: %s", i, d.rule_name);
		if (c[i].unfit == NULL)
			assert_null(d.unfit);
		else if (d.unfit == NULL || strcmp(d.unfit, c[i].unfit) != 0)
			fail_msg("%zu: it fits", i);
		assert_int_equal(d.verdict == VERDICT_ALLOW,
		    c[i].unfit == NULL && (strcmp(c[i].rule, "ship") == 0 ||
					      strcmp(c[i].rule, "fetch") == 0));
		n = 0;
		for (size_t k = 0; k < w.q.nsent; k++) {
			if (decide_env(&w.q, &d, w.q.sent[k]))
				goes[n++] = (char)('0' + k);
		}
		goes[n] = '\0';
		if (strcmp(goes, c[i].goes) != 0)
			fail_msg("%zu: %s", i, goes);
	}
	who_clear(&w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_judge_lines),
		cmocka_unit_test(t_judge_programs),
		cmocka_unit_test(t_judge_files),
		cmocka_unit_test(t_judge_bounds_of_files),
		cmocka_unit_test(t_judge_shell),
		cmocka_unit_test(t_judge_sent),
		cmocka_unit_test(t_judge_observe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
