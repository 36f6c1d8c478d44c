"""postern-oidc, run by a test that is its parent, policy, audit and the PAM
module at once.  The messages are written from doc/PROTOCOL.md."""
import array
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build"))
OIDC = os.environ.get("POSTERN_OIDC", str(BUILD / "broker/postern-oidc"))

VERSION = int(re.search(r"#define MSG_VERSION (\d+)", (
    pathlib.Path(__file__).resolve().parents[2] / "lib/msg.h").read_text())[1])
LISTEN, LINK, FOLDER, GO, STOP, READY = 2, 4, 6, 8, 12, 14
LOGIN, LOGIN_RESULT = 32, 33
ISSUERS, ISSUER_KEYS, SESSION_NEW, SESSION_MADE = 34, 35, 36, 37
EVENT, EVENT_DONE = 96, 97
KEEP, KEPT, RECALL, RECALLED = 104, 105, 108, 109
LOGIN_REFUSED = 3
FIELD = {4: "issuer", 5: "subject", 6: "user", 7: "source", 19: "rule",
         21: "reason"}
HANDLE = "00112233445566778899aabbccddeeff"


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack(">I", len(s)) + s


def u32(n):
    return struct.pack(">I", n)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert n <= len(self.data)
        out, self.data = self.data[:n], self.data[n:]
        return out

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def text(self):
        return self.take(self.u32()).decode()


def send(sock, kind, body=b"", fds=(), ident=1):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                array.array("i", fds))] if fds else []
    sock.sendmsg([struct.pack(">HHI", VERSION, kind, ident) + body], control)


def receive(sock):
    """(type, id, body), or None at the end."""
    data = sock.recv(256 * 1024)
    if not data:
        return None
    version, kind, ident = struct.unpack(">HHI", data[:8])
    assert version == VERSION
    return kind, ident, data[8:]


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Session:
    """SESSION_NEW, read."""

    def __init__(self, body):
        r = Reader(body)
        self.user, self.source, self.issuer = r.text(), r.text(), r.text()
        self.subject, self.token, self.expires = r.text(), r.text(), r.u64()
        self.opened = bool(r.u8())
        self.claims = {}
        for _ in range(r.u32()):
            k = r.text()
            assert k not in self.claims
            self.claims[k] = r.text()
        assert r.data == b""


class Oidc:
    def __init__(self, folder, ca_pem=None, settings="", go=True, marks=None,
                 reach="issuer-address 127.0.0.1\n", preload=None):
        self.folder = folder
        self.sessions, self.events, self.refusals = [], [], 0
        # what audit keeps, and its answer to KEEP (None: none)
        self.marks, self.keeps = {} if marks is None else marks, 0
        self.policy = self.answer = None
        self.cond = threading.Condition()
        self.path = str(folder / "pam.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        os.chmod(self.path, 0o777)  # so that the peer's uid is what decides
        listener.listen(128)
        self.control, child = pair()
        self.log = folder / "log"
        # a proxy that does not exist: the environment's must not be used
        env = {**os.environ, "https_proxy": "http://127.0.0.1:1",
               "HTTPS_PROXY": "http://127.0.0.1:1",
               "all_proxy": "http://127.0.0.1:1",
               "ASAN_OPTIONS": "detect_leaks=0"}
        if preload is not None:
            env["LD_PRELOAD"] = str(
                BUILD.resolve() / "tests/broker/.libs" / preload)
            env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"

        def at_three(fd=child.fileno()):
            os.dup2(fd, 3)
            os.set_inheritable(3, True)

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [OIDC], preexec_fn=at_three, pass_fds=(3,), env=env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        child.close()
        send(self.control, LISTEN, text("pam"), [listener.fileno()])
        self.listener = listener    # as posternd, which lives
        self.link_audit()
        self.link_policy()
        if ca_pem is not None:
            ca = folder / "ca.pem"
            ca.write_bytes(ca_pem)
            with open(ca, "rb") as f:
                send(self.control, FOLDER, text("issuer-ca"), [f.fileno()])
        keys = os.open(folder / "issuer-keys", os.O_RDWR | os.O_CREAT, 0o600)
        send(self.control, FOLDER, text("issuer-keys"), [keys])
        os.close(keys)
        self.settings = settings + reach
        if go:
            self.go()

    def go(self):
        send(self.control, GO, text(self.settings) + text("10.0.0.1/32"))
        assert receive(self.control) == (READY, 0, b""), self.logged()

    def link_policy(self):
        self.policy, theirs = pair()
        send(self.control, LINK, text("policy"), [theirs.fileno()])
        theirs.close()
        self.answer = lambda s: (0, HANDLE, "")
        threading.Thread(target=self.play_policy, args=(self.policy,),
                         daemon=True).start()

    def play_policy(self, sock):
        while True:
            try:
                m = receive(sock)
            except OSError:
                return
            if m is None:
                return
            assert m[0] == SESSION_NEW
            s = Session(m[2])
            with self.cond:
                self.sessions.append(s)
                self.cond.notify_all()
            a = self.answer(s)
            if a is not None:
                send(sock, SESSION_MADE, u32(a[0]) + text(a[1]) + text(a[2]),
                     ident=m[1])

    def link_audit(self):
        self.audit, theirs = pair()
        send(self.control, LINK, text("audit"), [theirs.fileno()])
        theirs.close()
        threading.Thread(target=self.play_audit, args=(self.audit,),
                         daemon=True).start()

    def play_audit(self, sock):
        while True:
            try:
                m = receive(sock)
            except OSError:
                return
            if m is None:
                return
            if m[0] == RECALL:
                keys = sorted(k for k in self.marks
                              if k > Reader(m[2]).text())
                page = keys[:3]
                if sock.fileno() == -1:
                    return
                send(sock, RECALLED, u32(0) + bytes([len(keys) > 3]) +
                     u32(len(page)) + b"".join(
                         text(k) + self.marks[k] for k in page), ident=m[1])
                continue
            if m[0] == KEEP:
                r = Reader(m[2])
                key = r.text()
                self.marks[key] = r.data
                if self.keeps is not None:
                    send(sock, KEPT, u32(self.keeps), ident=m[1])
                continue
            assert m[0] == EVENT
            r = Reader(m[2])
            assert r.u32() == LOGIN_REFUSED
            e = {}
            while r.data:
                field, kind = r.u32(), r.u8()
                assert kind == ord("s")
                e[FIELD[field]] = r.text()
            with self.cond:
                self.events.append(e)
                self.cond.notify_all()
            send(sock, EVENT_DONE, u32(0) + struct.pack(">Q", 7), ident=m[1])

    def wait(self, what, seconds=10):
        with self.cond:
            assert self.cond.wait_for(what, seconds)

    @staticmethod
    def issuer(e):
        algs = e.get("algs", ("RS256", "ES256"))
        aud = e.get("aud", ("bastion",))
        return (text(e["name"]) + text(e["url"]) + u32(len(aud)) +
                b"".join(map(text, aud)) + u32(len(algs)) + b"".join(map(text, algs)) +
                u32(e.get("max_age", 600)) + u32(e.get("max_life", 86400)) +
                u32(30) + bytes([e.get("once", True)]) +
                text(e.get("keys_url", "")))

    def issuers(self, *entries):
        """Those with `keys` (a file's content) get these."""
        fetched = [e for e in entries if "keys" not in e]
        for e in entries:
            if "keys" in e:
                path = self.folder / "keys.json"
                path.write_bytes(e["keys"])
                with open(path, "rb") as f:
                    send(self.policy, ISSUER_KEYS, self.issuer(e),
                         [f.fileno()])
        send(self.policy, ISSUERS, u32(len(fetched)) +
             b"".join(map(self.issuer, fetched)))

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(self.path)    # waits for its turn, as the module does
        s.settimeout(30)
        return s

    def ask(self, token, user="web-1", source="10.0.3.4", trouble=""):
        """Sends LOGIN; the answer comes on the socket that is returned."""
        s = self.connect()
        send(s, LOGIN, text(user) + text(source) + text(token) + u32(3) +
             text(trouble), ident=77)
        return s

    def login(self, token, **more):
        """(result, handle)."""
        with self.ask(token, **more) as s:
            return self.result(s)

    @staticmethod
    def result(s):
        kind, ident, body = receive(s)
        assert (kind, ident) == (LOGIN_RESULT, 77)
        r = Reader(body)
        out = r.u32(), r.text()
        assert r.data == b""
        return out

    def refused(self, token, **more):
        """The reason in the event of a login that must be refused."""
        n = len(self.events)
        # each from an address of its own: who failed before is slowed down
        self.refusals += 1
        more.setdefault("source", f"10.200.{self.refusals // 250}."
                        f"{self.refusals % 250 + 1}")
        assert self.login(token, **more) == (1, "")
        self.wait(lambda: len(self.events) > n)
        return self.events[n]

    def alive(self):
        return self.process.poll() is None

    def logged(self):
        return self.log.read_text()

    def close(self):
        if self.alive():
            send(self.control, STOP)
        try:
            code = self.process.wait(10)
        finally:
            self.process.kill()
            for s in (self.control, self.policy, self.audit):
                s.close()
        return code
