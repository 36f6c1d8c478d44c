"""scp -O: its own protocol, judged name by name.  A stock client at one end,
the target's own scp at the other."""
import hashlib
import os
import shutil
import subprocess

import house as h
import pytest

from test_files_way import run

THERE = f"/tmp/postern-scp-{os.getpid()}"
RULES = f"""
identity mover from github {{ claim repository_id = "7712345"; claim ref = "refs/heads/move" }}
allow carry for mover on web-1 {{
    write under {THERE} by scp-legacy max 20MiB
    read under {THERE} by scp-legacy
}}
deny keys for * on * {{ write under {THERE}/keys by scp-legacy }}
"""


@pytest.fixture
def there(rules):
    """The folder on the target, its login's."""
    shutil.rmtree(THERE, ignore_errors=True)
    os.mkdir(THERE)
    shutil.chown(THERE, "deploy")
    yield THERE
    shutil.rmtree(THERE, ignore_errors=True)


@pytest.fixture
def here(tmp_path):
    for p in (tmp_path, *tmp_path.parents[:-1]):
        if p.stat().st_uid == os.getuid():
            p.chmod(p.stat().st_mode | 0o755)
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "a").write_bytes(os.urandom(1 << 20))
    (tmp_path / "empty").touch()
    (tmp_path / "d/e/b c").write_text("deep\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    os.utime(tmp_path / "a", (1e9, 1e9))
    return tmp_path


def scp(job, *args):
    args = [x.replace("web-1:", f"web-1@{job.host}:") for x in map(str, args)]
    return run(job, "scp", ["-O", *args])


def files(bastion, mark):
    """operation.end, and what `postern show` says of its files."""
    e = bastion.event(mark, "operation.end")
    out = bastion.postern("show", e["operation"]).stdout
    return e, [x.split() for x in out.split("manifest\n")[1].splitlines()] \
        if "\nmanifest\n" in out else []


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_up(bastion, job, mark, here, there):
    r = scp(job, "-p", here / "a", f"web-1:{there}/a")
    assert (r.code, r.err) == (0, b"")
    got = os.stat(f"{there}/a")
    assert (got.st_size, got.st_mtime) == (1 << 20, 1e9)
    d = bastion.event(mark, "operation.decide")
    assert (d["by"], d["rule"]) == ("scp-legacy", "carry")
    e, lines = files(bastion, mark)
    assert (e["state"], e["exit"], e["files"]) == ("complete", 0, 1)
    assert e["bytes_written"] == 1 << 20
    assert lines == [["put", "done", "1048576", digest(here / "a"),
                      f"{there}/a", "->", f"{there}/a/a", "(carry)"]]


def test_down(bastion, job, mark, here, there):
    shutil.copy(here / "a", there)
    r = scp(job, f"web-1:{there}/a", here / "out/x")
    assert (r.code, r.err) == (0, b"")
    assert digest(here / "out/x") == digest(here / "a")
    e, lines = files(bastion, mark)
    assert e["bytes_read"] == 1 << 20
    assert lines == [["get", "done", "1048576", digest(here / "a"),
                      f"{there}/a", "(carry)"]]


def test_folders(bastion, job, mark, here, there):
    r = scp(job, "-r", here / "d", here / "empty", f"web-1:{there}/")
    assert (r.code, r.err) == (0, b""), r.error
    with open(f"{there}/d/e/b c") as f:
        assert f.read() == "deep\n"
    assert os.stat(f"{there}/empty").st_size == 0
    r = scp(job, "-r", f"web-1:{there}/d", here / "out")
    assert (r.code, r.err) == (0, b"")
    assert (here / "out/d/e/b c").read_text() == "deep\n"


def test_denied(bastion, job, mark, here, there):
    r = scp(job, here / "a", f"web-1:{there}/keys")
    assert r.code == 1 and "denied by rule `keys`" in r.error, r.error
    assert not os.path.exists(f"{there}/keys")
    d = bastion.event(mark, "operation.decide")
    assert (d["verdict"], d["by"]) == ("deny", "scp-legacy")


def test_denied_on_the_way(bastion, job, mark, here, there):
    """One of many: the others go through, and the client hears of it."""
    (here / "d/keys").write_text("secret")
    r = scp(job, "-r", *(here / "d").iterdir(), f"web-1:{there}")
    assert r.code == 1 and "denied by rule `keys`" in r.error, r.error
    assert os.path.exists(f"{there}/e/b c")
    assert not os.path.exists(f"{there}/keys")
    e, lines = files(bastion, mark)
    assert (e["files"], e["files_refused"]) == (3, 1)
    assert ["put", "refused", "0", "-", f"{there}/keys"] in lines


def test_max(bastion, job, mark, here, there):
    with open(here / "big", "wb") as f:
        f.truncate(21 << 20)
    r = scp(job, here / "big", f"web-1:{there}/big")
    assert r.code == 1 and "rule `carry` grants (max)" in r.error, r.error
    assert not os.path.exists(f"{there}/big")


@pytest.mark.parametrize("line", [
    "C0644 3 ../postern-cheat", "C0644 3 /tmp/postern-cheat", "C0644 3 ..",
    "D0755 0 d", "E", "nonsense"])
def test_a_job_that_cheats(bastion, job, mark, there, line):
    r = job.ssh("web-1", f"scp -t {there}", input=f"{line}\nabc\0".encode(),
                token=job.issuer.token(ref="refs/heads/move"))
    assert r.code == 64 and "broke scp's protocol" in r.error, r.error
    assert not os.listdir(there)
    assert not os.path.exists("/tmp/postern-cheat")
    assert bastion.event(mark, "operation.end")["state"] == "complete"


def test_nothing_is_expanded(bastion, job, mark, there):
    r = job.ssh("web-1", f"scp -f '{there}/$(touch {there}/x)'",
                token=job.issuer.token(ref="refs/heads/move"), input=b"\0")
    assert r.code != 0 and not os.path.exists(f"{there}/x")


@pytest.fixture
def evil(here):
    """What it sends is what the target's scp says; the job has its own."""
    if os.environ.get("POSTERN_TARGET_ROOT"):
        pytest.skip("the target's scp is another system's")
    shutil.copy("/usr/bin/scp", here / "scp")
    fake = here / "fake"

    def says(text):
        fake.write_text(f"#!/bin/sh\nprintf '{text}'\nsleep 1\n")
        fake.chmod(0o755)
        subprocess.run(["mount", "--bind", fake, "/usr/bin/scp"], check=True)
        return here / "scp"
    yield says
    subprocess.run(["umount", "-l", "/usr/bin/scp"], check=False)


@pytest.mark.parametrize("says", [
    r"C0644 5 other\n", r"C0644 5 ../a\n", r"D0755 0 a\n",
    r"C0644 0 a\n\000C0644 0 a\n", r"C0644 5 .bashrc\n",
    r"T0 0 0 0\nC0755 5 other\n", "rubbish\\n"])
def test_a_target_that_cheats(bastion, job, mark, here, there, evil, says):
    """CVE-2019-6111 and its kin: it sends what nobody asked for."""
    scp_ = evil(says)
    r = run(job, str(scp_), ["-O", f"web-1@{job.host}:{there}/a",
                             str(here / "out")])
    assert r.code != 0 and "the target broke scp's protocol" in r.error, r.error
    assert [x.name for x in (here / "out").iterdir()] in ([], ["a"])
    assert bastion.event(mark, "operation.end")["exit"] == 69
