/*
 * What a target offers, and what the job hears of it.  Runs in the hop.  The
 * lines are the target's.
 *
 * Of a fetch that may not have every ref, the others are left out, and with
 * them the capabilities by which their objects could be had all the same:
 * wants that were not offered, packs that build upon what the job says it has,
 * tags that come along, filters that are read from an object.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/git_internal.h"

/* -- capabilities ------------------------------------------------------------
 */

enum { FETCH = 1, PUSH = 2, BOTH = 3 };

/* What is missing here is not offered: push-cert (a list that is signed would
 * have to be read in another form), and what is not known yet. */
static const struct capability {
	const char *name; /* ends with `=`: a value follows */
	unsigned int service;
	bool all; /* only where every ref may be fetched */
} capabilities[] = {
	{ "agent=", BOTH, false },
	{ "allow-reachable-sha1-in-want", FETCH, true },
	{ "allow-tip-sha1-in-want", FETCH, true },
	{ "atomic", PUSH, false },
	{ "deepen-not", FETCH, false },
	{ "deepen-relative", FETCH, false },
	{ "deepen-since", FETCH, false },
	{ "delete-refs", PUSH, false },
	{ "filter", FETCH, true },
	{ "include-tag", FETCH, true },
	{ "multi_ack", FETCH, false },
	{ "multi_ack_detailed", FETCH, false },
	{ "no-done", FETCH, false },
	{ "no-progress", FETCH, false },
	{ "no-thin", PUSH, false },
	{ "object-format=", BOTH, false },
	{ "ofs-delta", BOTH, false },
	{ "push-options", PUSH, false },
	{ "quiet", PUSH, false },
	{ "report-status", PUSH, false },
	{ "report-status-v2", PUSH, false },
	{ "session-id=", BOTH, false },
	{ "shallow", FETCH, false },
	{ "side-band", FETCH, false },
	{ "side-band-64k", BOTH, false },
	{ "symref=", FETCH, false },
	{ "thin-pack", FETCH, true },
};

/* git ends a capability at any white space (parse_feature_value): MUST NOT be
 * in a value, or another one follows in its shadow. */
static bool
value_ok(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)p[i] <= ' ' || p[i] == 0x7f)
			return false;
	}
	return n > 0;
}

static bool
word_is(const struct pkt_text *word, const char *name)
{
	size_t n = strlen(name);

	if (name[n - 1] != '=')
		return pkt_text_is(word, name);
	return word->n > n && memcmp(word->p, name, n) == 0 &&
	       value_ok(word->p + n, word->n - n);
}

static bool
shows(struct git *g, const struct pkt_text *name)
{
	char ref[PKT_REF_MAX + 1], why[GIT_WHY_MAX];

	if (g->want.all)
		return true;
	return pkt_ref(name, ref) &&
	       g->want.judge(g->want.arg, ref, why) != NULL;
}

/* "symref=HEAD:refs/heads/main": where it leads may be hidden. */
static bool
symref_shows(struct git *g, const struct pkt_text *word)
{
	const char *colon = memchr(word->p, ':', word->n);
	struct pkt_text to;

	if (g->want.all || colon == NULL)
		return g->want.all;
	to.p = colon + 1;
	to.n = word->n - (size_t)(to.p - word->p);
	return shows(g, &to);
}

static bool
cap_ok(struct git *g, const struct pkt_text *word)
{
	const unsigned int service = g->want.service == GIT_PUSH ? PUSH : FETCH;
	const struct capability *c;
	size_t i;

	for (i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		c = &capabilities[i];
		if (!word_is(word, c->name))
			continue;
		if ((c->service & service) == 0 || (c->all && !g->want.all))
			return false;
		return strcmp(c->name, "symref=") != 0 || symref_shows(g, word);
	}
	return false;
}

/* Empty words are nothing: there may be a space in front, and at the end. */
static bool
next_word(struct pkt_text *t, struct pkt_text *word)
{
	while (t->n > 0 && t->p[0] == ' ') {
		t->p++;
		t->n--;
	}
	return pkt_take_word(t, word);
}

int
git_caps_put(struct git *g, const struct pkt_text *words, struct buf *out)
{
	struct pkt_text t = *words, word;
	int r = 0;

	while (r == 0 && next_word(&t, &word)) {
		if (!cap_ok(g, &word))
			continue;
		if ((r = buf_put(out, " ", 1)) == 0)
			r = buf_put(out, word.p, word.n);
	}
	return r;
}

bool
git_caps_have(const struct pkt_text *words, const char *name)
{
	struct pkt_text t = *words, word;

	while (next_word(&t, &word)) {
		if (pkt_text_is(&word, name))
			return true;
	}
	return false;
}

/* Where HEAD leads, if that is said and may be seen. */
static bool
head_shows(struct git *g)
{
	static const char head[] = "symref=HEAD:";
	struct pkt_text t = { (const char *)buf_ptr(&g->caps),
		buf_len(&g->caps) },
			word;

	while (t.n > 0 && next_word(&t, &word)) {
		if (word.n > sizeof(head) - 1 &&
		    memcmp(word.p, head, sizeof(head) - 1) == 0)
			return symref_shows(g, &word);
	}
	return false;
}

/* -- refs --------------------------------------------------------------------
 */

static int
emit(struct git *g, const char *oid, const struct pkt_text *name)
{
	struct pkt_text caps;
	struct buf b;
	int r;

	buf_init(&b, PKT_DATA_MAX);
	if ((r = buf_putf(&b, "%s ", oid)) == 0)
		r = buf_put(&b, name->p, name->n);
	if (r == 0 && g->offered && !g->caps_sent) {
		caps.p = (const char *)buf_ptr(&g->caps);
		caps.n = buf_len(&g->caps);
		g->caps_sent = true;
		if ((r = buf_put(&b, "", 1)) == 0 && caps.n > 0)
			r = git_caps_put(g, &caps, &b);
	}
	if (r == 0 && (r = buf_put(&b, "\n", 1)) == 0) {
		buf_shift(&g->out[GIT_JOB]);
		r = pkt_put(&g->out[GIT_JOB], buf_ptr(&b), buf_len(&b));
	}
	buf_clear(&b);
	return r;
}

/* Remembered as far as there is room for it: of what is not remembered a fetch
 * of every ref says the object alone. */
static int
remember(struct git *g, const char *oid, const struct pkt_text *name)
{
	char ref[PKT_REF_MAX + 1] = "HEAD";
	struct git_seen *s;
	int r;

	if (g->want.service != GIT_FETCH ||
	    (!pkt_text_is(name, "HEAD") && !pkt_ref(name, ref)))
		return 0;
	r = git_grow(
	    &g->seen, g->nseen, &g->capseen, GIT_REFS_MAX, sizeof(*g->seen));
	if (r == ERR_TOOBIG)
		return g->want.all ? 0
				   : git_broke(g, GIT_TARGET,
					 "more refs than one session can look "
					 "at");
	if (r != 0)
		return r;
	s = &g->seen[g->nseen];
	if ((s->name = git_name(g, ref)) == UINT32_MAX)
		return g->want.all ? 0 : ERR_TOOBIG;
	(void)str_copy(s->oid, sizeof(s->oid), oid);
	g->nseen++;
	return 0;
}

/* What a tag points to, behind the tag: "NAME^{}". */
static bool
is_peeled(const struct git *g, const struct pkt_text *name)
{
	size_t n = strlen(g->last);

	return name->n == n + 3 && memcmp(name->p, g->last, n) == 0 &&
	       memcmp(name->p + n, "^{}", 3) == 0;
}

static int
on_ref(struct git *g, const char *oid, const struct pkt_text *name)
{
	bool show, peeled;
	size_t n;
	int r;

	if (pkt_text_is(name, "capabilities^{}"))
		return 0; /* there is no ref: git_adv_end says so */
	if (g->want.service == GIT_PUSH || g->want.all)
		show = true; /* a push may know what is there */
	else if (is_peeled(g, name))
		show = g->last_shown;
	else if (pkt_text_is(name, "HEAD"))
		show = head_shows(g);
	else
		show = shows(g, name);
	peeled = is_peeled(g, name);
	if (!peeled) {
		n = name->n < sizeof(g->last) ? name->n : 0;
		memcpy(g->last, name->p, n);
		g->last[n] = '\0';
		g->last_shown = show;
	}
	if (!show) {
		g->hid = true;
		return 0;
	}
	if ((r = emit(g, oid, name)) != 0)
		return r;
	return peeled ? 0 : remember(g, oid, name);
}

static int
compare_seen(const void *a, const void *b)
{
	return strcmp(((const struct git_seen *)a)->oid,
	    ((const struct git_seen *)b)->oid);
}

const struct git_seen *
git_seen_find(const struct git *g, const char *oid, size_t *n)
{
	size_t low = 0, high = g->nseen, mid, end;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (strcmp(g->seen[mid].oid, oid) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < g->nseen && end - low < GIT_ALIKE_MAX &&
			strcmp(g->seen[end].oid, oid) == 0;
	     end++)
		;
	*n = end - low;
	return *n == 0 ? NULL : &g->seen[low];
}

static int
adv_end(struct git *g)
{
	static const struct pkt_text none = { "capabilities^{}", 15 };
	char zero[PKT_OID_MAX + 1];
	int r = 0;

	if (g->offered && !g->caps_sent) {
		memset(zero, '0', g->oid_len);
		zero[g->oid_len] = '\0';
		r = emit(g, zero, &none);
	}
	if (r != 0 || (r = git_put_flush(g, GIT_JOB)) != 0)
		return r;
	if (g->nseen > 0)
		qsort(g->seen, g->nseen, sizeof(*g->seen), compare_seen);
	if (g->hid)
		g->want.say(g->want.arg,
		    g->nseen == 0
			? "no ref of this repository may be fetched by this job"
			: "refs that this job may not fetch are not shown");
	g->phase[GIT_JOB] = GIT_LIST;
	/* Until a push has been judged the target has nothing to say. */
	g->phase[GIT_TARGET] =
	    g->want.service == GIT_PUSH ? GIT_QUIET : GIT_PASS;
	return 0;
}

/* The first line that names a ref brings them. */
static int
take_caps(struct git *g, struct pkt_text *t)
{
	struct pkt_text caps;

	if (!pkt_take_caps(t, &caps))
		return 0;
	if (g->offered)
		return git_broke(g, GIT_TARGET, "capabilities twice");
	g->offered = true;
	if (caps.n > GIT_CAPS_MAX)
		return git_broke(g, GIT_TARGET, "too many capabilities");
	return buf_put(&g->caps, caps.p, caps.n);
}

int
git_adv_line(struct git *g, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k), name;
	char oid[PKT_OID_MAX + 1];
	int r;

	if (k->kind == PKT_FLUSH)
		return adv_end(g);
	if (pkt_take(&t, "ERR")) /* and then it ends */
		return git_put(g, GIT_JOB, k);
	if (t.n >= 8 && memcmp(t.p, "version ", 8) == 0)
		return git_broke(g, GIT_TARGET,
		    "it speaks another version of the protocol than 0");
	if ((r = take_caps(g, &t)) != 0)
		return r;
	if (pkt_take(&t, "shallow"))
		return pkt_take_oid(&t, oid) && t.n == 0
			   ? git_put(g, GIT_JOB, k)
			   : git_broke(g, GIT_TARGET, "a line that is none");
	if (!pkt_take_oid(&t, oid) || t.n == 0 || !g->offered)
		return git_broke(g, GIT_TARGET, "a line that is none");
	g->oid_len = strlen(oid);
	name = t;
	return on_ref(g, oid, &name);
}
