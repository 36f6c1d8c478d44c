"""Processes that die while an operation runs."""
import json
import os
import signal
import time

import house as h
import pytest


def pid_of(bastion, name):
    return [pid for pid, _, n in bastion.processes() if n == name]


def wait_for(what, timeout=60):
    end = time.monotonic() + timeout
    while not (got := what()):
        assert time.monotonic() < end, "it did not come back"
        time.sleep(0.05)
    return got


@pytest.mark.parametrize("name", ["postern-oidc", "postern-signer",
                                  "postern-policy", "postern-audit"])
def test_9_a_killed_sibling_cuts_no_operation(bastion, job, name):
    p = job.popen(job.argv("web-1", "/opt/house/bin/slow 3"),
                  env=job.env(CI_TOKEN=job.issuer.token()))
    assert p.stdout.readline() == b"started\n"
    operation = [e for e in bastion.ledger()
                 if e["event"] == "operation.decide"][-1]["operation"]
    (pid,) = pid_of(bastion, name)
    os.kill(pid, signal.SIGKILL)
    out, err = p.communicate(timeout=60)
    assert (p.returncode, out) == (0, b"done\n"), err
    # It is started again, and the next operation goes through.
    wait_for(lambda: set(pid_of(bastion, name)) - {pid})
    end = time.monotonic() + 60
    while (r := job.ssh("web-1", "systemctl restart web")).code != 0:
        assert time.monotonic() < end, r.error
        time.sleep(0.2)
    ended = wait_for(lambda: [e for e in bastion.ledger() if e["event"] ==
                              "operation.end" and
                              e["operation"] == operation])
    assert ended[0]["state"] == "complete" and ended[0]["exit"] == 0
    shown = [json.loads(x)[2] for x in bastion.recording(operation).read_text()
             .splitlines()[1:] if json.loads(x)[1] == "o"]
    assert "".join(shown) == "started\r\ndone\r\n"


def test_9_a_killed_hop_loses_no_shown_byte(bastion, job, cuts, mark):
    p = job.popen(job.argv("web-1", "/opt/house/bin/lines 1000000"),
                  env=job.env(CI_TOKEN=job.issuer.token()))
    shown = p.stdout.read(100000)
    (pid,) = pid_of(bastion, "postern-hop")
    os.kill(pid, signal.SIGKILL)
    # Not communicate: it would skip what p.stdout has already buffered.
    shown += p.stdout.read()
    err = p.stderr.read()
    assert p.wait(20) == 75, err
    assert b"lost this operation" in err and err.startswith(b"postern: ")
    e = bastion.event(mark, "operation.end")
    assert e["state"] == "interrupted"
    kept = "".join(
        event[2] for event in map(json.loads, bastion.recording(
            e["operation"]).read_text().splitlines()[1:])
        if event[1] == "o").replace("\r\n", "\n").encode()
    # The recording's bound (1 MiB) may end first; up to there it is all.
    n = min(len(shown), len(kept), 1 << 20)
    assert n >= 100000 and kept[:n] == shown[:n]
    if len(shown) < 1 << 20:
        assert len(kept) >= len(shown)


def test_2_nothing_starts_without_audit(bastion, job, up):
    """Stopped, not dead: nobody starts another in its place."""
    (pid,) = pid_of(bastion, "postern-audit")
    at = up.web1.mark()
    os.kill(pid, signal.SIGSTOP)
    try:
        r = job.ssh("web-1", "systemctl restart web", timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert r.code != 0 and r.out == b""
    assert "Accepted" not in up.web1.since(at)
