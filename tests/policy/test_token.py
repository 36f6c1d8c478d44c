"""`postern token`: what a token says, without a key, a daemon or a network."""
import base64
import json
import os
import pathlib
import subprocess
import sys
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import shapes  # noqa: E402

POSTERN = pathlib.Path(os.environ["POSTERN_BUILD"]) / "cli/postern"
KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "postern: a token is a secret"
each = pytest.mark.parametrize("shape", shapes.SHAPES,
                               ids=[s.preset for s in shapes.SHAPES])
GITHUB = shapes.SHAPES[0]


def mint(shape=GITHUB, now=None, **changes):
    return jwt.encode(shape.token_claims(now or int(time.time()), **changes),
                      KEY, algorithm="ES256", headers={"kid": "k"})


def postern(*args, token=None, code=0):
    stdin = {"input": token} if token is not None else {
        "stdin": subprocess.DEVNULL}
    p = subprocess.run([POSTERN, "token", *map(str, args)], timeout=20,
                       capture_output=True, text=True, **stdin)
    assert p.returncode == code, (p.stdout, p.stderr)
    assert "\x1b" not in p.stdout + p.stderr
    if token:
        for part in token.strip().split("."):
            assert len(part) < 20 or part[:20] not in p.stdout + p.stderr
    return p


def write(tmp_path, *identities, shape=GITHUB):
    f = tmp_path / "p.postern"
    aud = shape.aud if isinstance(shape.aud, str) else shapes.WEB
    f.write_text(f'policy 1\nissuer ISSUER {{ preset {shape.preset}; url '
                 f'"{shape.iss}"; audience "{aud}"; algorithms ES256 }}\n'
                 .replace("ISSUER", "is") + "\n".join(identities) + "\n")
    return f


@each
def test_every_preset_is_known_and_its_identity_loads(tmp_path, shape):
    """What is proposed is accepted, and is that job."""
    token = mint(shape)
    said = json.loads(postern("explain", "--json", token=token).stdout)
    assert said["preset"] == shape.preset
    assert not said["verified"] and said["dangers"] == []
    ledger = {c["ledger"]: c["value"] for c in said["claims"]
              if "ledger" in c}
    if shape.preset != "circleci":  # a part of its sub
        assert ledger == shape.ties
    identity = said["identity"].replace("NAME from ISSUER", "it from is")
    f = write(tmp_path, identity, shape=shape)
    p = subprocess.run([POSTERN, "policy", "check", f], capture_output=True,
                       text=True)
    assert p.returncode == 0, p
    assert "name-only" not in p.stderr
    p = postern("explain", "--policy", f, token=token)
    assert "  it: yes\n" in p.stdout
    assert p.stderr.startswith(SECRET)


@each
def test_variants_are_nobody_here_as_there(tmp_path, shape):
    """The tool and the bastion agree (tests/e2e/test_presets.py)."""
    f = write(tmp_path, f"identity it from is {{ {shape.identity} }}",
              shape=shape)
    for what, (changes, _) in shape.nobody.items():
        p = subprocess.run([POSTERN, "token", "explain", "--policy", f],
                           input=mint(shape, **changes), text=True,
                           capture_output=True)
        assert p.returncode in (1, 77), (what, p)


def test_what_is_proposed_for_a_danger_loads_too(tmp_path):
    """Without the value that no identity may ask for."""
    changes = GITHUB.nobody["pull request"][0]
    p = postern("lint", token=mint(**changes))
    assert "refs/pull" not in p.stdout
    assert "# this run is nobody without: allow-risky pull-request" in p.stdout
    f = write(tmp_path, p.stdout.replace("NAME from ISSUER", "it from is"))
    p = subprocess.run([POSTERN, "policy", "check", f], capture_output=True,
                       text=True)
    assert p.returncode == 0, p


def test_explain_says_what_each_claim_is():
    p = postern("explain", token=" \n" + mint() + "\r\n")
    lines = [" ".join(x.split()) for x in p.stdout.splitlines()]
    for line in ("issuer https://token.actions.githubusercontent.com",
                 "preset github, by its issuer",
                 "signature ES256, not checked here",
                 "audience bastion.acme.example",
                 'repository_id = "456789012" # an id',
                 'repository = "octo-org/octo-repo" # a name, which can change '
                 'hands',
                 'head_ref = "" # chosen by whoever started it',
                 'run_id = "16512345678" # of this run; the ledger\'s run'):
        assert line in lines, (line, p.stdout)


def test_explain_under_a_policy_names_the_condition(tmp_path):
    f = write(tmp_path, 'identity main from is { claim repository_id = '
              '"456789012"; claim ref = "refs/heads/main" }',
              'identity tags from is { claim repository_id = "456789012"; '
              'claim ref = glob "refs/tags/*"; claim environment absent }')
    p = postern("explain", "--policy", f, token=mint())
    assert "  main: yes\n" in p.stdout
    assert ('  tags: claim ref is "refs/heads/main", and it wants glob '
            '"refs/tags/*"; claim environment is "production", and it wants '
            'it absent\n') in p.stdout
    said = json.loads(postern("explain", "--policy", f, "--json",
                              token=mint()).stdout)["policy"]
    assert said["issuer"] == "is" and "refused" not in said
    assert [(i["identity"], i["matches"]) for i in said["identities"]] == \
        [("main", True), ("tags", False)]


def test_explain_says_what_the_bastion_would_refuse(tmp_path):
    f = write(tmp_path, 'identity it from is { claim repository_id = '
              '"456789012" }')
    p = postern("explain", "--policy", f, code=77, token=mint(aud="x"))
    assert "issuer is: the audience is not ours" in p.stdout
    p = postern("explain", "--policy", f, code=77,
                token=mint(iss="https://ci.example"))
    assert "issuer none: no issuer of the policy has this iss" in p.stdout
    p = postern("explain", "--policy", f, code=77,
                token=mint(event_name="workflow_run"))
    assert "danger       workflow-run:" in p.stdout
    assert "allow-risky workflow-run would open it" in p.stdout
    assert "# this run is nobody without: allow-risky workflow-run" in p.stdout


def test_two_issuers_of_one_url(tmp_path):
    """The one whose audience it is; a token for both is refused, as there."""
    pin = 'claim repository_id = "456789012"'
    f = write(tmp_path, f'issuer two {{ preset github; audience "two"; '
              f'algorithms ES256 }}\nidentity a from is {{ {pin} }}\n'
              f'identity b from two {{ {pin} }}')

    def under(code=0, **claims):
        p = postern("explain", "--json", "--policy", f, token=mint(**claims),
                    code=code)
        return json.loads(p.stdout)["policy"]

    said = under(aud="two")
    assert said["issuer"] == "two" and "refused" not in said
    assert [i["identity"] for i in said["identities"]] == ["b"]
    assert under()["issuer"] == "is"
    said = under(77, aud=[GITHUB.aud, "two"])
    assert "two issuers" in said["refused"]
    assert "audience" in under(77, aud="nobody")["refused"]


def test_an_expired_one_is_explained(tmp_path):
    """And is no secret any more."""
    f = write(tmp_path, 'identity it from is { claim repository_id = '
              '"456789012" }')
    p = postern("explain", "--policy", f,
                token=mint(now=int(time.time()) - 7300))
    assert "expires" in p.stdout and "h ago" in p.stdout
    assert "issuer is: the token has expired" in p.stdout
    assert "it: yes" in p.stdout and p.stderr == ""


def test_lint_of_a_token_is_its_identity():
    p = postern("lint", token=mint())
    assert p.stdout == ('identity NAME from ISSUER {\n'
                        '    claim repository_id = "456789012"    '
                        '# octo-org/octo-repo\n'
                        '    claim ref = "refs/heads/main"\n'
                        '    claim environment = "production"\n}\n')
    assert json.loads(postern("lint", "--json", token=mint()).stdout) == \
        {"identity": p.stdout}
    kite = next(s for s in shapes.SHAPES if s.preset == "buildkite")
    p = postern("lint", token=mint(kite, pipeline_id=None))
    assert "# no pipeline_id in this token: ask for the ids" in p.stdout


def test_lint_of_a_policy_finds_names(tmp_path):
    f = write(tmp_path,
              'identity a from is { claim repository = "octo-org/octo-repo"; '
              'claim repository_owner_id = "65123456" }',
              'identity b from is { claim repository = "octo-org/octo-repo"; '
              'claim repository_id = "456789012" }',
              'identity c from is { claim workflow = "Deploy"; '
              'claim repository_id = "456789012" }')
    p = postern("lint", "--policy", f, code=1)
    assert p.stdout == (
        f"{f}:3: identity `a`: `repository` is a name, and whoever gets the "
        'name is it\n    claim repository_id = "..."\n'
        f"{f}:5: identity `c`: `workflow` is chosen by whoever starts the "
        "job\n")
    assert p.stderr == ""
    token = tmp_path / "token"
    token.write_text(mint())
    p = postern("lint", "--policy", f, token, code=1)
    assert '    claim repository_id = "456789012"\n' in p.stdout
    found = json.loads(postern("lint", "--policy", f, "--json",
                               code=1).stdout)
    assert [(x["line"], x["identity"]) for x in found] == [(3, "a"), (5, "c")]
    assert found[0]["instead"] == 'claim repository_id = "..."'


def test_lint_of_a_policy_without_names(tmp_path):
    f = write(tmp_path, 'identity b from is { claim repository_id = "1" }')
    assert postern("lint", "--policy", f).stdout == ""
    assert json.loads(postern("lint", "--policy", f, "--json").stdout) == []


def test_quotes_and_other_alphabets():
    p = postern("lint", token=mint(ref='refs/heads/a"b\\c'))
    assert 'claim ref = "refs/heads/a\\"b\\\\c"' in p.stdout
    p = postern("explain", token=mint(workflow="Grüße"))
    assert "Grüße" in p.stdout


def parts(header, payload):
    def enc(x):
        x = x if isinstance(x, bytes) else json.dumps(x).encode()
        return base64.urlsafe_b64encode(x).decode().rstrip("=")
    return f"{enc(header)}.{enc(payload)}.{'A' * 86}"


@pytest.mark.parametrize("token, why", [
    ("", "it is empty"),
    (" \n ", "it is empty"),
    ("x" * 900, "this is no token"),
    ("a.b.c", "this is no token"),
    (parts({"alg": "none"}, {"iss": "x"}), "this is no token"),
    (parts({"alg": "ES256"}, b'{"iss":"x","iss":"y"}'), "this is no token"),
    (parts({"alg": "ES256"}, {"iss": "x", "ref": "\x1b[2J"}), "control"),
    (parts({"alg": "ES256"}, {"sub": "x"}), "no issuer"),
    ("a" * 16385, "longer than 16 KiB"),
    ("a" * 40000, "longer than 16 KiB"),
])
def test_what_is_no_token(token, why):
    for word in ("explain", "lint"):
        p = postern(word, token=token, code=1)
        assert why in p.stderr and p.stdout == "", p


def test_a_token_as_long_as_may_be():
    """16 KiB, and whatever an editor put around it."""
    pad = {f"c{i}": "x" * 4000 for i in range(3)}
    token = mint(**pad)
    assert 16384 - 2000 < len(token) < 18500
    while len(token) > 16384:
        pad["c0"] = pad["c0"][:-8]
        token = mint(**pad)
    postern("explain", token="\n" * 300 + token + "\n" * 300)


def test_files(tmp_path):
    f = tmp_path / "token"
    f.write_text(mint() + "\n")
    assert "github" in postern("explain", f).stdout
    postern("explain", tmp_path / "nosuch", code=1)
    postern("explain", f, f, code=64)
    postern("explain", "--on", "web-1", code=64)
    postern("explain", "--policy", tmp_path / "nosuch", f, code=1)
