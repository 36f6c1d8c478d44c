/*
 * Why a file, a repository or a shell was denied.  Runs in policy after a
 * denial and decides nothing; the paths are the job's and are not shown.
 */
#include "config.h"

#include "policy/explain.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/str.h"
#include "policy/decide.h"
#include "policy/model.h"
#include "policy/nearest_access.h"

static const char *
why(const struct request *q, const struct nearest_access *n)
{
	const struct transfer *t = n->transfer;
	bool write = t != NULL ? t->write : n->repository->write;

	switch (n->fit) {
	case NEAR_NOTHING:
	case NEAR_WHOLE:
		break;
	case NEAR_LINE:
		return t != NULL ? "but only what is beneath this"
				 : "but only this repository";
	case NEAR_PATH:
		if (t != NULL)
			return write ? "to be written, but not to be read"
				     : "to be read, but not to be written";
		return write ? "to push, but not to fetch"
			     : "to fetch, but not to push";
	case NEAR_BOTH:
		if (t != NULL && (t->by & q->how) != 0)
			return q->deletes && t->no_delete
				   ? "but nothing may be deleted there: leave "
				     "out --delete, --force and --partial-dir"
				   : "but no symbolic links may come there: "
				     "leave out -l, or add --no-links behind "
				     "-a";
		return t != NULL ? "but not in this way"
				 : "but not with this ref";
	}
	return "";
}

static int
show_near(const struct request *q, struct buf *out)
{
	struct nearest_access n;
	int r;

	nearest_access_find(q, &n);
	if (n.rule == NULL)
		return explain_show_identities(q, out);
	if (n.fit == NEAR_WHOLE)
		return n.rule->nwindow == 0
			   ? 0
			   : explain_show_window(q, n.rule, out);
	if ((r = explain_show_rule(
		 q->policy, n.rule, "nearest rule", n.at, out)) != 0)
		return r;
	return buf_putf(out, "postern: the rule allows this %s\n", why(q, &n));
}

int
explain_access(
    const struct request *q, const struct decision *d, struct buf *out)
{
	static const char *const what[] = { [REQUEST_READ] = "read this file",
		[REQUEST_WRITE] = "write this file",
		[REQUEST_GIT_READ] = "fetch from this repository",
		[REQUEST_GIT_WRITE] = "push to this repository",
		[REQUEST_INTERACTIVE] = "have a shell" };
	int r;

	/* which no rule allows, and each that denies files denies */
	if (q->path != NULL && !path_is_plain(q->path, strlen(q->path)))
		return buf_putf(out,
		    "postern: denied: a path is absolute, "
		    "without empty, `.` and `..` components\n");
	if (d->rule != NULL)
		return explain_rule(q, d, NULL, out);
	if (q->policy->explain == EXPLAIN_FULL && (r = show_near(q, out)) != 0)
		return r;
	return buf_putf(out,
	    "postern: denied: no rule allows you to %s as %s "
	    "on %s\n",
	    what[q->kind], q->login, q->target->name);
}
