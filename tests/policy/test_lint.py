"""The lints of postern policy check: planted mistakes, and no false alarm."""

import json
import os
import pathlib
import re
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
    ("cookbook.postern team-docs.postern", []),
    # which is no false one, and the file says so
    ("cookbook.postern ansible.postern", [
        "warning: `sh -c` runs what follows [escape]"] * 5),
    # which the example keeps for readers: no rule is for it
    ("acme.postern", ["warning: no rule uses the identity `dba-job` "
                      "[unused]"])])
def test_lint_gives_no_false_alarm(name, findings):
    r = check(EXAMPLES, "--json", *name.split())
    assert r.returncode == 0
    assert [x["message"] for x in json.loads(r.stdout)] == findings


def test_the_cookbook_is_what_its_page_shows():
    page = (EXAMPLES.parent / "COOKBOOK.md").read_text()
    blocks = re.findall("^```postern\n(.*?)^```$", page, re.S | re.M)
    assert "\n".join(blocks) == (EXAMPLES / "cookbook.postern").read_text()


def test_each_rule_of_the_cookbook_has_a_test(tmp_path):
    """Without it the policy's own tests fail."""
    text = (EXAMPLES / "cookbook.postern").read_text()
    rules = re.findall(r"^(?:allow|deny) \w+ for (?:[^\n]*\}|[^\n]*\{\n.*?^\})$",
                       text, re.S | re.M)
    assert len(rules) == 30
    for n, rule in enumerate(rules):
        (tmp_path / "a.postern").write_text(text.replace(rule, ""))
        r = check(tmp_path, "a.postern")
        # a floor only adds, and a test speaks of no demand but approvals
        assert r.returncode == 1 or "floor" in rule, rule
        assert "floor" in rule or re.search(
            "expected |there is no rule", r.stderr), r.stderr


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
