"""A hop that dies in the middle of a file has said which it was."""
import hashlib
import json
import os
import signal
import time

import pytest
from test_files import AREA, RULES, area, key, local  # noqa: F401
from test_jobcert import QUIET

RULES += """
allow old for filer on web-1 {
    write under /tmp/files-e2e/w by scp-legacy
    read under /tmp/files-e2e/r by scp-legacy
}
"""


def size(path):
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("verb", ["put", "get"])
@pytest.mark.parametrize("by", ["sftp", "scp-legacy"])
def test_9_a_hop_killed_in_a_file(bastion, job, key, area, local, cuts, mark,
                                  verb, by):
    there, here = (area / "w/big", local / "big") if verb == "put" else \
        (area / "r/big", local / "back")
    names = [here, f"web-1@{job.host}:{there}"]
    p = job.popen(["scp", *QUIET, "-i", key.private, "-l", "4000",
                   *(["-O"] if by == "scp-legacy" else []),
                   *(names if verb == "put" else reversed(names))])
    end = time.monotonic() + 60
    while size(there if verb == "put" else here) < 100_000:
        assert time.monotonic() < end and p.poll() is None
        time.sleep(0.05)
    (hop,) = [pid for pid, _, n in bastion.processes() if n == "postern-hop"]
    os.kill(hop, signal.SIGKILL)
    job.kill(p)     # it has been sent more than it has written
    p.communicate(timeout=60)
    e = bastion.event(mark, "operation.end")
    assert (e["state"], e["files"]) == ("interrupted", 1)
    assert bastion.event(mark, "operation.decide")["by"] == by
    side = bastion.recording(e["operation"]).with_suffix(".json")
    (line,) = [x for x in side.read_bytes().splitlines(True)
               if json.loads(x)["kind"] == "file"]
    assert hashlib.sha256(line).hexdigest() == e["manifest_sha256"]
    # scp's own protocol does not say whether a name is a folder
    to = {"to": f"{there}/big"} if (verb, by) == ("put", "scp-legacy") else {}
    assert json.loads(line) == {
        "kind": "file", "verb": verb, "path": str(there), "result": "begun",
        "rule": "ship" if by == "sftp" else "old", "begun": 1} | to
    shown = bastion.postern("show", e["operation"]).stdout.splitlines()
    assert shown[-1].endswith("(begun, and not ended)")
    assert str(there) in shown[-1]
    # Whoever owns a hop may write what he likes: not to a terminal.
    was = side.read_bytes()
    evil = "\x1b[2J\x9b\u202e"
    try:
        side.write_bytes(was + b"".join(json.dumps(
            {"kind": "file", "verb": verb + evil, "path": "/" + evil,
             "result": "begun", "rule": evil, "begun": n},
            separators=(",", ":")).encode() + b"\n"
            for n in (-1, 0, 2, 1 << 20, 1 << 62)))
        shown = bastion.postern("show", e["operation"]).stdout
    finally:
        side.write_bytes(was)
    assert shown.count("(begun, and not ended)") == 6
    assert not any(c in shown for c in evil if c not in "[2J")
