"""`limit …`: what the policy demands of an operation is kept, whoever asks in
however many ways."""
import json
import os
import signal
import subprocess
import time

import house as h
import pytest

SLOW = "/opt/house/bin/slow"
TRUE = "/usr/bin/true"


def token(job, of="bounded"):
    return job.issuer.token(ref=f"refs/heads/{of}")


def restart_policy(bastion):
    """It dies, and another one has taken over."""
    def pids():
        return [p for p, _, n in bastion.processes() if n == "postern-policy"]
    (pid,) = pids()
    mark = bastion.log.stat().st_size
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while "policy " not in bastion.log.read_text()[mark:] or not pids():
        assert time.monotonic() < end, bastion.log.read_text()[mark:]
        time.sleep(0.05)


def refused(job, to, command, tok):
    """The answer, when there is a policy again to give it."""
    end = time.monotonic() + 60
    while True:
        r = job.ssh(to, command, token=tok)
        if r.code not in (255, 254) and "try again\n" not in r.error:
            return r
        assert time.monotonic() < end, r.error
        time.sleep(0.2)


def test_limit_duration(bastion, job, mark):
    r = job.ssh("web-1", f"{SLOW} 60", token=token(job))
    assert r.code == 77 and r.text == "started\n"
    assert r.error.splitlines()[-1].startswith("postern: stopped after the 2 "
                                               "seconds")
    assert r.seconds < 40
    e = bastion.event(mark, "operation.end")
    assert e["state"] == "complete" and e["exit"] == 77
    assert "limit duration" in e["reason"]
    assert 2000 <= e["duration_ms"] < 30000
    last = json.loads(bastion.recording(e["operation"]).read_text()
                      .splitlines()[-1])
    assert last[1:] == ["x", "77"]


def test_limit_output(bastion, job):
    r = job.ssh("web-1", "/opt/house/bin/lines 99", token=token(job))
    assert r.code == 0 and len(r.out) == 288, r.error
    mark = bastion.mark()
    r = job.ssh("web-1", "/opt/house/bin/lines 1000000", token=token(job))
    assert r.code == 77 and len(r.out) == 288
    assert "limit output" in r.error
    e = bastion.event(mark, "operation.end")
    assert e["bytes_out"] == 288 and "limit output" in e["reason"]


def test_limit_concurrent(bastion, job, mark):
    p = job.popen(job.argv("web-1", f"{SLOW} 30"),
                  env=job.env(CI_TOKEN=token(job)))
    assert p.stdout.readline() == b"started\n"
    # Another token is another session, and no way around.
    r = job.ssh("web-1", f"{SLOW} 0", token=token(job))
    assert r.code == 75 and "limit concurrent" in r.error, r.error
    d = [e for e in bastion.events(mark) if e["event"] == "operation.decide"]
    assert d[-1]["verdict"] == "deny" and d[-1]["reason"] == "limit"
    assert d[-1]["rule"] == "one"
    # Another target is another count.
    r = job.ssh("web-2", f"{SLOW} 0", token=token(job))
    assert r.code == 0, r.error
    # The next policy process counts what runs.
    restart_policy(bastion)
    r = refused(job, "web-1", f"{SLOW} 0", token(job))
    assert r.code == 75 and "limit concurrent" in r.error, r.error
    job.kill(p)
    p.communicate()
    end = time.monotonic() + 60
    while (r := job.ssh("web-1", f"{SLOW} 0", token=token(job))).code != 0:
        assert r.code == 75 and time.monotonic() < end, r.error
        time.sleep(0.1)


def test_limit_concurrent_of_a_list(bastion, job):
    """A list was granted whole: what a later command of it needs is taken,
    though another identity's command runs now."""
    p = job.popen(job.argv("web-1", f"cat; {SLOW} 0"), stdin=subprocess.PIPE,
                  env=job.env(CI_TOKEN=token(job)))
    p.stdin.write(b"first\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"first\n"
    r = job.ssh("web-1", f"{SLOW} 0", token=token(job))
    assert r.code == 75 and "limit concurrent" in r.error, r.error
    # What the first command was counted for is free when it has ended, and
    # the second one finds its place.
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and out == b"started\ndone\n", err
    r = job.ssh("web-1", f"{SLOW} 0", token=token(job))
    assert r.code == 0, r.error
    # What is not run any more holds nothing.
    p = job.popen(job.argv("web-1", f"{SLOW} 0 || {SLOW} 0; cat"),
                  stdin=subprocess.PIPE, env=job.env(CI_TOKEN=token(job)))
    p.stdin.write(b"last\n")
    p.stdin.flush()
    assert p.stdout.readline() + p.stdout.readline() == b"started\ndone\n"
    assert p.stdout.readline() == b"last\n"
    r = job.ssh("web-1", f"{SLOW} 0", token=token(job))
    assert r.code == 0, r.error
    p.communicate(timeout=60)
    assert p.returncode == 0


def test_limit_rate(bastion, job):
    for to in ("web-1", "web-2", "web-1"):
        r = job.ssh(to, TRUE, token=token(job, "paced"))
        assert r.code == 0, r.error
    # A denial is not counted, and what was granted is not forgotten.
    for again in range(2):
        r = refused(job, "web-2", TRUE, token(job, "paced"))
        assert r.code == 75 and "limit rate" in r.error, r.error
        wait = int(r.error.split("try again in ")[1].split()[0])
        assert 3500 < wait <= 3600
        if not again:
            restart_policy(bastion)
    # Nor by a policy that is loaded again.
    bastion.reload()
    r = refused(job, "web-2", TRUE, token(job, "paced"))
    assert r.code == 75 and "limit rate" in r.error, r.error
