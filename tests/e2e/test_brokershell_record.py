"""The recording of a broker shell itself: what a person saw at his terminal is
what the shell's recording and those of its operations give together, played as
one into another terminal of the same size."""
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time

import house as h
import pytest

from test_brokershell import (  # noqa: F401
    TOP, WAIT, Terminal, at, same, shell)
from test_faults import pid_of, wait_for

RULES = TOP if os.path.exists("/usr/bin/top") else ""


class Player(Terminal):
    """A terminal that shows what it is given."""

    def __init__(self, job, size, argv=None):
        self.path = h.WORK / f"played-{time.monotonic_ns()}"
        self.n = 0
        if argv is None:
            os.mkfifo(self.path)
            os.chmod(self.path, 0o644)
            argv = ["sh", "-c", f"stty raw -echo; cat {self.path}; sleep 600"]
        super().__init__(job, argv, job.env(), size=size)

    def __enter__(self):
        self.to = open(self.path, "wb", buffering=0)
        return self

    def __exit__(self, *_):
        self.to.close()
        self.close()

    def show(self, data):
        while data:
            data = data[self.to.write(data):]

    def settle(self):
        """All of it is on the screen: it names the window at last."""
        self.n += 1
        self.show(f"\033]2;shown-{self.n}\007".encode())
        end = time.monotonic() + WAIT
        while self.tmux("display", "-p", "#{pane_title}").strip() != \
                f"shown-{self.n}":
            assert time.monotonic() < end
            time.sleep(0.02)


def read_cast(text):
    """(header, events); it is an asciicast v2 and nothing more."""
    lines = [json.loads(line) for line in text.splitlines()]
    head, evs = lines[0], lines[1:]
    assert head["version"] == 2 and "postern" not in head
    assert {e[1] for e in evs} <= {"o", "r", "m"}
    assert [e[0] for e in evs] == sorted(e[0] for e in evs)
    return head, evs


def play(job, text):
    """The screen at each marker of a line, and the last one."""
    head, evs = read_cast(text)
    screens = []
    with Player(job, (head["width"], head["height"])) as t:
        for _, kind, data in evs:
            if kind == "o":
                t.show(data.encode())
            elif kind == "r":
                t.settle()
                x, y = data.split("x")
                t.tmux("resize-window", "-x", x, "-y", y)
            elif data.startswith("line "):
                t.settle()
                screens.append(t.screen().rstrip().splitlines())
        t.settle()
        screens.append(t.screen().rstrip().splitlines())
    return screens


def seen(t):
    return t.screen().rstrip().splitlines()


def enter(t, screens):
    """Keeps the screen at which a line is sent, and sends it."""
    screens.append(seen(t))
    t.key("Enter")


def alike(live, played):
    """A line that was sent has put the cursor on the next row: what was there
    may have scrolled up by one."""
    return played in (live, live[1:])


def shell_id(bastion, mark):
    """Of the shell that was opened since."""
    return next(e["operation"] for e in bastion.events(mark, "operation.decide")
                if e.get("by") == "shell")


def ended(bastion, mark, operation):
    found = []

    def there():
        found[:] = [e for e in bastion.written(mark, "operation.end")
                    if e["operation"] == operation]
        return bool(found)
    wait_for(there)
    return found[0]


def cast_of(bastion, ident):
    return bastion.postern("replay", "--cast", "--idle", "0", ident).stdout


def end_of_shell(lines):
    """What was on the screen before ssh and sh had a word."""
    return lines[:next(i for i, x in enumerate(lines)
                       if re.match("Connection to .* closed|left with", x))]


# -- as the person saw it --------------------------------------------------------


def test_played_as_it_was_seen(mark, at, job, bastion):
    """Completion, a denial, Ctrl-C twice, wide text: the same screens."""
    screens = []
    at.type("sys")
    at.key("Tab", "Tab", "Tab")
    at.see(r"^is-active  reload  restart$")
    at.type("restart w")
    at.key("Tab", "Tab")
    at.see(r"^web  worker$")
    at.type("eb")
    at.see(r"> systemctl restart web$")
    enter(at, screens)
    at.see(r"^web is up$")
    at.ready(4)
    at.type("systemctl stop web")
    at.see(r"stop web$")
    enter(at, screens)
    at.see(r"refused; this is operation")
    at.ready()
    at.type("systemctl restart nothing-like-it")
    at.see("like-it$")
    at.key("C-c")
    at.ready()
    at.type("/opt/house/bin/slow 40; systemctl restart api")
    at.see(r"restart api$")
    enter(at, screens)
    at.see(r"^started$")
    at.type("typed meanwhile")      # shown by nobody
    at.key("C-u")
    at.key("C-c")
    at.see(r"\^C$")
    at.see(r"what follows in the list was not run")
    at.ready()
    at.type("/opt/house/bin/argv '\u6f22\u5b57 caf\u0065\u0301'")
    at.see("caf\u0065\u0301'$")
    enter(at, screens)
    at.see("^<\u6f22\u5b57 caf\u0065\u0301>$")
    at.ready()
    at.line("exit 3")
    at.see("^left with 3$")
    live = end_of_shell(seen(at))
    ident = shell_id(bastion, mark)
    e = ended(bastion, mark, ident)
    assert (e["state"], e["exit"]) == ("complete", 3), e
    played = play(job, cast_of(bastion, ident))
    assert len(played) == len(screens) + 1
    for a, b in zip(screens, played):
        assert alike(a, b), "\n".join(["", *a, "-- played:", *b])
    assert played[-1] == live
    same(at, "recorded")


def test_resized_and_a_program_of_the_whole_screen(mark, at, job, bastion):
    screens = []
    with bastion.more_rules(RULES):
        at.line("systemctl restart web")
        at.see(r"^web is up$")
        at.ready(2)
        at.tmux("resize-window", "-x", "90", "-y", "16")
        at.line("/opt/house/bin/istty")
        at.see(r"^16 90$")
        at.ready()
        if RULES:
            at.line("/usr/bin/top -d 1")
            at.see(r"^top - .*PID +USER")
            at.tmux("resize-window", "-x", "80", "-y", "20")
            at.see(r"^top - .*PID +USER")
            at.type("q")
            at.ready()
        at.type("/opt/house/bin/both")
        at.see("bin/both$")
        enter(at, screens)
        at.see("^to stderr$|^to stdout$")
        at.ready()
        at.line("exit")
        at.see("^left with 0$")
    live = end_of_shell(seen(at))
    ident = shell_id(bastion, mark)
    ended(bastion, mark, ident)
    text = cast_of(bastion, ident)
    played = play(job, text)
    assert alike(screens[-1], played[-2])
    assert played[-1][-len(live):] == live or live[-len(played[-1]):] == \
        played[-1]
    sizes = [e[2] for e in read_cast(text)[1] if e[1] == "r"]
    assert "90x16" in sizes and (not RULES or sizes[-1] == "80x20")


def test_by_other_players(mark, at, job, bastion):
    """asciinema's cat, and our own replay, whose filter lets all of it by."""
    at.line("/opt/house/bin/istty; systemctl is-active api")
    at.see(r"^api is up$")
    at.ready(2)
    at.line("systemctl stop web")
    at.see(r"refused; this is operation")
    at.ready()
    at.line("exit 0")
    at.see("^left with 0$")
    live = end_of_shell(seen(at))
    ident = shell_id(bastion, mark)
    ended(bastion, mark, ident)
    path = h.WORK / "shell.cast"
    path.write_text(cast_of(bastion, ident))
    path.chmod(0o644)
    t = Player(job, (100, 30), argv=["asciinema", "cat", path])
    t.see("^left with 0$")
    assert end_of_shell(seen(t)) == live
    t.close()
    for argv in (["--shell"], []):
        text = bastion.postern("replay", *argv, "--speed", "0", ident).stdout
        with Player(job, (100, 30)) as t:
            t.show(text.replace("\n", "\r\n").encode())
            t.settle()
            assert seen(t) == live


def on_a_terminal(argv):
    """What it writes to one."""
    ours, its = pty.openpty()
    with subprocess.Popen(h.inside("bastion", argv), stdin=subprocess.DEVNULL,
                          stdout=its, stderr=its) as p:
        os.close(its)
        out = b""
        with contextlib.suppress(OSError):      # EIO: nobody has it any more
            while data := os.read(ours, 65536):
                out += data
    os.close(ours)
    assert p.returncode == 0, out
    return out


def test_a_line_with_its_screen(mark, at, job, bastion):
    """On a terminal what came before a line is there, at once."""
    at.line("systemctl restart api")
    at.see(r"^api is up$")
    at.ready(2)
    at.line("systemctl is-active web")
    at.see(r"^web is up$")
    at.ready(3)
    at.line("exit")
    at.see("^left with 0$")
    live = end_of_shell(seen(at))
    ident = shell_id(bastion, mark)
    ended(bastion, mark, ident)
    out = on_a_terminal([h.PREFIX / "bin/postern", "replay", "--shell",
                         "--line", "2", "--idle", "0.001", ident])
    with Player(job, (100, 30)) as t:
        t.show(out)
        t.settle()
        assert seen(t) == live


# -- it is a recording like any other -----------------------------------------------


def test_in_the_ledger(mark, at, bastion):
    own = bastion.some(mark, "operation.decide")[0]     # before any line
    assert (own["by"], own["verdict"], own["shell"], own["target"]) == \
        ("shell", "allow", own["operation"], "web-1")
    assert "line" not in own and "command" not in own
    assert "running" in bastion.postern("show", own["operation"]).stdout
    at.line("systemctl restart web")
    at.see(r"^web is up$")
    at.ready(2)
    at.line("exit 4")
    at.see("^left with 4$")
    e = ended(bastion, mark, own["operation"])
    assert (e["state"], e["exit"], "reason" in e) == ("complete", 4, False)
    path = h.STATE / "recordings" / e["recording"]
    head, *evs = [json.loads(x) for x in path.read_text().splitlines()]
    assert head["postern"]["shell"] is True and head["postern"]["pty"] is True
    assert [x[2] for x in evs if x[1] == "m"] == \
        ["line 1: systemctl restart web"]
    assert evs[-1][1:] == ["x", "4"]
    shown = "".join(x[2] for x in evs if x[1] == "o")
    assert shown.startswith("web-1 as shop> ") and "is up" not in shown
    assert "(broker shell)" in bastion.postern(
        "sessions", "--session", own["session"]).stdout
    assert bastion.postern("verify", check=False).returncode == 0
    kinds = [x.get("by") for x in map(json.loads, bastion.postern(
        "show", "--json", own["operation"]).stdout.splitlines())]
    assert kinds == ["shell", None]


def test_from_a_line_on(mark, at, bastion):
    for word in ("restart", "reload", "is-active"):
        at.line(f"systemctl {word} api")
        at.see(rf"^{word} api$")
        at.ready()
    at.line("exit")
    at.see("^left with 0$")
    ident = shell_id(bastion, mark)
    ended(bastion, mark, ident)
    text = bastion.postern("replay", "--shell", "--line", "3", "--speed", "0",
                           ident).stdout
    assert "is-active api\napi is up" in text.replace("\r", "") and \
        "reload" not in text
    r = bastion.postern("replay", "--shell", "--line", "9", ident, check=False)
    assert r.returncode == 1 and "has no line 9" in r.stderr
    r = bastion.postern("replay", "--shell", "no-such", check=False)
    assert r.returncode == 1 and "no operation, session or shell" in r.stderr
    for bad in (["--cast", "--shell", "--line", "1"], ["--cast", "--raw"]):
        assert bastion.postern("replay", *bad, ident,
                               check=False).returncode == 64


# -- when something ends ---------------------------------------------------------------


def test_killed_with_all_it_has_shown(cuts, mark, at, bastion):
    at.line("systemctl restart web")
    at.see(r"^web is up$")
    at.ready(2)
    at.type("systemctl half a li")
    at.see("half a li$")
    for pid in pid_of(bastion, "postern-shell"):
        os.kill(pid, signal.SIGKILL)
    at.see("^left with")
    ident = shell_id(bastion, mark)
    e = ended(bastion, mark, ident)
    assert e["state"] == "interrupted"
    text = cast_of(bastion, ident)
    assert "half a li" in "".join(x[2] for x in read_cast(text)[1]
                                  if x[1] == "o").replace("\b", "")
    assert "web is up" in text


def test_audit_and_policy_die(mark, at, bastion):
    """Nothing that is shown is lost; without policy it is over, and says so."""
    for pid in pid_of(bastion, "postern-audit"):
        os.kill(pid, signal.SIGKILL)
    at.type("systemctl is-active api")
    at.see("is-active api$")
    wait_for(lambda: pid_of(bastion, "postern-audit"))
    bastion.told()
    at.key("Enter")
    at.see(r"^api is up$|recording cannot be written|restarted")
    at.ready()
    for pid in pid_of(bastion, "postern-policy"):
        os.kill(pid, signal.SIGKILL)
    at.see(r"broker was restarted, and this shell is over.*^left with 75$")
    wait_for(lambda: pid_of(bastion, "postern-policy"))
    ident = shell_id(bastion, mark)
    e = ended(bastion, mark, ident)
    assert e["state"] == "interrupted" and "broker" in e["reason"], e
    text = "".join(x[2] for x in read_cast(cast_of(bastion, ident))[1]
                   if x[1] == "o")
    assert "is-active api" in text and "this shell is over" in text


def test_no_room(shell, bastion):  # noqa: F811
    """A disk that is full ends it with words, and opens no other."""
    import test_disk
    with test_disk.tmpfs(bastion, "8m"):
        t = shell()
        t.ready()
        filler = test_disk.Filler()
        filler.leave(0)
        end = time.monotonic() + WAIT   # what is left of its last page
        while "recording of this shell cannot be written" not in t.screen():
            assert time.monotonic() < end
            t.type("x" * 10)
        t.see("left with 74$")
        filler.leave(64)                # for words, and no recording more
        t = shell()
        t.see(r"postern: not opened: .*\(shell \w{26}\).*^left with 74$")
        filler.remove()
        t = shell()
        t.ready()
        t.line("exit")
        t.see("^left with 0$")


def test_a_recording_that_retention_took(mark, at, bastion):
    at.line("systemctl restart web")
    at.see(r"^web is up$")
    at.ready(2)
    at.line("exit")
    at.see("^left with 0$")
    ident = shell_id(bastion, mark)
    ended(bastion, mark, ident)
    line = next(e for e in bastion.events(mark, "operation.decide")
                if e.get("line") == 1)
    conf = h.ETC / "postern.conf"
    before = conf.read_text()
    path = h.STATE / "recordings"
    size = (path / ended(bastion, mark, ident)["recording"]).stat().st_size
    bastion.stop()
    conf.write_text(before + f"retention-size {size}B\n")
    bastion.start()
    try:
        wait_for(lambda: any(
            e["operation"] == line["operation"]
            for e in bastion.events(mark, "retention.delete")))
        text = bastion.postern("replay", "--speed", "0", ident).stdout
    finally:
        bastion.stop()
        conf.write_text(before)
        bastion.start()
    assert re.search(r"> systemctl restart web\s+\[operation "
                     rf"{line['operation']}: its recording was deleted by "
                     r"retention on \S+\]\s+web-1 as shop> exit", text), text
