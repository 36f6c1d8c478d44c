"""Two hundred operations at once: each gets its own answer, its own recording,
and when they are over nothing of them is left."""
import contextlib
import os

import pytest

from test_restart import master, wait_for

MASTERS, EACH = 25, 8


def hops(bastion):
    return sum(n == "postern-hop" for _, _, n in bastion.processes())


def descriptors(bastion):
    return {n: len(os.listdir(f"/proc/{p}/fd"))
            for p, _, n in bastion.processes()
            if n in ("posternd", "postern-policy", "postern-audit",
                     "postern-signer")}


@pytest.mark.slow
def test_10_two_hundred_operations_at_once(bastion, job, mark):
    wait_for(lambda: hops(bastion) == 0)
    before = descriptors(bastion)
    with contextlib.ExitStack() as stack:
        masters = [stack.enter_context(master(job)) for _ in range(MASTERS)]
        running = []
        for run in masters * EACH:
            p = run.popen("cat", stdin=-1)
            p.stdin.write(b"number %d\n" % len(running))
            p.stdin.flush()
            running.append((run, p))
        wait_for(lambda: hops(bastion) >= len(running), 60)
        assert hops(bastion) == MASTERS * EACH
        for i, (_, p) in enumerate(running):
            assert p.stdout.readline() == b"number %d\n" % i
        for _, p in running:
            p.stdin.close()
        for _, p in running:
            assert p.wait(60) == 0
            assert p.stdout.read() == b""
            p.stdout.close()
            p.stderr.close()
    wait_for(lambda: hops(bastion) == 0, 60)
    wait_for(lambda: len([e for e in bastion.events(mark, "operation.end")
                          if e["state"] == "complete" and e.get("exit") == 0])
             == MASTERS * EACH, 60)
    # What one connection more needs may still be there; not two hundred.
    wait_for(lambda: all(n <= before[name] + 8 for name, n in
                         descriptors(bastion).items()), 60)
