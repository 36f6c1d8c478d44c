/*
 * Suggestions: edits are made on the policy's text, loaded again, and judged
 * by the decision itself; what would not help is not shown.  Runs in the
 * command line tools.
 */
#include "config.h"

#include "policy/explain.h"
#include "policy/suggest.h"

#include <stdlib.h>
#include <string.h>

#include "lib/diag.h"
#include "lib/err.h"
#include "policy/model.h"
#include "policy/resolve.h"
#include "policy/suggest_internal.h"

#define EDITS_MAX 4 /* of one suggestion */
#define TEXT_MAX (128UL * 1024)

void
suggestion_clear(struct suggestion *s)
{
	free(s->text);
	*s = (struct suggestion){ 0 };
}

/* Asks the same of another policy; ERR_NOTFOUND: it cannot be asked. */
static int
search_init(struct search *f, const struct policy *p)
{
	const struct whatif *a = f->asked;
	struct whatif *w = &f->w;
	int r;

	f->p = p;
	if ((r = whatif_init(w, p, a->identity->name, &a->claims)) != 0)
		return r;
	w->q.kind = a->q.kind;
	w->q.command = a->q.command;
	w->q.path = a->q.path;
	w->q.how = a->q.how;
	w->q.ref = a->q.ref;
	w->q.pty = a->q.pty;
	w->q.now = a->q.now;
	if ((r = whatif_where(w, a->q.target->name, a->q.login)) == 0 &&
	    (a->q.command == NULL ||
		subject_init(&f->s, p, w->q.target, a->q.command, &w->claims)))
		return 0;
	whatif_clear(w);
	return ERR_NOTFOUND;
}

/* The policy with one file changed, without its tests. */
static int
reload(const struct policy *p, const struct edit *e, struct policy **out)
{
	const char *name[POLICY_FILES_MAX], *text[POLICY_FILES_MAX];
	size_t len[POLICY_FILES_MAX];
	struct diags *d = diags_new();
	const struct source *s = &p->source[e->file];
	struct buf b;
	int r;

	if (d == NULL)
		return ERR_NOMEM;
	buf_init(&b, POLICY_FILE_MAX);
	for (size_t i = 0; i < p->nsource; i++) {
		name[i] = p->source[i].name;
		text[i] = p->source[i].text;
		len[i] = p->source[i].len;
	}
	if ((r = buf_put(&b, s->text, e->off)) == 0 &&
	    (r = buf_put(&b, buf_ptr(&e->text), buf_len(&e->text))) == 0 &&
	    (r = buf_put(&b, s->text + e->off + e->len,
		 s->len - e->off - e->len)) == 0) {
		text[e->file] = (const char *)buf_ptr(&b);
		len[e->file] = buf_len(&b);
		r = policy_load_untested(name, text, len, p->nsource, d, out);
	}
	buf_clear(&b);
	diags_free(d);
	return r;
}

static int
take(const struct policy *p, size_t file, struct suggestion *out)
{
	const struct source *s = &p->source[file];
	struct diags *d = diags_new();
	int r = ERR_NOMEM;

	if (d == NULL || (out->text = malloc(s->len + 1)) == NULL)
		goto out;
	memcpy(out->text, s->text, s->len);
	out->text[s->len] = '\0';
	out->len = s->len;
	out->file = file;
	if ((r = policy_selftest(p, d)) == 0)
		out->breaks_tests = diags_count(d) > 0;
out:
	diags_free(d);
	return r;
}

/* Edits until the answer is another one. */
static int
try_edits(const struct whatif *asked, bool whole, struct suggestion *out)
{
	struct search f = { .asked = asked };
	struct policy *p = NULL, *next;
	struct decision d;
	size_t file = SIZE_MAX;
	int r = search_init(&f, asked->policy);

	for (size_t i = 0; r == 0 && i < EDITS_MAX; i++) {
		struct edit e = { 0 };

		buf_init(&e.text, TEXT_MAX);
		next = NULL;
		r = f.w.q.kind == REQUEST_RUN ? suggest_edit(&f, whole, &e)
					      : suggest_access_edit(&f, &e);
		if (r == 0 && file != SIZE_MAX && e.file != file)
			r = ERR_NOTFOUND; /* one file, or it is not small */
		file = e.file;
		if (r == 0)
			r = reload(f.p, &e, &next);
		buf_clear(&e.text);
		whatif_clear(&f.w);
		policy_free(p);
		if ((p = next) == NULL || r != 0 ||
		    (r = search_init(&f, p)) != 0)
			break;
		decide(&f.w.q, &d);
		if (d.verdict != VERDICT_DENY) {
			r = take(p, file, out);
			goto out;
		}
	}
	r = r == ERR_NOMEM ? r : ERR_NOTFOUND;
out:
	whatif_clear(&f.w);
	policy_free(p);
	return r;
}

int
suggest(const struct whatif *w, struct suggestion *out)
{
	char path[PATH_LEN_MAX + 1] = "";
	struct suggestion s = { 0 };
	struct whatif as = *w;
	struct served v;
	struct decision d;
	int r;

	decide(&w->q, &d);
	/* A transfer that is not understood stays one, whatever rule is added.
	 */
	if (d.rule != NULL ||
	    (w->q.kind == REQUEST_RUN &&
		explain_transfer(&w->q, &v, &as.q, path) == SERVED_BAD))
		return ERR_NOTFOUND;
	r = try_edits(&as, false, &s);
	if (r == ERR_NOTFOUND && as.q.kind == REQUEST_RUN)
		r = try_edits(&as, true, &s);
	if (r == 0)
		*out = s;
	else
		suggestion_clear(&s);
	return r;
}
