/*
 * What to write instead: identities by ids, for `postern token`.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/token.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "policy/model.h"
#include "policy/preset.h"

#define CIRCLE "oidc.circleci.com/"
#define KUBE "kubernetes.io/"
#define STS "https://sts.amazonaws.com/"

/* What tells who a preset's job is, its name for people, and what else an
 * identity should hang on. */
static const struct advice {
	const char *preset;
	const char *pin[2], *label;
	const char *more[3];
	const char *without; /* where the pin is not in the token */
} advices[] = {
	{ "github", { "repository_id" }, "repository", { "ref", "environment" },
	    NULL },
	{ "ghes", { "repository_id" }, "repository", { "ref", "environment" },
	    NULL },
	{ "forgejo", { "repository_id" }, "repository", { "ref" },
	    "Forgejo has ids from release 16 on" },
	{ "gitlab", { "project_id", "job_project_id" }, "project_path",
	    { "ref_path", "ref_protected", "environment" }, NULL },
	{ "circleci", { CIRCLE "project-id" }, CIRCLE "vcs-origin",
	    { CIRCLE "vcs-ref", CIRCLE "ssh-rerun" }, NULL },
	{ "buildkite", { "pipeline_id" }, "pipeline_slug", { "build_branch" },
	    "ask for the ids: --claim organization_id,pipeline_id" },
	{ "bitbucket", { "repositoryUuid" }, NULL,
	    { "branchName", "deploymentEnvironmentUuid" }, NULL },
	{ "azure-devops", { "prj_id", "def_id" }, "sub", { "rpo_ref" }, NULL },
	{ "google", { "sub" }, "email", { NULL }, NULL },
	{ "aws", { "sub", STS "aws_account" }, NULL, { NULL }, NULL },
	{ "jenkins", { "sub" }, NULL, { NULL }, NULL },
	{ "kubernetes", { KUBE "serviceaccount/uid" }, "sub", { NULL }, NULL },
	{ "spiffe", { "sub" }, NULL, { NULL }, NULL },
	{ "terraform", { "terraform_workspace_id" }, "terraform_full_workspace",
	    { "terraform_run_phase" }, NULL },
	{ "spacelift", { "spaceId", "callerId" }, NULL, { "scope" }, NULL },
	{ "custom", { "sub" }, NULL, { NULL }, NULL },
};

/* Which id stands for a name. */
static const struct {
	const char *name, *id;
} ids[] = {
	{ "repository", "repository_id" },
	{ "repository_owner", "repository_owner_id" },
	{ "actor", "actor_id" },
	{ "enterprise", "enterprise_id" },
	{ "project_path", "project_id" },
	{ "namespace_path", "namespace_id" },
	{ "job_project_path", "job_project_id" },
	{ "job_namespace_path", "job_namespace_id" },
	{ "user_login", "user_id" },
	{ "user_email", "user_id" },
	{ CIRCLE "vcs-origin", CIRCLE "project-id" },
	{ "organization_slug", "organization_id" },
	{ "pipeline_slug", "pipeline_id" },
	{ "cluster_name", "cluster_id" },
	{ "queue_key", "queue_id" },
	{ "email", "sub" },
	{ KUBE "serviceaccount/name", KUBE "serviceaccount/uid" },
	{ KUBE "node/name", KUBE "node/uid" },
	{ "terraform_organization_name", "terraform_organization_id" },
	{ "terraform_project_name", "terraform_project_id" },
	{ "terraform_workspace_name", "terraform_workspace_id" },
	{ "terraform_full_workspace", "terraform_workspace_id" },
};

static const struct advice *
advice_of(const struct preset *row)
{
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		if (strcmp(advices[i].preset, row->name) == 0)
			return &advices[i];
	}
	return NULL;
}

/* A value as a policy writes it. */
static int
put_string(struct buf *b, const char *s)
{
	int r = buf_putf(b, "\"");

	for (; *s != '\0' && r == 0; s++)
		r = buf_putf(
		    b, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s);
	return r == 0 ? buf_putf(b, "\"") : r;
}

/* One condition; a value that is a danger stays out, or it would not load. */
static int
put_claim(
    struct buf *b, const struct seen *s, const char *claim, const char *label)
{
	const char *value = claims_get(&s->claims, claim);
	int r;

	if (value == NULL || *value == '\0' ||
	    preset_risky_value(s->row, claim, value) != NULL)
		return 0;
	if ((r = buf_putf(b, "    claim %s = ", claim)) == 0 &&
	    (r = put_string(b, value)) == 0 && label != NULL)
		r = buf_putf(b, "    # %s", label);
	return r == 0 ? buf_putf(b, "\n") : r;
}

static int
put_dangers(struct buf *b, const struct seen *s)
{
	uint64_t risky = preset_risky(s->row, &s->claims);
	int r = 0;

	for (size_t i = 0; risky != 0 && r == 0; risky >>= 1, i++) {
		if ((risky & 1) != 0)
			r = buf_putf(b,
			    "    # this run is nobody without: allow-risky %s "
			    "(%s)\n",
			    s->row->risky[i].word, s->row->risky[i].why);
	}
	return r;
}

int
token_identity(const struct seen *s, struct buf *out)
{
	const struct advice *a = advice_of(s->row);
	const char *label;
	bool pinned = false;
	int r;

	if (a == NULL)
		return ERR_INTERNAL;
	label = a->label == NULL ? NULL : claims_get(&s->claims, a->label);
	if ((r = buf_putf(out, "identity NAME from ISSUER {\n")) != 0)
		return r;
	for (size_t i = 0; i < 2 && a->pin[i] != NULL && r == 0; i++) {
		pinned |= claims_get(&s->claims, a->pin[i]) != NULL;
		r = put_claim(out, s, a->pin[i], i == 0 ? label : NULL);
	}
	if (r == 0 && !pinned)
		r = buf_putf(out, "    # no %s in this token%s%s\n", a->pin[0],
		    a->without == NULL ? "" : ": ",
		    a->without == NULL ? "" : a->without);
	for (size_t i = 0; i < 3 && a->more[i] != NULL && r == 0; i++)
		r = put_claim(out, s, a->more[i], NULL);
	if (r == 0)
		r = put_dangers(out, s);
	return r == 0 ? buf_putf(out, "}\n") : r;
}

/* -- a policy's conditions
 * ------------------------------------------------------ */

struct finding {
	const struct policy *p;
	const struct identity *id;
	const struct seen *s; /* or NULL */
	struct json *j;       /* NULL: text */
	int n;
};

static void
find(struct finding *f, const struct place *at, const char *problem,
    const char *instead)
{
	const char *file = f->p->source[at->pos.file].name;

	f->n++;
	if (f->j != NULL) {
		json_open(f->j, '{');
		json_kv_str(f->j, "file", file);
		json_kv_num(f->j, "line", at->pos.line);
		json_kv_str(f->j, "identity", f->id->name);
		json_kv_str(f->j, "problem", problem);
		if (*instead != '\0')
			json_kv_str(f->j, "instead", instead);
		json_close(f->j, '}');
		return;
	}
	(void)printf("%s:%u: identity `%s`: %s\n", file, at->pos.line,
	    f->id->name, problem);
	if (*instead != '\0') {
		(void)printf("    ");
		cli_print_safe(instead);
		(void)printf("\n");
	}
}

static bool
has_condition(const struct identity *id, const char *claim)
{
	for (size_t i = 0; i < id->cond.n; i++) {
		if (id->cond.v[i].kind == CONDITION_VALUES &&
		    strcmp(id->cond.v[i].claim, claim) == 0)
			return true;
	}
	return false;
}

/* The id's value where the token is one that the condition means. */
static int
put_instead(struct buf *b, const struct finding *f, const struct condition *c,
    const char *id)
{
	const char *value = NULL;
	int r;

	if (f->s != NULL && condition_holds(c, &f->s->claims) &&
	    f->s->row == f->id->issuer->preset)
		value = claims_get(&f->s->claims, id);
	if ((r = buf_putf(b, "claim %s = ", id)) != 0)
		return r;
	return value == NULL ? buf_putf(b, "\"...\"") : put_string(b, value);
}

static const char *
id_of(const struct preset *row, const char *name)
{
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		if (strcmp(ids[i].name, name) == 0 &&
		    preset_claim(row, ids[i].id) != NULL)
			return ids[i].id;
	}
	return NULL;
}

static int
lint_name(struct finding *f, const struct condition *c, const char *id)
{
	char problem[256];
	struct buf b;
	int r;

	(void)snprintf(problem, sizeof(problem),
	    "`%.100s` is a name, and whoever gets the name is it", c->claim);
	buf_init(&b, 8192);
	if ((r = put_instead(&b, f, c, id)) == 0)
		find(f, &c->at, problem, buf_cstr(&b));
	buf_clear(&b);
	return r;
}

static int
lint_condition(struct finding *f, const struct condition *c)
{
	const struct preset *row = f->id->issuer->preset;
	const struct preset_claim *claim = preset_claim(row, c->claim);
	char problem[256];
	const char *id;

	if (c->kind != CONDITION_VALUES || claim == NULL)
		return 0;
	if (claim->kind == CLAIM_CHOSEN) {
		(void)snprintf(problem, sizeof(problem),
		    "`%.100s` is chosen by whoever starts the job", c->claim);
		find(f, &c->at, problem, "");
	} else if (strcmp(c->claim, "ref") == 0 &&
		   preset_claim(row, "ref_path") != NULL &&
		   !has_condition(f->id, "ref_type") &&
		   !has_condition(f->id, "ref_path")) {
		find(f, &c->at, "a tag may have the name of a branch",
		    "claim ref_path = \"refs/heads/...\"");
	} else if (claim->kind == CLAIM_NAME &&
		   (id = id_of(row, c->claim)) != NULL &&
		   !has_condition(f->id, id)) {
		return lint_name(f, c, id);
	} else if (claim->kind == CLAIM_NAME && strcmp(c->claim, "sub") == 0 &&
		   row->pin != NULL && !has_condition(f->id, row->pin[0])) {
		return lint_name(f, c, row->pin[0]);
	}
	return 0;
}

int
token_lint_policy(const struct policy *p, const struct seen *s, struct json *j)
{
	struct finding f = { .p = p, .s = s, .j = j };
	int r = 0;

	for (size_t i = 0; i < p->nidentity && r == 0; i++) {
		f.id = p->identity[i];
		for (size_t k = 0; k < f.id->cond.n && r == 0; k++)
			r = lint_condition(&f, &f.id->cond.v[k]);
	}
	return r == 0 ? f.n : r;
}
