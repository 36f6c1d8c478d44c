"""postern-audit's messages as a second, independent implementation, and the
process itself with the test as its parent and its siblings."""
import array
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import time

VERSION = int(re.search(r"#define MSG_VERSION (\d+)", (
    pathlib.Path(__file__).resolve().parents[2] / "lib/msg.h").read_text())[1])
LINK, FOLDER, GO, STOP, READY = 4, 6, 8, 12, 14
EVENT, EVENT_DONE, OP_OPEN, OP_OPENED = 96, 97, 98, 99
OP_STARTED, OP_ABORT = 100, 102

KINDS = {"start": 1, "policy.load": 2, "login.refused": 3, "session.open": 4,
         "session.close": 5, "operation.decide": 6, "operation.end": 7,
         "view": 8, "alarm": 9, "question": 10, "certificate.issue": 11,
         "certificate.login": 12, "kill": 13, "lock": 14, "unlock": 15,
         "retention.delete": 16, "hold.add": 17, "hold.remove": 18,
         "ledger.key": 19, "control.refused": 20}
NAMES = """session operation identity issuer subject user source commit
pull_request actor workflow run target login command pty stdin policy rule
verdict reason by serial key_id principal list position positions joined asker key
principals lifetime_s env exit signal state duration_ms bytes_in bytes_out
bytes_err sha256_in sha256_out
sha256_err files files_refused bytes_read bytes_written manifest_sha256
recording recording_sha256 viewer process recording_bytes
retention sidecar_sha256 checkpoint what direction refs refs_refused shell
line""".split()
FIELD = {name: i + 1 for i, name in enumerate(NAMES)}
BOOLS = {"pty", "stdin"}


def numbers():
    """The numbers of the table that only the header knows for sure."""
    top = pathlib.Path(__file__).resolve().parents[2]
    found, last = {}, None
    for line in (top / "lib/proto.h").read_text().splitlines():
        if line.strip().startswith("MSG_") and "=" in line:
            name, value = line.strip().split("=")
            found[name.strip()[4:]] = int(value.split(",")[0])
    return found


MSG = numbers()


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack(">I", len(s)) + s


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def event(kind, **fields):
    b = u32(KINDS[kind] if isinstance(kind, str) else kind)
    for name, v in fields.items():
        b += u32(FIELD[name])
        if isinstance(v, (str, bytes)):
            b += b"s" + text(v)
        else:
            b += (b"b" if name in BOOLS else b"n") + u64(int(v))
    return b


def send(sock, kind, body=b"", ident=0, fds=()):
    control = []
    if fds:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))]
    sock.sendmsg([struct.pack(">HHI", VERSION, kind, ident) + body], control)


def receive(sock):
    """(type, id, body, descriptors), or None at the end."""
    data, control, _, _ = sock.recvmsg(256 * 1024, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, d in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
    if not data:
        return None
    version, kind, ident = struct.unpack(">HHI", data[:8])
    assert version == VERSION
    return kind, ident, data[8:], list(fds)


def ulid(n):
    return "01KAZ%021d" % n


class Refused(Exception):
    pass


class Audit:
    """One state folder; start and kill as often as a test likes."""

    def __init__(self, folder, settings="disk-reserve 1MiB\n", env=None):
        self.folder, self.settings = pathlib.Path(folder), settings
        self.env = {**os.environ, **(env or {})}
        for name in ("recordings", "ledger", "store"):
            (self.folder / name).mkdir(exist_ok=True)
        self.proc = None
        self.ident = 0
        self.start()

    def start(self):
        parent, theirs = socket.socketpair(socket.AF_UNIX,
                                           socket.SOCK_SEQPACKET)
        program = os.path.join(os.environ["POSTERN_BUILD"],
                               "broker/postern-audit")
        self.log = open(self.folder / "log", "ab")
        self.proc = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$0" 3<&0 </dev/null', program],
            stdin=theirs.fileno(), stderr=self.log, env=self.env,
            umask=0o077)
        theirs.close()
        self.parent = parent
        self.parent.settimeout(20)
        for name in ("recordings", "ledger", "store"):
            fd = os.open(self.folder / name, os.O_RDONLY | os.O_DIRECTORY)
            send(parent, FOLDER, text(name), fds=[fd])
            os.close(fd)
        self.link()
        send(parent, GO, text(self.settings) + text("127.0.0.1/32"))
        got = receive(parent)
        assert got is not None and got[0] == READY, self.read_log()

    def link(self, sibling="policy", narrow=False):
        """narrow: what audit answers waits in its own queue, not in
        sockets."""
        ours, theirs = socket.socketpair(socket.AF_UNIX,
                                         socket.SOCK_SEQPACKET)
        if narrow:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        send(self.parent, LINK, text(sibling), fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(20)
        self.policy = ours

    def read_log(self):
        return (self.folder / "log").read_text()

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.parent.close()
        self.policy.close()

    def stop(self):
        if self.proc.poll() is None:
            send(self.parent, STOP)
            self.policy.close()     # it has ended before
            assert self.proc.wait(20) == 0
        self.parent.close()
        self.policy.close()

    # -- as policy --------------------------------------------------------

    def call(self, kind, body, fds=()):
        self.ident += 1
        send(self.policy, kind, body, self.ident, fds)
        got = receive(self.policy)
        if got is None:
            raise Refused("closed")
        assert got[1] == self.ident
        return got

    def event(self, kind, **fields):
        """The ledger number."""
        got = self.call(EVENT, event(kind, **fields))
        assert got[0] == EVENT_DONE
        result, number = struct.unpack(">IQ", got[2])
        if result != 0:
            raise Refused(result)
        return number

    def open(self, op, **fields):
        """The hop's two descriptors."""
        fields = {"operation": op, "verdict": "allow", "session": ulid(0),
                  "target": "web-1", "command": "'true'", **fields}
        body = text(op) + b"\0" + u32(80) + u32(24) + text("") + text("t")
        got = self.call(OP_OPEN, body + event("operation.decide", **fields))
        assert got[0] == OP_OPENED
        result, number = struct.unpack(">IQ", got[2][:12])
        if result != 0:
            assert got[3] == []
            raise Refused(got[2][16:].decode())
        assert number > 0 and len(got[3]) == 2
        return got[3]

    def started(self, op, pid):
        fd = os.pidfd_open(pid)
        send(self.policy, OP_STARTED, text(op), fds=[fd])
        os.close(fd)

    def abort(self, op, reason):
        send(self.policy, OP_ABORT, text(op) + text(reason))

    def ask(self, what, body=None, viewer="uid:0", small=False, admin=1,
            **keys):
        """The connection on which the answer comes; small: it holds little
        that was not taken."""
        ours, theirs = socket.socketpair(socket.AF_UNIX,
                                         socket.SOCK_SEQPACKET)
        ours.settimeout(20)
        if small:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        if body is None:
            body = text(what) + u32(len(keys))
            for k, v in keys.items():
                body += text(k) + text(v)
        send(self.policy, MSG["AUDIT_QUERY"], text(viewer) +
             bytes([admin]) + body, 77,
             [theirs.fileno()])
        theirs.close()
        return ours

    def query(self, what, **keys):
        """(rows, descriptors of the first)"""
        return self.answer(self.ask(what, **keys))

    def answer(self, sock):
        rows, fds = [], []
        with sock:
            while True:
                got = receive(sock)
                assert got is not None, "closed without an end"
                kind, ident, body, more = got
                assert ident == 77
                fds += more
                if kind == MSG["ROWS_END"]:
                    (result,) = struct.unpack(">I", body[:4])
                    if result != 0:
                        raise Refused(body[8:].decode())
                    assert receive(sock) is None
                    return rows, fds
                assert kind == MSG["ROW"]
                rows.append(json.loads(body[4:]))

    # -- what is on the disk ----------------------------------------------

    def ledger(self):
        path = self.folder / "ledger/ledger.jsonl"
        end = time.monotonic() + 5      # it may just be writing one
        while (lines := path.read_text()) and not lines.endswith("\n"):
            assert time.monotonic() < end, lines[-200:]
        rows = [json.loads(line) for line in lines.splitlines()]
        assert [r["number"] for r in rows] == list(range(1, len(rows) + 1))
        return rows

    def ends(self, op=None):
        return [r for r in self.ledger() if r["event"] == "operation.end" and
                op in (None, r["operation"])]

    def wait_end(self, op, seconds=10):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.ends(op):
                (end,) = self.ends(op)
                return end
            time.sleep(0.02)
        raise AssertionError("no end of " + op + "\n" + self.read_log())

    def sealed(self, op, seconds=5):
        """Read-only, a moment after the ledger has its end."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.recording(op).stat().st_mode & 0o7777 == 0o440:
                return True
            time.sleep(0.02)
        return False

    def recording(self, op):
        (path,) = (self.folder / "recordings").glob("*/" + op + ".cast")
        return path

    def sidecar(self, op):
        return [json.loads(line) for line in self.recording(op)
                .with_suffix(".json").read_text().splitlines()]


class Hop:
    """A process that holds a recording's descriptors, as the hop does."""

    def __init__(self, cast, side):
        r, self.go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.go)
            order = os.read(r, 1)
            if order == b"w":  # last words
                os.write(side, b'{"kind":"hop","exit":3,"duration_ms":1}\n')
            while order == b"b":  # busy until it is killed
                os.write(cast, b'[0.1,"o","' + b"x" * 3000 + b'"]\n')
            os._exit(0)
        for fd in (r, cast, side):
            os.close(fd)

    def end(self, order=b""):
        if order:
            os.write(self.go, order)
        os.close(self.go)
        os.waitpid(self.pid, 0)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.end()


def readable(sock, seconds):
    return bool(select.select([sock], [], [], seconds)[0])
