/*
 * What would have to be written for a file, a repository or a shell that a
 * policy denies.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/suggest_internal.h"

#include <string.h>

#include "lib/err.h"
#include "policy/judge.h"
#include "policy/model.h"
#include "policy/nearest_access.h"

/* A path or a ref as a line has it: a star in it would be a pattern, and `<`
 * a slot. */
static int
put_plain(struct buf *b, const char *s, bool bare)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789./_-";

	if (strpbrk(s, "*<>") != NULL)
		return ERR_NOTFOUND;
	return bare && s[strspn(s, plain)] == '\0' ? buf_putf(b, "%s", s)
						   : put_string(b, s);
}

static const char *
way_name(unsigned int how)
{
	return how == BY_SFTP         ? "sftp"
	       : how == BY_SCP_LEGACY ? "scp-legacy"
				      : "rsync";
}

/* The line that allows this; path: as somebody has written it, or NULL. */
static int
put_line(struct buf *b, const struct request *q, const char *path, size_t n)
{
	bool git = q->kind == REQUEST_GIT_READ || q->kind == REQUEST_GIT_WRITE;
	bool write = q->kind == REQUEST_WRITE || q->kind == REQUEST_GIT_WRITE;
	int r;

	if (q->kind == REQUEST_INTERACTIVE)
		return buf_putf(b, "interactive");
	if ((r = buf_putf(b, "%s%s%s ", git ? "git " : "",
		 write ? "write" : "read", git ? "" : " under")) != 0 ||
	    (r = path != NULL ? buf_put(b, path, n)
			      : put_plain(b, q->path, true)) != 0)
		return r;
	if (!git)
		return buf_putf(b, " by %s", way_name(q->how));
	if (q->ref == NULL)
		return 0;
	if ((r = buf_putf(b, " refs ")) != 0)
		return r;
	return put_plain(b, q->ref, false);
}

/* One way more, one ref more. */
static int
edit_both(struct search *f, const struct nearest_access *n, struct edit *e)
{
	const struct place *at;
	const char *s, *by;
	size_t skip;
	int r;

	if (n->transfer == NULL) {
		edit_behind(e, &n->repository->whole);
		if (f->w.q.ref == NULL)
			return ERR_NOTFOUND;
		r = buf_put(&e->text, " ", 1);
		return r != 0 ? r : put_plain(&e->text, f->w.q.ref, false);
	}
	at = &n->transfer->whole;
	s = source_of(f, at);
	skip = n->transfer->under.at.pos.off - at->pos.off +
	       n->transfer->under.at.width;
	if (skip > at->width ||
	    (by = memmem(s + skip, at->width - skip, "by", 2)) == NULL)
		return ERR_NOTFOUND;
	edit_before(e, at);
	e->off += (size_t)(by - s) + 2;
	return buf_putf(&e->text, " %s", way_name(f->w.q.how));
}

/* Another line before the nearest, with its path if that fits. */
static int
edit_another(struct search *f, const struct nearest_access *n, struct edit *e)
{
	const struct item *path =
	    n->transfer != NULL ? &n->transfer->under : &n->repository->path;
	bool same = n->fit == NEAR_PATH;
	int r;

	edit_before(e,
	    n->transfer != NULL ? &n->transfer->whole : &n->repository->whole);
	if ((r = put_line(&e->text, &f->w.q,
		 same ? source_of(f, &path->at) : NULL, path->at.width)) != 0)
		return r;
	return buf_putf(&e->text, "; ");
}

static bool
has_line(const struct rule *rule, const struct request *q)
{
	switch (q->kind) {
	case REQUEST_READ:
	case REQUEST_WRITE:
		for (size_t i = 0; i < rule->ntransfer; i++) {
			if (transfer_matches(&rule->transfer[i], q))
				return true;
		}
		return false;
	case REQUEST_GIT_READ:
	case REQUEST_GIT_WRITE:
		for (size_t i = 0; i < rule->nrepository; i++) {
			if (repository_matches(&rule->repository[i], q))
				return true;
		}
		return false;
	case REQUEST_INTERACTIVE:
		return rule->interactive;
	case REQUEST_RUN:
		return false;
	}
	return false;
}

int
suggest_access_edit(struct search *f, struct edit *e)
{
	struct nearest_access n;
	int r;

	for (size_t i = 0; i < f->p->nrule; i++) {
		const struct rule *rule = f->p->rule[i];

		if (has_line(rule, &f->w.q) &&
		    edit_header(f, rule, rule_lacks(f, rule), e) == 0)
			return 0;
	}
	nearest_access_find(&f->w.q, &n);
	switch (n.fit) {
	case NEAR_NOTHING:
		break;
	case NEAR_LINE:
	case NEAR_PATH:
		return edit_another(f, &n, e);
	case NEAR_BOTH:
		return edit_both(f, &n, e);
	case NEAR_WHOLE: /* at other times */
		return ERR_NOTFOUND;
	}
	if ((r = edit_rule_begin(f, e)) != 0 ||
	    (r = put_line(&e->text, &f->w.q, NULL, 0)) != 0)
		return r;
	return buf_putf(&e->text, " }\n");
}
