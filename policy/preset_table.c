/*
 * The presets of issuers as data.  Sources: the issuers' own documentation of
 * their tokens, and where that is silent their code.  A claim within an object
 * is named by its path, as kubernetes.io/pod/uid (lib/claimtext.h).
 */
#include "config.h"

#include "policy/preset.h"

#include <string.h>

static const char *const rs256[] = { "RS256", NULL };
static const char *const rs256_es256[] = { "RS256", "ES256", NULL };
static const char *const rs256_es384[] = { "RS256", "ES384", NULL };
/* What a JWT-SVID may be signed with. */
static const char *const svid[] = { "RS256", "RS384", "RS512", "ES256", "ES384",
	"ES512", "PS256", "PS384", "PS512", NULL };

#define NOT_MERGED "its code has not been merged"
#define S CLAIM_STRING
#define END                                                                    \
	{                                                                      \
		.name = NULL                                                   \
	}

/* -- GitHub and what is like it ---------------------------------------------
 */

/* GitHub serves every repository on Earth from one issuer; names can be
 * renamed and registered anew, ids cannot. */
static const char *const github_pin[] = { "repository_id",
	"repository_owner_id", NULL };

static const struct preset_claim github_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ "repository", CLAIM_NAME, S },
	{ "repository_id", CLAIM_ID, S },
	{ "repository_owner", CLAIM_NAME, S },
	{ "repository_owner_id", CLAIM_ID, S },
	{ "repository_visibility", CLAIM_FACT, S },
	{ "ref", CLAIM_REF, S },
	{ "ref_type", CLAIM_FACT, S },
	{ "ref_protected", CLAIM_FACT, S },
	{ "sha", CLAIM_COMMIT, S },
	{ "head_ref", CLAIM_CHOSEN, S },
	{ "base_ref", CLAIM_CHOSEN, S },
	{ "event_name", CLAIM_FACT, S },
	{ "actor", CLAIM_NAME, S },
	{ "actor_id", CLAIM_ID, S },
	{ "workflow", CLAIM_CHOSEN, S },
	{ "workflow_ref", CLAIM_NAME, S },
	{ "workflow_sha", CLAIM_COMMIT, S },
	{ "job_workflow_ref", CLAIM_NAME, S },
	{ "job_workflow_sha", CLAIM_COMMIT, S },
	{ "environment", CLAIM_NAME, S },
	{ "environment_node_id", CLAIM_ID, S },
	{ "run_id", CLAIM_RUN, S },
	{ "run_number", CLAIM_RUN, S },
	{ "run_attempt", CLAIM_RUN, S },
	{ "check_run_id", CLAIM_RUN, S },
	{ "runner_environment", CLAIM_FACT, S },
	{ "enterprise", CLAIM_NAME, S },
	{ "enterprise_id", CLAIM_ID, S },
	{ "repo_property_*", CLAIM_FACT, S },
	END,
};

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

#define GITHUB_TIES                                                            \
	.commit = "sha", .actor = "actor", .workflow = "workflow_ref",         \
	.run = "run_id", .pull_request = "ref"

/* -- GitLab ------------------------------------------------------------------
 */

static const char *const gitlab_pin[] = { "project_id", "job_project_id",
	"namespace_id", NULL };

static const struct preset_claim gitlab_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ "namespace_id", CLAIM_ID, S },
	{ "namespace_path", CLAIM_NAME, S },
	{ "project_id", CLAIM_ID, S },
	{ "project_path", CLAIM_NAME, S },
	{ "job_namespace_id", CLAIM_ID, S },
	{ "job_namespace_path", CLAIM_NAME, S },
	{ "job_project_id", CLAIM_ID, S },
	{ "job_project_path", CLAIM_NAME, S },
	{ "user_id", CLAIM_ID, S },
	{ "user_login", CLAIM_NAME, S },
	{ "user_email", CLAIM_NAME, S },
	{ "user_access_level", CLAIM_FACT, S },
	{ "user_identities", CLAIM_FACT, CLAIM_LIST },
	{ "groups_direct", CLAIM_NAME, CLAIM_LIST },
	{ "pipeline_id", CLAIM_RUN, S },
	{ "pipeline_source", CLAIM_FACT, S },
	{ "job_id", CLAIM_RUN, S },
	{ "ref", CLAIM_REF, S },
	{ "ref_type", CLAIM_FACT, S },
	{ "ref_path", CLAIM_REF, S },
	{ "ref_protected", CLAIM_FACT, S },
	{ "sha", CLAIM_COMMIT, S },
	{ "ci_config_ref_uri", CLAIM_NAME, S },
	{ "ci_config_sha", CLAIM_COMMIT, S },
	{ "environment", CLAIM_NAME, S },
	{ "environment_protected", CLAIM_FACT, S },
	{ "environment_action", CLAIM_FACT, S },
	{ "deployment_tier", CLAIM_FACT, S },
	{ "runner_id", CLAIM_ID, CLAIM_INT },
	{ "runner_environment", CLAIM_FACT, S },
	{ "project_visibility", CLAIM_FACT, S },
	END,
};

static const struct risky gitlab_risky[] = {
	{ "merge-request", RISKY_IS, "pipeline_source", "merge_request_event",
	    NOT_MERGED },
	{ "external-pull-request", RISKY_IS, "pipeline_source",
	    "external_pull_request_event", NOT_MERGED },
	{ "fork", RISKY_DIFFERS, "project_id", "job_project_id",
	    "a fork's code runs in another project" },
	{ .word = NULL },
};

/* -- CircleCI
 * ------------------------------------------------------------------ */

#define CIRCLE "oidc.circleci.com/"

static const char *const circleci_pin[] = { CIRCLE "project-id",
	CIRCLE "org-id", NULL };

static const struct preset_claim circleci_claim[] = {
	{ "sub", CLAIM_FACT, S },
	{ CIRCLE "context-ids", CLAIM_ID, CLAIM_LIST },
	{ CIRCLE "job-id", CLAIM_RUN, S },
	{ CIRCLE "org-id", CLAIM_ID, S },
	{ CIRCLE "pipeline-id", CLAIM_RUN, S },
	{ CIRCLE "pipeline-definition-id", CLAIM_ID, S },
	{ CIRCLE "project-id", CLAIM_ID, S },
	{ CIRCLE "ssh-rerun", CLAIM_FACT, CLAIM_BOOL },
	{ CIRCLE "vcs-origin", CLAIM_NAME, S },
	{ CIRCLE "vcs-ref", CLAIM_REF, S },
	{ CIRCLE "workflow-id", CLAIM_RUN, S },
	END,
};

/* A fork's branch is built as pull/N. */
static const struct risky circleci_risky[] = {
	{ "ssh-rerun", RISKY_IS, CIRCLE "ssh-rerun", "true",
	    "a person may have a shell in this job" },
	{ "pull-request", RISKY_BEGINS, CIRCLE "vcs-ref", "refs/pull/",
	    NOT_MERGED },
	{ "pull-request", RISKY_BEGINS, CIRCLE "vcs-ref", "refs/heads/pull/",
	    NOT_MERGED },
	{ .word = NULL },
};

/* -- Buildkite, Bitbucket, Azure DevOps ------------------------------------ */

static const char *const buildkite_pin[] = { "pipeline_id", "organization_id",
	NULL };

static const struct preset_claim buildkite_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ "organization_slug", CLAIM_NAME, S },
	{ "organization_id", CLAIM_ID, S },
	{ "pipeline_slug", CLAIM_NAME, S },
	{ "pipeline_id", CLAIM_ID, S },
	{ "build_number", CLAIM_RUN, CLAIM_INT },
	{ "build_id", CLAIM_RUN, S },
	{ "build_branch", CLAIM_REF, S },
	{ "build_tag", CLAIM_REF, S },
	{ "build_commit", CLAIM_COMMIT, S },
	{ "build_source", CLAIM_FACT, S },
	{ "step_key", CLAIM_CHOSEN, S },
	{ "job_id", CLAIM_RUN, S },
	{ "agent_id", CLAIM_ID, S },
	{ "cluster_id", CLAIM_ID, S },
	{ "cluster_name", CLAIM_NAME, S },
	{ "queue_id", CLAIM_ID, S },
	{ "queue_key", CLAIM_NAME, S },
	{ "runner_environment", CLAIM_FACT, S },
	{ "agent_tag:*", CLAIM_NAME, S },
	END,
};

/* A workspace's name is in the issuer's URL and can be given up. */
static const char *const bitbucket_pin[] = { "repositoryUuid", "workspaceUuid",
	NULL };

static const struct preset_claim bitbucket_claim[] = {
	{ "sub", CLAIM_FACT, S },
	{ "stepUuid", CLAIM_RUN, S },
	{ "pipelineUuid", CLAIM_RUN, S },
	{ "repositoryUuid", CLAIM_ID, S },
	{ "workspaceUuid", CLAIM_ID, S },
	{ "deploymentEnvironmentUuid", CLAIM_ID, S },
	{ "branchName", CLAIM_REF, S },
	END,
};

static const char *const azure_pin[] = { "def_id", "prj_id", "rpo_id", "org_id",
	NULL };

static const struct preset_claim azure_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ "org_id", CLAIM_ID, S },
	{ "prj_id", CLAIM_ID, S },
	{ "def_id", CLAIM_ID, S },
	{ "rpo_id", CLAIM_ID, S }, /* OWNER/NAME of a GitHub repository */
	{ "rpo_uri", CLAIM_NAME, S },
	{ "rpo_ver", CLAIM_COMMIT, S },
	{ "rpo_ref", CLAIM_REF, S },
	{ "run_id", CLAIM_RUN, S },
	END,
};

static const struct risky azure_risky[] = {
	{ "service-connection", RISKY_BEGINS_NOT, "sub", "p://",
	    "the token names a service connection, not a pipeline" },
	{ "pull-request", RISKY_BEGINS, "rpo_ref", "refs/pull/", NOT_MERGED },
	{ .word = NULL },
};

/* -- clouds
 * ---------------------------------------------------------------------- */

static const char *const sub_pin[] = { "sub", NULL };

#define ENGINE "google/compute_engine/"

static const struct preset_claim google_claim[] = {
	{ "sub", CLAIM_ID, S }, /* the service account's number */
	{ "azp", CLAIM_ID, S },
	{ "email", CLAIM_NAME, S },
	{ "email_verified", CLAIM_FACT, CLAIM_BOOL },
	{ ENGINE "instance_id", CLAIM_ID, S },
	{ ENGINE "instance_name", CLAIM_NAME, S },
	{ ENGINE "project_id", CLAIM_NAME, S }, /* Google's word for a name */
	{ ENGINE "project_number", CLAIM_ID, CLAIM_INT },
	{ ENGINE "zone", CLAIM_FACT, S },
	{ ENGINE "instance_creation_timestamp", CLAIM_FACT, CLAIM_INT },
	{ ENGINE "license_id", CLAIM_ID, CLAIM_LIST },
	END,
};

#define STS "https://sts.amazonaws.com/"

static const struct preset_claim aws_claim[] = {
	{ "sub", CLAIM_ID, S }, /* the role's ARN, under the account's issuer */
	{ STS "aws_account", CLAIM_ID, S },
	{ STS "source_region", CLAIM_FACT, S },
	{ STS "org_id", CLAIM_ID, S },
	{ STS "ou_path", CLAIM_ID, CLAIM_LIST },
	{ STS "principal_id", CLAIM_ID, S },
	{ STS "principal_tags/*", CLAIM_FACT, S },
	{ STS "request_tags/*", CLAIM_CHOSEN, S },
	{ STS "lambda_source_function_arn", CLAIM_NAME, S },
	{ STS "ec2_*", CLAIM_FACT, S },
	END,
};

/* -- clusters and workloads
 * ---------------------------------------------------- */

#define KUBE "kubernetes.io/"

/* Namespaces and accounts can be deleted and made anew. */
static const char *const kubernetes_pin[] = { KUBE "serviceaccount/uid", NULL };

static const struct preset_claim kubernetes_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ KUBE "namespace", CLAIM_NAME, S },
	{ KUBE "serviceaccount/name", CLAIM_NAME, S },
	{ KUBE "serviceaccount/uid", CLAIM_ID, S },
	{ KUBE "pod/name", CLAIM_NAME, S },
	{ KUBE "pod/uid", CLAIM_RUN, S },
	{ KUBE "node/name", CLAIM_NAME, S },
	{ KUBE "node/uid", CLAIM_ID, S },
	{ KUBE "warnafter", CLAIM_FACT, CLAIM_INT },
	END,
};

static const struct preset_claim spiffe_claim[] = {
	{ "sub", CLAIM_FACT, S }, /* the trust domain answers for its names */
	END,
};

/* -- Terraform and Spacelift
 * ----------------------------------------------------- */

static const char *const terraform_pin[] = { "terraform_workspace_id",
	"terraform_organization_id", NULL };

static const struct preset_claim terraform_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ "terraform_organization_id", CLAIM_ID, S },
	{ "terraform_organization_name", CLAIM_NAME, S },
	{ "terraform_project_id", CLAIM_ID, S },
	{ "terraform_project_name", CLAIM_NAME, S },
	{ "terraform_workspace_id", CLAIM_ID, S },
	{ "terraform_workspace_name", CLAIM_NAME, S },
	{ "terraform_full_workspace", CLAIM_NAME, S },
	{ "terraform_run_id", CLAIM_RUN, S },
	{ "terraform_run_phase", CLAIM_FACT, S },
	END,
};

/* A plan runs providers and data sources that anybody with a pull request
 * brings along, under the workspace's own ids. */
static const struct risky terraform_risky[] = {
	{ "plan", RISKY_IS, "terraform_run_phase", "plan",
	    "what is planned may not have been merged" },
	{ .word = NULL },
};

static const struct preset_claim spacelift_claim[] = {
	{ "sub", CLAIM_NAME, S },
	{ "spaceId", CLAIM_ID, S },
	{ "callerType", CLAIM_FACT, S },
	{ "callerId", CLAIM_ID, S },
	{ "runType", CLAIM_FACT, S },
	{ "runId", CLAIM_RUN, S },
	{ "scope", CLAIM_FACT, S },
	END,
};

static const struct risky spacelift_risky[] = {
	{ "proposed-run", RISKY_IS, "runType", "PROPOSED", NOT_MERGED },
	{ "testing-run", RISKY_IS, "runType", "TESTING",
	    "a module is tested before it is merged, too" },
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
	    .risky = circleci_risky, .actor = "sub", .actor_after = "/user/",
	    .workflow = CIRCLE "pipeline-definition-id",
	    .run = CIRCLE "pipeline-id" },
	{ .name = "buildkite", .url = "https://agent.buildkite.com",
	    .algorithm = rs256, .max_age_s = 300, .once = true,
	    .shared = "*", .pin = buildkite_pin, .claim = buildkite_claim,
	    .commit = "build_commit", .run = "build_number" },
	{ .name = "bitbucket", .algorithm = rs256, .max_age_s = 3600,
	    .once = true, .pin = bitbucket_pin, .claim = bitbucket_claim,
	    .run = "pipelineUuid" },
	{ .name = "azure-devops", .algorithm = rs256, .max_age_s = 600,
	    .once = true, .pin = azure_pin, .claim = azure_claim,
	    .risky = azure_risky, .commit = "rpo_ver", .workflow = "def_id",
	    .run = "run_id", .pull_request = "rpo_ref" },
	{ .name = "google", .url = "https://accounts.google.com",
	    .algorithm = rs256, .max_age_s = 3600, .once = true,
	    .shared = "*", .pin = sub_pin, .claim = google_claim },
	{ .name = "aws", .algorithm = rs256_es384, .max_age_s = 300,
	    .once = true, .pin = sub_pin, .claim = aws_claim },
	{ .name = "jenkins", .algorithm = rs256, .max_age_s = 3600,
	    .once = true, .run = "build_number" },
	{ .name = "forgejo", .algorithm = rs256, .max_age_s = 600,
	    .once = true, .shared = "*", .pin = github_pin,
	    .claim = github_claim, .risky = github_risky, GITHUB_TIES },
	{ .name = "kubernetes", .algorithm = rs256_es256, .max_age_s = 3600,
	    .pin = kubernetes_pin, .claim = kubernetes_claim,
	    .run = KUBE "pod/uid" },
	{ .name = "spiffe", .algorithm = svid, .max_age_s = 3600,
	    .claim = spiffe_claim },
	{ .name = "terraform", .url = "https://app.terraform.io",
	    .algorithm = rs256, .max_age_s = 3600, .max_life_s = WEEK,
	    .once = true, .shared = "https://app.terraform.io", .pin = terraform_pin,
	    .claim = terraform_claim, .risky = terraform_risky,
	    .run = "terraform_run_id" },
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
