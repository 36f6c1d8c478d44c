"""The lints of postern policy check: planted mistakes, and no false alarm."""

import json
import os
import pathlib
import subprocess

import pytest

BUILD = os.environ["POSTERN_BUILD"]
HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parent.parent / "doc" / "examples"


def check(folder, *args):
    return subprocess.run([BUILD + "/cli/postern", "policy", "check", *args],
                          cwd=folder, capture_output=True, text=True,
                          check=False)


def test_lint_finds_what_is_planted():
    r = check(HERE / "lint", "planted.postern")
    assert r.returncode == 1 and r.stdout == ""
    want = HERE / "lint" / "planted.expect"
    if os.environ.get("UPDATE_GOLDEN"):
        want.write_text(r.stderr)
    assert r.stderr == want.read_text()
    found = [x["message"] for x in json.loads(
        check(HERE / "lint", "--json", "planted.postern").stdout)]
    assert len(found) >= 40
    names = {m.rsplit("[", 1)[1] for m in found}
    assert len(names) >= 19, sorted(names)


@pytest.mark.parametrize("name, findings", [
    ("cookbook.postern", []),
    # which the example keeps for readers: no rule is for it
    ("acme.postern", ["warning: no rule uses the identity `dba-job` "
                      "[unused]"])])
def test_lint_gives_no_false_alarm(name, findings):
    r = check(EXAMPLES, "--json", name)
    assert r.returncode == 0
    assert [x["message"] for x in json.loads(r.stdout)] == findings


HEAD = '''policy 1
issuer ci { preset custom; url "https://ci.example"; audience "b"; algorithms ES256 }
identity a from ci { claim repo = "1" }
target t { ssh "deploy@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"; login root }
test "x" as a on t { deny "x" }
'''


@pytest.mark.parametrize("path, where, code", [
    ("/home/deploy", "t", 1), ("/home/deploy/x", "t", 1), ("/home", "t", 1),
    ("/root/.ssh", "root+t", 1), ("/home/deployer", "t", 0),
    ("/srv", "t", 0), ("/root", "t", 0), ("/home/deploy", "root+t", 0)])
def test_lint_home_fails(tmp_path, path, where, code):
    (tmp_path / "a.postern").write_text(
        HEAD + f"allow w for a on {where} {{ write under {path} by sftp "
        "max 1MiB }\n")
    r = check(tmp_path, "a.postern")
    assert r.returncode == code, r
