"""postern-policy as a process, with this test as its parent, oidc, audit,
signer, PAM module, shells and callers.  Real process trees: a monitor, its
child, a postern-shell below that, as sshd makes them."""
import array
import contextlib
import json
import os
import pathlib
import pwd
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import wire as w  # noqa: E402
from clock import LIB, Clock  # noqa: E402

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
BUILT = BUILD / "broker/postern-policy"

pytestmark = pytest.mark.skipif(
    not os.environ.get("POSTERN_INSIDE") or not BUILT.exists(),
    reason="runs in tests/broker/floor.sh, over a build")

USAGE, IOERR, TEMPFAIL, DENIED = 64, 74, 75, 77
PIN = "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"
POLICY = f"""policy 1
issuer github {{ preset github; audience "bastion.acme.example" }}
identity shop from github {{ claim repository_id = "7712345" }}
target web-1 {{ ssh "deploy@10.91.0.2:2022"; hostkey ssh-ed25519 "{PIN}"; login root }}
program systemctl = /usr/bin/systemctl
allow deploy for shop on web-1 {{
    run systemctl restart web
    run /usr/bin/cat with stdin max 5KiB
    run /usr/bin/top with pty
    run /usr/bin/echo <any>...
    env STAGE <enum blue green>
    env NOTE <text 1..40>
}}
allow paced for shop on web-1 {{
    run /usr/bin/uptime
    limit rate 3 per 1h
}}
allow root for shop on root+web-1 {{ run /usr/bin/id }}
deny never for * on * {{ run systemctl stop <any>...; because "use the runbook" }}
"""
CLAIMS = {"repository_id": "7712345", "sha": "a" * 40, "run_id": "99",
          "actor": "anna", "workflow": "ship"}
SOURCE = "10.0.3.4"
DIGEST = "0123456789abcdef" * 4


def short(v):
    """A case's name: what is neither short nor plain has only a number."""
    v = str(v)
    return v if v.isascii() and v.isprintable() and len(v) < 20 else "-"


# -- a tree of processes, as sshd makes it -----------------------------------------


def tell(sock, what, fds=()):
    sock.sendmsg([json.dumps(what).encode()],
                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                   array.array("i", fds))] if fds else [])


def hear(sock):
    data, control, _, _ = sock.recvmsg(200000, 1024)
    fds = array.array("i")
    for _, _, d in control:
        fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
    return json.loads(data) if data else None, list(fds)


class Monitor:
    """A process of root's, as sshd's monitor: opens and closes connections,
    and starts shells some generations below itself."""

    def __init__(self, folder):
        self.folder = folder
        self.sock, theirs = w.pair()
        self.sock.settimeout(20)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            try:
                # Not the neighbours' ends: they must close when the test
                # closes them.
                os.dup2(theirs.detach(), 3)
                os.closerange(4, 20000)
                theirs = socket.socket(fileno=3)
                while self.serve(theirs):
                    pass
            finally:
                os._exit(0)
        theirs.close()

    def serve(self, sock):
        what, fds = hear(sock)
        if what is None:
            return False
        with contextlib.closing(w.connect(f"{self.folder}/{what['at']}.sock")) \
                if what["do"] != "run" else contextlib.nullcontext() as conn:
            if what["do"] == "open":
                fd = fds[0] if fds else os.pidfd_open(os.getpid())
                w.send(conn, "SESSION_OPEN", w.text(what["handle"]) +
                       w.text(what["user"]) + w.text(what["source"]) +
                       w.text(what["info"]), [fd], 5)
                os.close(fd)
            elif what["do"] == "close":
                w.send(conn, "SESSION_CLOSE", w.text(what["handle"]), (), 5)
            else:
                self.descend(sock, what, fds, what["generations"])
                return True
            m = w.receive(conn)
            tell(sock, None if m is None else
                 [m.name, m.id, m.u32(), m.text() if m.left else ""])
        return True

    def descend(self, sock, what, fds, generations):
        """Forks that often; the last one is the shell, the others stay."""
        if generations > 0:
            if os.fork() == 0:
                self.descend(sock, what, fds, generations - 1)
                signal.pause()
            for fd in fds:
                os.close(fd)
            return
        try:
            os.setgroups([])
            os.setresgid(what["uid"], what["uid"], what["uid"])
            os.setresuid(what["uid"], what["uid"], what["uid"])
            conn = w.connect(f"{self.folder}/shell.sock")
            w.send_raw(conn, bytes.fromhex(what["data"]), fds)
            tell(sock, os.getpid(), [conn.fileno()])
            conn.close()
        except OSError as e:
            tell(sock, str(e))
        for fd in fds:
            os.close(fd)
        while True:
            signal.pause()

    def ask(self, fds=(), **what):
        tell(self.sock, what, fds)
        return hear(self.sock)

    def open(self, handle, user="web-1", source=SOURCE, fds=(), info=""):
        """(result, handle) of SESSION_OPENED; None when it was closed."""
        got, _ = self.ask(fds, do="open", at="session", handle=handle,
                          user=user, source=source, info=info)
        assert got is None or got[:2] == ["SESSION_OPENED", 5]
        return got and tuple(got[2:])

    def close(self, handle):
        got, _ = self.ask(do="close", at="session", handle=handle)
        assert got[:2] == ["SESSION_CLOSED", 5]
        return got[2]

    def shell(self, data, fds=(), uid=None, generations=2):
        """Our copy of a shell's connection on which data has been sent."""
        uid = pwd.getpwnam("_postern-job").pw_uid if uid is None else uid
        null = os.open("/dev/null", os.O_RDWR)
        got, conn = self.ask(fds or [null] * 3, do="run", at="shell", uid=uid,
                             data=data.hex(), generations=generations)
        os.close(null)
        assert isinstance(got, int), got
        return socket.socket(fileno=conn[0])

    def kill(self):
        if self.pid:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.sock.close()
            self.pid = 0


def run_body(handle, command, kind=1, tty=0, term="xterm", cols=100, rows=40,
             sent=()):
    return (w.text(handle) + w.u8(kind) + w.text(command) + w.u8(tty) +
            w.text(term) + w.u32(cols) + w.u32(rows) + w.u32(len(sent)) +
            b"".join(w.text(v) for v in sent))


def message(name, body=b"", ident=0):
    return struct.pack(">HHI", w.VERSION, w.TYPES[name], ident) + body


# -- policy and all its neighbours ---------------------------------------------------


@pytest.fixture(scope="module")
def program():
    return w.install(BUILT, "/opt/postern-policy")


class Policy(w.Child):
    def __init__(self, program, folder, settings="", policy=POLICY, rows=None,
                 **more):
        self.rows = {} if rows is None else rows
        for path in (folder, folder.parent):
            path.chmod(0o755)   # other uids come through here
        super().__init__(program, folder / "log",
                         pwd.getpwnam("_postern-policy").pw_uid, **more)
        self.path, self.monitors, self.keep = folder, [], []
        self.write(policy)
        for name in ("session", "shell", "ctl", "audit"):
            (folder / f"{name}.sock").unlink(missing_ok=True)
            s = w.listener(folder / f"{name}.sock", 0o777)
            self.listen(name, s)
            s.close()
        self.folder("policy", folder / "policy")
        key = folder / "key"
        if not key.exists():
            key.write_bytes(os.urandom(32))
        self.folder("session-key", key)
        self.audit, self.signer, self.oidc = map(
            self.link, ("audit", "signer", "oidc"))
        self.go(settings)
        assert "not accepted" not in self.log(), self.log()
        self.issuers = w.expect(self.oidc, "ISSUERS")
        e = self.heard("policy.load")
        assert e["verdict"] == "accepted" and e["policy"]

    def link(self, sibling):
        ours = super().link(sibling)
        if sibling != "audit":
            return ours
        self.keeper = w.Keeper(self.rows, ours)
        return self.keeper.audit

    def write(self, text):
        folder = self.path / "policy"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        (folder / "a.postern").write_text(text)
        (folder / "a.postern").chmod(0o644)

    def heard(self, kind):
        """The next event that audit hears, which must be of that kind."""
        m = w.expect(self.audit, "EVENT")
        w.send(self.audit, "EVENT_DONE", w.u32(0) + w.u64(7), ident=m.id)
        e = m.event()
        assert e["event"] == kind
        return e

    def new(self, user="web-1", claims=None, source=SOURCE, token=DIGEST,
            issuer="github", expires=None, opened=False):
        """(result, handle, reason) of SESSION_MADE."""
        claims = CLAIMS if claims is None else claims
        w.send(self.oidc, "SESSION_NEW", self.proof(
            user, claims, source, token, issuer, expires, opened), ident=3)
        m = w.expect(self.oidc, "SESSION_MADE")
        assert m.id == 3
        out = m.u32(), m.text(), m.text()
        m.end()
        return out

    @staticmethod
    def proof(user="web-1", claims=None, source=SOURCE, token=DIGEST,
              issuer="github", expires=None, opened=False):
        claims = CLAIMS if claims is None else claims
        expires = int(time.time()) + 300 if expires is None else expires
        return (w.text(user) + w.text(source) + w.text(issuer) +
                w.text("repo:acme/shop") + w.text(token) + w.u64(expires) +
                w.u8(opened) + w.u32(len(claims)) +
                b"".join(w.text(k) + w.text(v) for k, v in claims.items()))

    def monitor(self):
        it = Monitor(self.path)
        self.monitors.append(it)
        return it

    def login(self, user="web-1", token=DIGEST, first=True):
        """A monitor whose connection is open, and the handle."""
        result, handle, reason = self.new(user, token=token)
        assert (result, reason) == (0, "")
        m = self.monitor()
        assert m.open(handle, user) == (0, handle)
        if first:
            assert self.heard("session.open")["user"] == user
        return m, handle

    def status(self):
        with contextlib.closing(w.connect(self.path / "ctl.sock")) as s:
            w.send(s, "STATUS", ident=9)
            m = w.expect(s, "STATUS_IS")
            assert m.id == 9
            return json.loads(m.text())

    def wait_status(self, **want):
        end = time.monotonic() + 20
        while not want.items() <= self.status().items():
            assert time.monotonic() < end, self.status()
            time.sleep(0.02)

    def stop(self):
        for m in self.monitors:
            m.kill()
        self.audit.close()  # nobody answers what it may still have asked
        return super().stop()


@pytest.fixture
def policy(tmp_path, program):
    it = Policy(program, tmp_path)
    yield it
    it.stop()


@pytest.fixture
def small(tmp_path, program):
    """With bounds that a test reaches."""
    it = Policy(program, tmp_path, "operations-max 2\nsessions-max 2\n")
    yield it
    it.stop()


def answer(conn):
    """(code, stdout, stderr) of the final answer; the connection closes."""
    m = w.expect(conn, "ANSWER")
    out = m.u32(), m.text(), m.text()
    m.end()
    assert w.receive(conn) is None
    return out


def refused(conn, code):
    """stderr of a refusal: every line is ours, the last names the operation."""
    got, out, err = answer(conn)
    assert (got, out) == (code, "")
    assert err.endswith("\n")
    assert all(x.startswith("postern:") for x in err.splitlines()), err
    return err


def asked(policy, conn_ask):
    """The two questions of an allowed operation: OP_OPEN, HOP_START."""
    opened = w.expect(policy.audit, "OP_OPEN")
    start = w.expect(policy.control, "HOP_START")
    assert len(start.fds) == 1
    hop = socket.socket(fileno=start.fds[0])
    hop.settimeout(20)
    return opened, start, hop


def files(tmp_path):
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return [os.open(tmp_path / n, flags, 0o600) for n in ("cast", "side")]


def answer_open(policy, opened, fds, result=0, reason=""):
    w.send(policy.audit, "OP_OPENED", w.u32(result) + w.u64(8) +
           w.text(reason), fds, opened.id)


def shell_opened(policy, shell, tmp_path):
    """The recording of a broker shell, up to its first prompt: OP_OPEN, the
    descriptors, the prompt.  What audit was told before is passed over."""
    while (opened := w.receive(policy.audit)).name != "OP_OPEN":
        assert opened.name in ("EVENT", "OP_ABORT"), opened.name
    fds = files(tmp_path)
    answer_open(policy, opened, fds)
    w.expect(policy.audit, "OP_STARTED").close()
    m = w.expect(shell, "SHELL_RECORD")
    assert [os.path.sameopenfile(a, b) for a, b in zip(m.fds, fds)] == \
        [True, True]
    m.close()
    for fd in fds:
        os.close(fd)
    return opened, w.expect(shell, "PROMPT")


def answer_start(policy, start, pid):
    fds = [os.pidfd_open(pid)] if pid else []
    w.send(policy.control, "HOP_STARTED", w.u32(pid), fds, start.id)
    for fd in fds:
        os.close(fd)


@pytest.fixture
def dummies():
    """Makes processes that are somebody's hop; their pids."""
    made = []

    def make():
        made.append(subprocess.Popen(["sleep", "1000"], close_fds=True))
        return made[-1].pid

    yield make
    for p in made:
        p.kill()
        p.wait()


@pytest.fixture
def dummy(dummies):
    return dummies()


def same(a, b):
    x, y = os.fstat(a), os.fstat(b)
    return (x.st_dev, x.st_ino) == (y.st_dev, y.st_ino)


# -- sessions -------------------------------------------------------------------------


def test_issuers_for_oidc(policy):
    m = policy.issuers
    assert m.u32() == 1
    assert m.text() == "github"
    assert m.text() == "https://token.actions.githubusercontent.com"
    assert [m.text() for _ in range(m.u32())] == ["bastion.acme.example"]
    assert [m.text() for _ in range(m.u32())] == ["RS256"]
    m.u32(), m.u32(), m.u32(), m.u8()
    assert m.text() == ""       # discovery says where the keys are
    m.end()


def test_a_session_is_made_and_opened(policy):
    result, handle, reason = policy.new()
    assert (result, reason) == (0, "")
    assert len(handle) == 32 and set(handle) <= set("0123456789abcdef")
    m = policy.monitor()
    assert m.open(handle) == (0, handle)
    e = policy.heard("session.open")
    assert e["user"] == "web-1" and e["source"] == SOURCE
    assert e["identity"] == "shop" and e["issuer"] == "github"
    assert e["commit"] == "a" * 40 and e["run"] == "99"
    assert policy.status()["sessions"] == 1
    assert m.open(handle)[0] != 0       # once
    assert m.close(handle) == 0
    assert m.close(handle) != 0


@pytest.mark.parametrize("what", [
    {"claims": {}}, {"claims": {"repository_id": "7712346"}},
    {"issuer": "gitlab"}, {"user": "Web-1"}, {"user": "a+b+c"}, {"user": ""},
])
def test_no_session(policy, what):
    result, handle, reason = policy.new(**what)
    assert result != 0 and handle == "" and reason != ""
    assert policy.status()["sessions"] == 0


@pytest.mark.parametrize("more", [
    {"user": "web-2"}, {"user": "root+web-1"}, {"user": ""},
    {"source": "10.0.3.5"}, {"source": ""},
])
def test_open_must_fit(policy, more):
    _, handle, _ = policy.new()
    m = policy.monitor()
    assert m.open(handle, **more) == (1, "")
    assert m.open(handle) == (0, handle)


@pytest.mark.parametrize("handle", [
    "", "0" * 32, "x", "0" * 31,
    pytest.param("0" * 33, id="longer")])
def test_open_needs_the_handle(policy, handle):
    _, real, _ = policy.new()
    m = policy.monitor()
    assert m.open(handle) in ((1, ""), None)
    assert m.open(real) == (0, real)


def test_open_needs_the_callers_own_pidfd(policy, dummy, tmp_path):
    _, handle, _ = policy.new()
    m = policy.monitor()
    dead = subprocess.Popen(["true"])
    of_dead = os.pidfd_open(dead.pid)
    dead.wait()
    for fd in (os.pidfd_open(dummy), os.pidfd_open(os.getpid()), of_dead,
               os.open(tmp_path / "log", os.O_RDONLY),
               os.open("/proc", os.O_RDONLY)):
        assert m.open(handle, fds=[fd]) == (1, "")
        os.close(fd)
    assert m.open(handle) == (0, handle)


def test_only_root_speaks_on_session_sock(policy):
    _, handle, _ = policy.new()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setresuid(*[pwd.getpwnam("_postern-job").pw_uid] * 3)
            s = w.connect(policy.path / "session.sock")
            with contextlib.suppress(OSError):
                w.send(s, "SESSION_OPEN", w.text(handle) + w.text("web-1") +
                       w.text(SOURCE) + w.text(""),
                       [os.pidfd_open(os.getpid())])
            code = 0 if w.receive(s) is None else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert policy.monitor().open(handle) == (0, handle)


def test_close_is_the_monitors(policy):
    m, handle = policy.login()
    other = policy.monitor()
    assert other.close(handle) != 0
    assert m.close(handle) == 0


def test_same_token_same_session(policy):
    m, handle = policy.login()
    m2, second = policy.login("root+web-1", first=False)
    assert handle != second
    assert policy.status()["sessions"] == 1
    # Another address, another token: another session.
    assert policy.new(source="10.0.3.5")[0] == 0
    assert policy.new(token="f" * 64)[0] == 0
    assert policy.status()["sessions"] == 3
    # Its connections are each one monitor's.
    refused(m.shell(message("RUN", run_body(second, "id"))), DENIED)
    refused(m2.shell(message("RUN", run_body(handle, "id"))), DENIED)


def test_p10_connections_of_a_session(policy):
    for _ in range(64):
        assert policy.new()[0] == 0
    result, _, reason = policy.new()
    assert result != 0 and "64 connections" in reason


def test_p10_sessions(small):
    assert small.new(token="1" * 64)[0] == 0
    assert small.new(token="2" * 64)[0] == 0
    result, _, reason = small.new(token="3" * 64)
    assert result != 0 and "sessions-max" in reason


def test_an_expired_session_ends_with_its_last_connection(policy):
    _, handle, _ = policy.new(expires=1)
    m = policy.monitor()
    assert m.open(handle) == (0, handle)
    policy.heard("session.open")
    assert policy.status()["sessions"] == 1


def test_without_audit_no_session_opens(policy):
    _, handle, _ = policy.new()
    policy.audit.close()
    policy.wait_status(audit=False)
    m = policy.monitor()
    assert m.open(handle) == (1, "")
    policy.audit = policy.link("audit")
    policy.wait_status(audit=True)
    assert m.open(handle) == (0, handle)


def test_6_a_token_opens_one_session(policy):
    """Promise 6: what oidc says has opened one joins its own live session, or
    nothing: no other token's, and none from another address."""
    assert policy.new(opened=True)[0] == 1
    m, handle = policy.login()
    result, again, _ = policy.new(opened=True)
    assert result == 0 and again != handle
    for wrong in ({"token": "b" * 64}, {"source": "10.0.0.77"},
                  {"issuer": "gitlab"}):
        result, none, why = policy.new(opened=True, **wrong)
        assert (result, none) == (1, "") and "spent" in why, (wrong, why)
    assert policy.status()["sessions"] == 1


# -- siblings that die, siblings that lie ----------------------------------------------


def test_p9_oidc_dies_between_question_and_answer(policy):
    """Its socket resets or breaks: that is an end, not a broken rule."""
    m, handle = policy.login()
    for unread in (0, 1, 5):
        for _ in range(unread):
            w.send(policy.oidc, "SESSION_NEW", policy.proof())
        w.send(policy.oidc, "SESSION_NEW", policy.proof())
        policy.oidc.close()
        policy.oidc = policy.link("oidc")
        w.expect(policy.oidc, "ISSUERS")
    assert policy.alive()
    assert policy.new()[0] == 0
    refused(m.shell(message("RUN", run_body(handle, "systemctl stop web"))),
            DENIED)


def test_p9_audit_and_signer_die_with_words_unread(policy):
    m, handle = policy.login()
    for _ in range(5):
        refused(m.shell(message("RUN", run_body(handle, "a"))), DENIED)
    policy.audit.close()    # five events unread: the connection is reset
    policy.wait_status(audit=False)
    policy.signer.close()
    policy.wait_status(signer=False)
    policy.audit, policy.signer = map(policy.link, ("audit", "signer"))
    policy.wait_status(audit=True, signer=True, sessions=1)
    refused(m.shell(message("RUN", run_body(handle, "a"))), DENIED)
    assert policy.heard("operation.decide")["verdict"] == "deny"


@pytest.mark.parametrize("who, name, body", [
    ("oidc", "SESSION_NEW", b""),
    ("oidc", "SESSION_NEW", Policy.proof() + b"x"),
    ("oidc", "SESSION_NEW", Policy.proof(user="x" * 64)),
    ("oidc", "SESSION_NEW", Policy.proof(token="")),
    ("oidc", "SESSION_NEW", Policy.proof(token="0" * 63)),
    ("oidc", "SESSION_NEW", Policy.proof(token="0" * 65)),
    ("oidc", "SESSION_NEW", Policy.proof(claims={"a": "x" * 4097})),
    ("oidc", "SESSION_NEW",
     Policy.proof(claims={f"a{i}": "x" for i in range(129)})),
    ("oidc", "OP_OPENED", w.u32(0) + w.u64(1) + w.text("")),
    ("oidc", "EVENT_DONE", w.u32(0) + w.u64(1)),
    ("audit", "SESSION_NEW", Policy.proof()),
    ("audit", "OP_OPENED", b""),
    ("audit", "EVENT_DONE", w.u32(0)),
    ("signer", "OP_OPENED", w.u32(0) + w.u64(1) + w.text("")),
    ("signer", "CERT", w.u32(0) + w.text("") + w.text("")),
    ("control", "SESSION_NEW", Policy.proof()),
    ("control", "HOP_STARTED", b""),
], ids=short)
def test_a_sibling_that_breaks_a_rule_ends_policy(policy, who, name, body):
    w.send(getattr(policy, who), name, body)
    assert policy.proc.wait(10) == 1


def test_answers_to_nobody_are_dropped(policy, tmp_path, dummy):
    fds = files(tmp_path)
    before = policy.settled()
    for ident in (0, 1, 99, 2**32 - 1):
        w.send(policy.audit, "OP_OPENED", w.u32(0) + w.u64(1) + w.text(""),
               fds, ident)
        w.send(policy.control, "HOP_STARTED", w.u32(dummy),
               [fds[0]], ident)
    policy.wait_status(operations=0)
    policy.settled(before)


# -- who may ask ------------------------------------------------------------------------


def test_a_handle_alone_is_worth_nothing(policy):
    m, handle = policy.login()
    data = message("RUN", run_body(handle, "systemctl restart web"))
    stranger = policy.monitor()
    nobody = pwd.getpwnam("nobody").pw_uid
    for conn in (m.shell(data, generations=1), m.shell(data, generations=3),
                 m.shell(data, generations=4), stranger.shell(data),
                 m.shell(data, uid=0), m.shell(data, uid=nobody)):
        assert "no session" in refused(conn, DENIED)
    for bad in ("", "0" * 32, handle[:-1], "g" + handle[1:]):
        body = message("RUN", run_body(bad, "systemctl restart web"))
        refused(m.shell(body), DENIED)
    w.silent(policy.control)


def test_a_pending_or_closed_session_runs_nothing(policy):
    _, handle, _ = policy.new()
    m = policy.monitor()
    data = message("RUN", run_body(handle, "systemctl restart web"))
    refused(m.shell(data), DENIED)
    assert m.open(handle) == (0, handle)
    policy.heard("session.open")
    assert m.close(handle) == 0
    refused(m.shell(data), DENIED)
    w.silent(policy.control)


@pytest.mark.parametrize("body", [
    b"", run_body("0" * 33, "a"), run_body("0" * 32, "a")[:-1],
    run_body("0" * 32, "a") + b"x", run_body("0" * 32, "a", kind=4),
    run_body("0" * 32, "a", tty=2), run_body("0" * 32, "a", term="x" * 65),
    run_body("0" * 32, "x" * 65537), run_body("0" * 32, "a", sent=["A"]),
    run_body("0" * 32, "a", sent=["=b"]), run_body("0" * 32, "a", sent=[""]),
    run_body("0" * 32, "a", sent=["1A=b"]),
    run_body("0" * 32, "a", sent=["A B=c"]),
    run_body("0" * 32, "a", sent=["A=\0b"]),
    run_body("0" * 32, "a", sent=["A" * 65 + "=b"]),
    run_body("0" * 32, "a", sent=["A=b"] * 131),
    run_body("0" * 32, "a", sent=["A=" + "b" * 16382] * 2 + ["A="]),
    run_body("0" * 32, "a")[:-4] + w.u32(1),
    run_body("0" * 32, "a")[:-4] + w.u32(2**32 - 1)], ids=short)
def test_a_malformed_run_closes_its_connection_alone(policy, body):
    m, handle = policy.login()
    assert w.receive(m.shell(message("RUN", body))) is None
    refused(m.shell(message("RUN", run_body(handle, "a"))), DENIED)


@pytest.mark.parametrize("name, nfd", [
    ("STATUS", 0), ("SESSION_NEW", 0), ("SIGNAL", 0), ("EXIT", 0),
    ("RUN", 2), ("RUN", 4), ("RUN", 0), ("GRANT", 1)])
def test_a_shell_says_one_thing(policy, name, nfd, tmp_path):
    m, handle = policy.login()
    null = os.open("/dev/null", os.O_RDWR)
    body = run_body(handle, "systemctl restart web") if name == "RUN" else b""
    if nfd == 0:
        # no descriptors: straight to the socket
        conn = w.connect(policy.path / "shell.sock")
        w.send(conn, name, body)
    else:
        conn = m.shell(message(name, body), [null] * nfd)
    assert w.receive(conn) is None
    os.close(null)
    policy.wait_status(operations=0)


# -- the decision ---------------------------------------------------------------------------


def test_p1_denied(policy):
    m, handle = policy.login()
    err = refused(m.shell(message("RUN", run_body(
        handle, "systemctl stop web"))), DENIED)
    e = policy.heard("operation.decide")
    assert (e["verdict"], e["rule"], e["target"]) == ("deny", "never", "web-1")
    assert e["command"] == "systemctl stop web" and e["reason"] == "policy"
    assert e["pty"] is False and "login" not in e and "stdin" not in e
    assert e["operation"] in err and "use the runbook" in err
    assert len(e["policy"]) == 64
    w.silent(policy.control)
    w.silent(policy.signer, 0.05)


@pytest.mark.parametrize("user, command, kind, code, rule", [
    ("web-1", "systemctl restart api", 1, DENIED, "default"),
    ("root+web-1", "systemctl restart web", 1, DENIED, "default"),
    ("other+web-1", "/usr/bin/id", 1, DENIED, "default"),
    ("web-2", "systemctl restart web", 1, DENIED, "default"),
    ("web-1", "systemctl restart $X", 1, USAGE, "default"),
    ("web-1", "systemctl restart 'web", 1, USAGE, "default"),
    ("web-1", "", 1, USAGE, "default"),
    ("web-1", "a; b &", 1, USAGE, "default"),
    ("web-1", "a; b $X", 2, USAGE, "default"),
    ("web-1", "systemctl restart api", 2, DENIED, "default"),
    ("web-1", b"systemctl restart \xff", 1, USAGE, "default"),
    ("web-1", b"systemctl restart web\0", 1, USAGE, "default"),
    ("web-1", "\x1b[2Jsystemctl restart web", 1, USAGE, "default"),
    ("web-1", "", 0, DENIED, "default"),
], ids=short)
def test_p1_refused(policy, user, command, kind, code, rule):
    m, handle = policy.login(user)
    err = refused(m.shell(message("RUN", run_body(handle, command, kind))),
                  code)
    e = policy.heard("operation.decide")
    assert (e["verdict"], e["rule"]) == ("deny", rule)
    assert e["reason"] == ("syntax" if code == USAGE else "policy")
    assert "\x1b" not in err and "\x1b" not in e.get("command", "")
    w.silent(policy.control)


def test_p8_what_was_asked_is_told_apart(policy):
    """A backslash of the job's is not an escape of ours."""
    m, handle = policy.login()
    shown = []
    for command in (b"a \x01", rb"a \x01"):
        refused(m.shell(message("RUN", run_body(handle, command))), USAGE
                if command == b"a \x01" else DENIED)
        shown.append(policy.heard("operation.decide")["command"])
    assert shown[0] != shown[1]


def test_reload(policy):
    m, handle = policy.login()
    policy.write("policy 1\nnonsense\n")
    policy.reload(policy.path / "policy")
    policy.logs("the running one stays")
    assert "nonsense" in policy.log()
    e = policy.heard("policy.load")
    assert e["verdict"] == "refused" and "policy" not in e
    assert "a.postern:2:1: " in e["reason"] and "nonsense" in e["reason"]
    policy.write(POLICY.replace("systemctl stop", "systemctl restart"))
    policy.reload(policy.path / "policy")
    assert policy.heard("policy.load")["verdict"] == "accepted"
    w.expect(policy.oidc, "ISSUERS")
    refused(m.shell(message("RUN", run_body(
        handle, "systemctl restart web"))), DENIED)
    assert policy.heard("operation.decide")["rule"] == "never"
    # The session is matched again: its identity is gone, and so is all.
    policy.write(POLICY.replace("7712345", "7712346"))
    policy.reload(policy.path / "policy")
    policy.heard("policy.load")
    refused(m.shell(message("RUN", run_body(
        handle, "systemctl restart web"))), DENIED)
    assert "identity" not in policy.heard("operation.decide")


def reloaded(s):
    m = w.expect(s, "POLICY_RELOADED")
    out = m.id, m.u32(), m.text(), m.u32(), m.u32(), m.text()
    m.end()
    return out


def test_keys_file(policy):
    """Opened by policy, if it is root's alone to write; without it its issuer
    is nobody oidc knows."""
    def reload():
        policy.reload(policy.path / "policy")
        assert policy.heard("policy.load")["verdict"] == "accepted"

    path = policy.path / "keys.json"
    policy.write(POLICY + """issuer onprem { preset kubernetes
    url "https://kubernetes.default.svc"; audience "bastion"
    keys-url "https://10.0.0.1:6443/openid/v1/jwks" }
""")
    reload()
    m = w.expect(policy.oidc, "ISSUERS")
    assert m.u32() == 2 and m.left.endswith(
        w.u8(0) + w.text("https://10.0.0.1:6443/openid/v1/jwks")), m.left
    policy.write(POLICY + f"""issuer cluster {{ preset kubernetes
    url "https://kubernetes.default.svc"; audience "bastion"
    keys-file "{path}" }}
""")
    reload()
    assert w.expect(policy.oidc, "ISSUERS").u32() == 1
    policy.logs("issuer cluster has no keys")
    path.write_text("the keys")
    path.chmod(0o622)
    reload()
    assert w.expect(policy.oidc, "ISSUERS").u32() == 1
    path.chmod(0o644)
    reload()
    m = w.expect(policy.oidc, "ISSUER_KEYS")
    assert (m.text(), m.text()) == ("cluster", "https://kubernetes.default.svc")
    assert os.read(m.fds[0], 100) == b"the keys"
    assert w.expect(policy.oidc, "ISSUERS").u32() == 1


def test_a_reload_is_asked_for(policy):
    """On ctl.sock: the parent is asked, and who asked hears how it went in
    policy and in the signer; whoever comes meanwhile waits for the next."""
    path, old = policy.path / "policy", policy.status()["policy"]
    first, second, gone = (w.connect(policy.path / "ctl.sock")
                           for _ in range(3))
    w.send(first, "RELOAD_POLICY", ident=5)
    wanted = w.expect(policy.control, "RELOAD_WANTED").end().id
    w.send(second, "RELOAD_POLICY", ident=6)
    w.send(gone, "RELOAD_POLICY", ident=7)
    w.silent(policy.control)
    gone.close()
    # It is refused: all of it is shown to who asked, and the signer's word
    # does not matter.
    policy.write("policy 1\nnonsense\n")
    assert policy.reload(path, wanted) == (1, old)
    e = policy.heard("policy.load")
    assert (e["verdict"], e["asker"]) == ("refused", "uid:0")
    w.silent(first, 0.1)
    over = w.u32(0) + w.text("f" * 64)
    w.send(policy.control, "RELOAD_OVER", over, ident=wanted)
    ident, outcome, now, targets, _, why = reloaded(first)
    assert (ident, outcome, now, targets) == (5, 1, old, 1)
    assert "a.postern:2:1: " in why and "\n" in why
    # The second one's turn: it loads here, but not in the signer.
    for signer, outcome in (((0, "f" * 64), 3), ((2, None), 3), ((0, ""), 3),
                            ((0, None), 0)):
        again = w.expect(policy.control, "RELOAD_WANTED").end().id
        assert again != wanted
        policy.write(POLICY + f"# {signer} {outcome}\n")
        r, new = policy.reload(path, again)
        assert (r, len(new)) == (0, 64) and new != old
        w.expect(policy.oidc, "ISSUERS")
        w.send(policy.control, "RELOAD_OVER", w.u32(signer[0]) +
               w.text(new if signer[1] is None else signer[1]), ident=again)
        ident, said, now, targets, identities, why = reloaded(second)
        assert (ident, said, now) == (6, outcome, new)
        assert bool(why) == (outcome != 0) and targets == identities == 1
        if outcome:
            assert "postern-signer" in why
            w.send(second, "RELOAD_POLICY", ident=6)
    w.silent(policy.control)
    # A reload by signal has nobody's name.
    assert policy.reload(path)[0] == 0
    while "asker" in (e := policy.heard("policy.load")):
        pass
    assert e["verdict"] == "accepted"
    first.close()
    second.close()


def test_reloads_that_wait_are_bounded(policy):
    many = [w.connect(policy.path / "ctl.sock") for _ in range(17)]
    for s in many:
        w.send(s, "RELOAD_POLICY", ident=1)
    ident, said, _, _, _, why = reloaded(many[16])
    assert (ident, said) == (1, 4) and "wait already" in why
    # Twice on one connection is a broken rule; the others wait on.
    w.send(many[0], "RELOAD_POLICY", ident=2)
    assert w.receive(many[0]) is None
    w.silent(many[1], 0.1)
    for s in many:
        s.close()


@pytest.mark.parametrize("name, body", [
    ("RELOAD", w.u32(1)), ("RELOAD_OVER", w.u32(0) + w.text("")),
    ("RELOAD", b""), ("RELOAD_OVER", w.u32(0) + w.text("f" * 65))])
def test_a_reload_that_nobody_asked_for(policy, name, body):
    w.send(policy.control, name, body, ident=99)
    assert policy.proc.wait(20) == 1


@pytest.fixture
def clock(tmp_path):
    lib = "/opt/clock.so"
    shutil.copy(LIB, lib)
    return Clock(tmp_path / "clock", lib)


TIMES = POLICY + """
allow hours for shop on web-1 {
    run /usr/bin/who
    window Mon-Sun 00:00-24:00 UTC
}
deny night for shop on web-1 {
    run /usr/bin/date
    window Mon-Sun 00:00-00:01 UTC
}
allow date for shop on web-1 { run /usr/bin/date }
"""


def test_p1_a_clock_that_was_set_opens_no_window(program, tmp_path, clock,
                                                 dummies):
    """Nor does it end what a rule denies at some times."""
    policy = Policy(program, tmp_path, policy=TIMES, env=clock.env)
    m, handle = policy.login()

    def denied(command, rule):
        err = refused(m.shell(message("RUN", run_body(handle, command))),
                      DENIED)
        assert policy.heard("operation.decide")["rule"] == rule
        return err

    def allowed(command):
        """Audit and parent are asked; for more there is no need."""
        conn = m.shell(message("RUN", run_body(handle, command)))
        opened, start, hop = asked(policy, conn)
        answer_start(policy, start, dummies())
        answer_open(policy, opened, [], 1, "enough")
        refused(conn, IOERR)
        no_start(policy, hop)

    try:
        allowed("/usr/bin/who")
        clock(50)
        allowed("/usr/bin/who")
        for seconds in (3600, -3600, 61 * 86400, -10**9):
            clock(seconds)
            assert "not known what time it is" in denied("/usr/bin/who",
                                                         "default")
            denied("/usr/bin/date", "night")
            policy.logs("ALARM: the clock was set, by ")
            # What hangs on no time goes on.
            allowed("/usr/bin/echo x")
            clock(0)
            allowed("/usr/bin/who")
        assert policy.log().count("ALARM: the clock was set") == 4
        # Whoever reloads has seen it.
        clock(3600)
        denied("/usr/bin/who", "default")
        policy.reload(policy.path / "policy")
        policy.heard("policy.load")
        allowed("/usr/bin/who")
        clock(-10**9)
        policy.reload(policy.path / "policy")
        policy.heard("policy.load")
        policy.logs("the clock was never set")
        denied("/usr/bin/who", "default")
    finally:
        policy.stop()


def test_a_refused_policy_has_a_bounded_line(policy):
    """Errors without number, and each with a line of the policy's."""
    policy.write("policy 1\n" + "nonsense \u2028\"\n" * 3000)
    policy.reload(policy.path / "policy")
    e = policy.heard("policy.load")
    assert e["verdict"] == "refused" and 1000 < len(e["reason"]) < 4096


def test_the_control_surface(policy):
    m, handle = policy.login("postern")
    code, out, err = answer(m.shell(message("RUN", run_body(
        handle, "whoami"))))
    assert (code, err) == (0, "")
    assert "shop" in out and "repo:acme/shop" in out
    assert answer(m.shell(message("RUN", run_body(handle, "", 0))))[0] == 0
    for bad in ("whoami x", "nothing", "a; b"):
        assert answer(m.shell(message("RUN", run_body(handle, bad))))[0] == \
            USAGE
    w.silent(policy.control)


# -- an allowed operation ----------------------------------------------------------------------


def check_open(m):
    out = {"operation": m.text(), "pty": m.u8(), "cols": m.u32(),
           "rows": m.u32(), "term": m.text(), "title": m.text()}
    out["event"] = m.event()
    return out


class HopRun:
    def __init__(self, m):
        self.operation, self.session, self.target = m.text(), m.text(), m.text()
        self.host, self.port, self.login = m.text(), m.u32(), m.text()
        self.pins = [(m.text(), m.text()) for _ in range(m.u32())]
        self.wire, self.pty, self.term = m.text(), m.u8(), m.text()
        self.cols, self.rows = m.u32(), m.u32()
        self.stdin, self.stdin_max = m.u8(), m.u64()
        self.duration, self.output_max = m.u32(), m.u64()
        self.out_null, self.err_null, self.err_to_out = m.u8(), m.u8(), m.u8()
        self.connect, self.handshake = m.u32(), m.u32()
        self.alive, self.alive_max = m.u32(), m.u32()
        self.head, self.tail, self.title = m.u64(), m.u64(), m.text()
        self.what = m.u8()
        self.rules = [(m.text(), m.u8(), m.u8(), m.text(), m.u64(), m.u8(),
                       m.u8()) for _ in range(m.u32())]
        self.refs = [(m.text(), m.u8(), [self.ref(m) for _ in
                                         range(m.u32())])
                     for _ in range(m.u32())]
        m.end()
        self.fds = m.fds

    @staticmethod
    def ref(m):
        """A glob, or a list of pieces."""
        read = [m.text, lambda: (m.u64(), m.u64()),
                lambda: [m.text() for _ in range(m.u32())],
                lambda: "semver", lambda: "sha"]
        return m.text() or [read[m.u8()]() for _ in range(m.u32())]


def launch(policy, m, handle, command, dummy, tmp_path, order="os", stdio=(),
           **more):
    """Through to the hand-over: everything that every neighbour got."""
    conn = m.shell(message("RUN", run_body(handle, command, **more)), stdio)
    opened, start, hop = asked(policy, conn)
    for step in order:
        if step == "o":
            fds = files(tmp_path)
            answer_open(policy, opened, fds)
        else:
            answer_start(policy, start, dummy)
    started = w.expect(policy.audit, "OP_STARTED")
    grant = w.expect(policy.signer, "GRANT")
    run_ = HopRun(w.expect(hop, "HOP_RUN"))
    w.expect(conn, "ACCEPTED").end()
    return conn, opened, start, hop, started, grant, run_, fds


def test_what_a_job_sends_goes_by_the_rule(policy, dummy, tmp_path):
    """In front of each program, in the ledger's line, and nothing else."""
    m, handle = policy.login()
    sent = ["LANG=C", "STAGE=blue", "LD_PRELOAD=/x", "NOTE=it's $(id)",
            "OTHER=x"]
    conn, opened, *_, grant, r, rec = launch(
        policy, m, handle, "systemctl restart web", dummy, tmp_path,
        sent=sent)
    wire = r"""'/usr/bin/env' 'STAGE=blue' 'NOTE=it'\''s $(id)' """ + \
        "'/usr/bin/systemctl' 'restart' 'web'"
    assert r.wire == wire
    e = check_open(opened)["event"]
    assert e["command"] == "/usr/bin/systemctl restart web"
    assert e["env"] == r"""STAGE=blue NOTE='it'\''s $(id)'"""
    for _ in range(4):
        grant.text()
    assert grant.text() == wire
    conn.close()


@pytest.mark.parametrize("command", [
    "systemctl restart web", "systemctl restart web; /usr/bin/echo a"])
def test_what_a_rule_does_not_take_runs_nothing(policy, command):
    m, handle = policy.login()
    conn = m.shell(message("RUN", run_body(
        handle, command, sent=["STAGE=hunter2"])))
    lines = [policy.heard("operation.decide")
             for _ in range(2 if ";" in command else 1)]
    assert {(e["verdict"], e["reason"], e["env"]) for e in lines} == {
        ("deny", "policy", "STAGE")}
    err = refused(conn, DENIED)
    assert "rule `deploy` does not take the value that this job sends for " \
        "STAGE" in err
    assert "hunter2" not in err
    w.silent(policy.control)


def test_a_key_id_is_no_longer_than_syslog_has_room_for(policy, dummy,
                                                        tmp_path):
    """The run is left out, and the ledger has it: behind the key id sshd says
    serial and CA, and a line without them proves nothing."""
    claims = CLAIMS | {"sha": "b" * 64, "run_id": "9" * 100}
    assert policy.new(claims=claims)[0] == 0
    handle = policy.new(claims=claims)[1]
    m = policy.monitor()
    assert m.open(handle, "web-1") == (0, handle)
    assert policy.heard("session.open")["run"] == "9" * 100
    stdio, _ = zip(*(os.pipe() for _ in range(3)))
    opened = launch(policy, m, handle, "systemctl restart web", dummy,
                    tmp_path, "os", stdio)[1]
    e = check_open(opened)["event"]
    assert e["key_id"] == (f"postern operation={e['operation']} identity=shop "
                           f"commit={'b' * 64}")


@pytest.mark.parametrize("order", ["os", "so"])
def test_an_allowed_operation(policy, dummy, tmp_path, order):
    m, handle = policy.login()
    before = policy.settled()
    stdio, far = zip(*(os.pipe() for _ in range(3)))
    conn, opened, start, hop, started, grant, r, rec = launch(
        policy, m, handle, "systemctl restart web 2>&1", dummy, tmp_path,
        order, stdio)
    op = check_open(opened)
    e = op["event"]
    assert (e["event"], e["verdict"]) == ("operation.decide", "allow")
    assert (e["rule"], e["identity"]) == ("deploy", "shop")
    assert (e["target"], e["login"]) == ("web-1", "deploy")
    assert e["command"] == "/usr/bin/systemctl restart web 2>&1"
    assert (e["pty"], e["stdin"]) == (False, False)
    assert e["principal"] == "deploy+web-1" and e["commit"] == "a" * 40
    assert op["operation"] == e["operation"] == start.text()
    assert started.text() == op["operation"]
    assert op["title"] == "deploy@web-1: " + e["command"]

    # The hop's work.
    assert (r.operation, r.session) == (op["operation"], e["session"])
    assert (r.target, r.host, r.port, r.login) == \
        ("web-1", "10.91.0.2", 2022, "deploy")
    assert r.pins == [("ssh-ed25519", PIN)]
    assert r.wire == "'/usr/bin/systemctl' 'restart' 'web'"
    assert (r.pty, r.stdin, r.stdin_max) == (0, 0, 0)
    assert (r.out_null, r.err_null, r.err_to_out) == (0, 0, 1)
    assert (r.connect, r.handshake) == (10, 20)
    assert (r.alive, r.alive_max) == (30, 3)
    assert (r.head, r.tail) == (2**20, 2**16)

    # The grant says the same, and no more.
    assert [grant.text() for _ in range(5)] == [
        op["operation"], "web-1", "deploy", "deploy+web-1", r.wire]
    assert (grant.u8(), grant.u64()) == (0, e["serial"])
    key_id = grant.text()
    assert grant.u8() == 0
    grant.end()
    assert key_id == e["key_id"] and len(key_id) <= 220
    assert op["operation"] in key_id and "a" * 40 in key_id
    assert e["serial"] > 0

    # Seven descriptors: the job's own, its connection, audit's two, and the
    # other end of what the signer got.
    assert len(r.fds) == 7
    assert all(same(a, b) for a, b in zip(r.fds[:3], stdio))
    assert all(same(a, b) for a, b in zip(r.fds[4:6], rec))
    shell = socket.socket(fileno=r.fds[3])
    w.send(shell, "EXIT", w.u32(0) + w.u32(3))
    assert w.expect(conn, "EXIT").u32() == 0
    cert = socket.socket(fileno=r.fds[6])
    theirs = socket.socket(fileno=grant.fds[0])
    w.send(cert, "CERT_REQUEST", w.text("x"))
    w.expect(theirs, "CERT_REQUEST")
    with open(f"/proc/self/fdinfo/{started.fds[0]}", encoding="ascii") as f:
        assert f"\nPid:\t{dummy}\n" in f.read()

    # policy keeps the hop's control socket and pidfd and nothing else.
    assert policy.status()["operations"] == 1
    policy.settled(before + 2)
    for s in (shell, cert):
        s.close()
    assert w.receive(conn) is None      # nobody else holds the job's
    assert w.receive(theirs) is None    # connection, or the certificate's
    # Its death ends it, and nothing that it says or closes.
    hop.close()
    assert policy.status()["operations"] == 1
    os.kill(dummy, signal.SIGKILL)
    policy.wait_status(operations=0)
    policy.settled(before)
    for fd in [*stdio, *far, *rec, *r.fds[:3], *r.fds[4:6], *started.fds]:
        os.close(fd)


@pytest.mark.parametrize("command, tty, pty, stdin, most", [
    ("/usr/bin/cat", 0, 0, 1, 5120),
    ("/usr/bin/top", 1, 1, 0, 0),
    ("/usr/bin/top", 0, 0, 0, 0),
])
def test_p4_terminal_and_input_by_rule(policy, dummy, tmp_path, command, tty,
                                       pty, stdin, most):
    m, handle = policy.login()
    _, opened, _, _, _, grant, r, _ = launch(
        policy, m, handle, command, dummy, tmp_path, tty=tty)
    assert (r.pty, r.stdin, r.stdin_max) == (pty, stdin, most)
    assert check_open(opened)["event"]["pty"] == bool(pty)
    for _ in range(5):
        grant.text()
    assert grant.u8() == pty


def decided(policy, n):
    """The next n decisions, all of one list."""
    out = []
    while len(out) < n:
        m = w.receive(policy.audit)
        if m.name == "KEEP":        # what is counted is kept
            w.send(policy.audit, "KEPT", w.u32(0), ident=m.id)
            continue
        if m.name == "OP_OPEN":     # of what was granted: it waits
            continue
        assert m.name == "EVENT"
        w.send(policy.audit, "EVENT_DONE", w.u32(0) + w.u64(7), ident=m.id)
        out.append(m.event())
    assert len({e["list"] for e in out}) == 1
    return out


def test_limit_rate_of_a_list(policy):
    """It is counted whole, or not at all."""
    m, handle = policy.login()

    def ask(n):
        return m.shell(message("RUN", run_body(
            handle, "; ".join(["/usr/bin/uptime"] * n))))
    for _ in range(2):
        err = refused(ask(4), TEMPFAIL)
        assert "command 4 of 4 is denied" in err
        assert "3 operations in 3600 seconds (limit rate), and this list " \
            "has more\n" in err
        e = decided(policy, 4)
        assert [x["reason"] for x in e] == ["list", "list", "list", "limit"]
    conn = ask(2)
    assert [x["verdict"] for x in decided(policy, 2)] == ["allow"] * 2
    # both count while the first has not begun; the third would fit
    err = refused(ask(2), TEMPFAIL)
    assert "command 2 of 2 is denied" in err
    assert "try again in 3600 seconds" in err or "in 3599 " in err
    decided(policy, 2)
    third = m.shell(message("RUN", run_body(handle, "/usr/bin/uptime")))
    fourth = m.shell(message("RUN", run_body(handle, "/usr/bin/uptime")))
    assert "limit rate" in refused(fourth, TEMPFAIL)
    conn.close()
    third.close()


def test_p4_no_terminal_without_a_rule(policy):
    m, handle = policy.login()
    refused(m.shell(message("RUN", run_body(
        handle, "systemctl restart web", tty=1))), DENIED)
    assert policy.heard("operation.decide")["pty"] is True
    w.silent(policy.control)


@pytest.mark.parametrize("term, cols, rows, want", [
    ("xterm-256color", 100, 40, ("xterm-256color", 100, 40)),
    ("x;rm", 0, 40, ("", 80, 24)),
    ("a b", 100, 0, ("", 80, 24)),
    ("\x1b[", 1001, 40, ("", 80, 24)),
    ("", 2**32 - 1, 2**32 - 1, ("", 80, 24)),
])
def test_p8_a_terminals_word_is_checked(policy, dummy, tmp_path, term, cols,
                                        rows, want):
    m, handle = policy.login()
    got = launch(policy, m, handle, "/usr/bin/top", dummy, tmp_path, tty=1,
                 term=term, cols=cols, rows=rows)
    op = check_open(got[1])
    assert (op["term"], op["cols"], op["rows"]) == want
    assert (got[6].term, got[6].cols, got[6].rows) == want


def test_a_title_is_cut_between_characters(policy, dummy, tmp_path):
    m, handle = policy.login()
    for pad in range(3):
        word = "x" * pad + "\u20ac" * 400
        got = launch(policy, m, handle, f"/usr/bin/echo {word}", dummy,
                     tmp_path)
        op = check_open(got[1])     # decodes
        assert len(op["title"].encode()) <= 300 + 70
        assert "\u20ac" * 400 in op["event"]["command"]


def test_another_login(policy, dummy, tmp_path):
    m, handle = policy.login("root+web-1")
    got = launch(policy, m, handle, "/usr/bin/id", dummy, tmp_path)
    assert (got[6].login, check_open(got[1])["event"]["principal"]) == \
        ("root", "root+web-1")


# -- what goes wrong on the way -----------------------------------------------------------------


def begin(policy, m, handle):
    conn = m.shell(message("RUN", run_body(handle, "systemctl restart web")))
    return conn, *asked(policy, conn)


def no_start(policy, hop):
    """No work for the hop, no grant for anybody; and policy goes on."""
    assert w.receive(hop) is None
    w.silent(policy.signer, 0.1)
    policy.wait_status(operations=0)


@pytest.mark.parametrize("order", ["os", "so"])
def test_p2_audit_cannot_write(policy, dummy, order):
    m, handle = policy.login()
    before = policy.settled()
    conn, opened, start, hop = begin(policy, m, handle)
    for step in order:
        if step == "o":
            answer_open(policy, opened, [], 1, "the disk is full")
        else:
            answer_start(policy, start, dummy)
    assert "the disk is full" in refused(conn, IOERR)
    no_start(policy, hop)
    policy.settled(before)


def test_p2_audit_says_yes_and_gives_nothing(policy, dummy):
    m, handle = policy.login()
    conn, opened, start, hop = begin(policy, m, handle)
    answer_start(policy, start, dummy)
    answer_open(policy, opened, [])
    refused(conn, IOERR)
    no_start(policy, hop)


def test_p2_audit_dies_while_asked(policy, dummy):
    m, handle = policy.login()
    conn, opened, start, hop = begin(policy, m, handle)
    answer_start(policy, start, dummy)
    policy.audit.close()
    refused(conn, IOERR)
    no_start(policy, hop)


def test_p2_audit_is_replaced_while_asked(policy, dummy):
    m, handle = policy.login()
    conn, opened, start, hop = begin(policy, m, handle)
    old, policy.audit = policy.audit, policy.link("audit")
    w.silent(conn)      # the old one may answer yet
    old.close()
    refused(conn, IOERR)
    no_start(policy, hop)
    # The old one's numbers mean nothing to the new one's answers.
    conn, opened, start, hop = begin(policy, m, handle)
    answer_open(policy, opened, [], 1, "no")
    refused(conn, IOERR)


def test_p2_audit_is_replaced_while_a_list_is_written(policy):
    """The one that has the lines closes them as not run, so nothing of them
    runs; the next one would write them again."""
    m, handle = policy.login()
    conn = m.shell(message("RUN", run_body(
        handle, "systemctl restart web && systemctl restart web")))
    lines = [w.expect(policy.audit, "EVENT") for _ in range(2)]
    old, policy.audit = policy.audit, policy.link("audit")
    for line in lines:
        w.send(old, "EVENT_DONE", w.u32(0) + w.u64(7), ident=line.id)
    refused(conn, TEMPFAIL)
    old.close()
    w.silent(policy.audit)
    w.silent(policy.control)
    policy.wait_status(operations=0)


def test_p2_no_denial_is_explained_off_the_record(policy):
    """A job that asks faster than audit writes learns nothing by it, and takes
    no room from the others."""
    m, handle = policy.login()
    run, codes = message("RUN", run_body(handle, "id")), []
    for _ in range(100):
        with contextlib.closing(m.shell(run)) as conn:
            code, _, err = answer(conn)
            codes.append(code)
            assert (code == DENIED) == ("in the ledger" in err)
            assert code == DENIED or "rule" not in err
        if code != DENIED:
            break
    assert codes[-1] == TEMPFAIL and codes.count(DENIED) == 16
    w.send(policy.oidc, "SESSION_NEW", policy.proof(token="b" * 64), ident=4)
    other, other_handle = policy.monitor(), None
    got = w.expect(policy.oidc, "SESSION_MADE")
    assert got.u32() == 0
    other_handle = got.text()
    assert other.open(other_handle) == (0, other_handle)
    refused(other.shell(message("RUN", run_body(other_handle, "id"))), DENIED)
    for _ in range(codes.count(DENIED)):
        assert policy.heard("operation.decide")["verdict"] == "deny"
    policy.heard("session.open")
    policy.heard("operation.decide")
    refused(m.shell(run), DENIED)


def test_p2_no_audit_at_all(policy):
    m, handle = policy.login()
    policy.audit.close()
    policy.wait_status(audit=False)
    conn = m.shell(message("RUN", run_body(handle, "systemctl restart web")))
    refused(conn, IOERR)
    w.silent(policy.control)
    w.silent(policy.signer, 0.05)


@pytest.mark.parametrize("order", ["os", "so", "s"])
def test_the_parent_cannot_start_a_hop(policy, tmp_path, order):
    m, handle = policy.login()
    conn, opened, start, hop = begin(policy, m, handle)
    for step in order:
        if step == "o":
            answer_open(policy, opened, files(tmp_path))
        else:
            answer_start(policy, start, 0)
    refused(conn, TEMPFAIL)
    abort = w.expect(policy.audit, "OP_ABORT")
    assert abort.text() == opened.text() and abort.text() != ""
    abort.end()
    no_start(policy, hop)


def test_no_signer(policy, tmp_path, dummy):
    m, handle = policy.login()
    policy.signer.close()
    policy.wait_status(signer=False)
    conn, opened, start, hop = begin(policy, m, handle)
    answer_open(policy, opened, files(tmp_path))
    answer_start(policy, start, dummy)
    refused(conn, TEMPFAIL)     # said by us, not left to the shell to guess
    assert w.receive(hop) is None
    assert w.expect(policy.audit, "OP_ABORT").text() == opened.text()
    policy.wait_status(operations=0)


@pytest.mark.parametrize("after", ["", "o", "s"])
def test_the_job_leaves_first(policy, tmp_path, dummy, after):
    m, handle = policy.login()
    conn, opened, start, hop = begin(policy, m, handle)
    if after == "o":
        answer_open(policy, opened, files(tmp_path))
    if after == "s":
        answer_start(policy, start, dummy)
    conn.close()
    m.kill()        # and with it the shell, which holds it, too
    assert w.expect(policy.audit, "OP_ABORT").text() == opened.text()
    no_start(policy, hop)
    # Late answers find nobody.
    answer_open(policy, opened, files(tmp_path))
    answer_start(policy, start, dummy)
    no_start(policy, hop)


def test_a_shell_that_talks_on_is_closed(policy):
    m, handle = policy.login()
    conn, opened, _, hop = begin(policy, m, handle)
    null = os.open("/dev/null", os.O_RDWR)
    w.send(conn, "RUN", run_body(handle, "systemctl restart web"), [null] * 3)
    os.close(null)
    assert w.receive(conn) is None
    assert w.expect(policy.audit, "OP_ABORT").text() == opened.text()
    no_start(policy, hop)


def test_p9_policy_dies_and_the_operation_does_not(policy, dummy, tmp_path):
    m, handle = policy.login()
    conn, _, _, hop, _, grant, r, _ = launch(
        policy, m, handle, "systemctl restart web", dummy, tmp_path)
    policy.proc.kill()
    policy.proc.wait()
    shell = socket.socket(fileno=r.fds[3])
    w.send(shell, "EXIT", w.u32(0) + w.u32(0))
    w.expect(conn, "EXIT")
    cert, theirs = (socket.socket(fileno=r.fds[6]),
                    socket.socket(fileno=grant.fds[0]))
    w.send(cert, "CERT_REQUEST", w.text("x"))
    w.expect(theirs, "CERT_REQUEST")


def test_p10_operations_are_bounded(small, dummies, tmp_path):
    """A hop that closes its control socket and lives on still counts."""
    m, handle = small.login()
    pid, dummy = dummies(), dummies()
    one = launch(small, m, handle, "systemctl restart web", pid, tmp_path)
    two = launch(small, m, handle, "systemctl restart web", dummy, tmp_path)
    one[3].close()
    conn = m.shell(message("RUN", run_body(handle, "systemctl restart web")))
    assert "operations-max" in refused(conn, TEMPFAIL)
    w.silent(small.control)
    os.kill(pid, signal.SIGKILL)
    small.wait_status(operations=1)
    assert two[3].fileno() >= 0
    launch(small, m, handle, "systemctl restart web", dummy, tmp_path)


def test_p9_posternd_is_gone(policy, tmp_path):
    """Nobody starts a hop any more: who waits for one is told, and who knocks
    sees that nobody is there; audit hears all of it."""
    m, handle = policy.login()
    conn, opened, _, _ = begin(policy, m, handle)
    policy.proc.send_signal(signal.SIGSTOP)
    late = w.connect(policy.path / "shell.sock")
    policy.control.shutdown(socket.SHUT_RDWR)
    policy.proc.send_signal(signal.SIGCONT)
    assert "restarted" in refused(conn, TEMPFAIL)
    assert w.expect(policy.audit, "OP_ABORT").text() == opened.text()
    assert w.receive(late) is None
    assert policy.proc.wait(5) == 0


def test_p10_nobody_waits_for_ever(policy):
    """15 s for audit and parent; a caller that does not ask has as long."""
    m, handle = policy.login()
    conn, opened, start, hop = begin(policy, m, handle)
    mute = w.connect(policy.path / "shell.sock")
    assert "in time" in refused(conn, TEMPFAIL)
    assert w.expect(policy.audit, "OP_ABORT").text() == opened.text()
    no_start(policy, hop)
    assert w.receive(mute) is None


def standing(socks):
    p = select.poll()
    for s in socks:
        p.register(s, 0)
    return len(socks) - len(p.poll(0))


def test_p10_callers_are_bounded(policy, dummy, tmp_path):
    """One that connects without an end takes a part of the room only."""
    m, handle = policy.login()
    at = len(policy.log())
    mute = [w.connect(policy.path / "shell.sock") for _ in range(1000)]
    # As many as need not say who they are; this process is nobody's child.
    end = time.monotonic() + 30
    while (n := standing(mute)) > 64 and time.monotonic() < end:
        time.sleep(0.05)
    assert n == 64, policy.log()
    assert policy.status()["operations"] == 0
    launch(policy, m, handle, "systemctl restart web", dummy, tmp_path)
    said = policy.log()[at:]
    assert 1 <= said.count("a postern-shell") <= 10
    for s in mute:
        s.close()


def test_p10_junk_does_not_fill_the_log(policy):
    at = len(policy.log())
    for _ in range(200):
        with w.connect(policy.path / "shell.sock") as s:
            w.send_raw(s, b"junk")
            assert w.receive(s) is None
    assert policy.log()[at:].count("a postern-shell") <= 10


@pytest.mark.parametrize("what", ["file", "folder", "tcp", "zero"])
def test_streams_are_such_as_sshd_gives(policy, tmp_path, what):
    m, handle = policy.login()
    keep = ()
    if what == "tcp":
        s, *keep = w.lingering()
        fd = s.detach()
    else:
        path = {"file": tmp_path / "f", "folder": tmp_path,
                "zero": "/dev/zero"}[what]
        fd = os.open(path, os.O_RDONLY if what == "folder" else
                     os.O_RDWR | os.O_CREAT)
    null = os.open("/dev/null", os.O_RDWR)
    conn = m.shell(message("RUN", run_body(handle, "systemctl restart web")),
                   [null, fd, null])
    os.close(fd)
    os.close(null)
    assert "such as sshd gives" in refused(conn, DENIED)
    began = time.monotonic()
    assert policy.status()["operations"] == 0
    assert time.monotonic() - began < 30
    for k in keep:
        k.close()


@pytest.mark.parametrize("what", [
    "no session", "wrong type", "cut short", "one more", "many"])
def test_a_close_that_waits_holds_nobody_up(policy, what):
    """Nobody's connection that lingers, in messages that are not taken."""
    good = message("RUN", run_body("0" * 32, "id"))
    data, n = {"no session": (good, 2), "wrong type": (message("STATUS"), 0),
               "cut short": (good[:20], 2), "one more": (good, 3),
               "many": (good, 200)}[what]
    with w.connect(policy.path / "shell.sock") as conn:
        keep = w.send_lingering(policy.proc, conn, data, n)
        began = time.monotonic()
        assert policy.status()["operations"] == 0
        with contextlib.suppress(ConnectionResetError):
            while w.receive(conn):
                pass
        assert policy.status()["operations"] == 0
    assert time.monotonic() - began < 30
    keep.close()


def test_callers_may_not_sit_idle(policy):
    """10 s, and the connection is closed; who asks has 10 s more."""
    n, began = policy.settled(), time.monotonic()
    with w.connect(policy.path / "ctl.sock") as busy, \
            w.connect(policy.path / "ctl.sock") as mute, \
            w.connect(policy.path / "session.sock") as module:
        time.sleep(5)
        w.send(busy, "STATUS")
        w.expect(busy, "STATUS_IS")
        assert w.receive(mute) is None and w.receive(module) is None
        assert 9 < time.monotonic() - began < 14
        w.send(busy, "STATUS")
        w.expect(busy, "STATUS_IS")
        policy.settled(n + 1)


def test_callers_of_ctl_are_bounded(policy):
    mute = [w.connect(policy.path / "ctl.sock") for _ in range(70)]
    policy.logs("ctl.sock")
    time.sleep(0.5)
    ended = select.select(mute, [], [], 0)[0]
    assert ended == mute[64:] and all(w.receive(s) is None for s in ended)
    n = policy.fds()
    for s in mute:
        s.close()
    policy.settled(n - 64)
    assert policy.status()["sessions"] == 0


def test_p10_callers_cannot_use_up_the_descriptors(tmp_path, program):
    """More mute connections than there are descriptors: policy neither dies
    nor spins, and serves again when they are gone."""
    it = Policy(program, tmp_path, nofile=(64, 64))
    try:
        m, handle = it.login()
        mute = [w.connect(it.path / "shell.sock") for _ in range(100)]
        time.sleep(0.3)
        cpu, lines = it.cpu(), it.log().count("\n")
        time.sleep(1.5)
        assert it.alive()
        assert it.cpu() - cpu < 0.5
        assert it.log().count("\n") - lines < 20
        for s in mute:
            s.close()
        refused(m.shell(message("RUN", run_body(handle, "a"))), DENIED)
        it.heard("operation.decide")
    finally:
        it.stop()


def test_limits_are_raised(tmp_path, program):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    it = Policy(program, tmp_path, nofile=(256, hard))
    try:
        limits = pathlib.Path(f"/proc/{it.proc.pid}/limits").read_text()
        line = [x for x in limits.splitlines() if "open files" in x][0]
        assert int(line.split()[3]) == min(hard, 16384)
    finally:
        it.stop()


# -- ctl.sock --------------------------------------------------------------------------------------


def test_status(policy):
    got = policy.status()
    assert got["targets"] == 1 and got["identities"] == 1
    assert len(got["policy"]) == 64
    assert got["audit"] is True and got["signer"] is True


def test_a_query_goes_to_audit_with_its_asker(policy):
    s = w.connect(policy.path / "ctl.sock")
    body = w.text("sessions") + w.u32(1) + w.text("commit") + w.text("1f0c")
    w.send(s, "QUERY", body, ident=4)
    m = w.expect(policy.audit, "AUDIT_QUERY")
    assert m.id == 4 and m.text() == "uid:0" and \
        m.left == w.u8(1) + body
    asker = socket.socket(fileno=m.fds[0])
    w.send(asker, "ROWS_END", w.u32(0) + w.text(""), ident=4)
    w.expect(s, "ROWS_END")
    asker.close()
    assert w.receive(s) is None     # policy keeps no copy
    policy.audit.close()
    policy.wait_status(audit=False)
    s = w.connect(policy.path / "ctl.sock")
    w.send(s, "QUERY", body, ident=4)
    m = w.expect(s, "ROWS_END")
    assert m.id == 4 and m.u32() != 0 and "postern-audit" in m.text()


@pytest.mark.parametrize("name", ["RUN", "SESSION_NEW", "AUDIT_QUERY", "STOP"])
def test_ctl_takes_nothing_else(policy, name):
    s = w.connect(policy.path / "ctl.sock")
    null = os.open("/dev/null", os.O_RDWR)
    w.send(s, name, fds=[null] * {"RUN": 3, "AUDIT_QUERY": 1}.get(name, 0))
    os.close(null)
    assert w.receive(s) is None
    assert policy.alive()
