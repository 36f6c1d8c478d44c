"""postern policy rehearse over what real jobs have left in a real ledger."""
import json

import house as h
import pytest

TRUE = "/usr/bin/true"
LEDGER = h.STATE / "ledger/ledger.jsonl"


@pytest.fixture(scope="module")
def past(bastion, job, tmp_path_factory):
    """The ledger's lines of some jobs, in a file of their own."""
    mark = bastion.mark()
    for command in ("systemctl restart web", "systemctl restart web",
                    "systemctl reload api", "cat", f"{TRUE} && {TRUE}",
                    "cd /opt/house/bin && /usr/bin/pwd"):
        assert job.ssh("web-1", command, input=b"").code == 0, command
    assert job.ssh("plain-1", "/bin/echo hello").code == 0
    assert job.ssh("other+web-1", "/usr/bin/whoami").code == 0
    for command in ("systemctl restart mail", "systemctl restart 'mail'",
                    "systemctl stop web", f"{TRUE}; systemctl restart mail",
                    None):
        assert job.ssh("web-1", command).code == 77, command
    assert job.ssh("web-1", "id $HOME").code == 64
    end = bastion.mark()
    path = tmp_path_factory.mktemp("past") / "ledger.jsonl"
    path.write_text("".join(
        line + "\n" for line in LEDGER.read_text().splitlines()
        if mark < json.loads(line)["number"] <= end))
    return path


def ask(bastion, past, tmp_path, *edits):
    new = tmp_path / "new.postern"
    text = (h.ETC / "policy/main.postern").read_text()
    for a, b in edits:
        assert a in text
        text = text.replace(a, b)
    new.write_text(text)
    r = bastion.postern("policy", "rehearse", new, "--ledger", past, "--json",
                        check=False)
    assert r.stderr == "", r.stderr
    x = json.loads(r.stdout)
    assert x["damaged"] == 0 and x["old_policy"]
    return r.returncode, x


def brief(x):
    return {(g["change"], g["on"], c["command"]): c["count"]
            for g in x["groups"] for c in g["commands"]}


def test_the_same_policy_decides_the_same(bastion, past, tmp_path):
    code, x = ask(bastion, past, tmp_path)
    assert (code, x["groups"]) == (0, [])
    # 6 that ran (one a list of two), 2 more, 6 denied (one of them with
    # another command beside it, which is not counted)
    assert (x["commands"], x["passed_over"]) == (15, 1)


def test_newly_denied_and_newly_allowed(bastion, past, tmp_path):
    code, x = ask(bastion, past, tmp_path,
                  ("enum web api worker", "enum mail api worker"))
    assert code == 3
    assert brief(x) == {
        ("denied", "web-1", "/opt/house/bin/systemctl restart web"): 2,
        ("allowed", "web-1", "systemctl restart mail"): 3}
    assert x["lists"] == {"denied": 0, "allowed": 1, "undecided": 0}
    (denied, allowed) = x["groups"]
    assert denied["identity"] == "shop" and denied["before"] == {
        "verdict": "allow", "by": "restart"}
    assert allowed["before"]["by"] == "default"
    assert allowed["after"]["by"] == "restart"
    assert denied["first"] < denied["last"] < allowed["last"]


def test_lists_observed_and_input(bastion, past, tmp_path):
    code, x = ask(bastion, past, tmp_path,
                  ("    run /usr/bin/true\n    run in", "    run in"),
                  ("run cat with stdin", "run cat"))
    assert code == 3
    assert brief(x) == {("denied", "web-1", TRUE): 2,
                        ("no-input", "web-1", "/usr/bin/cat"): 1}
    assert x["lists"]["denied"] == 1
    soon = (h.ETC / "policy/main.postern").read_text().split(
        "observe until ")[1].split()[0]
    code, x = ask(bastion, past, tmp_path, (f"observe until {soon}", ""))
    assert code == 3 and brief(x) == {
        ("denied", "plain-1", "/bin/echo hello"): 1}


def test_an_identity_that_demands_more_is_undecided(bastion, past, tmp_path):
    code, x = ask(bastion, past, tmp_path, (
        'identity shop from github {\n',
        'identity shop from github {\n    claim ref_protected = "true"\n'))
    assert code == 4
    assert {g["after"]["why"] for g in x["groups"]} == {
        "the ledger does not hold claim `ref_protected`, which tells whether "
        "the job is `shop`"}
    code, x = ask(bastion, past, tmp_path, (
        '    claim environment   = "production"\n}', "}"))
    assert code == 0


def test_the_bastions_own_ledger(bastion, past):
    """Of all that ran here, under more than one policy: it can be read."""
    r = bastion.postern("policy", "rehearse", h.ETC / "policy", "--since",
                        "1d", check=False)
    assert r.returncode in (0, 3, 4), r
    assert " commands of the ledger" in r.stdout
    assert "damaged" not in r.stdout
    r = h.run(*h.inside("bastion", [h.PREFIX / "bin/postern", "policy",
                                    "rehearse", h.ETC / "policy"],
                        user="nobody"), check=False)
    assert (r.returncode, r.stdout) == (1, "")
    assert "Permission denied" in r.stderr
