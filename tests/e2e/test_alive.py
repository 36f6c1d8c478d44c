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
