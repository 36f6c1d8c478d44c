"""What each issuer's tokens look like: names, types and lengths of the claims
as the issuer documents them or, where it does not, as its code makes them.  One
row for each preset: a good token, what an identity for it says, the ledger's
five names, and the variants that must be nobody, with the reason.

None of it is a real token: the values are made up."""
import dataclasses
import hashlib
import secrets

NULL = object()     # a claim that is there, and null; None: it is not there
SHA = "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b"
WEB = "bastion.acme.example"


def uuid(name):
    """The same for the same name, as long as a real one."""
    d = hashlib.sha256(name.encode()).hexdigest()
    return "-".join((d[:8], d[8:12], d[12:16], d[16:20], d[20:32]))


@dataclasses.dataclass
class Shape:
    preset: str
    iss: str
    claims: dict
    identity: str            # the conditions of one that the token is
    size: int                # of the whole token, signed with RSA-2048
    life: int = 300
    aud: object = WEB
    nbf: object = None       # so long before iat; None: the issuer gives none
    jti: bool = False
    jwks: str = "/.well-known/jwks"
    jwks_host: str = ""      # another one than the issuer's
    alg: str = "RS256"
    kid: str = ""
    zero: bool = False       # the modulus has a sign byte in front
    # the ledger's five names; what is not here has no line there
    ties: dict = dataclasses.field(default_factory=dict)
    # what: ({claim: value, None: not there}, part of the ledger's reason)
    nobody: dict = dataclasses.field(default_factory=dict)

    @property
    def issuer(self):
        """Its name in the policy: GitHub's is there already."""
        return "github" if self.preset == "github" else f"as-{self.preset}"

    @property
    def host(self):
        return self.iss.split("/")[2]

    def token_claims(self, now, **changes):
        c = {"iss": self.iss, "aud": self.aud, **self.claims, "iat": now,
             "exp": now + self.life}
        if self.nbf is not None:
            c["nbf"] = now - self.nbf
        if self.jti:
            c["jti"] = uuid(secrets.token_hex(8))
        return {k: None if v is NULL else v
                for k, v in (c | changes).items() if v is not None}


GH_REPO, GH_REF = "octo-org/octo-repo", "refs/heads/main"
GH_WF = f"{GH_REPO}/.github/workflows/deploy-production.yml@{GH_REF}"
GH_OTHER_WF = f"{GH_REPO}/.github/workflows/test.yml@{GH_REF}"
GITHUB = {
    "sub": f"repo:{GH_REPO}:environment:production", "ref": GH_REF,
    "sha": SHA, "repository": GH_REPO, "repository_owner": "octo-org",
    "repository_owner_id": "65123456", "run_id": "16512345678",
    "run_number": "1201", "run_attempt": "1", "repository_id": "456789012",
    "repository_visibility": "private", "actor_id": "12345678",
    "actor": "octocat", "workflow": "Deploy to production", "head_ref": "",
    "base_ref": "", "event_name": "push", "ref_protected": "true",
    "ref_type": "branch", "workflow_ref": GH_WF, "workflow_sha": SHA,
    "job_workflow_ref": GH_WF, "job_workflow_sha": SHA,
    "environment": "production", "environment_node_id": "EN_kwDOB1QxZM6JXNQ",
    "runner_environment": "github-hosted", "check_run_id": "45512345678",
    "enterprise": "octo-enterprise", "enterprise_id": "91823",
    "repo_property_team": "shop-backend",
}
GITHUB_PIN = ('claim repository_id = "456789012"; claim ref = '
              '"refs/heads/main"; claim environment = "production"; '
              'claim runner_environment = "github-hosted"; '
              f'claim job_workflow_ref = "{GH_WF}"')
GITHUB_TIES = {"commit": SHA, "actor": "octocat", "workflow": GH_WF,
               "run": "16512345678"}
GITHUB_NOBODY = {
    "pull_request_target": (
        {"event_name": "pull_request_target"}, "allow-risky "
        "pull-request-target"),
    "workflow_run": ({"event_name": "workflow_run"},
                     "allow-risky workflow-run"),
    "issue_comment": ({"event_name": "issue_comment"},
                      "allow-risky issue-comment"),
    "pull request": (
        {"event_name": "pull_request", "ref": "refs/pull/17/merge",
         "head_ref": "feature", "base_ref": "main",
         "sub": f"repo:{GH_REPO}:pull_request"}, "allow-risky pull-request"),
    "the same name, made anew": (
        {"repository_id": "999999999"},
        "claim repository_id has another value"),
    "without environment": ({"environment": None, "environment_node_id": None},
                            "claim environment is missing"),
    "a runner of somebody's own": ({"runner_environment": "self-hosted"},
                                   "claim runner_environment has another"),
    "another workflow of the branch": (
        {"workflow": "Deploy to production", "workflow_ref": GH_OTHER_WF,
         "job_workflow_ref": GH_OTHER_WF},
        "claim job_workflow_ref has another value"),
    "a fork that says so in its subject alone": (
        {"repository_id": "31337", "repository": "mallory/octo-repo",
         "repository_owner": "mallory", "repository_owner_id": "666"},
        "claim repository_id has another value"),
    "a pull request that names no event": (
        {"event_name": None, "ref": "refs/pull/17/merge"},
        "allow-risky pull-request"),
}

GL = "acme-group/backend/shop"
GL_CONFIG = (f"gitlab.com/{GL}//.gitlab-ci.yml@refs/heads/main")

CIRCLE_ORG, CIRCLE_PROJECT = uuid("org"), uuid("project")
CIRCLE_USER = uuid("user")

SHAPES = [
    Shape("github", "https://token.actions.githubusercontent.com", GITHUB,
          GITHUB_PIN, 2050, nbf=600, jti=True,
          kid="38826b17-6a30-5f9b-b169-8beb8202f723", ties=GITHUB_TIES,
          nobody=GITHUB_NOBODY),
    Shape("gitlab", "https://gitlab.com", {
        "sub": f"project_path:{GL}:ref_type:branch:ref:main",
        "namespace_id": "72345678", "namespace_path": "acme-group/backend",
        "project_id": "20123456", "project_path": GL,
        "job_namespace_id": "72345678",
        "job_namespace_path": "acme-group/backend",
        "job_project_id": "20123456", "job_project_path": GL,
        "user_id": "1234567", "user_login": "sample-user",
        "user_email": "sample-user@acme.example",
        "user_access_level": "developer",
        "user_identities": [{"provider": "github",
                             "extern_uid": "2435223452345"}],
        "groups_direct": ["acme-group"], "pipeline_id": "1212121212",
        "pipeline_source": "push", "job_id": "9898989898", "ref": "main",
        "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "runner_id": 12270807,
        "runner_environment": "gitlab-hosted", "sha": SHA,
        "ci_config_ref_uri": GL_CONFIG, "ci_config_sha": SHA,
        "environment": "production", "environment_protected": "true",
        "deployment_tier": "production", "environment_action": "start",
        "project_visibility": "private",
    }, 'claim project_id = "20123456"; claim job_project_id = "20123456"; '
       'claim ref_path = "refs/heads/main"; claim ref_protected = "true"; '
       'claim runner_id = "12270807"',
          2060, life=3600, nbf=5, jti=True, jwks="/oauth/discovery/keys",
          kid="4i3sFE7sxqNPOT7FdvcGA1ZVGGI_r-tsDXnEuYT4ZqE",
          ties={"commit": SHA, "actor": "sample-user", "workflow": GL_CONFIG,
                "run": "1212121212"},
          nobody={
              "merge request": (
                  {"pipeline_source": "merge_request_event"},
                  "allow-risky merge-request"),
              "merge request of a fork": (
                  {"pipeline_source": "merge_request_event",
                   "project_id": "66666666", "project_path": "mallory/shop"},
                  "allow-risky merge-request"),
              "fork in another project": (
                  {"job_project_id": "66666666",
                   "job_project_path": "mallory/shop"}, "job_project_id"),
              "external pull request": (
                  {"pipeline_source": "external_pull_request_event"},
                  "allow-risky external-pull-request"),
              "the same path, made anew": (
                  {"project_id": "777", "job_project_id": "777"},
                  "claim project_id has another value"),
              "a fork's pipeline, not of a merge request": (
                  {"project_id": "66666666", "project_path": "mallory/shop"},
                  "project_id differs from job_project_id"),
              "a branch that anybody may push to": (
                  {"ref_protected": "false"},
                  "claim ref_protected has another value"),
              "a runner of somebody's own": (
                  {"runner_id": 1, "runner_environment": "self-hosted"},
                  "claim runner_id has another value"),
              "a tag of the branch's name": (
                  {"ref_type": "tag", "ref_path": "refs/tags/main"},
                  "claim ref_path has another value"),
          }),
    Shape("circleci", f"https://oidc.circleci.com/org/{CIRCLE_ORG}", {
        "sub": f"org/{CIRCLE_ORG}/project/{CIRCLE_PROJECT}/user/{CIRCLE_USER}"
               "/vcs-origin/github.com/acme/shop/vcs-ref/refs/heads/main",
        "oidc.circleci.com/context-ids": [uuid("context")],
        "oidc.circleci.com/job-id": uuid("job"),
        "oidc.circleci.com/org-id": CIRCLE_ORG,
        "oidc.circleci.com/pipeline-definition-id": uuid("definition"),
        "oidc.circleci.com/pipeline-id": uuid("pipeline"),
        "oidc.circleci.com/project-id": CIRCLE_PROJECT,
        "oidc.circleci.com/ssh-rerun": False,
        "oidc.circleci.com/vcs-origin": "github.com/acme/shop",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/workflow-id": uuid("workflow"),
    }, f'claim oidc.circleci.com/project-id = "{CIRCLE_PROJECT}"; '
       'claim oidc.circleci.com/vcs-ref = "refs/heads/main"; '
       'claim oidc.circleci.com/ssh-rerun = "false"',
          1880, life=3600, jwks="/.well-known/jwks-pub.json",
          kid=uuid("circle key"),
          ties={"actor": CIRCLE_USER, "workflow": uuid("definition"),
                "run": uuid("pipeline")},
          nobody={
              "rerun with ssh": ({"oidc.circleci.com/ssh-rerun": True},
                                 "allow-risky ssh-rerun"),
              "rerun with ssh, said in a text": (
                  {"oidc.circleci.com/ssh-rerun": "true"},
                  "allow-risky ssh-rerun"),
              "rerun with ssh, or not: it is not said": (
                  {"oidc.circleci.com/ssh-rerun": None},
                  "ssh-rerun is missing"),
              "pull request": (
                  {"oidc.circleci.com/vcs-ref": "refs/heads/pull/17"},
                  "allow-risky pull-request"),
              "another project of the name": (
                  {"oidc.circleci.com/project-id": uuid("other")},
                  "claim oidc.circleci.com/project-id has another value"),
              "started by a webhook": (
                  {"oidc.circleci.com/vcs-ref": None,
                   "oidc.circleci.com/vcs-origin": None},
                  "claim oidc.circleci.com/vcs-ref is missing"),
          }),
    Shape("buildkite", "https://agent.buildkite.com", {
        "sub": "organization:acme-inc:pipeline:super-duper-app:ref:"
               f"refs/heads/main:commit:{SHA}:step:deploy",
        "organization_slug": "acme-inc", "pipeline_slug": "super-duper-app",
        "build_number": 1201, "build_branch": "main", "build_tag": NULL,
        "build_commit": SHA, "step_key": "deploy", "job_id": uuid("kite job"),
        "agent_id": uuid("agent"), "build_source": "webhook",
        "runner_environment": "self-hosted",
        "organization_id": uuid("kite org"), "pipeline_id": uuid("kite pipe"),
    }, f'claim pipeline_id = "{uuid("kite pipe")}"; '
       'claim build_branch = "main"; claim build_number present; '
       'claim build_tag absent',
          1410, nbf=0, kid="b1f2c3d4",
          ties={"commit": SHA, "run": "1201"},
          nobody={
              "without the ids that are asked for": (
                  {"organization_id": None, "pipeline_id": None},
                  "claim pipeline_id is missing"),
              "the same slug, made anew": (
                  {"pipeline_id": uuid("other")},
                  "claim pipeline_id has another value"),
              "a tag": ({"build_tag": "v1"}, "claim build_tag is there"),
              "a fork's branch": ({"build_branch": "mallory:main"},
                                  "claim build_branch has another value"),
          }),
    Shape("bitbucket", "https://api.bitbucket.org/2.0/workspaces/acme/"
          "pipelines-config/identity/oidc", {
        "sub": f"{{{uuid('bb repo')}}}:{{{uuid('bb env')}}}:"
               f"{{{uuid('bb step')}}}",
        "stepUuid": f"{{{uuid('bb step')}}}",
        "pipelineUuid": f"{{{uuid('bb pipe')}}}",
        "repositoryUuid": f"{{{uuid('bb repo')}}}",
        "workspaceUuid": f"{{{uuid('bb workspace')}}}",
        "deploymentEnvironmentUuid": f"{{{uuid('bb env')}}}",
        "branchName": "main",
    }, f'claim repositoryUuid = "{{{uuid("bb repo")}}}"; '
       'claim branchName = "main"; claim deploymentEnvironmentUuid = '
       f'"{{{uuid("bb env")}}}"',
          1330, life=3600, aud=["ari:cloud:bitbucket::workspace/" +
                                uuid("bb workspace"), WEB],
          jwks="/keys.json", kid="identity-oidc/1",
          ties={"run": f"{{{uuid('bb pipe')}}}"},
          nobody={
              "the same name, made anew": (
                  {"repositoryUuid": f"{{{uuid('other')}}}"},
                  "claim repositoryUuid has another value"),
              "a pull request's branch": (
                  {"branchName": "feature", "deploymentEnvironmentUuid": None,
                   "sub": f"{{{uuid('bb repo')}}}:{{{uuid('bb step')}}}"},
                  "claim branchName has another value"),
              "another environment": (
                  {"deploymentEnvironmentUuid": f"{{{uuid('bb test')}}}"},
                  "claim deploymentEnvironmentUuid has another value"),
              "without deployment": ({"deploymentEnvironmentUuid": None},
                                     "deploymentEnvironmentUuid is missing"),
          }),
    Shape("azure-devops", f"https://vstoken.dev.azure.com/{uuid('az org')}", {
        "sub": "p://acme/shop/deploy-production", "org_id": uuid("az org"),
        "prj_id": uuid("az project"), "def_id": "12",
        "rpo_id": uuid("az repo"),
        "rpo_uri": "https://dev.azure.com/acme/shop/_git/shop",
        "rpo_ver": SHA, "rpo_ref": "refs/heads/main", "run_id": "2047",
    }, f'claim prj_id = "{uuid("az project")}"; claim def_id = "12"; '
       'claim rpo_ref = "refs/heads/main"',
          1210, life=600, nbf=600, jti=True,
          aud="api://AzureADTokenExchange", kid="6F1D5C3A9E",
          ties={"commit": SHA, "workflow": "12", "run": "2047"},
          nobody={
              "a service connection": (
                  {"sub": "sc://acme/shop/production"},
                  "allow-risky service-connection"),
              "pull request": ({"rpo_ref": "refs/pull/17/merge"},
                               "allow-risky pull-request"),
              "another pipeline of the project": (
                  {"def_id": "13", "sub": "p://acme/shop/test"},
                  "claim def_id has another value"),
              "the same name, made anew": (
                  {"prj_id": uuid("other"), "org_id": uuid("az org")},
                  "claim prj_id has another value"),
          }),
    Shape("google", "https://accounts.google.com", {
        "azp": "112233445566778899000", "sub": "112233445566778899000",
        "email": "123456789012-compute@developer.gserviceaccount.com",
        "email_verified": True,
        "google": {"compute_engine": {
            "instance_creation_timestamp": 1764100000,
            "instance_id": "5434567890123456789",
            "instance_name": "runner-1", "project_id": "acme-prod",
            "project_number": 123456789012, "zone": "europe-west1-b",
            "license_id": ["1000204", "1000205"]}},
    }, 'claim sub = "112233445566778899000"; claim email_verified = "true"; '
       'claim google/compute_engine/project_number = "123456789012"',
          1000, life=3600, jwks="/oauth2/v3/certs",
          jwks_host="www.googleapis.com",
          kid="bd2f3b5a9cf1a8c4e7d6b0a1c2d3e4f5a6b7c8d9",
          nobody={
              "another account": (
                  {"sub": "1", "azp": "1"}, "claim sub has another value"),
              "an address that nobody has confirmed": (
                  {"email_verified": False},
                  "claim email_verified has another value"),
              "another project": (
                  {"google": {"compute_engine": {"project_number": 1}}},
                  "project_number has another value"),
              "not of a machine": (
                  {"google": None},
                  "claim google/compute_engine/project_number is missing"),
              "the same name of an account": (
                  {"sub": "998877665544332211000"},
                  "claim sub has another value"),
          }),
    Shape("aws", "https://a1b2c3d4-0000.tokens.sts.global.api.aws", {
        "sub": "arn:aws:iam::123456789012:role/deployer",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012", "source_region": "eu-central-1",
            "org_id": "o-abc1234567", "ou_path": ["o-abc1234567/r-ab12/"],
            "principal_id": "arn:aws:iam::123456789012:role/deployer",
            "principal_tags": {"team": "shop"},
            "request_tags": {"stage": "production"},
            "lambda_source_function_arn":
                "arn:aws:lambda:eu-central-1:123456789012:function:deploy"},
    }, 'claim sub = "arn:aws:iam::123456789012:role/deployer"; '
       'claim https://sts.amazonaws.com/aws_account = "123456789012"; '
       'claim https://sts.amazonaws.com/principal_tags/team = "shop"',
          1250, aud=[WEB], jti=True, jwks="/.well-known/jwks.json",
          kid="RSA_1",
          nobody={
              "another role": (
                  {"sub": "arn:aws:iam::123456789012:role/reader"},
                  "claim sub has another value"),
              "a role of the name in another account": (
                  {"sub": "arn:aws:iam::999999999999:role/deployer"},
                  "claim sub has another value"),
              "tags of the caller are none of the role's": (
                  {"https://sts.amazonaws.com/": {
                      "aws_account": "123456789012",
                      "request_tags": {"team": "shop"}}},
                  "principal_tags/team is missing"),
              "a claim with the path of another": (
                  {"https://sts.amazonaws.com/aws_account": "999"},
                  "two claims of the token have one name"),
          }),
    Shape("jenkins", "https://jenkins.acme.example/oidc", {
        "sub": "https://jenkins.acme.example/job/shop/job/main/",
        "build_number": 1201,
    }, 'claim sub = "https://jenkins.acme.example/job/shop/job/main/"; '
       'claim build_number present',
          650, life=3600, jwks="/jwks", kid="deploy-oidc", zero=True,
          ties={"run": "1201"},
          nobody={
              "another branch": (
                  {"sub": "https://jenkins.acme.example/job/shop/job/x/"},
                  "claim sub has another value"),
              "a branch that is named like the job": (
                  {"sub": "https://jenkins.acme.example/job/shop/job/main/"
                          "job/main/"}, "claim sub has another value"),
              "no audience": ({"aud": None}, "audience"),
          }),
    Shape("forgejo", "https://codeberg.org/api/actions", {
        k: v for k, v in GITHUB.items() if k not in (
            "environment", "environment_node_id", "check_run_id",
            "enterprise", "enterprise_id", "repo_property_team",
            "repository_visibility", "runner_environment")
    } | {"sub": "repo:octo-org-65123456/octo-repo-456789012:"
                "ref:refs/heads/main"},
          'claim repository_id = "456789012"; claim ref = "refs/heads/main"',
          1500, nbf=0, jwks="/.well-known/keys", kid="forgejo-1",
          ties=GITHUB_TIES,
          nobody={k: v for k, v in GITHUB_NOBODY.items()
                  if k not in ("without environment",
                               "a runner of somebody's own",
                               "another workflow of the branch")} | {
              "before there were ids": (
                  {"repository_id": None, "repository_owner_id": None},
                  "claim repository_id is missing")}),
    Shape("kubernetes", "https://oidc.eks.eu-central-1.amazonaws.com/id/"
          "0123456789ABCDEF0123456789ABCDEF", {
        "sub": "system:serviceaccount:ci:deployer",
        "kubernetes.io": {
            "namespace": "ci",
            "node": {"name": "ip-10-0-1-2.eu-central-1.compute.internal",
                     "uid": uuid("node")},
            "pod": {"name": "deploy-7d4f8-abcde", "uid": uuid("pod")},
            "serviceaccount": {"name": "deployer", "uid": uuid("sa")},
            "warnafter": 1764103607},
    }, f'claim kubernetes.io/serviceaccount/uid = "{uuid("sa")}"; '
       'claim sub = "system:serviceaccount:ci:deployer"',
          1100, life=3600, nbf=0, jti=True, aud=[WEB], jwks="/keys",
          kid="a1b2c3d4e5f60718293a4b5c6d7e8f9001234567",
          ties={"run": uuid("pod")},
          nobody={
              "an account made anew": (
                  {"kubernetes.io": {
                      "namespace": "ci", "serviceaccount": {
                          "name": "deployer", "uid": uuid("other")}}},
                  "claim kubernetes.io/serviceaccount/uid has another"),
              "an account of another namespace": (
                  {"sub": "system:serviceaccount:default:deployer"},
                  "claim sub has another value"),
              "one that never ends": ({"exp": None}, "exp is missing"),
              "as they were in secrets": (
                  {"exp": None, "aud": None, "kubernetes.io": None},
                  "audience"),
              "without audience": ({"aud": None}, "audience"),
          }),
    Shape("spiffe", "https://spire.acme.example", {
        "sub": "spiffe://acme.example/ci/deployer",
    }, 'claim sub = "spiffe://acme.example/ci/deployer"', 335, aud=[WEB],
          jwks="/keys", kid="svid-1", alg="ES256",
          nobody={
              "another workload": (
                  {"sub": "spiffe://acme.example/ci/deployer2"},
                  "claim sub has another value"),
              "another audience": ({"aud": ["spiffe://acme.example/web"]},
                                   "audience"),
              "one that never ends": ({"exp": None}, "exp is missing"),
              "another trust domain": (
                  {"sub": "spiffe://evil.example/ci/deployer"},
                  "claim sub has another value"),
          }),
    Shape("terraform", "https://app.terraform.io", {
        "sub": "organization:acme:project:shop:workspace:shop-prod:"
               "run_phase:apply",
        "terraform_organization_id": "org-GRNbCjYNpBB6NEBH",
        "terraform_organization_name": "acme",
        "terraform_project_id": "prj-vegSA59s1XPwMr2t",
        "terraform_project_name": "shop",
        "terraform_workspace_id": "ws-mbsd5E3Ktt5Rg2Xm",
        "terraform_workspace_name": "shop-prod",
        "terraform_full_workspace":
            "organization:acme:project:shop:workspace:shop-prod",
        "terraform_run_id": "run-X3n1AUXNGWbfECsJ",
        "terraform_run_phase": "apply",
    }, 'claim terraform_workspace_id = "ws-mbsd5E3Ktt5Rg2Xm"; '
       'claim terraform_run_phase = "apply"',
          1330, life=7200, nbf=10, jti=True, kid="tfc-1",
          ties={"run": "run-X3n1AUXNGWbfECsJ"},
          nobody={
              "a plan": ({"terraform_run_phase": "plan"}, "allow-risky plan"),
              "neither plan nor apply": (
                  {"terraform_run_phase": "init"},
                  "claim terraform_run_phase has another value"),
              "the same name, made anew": (
                  {"terraform_workspace_id": "ws-AAAAAAAAAAAAAAAA"},
                  "claim terraform_workspace_id has another value"),
          }),
    Shape("spacelift", "https://acme.app.spacelift.io", {
        "sub": "space:root:stack:shop-prod:run_type:TRACKED:scope:write",
        "spaceId": "root", "callerType": "stack", "callerId": "shop-prod",
        "runType": "TRACKED", "runId": "01HXYZABCDEFGHJKMNPQRSTVWX",
        "scope": "write",
    }, 'claim spaceId = "root"; claim callerId = "shop-prod"; '
       'claim scope = "write"',
          930, life=3600, nbf=0, jti=True, kid="spacelift-1",
          aud="acme.app.spacelift.io",
          ties={"run": "01HXYZABCDEFGHJKMNPQRSTVWX"},
          nobody={
              "a proposed run": (
                  {"runType": "PROPOSED", "sub": "space:root:stack:shop-prod:"
                   "run_type:PROPOSED:scope:write"},
                  "allow-risky proposed-run"),
              "a test of a module": (
                  {"runType": "TESTING", "callerType": "module"},
                  "allow-risky testing-run"),
              "reading": ({"scope": "read"}, "claim scope has another value"),
              "another space": ({"spaceId": "legacy"},
                                "claim spaceId has another value"),
          }),
]

# A server of the customer's own under the same preset.
SHAPES.append(dataclasses.replace(
    SHAPES[0], preset="ghes", iss="https://ghes.acme.example/_services/token",
    kid="ghes-1", size=2050))


def policy():
    """One issuer and one identity for each, and one rule for all."""
    out = ["policy 1"]
    for s in SHAPES:
        aud = s.aud if isinstance(s.aud, str) else WEB
        if s.issuer != "github":
            out.append(f'issuer {s.issuer} {{ preset {s.preset}; '
                       f'url "{s.iss}"; audience "{aud}" }}')
        out.append(f'identity of-{s.preset} from {s.issuer} '
                   f'{{ {s.identity} }}')
    out.append("allow any-preset for " +
               " ".join(f"of-{s.preset}" for s in SHAPES) +
               " on web-1 { run /usr/bin/true }")
    return "\n".join(out) + "\n"
