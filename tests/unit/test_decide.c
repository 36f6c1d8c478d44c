/*
 * Decisions.  One policy, its rules in several orders, and a table of what
 * must come out, the same for every order.
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
#include "lib/diag.h"
#include "lib/err.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/policy.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define HOSTKEY                                                              \
	"hostkey ssh-ed25519 "                                               \
	"\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\""

static const char head[] = "policy 1\n"
    "issuer g { preset github; audience \"x\" }\n"
    "identity dev from g { claim repository_id = \"1\" }\n"
    "identity ops from g { claim repository_owner_id = \"2\" }\n"
    "identity zed from g { claim repository_id = \"3\" }\n"
    "target web-1 { ssh \"deploy@h:22\"; " HOSTKEY "; group web prod; "
    "login root }\n"
    "target web-2 { ssh \"www@h:22\"; " HOSTKEY "; group web; login root }\n"
    "target db { ssh \"pg@h:22\"; " HOSTKEY "; login root }\n"
    "program systemctl = /usr/bin/systemctl\n"
    "program cat = /usr/bin/cat\n"
    "type service = enum web api worker\n"
    "type release = git-ref \"refs/tags/v<int>.<int 0..9>\"\n"
    "type ref = git-ref \"refs/heads/<service>-<claim repository_id>\"\n";

static const char *const rules[] = {
	"allow restart for dev on @web { run systemctl (restart | reload) "
	"<service>; run systemctl status [--no-pager] [-n <int 1..50>] "
	"<service>... }\n",
	"allow fix for ops dev on root+web-2 { run systemctl daemon-reload }\n",
	"allow rootweb for ops on root+@web { run id }\n",
	"deny never for * on @prod { run systemctl <any>... "
	"(stop | disable) <any>...; because \"use the runbook\" }\n",
	"deny noroot for * on root+db { run <any>... }\n",
	"deny ops-only for zed on web-2 { run whoami }\n",
	"allow everywhere for * on * { run whoami; run cat <any>; "
	"run /opt/x --ref=<enum a -b> --n=<int 0..9>v<int 0..9>; "
	"run echo x<any>y<any>z; run <enum ls systemctl> --version }\n",
	"allow in-a for dev on db { run feed with stdin max 1KiB }\n",
	"allow in-b for dev on db { run feed with stdin }\n",
	"allow in-c for dev on db { run feed }\n",
	"allow in-d for dev on db { run feed with stdin max 1KiB }\n",
	"allow tty for dev on db { run top with pty; run feed with pty }\n",
	"allow deep for dev on db { run a ([b] (c | d e) [f [g]] | h) "
	"<int 1..3>... }\n",
	"deny opt for * on db { run rm <any>... --force <any>... }\n",
	"deny word for * on db { run rm x<any> }\n",
	"allow slots for zed on db { run say <text 2..4>; run cat "
	"--file=</srv/app/**>; run ls </srv/*/log>; run git --b=<release> "
	"<ref>; run ver <semver>; run obj <sha>... ; run dig <host>; "
	"run own /srv/<claim repository_id>; run at <claim ref>; "
	"run say-<text 1..2>:<text 1..2>; run s --x=(a | b)[c]; "
	"run up <claim repo_property_dots>; run h <host>:<int 1..9>; run v<semver>-<sha> }\n",
	"deny etc for zed on db { run see </etc/**> }\n",
	"allow see for zed on db { run see <any> }\n",
	"allow rm for * on db { run rm (-r | --force | -rf | x | xy) <any> }\n",
};

/* The rules from number `first` on, then those before it; every second order
 * backwards. */
static struct policy *
load_order(size_t first)
{
	static const char *const name[] = { "t.postern" };
	struct diags *d = diags_new();
	struct policy *p = NULL;
	const char *text;
	struct buf b;
	size_t len, at;

	buf_init(&b, 1 << 16);
	assert_int_equal(buf_putf(&b, "%s", head), 0);
	for (size_t i = 0; i < N(rules); i++) {
		at = (first + (first % 2 == 0 ? i : N(rules) - i)) % N(rules);
		assert_int_equal(buf_putf(&b, "%s", rules[at]), 0);
	}
	text = buf_cstr(&b);
	len = strlen(text);
	if (policy_load_text(name, &text, &len, 1, d, &p) != 0) {
		buf_reset(&b);
		(void)diags_print(d, &b);
		fail_msg("%s", buf_cstr(&b));
	}
	diags_free(d);
	buf_clear(&b);
	return p;
}

enum { DEV = 1, OPS = 2, ZED = 4 };
#define ALLOW true
#define DENIED(rule) false, rule, NULL, false, 0, NULL

static const struct decide_case {
	unsigned int who;
	const char *target, *login, *command;
	bool pty;
	bool allow;
	const char *rule;
	/* of what is allowed */
	const char *identity;
	bool stdin_ok;
	uint64_t max;
	const char *program;
} cases[] = {
	/* literals, choices, types */
	{ DEV, "web-1", "", "systemctl restart web", false, ALLOW, "restart",
	    "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "/usr/bin/systemctl reload api", false, ALLOW,
	    "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-2", "", "systemctl restart worker", false, ALLOW,
	    "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "systemctl 'restart' \"web\" 2>&1", false, ALLOW,
	    "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "systemctl restart mail", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl restart webx", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl restart we", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl restart ''", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl restart", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl restart web api", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl Restart web", false, DENIED("default") },
	{ DEV, "web-1", "", "'systemctl restart' web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl 'restart web'", false, DENIED("default") },
	{ DEV, "web-1", "", "/bin/systemctl restart web", false, DENIED("default") },
	{ DEV, "web-1", "", "./systemctl restart web", false, DENIED("default") },
	{ DEV, "web-1", "", "/usr/bin/../bin/systemctl restart web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl --now restart web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl restart --now", false, DENIED("default") },
	/* optional parts, repetition */
	{ DEV, "web-1", "", "systemctl status web", false, ALLOW, "restart",
	    "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "systemctl status web api worker web", false,
	    ALLOW, "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "systemctl status --no-pager -n 50 web", false,
	    ALLOW, "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "systemctl status -n 7 web", false, ALLOW,
	    "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-1", "", "systemctl status", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n 7", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status web -n 7", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n 0 web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n 51 web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n 07 web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n +7 web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n 7x web", false, DENIED("default") },
	{ DEV, "web-1", "", "systemctl status -n 18446744073709551623 web",
	    false, DENIED("default") },
	/* who */
	{ OPS, "web-1", "", "systemctl restart web", false, DENIED("default") },
	{ DEV | OPS, "web-1", "", "systemctl restart web", false, ALLOW,
	    "restart", "dev", false, 0, "/usr/bin/systemctl" },
	{ 0, "web-1", "", "systemctl restart web", false, DENIED("default") },
	{ 0, "web-1", "", "whoami", false, DENIED("default") },
	{ OPS | ZED, "web-1", "", "whoami", false, ALLOW, "everywhere", "ops",
	    false, 0, NULL },
	{ ZED, "web-2", "", "whoami", false, DENIED("ops-only") },
	{ DEV | ZED, "web-2", "", "whoami", false, DENIED("ops-only") },
	/* where */
	{ DEV, "db", "", "systemctl restart web", false, DENIED("default") },
	{ DEV, "web-1", "root", "systemctl restart web", false, DENIED("default") },
	{ DEV, "web-2", "root", "whoami", false, DENIED("default") },
	{ DEV, "web-2", "root", "systemctl daemon-reload", false, ALLOW,
	    "fix", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV | OPS, "web-2", "root", "systemctl daemon-reload", false, ALLOW,
	    "fix", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "web-2", "", "systemctl daemon-reload", false, DENIED("default") },
	{ DEV, "web-1", "root", "systemctl daemon-reload", false, DENIED("default") },
	{ OPS, "web-1", "root", "id", false, ALLOW, "rootweb", "ops", false,
	    0, NULL },
	{ OPS, "web-2", "root", "id", false, ALLOW, "rootweb", "ops", false,
	    0, NULL },
	{ OPS, "web-1", "", "id", false, DENIED("default") },
	{ OPS, "db", "root", "id", false, DENIED("noroot") },
	{ DEV, "web-1", "deploy", "whoami", false, ALLOW, "everywhere", "dev",
	    false, 0, NULL },
	/* deny wins, everywhere in the command, for everybody, every login */
	{ DEV, "web-1", "", "systemctl stop web", false, DENIED("never") },
	{ DEV, "web-1", "", "systemctl stop", false, DENIED("never") },
	{ DEV, "web-1", "", "/usr/bin/systemctl stop web", false, DENIED("never") },
	{ DEV, "web-1", "", "systemctl --now stop web", false, DENIED("never") },
	{ DEV, "web-1", "", "systemctl stop --now web", false, DENIED("never") },
	{ DEV, "web-1", "", "systemctl '' stop", false, DENIED("never") },
	{ DEV, "web-1", "", "systemctl restart stop", false, DENIED("never") },
	{ DEV, "web-1", "root", "systemctl disable x", false, DENIED("never") },
	{ 0, "web-1", "", "systemctl stop web", false, DENIED("never") },
	{ DEV, "web-2", "", "systemctl stop web", false, DENIED("default") },
	{ DEV, "db", "root", "whoami", false, DENIED("noroot") },
	{ DEV, "db", "root", "anything at all -x", false, DENIED("noroot") },
	{ DEV, "db", "", "whoami", false, ALLOW, "everywhere", "dev", false,
	    0, NULL },
	{ DEV, "db", "", "rm -r a", false, ALLOW, "rm", "dev", false, 0,
	    NULL },
	{ DEV, "db", "", "rm --force a", false, DENIED("opt") },
	{ DEV, "db", "", "rm -r --force", false, DENIED("opt") },
	{ DEV, "db", "", "rm -r -a", false, DENIED("default") },
	{ DEV, "db", "", "rm x", false, DENIED("word") },
	{ DEV, "db", "", "rm xy", false, DENIED("word") },
	{ DEV, "db", "", "rm xy a", false, ALLOW, "rm", "dev", false, 0,
	    NULL },
	/* slots */
	{ DEV, "db", "", "cat f", false, ALLOW, "everywhere", "dev", false, 0,
	    "/usr/bin/cat" },
	{ DEV, "db", "", "/usr/bin/cat 'a b'", false, ALLOW, "everywhere",
	    "dev", false, 0, "/usr/bin/cat" },
	{ DEV, "db", "", "cat -f", false, DENIED("default") },
	{ DEV, "db", "", "cat -", false, DENIED("default") },
	{ DEV, "db", "", "cat '-f'", false, DENIED("default") },
	{ DEV, "db", "", "cat ''", false, DENIED("default") },
	{ DEV, "db", "", "cat a b", false, DENIED("default") },
	{ DEV, "db", "", "/opt/x --ref=a --n=1v2", false, ALLOW, "everywhere",
	    "dev", false, 0, NULL },
	{ DEV, "db", "", "/opt/x --ref=-b --n=1v2", false, ALLOW,
	    "everywhere", "dev", false, 0, NULL },
	{ DEV, "db", "", "/opt/x --ref= --n=1v2", false, DENIED("default") },
	{ DEV, "db", "", "/opt/x --ref=ab --n=1v2", false, DENIED("default") },
	{ DEV, "db", "", "/opt/x --ref a --n=1v2", false, DENIED("default") },
	{ DEV, "db", "", "/opt/x --ref=a --n=1v", false, DENIED("default") },
	{ DEV, "db", "", "/opt/x --ref=a --n=10v2", false, DENIED("default") },
	{ DEV, "db", "", "/opt/x --ref=a --n=1v2x", false, DENIED("default") },
	{ DEV, "db", "", "echo xaybz", false, ALLOW, "everywhere", "dev",
	    false, 0, NULL },
	{ DEV, "db", "", "echo xyyyzz", false, ALLOW, "everywhere", "dev",
	    false, 0, NULL },
	{ DEV, "db", "", "echo xyz", false, DENIED("default") },
	{ DEV, "db", "", "echo xaybzc", false, DENIED("default") },
	{ DEV, "db", "", "ls --version", false, ALLOW, "everywhere", "dev",
	    false, 0, NULL },
	{ DEV, "db", "", "systemctl --version", false, ALLOW, "everywhere",
	    "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "db", "", "/usr/bin/systemctl --version", false, ALLOW,
	    "everywhere", "dev", false, 0, "/usr/bin/systemctl" },
	{ DEV, "db", "", "/bin/ls --version", false, DENIED("default") },
	/* groups in groups */
	{ DEV, "db", "", "a c 1", false, ALLOW, "deep", "dev", false, 0, NULL },
	{ DEV, "db", "", "a b c 1", false, ALLOW, "deep", "dev", false, 0,
	    NULL },
	{ DEV, "db", "", "a b d e f g 1 2 3", false, ALLOW, "deep", "dev",
	    false, 0, NULL },
	{ DEV, "db", "", "a d e 3 3", false, ALLOW, "deep", "dev", false, 0,
	    NULL },
	{ DEV, "db", "", "a h 1", false, ALLOW, "deep", "dev", false, 0, NULL },
	{ DEV, "db", "", "a b h 1", false, DENIED("default") },
	{ DEV, "db", "", "a c g 1", false, DENIED("default") },
	{ DEV, "db", "", "a d 1", false, DENIED("default") },
	{ DEV, "db", "", "a c", false, DENIED("default") },
	{ DEV, "db", "", "a c 1 4", false, DENIED("default") },
	{ DEV, "db", "", "a b b c 1", false, DENIED("default") },
	/* several allows: input first, then the smaller bound, then the name */
	{ DEV, "db", "", "feed", false, ALLOW, "in-a", "dev", true, 1024,
	    NULL },
	/* texts count characters */
	{ ZED, "db", "", "say ab", false, ALLOW, "slots", "zed", false, 0,
	    NULL },
	{ ZED, "db", "", "say \xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", false,
	    ALLOW, "slots", "zed", false, 0, NULL },
	{ ZED, "db", "", "say a", false, DENIED("default") },
	{ ZED, "db", "", "say \xc3\xa4", false, DENIED("default") },
	{ ZED, "db", "", "say abcde", false, DENIED("default") },
	{ ZED, "db", "", "say -ab", false, DENIED("default") },
	{ ZED, "db", "", "say-a:b", false, ALLOW, "slots", "zed", false, 0,
	    NULL },
	{ ZED, "db", "", "say-::\xc3\xa4:", false, ALLOW, "slots", "zed",
	    false, 0, NULL },
	{ ZED, "db", "", "say-:b", false, DENIED("default") },
	{ ZED, "db", "", "say-abc:b", false, DENIED("default") },
	{ ZED, "db", "", "say-a:bcd", false, DENIED("default") },
	/* paths */
	{ ZED, "db", "", "cat --file=/srv/app/a/b", false, ALLOW, "slots",
	    "zed", false, 0, "/usr/bin/cat" },
	{ ZED, "db", "", "cat --file=/srv/app/-x", false, ALLOW, "slots",
	    "zed", false, 0, "/usr/bin/cat" },
	{ ZED, "db", "", "cat --file=/srv/app", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=/srv/app/", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=/srv/app/../x", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=/srv/app/./x", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=/srv/app//x", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=/srv/app/a/..", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=/srv/app/a/..b", false, ALLOW, "slots",
	    "zed", false, 0, "/usr/bin/cat" },
	{ ZED, "db", "", "cat --file=/srv/apps/x", false, DENIED("default") },
	{ ZED, "db", "", "cat --file=srv/app/x", false, DENIED("default") },
	{ ZED, "db", "", "ls /srv/a/log", false, ALLOW, "slots", "zed", false,
	    0, NULL },
	{ ZED, "db", "", "ls /srv/a/b/log", false, DENIED("default") },
	{ ZED, "db", "", "ls /srv/../log", false, DENIED("default") },
	{ ZED, "db", "", "ls /srv//log", false, DENIED("default") },
	{ ZED, "db", "", "see /etc/passwd", false, DENIED("etc") },
	{ ZED, "db", "", "see /srv/../etc/passwd", false, DENIED("etc") },
	{ ZED, "db", "", "see /etc/", false, DENIED("etc") },
	{ ZED, "db", "", "see /srv/a", false, ALLOW, "see", "zed", false, 0,
	    NULL },
	/* refs, versions, objects, hosts */
	{ ZED, "db", "", "git --b=refs/tags/v12.3 refs/heads/api-7712", false,
	    ALLOW, "slots", "zed", false, 0, NULL },
	{ ZED, "db", "", "git --b=refs/tags/v12.10 refs/heads/api-7712", false,
	    DENIED("default") },
	{ ZED, "db", "", "git --b=refs/tags/v1.2x refs/heads/api-7712", false,
	    DENIED("default") },
	{ ZED, "db", "", "git --b=refs/tags/v1 refs/heads/api-7712", false,
	    DENIED("default") },
	{ ZED, "db", "", "git --b=refs/tags/v1.2 refs/heads/api-7713", false,
	    DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3", false, ALLOW, "slots", "zed", false, 0,
	    NULL },
	{ ZED, "db", "", "ver 1.0.0-alpha.1+b-7.0x", false, ALLOW, "slots",
	    "zed", false, 0, NULL },
	{ ZED, "db", "", "ver 10.20.30+0021", false, ALLOW, "slots", "zed",
	    false, 0, NULL },
	{ ZED, "db", "", "ver 1.0.0-0A.is.legal", false, ALLOW, "slots", "zed",
	    false, 0, NULL },
	{ ZED, "db", "", "ver 1.2", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3.4", false, DENIED("default") },
	{ ZED, "db", "", "ver 01.2.3", false, DENIED("default") },
	{ ZED, "db", "", "ver v1.2.3", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3-", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3-01", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3-a..b", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3+", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3+a+b", false, DENIED("default") },
	{ ZED, "db", "", "ver 1.2.3-a_b", false, DENIED("default") },
	{ ZED, "db", "", "obj 0123456789abcdef0123456789abcdef01234567", false,
	    ALLOW, "slots", "zed", false, 0, NULL },
	{ ZED, "db", "", "obj 0123456789abcdef0123456789abcdef0123456", false,
	    DENIED("default") },
	{ ZED, "db", "", "obj 0123456789abcdef0123456789abcdef0123456g", false,
	    DENIED("default") },
	{ ZED, "db", "", "obj 0123456789ABCDEF0123456789ABCDEF01234567", false,
	    DENIED("default") },
	{ ZED, "db", "", "dig a-1.example.org", false, ALLOW, "slots", "zed",
	    false, 0, NULL },
	{ ZED, "db", "", "dig 10.0.3.11", false, ALLOW, "slots", "zed", false,
	    0, NULL },
	{ ZED, "db", "", "dig 10.0.3.256", false, DENIED("default") },
	{ ZED, "db", "", "dig 10.0.3.011", false, DENIED("default") },
	{ ZED, "db", "", "dig 127.1", false, DENIED("default") },
	{ ZED, "db", "", "dig 2130706433", false, DENIED("default") },
	{ ZED, "db", "", "dig 0x7f000001", false, DENIED("default") },
	{ ZED, "db", "", "dig a.0x7F", false, DENIED("default") },
	{ ZED, "db", "", "dig a.1.2.3", false, DENIED("default") },
	{ ZED, "db", "", "dig 1.2.3.4.5", false, DENIED("default") },
	{ ZED, "db", "", "dig a..b", false, DENIED("default") },
	{ ZED, "db", "", "dig a-.b", false, DENIED("default") },
	{ ZED, "db", "", "dig a.", false, DENIED("default") },
	{ ZED, "db", "", "dig -a", false, DENIED("default") },
	{ ZED, "db", "", "h db.example:5", false, ALLOW, "slots", "zed", false,
	    0, NULL },
	{ ZED, "db", "", "h db.example:50", false, DENIED("default") },
	{ ZED, "db", "", "v1.2.3-x-0123456789abcdef0123456789abcdef01234567",
	    false, ALLOW, "slots", "zed", false, 0, NULL },
	/* the token's own values, when they are plain */
	{ ZED, "db", "", "own /srv/7712", false, ALLOW, "slots", "zed", false,
	    0, NULL },
	{ ZED, "db", "", "own /srv/7713", false, DENIED("default") },
	{ ZED, "db", "", "own /srv/", false, DENIED("default") },
	{ ZED, "db", "", "at refs/heads/main", false, DENIED("default") },
	{ ZED, "db", "", "up ..", false, DENIED("default") },
	{ ZED, "db", "", "up x", false, DENIED("default") },
	/* groups inside a word */
	{ ZED, "db", "", "s --x=a", false, ALLOW, "slots", "zed", false, 0,
	    NULL },
	{ ZED, "db", "", "s --x=bc", false, ALLOW, "slots", "zed", false, 0,
	    NULL },
	{ ZED, "db", "", "s --x=c", false, DENIED("default") },
	{ ZED, "db", "", "s --x=ab", false, DENIED("default") },
	/* terminals */
	{ DEV, "db", "", "feed", true, ALLOW, "tty", "dev", false, 0, NULL },
	{ DEV, "db", "", "top", true, ALLOW, "tty", "dev", false, 0, NULL },
	{ DEV, "db", "", "top", false, ALLOW, "tty", "dev", false, 0, NULL },
	{ DEV, "db", "", "whoami", true, DENIED("default") },
	{ DEV, "web-1", "", "systemctl stop x", true, DENIED("never") },
};

static void
ask(const struct policy *p, const struct decide_case *c, struct decision *d,
    struct buf *said)
{
	bool set[3] = { c->who & DEV, c->who & OPS, c->who & ZED };
	struct command *command = NULL;
	struct command_error e;
	struct claims cs = { 0 };
	struct request q = { .policy = p, .identity = set, .claims = &cs,
		.target = policy_target_find(p, c->target), .pty = c->pty };

	assert_int_equal(claims_add(&cs, "repository_id", "7712"), 0);
	assert_int_equal(claims_add(&cs, "ref", "refs/heads/main"), 0);
	assert_int_equal(claims_add(&cs, "repo_property_dots", ".."), 0);
	assert_non_null(q.target);
	assert_int_equal(target_login(q.target, c->login, &q.login), 0);
	if (command_parse(c->command, strlen(c->command), &command, &e) != 0)
		fail_msg("%s: %s", c->command, e.what);
	q.command = command;
	memset(d, 0xff, sizeof(*d));
	decide(&q, d);
	if (said != NULL)
		assert_int_equal(decide_explain(&q, d, said), 0);
	claims_clear(&cs);
	command_free(command);
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL && b == NULL) ||
	    (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
check_case(const struct policy *p, size_t order, const struct decide_case *c)
{
	struct decision d;

	ask(p, c, &d, NULL);
	if ((d.verdict == VERDICT_ALLOW) != c->allow ||
	    strcmp(d.rule_name, c->rule) != 0)
		fail_msg("order %zu: %s on %s+%s: %x by %s", order, c->command,
		    c->login, c->target, (unsigned int)d.verdict, d.rule_name);
	if ((d.rule == NULL) != (strcmp(c->rule, "default") == 0))
		fail_msg("%s: rule", c->command);
	if (!same_text(d.identity_name, c->identity) ||
	    !same_text(d.program[0], c->program) || d.stdin_ok != c->stdin_ok ||
	    d.stdin_max != c->max || d.pty != (c->allow && c->pty))
		fail_msg("%s: identity %s program %s stdin %d max %u pty %d",
		    c->command, d.identity_name == NULL ? "-" : d.identity_name,
		    d.program[0] == NULL ? "-" : d.program[0], d.stdin_ok,
		    (unsigned int)d.stdin_max, d.pty);
}

static void
t_decide_table(void **state)
{
	struct policy *p;

	(void)state;
	for (size_t order = 0; order < N(rules); order++) {
		p = load_order(order);
		for (size_t i = 0; i < N(cases); i++)
			check_case(p, order, &cases[i]);
		policy_free(p);
	}
}

/* -- zero denies ---------------------------------------------------------------- */

static void
t_decide_promise_1_zeroed(void **state)
{
	struct decision d = { 0 };

	(void)state;
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_false(d.pty);
	assert_false(d.stdin_ok);
	assert_int_not_equal(VERDICT_ALLOW, 0);
	assert_int_not_equal(VERDICT_ALLOW, 1);
}

/* A request that lacks anything is denied by default, never a crash. */
static void
t_decide_promise_1_incomplete(void **state)
{
	struct policy *p = load_order(0);
	bool set[3] = { true, true, true };
	char word[] = "whoami", *argv[2] = { word, NULL };
	struct stage g = { .argv = argv, .argc = 1, .assign = argv };
	struct command c = { .stage = &g, .nstage = 1 };
	struct claims cs = { 0 };
	struct request whole = { .policy = p, .identity = set, .claims = &cs,
		.target = policy_target_find(p, "web-1"), .login = "deploy",
		.command = &c }, q;
	struct decision d;
	struct buf b;

	(void)state;
	decide(&whole, &d);
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	for (int i = 0; i < 10; i++) {
		q = whole;
		g.argc = 1;
		g.nassign = 0;
		c.nstage = 1;
		c.dir = NULL;
		switch (i) {
		case 0: q.policy = NULL; break;
		case 1: q.identity = NULL; break;
		case 2: q.target = NULL; break;
		case 3: q.login = NULL; break;
		case 4: q.login = ""; break;
		case 5: q.command = NULL; break;
		case 6:
			g.argc = 0;
			break;
		case 7:
			c.nstage = 0;
			break;
		case 8:
			c.nstage = COMMAND_STAGES_MAX + 1;
			break;
		case 9:
			q.kind = REQUEST_READ;
			break;
		}
		memset(&d, 0xff, sizeof(d));
		decide(&q, &d);
		assert_int_equal(d.verdict, VERDICT_DENY);
		assert_string_equal(d.rule_name, "default");
		assert_null(d.rule);
		assert_null(d.program[0]);
		assert_false(d.pty);
		assert_false(d.stdin_ok);
		buf_init(&b, 4096);
		assert_int_equal(decide_explain(&q, &d, &b), 0);
		assert_int_equal(strncmp(buf_cstr(&b), "postern: denied", 15),
		    0);
		buf_clear(&b);
	}
	g.nassign = 0;
	q = (struct request){ 0 };
	decide(&q, &d);
	assert_int_equal(d.verdict, VERDICT_DENY);
	policy_free(p);
}

/* -- explanations ----------------------------------------------------------------- */

static const struct {
	struct decide_case c;
	const char *part[4];
} explained[] = {
	{ { DEV, "web-1", "", "systemctl restart mail", false, DENIED("") },
	    { "postern:   systemctl restart mail\n"
	      "postern:                     ^~~~\n",
	      "nearest rule `restart` at t.postern:14\n",
	      "<service>; run", "\npostern: denied: no rule allows this as "
	      "deploy on web-1\n" } },
	{ { DEV, "web-1", "", "systemctl restart", false, DENIED("") },
	    { "postern:   systemctl restart\n"
	      "postern:                    ^\n", "a word is missing" } },
	{ { DEV, "web-1", "", "systemctl restart web 2>&1 api", false, DENIED("") },
	    { "postern:   systemctl restart web api 2>&1\n"
	      "postern:                         ^~~\n", "one too many" } },
	{ { DEV, "web-1", "", "systemctl restart -x", false, DENIED("") },
	    { "options must be written out" } },
	{ { DEV, "web-1", "", "id", false, DENIED("") },
	    { "postern:   id\npostern:   ^~\n", "runs this program" } },
	{ { DEV, "web-1", "", "systemctl stop web", false, DENIED("") },
	    { "rule `never` at ", "run systemctl <any>...",
	      "\npostern: denied by rule `never`: use the runbook\n" } },
	{ { DEV, "db", "root", "x", false, DENIED("") },
	    { "\npostern: denied by rule `noroot`\n" } },
	{ { DEV, "db", "", "whoami", true, DENIED("") },
	    { "but no terminal", "rule `everywhere`" } },
	{ { OPS, "web-2", "root", "id x", false, DENIED("") },
	    { "nearest rule `rootweb`", "as root on web-2" } },
	{ { ZED, "web-1", "root", "id", false, DENIED("") },
	    { "postern: you are zed\n",
	      "no rule allows you anything as root on web-1" } },
	{ { DEV | OPS, "db", "", "a d 1", false, DENIED("") },
	    { "postern:   a d 1\npostern:     ^\n", "`deep`" } },
	{ { 0, "db", "", "whoami", false, DENIED("") },
	    { "you are nobody", "denied: " } },
	{ { DEV, "web-1", "", "systemctl restart 'a\\b  ;'", false, DENIED("") },
	    { "'a\\b  ;'\n" } },
	{ { DEV, "db", "", "cat f", false, ALLOW, "", NULL, false, 0, NULL },
	    { "postern: allowed by rule `everywhere`\n" } },
};

static void
check_lines(const char *s)
{
	const char *last = s;

	assert_true(*s != '\0' && s[strlen(s) - 1] == '\n');
	for (; *s != '\0'; s = strchr(s, '\n') + 1) {
		assert_int_equal(strncmp(s, "postern:", 8), 0);
		last = s;
	}
	assert_true(strstr(last, "denied") != NULL ||
	    strstr(last, "allowed") != NULL);
}

static void
t_decide_explain_table(void **state)
{
	struct policy *p = load_order(0);
	struct decision d;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(explained); i++) {
		buf_init(&b, 32 * 1024);
		ask(p, &explained[i].c, &d, &b);
		for (size_t k = 0; k < 4 && explained[i].part[k] != NULL; k++) {
			if (strstr(buf_cstr(&b), explained[i].part[k]) == NULL)
				fail_msg("%zu: no %s in\n%s", i,
				    explained[i].part[k], buf_cstr(&b));
		}
		check_lines(buf_cstr(&b));
		buf_clear(&b);
	}
	/* Whatever is denied in the big table can be explained, too. */
	for (size_t i = 0; i < N(cases); i++) {
		buf_init(&b, 32 * 1024);
		ask(p, &cases[i], &d, &b);
		check_lines(buf_cstr(&b));
		buf_clear(&b);
	}
	policy_free(p);
}

/* The longest commands: bounded text, bounded work. */
static void
t_decide_explain_long(void **state)
{
	struct policy *p = load_order(0);
	static char s[60000];
	struct decide_case c = { DEV, "db", "", s, false, DENIED("") };
	struct decision d;
	struct buf b;

	(void)state;
	memset(s, 'a', sizeof(s) - 1);
	memcpy(s, "rm -r ", 6);
	for (size_t i = 59; i + 1 < sizeof(s); i += 59)
		s[i] = ' ';
	buf_init(&b, 32 * 1024);
	ask(p, &c, &d, &b);
	assert_int_equal(d.verdict, VERDICT_DENY);
	check_lines(buf_cstr(&b));
	assert_true(buf_len(&b) < 2048);
	buf_clear(&b);
	policy_free(p);
}

static struct policy *
load_one(const char *rule)
{
	static const char *const name[] = { "t.postern" };
	struct diags *d = diags_new();
	struct policy *p = NULL;
	const char *text;
	struct buf b;
	size_t len;

	buf_init(&b, 1 << 20);
	assert_int_equal(buf_putf(&b, "%s%s", head, rule), 0);
	text = buf_cstr(&b);
	len = strlen(text);
	assert_int_equal(policy_load_text(name, &text, &len, 1, d, &p), 0);
	diags_free(d);
	buf_clear(&b);
	return p;
}

/* -- demands ---------------------------------------------------------------------- */

#define PEOPLE "issuer o { preset people; url \"https://o.example\"; "          \
	"audience \"x\" }\n"                                                 \
	"person anna { token o { claim sub = \"1\" } }\n"                    \
	"person bo { token o { claim sub = \"2\" } }\n"                      \
	"people all { anna bo }\n"

static const char *const demanding[] = {
	"defaults { limit duration 30m; limit output 50MiB; mask secrets }\n",
	"allow one for dev on db { run one; limit duration 10m; "
	"mask 'x+' as \"x\" }\n",
	"allow two for dev on db { run one; limit duration 5m; "
	"mask 'y+' as \"y\" }\n",
	"allow ask for dev on db { run ask; require 2 approvals from all "
	"within 30m valid 15m }\n",
	"allow ask-less for dev on db { run (ask | asked); require 1 approval "
	"from all within 30m valid 15m with-stdin }\n",
	"allow free for dev on db { run (free | floored) with pty; "
	"limit rate 5 per 10m }\n",
	"allow ground for dev on db { run floored; floor; limit concurrent 1; "
	"limit rate 1 per 1m; require 1 approval from all within 1h valid "
	"1h }\n",
};

static struct policy *
load_demanding(size_t first)
{
	struct policy *p;
	struct buf b;

	buf_init(&b, 1 << 16);
	assert_int_equal(buf_putf(&b, PEOPLE), 0);
	for (size_t i = 0; i < N(demanding); i++)
		assert_int_equal(buf_putf(&b, "%s", demanding[first % 2 == 0 ?
		    (first + i) % N(demanding) :
		    (first + N(demanding) - i) % N(demanding)]), 0);
	p = load_one(buf_cstr(&b));
	buf_clear(&b);
	return p;
}

static void
demand(const struct policy *p, const char *command, unsigned int enforces,
    bool pty, struct decision *d, struct buf *said)
{
	bool set[3] = { true, false, false };
	struct command *c = NULL;
	struct command_error e;
	struct request q = { .policy = p, .identity = set,
		.target = policy_target_find(p, "db"), .login = "pg",
		.pty = pty, .now = 1795510800, .enforces = enforces };

	assert_int_equal(command_parse(command, strlen(command), &c, &e), 0);
	q.command = c;
	decide(&q, d);
	if (said != NULL) {
		buf_reset(said);
		assert_int_equal(decide_explain(&q, d, said), 0);
	}
	command_free(c);
}

static size_t
bits(const uint64_t *set, size_t words)
{
	size_t n = 0;

	for (size_t i = 0; i < words; i++)
		n += (size_t)__builtin_popcountll(set[i]);
	return n;
}

#define EVERYTHING 63u

static void
t_decide_demands(void **state)
{
	static const struct {
		const char *command;
		bool pty;
		unsigned int enforces;
		enum verdict verdict, meant;
		const char *rule, *missing;
		uint32_t duration, concurrent, rate;
		size_t approvals, masks;
	} c[] = {
		{ "one", false, EVERYTHING, VERDICT_ALLOW, VERDICT_ALLOW, "two",
		    NULL, 300, 0, 0, 0, 3 },
		{ "one", false, 0, VERDICT_DENY, VERDICT_ALLOW, "two",
		    "`limit duration`", 300, 0, 0, 0, 3 },
		{ "one", false, EVERYTHING & ~(unsigned int)ENFORCE_MASKS,
		    VERDICT_DENY, VERDICT_ALLOW, "two", "`mask`", 300, 0, 0, 0,
		    3 },
		{ "one", false, EVERYTHING & ~(unsigned int)ENFORCE_OUTPUT,
		    VERDICT_DENY, VERDICT_ALLOW, "two", "`limit output`", 300,
		    0, 0, 0, 3 },
		{ "ask", false, EVERYTHING, VERDICT_APPROVAL, VERDICT_APPROVAL,
		    "ask-less", NULL, 1800, 0, 0, 1, 1 },
		{ "ask", false, EVERYTHING & ~(unsigned int)ENFORCE_APPROVALS,
		    VERDICT_DENY, VERDICT_APPROVAL, "ask-less", "an approval",
		    1800, 0, 0, 1, 1 },
		{ "free", false, EVERYTHING, VERDICT_ALLOW, VERDICT_ALLOW,
		    "free", NULL, 1800, 0, 5, 0, 1 },
		{ "free", false, EVERYTHING & ~(unsigned int)ENFORCE_RATE,
		    VERDICT_DENY, VERDICT_ALLOW, "free", "`limit rate`", 1800,
		    0, 5, 0, 1 },
		/* a floor cannot be left behind, nor by asking for a terminal */
		{ "floored", false, EVERYTHING, VERDICT_APPROVAL,
		    VERDICT_APPROVAL, "free", NULL, 1800, 1, 5, 1, 1 },
		{ "floored", true, EVERYTHING, VERDICT_APPROVAL,
		    VERDICT_APPROVAL, "free", NULL, 1800, 1, 5, 1, 1 },
		{ "floored", true, EVERYTHING &
		    ~(unsigned int)ENFORCE_CONCURRENT, VERDICT_DENY,
		    VERDICT_APPROVAL, "free", "`limit concurrent`", 1800, 1, 5,
		    1, 1 },
		{ "asked", true, EVERYTHING, VERDICT_DENY, VERDICT_DENY,
		    "default", NULL, 0, 0, 0, 0, 0 },
	};
	struct policy *p;
	struct decision d;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 16);
	for (size_t order = 0; order < N(demanding); order++) {
		p = load_demanding(order);
		for (size_t i = 0; i < N(c); i++) {
			demand(p, c[i].command, c[i].enforces, c[i].pty, &d,
			    &b);
			if (d.verdict != c[i].verdict ||
			    d.meant != c[i].meant ||
			    !same_text(d.missing, c[i].missing) ||
			    strcmp(d.rule_name, c[i].rule) != 0)
				fail_msg("%zu %zu: %x %x %s %s", order, i,
				    (unsigned int)d.verdict,
				    (unsigned int)d.meant, d.rule_name,
				    d.missing == NULL ? "-" : d.missing);
			if (d.limit.duration_s != c[i].duration ||
			    d.limit.concurrent != c[i].concurrent ||
			    d.limit.rate != c[i].rate ||
			    bits(d.approvals, 4) != c[i].approvals ||
			    bits(d.masks, 4) != c[i].masks)
				fail_msg("%zu %zu: %u %u %u %zu %zu", order, i,
				    d.limit.duration_s, d.limit.concurrent,
				    d.limit.rate, bits(d.approvals, 4),
				    bits(d.masks, 4));
			if (c[i].missing != NULL)
				assert_non_null(strstr(buf_cstr(&b),
				    c[i].missing));
		}
		policy_free(p);
	}
	buf_clear(&b);
}

/* Unknown times and hours: allow rules need theirs, deny rules do not. */
static void
t_decide_windows(void **state)
{
	static const struct {
		const char *command;
		time_t now;
		const char *rule;
	} c[] = {
		/* 2026-11-24 is a Tuesday */
		{ "day", 1795503600, "day" },	/* 07:00 UTC */
		{ "day", 1795503599, "default" },
		{ "day", 1795546799, "day" },	/* 18:59:59 */
		{ "day", 1795546800, "default" },
		{ "day", 1795503600 + 4 * 86400, "default" }, /* Saturday */
		{ "night", 1795557600, "night" },	/* Tue 22:00 */
		{ "night", 1795564800, "night" },	/* Wed 00:00 */
		{ "night", 1795586399, "night" },	/* Wed 05:59:59 */
		{ "night", 1795586400, "default" },	/* Wed 06:00 */
		{ "night", 1795644000, "default" },	/* Wed 22:00 */
		{ "night", 1795478400, "default" },	/* Tue 00:00 */
		{ "end", 1795903200, "end" },	/* Sat 22:00 */
		{ "end", 1796076000, "end" },	/* Mon 22:00 */
		{ "end", 1796083199, "end" },	/* Mon 23:59:59 */
		{ "end", 1796083200, "default" },
		{ "day", 0, "default" }, { "day", -1, "default" },
		{ "stop", 0, "freeze" }, { "stop", 1795503600, "freeze" },
		{ "stop", 1795546800, "stop" },
	};
	struct policy *p = load_one(
	    "allow day for dev on db { run day; window Mon-Fri 07:00-19:00 UTC "
	    "}\nallow night for dev on db { run night; window Tue 22:00-06:00 "
	    "UTC }\nallow end for dev on db { run end; window Sat-Mon "
	    "22:00-24:00 UTC; window Wed 10:00-11:00 UTC }\n"
	    "allow stop for dev on db { run stop }\n"
	    "deny freeze for * on db { run stop; window Mon-Fri 07:00-19:00 "
	    "UTC }\n");
	bool set[3] = { true, false, false };
	struct request q = { .policy = p, .identity = set,
		.target = policy_target_find(p, "db"), .login = "pg" };
	struct command *command;
	struct command_error e;
	struct decision d;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		assert_int_equal(command_parse(c[i].command,
		    strlen(c[i].command), &command, &e), 0);
		q.command = command;
		q.now = c[i].now;
		decide(&q, &d);
		if (strcmp(d.rule_name, c[i].rule) != 0)
			fail_msg("%zu: %s", i, d.rule_name);
		if (i == 1) {
			buf_init(&b, 1 << 16);
			assert_int_equal(decide_explain(&q, &d, &b), 0);
			assert_non_null(strstr(buf_cstr(&b), "now it is Tue "
			    "06:59 in UTC"));
			check_lines(buf_cstr(&b));
			buf_clear(&b);
		}
		command_free(command);
	}
	policy_free(p);
}

static void
t_decide_explain_levels(void **state)
{
	static const struct {
		const char *level, *want;
	} c[] = {
		{ "rule", "postern: denied by rule `no`: x\n" },
		{ "none", "postern: denied\n" },
	};
	struct policy *p;
	struct decision d;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < N(c); i++) {
		assert_int_equal(buf_putf(&b, "defaults { explain %s }\n"
		    "deny no for * on db { run id; because \"x\" }\n",
		    c[i].level), 0);
		p = load_one(buf_cstr(&b));
		demand(p, "id", 0, false, &d, &b);
		assert_string_equal(buf_cstr(&b), c[i].want);
		buf_reset(&b);
		policy_free(p);
	}
	buf_clear(&b);
}

/* -- no blow-up -------------------------------------------------------------------- */

/* Patterns and words that make backtracking matchers take for ever. */
static void
t_decide_no_blowup(void **state)
{
	static const struct {
		const char *rule, *unit, *end;
		size_t n;
		bool allow;
	} t[] = {
		{ "allow r for dev on db { run x <any>... <any>... <any>... "
		  "<any>... <any>... <any>... <any>... y }\n", " a", " z",
		    1000, false },
		{ "allow r for dev on db { run x <any>... <any>... <any>... "
		  "<any>... <any>... <any>... <any>... y }\n", " a", " y",
		    1000, true },
		{ "allow r for dev on db { run x ([a] [a] [a] [a] [a] [a] [a] "
		  "[a] [a] [a] [a] [a] [a] [a] [a] [a]) b }\n", " a", "", 16,
		    false },
		{ "allow r for dev on db { run 'x' <enum a aa aaa aaaa><enum a "
		  "aa aaa><enum a aa aaa><any><any><any><any><any><any>b }\n",
		    "a", "", 30000, false },
		{ "allow r for dev on db { run 'x' <text 1..9999><text 1..9999>"
		  "<any><text 1..30000><host><semver>b }\n", "1.", "b", 15000,
		    false },
		{ "allow r for dev on db { run 'x' <host>.<host>.<host><host>"
		  "<sha><any> }\n", "a", "b", 30000, false },
		{ "allow r for dev on db { run 'x' <any>.<host><host><sha><any>"
		  " }\n", "a", ".bcaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    30000, true },
		{ "allow r for dev on db { run 'x' </**> }\n", "/a", "", 15000,
		    false },
		{ "allow r for dev on db { run 'x' <any><git-ref \"<int><int>"
		  "<semver><int>\"><any> }\n", "1", "", 30000, false },
		{ "allow r for dev on db { run 'x' <int 0..9><int 0..9>"
		  "<int 0..9999><any><int 1..2><any>b }\n", "1", "b", 30000,
		    true },
	};
	struct policy *p;
	struct decision d;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		struct decide_case c = { DEV, "db", "", NULL, false, DENIED("") };

		p = load_one(t[i].rule);
		buf_init(&b, 1 << 16);
		assert_int_equal(buf_putf(&b, "x%s", *t[i].unit == ' ' ? "" :
		    " "), 0);
		for (size_t k = 0; k < t[i].n; k++)
			assert_int_equal(buf_put(&b, t[i].unit,
			    strlen(t[i].unit)), 0);
		assert_int_equal(buf_putf(&b, "%s", t[i].end), 0);
		c.command = buf_cstr(&b);
		ask(p, &c, &d, NULL);
		if ((d.verdict == VERDICT_ALLOW) != t[i].allow)
			fail_msg("%zu", i);
		buf_clear(&b);
		policy_free(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_decide_table),
		cmocka_unit_test(t_decide_promise_1_zeroed),
		cmocka_unit_test(t_decide_promise_1_incomplete),
		cmocka_unit_test(t_decide_explain_table),
		cmocka_unit_test(t_decide_explain_long),
		cmocka_unit_test(t_decide_demands),
		cmocka_unit_test(t_decide_windows),
		cmocka_unit_test(t_decide_explain_levels),
		cmocka_unit_test(t_decide_no_blowup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
