"""postern-signer whose CA keys are in an ssh-agent: a real one, and ones that
stall, lie, vanish and say nonsense.  Nothing is signed then, and that is said;
no signature is passed on that is not the CA key's."""
import base64
import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (ec, ed25519, padding,
                                                       rsa, utils)
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_signer_job as tj  # noqa: E402
import test_signer_process as ts  # noqa: E402
import wire as w  # noqa: E402

pytestmark = ts.pytestmark
program = ts.program
PROBE = b"postern-signer: is the CA key here?"
ABSENT, VANISHED, STALLED, REFUSED, LIED, BROKE = range(1, 7)
NONE, FILE, AGENT, TROUBLE = range(4)
FAILURE = struct.pack(">IB", 1, 5)


def line(key):
    return key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def mpint(n):
    return w.text(n.to_bytes(n.bit_length() // 8 + 1, "big"))


def signature(key, data):
    """An SSH signature by any kind of key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return w.text("ssh-ed25519") + w.text(key.sign(data))
    if isinstance(key, rsa.RSAPrivateKey):
        return w.text("rsa-sha2-512") + w.text(key.sign(
            data, padding.PKCS1v15(), hashes.SHA512()))
    size = key.curve.key_size
    hash_ = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}[size]
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hash_())))
    return w.text(f"ecdsa-sha2-nistp{size}") + w.text(mpint(r) + mpint(s))


def response(sig):
    body = b"\x0e" + w.text(sig)
    return w.text(body)


class Agent:
    """Our end of a connection to an agent."""

    def __init__(self, key):
        self.key = key
        self.sock, self.theirs = socket.socketpair()
        self.sock.settimeout(20)

    def read(self, n):
        out = b""
        while len(out) < n:
            more = self.sock.recv(n - len(out))
            assert more, "the signer has closed"
            out += more
        return out

    def question(self):
        """What is to be signed."""
        q = ts.Fields(self.read(struct.unpack(">I", self.read(4))[0]))
        assert q.take(1) == b"\x0d"
        public = ts.Fields(q.string())
        kind = public.string()
        assert line(self.key).split()[0] == kind
        data, flags = q.string(), struct.unpack(">I", q.take(4))[0]
        assert q.data == b"" and flags == (4 if kind == b"ssh-rsa" else 0)
        return data

    def answer(self, data=None):
        data = self.question() if data is None else data
        self.sock.sendall(response(signature(self.key, data)))
        return data

    def closed(self):
        with contextlib.suppress(ConnectionResetError):
            assert self.sock.recv(1) == b""


class Signer(ts.Signer):
    """Its target CA's key, and if wanted its job CA's, is an agent's."""

    def __init__(self, program_, folder, key, job=None):
        self.public = folder / "target.pub"
        self.public.write_bytes(line(key) + b" a comment\n")
        self.job_public = folder / "job.pub"
        self.job_public.write_bytes(line(job or key) + b"\n")
        self.with_job = job is not None
        self.wanted = []
        super().__init__(program_, folder, None, key=False)

    def link(self, sibling):
        self.folder("target.pub", self.public)
        if self.with_job:
            self.folder("job.pub", self.job_public)
        return super().link(sibling)

    def go(self, settings="", addresses=""):
        w.send(self.control, "GO", w.text(settings) + w.text(addresses))
        while (m := w.receive(self.control)).name != "READY":
            assert m.name == "AGENT_WANTED"
            self.wanted.append((m.u8(), m.id))
            m.end()
        return self

    def asks(self):
        """The next AGENT_WANTED."""
        if self.wanted:
            return self.wanted.pop(0)
        m = w.expect(self.control, "AGENT_WANTED")
        out = m.u8(), m.id
        m.end()
        return out

    def give(self, agent, asked=None):
        which, ident = asked or self.asks()
        w.send(self.control, "AGENT", w.u8(which),
               [agent.theirs.fileno()] if agent else [], ident=ident)
        if agent:
            agent.theirs.close()
        return agent

    def agent(self, key):
        """One that has answered the probe."""
        a = self.give(Agent(key))
        assert a.answer() == PROBE
        return a

    def lost(self, which=0):
        m = w.expect(self.control, "AGENT_LOST")
        assert m.u8() == which
        out = m.u8()
        m.end()
        return out

    def keys(self):
        m = w.expect(self.policy, "CA_IS")
        out = [(m.u8(), m.text()) for _ in range(2)]
        m.end()
        return out

    def ask(self, **more):
        hop = self.grant(**more)
        w.send(hop, "CERT_REQUEST", w.text(ts.KEY), ident=7)
        return hop


def refused(hop):
    m = w.expect(hop, "CERT")
    assert m.u32() != 0 and m.bytes() == b""
    out = m.text()
    m.end()
    assert w.receive(hop) is None
    return out


def heard(signer):
    """It has read what was sent, and seen who has left, up to here."""
    refused(signer.ask(target="web-9", principal="deploy+web-9"))


def certificate(hop, folder, public):
    """Checked by ssh-keygen, which says which CA signed it."""
    m = w.expect(hop, "CERT")
    code, blob, why = m.u32(), m.bytes(), m.text()
    assert (code, why) == (0, "")
    return shown(blob, folder, public)


def shown(blob, folder, public):
    path = folder / "shown-cert.pub"
    path.write_bytes(b"ssh-ed25519-cert-v01@openssh.com " +
                     base64.b64encode(blob) + b"\n")
    out = subprocess.run(["ssh-keygen", "-L", "-f", path], check=True,
                         capture_output=True, text=True).stdout
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", public], check=True, capture_output=True,
        text=True).stdout.split()[1]
    assert f" {fingerprint} (using " in out
    return out


KINDS = {"ed25519": ed25519.Ed25519PrivateKey.generate,
         "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
         "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
         "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
         "rsa": lambda: rsa.generate_private_key(65537, 2048)}


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def signer(tmp_path, program, key):
    tmp_path.chmod(0o755)
    it = Signer(program, tmp_path, key)
    yield it
    if it.alive():
        assert it.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_key(tmp_path, program, kind):
    tmp_path.chmod(0o755)
    key = KINDS[kind]()
    it = Signer(program, tmp_path, key)
    a = it.agent(key)
    for _ in range(20):     # numbers of every length
        hop = it.ask()
        a.answer()
        out = certificate(hop, tmp_path, it.public)
    assert "web-1" in out
    assert it.stop() == 0


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_real_agent(tmp_path, program, kind):
    """OpenSSH's, for both CA keys."""
    tmp_path.chmod(0o755)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f",
                    tmp_path / "key"], check=True)
    path = tmp_path / "agent.sock"
    real = subprocess.Popen(["ssh-agent", "-D", "-a", path],
                            stdout=subprocess.DEVNULL)

    class Real:
        def __init__(self):
            self.theirs = socket.socket(socket.AF_UNIX)
            self.theirs.connect(str(path))

    try:
        end = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        key = serialization.load_ssh_private_key(
            (tmp_path / "key").read_bytes(), None)
        it = Signer(program, tmp_path, key, job=key)
        for _ in range(2):  # and it has no key yet
            it.give(Real())
        seen = {}
        while len(seen) < 2:
            m = w.receive(it.control)
            which = m.u8()
            if m.name == "AGENT_LOST":
                seen[which] = m.u8()
            else:
                it.wanted.append((which, m.id))
        assert seen == {0: REFUSED, 1: REFUSED}
        subprocess.run(["ssh-add", "-q", tmp_path / "key"], check=True,
                       stderr=subprocess.DEVNULL,
                       env={**os.environ, "SSH_AUTH_SOCK": str(path)})
        for _ in range(2):
            it.give(Real())
        it.logs("target CA: its ssh-agent signs")
        it.logs("job CA: its ssh-agent signs")
        command = "'/usr/bin/true' '" + "y" * 120000 + "'"
        out = certificate(it.ask(command=command), tmp_path, it.public)
        assert "force-command '/usr/bin/true'" in out
        w.send(it.policy, "JOB_CERT", tj.body(), ident=9)
        while (m := w.receive(it.policy)).name == "CA_IS":
            pass            # what was said of both comes first
        assert (m.name, m.id, m.u32()) == ("JOB_CERT_MADE", 9, 0)
        shown(m.bytes(), tmp_path, it.job_public)
        assert it.stop() == 0
    finally:
        real.terminate()
        real.wait(20)


def test_one_question_at_a_time(signer, key, tmp_path):
    """Those behind wait; who has left is not waited for."""
    a = signer.agent(key)
    hops = []
    for n in range(1, 5):
        hops.append(signer.ask(serial=n))
        heard(signer)
    first = a.question()
    hops.pop(2).close()
    gone = hops.pop(0)
    gone.close()        # its answer is still to be read
    heard(signer)
    a.answer(first)
    for _ in hops:
        a.answer()
    for hop in hops:
        certificate(hop, tmp_path, signer.public)
    a.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        a.question()    # of who had left


def test_asked_twice(signer, key):
    """One grant, one certificate: also while the agent thinks."""
    a = signer.agent(key)
    hop = signer.ask()
    data = a.question()
    w.send(hop, "CERT_REQUEST", w.text(ts.KEY), ident=8)
    assert w.receive(hop) is None
    a.answer(data)
    a.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        a.question()
    assert signer.alive()


def other_sig(key, data):
    return signature(ec.generate_private_key(key.curve), data)


def long_r(key, data):
    """The same numbers, one of them with a zero too many."""
    f = ts.Fields(signature(key, data))
    name, inner = f.string(), ts.Fields(f.string())
    r, s = inner.string(), inner.string()
    return w.text(name) + w.text(w.text(b"\0" + r) + w.text(s))


LIES = {
    "another key's": (LIED, lambda k, d: response(other_sig(k, d))),
    "of something else": (LIED, lambda k, d: response(
        signature(k, d + b"x"))),
    "another kind's": (LIED, lambda k, d: response(
        signature(KINDS["ed25519"](), d))),
    "no signature": (LIED, lambda k, d: response(b"")),
    "more than one": (LIED, lambda k, d: response(signature(k, d) + b"x")),
    "another form": (LIED, lambda k, d: response(long_r(k, d))),
    "no": (REFUSED, lambda k, d: FAILURE),
    "no, and more": (BROKE, lambda k, d: struct.pack(">IB", 2, 5) + b"x"),
    "two answers": (BROKE, lambda k, d: 2 * response(signature(k, d))),
    "success": (BROKE, lambda k, d: struct.pack(">IB", 1, 6)),
    "nothing": (BROKE, lambda k, d: struct.pack(">I", 0)),
    "too long": (BROKE, lambda k, d: struct.pack(">IB", 1200, 14)),
    "far too long": (BROKE, lambda k, d: b"\xff" * 600),
    "left over": (BROKE, lambda k, d: w.text(
        b"\x0e" + w.text(signature(k, d)) + b"x")),
    "the end": (VANISHED, lambda k, d: None),
    "half of it": (VANISHED, lambda k, d: response(signature(k, d))[:-1]),
}


@pytest.mark.parametrize("lie", LIES)
def test_p5_what_is_no_signature(signer, key, tmp_path, lie):
    trouble, say = LIES[lie]
    a = signer.agent(key)
    hop, behind = signer.ask(), signer.ask()
    said = say(key, a.question())
    if said is not None:
        a.sock.sendall(said)
    if trouble == VANISHED:
        a.sock.shutdown(socket.SHUT_WR)
    words = refused(hop)
    assert "ssh-agent" in words and refused(behind) == words
    a.closed()
    assert signer.lost() == trouble
    assert signer.keys()[0][0] == TROUBLE
    b = signer.agent(key)   # asked for again
    hop = signer.ask()
    b.answer()
    certificate(hop, tmp_path, signer.public)
    assert signer.keys()[0][0] == AGENT


def test_unasked(signer, key):
    a = signer.agent(key)
    a.sock.sendall(FAILURE)
    assert signer.lost() == BROKE


def test_a_probe_that_is_not_answered_well(signer, key):
    """It is known at once, before any job needs it; and one outage is one
    alarm, however often it is tried."""
    a = signer.give(Agent(key))
    a.sock.sendall(FAILURE if a.question() == PROBE else b"")
    assert signer.lost() == REFUSED
    for _ in range(3):
        signer.give(None)
    assert signer.asks()[0] == 0    # and no AGENT_LOST in between
    assert "ALARM" in signer.log() and signer.log().count("ALARM") == 1


def test_pauses_grow(signer):
    """Nobody is waited for in a pause, and each is twice as long."""
    at, waits = time.monotonic(), []
    for n in range(4):
        asked = signer.asks()
        waits.append(time.monotonic() - at)
        signer.give(None, asked)
        if n == 0:
            assert signer.lost() == ABSENT
        at = time.monotonic()
        assert "cannot be connected to" in refused(signer.ask())
    assert all(have >= want for have, want in
               zip(waits[1:], (0.19, 0.39, 0.79)))


def test_a_stalled_agent(signer, key):
    a = signer.agent(key)
    hop, behind = signer.ask(), signer.ask()
    a.question()
    assert "does not answer" in refused(hop)
    assert "does not answer" in refused(behind)
    assert signer.lost() == STALLED
    a.closed()


def test_an_agent_that_does_not_read(signer, key):
    a = signer.agent(key)
    a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    command = "'/usr/bin/true' '" + "y" * 120000 + "'"
    hops = [signer.ask(command=command) for _ in range(8)]
    for hop in hops:
        assert "ssh-agent" in refused(hop)
    assert signer.lost() == STALLED


def test_no_more_than_fit_wait(signer, key):
    a = signer.agent(key)
    hops = [signer.ask() for _ in range(128)]
    heard(signer)
    assert "too many" in refused(signer.ask())
    a.sock.close()
    assert all("closed its connection" in refused(h) for h in hops)


def test_one_agent_does_not_hold_up_the_other(tmp_path, program, key):
    tmp_path.chmod(0o755)
    job = KINDS["ed25519"]()
    it = Signer(program, tmp_path, key, job=job)
    it.wanted.sort()
    a, b = it.give(Agent(key)), it.give(Agent(job))
    a.question()
    b.answer()
    w.send(it.policy, "JOB_CERT", tj.body(), ident=3)
    b.answer()
    m = w.expect(it.policy, "JOB_CERT_MADE")
    assert (m.id, m.u32()) == (3, 0)
    # who asked has gone meanwhile
    w.send(it.policy, "JOB_CERT", tj.body(), ident=4)
    data = b.question()
    it.policy.close()
    it.policy = w.Child.link(it, "policy")
    w.expect(it.policy, "CA_IS")
    b.answer(data)
    w.send(it.policy, "JOB_CERT", tj.body(), ident=5)
    b.answer()
    assert w.expect(it.policy, "JOB_CERT_MADE").id == 5
    assert it.stop() == 0


def test_stops_while_an_agent_thinks(signer, key, tmp_path):
    """What was granted is signed before it ends."""
    a = signer.agent(key)
    hop = signer.ask()
    data = a.question()
    signer.policy.close()
    w.send(signer.control, "STOP")
    time.sleep(0.1)
    a.answer(data)
    certificate(hop, tmp_path, signer.public)
    assert signer.proc.wait(20) == 0
    signer.control.close()


def test_an_answer_that_is_over(signer, key, tmp_path):
    """A connection that came too late is closed, and no other is touched."""
    late = signer.wanted[0]
    a = signer.agent(key)
    b = signer.give(Agent(key), late)
    b.closed()
    hop = signer.ask()
    a.answer()
    certificate(hop, tmp_path, signer.public)


def test_a_key_that_none_may_be(tmp_path, program):
    """RSA that is so large that a job's certificate would not fit."""
    tmp_path.chmod(0o755)
    key = rsa.generate_private_key(65537, 2048)
    it = Signer.__new__(Signer)
    public = w.text("ssh-rsa") + w.text(b"\1\0\1") + w.text(
        b"\0" + b"\xff" * 1024)

    class Big:
        @staticmethod
        def public_key():
            class P:
                @staticmethod
                def public_bytes(*_):
                    return b"ssh-rsa " + base64.b64encode(public)
            return P
    del key
    with pytest.raises(Exception):
        it.__init__(program, tmp_path, Big)
    assert it.proc.wait(20) != 0
    assert "CA key cannot be read" in it.log()
