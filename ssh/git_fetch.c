/*
 * What a job asks of git-upload-pack and git-upload-archive.  Runs in the hop.
 * The lines are the job's.
 *
 * Each want is passed on once it was judged; git answers to none before the
 * list has ended, so one that is refused leaves the target with nothing to do.
 * An archive has its list held back whole.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/git_internal.h"

#define DEPTH_MAX 1000000

/* Nothing more goes to the target. */
static int
refuse(struct git *g, const struct git_entry *e)
{
	bool archive = g->want.service == GIT_ARCHIVE;

	g->want.entry(g->want.arg, e);
	(void)snprintf(g->error, sizeof(g->error), "refused: %s", e->why);
	g->refused = true;
	g->phase[GIT_JOB] = g->phase[GIT_TARGET] = GIT_OVER;
	buf_shift(&g->out[GIT_JOB]);
	return pkt_putf(&g->out[GIT_JOB], "%s postern: %s",
	    archive ? "NACK" : "ERR", e->why);
}

/* -- a fetch -----------------------------------------------------------------
 */

static int
refuse_want(struct git *g, const char *oid, const char *ref, const char *why)
{
	return refuse(g, &(struct git_entry){ .verb = "fetch",
			     .ref = ref,
			     .new = oid,
			     .why = why,
			     .result = GIT_REFUSED });
}

static int
on_want(struct git *g, struct pkt_text *t)
{
	char oid[PKT_OID_MAX + 1];
	struct buf b;
	size_t n;
	int r;

	if (!pkt_take_oid(t, oid))
		return git_broke(g, GIT_JOB, "a want without an object");
	if (!g->want.all && git_seen_find(g, oid, &n) == NULL)
		return refuse_want(g, oid, NULL,
		    "this object is not what a ref points to that may be "
		    "fetched");
	r = git_grow(&g->wanted, g->nwanted, &g->capwanted, GIT_WANTS_MAX,
	    sizeof(*g->wanted));
	if (r == ERR_TOOBIG)
		return git_broke(g, GIT_JOB, "more wants than one fetch has");
	if (r != 0)
		return r;
	memcpy(g->wanted[g->nwanted++], oid, sizeof(oid));
	buf_init(&b, PKT_DATA_MAX);
	if ((r = buf_putf(&b, "want %s", oid)) == 0 &&
	    (r = git_caps_put(g, t, &b)) == 0 &&
	    (r = buf_put(&b, "\n", 1)) == 0) {
		buf_shift(&g->out[GIT_TARGET]);
		r = pkt_put(&g->out[GIT_TARGET], buf_ptr(&b), buf_len(&b));
	}
	buf_clear(&b);
	return r;
}

/*
 * "deepen N".  MUST have a bound that git does not take for "all of it": of
 * that it sends what lies behind each commit that the job says to be shallow,
 * be it of a ref that is hidden (upload-pack.c, deepen and send_unshallow).
 */
static int
on_deepen(struct git *g, const struct pkt *k, const struct pkt_text *t)
{
	char text[16];
	uint64_t n;

	if (g->want.all)
		return git_put(g, GIT_TARGET, k);
	if (t->n >= sizeof(text))
		return git_broke(g, GIT_JOB, "a depth that is none");
	memcpy(text, t->p, t->n);
	text[t->n] = '\0';
	if (memchr(text, '\0', t->n) != NULL ||
	    num_parse(text, 1, INT32_MAX, &n) != 0)
		return git_broke(g, GIT_JOB, "a depth that is none");
	if (n > DEPTH_MAX)
		return refuse_want(g, NULL, NULL,
		    "--unshallow is for repositories of which every ref may be "
		    "fetched; give a --depth");
	return git_put(g, GIT_TARGET, k);
}

/* "deepen-not REF": how far a history goes tells of what it is held against. */
static int
on_deepen_not(struct git *g, const struct pkt *k, const struct pkt_text *t)
{
	char ref[PKT_REF_MAX + 1], why[GIT_WHY_MAX];

	if (g->want.all)
		return git_put(g, GIT_TARGET, k);
	if (!pkt_ref(t, ref))
		return refuse_want(g, NULL, NULL,
		    "--shallow-exclude wants the whole name of a ref here: "
		    "refs/...");
	if (g->want.judge(g->want.arg, ref, why) == NULL)
		return refuse_want(g, NULL, ref, why);
	return git_put(g, GIT_TARGET, k);
}

static void
tell_want(struct git *g, const char *oid)
{
	struct git_entry e = {
		.verb = "fetch", .new = oid, .result = GIT_ASKED
	};
	const struct git_seen *s;
	char why[GIT_WHY_MAX];
	size_t n;

	s = git_seen_find(g, oid, &n);
	for (size_t i = 0; i < n; i++) {
		e.ref = git_name_at(g, s[i].name);
		if (n > 1 && strcmp(e.ref, "HEAD") == 0)
			continue; /* it is one of the others */
		e.rule = g->want.judge(g->want.arg, e.ref, why);
		g->want.entry(g->want.arg, &e);
	}
	if (n > 0)
		return;
	e.rule = g->want.judge(g->want.arg, "", why);
	g->want.entry(g->want.arg, &e);
}

static int
compare_oids(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* MUST be on record before the target hears the list's end.  git asks for an
 * object once for each ref that points to it. */
static int
wants_end(struct git *g)
{
	if (g->nwanted > 0)
		qsort(g->wanted, g->nwanted, sizeof(*g->wanted), compare_oids);
	for (size_t i = 0; i < g->nwanted; i++) {
		if (i == 0 || strcmp(g->wanted[i], g->wanted[i - 1]) != 0)
			tell_want(g, g->wanted[i]);
	}
	g->phase[GIT_JOB] = GIT_PASS;
	return git_put_flush(g, GIT_TARGET);
}

int
git_fetch_line(struct git *g, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k);
	char oid[PKT_OID_MAX + 1];

	if (k->kind == PKT_FLUSH)
		return wants_end(g);
	if (pkt_take(&t, "want"))
		return on_want(g, &t);
	if (pkt_take(&t, "deepen-not"))
		return on_deepen_not(g, k, &t);
	if (pkt_take(&t, "deepen"))
		return on_deepen(g, k, &t);
	if (pkt_take(&t, "deepen-since") ||
	    (pkt_take(&t, "shallow") && pkt_take_oid(&t, oid) && t.n == 0))
		return git_put(g, GIT_TARGET, k);
	if (pkt_take(&t, "filter"))
		return g->want.all
			   ? git_put(g, GIT_TARGET, k)
			   : refuse_want(g, NULL, NULL,
				 "--filter is for repositories of which every "
				 "ref may be fetched");
	return git_broke(g, GIT_JOB, "a line that no fetch has");
}

/* -- an archive --------------------------------------------------------------
 */

static int
refuse_archive(struct git *g, const char *why)
{
	return refuse(g, &(struct git_entry){ .verb = "archive",
			     .ref = g->tree[0] == '\0' ? NULL : g->tree,
			     .why = why,
			     .result = GIT_REFUSED });
}

/* An option that is known.  git takes any beginning of one; here it stands
 * whole, or what follows could be taken for something else. */
static bool
option_ok(struct git *g, const struct pkt_text *t)
{
	static const char *const flags[] = { "-v", "--verbose", "-l", "--list",
		"--worktree-attributes", "-0", "-1", "-2", "-3", "-4", "-5",
		"-6", "-7", "-8", "-9" };
	static const char *const values[] = { "--format", "--prefix",
		"--mtime" };
	size_t n;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (pkt_text_is(t, flags[i]))
			return true;
	}
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		n = strlen(values[i]);
		if (t->n < n || memcmp(t->p, values[i], n) != 0)
			continue;
		g->value_next = t->n == n;
		return t->n == n || t->p[n] == '=';
	}
	return false;
}

/* "REF" or "REF:PATH": what git-upload-archive takes it for. */
static int
on_tree(struct git *g, const struct pkt_text *t)
{
	const char *colon = memchr(t->p, ':', t->n);
	struct pkt_text ref = *t;
	char why[GIT_WHY_MAX] = "";

	if (colon != NULL)
		ref.n = (size_t)(colon - t->p);
	if (!pkt_ref(&ref, g->tree)) {
		if (!g->want.all)
			return refuse_archive(g,
			    "git archive wants the whole name of a ref here: "
			    "refs/heads/...");
		if (ref.n == 0 || ref.n > PKT_REF_MAX ||
		    memchr(ref.p, '\0', ref.n) != NULL ||
		    !utf8_valid(ref.p, ref.n))
			return git_broke(g, GIT_JOB, "a name that is none");
		memcpy(g->tree, ref.p, ref.n);
		g->tree[ref.n] = '\0';
	}
	g->tree_rule = g->want.judge(g->want.arg, g->tree, why);
	return g->tree_rule == NULL ? refuse_archive(g, why) : 0;
}

static int
on_argument(struct git *g, const struct pkt_text *t)
{
	if (++g->nargs > GIT_ARGS_MAX)
		return git_broke(g, GIT_JOB, "too many arguments");
	if (g->value_next) {
		g->value_next = false;
		return 0;
	}
	if (g->tree[0] != '\0')
		return 0; /* a path within it; git takes no option here */
	if (t->n > 0 && t->p[0] != '-')
		return on_tree(g, t);
	return option_ok(g, t) ? 0
			       : refuse_archive(g,
				     "this option of git archive is not known "
				     "to be harmless; leave it out, or write "
				     "it whole");
}

int
git_archive_line(struct git *g, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k);
	const uint8_t *held;
	int r;

	if (k->kind == PKT_FLUSH) {
		if (g->tree[0] != '\0')
			g->want.entry(
			    g->want.arg, &(struct git_entry){ .verb = "archive",
					     .ref = g->tree,
					     .rule = g->tree_rule,
					     .result = GIT_ASKED });
		g->phase[GIT_JOB] = GIT_PASS;
		held = buf_ptr(&g->held);
		if ((r = buf_put(
			 &g->out[GIT_TARGET], held, buf_len(&g->held))) != 0)
			return r;
		return git_put_flush(g, GIT_TARGET);
	}
	if (!pkt_take(&t, "argument"))
		return git_broke(g, GIT_JOB, "a line that no archive has");
	if ((r = on_argument(g, &t)) != 0 || g->refused)
		return r;
	return pkt_put(&g->held, k->data, k->n);
}
