"""What a power cut leaves of the ledger: each line that was answered; and nothing
is signed that the disk might not have.  A page says what the disk has for sure
(synced.c); the cut is a copy with that much of the ledger, and no more."""
import contextlib
import os
import pathlib
import random
import shutil
import struct
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire as w  # noqa: E402
import tamper as t  # noqa: E402

LIB = pathlib.Path(os.environ["POSTERN_BUILD"]) / "tests/broker/.libs/synced.so"
pytestmark = pytest.mark.skipif(
    not LIB.exists(), reason="tests/broker/synced.la is not built")


class Disk:
    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(4096))
        self.env = {"LD_PRELOAD": str(LIB), "SYNCED_PAGE": str(path),
                    "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}

    def has(self, file):
        """Bytes of it, for sure."""
        inode = os.stat(file).st_ino
        for i, size in struct.iter_unpack("=QQ", self.path.read_bytes()[:1024]):
            if i == inode:
                return size
        return 0


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "page")


@pytest.fixture
def audit(tmp_path, disk):
    (tmp_path / "state").mkdir()
    it = w.Audit(tmp_path / "state", env=disk.env)
    yield it
    if it.proc.poll() is None:
        it.kill()


def ledger(audit):
    return audit.folder / t.LEDGER


def cut(audit, disk, folder):
    """The state as a power cut leaves it at this moment, at the worst."""
    # First what was signed: it must not be ahead of the lines.
    with contextlib.suppress(shutil.Error):     # a tile that is full by now
        shutil.copytree(audit.folder / t.TREE, folder / t.TREE)
    for name in ("recordings", "store"):
        (folder / name).mkdir()
    shutil.copy2(audit.folder / "ledger/key", folder / "ledger/key")
    size = disk.has(ledger(audit))
    text = ledger(audit).read_bytes()
    assert size <= len(text)
    (folder / t.LEDGER).write_bytes(text[:size])
    return text[:size]


def test_no_answered_line_is_lost(audit, disk):
    assert disk.has(ledger(audit)) > 0
    for i in range(50):
        number = audit.event("login.refused", user="web-1", reason=f"{i}")
        size = disk.has(ledger(audit))
        text = ledger(audit).read_bytes()[:size]
        assert text.count(b"\n") >= number, (i, number)


def test_what_it_leaves_is_signed_no_further_and_goes_on(audit, disk, tmp_path):
    rng = random.Random(11)
    for i in range(8):
        for n in range(rng.randrange(1, 120)):
            answered = audit.event("login.refused", user="web-1",
                                   reason=f"{i} {n}")
        time.sleep(rng.random())
        folder = tmp_path / f"cut-{i}"
        left = cut(audit, disk, folder)
        signed = int((folder / t.CHECKPOINT).read_text().split("\n")[1])
        assert signed <= left.count(b"\n") and answered <= left.count(b"\n")
        # half of a line that was under way, which was answered to nobody
        if i % 2:
            with open(folder / t.LEDGER, "ab") as f:
                f.write(b'{"number":')
        it = w.Audit(folder)
        it.stop()
        assert "ALARM: the ledger" not in it.read_log()
        got = t.both(folder)
        assert (got["verdict"], got["signed"]) == ("ok", got["lines"])
        assert ledger(it).read_bytes().startswith(left)


def test_unsigned_for_a_second(audit):
    """The bound is of the timer: what is written now is signed when it fires,
    whatever else is written meanwhile."""
    path = audit.folder / t.CHECKPOINT
    seen, begun = {}, time.monotonic()
    while time.monotonic() - begun < 4:
        number = audit.event("login.refused", user="web-1", reason="x")
        seen[number] = time.monotonic()
        time.sleep(0.02)
        signed = int(path.read_text().split("\n")[1])
        late = [n for n in seen if n <= signed]
        for n in late:
            del seen[n]
    # a machine that has much else to do: far from the bound, but not for ever
    assert time.monotonic() - min(seen.values(), default=begun + 4) < 20
    assert signed > 1
