"""postern policy explain: of what is no path, of what is not enforced yet, and
of what only looks like a rule's line."""
import json

import pytest

from test_tools import ACCESS, POLICY, run


@pytest.mark.parametrize("path", [
    "/srv/app/1/../../etc/x", "/srv/app/1/./x", "/srv//app", "srv/app", "/a/"])
def test_explain_says_what_is_no_path(path, tmp_path):
    """Deny rules for files deny it, but their reason is not why."""
    policy = tmp_path / "a.postern"
    policy.write_text(POLICY + ACCESS)
    r = run("explain", "--policy", policy, "--as", "deploy", "--on", "web-1",
            "--write", path, "--by", "sftp")
    assert r.returncode == 77 and "keys" not in r.stdout, r
    assert r.stdout == ("denied: a path is absolute, without empty, `.` and "
                        "`..` components\n")


@pytest.mark.parametrize("rule, ask, what", [
    ("run id; require 1 approval from on-call within 1h valid 1h",
     ["--", "id"], "an approval"),
    ("run id; mask secrets", ["--", "id"], "`mask`"),
    ("interactive", ["--interactive"], "`interactive`"),
    ("run id; limit rate 1 per 1h", ["--", "id"], None),
    ("read under /srv by sftp; mask secrets",
     ["--read", "/srv/a", "--by", "sftp"], None)])
def test_explain_says_what_is_not_enforced_yet(tmp_path, rule, ask, what):
    path = tmp_path / "a.postern"
    text = POLICY.split("allow restart")[0]
    path.write_text(f"""{text}person anna {{ key "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINsyQyTtVBSRp2lVUg0TFMQeaF91w6IDKG54ZcbBtDFN" }}
people on-call {{ anna }}
allow x for deploy on web-1 {{ {rule} }}
""")
    who = ["explain", "--policy", path, "--as", "deploy", "--on", "web-1"]
    r = run(*who, *ask)
    assert r.returncode == (75 if what == "an approval" else 0), r
    assert r.stdout.endswith(
        f"but denied so far: this version cannot enforce {what} yet\n"
        ) == (what is not None) and ("denied" in r.stdout) == bool(what), r
    assert json.loads(run(*who, "--json", *ask).stdout).get("not_yet") == what


@pytest.mark.parametrize("ask, line", [
    (["--interactive"], "{ interactive }"),
    (["--read", "/srv/g.git", "--by", "sftp"],
     "{ read under /srv/g.git by sftp }")])
def test_explain_takes_no_repository_for_something_else(tmp_path, ask, line):
    """Its line is not asked about a shell, nor about a file."""
    path = tmp_path / "a.postern"
    text = POLICY.split("allow restart")[0]
    path.write_text(f"{text}allow x for deploy on web-1 "
                    "{ git read /srv/g.git }\n")
    r = run("explain", "--policy", path, "--as", "deploy", "--on", "web-1",
            "--json", *ask)
    assert r.returncode == 77, r
    edit = json.loads(r.stdout)["edit"]
    assert edit["new"] == f"\nallow new for deploy on web-1 {line}\n", edit
