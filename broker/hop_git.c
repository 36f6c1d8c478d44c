/*
 * The filter of a session with a repository (ssh/git.h), the lines that judge
 * its refs (policy/refset.h), and a line of the manifest for each.  Runs in the
 * hop, confined.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "audit/sidecar.h"
#include "broker/hop.h"
#include "broker/hop_filter.h"
#include "lib/err.h"
#include "ssh/git.h"

static const char *
judge(void *arg, const char *ref, char why[GIT_WHY_MAX])
{
	const struct hop_filter *f = arg;
	const struct hop *h = hop_filter_hop(f);
	const struct ref_line *l = refset_judge(&h->run.refs, ref);

	why[0] = '\0';
	if (l == NULL)
		(void)snprintf(why, GIT_WHY_MAX,
		    "no rule allows you to %s this ref",
		    h->run.what == OP_GIT_PUSH ? "push to" : "fetch");
	else if (l->deny)
		(void)snprintf(
		    why, GIT_WHY_MAX, "denied by rule `%s`", l->rule);
	return l == NULL || l->deny ? NULL : l->rule;
}

static void
entry(void *arg, const struct git_entry *e)
{
	static const char *const results[] = {
		[GIT_CUT] = "cut",
		[GIT_FAILED] = "failed",
		[GIT_REFUSED] = "refused",
		[GIT_ASKED] = "asked",
		[GIT_DONE] = "done",
	};
	struct hop_filter *f = arg;
	uint64_t *bytes;
	int fd = hop_filter_sidecar(f, &bytes);
	const struct sidecar_ref line = { .verb = e->verb,
		.result = results[e->result],
		.ref = e->ref,
		.old = e->old,
		.new = e->new,
		.rule = e->rule,
		.reason = e->why };

	hop_filter_wrote(
	    f, fd < 0 ? ERR_TOOBIG : sidecar_ref_write(fd, &line, bytes));
}

static void
say(void *arg, const char *text)
{
	char line[200];

	(void)snprintf(line, sizeof(line), "postern: %s\n", text);
	hop_say(hop_filter_hop(arg), line);
}

int
hop_git_new(struct hop_filter *f, struct git **out)
{
	const struct hop_run *run = &hop_filter_hop(f)->run;
	const struct git_want w = {
		.service = run->what == OP_GIT_PUSH      ? GIT_PUSH
			   : run->what == OP_GIT_ARCHIVE ? GIT_ARCHIVE
							 : GIT_FETCH,
		.all = refset_is_all(&run->refs),
		.judge = judge,
		.entry = entry,
		.say = say,
		.arg = f,
	};

	return git_new(&w, out);
}
