"""Every message of the table at the doors of those that test_protocol.py does
not start: posternd, postern-hop, postern-shell, and the PAM module.  What breaks
a rule ends that connection, and what hangs on it; beside each there is a good
one that is not disturbed.
"""
import contextlib
import importlib.util
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_posternd_process as tpd  # noqa: E402
import wire as w  # noqa: E402
from table import ROWS, TOP, broken, raw  # noqa: E402

pytestmark = tpd.pytestmark
BUILD = tpd.BUILD
TEMPFAIL = 75


def body(row):
    return b"".join(row.parts)


def strangers(allowed):
    """A message of each row that is not allowed here."""
    for row in ROWS:
        if row.name not in allowed:
            yield row.name, raw(row.kind, body(row)), row.fds_min


def one_of_a_kind(*names):
    """Each way to break these rows, once."""
    for row in ROWS:
        if row.name not in names:
            continue
        seen = set()
        for what, data, n in broken(row):
            kind = what.rstrip("0123456789")
            if kind not in seen:
                seen.add(kind)
                yield f"{row}: {what}", data, n


def send(sock, data, nfd):
    fd = os.open("/dev/null", os.O_RDONLY)
    # Whoever has gone meanwhile is gone.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        w.send_raw(sock, data, [fd] * nfd)
    os.close(fd)


# -- postern-shell ------------------------------------------------------------------

SHELL = BUILD / "tests/shell/postern-shell"


class Shells:
    """postern-shells, and the broker that they ask."""

    def __init__(self, folder):
        self.folder = folder
        self.listener = w.listener(folder / "shell.sock")
        self.listener.setblocking(True)
        self.listener.settimeout(60)

    def new(self, accepted=False):
        """(process, its connection)"""
        p = subprocess.Popen(
            ["postern-shell", "-c", "postern"], executable=SHELL,
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={"POSTERN_SESSION": "01" * 16,
                                         "SSH_ORIGINAL_COMMAND": "id"})
        conn, _ = self.listener.accept()
        w.expect(conn, "RUN", 60).close()
        if accepted:
            w.send(conn, "ACCEPTED")
        return p, conn

    def ends(self, what, p, conn):
        out, err = p.communicate(timeout=60)
        conn.close()
        assert p.returncode == TEMPFAIL and out == b"", what
        assert b"postern:" in err and b"Sanitizer" not in err, (what, err)


@pytest.fixture
def shells(tmp_path):
    it = Shells(tmp_path)
    yield it
    it.listener.close()


def test_shell_before_it_is_accepted(shells):
    good, its = shells.new()
    tried = 0
    for what, data, nfd in [*strangers({"ANSWER", "ACCEPTED"}),
                            *one_of_a_kind("ANSWER", "ACCEPTED")]:
        p, conn = shells.new()
        send(conn, data, nfd)
        shells.ends(what, p, conn)
        tried += 1
    w.send(its, "ANSWER", w.u32(3) + w.text("x") + w.text(""))
    assert good.communicate(timeout=60)[0] == b"x" and good.returncode == 3
    assert tried > len(ROWS)


def test_shell_that_was_accepted(shells):
    good, its = shells.new(accepted=True)
    for what, data, nfd in [*strangers({"EXIT"}), *one_of_a_kind("EXIT")]:
        p, conn = shells.new(accepted=True)
        send(conn, data, nfd)
        shells.ends(what, p, conn)
    w.send(its, "EXIT", w.u32(0) + w.u32(4))
    assert good.wait(60) == 4


def test_shell_and_a_hop_of_a_list(shells):
    """The hop's connection is over; what policy says of the list counts."""
    for what, data, nfd in [*strangers({"EXIT"}), *one_of_a_kind("EXIT")]:
        p, conn = shells.new()
        hop, theirs = w.pair()
        w.send(conn, "ACCEPTED", fds=[theirs.fileno()])
        theirs.close()
        send(hop, data, nfd)
        with contextlib.suppress(ConnectionResetError):
            assert w.receive(hop, 60) is None, what
        w.send(conn, "ANSWER", w.u32(5) + w.text("") + w.text("end"))
        assert p.communicate(timeout=60) == (b"", b"end"), what
        assert p.returncode == 5, what
        hop.close()
        conn.close()


# -- the PAM module --------------------------------------------------------------------


def pam_module():
    """tests/pam's handle; its `wire` is another one than ours."""
    ours = sys.modules.pop("wire")
    sys.path.insert(0, str(TOP / "tests/shell"))
    try:
        spec = importlib.util.spec_from_file_location(
            "test_pam", TOP / "tests/pam/test_pam.py")
        it = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(it)
    finally:
        sys.path.pop(0)
        sys.modules["wire"] = ours
    return it


class Brokers:
    """oidc and policy for the module: each answers what it is told to."""

    GOOD = {"LOGIN": ("LOGIN_RESULT", w.u32(0) + w.text("ab" * 16)),
            "SESSION_OPEN": ("SESSION_OPENED", w.u32(0) + w.text("cd" * 16)),
            "SESSION_CLOSE": ("SESSION_CLOSED", w.u32(0))}

    def __init__(self, folder):
        self.bad = {}           # of which question: (data, descriptors)
        for name in ("pam", "session"):
            s = w.listener(folder / f"{name}.sock")
            s.setblocking(True)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, listener):
        while True:
            conn, _ = listener.accept()
            with conn, contextlib.suppress(OSError):
                m = w.receive(conn)
                m.close()
                if m.name in self.bad:
                    send(conn, *self.bad[m.name])
                else:
                    name, data = self.GOOD[m.name]
                    w.send(conn, name, data, ident=m.id)
                conn.recv(1)    # it hangs up, or has not read this


def test_module_and_its_answers(tmp_path):
    pam = pam_module()
    it = Brokers(tmp_path)

    def life():
        """(login, open, close) of one connection."""
        p = pam.Pam(tmp_path, "floor=0 deadline=20000", answers=[b"x"])
        out = p.authenticate(0), p.open_session(0), p.close_session(0)
        p.end(0)
        return out

    assert life() == (0, 0, 0)
    n = len(os.listdir("/proc/self/fd"))
    for question, (answer, _) in it.GOOD.items():
        refused = {"LOGIN": pam.AUTH_ERR}.get(question, pam.SESSION_ERR)
        bad = [*strangers({answer}), *one_of_a_kind(answer)]
        row = next(r for r in ROWS if r.name == answer)
        bad.append(("another's id", raw(row.kind, it.GOOD[question][1])[:7] +
                    b"\x63" + it.GOOD[question][1], 0))
        for what, data, nfd in bad:
            it.bad = {question: (data, nfd)}
            got = life()[list(it.GOOD).index(question)]
            assert got == refused, (question, what, got)
        it.bad = {}
        assert life() == (0, 0, 0)
    assert len(os.listdir("/proc/self/fd")) <= n + 2


# -- postern-hop ----------------------------------------------------------------------------

HOP = BUILD / "broker/postern-hop"


class Hop:
    """One that waits for a target which never says a word."""

    def __init__(self, folder, port, run=True):
        self.control, control = w.pair()
        self.shell, shell = w.pair()
        self.cert, cert = w.pair()
        lease = folder / "lease"
        if not lease.exists():      # another hop may have it mapped
            lease.write_bytes(struct.pack("=qq", 1 << 60, 1 << 60).ljust(
                4096, b"\0"))
        fd = os.open(lease, os.O_RDONLY)

        def at_three():
            a, b = os.dup(control.fileno()), os.dup(fd)
            c, d = os.dup(a), os.dup(b)     # above 4, whatever they were
            for old in (a, b):
                os.close(old)
            os.dup2(c, 13), os.dup2(d, 14)
            os.dup2(13, 3), os.dup2(14, 4)

        self.proc = subprocess.Popen(
            [HOP], preexec_fn=at_three, pass_fds=(3, 4), env={},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        os.close(fd)
        control.close()
        self.errors, err = os.pipe()
        self.files = [os.open(folder / f"{id(self)}-{x}",
                              os.O_RDWR | os.O_CREAT | os.O_APPEND)
                      for x in "rs"]
        if run:
            null = os.open("/dev/null", os.O_RDWR)
            w.send(self.control, "HOP_RUN", self.body(port),
                   [null, null, err, shell.fileno(), *self.files,
                    cert.fileno()])
            os.close(null)
            m = w.expect(self.cert, "CERT_REQUEST", 60)
            assert len(m.bytes()) == 32
        for x in (shell, cert):
            x.close()
        os.close(err)

    @staticmethod
    def body(port):
        return (w.text("0" * 26) + w.text("1" * 26) + w.text("web-1") +
                w.text("127.0.0.1") + w.u32(port) + w.text("deploy") +
                w.u32(1) + w.text("ssh-ed25519") + w.text("SHA256:x") +
                w.text("'id'") + w.u8(0) + w.text("") + w.u32(80) +
                w.u32(24) + w.u8(0) + w.u64(0) + w.u32(0) + w.u64(0) +
                w.u8(0) * 3 + w.u32(60) + w.u32(600) + w.u32(60) +
                w.u32(3) + w.u64(1 << 20) +
                w.u64(1 << 16) + w.text("title") + w.u8(0) + w.u32(0) +
                w.u32(0))

    def ended(self):
        """(kind, value) of EXIT, or None, and that of HOP_ENDED."""
        code = self.proc.wait(60)
        said = [None, None]
        for i, sock in enumerate((self.shell, self.control)):
            with contextlib.suppress(OSError):
                while (m := w.receive(sock, 60)):
                    if m.name == "HOP_ENDED":
                        assert m.u8() == 0
                    said[i] = m.u32(), m.u32()
        err = self.proc.stderr.read()
        assert b"Sanitizer" not in err, err
        self.close()
        return code, *said

    def interrupt(self):
        """A good end, by its shell."""
        w.send(self.shell, "SIGNAL", w.u32(2))
        assert self.ended() == (0, (1, 2), (1, 2))

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self.proc.stderr.close()
        for x in (self.control, self.shell, self.cert):
            x.close()
        for fd in (self.errors, *self.files):
            os.close(fd)


@pytest.fixture
def target():
    s = socket.create_server(("127.0.0.1", 0), backlog=500)
    yield s.getsockname()[1]
    s.close()


def test_hop_before_its_work(tmp_path, target):
    good = Hop(tmp_path, target)
    for what, data, nfd in [*strangers({"HOP_RUN"}),
                            *one_of_a_kind("HOP_RUN")]:
        h = Hop(tmp_path, target, run=False)
        send(h.control, data, nfd)
        assert h.ended() == (1, None, None), what
    good.interrupt()


def test_hop_and_policy(tmp_path, target):
    """The work goes on: policy may be away, and so it may be mad."""
    for what, data, nfd in strangers(set()):
        h = Hop(tmp_path, target)
        send(h.control, data, nfd)
        time.sleep(0.01)
        w.send(h.shell, "SIGNAL", w.u32(2))
        assert h.ended()[:2] == (0, (1, 2)), what


def test_hop_and_its_shell(tmp_path, target):
    good = Hop(tmp_path, target)
    for what, data, nfd in [*strangers({"SIGNAL", "RESIZED"}),
                            *one_of_a_kind("SIGNAL", "RESIZED")]:
        h = Hop(tmp_path, target)
        send(h.shell, data, nfd)
        code, _, policy = h.ended()
        assert (code, policy) == (0, (0, TEMPFAIL)), what
    good.interrupt()


def test_hop_and_the_signer(tmp_path, target):
    good = Hop(tmp_path, target)
    for what, data, nfd in [*strangers({"CERT"}), *one_of_a_kind("CERT")]:
        h = Hop(tmp_path, target)
        send(h.cert, data, nfd)
        assert h.ended() == (0, (0, TEMPFAIL), (0, TEMPFAIL)), what
    good.interrupt()


def test_hop_whose_job_leaves_at_its_end(tmp_path, target):
    """It has last words, its job takes none, and goes: they are let go of."""
    h = Hop(tmp_path, target)
    other = os.open(f"/proc/self/fd/{h.errors}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(other, bytes(4096))
    w.send(h.cert, "CERT", w.u32(1) + w.text("") + w.text("no"))
    time.sleep(0.2)     # it waits 2 s
    os.close(h.errors)
    h.errors = os.open("/dev/null", os.O_RDONLY)
    assert h.ended() == (0, (0, TEMPFAIL), (0, TEMPFAIL))
    os.close(other)


# -- posternd -------------------------------------------------------------------------------


place = tpd.place


@pytest.fixture
def parent(place):
    """Starts a posternd; the one before ends."""
    made = []

    def make():
        while made:
            made.pop().close()
        made.append(tpd.Posternd())
        return made[-1].start()
    yield make
    while made:
        made.pop().close()


def test_posternd_and_its_children(parent):
    """Three children break a rule at a time, the fourth is served: a new link
    for each of them, and a hop if it is policy."""
    bad = [*strangers({"READY", "HOP_START", "HOP_STOP"}),
           *one_of_a_kind("READY", "HOP_START", "HOP_STOP")]
    turn = 0
    while bad:
        it = parent()
        good = tpd.CHILDREN[turn % 4]
        turn += 1
        linked = {"audit": {"policy", "oidc"}, "signer": {"policy"},
                  "policy": {"audit", "signer", "oidc"},
                  "oidc": {"policy", "audit"}}[good]
        for name in tpd.CHILDREN:
            # What this one may say, in its time, is another's to say wrongly.
            mine = {r.name for r in ROWS if name in r.from_}
            at = [i for i, b in enumerate(bad) if b[0] not in mine]
            if name != good and at:
                what, data, nfd = bad.pop(at[-1])
                send(it.child[name].control, data, nfd)
                assert it.child[name].gone(60), f"{what} from {name}"
            elif name != good:
                linked -= {name}
        it.child[good].links.clear()
        while set(it.child[good].links) != linked:
            assert it.child[good].take() == "LINK"
        if good == "policy":
            a, b = w.pair()
            w.send(it.child[good].control, "HOP_START", w.text("0" * 26),
                   [b.fileno()], 9)
            while (m := w.receive(it.child[good].control)).name == "LINK":
                m.close()
            assert (m.name, m.id) == ("HOP_STARTED", 9) and m.u32() > 0
            m.close()
            a.close()
            b.close()
        assert it.proc.poll() is None
