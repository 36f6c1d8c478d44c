/*
 * The presets of issuers as data.  Used at policy load and when a session's
 * claims are matched.  Sources: the issuers' own documentation of their
 * tokens' claims.
 */
#include "config.h"

#include "policy/preset.h"

#include <string.h>

#include "policy/claims.h"

static const char *const rs256[] = { "RS256", NULL };
static const char *const rs256_es256[] = { "RS256", "ES256", NULL };

#define NOT_MERGED "its code has not been merged"

/* -- GitHub and what is like it --------------------------------------------- */

/* GitHub serves every repository on Earth from one issuer; names can be
 * renamed and registered anew, ids cannot. */
static const char *const github_pin[] = { "repository_id",
	"repository_owner_id", NULL };

static const char *const github_claim[] = { "sub", "repository",
	"repository_id", "repository_owner", "repository_owner_id",
	"repository_visibility", "ref", "ref_type", "ref_protected", "sha",
	"head_ref", "base_ref", "event_name", "actor", "actor_id", "workflow",
	"workflow_ref", "workflow_sha", "job_workflow_ref", "job_workflow_sha",
	"environment", "environment_node_id", "run_id", "run_number",
	"run_attempt", "check_run_id", "runner_environment", "enterprise",
	"enterprise_id", "repo_property_*", NULL };

static const struct risky github_risky[] = {
	{ "pull-request-target", RISKY_IS, "event_name", "pull_request_target",
	    "it runs beside code from forks under the branch's own name" },
	{ "workflow-run", RISKY_IS, "event_name", "workflow_run",
	    "it can be started by a workflow that strangers triggered" },
	{ "issue-comment", RISKY_IS, "event_name", "issue_comment",
	    "everybody who may comment starts it" },
	{ "pull-request", RISKY_IS, "event_name", "pull_request", NOT_MERGED },
	{ "pull-request", RISKY_BEGINS, "ref", "refs/pull/", NOT_MERGED },
	{ .word = NULL },
};

#define GITHUB_TIES .commit = "sha", .actor = "actor",                       \
	.workflow = "workflow_ref", .run = "run_id", .pull_request = "ref"

/* -- GitLab ------------------------------------------------------------------ */

static const char *const gitlab_pin[] = { "project_id", "job_project_id",
	"namespace_id", NULL };

static const char *const gitlab_claim[] = { "sub", "namespace_id",
	"namespace_path", "project_id", "project_path", "job_namespace_id",
	"job_namespace_path", "job_project_id", "job_project_path", "user_id",
	"user_login", "user_email", "user_access_level", "pipeline_id",
	"pipeline_source", "job_id", "ref", "ref_type", "ref_path",
	"ref_protected", "sha", "ci_config_ref_uri", "ci_config_sha",
	"environment", "environment_protected", "deployment_tier",
	"environment_action", "runner_id", "runner_environment",
	"project_visibility", NULL };

static const struct risky gitlab_risky[] = {
	{ "merge-request", RISKY_IS, "pipeline_source", "merge_request_event",
	    NOT_MERGED },
	{ "external-pull-request", RISKY_IS, "pipeline_source",
	    "external_pull_request_event", NOT_MERGED },
	{ "fork", RISKY_DIFFERS, "project_id", "job_project_id",
	    "a fork's code runs in another project" },
	{ .word = NULL },
};

/* -- others -------------------------------------------------------------------- */

#define CIRCLE "oidc.circleci.com/"

static const char *const circleci_pin[] = { CIRCLE "project-id",
	CIRCLE "org-id", NULL };

static const char *const circleci_claim[] = { "sub", CIRCLE "job-id",
	CIRCLE "org-id", CIRCLE "pipeline-id",
	CIRCLE "pipeline-definition-id", CIRCLE "project-id",
	CIRCLE "ssh-rerun", CIRCLE "vcs-origin", CIRCLE "vcs-ref",
	CIRCLE "workflow-id", NULL };

static const struct risky circleci_risky[] = {
	{ "ssh-rerun", RISKY_IS, CIRCLE "ssh-rerun", "true",
	    "a person may have a shell in this job" },
	{ "pull-request", RISKY_BEGINS, CIRCLE "vcs-ref", "refs/pull/",
	    NOT_MERGED },
	{ .word = NULL },
};

static const char *const buildkite_pin[] = { "pipeline_id",
	"organization_id", NULL };

static const char *const buildkite_claim[] = { "sub", "organization_slug",
	"organization_id", "pipeline_slug", "pipeline_id", "build_number",
	"build_id", "build_branch", "build_tag", "build_commit",
	"build_source", "step_key", "job_id", "agent_id", "cluster_id",
	"cluster_name", "queue_id", "queue_key", "runner_environment",
	"agent_tag:*", NULL };

static const char *const bitbucket_claim[] = { "sub", "stepUuid",
	"pipelineUuid", "repositoryUuid", "workspaceUuid",
	"deploymentEnvironmentUuid", "branchName", NULL };

static const char *const azure_claim[] = { "sub", "org_id", "prj_id",
	"def_id", "rpo_id", "rpo_uri", "rpo_ver", "rpo_ref", "run_id", NULL };

static const struct risky azure_risky[] = {
	{ "service-connection", RISKY_BEGINS_NOT, "sub", "p://",
	    "the token names a service connection, not a pipeline" },
	{ "pull-request", RISKY_BEGINS, "rpo_ref", "refs/pull/", NOT_MERGED },
	{ .word = NULL },
};

static const char *const sub_pin[] = { "sub", NULL };
static const char *const sub_claim[] = { "sub", NULL };
static const char *const google_claim[] = { "sub", "azp", "email",
	"email_verified", NULL };

static const char *const terraform_pin[] = { "terraform_workspace_id",
	"terraform_organization_id", NULL };

static const char *const terraform_claim[] = { "sub",
	"terraform_organization_id", "terraform_organization_name",
	"terraform_project_id", "terraform_project_name",
	"terraform_workspace_id", "terraform_workspace_name",
	"terraform_full_workspace", "terraform_run_id", "terraform_run_phase",
	NULL };

static const char *const spacelift_claim[] = { "sub", "spaceId", "callerType",
	"callerId", "runType", "runId", "scope", NULL };

static const struct risky spacelift_risky[] = {
	{ "proposed-run", RISKY_IS, "runType", "PROPOSED", NOT_MERGED },
	{ .word = NULL },
};

#define WEEK (7 * 86400)

/* A long max_life_s is for tokens that live as long as their job may run.
 * once is false where the same token is handed out again and again. */
static const struct preset presets[] = {
	/* clang-format off */
	{ .name = "github",
	    .url = "https://token.actions.githubusercontent.com",
	    .algorithm = rs256, .max_age_s = 300, .once = true,
	    .shared = "*", .pin = github_pin, .claim = github_claim,
	    .risky = github_risky, GITHUB_TIES },
	{ .name = "ghes", .algorithm = rs256, .max_age_s = 300, .once = true,
	    .pin = github_pin, .claim = github_claim, .risky = github_risky,
	    GITHUB_TIES },
	{ .name = "gitlab", .url = "https://gitlab.com", .algorithm = rs256,
	    .max_age_s = 3600, .max_life_s = WEEK, .once = true,
	    .shared = "https://gitlab.com",
	    .pin = gitlab_pin, .claim = gitlab_claim, .risky = gitlab_risky,
	    .commit = "sha", .actor = "user_login",
	    .workflow = "ci_config_ref_uri", .run = "pipeline_id" },
	{ .name = "circleci", .algorithm = rs256, .max_age_s = 3600,
	    .once = true, .shared = "https://oidc.circleci.com",
	    .pin = circleci_pin, .claim = circleci_claim,
	    .risky = circleci_risky,
	    .workflow = CIRCLE "pipeline-definition-id",
	    .run = CIRCLE "pipeline-id" },
	{ .name = "buildkite", .url = "https://agent.buildkite.com",
	    .algorithm = rs256, .max_age_s = 300, .once = true,
	    .shared = "*", .pin = buildkite_pin, .claim = buildkite_claim,
	    .commit = "build_commit", .run = "build_number" },
	{ .name = "bitbucket", .algorithm = rs256, .max_age_s = 3600,
	    .once = true, .claim = bitbucket_claim, .run = "pipelineUuid" },
	{ .name = "azure-devops", .algorithm = rs256, .max_age_s = 600,
	    .once = true, .claim = azure_claim, .risky = azure_risky,
	    .commit = "rpo_ver", .workflow = "def_id", .run = "run_id",
	    .pull_request = "rpo_ref" },
	{ .name = "google", .url = "https://accounts.google.com",
	    .algorithm = rs256, .max_age_s = 3600, .once = true,
	    .shared = "*", .pin = sub_pin, .claim = google_claim },
	{ .name = "aws", .algorithm = rs256, .max_age_s = 300, .once = true,
	    .pin = sub_pin, .claim = sub_claim },
	{ .name = "jenkins", .algorithm = rs256, .max_age_s = 3600,
	    .once = true, .run = "build_number" },
	{ .name = "forgejo", .algorithm = rs256, .max_age_s = 600,
	    .once = true, .shared = "*", .pin = github_pin,
	    .claim = github_claim, .risky = github_risky, GITHUB_TIES },
	{ .name = "kubernetes", .algorithm = rs256_es256, .max_age_s = 3600,
	    .claim = sub_claim },
	{ .name = "spiffe", .algorithm = rs256_es256, .max_age_s = 3600,
	    .claim = sub_claim },
	{ .name = "terraform", .url = "https://app.terraform.io",
	    .algorithm = rs256, .max_age_s = 3600, .max_life_s = WEEK,
	    .once = true, .shared = "https://app.terraform.io",
	    .pin = terraform_pin,
	    .claim = terraform_claim, .run = "terraform_run_id" },
	{ .name = "spacelift", .algorithm = rs256, .max_age_s = 3600,
	    .once = true, .claim = spacelift_claim,
	    .risky = spacelift_risky, .run = "runId" },
	{ .name = "people", .algorithm = rs256_es256, .max_age_s = 300,
	    .once = true },
	{ .name = "custom", .algorithm = rs256_es256,
	    .max_age_s = 3600, .once = true,
	    .commit = "commit", .actor = "actor", .workflow = "workflow",
	    .run = "run", .pull_request = "pull_request" },
	{ .name = NULL },
	/* clang-format on */
};

const struct preset *
preset_table(void)
{
	return presets;
}

const struct preset *
preset_find(const char *name)
{
	for (const struct preset *p = presets; p->name != NULL; p++) {
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

/* -- dangers ------------------------------------------------------------------- */

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static bool
risky_holds(const struct risky *k, const struct claims *cs)
{
	const char *value = claims_get(cs, k->claim), *other;

	switch (k->kind) {
	case RISKY_IS:
		return value != NULL && strcmp(value, k->value) == 0;
	case RISKY_BEGINS:
		return value != NULL && begins(value, k->value);
	case RISKY_BEGINS_NOT:
		return value == NULL || !begins(value, k->value);
	case RISKY_DIFFERS:
		other = claims_get(cs, k->value);
		return value != NULL && other != NULL &&
		    strcmp(value, other) != 0;
	}
	return true;
}

uint64_t
preset_risky(const struct preset *p, const struct claims *cs)
{
	uint64_t set = 0;

	for (size_t i = 0; p->risky != NULL && p->risky[i].word != NULL; i++) {
		if (risky_holds(&p->risky[i], cs))
			set |= (uint64_t)1 << i;
	}
	return set;
}

const struct risky *
preset_risky_value(const struct preset *p, const char *claim,
    const char *value)
{
	const struct risky *k = p->risky;

	for (; k != NULL && k->word != NULL; k++) {
		if (strcmp(k->claim, claim) != 0)
			continue;
		if ((k->kind == RISKY_IS && strcmp(value, k->value) == 0) ||
		    (k->kind == RISKY_BEGINS && begins(value, k->value)))
			return k;
	}
	return NULL;
}

uint64_t
preset_risky_word(const struct preset *p, const char *word)
{
	uint64_t set = 0;

	for (size_t i = 0; p->risky != NULL && p->risky[i].word != NULL; i++) {
		if (strcmp(p->risky[i].word, word) == 0)
			set |= (uint64_t)1 << i;
	}
	return set;
}

/* -- claims -------------------------------------------------------------------- */

bool
preset_has_claim(const struct preset *p, const char *claim)
{
	size_t n;

	if (p->claim == NULL)
		return true;
	for (size_t i = 0; p->claim[i] != NULL; i++) {
		n = strlen(p->claim[i]);
		if (p->claim[i][n - 1] == '*' ?
		    strncmp(claim, p->claim[i], n - 1) == 0 &&
		    claim[n - 1] != '\0' : strcmp(claim, p->claim[i]) == 0)
			return true;
	}
	return false;
}

static bool
ends(const char *s, const char *with)
{
	size_t n = strlen(s), k = strlen(with);

	return n > k && strcmp(s + n - k, with) == 0;
}

bool
preset_is_id(const struct preset *p, const char *claim)
{
	for (size_t i = 0; p->pin != NULL && p->pin[i] != NULL; i++) {
		if (strcmp(p->pin[i], claim) == 0)
			return true;
	}
	return ends(claim, "_id") || ends(claim, "-id") || ends(claim, "Id") ||
	    ends(claim, "Uuid");
}

bool
preset_is_shared(const struct preset *p, const char *url)
{
	return p->shared != NULL && (strcmp(p->shared, "*") == 0 ||
	    strcmp(p->shared, url) == 0);
}
