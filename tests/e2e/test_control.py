"""The control surface: what a job is told about itself, and what it may do."""
import subprocess

import house as h
import pytest


@pytest.fixture
def ask(job):
    """One token for all of a test's questions."""
    token = job.issuer.token()

    def one(*words, token=token, **kw):
        return job.ssh("postern", " ".join(words) or None, token=token, **kw)
    return one


def rows(r):
    return [tuple(line.split(None, 1)) for line in r.text.splitlines()]


def test_whoami_and_what_keeps_a_job_from_being_more(ask, bastion, mark):
    r = ask("whoami")
    assert (r.code, r.err) == (0, b"")
    said = rows(r)
    assert ("identity", "shop") in said
    assert ("commit", "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b") in said
    assert ("actor", "octocat") in said
    # Of the same repository, on other branches: by the claim, and by what
    # this job proved; not by what they want.
    assert ("not", "bounded: claim ref has another value "
            "(yours is refs/heads/main)") in said
    assert "refs/heads/bounded" not in r.text
    # It is from another issuer.
    assert "shop-ci" not in r.text
    assert not bastion.events(mark, "operation.decide")


def test_whoami_tells_of_no_other_repository(ask, bastion, issuer):
    extra = h.ETC / "policy/others.postern"
    bastion.write_policy(
        'policy 1\nidentity theirs from github { claim repository_id = "99"; '
        'claim ref = "refs/heads/main" }\n'
        'identity byowner from github { claim repository_owner_id = "42"; '
        'claim event_name = "schedule" }\n' + "".join(
            f'identity many-{i:02} from github {{ claim repository_id = '
            f'"7712345"; claim ref = "refs/heads/{i}" }}\n' for i in range(40)),
        extra.name)
    assert bastion.postern("reload").returncode == 0
    try:
        r = ask("whoami")
    finally:
        extra.unlink()
        assert bastion.postern("reload").returncode == 0
    assert r.code == 0, r
    said = rows(r)
    assert "theirs" not in r.text
    assert ("not", "byowner: claim event_name has another value "
            "(yours is push)") in said
    others = [x for x in said if x[0] == "not"]
    assert len(others) == 17 and others[-1] == ("not", "and others")


def test_targets(ask):
    r = ask("targets")
    # acme.postern has a deny rule for everybody everywhere
    assert (r.code, r.error) == (0, "postern: deny rules take something back "
                                 "on 7 of these; whether a command is left, "
                                 "`can TARGET COMMAND` tells\n")
    assert r.text.split() == ["web-1", "other+web-1", "web-2", "plain-1",
                              "down-1", "silent-1", "wrong-1"]


def test_targets_of_another_identity(ask, issuer):
    """bounded has two; plain-1 is observed and lets everybody through."""
    token = issuer.token(ref="refs/heads/bounded")
    r = ask("targets", token=token)
    assert r.text.split() == ["web-1", "web-2", "plain-1"]


def test_targets_have_room_for_so_many(ask, bastion):
    extra = h.ETC / "policy/many.postern"
    pin = "SHA256:" + "A" * 43
    names = [f"machine-with-a-long-name-{i:04}" for i in range(2000)]
    bastion.write_policy("policy 1\n" + "".join(
        f'target {n} {{ ssh "deploy@10.91.0.2:22"; hostkey ssh-ed25519 '
        f'"{pin}"; group lots }}\n' for n in names) +
        "allow lots for shop on @lots { run /usr/bin/true }\n", extra.name)
    assert bastion.postern("reload").returncode == 0
    try:
        r = ask("targets")
    finally:
        extra.unlink()
        assert bastion.postern("reload").returncode == 0
    assert r.code == 0
    got = r.text.split()
    assert 1000 < len(got) < 2007 and len(r.out) <= 32 * 1024
    assert r.error.splitlines()[0] == \
        f"postern: {2007 - len(got)} more are not shown"


@pytest.mark.parametrize("what, said", [
    ("web-1 systemctl restart web", "allowed by rule `restart`\n"),
    ("other+web-1 /usr/bin/whoami", "allowed by rule `other`\n"),
    ("web-1 cat", "allowed by rule `fed`, with standard input\n"),
    ("  web-1   systemctl   'restart' web", "allowed by rule `restart`\n"),
    ("web-1 systemctl restart web && systemctl is-active web",
     "allowed by rule `restart`\nallowed by rule `restart`\n"),
    ("plain-1 /usr/bin/id", "let through: no rule allows it, and plain-1 is "
     "only observed for now\n"),
])
def test_can(ask, bastion, up, mark, what, said):
    before = up.web1.mark()
    r = ask("can", what)
    assert (r.code, r.text, r.err) == (0, said, b"")
    e = bastion.event(mark, "question")
    assert e["verdict"] in ("allow", "would-deny")
    assert (e["identity"], e["user"]) == ("shop", "postern") or \
        e["verdict"] == "would-deny"
    assert e["command"] == what.split(None, 1)[1]
    assert e["commit"].startswith("1f0c7a2e")
    # nothing of it was done
    assert not bastion.events(mark, "operation.decide")
    assert not up.web1.reached(before)


@pytest.mark.parametrize("to, command", [
    ("web-1", "systemctl restart mail"), ("web-1", "systemctl stop web"),
    ("web-1", "/usr/bin/id"), ("root+web-1", "/usr/bin/whoami"),
    ("nosuch", "/usr/bin/true"),
    ("web-1", "systemctl restart web && systemctl restart mail"),
])
def test_can_says_no_as_a_denial_does(ask, job, bastion, mark, to, command):
    r = ask("can", to, command)
    assert (r.code, r.out) == (77, b"")
    e = bastion.event(mark, "question")
    assert (e["verdict"], e["reason"], e["command"]) == \
        ("deny", "policy", command)
    denied = job.ssh(to, command)
    assert denied.code == 77
    # All but how a denial is filed: its operation has an id.
    want = [x for x in denied.error.splitlines() if "in the ledger" not in x]
    got = r.error.replace("would be denied", "is denied").replace(
        "would be run", "was run").splitlines()
    assert got == want


@pytest.mark.parametrize("what, code", [
    ("", 64), ("web-1", 64), ("web-1   ", 64), ("WEB!1 id", 64),
    (f"{'x' * 70} id", 64), ("web-1 systemctl restart $X", 64),
    ("web-1 systemctl restart 'web", 64), ("web-1 echo \x1b[2J", 64),
])
def test_can_of_what_is_no_command(ask, bastion, mark, what, code):
    r = ask("can", what)
    assert (r.code, r.out) == (code, b"")
    assert r.error.splitlines()[-1].startswith("postern:"), r.error
    assert "\x1b" not in r.error
    for e in bastion.events(mark, "question"):
        assert (e["verdict"], e["reason"]) == ("deny", "syntax")


def test_can_asks_for_a_terminal_by_having_one(ask, bastion, mark):
    """What a terminal would need is in the answer to `ssh -t`."""
    r = ask("can web-1 /opt/house/bin/istty", opts=("-tt",))
    assert (r.code, r.text.strip()) == \
        (0, "allowed by rule `screen`, in a terminal")
    r = ask("can web-1 systemctl restart web", opts=("-tt",))
    assert r.code == 77
    assert [e["pty"] for e in bastion.events(mark, "question")] == [True, True]


def test_can_counts_for_no_limit(ask, issuer):
    """paced may run three an hour."""
    token = issuer.token(ref="refs/heads/paced")
    for _ in range(5):
        r = ask("can web-1 /usr/bin/true", token=token)
        assert r.code == 0, r


def test_help_names_every_word(ask):
    for r in (ask("help"), ask()):
        assert r.code == 0
        assert b"postern:" not in r.err
        for word in ("whoami", "targets", "can TARGET COMMAND", "help"):
            assert word in r.text


def test_no_other_words(ask):
    for words in ("whoami x", "targets x", "shutdown", "whoami; targets",
                  "whoami | targets", "X=1 whoami", "cd /tmp && whoami", "\x1b]0;x\x07"):
        r = ask(words)
        assert (r.code, r.out) == (64, b""), words
        assert "\x1b" not in r.error


def test_8_what_a_job_proved_is_shown_without_escapes(ask, issuer):
    """A branch's name is anybody's choice; controls never get this far, what
    is no ASCII is escaped."""
    token = issuer.token(ref="refs/heads/ü" + "x" * 300, run_id="\u00a0")
    r = ask("whoami", token=token)
    # ... and it is no identity of this policy, so that it is not even told.
    assert r.code == 255
    token = issuer.token(workflow_ref="g/\u2603" + "y" * 300)
    r = ask("whoami", token=token)
    assert r.code == 0
    (line,) = [v for k, v in rows(r) if k == "workflow"]
    assert line.startswith("g/\\xe2\\x98\\x83yyy") and line.endswith("...")
    assert all(0x20 <= b < 0x7f or b == 0x0a for b in r.out)


def test_postern_sessions_knows_nothing_of_questions(ask, bastion, job):
    """They are no operations."""
    assert ask("can web-1 systemctl restart web").code == 0
    out = bastion.postern("sessions", "--limit", "1", "--json").stdout
    assert '"kind":"session"' in out.replace(" ", "")
    assert "question" not in out
