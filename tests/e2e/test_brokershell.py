"""The broker shell in a real terminal: tmux, stock ssh, one line after the
other.  Screens that are compared whole are in tests/e2e/screens/."""
import contextlib
import os
import pathlib
import re
import shlex
import subprocess
import time

import pytest

import house as h
import test_jobcert

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


def of_lines(bastion, mark, kind):
    """Those of that kind, without the shell's own operation."""
    own = {e["operation"] for e in bastion.events(mark, "operation.decide")
           if e.get("by") == "shell"}
    return [e for e in bastion.events(mark, kind)
            if e.get("operation") not in own]


def events(bastion, mark, kind, n):
    """The first n of that kind; waits for them."""
    end = time.monotonic() + WAIT
    while len(found := of_lines(bastion, mark, kind)) < n and \
            time.monotonic() < end:
        time.sleep(0.05)
    assert len(found) == n, bastion.events(mark)
    return found


@pytest.fixture
def shell(job):
    """shell(to, ...): a Terminal with `ssh -t TO@bastion` in it."""
    with contextlib.ExitStack() as stack:
        def start(to="web-1", opts=("-t",), token=None, argv=None, **kw):
            t = Terminal(job, argv or job.argv(to, opts=opts),
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


def test_lines_are_operations(mark, at, bastion):
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


def test_4_a_denial_is_explained_in_place(mark, at, bastion):
    at.line("systemctl stop web")
    at.see(r"postern: denied.*use the runbook.*refused; this is operation")
    at.line("echo $HOME")
    at.see(r"\^")
    at.line("systemctl reload api")
    at.see(r"^api is up$")
    d = events(bastion, mark, "operation.decide", 3)
    assert [x["verdict"] for x in d] == ["deny", "deny", "allow"]
    assert [x["line"] for x in d] == [1, 2, 3]


def test_a_folder_that_the_prompt_cuts(at):
    """Within a character that would be no text, and libedit would end."""
    for letter in "é☃":
        at.line("cd /" + letter * 200)
        at.see(f"web-1 as [^>]*:/{letter}+> ?\\s*\\Z", whole=True)
        at.line("cd")
        at.see(r"^web-1 as [^:\n]*> ?\s*\Z")
    at.line("systemctl restart web")
    at.see(r"^web is up$")


def test_a_denial_names_its_folder(mark, at, bastion):
    """To him who typed it, and in the ledger, as if it had been written out."""
    at.line("cd '/opt/house/a b'")
    at.line("systemctl stop web")
    at.see(r"denied by rule `\S+` in '/opt/house/a b': use the runbook")
    at.line("/usr/bin/id")
    at.see(r"no rule allows this as deploy on web-1 in '/opt/house/a b'$")
    at.line("cd /tmp && /usr/bin/id")
    at.see(r"no rule allows this as deploy on web-1 in /tmp$")
    at.line("echo $HOME")
    at.see(r"\^")
    at.line("/usr/bin/id; /usr/bin/id -u")
    at.see(r"command 1 of 2 is denied")
    d = events(bastion, mark, "operation.decide", 6)
    assert [x["command"] for x in d] == [
        "cd '/opt/house/a b' && systemctl stop web",
        "cd '/opt/house/a b' && /usr/bin/id",
        "cd /tmp && /usr/bin/id",
        "cd '/opt/house/a b' && echo $HOME",
        "cd '/opt/house/a b' && /usr/bin/id",
        "cd '/opt/house/a b' && /usr/bin/id -u"]
    assert [x["line"] for x in d] == [2, 3, 4, 5, 6, 6]


def test_help(mark, at, bastion):
    at.line("help")
    at.see(r"systemctl \(restart \| reload\) <service>.*Ctrl-D on an empty")
    at.ready()
    assert "stop" not in at.all()


def test_no_shell_where_no_rule_leads(shell):
    t = shell("web-2", token=None)
    t.see(r"^web-2 as shop>$")
    t = shell("down-9")
    t.see(r"no rule lets this job open a shell on down-9.*^left with 77$")


def test_by_a_certificate(shell, job):
    key = test_jobcert.Key(job).login()
    t = shell(argv=key.argv("web-1", opts=("-t",)))
    t.ready()
    t.line("systemctl restart web")
    t.see(r"^web is up$")
    t.line("exit 4")
    t.see("^left with 4$")


# -- what is typed ---------------------------------------------------------------


def same(t, name, mask=lambda text: text):
    """The screen, but for what is another each time, is the one that is kept
    (SCREENS=write keeps it)."""
    kept = pathlib.Path(__file__).parent / "screens" / f"{name}.txt"

    def screen():
        now = re.sub(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "01" + "X" * 24,
                     mask(t.screen()))
        return re.sub(r"main\.postern:\d+", "main.postern:N",
                      now).rstrip() + "\n"

    if os.environ.get("SCREENS") == "write":
        kept.write_text(screen())
    end = time.monotonic() + 10
    while screen() != kept.read_text() and time.monotonic() < end:
        time.sleep(0.1)     # the rest of it may be on its way
    assert screen() == kept.read_text()


def test_completion(at):
    at.type("sys")
    at.key("Tab")
    at.see(r"> systemctl$")
    at.key("Tab", "Tab")
    at.see(r"^is-active  reload  restart$")
    at.type("rel")
    at.key("Tab")
    at.see(r"> systemctl reload$")
    at.type("w")
    at.key("Tab")
    at.see(r"> systemctl reload w$")
    at.type("e")
    at.key("Tab", "Enter")
    at.see(r"^web is up$")
    at.ready(3)
    same(at, "completion")


def test_completion_tells_of_no_other_rule(at):
    """Neither what is denied nor what is another identity's."""
    at.type("systemctl st")
    at.key("Tab")
    at.type("op web")
    at.see(r"> systemctl stop web$")
    at.key("C-u")
    at.type("/usr/bin/")
    at.key("Tab", "Tab")
    at.see(r"/usr/bin/wc$|/usr/bin/wc ")
    assert "whoami" not in at.all()     # other+web-1's


def test_history(at):
    at.line("systemctl is-active web")
    at.see(r"^web is up$")
    at.line("systemctl is-active api")
    at.see(r"^api is up$")
    at.ready(3)
    at.key("Up", "Up")
    at.see(r"> systemctl is-active web$")
    at.key("Down")
    at.see(r"> systemctl is-active api$")
    at.key("C-c")
    at.key("C-r")
    at.type("web")
    at.key("Enter")
    at.see(r"web is up.*web is up", whole=True)


def test_ctrl_c_drops_a_line_and_interrupts_a_command(mark, at, bastion):
    at.type("systemctl restart web")
    at.key("C-c")
    at.ready()
    at.line("/opt/house/bin/slow 40; systemctl restart api")
    at.see(r"^started$")
    at.key("C-z")       # is nothing
    at.key("C-c")
    at.see(r"\^C$")
    at.see(r"what follows in the list was not run")
    at.ready()
    at.line("exit")
    at.see("^left with 130$")
    e = events(bastion, mark, "operation.end", 2)
    assert {x["state"] for x in e} == {"interrupted", "aborted"}, e
    assert all(x["line"] == 1
               for x in of_lines(bastion, mark, "operation.decide"))


def test_ctrl_c_where_nothing_is_read(at):
    """A command with a terminal and without its input."""
    at.line("/opt/house/bin/stream 7 900")
    at.see(r"^7 3$")
    at.key("C-c")
    at.ready()
    at.line("exit")
    at.see("^left with 130$")


def test_a_terminal_by_rule_and_its_size(shell):
    t = shell(size=(100, 30))
    t.ready()
    t.line("/opt/house/bin/istty")
    t.see(r"^in\nout\n30 100\nTERM=\S+$")
    t.tmux("resize-window", "-x", "72", "-y", "20")
    t.line("/opt/house/bin/istty")
    t.see(r"^20 72$")
    t.line("systemctl restart web")     # has none, and needs none
    t.see(r"^web is up$")


def test_wide_and_combining(at):
    at.type("/opt/house/bin/argv 'caf\u0065\u0301 \u6f22\u5b57 \u00fc'")
    at.key("Left", "Left", "Left")
    at.type("\u754c")
    at.key("Enter")
    at.see("^<caf\u0065\u0301 \u6f22\u5b57\u754c \u00fc>$")
    at.ready(2)
    same(at, "wide")


def test_two_hundred_columns(shell):
    t = shell(size=(200, 24))
    t.ready()
    text = "".join(chr(65 + i % 26) for i in range(150))
    t.line(f"/opt/house/bin/argv {text} {text[:40]}")
    t.see(rf"^<{text}>$")
    t.ready(2)
    same(t, "columns")


TOP = '''
allow top for shop on web-1 { run /usr/bin/top -d <int 1..9> with pty stdin }
'''


WINCH = """#!/bin/sh
trap 'stty size' WINCH
stty size
while [ ! -e "$1" ]; do sleep 0.1; done
"""


def test_its_size_while_something_runs(at, bastion, tmp_path):
    script, end = h.BIN / "size-of", h.WORK / f"winch-{time.monotonic_ns()}"
    script.write_text(WINCH)
    script.chmod(0o755)
    rule = f"""
allow winch for shop on web-1 {{ run {script} </opt/house/*> with pty stdin }}
"""
    with bastion.more_rules(rule):
        at.line(f"{script} {end}")
        at.see("^30 100$")
        at.tmux("resize-window", "-x", "90", "-y", "16")
        at.see("^16 90$")
        end.touch()
        at.ready()


# -- the end -------------------------------------------------------------------------


def test_killed_and_locked(mark, at, bastion):
    at.line("systemctl restart web")
    at.see(r"^web is up$")
    session = events(bastion, mark, "operation.decide", 1)[0]["session"]
    bastion.postern("lock", "--reason", "works")
    try:
        at.line("systemctl restart web")
        at.see(r"this bastion is locked")
        at.type("sys")
        at.key("Tab")
        at.type("x")
        at.see(r"> sysx$")      # nothing is told of the rules
        at.key("C-u")
    finally:
        bastion.postern("unlock")
    at.line("/opt/house/bin/slow 50")
    at.see(r"^started$")
    bastion.postern("kill", session)
    at.see(r"ended by the bastion's admin.*shell.*^left with 77$")


def test_left_alone_by_its_client(mark, at, bastion):
    """A terminal that is closed ends the shell and what runs in it."""
    at.line("/opt/house/bin/slow 50")
    at.see(r"^started$")
    at.close()
    e = events(bastion, mark, "operation.end", 1)[0]
    assert e["duration_ms"] < 45000
    end = time.monotonic() + WAIT
    while "postern-shell" in h.run("ps", "-e", "-o", "args").stdout:
        assert time.monotonic() < end
        time.sleep(0.1)
