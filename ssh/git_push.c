/*
 * What a job sends to git-receive-pack, and what that reports.  Runs in the
 * hop.  The list is the job's, the report the target's.
 *
 * MUST: not one byte of the list, and so none of the pack, is passed on before
 * every ref of the list was judged.  If one may not be pushed the job hears the
 * report that git itself would give of a push that failed, and the target
 * nothing at all.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/git_internal.h"

#define BAND_MAX (PKT_DATA_MAX - 1)

static const char *
verb_of(const struct git_command *c)
{
	if (pkt_oid_is_zero(c->new))
		return "delete";
	return pkt_oid_is_zero(c->old) ? "create" : "update";
}

static void
tell(struct git *g, struct git_command *c, enum git_result result,
    const char *why)
{
	c->told = true;
	g->want.entry(g->want.arg, &(struct git_entry){ .verb = verb_of(c),
				       .ref = git_name_at(g, c->name),
				       .old = c->old,
				       .new = c->new,
				       .rule = c->rule,
				       .why = why,
				       .result = result });
}

/* -- refusal -----------------------------------------------------------------
 */

static int
put_refusals(struct git *g, struct buf *report)
{
	char why[GIT_WHY_MAX];
	struct git_command *c;
	const char *name;
	int r;

	r = pkt_putf(report, "unpack nothing of this push was passed on");
	for (size_t i = 0; i < g->ncommand && r == 0; i++) {
		c = &g->command[i];
		name = git_name_at(g, c->name);
		(void)str_copy(why, sizeof(why), "another ref is refused");
		if (c->refused)
			(void)g->want.judge(g->want.arg, name, why);
		r = pkt_putf(report, "ng %s %s", name, why);
		tell(g, c, GIT_REFUSED, why);
	}
	return r == 0 ? pkt_put_flush(report) : r;
}

/* In git's own words: the report, in its band if there are bands. */
static int
put_report(struct git *g, struct buf *report)
{
	uint8_t line[1 + BAND_MAX] = { 1 };
	struct buf *out = &g->out[GIT_JOB];
	size_t n;
	int r = 0;

	buf_shift(out);
	if (!g->report)
		return g->band ? pkt_put_flush(out) : 0;
	if (!g->band)
		return buf_put(out, buf_ptr(report), buf_len(report));
	while (r == 0 && (n = buf_len(report)) > 0) {
		if (n > BAND_MAX)
			n = BAND_MAX;
		if ((r = buf_get(report, line + 1, n)) == 0)
			r = pkt_put(out, line, 1 + n);
	}
	return r == 0 ? pkt_put_flush(out) : r;
}

static int
refuse(struct git *g)
{
	const struct git_command *c = g->command;
	char why[GIT_WHY_MAX] = "";
	struct buf report;
	int r;

	while (!c->refused)
		c++;
	(void)g->want.judge(g->want.arg, git_name_at(g, c->name), why);
	(void)snprintf(g->error, sizeof(g->error),
	    "refused: %s: %s; nothing of this push was passed on",
	    git_name_at(g, c->name), why);
	buf_init(&report, GIT_OUT_MAX / 2);
	if ((r = put_refusals(g, &report)) == 0)
		r = put_report(g, &report);
	buf_clear(&report);
	g->refused = true;
	g->phase[GIT_TARGET] = GIT_DRAIN;
	g->phase[GIT_JOB] = g->packs ? GIT_DRAIN : GIT_OVER;
	return r;
}

/* -- the list ----------------------------------------------------------------
 */

static int
list_end(struct git *g)
{
	int r;

	if (g->nrefused > 0)
		return refuse(g);
	if ((r = buf_put(&g->out[GIT_TARGET], buf_ptr(&g->held),
		 buf_len(&g->held))) != 0)
		return r;
	buf_clear(&g->held);
	g->passed = true;
	g->phase[GIT_JOB] = g->options ? GIT_OPTIONS : GIT_PASS;
	g->phase[GIT_TARGET] = g->report ? GIT_REPORT : GIT_PASS;
	return git_put_flush(g, GIT_TARGET);
}

static int
take_caps(struct git *g, struct pkt_text *t, struct buf *b)
{
	struct pkt_text caps;

	if (!pkt_take_caps(t, &caps))
		return 0;
	if (g->ncommand > 0)
		return git_broke(g, GIT_JOB, "capabilities twice");
	g->report = git_caps_have(&caps, "report-status") ||
		    git_caps_have(&caps, "report-status-v2");
	g->band = git_caps_have(&caps, "side-band-64k");
	g->options = git_caps_have(&caps, "push-options");
	return git_caps_put(g, &caps, b);
}

/* OLD NEW REF */
static int
read_command(struct git *g, struct pkt_text *t, struct git_command *c)
{
	char ref[PKT_REF_MAX + 1], why[GIT_WHY_MAX];

	*c = (struct git_command){ .refused = false };
	if (!pkt_take_oid(t, c->old) || !pkt_take_oid(t, c->new) ||
	    strlen(c->old) != strlen(c->new))
		return git_broke(g, GIT_JOB, "a line that no push has");
	if (!pkt_ref(t, ref))
		return git_broke(g, GIT_JOB,
		    "a ref's name begins with refs/, is UTF-8, and has at most "
		    "1024 bytes");
	if ((c->name = git_name(g, ref)) == UINT32_MAX)
		return git_broke(g, GIT_JOB,
		    "more refs than one push may have; push them in parts");
	c->rule = g->want.judge(g->want.arg, ref, why);
	c->refused = c->rule == NULL;
	return 0;
}

static int
hold_command(struct git *g, struct git_command *c, const struct buf *caps)
{
	struct buf b;
	int r;

	r = git_grow(&g->command, g->ncommand, &g->capcommand, GIT_PUSH_MAX,
	    sizeof(*g->command));
	buf_init(&b, PKT_DATA_MAX);
	if (r == 0 &&
	    (r = buf_putf(&b, "%s %s %s", c->old, c->new,
		 git_name_at(g, c->name))) == 0 &&
	    g->ncommand == 0 && (r = buf_put(&b, "", 1)) == 0)
		r = buf_put(&b, buf_ptr(caps), buf_len(caps));
	if (r == 0)
		r = pkt_put(&g->held, buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	if (r == ERR_TOOBIG)
		return git_broke(g, GIT_JOB,
		    "more refs than one push may have; push them in parts");
	if (r != 0)
		return r;
	g->packs |= !pkt_oid_is_zero(c->new);
	g->nrefused += c->refused;
	g->command[g->ncommand++] = *c;
	return 0;
}

static int
on_command(struct git *g, struct pkt_text *t)
{
	struct git_command c;
	struct buf caps;
	int r;

	buf_init(&caps, GIT_CAPS_MAX);
	if ((r = take_caps(g, t, &caps)) == 0 &&
	    (r = read_command(g, t, &c)) == 0)
		r = hold_command(g, &c, &caps);
	buf_clear(&caps);
	return r;
}

int
git_push_line(struct git *g, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k), shallow = t;
	char oid[PKT_OID_MAX + 1];

	if (k->kind == PKT_FLUSH)
		return list_end(g);
	if (t.n >= 9 && memcmp(t.p, "push-cert", 9) == 0)
		return git_broke(g, GIT_JOB,
		    "a signed push, which is not read here; leave out "
		    "--signed");
	if (!pkt_take(&shallow, "shallow"))
		return on_command(g, &t);
	if (!pkt_take_oid(&shallow, oid) || shallow.n > 0)
		return git_broke(g, GIT_JOB, "a line that no push has");
	return pkt_put(&g->held, k->data, k->n);
}

int
git_option_line(struct git *g, const struct pkt *k)
{
	if (k->kind == PKT_FLUSH)
		g->phase[GIT_JOB] = GIT_PASS;
	return git_put(g, GIT_TARGET, k);
}

/* -- the report --------------------------------------------------------------
 */

/* The refs are reported in their order, but that is not promised. */
static struct git_command *
find(struct git *g, const struct pkt_text *name)
{
	struct git_command *c;

	for (size_t i = 0; i < g->ncommand; i++) {
		c = &g->command[(g->next + i) % g->ncommand];
		if (!c->told && pkt_text_is(name, git_name_at(g, c->name))) {
			g->next = (g->next + i + 1) % g->ncommand;
			return c;
		}
	}
	return NULL;
}

static void
on_reported(struct git *g, struct pkt_text *t, bool ok)
{
	char why[GIT_WHY_MAX];
	struct git_command *c;
	struct pkt_text name;
	size_t n;

	if (!pkt_take_word(t, &name) || (c = find(g, &name)) == NULL)
		return; /* what it says of others is for the job to read */
	n = t->n < sizeof(why) ? t->n : sizeof(why) - 1;
	if (n > 0)
		memcpy(why, t->p, n);
	why[n] = '\0';
	tell(g, c, ok && g->unpacked ? GIT_DONE : GIT_FAILED, ok ? NULL : why);
}

static int
inner_line(struct git *g, const struct pkt *k)
{
	struct pkt_text t = pkt_text(k);

	if (k->kind == PKT_FLUSH)
		g->report = false; /* it is whole */
	else if (k->kind != PKT_DATA)
		return git_broke(g, GIT_TARGET, "a report that is none");
	else if (pkt_text_is(&t, "unpack ok"))
		g->unpacked = true;
	else if (pkt_take(&t, "ok"))
		on_reported(g, &t, true);
	else if (pkt_take(&t, "ng"))
		on_reported(g, &t, false);
	return 0;
}

/* Bytes of the report's band. */
static int
inner_bytes(struct git *g, const uint8_t *p, size_t n)
{
	struct pkt k;
	size_t want;
	int r = 0;

	while (n > 0 && g->report && r == 0) {
		r = pkt_read(buf_ptr(&g->inner), buf_len(&g->inner), &k);
		want = k.size - buf_len(&g->inner);
		if (want > n)
			want = n;
		if (r == ERR_AGAIN && (r = buf_put(&g->inner, p, want)) == 0) {
			p += want;
			n -= want;
			r = pkt_read(
			    buf_ptr(&g->inner), buf_len(&g->inner), &k);
		}
		if (r == ERR_FORMAT)
			return git_broke(
			    g, GIT_TARGET, "a report that is none");
		if (r == 0) {
			r = inner_line(g, &k);
			buf_reset(&g->inner);
		} else if (r == ERR_AGAIN) {
			r = 0;
		}
	}
	return r;
}

/* What is in it is on record before the job sees it. */
int
git_report_line(struct git *g, const struct pkt *k)
{
	int r = 0;

	if (g->band && k->kind == PKT_DATA && k->n > 1 && k->data[0] == 1)
		r = inner_bytes(g, k->data + 1, k->n - 1);
	else if (!g->band && g->report)
		r = inner_line(g, k);
	if (r == 0)
		r = git_put(g, GIT_JOB, k);
	if (r == 0 && k->kind == PKT_FLUSH)
		g->phase[GIT_TARGET] = GIT_PASS;
	return r;
}

void
git_push_end(struct git *g)
{
	for (size_t i = 0; g->passed && i < g->ncommand; i++) {
		if (!g->command[i].told)
			tell(g, &g->command[i], GIT_CUT, NULL);
	}
}
