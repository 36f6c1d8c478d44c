"""The broker shell in a real terminal: tmux, stock ssh, one line after the
other.  What a screen must show is said here, or in tests/e2e/screens/."""
import contextlib
import re
import shlex
import subprocess
import time

import pytest

import house as h

WAIT = 60       # for a machine that has much else to do


class Terminal:
    """A tmux of its own with one window, and stock ssh in it."""

    def __init__(self, job, argv, env, size=(100, 30)):
        self.job, self.env = job, env
        self.socket = f"/tmp/tmux-{time.monotonic_ns()}"
        command = (f"{shlex.join(map(str, argv))}; echo \"left with $?\"; "
                   "sleep 600")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(size[0]),
                  "-y", str(size[1]), command)

    def tmux(self, *args, check=True):
        p = subprocess.run(
            h.inside(self.job.netns, ["tmux", "-u", "-S", self.socket, *args],
                     self.job.user), env=self.env, cwd="/",
            capture_output=True, stdin=subprocess.DEVNULL)
        if check and p.returncode:
            raise RuntimeError(f"tmux {args}: {p.stderr!r}")
        return p.stdout.decode(errors="replace")

    def type(self, text):
        """As it is, without a key's name being read into it."""
        for i in range(0, len(text), 1000):
            self.tmux("send-keys", "-l", "--", text[i:i + 1000])

    def key(self, *names):
        self.tmux("send-keys", *names)

    def line(self, text):
        self.type(text)
        self.key("Enter")

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def all(self):
        """With what has scrolled away; lines that were wrapped are joined."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-")

    def see(self, pattern, timeout=WAIT, whole=False):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            text = self.all() if whole else self.screen()
            if m := re.search(pattern, text, re.M | re.S):
                return m
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} on\n{self.all()}")

    def ready(self, n=None):
        """A prompt stands in the last line, with nothing behind it; n: it is
        that one on the screen."""
        self.see(r"^\S+ as \S+> ?\s*\Z" if n is None else
                 r"(?:^\S+ as \S+> [^\n]*\n.*?){%d}^\S+ as \S+> ?\s*\Z" %
                 (n - 1))

    def close(self):
        self.tmux("kill-server", check=False)


def events(bastion, mark, kind, n):
    """The first n of that kind; waits for them."""
    end = time.monotonic() + WAIT
    while len(found := bastion.events(mark, kind)) < n and \
            time.monotonic() < end:
        time.sleep(0.05)
    assert len(found) == n, bastion.events(mark)
    return found


@pytest.fixture
def shell(job):
    """shell(to, ...): a Terminal with `ssh -t TO@bastion` in it."""
    with contextlib.ExitStack() as stack:
        def start(to="web-1", opts=("-t",), token=None, **kw):
            t = Terminal(job, job.argv(to, opts=opts),
                         job.env(CI_TOKEN=token or job.issuer.token()), **kw)
            stack.callback(t.close)
            return t
        yield start


@pytest.fixture
def at(shell):
    t = shell()
    t.ready()
    return t


# -- a line is an operation ----------------------------------------------------


def test_lines_are_operations(at, bastion, mark):
    at.line("systemctl restart web")
    at.see(r"^web is up$")
    at.ready(2)
    at.line("/opt/house/bin/exitwith 3; systemctl is-active api")
    at.see(r"^api is up\n")
    at.ready()
    at.line("exit 7")
    at.see("^left with 7$")
    d = events(bastion, mark, "operation.decide", 3)
    assert [x["line"] for x in d] == [1, 2, 2]
    assert len({x["shell"] for x in d}) == 1
    assert [x.get("positions") for x in d] == [None, 2, 2]
    ends = events(bastion, mark, "operation.end", 3)
    assert [x.get("exit") for x in ends] == [0, 3, 0]
    assert all(x["state"] == "complete" for x in ends)


def test_exit_is_the_last_lines(at):
    at.line("/opt/house/bin/exitwith 5")
    at.ready(2)
    at.key("C-d")
    at.see("^left with 5$")


def test_a_denial_is_explained_in_place(at, bastion, mark):
    at.line("systemctl stop web")
    at.see(r"postern: denied.*use the runbook.*refused; this is operation")
    at.line("echo $HOME")
    at.see(r"\^")
    at.line("systemctl reload api")
    at.see(r"^api is up$")
    d = events(bastion, mark, "operation.decide", 3)
    assert [x["verdict"] for x in d] == ["deny", "deny", "allow"]
    assert [x["line"] for x in d] == [1, 2, 3]


def test_help(at, bastion, mark):
    at.line("help")
    at.see(r"systemctl \(restart \| reload\) <service>.*Ctrl-D on an empty")
    at.ready()
    assert "stop" not in at.all()


def test_no_shell_where_no_rule_leads(shell):
    t = shell("web-2", token=None)
    t.see(r"^web-2 as shop>$")
    t = shell("down-9")
    t.see(r"no rule lets this job open a shell on down-9.*^left with 77$")
