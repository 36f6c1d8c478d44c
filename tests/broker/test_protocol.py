"""Every message of the table at every door of each process: from the wrong
sender, too short, too long, with leftovers, with descriptors it must not carry
or without those it must.  What breaks a rule ends that connection and nothing
else; where it came from a sibling or the parent, the process ends, because its
neighbour is not what it was.

The cases are made from lib/proto.[ch] and doc/PROTOCOL.md: a new row is tried
as it is.
"""
import contextlib
import os
import pathlib
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import audit_wire  # noqa: E402
import process as oidc_wire  # noqa: E402
import test_policy_process as tp  # noqa: E402
import test_signer_process as ts  # noqa: E402
import wire as w  # noqa: E402
from table import ROWS, broken, raw  # noqa: E402

pytestmark = ts.pytestmark
program = tp.program


# -- the doors ---------------------------------------------------------------


class House:
    """A process, its doors, and somebody good who is still served."""

    def __init__(self, make, stop, doors, good, pid):
        self.make, self.stop, self.doors, self.good = make, stop, doors, good
        self.pid = pid


def send(sock, data, nfd):
    """Whether it could be sent at all; a descriptor goes with it as often."""
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        w.send_raw(sock, data, [fd] * nfd)
    finally:
        os.close(fd)


def closed(sock, timeout=20):
    """What is still said before the connection ends does not count."""
    end = time.monotonic() + timeout
    try:
        while (m := w.receive(sock, max(0.1, end - time.monotonic()))):
            m.close()
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.fixture
def signer(tmp_path, ca):
    tmp_path.chmod(0o755)
    it = ts.Signer(ts_program(), tmp_path, ca)
    yield it
    it.proc.kill()
    it.proc.wait()
    it.control.close()


ca = ts.ca


def ts_program():
    return w.install(ts.BUILT, "/opt/postern-signer")


@pytest.fixture
def policy(tmp_path, program):
    it = tp.Policy(program, tmp_path)
    yield it
    for m in it.monitors:
        m.kill()
    it.proc.kill()
    it.proc.wait()
    it.control.close()


@pytest.fixture
def audit(tmp_path):
    it = audit_wire.Audit(tmp_path)
    yield it
    if it.proc.poll() is None:
        it.kill()


@pytest.fixture
def oidc(tmp_path):
    it = oidc_wire.Oidc(tmp_path)
    yield it
    it.process.kill()
    it.process.wait()


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def settles(pid, n):
    end = time.monotonic() + 20
    while fds_of(pid) > n:
        assert time.monotonic() < end, f"{fds_of(pid)} descriptors, not {n}"
        time.sleep(0.01)


def strangers(self, role):
    """Rows that must not come from role, or not to this process."""
    return [r for r in ROWS if role not in r.from_ or not r.to & self]


def attack(pid, connect, role, self, good):
    """All of it at a door whose breach ends that connection alone."""
    assert good()
    n = fds_of(pid)
    tried = 0
    for row in strangers(self, role):
        with contextlib.closing(connect()) as s:
            send(s, raw(row.kind, b"".join(row.parts)), row.fds_min)
            assert closed(s), f"{row} was taken"
        tried += 1
    for row in ROWS:
        if role not in row.from_ or not row.to & self:
            continue
        for what, data, nfd in broken(row):
            with contextlib.closing(connect()) as s:
                send(s, data, nfd)
                assert closed(s), f"{row}: {what}"
            tried += 1
    with contextlib.closing(connect()) as s:
        send(s, raw(0xffff), 0)
        assert closed(s), "an unknown type was taken"
    settles(pid, n)
    assert good()
    assert tried > len(ROWS)


def test_the_table_is_read_whole():
    names = {r.name for r in ROWS}
    assert names == set(w.TYPES)
    assert all(w.TYPES[r.name] == r.kind for r in ROWS)
    run = next(r for r in ROWS if r.name == "RUN")
    assert len(run.parts) == 9 and run.fds_min == 3
    assert all(len(b"".join(r.parts)) <= r.limit for r in ROWS)


def test_signer_and_hops(signer, ca):
    attack(signer.proc.pid, lambda: signer.grant(), "hop", {"signer"},
           lambda: ts.signed(signer.grant(), ca))
    assert signer.alive() and "Sanitizer" not in signer.log()


@pytest.mark.parametrize("door, role, self", [
    ("session", "pam", {"policy"}), ("ctl", "cli", {"policy"})])
def test_policy_and_callers(policy, door, role, self):
    attack(policy.proc.pid,
           lambda: w.connect(policy.path / f"{door}.sock"), role, self,
           lambda: "sessions" in policy.status())
    assert policy.alive() and "Sanitizer" not in policy.log()


def test_policy_and_shells(policy):
    attack(policy.proc.pid,
           lambda: w.connect(policy.path / "shell.sock"), "shell",
           {"policy"}, lambda: "sessions" in policy.status())
    assert policy.alive() and "Sanitizer" not in policy.log()


def test_oidc_and_the_module(oidc):
    attack(oidc.process.pid, oidc.connect, "pam", {"oidc"},
           lambda: oidc.login("x") == (1, ""))
    assert oidc.alive()


# -- siblings and the parent ----------------------------------------------------

def breaches(role, self):
    """One of each kind at each door: each costs the process its life."""
    for row in strangers(self, role):
        yield f"{row} from {role}", raw(row.kind, b"".join(row.parts)), \
            row.fds_min
    for row in ROWS:
        if role not in row.from_ or not row.to & self:
            continue
        seen = set()
        for what, data, nfd in broken(row):
            kind = what.rstrip("0123456789")
            if kind not in seen:
                seen.add(kind)
                yield f"{row} from {role}: {what}", data, nfd


class Lives:
    """A process that is started again for each breach."""

    def __init__(self, folder, make):
        self.folder, self.make, self.n = folder, make, 0

    def ends(self, what, door, data, nfd):
        self.n += 1
        folder = self.folder / str(self.n)
        folder.mkdir(mode=0o755)
        it = self.make(folder)
        proc = getattr(it, "proc", None) or it.process
        try:
            # Held until it has ended: a socket that is closed over something
            # unread takes back what was sent through it.
            at = door(it)
            send(at, data, nfd)
            code = proc.wait(30)
        except Exception as e:
            said = [x.read_text(errors="replace") for x in folder.rglob("log")]
            raise AssertionError(f"{what}: {e} {said}") from e
        finally:
            for m in getattr(it, "monitors", []):
                m.kill()
            proc.kill()
            proc.wait()
            for sock in vars(it).values():
                if isinstance(sock, socket.socket):
                    sock.close()
        assert code > 0, f"{what}: ended with {code}"
        for log in folder.rglob("log"):
            assert "Sanitizer" not in log.read_text(errors="replace"), what


@pytest.mark.parametrize("role", ["policy", "parent"])
def test_what_signer_believes_of(role, tmp_path, ca):
    tmp_path.chmod(0o755)
    lives = Lives(tmp_path, lambda d: ts.Signer(ts_program(), d, ca))
    for what, data, nfd in breaches(role, {"signer"}):
        lives.ends(what, lambda it: it.policy if role == "policy" else
                   it.control, data, nfd)
    assert lives.n >= len(ROWS)


@pytest.mark.parametrize("role", ["audit", "signer", "oidc", "parent"])
def test_what_policy_believes_of(role, tmp_path, program):
    tmp_path.chmod(0o755)
    lives = Lives(tmp_path, lambda d: tp.Policy(program, d))
    for what, data, nfd in breaches(role, {"policy"}):
        # A fresh link: nobody answers between it and us.
        lives.ends(what, lambda it: it.control if role == "parent" else
                   w.Child.link(it, role), data, nfd)
    assert lives.n >= len(ROWS)


@pytest.mark.parametrize("role", ["policy", "oidc", "parent"])
def test_what_audit_believes_of(role, tmp_path):
    def door(it):
        if role == "oidc":
            it.link("oidc")     # it.policy is that link now
        return it.parent if role == "parent" else it.policy

    lives = Lives(tmp_path, audit_wire.Audit)
    for what, data, nfd in breaches(role, {"audit"}):
        lives.ends(what, door, data, nfd)
    assert lives.n >= len(ROWS)


@pytest.mark.parametrize("role", ["policy", "audit", "parent"])
def test_what_oidc_believes_of(role, tmp_path):
    lives = Lives(tmp_path, oidc_wire.Oidc)
    for what, data, nfd in breaches(role, {"oidc"}):
        lives.ends(what, lambda it: it.control if role == "parent" else
                   getattr(it, role), data, nfd)
    assert lives.n >= len(ROWS)
