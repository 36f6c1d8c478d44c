"""An auditor at work: looks at everything, changes nothing, and is written down;
and what leaves the host so that he can trust it."""
import grp
import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import time

import house as h
import pytest

TRUE = "/usr/bin/true"
UID = 64050         # nobody's account: the group alone counts


@pytest.fixture
def auditor(up):
    """Runs postern as a member of postern-auditor."""
    def run(*args, gid=grp.getgrnam("postern-auditor").gr_gid, cwd="/tmp"):
        return subprocess.run(
            ["nsenter", "--net=/run/netns/bastion", f"--setuid={UID}",
             f"--setgid={gid}", "--", str(h.PREFIX / "bin/postern"),
             *map(str, args)], capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL, cwd=cwd, check=False)
    return run


@pytest.fixture
def ended(bastion, job, mark):
    """An operation that has ended."""
    assert job.ssh("web-1", "systemctl restart web").code == 0
    return bastion.event(mark, "operation.end")


def views(bastion, mark, n):
    """The next n, of this auditor's."""
    end = time.monotonic() + 30
    while True:
        got = [e for e in bastion.events(mark, "view")
               if e["viewer"] == f"uid:{UID}"]
        if len(got) >= n:
            return got
        assert time.monotonic() < end, got
        time.sleep(0.1)


@pytest.fixture
def out():
    """A folder of his."""
    folder = pathlib.Path("/opt/house/exported")
    folder.mkdir()
    os.chown(folder, UID, -1)
    yield folder
    shutil.rmtree(folder)


def test_he_looks_and_each_look_is_a_line(bastion, auditor, ended, out):
    mark, op = bastion.mark(), ended["operation"]
    r = auditor("sessions", "--target", "web-1")
    assert r.returncode == 0 and op in r.stdout, r.stderr
    r = auditor("show", op)
    assert "systemctl" in r.stdout and r.returncode == 0, r.stderr
    r = auditor("replay", "--speed", "0", op)
    assert "restart web" in r.stdout and r.returncode == 0, r.stderr
    r = auditor("export", op, out / "x.cast")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    cast = out / "x.cast"
    assert cast.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(cast.read_bytes()).hexdigest() == \
        ended["recording_sha256"]
    r = auditor("export", op, out / "x.cast")
    assert r.returncode == 74 and "exists" in r.stderr
    r = auditor("export", "--manifest", op)
    assert r.stdout.startswith('{"kind":"open"')
    assert [(v["what"], v.get("operation"), v.get("target"))
            for v in views(bastion, mark, 5)] == [
        ("sessions", None, "web-1"), ("show", op, None),
        ("recording", op, None), ("export", op, None), ("export", op, None)]
    r = auditor("status")
    assert r.returncode == 0 and "signed within a second" in r.stdout
    assert auditor("hold", "list").returncode == 0


@pytest.mark.parametrize("words, name", [
    (("kill", "--all"), "kill"), (("lock",), "lock"), (("unlock",), "lock"),
    (("reload",), "reload"),
    (("hold", "add", "--commit", "1f0c7a2"), "a question"),
    (("hold", "remove", "--commit", "1f0c7a2"), "a question")])
def test_he_changes_nothing(bastion, auditor, mark, words, name):
    r = auditor(*words)
    assert r.returncode == 77 and r.stdout == "", (r.stdout, r.stderr)
    assert "only members of postern-admin" in r.stderr
    e = bastion.event(mark, "control.refused")
    assert e["asker"] == f"uid:{UID}" and e["reason"].startswith(name)
    status = json.loads(bastion.postern("status", "--json").stdout)
    assert not status["locked"]
    assert not [e for e in bastion.events(mark) if e["event"] in (
        "kill", "lock", "unlock", "hold.add", "policy.load")]


def test_the_bastions_keys_are_not_his(auditor, out):
    """What is root's stays root's: rotation, keys, a backup."""
    for words in (("ca", "rotate"), ("ca", "init"), ("backup", out / "x"),
                  ("backup", "--with-keys", out / "y"), ("doctor",)):
        r = auditor(*words)
        assert r.returncode != 0, words
    assert not [x for x in out.rglob("*") if x.is_file()]


def test_he_verifies_without_the_folder(bastion, auditor, ended):
    recordings = h.STATE / "recordings"
    assert recordings.stat().st_mode & 0o077 == 0
    path = recordings / ended["recording"]
    mark = bastion.mark()
    r = auditor("verify")
    assert r.returncode == 0 and "well: " in r.stdout, r.stderr
    assert views(bastion, mark, 1)[0]["what"] == "files"
    good = path.read_bytes()
    path.chmod(0o640)
    try:
        path.write_bytes(good.replace(b"restart", b"reStart"))
        r = auditor("verify")
        assert r.returncode == 1 and "changed" in r.stderr, r.stderr
        assert ended["recording"] in r.stderr
        r = auditor("verify", "--operation", ended["operation"])
        assert r.returncode == 1, r.stderr
    finally:
        path.write_bytes(good)
        path.chmod(0o440)
    r = auditor("verify", "--operation", ended["operation"])
    assert r.returncode == 0 and "1 recording of" in r.stdout, r.stderr


def test_who_is_in_no_group_is_told_which(auditor, ended):
    for words in (("sessions",), ("status",), ("kill", "--all")):
        r = auditor(*words, gid=UID)
        assert r.returncode == 77 and "postern-auditor" in r.stderr
    assert auditor("verify", gid=UID).returncode == 69


# -- anchors ------------------------------------------------------------------


@pytest.fixture
def anchored(bastion, tmp_path):
    """Started again with a command that keeps what it gets; at last without."""
    conf = h.ETC / "postern.conf"
    before = conf.read_text()
    folder = pathlib.Path("/opt/house/anchors")
    folder.mkdir(exist_ok=True)
    os.chown(folder, pwd.getpwnam("_postern-anchor").pw_uid, -1)
    (folder / "kept").unlink(missing_ok=True)
    command = pathlib.Path("/opt/house/anchor")
    command.write_text(f"#!/bin/sh\n[ -e {folder}/broken ] && exit 5\n"
                       f"cat >>{folder}/kept\n")
    command.chmod(0o755)
    bastion.stop()
    conf.write_text(before + f"anchor-command {command}\n"
                    "anchor-interval 1s\n")
    bastion.start()
    yield folder
    bastion.stop()
    conf.write_text(before)
    bastion.start()


def status(bastion):
    return json.loads(bastion.postern("status", "--json").stdout)


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not (got := what()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return got


def test_anchors_leave_the_host(bastion, job, anchored, mark):
    kept = anchored / "kept"
    assert job.ssh("web-1", TRUE).code == 0
    until(lambda: kept.exists() and "postern-ledger/1/" in kept.read_text())
    until(lambda: "anchor_age_s" in status(bastion))
    text = bastion.postern("status").stdout
    assert re.search(r"anchors +the last one got through \d+ s ago", text)
    r = bastion.postern("verify", "--anchor", kept)
    assert "no checkpoint from elsewhere" not in r.stdout
    # one that does not get through
    (anchored / "broken").touch()
    try:
        bastion.postern("sessions")     # there is something new to anchor
        e = until(lambda: [x for x in bastion.events(mark, "alarm")
                           if "not anchored any more" in x["reason"]])[0]
        assert e["process"] == "audit" and "exit code 5" in e["reason"]
        r = bastion.postern("status")
        assert "NOT SENT: " in r.stdout and "exit code 5" in r.stdout
        r = bastion.postern("status", "--prometheus")
        assert "postern_anchor_failing 1\n" in r.stdout
    finally:
        (anchored / "broken").unlink()
    until(lambda: [x for x in bastion.events(mark, "alarm")
                   if "anchored again" in x["reason"]])
    assert not status(bastion)["anchor_failing"]
    # nothing waits for it
    assert job.ssh("web-1", TRUE).code == 0
