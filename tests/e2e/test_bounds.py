"""Bounds of the bastion as a whole: each is there, who meets it is told, all
others go on, and nobody dies of it."""
import contextlib
import os
import subprocess
import time

import house as h
import pytest
from test_faults import pid_of

CMD = "systemctl restart web"


@contextlib.contextmanager
def settings(bastion, text):
    conf = h.ETC / "postern.conf"
    before = conf.read_text()
    bastion.stop()
    try:
        conf.write_text(before + text)
        # As after a boot: the sessions of other tests are nobody's now.
        (h.RUN / "session-key").unlink()
        bastion.start()
        yield
    finally:
        bastion.stop()
        conf.write_text(before)
        bastion.start()


def popen(job, command, token=None, **kw):
    return job.popen(job.argv("web-1", command), **kw,
                     env=job.env(CI_TOKEN=token or job.issuer.token()))


def begun(job, token=None):
    """An operation that runs until ended() is called."""
    p = popen(job, "cat", token, stdin=subprocess.PIPE)
    p.stdin.write(b"before\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"before\n"
    return p


def ended(p):
    out, err = p.communicate(b"after\n", timeout=60)
    assert (p.returncode, out) == (0, b"after\n"), err


def set_limit(pid, name, soft):
    """By its own user, who needs no capability for it; the hard one stays."""
    with open(f"/proc/{pid}/status") as f:
        ids = {x.split()[0]: x.split()[1] for x in f if x[1:4] == "id:"}
    h.run("setpriv", f"--reuid={ids['Uid:']}", f"--regid={ids['Gid:']}",
          "--clear-groups", "prlimit", f"--pid={pid}", f"--{name}={soft}:")


def until(what, timeout=40):
    """what() ends with 0, sooner or later."""
    end = time.monotonic() + timeout
    while (r := what()).code != 0:
        assert time.monotonic() < end, r.error
        time.sleep(0.2)


def test_10_operations_and_sessions_of_all(bastion, job):
    """operations-max and sessions-max: one more is refused with the setting's
    name, those that run are not touched, and it is free again afterwards."""
    tokens = [job.issuer.token() for _ in range(3)]
    with settings(bastion, "operations-max 2\nsessions-max 3\n"):
        running = [begun(job, t) for t in tokens[:2]]
        mark = bastion.ledger()[-1]["number"]
        r = job.ssh("web-1", CMD, token=tokens[2])
        assert (r.code, r.out) == (75, b""), r.error
        line = r.error.splitlines()[-1]
        assert line.startswith("postern: ") and "(operations-max)" in line
        # There are three sessions now; a fourth is refused at its login, where
        # nobody is told why but the ledger.
        r = job.ssh("web-1", CMD)
        assert r.code == 255 and r.out == b"", r.error
        reasons = {e["reason"] for e in bastion.some(mark, "login.refused")}
        assert any("(sessions-max)" in x for x in reasons), reasons
        for p in running:
            ended(p)
        r = job.ssh("web-1", CMD, token=tokens[2])
        assert r.code == 0, r.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["posternd", "postern-policy",
                                  "postern-audit", "postern-signer",
                                  "postern-oidc"])
def test_10_a_process_without_descriptors(bastion, job, cuts, name):
    """0, 1, 2, … more than it has: it refuses or is slow, it does not die, and
    it goes on when there are some again.  A hop has posternd's bound."""
    token = job.issuer.token()
    assert job.ssh("web-1", CMD, token=token).code == 0
    p = begun(job, token)
    (pid,) = pid_of(bastion, name)
    mark = bastion.log.stat().st_size
    with open(f"/proc/{pid}/limits") as f:
        (before,) = [x.split()[3] for x in f if x.startswith("Max open files")]
    try:
        for more in range(4):
            used = 1 + max(int(x) for x in os.listdir(f"/proc/{pid}/fd"))
            set_limit(pid, "nofile", used + more)
            r = job.ssh("web-1", CMD, token=token, timeout=50)
            assert r.code in (0, 74, 75, 255, 254), (more, r.code, r.error)
            if r.code in (74, 75):
                assert r.error.splitlines()[-1].startswith("postern: "), r
    finally:
        set_limit(pid, "nofile", before)
    assert pid_of(bastion, name) == [pid], bastion.log.read_text()[mark:]
    assert " died " not in bastion.log.read_text()[mark:]
    until(lambda: job.ssh("web-1", CMD, token=token))
    ended(p)


@pytest.mark.skipif(h.SANITIZED, reason="sanitizers have memory of their own")
def test_10_a_hop_without_memory(bastion, job, cuts, mark):
    """Its own operation ends, with a word, for which its recording may have no
    room; others are not touched."""
    p = popen(job, "/opt/house/bin/lines 1000000")
    p.stdout.read(1000)     # its hop is the first one
    other = begun(job)
    try:
        hops = pid_of(bastion, "postern-hop")
        assert len(hops) == 2
        first = min(hops)
        set_limit(first, "data", 0)
        end = time.monotonic() + 30
        while first in pid_of(bastion, "postern-hop"):
            assert time.monotonic() < end
            p.stdout.read1(1 << 20)
        p.stdout.read()
        err = p.stderr.read().decode()
        code = p.wait(20)
        assert code == 0 or err.splitlines()[-1].startswith("postern: "), err
        assert code in (0, 69, 74, 75), (code, err)
        ended(other)
    finally:
        for it in p, other:
            job.kill(it)
            it.communicate(timeout=20)
