"""A backup at a random moment while jobs run, and a new house from it."""
import grp
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tarfile
import threading
import time

import house as h
import pytest


def lines_of(state):
    text = (state / "ledger/ledger.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def whole(state):
    """What a backup promises: no gap, and no recording without its hash."""
    lines = lines_of(state)
    assert [e["number"] for e in lines] == list(range(1, len(lines) + 1))
    for e in lines:
        if e["event"] == "operation.end" and "recording_sha256" in e:
            data = (state / "recordings" / e["recording"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == e["recording_sha256"]
    return lines


@pytest.fixture
def busy(bastion, job):
    """Jobs that run one after the other until the test is over; what each has
    shown: its marker and when the job had it."""
    shown, stop = [], threading.Event()

    def go(n):
        while not stop.is_set():
            r = job.ssh("web-1", f"/opt/house/bin/argv {n}-{len(shown)}")
            if r.code == 0:
                shown.append((r.text.strip(), time.time()))
    threads = [threading.Thread(target=go, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    yield shown
    stop.set()
    for t in threads:
        t.join()


def archived(path, *args):
    """`postern backup -`, read by Python's tarfile as it comes."""
    p = subprocess.Popen(
        [str(h.PREFIX / "bin/postern"), "backup", *args, "-"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    path.mkdir(mode=0o700)
    with tarfile.open(fileobj=p.stdout, mode="r|") as t:
        for m in t:
            assert m.isreg() and (m.uid, m.gid) == (0, 0) and ".." not in m.name
            (path / m.name).parent.mkdir(parents=True, exist_ok=True)
            # one that comes again takes the place of the one before
            (path / m.name).write_bytes(t.extractfile(m).read())
    said = p.stderr.read().decode()
    assert p.wait(60) == 0, said
    return said


@pytest.mark.parametrize("way", ["folder", "archive"])
def test_while_jobs_run(bastion, job, busy, tmp_path, way):
    slow = job.popen(job.argv("web-1", "/opt/house/bin/slow 30"),
                     env=job.env(CI_TOKEN=job.issuer.token()))
    assert slow.stdout.readline() == b"started\n"
    time.sleep(random.uniform(0.5, 2))
    while not busy and slow.poll() is None:
        time.sleep(0.05)
    began = time.time()
    if way == "folder":
        said = bastion.postern("backup", tmp_path / "copy").stdout
    else:
        said = archived(tmp_path / "copy")
    assert "no keys" in said
    job.kill(slow)
    slow.wait()
    copy = tmp_path / "copy"
    lines = whole(copy)
    assert not list(copy.rglob("*.pem")) and not (copy / "ledger/key").exists()
    assert copy.stat().st_mode & 0o777 == 0o700
    # Nothing that a job had been shown before is missing.
    casts = "".join(p.read_text() for p in copy.glob("recordings/*/*.cast"))
    before = [text for text, when in busy if when < began]
    assert before and all(text in casts for text in before)
    assert '"started' in casts      # what ran then, too
    running = {e["operation"] for e in lines
               if e["event"] == "operation.decide" and "recording" in e} - \
        {e["operation"] for e in lines if e["event"] == "operation.end"}
    assert running
    r = bastion.postern("backup", copy, check=False)
    assert r.returncode == 1 and "is not empty" in r.stderr


def test_the_checkpoint_comes_before_its_tiles(bastion, job, tmp_path):
    """A later one would need tiles that are not in the copy."""
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    trace = tmp_path / "trace"
    h.run(*h.inside("bastion", [
        "strace", "-f", "-y", "-e", "trace=openat", "-o", trace,
        h.PREFIX / "bin/postern", "backup", tmp_path / "copy"]),
        # a leak cannot be looked for in what is traced
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    opened = re.findall(r'/ledger/tree(?:/tile/\w+)?>, "([\w.]+)", '
                        r'O_RDONLY.* = \d', trace.read_text())
    names = [x for x in opened if x not in ("tile", "entries")]
    assert names[0] == "checkpoint" and len(names) > 2, opened


@pytest.fixture
def new_house(bastion):
    """The bastion stopped, its state and keys put away; all of it comes back
    as it was."""
    ca, away = h.ETC / "ca", h.WORK / "away"
    bastion.stop()
    away.mkdir()
    h.STATE.rename(away / "state")
    shutil.copytree(ca, away / "ca")
    yield away
    bastion.stop()
    shutil.rmtree(h.STATE, ignore_errors=True)
    (away / "state").rename(h.STATE)
    shutil.rmtree(ca)
    shutil.copytree(away / "ca", ca)
    shutil.rmtree(away)
    bastion.start()


def test_an_archive_is_for_no_terminal_and_restores(bastion, job, request,
                                                    tmp_path):
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    said = archived(tmp_path / "copy", "--with-keys")
    assert "WARNING" in said
    p = subprocess.run(
        ["sh", "-c", f"{h.PREFIX}/bin/postern backup - 2>/dev/null | "
         "tar -tvf -"], capture_output=True, text=True, check=False)
    assert p.returncode == 0 and "ledger/ledger.jsonl" in p.stdout, p.stderr
    master, slave = os.openpty()
    p = subprocess.run([str(h.PREFIX / "bin/postern"), "backup", "-"],
                       stdout=slave, stderr=subprocess.PIPE, text=True,
                       stdin=subprocess.DEVNULL, check=False)
    os.close(slave)
    os.close(master)
    assert p.returncode == 64 and "not for a terminal" in p.stderr
    request.getfixturevalue("new_house")
    shutil.rmtree(h.ETC / "ca")
    bastion.postern("restore", tmp_path / "copy")
    bastion.start()
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    end = time.monotonic() + 30
    while (got := verdict())["verdict"] != "ok":
        assert time.monotonic() < end, got
        time.sleep(0.2)


def see(p, words):
    """Reads on until it has said so."""
    out = b""
    while not re.search(words, out):
        more = os.read(p.stdout.fileno(), 4096)
        assert more, (out, p.stderr.read())
        out += more


def in_a_shell(job):
    """A broker shell that has run a line, and waits for the next."""
    p = job.popen(job.argv("web-1", opts=["-tt"]), stdin=subprocess.PIPE,
                  env=job.env(CI_TOKEN=job.issuer.token()))
    see(p, rb"as \S+> ")
    p.stdin.write(b"systemctl restart web\n")
    p.stdin.flush()
    see(p, rb"(?s)web is up.*as \S+> ")
    return p


def test_a_new_house(bastion, job, new_house, tmp_path):
    # From a copy of what runs: taken with the keys, and with an operation and
    # a broker shell whose ends are not in it.
    copy = tmp_path / "copy"
    (new_house / "state").rename(h.STATE)
    bastion.start()
    slow = job.popen(job.argv("web-1", "/opt/house/bin/slow 30"),
                     env=job.env(CI_TOKEN=job.issuer.token()))
    assert slow.stdout.readline() == b"started\n"
    at = bastion.ledger()[-1]["number"]
    shell = in_a_shell(job)
    (line,) = [e["operation"] for e in bastion.written(at, "operation.decide")
               if e.get("by") != "shell"]
    end = time.monotonic() + 30
    while line not in {e["operation"]
                       for e in bastion.written(at, "operation.end")}:
        assert time.monotonic() < end
        time.sleep(0.05)
    (h.ETC / "ca/retired").mkdir()
    shutil.copy(h.ETC / "ca/job.pub", h.ETC / "ca/retired/job-1.pub")
    bastion.postern("ca", "krl", "--serial", "4711", new_house / "krl")
    r = bastion.postern("backup", "--with-keys", copy)
    assert "WARNING" in r.stderr and "private keys" in r.stderr
    for p in slow, shell:
        job.kill(p)
        p.wait()
    bastion.stop()
    h.STATE.rename(new_house / "state")
    shutil.rmtree(h.ETC / "ca")
    before = whole(copy)
    r = bastion.postern("restore", copy)
    assert "are restored" in r.stdout
    assert (h.ETC / "ca/revoked").read_text() == "target 4711\n"
    r = bastion.postern("ca", "krl", new_house / "krl")
    assert "revokes 1 retired CA key and 1 certificate" in r.stdout
    bastion.start()
    r = bastion.postern("restore", copy, check=False)
    assert r.returncode == 1 and "already" in r.stderr
    after = whole(h.STATE)
    assert after[:len(before)] == before
    # What ran then is closed, with what it had shown.
    open_ = {e["operation"]: e.get("by") == "shell" for e in before
             if e["event"] == "operation.decide" and "recording" in e}
    for e in before:
        if e["event"] == "operation.end":
            open_.pop(e["operation"], None)
    assert sorted(open_.values()) == [False, True]
    end = time.monotonic() + 30
    while len(ends := [e for e in bastion.ledger()
                       if e["event"] == "operation.end" and
                       e["operation"] in open_]) < 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert {e["state"] for e in ends} == {"interrupted"}
    for op, is_shell in open_.items():
        r = bastion.postern("replay", op, "--speed", "0")
        assert ("web is up" if is_shell else "started") in r.stdout
        assert not is_shell or re.search(r"as \S+> .*restart web", r.stdout)
    # Targets know its keys, and jobs go on.
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    whole(h.STATE)


def verdict(*args):
    """What both verifiers say: they say the same."""
    got = []
    for argv in ([h.PREFIX / "bin/postern", "verify", "--json"],
                 ["/usr/bin/python3", h.TOP / "doc/verify.py"]):
        p = subprocess.run([*map(str, argv), *map(str, args), str(h.STATE)],
                           capture_output=True, text=True, check=False)
        got.append(json.loads(p.stdout))
    a, b = ({k: x.get(k) for k in ("verdict", "file", "line")} for x in got)
    assert a == b, got
    return got[0]


def test_a_new_house_without_the_old_keys(bastion, job, request, tmp_path):
    """The ledger goes on with another key, and says so."""
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    old = bastion.postern("ledger", "key").stdout.strip()
    copy = tmp_path / "copy"
    bastion.postern("backup", copy)
    assert not (copy / "ledger/key").exists()
    request.getfixturevalue("new_house")
    r = bastion.postern("restore", copy)
    assert "Note it outside of this host" in r.stdout
    (key,) = [x for x in r.stdout.splitlines()
              if x.startswith("postern-ledger/1/")]
    auditor = grp.getgrnam("postern-auditor").gr_gid
    ledger = h.STATE / "ledger/ledger.jsonl"
    assert (ledger.stat().st_mode & 0o777, ledger.stat().st_gid) == \
        (0o640, auditor)
    assert (h.STATE / "ledger/key").stat().st_mode & 0o777 == 0o600
    bastion.start()
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    line = next(e for e in bastion.ledger() if e["event"] == "ledger.key" and
                e["key"] == key)
    assert line["reason"].startswith("restored")
    end = time.monotonic() + 30
    while verdict("--key", key)["verdict"] != "ok":
        assert time.monotonic() < end, verdict("--key", key)
        time.sleep(0.2)
    for args in ((), ("--key", old)):
        got = verdict(*args)
        assert (got["verdict"], got["line"]) == ("restored", line["number"])
    r = bastion.postern("verify", check=False)
    assert r.returncode == 1 and "All else is well" in r.stderr and \
        key in r.stderr


def test_no_link_is_followed(bastion, job, request, tmp_path):
    """Root copies what audit's folders hold, not what somebody who owned audit
    would have it read, or write over."""
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    copy, other = tmp_path / "copy", tmp_path / "other"
    bastion.postern("backup", copy)
    request.getfixturevalue("new_house")
    other.mkdir()
    (other / "target.pem").write_text("x")

    def linked(path):
        path.rename(path.with_name("away"))
        path.symlink_to(other)

    def unlinked(path):
        path.unlink()
        path.with_name("away").rename(path)
    linked(copy / "ledger/tree")
    r = bastion.postern("restore", copy, check=False)
    assert r.returncode == 74 and "nothing is restored" in r.stderr, r.stderr
    assert not list(h.STATE.rglob("target.pem"))
    unlinked(copy / "ledger/tree")
    for day in (copy / "recordings").iterdir():
        shutil.rmtree(h.STATE / "recordings" / day.name)
        (h.STATE / "recordings" / day.name).symlink_to(other)
    r = bastion.postern("restore", copy, check=False)
    assert r.returncode == 74 and [x.name for x in other.iterdir()] == \
        ["target.pem"], r.stderr
    shutil.rmtree(h.STATE)
    bastion.postern("restore", copy)
    for path in ("ledger/tree", "ledger/ledger.jsonl"):
        linked(h.STATE / path)
        to = tmp_path / path.replace("/", "-")
        r = bastion.postern("backup", to, check=False)
        assert r.returncode == 74, r.stderr
        assert not list(to.rglob("target.pem"))
        unlinked(h.STATE / path)
    os.mkfifo(h.STATE / "ledger/fifo")
    ledger = h.STATE / "ledger/ledger.jsonl"
    ledger.rename(h.STATE / "ledger/away")
    (h.STATE / "ledger/fifo").rename(ledger)
    r = bastion.postern("backup", tmp_path / "fifo", check=False)
    assert r.returncode == 74, r.stderr
    (h.STATE / "ledger/away").rename(ledger)


def revoke(tmp_path):
    """A CA key that was retired and one certificate, on this bastion."""
    pub = h.ssh_keygen(tmp_path / "retired").with_suffix(".pub")
    (h.ETC / "ca/retired").mkdir(exist_ok=True)
    there = h.ETC / "ca/retired/target-20260102T030405Z.pub"
    shutil.copy(pub, there)
    return there


@pytest.mark.parametrize("keys", [[], ["--with-keys"]])
def test_what_was_revoked_comes_along(bastion, job, request, tmp_path, keys):
    """With keys or without: a list that is made afterwards has it, and what
    was revoked on the new bastion meanwhile."""
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    request.getfixturevalue("new_house")
    h.STATE.mkdir()
    bastion.start()
    there, krl = revoke(tmp_path), tmp_path / "krl"
    bastion.postern("ca", "krl", "--serial", "4711", krl)
    bastion.postern("backup", *keys, tmp_path / "copy")
    bastion.stop()
    shutil.rmtree(h.STATE)
    shutil.rmtree(h.ETC / "ca")
    if not keys:
        bastion.postern("ca", "init")
        bastion.postern("ca", "krl", "--serial", "4712", krl)
    bastion.postern("restore", tmp_path / "copy")
    assert there.read_text() == (tmp_path / "retired.pub").read_text()
    assert there.parent.stat().st_mode & 0o777 == 0o755
    said = bastion.postern("ca", "krl", krl).stdout
    assert "1 retired CA key" in said
    assert f"{1 if keys else 2} certificate" in said
    p = h.run("ssh-keygen", "-Q", "-f", krl, there, check=False)
    assert p.returncode == 1 and "REVOKED" in p.stdout


def each_write(argv, there):
    """Its n-th write fails, n = 1, 2, … until there is none; what it said each
    time."""
    said, n = [], 0
    while True:
        n += 1
        p = h.run(*h.inside("bastion", [
            "strace", "-f", "-o", "/dev/null", "-e", "trace=write", "-e",
            f"inject=write:error=ENOSPC:when={n}", *argv]), check=False,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        if p.returncode == 0:
            return said
        # What fails may be the word that it failed.
        assert p.returncode == 74, (n, p)
        said.append(p.stderr)
        there(n)


def test_2_disk_full_at_each_write(bastion, job, request, tmp_path):
    """Of a backup and of a restoration: it says so, no half of it is taken for
    the whole, and another try goes through."""
    request.getfixturevalue("new_house")
    h.STATE.mkdir()
    bastion.start()
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    end = time.monotonic() + 30
    while verdict()["verdict"] != "ok":
        assert time.monotonic() < end, verdict()
        time.sleep(0.2)
    bastion.stop()
    tool, copy = h.PREFIX / "bin/postern", tmp_path / "copy"
    half = tmp_path / "half"

    def half_is_none(n):
        copy.rename(half)
        aside = h.STATE.with_name("aside")
        h.STATE.rename(aside)
        r = bastion.postern("restore", half, check=False)
        # All may be in it, but for the last word; and the new key's line.
        assert r.returncode != 0 or whole(h.STATE)[:-1] == whole(aside), n
        shutil.rmtree(h.STATE, ignore_errors=True)
        aside.rename(h.STATE)
        shutil.rmtree(half)
    said = each_write([tool, "backup", copy], half_is_none)
    assert len(said) > 4
    assert sum("No space left on device" in x for x in said) >= len(said) - 2
    assert any("not whole: empty the folder" in x for x in said)
    shutil.rmtree(h.STATE)

    def nothing(n):
        assert not (h.STATE / "ledger/ledger.jsonl").exists(), n
    # Without keys: the ledger gets one, and a line more.
    said = each_write([tool, "restore", copy], nothing)
    assert len(said) > 6
    assert sum("nothing is restored" in x for x in said) >= len(said) - 1
    assert [e["event"] for e in whole(h.STATE)][-1] == "ledger.key"
    bastion.start()
    assert job.ssh("web-1", "/usr/bin/true").code == 0


@pytest.mark.parametrize("harm, why", [
    (lambda p: p.unlink(), "it is not there"),
    (lambda p: p.write_bytes(p.read_bytes() + b"x"), "not what its line says"),
])
def test_a_copy_that_is_not_whole_is_not_restored(bastion, job, tmp_path,
                                                  harm, why, request):
    assert job.ssh("web-1", "/usr/bin/true").code == 0
    bastion.mark()
    copy = tmp_path / "copy"
    bastion.postern("backup", copy)
    end = [e for e in lines_of(copy) if "recording_sha256" in e and
           e["event"] == "operation.end"][-1]
    file = pathlib.Path(copy / "recordings" / end["recording"])
    file.chmod(0o600)
    harm(file)
    request.getfixturevalue("new_house")
    r = bastion.postern("restore", copy, check=False)
    assert r.returncode == 1 and why in r.stderr, r.stderr
    assert not (h.STATE / "ledger/ledger.jsonl").exists()
    lines = (copy / "ledger/ledger.jsonl").read_text().splitlines(True)
    (copy / "ledger/ledger.jsonl").write_text("".join(lines[:2] + lines[3:]))
    r = bastion.postern("restore", copy, check=False)
    assert r.returncode == 1 and "the line before has" in r.stderr
    (copy / "ledger/ledger.jsonl").write_text("".join(lines[:2]))
    r = bastion.postern("restore", copy, check=False)
    assert r.returncode == 1 and "ends at line 2, and its checkpoint signs" in \
        r.stderr
    assert not (h.STATE / "ledger/ledger.jsonl").exists()
