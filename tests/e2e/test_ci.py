"""packaging/ci: what a CI job sources, under each shell that jobs have, with
stock ssh.  The token is in no argument and no file, and nothing is left."""
import http.server
import pathlib
import shutil
import threading

import house as h
import pytest

SHELLS = [("dash",), ("bash",), ("busybox", "sh")]
each_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda s: s[0])
# How the job shows what it has and what it left behind.
LOGIN = ". /opt/house/ci/postern.sh && postern_login || exit 90\n"


@pytest.fixture(scope="module")
def ci(bastion):
    """The files where a job finds them, and a temporary folder to look into."""
    to = h.WORK / "ci"
    shutil.copytree(h.TOP / "packaging/ci", to)
    h.run("chmod", "-R", "a+rX", to)
    tmp = h.WORK / "ci-tmp"
    tmp.mkdir()
    tmp.chmod(0o1777)
    return tmp


@pytest.fixture(scope="module")
def certificates(job):
    """Whether this bastion gives them."""
    return "\n  login" in job.ssh("postern", "help").text


@pytest.fixture
def run(ci, bastion, job):
    def run(script, shell=("dash",), prefix=(), **env):
        kind, blob = bastion.hostkey.with_suffix(".pub").read_text().split()[:2]
        env = {"POSTERN_BASTION": h.BASTION, "TMPDIR": str(ci),
               "POSTERN_HOSTKEY": f"{kind} {blob} root@bastion"} | env
        return job.run([*prefix, *shell, "-c", script],
                       env=job.env(**{k: v for k, v in env.items()
                                      if v is not None}))
    yield run
    assert list(ci.iterdir()) == [], "something was left behind"


@each_shell
def test_log_in_work_and_leave_nothing(run, issuer, bastion, mark, shell):
    """One token; then several targets, as for any host."""
    token = issuer.token()
    r = run(LOGIN + f"""
        before=$PATH dir=$POSTERN_DIR
        ls -l "$dir" | cut -c1-10 | sort | uniq -c >&2
        ssh web-1@{h.BASTION} systemctl restart web || exit 91
        ssh web-2@{h.BASTION} systemctl restart api || exit 92
        ssh -o BatchMode=no web-1@{h.BASTION} /opt/house/bin/exitwith 7
        echo "code $?"
        echo data | ssh web-1@{h.BASTION} /opt/house/bin/migrate
        postern_logout
        [ ! -e "$dir" ] && echo gone
        case $PATH in *postern*) echo "still in PATH" ;; esac
        env | grep -c POSTERN_TOKEN
        """, shell, POSTERN_TOKEN=token)
    assert r.text.splitlines() == [
        "restart web", "web is up", "restart api", "api is up", "code 7",
        "1 statements applied",
        "gone", "0"], r
    opened = bastion.events(mark, "session.open")
    assert {e["identity"] for e in opened} == {"shop"}


@each_shell
def test_the_end_of_the_shell_is_the_end(run, ci, issuer, shell):
    r = run(LOGIN + 'ls "$POSTERN_DIR"/config && exit 3', shell,
            POSTERN_TOKEN=issuer.token())
    assert r.code == 3 and "/config" in r.text
    r = run(LOGIN + "kill -TERM $$; sleep 5; echo on", shell,
            POSTERN_TOKEN=issuer.token())
    assert (r.code, r.text) == (143, "")


@each_shell
def test_github_is_asked_for_the_right_audience(run, issuer, shell):
    asked = []

    def mint(audience):
        asked.append(audience)
        return issuer.token(aud=audience)
    issuer.bearers["runner-secret"] = mint
    script = LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web"
    env = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{h.GITHUB}/mint?v=2",
           "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner-secret",
           "CURL_CA_BUNDLE": str(issuer.ca_file)}
    r = run(script, shell, **env)
    assert (r.code, asked) == (0, [h.AUDIENCE]), r
    r = run(script, shell, **env | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"})
    assert r.code == 90 and "no token to log in with" in r.error


def test_azure_is_asked_by_post(run, issuer):
    issuer.bearers["azure-secret"] = lambda audience: issuer.token()
    r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
            SYSTEM_OIDCREQUESTURI=f"{h.GITHUB}/mint",
            SYSTEM_ACCESSTOKEN="azure-secret",
            CURL_CA_BUNDLE=str(issuer.ca_file))
    assert r.code == 0, r


def test_a_token_in_a_file_of_the_cluster(run, issuer, tmp_path):
    f = h.WORK / "ci/projected-token"
    f.write_text(issuer.token())
    f.chmod(0o644)
    r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
            POSTERN_TOKEN_FILE=str(f))
    assert r.code == 0, r


A = h.AUDIENCE
# Of CI systems whose own program gives the token: how it must be called, and
# how it says it.
PROGRAMS = {
    "circleci": ({"CIRCLECI": "true"},
                 f'run oidc get --claims {{"aud":"{A}"}}', "{}\n"),
    "buildkite-agent": ({"BUILDKITE": "true"},
                        f"oidc request-token --audience {A} --claim "
                        "organization_id,pipeline_id", "{}\n"),
    "spire-agent": ({"POSTERN_ISSUER": "spiffe"},
                    f"api fetch jwt -audience {A}",
                    "token(spiffe://acme.example/ci/deployer):\n\t{}\n"
                    "bundle(spiffe://acme.example):\n\t{{}}\n"),
    "aws": ({"POSTERN_ISSUER": "aws", "AWS_REGION": "eu-central-1"},
            f"sts get-web-identity-token --audience {A} --signing-algorithm "
            "RS256 --query WebIdentityToken --output text --region "
            "eu-central-1", "{}\n"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_whose_program_gives_the_token(run, issuer, program):
    env, words, says = PROGRAMS[program]
    folder = h.WORK / f"ci/bin-{program}"
    folder.mkdir()
    text = says.format(issuer.token())
    (folder / program).write_text(
        f"#!/bin/sh\n[ \"$*\" = '{words}' ] || exit 9\ncat <<'END'\n{text}END\n")
    (folder / program).chmod(0o755)
    r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
            PATH=f"{folder}:/usr/bin:/bin", **env)
    assert (r.code, r.text) == (0, "restart web\nweb is up\n"), r


@pytest.mark.parametrize("name", [
    "BITBUCKET_STEP_OIDC_TOKEN", "TFC_WORKLOAD_IDENTITY_TOKEN",
    "SPACELIFT_OIDC_TOKEN"])
def test_whose_variable_has_the_token(run, issuer, name):
    r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
            **{name: issuer.token()})
    assert (r.code, r.text) == (0, "restart web\nweb is up\n"), r


def test_google_is_asked_for_the_machines_token(run, issuer):
    """The metadata server is one of plain HTTP, on the machine's own link."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Metadata-Flavor"]))
            body = issuer.token().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass
    hosts = pathlib.Path("/etc/hosts")
    before = hosts.read_text()
    with h.in_netns("job"):
        server = http.server.HTTPServer(("10.91.0.4", 80), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hosts.write_text(before + "10.91.0.4 metadata.google.internal\n")
    try:
        r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
                POSTERN_ISSUER="google")
    finally:
        hosts.write_text(before)
        server.shutdown()
        server.server_close()
    assert (r.code, r.text) == (0, "restart web\nweb is up\n"), r
    assert asked == [("/computeMetadata/v1/instance/service-accounts/default/"
                      f"identity?audience={A}&format=full", "Google")]


def test_each_connection_shows_the_token_if_that_is_wanted(run, issuer,
                                                           bastion, mark):
    r = run(LOGIN + f"""
        ssh web-1@{h.BASTION} systemctl restart web
        ssh web-2@{h.BASTION} systemctl restart web
        postern_logout; env | grep -c -e POSTERN_TOKEN -e ASKPASS""",
            POSTERN_MODE="token", POSTERN_TOKEN=issuer.token())
    assert r.text.splitlines()[-1] == "0", r
    assert len(bastion.events(mark, "operation.decide")) == 2
    assert len(bastion.events(mark, "session.open")) == 1


def test_the_token_is_in_no_argument_and_no_file(run, ci, issuer, tmp_path):
    token = issuer.token()
    log = h.WORK / "ci/strace"
    log.touch()
    log.chmod(0o666)
    r = run("set -x\n" + LOGIN + f"""
        grep -rlF "${{CI_COPY}}" "$POSTERN_DIR" && echo FOUND
        ssh web-1@{h.BASTION} systemctl restart web""",
            prefix=("strace", "-f", "-qq", "-s", "100000", "-e",
                    "trace=execve", "-o", str(log)),
            POSTERN_TOKEN=token, CI_COPY=token[50:90])
    assert r.code == 0 and "FOUND" not in r.text, r
    # strace shows environments as addresses, arguments as texts
    said = log.read_text()
    assert said.count("execve(") > 5
    assert token[:200] not in said and token[-100:] not in said
    assert token[:200] not in r.error  # set -x shows nothing of it


def test_another_host_key_is_no_bastion(run, issuer, bastion, mark):
    other = h.ssh_keygen(h.WORK / "ci/other").with_suffix(".pub")
    r = run(LOGIN + "echo in", POSTERN_TOKEN=issuer.token(),
            POSTERN_HOSTKEY=other.read_text(), POSTERN_MODE=None)
    if r.code == 0:  # token by connection: none was made yet
        assert "in" in r.text
        r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
                POSTERN_TOKEN=issuer.token(), POSTERN_HOSTKEY=other.read_text())
    assert r.code != 0
    assert not bastion.events(mark, "session.open")
    assert not bastion.events(mark, "login.refused")


@pytest.mark.parametrize("env, said", [
    ({"POSTERN_BASTION": None}, "POSTERN_BASTION is no host name"),
    ({"POSTERN_BASTION": "x\nProxyCommand id"}, "no host name"),
    ({"POSTERN_BASTION": "-oProxyCommand=id"}, "no host name"),
    ({"POSTERN_BASTION": "h:x"}, "no port"),
    ({"POSTERN_HOSTKEY": None}, "POSTERN_HOSTKEY wants"),
    ({"POSTERN_HOSTKEY": "ssh-ed25519"}, "POSTERN_HOSTKEY wants"),
    ({"POSTERN_HOSTKEY": "ssh-ed25519 $(id)"}, "POSTERN_HOSTKEY wants"),
    ({"POSTERN_AUDIENCE": 'x","sub":"y'}, "POSTERN_AUDIENCE has"),
    ({"POSTERN_RENEW": "1; id"}, "POSTERN_RENEW wants"),
    ({"POSTERN_TOKEN": None}, "no token"),
    ({"POSTERN_TOKEN": "not a token"}, "is no token"),
    ({"POSTERN_TOKEN": "a.b." + "c" * 16384}, "longer than 16 KiB"),
    ({"TMPDIR": "/tmp/a b"}, "temporary folder"),
])
def test_what_cannot_be_is_said(run, env, said):
    r = run(LOGIN, **{"POSTERN_TOKEN": "a.b.c"} | env)
    assert r.code == 90 and said in r.error, r


def test_a_bad_token_is_no_login(run, issuer, bastion, mark):
    """With certificates at once; without, at the first connection."""
    r = run(LOGIN + f"ssh web-1@{h.BASTION} systemctl restart web",
            POSTERN_TOKEN=issuer.token(repository_id="1"))
    assert r.code in (90, 255)
    assert not bastion.events(mark, "session.open")
    assert bastion.some(mark, "login.refused")


def test_the_certificate_lasts_the_job(run, certificates, issuer, bastion,
                                       mark):
    """BatchMode, ansible's options, and a token that nobody can see any
    more."""
    if not certificates:
        pytest.skip("this bastion gives no certificates yet")
    r = run(LOGIN + f"""
        env | grep -c -e POSTERN_TOKEN -e ASKPASS
        for t in web-1 web-2; do
            ssh -o BatchMode=yes -o ControlMaster=auto -o ControlPersist=60s \\
                -o ConnectTimeout=10 $t@{h.BASTION} systemctl restart web
        done
        ssh-keygen -L -f "$POSTERN_DIR/key-cert.pub" | grep -c permit-pty""",
            POSTERN_TOKEN=issuer.token())
    assert r.code == 0 and r.text.splitlines()[0] == "0", r
    assert r.text.count("web is up") == 2
    assert len(bastion.events(mark, "session.open")) == 1


def test_the_next_certificate_comes_by_itself(run, certificates, issuer,
                                              bastion, mark):
    """While the one that there is still lives."""
    if not certificates:
        pytest.skip("this bastion gives no certificates yet")
    r = run(LOGIN + f"""
        cd "$POSTERN_DIR" && cp -p key-cert.pub first
        ssh web-1@{h.BASTION} systemctl restart web
        cmp first key-cert.pub && echo same
        touch -d "11 minutes ago" key-cert.pub
        ssh web-1@{h.BASTION} systemctl restart web
        cmp -s first key-cert.pub || echo another
        echo data | ssh web-1@{h.BASTION} /opt/house/bin/migrate
        ls cert.* 2>&1 | wc -l""", POSTERN_TOKEN=issuer.token())
    assert r.text.splitlines() == [
        "restart web", "web is up", "same", "restart web", "web is up",
        "another", "1 statements applied", "1"], r
    assert len(bastion.events(mark, "certificate.issue")) == 2
    assert len(bastion.events(mark, "session.open")) == 1


def test_the_action_and_the_template_are_what_they_say(run, ci, issuer,
                                                       certificates):
    """The script of the action, run as the runner runs it."""
    text = (h.WORK / "ci/github/action.yml").read_text()
    script = text.split("run: |\n")[1]
    asked = []
    issuer.bearers["runner-secret"] = lambda a: (asked.append(a),
                                                 issuer.token())[1]
    files = {n: h.WORK / f"ci/{n}" for n in ("path", "env")}
    for f in files.values():
        f.write_text("")
        f.chmod(0o666)
    r = run(script + "\necho done", ("sh", "-e"), POSTERN_KEEP="yes",
            POSTERN_AUDIENCE="", GITHUB_ACTION_PATH=str(h.WORK / "ci/github"),
            GITHUB_PATH=str(files["path"]), GITHUB_ENV=str(files["env"]),
            RUNNER_TEMP=str(ci), CURL_CA_BUNDLE=str(issuer.ca_file),
            ACTIONS_ID_TOKEN_REQUEST_URL=f"{h.GITHUB}/mint?v=2",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="runner-secret")
    assert asked == [h.AUDIENCE]
    if not certificates:
        assert r.code == 1 and "gives no certificates" in r.error
        return
    assert (r.code, r.text) == (0, "done\n"), r
    path = files["path"].read_text().strip()
    r = run(f"ssh -o BatchMode=yes web-1@{h.BASTION} systemctl restart web && "
            "postern-logout", ("sh", "-e"), PATH=f"{path}:/usr/bin:/bin")
    assert r.code == 0, r
    assert not pathlib.Path(path).exists()
