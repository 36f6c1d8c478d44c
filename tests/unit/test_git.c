/*
 * The filter for git's protocol: a script of both sides' lines, and what came
 * out on either side and into the manifest.
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
#include "lib/err.h"
#include "ssh/git.h"
#include "ssh/pktline.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccc"
#define Z "0000000000000000000000000000000000000000"
#define FLUSH ""

struct world {
	struct git *g;
	char list[65536]; /* the manifest */
	struct buf out[2];
	char said[200];
};

/* Everything but what has `no` in its name. */
static const char *
judge(void *arg, const char *ref, char why[GIT_WHY_MAX])
{
	(void)arg;
	(void)snprintf(why, GIT_WHY_MAX, "never");
	return strstr(ref, "no") != NULL ? NULL : "rule";
}

static const char *
dash(const char *s)
{
	return s == NULL ? "-" : s;
}

static void
entry(void *arg, const struct git_entry *e)
{
	static const char *const result[] = { "cut", "failed", "refused",
		"asked", "done" };
	struct world *w = arg;
	size_t n = strlen(w->list);

	(void)snprintf(w->list + n, sizeof(w->list) - n,
	    "%s %s %s %.1s%.1s%s%s\n", e->verb, result[e->result], dash(e->ref),
	    dash(e->old), dash(e->new), e->why == NULL ? "" : " ",
	    e->why == NULL ? "" : e->why);
}

static void
say(void *arg, const char *text)
{
	(void)snprintf(((struct world *)arg)->said, 200, "%s", text);
}

static int
setup(struct world *w, enum git_service service, bool all)
{
	const struct git_want want = { .service = service,
		.all = all,
		.judge = judge,
		.entry = entry,
		.say = say,
		.arg = w };

	*w = (struct world){ .list = "" };
	buf_init(&w->out[0], 1 << 26);
	buf_init(&w->out[1], 1 << 26);
	return git_new(&want, &w->g);
}

static void
teardown(struct world *w)
{
	git_free(w->g);
	buf_clear(&w->out[0]);
	buf_clear(&w->out[1]);
}

static int
feed(struct world *w, enum git_side side, const void *data, size_t n,
    size_t step)
{
	const uint8_t *p = data, *q;
	size_t took, out;
	int r = 0;

	while (n > 0 && r == 0) {
		r = git_take(w->g, side, p, n < step ? n : step, &took);
		p += took;
		n -= took;
		for (int i = 0; i < 2; i++) {
			q = git_out(w->g, (enum git_side)i, &out);
			assert_int_equal(buf_put(&w->out[i], q, out), 0);
			git_sent(w->g, (enum git_side)i, out);
		}
		if (took == 0)
			return r != 0 ? r : ERR_AGAIN;
	}
	return r;
}

/* "J..." or "T...", one line; nothing behind the letter is a flush, `@` in it a
 * NUL; "j..." and "t...": bytes as they are. */
static int
line(struct world *w, const char *s, size_t step)
{
	enum git_side side = (s[0] | 0x20) == 'j' ? GIT_JOB : GIT_TARGET;
	char text[1024];
	size_t n = strlen(s + 1);
	struct buf b;
	int r;

	memcpy(text, s + 1, n);
	for (size_t i = 0; i < n; i++)
		text[i] = text[i] == '@' ? '\0' : text[i];
	buf_init(&b, 2048);
	if (s[0] == 'j' || s[0] == 't')
		r = buf_put(&b, text, n);
	else
		r = n == 0 ? pkt_put_flush(&b) : pkt_put(&b, text, n);
	if (r == 0)
		r = feed(w, side, buf_ptr(&b), buf_len(&b), step);
	buf_clear(&b);
	return r;
}

static int
play(struct world *w, const char *const *script, size_t step)
{
	int r = 0;

	for (; *script != NULL && r == 0; script++)
		r = line(w, *script, step);
	return r;
}

/* Lines, one after the other; a flush is a dot, a NUL an `@`. */
static const char *
shown(struct buf *b)
{
	static char text[65536];
	struct pkt k;
	size_t n = 0;

	while (pkt_read(buf_ptr(b), buf_len(b), &k) == 0) {
		for (size_t i = 0; i < k.n; i++)
			if (k.data[i] != '\n')
				text[n++] =
				    k.data[i] == 0 ? '@' : (char)k.data[i];
		text[n++] = k.kind == PKT_FLUSH ? '.' : '\n';
		(void)buf_skip(b, k.size);
	}
	memcpy(text + n, buf_ptr(b) == NULL ? (const uint8_t *)"" : buf_ptr(b),
	    buf_len(b));
	text[n + buf_len(b)] = '\0';
	return text;
}

struct script {
	enum git_service service;
	bool all;
	const char *line[24];
	int want;
	const char *job, *target; /* what each was sent; NULL: anything */
	const char *list;
};

#define ADV                                                                    \
	"T" A " HEAD@multi_ack thin-pack side-band-64k filter include-tag "    \
	"symref=HEAD:refs/heads/main symref=refs/x:refs/heads/no "             \
	"allow-tip-sha1-in-want novelty agent=g\n",                            \
	    "T" A " refs/heads/main\n", "T" B " refs/heads/no\n",              \
	    "T" C " refs/tags/v1\n", "T" B " refs/tags/v1^{}\n",               \
	    "T" B " refs/tags/no1\n", "T" C " refs/tags/no1^{}\n", "T"

#define SHOWN                                                                  \
	A " HEAD@ multi_ack side-band-64k symref=HEAD:refs/heads/main "        \
	  "agent=g\n" A " refs/heads/main\n" C " refs/tags/v1\n" B             \
	  " refs/tags/v1^{}\n."

static const struct script scripts[] = {
	/* fetch: all of it */
	{ GIT_FETCH, true,
	    { ADV, "Jwant " A " multi_ack thin-pack novelty\n", "Jwant " A "\n",
		"Jwant " B "\n", "Jfilter blob:none\n", "J", "Jhave " C "\n",
		"janything", "tPACK" },
	    0,
	    A " HEAD@ multi_ack thin-pack side-band-64k filter include-tag "
	      "symref=HEAD:refs/heads/main symref=refs/x:refs/heads/no "
	      "allow-tip-sha1-in-want agent=g\n" A " refs/heads/main\n" B
	      " refs/heads/no\n" C " refs/tags/v1\n" B " refs/tags/v1^{}\n" B
	      " refs/tags/no1\n" C " refs/tags/no1^{}\n.PACK",
	    "want " A " multi_ack thin-pack\nwant " A "\nwant " B
	    "\nfilter blob:none\n.have " C "\nanything",
	    "fetch asked refs/heads/main -a\nfetch asked refs/heads/no -b\n"
	    "fetch asked refs/tags/no1 -b\n" },
	/* some: what is hidden is neither named nor to be had */
	{ GIT_FETCH, false,
	    { ADV, "Jwant " A " multi_ack thin-pack include-tag agent=j\n", "J",
		"J" },
	    0, SHOWN, "want " A " multi_ack agent=j\n..",
	    "fetch asked refs/heads/main -a\n" },
	/* nor by a capability in the shadow of another one's value */
	{ GIT_FETCH, false,
	    { ADV, "Jwant " A " agent=a\tinclude-tag multi_ack\n",
		"Jwant " A " session-id=a\rthin-pack agent=b\n",
		"Jwant " A " object-format=sha1\nthin-pack\n" },
	    0, SHOWN, "want " A " multi_ack\nwant " A " agent=b\nwant " A "\n",
	    "" },
	{ GIT_FETCH, false, { ADV, "Jwant " A "\n", "Jwant " B "\n" }, 0,
	    SHOWN "ERR postern: this object is not what a ref points to that "
		  "may be fetched\n",
	    "want " A "\n",
	    "fetch refused - -b this object is not what a ref points to that "
	    "may be fetched\n" },
	{ GIT_FETCH, false, { ADV, "Jdeepen-not refs/heads/no\n" }, 0, NULL, "",
	    "fetch refused refs/heads/no -- never\n" },
	{ GIT_FETCH, false, { ADV, "Jfilter blob:none\n" }, 0, NULL, "", NULL },
	{ GIT_FETCH, false,
	    { ADV, "Jwant " A "\n", "Jshallow " B "\n", "Jdeepen 3\n",
		"Jdeepen-since 7\n", "Jdeepen-not refs/heads/main\n", "J" },
	    0, NULL,
	    "want " A "\nshallow " B "\ndeepen 3\ndeepen-since 7\n"
	    "deepen-not refs/heads/main\n.",
	    "fetch asked refs/heads/main -a\n" },
	/* what lies behind a commit that the job names is not had so */
	{ GIT_FETCH, false,
	    { ADV, "Jwant " A "\n", "Jshallow " B "\n",
		"Jdeepen 2147483647\n" },
	    0, NULL, "want " A "\nshallow " B "\n", NULL },
	{ GIT_FETCH, false, { ADV, "Jdeepen 0x7fffffff" }, ERR_PROTO, NULL, "",
	    "" },
	{ GIT_FETCH, false, { ADV, "Jdeepen 6442450943" }, ERR_PROTO, NULL, "",
	    "" },
	{ GIT_FETCH, true, { ADV, "Jdeepen 2147483647\n" }, 0, NULL,
	    "deepen 2147483647\n", "" },
	/* none: git says that there is none */
	{ GIT_FETCH, false,
	    { "T" A " refs/heads/no@side-band-64k\n", "T", "J" }, 0,
	    Z " capabilities^{}@ side-band-64k\n.", ".", "" },
	{ GIT_FETCH, false, { "T" Z " capabilities^{}@side-band-64k\n", "T" },
	    0, Z " capabilities^{}@ side-band-64k\n.", "", "" },
	{ GIT_FETCH, false, { "T" }, 0, ".", "", "" },
	{ GIT_FETCH, false, { "TERR no such\n" }, 0, "ERR no such\n", "", "" },
	/* HEAD of a hidden branch is hidden */
	{ GIT_FETCH, false,
	    { "T" B " HEAD@symref=HEAD:refs/heads/no\n",
		"T" A " refs/heads/main\n", "T" },
	    0, A " refs/heads/main@\n.", "", "" },
	/* and so is one that says not where it leads */
	{ GIT_FETCH, false,
	    { "T" A " HEAD@agent=g\n", "T" A " refs/heads/main\n", "T" }, 0,
	    A " refs/heads/main@ agent=g\n.", "", "" },
	/* nobody is listened to before his turn */
	{ GIT_FETCH, true, { "Jwant " A "\n" }, ERR_AGAIN, "", "", "" },
	/* what is not version 0, or nothing at all */
	{ GIT_FETCH, true, { "Tversion 2\n" }, ERR_PROTO, "", "", "" },
	{ GIT_FETCH, true, { "Tversion 1\n" }, ERR_PROTO, "", "", "" },
	{ GIT_FETCH, true, { "t0001" }, ERR_PROTO, "", "", "" },
	{ GIT_FETCH, true, { "T" A " refs/heads/main\n" }, ERR_PROTO, "", "",
	    "" },
	{ GIT_FETCH, true, { "tHello" }, ERR_PROTO, "", "", "" },
	{ GIT_FETCH, true, { "T" A " a@x\n", "T" A " b@y\n" }, ERR_PROTO, NULL,
	    "", "" },
	{ GIT_FETCH, true, { "T", "Jcommand=ls-refs\n" }, ERR_PROTO, ".", "",
	    "" },
	{ GIT_FETCH, true, { "T", "Jwant " Z "0\n" }, ERR_PROTO, ".", "", "" },
	/* push: as it comes, without what is not known */
	{ GIT_PUSH, false,
	    { "T" A " refs/heads/no@report-status push-cert=x novelty "
	      "side-band-64k delete-refs\n",
		"T" B " .have\n", "T",
		"J" A " " B " refs/heads/x@ report-status novelty\n",
		"J" Z " " C " refs/heads/y", "J" B " " Z " refs/heads/z", "J",
		"jPACKbytes", "Tunpack ok\n", "Tok refs/heads/x\n",
		"Tng refs/heads/y not today\n", "Tok refs/heads/other\n", "T" },
	    0,
	    A " refs/heads/no@ report-status side-band-64k delete-refs\n" B
	      " .have\n.unpack ok\nok refs/heads/x\nng refs/heads/y not today\n"
	      "ok refs/heads/other\n.",
	    A " " B " refs/heads/x@ report-status\n" Z " " C " refs/heads/y\n" B
	      " " Z " refs/heads/z\n.PACKbytes",
	    "update done refs/heads/x ab\ncreate failed refs/heads/y 0c not "
	    "today\ndelete cut refs/heads/z b0\n" },
	/* one of them is refused: the target hears nothing */
	{ GIT_PUSH, false,
	    { "T" Z " capabilities^{}@report-status\n", "T",
		"J" Z " " A " refs/heads/a@ report-status\n",
		"J" Z " " A " refs/heads/no\n", "J" Z " " A " refs/heads/b\n",
		"J", "jPACK and more" },
	    0,
	    Z " capabilities^{}@ report-status\n."
	      "unpack nothing of this push was passed on\n"
	      "ng refs/heads/a another ref is refused\nng refs/heads/no never\n"
	      "ng refs/heads/b another ref is refused\n.",
	    "",
	    "create refused refs/heads/a 0a another ref is refused\n"
	    "create refused refs/heads/no 0a never\n"
	    "create refused refs/heads/b 0a another ref is refused\n" },
	/* options stand behind the list */
	{ GIT_PUSH, false,
	    { "T" Z " capabilities^{}@push-options\n", "T",
		"J" Z " " A " refs/heads/a@push-options", "J", "Jci.skip", "J",
		"jPACK" },
	    0, Z " capabilities^{}@ push-options\n.",
	    Z " " A " refs/heads/a@ push-options\n.ci.skip\n.PACK",
	    "create cut refs/heads/a 0a\n" },
	/* the target's word on what was done cannot be put out of sight */
	{ GIT_PUSH, false,
	    { "T" Z " capabilities^{}@report-status side-band-64k agent=g\tx\n",
		"T",
		"J" Z " " A
		" refs/heads/a@report-status agent=j\tside-band-64k",
		"J", "Tunpack ok\n", "Tok refs/heads/a\n", "T" },
	    0,
	    Z " capabilities^{}@ report-status side-band-64k\n.unpack ok\nok "
	      "refs/heads/a\n.",
	    Z " " A " refs/heads/a@ report-status\n.",
	    "create done refs/heads/a 0a\n" },
	/* a failed unpack is a failure of all */
	{ GIT_PUSH, false,
	    { "T" Z " capabilities^{}@report-status\n", "T",
		"J" Z " " A " refs/heads/a@report-status", "J",
		"Tunpack index-pack abnormal exit\n", "Tok refs/heads/a\n",
		"T" },
	    0, NULL, NULL, "create failed refs/heads/a 0a\n" },
	/* nothing to push */
	{ GIT_PUSH, false, { "T", "J" }, 0, ".", ".", "" },
	{ GIT_PUSH, false, { "T", "Jshallow " A, "J" }, 0, ".",
	    "shallow " A "\n.", "" },
	/* what is none */
	{ GIT_PUSH, false, { "T", "Jpush-cert@x\n" }, ERR_PROTO, ".", "", "" },
	{ GIT_PUSH, false, { "T", "J" A " " B " HEAD" }, ERR_PROTO, ".", "",
	    "" },
	{ GIT_PUSH, false, { "T", "J" A " " B " refs/heads/a b" }, ERR_PROTO,
	    ".", "", "" },
	{ GIT_PUSH, false, { "T", "J" A " refs/heads/a" }, ERR_PROTO, ".", "",
	    "" },
	{ GIT_PUSH, false,
	    { "T", "J" A " " A "000000000000000000000000 refs/x" }, ERR_PROTO,
	    ".", "", "" },
	{ GIT_PUSH, false,
	    { "T", "J" A " " B " refs/a@x", "J" A " " B " refs/b@y" },
	    ERR_PROTO, ".", "", "" },
	{ GIT_PUSH, false, { "T", "jnope" }, ERR_PROTO, ".", "", "" },
	/* archives */
	{ GIT_ARCHIVE, false,
	    { "Jargument --format=tar\n", "Jargument --prefix\n",
		"Jargument no/\n", "Jargument refs/heads/main:dir\n",
		"Jargument a file\n", "J", "tACK" },
	    0, "ACK",
	    "argument --format=tar\nargument --prefix\nargument no/\nargument "
	    "refs/heads/main:dir\nargument a file\n.",
	    "archive asked refs/heads/main --\n" },
	{ GIT_ARCHIVE, false, { "Jargument refs/heads/no\n" }, 0,
	    "NACK postern: never\n", "",
	    "archive refused refs/heads/no -- never\n" },
	{ GIT_ARCHIVE, false, { "Jargument main\n" }, 0, NULL, "", NULL },
	{ GIT_ARCHIVE, false, { "Jargument --pre\n" }, 0, NULL, "", NULL },
	{ GIT_ARCHIVE, true, { "Jargument --pre\n" }, 0, NULL, "", NULL },
	{ GIT_ARCHIVE, true, { "Jargument main\n", "J" }, 0, "",
	    "argument main\n.", "archive asked main --\n" },
	{ GIT_ARCHIVE, true, { "Jwant x\n" }, ERR_PROTO, "", "", "" },
};

static void
t_scripts(void **state)
{
	static const size_t steps[] = { 1, 3, 65536 };
	struct world w;
	int r;

	(void)state;
	for (size_t i = 0; i < N(scripts) * N(steps); i++) {
		const struct script *c = &scripts[i / N(steps)];

		assert_int_equal(setup(&w, c->service, c->all), 0);
		r = play(&w, c->line, steps[i % N(steps)]);
		if (r != c->want)
			fail_msg(
			    "%zu: %d: %s", i / N(steps), r, git_error(w.g));
		assert_true(r != ERR_PROTO || git_error(w.g)[0] != '\0');
		git_end(w.g);
		if (c->job != NULL)
			assert_string_equal(shown(&w.out[GIT_JOB]), c->job);
		if (c->target != NULL)
			assert_string_equal(
			    shown(&w.out[GIT_TARGET]), c->target);
		if (c->list != NULL)
			assert_string_equal(w.list, c->list);
		teardown(&w);
	}
}

/* The report stands in a band, and lines of it may be cut anywhere. */
static void
t_report_in_bands(void **state)
{
	static const char *const start[] = { "T" Z
					     " capabilities^{}@report-status "
					     "side-band-64k\n",
		"T", "J" Z " " A " refs/heads/a@report-status side-band-64k",
		"J" Z " " A " refs/heads/b", "J", "T\002remote words\n",
		"T\001000eunpack ok\n0",
		"T\001"
		"014ok refs/heads/a\n0017ng refs/",
		"T\001heads/b no\n", "T\0010000", "T", NULL };
	struct world w;

	(void)state;
	assert_int_equal(setup(&w, GIT_PUSH, false), 0);
	if (play(&w, start, 7) != 0)
		fail_msg("%s", git_error(w.g));
	assert_string_equal(w.list, "create done refs/heads/a 0a\n"
				    "create failed refs/heads/b 0a no\n");
	teardown(&w);
}

static void
t_refusal_in_bands(void **state)
{
	static const char *const start[] = { "T" Z
					     " capabilities^{}@report-status "
					     "side-band-64k\n",
		"T",
		"J" Z " " A " refs/heads/no@report-status-v2 side-band-64k",
		NULL };
	struct world w;

	(void)state;
	assert_int_equal(setup(&w, GIT_PUSH, false), 0);
	assert_int_equal(play(&w, start, 100), 0);
	assert_false(git_refused(w.g, true));
	assert_int_equal(line(&w, "J", 100), 0);
	assert_non_null(strstr(shown(&w.out[GIT_JOB]),
	    "\001002eunpack nothing of this push was passed on001bng "
	    "refs/heads/no never0000\n."));
	/* what follows is let go, up to a bound */
	assert_false(git_refused(w.g, false));
	assert_true(git_refused(w.g, true));
	assert_int_equal(line(&w, "jPACK", 100), 0);
	assert_false(git_refused(w.g, false));
	assert_int_equal(buf_len(&w.out[GIT_TARGET]), 0);
	assert_string_equal(git_error(w.g),
	    "refused: refs/heads/no: never; nothing of this push was passed "
	    "on");
	teardown(&w);
}

static void
t_drain_has_an_end(void **state)
{
	static uint8_t bytes[1 << 20];
	struct world w;
	size_t took = 1;

	(void)state;
	assert_int_equal(setup(&w, GIT_PUSH, false), 0);
	assert_int_equal(line(&w, "T", 100), 0);
	assert_int_equal(line(&w, "J" Z " " A " refs/heads/no", 100), 0);
	assert_int_equal(line(&w, "J", 100), 0);
	for (size_t i = 0; i <= GIT_DRAIN_MAX / sizeof(bytes); i++) {
		assert_false(git_refused(w.g, false));
		assert_int_equal(
		    git_take(w.g, GIT_JOB, bytes, sizeof(bytes), &took), 0);
		assert_int_equal(took, sizeof(bytes));
	}
	assert_true(git_refused(w.g, false));
	assert_false(git_wants(w.g, GIT_JOB));
	/* one without a pack has nothing to let go */
	teardown(&w);
	assert_int_equal(setup(&w, GIT_PUSH, false), 0);
	assert_int_equal(line(&w, "T", 100), 0);
	assert_int_equal(line(&w, "J" A " " Z " refs/heads/no", 100), 0);
	assert_int_equal(line(&w, "J", 100), 0);
	assert_true(git_refused(w.g, false));
	teardown(&w);
}

static int
push_many(struct world *w, size_t n, size_t len)
{
	char *s = calloc(1, len + 200);
	int r = 0;

	if (s == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n && r == 0; i++) {
		int k = snprintf(s, 200, "%04zx" Z " " A " refs/heads/%08zu",
		    4 + 41 + 41 + 19 + len, i);

		memset(s + k, 'x', len);
		r = feed(w, GIT_JOB, s, (size_t)k + len, 65536);
	}
	free(s);
	return r;
}

static void
t_bounds(void **state)
{
	struct world w;
	char s[128];
	int r = 0;

	(void)state;
	assert_int_equal(setup(&w, GIT_PUSH, true), 0);
	assert_int_equal(line(&w, "T", 100), 0);
	assert_int_equal(push_many(&w, GIT_PUSH_MAX, 0), 0);
	assert_int_equal(push_many(&w, 1, 0), ERR_PROTO);
	assert_non_null(strstr(git_error(w.g), "push them in parts"));
	teardown(&w);

	assert_int_equal(setup(&w, GIT_PUSH, true), 0);
	assert_int_equal(line(&w, "T", 100), 0);
	assert_int_equal(push_many(&w, 4000, 900), ERR_PROTO);
	assert_non_null(strstr(git_error(w.g), "push them in parts"));
	teardown(&w);

	assert_int_equal(setup(&w, GIT_FETCH, true), 0);
	assert_int_equal(line(&w, "T", 100), 0);
	for (size_t i = 0; i < GIT_WANTS_MAX; i++)
		assert_int_equal(line(&w, "Jwant " A, 100), 0);
	assert_int_equal(line(&w, "Jwant " A, 100), ERR_PROTO);
	teardown(&w);

	assert_int_equal(setup(&w, GIT_ARCHIVE, true), 0);
	for (size_t i = 0; i < GIT_ARGS_MAX; i++)
		assert_int_equal(line(&w, "Jargument a", 100), 0);
	assert_int_equal(line(&w, "Jargument a", 100), ERR_PROTO);
	teardown(&w);

	/* all may be fetched: what is too much is not remembered */
	for (int all = 0; all < 2; all++) {
		assert_int_equal(setup(&w, GIT_FETCH, all), 0);
		assert_int_equal(line(&w, "T" A " refs/x@", 100), 0);
		for (size_t i = 0; i < GIT_REFS_MAX && r == 0; i++) {
			(void)snprintf(s, sizeof(s), "T" A " refs/%zu", i);
			r = line(&w, s, 100);
		}
		assert_int_equal(r, all ? 0 : ERR_PROTO);
		r = 0;
		teardown(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_scripts),
		cmocka_unit_test(t_report_in_bands),
		cmocka_unit_test(t_refusal_in_bands),
		cmocka_unit_test(t_drain_has_an_end),
		cmocka_unit_test(t_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
