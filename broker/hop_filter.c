/*
 * The filters and the manifest of a session of files, SFTP's (ssh/sftp.h) and
 * scp's own protocol's (ssh/scp.h), and of one with a repository (hop_git.c).
 * Runs in the hop, confined.  Each line of the manifest is written before what
 * it is about has been answered for; one that cannot be written ends the
 * session.
 */
#include "config.h"

#include "broker/hop_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/sidecar.h"
#include "broker/hop.h"
#include "lib/err.h"
#include "lib/str.h"
#include "ssh/git.h"
#include "ssh/scp.h"
#include "ssh/serve.h"
#include "ssh/sftp.h"

/* One of the three. */
struct hop_filter {
	struct hop *hop;
	struct sftp *sftp;
	struct sftp_rule rule[PROTO_FILE_RULES_MAX];
	struct scp *scp;
	struct git *git;
	struct serve_scp asked;
	uint64_t used[PROTO_FILE_RULES_MAX]; /* of a rule's max, by scp */
	char why[NAME_LEN_MAX + 64];
	uint64_t lines, bytes; /* of the manifest */
};

_Static_assert(PROTO_FILE_RULES_MAX <= SFTP_RULES_MAX, "rules fit");
_Static_assert((int)FILTER_JOB == (int)SFTP_JOB &&
		   (int)FILTER_JOB == (int)SCP_JOB &&
		   (int)FILTER_JOB == (int)GIT_JOB &&
		   (int)FILTER_TARGET == (int)SFTP_TARGET &&
		   (int)FILTER_TARGET == (int)SCP_TARGET &&
		   (int)FILTER_TARGET == (int)GIT_TARGET,
    "sides are the same");

/* -- the manifest ------------------------------------------------------------
 */

struct hop *
hop_filter_hop(const struct hop_filter *f)
{
	return f->hop;
}

int
hop_filter_sidecar(struct hop_filter *f, uint64_t **bytes)
{
	*bytes = &f->bytes;
	return f->bytes > SIDECAR_FILES_MAX - SIDECAR_FILE_LINE_MAX
		   ? -1
		   : f->hop->run.sidecar;
}

void
hop_filter_wrote(struct hop_filter *f, int r)
{
	struct hop *h = f->hop;

	if (r == ERR_TOOBIG)
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "stopped: the manifest of one session holds no more than "
		    "%llu lines of this kind; go on in another one",
		    (unsigned long long)f->lines);
	else if (r != 0)
		hop_fail(h, POSTERN_EX_IOERR,
		    "the manifest cannot be written: %s", err_text(r));
	else
		f->lines++;
}

static void
filter_line(struct hop_filter *f, const struct sidecar_file *line)
{
	uint64_t *bytes;
	int fd = hop_filter_sidecar(f, &bytes);

	hop_filter_wrote(
	    f, fd < 0 ? ERR_TOOBIG : sidecar_file_write(fd, line, bytes));
}

static void
filter_sftp_entry(void *arg, const struct sftp_entry *e)
{
	static const char *const verbs[] = {
		[SFTP_GET] = "get",
		[SFTP_PUT] = "put",
		[SFTP_MKDIR] = "mkdir",
		[SFTP_REMOVE] = "remove",
		[SFTP_RMDIR] = "rmdir",
		[SFTP_RENAME] = "rename",
		[SFTP_LINK] = "link",
		[SFTP_SYMLINK] = "symlink",
		[SFTP_ATTRS] = "attributes",
	};
	static const char *const results[] = {
		[SFTP_FAILED] = "failed",
		[SFTP_REFUSED] = "refused",
		[SFTP_CUT] = "cut",
		[SFTP_DONE] = "done",
		[SFTP_BEGUN] = "begun",
	};
	struct sidecar_range range[SFTP_RANGES_MAX];
	const struct sidecar_file line = {
		.verb = verbs[e->verb],
		.result = results[e->result],
		.path = e->path,
		.to = e->to,
		.rule = e->rule,
		.moved = (e->verb == SFTP_GET || e->verb == SFTP_PUT) &&
			 e->result != SFTP_BEGUN,
		.bytes = e->bytes,
		.sha256 = e->whole ? e->sha256 : NULL,
		.range = range,
		.nrange = e->nrange,
		.more = e->more,
		.begun = e->begun,
	};

	for (size_t i = 0; i < e->nrange; i++)
		range[i] =
		    (struct sidecar_range){ e->range[i].from, e->range[i].to };
	filter_line(arg, &line);
}

static void
filter_scp_entry(void *arg, const struct scp_entry *e)
{
	static const char *const results[] = {
		[SCP_FAILED] = "failed",
		[SCP_REFUSED] = "refused",
		[SCP_CUT] = "cut",
		[SCP_DONE] = "done",
		[SCP_BEGUN] = "begun",
	};
	const char *moved = e->write ? "put" : "get";

	/* A folder that is read is not made anywhere we know of. */
	if (e->folder && !e->write && e->result == SCP_DONE)
		return;
	filter_line(arg, &(struct sidecar_file){
			     .verb = e->folder && e->write ? "mkdir" : moved,
			     .result = results[e->result],
			     .path = e->path,
			     .to = e->to,
			     .rule = e->rule,
			     .moved = !e->folder && e->result != SCP_BEGUN,
			     .bytes = e->bytes,
			     .sha256 = e->sha256,
			     .begun = e->begun,
			 });
}

/* -- judging, of scp ---------------------------------------------------------
 */

static const char *
filter_judge(void *arg, const char *path, uint64_t bytes, const char **why)
{
	struct hop_filter *f = arg;
	const struct hop_run *run = &f->hop->run;
	const struct hop_file_rule *r;
	size_t best = run->nfile;

	*why = f->why;
	for (size_t i = 0; i < run->nfile; i++) {
		r = &run->file[i];
		if (r->write != f->asked.write ||
		    !path_is_beneath(path, r->path))
			continue;
		if (r->deny) {
			(void)snprintf(f->why, sizeof(f->why),
			    "denied by rule `%s`", r->rule);
			return NULL;
		}
		if (best == run->nfile)
			best = i;
	}
	if (best == run->nfile) {
		(void)snprintf(
		    f->why, sizeof(f->why), "denied: no rule allows this");
		return NULL;
	}
	r = &run->file[best];
	if (r->max != 0 && bytes > r->max - f->used[best]) {
		(void)snprintf(f->why, sizeof(f->why),
		    "more than rule `%s` grants (max)", r->rule);
		return NULL;
	}
	f->used[best] += r->max != 0 ? bytes : 0;
	return r->rule;
}

/* -- start and end -----------------------------------------------------------
 */

static int
filter_sftp(struct hop_filter *f)
{
	const struct hop_run *run = &f->hop->run;
	const struct sftp_want w = { .rule = f->rule,
		.nrule = run->nfile,
		.entry = filter_sftp_entry,
		.arg = f };

	for (size_t i = 0; i < run->nfile; i++)
		f->rule[i] = (struct sftp_rule){
			.name = run->file[i].rule,
			.deny = run->file[i].deny,
			.write = run->file[i].write,
			.path = run->file[i].path,
			.max = run->file[i].max,
			.no_delete = run->file[i].no_delete,
			.no_symlinks = run->file[i].no_symlinks,
		};
	return sftp_new(&w, &f->sftp);
}

static int
filter_scp(struct hop_filter *f)
{
	struct scp_want w = { .path = f->asked.path,
		.judge = filter_judge,
		.entry = filter_scp_entry,
		.arg = f };

	/* What the certificate says is what is judged. */
	if (!serve_scp_ok(f->hop->run.command, &f->asked))
		return ERR_FORMAT;
	w.write = f->asked.write;
	w.recurse = f->asked.recurse;
	w.into = f->asked.into;
	return scp_new(&w, &f->scp);
}

int
hop_filter_new(struct hop *h, struct hop_filter **out)
{
	struct hop_filter *f = calloc(1, sizeof(*f));
	int r;

	if (f == NULL)
		return ERR_NOMEM;
	f->hop = h;
	if (hop_is_git(h))
		r = hop_git_new(f, &f->git);
	else
		r = h->run.what == OP_SCP ? filter_scp(f) : filter_sftp(f);
	if (r != 0) {
		hop_filter_free(f);
		return r;
	}
	*out = f;
	return 0;
}

void
hop_filter_free(struct hop_filter *f)
{
	if (f == NULL)
		return;
	sftp_free(f->sftp);
	scp_free(f->scp);
	git_free(f->git);
	free(f);
}

void
hop_filter_end(struct hop_filter *f)
{
	if (f->git != NULL)
		git_end(f->git);
	else if (f->scp != NULL)
		scp_end(f->scp);
	else
		sftp_end(f->sftp);
}

/* -- passing -----------------------------------------------------------------
 */

int
hop_filter_take(struct hop_filter *f, enum filter_side side, const void *p,
    size_t n, size_t *took)
{
	if (f->git != NULL)
		return git_take(f->git, (enum git_side)side, p, n, took);
	if (f->scp != NULL)
		return scp_take(f->scp, (enum scp_side)side, p, n, took);
	return side == FILTER_JOB ? sftp_from_job(f->sftp, p, n, took)
				  : sftp_from_target(f->sftp, p, n, took);
}

bool
hop_filter_wants(const struct hop_filter *f, enum filter_side side)
{
	if (f->git != NULL)
		return git_wants(f->git, (enum git_side)side);
	return f->scp != NULL ? scp_wants(f->scp, (enum scp_side)side)
			      : sftp_wants(f->sftp, (enum sftp_side)side);
}

const uint8_t *
hop_filter_out(const struct hop_filter *f, enum filter_side side, size_t *n)
{
	if (f->git != NULL)
		return git_out(f->git, (enum git_side)side, n);
	return f->scp != NULL ? scp_out(f->scp, (enum scp_side)side, n)
			      : sftp_out(f->sftp, (enum sftp_side)side, n);
}

void
hop_filter_sent(struct hop_filter *f, enum filter_side side, size_t n)
{
	if (f->git != NULL)
		git_sent(f->git, (enum git_side)side, n);
	else if (f->scp != NULL)
		scp_sent(f->scp, (enum scp_side)side, n);
	else
		(void)sftp_sent(f->sftp, (enum sftp_side)side, n);
}

bool
hop_filter_idle(const struct hop_filter *f)
{
	if (f->git != NULL)
		return git_idle(f->git);
	return f->scp != NULL || sftp_idle(f->sftp);
}

bool
hop_filter_refused(const struct hop_filter *f, bool eof)
{
	return f->git != NULL && git_refused(f->git, eof);
}

const char *
hop_filter_error(const struct hop_filter *f)
{
	if (f->git != NULL)
		return git_error(f->git);
	return f->scp != NULL ? scp_error(f->scp) : sftp_error(f->sftp);
}
