"""postern replay of broker shells, with a broker that is played by a test: what
a recording says of itself is its writer's word, and moves nothing of the
ledger's."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import threading

import pytest

import wire as w

POSTERN = pathlib.Path(os.environ["POSTERN_BUILD"]) / "cli/postern"
CONF = pathlib.Path("/opt/postern/etc/postern/postern.conf")
ROWS_MAX = 5000     # STORE_FOUND_MAX


def ident(n):
    return f"01JDF6V0X4T9S2M7Q8B3{n:06d}"


SHELL = ident(0)


def cast(events, clock, **own):
    head = {"version": 2, "width": 80, "height": 24,
            "postern": {"clock_us": clock, "pty": True, **own}}
    return "".join(json.dumps(x) + "\n" for x in [head, *events])


class Broker:
    """Answers `show` and `recording` with what it was given."""

    def __init__(self, folder):
        self.folder, self.rows, self.casts = folder, [], {}
        self.more = False
        CONF.parent.mkdir(parents=True, exist_ok=True)
        CONF.write_text(f"run-folder {folder}\n")
        self.listener = w.listener(folder / "ctl.sock")
        self.listener.setblocking(True)
        threading.Thread(target=self.serve, daemon=True).start()

    def shell(self, text):
        self.rows.append({"kind": "operation", "operation": SHELL,
                          "shell": SHELL, "by": "shell", "recording": "x"})
        self.casts[SHELL] = text

    def line(self, n, text, op=None, **more):
        op = op or ident(n)
        self.rows.append({"kind": "operation", "operation": op,
                          "shell": SHELL, "line": n, "recording": "x", **more})
        self.casts[op] = text

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                with s, contextlib.suppress(OSError):
                    self.answer(s)

    def answer(self, s):
        q = w.expect(s, "QUERY")
        what, n = q.text(), q.u32()
        keys = {q.text(): q.text() for _ in range(n)}
        mine = [r for r in self.rows if what == "sessions" or keys["id"] in (
            r["operation"], r.get("shell") if what == "show" else "")]
        if what != "recording" and self.more:
            mine.append({"kind": "more", "after": mine[-1]["operation"]})
        for row in mine:
            body, fds = w.text(json.dumps(row)), []
            if what == "recording":
                path = self.folder / "cast"
                path.write_text(self.casts[keys["id"]])
                fds = [os.open(path, os.O_RDONLY)]
                path.unlink()
            w.send(s, "ROW", body, fds, q.id)
            for fd in fds:
                os.close(fd)
        w.send(s, "ROWS_END", w.u32(0) + w.text(""), ident=q.id)

    def replay(self, *argv):
        return self.run("replay", *argv)

    def run(self, *argv):
        return subprocess.run([POSTERN, *argv], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              check=False, timeout=100)


@pytest.fixture
def broker(tmp_path):
    assert os.environ.get("POSTERN_INSIDE") == "1"
    it = Broker(tmp_path)
    yield it
    it.listener.close()
    shutil.rmtree(CONF.parent)


SAID = [[0.1, "o", "> a\r\n"], [0.2, "m", "line 1: a"], [0.3, "o", "> "]]
DID = [[0.0, "o", "done\r\n"], [0.01, "x", "0"]]


@pytest.mark.parametrize("own", [{"shell": True}, {}, {"shell": False},
                                 {"shell": "yes"}])
def test_a_shell_is_what_the_ledger_calls_one(broker, own):
    """Whoever owns a postern-shell writes the header of its recording."""
    broker.shell(cast(SAID, 1000, **own))
    broker.line(1, cast(DID, 201000))
    for argv in (["--speed", "0"], ["--cast"], ["--shell", "--speed", "0"]):
        p = broker.replay(*argv, SHELL)
        assert (p.returncode, p.stderr) == (0, ""), argv
        assert p.stdout.count("done") == 1, p.stdout


def test_an_operation_is_no_shell_because_it_says_so(broker):
    """Whoever owns a hop can say what he likes, too."""
    broker.shell(cast(SAID, 1000, shell=True))
    broker.line(1, cast(DID, 201000, shell=True))
    p = broker.replay("--speed", "0", ident(1))
    assert (p.returncode, p.stderr, p.stdout) == (0, "", "done\n")


def test_what_is_not_shown_is_told(broker):
    """An answer that is full, and one that was cut."""
    broker.shell(cast(SAID, 1000, shell=True))
    for n in range(1, ROWS_MAX - 1):
        broker.line(n, "", recording="", state="denied")
    broker.line(ROWS_MAX - 1, cast(DID, 201000))
    p = broker.replay("--speed", "0", SHELL)
    assert (p.returncode, p.stderr) == (0, "")
    broker.more = True
    p = broker.replay("--speed", "0", SHELL)
    assert p.returncode == 1 and "done" in p.stdout
    assert f"none behind operation {ident(ROWS_MAX - 1)} (line " \
        f"{ROWS_MAX - 1}) is shown" in p.stderr
    p = broker.run("show", SHELL)
    assert p.returncode == 0 and p.stdout.count(f"{ident(ROWS_MAX - 1)}\n") == 1
    assert p.stderr == (
        f"postern: this is not all: an answer has {ROWS_MAX} rows at most; "
        "what follows: `postern show --after "
        f"{ident(ROWS_MAX - 1)} {SHELL}`\n")
    p = broker.run("show", "--json", SHELL)
    assert "this is not all" in p.stderr
    assert json.loads(p.stdout.splitlines()[-1]) == {
        "kind": "more", "after": ident(ROWS_MAX - 1)}


def test_sessions_that_are_not_all(broker):
    broker.line(1, "", session=ident(8))
    broker.line(2, "", session=ident(9))
    assert broker.run("sessions").stderr == ""
    broker.more = True
    p = broker.run("sessions")
    assert p.returncode == 0 and len(p.stdout.splitlines()) == 2
    assert p.stderr == (
        "postern: this is not all: an answer has 2 rows at most; `postern show "
        f"--after {ident(2)} {ident(9)}` has the rest of the last session, the "
        f"same with `--before {ident(9)}` the sessions before it\n")
