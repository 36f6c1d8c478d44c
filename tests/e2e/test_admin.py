"""An admin ends what runs, and locks the door: stock clients, real hops."""
import subprocess

import pytest
from test_hangup import Running, watched  # noqa: F401
from test_jobcert import Key

RESTART = "systemctl restart web"


@pytest.fixture
def run(bastion, job, watched):  # noqa: F811
    made = []

    def go(how, opts=(), **kw):
        made.append(Running(bastion, job, how, opts, **kw))
        return made[-1]
    yield go
    for it in made:
        it.close()


@pytest.fixture
def unlocked(bastion):
    yield
    bastion.postern("unlock", check=False)


def test_kill_a_running_operation(bastion, job, mark, run):
    it = run("silent", stderr=subprocess.PIPE)
    session = bastion.event(mark, "session.open")["session"]
    p = bastion.postern("kill", session)
    assert p.stdout == "1 session ended, 1 operation told to end\n"
    e = it.interrupted("ended by the bastion's admin; the command may still "
                       "run on web-1")
    assert it.p.wait(30) == 77
    err = it.p.stderr.read().decode()
    assert err.startswith("postern: ended by the bastion's admin"), err
    assert e["operation"] in err
    e = bastion.event(mark, "kill")
    assert (e["asker"], e["session"]) == ("uid:0", session)
    assert bastion.event(mark, "session.close")["reason"] == \
        "ended by an admin"
    p = bastion.postern("kill", session, check=False)
    assert p.returncode == 1 and "no live session has this id" in p.stderr


@pytest.mark.parametrize("who", ["--all", "--identity"])
def test_a_certificate_after_its_session_was_ended(bastion, job, mark, who):
    k = Key(job).login()
    assert k.ssh("web-1", RESTART).code == 0
    bastion.postern("kill", *(["--all"] if who == "--all" else [who, "shop"]))
    r = k.ssh("web-1", RESTART)
    assert r.code == 254 and r.out.startswith(b"postern:"), r
    assert bastion.event(mark, "login.refused")["reason"] == \
        "no live session was given this certificate"


def test_a_token_after_its_session_was_ended(bastion, job, mark):
    token = job.issuer.token()
    assert job.ssh("web-1", RESTART, token=token).code == 0
    bastion.postern("kill", "--all")
    assert job.ssh("web-1", RESTART, token=token).code == 255
    assert {e["reason"][:18] for e in bastion.some(
        mark, "login.refused")} == {"the token is spent"}
    assert job.ssh("web-1", RESTART).code == 0


def test_the_lock(bastion, job, mark, run, unlocked):
    """Over a restart of everything; with a job that runs all the while."""
    it = run("silent")
    p = bastion.postern("lock", "--reason", "key leak; ask sec@acme")
    assert p.stdout.startswith("locked: nothing new begins")
    for again in range(2):
        r = job.ssh("web-1", RESTART)
        assert r.code == 75, r
        assert "this bastion is locked since 20" in r.error
        assert "reason: key leak; ask sec@acme" in r.error
        assert job.ssh("postern", "whoami").code == 75
        r = job.ssh("postern", "login", input=Key(job).line)
        assert r.code == 75 and r.out == b"" and "is locked" in r.error
        if again == 0:
            bastion.stop()
            bastion.start()
    assert {e["reason"] for e in bastion.events(mark, "operation.decide")
            if e["verdict"] == "deny"} == {"locked"}
    assert "LOCKED" in bastion.postern("status").stdout
    p = bastion.postern("unlock")
    assert p.stdout == "unlocked: operations may begin again\n"
    assert job.ssh("web-1", RESTART).code == 0
    assert [e["event"] for e in bastion.events(mark)
            if e["event"] in ("lock", "unlock")] == ["lock", "unlock"]


def test_words_that_are_no_words(bastion):
    for bad in ("a\x1b[31m", "x" * 201, "two\nlines"):
        p = bastion.postern("lock", "--reason", bad, check=False)
        assert p.returncode == 64 and "\x1b" not in p.stderr
    for args in (["kill"], ["kill", "a", "b"], ["kill", "--all", "x"],
                 ["kill", "--identity", ""], ["unlock", "--reason", "x"]):
        assert bastion.postern(*args, check=False).returncode == 64, args
