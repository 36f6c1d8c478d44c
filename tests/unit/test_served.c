/*
 * What rsync and git start at the far end: which forms are understood, which
 * are refused and at which word, and how they are decided.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/served.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define A "-logDtpre.iLsfxCIvu" /* rsync -a's own */

static struct command *
parsed(const char *text)
{
	struct command_error e;
	struct command *c;

	if (command_parse(text, strlen(text), &c, &e) != 0)
		fail_msg("%s: %s", text, e.what);
	return c;
}

/* -- reading
 * -------------------------------------------------------------------- */

enum { DELETES = 1, LINKS = 2 };

static const struct {
	const char *text;
	enum served_is is;
	size_t word; /* SERVED_BAD: which; SERVED_YES: how many paths */
	enum request_kind kind;
	unsigned int may; /* DELETES, LINKS */
} reads[] = {
	/* As rsync 3.1 to 3.5 send them. */
	{ "rsync --server " A " . /srv/x/", SERVED_YES, 1, REQUEST_WRITE,
	    LINKS },
	{ "rsync --server -logDtpre.iLs . /srv/x/", SERVED_YES, 1,
	    REQUEST_WRITE, LINKS },
	{ "rsync --server -logDtpre31.14iLsf . /srv/x/", SERVED_YES, 1,
	    REQUEST_WRITE, LINKS },
	{ "/usr/bin/rsync --server " A " --delete . /srv/x/", SERVED_YES, 1,
	    REQUEST_WRITE, DELETES | LINKS },
	{ "rsync --server -vlogDtprze.iLsfxCIvu --delete-after --stats "
	  "--partial . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, DELETES | LINKS },
	{ "rsync --server -vnltprcIe.iLsfxCIvu --log-format=%i . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, LINKS },
	{ "rsync --server -lHogDtpAXrSe.iLsfxCIvu --numeric-ids . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, LINKS },
	{ "rsync --server " A " --timeout=30 --bwlimit=1024 --append --append "
	  ". /x/",
	    SERVED_YES, 1, REQUEST_WRITE, LINKS },
	{ "rsync --server " A " --usermap=\\*:a --groupmap=\\*:b . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, LINKS },
	{ "rsync --server --sender " A " . /x/a '/x/b c'", SERVED_YES, 2,
	    REQUEST_READ, LINKS },
	{ "rsync --server --sender -de.LsfxCIvu --list-only . /x/", SERVED_YES,
	    1, REQUEST_READ, 0 },
	{ "rsync --server -lyWogDtprSe.iLsfxCIvu --compress-level=3 -B1000 "
	  "--checksum-choice=xxh3 --compress-choice=zstd --max-delete=5 "
	  "--force --modify-window=2 --checksum-seed=3 --ignore-errors "
	  "--fsync --preallocate --open-noatime . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, DELETES | LINKS },
	{ "rsync --server -lyogDtpre.iLsfxCIvu --partial-dir .p "
	  "--delay-updates --mkpath . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, DELETES | LINKS },
	{ "rsync --server -rtpre.iLsfxCIvu --partial --delay-updates "
	  "--msgs2stderr '--skip-compress=gz/jpg/mp[34]' . /x/",
	    SERVED_YES, 1, REQUEST_WRITE, 0 },
	{ "rsync --server --sender -vvtpre.iLsfxCIvu --no-msgs2stderr "
	  "--delete-missing-args . /x/",
	    SERVED_YES, 1, REQUEST_READ, DELETES },
	{ "rsync --server -vv -tre.l . /x/", SERVED_YES, 1, REQUEST_WRITE, 0 },
	{ "rsync --server -r -l -t . /x/", SERVED_YES, 1, REQUEST_WRITE,
	    LINKS },
	{ "rsync --server -Le.x . /x", SERVED_YES, 1, REQUEST_WRITE, 0 },
	{ "rsync --server " A " . /", SERVED_BAD, 4, 0, 0 },
	{ "git-upload-pack '/srv/shop.git'", SERVED_YES, 1, REQUEST_GIT_READ,
	    0 },
	{ "/usr/bin/git-upload-archive /srv/shop.git", SERVED_YES, 1,
	    REQUEST_GIT_READ, 0 },
	{ "git-receive-pack /srv/shop.git/", SERVED_YES, 1, REQUEST_GIT_WRITE,
	    0 },
	/* Commands like any other. */
	{ "rsync", SERVED_NO, 0, 0, 0 },
	{ "rsync -a /x /y", SERVED_NO, 0, 0, 0 },
	{ "rsync --daemon", SERVED_NO, 0, 0, 0 },
	{ "sudo rsync --server " A " . /x", SERVED_NO, 0, 0, 0 },
	{ "/opt/rsync --server " A " . /x", SERVED_NO, 0, 0, 0 },
	{ "git upload-pack /srv/x", SERVED_NO, 0, 0, 0 },
	{ "cd /srv && rsync --server " A " . /x", SERVED_NO, 0, 0, 0 },
	{ "RSYNC_X=1 rsync --server " A " . /x", SERVED_NO, 0, 0, 0 },
	{ "rsync --server " A " . /x | cat", SERVED_NO, 0, 0, 0 },
	/* Refused, whatever the rules say. */
	{ "rsync --server", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server --daemon .", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server --config=/x . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server -slogDtpre.iLsfxCIvu", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server -logs . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server " A, SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " .", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " . x", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . ''", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . /x/../y", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . /x//y", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . /x/./y", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . /x /y", SERVED_BAD, 5, 0, 0 },
	{ "rsync --server " A " . /x --log-file=/y", SERVED_BAD, 5, 0, 0 },
	{ "rsync --server --sender " A " . /x --log-file=/y", SERVED_BAD, 6, 0,
	    0 },
	{ "rsync --server --sender " A " . /x -Mx", SERVED_BAD, 6, 0, 0 },
	{ "rsync --server " A " --log-file=/x . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --log-file /x . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --backup-dir /b . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --backup-dir=/b . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --temp-dir /b . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " -T/b . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --link-dest ../y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --partial-dir ../y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --partial-dir /y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --partial-dir . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --partial-dir", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --partial-dir=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --suffix=/../x . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --files-from=/etc/shadow . /x", SERVED_BAD, 3,
	    0, 0 },
	{ "rsync --server --sender " A " --files-from=- . /x", SERVED_BAD, 4, 0,
	    0 },
	{ "rsync --server --sender " A " --remove-source-files . /x",
	    SERVED_BAD, 4, 0, 0 },
	{ "rsync --server --sender " A " --delete . /x", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server --sender -lLogDtpre.iLsfxCIvu . /x", SERVED_BAD, 3, 0,
	    0 },
	{ "rsync --server --sender -lkogDtpre.iLsfxCIvu . /x", SERVED_BAD, 3, 0,
	    0 },
	{ "rsync --server -lKogDtpre.iLsfxCIvu . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server -logDtprRe.iLsfxCIvu --no-implied-dirs . /x",
	    SERVED_BAD, 3, 0, 0 },
	{ "rsync --server --sender -logDtprRe.iLsfxCIvu --no-implied-dirs . /x",
	    SERVED_YES, 1, REQUEST_READ, LINKS },
	{ "rsync --server --sender " A " --copy-unsafe-links . /x", SERVED_BAD,
	    4, 0, 0 },
	/* What says how filters are read, which may be of any file. */
	{ "rsync --server -vvvlogDtpre.iLsfxCIvu . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server -vv -vr . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server -v -v -v . /x", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " --verbose . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --debug=FILTER2 . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --debug ALL . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --info=NAME,FILTER . /x", SERVED_YES, 1,
	    REQUEST_WRITE, LINKS },
	{ "rsync --server " A " --skip-compress=../x --filter=x . /x",
	    SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --exclude-from=/etc/shadow . /x", SERVED_BAD, 3,
	    0, 0 },
	{ "rsync --server " A " --include-from /etc/shadow . /x", SERVED_BAD, 3,
	    0, 0 },
	{ "rsync --server " A " -f merge,/etc/shadow . /x", SERVED_BAD, 3, 0,
	    0 },
	{ "rsync --server " A " -F . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server -rC . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server --daemon . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server --sender --daemon --config=/x . /x", SERVED_BAD, 3, 0,
	    0 },
	{ "rsync --server -rt --sender . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server --sender --sender -rt . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server --sender " A " --copy-devices . /x", SERVED_BAD, 4, 0,
	    0 },
	{ "rsync --server --sender " A " --copy-dirlinks . /x", SERVED_BAD, 4,
	    0, 0 },
	{ "rsync --server --sender " A " --copy-unsafe-links=1 . /x",
	    SERVED_BAD, 4, 0, 0 },
	{ "rsync --server --sender " A " --delete-source . /x", SERVED_BAD, 4,
	    0, 0 },
	{ "rsync --server --sender " A " --remove-sent-files . /x", SERVED_BAD,
	    4, 0, 0 },
	{ "rsync --server " A " --keep-dirlinks . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --copy-as=root . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --write-batch=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --only-write-batch=/y . /x", SERVED_BAD, 3, 0,
	    0 },
	{ "rsync --server " A " --read-batch=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --password-file=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --iconv=utf8 . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --dparam=x . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " -M--log-file=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --compare-dest /y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --copy-dest=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --temp-dir=/y . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " -- /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " . -- /x", SERVED_BAD, 5, 0, 0 },
	{ "rsync --server " A " . . /x", SERVED_BAD, 5, 0, 0 },
	{ "rsync --server " A " . '~/x'", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . /x/..", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . /x/.", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " ./x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " . host::module/x", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " . rsync://host/x", SERVED_BAD, 4, 0, 0 },
	{ "rsync --server " A " --super . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --fake-super . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --write-devices . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --rsh=id . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --timeout=x . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --timeout= . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --deletes . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " --del . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " -- . /x", SERVED_BAD, 3, 0, 0 },
	{ "rsync --server " A " - . /x", SERVED_BAD, 3, 0, 0 },
	/* `e` takes the next word, or a program, as the shell to start. */
	{ "rsync --server -re . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server -reid . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server -re/tmp/x . /x", SERVED_BAD, 2, 0, 0 },
	{ "rsync --server '-re.i /x' . /x", SERVED_BAD, 2, 0, 0 },
	{ "git-upload-pack", SERVED_BAD, 1, 0, 0 },
	{ "git-upload-pack --help", SERVED_BAD, 1, 0, 0 },
	{ "git-upload-pack --strict /srv/x", SERVED_BAD, 1, 0, 0 },
	{ "git-upload-pack /srv/x --timeout=1", SERVED_BAD, 2, 0, 0 },
	{ "git-upload-pack srv/x", SERVED_BAD, 1, 0, 0 },
	{ "git-upload-pack '~git/x'", SERVED_BAD, 1, 0, 0 },
	{ "git-receive-pack /srv/../x", SERVED_BAD, 1, 0, 0 },
};

static unsigned int
may(const struct served *v)
{
	return (v->deletes ? DELETES : 0) | (v->links ? LINKS : 0);
}

static void
t_reads(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(reads); i++) {
		struct command *c = parsed(reads[i].text);
		struct served v;
		enum served_is is = served_read(c, &v);

		if (is != reads[i].is ||
		    (is == SERVED_BAD && v.word != reads[i].word) ||
		    (is == SERVED_YES &&
			(v.npath != reads[i].word || v.kind != reads[i].kind ||
			    may(&v) != reads[i].may)))
			fail_msg("%s: %d, word %zu, %zu paths", reads[i].text,
			    is, v.word, v.npath);
		if (is == SERVED_BAD) {
			assert_non_null(v.what);
			assert_non_null(v.hint);
		}
		command_free(c);
	}
}

static void
t_bounds(void **state)
{
	char path[PATH_LEN_MAX + 1];
	struct command *c;
	struct served v;
	struct buf b;

	(void)state;
	buf_init(&b, COMMAND_LEN_MAX);
	assert_int_equal(buf_putf(&b, "rsync --server --sender " A " ."), 0);
	for (size_t i = 0; i < SERVED_PATHS_MAX; i++)
		assert_int_equal(buf_putf(&b, " /x"), 0);
	c = parsed(buf_cstr(&b));
	assert_int_equal(served_read(c, &v), SERVED_YES);
	command_free(c);
	assert_int_equal(buf_putf(&b, " /x"), 0);
	c = parsed(buf_cstr(&b));
	assert_int_equal(served_read(c, &v), SERVED_BAD);
	command_free(c);
	buf_reset(&b);
	assert_int_equal(buf_putf(&b, "/%0*d/", PATH_LEN_MAX - 1, 0), 0);
	assert_true(served_path(buf_cstr(&b), path));
	assert_int_equal(strlen(path), PATH_LEN_MAX);
	assert_int_equal(buf_putf(&b, "x"), 0);
	assert_false(served_path(buf_cstr(&b), path));
	buf_clear(&b);
}

/* -- deciding
 * ------------------------------------------------------------------- */

static const char policy_text[] =
    "policy 1\n"
    "issuer g { preset github; audience \"x\" }\n"
    "identity dev from g { claim repository_id = \"1\" }\n"
    "target web-1 { ssh \"deploy@h:22\"; hostkey ssh-ed25519 "
    "\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\" }\n"
    "program git-receive-pack = /opt/git/git-receive-pack\n"
    "allow ship for dev on web-1 { write under /srv/app by rsync max 5MiB "
    "no-delete; read under /var/log/app by rsync max 1MiB; "
    "limit output 2MiB }\n"
    "allow files for dev on web-1 { write under /srv/sftp by sftp }\n"
    "allow mirror for dev on web-1 { write under "
    "/srv/mirror/<claim repository_id> by rsync }\n"
    "allow plain for dev on web-1 { write under /srv/plain by rsync "
    "no-symlinks }\n"
    "allow two for dev on web-1 { read under /srv/one by rsync; "
    "read under /srv/two by rsync }\n"
    "allow code for dev on web-1 { git read /srv/a.git; "
    "git write /srv/a.git; git write /srv/b.git refs \"refs/heads/main\"; "
    "git write /srv/c.git }\n"
    "allow typed for dev on web-1 { run rsync --server --sender -x . /typed "
    "with stdin }\n"
    "allow careful for dev on web-1 { read under /var/log/app/careful by "
    "rsync; "
    "limit output 1KiB; floor }\n"
    "deny secret for * on * { read under /var/log/app/secret by rsync; "
    "git read /srv/hidden.git; run rsync <any>... /srv/app/never; "
    "git write /srv/c.git refs \"refs/heads/release\" }\n";

static const struct {
	const char *text;
	enum verdict meant, verdict;
	const char *rule, *program;
	uint64_t stdin_max, output;
} decisions[] = {
	{ "rsync --server " A " . /srv/app/", VERDICT_ALLOW, VERDICT_ALLOW,
	    "ship", "/usr/bin/rsync", 5 << 20, 2 << 20 },
	{ "rsync --server " A " . /srv/app/a/b", VERDICT_ALLOW, VERDICT_ALLOW,
	    "ship", "/usr/bin/rsync", 5 << 20, 2 << 20 },
	{ "rsync --server --sender " A " . /var/log/app/x /var/log/app/y",
	    VERDICT_ALLOW, VERDICT_ALLOW, "ship", "/usr/bin/rsync", 0,
	    1 << 20 },
	/* What a floor demands of one path holds for all of them. */
	{ "rsync --server --sender " A " . /var/log/app/careful/x "
	  "/var/log/app/y",
	    VERDICT_ALLOW, VERDICT_ALLOW, "ship", "/usr/bin/rsync", 0, 1024 },
	{ "rsync --server --sender " A " . /var/log/app/y "
	  "/var/log/app/careful/x",
	    VERDICT_ALLOW, VERDICT_ALLOW, "ship", "/usr/bin/rsync", 0, 1024 },
	{ "rsync --server " A " . /srv/mirror/1", VERDICT_ALLOW, VERDICT_ALLOW,
	    "mirror", "/usr/bin/rsync", 0, 0 },
	{ "rsync --server " A " --delete . /srv/mirror/1", VERDICT_ALLOW,
	    VERDICT_ALLOW, "mirror", "/usr/bin/rsync", 0, 0 },
	{ "git-upload-pack /srv/a.git", VERDICT_ALLOW, VERDICT_ALLOW, "code",
	    "/usr/bin/git-upload-pack", 0, 0 },
	{ "git-upload-archive /srv/a.git", VERDICT_ALLOW, VERDICT_ALLOW, "code",
	    "/usr/bin/git-upload-archive", 0, 0 },
	{ "git-receive-pack /srv/a.git", VERDICT_ALLOW, VERDICT_ALLOW, "code",
	    "/opt/git/git-receive-pack", 0, 0 },
	/* A `run` line that spells it decides before. */
	{ "rsync --server --sender -x . /typed", VERDICT_ALLOW, VERDICT_ALLOW,
	    "typed", NULL, 0, 0 },
	{ "rsync --server " A " . /srv/app/never", VERDICT_DENY, VERDICT_DENY,
	    "secret", NULL, 0, 0 },
	/* Refs are asked for one by one, on the way. */
	{ "git-receive-pack /srv/b.git", VERDICT_ALLOW, VERDICT_ALLOW, "code",
	    "/opt/git/git-receive-pack", 0, 0 },
	{ "git-receive-pack /srv/c.git", VERDICT_ALLOW, VERDICT_ALLOW, "code",
	    "/opt/git/git-receive-pack", 0, 0 },
	/* What goes elsewhere is no protocol. */
	{ "git-receive-pack /srv/a.git 2>&1", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "git-upload-pack /srv/a.git >/dev/null", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "rsync --server -rtpe.iLsfxCIvu --delete . /srv/plain/",
	    VERDICT_ALLOW, VERDICT_ALLOW, "plain", "/usr/bin/rsync", 0, 0 },
	{ "rsync --server " A " . /srv/plain/", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "rsync --server " A " --partial-dir x . /srv/app/", VERDICT_DENY,
	    VERDICT_DENY, "default", NULL, 0, 0 },
	{ "rsync --server " A " --delete . /srv/app/", VERDICT_DENY,
	    VERDICT_DENY, "default", NULL, 0, 0 },
	{ "rsync --server " A " . /srv/apples", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "rsync --server " A " . /srv/sftp", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "rsync --server " A " . /var/log/app", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "rsync --server " A " . /srv/mirror/2", VERDICT_DENY, VERDICT_DENY,
	    "default", NULL, 0, 0 },
	{ "rsync --server " A " . /", VERDICT_DENY, VERDICT_DENY, "default",
	    NULL, 0, 0 },
	{ "rsync --server --sender " A " . /var/log/app/x /etc/shadow",
	    VERDICT_DENY, VERDICT_DENY, "default", NULL, 0, 0 },
	{ "rsync --server --sender " A " . /etc/shadow /var/log/app/x",
	    VERDICT_DENY, VERDICT_DENY, "default", NULL, 0, 0 },
	{ "rsync --server --sender " A " . /srv/one/x /srv/two/x", VERDICT_DENY,
	    VERDICT_DENY, "default", NULL, 0, 0 },
	{ "rsync --server --sender " A " . /var/log/app/x "
	  "/var/log/app/secret/k",
	    VERDICT_DENY, VERDICT_DENY, "secret", NULL, 0, 0 },
	{ "git-upload-pack /srv/hidden.git", VERDICT_DENY, VERDICT_DENY,
	    "secret", NULL, 0, 0 },
	{ "git-upload-pack /srv/b.git", VERDICT_DENY, VERDICT_DENY, "default",
	    NULL, 0, 0 },
	{ "rsync --server " A " --log-file=/x . /srv/app", VERDICT_DENY,
	    VERDICT_DENY, "default", NULL, 0, 0 },
};

static void
check_decision(const struct request *q, size_t i)
{
	struct decision d;

	decide(q, &d);
	if (d.meant != decisions[i].meant ||
	    d.verdict != decisions[i].verdict ||
	    strcmp(d.rule_name, decisions[i].rule) != 0)
		fail_msg("%s: %x %x by %s (%s)", decisions[i].text, d.meant,
		    d.verdict, d.rule_name, d.missing);
	if (d.verdict != VERDICT_ALLOW || !d.stream)
		return;
	assert_true(d.stdin_ok);
	assert_false(d.pty);
	assert_string_equal(d.program[0], decisions[i].program);
	assert_int_equal(d.stdin_max, decisions[i].stdin_max);
	assert_int_equal(d.limit.output, decisions[i].output);
}

static void
t_decisions(void **state)
{
	static const char *const name[] = { "t.postern" };
	const char *text = policy_text;
	size_t len = strlen(policy_text);
	bool who[1] = { true };
	struct claims cs = { 0 };
	struct diags *diags = diags_new();
	struct policy *p = NULL;
	struct request q;

	(void)state;
	assert_int_equal(policy_load_text(name, &text, &len, 1, diags, &p), 0);
	assert_int_equal(claims_add(&cs, "repository_id", "1"), 0);
	q = (struct request){ .policy = p,
		.identity = who,
		.claims = &cs,
		.target = policy_target_find(p, "web-1"),
		.login = "deploy",
		.now = 1,
		.enforces = ENFORCE_BASTION };
	for (size_t i = 0; i < N(decisions); i++) {
		struct command *c = parsed(decisions[i].text);

		q.command = c;
		check_decision(&q, i);
		/* A terminal changes nothing: there is none for it. */
		if (decisions[i].verdict == VERDICT_ALLOW &&
		    strcmp(decisions[i].rule, "typed") != 0) {
			q.pty = true;
			check_decision(&q, i);
			q.pty = false;
		}
		command_free(c);
	}
	claims_clear(&cs);
	policy_free(p);
	diags_free(diags);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_reads),
		cmocka_unit_test(t_bounds),
		cmocka_unit_test(t_decisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
