/*
 * The presets of issuers as data.  Used at policy load and when a session's
 * claims are matched.  Sources: the issuers' own documentation of their
 * tokens' claims.
 */
#include "config.h"

#include "policy/preset.h"

#include <string.h>

static const char *const rs256[] = { "RS256", NULL };
static const char *const custom_alg[] = { "RS256", "ES256", NULL };

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
	{ "event_name", "pull_request_target", false,
	    "it runs beside code from forks under the branch's own name" },
	{ "event_name", "workflow_run", false,
	    "it can be started by a workflow that strangers triggered" },
	{ "event_name", "issue_comment", false,
	    "everybody who may comment starts it" },
	{ "event_name", "pull_request", false,
	    "its code has not been merged" },
	{ "ref", "refs/pull/", true, "its code has not been merged" },
	{ NULL, NULL, false, NULL },
};

static const struct preset presets[] = {
	{ .name = "github", .supported = true,
	    .url = "https://token.actions.githubusercontent.com",
	    .algorithm = rs256, .max_age_s = 300, .once = true,
	    .pin = github_pin, .claim = github_claim, .risky = github_risky,
	    .commit = "sha", .actor = "actor", .workflow = "workflow_ref",
	    .run = "run_id", .pull_request = "ref" },
	{ .name = "custom", .supported = true, .algorithm = custom_alg,
	    .max_age_s = 3600, .once = true,
	    .commit = "commit", .actor = "actor", .workflow = "workflow",
	    .run = "run", .pull_request = "pull_request" },
	{ .name = "ghes" }, { .name = "gitlab" }, { .name = "circleci" },
	{ .name = "buildkite" }, { .name = "bitbucket" },
	{ .name = "azure-devops" }, { .name = "google" }, { .name = "aws" },
	{ .name = "jenkins" }, { .name = "forgejo" }, { .name = "kubernetes" },
	{ .name = "spiffe" }, { .name = "terraform" }, { .name = "spacelift" },
	{ .name = "people" },
	{ .name = NULL },
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

const struct risky *
preset_risky(const struct preset *p, const char *claim, const char *value)
{
	const struct risky *k = p->risky;

	for (; k != NULL && k->claim != NULL; k++) {
		if (strcmp(k->claim, claim) != 0)
			continue;
		if (k->prefix ? strncmp(value, k->value,
		    strlen(k->value)) == 0 : strcmp(value, k->value) == 0)
			return k;
	}
	return NULL;
}

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
