"""A stage for postern-hop alone: a real sshd as its target, and a stand-in for
policy (sends HOP_RUN), for the signer (the tests' tool, which is ssh/cert.c)
and for the job (three pipes, or a terminal).  Runs as root, inside the
namespaces of tests/e2e/enter; touches nothing outside its own folder.
"""
import array
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import pwd
import secrets
import select
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest
import re

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", HERE.parent.parent /
                                    "build")).resolve()
HOP = os.environ.get("POSTERN_HOP", str(BUILD / "broker/postern-hop"))
TOOL = os.environ.get("POSTERN_TOOL", str(BUILD / "tests/ssh/tool"))
ARGS = os.environ.get("POSTERN_ARGS", str(BUILD / "tests/ssh/args"))

VERSION = int(re.search(r"#define MSG_VERSION (\d+)", (
    pathlib.Path(__file__).resolve().parents[2] / "lib/msg.h").read_text())[1])
RESIZED, SIGNAL, EXIT, HOP_RUN, CERT_REQUEST, CERT = 68, 70, 72, 80, 86, 87
UNAVAILABLE, IOERR, TEMPFAIL, DENIED = 69, 74, 75, 77


def build():
    """The programs of this folder belong to `make check`."""
    if "POSTERN_TOOL" not in os.environ:
        subprocess.run(["make", "-s", "-C", BUILD, "tests/ssh/tool",
                        "tests/ssh/args"], check=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# -- messages -----------------------------------------------------------------


def u8(v):
    return struct.pack(">B", v)


def u32(v):
    return struct.pack(">I", v)


def u64(v):
    return struct.pack(">Q", v)


def s(v):
    v = v.encode() if isinstance(v, str) else v
    return u32(len(v)) + v


def send(sock, kind, body=b"", fds=()):
    anc = []
    if fds:
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    sock.sendmsg([struct.pack(">HHI", VERSION, kind, 1) + body], anc)


def recv(sock):
    """(type, body), or None at the end."""
    try:
        data = sock.recv(1 << 20)
    except ConnectionResetError:
        data = b""
    if not data:
        return None
    version, kind, _ = struct.unpack(">HHI", data[:8])
    assert version == VERSION
    return kind, data[8:]


def seqpacket():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


# -- signer and target --------------------------------------------------------


class CA:
    def __init__(self, folder):
        self.pem = folder / "ca.pem"
        self.pem.write_bytes(subprocess.check_output([TOOL, "ca"]))
        self.public = subprocess.check_output([TOOL, "public", self.pem],
                                              text=True)

    def sign(self, key, **spec):
        now = int(time.time())
        spec = {"serial": 7, "id": "operation", "principal": "root+web-1",
                "after": now - 60, "before": now + 60} | spec
        words = [f"{k}={v}" for k, v in spec.items() if v is not None]
        out = subprocess.check_output([TOOL, "sign", self.pem,
                                       f"key={key.hex()}"] + words)
        return base64.b64decode(out)


class Sshd:
    """The distribution's sshd; principals as the documentation asks for."""

    def __init__(self, folder, ca, extra=""):
        self.folder = folder
        self.log = folder / "log"
        self.user = pwd.getpwuid(0).pw_name
        for kind in "ed25519", "ecdsa", "rsa":
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f",
                            folder / kind], check=True)
        (folder / "ca.pub").write_text(ca.public)
        (folder / "principals").write_text(f"{self.user}+web-1\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "config").write_text(f"""
Port {self.port}
ListenAddress 127.0.0.1
HostKey {folder}/ed25519
HostKey {folder}/ecdsa
HostKey {folder}/rsa
TrustedUserCAKeys {folder}/ca.pub
AuthorizedPrincipalsFile {folder}/principals
AuthorizedKeysFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
MaxStartups 100
LogLevel DEBUG1
{self.exempt()}{extra}""")
        self.run = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f",
                                     folder / "config", "-E", self.log],
                                    stdin=subprocess.DEVNULL)
        self.wait_up()

    def exempt(self):
        """As `postern ca show` says for releases from OpenSSH 9.8 on: or what
        some tests do wrong would shut out the others."""
        known = subprocess.check_output(
            ["/usr/sbin/sshd", "-T", "-f", "/dev/null", "-h",
             self.folder / "ed25519"], text=True)
        return ("PerSourcePenaltyExemptList 127.0.0.1\n"
                if "\npersourcepenalties " in known else "")

    def wait_up(self):
        for _ in range(2000):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.02)
        raise RuntimeError(self.log.read_text())

    def pin(self, kind="ed25519"):
        line = subprocess.check_output(["ssh-keygen", "-lf",
                                        self.folder / f"{kind}.pub"],
                                       text=True)
        name = (self.folder / f"{kind}.pub").read_text().split()[0]
        return name, line.split()[1]

    def stop(self):
        self.run.terminate()
        self.run.wait()


# -- the hop ------------------------------------------------------------------


def lease_of(path, away=None):
    """broker/lease.h: audit and policy, when they were last seen (ms); away:
    who has not been since how many seconds."""
    seen = {"audit": 1 << 60, "policy": 1 << 60}
    if away:
        seen[away[0]] = int((time.monotonic() - away[1]) * 1000)
    path.write_bytes(struct.pack("=qq", *seen.values()).ljust(4096, b"\0"))
    return os.open(path, os.O_RDONLY)


class Hops:
    def __init__(self, folder, ca, sshd):
        self.folder, self.ca, self.sshd = folder, ca, sshd
        self.all = []

    def __call__(self, command, **kw):
        h = Hop(self, command, **kw)
        self.all.append(h)
        return h

    def stop(self):
        for h in self.all:
            h.close()


class Hop:
    """One operation.  `env` is the hop's environment: the real one is empty."""

    def __init__(self, hops, command, *, login=None, port=None, pins=None,
                 host="127.0.0.1", pty=False, stdin=True, stdin_max=0,
                 duration=0, output_max=0, alive=60, alive_max=3,
                 out_null=False, err_null=False, err_to_out=False, connect=5,
                 handshake=10, head=1 << 20, tail=1 << 16, signer="sign",
                 spec=None, env=None, wrap=(), columns=80, rows=24,
                 recording=None, away=None, given=None, what=0,
                 rules=(), refs=()):
        self.id = secrets.token_hex(13)
        self.ca, self.spec, self.command = hops.ca, spec or {}, command
        self.cast = hops.folder / f"{self.id}.cast"
        self.side = hops.folder / f"{self.id}.json"
        self.control, control = seqpacket()
        self.shell, shell = seqpacket()
        self.signer, cert = seqpacket()
        self.pty = pty
        self.open_stdio(pty, given)
        pins = pins if pins is not None else [hops.sshd.pin()]
        record = recording if recording is not None else os.open(
            self.cast, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        side = os.open(self.side, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        lease = lease_of(hops.folder / f"{self.id}.lease", away)

        def at_three():
            # Out of each other's way first.
            a, b = fcntl.fcntl(control, fcntl.F_DUPFD, 10), \
                fcntl.fcntl(lease, fcntl.F_DUPFD, 10)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.run = subprocess.Popen(
            [*wrap, HOP], env=env or {}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, preexec_fn=at_three, pass_fds=(3, 4))
        os.close(lease)
        self.pid = self.run.pid
        control.close()
        body = (s(self.id) + s("S" * 26) + s("web-1") + s(host) +
                u32(port or hops.sshd.port) + s(login or hops.sshd.user) +
                u32(len(pins)) + b"".join(s(t) + s(f) for t, f in pins) +
                s(command) + u8(pty) + s("xterm" if pty else "") +
                u32(columns) + u32(rows) + u8(stdin) + u64(stdin_max) +
                u32(duration) + u64(output_max) +
                u8(out_null) + u8(err_null) + u8(err_to_out) +
                u32(connect) + u32(handshake) +
                u32(alive) + u32(alive_max) + u64(head) + u64(tail) +
                s("title") + u8(what) + u32(len(rules)) + b"".join(
                    s(r) + u8(deny) + u8(write) + s(path) + u64(most) +
                    u8(no_delete) + u8(no_symlinks)
                    for r, deny, write, path, most, no_delete, no_symlinks
                    in rules) + u32(len(refs)) + b"".join(
                        s(r) + u8(deny) + u32(len(globs)) +
                        b"".join(map(s, globs)) for r, deny, globs in refs))
        send(self.control, HOP_RUN, body,
             [*self.theirs, shell.fileno(), record, side, cert.fileno()])
        for fd in self.theirs:
            os.close(fd)
        for fd in (record, side):
            os.close(fd)
        shell.close()
        cert.close()
        self.requests = 0
        self.helper = None
        if signer == "sign":
            self.helper = threading.Thread(target=self.sign, daemon=True)
            self.helper.start()
        elif signer == "dies":
            self.signer.close()
        elif signer == "refuses":
            recv(self.signer)
            send(self.signer, CERT, u32(1) + s("") + s("no such grant"))

    def open_stdio(self, pty, given=None):
        """given: (the hop's input, our end of it) instead of a pipe."""
        if pty:
            self.master, slave = os.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ,
                        struct.pack("HHHH", 24, 80, 0, 0))
            self.theirs = [os.dup(slave), os.dup(slave), slave]
            self.stdin = self.stdout = self.master
            self.stderr = None
        else:
            r0, self.stdin = given or os.pipe()
            self.stdout, w1 = os.pipe()
            self.stderr, w2 = os.pipe()
            self.theirs = [r0, w1, w2]

    def sign(self):
        try:
            got = recv(self.signer)
        except OSError:     # the stage was closed before it was asked
            got = None
        if got is None:
            return
        kind, body = got
        assert kind == CERT_REQUEST and body[:4] == u32(32)
        self.requests += 1
        self.key = body[4:]
        spec = {"force": self.command, "source": "127.0.0.1/32"} | self.spec
        if self.pty:
            spec.setdefault("pty", 1)
        blob = self.ca.sign(body[4:], **spec)
        with contextlib.suppress(OSError):  # the hop may be over by now
            send(self.signer, CERT, u32(0) + s(blob) + s(""))

    def read_all(self, fd, into):
        while True:
            try:
                data = os.read(fd, 1 << 16)
            except OSError:  # a terminal whose other end was closed
                data = b""
            if not data:
                return
            into.append(data)

    def write_all(self, data):
        left = memoryview(data)  # what remains is not copied each time
        with contextlib.suppress(BrokenPipeError):
            while left:
                left = left[os.write(self.stdin, left[:1 << 16]):]
        self.close_stdin()

    def close_stdin(self):
        if not self.pty and self.stdin is not None:
            fd, self.stdin = self.stdin, None
            os.close(fd)

    def finish(self, data=b"", timeout=240):
        """Plays the job to the end: (kind, value), stdout, stderr."""
        out, err = [], []
        jobs = [threading.Thread(target=self.read_all, args=(self.stdout,
                                                             out))]
        if self.stderr is not None:
            jobs.append(threading.Thread(target=self.read_all,
                                         args=(self.stderr, err)))
        if data is not None:
            jobs.append(threading.Thread(target=self.write_all,
                                         args=(data,)))
        for t in jobs:
            t.daemon = True
            t.start()
        self.shell.settimeout(timeout)
        got = recv(self.shell)
        end = None
        if got is not None:
            assert got[0] == EXIT
            end = struct.unpack(">II", got[1])
        assert self.run.wait(timeout) == 0
        for t in jobs:  # none may touch a descriptor's number later on
            t.join(60)
            assert not t.is_alive()
        return end, b"".join(out), b"".join(err)

    def facts(self):
        lines = self.side.read_text().splitlines()
        assert len(lines) == 1, lines
        return json.loads(lines[0])

    def events(self):
        lines = [json.loads(x) for x in self.cast.read_text().splitlines()]
        return lines[0], lines[1:]

    def text(self):
        return "".join(e[2] for e in self.events()[1] if e[1] == "o")

    def until(self, want, fd=None, timeout=10):
        """Reads until `want` was seen."""
        fd, seen = fd or self.stdout, b""
        end = time.monotonic() + timeout
        while want not in seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([fd], [], [], left)[0], seen
            data = os.read(fd, 65536)
            assert data, seen
            seen += data
        return seen

    def ended(self, timeout=10):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.run.wait(timeout) == 0
        return False

    def close_stdio(self):
        """The job is gone."""
        for name in "stdin", "stdout", "stderr":
            fd = getattr(self, name)
            setattr(self, name, None)
            if fd is not None and not (self.pty and name != "stdin"):
                os.close(fd)

    def close(self):
        for sock in self.shell, self.control, self.signer:
            sock.close()
        if self.run.poll() is None:
            self.run.kill()
            self.run.wait()
        self.close_stdio()


# A test of how much memory a hop has.
memory = pytest.mark.skipif("san" in HOP, reason="sanitizers have memory of "
                            "their own")


def private_kib(pid):
    """What it has written to for itself.  Not Private_Dirty: on a tmpfs every
    page of a library counts as that."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines()
               if line.startswith("Anonymous:"))


def memory_of(pid):
    """Every writable byte of a process, region by region."""
    with open(f"/proc/{pid}/maps") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, flags = line.split()[:2]
            if not flags.startswith("rw"):
                continue
            a, b = (int(x, 16) for x in span.split("-"))
            with contextlib.suppress(OSError):
                mem.seek(a)
                yield mem.read(b - a)
