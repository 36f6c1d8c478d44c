"""postern-shell as a process, with a broker of the test's own.  The binary is
the one that looks for its socket in its working folder."""
import contextlib
import os
import pathlib
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import termios
import time

import pytest

import wire

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
SHELL = BUILD / "tests/shell/postern-shell"
FORM = ["postern-shell", "-c", "postern"]

pytestmark = pytest.mark.skipif(not SHELL.exists(), reason="not built")


@pytest.fixture
def broker(tmp_path):
    b = wire.Broker(tmp_path)
    yield b
    b.close()


class Shell(subprocess.Popen):
    def __init__(self, folder, command="true", argv=None, env=None, **kw):
        env = dict(env or {})
        env.setdefault("POSTERN_SESSION", wire.Broker.HANDLE)
        if command is not None:
            env["SSH_ORIGINAL_COMMAND"] = command
        for name in ("stdin", "stdout", "stderr"):
            kw.setdefault(name, subprocess.PIPE)
        super().__init__(argv or FORM, executable=SHELL, cwd=folder, env=env,
                         **kw)

    def end(self, data=b""):
        out, err = self.communicate(data, timeout=10)
        return self.returncode, out, err


def answer(code, out=b"", err=b""):
    return lambda conn, m: wire.send(
        conn, wire.ANSWER, wire.number(code) + wire.string(out) +
        wire.string(err))


def let_go(conn):
    """Waits until the shell knows that it was accepted: a signal before that
    is its own end."""
    pid, = struct.unpack("i8x", conn.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    limit = time.monotonic() + 5
    with contextlib.suppress(OSError):  # it has ended already
        while os.readlink(f"/proc/{pid}/fd/1") != "/dev/null" and \
                time.monotonic() < limit:
            time.sleep(0.002)


def accept(then):
    """Accepts, then calls then(conn, stdin, stdout, stderr)."""
    def run(conn, m):
        wire.send(conn, wire.ACCEPTED)
        let_go(conn)
        fds, m.fds = m.fds, []
        then(conn, *fds)
        for fd in fds:
            os.close(fd)
    return run


def ended(kind, value):
    def then(conn, *_):
        wire.send(conn, wire.EXIT, wire.number(kind) + wire.number(value))
    return then


# -- what is sent -------------------------------------------------------------


@pytest.mark.parametrize("command, kind", [
    ("systemctl  restart 'a b'\n", 1), ("", 1), (None, 0),
    (b"\xff\xfe\x80 bytes", 1), ("x" * 65536, 1), ("postern-sftp", 1)])
def test_run(broker, tmp_path, command, kind):
    s = Shell(tmp_path, command)
    assert s.end() == (0, b"", b"")
    (m,) = broker.heard
    want = command.encode() if isinstance(command, str) else command or b""
    assert (m.handle, m.kind, m.command) == (wire.Broker.HANDLE.encode(), kind,
                                             want)
    assert (m.tty, m.term, m.columns, m.rows) == (0, b"", 0, 0)


KEY = b"ssh-ed25519 AAAA job\n"


@pytest.mark.parametrize("user, command, kind, sent", [
    ("postern", "login", 3, KEY), ("postern", "whoami", 1, b"whoami"),
    ("postern", "login x", 1, b"login x"), ("web-1", "login", 1, b"login"),
    ("postern", "login", 3, b"x" * 16384), ("postern", "login", 3, b"")],
    ids=["login", "other", "words", "target", "longest", "empty"])
def test_a_key_for_login(broker, tmp_path, user, command, kind, sent):
    """It is read for that word of that user alone."""
    s = Shell(tmp_path, command, env={"USER": user})
    assert s.end(sent if kind == 3 else KEY) == (0, b"", b"")
    (m,) = broker.heard
    assert (m.kind, m.command) == (kind, sent)


@pytest.mark.parametrize("given, says", [
    (b"x" * 16385, b"16 KiB"), (KEY + b"\0", b"no text")])
def test_a_key_that_is_none(broker, tmp_path, given, says):
    r = Shell(tmp_path, "login", env={"USER": "postern"}).end(given)
    assert r[0] == 64 and r[1] == b"" and says in r[2]
    assert r[2].startswith(b"postern: ") and b"login < key.pub" in r[2]
    assert broker.heard == []


def test_streams_arrive(broker, tmp_path):
    def then(conn, stdin, stdout, stderr):
        data = b""
        while more := os.read(stdin, 65536):
            data += more
        os.write(stdout, data[::-1])
        os.write(stderr, b"error")
        ended(0, 3)(conn)
    broker.run = accept(then)
    assert Shell(tmp_path).end(b"abc") == (3, b"cba", b"error")


@pytest.mark.parametrize("handle", ["", "x", wire.Broker.HANDLE + "0", None])
def test_no_handle(broker, tmp_path, handle):
    env = {} if handle is None else {"POSTERN_SESSION": handle}
    s = subprocess.run(FORM, executable=SHELL, cwd=tmp_path, env=env,
                       stdin=subprocess.DEVNULL, check=False)
    assert s.returncode == 0
    assert broker.heard[0].handle == b""


@pytest.mark.parametrize("term, want", [
    ("xterm-256color", b"xterm-256color"), ("", b"dumb"), (None, b"dumb"),
    ("a" * 41, b"dumb"), ("a\x1b[2J", b"dumb"), ("../x", b"dumb"),
    ("screen.xterm+x_1", b"screen.xterm+x_1")])
def test_terminal(broker, tmp_path, term, want):
    leader, tty = os.openpty()
    os.system(f"stty -F {os.ttyname(tty)} rows 43 columns 132")
    env = {"SSH_TTY": os.ttyname(tty)}
    if term is not None:
        env["TERM"] = term
    s = Shell(tmp_path, env=env, stdin=tty, stdout=tty, stderr=tty)
    assert s.wait(10) == 0
    (m,) = broker.heard
    assert (m.tty, m.term, m.columns, m.rows) == (1, want, 132, 43)
    os.close(leader)
    os.close(tty)


@pytest.mark.parametrize("command, user, quiet", [
    ("id", "web-1", True), (None, "web-1", False),
    ("whoami", "postern", False)])
def test_what_is_typed_ahead_is_kept_as_it_came(broker, tmp_path, command,
                                                user, quiet):
    """It is for the terminal of the command; a shell has none but this."""
    leader, tty = os.openpty()
    s = Shell(tmp_path, command, env={
        "SSH_TTY": os.ttyname(tty), "USER": user}, stdin=tty, stdout=tty,
              stderr=tty)
    assert s.wait(10) == 0
    it, _, _, modes, *_ = termios.tcgetattr(tty)
    lines = termios.ECHO | termios.ICANON
    assert (modes & lines == 0) == quiet
    assert (it & (termios.ICRNL | termios.IXON) == 0) == quiet
    assert modes & termios.ISIG
    os.close(leader)
    os.close(tty)


def test_term_without_a_terminal(broker, tmp_path):
    Shell(tmp_path, env={"SSH_TTY": "/dev/pts/0", "TERM": "xterm"}).end()
    assert (broker.heard[0].tty, broker.heard[0].term) == (0, b"")


# -- how it ends --------------------------------------------------------------


def test_every_exit_code_by_answer(broker, tmp_path):
    for code in range(256):
        broker.run = answer(code, b"o%d" % code, b"e%d" % code)
        assert Shell(tmp_path).end() == (code, b"o%d" % code, b"e%d" % code)


def test_every_exit_code_by_exit(broker, tmp_path):
    for code in range(256):
        broker.run = accept(ended(0, code))
        assert Shell(tmp_path).end() == (code, b"", b"")


STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)


def test_every_signal(broker, tmp_path):
    for n in range(1, 65):
        broker.run = accept(ended(1, n))
        code = Shell(tmp_path).end()[0]
        # 32 and 33 belong to the C library, which does not let them kill.
        if n in STOPPING + HARMLESS or (n in (32, 33) and code > 0):
            assert code == 128 + n
        else:
            assert code == -n
    assert not list(tmp_path.glob("core*"))


@pytest.mark.parametrize("bad", [
    wire.number(0) + wire.number(256), wire.number(1) + wire.number(0),
    wire.number(1) + wire.number(65), wire.number(2) + wire.number(0),
    wire.number(0), wire.number(0) + wire.number(0) + b"x"])
def test_exit_that_is_none(broker, tmp_path, bad):
    broker.run = accept(lambda conn, *_: wire.send(conn, wire.EXIT, bad))
    assert Shell(tmp_path).end() == (75, b"", GONE)


GONE = (b"postern: the broker lost this operation while it ran; what it did "
        b"until then is recorded, how it ended is not known\n")
LOST = b"postern: the broker ended before it answered; try again in a minute\n"


@pytest.mark.parametrize("kind, body", [
    (None, b""),
    (wire.ANSWER, wire.number(256) + wire.string("") + wire.string("")),
    (wire.ANSWER, wire.number(0) + wire.string("")),
    (wire.ANSWER, wire.number(0) + wire.string("x" * 32769) +
     wire.string("")),
    (wire.ANSWER, wire.number(0) + wire.string("") + wire.string("") + b"x"),
    (wire.EXIT, wire.number(0) + wire.number(0)),
    (wire.RESIZED, b""),
    (wire.ACCEPTED, b"x"),
    (999, b""),
])
def test_answer_that_is_none(broker, tmp_path, kind, body):
    broker.run = lambda conn, m: kind and wire.send(conn, kind, body)
    assert Shell(tmp_path).end() == (75, b"", LOST)


def test_end_without_exit(broker, tmp_path):
    broker.run = accept(lambda conn, *_: None)
    assert Shell(tmp_path).end() == (75, b"", GONE)


def test_second_answer(broker, tmp_path):
    broker.run = accept(lambda conn, *_: answer(0, b"late")(conn, None))
    assert Shell(tmp_path).end() == (75, b"", GONE)


def test_longest_texts(broker, tmp_path):
    broker.run = answer(9, b"o" * 32768, b"e" * 32768)
    assert Shell(tmp_path).end() == (9, b"o" * 32768, b"e" * 32768)


def test_broker_absent(tmp_path):
    code, out, err = Shell(tmp_path).end()
    assert (code, out) == (75, b"")
    assert err.startswith(b"postern: the broker of this bastion is not runn")


def test_command_too_long(broker, tmp_path):
    code, out, err = Shell(tmp_path, "x" * 65537).end()
    assert (code, out) == (64, b"")
    assert err.startswith(b"postern: the command is longer than 64 KiB")
    assert broker.heard == []


@pytest.mark.parametrize("argv", [
    ["-postern-shell"], ["postern-shell"], ["postern-shell", "-c"],
    ["postern-shell", "-c", "id"], ["postern-shell", "-c", "postern", "x"],
    ["postern-shell", "-i"], ["postern-shell", "-c", "postern;id"]])
def test_other_forms(broker, tmp_path, argv):
    code, out, err = Shell(tmp_path, argv=argv).end()
    assert (code, out) == (77, b"")
    assert err.startswith(b"postern: this is not a shell")
    assert broker.heard == []


def test_closed_streams(broker, tmp_path):
    for fd in range(3):
        p = subprocess.Popen(
            ["sh", "-c", f'exec {fd}<&-; exec "$@"', "sh", SHELL, *FORM[1:]],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        err = p.communicate(timeout=10)[1]
        assert p.returncode == 75
        assert err.startswith(
            b"postern: nothing was run: a standard stream ") or fd == 2
    assert broker.heard == []


# -- while it waits -----------------------------------------------------------


def test_holds_no_input_or_output_once_accepted(broker, tmp_path):
    """The client's output ends when the hop closes it, not when the shell
    ends.  Of the errors it keeps a copy, for its own last words."""
    go = threading.Event()

    def run(conn, m):
        wire.send(conn, wire.ACCEPTED)
        for fd in m.fds:
            os.close(fd)
        m.fds = []
        go.wait(10)
        ended(0, 0)(conn)
    broker.run = run
    s = Shell(tmp_path)
    assert s.stdout.read() == b""
    assert s.poll() is None
    fds, end = [], time.monotonic() + 10
    while sum(f.startswith("pipe") for f in fds) != 1:
        assert time.monotonic() < end, fds
        fds = [os.readlink(p)
               for p in pathlib.Path(f"/proc/{s.pid}/fd").iterdir()]
    assert "/dev/null" in fds
    go.set()
    assert s.wait(10) == 0 and s.stderr.read() == b""


def test_signals_are_passed_on(broker, tmp_path):
    ready = threading.Event()
    got = []

    def then(conn, *_):
        ready.set()
        while len(got) < 5:
            m = wire.receive(conn)
            got.append("resized" if m.type == wire.RESIZED else m.signal)
        ended(0, 5)(conn)
    broker.run = accept(then)
    s = Shell(tmp_path)
    assert ready.wait(10)
    for i, sig in enumerate((signal.SIGWINCH, signal.SIGINT, signal.SIGTERM,
                             signal.SIGHUP, signal.SIGQUIT)):
        s.send_signal(sig)
        while len(got) <= i:
            time.sleep(0.005)
    assert s.end()[0] == 5
    assert got == ["resized", 2, 15, 1, 3]


def test_flood_of_signals_does_not_block(broker, tmp_path):
    """A hop that reads nothing, and so resets the connection when it ends:
    the shell still takes its EXIT."""
    ready, go = threading.Event(), threading.Event()

    def then(conn, *_):
        ready.set()
        go.wait(20)
        ended(0, 6)(conn)
    broker.run = accept(then)
    s = Shell(tmp_path)
    assert ready.wait(10)
    for _ in range(5000):
        s.send_signal(signal.SIGWINCH)
        s.send_signal(signal.SIGTERM)
    go.set()
    assert s.end()[0] == 6


def test_exit_behind_a_reset(broker, tmp_path):
    """The hop ends with a signal unread: its EXIT counts all the same."""
    ready = threading.Event()

    def then(conn, *_):
        ready.set()
        assert select.select([conn], [], [], 10)[0]
        s.send_signal(signal.SIGSTOP)  # so that reset and EXIT wait together
        ended(0, 8)(conn)
        conn.close()
        s.send_signal(signal.SIGCONT)
    broker.run = accept(then)
    s = Shell(tmp_path)
    assert ready.wait(10)
    s.send_signal(signal.SIGTERM)
    assert s.end()[0] == 8


@pytest.mark.parametrize("sig", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM,
                                 signal.SIGQUIT])
def test_signal_before_the_answer(broker, tmp_path, sig):
    heard = threading.Event()

    def run(conn, m):
        heard.set()
        wire.receive(conn)
    broker.run = run
    s = Shell(tmp_path)
    assert heard.wait(10)
    s.send_signal(sig)
    assert s.end()[0] == -sig


def test_resized_before_the_answer_is_told_after(broker, tmp_path):
    heard, go, told = threading.Event(), threading.Event(), []

    def run(conn, m):
        heard.set()
        go.wait(10)
        accept(lambda c, *_: (told.append(wire.receive(c).type),
                              ended(0, 0)(c)))(conn, m)
    broker.run = run
    s = Shell(tmp_path)
    assert heard.wait(10)
    s.send_signal(signal.SIGWINCH)
    time.sleep(0.1)
    go.set()
    assert s.end()[0] == 0
    assert told == [wire.RESIZED]


def test_client_gone_before_the_answer(broker, tmp_path):
    heard = threading.Event()

    def run(conn, m):
        heard.set()
        for fd in m.fds:
            os.close(fd)
        m.fds = []
        assert wire.receive(conn) is None
    broker.run = run
    s = Shell(tmp_path)
    assert heard.wait(10)
    s.stdout.close()
    assert s.wait(10) == 75


def test_ignored_signals_of_the_parent_do_not_count(broker, tmp_path):
    """A signal ignored or blocked where it was started still ends it."""
    def before():
        for sig in (signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE):
            signal.signal(sig, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
    for sig in (signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE,
                signal.SIGALRM):
        broker.run = accept(ended(1, sig))
        s = Shell(tmp_path, preexec_fn=before, restore_signals=False)
        assert s.end()[0] == -sig


def test_no_core(broker, tmp_path):
    def before():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    broker.run = accept(ended(1, signal.SIGQUIT))
    s = Shell(tmp_path, preexec_fn=before)
    s.end()
    assert s.returncode == -signal.SIGQUIT
    assert not list(tmp_path.glob("core*"))


def test_memory(broker, tmp_path):
    """Its private memory is that of an empty C program and its buffers."""
    seen = []

    def then(conn, *_):
        time.sleep(0.1)
        text = pathlib.Path(f"/proc/{pid[0]}/smaps_rollup").read_text()
        # Not Private_Dirty: on a tmpfs every page of a file counts as that.
        seen.append(int(text.split("Anonymous:")[1].split()[0]))
        ended(0, 0)(conn)
    broker.run = accept(then)
    pid = []
    s = Shell(tmp_path)
    pid.append(s.pid)
    assert s.end()[0] == 0
    if b"__asan_init" in SHELL.read_bytes():
        pytest.skip("sanitizers take their own memory")
    # An empty C program has 112, and what libedit's loading writes is 12; the
    # rest are its buffers and its filter.
    assert seen[0] <= 160, seen
