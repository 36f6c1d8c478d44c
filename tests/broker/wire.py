"""doc/PROTOCOL.md, written down a second time: messages, fields, events, and a
child of posternd run by a test that is its parent and all of its siblings.

    child = wire.Child("signer", uid)
    policy = child.link("policy")
    child.folder("policy", "/path").go(settings)
    wire.send(policy, "GRANT", wire.text("..."), fds=[fd])
    m = wire.receive(hop)           # m.name, m.id, m.fds, m.text(), m.u32() …
"""
import array
import contextlib
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

VERSION = int(re.search(r"#define MSG_VERSION (\d+)", (
    pathlib.Path(__file__).resolve().parents[2] / "lib/msg.h").read_text())[1])
TYPES = {
    "LISTEN": 2, "LINK": 4, "FOLDER": 6, "GO": 8, "RELOAD": 10,
    "RELOADED": 11, "STOP": 12,
    "READY": 14, "HOP_START": 16, "HOP_STARTED": 17, "RELOAD_WANTED": 18,
    "RELOAD_OVER": 19, "ALARM": 20, "ALARM_DONE": 21, "HOP_STOP": 22,
    "ANCHOR": 24, "ANCHOR_DONE": 25,
    "AGENT_WANTED": 26, "AGENT": 27, "AGENT_LOST": 28,
    "LOGIN": 32, "LOGIN_RESULT": 33, "ISSUERS": 34, "ISSUER_KEYS": 35, "SESSION_NEW": 36,
    "SESSION_MADE": 37, "SESSION_OPEN": 48, "SESSION_OPENED": 49,
    "SESSION_CLOSE": 50, "SESSION_CLOSED": 51,
    "RUN": 64, "ANSWER": 65, "ACCEPTED": 66, "RESIZED": 68, "SIGNAL": 70,
    "SHELL_RECORD": 67,
    "EXIT": 72, "PROMPT": 74, "LINE": 76, "BREAK": 78, "LEAVE": 94, "WORDS": 82,
    "WORDS_ARE": 83, "HOP_RUN": 80, "HOP_ENDED": 88, "GRANT": 84,
    "CERT_REQUEST": 86, "CERT": 87, "JOB_CERT": 90, "JOB_CERT_MADE": 91, "CA_IS": 92,
    "EVENT": 96, "EVENT_DONE": 97, "OP_OPEN": 98, "OP_OPENED": 99,
    "OP_STARTED": 100, "OP_ABORT": 102,
    "KEEP": 104, "KEPT": 105, "FORGET": 106, "RECALL": 108, "RECALLED": 109,
    "SETTLED": 110,
    "STATUS": 112, "STATUS_IS": 113, "RELOAD_POLICY": 114,
    "POLICY_RELOADED": 115, "QUERY": 116, "ROW": 117,
    "ROWS_END": 118, "AUDIT_QUERY": 120, "KILL": 122, "KILLED": 123,
    "LOCK": 124, "LOCKED": 125,
}
NAMES = {v: k for k, v in TYPES.items()}

KINDS = ["", "start", "policy.load", "login.refused", "session.open",
         "session.close", "operation.decide", "operation.end", "view",
         "alarm", "question", "certificate.issue", "certificate.login",
         "kill", "lock", "unlock", "retention.delete", "hold.add",
         "hold.remove", "ledger.key", "control.refused"]
FIELDS = ["", "session", "operation", "identity", "issuer", "subject", "user",
          "source", "commit", "pull_request", "actor", "workflow", "run",
          "target", "login", "command", "pty", "stdin", "policy", "rule",
          "verdict", "reason", "by", "serial", "key_id", "principal", "list",
          "position", "positions", "joined", "asker", "key", "principals",
          "lifetime_s", "env", "exit", "signal", "state",
          "duration_ms", "bytes_in", "bytes_out", "bytes_err", "sha256_in",
          "sha256_out", "sha256_err", "files", "files_refused",
          "bytes_read", "bytes_written", "manifest_sha256", "recording", "recording_sha256",
          "viewer", "process", "recording_bytes", "retention",
          "sidecar_sha256", "checkpoint", "what", "direction", "refs",
          "refs_refused", "shell", "line"]


def u8(n):
    return struct.pack(">B", n)


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return u32(len(s)) + s


def serial_of(session):
    """The last 64 bits of an id."""
    n = 0
    for c in session:
        n = n * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c)
    return n & (2**64 - 1)


def job_certificate(session, key, ca, sign, serial=None, nonce=None,
                    names=("postern", "web-1"), before=None, source=None,
                    command=None):
    """A job's certificate for an Ed25519 key (PROTOCOL.certkeys); ca is the
    CA's SSH blob, sign signs."""
    def option(name, value):
        return text(name) + text(text(value)) if value else b""
    before = int(time.time()) + 900 if before is None else before
    b = (text("ssh-ed25519-cert-v01@openssh.com") +
         text(nonce or os.urandom(32)) + text(key) +
         u64(serial_of(session) if serial is None else serial) + u32(1) +
         text(f"postern session={session} identity=shop") +
         text(b"".join(text(n) for n in names)) + u64(before - 960) +
         u64(before) + text(option("force-command", command) +
                            option("source-address", source)) +
         text(text("permit-pty") + text("")) + text("") + text(ca))
    return b + text(text("ssh-ed25519") + text(sign(b)))


class Message:
    def __init__(self, data, fds):
        version, kind, self.id = struct.unpack(">HHI", data[:8])
        assert version == VERSION
        self.name, self.left, self.fds = NAMES[kind], data[8:], fds

    def take(self, n):
        assert n <= len(self.left), f"{self.name} is too short"
        out, self.left = self.left[:n], self.left[n:]
        return out

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def bytes(self):
        return self.take(self.u32())

    def text(self):
        return self.bytes().decode()

    def end(self):
        assert self.left == b"", f"{self.name} has leftover bytes"
        return self

    def event(self):
        """The rest of the message, which is one event."""
        e = {"event": KINDS[self.u32()]}
        while self.left:
            name, kind = FIELDS[self.u32()], chr(self.u8())
            assert name not in e
            e[name] = {"s": self.text, "n": self.u64,
                       "b": lambda: bool(self.u64())}[kind]()
        return e

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_raw(sock, data, fds=()):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                array.array("i", fds))] if fds else []
    sock.sendmsg([data], control)


def send(sock, name, body=b"", fds=(), ident=0):
    send_raw(sock, struct.pack(">HHI", VERSION, TYPES[name], ident) + body, fds)


def receive(sock, timeout=20):
    """The next message; None when the other end has closed."""
    sock.settimeout(timeout)
    for _ in range(2):
        try:
            data, control, flags, _ = sock.recvmsg(256 * 1024, 1024)
            break
        except ConnectionResetError:
            continue    # reported once, ahead of what is queued
    fds = array.array("i")
    for level, kind, d in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    return Message(data, list(fds)) if data else None


def expect(sock, name, timeout=20):
    m = receive(sock, timeout)
    assert m is not None, f"closed; {name} was expected"
    assert m.name == name, m.name
    return m


def silent(sock, seconds=0.2):
    """Nothing comes, and the connection stands."""
    sock.settimeout(seconds)
    try:
        data = sock.recv(16, socket.MSG_PEEK)
    except TimeoutError:
        return True
    raise AssertionError(f"something came: {data!r}")


def listener(path, mode=0o600):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(path))
    os.chmod(path, mode)
    s.setblocking(False)    # as the parent binds it
    s.listen(256)
    return s


def connect(path, timeout=20):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(str(path))    # blocking: it waits for a place in the queue
    s.settimeout(timeout)
    return s


def lingering():
    """A connection whose end nobody acknowledges: its close takes a minute."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s = socket.create_connection(server.getsockname())
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            s.send(bytes(1 << 16))
    return [s, server]


def send_lingering(proc, sock, data, others=0):
    """Sends data with such a connection behind other descriptors, and sees to
    it that the receiver is the last one that has it."""
    s, server = lingering()
    null = os.open("/dev/null", os.O_RDWR)
    proc.send_signal(signal.SIGSTOP)
    send_raw(sock, data, [null] * others + [s.fileno()])
    s.close()
    os.close(null)
    proc.send_signal(signal.SIGCONT)
    return server


def install(program, to):
    """A program where the test runs it, put there as a package would: beside
    it first, for an earlier one may still be running from the same name."""
    shutil.copyfile(program, f"{to}.new")
    os.chmod(f"{to}.new", 0o755)
    os.rename(f"{to}.new", to)
    return str(to)


class Keeper:
    """Audit's memory for restarts, before the link of a test that plays
    audit: KEEP, FORGET, RECALL and SETTLED are answered here, everything else
    is passed on.  `rows` outlives the process that is tested."""

    def __init__(self, rows, link, page=50):
        self.rows, self.link, self.page = rows, link, page
        self.settled = 0
        self.audit, self.near = pair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        both = [self.link, self.near]
        while both:
            for s in select.select(both, [], [])[0]:
                if self.turn(s):
                    continue
                both.remove(s)
                other = self.near if s is self.link else self.link
                try:
                    # What the process sends no more may yet be answered;
                    # a test that closes its end is gone.
                    if s is self.link:
                        other.shutdown(socket.SHUT_WR)
                    else:
                        both = []
                except OSError:
                    both = []
        self.link.close()
        self.near.close()

    def turn(self, s):
        try:
            data, control, _, _ = s.recvmsg(256 * 1024, 1024)
        except OSError:
            data = b""
        if not data:
            return False
        fds = array.array("i")
        for _, _, d in control:
            fds.frombytes(d)
        m = Message(data, list(fds))
        try:
            if s is self.near or not self.own(m):
                send_raw(self.near if s is self.link else self.link, data,
                         fds)
        except OSError:
            return False
        finally:
            m.close()
        return True

    def own(self, m):
        if m.name == "KEEP":
            key = m.text()
            self.rows[key] = (m.u64(), m.bytes())
            m.end()
            send(self.link, "KEPT", u32(0), ident=m.id)
        elif m.name == "FORGET":
            self.rows.pop(m.text(), None)
        elif m.name == "RECALL":
            after = m.text()
            keys = sorted(k for k in self.rows if k > after)
            body = b"".join(text(k) + u64(self.rows[k][0]) +
                            text(self.rows[k][1]) for k in keys[:self.page])
            send(self.link, "RECALLED", u32(0) + u8(len(keys) > self.page) +
                 u32(len(keys[:self.page])) + body, ident=m.id)
        elif m.name == "SETTLED":
            self.settled += 1
        else:
            return False
        return True


class Child:
    """One of posternd's children, with this process as its parent."""

    def __init__(self, program, log, uid, nofile=None, env=None):
        self.control, theirs = pair()
        self.log_path = str(log)

        def ready():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)

        # The number 3 must not be one that subprocess itself uses.
        spare = os.open("/dev/null", os.O_RDONLY)
        with open(log, "wb") as f:
            # A child may not be dumped, and so not be searched for leaks.
            self.proc = subprocess.Popen(
                [program], preexec_fn=ready, pass_fds=(3,), cwd="/",
                stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                env={"ASAN_OPTIONS": "detect_leaks=0"} | (env or {}))
        if spare != 3:
            os.close(spare)
        theirs.close()

    def listen(self, name, sock):
        send(self.control, "LISTEN", text(name), [sock.fileno()])
        return self

    def link(self, sibling):
        """Our end of a fresh pair."""
        ours, theirs = pair()
        send(self.control, "LINK", text(sibling), [theirs.fileno()])
        theirs.close()
        return ours

    def folder(self, name, path):
        fd = os.open(path, os.O_RDONLY)
        send(self.control, "FOLDER", text(name), [fd])
        os.close(fd)
        return self

    def go(self, settings="", addresses="10.91.0.1/32"):
        send(self.control, "GO", text(settings) + text(addresses))
        expect(self.control, "READY").end()
        return self

    def reload(self, path, asked=0):
        """What the child says of it: how it went, and what is in force."""
        self.folder("policy", path)
        send(self.control, "RELOAD", u32(asked), ident=77)
        m = expect(self.control, "RELOADED")
        assert m.id == 77
        out = m.u32(), m.text()
        m.end()
        return out

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def logs(self, what, timeout=20):
        """Waits until the log has the words."""
        end = time.monotonic() + timeout
        while what not in self.log():
            assert time.monotonic() < end, f"no {what!r} in:\n{self.log()}"
            time.sleep(0.01)

    def alive(self):
        return self.proc.poll() is None

    def fds(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    def settled(self, want=None):
        """How many descriptors it has once that stays the same; or waits
        until it is that many."""
        end, last = time.monotonic() + 10, -1
        while True:
            n = self.fds()
            if n == (last if want is None else want):
                return n
            assert time.monotonic() < end, f"{n} descriptors, not {want}"
            last = n
            time.sleep(0.05)

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.proc.pid}/stat", encoding="ascii") as f:
            n = f.read().rsplit(")", 1)[1].split()
        return (int(n[11]) + int(n[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Ends it as the parent does; it must end well."""
        if self.alive():
            send(self.control, "STOP")
        try:
            code = self.proc.wait(10)
        finally:
            self.proc.kill()
            self.control.close()
        assert "Sanitizer" not in self.log() and \
            "runtime error" not in self.log(), self.log()
        return code
