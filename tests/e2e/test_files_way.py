"""The way of a session of files through the house: who gets one, what a client
says of a refusal, and what the target's own log and server see of it."""
import re

import house as h
import pytest

RULES = """
identity mover from github { claim repository_id = "7712345"; claim ref = "refs/heads/move" }
allow carry for mover on web-1 {
    write under /tmp/carry by sftp
    read under /etc/hostname by sftp
}
allow fetch for mover on web-2 { read under /etc by sftp }
"""


def run(job, program, args, lines="", ref="refs/heads/move", host=None):
    """sftp or scp, the token handed over in parts."""
    script = h.SNIPPET.replace("\nssh -o", f"\n{program} -o")
    script = script.replace("@SHELL@", "/bin/sh").replace("@HOST@", job.host)
    assert program in script
    return job.run(["/bin/sh", "-c", script, "job", *args],
                   input=lines.encode(),
                   env=job.env(CI_TOKEN=job.issuer.token(ref=ref)))


def can(job, what, **claims):
    return job.ssh("postern", "can " + what, token=job.issuer.token(**claims))


def sftp(job, to, lines, **more):
    return run(job, "sftp", ["-o", "BatchMode=no", "-b", "-", f"{to}@{job.host}"], lines, **more)


def test_no_rule_no_session(bastion, job, mark, rules):
    """sshd keeps a subsystem's stderr to itself: the reason comes in SFTP."""
    r = sftp(job, "web-1", "ls\n", ref="refs/heads/main")
    assert r.code == 255 and r.out == b""
    assert re.search(
        r"postern: denied: no rule lets you read or write files by sftp as "
        r"deploy on web-1\n"
        r"postern: refused; this is operation \w{26} in the ledger\s",
        r.error), r.error
    d = bastion.event(mark, "operation.decide")
    assert (d["verdict"], d["by"]) == ("deny", "sftp")


def test_scp_is_refused(bastion, job, mark, rules):
    """Its client shows no server's words, but the right ones of its own."""
    r = run(job, "scp", ["/etc/hostname", f"web-1@{job.host}:/tmp/x"],
            ref="refs/heads/main")
    assert r.code == 1
    assert 'dest open "/tmp/x": Permission denied' in r.error
    assert bastion.event(mark, "operation.decide")["by"] == "sftp"


@pytest.mark.parametrize("what, code, said", [
    ("web-1 read /etc/hostname by sftp", 0, "allowed by rule `carry`\n"),
    ("web-1 write /tmp/carry/a by sftp", 0, "allowed by rule `carry`\n"),
    ("web-2 read '/etc/a b' by sftp", 0, "allowed by rule `fetch`\n"),
    ("web-1 write /etc/hostname by sftp", 77, "not this one: write /etc/host"),
    ("web-1 read /tmp/carriage by sftp", 77, "not this one: read /tmp/carri"),
    ("web-1 read /tmp/carry/../x by sftp", 77, "denied"),
    ("other+web-1 read /etc/hostname by sftp", 77, "by sftp as other on web-1"),
    ("nosuch read /etc/hostname by sftp", 77, "no such target"),
])
def test_can_of_files(bastion, job, mark, rules, what, code, said):
    """Answered as the session would be, and never asked unseen."""
    r = can(job, what, ref="refs/heads/move")
    assert r.code == code and said in (r.text if code == 0 else r.error), r
    e = bastion.event(mark, "question")
    assert e["verdict"] == ("deny" if code else "allow")
    assert e["command"] == what.split(None, 1)[1]
    if code == 0:
        assert e["rule"] == said.split("`")[1] and e["identity"] == "mover"
    assert not bastion.events(mark, "operation.decide")


def test_not_the_bastions_own(bastion, job, rules):
    r = sftp(job, "postern", "ls\n")
    assert r.code == 255 and "sftp TARGET@BASTION" in r.error


def test_a_session_is_an_operation(bastion, job, mark, rules):
    sftp(job, "web-1", "pwd\n")
    d = bastion.event(mark, "operation.decide")
    assert (d["verdict"], d["rule"], d["by"]) == ("allow", "carry", "sftp")
    assert d["command"] == "sftp"
    e = bastion.event(mark, "operation.end")
    assert e["operation"] == d["operation"]
    assert "sftp" in bastion.postern("show", d["operation"]).stdout


SERVER = "/usr/lib/openssh/sftp-server"


@pytest.fixture
def own_server(bastion, rules):
    """web-1 serves files by a program of its own."""
    main = h.ETC / "policy/main.postern"
    good = main.read_text()
    bastion.write_policy(
        good.replace("target web-1 {", f"target web-1 {{ sftp {SERVER}", 1))
    assert "not accepted" not in bastion.reload()
    yield
    bastion.write_policy(good)
    bastion.reload()


def test_a_targets_own_server(up, bastion, job, mark, own_server):
    """It is the command that the certificate forces, and no subsystem."""
    target = up.web1
    seen = target.mark()
    r = sftp(job, "web-1", "ls /etc/hostname\n")
    assert r.code == 0 and "/etc/hostname" in r.text, r.error
    assert bastion.event(mark, "operation.end")["exit"] == 0
    assert f"forced-command (key-option) '\'{SERVER}\''" in \
        target.since(seen), target.since(seen)
