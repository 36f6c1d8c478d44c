"""A target that vanishes without a word, under a running operation."""
import contextlib
import time

import house as h
from test_faults import pid_of, wait_for


@contextlib.contextmanager
def swallowed(netns, address):
    """Whatever is sent there from now on is lost, and nobody is told."""
    h.run("ip", "-n", netns, "route", "add", "blackhole", f"{address}/32")
    try:
        yield
    finally:
        h.run("ip", "-n", netns, "route", "del", "blackhole", f"{address}/32")


def test_10_a_target_that_vanishes_is_noticed(bastion, job):
    token = job.issuer.token(ref="refs/heads/bounded")
    mark = bastion.mark()
    p = job.popen(job.argv("web-2", "/opt/house/bin/slow 30"),
                  env=job.env(CI_TOKEN=token))
    try:
        assert p.stdout.readline() == b"started\n"
        with swallowed("target", "10.91.0.1"):
            start = time.monotonic()
            _, err = p.communicate(timeout=60)
            took = time.monotonic() - start
            wait_for(lambda: not pid_of(bastion, "postern-hop"))
        assert p.returncode == 69
        line = err.decode().splitlines()[-1]
        assert line.startswith("postern: web-2: no word from the target for "
                               "20 s"), err
        assert "may still run there (operation " in line
        assert 10 < took < 45
    finally:
        job.kill(p)
        p.communicate(timeout=20)
    e = bastion.event(mark, "operation.end")
    assert e["state"] == "complete" and e["exit"] == 69
    assert "no word from the target" in e["reason"]
    # It is back, and so are its operations.
    r = job.ssh("web-2", "systemctl restart web")
    assert r.code == 0, r.error


@contextlib.contextmanager
def patient_for(bastion, seconds):
    """postern-sshd, which asks its clients that much sooner."""
    program = h.Unit("postern-sshd").lines("ExecStart")[0][0]
    with open(program) as f:
        text = f.read()
    assert text.count("ClientAliveInterval 30\nClientAliveCountMax 4") == 1
    bastion.sshd.stop()
    try:
        with open(program, "w") as f:
            f.write(text.replace("ClientAliveInterval 30",
                                 f"ClientAliveInterval {seconds}"))
        bastion.start_sshd()
        yield
    finally:
        bastion.sshd.stop()
        with open(program, "w") as f:
            f.write(text)
        bastion.start_sshd()


def test_10_a_job_that_vanishes_is_noticed(bastion, job):
    """A runner that was switched off: postern-sshd asks, and hangs up.  In a
    fifteenth of the time; two and a half minutes it is."""
    mark = bastion.mark()
    with patient_for(bastion, 2):
        p = job.popen(job.argv("web-1", "/opt/house/bin/slow 60"),
                      env=job.env(CI_TOKEN=job.issuer.token()))
        try:
            assert p.stdout.readline() == b"started\n"
            with swallowed("job", "10.91.0.1"):
                e = bastion.event(mark, "operation.end", 40)
                wait_for(lambda: not pid_of(bastion, "postern-shell"), 20)
        finally:
            job.kill(p)
            p.communicate(timeout=20)
    assert e["state"] == "interrupted"
    assert e["reason"] == "the job hung up"
    assert 8000 < e["duration_ms"] < 35000
