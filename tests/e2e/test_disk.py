"""Disks that are full, over their quota, read-only or damaged: nothing runs
unrecorded, everybody is told why, and it goes on when the disk is well again.
The bastion's state lies on a small disk of the test's own meanwhile."""
import contextlib
import json
import os
import random
import signal
import subprocess
import time

import house as h
import killcheck
import pytest
from test_faults import pid_of, wait_for

pytestmark = pytest.mark.slow

CMD = "systemctl restart web"
PAGE = 4096


@contextlib.contextmanager
def state_on(bastion, *mount, settings="disk-reserve 1MiB\n"):
    """The bastion, with its state on what `mount` makes."""
    conf = h.ETC / "postern.conf"
    before = conf.read_text()
    bastion.mark()      # what ran before has ended
    bastion.stop()
    try:
        h.run("mount", *mount, h.STATE)
        conf.write_text(before + settings)
        bastion.start()
        yield
    finally:
        bastion.stop()
        for pid in pid_of(bastion, "postern-hop"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not pid_of(bastion, "postern-hop"))
        h.run("umount", h.STATE, check=False)
        conf.write_text(before)
        bastion.start()


def tmpfs(bastion, size, more="", **kw):
    return state_on(bastion, "-t", "tmpfs", "-o",
                    f"size={size},mode=0755{more}", "house", **kw)


class Filler:
    """What somebody else wrote onto the disk."""

    def __init__(self):
        self.path = h.STATE / "somebody-elses"

    def leave(self, pages):
        """So many pages free, and not one more, others writing or not."""
        self.path.unlink(missing_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT)
        at = 0
        try:
            while (n := self.free() - pages * PAGE) > 0:
                with contextlib.suppress(OSError):
                    os.posix_fallocate(fd, at, n)
                    at += n
        finally:
            os.close(fd)

    @staticmethod
    def free():
        s = os.statvfs(h.STATE)
        return s.f_bavail * s.f_frsize

    def remove(self):
        self.path.unlink()


def popen(job, command, **kw):
    return job.popen(job.argv("web-1", command), **kw,
                     env=job.env(CI_TOKEN=job.issuer.token()))


def well(job, timeout=30):
    """It works again, without anybody's doing anything for it."""
    end = time.monotonic() + timeout
    while (r := job.ssh("web-1", CMD)).code != 0:
        assert time.monotonic() < end, r.error
        time.sleep(0.3)


def nothing_unrecorded(up, bastion, at):
    """Each certificate that the target took has its decision and recording."""
    check = killcheck.Check(bastion, bastion.ledger(), [])
    check.targets(up.web1.since(at))
    assert not check.faults, check.faults
    numbers = [e["number"] for e in bastion.ledger()]
    assert numbers == list(range(1, len(numbers) + 1))
    return len(check.accepted)


def proven(bastion):
    """What is written down is complete and signed again, by itself; a lost
    tile or checkpoint is made anew."""
    lines = len(bastion.ledger())

    def signed():
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((h.STATE / "ledger/tree/checkpoint").read_text()
                       .split("\n")[1]) >= lines
    wait_for(signed, 60)
    found = killcheck.verified(bastion, h.STATE)
    assert not found, found


def refused(r, *words):
    """By us, in words, before anything was shown."""
    assert r.code == 74 and r.out == b"", (r.code, r.out, r.error)
    line = r.error.splitlines()[-1]
    assert line.startswith("postern: ")
    for w in words:
        assert w in line, line


def test_2_below_the_reserve_nothing_begins(bastion, job, up):
    with tmpfs(bastion, "16m", settings="disk-reserve 4MiB\n"):
        well(job)
        at = up.web1.mark()
        p = popen(job, "cat", stdin=subprocess.PIPE)
        p.stdin.write(b"started\n")
        p.stdin.flush()
        assert p.stdout.readline() == b"started\n"
        full = Filler()
        full.leave(512)
        refused(job.ssh("web-1", CMD), "MiB are free on the disk",
                "4 MiB are kept in reserve")
        # What runs goes on into the reserve, to its own end.
        out, err = p.communicate(b"done\n", timeout=40)
        assert (p.returncode, out) == (0, b"done\n"), err
        bastion.mark()
        # Looking at it is written down, too.
        assert [e["event"] for e in bastion.ledger()
                if e["event"] != "view"][-1] in ("operation.end",
                                                 "session.close")
        assert nothing_unrecorded(up, bastion, at) == 1
        full.remove()
        well(job)
        proven(bastion)


def test_2_a_disk_that_fills_up_under_an_operation(bastion, job, up):
    """What did not fit into the recording was not shown; the end, which does
    not fit either, is written with the reserve's room."""
    with tmpfs(bastion, "8m"):
        well(job)
        at = up.web1.mark()
        mark = bastion.mark()
        p = popen(job, "/opt/house/bin/lines 1000000")
        p.stdout.read(10)
        Filler().leave(0)
        out, err = p.communicate(timeout=60)
        text = err.decode().splitlines()[-1]
        # Text beyond the recording's bound needs no room.
        if p.returncode != 0:
            assert p.returncode == 74, err
            assert "postern: the recording cannot be" in text, err
        e = bastion.event(mark, "operation.end", 20)
        assert e["exit"] == p.returncode
        r = job.ssh("web-1", CMD)
        if r.code != 255:   # sshd's: nor may a session begin by now
            refused(r, "kept in reserve")
        nothing_unrecorded(up, bastion, at)
        Filler().remove()
        well(job)
        proven(bastion)


def test_2_full_at_each_page(bastion, job, up):
    """With n pages free, n = 0, 1, … until an operation gets through: each of
    the writes on its way, index and rows included, is the one that fails."""
    with tmpfs(bastion, "8m", settings="disk-reserve 1B\n"):
        well(job)
        at, full, codes = up.web1.mark(), Filler(), {}
        for n in (*range(6), 8, 11, 16, 64, 256):
            full.leave(n)
            mark = bastion.mark()
            r = job.ssh("web-1", CMD)
            codes[n] = r.code
            # Refused by sshd when no session can be written down.
            assert r.code in (0, 74, 75, 255, 254), (n, r.code, r.error)
            full.remove()
            well(job)
            if r.out:
                op = [e["operation"] for e in
                      bastion.events(mark, "operation.decide")
                      if e["verdict"] == "allow"][0]
                assert killcheck.recorded(bastion, op).startswith(r.text), n
        assert codes[0] != 0 and codes[256] == 0, codes
        bastion.mark()
        nothing_unrecorded(up, bastion, at)
        proven(bastion)


def test_2_over_the_quota(bastion, job, up):
    """No room for audit's account, and lots of it on the disk."""
    probe = h.WORK / "quota"
    probe.mkdir(exist_ok=True)
    quota = ",usrquota,usrquota_block_hardlimit=3m"
    if h.run("mount", "-t", "tmpfs", "-o", f"size=1m{quota}", "probe", probe,
             check=False).returncode:
        pytest.skip("this kernel's tmpfs has no quota (before 6.6)")
    h.run("umount", probe)
    with tmpfs(bastion, "64m", quota):
        well(job)
        at = up.web1.mark()
        # Audit's own recordings use it up.
        end = time.monotonic() + 60
        while (r := job.ssh("web-1", "/opt/house/bin/lines 60000")).code == 0:
            assert time.monotonic() < end
        assert r.code == 74, (r.code, r.error)
        assert "quota" in r.error, r.error
        r = job.ssh("web-1", CMD)
        assert r.code in (74, 255) and r.out == b"", r
        nothing_unrecorded(up, bastion, at)
        for f in bastion.recordings():  # an administrator makes room
            f.unlink()
        well(job)


@pytest.fixture
def ext4(tmp_path_factory):
    """A disk that can be told to break."""
    image = h.WORK / "disk.img"
    with open(image, "wb") as f:
        f.truncate(32 << 20)
    folder = h.WORK / "disk"
    folder.mkdir(exist_ok=True)
    try:
        h.run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", image)
        h.run("mount", "-o", "loop", image, folder)
        h.run("umount", folder)
    except (OSError, RuntimeError) as e:
        pytest.skip(f"no loop device with ext4 here: {str(e)[:80]}")
    yield image
    image.unlink()


def break_disk():
    """As the kernel does when it reads nonsense: errors=remount-ro."""
    source = h.run("findmnt", "-n", "-o", "SOURCE", h.STATE).stdout.strip()
    knob = f"/sys/fs/ext4/{os.path.basename(source)}/trigger_fs_error"
    if not os.path.exists(knob):
        pytest.skip(f"no {knob}")
    with open(knob, "w") as f:
        f.write("1")
    with pytest.raises(OSError):
        (h.STATE / "probe").touch()


def test_2_a_disk_that_turns_read_only(bastion, job, up, ext4):
    """Under a running operation, which ends with its next output; its end is
    written down when the disk can be written again."""
    at = up.web1.mark()
    with state_on(bastion, "-o", "loop,errors=remount-ro", ext4):
        well(job)
        p = popen(job, "/opt/house/bin/stream 1 300")
        assert p.stdout.readline() == b"1 1\n"
        # What the kernel has not written yet goes with such a disk.
        h.run("sync", "-f", h.STATE)
        break_disk()
        out, err = p.communicate(timeout=40)
        assert p.returncode == 74, (out, err)
        assert "the recording cannot be written: Read-only file system" in \
            err.decode().splitlines()[-1], err
        r = job.ssh("web-1", CMD)
        assert r.code in (74, 255) and r.out == b"", r
        # An administrator: stop, unmount, check, mount, start.
        bastion.stop()
        h.run("umount", h.STATE)
        h.run("fsck.ext4", "-fy", ext4, check=False)
        h.run("mount", "-o", "loop", ext4, h.STATE)
        bastion.start()
        well(job)
        bastion.mark()
        (op,) = {e["operation"] for e in bastion.ledger()
                 if "/stream 1 300" in e.get("command", "")}
        (e,) = [e for e in bastion.ledger() if e["event"] == "operation.end"
                and e["operation"] == op]
        assert e["state"] == "interrupted", e
        kept = killcheck.recorded(bastion, op).encode()
        assert kept and (b"1 1\n" + out).startswith(kept), kept
        assert nothing_unrecorded(up, bastion, at) >= 3
        proven(bastion)


def test_2_started_on_a_read_only_disk(bastion, job, up):
    """It is up and refuses, or it does not come up and says why."""
    with tmpfs(bastion, "16m"):
        well(job)
        bastion.stop()
        h.run("mount", "-o", "remount,ro", h.STATE)
        at, mark = up.web1.mark(), bastion.log.stat().st_size
        try:
            bastion.start()
            r = job.ssh("web-1", CMD)
            assert r.code in (74, 75, 255) and r.out == b"", r
        except RuntimeError:
            pass
        said = bastion.log.read_text()[mark:]
        assert "Read-only file system" in said, said
        assert not up.web1.reached(at)
        h.run("mount", "-o", "remount,rw", h.STATE)
        bastion.stop()
        bastion.start()
        well(job)


# -- what a crash or a bad disk left -------------------------------------------


def test_a_damaged_store_and_a_cut_ledger_at_start(bastion, job, mark):
    """Repaired, and said; what was there is found again."""
    assert job.ssh("web-1", CMD).code == 0
    op = bastion.event(mark, "operation.end")["operation"]
    bastion.stop()
    for name in "postern.db", "kept.db":
        p = h.STATE / "store" / name
        p.write_bytes(random.Random(1).randbytes(9000))
        for end in "-wal", "-shm":
            p.with_name(name + end).unlink(missing_ok=True)
    with open(h.STATE / "ledger/ledger.jsonl", "ab") as f:
        f.write(b'{"number":99999,"time":"2026-')
    at = bastion.log.stat().st_size
    bastion.start()
    well(job)
    assert op in bastion.postern("show", op).stdout
    said = bastion.log.read_text()[at:]
    assert "ALARM: what was kept for a restart (store/kept.db) is damaged" \
        in said
    assert "made anew from the ledger" in said
    (start,) = bastion.events(mark, "start")
    assert "the last line was cut off: its 29 bytes are in ledger.cut." in \
        start["reason"]
    numbers = [e["number"] for e in bastion.ledger()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_2_a_ledger_that_is_none(bastion, job, up):
    """Everything is refused, with what to do; nothing of it is touched.  Put
    right, it goes on without a restart."""
    ledger = h.STATE / "ledger/ledger.jsonl"
    bastion.mark()
    bastion.stop()
    good = ledger.read_bytes()
    bad = good + b"\0" * 100 + b"\n"
    ledger.write_bytes(bad)
    at, mark = up.web1.mark(), bastion.log.stat().st_size
    try:
        bastion.start()
        r = job.ssh("web-1", CMD)
        assert r.code in (74, 75, 255) and r.out == b"", r
        said = bastion.log.read_text()[mark:]
        assert "ALARM: ledger/ledger.jsonl cannot be opened" in said, said
        assert "put a good copy in its place" in said
        assert not up.web1.reached(at)
        assert ledger.read_bytes() == bad
    finally:
        ledger.write_bytes(good)
    well(job)
    assert ledger.read_bytes().startswith(good)


def test_9_a_cut_recording_at_start(bastion, job, cuts, mark):
    """All are killed in the middle of a line; it is taken off, the recording
    says `interrupted`, and asciinema reads it."""
    p = popen(job, "/opt/house/bin/stream 7 300")
    assert p.stdout.readline() == b"7 1\n"
    op = bastion.event(mark, "operation.decide")["operation"]
    hops = pid_of(bastion, "postern-hop")
    bastion.daemon.stop(signal.SIGKILL)
    # Audit before the hop, or it would still see that end, and seal it.
    for pid in [*pid_of(bastion, "postern-audit"), *hops]:
        os.kill(pid, signal.SIGKILL)
    _, err = p.communicate(timeout=30)
    assert p.returncode == 75 and err.startswith(b"postern: "), err
    cast = bastion.recording(op)
    whole = cast.read_bytes()
    with open(cast, "ab") as f:
        f.write(b'[9.1,"o","cut')
    bastion.start_posternd()
    well(job)
    e = wait_for(lambda: [e for e in bastion.events(mark, "operation.end")
                          if e["operation"] == op], 20)[0]
    assert e["state"] == "interrupted"
    assert cast.read_bytes() == whole[:whole.rindex(b"\n") + 1]
    for line in cast.read_text().splitlines():
        json.loads(line)
    closed = json.loads(cast.with_suffix(".json").read_text().splitlines()[-1])
    assert closed["state"] == "interrupted"
    subprocess.run(["/usr/bin/python3", "-c", "import sys\nfrom asciinema "
                    "import asciicast\nwith asciicast.open_from_url(sys.argv[1]"
                    ") as a: print(sum(1 for _ in a.events()))", cast],
                   check=True)
